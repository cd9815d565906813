"""Tsallis-INF: follow the regularised leader with the Tsallis entropy of power 1/2."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ... import noise as tapes
from ..parameters import filled, require
from .exponential import SMALLEST, settle


def _sum_pair(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums of two arrays [K]. One pass, for few arms: on a CPU `jnp.sum` is five times slower
    here, but for many it does not add up one by one, which keeps more digits."""
    if x.shape[-1] > 64:
        return jnp.sum(x), jnp.sum(y)
    zero = np.zeros((), x.dtype)
    return jax.lax.reduce((x, y), (zero, zero), lambda a, b: (a[0] + b[0], a[1] + b[1]), (0,))


def tsallis_weights(lags: jax.Array) -> jax.Array:
    """Weights w_i = (lags_i + y)^-2 [K] with the y > 0 for which they add up to one.

    Args:
      lags: eta / 2 times what each arm lost more than the leader, [K]; the least is 0.

    By Newton's method on h(y) = (sum_i (lags_i + y)^-2)^(-1/2) = 1. h is a power mean of the
    lags_i + y, so increasing and concave in y: its tangents lie above it, so a step from anywhere
    ends left of the root, and the steps from there only climb towards it. From y = 1, where
    h <= 1 because one lag is 0, no step can overshoot or leave [1, sqrt(K)]; where all lags are
    equal h is linear and the first step lands on the root. (Newton on the sum itself, from where
    the last round ended, can be thrown to the wrong side of a pole.) With as many steps as K has
    digits, and two more, the sum is off by less than 1e-6 for any lags, up to K = 10,000.
    """
    y = jnp.ones((), lags.dtype)
    for _ in range(2 + len(str(lags.shape[-1] - 1))):
        inverse = 1 / (lags + y)
        square = inverse * inverse
        total, slope = _sum_pair(square, square * inverse)
        y = y + total * (jnp.sqrt(total) - 1) / slope
    inverse = 1 / (lags + y)
    return inverse * inverse


class TsallisState(NamedTuple):
    losses: jax.Array  # [K] estimated cumulative losses, less a number common to all arms
    weights: jax.Array  # [K] the probabilities of the next round
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class TsallisINF:
    """Tsallis-INF with the importance-weighted or the reduced-variance estimator.

    In round t, w = argmin <w, L> - (4 / eta_t) sum_i sqrt(w_i) over the simplex, so that
    w_i = 4 (eta_t (L_i - x))^-2, with L the estimated losses (1 - reward) and eta_t =
    learning_rate / sqrt(t). Zimmert and Seldin, "Tsallis-INF: an optimal algorithm for stochastic
    and adversarial bandits", Journal of Machine Learning Research 22, 2021, Algorithm 1 and Theorem
    1, for rewards in [0, 1]. Left blank, learning_rate is the paper's:
      estimator="iw": 2. The arm that was played is charged loss / w_i.
      estimator="rv": 4. The arm that was played is charged (loss - b_i) / w_i, and every arm b_i,
        which is 1/2 where w_i >= eta_t^2 and 0 elsewhere.

    One uniform a round, by inversion in index order. Recommends the arm of the least estimated
    loss, the lowest index on ties. The half losses of "rv" are summed exactly for 6 10^7 rounds.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    learning_rate: Any = None
    estimator: str = flax.struct.field(pytree_node=False, default="iw")

    def __post_init__(self):
        if self.estimator not in ("iw", "rv"):
            raise ValueError(f'TsallisINF: estimator is "iw" or "rv", got {self.estimator!r}')
        require(self, "learning_rate", lambda x: x > 0, "positive")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        zeros = jnp.zeros(num_arms, jnp.float32)
        return TsallisState(zeros, zeros + 1 / num_arms, jnp.int32(0))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        return tapes.categorical(noise, state.weights)

    def update(self, state, observation, arm, feedback):
        losses, loss, t = state.losses, 1 - feedback.reward, state.rounds + 1
        weight = jnp.maximum(state.weights[arm], SMALLEST)
        if self.estimator == "rv":
            halves = jnp.where(state.weights >= self._rate(t) ** 2, 0.5, 0.0)
            losses, loss = losses + halves, loss - halves[arm]
        losses = losses.at[arm].add(loss / weight)
        least = jnp.min(losses)
        weights = tsallis_weights(self._rate(t + 1) / 2 * (losses - least))
        return TsallisState(settle(losses, least), weights, t)

    def recommend(self, state):
        return tapes.argmax(-state.losses)

    def _rate(self, t):
        scale = self.learning_rate
        if scale is None:
            scale = 2.0 if self.estimator == "iw" else 4.0
        return scale * jax.lax.rsqrt(t.astype(jnp.float32))
