"""UCB1, Thompson sampling and Exp3 as a user would first write them: formulas, nothing cached.

`regrax bench bandits` runs them beside the learners that ship, to show what the plain way costs: at
most half the speed. The only tricks are in the helpers they call for the arg-max, the categorical
draw and the beta draw.
"""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..core import noise as draw
from ..core import samplers


class Played(NamedTuple):
    """What all three remember: one number an arm, and the round."""

    pulls: jax.Array  # [K]
    sums: jax.Array  # [K], rewards; in Exp3 the estimated losses
    round: jax.Array  # [], rounds played


def fresh(num_arms: int) -> Played:
    """Nothing played yet."""
    return Played(jnp.zeros(num_arms), jnp.zeros(num_arms), jnp.float32(0))


@flax.struct.dataclass
class PlainUCB1:
    """UCB1: index = mean + sqrt(2 ln t / n), each arm once first (Auer et al. 2002, figure 1)."""

    num_arms: Any = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        return fresh(self.num_arms)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        mean = state.sums / state.pulls
        index = mean + jnp.sqrt(2 * jnp.log(state.round + 1) / state.pulls)
        return draw.argmax(jnp.where(state.pulls == 0, jnp.inf, index))

    def update(self, state, observation, action, feedback):
        return Played(
            state.pulls.at[action].add(1),
            state.sums.at[action].add(feedback.reward),
            state.round + 1,
        )

    def recommend(self, state):
        return draw.argmax(state.pulls)


@flax.struct.dataclass
class PlainThompson:
    """Thompson sampling with Beta(1, 1) priors (Agrawal and Goyal 2012, algorithm 1)."""

    num_arms: Any = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        return fresh(self.num_arms)

    def noise(self, key, num_rounds):
        return samplers.beta_tape(key, (num_rounds, self.num_arms))

    def act(self, state, observation, noise):
        return draw.argmax(samplers.beta(noise, 1 + state.sums, 1 + state.pulls - state.sums))

    def update(self, state, observation, action, feedback):
        return PlainUCB1(self.num_arms).update(state, observation, action, feedback)

    def recommend(self, state):
        return draw.argmax(state.pulls)


@flax.struct.dataclass
class PlainExp3:
    """Exp3 on losses, p ~ exp(-rate * estimated loss), rate = sqrt(2 ln K / (T K)), no mixing.

    Auer et al. 2002, in the form of Bubeck and Cesa-Bianchi 2012, theorem 3.1.
    """

    num_arms: Any = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None

    def init(self, key):
        return fresh(self.num_arms)

    def noise(self, key, num_rounds):
        return draw.uniform(key, (num_rounds,))

    def probabilities(self, state):
        rate = jnp.sqrt(2 * jnp.log(self.num_arms) / (self.horizon * self.num_arms))
        return jax.nn.softmax(-rate * state.sums)

    def act(self, state, observation, noise):
        return draw.categorical(noise, self.probabilities(state))

    def update(self, state, observation, action, feedback):
        estimate = (1 - feedback.reward) / self.probabilities(state)[action]
        return Played(
            state.pulls.at[action].add(1), state.sums.at[action].add(estimate), state.round + 1
        )

    def recommend(self, state):
        return draw.argmax(state.pulls)
