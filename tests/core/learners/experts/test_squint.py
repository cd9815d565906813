"""Squint: against its reference, the integral over rates, and its bounds.

Bounds (Koolen and van Erven 2015, Section 4.3; derived again here). Let G(R, V) be the integral of
(exp(x R - x^2 V) - 1) / x over [0, 1/2]. For |r| <= 1 and x <= 1/2, exp(x r - x^2 r^2) <= 1 + x r,
so a round adds at most r times the integral of exp(x R - x^2 V) to G; the weights are proportional
to these integrals, so the sum over experts of what is added is at most 0: the mean of G stays at 0
or below. No G is below -D(T), D(T) the integral of (1 - exp(-x T - x^2 T)) / x, as R >= -T and
V <= T. So any j of K experts have mean G <= (K / j - 1) D(T), and G is convex: so does G of their
mean R and mean V. The paper's Theorem 4 (number from memory) says this without integrals.
"""

from __future__ import annotations

import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import brentq
from scipy.special import erfcx as exact_erfcx

from regrax.core.exact import value
from regrax.core.learners.experts import Squint
from regrax.core.learners.experts.squint import erfcx, log_integral

from . import reference_experts as reference
from .games import TABLES, K, T, masks, play, regrets, tables


@pytest.mark.parametrize("name", TABLES)
def test_agrees_with_its_reference(name):
    """Regrets of T rounds move by T K 2^-24 at most, and with them the weights."""
    table, awake = TABLES[name]
    learner, table = Squint(K), table.astype(np.float32)
    weights, state = play(learner, table, awake)
    other = reference.Squint(K)
    expected = reference.play(other, table, awake)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=T * K * 2.0**-24)
    np.testing.assert_allclose(value(state.regrets), other.regrets, rtol=0, atol=T * K * 2.0**-24)
    np.testing.assert_allclose(learner.recommend(state), other.weights(), rtol=0, atol=1e-4)


def test_erfcx():
    x = np.concatenate([np.linspace(0, 5, 5001), np.geomspace(5, 1e6, 500)]).astype(np.float32)
    np.testing.assert_allclose(erfcx(jnp.asarray(x)), exact_erfcx(x.astype(np.float64)), rtol=5e-7)


def test_the_integral_over_rates():
    """Against quadrature, for R and V of all sizes and signs. A logarithm of a weight that play can
    bring about is at most 10 above 0, and 2e-6 of it moves that weight by 2e-6; elsewhere float32
    has 24 bits for the logarithm."""
    sizes = np.concatenate([[0.0, 1e-6], np.geomspace(1e-3, 1e5, 49)])
    regret, squares = np.meshgrid(np.concatenate([-sizes[::-1], sizes]), sizes)
    regret, squares = regret.ravel().astype(np.float32), squares.ravel().astype(np.float32)
    some = (squares > 0) | (np.abs(regret) < 1)  # V is 0 only where R is
    regret, squares = regret[some], squares[some]
    exact = [
        reference.log_integral(float(r), float(v)) for r, v in zip(regret, squares, strict=True)
    ]
    got = log_integral(jnp.asarray(regret), jnp.asarray(squares))
    np.testing.assert_allclose(got, exact, rtol=1e-6, atol=2e-6)


def test_a_round_by_hand():
    """At the start all integrals are 1/2: even weights. Losses 0 and 1 make R = 1/2 and -1/2, V =
    1/4, and the integrals of exp(+-x / 2 - x^2 / 4) over [0, 1/2] have a closed form."""
    weights, _ = play(Squint(2), np.array([[0, 1], [0, 0]], np.float32))
    root_e = math.exp(0.25)
    second = root_e * (math.erf(0.75) - math.erf(0.5))  # x^2 / 4 + x / 2 = (x / 2 + 1/2)^2 - 1/4
    first = root_e * (math.erf(0.5) - math.erf(0.25))
    np.testing.assert_allclose(weights[0], [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(weights[1], np.array([first, second]) / (first + second), rtol=2e-6)


def furthest_below(rounds):
    """D(T)."""
    return -reference.mean_gain(-rounds, rounds)


def above(regret, squares, room):
    return reference.mean_gain(regret, squares) - room


def theorem(squares, fraction, rounds):
    log = math.log(rounds + 1)
    return math.sqrt(2 * squares) * (
        1 + math.sqrt(2 * math.log((0.5 + log) / fraction))
    ) + 5 * math.log(1 + (1 + 2 * log) / fraction)


@pytest.mark.parametrize("rounds", [1, 10, 1000, 10**6])
def test_the_theorem_follows_from_the_potential(rounds):
    """The largest R that the potential allows is within Theorem 4, whatever V and the share of the
    experts, and within a factor of it."""
    nearest = 0.0
    for fraction in (1.0, 0.5, 0.1, 1e-3):
        for squares in np.concatenate([[0], np.geomspace(0.01, rounds, 8)]):
            bound = theorem(squares, fraction, rounds)
            room = (1 / fraction - 1) * furthest_below(rounds)
            assert reference.mean_gain(bound, squares) > room
            excess = functools.partial(above, squares=squares, room=room)
            most = brentq(excess, -1, bound)
            nearest = max(nearest, most / bound)
    assert furthest_below(rounds) <= 0.5 + math.log(rounds + 1)
    assert nearest > 0.3


@given(tables, masks)
@settings(max_examples=150)
def test_bounds_are_never_exceeded(table, awake):
    """Towards every expert and even mixture, over the rounds awake; regret recomputed in float64,
    with 1e-5 of rounding a round."""
    weights, _ = play(Squint(3), table, awake)
    rounds = regrets(weights, table, awake)
    regret, squares = rounds.sum(axis=0), np.sum(rounds**2, axis=0)
    gains = [reference.mean_gain(r, v) for r, v in zip(regret, squares, strict=True)]
    assert np.mean(gains) <= 1e-3
    for j in (1, 2, 3):
        best = np.argsort(-regret)[:j]
        bound = theorem(np.mean(squares[best]), j / 3, len(table))
        assert np.mean(regret[best]) <= bound


@given(hnp.arrays(np.float32, 3, elements=st.floats(-1, 1, width=32)))
@settings(max_examples=60)
def test_the_inequality_that_all_rests_on(r):
    """exp(x r - x^2 r^2) <= 1 + x r for |x r| <= 1/2."""
    x = np.linspace(0, 0.5, 101)[:, None]
    r = r.astype(np.float64)
    assert np.all(np.exp(x * r - (x * r) ** 2) <= 1 + x * r + 1e-15)
