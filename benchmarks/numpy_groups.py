"""The groupwise algorithm as one would write it in NumPy: a loop over rounds, one over groups.

One order of the data after the other, float64, rank-one updates of every active group's inverse;
then least squares from scratch at a number of prefixes of every group. Nothing here uses the rest
of regrax: it is a yardstick, and an independent check.
"""

import math

import numpy as np


def weight(regret: float, spread: float) -> float:
    up, down = max(regret + 1.0, 0.0), max(regret - 1.0, 0.0)
    scale = 3.0 * (spread + 1.0)
    return 0.5 * (math.exp(up * up / scale) - math.exp(down * down / scale))


def learn(features: np.ndarray, active: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Expected losses [T] of the algorithm with a ridge a group (penalty 1)."""
    rounds, groups = active.shape
    dimension = features.shape[1]
    inverses = [np.eye(dimension) for _ in range(groups)]
    vectors = [np.zeros(dimension) for _ in range(groups)]
    solutions = [np.zeros(dimension) for _ in range(groups)]
    regrets, spreads = np.zeros(groups), np.zeros(groups)
    members = [np.flatnonzero(row) for row in active]
    losses = np.empty(rounds)
    for t in range(rounds):
        x, y, on = features[t], labels[t], members[t]
        v = np.array([weight(regrets[i], spreads[i]) for i in on])
        total = v.sum()
        p = v / total if total > 0 else np.full(len(on), 1.0 / len(on))
        own = np.array([(solutions[i] @ x - y) ** 2 for i in on])
        losses[t] = p @ own
        gained = losses[t] - own
        regrets[on] += gained
        spreads[on] += np.abs(gained)
        for i in on:
            direction = inverses[i] @ x
            inverses[i] -= np.outer(direction, direction) / (1.0 + x @ direction)
            vectors[i] += y * x
            solutions[i] = inverses[i] @ vectors[i]
    return losses


def learn_alone(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Losses [T] of one ridge for everybody (penalty 1)."""
    dimension = features.shape[1]
    inverse, vector, solution = np.eye(dimension), np.zeros(dimension), np.zeros(dimension)
    losses = np.empty(len(labels))
    for t, (x, y) in enumerate(zip(features, labels, strict=True)):
        losses[t] = (solution @ x - y) ** 2
        direction = inverse @ x
        inverse -= np.outer(direction, direction) / (1.0 + x @ direction)
        vector += y * x
        solution = inverse @ vector
    return losses


def group_regrets(
    losses: np.ndarray, features: np.ndarray, active: np.ndarray, labels: np.ndarray, points: int
) -> np.ndarray:
    """Regret of every group after prefixes of its rounds at equal distances, [points, G]."""
    found = np.empty((points, active.shape[1]))
    for group in range(active.shape[1]):
        on = np.flatnonzero(active[:, group])
        x, y, total = features[on], labels[on], np.cumsum(losses[on])
        for k, n in enumerate(np.linspace(len(on) / points, len(on), points).astype(int)):
            theta = np.linalg.lstsq(x[:n], y[:n], rcond=None)[0]
            found[k, group] = total[n - 1] - np.sum((x[:n] @ theta - y[:n]) ** 2)
    return found
