"""Small private learners whose laws are known in closed form."""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from regrax.core import noise
from regrax.core.protocol import Pulls


class NoisyState(NamedTuple):
    key: jax.Array
    phase: jax.Array
    means: jax.Array  # [K]
    best: jax.Array


@flax.struct.dataclass
class NoisyComparison:
    """Pulls both of two arms so many times, in every phase, and says which noisy mean is larger.

    What it does in a phase depends on the phase before: the arm ahead takes the first slot.
    """

    epsilon: Any = 1.0
    pulls: Any = 10
    num_arms: int = flax.struct.field(pytree_node=False, default=2)
    phases: int = flax.struct.field(pytree_node=False, default=1)

    def num_phases(self):
        return self.phases

    def init(self, key):
        return NoisyState(key, jnp.int32(0), jnp.zeros(2), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        arms = jnp.stack([state.best, 1 - state.best])
        return Pulls(arms, jnp.full(2, self.pulls, jnp.int32))

    def update(self, state, observation, pulls, feedback):
        error = noise.laplace(noise.stream(state.key, state.phase), (2,)) / self.epsilon
        sums = jnp.zeros(2).at[pulls.arms].set(feedback.sums)
        means = (sums + error) / jnp.asarray(self.pulls, jnp.float32)
        best = (means[1] > means[0]).astype(jnp.int32)
        return NoisyState(state.key, state.phase + 1, means, best)

    def recommend(self, state):
        return state.best


@flax.struct.dataclass
class OneByOne:
    """Pulls arm 0, then arm 1 unless a coin with probability `truth` shows, in which case it pulls
    again the arm that brought the reward 1: (0, truth)-private and no better."""

    truth: Any = 0.1
    num_arms: int = flax.struct.field(pytree_node=False, default=2)

    def init(self, key):
        return jnp.int32(0), jnp.float32(0), noise.uniform(key) < self.truth

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        rounds, last, tells = state
        return jnp.where((rounds == 0) | (tells & (last == 1)), 0, 1)

    def update(self, state, observation, arm, feedback):
        return state[0] + 1, feedback.reward, state[2]

    def recommend(self, state):
        return jnp.int32(0)


def laplace_tail(z: float) -> float:
    """P(X - Y > z) for independent Laplace variables of scale 1, in closed form."""
    half = 0.5 * np.exp(-abs(z)) * (1 + abs(z) / 2)
    return half if z >= 0 else 1 - half


def means(state):
    return state.means
