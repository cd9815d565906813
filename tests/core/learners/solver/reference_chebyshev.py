"""ChebCB from its definition: all rounds kept, every fit from scratch, in units of the scale."""

import numpy as np
from numpy.polynomial import chebyshev
from scipy.optimize import lsq_linear


class ChebCB:
    """`ridge` adds so much times the identity to the features, as one more row an unknown."""

    def __init__(self, num_arms, interval, m=6, quirk=True, ridge=0.0):
        self.d, self.m, self.interval, self.quirk = num_arms, m, interval, quirk
        self.extra = ridge * np.eye(m) if ridge else np.zeros((0, m))
        self.theta, self.scale, self.eta = np.zeros((num_arms, m)), 0.0, 0.0
        self.arms, self.features, self.losses, self.predictions = [], [], [], []
        self.boxed = 0

    def feature(self, c):
        a, b = (float(x) for x in self.interval)
        return chebyshev.chebvander(2 * (float(c) - a) / (b - a) - 1, self.m - 1).ravel()

    def probabilities(self, c):
        y = self.theta @ self.feature(c)
        best = int(np.argmin(y))
        p = 1 / (self.d + self.eta * (y - y[best]))
        p[best] = 1 - (p.sum() - p[best])
        return p

    def update(self, c, arm, count):
        f = self.feature(c)
        self.predictions.append(self.theta[arm] @ f)
        self.arms.append(arm)
        self.features.append(f)
        self.losses.append(float(count))
        losses, t, m = np.array(self.losses), len(self.losses), self.m
        top = losses.max()
        spread = top if self.quirk else top - losses.min()
        n = 2 + 4 * spread / top * (1 + np.log(m))
        old, self.scale = self.scale, top * n
        bound = np.array([1 / n, *(2 * spread / (self.scale * j) for j in range(1, m))])
        residual = 0.0
        for i in range(self.d) if self.scale != old else [arm]:
            if i in self.arms:
                residual = self.fit(i, bound) or residual
        alpha = (np.pi + 2 / np.pi * np.log(2 * m + 1)) * spread / (2 * self.scale * (m + 1))
        errors = np.sum((np.array(self.predictions) - losses / self.scale) ** 2)
        denominator = errors - residual + 2 * alpha**2 * t
        self.eta = 2 * t * np.sqrt(self.d * t / denominator)

    def fit(self, arm, bound):
        """The residual sum of squares of a fit in the box, or nothing."""
        own = np.array(self.arms) == arm
        x = np.vstack([np.array(self.features)[own], self.extra])
        y = np.append((np.array(self.losses)[own] - 1) / self.scale, np.zeros(len(self.extra)))
        self.theta[arm] = np.linalg.lstsq(x, y, rcond=None)[0]
        if np.all(np.abs(self.theta[arm]) <= bound):
            return None
        self.boxed += 1
        # bvls takes no box without inside, which is what R = 0 makes of it.
        wide = np.maximum(bound, 1e-15)
        self.theta[arm] = lsq_linear(x, y, (-wide, wide), "bvls", tol=1e-15, max_iter=500).x
        return np.sum((x @ self.theta[arm] - y) ** 2)
