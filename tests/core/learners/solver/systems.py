"""A toy sequence of linear systems, and Tsallis-INF on costs in plain float64."""

import math
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from regrax.core import noise
from regrax.core.protocol import Iterations

OMEGAS = np.linspace(1, 1.95, 20)
INTERVAL = -0.15, 0.65


def contexts(num_rounds, seed=0):
    """Shifts with many hard systems among them, float32 [T]."""
    draws = np.random.default_rng(seed).beta(0.5, 1.5, num_rounds)
    return (-0.15 + 0.6 * draws).astype(np.float32)


def counts(shifts, xp=np):
    """Iterations [..., 20] that SOR's rate promises on a 10 x 10 grid, from 18 to 2,944."""
    beta = 4 * math.cos(math.pi / 11) / (4 + xp.asarray(shifts)[..., None])
    edge = xp.sqrt(xp.maximum((OMEGAS * beta) ** 2 - 4 * (OMEGAS - 1), 0))
    optimal = 1 + (beta / (1 + xp.sqrt(1 - beta**2))) ** 2
    radius = xp.where(optimal > OMEGAS, (OMEGAS * beta + edge) ** 2 / 4, OMEGAS - 1)
    return xp.ceil(math.log(1e-8) / xp.log(radius)).astype(np.int32)


MEAN_COUNTS = counts(contexts(200_000, 1)).mean(axis=0)


@flax.struct.dataclass
class Systems:
    """Contexts come at random from a list of them; regret is that of the mean count."""

    shifts: Any

    num_arms = 20
    interval = np.asarray(INTERVAL, np.float32)
    diagonal = np.float32(4)
    spread = np.float32(4 * math.cos(math.pi / 11))

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def observe(self, state, u):
        shifts = jnp.asarray(self.shifts)
        return shifts[jnp.floor(u * len(self.shifts)).astype(jnp.int32)]

    def step(self, state, action, u):
        iterations = counts(self.observe((), u), jnp)[action]
        gaps = jnp.asarray(MEAN_COUNTS - MEAN_COUNTS.min(), jnp.float32)
        metrics = {"cost": iterations.astype(jnp.float32), "regret": gaps[action]}
        return (), Iterations(iterations), metrics

    def evaluate(self, state, recommendation):
        return {"recommended": recommendation}


def probabilities(losses, scale, t):
    """The p that minimises <p, losses / scale> - 2 sqrt(t) sum_i sqrt(p_i), by bisection on the
    multiplier."""
    lags = (losses - min(losses)) / (scale if scale > 0 else 1.0) / math.sqrt(t)

    def surplus(y):
        return np.sum((lags + y) ** -2.0) - 1

    top = math.sqrt(len(losses)) * (1 + 1e-9)
    y = 1.0 if surplus(1.0) <= 0 else brentq(surplus, 1.0, top, xtol=1e-14, rtol=1e-14)
    return (lags + y) ** -2.0


def published_weights(losses, scale, t):
    """Twenty evaluations of Newton's method from -1, and no check of anything."""
    eta, x = 2 / math.sqrt(t), -1.0
    with np.errstate(all="ignore"):
        for _ in range(20):
            p = 4 * (eta * (losses / scale - x)) ** -2.0
            x -= (p.sum() - 1) / (eta * (p**1.5).sum())
    return p


class Reference:
    """The weights of a tuner before every round. A charge divides by the weight that `update` is
    told: by default the reference's own."""

    def __init__(self, weigh, num_arms):
        self.weigh, self.losses = weigh, np.zeros(num_arms)
        self.costs, self.t = [], 1

    def weights(self):
        scale = float(np.mean(self.costs)) if self.costs else 1.0
        return self.weigh(self.losses, scale, self.t)

    def update(self, arm, iterations, weight=None):
        weight = self.weights()[arm] if weight is None else weight
        self.losses[arm] += (iterations - 1) / weight
        self.costs.append(iterations - 1)
        self.t += 1
