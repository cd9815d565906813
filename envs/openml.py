"""Public classification sets from OpenML, fetched and kept by scikit-learn.

What scikit-learn downloads it checks against OpenML's md5, where there is one, and keeps. Of what
it decodes, the SHA-256 is written beside that at the first fetch, and held against it ever after:
trust on first use. So a number computed from a data set means the same from then on.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .datasets import DataSetError, _keep
from .examples import Examples, values


class Known(NamedTuple):
    """What is known of a data set beforehand."""

    name: str  # at OpenML
    number: int | None  # its id there; None: from UCI, by `sklearn.datasets.fetch_covtype`
    shape: tuple[int, int, int]  # examples, features, classes
    file: str | None = None  # SHA-256 of the CSV file that our own numbers were computed from


# Ids of one version each. That of shuttle is from memory, and so is which of three "plants" it is.
SETS = {
    "mushroom": Known(
        "mushroom",
        24,
        (8124, 22, 2),
        "e3e3f99e4213f2ca328009f6b67ae57d5529099704d4613548b2aedc6e055eb4",
    ),
    "MagicTelescope": Known(
        "MagicTelescope",
        1120,
        (19020, 10, 2),
        "4fc287f754444cbd2444f36d55ef2c6939feb57afeffeb5d06a41cf603cda8d4",
    ),
    "shuttle": Known(
        "shuttle",
        40685,
        (58000, 9, 7),
        "53ac721fdb7e1e8f348ce4027bef82f6e1a22e7de6340fadf07f58a05273019f",
    ),
    "letter": Known(
        "letter",
        6,
        (20000, 16, 26),
        "0c313226fe712bd9373d1c4301e0cb7f0e7abf651bdff0f04190b46c0f3edb34",
    ),
    "fashion": Known("Fashion-MNIST", 40996, (70000, 784, 10)),
    "plants": Known("one-hundred-plants-margin", 1491, (1600, 64, 100)),
    "mnist": Known("mnist_784", 554, (70000, 784, 10)),
    "covertype": Known("covertype", None, (581012, 54, 7)),
    "adult": Known("adult", 1590, (48842, 14, 2)),
    "isolet": Known("isolet", 300, (7797, 617, 26)),
}


def installed() -> Any:
    """The module `sklearn.datasets`.

    Raises:
      DataSetError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DataSetError("scikit-learn is not installed: pip install 'regrax[data]'") from error
    return datasets


def fetch(name: str, folder: Path) -> Examples:
    """The data set `SETS[name]`, from `folder` or else from the network and kept there.

    Categories are numbered as in a file (`examples.values`), not as at OpenML.

    Raises:
      DataSetError: scikit-learn is not installed, the data cannot be had, or they are not what they
        were at the first fetch.
    """
    known, datasets = SETS[name], installed()
    source = "UCI" if known.number is None else f"OpenML (id {known.number})"
    try:
        if known.number is None:
            bunch = datasets.fetch_covtype(data_home=folder)
        else:
            bunch = datasets.fetch_openml(
                data_id=known.number, as_frame=False, parser="liac-arff", data_home=folder
            )
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataSetError(f"scikit-learn cannot fetch it from {source}: {error}") from error
    features = np.asarray(bunch.data, np.float64)
    columns = tuple(map(str, bunch.feature_names))
    labels = np.array(["" if x is None else str(x) for x in bunch.target.tolist()])
    categories = {str(x): list(map(str, y)) for x, y in (bunch.get("categories") or {}).items()}
    found = _checksum([columns, categories, labels.tolist()], features)
    _check_same(found, name, folder / f"{name}.sha256.json", source)
    for i, column in enumerate(columns):
        if column in categories:
            there = ~np.isnan(features[:, i])
            seen, codes = np.unique(features[there, i].astype(int), return_inverse=True)
            features[there, i] = values([categories[column][x] for x in seen])[codes]
    return Examples(features, columns, labels, f"{known.name} of {source}")


def _checksum(texts: list, features: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(features, "<f8").data)
    return digest.hexdigest()


def _check_same(found: str, name: str, file: Path, source: str) -> None:
    from sklearn import __version__ as version

    try:
        recorded = json.loads(file.read_bytes())["sha256"]
    except FileNotFoundError:
        record = {"name": name, "source": source, "sha256": found, "scikit-learn": version}
        try:
            _keep(json.dumps(record, indent=1).encode(), file)
        except OSError as error:
            warnings.warn(f"the checksum of {name} is not kept: {error}", stacklevel=2)
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataSetError(
            f"the checksum of {name} cannot be read from {file} ({error!r}): remove that file to "
            f"trust the data as they are"
        ) from error
    if recorded != found:
        raise DataSetError(
            f"{name} of {source} is not what it was when it was first fetched: {file} has "
            f"sha256:{recorded}, found sha256:{found} with scikit-learn {version}. Remove the "
            f"folder {file.parent} to fetch everything again"
        )
