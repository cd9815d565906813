"""AdaNormalHedge: against its reference, log weights, and its bounds.

Bounds, with Phi(R, C) = exp(max(R, 0)^2 / (3 C)) and |r| <= 1 (Luo and Schapire 2015, Section 3,
numbers from memory; derived again here):

1. Phi(R + r, C + |r|) <= Phi(R, C) + w(R, C) r + c |r| / (C + 1). The paper has c = 3/2; the
   largest value on a fine grid is 0.336, see below.
2. Summed over experts, w r vanishes: weights are proportional to w over those awake, r is 0 for
   the others. So the mean of Phi never exceeds 1 + c mean of sum |r| / (C + 1).
3. sum |r| / (C + 1) <= 1 + ln(1 + C): each term is at most the integral of min(1, 1 / x) from C to
   C + |r|. With c = 3/2 the mean of Phi is at most B = 1 + 3/2 (1 + mean ln(1 + C)).
4. For the even mixture of any j experts, by Jensen and Cauchy and Schwarz: mean R <=
   sqrt(3 mean C (ln(K / j) + ln B)). With j = 1 that is sqrt(3 C ln(K B)).
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core.exact import value
from regrax.core.learners.experts import AdaNormalHedge
from regrax.core.learners.experts.normal_hedge import log_weight

from . import reference_experts as reference
from .games import TABLES, K, T, masks, play, regrets, tables


@pytest.mark.parametrize("name", TABLES)
def test_agrees_with_its_reference(name):
    """Regrets of T rounds move by T K 2^-24 at most, and with them the weights."""
    table, awake = TABLES[name]
    learner, table = AdaNormalHedge(K), table.astype(np.float32)
    weights, state = play(learner, table, awake)
    other = reference.AdaNormalHedge(K)
    expected = reference.play(other, table, awake)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=T * K * 2.0**-24)
    np.testing.assert_allclose(value(state.regrets), other.regrets, rtol=0, atol=T * K * 2.0**-24)
    np.testing.assert_allclose(learner.recommend(state), other.weights(), rtol=0, atol=1e-4)


@given(st.floats(-50, 50), st.floats(0, 1000))
@settings(max_examples=150)
def test_log_weights_agree_with_the_definition(regret, length):
    """Where float64 can hold the definition; 1e-5 of a logarithm up to 700."""
    regret, length = np.float32(regret), np.float32(length)
    if float(regret + 1) ** 2 / (3 * (float(length) + 1)) > 600:
        return
    exact = reference.AdaNormalHedge.weight(float(regret), float(length))
    got = float(log_weight(regret[None], length[None])[0])
    if exact == 0:
        assert got == -math.inf
    elif regret > -0.999:  # R + 1 loses digits in float32, near -1 all of them
        assert got == pytest.approx(math.log(exact), rel=1e-6, abs=2e-4)


def test_log_weights_do_not_overflow():
    regret = jnp.array([-1e6, -1.0, 0.0, 1.0, 1e4, 1e5, 1e6])
    logs = log_weight(regret, jnp.abs(regret))
    assert np.all(np.isneginf(logs[:2])) and np.all(np.isfinite(logs[2:]))
    np.testing.assert_allclose(logs[5:], [1e5 / 3, 1e6 / 3], rtol=1e-4)


def test_a_round_by_hand():
    """At the start w = (e^(1/3) - 1) / 2 for all: even weights. Losses 0 and 1 make R = 1/2 and
    -1/2, C = 1/2."""
    weights, _ = play(AdaNormalHedge(2), np.array([[0, 1], [0, 0]], np.float32))
    first, second = (math.exp(x**2 / 4.5) - 1 for x in (1.5, 0.5))
    np.testing.assert_allclose(weights[0], [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(weights[1], np.array([first, second]) / (first + second), rtol=1e-5)


def test_even_weights_where_nobody_is_worth_any():
    """Both experts awake were far behind when the third woke up last."""
    learner = AdaNormalHedge(3)
    awake = np.array([[True, True, True]] * 9 + [[True, True, False]])
    table = np.array([[1, 1, 0]] * 10, np.float32)
    weights, _ = play(learner, table, awake)
    np.testing.assert_array_equal(weights[-1], [0.5, 0.5, 0])


def phi(regret, length):
    return np.exp(np.maximum(regret, 0) ** 2 / (3 * np.maximum(length, 1e-300)))


STEP = 0.336


def test_the_potential_grows_by_no_more_than_the_lemma_says():
    """On a grid of C in [1e-3, 1e4], R within C, r within 1, where Phi <= e^300."""
    length = np.geomspace(1e-3, 1e4, 400)[:, None, None]
    regret = length * np.linspace(-1, 1, 401)[:, None] ** 3
    r = np.linspace(-1, 1, 20)
    with np.errstate(over="ignore", invalid="ignore"):
        weight = (phi(regret + 1, length + 1) - phi(regret - 1, length + 1)) / 2
        grown = phi(regret + r, length + np.abs(r)) - phi(regret, length) - weight * r
        grown = np.where(regret**2 < 900 * length, grown / (np.abs(r) / (length + 1)), -np.inf)
    assert STEP - 0.01 < np.max(grown) < STEP


@given(tables, masks)
@settings(max_examples=150)
def test_bounds_are_never_exceeded(table, awake):
    """Towards every expert and even mixture, over the rounds awake; regret recomputed in float64,
    with 1e-5 of rounding a round."""
    weights, _ = play(AdaNormalHedge(3), table, awake)
    rounds = regrets(weights, table, awake)
    regret, sizes = rounds.sum(axis=0), np.abs(rounds)
    length = sizes.sum(axis=0)
    before = np.cumsum(sizes, axis=0) - sizes
    steps = np.sum(sizes / (before + 1), axis=0)
    assert np.mean(phi(regret, length)) <= 1 + STEP * np.mean(steps) + 1e-3
    assert np.all(steps <= 1 + np.log(1 + length))
    most = 1 + 1.5 * (1 + np.mean(np.log(1 + length)))
    for j in (1, 2, 3):
        best = np.argsort(-regret)[:j]
        bound = math.sqrt(3 * np.mean(length[best]) * (math.log(3 / j) + math.log(most)))
        assert np.mean(regret[best]) <= bound + 4e-4
