"""In-context learners in the common contract: round by round, against the history in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.groups import OnlineRidge
from regrax.core.learners.in_context import theory
from regrax.core.learners.in_context.attention import Transformer, gradient_layers
from regrax.core.learners.in_context.online import InContext
from regrax.core.losses import SquaredLoss
from regrax.core.protocol import GroupContext, complete
from regrax.envs.regression_stream import RegressionStream

from . import reference_in_context as reference

KEY = noise.root(1)
EVERY = np.array([True])
T, D = 25, 4


def rounds(seed=0, count=T, dimension=D):
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (count, dimension)).astype(np.float32)
    return features, (features @ rng.normal(size=dimension)).astype(np.float32)


@jit
def play(learner, features, labels):
    """Forecasts [T]."""

    def one(state, row):
        x, y = row
        seen = GroupContext(x, EVERY)
        forecast = learner.act(state, seen, ())
        return learner.update(state, seen, forecast, SquaredLoss(y)), forecast

    return jax.lax.scan(one, learner.init(KEY), (features, labels))[1]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_agrees_with_its_reference(layers, causal):
    features, labels = rounds()
    learner = InContext(D, layers, 0.7, 1.5, causal, horizon=T)
    expected = reference.forecasts(features, labels, 0.7, layers, 1.5, causal)
    np.testing.assert_allclose(play(learner, features, labels), expected, rtol=0, atol=2e-6)


def test_layers_are_steps_of_descent_on_all_rounds_so_far():
    """Without offset: the forecast after t rounds is that of K steps on these t."""
    features, labels = rounds(1)
    found = play(InContext(D, 4, 0.8, horizon=T), features, labels)
    assert found[0] == 0
    for t in range(1, T):
        w = reference.descend(features[:t].astype(float), labels[:t].astype(float), [0.8] * 4)
        assert found[t] == pytest.approx(w @ features[t], abs=5e-6)


def test_it_is_the_transformer_of_the_paper():
    """The layers of the construction, given the examples so far, forecast the same."""
    features, labels = rounds(5)
    found = play(InContext(D, 3, 0.8, horizon=T), features, labels)
    for t in (1, 7, T - 1):
        transformer = Transformer(gradient_layers([0.8] * 3, 0.0, t, D))
        forecast = transformer.predict(features[:t], labels[:t], features[t])
        assert found[t] == pytest.approx(float(forecast), abs=5e-6)


def test_many_layers_are_ridge_without_a_penalty():
    """Steps that never overshoot converge to least squares, once there are enough rounds."""
    features, labels = rounds(2, 40, 3)
    learner = complete(InContext(3, 60), Bounded(np.sqrt(3)), 40)
    found = play(dataclasses.replace(learner, rate=2.0), features, labels)
    ridge = play(OnlineRidge(3, 1e-6), features, labels)
    np.testing.assert_allclose(found[30:], ridge[30:], atol=2e-3)


def test_layers_that_see_the_past_alone_agree_in_the_first():
    """With one layer there is nothing that a later example could change."""
    features, labels = rounds(3)
    both = [
        play(InContext(D, 1, 0.5, causal=causal, horizon=T), features, labels)
        for causal in (False, True)
    ]
    np.testing.assert_array_equal(*both)


@dataclasses.dataclass
class Bounded:
    feature_bound: float
    dimension: int = 3


def test_a_blank_rate_is_safe():
    learner = complete(InContext(), Bounded(2.0), 17)
    assert (learner.dimension, learner.horizon, learner.feature_bound) == (3, 17, 2.0)
    features, labels = rounds(4, 17, 3)
    given = InContext(3, 1, 0.25, horizon=17)
    np.testing.assert_allclose(
        play(learner, features, labels), play(given, features, labels), rtol=1e-6
    )


# ---- in its environment --------------------------------------------------------------------

ENV = RegressionStream(5, sigma=0.2)
PLAYERS = {
    "one layer": InContext(rate=12.0, offset=theory.spread(5, 1.0, 0.2)),
    "three layers": InContext(layers=3),
    "decoder": InContext(layers=2, causal=True),
}


def metrics(name, seeds, horizon=60):
    return rx.simulate(
        ENV, PLAYERS[name], horizon, seeds, checkpoints=[horizon], progress=False
    ).metrics


@pytest.mark.parametrize("name", PLAYERS)
def test_a_seed_is_the_same_in_any_batch(name):
    few, many = (metrics(name, seeds)["loss"] for seeds in (range(3, 9), range(16)))
    np.testing.assert_array_equal(few, many[:, 3:9])
    assert len(np.unique(many)) > 10


def test_a_grid_of_numbers_is_one_program():
    learner = PLAYERS["one layer"]
    grid = rx.stack([jax.tree.map(lambda x: 0.5 * x, learner), learner])
    found = rx.simulate(ENV, grid, 60, 9, checkpoints=[60], progress=False).metrics["loss"]
    alone = metrics("one layer", range(16))["loss"][:, :9]
    np.testing.assert_allclose(found[1], alone, rtol=1e-6)  # XLA fuses the two otherwise
    assert np.all(found[0] != found[1])


def test_excess_of_one_layer_is_its_closed_form():
    """Summed over 60 rounds, 400 seeds: within six standard errors."""
    found = metrics("one layer", 400)["excess"][-1]
    each = [
        theory.one_step_loss(theory.best_rate(n, 5, 1.0, 0.2), n, 5, 1.0, 0.2) for n in range(1, 60)
    ]
    expected = 2 * (theory.one_step_loss(0.0, 1, 5) + sum(each))
    assert abs(found.mean() - expected) <= 6 * found.std() / np.sqrt(len(found))


@pytest.mark.parametrize("name", PLAYERS)
def test_a_round_leaves_shapes_and_dtypes_as_they_were(name):
    learner = complete(PLAYERS[name], ENV, 9)
    seen = GroupContext(jnp.zeros(5), EVERY)

    def one_round():
        state = learner.init(KEY)
        forecast = learner.act(state, seen, ())
        return state, learner.update(state, seen, forecast, SquaredLoss(jnp.float32(1))), forecast

    with jax.numpy_dtype_promotion("strict"):
        before, after, forecast = jax.eval_shape(one_round)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), before) == jax.tree.map(
        lambda x: (x.shape, x.dtype), after
    )
    assert forecast.shape == () and forecast.dtype == jnp.float32


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="InContext: layers is a whole number from one, got 0"):
        InContext(layers=0)
    with pytest.raises(ValueError, match="InContext: rate is zero or more, got -1"):
        InContext(rate=-1.0)
    with pytest.raises(ValueError, match="InContext: offset is zero or more, got -2"):
        InContext(offset=-2.0)
    with pytest.raises(ValueError, match="InContext does not know its horizon"):
        InContext(3).init(KEY)
    with pytest.raises(ValueError, match=r"InContext\(horizon=5\) has no room for 6 rounds"):
        rx.simulate(ENV, InContext(horizon=5), 6, 8, progress=False)
