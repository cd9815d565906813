"""Data sets: where files are looked for, what happens to bad ones, what is read from them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

from regrax.envs import datasets
from regrax.envs.datasets import DataSet, DataSetError

MEDICAL = Path(__file__).parents[3] / "shared/data/medical_costs/insurance.csv"
CONTENT = b"size,colour\n1,red\n2.5,\n-3e2,blue\n"
NOWHERE = "http://127.0.0.1:9/no-server"  # port 9 is refused: nobody listens


@pytest.fixture
def public(tmp_path, monkeypatch):
    """A data set "small" that is published as the file returned, and an empty cache folder."""
    published = tmp_path / "published.csv"
    published.write_bytes(CONTENT)
    checksum = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    small = DataSet("small.csv", published.as_uri(), checksum, ("size",), ("colour",))
    monkeypatch.setitem(datasets.SETS, "small", small)
    monkeypatch.setenv("REGRAX_DATA", str(tmp_path / "data"))
    return published


def republish(monkeypatch, **changes):
    monkeypatch.setitem(datasets.SETS, "small", datasets.SETS["small"]._replace(**changes))


def check(table):
    np.testing.assert_array_equal(table["size"], np.array([1, 2.5, -300]))
    np.testing.assert_array_equal(table["colour"], ["red", "", "blue"])
    assert table["size"].dtype == np.float64 and len(table) == 3


def test_a_download_is_kept_and_not_repeated(public, tmp_path):
    check(datasets.load("small"))
    assert [x.name for x in (tmp_path / "data").iterdir()] == ["small.csv"]
    public.unlink()  # from now on a download would fail
    check(datasets.load("small"))


def test_a_cache_folder_given_by_hand_comes_first(public, tmp_path):
    check(datasets.load("small", cache=tmp_path / "mine"))
    assert (tmp_path / "mine" / "small.csv").read_bytes() == CONTENT
    assert not (tmp_path / "data").exists()


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("REGRAX_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(
        datasets.SETS, "small", DataSet("small.csv", NOWHERE, "sha256:0", ("size",), ())
    )
    with pytest.raises(DataSetError) as error:
        datasets.load("small")
    assert str(tmp_path / "regrax" / "data" / "small.csv") in str(error.value)


def test_without_a_network_the_error_says_what_to_do(public, tmp_path, monkeypatch):
    republish(monkeypatch, address=NOWHERE)
    with pytest.raises(DataSetError) as error:
        datasets.load("small")
    for part in ("'small'", str(tmp_path / "data" / "small.csv"), NOWHERE, "path=", "REGRAX_DATA"):
        assert part in str(error.value)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "small.csv").write_bytes(CONTENT)
    check(datasets.load("small"))


def test_a_damaged_file_is_set_aside_and_fetched_again(public, tmp_path):
    folder = tmp_path / "data"
    for number in (1, 2):
        folder.mkdir(exist_ok=True)
        (folder / "small.csv").write_bytes(b"size,co")
        with pytest.warns(UserWarning, match=rf"now small.csv.damaged-{number}, and fetched again"):
            check(datasets.load("small"))
        assert (folder / f"small.csv.damaged-{number}").read_bytes() == b"size,co"
        assert (folder / "small.csv").read_bytes() == CONTENT


def test_another_file_at_the_address_is_refused_and_not_kept(public, tmp_path):
    public.write_bytes(CONTENT + b"4,green\n")
    found = hashlib.sha256(CONTENT + b"4,green\n").hexdigest()
    with pytest.raises(DataSetError, match=f"found sha256:{found}"):
        datasets.load("small")
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written_costs_a_warning_only(public, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(UserWarning, match="is not kept"):
        check(datasets.load("small", cache=tmp_path / "file" / "below"))


def test_a_file_of_ones_own(public, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_bytes(b"\xef\xbb\xbfid,colour,size\r\n7,red,1\r\n\r\n8,,2.5\r\n9,blue,-300\r\n")
    expected = datasets.SETS["small"].checksum
    with pytest.raises(DataSetError) as error:
        datasets.load("small", mine)
    found = f"sha256:{hashlib.sha256(mine.read_bytes()).hexdigest()}"
    assert f"expected {expected}, found {found}" in str(error.value)
    assert "verify=False" in str(error.value)
    check(datasets.load("small", mine, verify=False))
    check(datasets.load("small", public))
    with pytest.raises(DataSetError, match="cannot read .*absent.csv, given as"):
        datasets.load("small", tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"size,color\n1,red\n", "0 columns 'colour'.*header is size, color"),
        (b"size,size,colour\n1,1,red\n", "2 columns 'size'"),
        (b"", "0 columns 'size'"),
        (b"size,colour\n", "no rows"),
        (b"size,colour\n1,red\n2\n", "line 3: 1 entries, where the header has 2"),
        (b"size,colour\n1,red\n2,red,3\n", "line 3: 3 entries"),
        (b'size,colour\n1,"re\nd"\nbig,red\n', "line 4, column 'size': 'big' is not a number"),
        (b"size,colour\n,red\n", "line 2, column 'size': '' is not a number"),
        (b"size,colour\nnan,red\n", "'nan' is not a number"),
        (b'size,colour\n1,"red\n', "not a CSV file"),
        (b"size,colour\n1,r\xe9d\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_bad_table_is_refused_by_row_and_column(public, tmp_path, content, said):
    mine = tmp_path / "mine.csv"
    mine.write_bytes(content)
    with pytest.raises(DataSetError, match=said):
        datasets.load("small", mine, verify=False)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'iris': there are medical_costs, adult_income"):
        datasets.load("iris")


def test_names_that_git_gives(public, tmp_path, monkeypatch):
    """Git's own name of the bytes: from git where it is installed, and of a file that everybody
    has: the empty one."""
    empty = "git:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    republish(monkeypatch, checksum=empty)
    with pytest.raises(DataSetError, match=f"expected {empty}, found git:"):
        datasets.load("small", public)
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataSetError, match="0 columns"):  # verified, and then read
        datasets.load("small", tmp_path / "empty.csv")
    try:
        named = subprocess.run(
            ["git", "hash-object", "--no-filters", str(public)],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git is not installed")
    republish(monkeypatch, checksum=f"git:{named.stdout.strip()}")
    check(datasets.load("small", public))


def test_addresses_are_at_fixed_revisions():
    for data_set in datasets.SETS.values():
        revision = data_set.address.split("/")[-2]
        assert len(revision) == 40 and int(revision, 16)
        assert data_set.address.endswith(f"/{data_set.file}")


@pytest.mark.skipif(not MEDICAL.exists(), reason="shared/data/medical_costs is not here")
def test_medical_costs():
    table = datasets.medical_costs(MEDICAL)
    assert len(table) == 1338
    assert list(table.columns) == ["age", "sex", "bmi", "children", "smoker", "region", "charges"]
    first = [table[name][0] for name in table.columns]
    assert first == [19, "female", 27.9, 0, "yes", "southwest", 16884.924]


def test_adult_income_takes_the_columns_of_its_file(tmp_path):
    mine = tmp_path / "mine.csv"
    names = (
        "hours-per-week,age,capital-gain,capital-loss,workclass,education,education-num,"
        "marital-status,relationship,race,sex,native-country,occupation,income"
    )
    row = "20,40,0,0,Private,HS-grad,9,Divorced,Wife,White,Female,?,Sales,52000"
    mine.write_text(f"{names}\n{row}\n")
    table = datasets.adult_income(mine, verify=False)
    assert list(table.columns) == names.split(",")
    assert table["income"][0] == 52000 and table["native-country"][0] == "?"
    with pytest.raises(DataSetError, match="expected git:966f1688"):
        datasets.adult_income(mine)
