"""How hard it is to find the best of some arms, and what theory promises of those who try.

Complexities are functions of the means, float64, on the host. Gaps are those to the largest mean,
in rising order Delta_(1) = 0 <= Delta_(2) <= ...: Delta_(i) of the i-th best arm. In sums over all
arms the best one counts with the smallest gap of the others. Means whose largest is not unique
have complexity infinity.

Bounds on the error probability may exceed 1, where they say nothing: cap them for a statement, and
leave them as they are for the slope of a curve.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def sorted_gaps(means: Any) -> np.ndarray:
    """Delta_(1) .. Delta_(K), float64 in rising order, with Delta_(2) in the place of the zero.

    Raises:
      ValueError: fewer than two means, or one that is not finite.
    """
    x = np.asarray(means)
    if x.dtype.kind not in "fiub" or x.ndim != 1 or len(x) < 2 or not np.all(np.isfinite(x)):
        raise ValueError(f"a complexity is that of two finite means at least: got {means!r}")
    x = x.astype(np.float64)
    gaps = np.sort(x.max() - x)
    gaps[0] = gaps[1]
    return gaps


def h1(means: Any) -> float:
    """H_1 = sum_i 1 / Delta_i^2 over all arms (Audibert, Bubeck and Munos 2010)."""
    return float(np.sum(_inverse(sorted_gaps(means)) ** 2))


def h2(means: Any) -> float:
    """H_2 = max_i i / Delta_(i)^2: H_2 <= H_1 <= ln(2 K) H_2 (Audibert, Bubeck and Munos 2010)."""
    return _largest(means, 2)


def h1_linear(means: Any, dimension: int) -> float:
    """H_1,lin = sum_{i <= d} 1 / Delta_(i)^2, the d best of linear arms (Yang and Tan 2022)."""
    return float(np.sum(_inverse(sorted_gaps(means)[: _whole("dimension", dimension)]) ** 2))


def h2_linear(means: Any, dimension: int) -> float:
    """H_2,lin = max_{2 <= i <= d} i / Delta_(i)^2 (Yang and Tan 2022); d = 1 counts as 2, since
    one dimension still takes telling the best arm from another."""
    return _largest(means, 2, max(2, _whole("dimension", dimension)))


def h_bai(means: Any, dimension: int) -> float:
    """H_BAI = max_{2 <= i <= min(d^2, K)} i / Delta_(i)^2 (Chen et al., ICLR 2024); d = 1 counts
    with i = 2."""
    return _largest(means, 2, max(2, _whole("dimension", dimension) ** 2))


def h_pri(means: Any, dimension: int, epsilon: float) -> float:
    """H_pri = (1 / epsilon) max_{2 <= i <= min(d^2, K)} i / Delta_(i), the price of privacy (Chen
    et al., ICLR 2024); d = 1 counts with i = 2. Without privacy, epsilon infinite, it is zero.

    Raises:
      ValueError: epsilon not positive.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon is positive: got {epsilon}")
    if math.isinf(epsilon):
        return 0.0
    return _largest(means, 1, max(2, _whole("dimension", dimension) ** 2)) / epsilon


# ---- bounds on the error probability -------------------------------------------------------


def uniform_bound(means: Any, budget: int) -> float:
    """Of uniform allocation, m = floor(T / K) pulls each of rewards in [0, 1]:
    sum over the other arms of exp(-m Delta^2), by Hoeffding's inequality for each."""
    gaps = sorted_gaps(means)
    each = int(budget) // len(gaps)
    return float(np.sum(np.exp(-each * gaps[1:] ** 2)))


def successive_rejects_bound(means: Any, budget: int) -> float:
    """Of Successive Rejects: K (K - 1) / 2 exp(-(T - K) / (L H_2)), L = 1/2 + sum_{i=2..K} 1/i,
    rewards in [0, 1]. Audibert, Bubeck and Munos 2010, Theorem 2 (from memory)."""
    num_arms = len(sorted_gaps(means))
    scale = 0.5 + sum(1 / i for i in range(2, num_arms + 1))
    return num_arms * (num_arms - 1) / 2 * math.exp(-(budget - num_arms) / (scale * h2(means)))


def sequential_halving_bound(means: Any, budget: int) -> float:
    """Of Sequential Halving: 3 log2(K) exp(-T / (8 H_2 log2 K)), rewards in [0, 1]. Karnin, Koren
    and Somekh 2013, Theorem 4.1 (from memory)."""
    rounds = math.log2(len(sorted_gaps(means)))
    return 3 * rounds * math.exp(-budget / (8 * h2(means) * rounds))


def ucbe_bound(num_arms: int, budget: int, exploration: float) -> float:
    """Of UCB-E: 2 T K exp(-2 a / 25), for a up to (25/36) (T - K) / H_1 and rewards in [0, 1].
    Audibert, Bubeck and Munos 2010, Theorem 1 (from memory)."""
    return 2 * budget * num_arms * math.exp(-2 * exploration / 25)


def od_linbai_bound(means: Any, dimension: int, pulls: float) -> float:
    """Of OD-LinBAI with m pulls a phase: (4 K / d + 3 log2 d) exp(-m / (32 H_2,lin)), noise of
    variance 1. Yang and Tan, "Minimax optimal fixed-budget best arm identification in linear
    bandits", NeurIPS 2022, Theorem 2 (the number from memory). m is `od_linbai_pulls`."""
    d = _whole("dimension", dimension)
    factor = 4 * len(sorted_gaps(means)) / d + 3 * math.log2(d)
    return factor * math.exp(-pulls / (32 * h2_linear(means, d)))


def od_linbai_pulls(num_arms: int, dimension: int, budget: int) -> float:
    """m = (T - min(K, d (d + 1) / 2) - sum_{r=1..R-1} ceil(d / 2^r)) / R, R = ceil(log2 d): what
    is left for a phase of OD-LinBAI once the rounding of its designs is paid for.

    Raises:
      ValueError: fewer than two dimensions, for which there is no phase.
    """
    d = _whole("dimension", dimension)
    if d < 2:
        raise ValueError(f"OD-LinBAI has phases in two dimensions or more: got {d}")
    phases = (d - 1).bit_length()
    rounding = min(num_arms, d * (d + 1) // 2) + sum(-(-d // 2**r) for r in range(1, phases))
    return (budget - rounding) / phases


def dp_bai_bound(
    means: Any, dimension: int, budget: float, epsilon: float, num_phases: int
) -> float:
    """Of DP-BAI with M phases: exp(-T / (65 M (H_BAI + H_pri))), for budgets that are large enough.
    Chen et al., "Fixed-budget differentially private best arm identification", ICLR 2024."""
    hardness = h_bai(means, dimension) + h_pri(means, dimension, epsilon)
    return math.exp(-budget / (65 * _whole("num_phases", num_phases) * hardness))


def _largest(means, power, stop=None):
    """max_{2 <= i <= stop} i / Delta_(i)^power."""
    inverse = _inverse(sorted_gaps(means)[1:stop])
    return float(np.max(np.arange(2, 2 + len(inverse)) * inverse**power))


def _inverse(gaps):
    with np.errstate(divide="ignore"):
        return 1 / gaps


def _whole(name, value):
    if value != int(value) or value < 1:
        raise ValueError(f"{name} is a whole number, one or more: got {value!r}")
    return int(value)
