"""Learners for rewards, put to work on costs."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.struct
import jax.numpy as jnp

from ...protocol import BanditFeedback, complete
from ..parameters import require


def check_learner(wrapper: Any) -> None:
    """Check the `learner` field of a wrapper.

    Raises:
      ValueError: it is a class, has no `act`, or plays in phases.
    """
    name, given = type(wrapper).__name__, wrapper.learner
    if isinstance(given, type) or (dataclasses.is_dataclass(given) and not hasattr(given, "act")):
        raise ValueError(f"{name} takes a learner, such as TsallisTuner(): got {given!r}")
    if hasattr(given, "num_phases"):
        raise ValueError(
            f"{name} takes a learner that plays one action a round, and "
            f"{type(given).__name__} plays in phases of many: put it into ByRound first"
        )


@flax.struct.dataclass
class FromCosts:
    """Plays a learner for rewards in [0, 1] on iterations k: the reward is 1 - (k - 1) / most, and
    0 from k = most + 1 on.

    So Exp3, UCB1, ThompsonBeta and their like tune a solver. Costs above `most` look all the same,
    and where `most` is far above the usual costs the arms look alike; learners of costs, such as
    TsallisTuner, find their scale themselves. Recommends what the learner recommends.

    Args:
      learner: a bandit learner; its blanks are filled in.
      most: iterations, beyond the first, from which on a solve is worth nothing; positive.
    """

    learner: Any
    most: Any

    def __post_init__(self):
        check_learner(self)
        require(self, "most", lambda x: x > 0, "positive")

    def completed(self, env, horizon):
        return dataclasses.replace(self, learner=complete(self.learner, env, horizon))

    def init(self, key):
        return self.learner.init(key)

    def noise(self, key, num_rounds):
        return self.learner.noise(key, num_rounds)

    def act(self, state, observation, noise):
        return self.learner.act(state, observation, noise)

    def update(self, state, observation, action, feedback):
        cost = (feedback.iterations - 1).astype(jnp.float32)
        reward = 1 - jnp.clip(cost / self.most, 0, 1)
        return self.learner.update(state, observation, action, BanditFeedback(reward))

    def recommend(self, state):
        return self.learner.recommend(state)
