"""Hedge: against a plain float64 reference, its regret bounds, and very long games."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core.learners.experts import Hedge
from regrax.core.losses import LinearLoss

from . import reference_experts as reference
from .games import KEY, play, regrets

K, T = 4, 200
LOG = math.log(K)
LEARNERS = {
    "fixed": (Hedge(K, T), lambda t: math.sqrt(8 * LOG / T)),
    "given": (Hedge(K, learning_rate=0.7), lambda t: 0.7),
    "anytime": (Hedge(K, anytime=True), lambda t: math.sqrt(8 * LOG / t)),
    "anytime-given": (Hedge(K, anytime=True, learning_rate=1.5), lambda t: 1.5 / math.sqrt(t)),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_agrees_with_its_reference(name):
    learner, rate = LEARNERS[name]
    table = np.random.default_rng(1).beta([2, 1, 2, 3], 2, (T, K)).astype(np.float32)
    weights, state = play(learner, table)
    other = reference.Hedge(K, rate)
    np.testing.assert_allclose(weights, reference.play(other, table), rtol=0, atol=1e-5)
    np.testing.assert_allclose(learner.recommend(state), other.weights(), rtol=0, atol=1e-5)


tables = hnp.arrays(np.float32, (30, 3), elements=st.floats(0, 1, width=32))
BOUNDS = {
    "fixed": (Hedge(3, 30), math.sqrt(30 * math.log(3) / 2)),
    "anytime": (
        Hedge(3, anytime=True),
        math.sqrt(2 * 30 * math.log(3)) + math.sqrt(math.log(3) / 8),
    ),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_regret_never_exceeds_the_theorem(name):
    """Cesa-Bianchi and Lugosi, Theorems 2.2 and 2.3. float32 moves the weights of a round by less
    than 1e-5, and with them the regret of 30 rounds by less than 3e-4."""
    learner, bound = BOUNDS[name]

    @given(tables)
    @settings(max_examples=150)
    def check(table):
        weights, _ = play(learner, table)
        assert regrets(weights, table).sum(axis=0).max() <= bound + 3e-4

    check()


def test_the_theorem_is_nearly_met():
    """Losses drawn so that the experts differ by chance alone come close to the bound as the number
    of experts grows (Cesa-Bianchi and Lugosi, Theorem 3.7, number from memory): a bound too large
    by half would be noticed."""
    experts, rounds = 1000, 400
    generator = np.random.default_rng(5)
    bound, worst = math.sqrt(rounds * math.log(experts) / 2), []
    for _ in range(5):
        table = generator.integers(0, 2, (rounds, experts)).astype(np.float32)
        weights, _ = play(Hedge(experts, rounds), table)
        worst.append(regrets(weights, table).sum(axis=0).max())
    assert 0.75 * bound < np.mean(worst) < bound


@given(tables, st.floats(-10, 10, width=32))
@settings(max_examples=60)
def test_only_differences_between_experts_count(table, shift):
    """Adding the same number to all losses of a round changes nothing but the rounding: 2^-21 a
    round, for numbers below 16, at a rate below 0.6."""
    learner = Hedge(3, 30)
    before, _ = play(learner, table)
    after, _ = play(learner, table + np.float32(shift))
    np.testing.assert_allclose(after, before, rtol=0, atol=30 * 2.0**-21)


@given(tables)
@settings(max_examples=60)
def test_weights_stay_weights(table):
    weights, _ = play(Hedge(3, learning_rate=100.0), table)
    assert np.all(np.isfinite(weights)) and np.min(weights) >= 0
    np.testing.assert_allclose(np.sum(weights, axis=1), 1, atol=1e-6)


def test_a_million_rounds_lose_no_digits():
    """Expert 0 falls behind by 0.3 a round, which float32 cannot add to 3 10^5 without help, and
    then catches up: the lead changes in the round in which it should."""
    behind, ahead, rounds = np.float32(0.3), np.float32(0.7), 1_000_000
    learner = Hedge(2, learning_rate=0.01)

    @jax.jit
    def lags(state, first, second, rounds):
        losses = LinearLoss(jnp.stack([first, second]))
        step = lambda i, s: learner.update(s, (), learner.recommend(s), losses)  # noqa: E731
        return jax.lax.fori_loop(0, rounds, step, state)

    state = lags(learner.init(KEY), behind, np.float32(0), rounds)
    lag = float(state.weights.losses[0] - state.weights.losses[1])
    assert lag == pytest.approx(float(behind) * rounds, rel=1e-7)
    state = lags(state, np.float32(0), ahead, int(rounds * 0.3 / 0.7))
    assert abs(float(state.weights.losses[0] - state.weights.losses[1])) < 1
    assert 0 <= float(jnp.min(state.weights.losses)) < 1024


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Hedge(learning_rate=-0.1), "Hedge: learning_rate is zero or more.*-0.1"),
        (lambda: Hedge(horizon=0.0), "horizon is one or more"),
        (lambda: Hedge().init(KEY), "num_arms"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
