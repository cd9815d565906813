"""UCB with a memory that fades or ends, for rewards whose means change."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...exact import Pair, plus, single, value
from ...noise import argmax
from ..parameters import filled, nonnegative, require


def tuned_discount(horizon: float, changes: float, range: float = 1.0) -> float:
    """The discount that Garivier and Moulines 2011 derive from Theorem 1:
    1 - sqrt(changes / horizon) / (4 range)."""
    return 1 - math.sqrt(changes / horizon) / (4 * range)


def tuned_window(horizon: float, changes: float, range: float = 1.0) -> int:
    """The window that Garivier and Moulines 2011 derive from Theorem 2, rounded up:
    2 range sqrt(horizon ln(horizon) / changes)."""
    return math.ceil(2 * range * math.sqrt(horizon * math.log(horizon) / changes))


class DiscountedState(NamedTuple):
    means: jax.Array  # [K] discounted means
    counts: jax.Array  # [K] discounted numbers of plays
    total: jax.Array  # their sum


@flax.struct.dataclass
class DiscountedUCB:
    """Discounted UCB: a play s rounds ago counts discount^s.

    With N the discounted number of plays of an arm and n the sum of N over the arms, plays the
    largest discounted mean + 2 range sqrt(exploration * ln(n) / N).

    Garivier and Moulines, "On upper-confidence bound policies for switching bandit problems", ALT
    2011, Algorithm 1 (D-UCB). Every arm once first, in index order; ties go to the lowest index.
    Between plays an arm's discounted mean stays as it is and its N shrinks, so only N is updated
    for all arms; an arm whose N has shrunk below what float32 can hold is played next.

    Args:
      discount: in (0, 1), kept to a multiple of 6e-8; see `tuned_discount`.
      exploration: the paper's xi, above 1/2 for its regret bound.
      range: the paper's B, a bound on the rewards.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    discount: Any = 0.999
    exploration: Any = 0.6
    range: Any = 1.0

    def __post_init__(self):
        # 1 - 2^-25 and above become 1 in float32.
        require(self, "discount", lambda x: (x > 0) & (x < 1 - 2**-25), "in (0, 1 - 3e-8)")
        require(self, "exploration", nonnegative, "zero or more")
        require(self, "range", lambda x: x > 0, "positive")

    def init(self, key):
        zeros = jnp.zeros(filled(self, "num_arms"), jnp.float32)
        return DiscountedState(zeros, zeros, jnp.float32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        level = self.exploration * jnp.log(jnp.maximum(state.total, 1))
        bonus = 2 * self.range * jnp.sqrt(level / state.counts)
        return argmax(jnp.where(state.counts > 0, state.means + bonus, jnp.inf))

    def update(self, state, observation, arm, feedback):
        counts = state.counts * self.discount
        count = counts[arm] + 1
        mean = state.means[arm]
        mean = mean + (feedback.reward - mean) / count
        return DiscountedState(
            state.means.at[arm].set(mean),
            counts.at[arm].set(count),
            state.total * self.discount + 1,
        )

    def recommend(self, state):
        return argmax(jnp.where(state.counts > 0, state.means, -jnp.inf))


class SlidingWindowState(NamedTuple):
    arms: jax.Array  # [window + 1] int32, the arms of the last rounds, a ring
    rewards: jax.Array  # [window + 1] their rewards
    pulls: jax.Array  # [K] int32, plays within the window
    totals: Pair  # [K] rewards within the window
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class SlidingWindowUCB:
    """Sliding-window UCB: only the last `window` rounds count.

    With mean and pulls taken over these rounds, t rounds into the game, plays the largest
    mean + range sqrt(exploration * ln(min(t, window)) / pulls).

    Garivier and Moulines, "On upper-confidence bound policies for switching bandit problems", ALT
    2011, Algorithm 2 (SW-UCB). An arm without a play in the window comes first, so at the start
    every arm is played once, in index order; ties go to the lowest index. A round costs the same
    for any window: the ring holds what leaves it. Sums are compensated, so that rewards that come
    and go for 10^7 rounds leave no trace.

    Args:
      window: number of rounds, 1 or more; fixes the shape of the state. See `tuned_window`.
      exploration: the paper's xi, above 1/2 for its regret bound.
      range: the paper's B, a bound on the rewards.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    window: int = flax.struct.field(pytree_node=False, default=1000)
    exploration: Any = 0.6
    range: Any = 1.0

    def __post_init__(self):
        if not (isinstance(self.window, int) and self.window >= 1):
            raise ValueError(
                f"SlidingWindowUCB: window is a whole number of rounds, 1 or more, "
                f"got {self.window!r}"
            )
        require(self, "exploration", nonnegative, "zero or more")
        require(self, "range", lambda x: x > 0, "positive")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        return SlidingWindowState(
            jnp.zeros(self.window + 1, jnp.int32),
            jnp.zeros(self.window + 1, jnp.float32),
            jnp.zeros(num_arms, jnp.int32),
            single(jnp.zeros(num_arms, jnp.float32)),
            jnp.int32(0),
        )

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        span = jnp.clip(state.rounds, 1, self.window).astype(jnp.float32)
        pulls = jnp.maximum(state.pulls, 1).astype(jnp.float32)
        bonus = self.range * jnp.sqrt(self.exploration * jnp.log(span) / pulls)
        return argmax(jnp.where(state.pulls > 0, _means(state) + bonus, jnp.inf))

    def update(self, state, observation, arm, feedback):
        reward = jnp.asarray(feedback.reward, jnp.float32)
        # The ring has one place more than the window, so that what leaves is read after the write:
        # read before it, XLA copies the ring in every round.
        at = state.rounds % (self.window + 1)
        arms, rewards = state.arms.at[at].set(arm), state.rewards.at[at].set(reward)
        oldest = (state.rounds + 1) % (self.window + 1)
        full = state.rounds >= self.window
        gone, gone_reward = arms[oldest], jnp.where(full, rewards[oldest], 0)
        totals = _add(_add(state.totals, gone, -gone_reward), arm, reward)
        return SlidingWindowState(
            arms,
            rewards,
            state.pulls.at[gone].add(-full.astype(jnp.int32)).at[arm].add(1),
            totals,
            state.rounds + 1,
        )

    def recommend(self, state):
        return argmax(jnp.where(state.pulls > 0, _means(state), -jnp.inf))


def _means(state):
    """Means over the window; 0 of an arm that was not played in it."""
    return value(state.totals) / jnp.maximum(state.pulls, 1).astype(jnp.float32)


def _add(totals: Pair, arm, x) -> Pair:
    """Add to one entry."""
    total = plus(Pair(totals.high[arm], totals.low[arm]), single(x))
    return Pair(totals.high.at[arm].set(total.high), totals.low.at[arm].set(total.low))
