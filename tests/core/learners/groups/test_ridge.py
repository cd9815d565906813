"""Online ridge and the forecaster of Vovk, Azoury and Warmuth, against solving anew every round."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.groups import OnlineRidge, VovkAzouryWarmuth
from regrax.core.losses import SquaredLoss
from regrax.core.protocol import GroupContext

from . import reference_groups as reference

KEY = noise.root(1)
EVERY = np.array([True])


@jit
def forecasts(learner, features, labels):
    """Predictions [T], and the last state."""

    def one(state, row):
        x, y = row
        seen = GroupContext(x, EVERY)
        prediction = learner.act(state, seen, ())
        return learner.update(state, seen, prediction, SquaredLoss(y)), prediction

    state, seen = jax.lax.scan(one, learner.init(KEY), (features, labels))
    return seen, state


def data(rounds, dimension, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.uniform(0, 1, (rounds, dimension)).astype(np.float32)
    labels = features @ rng.uniform(0, 1, dimension) / dimension + 0.1 * rng.normal(size=rounds)
    return features, labels.astype(np.float32)


@pytest.mark.parametrize("regularisation", [1.0, 0.05])
@pytest.mark.parametrize(("learner", "shrink"), [(OnlineRidge, False), (VovkAzouryWarmuth, True)])
def test_agrees_with_its_reference(learner, shrink, regularisation):
    features, labels = data(300, 6)
    ours, _ = forecasts(learner(6, regularisation), features, labels)
    other = reference.Ridge(6, float(np.float32(regularisation)), shrink)
    expected = []
    for x, y in zip(features.astype(float), labels.astype(float), strict=True):
        expected.append(other.predict(x))
        other.learn(x, y)
    # float64 inside, float32 outside: predictions are of order one and rounded once.
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-7)


def test_a_hundred_thousand_rounds_do_not_drift():
    """The inverse and the solution, updated 10^5 times, against one solution in float64."""
    features, labels = data(100_000, 12)
    _, state = forecasts(OnlineRidge(12), features, labels)
    x, y = features.astype(float), labels.astype(float)
    matrix = np.eye(12) + x.T @ x
    inverse = np.linalg.inv(matrix)
    size = np.abs(inverse).max()
    # 10^5 steps of relative error 2^-52, added up as a random walk at worst by its length.
    assert np.abs(np.asarray(state.inverse) - inverse).max() < 1e5 * 2**-52 * size * 12
    np.testing.assert_allclose(state.solution, inverse @ (x.T @ y), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(state.inverse, np.asarray(state.inverse).T)
    assert state.inverse.dtype == np.float64


@pytest.mark.parametrize("order", ["as drawn", "largest labels last"])
def test_regret_of_vovk_azoury_warmuth_never_exceeds_its_theorem(order):
    """For any labels in [-Y, Y] and any theta: theta = ridge regression is the hardest."""
    for seed in range(20):
        features, labels = data(200, 4, seed)
        features, labels = 5 * features, np.clip(3 * labels, -1, 1)
        if order != "as drawn":
            features, labels = (x[np.argsort(np.abs(labels))] for x in (features, labels))
        ours, _ = forecasts(VovkAzouryWarmuth(4), features, labels)
        x, y = features.astype(float), labels.astype(float)
        theta = np.linalg.solve(np.eye(4) + x.T @ x, x.T @ y)
        best = theta @ theta + np.sum((x @ theta - y) ** 2)
        bound = np.sum(np.log1p(np.linalg.eigvalsh(x.T @ x)))  # Y = 1, regularisation 1
        regret = np.sum((np.asarray(ours, float) - y) ** 2) - best
        assert regret <= bound + 1e-4


def test_shrinks_towards_nothing():
    """The forecaster's prediction is the ridge prediction over 1 + x^T P x."""
    features, labels = data(50, 3)
    ridge, state = forecasts(OnlineRidge(3), features, labels)
    shrunk, _ = forecasts(VovkAzouryWarmuth(3), features, labels)
    assert np.all(np.abs(shrunk) <= np.abs(ridge) + 1e-7)
    x = jnp.ones(3)
    seen = GroupContext(x, EVERY)
    length = float(np.ones(3) @ np.asarray(state.inverse) @ np.ones(3))
    plain = float(OnlineRidge(3).act(state, seen, ()))
    assert float(VovkAzouryWarmuth(3).act(state, seen, ())) == pytest.approx(plain / (1 + length))


@pytest.mark.parametrize("learner", [OnlineRidge, VovkAzouryWarmuth])
def test_errors_say_what_was_wrong(learner):
    with pytest.raises(ValueError, match=f"{learner.__name__}: regularisation is positive.*0"):
        learner(regularisation=0.0)
    with pytest.raises(ValueError, match="does not know its dimension"):
        learner().init(KEY)
