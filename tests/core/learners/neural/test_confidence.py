"""NeuralUCB and NeuralTS, against dense formulas in float64; and every neural learner's duties."""

import dataclasses
import functools
import math

import jax
import numpy as np
import pytest
from scipy import stats

from regrax.core.compiled import jit
from regrax.core.learners.neural import NeuralTS, NeuralUCB, OnlineNetwork, ReplayNetwork
from regrax.core.protocol import Context

from . import reference_neural as reference
from .reference_neural import D, K

T = 120
REPLAY = ReplayNetwork(
    hidden=(8,), of="rewards", learning_rate=0.05, turn=60, early=10, late=20, steps=60
)
ONLINE = OnlineNetwork(hidden=(6, 4), of="rewards")
UCB = NeuralUCB(REPLAY, regularisation=0.5, exploration=0.3)
TS = NeuralTS(ONLINE, regularisation=0.2, exploration=0.1)
CASES = {
    "NeuralUCB, disjoint": (UCB, True),
    "NeuralUCB, shared": (dataclasses.replace(UCB, regressor=ONLINE), False),
    "NeuralUCB, full": (dataclasses.replace(UCB, covariance="full"), True),
    "NeuralUCB, full, shared": (dataclasses.replace(UCB, covariance="full"), False),
    "NeuralTS, disjoint": (TS, True),
    "NeuralTS, shared": (dataclasses.replace(TS, regressor=REPLAY), False),
    "NeuralTS, full": (dataclasses.replace(TS, covariance="full"), True),
}
every_case = pytest.mark.parametrize("case", CASES)


@functools.cache
def run(case):
    learner, disjoint = CASES[case]
    learner = reference.fitted(learner, disjoint, T)
    contexts, rewards = reference.table(T, disjoint)
    arms, tape, states = reference.play(learner, contexts, rewards)
    scores = scored(learner, reference.at(states, slice(0, T)), contexts)
    return learner, contexts, np.asarray(arms), tape, states, *map(np.asarray, scores)


@jit
def scored(learner, states, contexts):
    return jax.vmap(lambda s, x: learner.scores(s, Context(x)))(states, contexts)


@functools.cache
def replayed(case):
    """Squared widths, and squares of the gradients, [T, K], by dense formulas; from the weights
    that the learner had in each round."""
    learner, contexts, arms, _, states, _, _ = run(case)
    size = reference.flat(reference.layers(reference.at(states.inner.weights, 0))).size
    numbers = (float(np.float32(x)) for x in (learner.regularisation, learner.exploration))
    other = reference.Confidence(size, *numbers, learner.covariance == "full")
    widths, sizes = [], []
    for t, (context, arm) in enumerate(zip(contexts, arms, strict=True)):
        network = reference.layers(reference.at(states.inner.weights, t))
        slopes = np.stack([reference.gradient(network, x) for x in reference.inputs(context)])
        widths.append(other.squared_widths(slopes))
        sizes.append(np.sum(slopes**2, axis=1))
        other.learn(slopes[arm])
    return np.array(widths), np.array(sizes)


@every_case
def test_widths_are_those_of_dense_formulas(case):
    learner, *_, widths = run(case)
    expected, sizes = replayed(case)
    # A round rounds every entry of U once. The inverse of a full matrix has entries as large as
    # 1 / regularisation, which are rounded once or twice: g^T U^-1 g is off by that much |g|^2.
    error = 4 * (T + 20) * reference.HALF_ULP * expected
    if learner.covariance == "full":
        error = error + 2 * T * reference.HALF_ULP * learner.exploration * sizes
    assert np.all(np.abs(widths.astype(float) ** 2 - expected) <= error)
    assert np.max(error / expected) < 0.1


@every_case
def test_the_arm_has_the_largest_score(case):
    learner, _, arms, tape, _, means, widths = run(case)
    draws = np.asarray(tape) if isinstance(learner, NeuralTS) else 1.0
    assert isinstance(learner, NeuralUCB) or draws.shape == (T, K)
    # The programs of a round and of all rounds at once round differently.
    scores = means + draws * widths
    near = 1e-5 * np.abs(scores).max()
    assert np.all(scores[np.arange(T), arms] > scores.max(axis=1) - near)
    assert len(set(arms)) == K
    # Widths matter: the arm is often not the one of the largest mean.
    assert np.mean(arms != means.argmax(axis=1)) > 0.05


@every_case
def test_means_are_the_regressor_s_predictions(case):
    learner, contexts, _, _, states, means, _ = run(case)
    for t in (0, T // 2, T - 1):
        network = reference.layers(reference.at(states.inner.weights, t))
        expected = [reference.output(network, x) for x in reference.inputs(contexts[t])]
        np.testing.assert_allclose(means[t], expected, rtol=0, atol=1e-6)


def test_the_diagonal_is_that_of_the_whole_matrix():
    """U by brute force: the sum of the squares of all gradients of arms that were played."""
    _, contexts, arms, _, states, _, _ = run("NeuralUCB, disjoint")
    total = np.full(K * D * 8 + 8 + 8 + 1, 0.5)
    for t, arm in enumerate(arms):
        network = reference.layers(reference.at(states.inner.weights, t))
        total += reference.gradient(network, reference.inputs(contexts[t])[arm]) ** 2
    ours = reference.flat(reference.layers(reference.at(states.precision, T)))
    np.testing.assert_allclose(ours, total, rtol=2 * T * reference.HALF_ULP)


def test_thompson_draws_have_the_mean_and_the_width():
    """A standard normal an arm and round, all independent."""
    draws = np.asarray(run("NeuralTS, disjoint")[3], float)
    assert stats.kstest(draws.ravel(), stats.norm.cdf).pvalue > 1e-6
    correlations = np.corrcoef(draws.T)[np.triu_indices(K, 1)]
    assert np.abs(correlations).max() * math.sqrt(T) < stats.norm.isf(1e-6 / 6)


@pytest.mark.parametrize("learner", [NeuralUCB, NeuralTS])
def test_errors_say_what_was_wrong(learner):
    name = learner.__name__
    with pytest.raises(ValueError, match=f"{name}: regularisation is positive, got 0.0"):
        learner(regularisation=0.0)
    with pytest.raises(ValueError, match=f"{name}: exploration is zero or more, got -1.0"):
        learner(exploration=-1.0)
    with pytest.raises(ValueError, match=f"{name}: covariance is 'diagonal' or 'full', got 'band'"):
        learner(covariance="band")
    with pytest.raises(ValueError, match=f"{name} explores by the gradient of a network"):
        learner(regressor=None)
