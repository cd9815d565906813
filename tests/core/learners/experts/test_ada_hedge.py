"""AdaHedge: against its definitions in float64, invariances, the start at infinite rate, bounds.

Bounds, for losses in an interval of length 1, V the sum of the variances v of the losses under the
weights, and Delta the sum of the mixability gaps (derived here after de Rooij et al. 2014, whose
Section 3 has the same, numbers from memory):

1. The mix losses of rates that only fall add up to at most L* + ln K / rate_T = L* + Delta_(T-1),
   so regret <= 2 Delta_T.
2. gap / rate <= v / 2 + gap / 3. With y the rate: gap <= v y phi(y) / y^2, phi(y) = e^y - 1 - y,
   since phi(x) / x^2 grows with x and no x exceeds y; and phi(y) (1 - y / 3) <= y^2 / 2, whose
   series has no positive coefficient beyond y^2.
3. gap <= 1, hence Delta^2 = sum of (2 Delta_(t-1) gap + gap^2) is at most V ln K +
   (2/3 ln K + 1) Delta, and regret <= 2 Delta <= 2 sqrt(V ln K) + 4/3 ln K + 2.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core.exact import value
from regrax.core.learners.experts import AdaHedge
from regrax.core.learners.experts.ada_hedge import excess, mixability_gap, powers

from . import reference_experts as reference
from .games import play, regrets, tables

K, T = 4, 300
GENERATOR = np.random.default_rng(2)
LATE = np.where(np.arange(T)[:, None] < 40, 0.25, GENERATOR.integers(0, 5, (T, K)) / 4)
LED = np.minimum(GENERATOR.beta(2, 2, (T, K)), 0.99) * 0.9 + [0, 0.1, 0.1, 0.1]
TABLES = {
    "beta": GENERATOR.beta([2, 1, 2, 3], 2, (T, K)),
    "coins": GENERATOR.integers(0, 2, (T, K)),
    "equal at first": LATE,  # sums of quarters: exact, so that ties are ties in both
    "one leads": np.where(np.arange(K) == 0, 0.0, LED),
    "wide": 1000 * GENERATOR.beta(2, 2, (T, K)) - 300,
    "narrow": 1e-6 * GENERATOR.beta(2, 2, (T, K)),
}


@pytest.mark.parametrize("name", TABLES)
def test_agrees_with_its_reference(name):
    """In every round each weight to 2e-5: by then the exponents, up to 10 where a weight counts,
    carry the rounding of 300 sums."""
    table = TABLES[name].astype(np.float32)
    weights, state = play(AdaHedge(K), table)
    other = reference.AdaHedge(K)
    np.testing.assert_allclose(weights, reference.play(other, table), rtol=0, atol=2e-5)
    assert float(value(state.gap)) == pytest.approx(other.delta, rel=1e-5, abs=1e-12)


def test_the_first_rounds_by_hand():
    """Round 0 costs nothing. In round 1 the mean loss is 2/3 and the least grows by 1/2: Delta is
    1/6, the rate 6 ln 3, and expert 2 is 1/2 behind: its share is e^(-3 ln 3) = 1/27."""
    table = np.array([[1, 1, 1], [0.5, 0.5, 1], [0, 0, 0]], np.float32)
    weights, state = play(AdaHedge(3), table)
    np.testing.assert_allclose(weights[:2], np.full((2, 3), 1 / 3), rtol=1e-6)
    np.testing.assert_allclose(weights[2], np.array([27, 27, 1]) / 55, rtol=1e-5)
    assert float(value(state.gap)) == pytest.approx(1 / 6, rel=1e-6)


def test_the_rate_is_infinite_until_the_leaders_differ():
    table = np.array([[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]] * 20 + [[0, 1, 1]], np.float32)
    weights, state = play(AdaHedge(3), table)
    np.testing.assert_array_equal(weights, np.full((41, 3), np.float32(1 / 3)))
    # Only the last round cost something: 2/3, the mean, less 0, the least.
    assert float(value(state.gap)) == pytest.approx(2 / 3, rel=1e-6)


def test_a_round_at_infinite_rate():
    """Weights are the leaders', and the least cumulative loss may grow by less than any of their
    losses: expert 2 was behind by 1/4 and takes the lead."""
    behind, cold = jnp.array([0, 0, 0.25]), jnp.float32(0)
    weights = powers(behind, cold) / 2
    np.testing.assert_array_equal(weights, [0.5, 0.5, 0])
    losses = jnp.array([0.5, 0.75, 0])
    # Cumulative after: 1/2, 3/4, 1/4, so m = 1/4; the mean is 5/8.
    assert float(mixability_gap(weights, behind, losses, cold)) == 5 / 8 - 1 / 4
    assert float(mixability_gap(weights, behind, jnp.full(3, 0.3), cold)) == 0


@given(
    hnp.arrays(np.float64, 3, elements=st.floats(0, 3)),
    hnp.arrays(np.float64, 3, elements=st.floats(0, 1)),
    st.floats(-5, 3),
)
@settings(max_examples=150)
def test_the_gap_of_a_round(behind, losses, exponent):
    """Against the definition in float64, at rates from 1e-3 to 1e5. Up to a rate of 30 no digits
    cancel; beyond, the gap is a difference of numbers up to 1. (The definition in float64 loses
    1e-16 / rate itself.)"""
    behind, losses = behind - behind.min(), losses.astype(np.float32)
    behind, rate = behind.astype(np.float32), 10.0**-exponent
    shares = np.exp(-rate * behind.astype(np.float64))
    weights = shares / shares.sum()
    top = (behind.astype(np.float64) + losses).min()
    after = np.sum(np.exp(-rate * (behind.astype(np.float64) + losses - top)))
    exact = weights @ losses - (top - math.log(after / shares.sum()) / rate)
    temperature = jnp.float32(1 / rate)
    own = powers(jnp.asarray(behind), temperature)
    gap = float(
        mixability_gap(own / own.sum(), jnp.asarray(behind), jnp.asarray(losses), temperature)
    )
    assert 0 <= gap <= 1 + 1e-6
    assert abs(gap - exact) <= 1e-5 * exact + (1e-12 if rate < 30 else 1e-6)


def test_excess_loses_no_digits():
    x = np.concatenate([np.linspace(-20, 20, 4001), np.geomspace(1e-9, 1, 400)]).astype(np.float32)
    exact = x.astype(np.float64)
    series = sum(exact**n / math.factorial(n) for n in range(2, 25))
    exact = np.where(np.abs(exact) < 1, series, np.expm1(exact) - exact)
    np.testing.assert_allclose(excess(jnp.asarray(x)), exact, rtol=5e-7)


@given(tables)
@settings(max_examples=150)
def test_regret_never_exceeds_the_bounds(table):
    """1e-5 in the weights of a round is 4e-4 in the regret of 40."""
    weights, state = play(AdaHedge(3), table)
    own = np.asarray(weights, np.float64)
    regret = regrets(weights, table).sum(axis=0).max()
    mean = np.sum(own * table, axis=1)
    variance = np.sum(np.sum(own * (table - mean[:, None]) ** 2, axis=1))
    delta, log = float(value(state.gap)), math.log(3)
    assert regret <= 2 * delta + 4e-4
    assert delta <= math.sqrt(variance * log) + 2 / 3 * log + 1 + 4e-4
    assert variance <= len(table) / 4 + 1e-4


@given(tables, st.integers(-12, 12))
@settings(max_examples=60)
def test_losses_may_be_scaled(table, exponent):
    """By a power of two, which rounds nothing: the same weights, but for the last digits of the
    logarithms. Losses are multiples of 1/64: sums are exact, and so are ties."""
    table = np.round(64 * table) / 64
    before, _ = play(AdaHedge(3), table.astype(np.float32))
    after, _ = play(AdaHedge(3), (table * 2.0**exponent).astype(np.float32))
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5)


@given(tables, st.integers(-4, 4))
@settings(max_examples=60)
def test_losses_may_be_shifted(table, shift):
    table = np.round(64 * table) / 64
    before, _ = play(AdaHedge(3), table.astype(np.float32))
    after, _ = play(AdaHedge(3), (table + shift).astype(np.float32))
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5)


def test_one_expert_has_all_the_weight():
    weights, _ = play(AdaHedge(1), np.random.default_rng(0).random((20, 1), np.float32))
    np.testing.assert_array_equal(weights, np.ones((20, 1)))


def test_a_long_game_loses_no_digits():
    """10^5 rounds in plain floats of Python. The gaps are 2 10^-4 by then and their sum is 35: of
    each, float32 would keep 6 bits."""
    table = np.random.default_rng(0).random((100_000, 2), np.float32)
    _, state = play(AdaHedge(2), table)
    ahead, delta, log = 0.0, 0.0, math.log(2)
    for first, second in table.tolist():
        # By how much expert 0 is ahead, before and after; the soft minimum less its own loss.
        after = ahead + second - first
        if delta == 0:
            weight = 0.5 if ahead == 0 else float(ahead > 0)
            grown = min(after, 0.0) - min(ahead, 0.0)
        else:
            rate = log / delta
            weight = 1 / (1 + math.exp(-rate * ahead))
            grown = (
                math.log1p(math.exp(-rate * ahead)) - math.log1p(math.exp(-rate * after))
            ) / rate
        delta += max((1 - weight) * (second - first) - grown, 0.0)
        ahead = after
    assert delta > 10
    assert float(value(state.gap)) == pytest.approx(delta, rel=1e-6)


def test_differences_at_the_end_of_float32_do_no_harm():
    """Losses of 10^-38 leave a mixability gap whose inverse is infinite in float32."""
    table = np.full((T, K), np.finfo(np.float32).tiny, np.float32)
    table[2, 1], table[5, 0], table[9, 2] = 0, 1, 0.5
    weights, _ = play(AdaHedge(K), table)
    assert np.all(np.isfinite(weights))
    np.testing.assert_allclose(np.sum(weights, axis=1), 1, atol=1e-6)
