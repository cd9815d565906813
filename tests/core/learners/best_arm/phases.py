"""What the tests of phase learners share: playing a table of rewards."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.protocol import RewardSums, complete
from regrax.envs.best_arm import RewardTable

K, T, TABLES = 7, 300, 24


@functools.cache
def tables() -> np.ndarray:
    """Rewards [24, K, T]: coins, whose sums are exact and often tie, the last table of ones."""
    rng = np.random.default_rng(11)
    means = rng.uniform(0.3, 0.7, (TABLES, K, 1))
    coins = (rng.uniform(size=(TABLES, K, T)) < means).astype(np.float32)
    coins[-1] = 1
    return coins


def play(learner: Any, rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts [tables, phases + 2, K], arms recommended [tables] when `learner` has finished and two
    phases later."""
    env = RewardTable(rewards[0])
    counts, arms = map(np.asarray, _play(complete(learner, env, env.budget), rewards))
    return counts, arms[:, -3], arms[:, -1]


@jit
def _play(learner, rewards):
    def one(table):
        num_arms, budget = table.shape

        def one_phase(carry, _):
            used, state = carry
            action = learner.act(state, (), ())
            n, start = jnp.arange(budget), used[action.arms][:, None]
            taken = (n >= start) & (n < start + action.counts[:, None])
            sums = jnp.sum(jnp.where(taken, table[action.arms], 0), axis=1)
            counts = jnp.zeros(num_arms, jnp.int32).at[action.arms].add(action.counts)
            state = learner.update(state, (), action, RewardSums(sums))
            return (used + counts, state), (counts, learner.recommend(state))

        start = jnp.zeros(num_arms, jnp.int32), learner.init(noise.root(0))
        return jax.lax.scan(one_phase, start, None, length=learner.num_phases() + 2)[1]

    return jax.vmap(one)(rewards)


def check_against(learner: Any, reference: Any) -> None:
    """The same pulls in every phase and the same arm in the end as `reference(table)`."""
    counts, arms, later = play(learner, tables())
    for table, count, arm in zip(tables(), counts, arms, strict=True):
        phases, best = reference(table)
        assert count[:-2].tolist() == phases
        assert arm == best
    assert not counts[:, -2:].any()  # nothing more, and nothing is forgotten
    np.testing.assert_array_equal(later, arms)


def check_one_round(learner: Any, feedback: Any = None) -> None:
    """Shapes and dtypes stay as they were; an arm is an int32 scalar."""
    with jax.numpy_dtype_promotion("strict"):

        def one_round(state):
            played = learner.act(state, (), ())
            told = feedback if feedback is not None else RewardSums(jnp.zeros(learner.num_arms))
            return learner.update(state, (), played, told), (played, learner.recommend(state))

        state = jax.eval_shape(lambda: learner.init(noise.root(0)))
        after, (played, arm) = jax.eval_shape(one_round, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert all(x.dtype == jnp.int32 for x in jax.tree.leaves(played))
    assert arm.shape == () and arm.dtype == jnp.int32
