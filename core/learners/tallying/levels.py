"""Elimination over tally levels, for tallying bandits where no single arm need be the best."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...noise import argmax
from ..parameters import filled, require
from .elimination import at_least_two, log_confidence
from .visits import FOREVER


class Levels(NamedTuple):
    """State; level y of an arm stands in column y - 1."""

    alive: jax.Array  # [K, m] bool
    upper: jax.Array  # [K, m] bounds on the mean rewards
    lower: jax.Array  # [K, m]
    sums: jax.Array  # [K, m] rewards of this epoch
    counts: jax.Array  # [K, m] int32, how many
    size: jax.Array  # int32, how many this epoch wants of every level alive
    pair: jax.Array  # int32, arm * m + level - 1 under study; K m for none
    plan: jax.Array  # [K] int32, plays of each arm in a cycle of m rounds
    position: jax.Array  # int32, rounds played of the cycle
    cycles: jax.Array  # int32, full cycles of this plan played


@flax.struct.dataclass
class LevelElimination:
    """Estimates the mean reward of every arm at every tally, and drops what no good plan needs.

    A plan plays arm x n_x times in every m rounds, in a fixed order; from its second cycle on, arm
    x is always played at tally n_x, so a plan is worth the sum of n_x r_x(n_x) a cycle. An epoch
    goes through the levels (x, y) that are alive. It plays the plan with n_x = y that is best by
    the upper bounds, one cycle to settle and then until the level has 2^s rewards, which count for
    all levels of the plan; or, when even that bound is below the best plan by the lower bounds,
    drops the level and plays the latter for a cycle. After the epoch, bounds are
    mean +- sqrt(ln(2 K m log2(T) / delta) / (2 n)) from its rewards alone.

    Malik, Li and Singh, "Complete policy regret bounds for tallying bandits", COLT 2022, which
    shows regret O~(m K sqrt(T)) by estimating rewards at all tallies. Reconstruction: the way the
    levels are visited and dropped, and the constants, are ours. For windows that count all plays
    alike and rewards in [0, 1]; a round costs O(K m^2). Best plans are found by dynamic programming
    over the arms, ties for fewer plays of the later arms. Recommends the arm that the best plan by
    the lower bounds plays most, the lowest index on ties.

    Args:
      memory: m itself, not a bound on it; taken from the environment.
      delta: chance of an error, 1 / T when left blank.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    memory: int | None = flax.struct.field(pytree_node=False, default=None)
    delta: Any = None

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "memory", lambda x: (x >= 1) & (x % 1 == 0), "a whole number, one or more")
        require(self, "delta", lambda x: (x > 0) & (x <= 1), "a positive probability")

    def init(self, key):
        num_arms, memory = filled(self, "num_arms"), filled(self, "memory")
        zeros = jnp.zeros((num_arms, memory), jnp.float32)
        state = Levels(
            zeros == 0,
            zeros + 1,
            zeros,
            zeros,
            zeros.astype(jnp.int32),
            jnp.int32(1),
            jnp.int32(num_arms * memory),
            jnp.zeros(num_arms, jnp.int32),
            jnp.int32(0),
            jnp.int32(0),
        )
        return self._turn(state)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        passed = jnp.cumsum(state.plan) <= state.position
        return jnp.sum(passed, dtype=jnp.int32)

    def update(self, state, observation, arm, feedback):
        memory = filled(self, "memory")
        level, settled = state.plan[arm] - 1, state.cycles > 0
        reward = jnp.where(settled, feedback.reward, 0)
        state = state._replace(
            sums=state.sums.at[arm, level].add(reward),
            counts=state.counts.at[arm, level].add(settled.astype(jnp.int32)),
            position=state.position + 1,
        )
        over = state.position >= memory
        rested = state._replace(position=jnp.int32(0), cycles=state.cycles + 1)
        none = state.pair >= state.counts.size
        enough = _at(state.counts, state.pair) >= state.size
        following = _choose(none | enough, self._turn(rested), rested)
        return _choose(over, following, state)

    def recommend(self, state):
        return argmax(self._best(state.lower, state.alive)[1].astype(jnp.float32))

    def _turn(self, state: Levels) -> Levels:
        """The next level, or the next epoch; with its plan."""
        size = state.counts.size
        wanted = state.alive & (state.counts < state.size)
        ends = ~jnp.any(wanted)
        horizon = at_least_two(filled(self, "horizon"))
        level = log_confidence(size, jnp.log2(horizon), horizon, self.delta)
        counts = jnp.maximum(state.counts, 1).astype(jnp.float32)
        radius = jnp.sqrt(level / (2 * counts))
        means = state.sums / counts
        seen = ends & (state.counts > 0)
        upper = jnp.where(seen, means + radius, state.upper)
        lower = jnp.where(seen, means - radius, state.lower)
        pair = jnp.argmax(jnp.where(ends, state.alive, wanted).ravel()).astype(jnp.int32)
        sure, safe = self._best(lower, state.alive)
        here = (jnp.arange(size) == pair).reshape(state.alive.shape)
        own = jnp.any(here, axis=1, keepdims=True)
        hope, plan = self._best(upper, state.alive & (here | ~own), without=~own[:, 0])
        worth = hope >= sure
        grown = jnp.minimum(state.size, FOREVER // 2) * 2
        return Levels(
            state.alive & (worth | ~here),
            upper,
            lower,
            jnp.where(ends, 0, state.sums),
            jnp.where(ends, 0, state.counts),
            jnp.where(ends, grown, state.size),
            jnp.where(worth, pair, size),
            jnp.where(worth, plan, safe),
            jnp.int32(0),
            jnp.int32(0),
        )

    def _best(self, rewards, alive, without: Any = True):
        """Value and plays [K] of the best plan of levels alive; `without` says which arms it may
        leave out."""
        num_arms, memory = rewards.shape
        plays = np.arange(memory + 1)
        gains = jnp.where(alive, rewards, -jnp.inf) * plays[1:].astype(np.float32)
        none = jnp.where(jnp.broadcast_to(without, num_arms), 0, -jnp.inf)
        gains = jnp.concatenate([none[:, None], gains], axis=1)  # [K, m + 1]
        left = plays[:, None] - plays  # rounds of a cycle, plays of the arm

        def add_arm(value, gain):
            total = jnp.where(left >= 0, value[np.maximum(left, 0)] + gain, -jnp.inf)
            return jnp.max(total, axis=1), jnp.argmax(total, axis=1).astype(jnp.int32)

        start = jnp.where(plays == 0, 0, -jnp.inf).astype(jnp.float32)
        value, choices = jax.lax.scan(add_arm, start, gains)

        def read_back(rounds_left, choice):
            return rounds_left - choice[rounds_left], choice[rounds_left]

        _, plan = jax.lax.scan(read_back, jnp.int32(memory), choices, reverse=True)
        return value[-1], plan


def _at(table, pair):
    return table.ravel()[jnp.minimum(pair, table.size - 1)]


def _choose(condition, new, old):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
