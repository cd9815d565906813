"""Successive Rejects: one arm is given up after every phase."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...noise import argmax
from ...protocol import Pulls
from ..parameters import filled
from .schedule import entry, set_schedule


class RejectsState(NamedTuple):
    sums: jax.Array  # [K] float32, rewards of each arm in all phases
    active: jax.Array  # [K] bool
    phase: jax.Array  # int32, phases played


def rejects_levels(num_arms: int, budget: int) -> list[int]:
    """n_1 .. n_{K-1}: how often an arm has been pulled when phase k of Successive Rejects ends,

        n_k = ceil((T - K) / (L (K + 1 - k))),    L = 1/2 + sum_{i=2..K} 1/i,

    in exact arithmetic: rounding must not lift a whole number to the next."""
    scale = Fraction(1, 2) + sum(Fraction(1, i) for i in range(2, num_arms + 1))
    rest = (budget - num_arms) * scale.denominator
    levels = [scale.numerator * (num_arms + 1 - k) for k in range(1, num_arms)]
    return [-(-rest // x) for x in levels]


def _pulls_of_phases(num_arms, budget):
    return np.diff(rejects_levels(num_arms, budget), prepend=0)


@flax.struct.dataclass
class SuccessiveRejects:
    """Successive Rejects: K - 1 phases, after each the arm with the smallest mean is given up.

    Rewards, budget T. Phase k pulls each active arm n_k - n_{k-1} times, for the n_k of
    `rejects_levels` (n_0 = 0): sum over phases at most T, pulls left over are not made. Means are
    of all phases.

    Audibert, Bubeck and Munos, "Best arm identification in multi-armed bandits", COLT 2010,
    Figure 3 (from memory; the schedule agrees with public code). Of arms that tie for the smallest
    mean the highest index goes, where the paper draws one. Recommends the active arm with the
    largest mean, the lowest index on ties.

    Raises:
      ValueError: fewer than two arms, or a budget below K + 1, with which no arm would be pulled.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    schedule: Any = flax.struct.field(default=None, repr=False)  # [K - 1] pulls of an active arm

    def __post_init__(self):
        set_schedule(self, lambda num_arms: num_arms + 1, _pulls_of_phases)

    def num_phases(self) -> int:
        return filled(self, "num_arms") - 1

    def init(self, key):
        num_arms = filled(self, "num_arms")
        return RejectsState(
            jnp.zeros(num_arms, jnp.float32), jnp.ones(num_arms, bool), jnp.int32(0)
        )

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        filled(self, "budget")
        each = entry(self.schedule, state.phase)
        arms = jnp.arange(state.sums.shape[-1], dtype=jnp.int32)
        return Pulls(arms, jnp.where(state.active, each, 0))

    def update(self, state, observation, pulls, feedback):
        sums = state.sums + feedback.sums
        # Active arms have been pulled equally often: sums stand for means.
        index = jnp.arange(sums.shape[-1], dtype=jnp.int32)
        worst = jnp.min(jnp.where(state.active, sums, jnp.inf))
        last = jnp.max(jnp.where(state.active & (sums == worst), index, -1))
        over = state.phase >= self.num_phases()
        active = state.active & ((index != last) | over)
        return RejectsState(sums, active, state.phase + 1)

    def recommend(self, state):
        return argmax(jnp.where(state.active, state.sums, -jnp.inf))
