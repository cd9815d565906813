"""Ridge and logistic regression of rewards, against solving anew and against the gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core.compiled import jit
from regrax.core.learners.linear import Logistic, Ridge
from regrax.core.protocol import Context

from . import problems
from . import reference_linear as reference
from .problems import KEY, D, K

layouts = pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])
ROUNDS = 200


@jit
def fit(model, contexts, arms, rewards):
    """Of every round, before its update: predictions and squared widths [T, K]; the last state."""

    def one(state, row):
        context, arm, reward = row
        seen = Context(context)
        widths = model.squared_widths(state, seen) if isinstance(model, Ridge) else ()
        after = model.update(state, seen, arm, reward)
        return after, (model.predict(state, seen), widths)

    state, seen = jax.lax.scan(one, model.init(KEY), (contexts, arms, rewards))
    return *seen, state


@functools.cache
def rounds(disjoint, count=ROUNDS):
    contexts, rewards = problems.table(count, disjoint)
    arms = np.random.default_rng(1).integers(0, K, count).astype(np.int32)
    return contexts, arms, rewards[np.arange(count), arms]


@layouts
@pytest.mark.parametrize("of", ["rewards", "losses"])
@pytest.mark.parametrize("regularisation", [1.0, 0.05])
def test_ridge_agrees_with_its_reference(disjoint, of, regularisation):
    contexts, arms, rewards = rounds(disjoint)
    ridge = problems.fitted(Ridge(of=of, regularisation=regularisation), disjoint)
    predictions, widths, state = fit(ridge, contexts, arms, rewards)
    other = reference.Ridge(K, D, disjoint, float(np.float32(regularisation)), of)
    expected = []
    for x, arm, y in zip(contexts.astype(float), arms, rewards.astype(float), strict=True):
        expected.append((other.predict(x), other.squared_widths(x)))
        other.learn(x, arm, y)
    # float64 inside, rounded to float32 once, or twice from a loss: all are below 8.
    means, squares = map(np.array, zip(*expected, strict=True))
    np.testing.assert_allclose(predictions, means, rtol=2**-23, atol=2**-23)
    np.testing.assert_allclose(widths, squares, rtol=2**-23)
    assert float(state.log_growth) == pytest.approx(other.log_growth(), rel=1e-12)
    assert predictions.dtype == widths.dtype == np.float32
    assert all(x.dtype == np.float64 for x in state)


@pytest.mark.parametrize("model", [Ridge(), Logistic()], ids=["ridge", "logistic"])
def test_models_of_their_own_are_one_model_of_blocks(model):
    """[d] contexts, disjoint, and the same written out as [K, K d], shared."""
    contexts, arms, rewards = rounds(True)
    *apart, state = fit(problems.fitted(model, True), contexts, arms, rewards)
    wide = problems.fitted(model, False, K * D)
    *dense, other = fit(wide, problems.blocks(contexts), arms, rewards)
    for ours, theirs in zip(jax.tree.leaves(apart), jax.tree.leaves(dense), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    if isinstance(model, Ridge):
        np.testing.assert_allclose(state.solutions.ravel(), other.solutions[0], atol=1e-13)
        assert float(state.log_growth) == pytest.approx(float(other.log_growth), rel=1e-12)


def test_a_hundred_thousand_updates_do_not_drift():
    """The root and the solution, updated 10^5 times, against one solution in float64."""
    contexts, arms, rewards = rounds(True, 100_000)
    arms = (arms == 0).astype(np.int32)  # a model with 25,000 of them, one with 75,000
    *_, state = fit(problems.fitted(Ridge(), True), contexts, arms, rewards)
    state = jax.tree.map(np.asarray, state)
    for arm in (0, 1):
        mine = arms == arm
        x, y = contexts[mine].astype(float), rewards[mine].astype(float)
        inverse = np.linalg.inv(np.eye(D) + x.T @ x)
        root = state.roots[arm]
        # Every step has a relative error of 2^-52 for each of the d entries of a sum; they add up
        # to 10^5 of them at worst.
        worst = 1e5 * 2**-52 * D
        assert np.abs(root.T @ root - inverse).max() < worst * np.abs(inverse).max()
        solution = inverse @ (x.T @ y)
        assert np.abs(state.solutions[arm] - solution).max() < worst * np.abs(solution).max()
    # What was never played is as it was.
    np.testing.assert_array_equal(state.roots[2:], np.tile(np.eye(D), (2, 1, 1)))
    expected = sum(
        np.linalg.slogdet(np.eye(D) + contexts[arms == a].astype(float).T @ contexts[arms == a])[1]
        for a in (0, 1)
    )
    assert float(state.log_growth) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(-4, 4))
def test_widths_shrink_and_are_never_negative(seed, size, weight):
    """Whatever the sizes of features and regularisation, to 10^3 and 10^4 either way. (Of an
    inverse that is updated itself, rounding makes widths negative at such sizes.)"""
    rng = np.random.default_rng(seed)
    contexts = (rng.normal(size=(60, D)) * 10**size).astype(np.float32)
    arms, rewards = np.zeros(60, np.int32), rng.uniform(size=60).astype(np.float32)
    ridge = problems.fitted(Ridge(regularisation=10.0**weight), True)
    _, widths, state = fit(ridge, contexts, arms, rewards)
    prior = np.sum(contexts.astype(float) ** 2, axis=1) / np.float32(10.0**weight)
    assert np.all(widths >= 0)
    assert np.all(widths[:, 0] <= prior * (1 + 1e-6))
    np.testing.assert_allclose(widths[:, 1], prior, rtol=1e-6)
    # A played round: x^T A^-1 x becomes q / (1 + q).
    last = ridge.squared_widths(state, Context(jnp.asarray(contexts[-1])))
    q = float(widths[-1, 0])
    assert float(last[0]) == pytest.approx(q / (1 + q), rel=1e-3)


@layouts
def test_logistic_agrees_with_its_reference(disjoint):
    contexts, arms, rewards = rounds(disjoint)
    model = problems.fitted(Logistic(learning_rate=2.0), disjoint)
    predictions, _, _ = fit(model, contexts, arms, rewards)
    other = reference.Logistic(K, D, disjoint, 2.0)
    expected = []
    for x, arm, y in zip(contexts.astype(float), arms, rewards.astype(float), strict=True):
        expected.append(other.predict(x))
        other.learn(x, arm, y)
    # 200 steps in float32; errors of steps are damped by those that follow.
    np.testing.assert_allclose(predictions, expected, rtol=0, atol=200 * 2**-24)


@layouts
def test_logistic_takes_the_gradient_of_the_logarithmic_loss(disjoint):
    contexts, _, _ = rounds(disjoint)
    model = problems.fitted(Logistic(learning_rate=0.7), disjoint)
    weights = np.random.default_rng(5).normal(size=(K if disjoint else 1, D)).astype(np.float32)
    seen = Context(jnp.asarray(contexts[0]))
    for arm, reward in ((0, 0.0), (2, 1.0), (3, 0.3)):

        def loss(w, arm=arm, reward=reward):
            p = model.predict(w, seen)[arm]
            return -reward * jnp.log(p) - (1 - reward) * jnp.log(1 - p)

        after = model.update(jnp.asarray(weights), seen, jnp.int32(arm), jnp.float32(reward))
        expected = weights - 0.7 * jax.grad(loss)(jnp.asarray(weights))
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)


def test_logistic_stays_finite():
    """Steps that are far too long end in certainty, not in NaN."""
    contexts, arms, rewards = rounds(True)
    model = problems.fitted(Logistic(learning_rate=1e6), True)
    predictions, _, weights = fit(model, contexts, arms, rewards)
    assert np.all(np.isfinite(weights)) and np.all((predictions >= 0) & (predictions <= 1))


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="Ridge: regularisation is positive, got 0"):
        Ridge(regularisation=0.0)
    with pytest.raises(ValueError, match='of is "rewards" or "losses", got \'costs\''):
        Ridge(of="costs")
    with pytest.raises(ValueError, match="Logistic: learning_rate is positive, got -1"):
        Logistic(learning_rate=-1.0)
    for model in (Ridge(), Logistic()):
        with pytest.raises(ValueError, match=f"{type(model).__name__} does not know its dimension"):
            model.init(KEY)
        shared = problems.fitted(model, False)
        for context, shape in ((Context(jnp.zeros(D)), r"\[5\]"), ((), "none")):
            with pytest.raises(ValueError, match=rf"features \[4, 5\], the round shows {shape}"):
                shared.predict(shared.init(KEY), context)
