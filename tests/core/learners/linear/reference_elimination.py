"""Phased elimination and elimination on a net, in plain NumPy and float64, round by round."""

from __future__ import annotations

import itertools
import math

import numpy as np


class Phased:
    """Plays `play()`, is told `tell(reward)`. `design(active)` gives the weights of the arms."""

    def __init__(self, features, sigma, delta, design):
        self.x, self.sigma, self.delta, self.design = features, sigma, delta, design
        self.active = np.ones(len(features), bool)
        self.estimates = np.zeros(len(features))
        self.phase, self.history = 0, []
        self.start()

    def start(self):
        self.phase += 1
        num_arms, d = self.x.shape
        level = math.log(num_arms * self.phase * (self.phase + 1) / self.delta)
        product = 2 * d * self.design(self.active) * self.sigma**2 * 4**self.phase * level
        self.counts = np.where(product > 0, np.maximum(np.ceil(product - 1e-6 * product), 1), 0)
        self.pulls, self.sums = np.zeros(num_arms), np.zeros(num_arms)

    def play(self):
        return int(np.flatnonzero(self.pulls < self.counts)[0])

    def tell(self, reward):
        arm = self.play()
        self.pulls[arm] += 1
        self.sums[arm] += reward
        if np.all(self.pulls == self.counts):
            root = np.sqrt(self.pulls)
            target = np.divide(self.sums, root, out=np.zeros_like(root), where=root > 0)
            theta = np.linalg.lstsq(root[:, None] * self.x, target, rcond=1e-6)[0]
            self.estimates = self.x @ theta
            self.history.append((self.active.copy(), self.counts.copy(), self.estimates.copy()))
            gaps = self.estimates[self.active].max() - self.estimates
            self.active &= gaps <= 2 * 2.0**-self.phase
            self.start()

    def recommend(self):
        return int(np.argmax(np.where(self.active, self.estimates, -np.inf)))


class OnNet:
    """Elimination of the points of a net."""

    def __init__(self, features, net, epsilon, sigma, delta):
        self.x, self.net, self.epsilon = features, net, epsilon
        self.slack = (3 if sigma > 0 else 2) * epsilon
        pulls = 2 * sigma**2 / epsilon**2 * math.log(2 * len(net) / delta)
        self.pulls = max(math.ceil(pulls), 1)
        self.left = list(range(len(net)))
        self.seen, self.queries, self.best, self.stopped = [], 0, (-np.inf, 0), False
        self.choose()

    def choose(self):
        """The pair of the largest value: the first point, and of that the first arm."""
        values = self.net[self.left] @ self.x.T
        tops = values.max(axis=1)
        row = int(np.argmax(tops))
        self.point, self.arm = self.left[row], int(np.argmax(values[row]))
        self.top = tops[row]

    def play(self):
        return self.best[1] if self.stopped else self.arm

    def tell(self, reward):
        if self.stopped:
            return
        self.seen.append(reward)
        if len(self.seen) < self.pulls:
            return
        mean, self.seen = np.mean(self.seen), []
        self.queries += 1
        if mean >= self.top - self.slack:
            self.best, self.stopped = (mean, self.arm), True
            return
        self.best = max(self.best, (mean, self.arm), key=lambda pair: pair[0])
        off = np.abs(self.net @ self.x[self.arm] - mean) > self.slack
        self.left = [i for i in self.left if not off[i] and i != self.point]
        if self.left:
            self.choose()
        else:
            self.stopped = True


def worst_distance(net, sparsity, samples, rng):
    """How far sparse vectors of the unit ball, many of them on its surface, are from a net."""
    d, worst = net.shape[1], 0.0
    for places in itertools.combinations(range(d), sparsity):
        z = rng.normal(size=(samples, sparsity))
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        z[: samples // 2] *= rng.random((samples // 2, 1)) ** (1 / sparsity)
        z = np.concatenate([z, np.eye(sparsity), -np.eye(sparsity), np.zeros((1, sparsity))])
        theta = np.zeros((len(z), d))
        theta[:, places] = z
        squares = np.sum(theta**2, 1)[:, None] - 2 * theta @ net.T + np.sum(net**2, 1)
        worst = max(worst, math.sqrt(max(squares.min(axis=1).max(), 0)))
    return worst
