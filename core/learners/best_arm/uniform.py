"""Uniform allocation: the same number of pulls for every arm."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax
from ...protocol import Pulls
from ..parameters import filled
from .schedule import set_schedule


class UniformAllocationState(NamedTuple):
    sums: jax.Array  # [K] float32, rewards of each arm
    phase: jax.Array  # int32


@flax.struct.dataclass
class UniformAllocation:
    """Pulls every arm floor(T / K) times and recommends the largest mean; rewards, budget T.

    The baseline of Audibert, Bubeck and Munos, "Best arm identification in multi-armed bandits",
    COLT 2010. One phase; the T mod K pulls left over are not made, so that all means are equally
    good. Ties go to the lowest index.

    Raises:
      ValueError: fewer than two arms, or a budget below one pull an arm.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    schedule: Any = flax.struct.field(default=None, repr=False)  # pulls of each arm

    def __post_init__(self):
        set_schedule(self, lambda num_arms: num_arms, lambda num_arms, budget: budget // num_arms)

    def num_phases(self) -> int:
        return 1

    def init(self, key):
        return UniformAllocationState(
            jnp.zeros(filled(self, "num_arms"), jnp.float32), jnp.int32(0)
        )

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        filled(self, "budget")
        each = jnp.where(state.phase == 0, jnp.asarray(self.schedule, jnp.int32), 0)
        arms = jnp.arange(state.sums.shape[-1], dtype=jnp.int32)
        return Pulls(arms, jnp.broadcast_to(each, arms.shape))

    def update(self, state, observation, pulls, feedback):
        return UniformAllocationState(state.sums + feedback.sums, state.phase + 1)

    def recommend(self, state):
        return argmax(state.sums)
