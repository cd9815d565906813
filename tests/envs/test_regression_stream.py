"""Online linear regression: its law, what it counts, and its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.protocol import Mixture
from regrax.envs.regression_stream import RegressionStream

T = 200


@jit
def play(env, key, forecasts):
    """All that is seen and told, the metrics [T], and the report at the end."""
    tape = env.noise(noise.stream(key, "tape"), T)

    def one(state, row):
        draw, forecast = row
        seen = env.observe(state, draw)
        state, feedback, metrics = env.step(state, forecast, draw)
        return state, (seen.features, feedback.label, metrics)

    first = env.init(noise.stream(key, "init"))
    state, rows = jax.lax.scan(one, first, (tape, forecasts))
    return first, rows, env.evaluate(state, ())


@pytest.mark.parametrize(("a", "s"), [(1.0, 1.0), (2.0, 0.5)])
def test_it_counts_what_was_lost(a, s):
    env = RegressionStream(3, 0.3, a, s)
    forecasts = np.random.default_rng(0).normal(size=T).astype(np.float32)
    first, (features, labels, metrics), report = play(env, noise.root(4), forecasts)
    x, y = np.asarray(features, float), np.asarray(labels, float)
    assert np.abs(x).max() <= a / 2 and np.linalg.norm(x, axis=1).max() <= env.feature_bound
    means = x @ np.asarray(first.weights, float)
    errors = (y - means) / 0.3
    # 200 normal errors: mean and mean square within six standard errors.
    assert abs(errors.mean()) <= 6 / np.sqrt(T)
    assert abs(np.mean(errors**2) - 1) <= 6 * np.sqrt(2 / T)
    assert abs(np.mean(x**2) - a**2 / 12) <= 6 * a**2 * np.sqrt(1 / 180 / x.size)
    np.testing.assert_allclose(metrics["loss"], (forecasts - y) ** 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(metrics["excess"], (forecasts - means) ** 2, rtol=1e-4, atol=1e-5)
    best = np.sum((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2)
    assert float(report["hindsight_loss"]) == pytest.approx(best, rel=1e-4)
    total = np.sum((forecasts.astype(float) - y) ** 2)
    assert float(report["regret"]) == pytest.approx(total - best, rel=1e-4)


def test_a_mixture_is_charged_its_expected_loss():
    env = RegressionStream(2, 0.0)
    state, draw = env.init(noise.root(0)), jax.tree.map(lambda x: x[0], env.noise(noise.root(1), 1))
    mixed = Mixture(jnp.array([0.25, 0.75]), jnp.array([1.0, -1.0]))
    _, feedback, metrics = env.step(state, mixed, draw)
    y = float(feedback.label)
    expected = 0.25 * (1 - y) ** 2 + 0.75 * (1 + y) ** 2
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(metrics["excess"]) == pytest.approx(expected, rel=1e-5)


def test_weights_are_drawn_for_each_seed():
    env = RegressionStream(400, weight_scale=2.0)
    draws = np.stack([env.init(noise.root(i)).weights for i in range(2)])
    assert np.all(draws[0] != draws[1])
    assert abs(draws.std() - 2) <= 6 * 2 / np.sqrt(1600)


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="dimension is a whole number from one, got 0"):
        RegressionStream(0)
    with pytest.raises(ValueError, match="RegressionStream: sigma is zero or more, got -1"):
        RegressionStream(sigma=-1.0)
    with pytest.raises(ValueError, match="RegressionStream: input_range is positive, got 0"):
        RegressionStream(input_range=0.0)
