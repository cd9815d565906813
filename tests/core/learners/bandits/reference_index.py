"""The index learners once more: plain float64 loops, roots and quantiles by SciPy.

Each class keeps the whole history and computes what its source defines from it, so that nothing is
shared with the learners but the formulas. `indices()` is what the next arm maximises; the first of
the largest is played.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, norm


def bernoulli_kl(p: float, q: float) -> float:
    """KL(Ber(p), Ber(q))."""
    total = 0.0
    for x, y in ((p, q), (1 - p, 1 - q)):
        if x > 0:
            total += x * math.log(x / y) if y > 0 else math.inf
    return total


def kl_upper(p: float, budget: float) -> float:
    """The largest q with KL(Ber(p), Ber(q)) <= budget."""
    top = 1 - 1e-15
    if p >= top or bernoulli_kl(p, top) <= budget:
        return 1.0
    return brentq(lambda q: bernoulli_kl(p, q) - budget, p, top, xtol=1e-14, rtol=1e-14)


class Reference:
    """What all have: the history, by arm and by round."""

    def __init__(self, num_arms: int, **parameters: float):
        self.num_arms = num_arms
        self.parameters = parameters
        self.history: list[tuple[int, float]] = []
        self.rewards: list[list[float]] = [[] for _ in range(num_arms)]
        self.sums = [0.0] * num_arms

    def __getattr__(self, name: str):
        try:
            return self.__dict__["parameters"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def rounds(self) -> int:
        return len(self.history)

    def update(self, arm: int, reward: float) -> None:
        self.history.append((arm, reward))
        self.rewards[arm].append(reward)
        self.sums[arm] += reward

    def mean(self, arm: int) -> float:
        return self.sums[arm] / len(self.rewards[arm])

    def indices(self) -> np.ndarray:
        pulls = [len(x) for x in self.rewards]
        return np.array([self.index(a, n) if n else math.inf for a, n in enumerate(pulls)])

    def index(self, arm: int, pulls: int) -> float:
        raise NotImplementedError

    def act(self) -> int:
        return int(np.argmax(self.indices()))  # the first of the largest


class UCB1(Reference):
    def index(self, arm, pulls):
        return self.mean(arm) + math.sqrt(self.exploration * math.log(self.rounds) / pulls)


class UCBV(Reference):
    def index(self, arm, pulls):
        level = self.exploration * math.log(self.rounds + 1)
        return (
            self.mean(arm)
            + math.sqrt(2 * np.var(self.rewards[arm]) * level / pulls)
            + 3 * self.range * level / pulls
        )


class MOSS(Reference):
    def index(self, arm, pulls):
        log = max(0, math.log(self.horizon / (self.num_arms * pulls)))
        return self.mean(arm) + math.sqrt(log / pulls)


class AnytimeMOSS(Reference):
    def index(self, arm, pulls):
        log = max(0, math.log(self.rounds / (self.num_arms * pulls)))
        return self.mean(arm) + math.sqrt((1 + self.alpha) / 2 * log / pulls)


class KLUCB(Reference):
    def level(self):
        t = self.rounds + 1
        return math.log(t) + self.c * math.log(math.log(max(t, 3)))

    def index(self, arm, pulls):
        return kl_upper(self.mean(arm), self.level() / pulls)


class KLUCBGaussian(KLUCB):
    def index(self, arm, pulls):
        return self.mean(arm) + self.reward_scale * math.sqrt(2 * self.level() / pulls)


class IMED(Reference):
    def divergence(self, mean, best):
        return bernoulli_kl(mean, best)

    def index(self, arm, pulls):
        best = max(self.mean(a) for a in range(self.num_arms) if self.rewards[a])
        return -(pulls * self.divergence(self.mean(arm), best) + math.log(pulls))


class IMEDGaussian(IMED):
    def divergence(self, mean, best):
        return (best - mean) ** 2 / (2 * self.reward_scale**2)


class BayesUCB(Reference):
    def tail(self):
        return 1 / ((self.rounds + 1) * math.log(self.horizon) ** self.c)

    def indices(self):
        if self.rounds == 0:
            return np.zeros(self.num_arms)
        a = [1 + sum(x) for x in self.rewards]
        b = [1 + len(x) - sum(x) for x in self.rewards]
        return beta.isf(self.tail(), a, b)


class BayesUCBGaussian(BayesUCB):
    def indices(self):
        return Reference.indices(self)

    def index(self, arm, pulls):
        return norm.isf(self.tail(), self.mean(arm), self.reward_scale / math.sqrt(pulls))


class DiscountedUCB(Reference):
    def indices(self):
        ages = np.arange(self.rounds)[::-1]
        played = np.array([arm for arm, _ in self.history], int)
        rewards = np.array([reward for _, reward in self.history])
        weights = self.discount**ages
        values = []
        for arm in range(self.num_arms):
            mine = weights * (played == arm)
            if not self.rewards[arm]:
                values.append(math.inf)
                continue
            log = math.log(weights.sum())
            bonus = 2 * self.range * math.sqrt(self.exploration * log / mine.sum())
            values.append((mine * rewards).sum() / mine.sum() + bonus)
        return np.array(values)


class SlidingWindowUCB(Reference):
    def indices(self):
        values = []
        for arm in range(self.num_arms):
            mine = [x for played, x in self.history[-int(self.window) :] if played == arm]
            if not mine:
                values.append(math.inf)
                continue
            log = math.log(min(self.rounds, self.window))
            bonus = self.range * math.sqrt(self.exploration * log / len(mine))
            values.append(np.mean(mine) + bonus)
        return np.array(values)


class SuccessiveElimination(Reference):
    """Phases as lists; its indices are 1 for the arm whose turn it is and 0 for the others."""

    def __init__(self, num_arms, **parameters):
        super().__init__(num_arms, **parameters)
        self.active = list(range(num_arms))
        self.to_play = list(self.active)

    def update(self, arm, reward):
        super().update(arm, reward)
        self.to_play.remove(arm)
        if not self.to_play:
            upper, lower = {}, {}
            for a in self.active:
                pulls = len(self.rewards[a])
                radius = math.sqrt(self.exploration * math.log(self.horizon) / pulls)
                upper[a] = self.mean(a) + radius
                lower[a] = self.mean(a) - radius
            self.active = [a for a in self.active if all(upper[a] >= x for x in lower.values())]
            self.to_play = list(self.active)

    def indices(self):
        return np.array([float(arm == self.to_play[0]) for arm in range(self.num_arms)])
