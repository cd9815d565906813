"""Two simple players of weighted tallying bandits: explore, then commit; and the oracle."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax
from ..parameters import filled, nonnegative, require
from .visits import FOREVER, Visits, rounds


class CommitState(NamedTuple):
    means: jax.Array  # [K] mean reward of the arm's visit; -inf before it
    next: jax.Array  # int32, the arm to visit; K when all have been


@flax.struct.dataclass
class ExposedExploreThenCommit(Visits):
    """Explore, then commit, with a burn-in: one visit to each arm, in index order, of `burn_in`
    plays that are thrown away and `pulls_per_arm` that count; then the best mean for ever.

    A baseline of ours: `ExploreThenCommit` for rewards that depend on exposure. Ties go to the
    lowest index; recommends the best mean so far.

    Args:
      burn_in: a bound on the memory; taken from an environment that says it.
      pulls_per_arm: (T / K)^(2/3) when left blank, rounded.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    burn_in: Any = None
    pulls_per_arm: Any = None

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "burn_in", nonnegative, "zero or more")
        require(self, "pulls_per_arm", lambda x: x >= 1, "one or more")

    def num_visits(self) -> int:
        return filled(self, "num_arms") + 1

    def begin(self, key):
        num_arms = filled(self, "num_arms")
        return CommitState(jnp.full(num_arms, -jnp.inf, jnp.float32), jnp.int32(0))

    def choose(self, inner, observation, noise):
        return jnp.where(self._exploring(inner), inner.next, self.best(inner))

    def lengths(self, inner, arm):
        kept = self.pulls_per_arm
        if kept is None:
            horizon = jnp.asarray(filled(self, "horizon"), jnp.float32)
            kept = jnp.round((horizon / filled(self, "num_arms")) ** (2 / 3))
        kept = jnp.maximum(rounds(kept), 1)
        return rounds(filled(self, "burn_in")), jnp.where(self._exploring(inner), kept, FOREVER)

    def learn(self, inner, observation, arm, mean):
        means = inner.means.at[arm].set(jnp.where(self._exploring(inner), mean, inner.means[arm]))
        return CommitState(means, jnp.minimum(inner.next + 1, inner.means.shape[-1]))

    def best(self, inner):
        return argmax(inner.means)

    def _exploring(self, inner):
        return inner.next < inner.means.shape[-1]


@flax.struct.dataclass
class Always:
    """Plays one arm for ever: with the best arm, the oracle of a plot.

    Raises:
      ValueError: an arm that is not a whole number of at least 0, or that there is not.
    """

    arm: Any = 0
    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        require(self, "arm", lambda x: (x >= 0) & (x % 1 == 0), "a whole number, zero or more")
        if self.num_arms is not None:
            require(self, "arm", lambda x: x < self.num_arms, f"one of {self.num_arms} arms")

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return jnp.asarray(self.arm).astype(jnp.int32)

    def update(self, state, observation, arm, feedback):
        return state

    def recommend(self, state):
        return jnp.asarray(self.arm).astype(jnp.int32)
