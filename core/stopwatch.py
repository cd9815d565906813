"""Times of programs that do the same work, measured so that what else the machine does cancels.

One round runs every program once, in a shuffled order; ratios are formed within rounds. A busy
minute then slows both sides of a ratio, and no program always follows the same other one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Timed:
    """A program to time.

    Attributes:
      run: does the work; what it returns is waited for, and then dropped.
      prepare: makes its arguments, before the clock starts; none by default.
    """

    run: Callable[..., Any]
    prepare: Callable[[], tuple] = tuple


def in_turn(programs: Mapping[str, Timed], rounds: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Seconds of every program in every round [rounds], after one call each that is not timed."""
    rng, names = np.random.default_rng(seed), list(programs)
    found = {name: np.zeros(rounds) for name in names}
    for name in names:
        once(programs[name])
    for i in range(rounds):
        for name in rng.permutation(names):
            found[str(name)][i] = once(programs[str(name)])
    return found


def once(program: Timed) -> float:
    """Seconds of one call."""
    arguments = jax.block_until_ready(program.prepare())
    begin = time.perf_counter()
    result = jax.block_until_ready(program.run(*arguments))
    seconds = time.perf_counter() - begin
    del result
    return seconds


def ratios(base: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """How many times as quick as `base` the other program is: the median over rounds, and the
    quartiles."""
    low, middle, high = np.quantile(base / other, (0.25, 0.5, 0.75))
    return float(middle), float(low), float(high)
