"""How DP-BAI divides its budget: the arms left in each phase, and the pulls of an arm.

Reconstruction: the paper's equations for the schedule, and for the part of the budget that is
divided among the phases, were not available. Where recollections of them differ both forms are
here; on the instance of the paper's experiment they are one.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np

from ...names import did_you_mean

Variant = Literal["V2", "V1"]
Rounding = Literal["safe", "paper"]


def check_choices(variant: str, rounding: str) -> None:
    """Raises ValueError unless there are a variant and a rounding of these names."""
    choices = ("schedule", variant, Variant), ("rounding", rounding, Rounding)
    for what, name, options in choices:
        if name not in get_args(options):
            known = did_you_mean(str(name), get_args(options))
            raise ValueError(f"no {what} of DP-BAI is called {name!r}: {known}")


class Phases(NamedTuple):
    """sizes: s_1 = K, ..., s_M, s_(M+1) = 1, the arms in each phase and after the last.
    shrinking: M_1, the number of phases before arms are halved."""

    sizes: tuple[int, ...]
    shrinking: int


def phases(num_arms: int, dimension: int, variant: Variant = "V2") -> Phases:
    """The phases of DP-BAI for K arms in d dimensions.

    The number of arms above ceil(d^2 / 4), h, goes to ceil((h + 1) / lambda) - 1 with every phase,
    lambda >= 2 being the least number with lambda^(ln d) >= h at the start; once it is 0, the
    ceil(d^2 / 4) arms or fewer are halved, rounding up, until one is left. "V2" goes from h > 0
    directly to the half of these, "V1" has a phase with all of them in between. In one dimension no
    lambda is large enough, and there is one phase.

    Args:
      num_arms: K, 2 or more.
      dimension: d, 1 or more.
    """
    core = math.ceil(dimension**2 / 4)
    above = [max(num_arms - core, 0)]
    shrink = max(2.0, above[0] ** (1 / math.log(dimension))) if dimension > 1 else math.inf
    while above[-1] > 0:
        above.append(max(math.ceil((above[-1] + 1) / shrink), 1) - 1)
    halved = [min(num_arms, core)]
    while halved[-1] > 1:
        halved.append(-(-halved[-1] // 2))
    first = [core + h for h in above[:-1]]
    if variant == "V1":
        return Phases((*first, *halved), len(first))
    first = first or halved[:1]
    return Phases((*first, *(halved[1:] or [1])), len(first))


def removed(
    num_arms: int,
    dimension: int,
    variant: Variant = "V2",
    rounding: Rounding = "safe",
    max_det: bool = True,
) -> int:
    """T - T': pulls kept back for rounding up, T' being divided evenly among the phases.

    "safe": of every phase the most arms that it may pull, min(s_p, d^2), or s_p without Max-Det
    phases; rounding up costs fewer, so T is never exceeded. "paper": M_1 d plus the sum of
    ceil(d^2 / 2^(p - M_1 + 1)) over the later phases, as the authors have it if memory serves;
    where a phase p <= M_1 pulls all its arms, up to s_p - d pulls more than T may be made.
    """
    sizes, shrinking = phases(num_arms, dimension, variant)
    square = dimension**2
    if rounding == "safe":
        return sum(min(s, square) if max_det else s for s in sizes[:-1])
    later = range(1, len(sizes) - shrinking)
    return shrinking * dimension + sum(-(-square // 2 ** (i + 1)) for i in later)


def pulls(
    num_arms: int,
    dimension: int,
    budget: int,
    variant: Variant = "V2",
    rounding: Rounding = "safe",
    max_det: bool = True,
) -> np.ndarray:
    """Pulls of each arm that is pulled, [M, d + 1] int32: column j where the arms of a basis of j
    dimensions are, ceil(T' / (M j)), and column 0 where all active arms are, ceil(T' / (M s_p)).

    Args:
      budget: T, more than `removed`.
    """
    sizes = phases(num_arms, dimension, variant).sizes[:-1]
    left = budget - removed(num_arms, dimension, variant, rounding, max_det)
    arms = np.array([[s, *range(1, dimension + 1)] for s in sizes], np.int64)
    return (-(-left // (len(sizes) * arms))).astype(np.int32)


def most_pulls(table: np.ndarray, sizes: tuple[int, ...], max_det: bool = True) -> int:
    """The most pulls in all that the pulls of `pulls` can come to, whatever spans the arms have."""
    return sum(
        max(int(row[j]) * (j or size) for j in branches(size, len(row) - 1, max_det))
        for row, size in zip(table, sizes, strict=False)
    )


def branches(size: int, dimension: int, max_det: bool = True) -> list[int]:
    """The ways that a phase of so many arms may go: j > 0 where the arms span j <= sqrt(s)
    dimensions and a basis of them is pulled, 0 where they span more and all are pulled."""
    spans = range(1, min(size, dimension) + 1)
    return sorted({j if max_det and j * j <= size else 0 for j in spans})
