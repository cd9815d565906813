"""Learners of single policies, in duels."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax.numpy as jnp

from ...mdp import Deterministic
from ...preferences import Duel, NeverAsk
from ...protocol import complete
from ..parameters import filled


class DuellingState(NamedTuple):
    inner: Any  # of the learner
    previous: Any  # [H, S] int32, what the first policy of the last duel does


@flax.struct.dataclass
class Duelling:
    """Plays duels of a learner's policy against that of the round before, action 0 before the
    first, as `PRLSVI` does; asks nothing, and learns from rewards.

    Around `RLSVI`, where an environment of duels tells rewards, it is the yardstick for what it
    costs to have preferences only.

    Args:
      learner: one whose policies are `core.mdp.Deterministic`, as `RLSVI()` or `LSVIUCB()`.
      both: whether it learns from both trajectories, or from the first alone.
    """

    learner: Any
    both: bool = flax.struct.field(pytree_node=False, default=False)

    def completed(self, env, horizon):
        return dataclasses.replace(self, learner=complete(self.learner, env, horizon))

    def init(self, key) -> DuellingState:
        states = jnp.shape(filled(self.learner, "features"))[0]
        previous = jnp.zeros((filled(self.learner, "stages"), states), jnp.int32)
        return DuellingState(self.learner.init(key), previous)

    def noise(self, key, num_rounds):
        return self.learner.noise(key, num_rounds)

    def act(self, state, observation, noise) -> Duel:
        policy = self.learner.act(state.inner, observation, noise)
        if not isinstance(policy, Deterministic):
            raise TypeError(f"Duelling plays deterministic policies, got {type(policy).__name__}")
        return Duel(policy, Deterministic(state.previous, policy.num_actions), NeverAsk())

    def update(self, state, observation, duel, feedback) -> DuellingState:
        inner = self.learner.update(state.inner, observation, duel.first, feedback.first)
        if self.both:
            inner = self.learner.update(inner, observation, duel.second, feedback.second)
        return DuellingState(inner, duel.first.actions)

    def recommend(self, state):
        return self.learner.recommend(state.inner)
