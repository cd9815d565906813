"""The groupwise algorithm in plain NumPy, float64: one round after another, one expert after the
other, each formula as it is written."""

import math

import numpy as np


class Ridge:
    """Regression on the rounds so far, solved from scratch; `shrink` counts the round itself."""

    def __init__(self, dimension, regularisation=1.0, shrink=False):
        self.matrix = regularisation * np.eye(dimension)
        self.vector = np.zeros(dimension)
        self.shrink = shrink

    def predict(self, x):
        matrix = self.matrix + np.outer(x, x) if self.shrink else self.matrix
        return float(np.linalg.solve(matrix, self.vector) @ x)

    def learn(self, x, y):
        self.matrix += np.outer(x, x)
        self.vector += y * x


class GradientDescent:
    """Projected on |theta| <= radius, steps 2 radius / (bound sqrt(t)), for squared losses."""

    def __init__(self, dimension, radius, bound):
        self.theta, self.radius, self.bound, self.t = np.zeros(dimension), radius, bound, 0

    def predict(self, x):
        return float(self.theta @ x)

    def learn(self, x, y):
        self.t += 1
        gradient = 2 * (self.theta @ x - y) * x
        theta = self.theta - 2 * self.radius / (self.bound * math.sqrt(self.t)) * gradient
        self.theta = theta / max(1, np.linalg.norm(theta) / self.radius)


def weight(r, c):
    up, down = max(r + 1, 0) ** 2, max(r - 1, 0) ** 2
    return (math.exp(up / (3 * (c + 1))) - math.exp(down / (3 * (c + 1)))) / 2


def play(features, active, labels, make):
    """Losses [T] of the algorithm, losses [T, G] of the copies, weights [T, G]."""
    rounds, groups = active.shape
    copies = [make() for _ in range(groups)]
    regret, spread = np.zeros(groups), np.zeros(groups)
    history = []
    for x, on, y in zip(features, active, labels, strict=True):
        v = np.array([on[i] * weight(regret[i], spread[i]) for i in range(groups)])
        if not on.any():
            p = np.full(groups, 1 / groups)
        elif v.sum() == 0:
            p = on / on.sum()
        else:
            p = v / v.sum()
        losses = np.array([(copy.predict(x) - y) ** 2 for copy in copies])
        ours = p @ losses
        for i in np.flatnonzero(on):
            regret[i] += ours - losses[i]
            spread[i] += abs(ours - losses[i])
            copies[i].learn(x, y)
        history.append((ours, losses, p))
    return tuple(np.array(x) for x in zip(*history, strict=True))


def regrets(losses, features, active, labels):
    """Regret of every group after the last round, by least squares."""
    found = []
    for on in active.T:
        theta = np.linalg.lstsq(features[on], labels[on], rcond=None)[0]
        found.append(losses[on].sum() - np.sum((features[on] @ theta - labels[on]) ** 2))
    return np.array(found)
