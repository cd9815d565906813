"""Playing the arm that an online regression predicts to be the best, most of the time."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.struct
import jax.numpy as jnp

from ... import noise as tapes
from ...protocol import complete
from ..bandits.explore import uniform_arm
from ..linear import Ridge
from ..parameters import require


@flax.struct.dataclass
class Greedy:
    """Plays the arm of the largest predicted reward; with probability `epsilon` one drawn uniformly
    from all arms.

    Ties go to the lowest index. Two uniforms a round: whether to explore, and where. It commits to
    no arm without a context: recommends nothing.

    Args:
      regressor: of rewards, such as `Ridge` or a network; see `regressor.Regressor`.
      epsilon: a probability; 0 never explores.
    """

    regressor: Any = Ridge()
    epsilon: Any = 0.0

    def __post_init__(self):
        require(self, "epsilon", lambda x: (x >= 0) & (x <= 1), "a probability")

    @property
    def num_arms(self) -> int | None:
        return self.regressor.num_arms

    def completed(self, env, horizon):
        return dataclasses.replace(self, regressor=complete(self.regressor, env, horizon))

    def init(self, key):
        return self.regressor.init(key)

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds, 2))

    def act(self, state, observation, noise):
        predictions = self.regressor.predict(state, observation)
        explored = uniform_arm(noise[1], len(predictions))
        return jnp.where(noise[0] < self.epsilon, explored, tapes.argmax(predictions))

    def update(self, state, observation, arm, feedback):
        return self.regressor.update(state, observation, arm, feedback.reward)

    def recommend(self, state):
        return ()
