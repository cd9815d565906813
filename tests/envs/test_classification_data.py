"""Classification sets: where they are looked for, what is refused, and how they are prepared."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from regrax.envs import classification_data, openml
from regrax.envs.classification_data import load, read
from regrax.envs.datasets import DataSetError

SHARED = Path(__file__).parents[3] / "shared/data"
COPIES = {
    "mushroom": "mushroom/mushroom.csv",
    "MagicTelescope": "magic_telescope/magic_telescope.csv",
    "shuttle": "shuttle/shuttle.csv",
    "letter": "letter/letter.csv",
}


def unit_rows(x):
    """Rows of length 1, written out."""
    x = np.where(np.isnan(x), -1, x)
    lengths = np.sqrt((x**2).sum(axis=1, keepdims=True))
    return np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ---- files of one's own --------------------------------------------------------------------

TABLE = """\
colour,size,label,weight
red,3,dog,0
,?,cat,-4
blue,0,cat,1e1

?,0,bee,0
"red",nan,dog, 2
"""


def test_a_table_is_prepared_row_by_row(tmp_path):
    data = read(write(tmp_path / "animals.csv", TABLE))
    colour = [1, np.nan, 0, np.nan, 1]  # blue, red
    size, weight = [3, np.nan, 0, 0, np.nan], [0, -4, 10, 0, 2]
    expected = unit_rows(np.column_stack([colour, size, weight]))
    np.testing.assert_allclose(data.features, expected, rtol=1e-7)
    assert data.features.dtype == np.float32 and data.labels.dtype == np.int32
    assert data.classes == ("bee", "cat", "dog") and data.name == "animals"
    np.testing.assert_array_equal(data.labels, [2, 1, 1, 0, 2])


def test_the_label_is_the_column_named_or_called_label_or_the_last(tmp_path):
    path = write(tmp_path / "t.csv", "a,label,b\n1,x,u\n2,y,v\n3,x,w\n")
    np.testing.assert_array_equal(read(path).labels, [0, 1, 0])
    np.testing.assert_array_equal(read(path, "b", name="mine").labels, [0, 1, 2])
    assert read(path, "b", name="mine").name == "mine"
    path = write(tmp_path / "t.csv", "a,b\n1,v\n2,u\n")
    np.testing.assert_array_equal(read(path).labels, [1, 0])


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path):
    path = write(tmp_path / "t.csv", "a,label\n0,10\n1,9\n1,-1\n1,9.0\n")
    data = read(path)
    assert data.classes == ("-1", "9", "10")
    np.testing.assert_array_equal(data.labels, [2, 1, 0, 1])
    np.testing.assert_array_equal(data.features[:, 0], [0, 1, 1, 1])  # a row of zeros stays
    data = read(write(path, "a,label\n0,10\n1,9\n1,x\n"))
    assert data.classes == ("10", "9", "x")


@pytest.mark.parametrize(
    ("text", "label", "said"),
    [
        ("a,label\n1,x\n1,y\n", "kind", "0 columns 'kind'.*its columns are a, label"),
        ("label,a,label\nx,1,y\n", None, "2 columns 'label'"),
        ("", None, "0 columns 'label'"),
        ("a,label\n", None, "no rows"),
        ("label\nx\ny\n", None, "no columns beside 'label'"),
        ("a,label\n1,x\n2,x\n", None, "every label in column 'label' is 'x'.*two classes at least"),
        ("a,label\n1,1\n2,1.0\n", None, "every label in column 'label' is '1'"),
        ("a,label\n1,x\n2,\n3,?\n", None, "line 3, column 'label': the label '' is missing"),
        ("a,label\n1,2\n2,nan\n", None, "line 3, column 'label': the label 'nan' is missing"),
        ("a,label\n1,1\n2,2.5\n", None, "line 3, .*'2.5' is neither a name nor a whole number"),
        ("a,label\n1,1\n2,inf\n", None, "line 3, column 'label': the label 'inf' is not a finite"),
        ('a,b,label\n1,"2\n",x\n2,-inf,y\n', None, "line 4, column 'b': -inf is not a finite"),
        ("a,label\n1,x\n\n2\n", None, "line 4: 1 entries, where the header has 2"),
        ('a,label\n1,"x\n', None, "not a CSV file"),
    ],
)
def test_a_bad_table_is_refused_by_line_and_column(tmp_path, text, label, said):
    with pytest.raises(DataSetError, match=said):
        read(write(tmp_path / "t.csv", text), label)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataSetError, match="cannot read .*absent.csv"):
        read(tmp_path / "absent.csv")
    with pytest.raises(DataSetError, match="neither a .csv nor a .parquet"):
        read(tmp_path / "t.xlsx")
    (tmp_path / "t.csv").write_bytes(b"a,label\n1,caf\xe9\n")
    with pytest.raises(DataSetError, match="not a CSV file in UTF-8"):
        read(tmp_path / "t.csv")


SIZES = st.tuples(st.integers(2, 6), st.integers(1, 4))
NUMBERS = st.floats(allow_nan=True, allow_infinity=False)


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.float64, SIZES, elements=NUMBERS))
def test_any_numbers_come_through(tmp_path_factory, x):
    """From the smallest to the largest: rows of length 1 in the direction of the numbers."""
    path = tmp_path_factory.mktemp("any") / "t.csv"
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])])
    frame.assign(label=["ab"[i % 2] for i in range(len(x))]).to_csv(path, index=False)
    data = read(path)
    filled = np.where(np.isnan(x), -1, x)
    lengths = np.linalg.norm(data.features.astype(float), axis=1)
    zero = (filled == 0).all(axis=1)
    np.testing.assert_allclose(lengths, ~zero, atol=3e-7)
    largest = np.abs(filled).max(axis=1, keepdims=True)
    expected = unit_rows(np.divide(filled, largest, out=np.zeros_like(x), where=largest > 0))
    np.testing.assert_allclose(data.features, expected, atol=1e-7)


FRAME = pd.DataFrame(
    {
        "number": [1.5, np.nan, -2.0, 0.0],
        "whole": pd.array([3, 4, None, 5], dtype="Int64"),
        "flag": [True, False, True, False],
        "kind": pd.Categorical(["b", None, "a", "b"], categories=["b", "a", "unused"]),
        "label": [10, 9, 10, 2],
    }
)


def check_frame(path):
    data = read(path)
    whole, flag, kind = [3, 4, np.nan, 5], [1, 0, 1, 0], [1, np.nan, 0, 1]
    expected = unit_rows(np.column_stack([FRAME["number"], whole, flag, kind]))
    np.testing.assert_allclose(data.features, expected, rtol=1e-6)
    assert data.classes == ("2", "9", "10")
    np.testing.assert_array_equal(data.labels, [2, 1, 2, 0])


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    FRAME.to_parquet(tmp_path / "t.parquet")
    check_frame(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"not Parquet")
    with pytest.raises(DataSetError, match="cannot read .*t.parquet"):
        read(tmp_path / "t.parquet")


def test_the_columns_of_a_parquet_file(tmp_path, monkeypatch):
    """What pandas makes of one, and what it says without pyarrow."""
    monkeypatch.setattr(pd, "read_parquet", lambda path: FRAME)
    check_frame(tmp_path / "t.parquet")
    monkeypatch.setattr(pd, "read_parquet", lambda path: FRAME.assign(number=np.inf))
    with pytest.raises(DataSetError, match="row 1, column 'number': inf is not a finite"):
        read(tmp_path / "t.parquet")

    def without(path):
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd, "read_parquet", without)
    with pytest.raises(DataSetError, match="pip install pyarrow, or save the table as CSV"):
        read(tmp_path / "t.parquet")


# ---- sets by name --------------------------------------------------------------------------


@pytest.mark.parametrize("name", classification_data.BUNDLED)
def test_sets_in_scikit_learn(name):
    bunch = getattr(pytest.importorskip("sklearn.datasets"), f"load_{name}")()
    data = load(name)
    np.testing.assert_allclose(data.features, unit_rows(bunch.data), atol=1e-7)
    assert data.classes == tuple(sorted(str(x) for x in bunch.target_names))
    named = [data.classes[label] for label in data.labels]
    assert named == [str(bunch.target_names[x]) for x in bunch.target]
    assert data.name == name


def test_digits_are_as_published():
    pytest.importorskip("sklearn")
    data = load("digits")
    assert data.features.shape == (1797, 64) and data.classes == tuple("0123456789")
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    np.testing.assert_array_equal(np.bincount(data.labels), counts)


def test_some_rows_are_the_same_ones_always_and_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setitem(openml.SETS, "letter", openml.Known("letter", 6, (500, 2, 2)))
    rows = "".join(f"1,{i},{'xy'[i % 2]}\n" for i in range(500))
    write(tmp_path / "letter.csv", f"a,b,label\n{rows}")

    def chosen(rows: Any):
        data = load("letter", rows, cache=tmp_path)
        row = np.rint(data.features[:, 1] / data.features[:, 0]).astype(int)
        np.testing.assert_array_equal(data.labels, row % 2)
        return row.tolist()

    few, more = chosen(40), chosen(300)
    assert len(few) == 40 and len(more) == 300 and set(few) < set(more) and few != more[:40]
    assert few == sorted(few) == chosen(40) and more == sorted(more)
    assert chosen(500) == chosen(None) == list(range(500))
    for rows in (0, 501, 2.5):
        with pytest.raises(ValueError, match=f"rows is a whole number from 1 to 500, got {rows}"):
            chosen(rows)


@functools.cache
def shared(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # these are the recorded copies
        return load(name, cache=SHARED)


@pytest.mark.parametrize("name", COPIES)
def test_recorded_copies(name):
    path = SHARED / COPIES[name]
    if not path.exists():
        pytest.skip(f"shared/data/{COPIES[name]} is not here")
    data = shared(name)
    frame = pd.read_csv(path, na_values=["?"], keep_default_na=False)
    label = frame.pop("label")
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            codes, _ = pd.factorize(frame[column], sort=True)
            frame[column] = np.where(codes < 0, np.nan, codes)
    np.testing.assert_allclose(data.features, unit_rows(frame.to_numpy(float)), atol=1e-7)
    codes, classes = pd.factorize(label, sort=True)
    np.testing.assert_array_equal(data.labels, codes)
    assert data.classes == tuple(classes) and data.name == name
    assert (*data.features.shape, len(data.classes)) == openml.SETS[name].shape


def test_a_missing_stalk_root_is_minus_one():
    if not (SHARED / COPIES["mushroom"]).exists():
        pytest.skip("shared/data/mushroom is not here")
    table = pd.read_csv(SHARED / COPIES["mushroom"])
    below = shared("mushroom").features.min(axis=1) < 0
    np.testing.assert_array_equal(below, table["stalk-root"] == "?")
    assert below.sum() == 2480


def small(monkeypatch, name="MagicTelescope", shape=(3, 2, 2), **changes):
    monkeypatch.setitem(openml.SETS, name, openml.SETS[name]._replace(shape=shape, **changes))


SMALL = "a,b,class\n1,2,g\n3,4,h\n5,6,g\n"


@pytest.mark.parametrize(
    "place",
    [
        "MagicTelescope.csv",
        "magic_telescope.csv",
        "MAGICTELESCOPE.CSV",
        "magic_telescope/magic_telescope.csv",
        "MagicTelescope/magictelescope.csv",
    ],
)
@pytest.mark.parametrize("name", ["MagicTelescope", "magictelescope", "magic_telescope"])
def test_a_file_in_the_data_folder_comes_first(tmp_path, monkeypatch, place, name):
    small(monkeypatch, file=hashlib.sha256(SMALL.encode()).hexdigest())
    monkeypatch.setattr(openml, "fetch", None)
    monkeypatch.setenv("REGRAX_DATA", str(tmp_path))
    write(tmp_path / place, SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(name)
    assert data.name == "MagicTelescope" and data.classes == ("g", "h")
    np.testing.assert_allclose(data.features, unit_rows(np.array([[1, 2], [3, 4], [5, 6.0]])))


def test_the_name_at_openml_is_good_too(tmp_path, monkeypatch):
    small(monkeypatch, "fashion")
    write(tmp_path / "fashion-mnist.csv", SMALL)
    assert load("Fashion-MNIST", cache=tmp_path).name == "fashion"


def test_another_copy_is_taken_with_a_warning(tmp_path, monkeypatch):
    small(monkeypatch)
    write(tmp_path / "magic_telescope.csv", SMALL)
    found = hashlib.sha256(SMALL.encode()).hexdigest()
    said = f"not the recorded copy of MagicTelescope.*expected sha256:4fc28.*found sha256:{found}"
    with pytest.warns(UserWarning, match=said) as caught:
        assert len(load("MagicTelescope", cache=tmp_path).labels) == 3
    assert caught[0].filename == __file__


@pytest.mark.parametrize("shape", [(4, 2, 2), (3, 3, 2), (3, 2, 3)])
def test_a_file_of_another_shape_is_refused(tmp_path, monkeypatch, shape):
    small(monkeypatch, shape=shape, file=None)
    write(tmp_path / "magic_telescope.csv", SMALL)
    said = "is not the data set 'MagicTelescope': it has 3 rows, 2 features and 2 classes, expected"
    with pytest.raises(DataSetError, match=f"{said} are {shape[0]}, {shape[1]} and {shape[2]}"):
        load("MagicTelescope", cache=tmp_path)


def test_a_column_that_numbers_the_rows_is_left_out(tmp_path, monkeypatch):
    small(monkeypatch, file=None)
    path = tmp_path / "magic_telescope.csv"
    write(path, "ID,a,b,class\n0,1,2,g\n1,3,4,h\n2,5,6,g\n")
    expected = unit_rows(np.array([[1, 2], [3, 4], [5, 6.0]]))
    np.testing.assert_allclose(load("MagicTelescope", cache=tmp_path).features, expected)
    write(path, "ID,b,class\n1,2,g\n3,4,h\n5,6,g\n")  # one of the features has this name
    np.testing.assert_allclose(load("MagicTelescope", cache=tmp_path).features, expected)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"called 'mushrom' \(did you mean 'mushroom'\?\): there"):
        load("mushrom")
    with pytest.raises(ValueError, match="called 'xyzzy': there are digits, .*, isolet; `read`"):
        load("xyzzy")


@pytest.mark.parametrize("name", ["digits", "plants"])
def test_without_scikit_learn_the_error_says_how_to_install_it(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DataSetError, match=r"pip install 'regrax\[data\]'"):
        load(name, cache=tmp_path)


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    datasets = pytest.importorskip("sklearn.datasets")

    def refused(**options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(datasets, "fetch_openml", refused)
    monkeypatch.setattr(datasets, "fetch_covtype", refused)
    monkeypatch.setenv("REGRAX_DATA", str(tmp_path / "data"))
    for name, source in (("plants", "OpenML \\(id 1491\\)"), ("covertype", "UCI")):
        with pytest.raises(DataSetError) as error:
            load(name)
        error.match(source)
        for part in (str(tmp_path / "data"), f"{name}.csv", f"{name}.parquet", "no route to host"):
            assert part in str(error.value)
        assert "REGRAX_DATA" in str(error.value)


# ---- OpenML --------------------------------------------------------------------------------


def kept(number, folder, monkeypatch):
    """What scikit-learn would have kept of an OpenML set, made from the files that its own tests
    come with; from here on there is no network."""
    datasets = pytest.importorskip("sklearn.datasets")
    fixtures = Path(datasets.__file__).parent / f"tests/data/openml/id_{number}"
    described = fixtures / f"api-v1-jd-{number}.json.gz"
    if not described.exists():
        pytest.skip("this scikit-learn comes without its test files")
    description = json.loads(gzip.decompress(described.read_bytes()))["data_set_description"]
    [content] = fixtures.glob("data-v1-dl-*.arff.gz")
    address = urllib.parse.urlparse(description["url"]).path.lstrip("/")
    files = {f"{address}.gz": content, f"api/v1/json/data/{number}.gz": described}
    for part in ("features", "qualities"):
        letter = part[0]
        files[f"api/v1/json/data/{part}/{number}.gz"] = (
            fixtures / f"api-v1-jd{letter}-{number}.json.gz"
        )
    for place, file in files.items():
        target = folder / "scikit_learn/openml/openml.org" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)

    def refused(*arguments, **options):
        raise AssertionError("nothing is downloaded in a test")

    monkeypatch.setattr(urllib.request, "urlopen", refused)
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", refused)
    return functools.partial(datasets.fetch_openml, data_home=folder / "scikit_learn")


STAND_INS = {
    3: ("kr-vs-kp", (3196, 36, 2)),  # categories
    61: ("iris", (150, 4, 3)),  # numbers
    42585: ("penguins", (344, 6, 3)),  # both, and entries that are missing
}


@pytest.mark.filterwarnings("ignore:OpenML raised a warning on the dataset")
@pytest.mark.parametrize("number", STAND_INS)
def test_openml_and_a_file_come_to_the_same(tmp_path, monkeypatch, number):
    """Read by scikit-learn into numbers, or by pandas into a table that is saved as CSV."""
    fetch = kept(number, tmp_path, monkeypatch)
    name, shape = STAND_INS[number]
    monkeypatch.setitem(openml.SETS, "mushroom", openml.Known(name, number, shape))
    first, again = (load("mushroom", cache=tmp_path) for _ in range(2))
    bunch = fetch(data_id=number, as_frame=True, parser="pandas")
    table = bunch.data.assign(label=bunch.target)
    table.to_csv(tmp_path / "table.csv", index=False)
    other = read(tmp_path / "table.csv", name="mushroom")
    assert first.features.shape == shape[:2] and first.classes == other.classes
    assert (first.features < 0).any() == table.isna().to_numpy().any() == (number == 42585)
    for data in (again, other):
        np.testing.assert_array_equal(first.features, data.features)
        np.testing.assert_array_equal(first.labels, data.labels)


def test_what_is_decoded_is_held_against_the_first_fetch(tmp_path, monkeypatch):
    kept(61, tmp_path, monkeypatch)
    monkeypatch.setitem(openml.SETS, "mushroom", openml.Known("iris", 61, (150, 4, 3)))
    load("mushroom", cache=tmp_path)
    record = tmp_path / "scikit_learn/mushroom.sha256.json"
    content = json.loads(record.read_text())
    assert content["source"] == "OpenML (id 61)" and len(content["sha256"]) == 64
    assert [x.name for x in record.parent.iterdir() if x.is_file()] == [record.name]
    before = record.read_bytes()
    load("mushroom", cache=tmp_path)
    assert record.read_bytes() == before

    datasets = pytest.importorskip("sklearn.datasets")
    real = datasets.fetch_openml
    changes = {
        "a feature": lambda bunch: bunch.data.__setitem__((149, 3), 1.75),
        "a label": lambda bunch: bunch.target.__setitem__(0, "Iris-virginica"),
        "a name": lambda bunch: bunch.feature_names.reverse(),
    }
    for change in changes.values():

        def changed(change=change, **options):
            bunch = real(**options)
            change(bunch)
            return bunch

        monkeypatch.setattr(datasets, "fetch_openml", changed)
        with pytest.raises(DataSetError, match="is not what it was when it was first fetched"):
            load("mushroom", cache=tmp_path)
    monkeypatch.setattr(datasets, "fetch_openml", real)
    load("mushroom", cache=tmp_path)
    record.write_text("{")
    with pytest.raises(DataSetError, match=f"cannot be read from {record}.*remove that file"):
        load("mushroom", cache=tmp_path)


def test_a_checksum_that_cannot_be_kept_costs_a_warning_only(tmp_path, monkeypatch):
    kept(61, tmp_path, monkeypatch)
    monkeypatch.setitem(openml.SETS, "mushroom", openml.Known("iris", 61, (150, 4, 3)))

    def full(content, file):
        raise OSError("no space left")

    monkeypatch.setattr(openml, "_keep", full)
    with pytest.warns(UserWarning, match="checksum of mushroom is not kept: no space left"):
        assert len(load("mushroom", cache=tmp_path).labels) == 150


def test_covertype_comes_from_uci(tmp_path, monkeypatch):
    datasets = pytest.importorskip("sklearn.datasets")
    utilities = pytest.importorskip("sklearn.utils")
    x = np.random.default_rng(0).normal(size=(20, 3))
    y = np.arange(20, dtype=np.int32) % 7 + 1

    def fetch_covtype(data_home):
        assert data_home == tmp_path / "scikit_learn"
        return utilities.Bunch(data=x.copy(), target=y, feature_names=["a", "b", "c"])

    monkeypatch.setattr(datasets, "fetch_covtype", fetch_covtype)
    small(monkeypatch, "covertype", (20, 3, 7))
    data = load("covertype", cache=tmp_path)
    np.testing.assert_allclose(data.features, unit_rows(x), atol=1e-7)
    np.testing.assert_array_equal(data.labels, y - 1)
    assert data.classes == tuple("1234567")
