"""Hedge: exponential weights, with a rate fixed beforehand or falling as 1 / sqrt(t)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..bandits.exponential import Weights, even, weigh
from ..parameters import filled, require
from .weights import all_awake


class HedgeState(NamedTuple):
    weights: Weights
    lows: jax.Array  # [K] what rounding took from the losses
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class Hedge:
    """Hedge: the weight of an expert is proportional to exp(-learning_rate * its loss so far).

    Freund and Schapire, "A decision-theoretic generalization of on-line learning and an application
    to boosting", Journal of Computer and System Sciences 55, 1997, Figure 1. For losses in an
    interval of length 1; only differences between the experts of a round count. Left blank,
    learning_rate is sqrt(8 ln K / T) at horizon T, with a regret of at most sqrt(T ln K / 2):
    Cesa-Bianchi and Lugosi, "Prediction, learning, and games", 2006, Theorem 2.2. With anytime=True
    learning_rate is the c of the rate c / sqrt(t) in round t, and left blank sqrt(8 ln K), with a
    regret of at most sqrt(2 T ln K) + sqrt(ln K / 8): Theorem 2.3.

    Recommends the weights of the next round. No noise. Losses are summed with compensation:
    experts far behind lose no digits. All experts are awake in every round.

    Raises:
      ValueError: a horizon below 1, a negative rate; an environment where experts sleep.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    learning_rate: Any = None
    anytime: bool = flax.struct.field(pytree_node=False, default=False)

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one or more")
        require(self, "learning_rate", lambda x: x >= 0, "zero or more")

    def init(self, key):
        weights = even(filled(self, "num_arms"))
        return HedgeState(weights, jnp.zeros_like(weights.losses), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        all_awake(self, observation)
        return state.weights.weights / state.weights.total

    def update(self, state, observation, weights, feedback):
        losses, before, rounds = feedback.gradient(weights), state.weights.losses, state.rounds + 1
        losses = losses - jnp.min(losses) + state.lows
        after = before + losses
        lows = losses - (after - before)
        return HedgeState(weigh(after, self._rate(rounds + 1)), lows, rounds)

    def recommend(self, state):
        return self.act(state, (), ())

    def _rate(self, t):
        rate, range = self.learning_rate, math.sqrt(8 * math.log(filled(self, "num_arms")))
        if self.anytime:
            return (range if rate is None else rate) * jax.lax.rsqrt(t.astype(jnp.float32))
        return range / jnp.sqrt(filled(self, "horizon")) if rate is None else rate
