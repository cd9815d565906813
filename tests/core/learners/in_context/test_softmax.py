"""Two heads of softmax attention over a cache: against NumPy, and their limit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.in_context.softmax import InContextSoftmax
from regrax.core.losses import SquaredLoss
from regrax.core.protocol import GroupContext, complete
from regrax.envs.regression_stream import RegressionStream

from . import reference_in_context as reference

KEY = noise.root(1)
EVERY = np.array([True])
T, D = 20, 4


def rounds(seed=0):
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (T, D)).astype(np.float32)
    return features, (1 + features @ rng.normal(size=D)).astype(np.float32)


@jit
def play(learner, features, labels):
    """Forecasts [T]."""

    def one(state, row):
        x, y = row
        seen = GroupContext(x, EVERY)
        forecast = learner.act(state, seen, ())
        return learner.update(state, seen, forecast, SquaredLoss(y)), forecast

    return jax.lax.scan(one, learner.init(KEY), (features, labels))[1]


def learner(sharpness, rate=0.7, offset=0.0):
    """In units of the products themselves: the bound is 1."""
    return InContextSoftmax(D, rate, sharpness, offset, 1.0, T)


@pytest.mark.parametrize(("sharpness", "offset"), [(2.0, 0.0), (0.5, 3.0)])
def test_agrees_with_its_reference(sharpness, offset):
    features, labels = rounds()
    found = play(learner(sharpness, 0.7, offset), features, labels)
    expected = reference.softmax_forecasts(features, labels, 0.7, sharpness, offset)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


def test_its_limit_is_a_step_on_features_without_their_mean():
    """What is missing falls with the square of the sharpness: four times less at half of it."""
    features, labels = rounds(1)
    limit = [0.0]
    for t in range(1, T):
        centred = (features[:t] - features[:t].mean(axis=0)).astype(float)
        limit.append(0.7 / t * labels[:t].astype(float) @ centred @ features[t])
    gaps = [
        np.abs(np.asarray(play(learner(b), features, labels), float) - limit).max()
        for b in (0.2, 0.1)
    ]
    assert gaps[0] < 0.2 and gaps[0] / gaps[1] == pytest.approx(4, abs=0.4)


def test_blanks_are_filled_and_safe():
    env = RegressionStream(D)
    whole = complete(InContextSoftmax(), env, T)
    assert (whole.dimension, whole.horizon) == (D, T)
    bound = np.sqrt(D) / 2
    assert whole.feature_bound == pytest.approx(bound)
    features, labels = rounds(2)
    given = InContextSoftmax(D, bound**-2, 0.1, 0.0, np.float32(bound), T)
    np.testing.assert_allclose(
        play(whole, features / 2, labels), play(given, features / 2, labels), rtol=1e-5
    )


def test_a_seed_is_the_same_in_any_batch():
    env = RegressionStream(D)
    few, many = (
        rx.simulate(env, InContextSoftmax(), T, seeds, checkpoints=[T], progress=False)
        for seeds in (range(3, 9), range(16))
    )
    np.testing.assert_array_equal(few.metrics["loss"], many.metrics["loss"][:, 3:9])
    assert len(np.unique(many.metrics["loss"])) == 16


def test_a_round_leaves_shapes_and_dtypes_as_they_were():
    one, seen = learner(0.1), GroupContext(jnp.zeros(D), EVERY)
    state = jax.eval_shape(lambda: one.init(KEY))
    after = jax.eval_shape(
        lambda s: one.update(s, seen, jnp.float32(0), SquaredLoss(jnp.float32(1))), state
    )
    forecast = jax.eval_shape(lambda s: one.act(s, seen, ()), state)
    assert [(x.shape, x.dtype) for x in state] == [(x.shape, x.dtype) for x in after]
    assert forecast.shape == () and forecast.dtype == jnp.float32


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="InContextSoftmax: sharpness is positive, got 0"):
        InContextSoftmax(sharpness=0.0)
    with pytest.raises(ValueError, match="InContextSoftmax: offset is zero or more, got -1"):
        InContextSoftmax(offset=-1.0)
    with pytest.raises(ValueError, match="does not know its horizon"):
        dataclasses.replace(learner(0.1), horizon=None).init(KEY)
