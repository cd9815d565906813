"""What can be said of a weighted tallying bandit by computing: on the host, float64, without JAX.

Windows are counted here from their weights alone, apart from `windows`. Also the instances behind
the lower bound: ours, in the spirit of the abstract's mK + M, since the paper's are not available.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .tally_losses import StepLosses
from .tallying import WeightedTallyingBandit
from .windows import UniformWindow

_MOST_TALLIES = 1 << 20  # tallies that are listed one by one
_MOST_PATHS = 1 << 26  # (round, history) pairs of the dynamic program
_GRID = 10_000


class Optimality(NamedTuple):
    """What `repeated_exposure_optimal` found.

    arm: x*, the one with the smallest loss at full exposure. margin: the smallest loss of any other
    arm at any exposure, or of x* itself below full exposure, less that of x* at full exposure;
    optimality holds as long as it is not negative. rival: arm and exposure of that smallest loss, a
    counterexample when the margin is negative (None where there is no other). exact: whether every
    exposure that can occur was looked at, rather than a grid of them.
    """

    holds: bool
    arm: int
    margin: float
    rival: tuple[int, float] | None
    exact: bool


def repeated_exposure_optimal(env: WeightedTallyingBandit) -> Optimality:
    """Whether some arm, played for ever, costs no more than any arm at any exposure.

    All exposures that can occur are tried when the window counts all plays alike, and up to a
    memory of 20 for any other; beyond, 10,000 evenly spaced ones and those of plays in a row.
    """
    settled = env.losses.settled(np)
    best = int(np.argmin(settled))
    exposures, exact = _exposures(env.window.host_weights(), env.num_arms)
    losses = env.losses.at(np.arange(env.num_arms)[:, None], exposures, np) - settled[best]
    losses[best, exposures == 1] = np.inf
    arm, at = np.unravel_index(int(np.argmin(losses)), losses.shape)
    margin = float(losses[arm, at])
    rival = (int(arm), float(exposures[at])) if np.isfinite(margin) else None
    return Optimality(margin >= 0, best, margin, rival, exact)


def _exposures(weights: np.ndarray, num_arms: int) -> tuple[np.ndarray, bool]:
    """Exposures in (0, 1] that a play can have, increasing; whether these are all of them."""
    counting = weights[1:][weights[1:] > 0]  # by earlier plays; the present one always counts
    total = weights[0] + counting.sum()
    in_a_row = (weights[0] + np.append(0, np.cumsum(counting))) / total
    exact = True
    if num_arms == 1:
        found = in_a_row
    elif np.all(counting == weights[0]):
        found = np.arange(1, len(counting) + 2) / (len(counting) + 1)
    elif 2 ** len(counting) < _MOST_TALLIES:
        tallies = np.array([weights[0]])
        for weight in counting:
            tallies = np.unique(np.concatenate([tallies, tallies + weight]))
        found = tallies / total
    else:
        found, exact = np.linspace(weights[0] / total, 1, _GRID), False
        found = np.concatenate([found, in_a_row])
    below = np.unique(np.minimum(found, np.nextafter(1, 0)))
    # The last of those listed exactly is full exposure itself, whatever the sum was rounded to.
    below = below[:-1] if exact else below[below < 1 - 1e-12]
    return np.append(below, 1.0), exact


def optimal_sequence(env: WeightedTallyingBandit, horizon: int) -> tuple[float, np.ndarray]:
    """The least total mean loss of any sequence of `horizon` plays, and such a sequence, [horizon].

    Dynamic programming over the last m - 1 plays: time and memory grow as K^m.

    Raises:
      ValueError: no round, or too many histories to go through.
    """
    weights, num_arms = env.window.host_weights(), env.num_arms
    memory = len(weights)
    histories = num_arms ** (memory - 1)
    if horizon < 1 or histories * max(num_arms, horizon) > _MOST_PATHS:
        raise ValueError(
            f"optimal_sequence goes through K^(m-1) = {num_arms}^{memory - 1} histories in each of "
            f"{horizon} rounds, {_MOST_PATHS:,} in all at most, in one round or more: ask for "
            f"fewer arms, a shorter memory or a smaller horizon"
        )
    costs = [_costs(env, weights, length) for length in range(min(memory, horizon + 1))]
    value = np.zeros(num_arms ** min(horizon, memory - 1))
    choices: list[np.ndarray] = []
    for t in reversed(range(horizon)):
        length = min(t, memory - 1)
        following = _next_history(num_arms, length, memory)
        total = costs[length] + value[following]
        choices.append(np.argmin(total, axis=1))
        value = np.min(total, axis=1)
    arms, history = np.empty(horizon, np.int64), 0
    for t, best in enumerate(reversed(choices)):
        arms[t] = best[history]
        history = _next_history(num_arms, min(t, memory - 1), memory)[history, arms[t]]
    return float(value[0]), arms


def sequence_loss(env: WeightedTallyingBandit, arms: Any) -> np.ndarray:
    """Mean losses [T] of a sequence of plays, counted from its definition."""
    arms, weights = np.asarray(arms), env.window.host_weights()
    exposures = []
    for t, arm in enumerate(arms):
        recent = arms[max(0, t - len(weights) + 1) : t + 1][::-1] == arm
        exposures.append(_exposure(recent, weights))
    return env.losses.at(arms, np.array(exposures), np)


def _costs(env, weights, length) -> np.ndarray:
    """Mean loss of each arm after each history of `length` plays, [K^length, K]. The number of a
    history has its plays as digits, the latest last."""
    num_arms = env.num_arms
    codes = np.arange(num_arms**length)
    digits = [codes // num_arms**j % num_arms for j in range(length)]  # latest first
    exposures = np.empty((len(codes), num_arms))
    for arm in range(num_arms):
        recent = [np.ones(len(codes), bool)] + [digit == arm for digit in digits]
        exposures[:, arm] = _exposure(np.stack(recent), weights)
    return env.losses.at(np.arange(num_arms), exposures, np)


def _exposure(recent, weights) -> np.ndarray:
    """Exposure from which of the latest plays were of the arm, the latest first, [<= m, ...]."""
    missing = weights[len(recent) :].sum() + np.tensordot(
        weights[: len(recent)], ~np.asarray(recent), 1
    )
    return np.where(missing > 0, np.minimum(1 - missing / weights.sum(), np.nextafter(1, 0)), 1.0)


def _next_history(num_arms: int, length: int, memory: int) -> np.ndarray:
    """The number of the history after each history of `length` plays and each arm."""
    longer = np.arange(num_arms**length)[:, None] * num_arms + np.arange(num_arms)
    return longer % num_arms ** (memory - 1)


# ---- hard instances ------------------------------------------------------------------------


def hidden_arm(
    num_arms: int, memory: int, best: int = 0, gap: float = 0.5
) -> WeightedTallyingBandit:
    """All arms cost 1/2 + gap / 2, but `best` costs gap less once it was played `memory` times in a
    row. Let `best` be uniform over the arms: no learner then pays less, in expectation, than

        gap (m (K + 1) / 2 - 1)

    over K m rounds or more, since only m plays in a row of an arm tell anything about it, all but
    the last of them at the full price, and the best arm is the (K + 1) / 2-th one tried on average.
    (`HiddenBestArm` draws the place of the best arm for each seed.)

    Raises:
      ValueError: no such arm, or a gap outside (0, 1].
    """
    if not 0 <= best < num_arms or not 0 < gap <= 1:
        raise ValueError(
            f"hidden_arm needs one of {num_arms} arms as best and a gap in (0, 1]: got "
            f"best={best}, gap={gap}"
        )
    high = np.full(num_arms, 0.5 + gap / 2)
    full = np.where(np.arange(num_arms) == best, 0.5 - gap / 2, high)
    return WeightedTallyingBandit(StepLosses(full, high, high), UniformWindow(memory))


def hidden_arm_cost(num_arms: int, memory: int, gap: float = 0.5) -> float:
    """The lower bound of `hidden_arm`."""
    return gap * (memory * (num_arms + 1) / 2 - 1)


def settled_or_late(bound: int) -> tuple[WeightedTallyingBandit, WeightedTallyingBandit]:
    """Two games that look alike until arm 1 was played `bound` = M times in a row.

    Arm 0 costs 1/2. Arm 1 costs 0.6, in the first game for ever (so that its memory is 1), in the
    second until its exposure is full, at memory M, when it costs 0. Let q be the chance that a
    learner ever plays arm 1 M times in a row in the first game. That costs it 0.1 M q there at
    least; in the second it fails to do so with probability 1 - q, and pays 1/2 a round. So for
    every learner, with R and R' its expected regret in the first and the second game,

        R / (0.1 M) + R' / (T / 2) >= 1:

    whoever is to have small regret for all memories up to M pays of the order of M where the memory
    is 1.

    Raises:
      ValueError: a bound below 1.
    """
    games = []
    for last in (0.6, 0.0):
        losses = StepLosses(full=[0.5, last], early=[0.5, 0.6], late=[0.5, 0.6])
        games.append(WeightedTallyingBandit(losses, UniformWindow(bound)))
    return games[0], games[1]
