"""AdaNormalHedge: no learning rate, no horizon, and experts may sleep."""

from __future__ import annotations

from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...exact import Pair, plus, single, value
from ..elementwise import flat
from ..parameters import filled
from .weights import awake, normalised, regrets_of_round


class NormalHedgeState(NamedTuple):
    regrets: Pair  # [K] sums of the regrets of single rounds, over the rounds spent awake
    lengths: Pair  # [K] sums of their absolute values


@flax.struct.dataclass
class AdaNormalHedge:
    """AdaNormalHedge: weights proportional to w(R, C), where R sums what was regretted towards an
    expert in each round that it was awake in, C the absolute values of that, and

      w(R, C) = (Phi(R + 1, C + 1) - Phi(R - 1, C + 1)) / 2,  Phi(R, C) = exp(max(R, 0)^2 / (3 C)).

    Luo and Schapire, "Achieving all with no parameters: AdaNormalHedge", COLT 2015, with an even
    prior. For losses in an interval of length 1, awake or not; only differences between experts
    count. The mean of Phi(R, C) over the K experts never exceeds
    B = 1 + 3/2 (1 + mean of ln(1 + C)), so that R <= sqrt(3 C ln(K B)) for every expert.

    Those asleep get no weight, and their losses are not looked at. Even weights where all w are 0,
    over all experts where nobody is awake. Recommends the weights of a round with all awake.
    No noise. Weights are worked out from log w, and R and C carry 48 bits: nothing overflows or
    wears off, however long the game.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        zeros = jnp.zeros(filled(self, "num_arms"), jnp.float32)
        return NormalHedgeState(single(zeros), single(zeros))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        logs = log_weight(value(state.regrets), value(state.lengths))
        return normalised(logs, awake(observation))

    def update(self, state, observation, weights, feedback):
        losses = feedback.gradient(weights)
        regrets = regrets_of_round(weights, losses, awake(observation))
        return NormalHedgeState(
            plus(state.regrets, single(regrets)),
            plus(state.lengths, single(jnp.abs(regrets))),
        )

    def recommend(self, state):
        return self.act(state, (), ())


@flat
def log_weight(regret: jax.Array, length: jax.Array) -> jax.Array:
    """ln w(R, C), elementwise; -inf where R <= -1.

    The difference of the two exponents is worked out by itself, for its own digits:
    (R + 1)^2 - (R - 1)^2 = 4 R where R >= 1, and (R + 1)^2 below.
    """
    up = jnp.maximum(regret + 1, 0)
    scale = np.float32(1 / 3) / (length + 1)
    gap = jnp.where(regret >= 1, 4 * regret, up * up) * scale
    return up * up * scale + jnp.log(np.float32(-0.5) * jnp.expm1(-gap))
