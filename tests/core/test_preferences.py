"""Rules about when to ask, and the closed form behind one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core.mdp import Trajectory
from regrax.core.preferences import (
    AlwaysAsk,
    AskIfUnsure,
    NeverAsk,
    along,
    expected_disagreement,
    feature_difference,
)


def disagreement(root, scale, x):
    with jax.enable_x64(True):
        arguments = (jnp.asarray(value, jnp.float64) for value in (root, scale, x))
        return float(expected_disagreement(*arguments))


@pytest.mark.parametrize(("scale", "norm", "expected"), [(1, 0.5, 0.564190), (2, 0.1, 0.225676)])
def test_closed_form_in_printed_digits(scale, norm, expected):
    x = norm * np.array([0.6, 0.0, 0.8])
    assert disagreement(np.eye(3), scale, x) == pytest.approx(expected, abs=5e-7)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.01, 10))
def test_closed_form_is_what_draws_disagree_by(seed, size, scale):
    """|N(0, s^2)| has mean s sqrt(2 / pi) and variance s^2 (1 - 2 / pi): six standard errors."""
    rng, draws = np.random.default_rng(seed), 20_000
    root, x = rng.normal(size=(size, size)), rng.normal(size=size)
    thetas = scale * rng.normal(size=(2, draws, size)) @ root
    seen = np.abs((thetas[0] - thetas[1]) @ x)
    deviation = np.sqrt(2) * scale * np.linalg.norm(root @ x)
    error = deviation * np.sqrt((1 - 2 / np.pi) / draws)
    assert abs(seen.mean() - disagreement(root, scale, x)) < 6 * error


def test_asks_above_the_threshold_and_not_at_it():
    x = np.array([[0.3, 0.0], [0.0, 0.4]], np.float32)
    with jax.enable_x64(True):
        root = jnp.eye(4, dtype=jnp.float64)
    exactly = disagreement(np.eye(4), 1.0, x.ravel())
    for threshold, asked in ((exactly * (1 - 1e-6), True), (exactly * (1 + 1e-6), False)):
        assert bool(AskIfUnsure(root, 1.0, threshold).asks(x)) is asked
    assert not AskIfUnsure(root, 1.0, 0.0).asks(np.zeros_like(x))  # equal pairs teach nothing
    assert AskIfUnsure(root, 1.0, 0.0).asks(1e-6 * x)


def test_the_other_rules():
    x = jnp.zeros((2, 3))
    assert bool(AlwaysAsk().asks(x)) and not bool(NeverAsk().asks(x + 1))


def test_features_along_a_trajectory():
    features = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    first = Trajectory(np.array([0, 1, 2]), np.array([1, 0]), np.zeros(2))
    second = Trajectory(np.array([0, 2, 1]), np.array([0, 1]), np.zeros(2))
    np.testing.assert_array_equal(along(features, first), [[2, 3], [4, 5]])
    difference = feature_difference(features, first, second)
    np.testing.assert_array_equal(difference, [[0 - 2, 1 - 3], [10 - 4, 11 - 5]])
