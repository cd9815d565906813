"""The rules of SquareCB and FastCB, and the arms that the reductions play."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core.learners.linear import Logistic, Ridge
from regrax.core.learners.reductions import (
    FastCB,
    Greedy,
    SquareCB,
    fast_theory_gamma,
    inverse_gap,
    small_loss_inverse_gap,
    square_theory_gamma,
)

from ..linear import problems
from ..linear import reference_linear as reference
from ..linear.problems import D, K

RULES = {
    inverse_gap: reference.inverse_gap,
    small_loss_inverse_gap: reference.small_loss_inverse_gap,
}
both_rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
layouts = pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])


# ---- the rules -----------------------------------------------------------------------------------


def test_a_case_worked_by_hand():
    losses = jnp.array([0.2, 0.5, 0.9])
    square = [1 - 1 / 6 - 1 / 10, 1 / 6, 1 / 10]
    np.testing.assert_allclose(inverse_gap(losses, 10.0), square, rtol=1e-6)
    fast = [1 - 0.2 / 3.6 - 0.2 / 7.6, 0.2 / 3.6, 0.2 / 7.6]
    np.testing.assert_allclose(small_loss_inverse_gap(losses, 10.0), fast, rtol=1e-6)
    np.testing.assert_allclose(fast, [0.91813, 0.05556, 0.02632], atol=5e-6)


@both_rules
@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 2**24), min_size=5, max_size=5),
    st.just(0.0) | st.floats(1e-6, 1e6),
)
def test_are_distributions_that_favour_small_losses(rule, losses, gamma):
    losses = np.array(losses, np.float32) * np.float32(2**-24)  # what 1 - prediction can be
    p = np.asarray(rule(jnp.asarray(losses), gamma), float)
    np.testing.assert_allclose(p, RULES[rule](losses.astype(float), gamma), rtol=1e-5, atol=1e-6)
    assert np.all(p >= 0) and p.sum() == pytest.approx(1, abs=1e-6)
    if losses.min() > 0 or rule is inverse_gap:
        best = int(np.argmin(losses))
        assert p[best] >= 1 / 5 - 1e-6
        others = np.delete(np.arange(5), best)
        order = others[np.argsort(losses[others], kind="stable")]
        assert np.all(np.diff(p[order]) <= 1e-7) and np.all(p[others] <= 1 / 5 + 1e-7)


@both_rules
def test_ends_of_gamma(rule):
    losses = jnp.array([0.6, 0.3, 0.9, 0.3])
    np.testing.assert_allclose(rule(losses, 0.0), np.full(4, 0.25), rtol=1e-6)
    greedy = np.asarray(rule(losses, 1e9))
    # Of the two best arms the first has what is left, the second its 1 / K.
    np.testing.assert_allclose(greedy, [0, 0.75, 0, 0.25], atol=1e-6)


def test_the_fast_rule_is_the_square_rule_with_gamma_over_the_least_loss():
    losses = jnp.array([0.04, 0.5, 0.05, 0.9])
    expected = inverse_gap(losses, 20.0 / 0.04)
    np.testing.assert_allclose(small_loss_inverse_gap(losses, 20.0), expected, rtol=1e-5)
    np.testing.assert_allclose(small_loss_inverse_gap(0.5 * losses, 20.0), expected, rtol=1e-5)


def test_the_fast_rule_stays_with_arms_that_lose_nothing():
    rule = small_loss_inverse_gap
    np.testing.assert_array_equal(rule(jnp.array([0.5, 0.0, 1.0]), 10.0), [0, 1, 0])
    np.testing.assert_array_equal(rule(jnp.array([0.0, 0.3, 0.0, 0.1]), 10.0), [0.5, 0, 0.5, 0])
    np.testing.assert_array_equal(rule(jnp.zeros(4), 0.0), np.full(4, 0.25))
    nearly = rule(jnp.array([0.5, 1e-30, 1.0]), 10.0)
    np.testing.assert_allclose(nearly, [0, 1, 0], atol=1e-6)


def test_constants_of_the_theorems():
    gamma = square_theory_gamma(10, 10_000, math.log(10_000), 0.05)
    assert gamma == pytest.approx(88, abs=0.5)
    assert fast_theory_gamma(10, 3e6, 1.0) == pytest.approx(math.sqrt(1e7))
    assert fast_theory_gamma(10, 30.0, 1.0) == 100


# ---- the learners --------------------------------------------------------------------------------

CASES = {
    "SquareCB": (SquareCB(Ridge()), reference.square_cb(), {}),
    "SquareCB of losses": (
        SquareCB(Ridge(of="losses", regularisation=0.5), scale=50.0, power=0.25),
        reference.square_cb(50.0, 0.25),
        {"of": "losses", "regularisation": 0.5},
    ),
    "SquareCB constant": (
        SquareCB(Ridge(), scale=30.0, power=0.0),
        reference.square_cb(30.0, 0.0),
        {},
    ),
    "FastCB": (FastCB(Ridge(of="losses")), reference.fast_cb(), {"of": "losses"}),
    "FastCB logistic": (
        FastCB(Logistic(learning_rate=2.0), scale=4.0),
        reference.fast_cb(4.0),
        {"learning_rate": 2.0},
    ),
    "Greedy": (Greedy(Ridge(of="losses")), reference.greedy(), {"of": "losses"}),
    "Greedy epsilon": (Greedy(Ridge(), epsilon=0.25), reference.greedy(0.25), {}),
}


@layouts
@pytest.mark.parametrize("name", CASES)
def test_plays_the_arms_of_its_reference(name, disjoint):
    learner, rule, model = CASES[name]
    contexts, rewards = problems.table(300, disjoint)
    arms, tape, _ = problems.play(problems.fitted(learner, disjoint), contexts, rewards)
    kind = reference.Logistic if "learning_rate" in model else reference.Ridge
    numbers = contexts.astype(float), rewards.astype(float), np.asarray(tape, float)
    expected = reference.play(rule, kind(K, D, disjoint, **model), *numbers)
    np.testing.assert_array_equal(arms, expected)
    assert len(np.unique(arms)) == K


def test_gamma_grows_with_the_rounds():
    learner = problems.fitted(SquareCB(Ridge(), scale=3.0, power=0.5), True)
    state = learner.init(problems.KEY)
    assert [float(learner._gamma(state._replace(rounds=jnp.int32(t)))) for t in (0, 1, 16)] == [
        0,
        3,
        12,
    ]
    constant = SquareCB(Ridge(), scale=3.0, power=0.0)
    assert [float(constant._gamma(state._replace(rounds=jnp.int32(t)))) for t in (0, 9)] == [3, 3]


def test_epsilon_is_the_chance_to_explore():
    """All arms are explored alike, the best one too."""
    learner = problems.fitted(Greedy(Ridge(), epsilon=0.4), True)
    contexts, rewards = problems.table(20_000, True)
    contexts, rewards = np.abs(contexts), np.zeros_like(rewards) + [0.0, 0.0, 1.0, 0.0]
    arms, tape, _ = problems.play(learner, contexts, rewards.astype(np.float32))
    counts, exploring = np.bincount(arms[1000:], minlength=K) / 19_000, 0.4 / K
    tolerance = 5 * np.sqrt(exploring * (1 - exploring) / 19_000)
    np.testing.assert_allclose(counts[[0, 1, 3]], exploring, atol=tolerance)


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="SquareCB: scale is zero or more, got -1"):
        SquareCB(Ridge(), scale=-1.0)
    with pytest.raises(ValueError, match="FastCB: power is zero or more, got -0.5"):
        FastCB(Ridge(), power=-0.5)
    with pytest.raises(ValueError, match="Greedy: epsilon is a probability, got 1.5"):
        Greedy(Ridge(), epsilon=1.5)
