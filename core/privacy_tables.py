"""Reward tables on which a private learner gives away as much as it can.

A learner that compares noisy sums, each with noise of scale 1/epsilon, gives most away in a rare
event: that the arm whose sum is a few scales behind comes out ahead. So in the tables made with
these tools the arm of the changed entry is `telling_gap` behind the rival it is compared with; and,
beside that, exactly level with it, where a learner that forgot its noise is caught at once. Rewards
lie in [0, 1]; the changed entry goes from 0 to 1, the whole range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

_ERRORS = 2.6  # standard errors that an interval at 99 % costs


def telling_gap(
    epsilon: float, runs: int, noise: Literal["laplace", "normal"] = "laplace", delta: float = 0.0
) -> float:
    """How far behind a noisy sum should be, so that an audit of so many runs sees most.

    Both sums have noise of scale 1 / epsilon (its standard deviation, if it is normal) and one of
    them moves by 1. With the difference of two such noises above z, or z - 1, with probability p,
    or p', the ratio (p' - delta) / p is the larger the larger z is, and the number of runs in the
    tail the smaller. The best z balances the two.
    """
    z = np.linspace(0.2, 12, 119) / epsilon
    tail = _laplace_tail if noise == "laplace" else _normal_tail
    above, better = tail(z * epsilon), tail((z - 1) * epsilon)
    errors = np.sqrt((1 - above) / above / runs) + np.sqrt((1 - better) / better / runs)
    loss = np.log(np.maximum(better - delta, 1e-300) / above)
    return float(z[np.argmax(loss - _ERRORS * errors)])


def _laplace_tail(z: np.ndarray) -> np.ndarray:
    """P(X - Y > z) for Laplace variables of scale 1: e^-z (1 + z / 2) / 2 for z >= 0."""
    half = 0.5 * np.exp(-np.abs(z)) * (1 + np.abs(z) / 2)
    return np.where(z >= 0, half, 1 - half)


def _normal_tail(z: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(-z / math.sqrt(2))


def table(rows: Sequence[Sequence[tuple[int, float]]]) -> np.ndarray:
    """[K, N] from one row an arm, of pieces (number of pulls, reward of each)."""
    longest = max(sum(count for count, _ in row) for row in rows)
    full = np.zeros((len(rows), longest))
    for arm, row in enumerate(rows):
        flat = np.repeat([level for _, level in row], [count for count, _ in row])
        full[arm, : len(flat)] = flat
        full[arm, len(flat) :] = flat[-1]
    return full


def means(state: Any) -> Any:
    """The private means [K] in a learner's state, what a white-box audit looks at."""
    return state.means


def concentrated(epsilon: float, delta: float) -> float:
    """The rho for which rho-zCDP implies (epsilon, delta)-DP by the conversion
    epsilon = rho + 2 sqrt(rho ln(1 / delta)); Bun and Steinke 2016, Proposition 1.3."""
    tail = math.log(1 / delta)
    return (math.sqrt(tail + epsilon) - math.sqrt(tail)) ** 2


def with_entry(rewards: np.ndarray, arm: int, index: int, value: float = 0.0) -> np.ndarray:
    """The rewards, brought into [0, 1], with one of them set."""
    rewards = np.clip(rewards, 0, 1)
    rewards[arm, index] = value
    return rewards
