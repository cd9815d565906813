"""Examples with labels as they are found: tables in CSV or Parquet, and what their entries say.

Numbers are read as Python reads them, so a file gives the same features everywhere.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .datasets import DataSetError

_MISSING = ("", "?")


class Examples(NamedTuple):
    """N examples with d features, in the order of their source."""

    features: np.ndarray  # [N, d] float64; NaN where missing
    columns: tuple[str, ...]  # [d] names
    labels: np.ndarray  # [N] text; "" or "?" where missing
    source: str  # a file, or where else they are from
    label: str = "target"  # name of the labels' column
    lines: Sequence[int] = ()  # [N] of the file; by default there are none, and rows count from 1

    def place(self, row: int) -> str:
        """Where a row stands in the source."""
        return f"line {self.lines[row]}" if len(self.lines) else f"row {row + 1}"


def is_number(entry: str) -> bool:
    try:
        float(entry)
    except ValueError:
        return False
    return True


def values(entries: Sequence[str]) -> np.ndarray:
    """Numbers for the distinct entries of a column: what they say if all are numbers, else their
    places in sorted order; NaN for one that is missing, empty or "?"."""
    known = [entry for entry in entries if entry not in _MISSING]
    if all(map(is_number, known)):
        numbers = {entry: float(entry) for entry in known}
    else:
        numbers = {entry: float(place) for place, entry in enumerate(sorted(known))}
    return np.array([numbers.get(entry, np.nan) for entry in entries])


def read(path: Path, label: str | None = None) -> Examples:
    """The table in a file: CSV in UTF-8 with a header, or Parquet.

    Args:
      label: the column of labels, by default the one called "label", or else the last.

    Raises:
      DataSetError: the file cannot be read, has no such column or two, or a row of another length.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise DataSetError(f"{path} is neither a .csv nor a .parquet file")
    try:
        return (_read_csv if kind == ".csv" else _read_parquet)(path, label)
    except DataSetError:
        raise
    except (OSError, ValueError) as error:
        raise DataSetError(f"cannot read {path}: {error}") from error


def _place(names: Sequence[str], label: str | None, path: Path) -> int:
    """Where the labels' column is."""
    if label is None:
        label = "label" if "label" in names or not names else names[-1]
    if names.count(label) != 1:
        raise DataSetError(
            f"{path} has {names.count(label)} columns {label!r}, and needs exactly one for the "
            f"labels: its columns are {', '.join(names)}"
        )
    return names.index(label)


def _encoded(entries: Sequence[str]) -> np.ndarray:
    distinct, codes = np.unique(np.array(entries, str), return_inverse=True)
    return values(distinct.tolist())[codes]


def _read_csv(path: Path, label: str | None) -> Examples:
    """Numbers in one go; where there are columns of categories, these in a second."""
    rows = _rows(path)
    _, names = next(rows)
    at = _place(names, label, path)
    label = names.pop(at)
    numbers, labels, lines, categorical = array("d"), [], array("q"), set()
    for line, row in rows:
        lines.append(line)
        labels.append(row.pop(at))
        try:
            numbers.extend([*map(float, row)])
        except ValueError:
            for i, entry in enumerate(row):
                numbers.append(float(entry) if is_number(entry) else np.nan)
                if not is_number(entry) and entry not in _MISSING:
                    categorical.add(i)
    features = np.asarray(numbers).reshape(len(lines), len(names))
    if categorical:
        where = {i: i + (i >= at) for i in categorical}  # the label is in its place again
        rows = [[row[place] for place in where.values()] for _, row in _rows(path)]
        for i, column in zip(where, zip(*rows[1:], strict=True), strict=True):
            features[:, i] = _encoded(column)
    return Examples(features, tuple(names), np.array(labels, str), str(path), label, lines)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The header of a CSV file and its rows, each with the line on which it ends."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True, skipinitialspace=True)
        try:
            names = next(rows, [])
            yield 1, names.copy()
            for row in filter(None, rows):
                if len(row) != len(names):
                    raise DataSetError(
                        f"{path}, line {rows.line_num}: {len(row)} entries, where the header has "
                        f"{len(names)}"
                    )
                yield rows.line_num, row
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataSetError(f"{path} is not a CSV file in UTF-8: {error}") from error


def _read_parquet(path: Path, label: str | None) -> Examples:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise DataSetError(
            f"cannot read {path}: Parquet files need pyarrow, which is not installed: "
            f"pip install pyarrow, or save the table as CSV"
        ) from error
    names = [str(name) for name in frame.columns]
    at = _place(names, label, path)
    label = names.pop(at)
    labels = _texts(frame.iloc[:, at])
    frame = frame.iloc[:, [i for i in range(len(names) + 1) if i != at]]
    features = np.empty(frame.shape)
    for i in range(len(names)):
        column = frame.iloc[:, i]
        if pd.api.types.is_numeric_dtype(column):
            features[:, i] = column.to_numpy(np.float64, na_value=np.nan)
        else:
            features[:, i] = _encoded(_texts(column))
    return Examples(features, tuple(names), np.array(labels, str), str(path), label)


def _texts(column: Any) -> list[str]:
    return ["" if missing else str(x) for x, missing in zip(column, column.isna(), strict=True)]
