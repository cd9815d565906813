"""Cases for the audit of learners that eliminate arms with features in phases: DP-BAI and kin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import noise
from .privacy_audit import Case
from .privacy_tables import means, table, with_entry
from .transcripts import pulls_of_phases

Rows = list[list[tuple[int, float]]]


def unit_vectors(num_arms: int, dimension: int, size: float = 0.1) -> np.ndarray:
    """[K, d]: the unit vectors, which are the basis of largest determinant, then small vectors."""
    rng = np.random.default_rng(0)
    small = size * rng.uniform(0.5, 1, (num_arms - dimension, dimension))
    return np.concatenate([np.eye(dimension), small])


def phases(
    make: Callable[..., Any],
    claim: tuple[float, float],
    *,
    scale: float,
    gaps: tuple[float, float],
) -> list[Case]:
    """Cases for DP-BAI. Three instances: 12 arms in 2 dimensions, a single phase, of a basis; 3 in
    2, two phases that pull all arms; 10 in 3, a phase of a basis and later ones of all arms.

    Args:
      make: the learner at the claim, from num_arms, dimension and budget; `silent=True` asks for
        one without noise.
      claim: epsilon and delta.
      scale: of the noise of a sum.
      gaps: `privacy_tables.telling_gap` if there is half the noise that there should be, and if
        all of it is there.
    """
    near, gap = gaps
    each = _pulls(scale, gap)
    maker = _Maker(make, claim, scale)
    first = _basis(maker, each, near, gap)
    return [*first, *_all_arms(maker, each, gap), *_later(maker, each, gap)]


def least_squares(
    make: Callable[..., Any],
    claim: tuple[float, float],
    *,
    scale: float,
    gaps: tuple[float, float],
) -> list[Case]:
    """Cases for DP-OD, with arguments as for `phases`. Instances: 12 arms in 2 dimensions, a single
    phase; the same turned, so that a reward counts in two coordinates; 5 in 3, two phases."""
    near, gap = gaps
    each = _pulls(scale, gap)
    maker = _Maker(make, claim, scale)
    cases = _basis(maker, each, near, gap)
    turned = unit_vectors(12, 2) @ np.array([[1.0, 1.0], [1.0, -1.0]])
    level: Rows = [[(1, 0.6)], [(1, 0.6)], *[[(1, 0.1)]] * 10]
    maker.instance(12, 2, 12 * each + 24, level, turned)
    cases.append(maker.case("two coordinates", level))

    calm: Rows = [[(1, 0.9)], [(1, 0.9)], *[[(1, 0.1)]] * 3]
    maker.instance(5, 3, 12 * each + 24, calm)
    first, second = (int(n) for n in maker.pulls[:2, 0])
    rest = [[(first, 0.9), (second, 0.5)], *[[(1, 0.1)]] * 3]
    behind = [(first, 0.9), (second, 0.5 - gap / second)]
    return [
        *cases,
        maker.case("first of two, level", [[(1, 0.5)], [(1, 0.9)], [(1, 0.5)], *calm[3:]]),
        maker.case("second of two, behind", [behind, *rest], first),
    ]


def _pulls(scale: float, gap: float) -> int:
    """Of an arm in a phase, at least: gap and noise are to be small beside rewards in [0, 1]."""
    return math.ceil(max(24, 3 * gap, 12 * scale))


class _Maker:
    """Makes the learner and the cases of one instance after the other."""

    def __init__(self, make, claim, scale) -> None:
        self.make, self.claim, self.scale = make, claim, scale

    def instance(self, num_arms: int, dimension: int, budget: int, rows: Rows, features=None):
        """Set the instance; `pulls` are those of a run on `rows` without noise."""
        options = {"num_arms": num_arms, "dimension": dimension, "budget": budget}
        self.features = unit_vectors(num_arms, dimension) if features is None else features
        self.learner, self.budget = self.make(**options), budget
        rewards = table([[*row, (budget, row[-1][1])] for row in rows])
        silent = self.make(silent=True, **options)
        self.pulls = pulls_of_phases(silent, rewards, noise.root(0), self.features)

    def case(
        self, name: str, rows: Rows, index: int = 0, *, arm: int = 0, watch=(1,), claim=None
    ) -> Case:
        rewards = table([[*row, (1, row[-1][1])] for row in rows])
        short = max(self.budget - rewards.shape[1], 0)
        rewards = np.pad(rewards, [(0, 0), (0, short)], mode="edge")[:, : self.budget]
        epsilon, delta = self.claim if claim is None else claim
        return Case(
            name,
            self.learner,
            with_entry(rewards, arm, index),
            arm,
            index,
            1.0,
            features=self.features,
            watch=watch,
            view=means,
            epsilon=epsilon,
            delta=delta,
        )


def _basis(maker: _Maker, each: int, near: float, gap: float) -> list[Case]:
    def rows(behind):
        return [[(1, 0.6 - behind)], [(1, 0.6)], *[[(1, 0.1)]] * 10]

    maker.instance(12, 2, 12 * each + 24, rows(0.0))
    count = max(int(maker.pulls[0, 0]), 1)
    cases = [
        maker.case("one phase, level", rows(0.0)),
        maker.case("one phase, near", rows(near / count)),
        maker.case("one phase, behind", rows(gap / count)),
        maker.case("beyond all pulls", rows(0.0), maker.budget - 1, claim=(0.0, 0.0)),
    ]
    if not maker.pulls[:, 5].any():
        cases.append(maker.case("outside the basis", rows(0.0), arm=5, claim=(0.0, 0.0)))
    return cases


def _all_arms(maker: _Maker, each: int, gap: float) -> list[Case]:
    """Phases of 3 and 2 arms: arm 0 competes with arm 2 first, then with arm 1."""
    calm: Rows = [[(1, 0.8)], [(1, 0.6)], [(1, 0.1)]]
    maker.instance(3, 2, 6 * each + 12, calm)
    first, second = (max(int(n), 1) for n in maker.pulls[:2, 0])
    rest = [(first, 0.9), (second, 0.5)]
    # Behind by two and a half scales in the first phase and, if that is not forgotten, by two of
    # the mean over both phases, which has more pulls and the noise of the second alone.
    scales = 2.5, 2.0 * (first + second) / second
    late = 0.5 - (scales[1] - scales[0]) * maker.scale / second
    felt: Rows = [
        [(first, 0.5 - scales[0] * maker.scale / first), (second, late)],
        [(first, 0.9), (second, 0.5 - 0.4 * first / second)],
        [(1, 0.5)],
    ]
    return [
        maker.case("first of two, level", [[(1, 0.5)], [(1, 0.9)], [(1, 0.5)]], watch=(1, 2)),
        maker.case(
            "first of two, behind",
            [[(first, 0.5 - gap / first), (1, 0.9)], [(1, 0.9)], [(1, 0.5)]],
            watch=(1, 2),
        ),
        maker.case(
            "second of two, behind",
            [[(first, 0.9), (second, 0.5 - gap / second)], rest, [(1, 0.1)]],
            first,
            watch=(1, 2),
        ),
        maker.case("felt in both phases", felt, watch=(1, 2)),
        maker.case("in both phases ahead", [[(1, 0.95)], [(1, 0.5)], [(1, 0.1)]], watch=(1, 2)),
    ]


def _later(maker: _Maker, each: int, gap: float) -> list[Case]:
    """A basis of 3 arms of 10 first, then all of the four that are left."""
    calm: Rows = [[(1, 0.9)], [(1, 0.9)], [(1, 0.8)], *[[(1, 0.1)]] * 7]
    maker.instance(10, 3, 14 * each + 40, calm)
    if len(maker.pulls) < 2 or not maker.pulls[1, 0]:
        return []
    first, second = (int(n) for n in maker.pulls[:2, 0])

    def rows(behind):
        others = [[(first, 0.9), (second, level)] for level in (0.9, 0.5)]
        return [[(first, 0.9), (second, 0.5 - behind)], *others, *[[(1, 0.1)]] * 7]

    return [
        maker.case("after a basis, level", rows(0.0), first, watch=(2,)),
        maker.case("after a basis, behind", rows(gap / second), first, watch=(2,)),
    ]
