"""Least-squares value iteration in plain NumPy, float64: every regression is solved from the list
of all transitions."""

import numpy as np

from .histories import tuples


def normal_equations(features, transitions, values, ridge, weights=None):
    """The matrix and the right-hand side of the regression of r + values[s'] on phi(s, a)."""
    d = features.shape[-1]
    matrix, target = ridge * np.eye(d), np.zeros(d)
    weights = np.ones(len(transitions)) if weights is None else weights
    for (s, a, r, after), weight in zip(transitions, weights, strict=True):
        phi = features[s, a]
        matrix += weight * np.outer(phi, phi)
        target += weight * phi * (r + values[after])
    return matrix, target


def lsvi(features, trajectories, stages, ridge, value):
    """Q [H, S, A]: `value(h, w, matrix)` makes the values [S, A] of a stage, which are kept between
    0 and H - h, of the regression's solution and matrix."""
    features = np.asarray(features, float)
    after, q = np.zeros(len(features)), np.zeros((stages, *features.shape[:2]))
    for h in reversed(range(stages)):
        matrix, target = normal_equations(features, tuples(trajectories, h), after, ridge)
        q[h] = np.clip(value(h, np.linalg.solve(matrix, target), matrix), 0, stages - h)
        after = q[h].max(axis=-1)
    return q


def widths(features, matrix):
    """phi^T matrix^-1 phi, [S, A]."""
    flat = features.reshape(-1, features.shape[-1])
    return np.sum(flat * np.linalg.solve(matrix, flat.T).T, axis=-1).reshape(features.shape[:-1])


def lsvi_ucb(features, trajectories, stages, ridge, bonus):
    features = np.asarray(features, float)

    def value(h, w, matrix):
        return features @ w + bonus * np.sqrt(widths(features, matrix))

    return lsvi(features, trajectories, stages, ridge, value)


def perturbed(features, trajectories, stages, ridge, sigma, normals, roots):
    """The largest of values of weights w + sigma root^T z, z = normals[h, m]. Any root gives the
    same law: which one is checked to be a root of the inverse, and then used."""
    features = np.asarray(features, float)

    def value(h, w, matrix):
        np.testing.assert_allclose(
            roots[h].T @ roots[h], np.linalg.inv(matrix), rtol=1e-8, atol=1e-10
        )
        return np.max([features @ (w + sigma * roots[h].T @ z) for z in normals[h]], axis=0)

    return lsvi(features, trajectories, stages, ridge, value)


def greedy(values):
    """The lowest index of the largest, of numbers that rounding must not tell apart."""
    return np.argmax(np.asarray(values, np.float32), axis=-1)
