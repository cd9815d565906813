"""Checks of a learner's parameters, with errors that say what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..protocol import concrete


def require(learner: Any, name: str, holds: Callable[[np.ndarray], Any], what: str) -> None:
    """Check a parameter that has a value by now.

    Raises:
      ValueError: `holds` is not true of it, or it is not finite.
    """
    value = concrete(getattr(learner, name))
    if value is not None and not _all_finite_and(holds, value):
        raise ValueError(f"{type(learner).__name__}: {name} is {what}, got {value}")


def require_pair(learner: Any, name: str, holds: Callable[[np.ndarray], Any], what: str) -> None:
    """Check a static parameter that is a pair of numbers, and make it a tuple of floats: a list
    could not be hashed.

    Raises:
      ValueError: not two finite numbers of which `holds` is true.
    """
    given = getattr(learner, name)
    value = concrete(given)
    if value is None or value.shape != (2,) or not _all_finite_and(holds, value):
        raise ValueError(f"{type(learner).__name__}: {name} is a pair of {what}, got {given!r}")
    object.__setattr__(learner, name, tuple(float(x) for x in value))


def _all_finite_and(holds, value):
    return value.dtype.kind in "fiub" and np.all(np.isfinite(value)) and np.all(holds(value))


def filled(learner: Any, name: str) -> Any:
    """A parameter that `simulate` fills in when it is left blank.

    Raises:
      ValueError: it is still blank.
    """
    value = getattr(learner, name)
    if value is None:
        raise ValueError(
            f"{type(learner).__name__} does not know its {name}: "
            f"run it with simulate, which fills it in, or give {name}=..."
        )
    return value


def nonnegative(x: np.ndarray) -> np.ndarray:
    return x >= 0
