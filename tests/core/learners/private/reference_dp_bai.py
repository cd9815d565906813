"""DP-BAI in plain float64 NumPy, a line for every line of the policy, with the collection of
largest determinant found by trying all."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np


def sizes(num_arms, dimension, variant):
    """M_1 and s_1, ..., s_(M+1), from the recursions for g and h as they are written."""
    core = math.ceil(dimension**2 / 4)
    first = max(num_arms - core, 0)
    # The least b >= 2 with b^(ln d) >= first.
    shrink = max(2.0, first ** (1 / math.log(dimension))) if dimension > 1 else np.inf
    g, h = [min(num_arms, core)], [first]
    for _ in range(2 * num_arms):
        g.append(math.ceil(g[-1] / 2))
        h.append(math.ceil((h[-1] + 1) / shrink) - 1 if np.isfinite(shrink) else 0)
    if variant == "V2":
        m1 = next(i for i in range(1, len(h)) if h[i] == 0)
        m = m1 + next(i for i in range(1, len(g)) if g[i] == 1) - 1
        return m1, [g[0] + h[p - 1] if p <= m1 else g[p - m1] for p in range(1, m + 2)]
    m1 = next(i for i in range(len(h)) if h[i] == 0)
    m = m1 + next(i for i in range(len(g)) if g[i] == 1)
    return m1, [g[0] + h[p - 1] if p <= m1 else g[p - m1 - 1] for p in range(1, m + 2)]


def divided(budget, num_arms, dimension, variant, rounding, max_det=True):
    """T'."""
    m1, s = sizes(num_arms, dimension, variant)
    m = len(s) - 1
    if rounding == "safe":
        most = dimension**2 if max_det else num_arms
        return budget - sum(min(s[p - 1], most) for p in range(1, m + 1))
    later = (math.ceil(dimension**2 / 2 ** (p - m1 + 1)) for p in range(m1 + 1, m + 1))
    return budget - m1 * dimension - sum(later)


def coordinates(features):
    """[s, r] in an orthonormal basis of the span, by the singular value decomposition."""
    _, values, rows = np.linalg.svd(features, full_matrices=False)
    rank = int(np.sum(values > 1e-6 * values[0])) if values[0] > 0 else 0
    return features @ rows[:rank].T


def max_det(points):
    """The r of the points [s, r] with the largest |det|, the first of equal ones."""
    return _max_det(points.tobytes(), points.shape)


@functools.cache
def _max_det(raw, shape):
    points = np.frombuffer(raw).reshape(shape)
    subsets = np.array(list(itertools.combinations(range(shape[0]), shape[1])))
    volumes = np.abs(np.linalg.det(points[subsets]))
    return subsets[np.argmax(volumes > volumes.max() * (1 - 1e-9))]


def pulled(features, active, size, choose):
    """The arms that a phase pulls, in slots, and all active arms in terms of them."""
    arms = np.flatnonzero(active)
    points = coordinates(features[arms])
    if points.shape[1] > math.sqrt(size):
        return arms, np.eye(len(arms))
    members = choose(points)
    return arms[members], points @ np.linalg.inv(points[members])


def keep(means, active, count):
    """The `count` active arms of largest mean, the lowest index on ties, as a mask."""
    order = sorted(np.flatnonzero(active), key=lambda i: (-means[i], i))
    mask = np.zeros(len(active), bool)
    mask[order[:count]] = True
    return mask


def play(features, budget, epsilon, phase_means, rng, variant="V2", rounding="safe"):
    """One run: the arm it recommends, and the pulls it took. `phase_means(arms, n, rng)` are the
    means of n rewards of each of some arms."""
    num_arms, dimension = features.shape
    _, s = sizes(num_arms, dimension, variant)
    share = divided(budget, num_arms, dimension, variant, rounding) / (len(s) - 1)
    active, spent = np.ones(num_arms, bool), 0
    for p in range(len(s) - 1):
        arms, alphas = pulled(features, active, s[p], max_det)
        n = math.ceil(share / len(arms))
        spent += n * len(arms)
        private = phase_means(arms, n, rng) + rng.laplace(size=len(arms)) / (epsilon * n)
        means = np.full(num_arms, -np.inf)
        means[active] = alphas @ private
        active = keep(means, active, s[p + 1])
    return int(np.flatnonzero(active)[0]), spent
