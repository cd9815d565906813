"""Learners with expert advice again, in plain float64: what the tests hold the JAX ones to.

A reference knows the weights of the round to come (`weights(awake)`) and learns from the losses of
all experts. `awake` is a list of K booleans. Sums are kept as they are.
"""

from __future__ import annotations

import math

import numpy as np


def even(awake):
    here = np.array(awake, np.float64) if any(awake) else np.ones(len(awake))
    return here / here.sum()


class AdaHedge:
    """Straight from the definitions: rate ln K / Delta, mix loss as a difference of soft minima."""

    def __init__(self, num_arms):
        self.losses, self.delta, self.log = np.zeros(num_arms), 0.0, math.log(num_arms)

    @property
    def rate(self):
        return math.inf if self.delta == 0 else self.log / self.delta

    def weights(self, awake=None):
        behind = self.losses - self.losses.min()
        if self.rate == math.inf:
            return (behind == 0) / np.sum(behind == 0)
        shares = np.exp(-self.rate * behind)
        return shares / shares.sum()

    def soft_minimum(self, losses):
        least = losses.min()
        if self.rate == math.inf:
            return least
        return least - math.log(np.sum(np.exp(-self.rate * (losses - least)))) / self.rate

    def update(self, losses, awake=None):
        mean = float(self.weights() @ losses)
        after = self.losses + losses
        mix = self.soft_minimum(after) - self.soft_minimum(self.losses)
        self.losses, self.delta = after, self.delta + max(mean - mix, 0.0)


class Regretful:
    """Shared by the two below: sums over the rounds awake, of regrets and of `measure` of them."""

    def __init__(self, num_arms):
        self.regrets, self.sizes = np.zeros(num_arms), np.zeros(num_arms)

    def weights(self, awake=None):
        awake = [True] * len(self.regrets) if awake is None else awake
        if not any(awake):
            return even(awake)
        pairs = zip(self.regrets, self.sizes, awake, strict=True)
        shares = np.array([self.weight(r, s) if here else 0.0 for r, s, here in pairs])
        return shares / shares.sum() if shares.sum() > 0 else even(awake)

    def update(self, losses, awake=None):
        awake = [True] * len(self.regrets) if awake is None else awake
        weights = self.weights(awake)
        mean = sum(w * x for w, x, here in zip(weights, losses, awake, strict=True) if here)
        for k, here in enumerate(awake):
            if here:
                regret = mean - losses[k]
                self.regrets[k] += regret
                self.sizes[k] += self.measure(regret)


def potential(regret, length):
    return 1.0 if regret <= 0 else math.exp(regret**2 / (3 * length))


class AdaNormalHedge(Regretful):
    measure = staticmethod(abs)

    @staticmethod
    def weight(regret, length):
        return (potential(regret + 1, length + 1) - potential(regret - 1, length + 1)) / 2


# Nodes on (0, 1/2], crowded towards 0: forty pieces, each half as long as the next.
_X, _W = np.polynomial.legendre.leggauss(20)
_ENDS = np.concatenate([[0.0], 0.5 * 2.0 ** np.arange(-40, 1)])
_STEPS = (np.diff(_ENDS)[:, None] * (_X + 1) / 2).ravel() + np.repeat(_ENDS[:-1], 20)
_SHARES = (np.diff(_ENDS)[:, None] * _W / 2).ravel()


def log_integral(regret, squares):
    """ln of the integral of exp(x R - x^2 V) over [0, 1/2], by quadrature on both sides of the
    largest value of the integrand: however narrow the peak, some pieces are narrower."""
    if squares > 0:
        peak = min(max(regret / (2 * squares), 0.0), 0.5)
    else:
        peak = 0.5 if regret > 0 else 0.0
    top, total = peak * regret - peak**2 * squares, 0.0
    for length, sign in ((0.5 - peak, 1), (peak, -1)):
        x = peak + sign * 2 * length * _STEPS
        total += 2 * length * np.sum(_SHARES * np.exp(x * regret - x * x * squares - top))
    return top + math.log(total)


def mean_gain(regret, squares):
    """The integral of (exp(x R - x^2 V) - 1) / x over [0, 1/2]."""
    exponents = _STEPS * regret - _STEPS**2 * squares
    return float(np.sum(_SHARES * np.expm1(exponents) / _STEPS))


class Squint(Regretful):
    @staticmethod
    def measure(regret):
        return regret**2

    @staticmethod
    def weight(regret, squares):
        return math.exp(log_integral(regret, squares))


class Sleeping:
    """Those asleep are told the loss of the play."""

    def __init__(self, learner):
        self.learner = learner

    def weights(self, awake):
        if not any(awake):
            return even(awake)
        shares = np.where(awake, self.learner.weights(), 0.0)
        return shares / shares.sum() if shares.sum() > 0 else even(awake)

    def update(self, losses, awake):
        mean = sum(w * x for w, x, a in zip(self.weights(awake), losses, awake, strict=True) if a)
        self.learner.update(np.where(awake, losses, mean))


class Hedge:
    """`rate` is a function of the round, from 1."""

    def __init__(self, num_arms, rate):
        self.losses, self.rate, self.t = np.zeros(num_arms), rate, 1

    def weights(self, awake=None):
        shares = np.exp(-self.rate(self.t) * (self.losses - self.losses.min()))
        return shares / shares.sum()

    def update(self, losses, awake=None):
        self.losses, self.t = self.losses + losses, self.t + 1


def play(learner, table, awake=None):
    """Weights [T, K] before every round."""
    weights = []
    for t, losses in enumerate(np.asarray(table, np.float64)):
        here = [True] * len(losses) if awake is None else list(awake[t])
        weights.append(learner.weights(here))
        learner.update(losses, here)
    return np.array(weights)
