"""The convex learners again, in plain float64 NumPy: what the tests hold the JAX ones to.

A reference has `point()`, what it plays next, and `update(gradient)`.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def project_ball(x, radius):
    length = np.linalg.norm(x)
    return x if length <= radius else x * (radius / length)


def project_box(x, low, high):
    return np.minimum(np.maximum(x, low), high)


def project_simplex(x):
    """The level that is taken off is the one that leaves a sum of 1 to some number of largest
    coordinates, all of them positive."""
    for count in range(len(x), 0, -1):
        largest = np.sort(x)[-count:]
        level = (largest.sum() - 1) / count
        if largest.min() > level:
            return np.maximum(x - level, 0)
    raise AssertionError("no coordinate is its own largest")


class Set:
    """A domain: where play starts, its diameter and its projection."""

    def __init__(self, project, start, diameter):
        self.project, self.start, self.diameter = project, np.array(start, float), diameter


def domain(given):
    """The set of a `core.domains` object, from its numbers alone."""
    name, d = type(given).__name__, given.dimension
    if name == "Ball":
        radius = float(given.radius)
        return Set(lambda x: project_ball(x, radius), np.zeros(d), 2 * radius)
    if name == "Box":
        low, high = np.float64(given.low), np.float64(given.high)
        clip = lambda x: project_box(x, low, high)  # noqa: E731
        return Set(clip, clip(np.zeros(d)), np.linalg.norm(high - low))
    return Set(project_simplex, np.full(d, 1 / d), np.sqrt(2))


class OGD:
    """`step` is a function of the round, counted from 1."""

    def __init__(self, domain, step):
        self.domain, self.step, self.x, self.t = domain, step, domain.start, 1

    def point(self):
        return self.x

    def update(self, g):
        self.x = self.domain.project(self.x - self.step(self.t) * g)
        self.t += 1


class OptimisticMirrorDescent:
    """`step` is a function of the round t and V_{t-1}."""

    def __init__(self, domain, step):
        self.domain, self.step, self.inner = domain, step, domain.start
        self.last, self.total, self.t = np.zeros_like(domain.start), 0.0, 1

    def point(self):
        return self.domain.project(self.inner - self.step(self.t, self.total) * self.last)

    def update(self, g):
        self.inner = self.domain.project(self.inner - self.step(self.t, self.total) * g)
        self.total += np.sum((g - self.last) ** 2)
        self.last, self.t = g, self.t + 1


def variation_step(D, G, L):
    return lambda t, total: D / np.sqrt(10 * D**2 * L**2 + 4 * G**2 + total)


class OptimisticFTRL:
    def __init__(self, domain, G, L):
        D = domain.diameter
        self.domain, self.inverse = domain, (L * D**2 + D * G) / D**2
        self.sum = np.zeros_like(domain.start)
        self.last = self.sum

    def point(self):
        step = 1 / (2 * self.inverse)
        return self.domain.project(self.domain.start - step * (self.sum + self.last))

    def update(self, g):
        self.inverse += np.sum((g - self.last) ** 2) / (self.inverse * self.domain.diameter**2)
        self.sum, self.last = self.sum + g, g


class OptimisticFTL:
    """OptimisticFTRL for strongly convex losses."""

    def __init__(self, domain, mu):
        self.domain, self.mu, self.t = domain, mu, 1
        self.sum = np.zeros_like(domain.start)
        self.last = self.sum

    def point(self):
        if self.t == 1:
            return self.domain.start
        return self.domain.project((self.sum - self.last) / (self.mu * (self.t - 1)))

    def update(self, g):
        self.sum = self.sum + self.mu * self.point() - g
        self.last, self.t = g, self.t + 1


class ExponentiatedGradient:
    """Multiplies shares, and normalises them in every round."""

    def __init__(self, domain, step):
        self.step, self.x = step, domain.start

    def point(self):
        return self.x

    def update(self, g):
        self.x = self.x * np.exp(-self.step * (g - g.min()))
        self.x = self.x / self.x.sum()


class FTRL:
    """`step` is a function of the round; the regulariser is quadratic or the entropy."""

    def __init__(self, domain, step, entropic=False):
        self.domain, self.step, self.entropic, self.gradients = domain, step, entropic, []

    def point(self):
        total = np.sum(self.gradients, axis=0) if self.gradients else 0 * self.domain.start
        move = self.step(len(self.gradients) + 1) * total
        if not self.entropic:
            return self.domain.project(self.domain.start - move)
        shares = np.exp(-(move - move.min()))
        return shares / shares.sum()

    def update(self, g):
        self.gradients.append(g)


def nesterov(n):
    """b_0, ..., b_{n-1}: each the sum of 1 / b over all before it, but the first."""
    b = [1.0]
    while len(b) < n:
        b.append(sum(1 / x for x in b))
    return b


class AdaGrad:
    """`step` a number or [d]. On a ball the projection is that of `norm_ball`, for coordinates that
    had a gradient."""

    def __init__(self, given, step, diagonal=True):
        self.given, self.step, self.diagonal = given, np.array(step, float), diagonal
        self.x, self.seen = domain(given).start, []

    def point(self):
        return self.x

    def update(self, g):
        self.seen.append(g)
        squares = np.sum(np.square(self.seen), axis=0)
        if not self.diagonal:
            self.x = self.x - self.step / math.sqrt(max(squares.sum(), 1e-300)) * g
            self.x = domain(self.given).project(self.x)
            return
        used = squares > 0
        goal = self.x.copy()
        step = np.broadcast_to(self.step, used.shape)[used]
        goal[used] = goal[used] - step / np.sqrt(squares[used]) * g[used]
        if type(self.given).__name__ == "Box":
            self.x = domain(self.given).project(goal)
        else:
            norm = np.diag(np.sqrt(squares[used]))
            goal[used] = norm_ball(goal[used], norm, float(self.given.radius))
            self.x = goal


def norm_ball(y, H, radius):
    """The point of the ball nearest to y in the norm of H, by eigenvectors and bisection."""
    if np.linalg.norm(y) <= radius:
        return y
    values, vectors = np.linalg.eigh(H)
    b = values * (vectors.T @ y)
    low, high = 0.0, np.linalg.norm(b) / radius
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.linalg.norm(b / (values + middle)) > radius else (low, middle)
        )
    return vectors @ (b / (values + high))


def norm_box(y, H, low, high):
    """The point of the box nearest to y in the norm of H, by trying every set of coordinates on
    every side."""
    d, best, least = len(y), None, np.inf
    for sides in itertools.product((-1, 0, 1), repeat=d):
        sides = np.array(sides)
        x = np.where(sides < 0, low, high)
        free, held = sides == 0, sides != 0
        if free.any():
            right = H[np.ix_(free, held)] @ (x - y)[held]
            x[free] = y[free] - np.linalg.solve(H[np.ix_(free, free)], right)
        x = np.where(free & (x < low) & (x > low - 1e-12), low, x)
        distance = (x - y) @ H @ (x - y)
        if np.all(x >= low) and np.all(x <= high) and distance < least:
            best, least = x, distance
    return best


def norm_project(given):
    """Projection (y, H) -> x onto a `core.domains` Ball or Box."""
    if type(given).__name__ == "Ball":
        return lambda y, H: norm_ball(y, H, float(given.radius))
    return lambda y, H: norm_box(y, H, np.float64(given.low), np.float64(given.high))


class OnlineNewton:
    """`gamma` as in the paper."""

    def __init__(self, given, gamma):
        ours = domain(given)
        self.project, self.gamma, self.x = norm_project(given), gamma, ours.start
        self.A = np.eye(len(self.x)) / (gamma * ours.diameter) ** 2

    def point(self):
        return self.x

    def update(self, g):
        self.A = self.A + np.outer(g, g)
        self.x = self.project(self.x - np.linalg.inv(self.A) @ g / self.gamma, self.A)


class OptimisticNewton:
    def __init__(self, given, beta, G):
        self.project, self.beta, self.inner = norm_project(given), beta, domain(given).start
        self.H = (1 + beta * G**2 / 2) * np.eye(len(self.inner))
        self.last = np.zeros_like(self.inner)

    def _step(self, g):
        return self.project(self.inner - np.linalg.inv(self.H) @ g, self.H)

    def point(self):
        return self._step(self.last)

    def update(self, g):
        self.inner = self._step(g)
        self.H = self.H + self.beta / 2 * np.outer(g, g)
        self.last = g


class TwoLayer:
    def __init__(self, domain, G, L, T, N=None):
        D = domain.diameter
        N = N or max(1, math.ceil(0.5 * math.log2(G**2 * T / (8 * D**2 * L**2))) + 1)
        self.steps = [min(1 / (8 * L), math.sqrt(D**2 / (8 * G**2 * T)) * 2**i) for i in range(N)]
        self.bases = [
            OptimisticMirrorDescent(domain, lambda t, _, eta=eta: eta) for eta in self.steps
        ]
        self.D, self.G, self.L, self.N = D, G, L, N
        self.losses, self.last, self.total = np.zeros(N), np.zeros_like(domain.start), 0.0
        self.before = None
        self.moving = []  # sum_j p_j c_j of every round

    def _now(self):
        points = np.array([base.point() for base in self.bases])
        moved = np.zeros(self.N)
        if self.before is not None:
            moved = 2 * self.L * np.sum((points - self.before) ** 2, axis=1)
        root = math.sqrt(4 * self.D**2 * self.L**2 + 4 * self.G**2 + self.total)
        rate = math.sqrt(1 + math.log(self.N)) / (self.D * root)
        scores = -rate * (self.losses + points @ self.last + moved)
        weights = np.exp(scores - scores.max())
        return points, moved, weights / weights.sum()

    def point(self):
        points, _, p = self._now()
        return p @ points

    def update(self, g):
        points, moved, p = self._now()
        self.moving.append(p @ moved)
        self.losses = self.losses + points @ g + moved
        self.total += np.sum((g - self.last) ** 2)
        for base in self.bases:
            base.update(g)
        self.before, self.last = points, g


class MetaGrad:
    """One matrix for every learning rate, as in the paper."""

    def __init__(self, given, G, N):
        self.project, D = norm_project(given), domain(given).diameter
        i = np.arange(N)
        self.rates = 2.0**-i / (5 * D * G)
        self.weights = (1 + 1 / N) / ((i + 1) * (i + 2))
        self.points = [domain(given).start] * N
        d = len(self.points[0])
        self.norms = [np.eye(d) / D**2 for _ in i]

    def point(self):
        tilted = self.weights * self.rates
        return tilted @ np.array(self.points) / tilted.sum()

    def update(self, g):
        x = self.point()
        for i, (eta, w) in enumerate(zip(self.rates, self.points, strict=True)):
            surrogate = eta * g @ (w - x) + eta**2 * (g @ (w - x)) ** 2
            self.weights[i] *= np.exp(-surrogate)
            self.norms[i] = self.norms[i] + 2 * eta**2 * np.outer(g, g)
            slope = eta * (1 + 2 * eta * g @ (w - x)) * g
            self.points[i] = self.project(w - np.linalg.inv(self.norms[i]) @ slope, self.norms[i])
