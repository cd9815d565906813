"""Bayes-UCB: plays the largest posterior quantile."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...noise import argmax
from ..elementwise import flat
from ..parameters import filled, nonnegative, require, require_pair
from .arms import Arms, add, best, fresh
from .kl import bernoulli_ascent

# Stieltjes' continued fraction of ln Gamma's correction to Stirling's formula.
_STIELTJES = (1 / 12, 1 / 30, 53 / 210, 195 / 371, 22999 / 22737)
_CUT = 16.0  # the tail integral stops where its integrand is e^-16 of what it was
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(14)  # for the tail integral


def beta_upper_quantile(a: jax.Array, b: jax.Array, tail: jax.Array) -> jax.Array:
    """The x that a Beta(a, b) variable exceeds with probability `tail`, elementwise.

    For a, b in [1, 1e7] and tail in [1e-10, 1/2] the absolute error is at most 3e-7 (float32).
    """
    a, b, tail = jnp.broadcast_arrays(a, b, tail)
    return _quantile(a, b, _log_normaliser(a, b), tail)


def _stirling(z):
    """ln Gamma(z) - ((z - 1/2) ln z - z + ln(2 pi) / 2), to 1e-7 absolute, for z >= 1."""
    fraction = jnp.zeros_like(z)
    for c in _STIELTJES[::-1]:
        fraction = c / (z + 1 + fraction)
    return fraction + (z + 0.5) * jnp.log1p(1 / z) - 1


def _log_normaliser(a, b):
    """The part of ln(x^a (1 - x)^b / B(a, b)) that is left at the mean x = a / (a + b)."""
    n = a + b
    correction = _stirling(n) - _stirling(a) - _stirling(b)
    return jnp.log(a / n * b / (2 * np.pi)) / 2 + correction


@flat
def _quantile(a, b, normaliser, tail):
    """Solves ln P(X > x) = ln(tail) for y, where x = 1 - b / (a + b) exp(-y).

    In this variable ln P(X > x) is concave with slope -1 / mass and curvature
    (pull * mass - 1) / mass^2, where mass is the tail's integral relative to the density at x. Two
    steps to the root of the parabola, from the Chernoff-like start n KL(mean, x) = z^2 / 2 with z
    the normal quantile, are within rounding of the root.
    """
    n = a + b
    mean, rest, log_tail = a / n, b / n, jnp.log(tail)
    z = -jax.scipy.special.ndtri(tail)
    y = bernoulli_ascent(mean, rest, z * z / (2 * n), steps=2)

    def step(_, y):
        gap = -rest * jnp.expm1(-y)
        x = mean + gap
        odds = rest * jnp.exp(-y) / x  # of 1 - x to x
        pull = b - (a - 1) * odds
        mass = _tail_mass(a, b, odds, pull)
        excess = a * jnp.log1p(gap / mean) - b * y + normaliser - jnp.log(x / mass) - log_tail
        bend = 2 * (1 - pull * mass) * excess
        return y + 2 * mass * excess / (1 + jnp.sqrt(jnp.maximum(1 + bend, 0)))

    y = jax.lax.fori_loop(0, 2, step, y)
    return mean - rest * jnp.expm1(-y)


def _tail_mass(a, b, odds, pull):
    """The integral over v >= 0 of exp(-b v) (1 + odds (1 - exp(-v)))^(a - 1), by Gauss-Legendre.

    That is P(X > x) over the density of -ln(1 - X) at -ln(1 - x). The exponent is concave and
    starts with slope -pull: its parabola at 0, then one Newton step, say where it has fallen to
    -_CUT, or further.
    """
    a = a - 1

    def exponent(v):
        return a * jnp.log1p(-odds * jnp.expm1(-v)) - b * v

    curvature = a * odds * (1 + odds)
    length = 2 * _CUT / (pull + jnp.sqrt(pull * pull + 2 * _CUT * curvature))
    slope = a * odds * jnp.exp(-length) / (1 - odds * jnp.expm1(-length)) - b
    length = length - (exponent(length) + _CUT) / slope
    total = 0.0
    for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
        total = total + weight / 2 * jnp.exp(exponent(length * ((node + 1) / 2)))
    return length * total


class BayesUCBState(NamedTuple):
    a: jax.Array  # [K] prior plus successes
    b: jax.Array  # [K] prior plus failures
    normalisers: jax.Array  # [K]
    rounds: jax.Array  # int32, rounds played


def _tail(learner, rounds):
    """1 / (t (ln T)^c) in round t = rounds + 1, T the horizon: 1/2 at most, as from t = 2 on."""
    log = jnp.log(jnp.maximum(filled(learner, "horizon"), np.e))
    t = jnp.maximum(rounds + 1, 2).astype(jnp.float32)
    return jnp.maximum(1 / (t * log**learner.c), 1e-10)


@flax.struct.dataclass
class BayesUCB:
    """Bayes-UCB with a Beta prior on each arm's mean, for rewards in [0, 1].

    In round t (t = 1, 2, ...) of T, plays the largest posterior quantile of order
    1 - 1 / (t (ln T)^c).

    Kaufmann, Cappe and Garivier, "On Bayesian upper confidence bounds for bandit problems",
    AISTATS 2012, Algorithm 1. A reward r counts as r successes and 1 - r failures, which for
    Bernoulli rewards is the posterior. No arm is played out of turn; ties, as in the first round,
    go to the lowest index. The quantile is accurate to 3e-7 (`beta_upper_quantile`) and its order
    ends at 1 - 1e-10. Sums of Bernoulli rewards are exact to 2^24 plays of an arm, those of others
    are off by a few percent at most after 10^6.

    Args:
      horizon: T, which matters if c > 0.
      c: 5 in the regret bound, 0 as the authors advise in practice.
      prior: (a, b), each 1 or more.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    c: Any = 0.0
    prior: tuple[float, float] = flax.struct.field(pytree_node=False, default=(1.0, 1.0))

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "c", nonnegative, "zero or more")
        require_pair(self, "prior", lambda x: x >= 1, "numbers, each 1 or more")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        a, b = (jnp.full(num_arms, p, jnp.float32) for p in self.prior)
        return BayesUCBState(a, b, _log_normaliser(a, b), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        tail = jnp.full_like(state.a, _tail(self, state.rounds))
        return argmax(_quantile(state.a, state.b, state.normalisers, tail))

    def update(self, state, observation, arm, feedback):
        a = state.a[arm] + feedback.reward
        b = state.b[arm] + (1 - feedback.reward)
        return BayesUCBState(
            state.a.at[arm].set(a),
            state.b.at[arm].set(b),
            state.normalisers.at[arm].set(_log_normaliser(a, b)),
            state.rounds + 1,
        )

    def recommend(self, state):
        return argmax(state.a / (state.a + state.b))


class BayesUCBGaussianState(NamedTuple):
    arms: Arms
    scales: jax.Array  # [K] posterior standard deviations
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class BayesUCBGaussian:
    """Bayes-UCB with Gaussian rewards of known variance and a flat prior on each arm's mean.

    In round t (t = 1, 2, ...) of T, plays the largest mean + reward_scale * z / sqrt(pulls), z the
    standard normal quantile of order 1 - 1 / (t (ln T)^c).

    Kaufmann, Cappe and Garivier, AISTATS 2012, Algorithm 1 and Section 4. Every arm once first
    (its posterior is flat), in index order; ties go to the lowest index.

    Args:
      horizon: T, which matters if c > 0.
      c: 0 as the authors advise in practice.
      reward_scale: standard deviation of a reward about its mean, taken as known.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    c: Any = 0.0
    reward_scale: Any = 1.0

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "c", nonnegative, "zero or more")
        require(self, "reward_scale", lambda x: x > 0, "positive")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        scales = jnp.full(num_arms, jnp.inf, jnp.float32)
        return BayesUCBGaussianState(fresh(num_arms), scales, jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        z = -jax.scipy.special.ndtri(_tail(self, state.rounds))
        bounds = state.arms.means + z * state.scales
        return argmax(jnp.where(state.arms.pulls > 0, bounds, jnp.inf))

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        scale = self.reward_scale * jax.lax.rsqrt(arms.pulls[arm].astype(jnp.float32))
        return BayesUCBGaussianState(arms, state.scales.at[arm].set(scale), state.rounds + 1)

    def recommend(self, state):
        return best(state.arms)
