"""Public data sets: found on disk or fetched once, verified, and read into columns.

A file is looked for where the user says, or in the cache folder, and else downloaded into it. That
folder is the environment variable REGRAX_DATA, or else regrax/data in XDG_CACHE_HOME or ~/.cache.
Files are known by checksums, so that a number computed from one means the same everywhere.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import http.client
import io
import math
import os
import urllib.request
import uuid
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

_TIMEOUT = 30.0  # seconds that a server may stay silent


class DataSetError(OSError):
    """A data set cannot be had or read; the message says what was found where, and what to do."""


class DataSet(NamedTuple):
    """What is known of a data set beforehand."""

    file: str  # its name in the cache folder
    address: str  # where it is public, at a fixed revision
    checksum: str  # "sha256:..." of the bytes, or "git:...", the name that git gives them
    numbers: tuple[str, ...]  # numeric columns
    texts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of equal length: `table["age"]` is [N], float64 or text."""

    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


SETS = {
    "medical_costs": DataSet(
        "insurance.csv",
        "https://raw.githubusercontent.com/stedy/Machine-Learning-with-R-datasets/"
        "d20658ec6d336af2d4ddb5fd72b6f677dd46136e/insurance.csv",
        "sha256:505c1cbc2e63d0363bac59501563df2530aadf4cdb9cfee226f4ef32f5468281",
        ("age", "bmi", "children", "charges"),
        ("sex", "smoker", "region"),
    ),
    "adult_income": DataSet(
        "adult_reconstruction.csv",
        "https://raw.githubusercontent.com/socialfoundations/folktables/"
        "ebace19d8065efc43589f0067bf183398eb156b9/adult_reconstruction.csv",
        "git:966f1688990dd1e8183e9c2778e1221f260ba455",
        ("hours-per-week", "age", "capital-gain", "capital-loss", "education-num", "income"),
        ("workclass", "education", "marital-status", "relationship", "native-country")
        + ("occupation", "race", "sex"),
    ),
}


def medical_costs(path: str | Path | None = None, verify: bool = True) -> Table:
    """Medical charges of 1,338 insured: age, sex, bmi, children, smoker, region, charges.

    From Lantz, "Machine learning with R", 2013, as published on GitHub in
    stedy/Machine-Learning-with-R-datasets. For arguments and errors see `load`.
    """
    return load("medical_costs", path, verify=verify)


def adult_income(path: str | Path | None = None, verify: bool = True) -> Table:
    """Incomes, as numbers, of 49,531 adults in the census of 1994, with 13 attributes.

    A reconstruction of UCI Adult from IPUMS CPS: Ding, Hardt, Miller and Schmidt, "Retiring Adult:
    new datasets for fair machine learning", NeurIPS 2021, as published in
    socialfoundations/folktables on GitHub. For replication only; not to be passed on (its terms).
    For arguments and errors see `load`.
    """
    return load("adult_income", path, verify=verify)


def load(
    name: str,
    path: str | Path | None = None,
    cache: str | Path | None = None,
    verify: bool = True,
) -> Table:
    """A data set by name ("medical_costs", "adult_income").

    Args:
      path: the file, if you have it; nothing is downloaded then.
      cache: the folder that downloads are kept in, if not the one named above.
      verify: False takes the file at `path` as it is, though its bytes are not the published ones.

    A file in the cache that does not verify is renamed, with a warning, and fetched again.

    Raises:
      ValueError: no such data set.
      DataSetError: the file is not there and could not be downloaded, is another one than expected,
        or is not a table with the columns of this set.
    """
    if name not in SETS:
        raise ValueError(f"no data set is called {name!r}: there are {', '.join(SETS)}")
    data_set = SETS[name]
    if path is None:
        file = (_cache_folder() if cache is None else Path(cache)) / data_set.file
        content, source = _cached(file, name, data_set)
    else:
        content, source = _given(Path(path), name, data_set, verify), str(path)
    return parse(content, data_set, source)


def parse(content: bytes, data_set: DataSet, source: str) -> Table:
    """The columns of a data set, read from CSV with a header; other columns are left out.

    Raises:
      DataSetError: a column that is missing or there twice, a row of another length, an entry that
        is not a finite number where one belongs, no rows.
    """
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header, *rows = [(lines.line_num, row) for row in lines if row] or [(0, [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataSetError(f"{source} is not a CSV file in UTF-8: {error}") from error
    names, wanted = header[1], (*data_set.numbers, *data_set.texts)
    for column in wanted:
        if names.count(column) != 1:
            raise DataSetError(
                f"{source} has {names.count(column)} columns {column!r}, and needs exactly one: "
                f"its header is {', '.join(names)}; expected are {', '.join(wanted)}"
            )
    if not rows:
        raise DataSetError(f"{source} has a header and no rows")
    for line, row in rows:
        if len(row) != len(names):
            raise DataSetError(
                f"{source}, line {line}: {len(row)} entries, where the header has {len(names)}"
            )
    columns = {}
    for place, column in enumerate(names):
        if column in data_set.numbers:
            numbers = [_number(row[place], column, line, source) for line, row in rows]
            columns[column] = np.array(numbers, np.float64)
        elif column in data_set.texts:
            columns[column] = np.array([row[place] for _, row in rows])
    return Table(columns)


def _number(entry: str, column: str, line: int, source: str) -> float:
    try:
        number = float(entry)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataSetError(f"{source}, line {line}, column {column!r}: {entry!r} is not a number")
    return number


# ---- files and downloads -------------------------------------------------------------------


def _cache_folder() -> Path:
    if chosen := os.environ.get("REGRAX_DATA"):
        return Path(chosen)
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "regrax" / "data"


def _checksum(content: bytes, kind: str) -> str:
    if kind == "git":  # git names a file by its length and its bytes
        head = b"blob %d\0" % len(content)
        return f"git:{hashlib.sha1(head + content, usedforsecurity=False).hexdigest()}"
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _difference(content: bytes, data_set: DataSet) -> str | None:
    """How a file differs from the published one; None where it does not."""
    found = _checksum(content, data_set.checksum.partition(":")[0])
    return None if found == data_set.checksum else f"expected {data_set.checksum}, found {found}"


def _given(path: Path, name: str, data_set: DataSet, verify: bool) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataSetError(
            f"cannot read {path}, given as the data set {name!r}: {error}"
        ) from error
    if verify and (difference := _difference(content, data_set)):
        raise DataSetError(
            f"{path} is not the published {data_set.file} of {name!r}: checksum {difference}. "
            f"If it is the file you mean, say verify=False"
        )
    return content


def _cached(file: Path, name: str, data_set: DataSet) -> tuple[bytes, str]:
    """The bytes of a file in the cache, fetched if need be, and where they are from."""
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        content = None
    except OSError as error:
        raise DataSetError(f"cannot read {file}: {error}; or give path=") from error
    if content is not None:
        difference = _difference(content, data_set)
        if difference is None:
            return content, str(file)
        _set_aside(file, difference)
    content = _downloaded(file, name, data_set)
    try:
        _keep(content, file)
    except OSError as error:
        warnings.warn(f"{data_set.address} is not kept: {error}", stacklevel=3)
    return content, data_set.address


def _downloaded(file: Path, name: str, data_set: DataSet) -> bytes:
    remedy = "Put the file there, give path=, or name the folder that has it in REGRAX_DATA"
    try:
        with urllib.request.urlopen(data_set.address, timeout=_TIMEOUT) as answer:
            content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise DataSetError(
            f"the data set {name!r} is not at {file}, and could not be downloaded from "
            f"{data_set.address}: {error}. {remedy}"
        ) from error
    if difference := _difference(content, data_set):
        raise DataSetError(
            f"the data set {name!r} is not at {file}, and what {data_set.address} sends is another "
            f"file: checksum {difference}. {remedy}"
        )
    return content


def _keep(content: bytes, file: Path) -> None:
    """Write under a temporary name and rename: the file is there whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _set_aside(file: Path, difference: str) -> None:
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    try:
        os.rename(file, aside)
    except OSError as error:
        raise DataSetError(
            f"{file} is damaged (checksum {difference}) and cannot be renamed: {error}. Remove it, "
            f"or give path="
        ) from error
    warnings.warn(
        f"{file} is not used: checksum {difference}. It is now {aside.name}, and fetched again",
        stacklevel=4,
    )
