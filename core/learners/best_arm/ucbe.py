"""UCB-E: upper confidence bounds for exploration alone, pull by pull."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...noise import argmax
from ..bandits.arms import Arms, add, best, fresh
from ..parameters import filled, nonnegative, require
from .rejects import rejects_levels
from .schedule import known_budget, set_schedule

_NEVER = 2**31 - 1


class UCBEState(NamedTuple):
    arms: Arms
    bounds: jax.Array  # [K], which change with the played arm only


@flax.struct.dataclass
class UCBE:
    """UCB-E: pulls the arm with the largest mean + sqrt(a / pulls), then recommends the largest
    mean. Rewards in [0, 1], budget T.

    a is `exploration` if that is given, else `c` T / `hardness`: for the true H_1
    (`complexity.h1`), which no learner knows, this is the oracle that others are measured by.

    Audibert, Bubeck and Munos, "Best arm identification in multi-armed bandits", COLT 2010,
    Figure 1 (from memory); the bound of Theorem 1 there holds for a up to (25/36) (T - K) / H_1,
    and in experiments c is 1, 2 or 4. Every arm once first, in index order; ties go to the lowest
    index.

    Raises:
      ValueError: exploration below zero; hardness or c not positive; both exploration and
        hardness, or neither; fewer than two arms, or a budget below one pull an arm.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    hardness: Any = None
    c: Any = 2.0
    exploration: Any = None

    def __post_init__(self):
        require(self, "exploration", nonnegative, "zero or more")
        require(self, "hardness", lambda x: x > 0, "positive")
        require(self, "c", lambda x: x > 0, "positive")
        if self.exploration is not None and self.hardness is not None:
            raise ValueError(
                f"UCBE takes its exploration a, or hardness for a = c T / hardness, not both: got "
                f"exploration={self.exploration}, hardness={self.hardness}"
            )
        known_budget(self, lambda num_arms: num_arms)

    def init(self, key):
        num_arms = filled(self, "num_arms")
        if self.exploration is None and self.hardness is None:
            raise ValueError(
                "UCBE does not know how hard the problem is: give hardness=complexity.h1(means), "
                "or exploration=a; AdaptiveUCBE estimates it"
            )
        return UCBEState(fresh(num_arms), jnp.full(num_arms, jnp.inf, jnp.float32))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return argmax(state.bounds)

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        width = self.exploration
        if width is None:
            budget = jnp.asarray(filled(self, "budget")).astype(jnp.float32)
            width = self.c * budget / self.hardness
        return UCBEState(arms, _with_bound(state.bounds, arms, arm, width))

    def recommend(self, state):
        return best(state.arms)


class Estimate(NamedTuple):
    """What changes at the end of a phase."""

    bounds: jax.Array  # [K]
    width: jax.Array  # float32, a
    phase: jax.Array  # int32, estimates made so far
    until: jax.Array  # int32, the round after which the next one is made


class AdaptiveUCBEState(NamedTuple):
    arms: Arms
    rounds: jax.Array  # int32, rounds played
    estimate: Estimate


@flax.struct.dataclass
class AdaptiveUCBE:
    """Adaptive UCB-E: UCB-E with a = `c` T / H, where H is estimated on the way.

    In phase k of Successive Rejects, until round n_1 + ... + n_{k-1} + (K - k + 1) n_k, for the n_k
    of `rejects_levels`, and after the last one until the end,

        H = max_{i > K - k} i / gap_(i)^2    (H = K at first),

    where gap_(i) is the i-th smallest difference between the largest mean and another, from the
    rewards of the phases before.

    Audibert, Bubeck and Munos, "Best arm identification in multi-armed bandits", COLT 2010,
    Figure 4 (from memory). Rewards in [0, 1], budget T. Every arm once first, in index order; ties
    go to the lowest index. Recommends the largest mean.

    Raises:
      ValueError: c not positive; fewer than two arms, or a budget below K + 1.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    c: Any = 1.0
    schedule: Any = flax.struct.field(default=None, repr=False)  # [K - 1] last rounds of phases

    def __post_init__(self):
        require(self, "c", lambda x: x > 0, "positive")
        set_schedule(self, lambda num_arms: num_arms + 1, _ends)

    def init(self, key):
        num_arms = filled(self, "num_arms")
        budget = jnp.asarray(filled(self, "budget")).astype(jnp.float32)
        bounds = jnp.full(num_arms, jnp.inf, jnp.float32)
        width = (self.c * budget / num_arms).astype(jnp.float32)
        first = jnp.asarray(self.schedule, jnp.int32)[0]
        estimate = Estimate(bounds, width, jnp.int32(0), first)
        return AdaptiveUCBEState(fresh(num_arms), jnp.int32(0), estimate)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return argmax(state.estimate.bounds)

    def update(self, state, observation, arm, feedback):
        arms, rounds = add(state.arms, arm, feedback.reward), state.rounds + 1
        bounds = _with_bound(state.estimate.bounds, arms, arm, state.estimate.width)
        # Turns where a phase ends, which is in the same round in all runs of one budget; more than
        # once where phases are empty.
        estimate = jax.lax.while_loop(
            lambda estimate: rounds == estimate.until,
            lambda estimate: self._renewed(estimate, arms),
            state.estimate._replace(bounds=bounds),
        )
        return AdaptiveUCBEState(arms, rounds, estimate)

    def recommend(self, state):
        return best(state.arms)

    def _renewed(self, estimate, arms):
        num_arms, phase = filled(self, "num_arms"), estimate.phase + 1
        means = arms.means
        gaps = jnp.max(means) - means
        index = jnp.arange(num_arms)
        # An arm's place among the gaps, from 1 for the smallest; equal gaps may come in any order.
        before = (gaps[:, None] < gaps) | ((gaps[:, None] == gaps) & (index[:, None] < index))
        place = 1 + jnp.sum(before, axis=0, dtype=jnp.int32)
        each = place.astype(jnp.float32) / (gaps * gaps)
        hardness = jnp.max(jnp.where(place > num_arms - phase, each, 0))
        budget = jnp.asarray(self.budget).astype(jnp.float32)
        width = (self.c * budget / hardness).astype(jnp.float32)
        ends = jnp.asarray(self.schedule, jnp.int32)
        until = jnp.where(phase < num_arms - 1, ends[jnp.minimum(phase, num_arms - 2)], _NEVER)
        bounds = means + jnp.sqrt(width / arms.pulls.astype(jnp.float32))
        return Estimate(bounds, width, phase, until)


def _with_bound(bounds, arms, arm, width):
    pulls = arms.pulls[arm].astype(jnp.float32)
    return bounds.at[arm].set(arms.means[arm] + jnp.sqrt(width / pulls))


def _ends(num_arms, budget):
    levels = np.array(rejects_levels(num_arms, budget), np.int64)
    active = num_arms - np.arange(num_arms - 1)  # arms of Successive Rejects in each phase
    return np.cumsum(levels) - levels + active * levels
