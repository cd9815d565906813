"""DP-UCB against a reference that keeps every node of its trees by name."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise as tapes
from regrax.core.compiled import jit
from regrax.core.learners.private.tree import DPUCB
from regrax.core.protocol import BanditFeedback

from . import reference_private as reference
from .written_down import check_one_round, coins

MEANS, T, RUNS = (0.3, 0.8, 0.5), 600, 4
TABLE = coins(MEANS, T)


@jit
def play(learner, table, keys):
    """Arms of T rounds on a table, [run, T], and the last states."""

    def one(key):
        def round_(state, _):
            arm = learner.act(state, (), ())
            reward = table[arm, state.arms.pulls[arm]]
            return learner.update(state, (), arm, BanditFeedback(reward)), arm

        state, arms = jax.lax.scan(round_, learner.init(key), length=T)
        return arms, state

    return jax.vmap(one)(keys)


@pytest.fixture(scope="module")
def keys():
    return jax.vmap(lambda i: tapes.stream(tapes.root(3), i))(jnp.arange(RUNS, dtype=jnp.uint32))


@pytest.mark.parametrize("epsilon", [0.5, 50.0, np.inf])
def test_reference(keys, epsilon):
    """With weak privacy the noise matters for who plays; with strong privacy the margins do."""
    learner = DPUCB(3, np.float32(T), epsilon)
    arms, states = play(learner, TABLE.astype(np.float32), keys)
    exact, failure = float(np.float32(epsilon)), float(np.float32(0.1))
    for run, key in enumerate(keys):
        rounds = jnp.arange(T, dtype=jnp.int32)
        noise = jax.vmap(lambda t, key=key: tapes.laplace(tapes.stream(key, t)))(rounds)
        found, nodes = reference.dp_ucb(3, T, exact, failure, TABLE, np.asarray(noise, np.float64))
        np.testing.assert_array_equal(arms[run], found)
        assert len(nodes) == T  # one node completed a round, and none twice
        assert learner.recommend(jax.tree.map(lambda x, run=run: x[run], states)) == np.argmax(
            np.bincount(found)
        )


def test_a_reward_lies_in_as_many_nodes_as_the_noise_allows_for():
    """Sums of 1..T pulls are covered by nodes (level, begin); no pull is in more than L of them,
    and the first is in L: noise of scale L / epsilon a node is enough, and L - 1 would not be."""
    for horizon in (1, 2, 7, 8, 1_000, 1_024):
        within = np.zeros(horizon, int)
        nodes = set()
        for n in range(1, horizon + 1):
            begin = 0
            for level in reversed(range(n.bit_length())):
                if n >> level & 1:
                    nodes.add((level, begin))
                    begin += 2**level
        for level, begin in nodes:
            within[begin : begin + 2**level] += 1
        levels = float(DPUCB(2, np.float32(horizon))._levels())
        assert levels == within.max() == horizon.bit_length()


def test_one_round():
    check_one_round(DPUCB(3, np.float32(T)), BanditFeedback(jnp.float32(0)))


def test_errors():
    with pytest.raises(ValueError, match="epsilon is positive"):
        DPUCB(3, 100, 0.0)
    with pytest.raises(ValueError, match="failure is a probability"):
        DPUCB(3, 100, failure=1.0)
    with pytest.raises(ValueError, match="horizon is one round or more"):
        DPUCB(3, 0.5)
