"""Phase learners played on rewards that are written down beforehand."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from regrax.core import noise as tapes
from regrax.core.compiled import jit
from regrax.core.protocol import Pulls, RewardSums


def coins(means, pulls, seed=0):
    """A table [K, pulls] of rewards 0 and 1."""
    u = np.random.default_rng(seed).random((len(means), pulls))
    return (u < np.asarray(means)[:, None]).astype(np.float64)


def sums_of(table):
    """`rewards` of the references, from a table."""
    prefix = np.pad(np.cumsum(table, axis=1), [(0, 0), (1, 0)])
    return lambda arm, start, count: prefix[arm, start + count] - prefix[arm, start]


def key_of(run):
    """What `init` of a run is given."""
    return tapes.stream(tapes.root(7), jnp.asarray(run, jnp.uint32))


@functools.partial(jit, static_argnames="phases")
def _play(learner, prefix, budgets, *, phases):
    def one(budget, run):
        own = dataclasses.replace(learner, budget=budget)

        def phase(carry, _):
            state, used = carry
            arms, counts = own.act(state, (), ())
            before = used[arms]
            total = prefix[arms, before + counts] - prefix[arms, before]
            state = own.update(state, (), Pulls(arms, counts), RewardSums(total))
            here = jnp.zeros_like(used).at[arms].add(counts)
            return (state, used + here), here

        start = own.init(key_of(run)), jnp.zeros(prefix.shape[0], jnp.int32)
        (state, _), pulls = jax.lax.scan(phase, start, length=phases)
        return pulls, own.recommend(state), state

    return jax.vmap(one)(budgets, jnp.arange(len(budgets)))


def play(learner, table, budgets, phases):
    """Pulls [run, phase, arm], recommendations [run] and last states of a phase learner on a table,
    one run a budget. Every run has a key of its own, see `key_of`."""
    prefix = np.pad(np.cumsum(table, axis=1), [(0, 0), (1, 0)]).astype(np.float32)
    budgets = np.asarray(budgets, np.int32)
    found = _play(learner, prefix, budgets, phases=phases)
    return jax.device_get(found)


def noise_of(run, num_arms=(), draw=tapes.laplace):
    """`noise` of a reference: what the learner of that run draws in each phase."""
    table = np.asarray(_draws(run, (num_arms,) if num_arms else (), draw), np.float64)
    return lambda phase: table[phase]


@functools.partial(jax.jit, static_argnames=("shape", "draw"))
def _draws(run, shape, draw):
    phases = jnp.arange(400, dtype=jnp.uint32)
    return jax.vmap(lambda phase: draw(tapes.stream(key_of(run), phase), shape))(phases)


def agrees(played, run, reference):
    """Whether a run of `play` has the pulls, phase by phase, and the choice of a reference."""
    pulls, arms = played[0][run], played[1][run]
    phases, best = reference[:2]
    np.testing.assert_array_equal(pulls[: len(phases)], phases)
    assert not pulls[len(phases) :].any()
    assert arms[run] == best if np.ndim(arms) else arms == best


def check_one_round(learner, feedback):
    """Shapes and dtypes stay as they were, and none are mixed; what is chosen is int32."""

    def one_round(state):
        action = learner.act(state, (), ())
        return learner.update(state, (), action, feedback), (action, learner.recommend(state))

    with jax.numpy_dtype_promotion("strict"):
        state = jax.eval_shape(lambda: learner.init(key_of(0)))
        after, chosen = jax.eval_shape(one_round, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert all(x.dtype == jnp.int32 for x in jax.tree.leaves(chosen))
