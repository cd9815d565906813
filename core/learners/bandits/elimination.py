"""Successive elimination: play the arms that may still be the best in turn."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax
from ..parameters import filled, nonnegative, require
from .arms import Arms, add, fresh


class EliminationState(NamedTuple):
    arms: Arms
    active: jax.Array  # [K] bool
    next: jax.Array  # int32, the arm to play


@flax.struct.dataclass
class SuccessiveElimination:
    """Successive elimination, for a known horizon T.

    A phase plays every active arm once, in index order. After it an arm stays active unless
    mean + radius is below mean - radius of an active arm, with
    radius = sqrt(exploration * ln(T) / pulls).

    Slivkins 2019, Algorithm 1.4, with the radius of Section 1.3 (exploration 2, rewards in
    [0, 1]); after Even-Dar, Mannor and Mansour, "Action elimination and stopping conditions for
    the multi-armed bandit and reinforcement learning problems", JMLR 7, 2006, Algorithm 3. Bounds
    that are equal deactivate nothing; the arm with the largest mean always stays. Recommends the
    active arm with the largest mean, the lowest index on ties.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    exploration: Any = 2.0

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "exploration", nonnegative, "zero or more")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        return EliminationState(fresh(num_arms), jnp.ones(num_arms, bool), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state.next

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        index = jnp.arange(arms.pulls.shape[-1])
        phase_ends = ~jnp.any(state.active & (index > arm))
        # At the end of a phase all active arms have been played equally often.
        pulls = arms.pulls[arm].astype(jnp.float32)
        radius = jnp.sqrt(self.exploration * jnp.log(filled(self, "horizon")) / pulls)
        lower = jnp.max(jnp.where(state.active, arms.means - radius, -jnp.inf))
        stays = arms.means + radius >= lower
        active = state.active & (stays | ~phase_ends)
        # The lowest active index after this one, or of all when a phase begins.
        after = argmax(active & (phase_ends | (index > arm)))
        return EliminationState(arms, active, after)

    def recommend(self, state):
        played = state.active & (state.arms.pulls > 0)
        return argmax(jnp.where(played, state.arms.means, -jnp.inf))
