"""The fixed-budget learners once more: plain float64 loops over a table of rewards.

Each learner is a function of a table [K, T], whose entry (i, n) is what the n-th pull of arm i
brings. It gives how often each arm was pulled in each phase and the arm recommended, or, pull by
pull, the index of every arm after a history.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def levels(num_arms: int, budget: int) -> list[int]:
    """n_1 .. n_{K-1} of Successive Rejects, in exact arithmetic."""
    scale = Fraction(1, 2) + sum((Fraction(1, i) for i in range(2, num_arms + 1)), Fraction(0))
    return [
        math.ceil(Fraction(budget - num_arms) / (scale * (num_arms + 1 - k)))
        for k in range(1, num_arms)
    ]


class Play:
    """Pulls from a table, and what they brought."""

    def __init__(self, table: np.ndarray):
        self.table = table.astype(np.float64)
        self.used = [0] * len(table)
        self.phases: list[list[int]] = []

    def pull(self, arms: list[int], count: int) -> dict[int, float]:
        """Pull each of `arms` `count` times: the sums of these rewards."""
        self.phases.append([count if i in arms else 0 for i in range(len(self.table))])
        sums = {}
        for i in arms:
            sums[i] = float(self.table[i, self.used[i] : self.used[i] + count].sum())
            self.used[i] += count
        return sums

    def mean(self, i: int) -> float:
        return float(self.table[i, : self.used[i]].mean()) if self.used[i] else 0.0


def uniform_allocation(table: np.ndarray) -> tuple[list[list[int]], int]:
    play, num_arms = Play(table), len(table)
    play.pull(list(range(num_arms)), table.shape[1] // num_arms)
    return play.phases, max(range(num_arms), key=play.mean)  # the first of the largest


def successive_rejects(table: np.ndarray) -> tuple[list[list[int]], int]:
    play, active, last = Play(table), list(range(len(table))), 0
    for level in levels(*table.shape):
        play.pull(active, level - last)
        last = level
        worst = min(play.mean(i) for i in active)
        active.remove(max(i for i in active if play.mean(i) == worst))
    return play.phases, active[0]


def sequential_halving(table: np.ndarray, accumulate: bool) -> tuple[list[list[int]], int]:
    play, (num_arms, budget) = Play(table), table.shape
    active, rounds = list(range(num_arms)), math.ceil(math.log2(num_arms))
    for _ in range(rounds):
        count = budget // (len(active) * rounds)
        sums = play.pull(active, count)
        value = {i: play.mean(i) if accumulate else sums[i] / count for i in active}
        best = sorted(active, key=lambda i: (-value[i], i))[: math.ceil(len(active) / 2)]
        active = sorted(best)
    return play.phases, active[0]


def ucbe_indices(rewards: list[list[float]], exploration: float) -> np.ndarray:
    """Indices of UCB-E for arms that brought these rewards."""
    return np.array(
        [np.mean(x) + math.sqrt(exploration / len(x)) if x else math.inf for x in rewards]
    )


class AdaptiveExploration:
    """The exploration of adaptive UCB-E, told the rewards so far at the end of every round."""

    def __init__(self, num_arms: int, budget: int, c: float):
        self.num_arms, self.budget, self.c = num_arms, budget, c
        n = levels(num_arms, budget)
        self.ends = [sum(n[: k - 1]) + (num_arms - k + 1) * n[k - 1] for k in range(1, num_arms)]
        self.rounds = 0
        self.value = c * budget / num_arms

    def after(self, rewards: list[list[float]]) -> float:
        self.rounds += 1
        for k, end in enumerate(self.ends, start=1):
            if end == self.rounds:
                means = [float(np.mean(x)) for x in rewards]
                gaps = sorted(max(means) - m for m in means)  # gaps[i - 1] is the i-th smallest
                last = range(self.num_arms - k + 1, self.num_arms + 1)
                hardness = max(i / gaps[i - 1] ** 2 if gaps[i - 1] else math.inf for i in last)
                self.value = self.c * self.budget / hardness
        return self.value


# ---- many runs at once ---------------------------------------------------------------------


def elimination_errors(
    means: np.ndarray, schedule: list[tuple[int, int]], accumulate: bool, runs: int, rng_seed: int
) -> int:
    """In how many of `runs` runs an elimination on coins of these means ends with another arm than
    arm 0. `schedule` says how often an active arm is pulled in each phase and how many stay; ties
    go to the first arm in an order that each run draws."""
    rng = np.random.default_rng(rng_seed)
    active = np.ones((runs, len(means)), bool)
    total = np.zeros((runs, len(means)))
    order = rng.permuted(np.tile(np.arange(len(means)), (runs, 1)), axis=1)
    for count, stay in schedule:
        new = rng.binomial(count, means, size=total.shape)
        total = total + new if accumulate else new
        value = np.where(active, total - 1e-6 * order, -np.inf)
        cut = np.sort(value, axis=1)[:, -stay]
        active = value >= cut[:, None]
    return int(np.sum(~active[:, 0]))
