"""Successive elimination for weighted tallying bandits, and what it is compared with."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax
from ..bandits.elimination import SuccessiveElimination
from ..parameters import filled, nonnegative, require
from .visits import FOREVER, Visits, rounds


def log_confidence(bounds: int, looks: Any, horizon: Any, delta: Any) -> jax.Array:
    """ln(2 bounds looks / delta): for that many two-sided bounds, at each of so many looks, to hold
    with probability 1 - delta, 1 - 1 / horizon where it is None."""
    chance = horizon if delta is None else 1 / jnp.asarray(delta, jnp.float32)
    return jnp.log(jnp.float32(2 * bounds)) + jnp.log(looks) + jnp.log(chance)


def at_least_two(horizon: Any) -> jax.Array:
    """A horizon whose logarithms are positive, float32."""
    return jnp.maximum(jnp.asarray(horizon, jnp.float32), 2)


class TallyingState(NamedTuple):
    active: jax.Array  # [K] bool
    means: jax.Array  # [K] mean reward of the last visit; -inf before the first
    size: jax.Array  # int32, plays kept in a visit of this epoch
    next: jax.Array  # int32, the arm to visit
    previous: jax.Array  # int32, the arm of the last visit; K before the first
    backwards: jax.Array  # bool, whether this epoch goes through the arms downwards


@flax.struct.dataclass
class TallyingElimination(Visits):
    """Successive elimination with a burn-in, for weighted tallying bandits.

    Epoch s = 0, 1, ... visits every active arm once, in index order: `burn_in` plays whose rewards
    are thrown away, then n_s = growth^s plays whose mean is kept. At its end an arm is dropped when
    its mean + radius is below mean - radius of an active arm, with

        radius = sqrt(ln(2 K log2(T) / delta) / (2 n_s)),

    from the rewards of this epoch alone. The last arm is played for ever.

    Malik, Igoe, Li and Singh, "Weighted tallying bandits", ICML 2023, successive elimination with
    repeated plays. Reconstruction: the abstract gives the idea and the regret,
    O~(sqrt(K T) + (m + M) K); epochs, radius and constants are ours. Once an arm was played
    m - 1 times in a row its further rewards have the mean of endless play, so burn_in = M >= m - 1
    makes the means unbiased, whatever the window and the losses. For rewards in [0, 1]. With
    burn_in 0 and memory 1 it is plain successive elimination in epochs.

    Bounds that are equal drop nothing. Recommends the active arm with the largest mean, the lowest
    index on ties.

    Args:
      burn_in: M, a bound on the memory; taken from an environment that says it.
      delta: chance of an error, 1 / T when left blank.
      growth: factor by which n_s grows, 2 or more.
      merge: every other epoch goes backwards, so that it begins with the arm of the last visit;
        that visit needs no burn-in.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    burn_in: Any = None
    delta: Any = None
    growth: Any = 2
    merge: bool = flax.struct.field(pytree_node=False, default=False)

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "burn_in", nonnegative, "zero or more")
        require(self, "delta", lambda x: (x > 0) & (x <= 1), "a positive probability")
        require(self, "growth", lambda x: x >= 2, "two or more")

    def num_visits(self) -> int:
        # No arm dropped, every visit is the shortest it can be.
        left, size, visits = int(filled(self, "horizon")), 1, 0
        while left > 0:
            for turn in range(filled(self, "num_arms")):
                merged = self.merge and turn == 0 and size > 1
                left -= size + (0 if merged else int(filled(self, "burn_in")))
                visits += 1
            size *= int(self.growth)
        return visits

    def begin(self, key):
        num_arms = filled(self, "num_arms")
        return TallyingState(
            jnp.ones(num_arms, bool),
            jnp.full(num_arms, -jnp.inf, jnp.float32),
            jnp.int32(1),
            jnp.int32(0),
            jnp.int32(num_arms),
            jnp.bool_(False),
        )

    def choose(self, inner, observation, noise):
        return inner.next

    def lengths(self, inner, arm):
        thrown = rounds(filled(self, "burn_in"))
        if self.merge:
            thrown = jnp.where(inner.previous == arm, 0, thrown)
        alone = jnp.sum(inner.active, dtype=jnp.int32) == 1
        return thrown, jnp.where(alone, FOREVER, inner.size)

    def learn(self, inner, observation, arm, mean):
        num_arms = inner.active.shape[-1]
        index = jnp.arange(num_arms)
        means = jnp.where(index == arm, mean, inner.means)
        ahead = inner.active & jnp.where(inner.backwards, index < arm, index > arm)
        ends = ~jnp.any(ahead)
        horizon = at_least_two(filled(self, "horizon"))
        level = log_confidence(num_arms, jnp.log2(horizon), horizon, self.delta)
        radius = jnp.sqrt(level / (2 * inner.size.astype(jnp.float32)))
        lower = jnp.max(jnp.where(inner.active, means, -jnp.inf)) - radius
        active = inner.active & ((means + radius >= lower) | ~ends)
        size = jnp.minimum(inner.size, rounds(FOREVER) // rounds(self.growth))
        size = jnp.where(ends, size * rounds(self.growth), size)
        backwards = inner.backwards ^ ends if self.merge else inner.backwards
        candidates = jnp.where(ends, active, ahead)
        first = argmax(candidates)
        if self.merge:
            last = num_arms - 1 - argmax(candidates[::-1])
            first = jnp.where(backwards, last, first)
        return TallyingState(active, means, size, first, arm, backwards)

    def best(self, inner):
        return argmax(jnp.where(inner.active, inner.means, -jnp.inf))


@flax.struct.dataclass
class RoundRobinElimination:
    """Successive elimination that plays the active arms in turn, once each, and uses all rewards.

    The natural thing to do where rewards do not depend on the past, and what goes wrong elsewhere:
    no arm is played twice in a row while two are left, so that its worth under endless play never
    shows. An arm is dropped when mean + radius < mean - radius of an active arm, with
    radius = sqrt(ln(2 K T / delta) / (2 n)) after n plays of each: `SuccessiveElimination` with the
    radius of `TallyingElimination`, but for up to T comparisons where that makes log2(T). Ties and
    recommendation as there.

    Args:
      delta: chance of an error, 1 / T when left blank.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    delta: Any = None

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "delta", lambda x: (x > 0) & (x <= 1), "a positive probability")

    def init(self, key):
        return self._plain().init(key)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return self._plain().act(state, observation, noise)

    def update(self, state, observation, arm, feedback):
        return self._plain().update(state, observation, arm, feedback)

    def recommend(self, state):
        return self._plain().recommend(state)

    def _plain(self) -> SuccessiveElimination:
        num_arms = filled(self, "num_arms")
        horizon = at_least_two(filled(self, "horizon"))
        level = log_confidence(num_arms, horizon, horizon, self.delta)
        # Its radius is sqrt(exploration ln(T) / n).
        exploration = level / (2 * jnp.log(horizon))
        return SuccessiveElimination(num_arms, horizon, exploration)
