"""Named problems of best-arm identification, each with its source; those that every seed draws for
itself are in `drawn_arms`.

"From memory" marks what was written down without the paper at hand. Most have the best arm first,
which favours learners that break ties downwards: see `ShuffledArms`.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from .best_arm import Arms, linear_arms
from .drawn_arms import DP_BAI_FEATURES, DP_BAI_THETA

_AUDIBERT = {
    1: [0.5] + 19 * [0.4],
    2: [0.5] + 5 * [0.42] + 14 * [0.38],
    3: [0.5] + [0.5 - 0.37**i for i in (2, 3, 4)],
    4: [0.5, 0.42, 0.4, 0.4, 0.35, 0.35],
    5: [0.5] + [0.5 - 0.025 * i for i in range(2, 16)],
    6: [0.5, 0.48] + 18 * [0.37],
    7: [0.5] + 5 * [0.45] + 14 * [0.43] + 10 * [0.38],
}
_AUDIBERT_BUDGETS = {1: 2000, 2: 2000, 3: 2000, 4: 600, 5: 4000, 6: 6000, 7: 6000}
_PRIVATE = {
    "C1": [0.75, 0.7, 0.7, 0.7, 0.7],
    "C2": [0.75, 0.625, 0.5, 0.375, 0.25],
    "C3": [0.75, 0.53125, 0.375, 0.28125, 0.25],
    "C4": [0.75, 0.71875, 0.625, 0.46875, 0.25],
    "mu1": [0.95, 0.9, 0.9, 0.9, 0.5],
    "linspace": [0.0, 0.25, 0.5, 0.75, 1.0],
    "one_good": [0.8, 0.1, 0.1, 0.1, 0.1],
}


# ---- without features ----------------------------------------------------------------------


def audibert_2010(number: int) -> Arms:
    """Experiments 1 to 7: Bernoulli arms, the best of mean 1/2 first.

    Audibert, Bubeck and Munos, "Best arm identification in multi-armed bandits", COLT 2010,
    Section 6. From memory, confirmed by public code. `audibert_2010_budget` has the budgets.

    Raises:
      ValueError: no experiment of that number.
    """
    return Arms(_AUDIBERT[_one_of("audibert_2010", number, _AUDIBERT)])


def audibert_2010_budget(number: int) -> int:
    """The budget of an experiment of `audibert_2010`, from the same source."""
    return _AUDIBERT_BUDGETS[_one_of("audibert_2010", number, _AUDIBERT)]


def karnin_2013(number: int, num_arms: int = 20) -> Arms:
    """Setups 1 to 6 with 20, 40 or 80 Bernoulli arms, the best of mean 1/2 first.

    One group of other arms (1), two (2), three (3), gaps in an arithmetic (4) or a geometric (5)
    series from 1 / (5 K) to 1/4, one real competitor (6). Karnin, Koren and Somekh, "Almost optimal
    exploration in multi-armed bandits", ICML 2013, Section 5. Reconstruction, from a public
    repetition of the figure: its 18 budgets are the sums of `karnin_2013_budget` for these means
    (those of setup 5 settle that it is the gaps that are geometric).

    Raises:
      ValueError: no setup of that number, or another number of arms.
    """
    return Arms(0.5 - np.append(0.0, _karnin_gaps(number, num_arms)))


def karnin_2013_budget(number: int, num_arms: int = 20) -> int:
    """The budget of a setup of `karnin_2013`: the sum of 1 / gap^2 over the other arms, rounded
    down."""
    return math.floor(np.sum(_karnin_gaps(number, num_arms) ** -2.0) * (1 + 1e-12))


def _karnin_gaps(number, k):
    _one_of("karnin_2013", number, range(1, 7))
    if k not in (20, 40, 80):
        raise ValueError(f"karnin_2013 has 20, 40 or 80 arms: got num_arms={k!r}")
    root = math.ceil(math.sqrt(k))
    near = 1 / (5 * k)
    groups = {
        1: [(k - 1, 0.05)],
        2: [(root, 1 / (2 * k)), (k - 1 - root, 0.05)],
        3: [(5, near), (2 * root, 0.01), (k - 6 - 2 * root, 0.15)],
        6: [(1, 1 / (10 * k)), (k - 2, 0.1)],
    }
    if number in groups:
        return np.concatenate([np.full(size, gap) for size, gap in groups[number]])
    return (np.linspace if number == 4 else np.geomspace)(near, 0.25, k - 1)


def private_arms(name: str) -> Arms:
    """Five Bernoulli arms on which private learners are compared: "C1" to "C4", "mu1", "linspace"
    (from 0 to 1, the best one last), "one_good".

    C1 to C4: Sajed and Sheffet, "An optimal private stochastic-MAB algorithm based on an optimal
    private stopping rule", ICML 2019 (from memory), and with the others Azize's thesis on private
    bandits, 2024, and the code that goes with it.

    Raises:
      ValueError: no arms of that name.
    """
    return Arms(_PRIVATE[_one_of("private_arms", name, _PRIVATE)])


# ---- with features -------------------------------------------------------------------------


def dp_bai_grid() -> Arms:
    """The arms of `DPBAIPaper` with the drawn numbers w_i replaced by a grid, 0.8 k / 27 for
    k = 0 .. 26: the same in every seed, as an audit needs it. No source."""
    w = 0.8 * np.arange(27) / 27
    features = np.concatenate([DP_BAI_FEATURES, np.stack([np.ones(27), w], axis=1)])
    return linear_arms(features, DP_BAI_THETA, law="uniform")


def grid27() -> Arms:
    """27 Bernoulli arms with features (1, x), x in {0, 1/2, 1}^3 in lexicographic order, and
    theta = (0.2, 0.3, 0.2, 0.1): an elimination takes several phases. The six largest means are
    0.80, 0.75, 0.70, 0.70, 0.65, 0.65, the best one last. No source: made for tests."""
    cube = np.array(list(itertools.product([0, 0.5, 1], repeat=3)))
    features = np.concatenate([np.ones((27, 1)), cube], axis=1)
    return linear_arms(features, [0.2, 0.3, 0.2, 0.1], law="bernoulli")


def soare(dimension: int = 10, angle: float = 0.1, length: float = 2.0) -> Arms:
    """d + 1 arms: the unit vectors and (cos angle, sin angle, 0, ...), with theta = length e_1 and
    normal noise of variance 1. Only the last arm competes with the first, and pulling either says
    little about which is better.

    Soare, Lazaric and Munos, "Best-arm identification in linear bandits", NIPS 2014. In public code
    d = 10, angle 0.1, or d = 5, angle 0.01; length 2, or 1.

    Raises:
      ValueError: fewer than two dimensions, an angle outside (0, pi/2], or length not positive.
    """
    if dimension < 2 or not 0 < angle <= math.pi / 2 or not length > 0:
        raise ValueError(
            f"soare takes two dimensions or more, an angle in (0, pi/2] and a positive length: got "
            f"dimension={dimension}, angle={angle}, length={length}"
        )
    last = np.zeros((1, dimension))
    last[0, :2] = math.cos(angle), math.sin(angle)
    theta = np.zeros(dimension)
    theta[0] = length
    return linear_arms(np.concatenate([np.eye(dimension), last]), theta)


def linear_gape(gap: float, dimension: int = 16) -> Arms:
    """The d unit vectors, with theta = gap e_1 and normal noise of variance 1; in experiments d is
    16 and gap is 0.01, 0.03, 0.05, 0.1 or 0.3. Xu, Honda and Sugiyama, "A fully adaptive algorithm
    for pure exploration in linear bandits", AISTATS 2018, by way of public code.

    Raises:
      ValueError: fewer than two dimensions, or a gap that is not positive.
    """
    if dimension < 2 or not gap > 0:
        raise ValueError(
            f"linear_gape takes a positive gap and two dimensions or more: got gap={gap}, "
            f"dimension={dimension}"
        )
    return linear_arms(np.eye(dimension), gap * np.eye(dimension)[0])


def _one_of(what, key, allowed):
    if key not in allowed:
        raise ValueError(f"{what} has {', '.join(map(str, allowed))}: got {key!r}")
    return key
