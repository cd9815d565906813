"""Hybrid learning in plain NumPy, float64, from the lists of offline and online transitions."""

import numpy as np

from regrax.core.mdp import Trajectory

from .histories import tuples
from .reference_lsvi import normal_equations


def joined(offline, online):
    """All episodes as one list."""
    return Trajectory(*(np.concatenate(x) for x in zip(offline, online, strict=True)))


def fitted_q(features, offline, online, shape, ridge):
    """Q [H, S, A] before episode t = len(online) + 1: offline data weigh as t episodes."""
    features, stages = np.asarray(features, float), shape[0]
    t, size = len(online.actions) + 1, len(offline.actions)
    after, q = np.zeros(len(features)), np.zeros(shape)
    for h in reversed(range(stages)):
        seen = tuples(offline, h) + tuples(online, h)
        weights = [t / size] * size + [1.0] * (t - 1)
        matrix, target = normal_equations(features, seen, after, ridge, weights)
        q[h] = np.clip(features @ np.linalg.solve(matrix, target), 0, stages - h)
        after = q[h].max(axis=-1)
    return q


def mabo(values, ratios, gamma, offline, online):
    """Scores [M] of MABO.CR on equal shares of both kinds of data."""
    t, size, stages = len(online.actions) + 1, len(offline.actions), values.shape[1]
    n = 2 * t - 1
    scores = []
    for f in values:
        worst = -np.inf
        for w in ratios:
            total = 0.0
            for h in range(stages):
                errors = squares = 0.0
                rows = [(x, t / size) for x in tuples(offline, h)]
                rows += [(x, 1.0) for x in tuples(online, h)]
                for (s, a, r, after), weight in rows:
                    later = f[h + 1, after].max() if h + 1 < stages else 0.0
                    clipped = min(w[h, s, a], gamma * n)
                    errors += weight / n * clipped * (f[h, s, a] - r - later)
                    squares += weight / n * clipped**2
                total += abs(errors) - 8 / (gamma * n) * squares
            worst = max(worst, total)
        scores.append(worst)
    return np.array(scores)
