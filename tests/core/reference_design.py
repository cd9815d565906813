"""Designs in plain NumPy, float64, and the features that the tests try them on."""

from __future__ import annotations

import itertools

import numpy as np


def features(num_arms: int, d: int, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """[seeds, K, d] float32: normal ones, points of a small grid (ties, repeated and zero rows),
    repeated rows, and ones that span too few dimensions, in turn."""
    x = rng.normal(size=(seeds, num_arms, d))
    x[1::4] = rng.integers(-1, 2, x[1::4].shape)
    x[2::4, num_arms // 2 :] = x[2::4, : num_arms - num_arms // 2]
    if d > 1:
        x[3::4, :, -1] = x[3::4, :, :-1].sum(axis=-1)
    x[:, 0, 0] += 3  # something to learn from in every seed
    return x.astype(np.float32)


def span(x: np.ndarray) -> np.ndarray:
    """An orthonormal basis [d, r] of the span of rows."""
    _, sizes, rows = np.linalg.svd(x, full_matrices=False)
    return rows[sizes > 1e-5 * sizes[0]].T


def norms(pulled: np.ndarray, weights: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared norms of the rows of y in the inverse of sum_i weights_i x_i x_i^T, on its span:
    infinite outside of it."""
    pulled, weights, y = (np.asarray(a, np.float64) for a in (pulled, weights, y))
    used = pulled[weights > 0]
    basis = span(used)
    inside = y @ basis
    matrix = (used @ basis).T @ (weights[weights > 0, None] * (used @ basis))
    squared = np.sum(inside * np.linalg.solve(matrix, inside.T).T, axis=1)
    outside = np.linalg.norm(y - inside @ basis.T, axis=1) > 1e-4 * np.linalg.norm(y, axis=1)
    return np.where(outside, np.inf, squared)


def volume(x: np.ndarray) -> float:
    return float(np.sqrt(max(np.linalg.det(x @ x.T), 0)))


def largest_volume(x: np.ndarray, rank: int) -> float:
    return max(volume(x[list(c)]) for c in itertools.combinations(range(len(x)), rank))


def greedy_and_swaps(x: np.ndarray) -> list[int]:
    """Members of a basis: the largest residual in turn, then exchanges while some |alpha| > 1."""
    residual, members = x.astype(np.float64), []
    for _ in range(x.shape[1]):
        members.append(int(np.argmax(np.sum(residual**2, axis=1))))
        q = residual[members[-1]] / np.linalg.norm(residual[members[-1]])
        residual = residual - np.outer(residual @ q, q)
    while True:
        alphas = np.linalg.solve(x[members].T.astype(np.float64), x.T).T
        arm, slot = np.unravel_index(np.argmax(np.abs(alphas)), alphas.shape)
        if abs(alphas[arm, slot]) <= 1 + 1e-4:
            return members
        members[slot] = int(arm)


def d_optimal(x: np.ndarray, steps: int = 20_000) -> np.ndarray:
    """Weights by Silvey, Titterington and Torsney's multiplicative algorithm, for long."""
    x = x.astype(np.float64) @ span(x)
    weights = np.full(len(x), 1 / len(x))
    for _ in range(steps):
        matrix = x.T @ (weights[:, None] * x)
        weights = weights * np.sum(x * np.linalg.solve(matrix, x.T).T, axis=1) / x.shape[1]
    return weights


def xy_rho(x: np.ndarray, among: np.ndarray, gap: float = 0.003) -> float:
    """min over designs of max ||x_i - x_j||^2, by linear programming over weights of both sides:
    subgradient cuts, to a relative gap."""
    from scipy.optimize import linprog

    x = x.astype(np.float64) @ span(x)
    i, j = np.triu_indices(len(among), 1)
    y = x[among[i]] - x[among[j]]
    weights, cuts, best = np.full(len(x), 1 / len(x)), [], np.inf
    for _ in range(2_000):
        inverse = np.linalg.inv(x.T @ (weights[:, None] * x))
        values = np.sum((y @ inverse) * y, axis=1)
        best = min(best, values.max())
        for k in np.argsort(values)[-3:]:
            # Convex in the weights: value >= 2 value - <slopes, other weights>.
            cuts.append(np.append(-((x @ inverse @ y[k]) ** 2), -1))
            cuts[-1] = np.append(cuts[-1], -2 * values[k])
        rows = np.array(cuts)
        low = linprog(
            np.append(np.zeros(len(x)), 1),
            A_ub=rows[:, :-1],
            b_ub=rows[:, -1],
            A_eq=[np.append(np.ones(len(x)), 0)],
            b_eq=[1],
        )
        if best <= low.fun * (1 + gap):
            return best
        weights = 0.6 * weights + 0.4 * np.maximum(low.x[:-1], 1e-6)
        weights /= weights.sum()
    raise AssertionError("the cuts did not converge")
