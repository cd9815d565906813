"""The sequential logistic model of preferences against optimisers of SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit

from regrax.core.learners.mdp.comparisons import Preferences, newest, no_preferences, told

from . import reference_preference as reference

SIZE, PENALTY, RIDGE = 6, 0.7, 0.3


@jax.jit
def _learn(pairs, answers, asked, steepness):
    start = no_preferences(SIZE, PENALTY, RIDGE)

    def one(known, row):
        return (known := told(known, steepness, *row)), known

    return jax.lax.scan(one, start, (pairs, asked, answers))[1]


_newest = jax.jit(newest)


def learn(pairs, answers, steepness, asked=None) -> Preferences:
    """What is known after each pair, in NumPy."""
    asked = np.ones(len(pairs), bool) if asked is None else asked
    with jax.enable_x64(True):
        answers = jnp.asarray(answers, jnp.float32)
        found = _learn(jnp.asarray(pairs), answers, jnp.asarray(asked), jnp.float64(steepness))
        return jax.tree.map(np.asarray, found)


def problem(seed, count, steepness, scale=0.5):
    rng = np.random.default_rng(seed)
    truth, pairs = rng.uniform(0, 1, SIZE), scale * rng.normal(size=(count, SIZE))
    return truth, pairs, (rng.random(count) < expit(steepness * (pairs @ truth))).astype(float)


def inverse(root):
    return root.T @ root


@settings(max_examples=50)
@given(st.floats(-300, 300), st.floats(-4, 6))
def test_the_newest_logit_is_the_root(before, power):
    gain = 10**power
    with jax.enable_x64(True):
        found = float(_newest(jnp.float64(before), jnp.float64(gain)))
    above = before + gain + 1
    root = brentq(lambda y: y - before - gain * expit(-y), before - 1, above, xtol=1e-13)
    assert found == pytest.approx(root, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("steepness", [1.0, 5.0, 20.0])
def test_every_step_is_the_maximum_of_its_own_objective(steepness):
    _, pairs, answers = problem(0, 40, steepness)
    slow = reference.Sequential(SIZE, steepness, PENALTY, RIDGE)
    found = learn(pairs, answers, steepness)
    for i, (x, answer) in enumerate(zip(pairs, answers, strict=True)):
        slow.tell(x, answer)
        np.testing.assert_allclose(found.theta[i], slow.theta, rtol=1e-7, atol=1e-7)
        slow.theta = found.theta[i]  # errors of the optimiser must not pile up
    last = jax.tree.map(lambda x: x[-1], found)
    np.testing.assert_allclose(inverse(last.posterior) @ slow.precision(), np.eye(SIZE), atol=1e-5)
    np.testing.assert_allclose(inverse(last.coverage) @ slow.covering(), np.eye(SIZE), atol=1e-9)


@pytest.mark.parametrize("steepness", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_the_first_pair_is_learned_by_maximum_likelihood(steepness, answer):
    _, pairs, _ = problem(1, 1, steepness)
    found = learn(pairs, np.array([answer]), steepness)
    exact = reference.maximum(pairs, [answer], steepness, PENALTY)
    np.testing.assert_allclose(found.theta[0], exact, rtol=1e-9, atol=1e-10)
    curvature = reference.curvature_at(exact, pairs, steepness, PENALTY)
    np.testing.assert_allclose(inverse(found.posterior[0]) @ curvature, np.eye(SIZE), atol=1e-8)


@pytest.mark.parametrize("steepness", [1.0, 5.0])
def test_it_stays_near_the_maximum_likelihood_of_all_pairs(steepness):
    """In standard deviations of the posterior: nearer than half of what the truth is away from
    either, about sqrt(6); and hardly further from the truth than the maximum likelihood is."""
    apart, errors = [], []
    for seed in range(20):
        truth, pairs, answers = problem(seed, 200, steepness)
        theta = learn(pairs, answers, steepness).theta[-1]
        exact = reference.maximum(pairs, answers, steepness, PENALTY)
        curvature = reference.curvature_at(exact, pairs, steepness, PENALTY)
        gaps = theta - exact, theta - truth, exact - truth
        first, *others = (np.sqrt(gap @ curvature @ gap) for gap in gaps)
        apart.append(first)
        errors.append(others)
    ours, exact = np.mean(errors, axis=0)
    assert np.mean(apart) < np.sqrt(SIZE) / 2
    assert ours < 1.1 * exact


def test_what_was_not_asked_changes_nothing():
    _, pairs, answers = problem(2, 30, 5.0)
    asked = np.arange(30) % 3 == 0
    some = learn(pairs, answers, 5.0, asked)
    alone = learn(pairs[asked], answers[asked], 5.0)
    for ours, theirs in zip(some, alone, strict=True):
        np.testing.assert_array_equal(ours[0], ours[2])
        np.testing.assert_allclose(ours[-1], theirs[-1], rtol=1e-12, atol=1e-14)
    flipped = learn(pairs, np.where(asked, answers, 1 - answers), 5.0, asked)
    for ours, theirs in zip(some, flipped, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_exchanging_the_trajectories_exchanges_the_answer():
    _, pairs, answers = problem(3, 25, 5.0)
    other = learn(-pairs, 1 - answers, 5.0)
    for ours, theirs in zip(learn(pairs, answers, 5.0), other, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.1, 20), st.floats(0.01, 3))
def test_every_pair_adds_to_the_precisions_and_not_too_much(seed, steepness, size):
    """Roots stay roots of positive matrices, and every pair makes them smaller in all directions;
    the posterior has at most steepness^2 / 4 of a pair where the covering has all of it."""
    _, pairs, answers = problem(seed, 12, steepness, size)
    found = learn(pairs, answers, steepness)
    matrices = (found.posterior, PENALTY, steepness**2 / 4), (found.coverage, RIDGE, 1.0)
    for roots, least, most in matrices:
        precisions = [least * np.eye(SIZE), *(np.linalg.inv(inverse(root)) for root in roots)]
        for before, after, x in zip(precisions, precisions[1:], pairs, strict=False):
            grown = after - before
            tolerance = 1e-6 * np.abs(after).max()
            assert np.linalg.eigvalsh(grown).min() > -tolerance
            assert np.linalg.eigvalsh(most * np.outer(x, x) - grown).min() > -tolerance
