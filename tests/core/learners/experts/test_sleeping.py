"""The reduction from sleeping experts to ones that are always awake."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from regrax.core.learners.experts import AdaHedge, AdaNormalHedge, Hedge, Sleeping, Squint
from regrax.core.learners.experts.sleeping import restricted
from regrax.core.simulate import simulate
from regrax.envs.experts import LossTable

from . import reference_experts as reference
from .games import TABLES, K, T, masks, play, regrets, tables

RATE = 0.3
PAIRS = {
    "Hedge": (Hedge(K, learning_rate=RATE), lambda: reference.Hedge(K, lambda t: RATE)),
    "AdaHedge": (AdaHedge(K), lambda: reference.AdaHedge(K)),
    "AdaNormalHedge": (AdaNormalHedge(K), lambda: reference.AdaNormalHedge(K)),
    "Squint": (Squint(K), lambda: reference.Squint(K)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_agrees_with_its_reference(name):
    learner, inside = PAIRS[name]
    table, awake = TABLES["sleep"]
    table = table.astype(np.float32)
    weights, state = play(Sleeping(learner), table, awake)
    other = inside()
    expected = reference.play(reference.Sleeping(other), table, awake)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=T * K * 2.0**-24)
    own = Sleeping(learner).recommend(state)
    np.testing.assert_allclose(own, other.weights(), rtol=0, atol=T * K * 2.0**-24)


@pytest.mark.parametrize("name", PAIRS)
def test_changes_nothing_where_nobody_sleeps(name):
    learner, _ = PAIRS[name]
    table = TABLES["beta"][0].astype(np.float32)
    plain, _ = play(learner, table)
    wrapped, _ = play(Sleeping(learner), table)
    np.testing.assert_array_equal(wrapped, plain)
    always, _ = play(Sleeping(learner), table, np.ones((T, K), bool))
    np.testing.assert_allclose(always, plain, rtol=0, atol=T * K * 2.0**-24)


@given(tables, masks)
@settings(max_examples=100)
def test_the_bound_holds_over_the_rounds_awake(table, awake):
    """Hedge at its rate for T rounds, towards every expert over its own rounds; 1e-5 of rounding a
    round."""
    weights, _ = play(Sleeping(Hedge(3, 40)), table, awake)
    regret = regrets(weights, table, awake).sum(axis=0).max()
    assert regret <= math.sqrt(40 * math.log(3) / 2) + 4e-4


def test_even_weights_where_the_learner_gives_none():
    """Expert 0 is so far ahead that float32 has no room for the others, and then falls asleep."""
    table = np.tile(np.array([0, 1, 1], np.float32), (30, 1))
    awake = np.array([[True] * 3] * 29 + [[False, True, True]])
    weights, _ = play(Sleeping(Hedge(3, learning_rate=10.0)), table, awake)
    np.testing.assert_array_equal(weights[-1], [0, 0.5, 0.5])
    nobody = restricted(jnp.array([0.5, 0.25, 0.25]), jnp.array([False] * 3))
    np.testing.assert_array_equal(nobody, np.full(3, np.float32(1 / 3)))


@pytest.mark.parametrize("learner", [Hedge(), AdaHedge()], ids=["Hedge", "AdaHedge"])
def test_learners_that_know_nothing_of_sleep_say_so(learner):
    env = LossTable(np.eye(2), awake=np.eye(2, dtype=bool))
    name = type(learner).__name__
    with pytest.raises(ValueError, match=rf"{name} puts weights on all.*Sleeping\({name}\(\)\)"):
        simulate(env, learner, 5, 2, progress=False)
    trace = simulate(env, Sleeping(learner), 5, 2, progress=False)
    # One expert is awake at a time: there is nothing to regret.
    np.testing.assert_array_equal(trace.metrics["regret"], 0)
