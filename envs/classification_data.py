"""Classification sets, by name or from a file of one's own, made ready for bandits.

All sets are prepared in one way, that of the public programs of neural contextual bandits: a
missing entry is -1, every row is scaled to length 1 (a row of zeros stays), and classes are
numbered from 0 in sorted order. Categories of a feature are numbered in sorted order of those that
occur. Numbers are sorted as numbers, everything else as text.

Where a set comes from does not change its features, but may its classes: in one copy of shuttle
they have names, in another numbers, and the arms of a bandit are then numbered otherwise.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.checks import whole
from . import examples, openml
from .datasets import DataSetError, _cache_folder
from .examples import Examples

BUNDLED = ("digits", "breast_cancer", "wine", "iris")  # in scikit-learn itself


class Classification(NamedTuple):
    """N examples of K classes, in the order of their file."""

    features: np.ndarray  # [N, d] float32; rows of length 1, or zero
    labels: np.ndarray  # [N] int32, from 0 to K - 1
    classes: tuple[str, ...]  # [K] names
    name: str


def load(name: str, rows: int | None = None, cache: str | Path | None = None) -> Classification:
    """A public classification set by name.

    | name | examples | features | classes | from |
    |---|---|---|---|---|
    | digits | 1,797 | 64 | 10 | scikit-learn, as installed |
    | breast_cancer | 569 | 30 | 2 | scikit-learn |
    | wine | 178 | 13 | 3 | scikit-learn |
    | iris | 150 | 4 | 3 | scikit-learn |
    | mushroom | 8,124 | 22 | 2 | OpenML 24 |
    | MagicTelescope | 19,020 | 10 | 2 | OpenML 1120 |
    | shuttle | 58,000 | 9 | 7 | OpenML 40685 |
    | letter | 20,000 | 16 | 26 | OpenML 6 |
    | fashion | 70,000 | 784 | 10 | OpenML 40996, Fashion-MNIST |
    | plants | 1,600 | 64 | 100 | OpenML 1491, one-hundred-plants-margin |
    | mnist | 70,000 | 784 | 10 | OpenML 554, mnist_784 |
    | covertype | 581,012 | 54 | 7 | UCI |
    | adult | 48,842 | 14 | 2 | OpenML 1590 |
    | isolet | 7,797 | 617 | 26 | OpenML 300 |

    For a set of OpenML or UCI a file `<name>.csv` or `<name>.parquet` in the data folder comes
    first, or in a folder `<name>` there; capitals and punctuation do not matter. Where our own
    numbers were computed from another CSV file, there is a warning. Else scikit-learn fetches the
    set once and keeps it in the data folder (see `openml`). That folder is the environment
    variable REGRAX_DATA, or else regrax/data in XDG_CACHE_HOME or ~/.cache.

    Args:
      rows: take so many examples only, drawn at random, the same ones always.
      cache: the data folder, if not the one named above.

    Raises:
      ValueError: no such set, or more rows than it has.
      DataSetError: the set cannot be had or read, or does not have the shape above.
    """
    name = _known(name)
    if name in BUNDLED:
        data = _prepared(_bundled(name), name)
    else:
        found = _found(name, _cache_folder() if cache is None else Path(cache))
        data = _prepared(_without_id(found, name), name)
        _check_shape(data, found.source)
    if rows is None:
        return data
    rows = whole("rows", rows, high=len(data.labels))
    chosen = np.sort(np.random.RandomState(0).permutation(len(data.labels))[:rows])
    return data._replace(features=data.features[chosen], labels=data.labels[chosen])


def read(path: str | Path, label: str | None = None, name: str | None = None) -> Classification:
    """A classification set from a file: CSV in UTF-8 with a header, or Parquet.

    A column with an entry that is not a number is one of categories. An entry that is empty or "?"
    is missing, and so is a NaN among numbers.

    Args:
      label: the column of classes, by default the one called "label", or else the last.
      name: what to call the set, by default as the file.

    Raises:
      DataSetError: the file cannot be read, has no such column, a row of another length, an
        infinite number, a missing label, numbers as labels that are not whole, fewer than two
        classes, no rows, no features.
    """
    path = Path(path)
    return _prepared(examples.read(path, label), path.stem if name is None else name)


# ---- one way of preparing ------------------------------------------------------------------


def _prepared(found: Examples, name: str) -> Classification:
    features = found.features
    if not features.size:
        what = "rows" if found.columns else f"columns beside {found.label!r}"
        raise DataSetError(f"{found.source} has no {what}")
    for row, column in np.argwhere(np.isinf(features))[:1]:
        raise DataSetError(
            f"{found.source}, {found.place(int(row))}, column {found.columns[column]!r}: "
            f"{features[row, column]} is not a finite number"
        )
    labels, classes = _numbered(found)
    features[np.isnan(features)] = -1  # in place: a large set is not held twice
    largest = np.maximum(features.max(axis=1), -features.min(axis=1))[:, None]
    features /= np.where(largest > 0, largest, 1)  # first: squares then do not overflow
    length = np.sqrt(np.einsum("nd,nd->n", features, features))[:, None]
    features /= np.where(length > 0, length, 1)
    return Classification(features.astype(np.float32), labels, classes, name)


def _numbered(found: Examples) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels from 0 to K - 1, and the names of the classes."""
    texts, first, codes = np.unique(found.labels, return_index=True, return_inverse=True)
    texts = texts.tolist()
    values = examples.values(texts)
    for wrong, problem in (
        (np.isnan(values), "is missing"),
        (np.isinf(values), "is not a finite number"),
        (values != np.rint(values), "is neither a name nor a whole number"),
    ):
        if wrong.any():
            row = int(np.min(first[wrong]))
            raise DataSetError(
                f"{found.source}, {found.place(row)}, column {found.label!r}: the label "
                f"{str(found.labels[row])!r} {problem}"
            )
    distinct, order = np.unique(values, return_inverse=True)  # "1" and "1.0" are one class
    if len(distinct) == 1:
        raise DataSetError(
            f"{found.source}: every label in column {found.label!r} is {texts[0]!r}, and a "
            f"classification has two classes at least"
        )
    numbers = all(map(examples.is_number, texts))
    names = [str(int(x)) for x in distinct] if numbers else texts  # np.unique has sorted the texts
    return order[codes].astype(np.int32), tuple(names)


# ---- sets by name --------------------------------------------------------------------------


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _known(name: str) -> str:
    names = {_plain(x): x for x in (*BUNDLED, *openml.SETS)}
    names |= {_plain(known.name): x for x, known in openml.SETS.items()}
    plain = _plain(str(name))
    if plain not in names:
        close = [names[x] for x in difflib.get_close_matches(plain, names, n=1)]
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"no classification set is called {name!r}{hint}: there are "
            f"{', '.join((*BUNDLED, *openml.SETS))}; `read` takes a file of your own"
        )
    return names[plain]


def _bundled(name: str) -> Examples:
    try:
        bunch = getattr(openml.installed(), f"load_{name}")()
    except DataSetError as error:
        raise DataSetError(f"the data set {name!r} is a part of scikit-learn: {error}") from error
    labels = np.array([str(x) for x in bunch.target_names])[bunch.target]
    return Examples(bunch.data, tuple(bunch.feature_names), labels, f"scikit-learn's {name}")


def _found(name: str, folder: Path) -> Examples:
    """A set from a file in the data folder, or else as scikit-learn fetches it."""
    file = _file(name, folder)
    if file is not None:
        _compare(file, name)
        return examples.read(file)
    try:
        return openml.fetch(name, folder / "scikit_learn")
    except DataSetError as error:
        raise DataSetError(
            f"the data set {name!r} is not in {folder} (looked for {name}.csv and {name}.parquet, "
            f"there and in a folder {name}), and {error}. Or put the file there, or name the "
            f"folder that has it in REGRAX_DATA"
        ) from error


def _file(name: str, folder: Path) -> Path | None:
    names = {_plain(name), _plain(openml.SETS[name].name)}
    try:
        files = sorted(folder.iterdir())
        for own in [x for x in files if x.is_dir() and _plain(x.name) in names]:
            files += sorted(own.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataSetError(f"cannot look for the data set {name!r}: {error}") from error
    fitting = [x for x in files if x.suffix.lower() in (".csv", ".parquet") and x.is_file()]
    return next((x for x in fitting if _plain(x.stem) in names), None)


def _compare(file: Path, name: str) -> None:
    recorded = openml.SETS[name].file
    if recorded is None or file.suffix.lower() != ".csv":
        return
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != recorded:
        warnings.warn(
            f"{file} is not the recorded copy of {name}, and numbers computed from it may not be "
            f"those that were published: expected sha256:{recorded}, found sha256:{found}",
            stacklevel=4,
        )


def _without_id(found: Examples, name: str) -> Examples:
    """Some copies number their rows in a column "ID", which is no feature."""
    keep = [i for i, column in enumerate(found.columns) if column.lower() != "id"]
    if not len(found.columns) > len(keep) == openml.SETS[name].shape[1]:
        return found
    columns = tuple(found.columns[i] for i in keep)
    return found._replace(features=found.features[:, keep], columns=columns)


def _check_shape(data: Classification, source: str) -> None:
    found = (*data.features.shape, len(data.classes))
    expected = openml.SETS[data.name].shape
    if found != expected:
        raise DataSetError(
            f"{source} is not the data set {data.name!r}: it has {found[0]} rows, {found[1]} "
            f"features and {found[2]} classes, expected are {expected[0]}, {expected[1]} and "
            f"{expected[2]}; `read` takes any file"
        )
