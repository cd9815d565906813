"""Checks of arguments that several parts share; each says what was wrong and what was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def whole(name: str, value: Any, low: int = 1, high: int = 2**31 - 1) -> int:
    """`value` as an int; accepts 1e5 and NumPy integers."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != value or not low <= whole <= high:
        raise ValueError(f"{name} is a whole number from {low} to {high}, got {value!r}")
    return whole


def seed_indices(seeds: int | range | Sequence[int]) -> np.ndarray:
    if not isinstance(seeds, range | Sequence | np.ndarray):
        return np.arange(whole("seeds", seeds), dtype=np.int64)
    is_range = isinstance(seeds, range)
    indices = np.arange(seeds.start, seeds.stop, seeds.step) if is_range else np.asarray(seeds)
    if indices.ndim != 1 or not len(indices) or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"seeds is a count or a non-empty list of indices, got {seeds!r}")
    if indices.min() < 0 or indices.max() > 2**32 - 1:
        raise ValueError(f"seed indices lie in [0, 2^32), got {indices.min()} to {indices.max()}")
    return indices.astype(np.int64)


def checkpoint_rounds(checkpoints: Sequence[int] | None, horizon: int) -> np.ndarray:
    if checkpoints is None:
        return log_checkpoints(horizon)
    stops = np.asarray(checkpoints)
    fits = stops.ndim == 1 and len(stops) and np.all(stops == np.rint(stops))
    if not fits or stops.min() < 1 or stops.max() > horizon or np.any(np.diff(stops) <= 0):
        raise ValueError(
            f"checkpoints are increasing rounds from 1 to the horizon {horizon}, "
            f"got {checkpoints!r}"
        )
    return stops.astype(np.int64)


def log_checkpoints(horizon: int, per_decade: int = 10) -> np.ndarray:
    """About `per_decade` rounds a decade, log-spaced from 1 to `horizon`, both included."""
    count = max(2, round(np.log10(max(horizon, 1)) * per_decade) + 1)
    return np.unique(np.rint(np.geomspace(1, horizon, count)).astype(np.int64))
