"""What private learners have in common: the parameters that they are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...protocol import concrete
from ..parameters import require

_MOST = 2**31 - 1


def check_privacy(learner: Any, name: str = "epsilon") -> None:
    """Raises ValueError for a privacy parameter that is not positive; infinity means none."""
    value = concrete(getattr(learner, name))
    if value is not None and not (value.dtype.kind in "fiu" and np.all(value > 0)):
        raise ValueError(
            f"{type(learner).__name__}: {name} is positive, infinity for no privacy, got {value}"
        )


def number(x: Any) -> float | None:
    """One number, to the precision that it has on a device; None for anything else."""
    value = concrete(x)
    if value is None or value.ndim:
        return None
    return float(value) if value.dtype.kind in "iu" else float(np.float32(value))


def most(x: Any) -> int:
    """The largest of one budget or a stack of them; of unknown ones, the largest there is."""
    value = concrete(x)
    return _MOST if value is None or not value.size else int(value.max())


def require_probability(learner: Any, name: str) -> None:
    """Raises ValueError for a parameter that has a value outside (0, 1)."""
    require(learner, name, lambda x: (x > 0) & (x < 1), "a probability strictly between 0 and 1")
