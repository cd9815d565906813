"""AdaHedge: exponential weights whose rate follows from what mixing has cost so far."""

from __future__ import annotations

import math
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...exact import Pair, plus, single, value
from ..parameters import filled
from .weights import all_awake

_FAR = 40.0  # in the exponent; weights that float32 has no room for are below exp(-87)
_COLD = 1e-30  # temperatures below it count as 0: their inverse is near the end of float32


class AdaHedgeState(NamedTuple):
    losses: Pair  # [K] sums
    gap: Pair  # [] what mixing has cost: the sum of the mixability gaps


@flax.struct.dataclass
class AdaHedge:
    """AdaHedge: weights proportional to exp(-rate * loss so far), at rate ln K / Delta, where Delta
    sums the mixability gaps of the rounds: the learner's loss less its mix loss,
    m = -ln(sum of w exp(-rate * loss)) / rate.

    De Rooij, van Erven, Grunwald and Koolen, "Follow the leader if you can, hedge if you must",
    JMLR 15, 2014, Section 3. Nothing to tune, and the range of the losses need not be known: the
    weights stay the same when losses are shifted or scaled. As long as Delta is 0 the rate is
    infinite: the leaders share the weight evenly, and m is by how much the least cumulative loss
    grew. For losses in an interval of length S, regret is at most
    2 sqrt(V ln K) + S (4/3 ln K + 2), with V the sum of the variances of the losses under the
    weights, itself at most S^2 T / 4.

    Recommends the weights of the next round. No noise. Losses and Delta carry 48 bits. All experts
    are awake in every round.

    Raises:
      ValueError: an environment where experts sleep.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        zeros = jnp.zeros(filled(self, "num_arms"), jnp.float32)
        return AdaHedgeState(single(zeros), single(jnp.float32(0)))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        all_awake(self, observation)
        shares = powers(behind(state.losses), self._temperature(state))
        return shares / jnp.sum(shares)

    def update(self, state, observation, weights, feedback):
        losses = feedback.gradient(weights)
        gap = mixability_gap(weights, behind(state.losses), losses, self._temperature(state))
        return AdaHedgeState(plus(state.losses, single(losses)), plus(state.gap, single(gap)))

    def recommend(self, state):
        return self.act(state, (), ())

    def _temperature(self, state):
        """One over the rate."""
        temperature = value(state.gap) / np.float32(math.log(max(filled(self, "num_arms"), 2)))
        return jnp.where(temperature > _COLD, temperature, 0)


def behind(losses: Pair) -> jax.Array:
    """By how much each expert is behind the leader, [K]: without the digits they share."""
    above = (losses.high - jnp.min(losses.high)) + losses.low
    return above - jnp.min(above)


def powers(behind: jax.Array, temperature: jax.Array) -> jax.Array:
    """exp(-behind / temperature); at temperature 0, one where nothing is behind, else zero."""
    cold = temperature == 0
    shares = jnp.exp(-behind / jnp.where(cold, 1, temperature))
    return jnp.where(cold, (behind == 0).astype(shares.dtype), shares)


def mixability_gap(
    weights: jax.Array, behind: jax.Array, losses: jax.Array, temperature: jax.Array
) -> jax.Array:
    """The mean loss less the mix loss, [], where `weights` are `powers(behind, temperature)`,
    normalised.

    Losses are taken less m, by how much the least cumulative loss grows: in a round that costs
    nothing the gap is exactly 0. With x = rate * (mean - loss), whose mean is 0, it is
    ln(1 + mean of (e^x - 1 - x)) / rate: no term is negative, so no digits cancel, however small
    the rate. Where some x is large, an expert that float32 gives no weight may count, and the mix
    loss comes from what experts are behind before and after the round.
    """
    losses = losses - jnp.min(behind + losses)
    mean = jnp.sum(weights * losses)
    rate = 1 / jnp.where(temperature > 0, temperature, 1)
    x = rate * (mean - losses)
    small = temperature * jnp.log1p(jnp.sum(weights * excess(jnp.minimum(x, _FAR))))
    after = jnp.sum(powers(behind + losses, temperature))
    # The leader has weight 1 / (sum of powers).
    some = (temperature > 0) & (after > 0)
    large = mean + temperature * jnp.log(jnp.where(some, after * jnp.max(weights), 1))
    near = (temperature > 0) & (jnp.max(x) <= _FAR)
    return jnp.where(near, small, jnp.maximum(large, 0))


def excess(x: jax.Array) -> jax.Array:
    """e^x - 1 - x, to a relative 4e-7: by its series near 0, where the first terms cancel."""
    series = jnp.full_like(x, 1 / math.factorial(10))
    for n in range(9, 1, -1):
        series = series * x + np.float32(1 / math.factorial(n))
    return jnp.where(jnp.abs(x) < 1, series * x * x, jnp.exp(x) - 1 - x)
