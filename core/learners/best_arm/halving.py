"""Sequential Halving: the worse half of the arms is given up after every phase."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax
from ...protocol import Pulls
from ..parameters import filled
from .schedule import entry, set_schedule
from .selection import keep_best


class HalvingState(NamedTuple):
    sums: jax.Array  # [K] float32, rewards of each arm in the phases that count
    active: jax.Array  # [K] bool
    phase: jax.Array  # int32, phases played


def halving_sizes(num_arms: int) -> list[int]:
    """How many arms are active in each phase, K at first, and after the last one: 1."""
    sizes = [num_arms]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 2))
    return sizes


def _smallest(num_arms):
    return num_arms * (len(halving_sizes(num_arms)) - 1)


def _pulls_of_phases(num_arms, budget):
    sizes = halving_sizes(num_arms)[:-1]
    return [budget // (size * len(sizes)) for size in sizes]


@flax.struct.dataclass
class SequentialHalving:
    """Sequential Halving: ceil(log2 K) phases of equal length, after each the better half stays.

    Rewards, budget T. With s arms active, a phase pulls each floor(T / (s ceil(log2 K))) times, and
    the ceil(s / 2) largest means stay. Pulls left over are not made.

    Karnin, Koren and Somekh, "Almost optimal exploration in multi-armed bandits", ICML 2013,
    Algorithm 3 (from memory). Ties go to the lowest index. Recommends the active arm with the
    largest mean.

    Args:
      accumulate: whether a mean is of all phases so far; in the paper it is of the last one only.

    Raises:
      ValueError: fewer than two arms, or a budget below K ceil(log2 K), a pull an arm in phase one.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    accumulate: bool = flax.struct.field(pytree_node=False, default=False)
    schedule: Any = flax.struct.field(default=None, repr=False)  # [phases] pulls of an active arm

    def __post_init__(self):
        set_schedule(self, _smallest, _pulls_of_phases)

    def num_phases(self) -> int:
        return len(halving_sizes(filled(self, "num_arms"))) - 1

    def init(self, key):
        num_arms = filled(self, "num_arms")
        return HalvingState(
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
        # Active arms have been pulled equally often: sums stand for means.
        sums = state.sums + feedback.sums if self.accumulate else feedback.sums
        stay = jnp.maximum(entry(halving_sizes(sums.shape[-1])[1:], state.phase), 1)
        return HalvingState(sums, keep_best(sums, state.active, stay), state.phase + 1)

    def recommend(self, state):
        return argmax(jnp.where(state.active, state.sums, -jnp.inf))
