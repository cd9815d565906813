"""Losses as data: gradients against differences of values, and randomised actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core.losses import (
    LinearLoss,
    LogisticLoss,
    QuadraticLoss,
    SquaredLoss,
    expected,
)
from regrax.core.protocol import FullFeedback, Mixture

RNG = np.random.default_rng(0)
A, X = RNG.normal(size=(2, 4))
LOSSES = {
    "linear": (LinearLoss(A), lambda x: A @ x),
    "quadratic": (QuadraticLoss(A, 2.5), lambda x: 1.25 * np.sum((x - A) ** 2)),
    "logistic": (LogisticLoss(A, -1.0), lambda x: np.log1p(np.exp(A @ x))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients(name):
    """The gradient by central differences in float64, of error h^2."""
    loss, formula = LOSSES[name]
    with jax.enable_x64(True):
        value, gradient = loss.value(jnp.asarray(X)), loss.gradient(jnp.asarray(X))
    assert float(value) == pytest.approx(formula(X), rel=1e-12)
    h, axes = 1e-5, np.eye(4)
    slopes = [(formula(X + h * e) - formula(X - h * e)) / (2 * h) for e in axes]
    np.testing.assert_allclose(gradient, slopes, rtol=0, atol=1e-8)


def test_of_a_prediction():
    loss = SquaredLoss(jnp.float32(0.25))
    assert loss.value(jnp.float32(1.0)) == 0.5625 and loss.gradient(jnp.float32(1.0)) == 1.5


def test_logistic_losses_do_not_overflow():
    loss = LogisticLoss(jnp.float32([1000.0]), jnp.float32(1))
    assert loss.value(jnp.float32([-1.0])) == 1000
    assert loss.value(jnp.float32([1.0])) == 0 and loss.gradient(jnp.float32([1.0])) == 0


def test_a_mixture_loses_the_mean_of_the_losses_and_not_the_loss_of_the_mean():
    loss = SquaredLoss(jnp.float32(0))
    action = Mixture(jnp.float32([0.25, 0.75]), jnp.float32([2.0, -1.0]))
    assert expected(loss, action) == 0.25 * 4 + 0.75
    assert expected(loss, jnp.float32(0.5)) == 0.25


def test_full_feedback_is_linear_in_the_weights():
    feedback = FullFeedback(jnp.float32([0.2, 0.9]))
    np.testing.assert_array_equal(feedback.gradient(None), [-np.float32(0.2), -np.float32(0.9)])
