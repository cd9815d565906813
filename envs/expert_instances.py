"""Named oblivious adversaries for experts: tables of losses, each with the reason for it.

`taking_turns(5, 100).replace(num_switches=4)` also reports regret against switching sequences.
"""

from __future__ import annotations

import numpy as np

from ..core.checks import whole
from .experts import LossTable


def leader_killer(horizon: int, num_arms: int = 2) -> LossTable:
    """The losses on which following the leader loses every round: expert 0 starts behind by half a
    loss, and from then on whoever leads loses 1, the other 0. All further experts always lose 1.

    Follow-the-leader has regret of about T / 2, and whatever plays even weights on the first two
    has none to speak of. After Shalev-Shwartz, "Online learning and online convex optimization",
    2012, Example 2.2 (number from memory).

    Raises:
      ValueError: no rounds, fewer than two experts.
    """
    rounds, num_arms = whole("horizon", horizon), whole("num_arms", num_arms, 2)
    table = np.ones((rounds, num_arms), np.float32)
    turn = np.arange(rounds) % 2
    table[:, 0], table[:, 1] = 1 - turn, turn
    table[0, :2] = 0.5, 0
    return LossTable(table)


def taking_turns(num_arms: int, segment: int) -> LossTable:
    """Experts take turns at being good, for a segment of rounds each: the good one loses 0, all
    others 1.

    Every expert loses 1 - 1/K a round on average, so regret towards a fixed expert says little,
    and regret over intervals or against sequences with switches says how fast a learner follows.
    The setting of Herbster and Warmuth, "Tracking the best expert", Machine Learning 32, 1998.

    Raises:
      ValueError: fewer than two experts, a segment of no rounds.
    """
    num_arms, segment = whole("num_arms", num_arms, 2), whole("segment", segment)
    table = np.repeat(1 - np.eye(num_arms, dtype=np.float32), segment, axis=0)
    return LossTable(table)


def hidden_late(num_arms: int, horizon: int, onset: int) -> LossTable:
    """The last of K experts loses 1 in every round before round `onset` and then 0; all others lose
    1/2 throughout.

    It is the best of all as soon as onset < T / 2. A learner has first given it a weight that is
    exponentially small in the onset, and has to take that back: the price of a rate that is too
    large, and what learners that forget, or restart, are for.

    Raises:
      ValueError: fewer than two experts, an onset that is not within the horizon.
    """
    num_arms, rounds = whole("num_arms", num_arms, 2), whole("horizon", horizon)
    table = np.full((rounds, num_arms), 0.5, np.float32)
    table[:, -1] = np.arange(rounds) < whole("onset", onset, 0, rounds)
    return LossTable(table)


def sleeping_at_random(
    num_arms: int,
    horizon: int,
    availability: float = 0.5,
    seed: int = 0,
) -> LossTable:
    """Experts sleep at random: each is awake with probability `availability`, in every round and
    independently, where all would sleep one of them, drawn evenly, is awake. Expert k loses 1 with
    probability (k + 1) / (K + 1), else 0.

    The best of those awake changes from round to round, and with it whom to play: learners that
    know nothing of sleep compare experts over different rounds. Stochastic availability as in
    Kleinberg, Niculescu-Mizil and Sharma, "Regret bounds for sleeping experts and bandits", Machine
    Learning 80, 2010. Drawn by NumPy's default generator from `seed`.

    Raises:
      ValueError: no experts or rounds, an availability that is not in [0, 1].
    """
    num_arms, rounds = whole("num_arms", num_arms), whole("horizon", horizon)
    if not 0 <= availability <= 1:
        raise ValueError(f"availability is a probability, got {availability!r}")
    generator = np.random.default_rng(seed)
    means = np.arange(1, num_arms + 1) / (num_arms + 1)
    table = (generator.random((rounds, num_arms)) < means).astype(np.float32)
    awake = generator.random((rounds, num_arms)) < availability
    alone = generator.integers(num_arms, size=rounds)
    awake |= ~awake.any(axis=1, keepdims=True) & (np.arange(num_arms) == alone[:, None])
    return LossTable(table, awake)
