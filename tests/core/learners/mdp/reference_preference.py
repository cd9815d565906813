"""PR-LSVI in plain float64 NumPy, from the whole history, with optimisers of SciPy."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit


def difference(features, first, second):
    """Of the features of two trajectories (states, actions), [H d]."""
    (s0, a0), (s1, a1) = first, second
    return (features[s1[:-1], a1] - features[s0[:-1], a0]).ravel()


def maximum(pairs, answers, steepness, penalty):
    """The penalised maximum likelihood over all pairs, [n]."""
    x, signs = np.array(pairs), 2 * np.array(answers) - 1.0

    def loss(theta):
        logits = signs * steepness * (x @ theta)
        slope = -(signs * steepness * expit(-logits)) @ x + penalty * theta
        return penalty * theta @ theta / 2 - log_expit(logits).sum(), slope

    def curvature(theta):
        return curvature_at(theta, pairs, steepness, penalty)

    start = np.zeros(x.shape[1])
    options = {"gtol": 1e-12}
    found = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options=options)
    return found.x


def curvature_at(theta, pairs, steepness, penalty):
    x = np.array(pairs)
    chances = expit(steepness * (x @ theta))
    weights = steepness**2 * chances * (1 - chances)
    return penalty * np.eye(x.shape[1]) + (weights[:, None] * x).T @ x


class Sequential:
    """Every pair but the newest counts by the expansion of its log likelihood at the estimate that
    it led to: value, slope and curvature there."""

    def __init__(self, size, steepness, penalty, ridge):
        self.steepness, self.penalty, self.ridge = steepness, penalty, ridge
        self.theta = np.zeros(size)
        self.pairs, self.slopes, self.curvatures, self.centres = [], [], [], []

    def tell(self, x, answer):
        k, sign = self.steepness, 2 * answer - 1.0

        def loss(theta):
            value, slope = self._earlier(theta)
            logit = sign * k * (x @ theta)
            return value - log_expit(logit), slope - sign * k * expit(-logit) * x

        def curvature(theta):
            chance = expit(k * (x @ theta))
            return self.precision() + k**2 * chance * (1 - chance) * np.outer(x, x)

        options = {"gtol": 1e-11}
        found = minimize(
            loss, self.theta, jac=True, hess=curvature, method="trust-exact", options=options
        )
        self.theta = found.x
        chance = expit(k * (x @ self.theta))
        self.pairs.append(x)
        self.slopes.append(k * (answer - chance))
        self.curvatures.append(k**2 * chance * (1 - chance))
        self.centres.append(self.theta)

    def _earlier(self, theta):
        value, slope = self.penalty * theta @ theta / 2, self.penalty * theta
        rows = zip(self.pairs, self.slopes, self.curvatures, self.centres, strict=True)
        for x, first, second, centre in rows:
            moved = x @ (theta - centre)
            value += second * moved**2 / 2 - first * moved
            slope = slope + (second * moved - first) * x
        return value, slope

    def precision(self):
        matrix = self.penalty * np.eye(len(self.theta))
        for x, weight in zip(self.pairs, self.curvatures, strict=True):
            matrix += weight * np.outer(x, x)
        return matrix

    def covering(self):
        matrix = self.ridge * np.eye(len(self.theta))
        for x in self.pairs:
            matrix += np.outer(x, x)
        return matrix


def values(features, trajectories, theta, ridge, noise, lower, upper):
    """Q [H, S, A]: theta [H d] as drawn; noise [H, d] as added to the regressions' weights."""
    stages, d = noise.shape
    states, actions, _ = features.shape
    found, after = np.zeros((stages, states, actions)), np.zeros(states)
    for h in reversed(range(stages)):
        x = np.array([features[s[h], a[h]] for s, a in trajectories]).reshape(-1, d)
        gram = ridge * np.eye(d) + x.T @ x
        targets = np.array([after[s[h + 1]] for s, _ in trajectories])
        weights = np.linalg.solve(gram, x.T @ targets) + noise[h]
        widths = np.sqrt(np.einsum("sad,sad->sa", features @ np.linalg.inv(gram), features))
        rho = np.clip((upper - widths) / (upper - lower), 0, 1)
        rewards = features @ theta.reshape(stages, d)[h]
        found[h] = rewards + rho * (features @ weights) + (1 - rho) * (stages - 1 - h)
        after = found[h].max(axis=-1)
    return found
