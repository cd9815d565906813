"""Noisy gradient descent on regressions in plain NumPy, float64, and the exact law of its
end."""

import numpy as np

from .histories import before, tuples
from .reference_lsvi import normal_equations


def descend(matrix, target, weights, eta, temperature, normals):
    """As the algorithm is written, with the gradient of the sum of squares."""
    for z in normals:
        gradient = 2 * matrix @ weights - 2 * target
        weights = weights - eta * gradient + np.sqrt(2 * eta * temperature) * z
    return weights


def law(matrix, target, weights, eta, temperature, steps):
    """Mean and covariance after so many steps, by the recursion of both."""
    mean, covariance = weights, np.zeros_like(matrix)
    shrink = np.eye(len(matrix)) - 2 * eta * matrix
    for _ in range(steps):
        mean = shrink @ mean + 2 * eta * target
        covariance = shrink @ covariance @ shrink.T + 2 * eta * temperature * np.eye(len(matrix))
    return mean, covariance


class LMC:
    """`policy` of episode k, given all that came before; it remembers where descents ended."""

    def __init__(self, features, stages, ridge, temperature, step):
        self.features, self.stages = np.asarray(features, float), stages
        self.ridge, self.temperature, self.step = ridge, temperature, step
        self.weights = np.zeros((stages, self.features.shape[-1]))

    def values(self, trajectories, k, normals):
        after, q = np.zeros(len(self.features)), [None] * self.stages
        for h in reversed(range(self.stages)):
            seen = tuples(before(trajectories, k), h)
            matrix, target = normal_equations(self.features, seen, after, self.ridge)
            eta = self.step / np.abs(matrix).sum(axis=1).max()
            self.weights[h] = descend(
                matrix, target, self.weights[h], eta, self.temperature, normals[h]
            )
            q[h] = np.clip(self.features @ self.weights[h], 0, self.stages - h)
            after = q[h].max(axis=-1)
        return np.array(q)
