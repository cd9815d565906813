"""Linear self-attention is gradient descent: against NumPy; and what a step gains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core.learners.in_context import theory
from regrax.core.learners.in_context.attention import (
    Attention,
    Descent,
    Transformer,
    attend,
    gradient_layers,
)

from . import reference_in_context as reference

N, D = 10, 10
EPS = float(np.finfo(np.float32).eps)


def task(seed=0, context=N, dimension=D):
    rng = np.random.default_rng(seed)
    features = rng.uniform(-0.5, 0.5, (context, dimension)).astype(np.float32)
    labels = (features @ rng.normal(size=dimension)).astype(np.float32)
    return features, labels, rng.uniform(-0.5, 0.5, dimension).astype(np.float32)


def predict(forecaster, features, labels, query):
    return float(jax.jit(forecaster.predict)(features, labels, query))


def test_a_layer_is_its_formula():
    rng = np.random.default_rng(1)
    layer = Attention(*rng.normal(size=(4, 4, 4)))
    tokens, reader = rng.normal(size=(5, 4)), rng.normal(size=4)
    with jax.enable_x64(True):
        wide = jax.tree.map(jnp.asarray, layer)
        found = attend(wide, jnp.asarray(tokens), jnp.asarray(tokens))
        read = attend(wide, jnp.asarray(tokens), jnp.asarray(reader)[None])[0]
    expected, seen = reference.attention_layer(tokens, reader, *layer)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(read, seen, rtol=1e-12)


@given(st.lists(st.floats(0, 8), min_size=1, max_size=4), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_layers_are_steps_of_gradient_descent(rates, seed):
    """K layers with the weights of the construction, K steps from zero: the same forecast."""
    features, labels, query = task(seed, 6, 4)
    layers = gradient_layers(rates, 0.0, 6, 4)
    w = reference.descend(features.astype(float), labels.astype(float), rates)
    size = 1 + np.prod([1 + r for r in rates])  # how much a step can make of rounding
    for forecaster in (Transformer(layers), Descent(np.array(rates))):
        found = float(forecaster.predict(features, labels, query))
        assert abs(found - w @ query) <= 100 * EPS * size


def test_from_other_weights_than_zero():
    """W_V = (0, 0; w0, -1) and a reader (x, -w0.x): one step from w0, exactly."""
    features, labels, query = (x.astype(float) for x in task(3))
    rate, rng = 6.0, np.random.default_rng(4)
    start = rng.normal(size=D)
    read = np.diag(np.append(np.ones(D), 0))
    value = np.zeros((D + 1, D + 1))
    value[D] = np.append(start, -1)
    projection = np.zeros((D + 1, D + 1))
    projection[D, D] = rate / N
    with jax.enable_x64(True):
        layer = Attention(*map(jnp.asarray, (read, read, value, projection)))
        tokens = jnp.asarray(np.column_stack([features, labels]))
        reader = jnp.asarray(np.append(query, -start @ query))[None]
        found = -float(attend(layer, tokens, reader)[0, D])
    w = reference.descend(features, labels, [rate], start)
    assert found == pytest.approx(w @ query, abs=1e-13)


@pytest.mark.parametrize("curvatures", [(4.0, 0.0), (3.0, -1.0), (2.0, 1.5)])
def test_curvature_turns_the_inputs(curvatures):
    """GD++: layers against descent written out, and against tokens one by one."""
    rates, (features, labels, query) = (4.0, 20.0), task(5)
    layers = gradient_layers(rates, curvatures, N, D)
    first = predict(Transformer(layers), features, labels, query)
    second = predict(Descent(np.array(rates), np.array(curvatures)), features, labels, query)
    tokens = np.column_stack([features, labels]).astype(float)
    reader = np.append(query, 0).astype(float)
    for i in range(2):
        tokens, reader = reference.attention_layer(
            tokens, reader, *(np.asarray(x[i], float) for x in layers)
        )
    np.testing.assert_allclose([first, second], -reader[-1], rtol=1e-4, atol=1e-5)


def test_a_repeated_layer_is_the_same_step_again():
    features, labels, query = task(6)
    once = Transformer(gradient_layers([5.0], 1.0, N, D), repeats=3)
    written = Transformer(gradient_layers([5.0] * 3, 1.0, N, D))
    assert predict(once, features, labels, query) == pytest.approx(
        predict(written, features, labels, query), rel=1e-6
    )


# ---- what a step gains ---------------------------------------------------------------------


def test_closed_forms_have_the_published_digits():
    """d = N = 10: the best rates and losses for both input ranges, and the loss untrained."""
    assert theory.best_rate(N, D) == pytest.approx(6.0606, abs=5e-5)
    assert theory.one_step_loss(theory.best_rate(N, D), N, D) == pytest.approx(0.20623, abs=5e-6)
    assert theory.one_step_loss(0.0, N, D) == pytest.approx(0.41667, abs=5e-6)
    assert theory.best_rate(N, D, 2.0) == pytest.approx(1.51515, abs=5e-6)
    found = theory.one_step_loss(theory.best_rate(N, D, 2.0), N, D, 2.0)
    assert found == pytest.approx(0.82492, abs=5e-6)
    m2, m4 = 1 / 12, 1 / 80
    rate = N * m2 / (m4 + (D - 1) * m2**2 + (N - 1) * m2**2)
    assert theory.best_rate(N, D) == pytest.approx(rate, rel=1e-12)
    assert theory.one_step_loss(rate, N, D) == pytest.approx(0.5 * D * m2 * (1 - rate * m2))


@pytest.mark.parametrize(
    ("rate", "context", "a", "sigma", "scale"),
    [(6.06, 10, 1.0, 0.0, 1.0), (1.0, 5, 2.0, 0.3, 1.5), (9.0, 20, 1.0, 0.5, 0.7)],
)
def test_the_loss_of_a_step_is_that_of_simulated_tasks(rate, context, a, sigma, scale):
    """400,000 tasks, the query integrated out: within six standard errors (2e-9)."""
    rng, d, losses = np.random.default_rng(7), 6, []
    for _ in range(20):
        x = rng.uniform(-a / 2, a / 2, (20_000, context, d))
        w = scale * rng.normal(size=(20_000, d))
        y = np.einsum("tnd,td->tn", x, w) + sigma * rng.normal(size=(20_000, context))
        miss = w - rate / context * np.einsum("tnd,tn->td", x, y)
        losses.append(a**2 / 24 * np.sum(miss**2, axis=1))
    found = np.concatenate(losses)
    expected = theory.one_step_loss(rate, context, d, a, sigma, scale)
    assert abs(found.mean() - expected) <= 6 * found.std() / np.sqrt(len(found))


def test_the_best_rate_is_best():
    for context in (1, 10, 100):
        best = theory.best_rate(context, D, 1.0, 0.4)
        losses = [theory.one_step_loss(best * f, context, D, 1.0, 0.4) for f in (0.99, 1, 1.01)]
        assert losses[1] < min(losses[0], losses[2])
        wide = theory.spread(D, 1.0, 0.4)
        assert losses[1] == pytest.approx(D / 24 * wide / (context + wide))


def polynomial_loss(polynomial, spectra):
    return np.mean(np.sum(polynomial(spectra) ** 2, axis=1)) / 24


def test_two_steps_have_the_known_losses():
    """A shared rate of 5.99, rates (4.00, 11.57), and GD++ (our optimum of its three numbers): the
    error of descent is a polynomial of the moments' eigenvalues; and the forecasters have it."""
    rng = np.random.default_rng(8)
    x = rng.uniform(-0.5, 0.5, (60_000, N, D))
    moments = np.einsum("tnd,tne->tde", x, x) / N
    spectra = np.linalg.eigvalsh(moments)
    steps = {
        0.1566: (lambda e: (1 - 5.99 * e) ** 2, Descent(np.array([5.99, 5.99]))),
        0.1413: (lambda e: (1 - 4 * e) * (1 - 11.57 * e), Descent(np.array([4.0, 11.57]))),
        0.0922: (
            lambda e: (1 - 4.12 * e) * (1 - 36.5 * e * (1 - 3.99 * e) ** 2),
            Descent(np.array([4.12, 36.5]), np.array([3.99, 0.0])),
        ),
    }
    for expected, (polynomial, forecaster) in steps.items():
        found = polynomial(spectra)
        deviation = np.std(np.sum(found**2, axis=1)) / 24 / np.sqrt(len(found))
        assert abs(polynomial_loss(polynomial, spectra) - expected) <= 6 * deviation + 5e-5
        features, labels, query = x[0].astype(np.float32), None, rng.normal(size=D)
        w = rng.normal(size=D)
        labels = (x[0] @ w).astype(np.float32)
        values, axes = np.linalg.eigh(moments[0])
        left = axes @ (polynomial(values) * (axes.T @ w)) @ query
        ours = predict(forecaster, features, labels, query.astype(np.float32))
        assert w @ query - ours == pytest.approx(left, abs=1e-4)
