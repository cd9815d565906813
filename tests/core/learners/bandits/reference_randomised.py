"""The randomised learners again, in plain float64 loops: what the tests hold the JAX ones to.

A reference knows the probabilities of the round to come (`chances`, a list of K) and learns from
the arm that was played and its reward. Losses are 1 - reward, and sums are kept as they are.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq


def draw(chances, u):
    """The first arm whose cumulative probability exceeds u, and the distance of u from the nearest
    boundary between two arms."""
    edges, total = [], 0.0
    for chance in chances:
        total += chance
        edges.append(total)
    distance = min((abs(u - edge) for edge in edges[:-1]), default=1.0)
    for arm, edge in enumerate(edges):
        if u < edge:
            return arm, distance
    return len(chances) - 1, distance


def softmax(scores):
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


class Means:
    """Mean reward of every arm, and the best of those played."""

    def __init__(self, num_arms):
        self.rewards = [[] for _ in range(num_arms)]

    def add(self, arm, reward):
        self.rewards[arm].append(reward)

    def best(self):
        """The best arm, and its lead over the next best."""
        means = [math.fsum(x) / len(x) if x else -math.inf for x in self.rewards]
        top = max(means)
        rest = sorted(means)[:-1]
        lead = top - rest[-1] if rest and top > -math.inf else math.inf
        return means.index(top), lead


class Uniform:
    def __init__(self, num_arms):
        self.num_arms = num_arms

    def chances(self):
        return [1 / self.num_arms] * self.num_arms

    def update(self, arm, reward):
        pass


class ExploreThenCommit:
    """No randomness: the next arm, and by how much its mean leads."""

    def __init__(self, num_arms, pulls_per_arm):
        self.num_arms, self.pulls_per_arm = num_arms, pulls_per_arm
        self.means, self.played, self.leader = Means(num_arms), 0, None

    def choice(self):
        if self.played < self.num_arms * self.pulls_per_arm:
            return self.played % self.num_arms, math.inf
        if self.leader is None:
            self.leader = self.means.best()
        return self.leader

    def update(self, arm, reward):
        if self.leader is None:
            self.means.add(arm, reward)
        self.played += 1


class EpsilonGreedy:
    """`epsilon` is a function of the round, counted from 1."""

    def __init__(self, num_arms, epsilon):
        self.num_arms, self.epsilon = num_arms, epsilon
        self.means, self.t = Means(num_arms), 1

    def choice(self, uniforms):
        """The next arm, and its margin: what rounding would need to be to change it."""
        explore, where = uniforms
        margin = abs(explore - self.epsilon(self.t))
        if explore < self.epsilon(self.t):
            cell = where * self.num_arms
            return int(cell), min(margin, abs(cell - round(cell)))
        arm, lead = self.means.best()
        return arm, min(margin, lead)

    def update(self, arm, reward):
        self.means.add(arm, reward)
        self.t += 1


class Exp3:
    def __init__(self, num_arms, learning_rate, mixing=0.0, rewards=False):
        self.num_arms, self.learning_rate = num_arms, learning_rate
        self.mixing, self.rewards = mixing, rewards
        self.gains = [0.0] * num_arms

    def chances(self):
        shares = softmax([self.learning_rate * gain for gain in self.gains])
        return [(1 - self.mixing) * x + self.mixing / self.num_arms for x in shares]

    def update(self, arm, reward):
        gain = reward if self.rewards else reward - 1
        self.gains[arm] += gain / self.chances()[arm]


class Exp3IX:
    """`rate` is a function of the round, counted from 1; exploration is half of it."""

    def __init__(self, num_arms, rate, exploration=None):
        self.rate, self.t, self.losses = rate, 1, [0.0] * num_arms
        self.exploration = exploration

    def chances(self):
        return softmax([-self.rate(self.t) * loss for loss in self.losses])

    def update(self, arm, reward):
        bias = self.rate(self.t) / 2 if self.exploration is None else self.exploration
        self.losses[arm] += (1 - reward) / (self.chances()[arm] + bias)
        self.t += 1


class Exp3S:
    def __init__(self, num_arms, mixing, sharing):
        self.num_arms, self.mixing, self.sharing = num_arms, mixing, sharing
        self.weights = [1.0] * num_arms

    def chances(self):
        total = sum(self.weights)
        return [
            (1 - self.mixing) * weight / total + self.mixing / self.num_arms
            for weight in self.weights
        ]

    def update(self, arm, reward):
        estimate, total = reward / self.chances()[arm], sum(self.weights)
        self.weights[arm] *= math.exp(self.mixing * estimate / self.num_arms)
        gift = math.e * self.sharing / self.num_arms * total
        self.weights = [weight + gift for weight in self.weights]


def tsallis_weights(losses, rate):
    """The weights 4 (rate (loss - x))^-2 that add up to one, by bisection on x: between least loss
    - 2 sqrt(K) / rate, where none exceeds 1 / K, and least loss - 2 / rate, where one is 1."""
    least = min(losses)

    def surplus(x):
        return sum(4 / (rate * (loss - x)) ** 2 for loss in losses) - 1

    low, high = least - 2 * math.sqrt(len(losses)) / rate, least - 2 / rate
    x = high if surplus(high) <= 0 else brentq(surplus, low - 1e-9 / rate, high, xtol=1e-14)
    return [4 / (rate * (loss - x)) ** 2 for loss in losses]


class TsallisINF:
    def __init__(self, num_arms, scale, reduced_variance=False):
        self.scale, self.reduced_variance = scale, reduced_variance
        self.t, self.losses = 1, [0.0] * num_arms

    def chances(self):
        return tsallis_weights(self.losses, self.scale / math.sqrt(self.t))

    def update(self, arm, reward):
        weights, loss = self.chances(), 1 - reward
        for i, weight in enumerate(weights):
            baseline = 0.0
            if self.reduced_variance and weight >= self.scale**2 / self.t:
                baseline = 0.5
            if i == arm:
                self.losses[i] += (loss - baseline) / weight
            self.losses[i] += baseline
        self.t += 1


class GradientBandit:
    def __init__(self, num_arms, step_size, baseline=True):
        self.step_size, self.baseline = step_size, baseline
        self.preferences, self.rewards = [0.0] * num_arms, []

    def chances(self):
        return softmax(self.preferences)

    def update(self, arm, reward):
        base = 0.0
        if self.baseline:
            base = sum(self.rewards) / len(self.rewards) if self.rewards else reward
        for i, chance in enumerate(self.chances()):
            direction = (i == arm) - chance
            self.preferences[i] += self.step_size * (reward - base) * direction
        self.rewards.append(reward)
