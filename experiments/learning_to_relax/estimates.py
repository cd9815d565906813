"""Tuning SOR: what claims compare, and the numbers of an independent re-implementation.

That program (compiled scalar code, 40 trials) gives the same counts of iterations as the authors'
code; the paper itself has curves only, so the numbers in `REFERENCE` and below come from there.
"""

from __future__ import annotations

import math

import numpy as np

from ...core.statistics import (
    Estimate,
    largest,
    mean,
    paired_difference,
    ratio_of_means,
    smallest,
    split_level,
)
from ..growth import Data
from .trials import (
    BINNED,
    BINNED_PUBLISHED,
    CHEB,
    FULL,
    HIGH,
    LAWS,
    LOW,
    OPTIMAL,
    PUBLISHED,
    TSALLIS,
    Who,
    only,
    per_instance,
    totals,
)

THEIRS = "an independent re-implementation, 40 trials"
TRIALS = 40  # of these
# Mean iterations of an instance over T = 5,000, and their standard deviation over trials.
REFERENCE: dict[str, dict[Who, tuple[float, float]]] = {
    LOW: {
        1.0: (272.3, 2.9), 1.2: (179.2, 1.9), 1.4: (110.7, 1.2), 1.6: (63.47, 0.65),
        1.65: (59.36, 0.47), 1.8: (85.96, 0.08), 1.95: (362.53, 0.03), OPTIMAL: (41.84, 0.18),
        TSALLIS: (67.01, 1.19), BINNED: (64.51, 0.96), CHEB: (47.41, 0.61),
        PUBLISHED: (67.17, 4.13), BINNED_PUBLISHED: (61.55, 2.28),
    },
    HIGH: {
        1.0: (614.7, 10.9), 1.2: (407.8, 7.3), 1.4: (258.4, 4.7), 1.6: (152.1, 2.7),
        1.8: (103.7, 0.68), 1.95: (362.73, 0.03), OPTIMAL: (56.36, 0.50),
        TSALLIS: (121.3, 2.3), BINNED: (103.8, 1.8), CHEB: (67.08, 1.27),
        PUBLISHED: (119.6, 8.7), BINNED_PUBLISHED: (99.0, 4.9),
    },
}  # fmt: skip
# Over the first t, without a standard deviation; a decimal, but two for the last 5,000 above.
EARLY: dict[str, dict[Who, dict[int, float]]] = {
    LOW: {
        TSALLIS: {500: 89.3, 1000: 79.9, 2000: 72.8},
        BINNED: {500: 94.1, 1000: 82.0, 2000: 72.7},
        CHEB: {500: 63.9, 1000: 55.8, 2000: 50.9},
    },
    HIGH: {
        TSALLIS: {500: 174, 1000: 152, 2000: 135},
        BINNED: {500: 167, 1000: 140, 2000: 121},
        CHEB: {500: 98.9, 1000: 82.7, 2000: 73.4},
    },
}
LATE: dict[str, dict[Who, float]] = {  # over the last 1,000 of 5,000
    LOW: {TSALLIS: 62.3, BINNED: 57.9, CHEB: 44.9, PUBLISHED: 64.5, BINNED_PUBLISHED: 57.7},
    HIGH: {TSALLIS: 110.5, BINNED: 90.9, CHEB: 62.6, PUBLISHED: 115.3, BINNED_PUBLISHED: 91.5},
}
CROSSINGS = {LOW: 505, HIGH: 433}  # instances until ChebCB has cost less than the fixed reference


# ---- estimates -----------------------------------------------------------------------------


def distance(values: np.ndarray, reference: float, spread: float | None, level: float) -> Estimate:
    """How far our mean is from a number of the reference, in standard errors of that number: of
    its trials, whose spread is ours where it is not known, and of its last digit."""
    digit = 10.0 ** -len(str(reference).partition(".")[2])
    own = float(values.std(ddof=1)) if spread is None else spread
    error = math.sqrt(own**2 / TRIALS + digit**2 / 12)
    value, low, high = (float(x) for x in mean(values, level=level)[:3])
    away, reach = abs(value - reference), max(high - value, value - low)
    return Estimate(away / error, max(0.0, away - reach) / error, (away + reach) / error, level)


def furthest(law: str, players: list[Who], data: Data, level: float) -> Estimate:
    """The largest of these distances, over all that the reference has of some players."""
    dataset = only(data)
    horizon = int(dataset.attrs["horizon"])
    cells: list[tuple[np.ndarray, float, float | None]] = []
    for who in players:
        for t, reference in EARLY[law].get(who, {}).items():
            if t <= horizon:
                cells.append((per_instance(dataset, law, who, t), reference, None))
        if horizon >= FULL:
            cells.append((per_instance(dataset, law, who, FULL), *REFERENCE[law][who]))
            if who in LATE[law]:
                cells.append((per_instance(dataset, law, who, FULL, 1000), LATE[law][who], None))
    if not cells:
        return Estimate(math.nan, math.nan, math.nan, level)  # nothing to compare with
    split = split_level(level, len(cells))
    found = [distance(values, number, sd, split) for values, number, sd in cells]
    return largest(found)._replace(level=level)


def least_step(law: str, order: list[Who], data: Data, level: float) -> Estimate:
    """Of players in the order of their costs, the least by which one is above the one before."""
    costs = [per_instance(only(data), law, who) for who in order]
    split = split_level(level, len(order) - 1)
    steps = [paired_difference(b, a, split) for a, b in zip(costs, costs[1:], strict=False)]
    return smallest(steps)._replace(level=level)


def excess(law: str, last: int | None, data: Data, level: float) -> Estimate:
    """What ChebCB costs above omega*(c), as a part of that, over all instances or the last."""
    ours, least = (per_instance(only(data), law, who, None, last) for who in (CHEB, OPTIMAL))
    return ratio_of_means(ours, least, level).map(lambda x: x - 1)


def speed_up(law: str, who: Who, data: Data, level: float) -> Estimate:
    """Iterations of Gauss-Seidel over those of a player."""
    slow, fast = (per_instance(only(data), law, x) for x in (1.0, who))
    return ratio_of_means(slow, fast, level)


def gain(law: str, better: Who, other: Who, data: Data, level: float) -> Estimate:
    """Iterations of an instance that one player saves over another."""
    first, second = (per_instance(only(data), law, who) for who in (other, better))
    return paired_difference(first, second, level)


def crossing(law: str, data: Data, level: float) -> Estimate:
    """The instance at which ChebCB, dearer at first, has cost as little as the fixed reference.

    At the true one the mean difference is 0, so an interval for the difference there holds 0 with
    the level's probability; the interval is where, after its peak, it does. It may have no end;
    where the means do not cross, there is no estimate.
    """
    dataset = only(data)
    ahead = totals(dataset, law, CHEB) - totals(dataset, law, LAWS[law].reference)
    rounds = dataset.checkpoint.values.astype(float)
    parts = mean(ahead, level=level)[:3]
    value, low, high = (_last_zero(rounds, np.asarray(x)) for x in parts)
    if not math.isfinite(value):
        return Estimate(math.nan, math.nan, math.nan, level)
    return Estimate(value, low, high, level)


def _last_zero(rounds: np.ndarray, values: np.ndarray) -> float:
    """Where a curve falls below 0 for good, between checkpoints by a straight line."""
    above = np.flatnonzero(values > 0)
    if not len(above):
        return float(rounds[0])
    i = int(above[-1])
    if i == len(values) - 1 or not math.isfinite(values[i]):
        return math.inf
    share = values[i] / (values[i] - values[i + 1])
    return float(rounds[i] + share * (rounds[i + 1] - rounds[i]))


def spread_ratio(a: np.ndarray, b: np.ndarray, level: float) -> Estimate:
    """Standard deviation of a over that of b, seeds paired, for any law with four moments.

    The jackknife on the logarithm: leaving out one seed at a time, the pseudo-values
    n log r - (n - 1) log r_without have log r as mean but for O(1 / n), and their t interval is
    taken. Their variance has the kurtosis of both and their correlation in it, which an F interval
    takes for normal. Miller, "Jackknifing variances", Annals of Mathematical Statistics 39, 1968.
    """
    n = len(a)
    whole = _log_spread(a[None]) - _log_spread(b[None])
    others = (np.arange(n)[:, None] + np.arange(1, n)) % n  # [n, n - 1]
    pseudo = n * whole - (n - 1) * (_log_spread(a[others]) - _log_spread(b[others]))
    return mean(pseudo, level=level).map(np.exp)


def _log_spread(x: np.ndarray) -> np.ndarray:
    return np.log(x.std(axis=1, ddof=1))


def spread_of(law: str, published: str, exact: str, data: Data, level: float) -> Estimate:
    faulty, right = (per_instance(only(data), law, who) for who in (published, exact))
    return spread_ratio(faulty, right, level)


def mean_ratio(law: str, published: str, exact: str, data: Data, level: float) -> Estimate:
    faulty, right = (per_instance(only(data), law, who) for who in (published, exact))
    return ratio_of_means(faulty, right, level)


def least_gain(law: str, better: Who, others: list[Who], data: Data, level: float) -> Estimate:
    """What a player saves over the best of some others."""
    split = split_level(level, len(others))
    return smallest([gain(law, better, x, data, split) for x in others])._replace(level=level)
