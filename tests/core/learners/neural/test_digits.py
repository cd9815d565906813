"""Regret on the digits of scikit-learn, against numbers that were measured with other code."""

import functools

import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core.learners.neural import NeuFastCB, NeuralUCB, NeuSquareCB, ReplayNetwork
from regrax.core.learners.reductions import Greedy
from regrax.envs.contextual import ClassificationBandit

SEEDS, ROUNDS = 8, 1797


@functools.cache
def digits():
    """1,797 images of 64 pixels, scaled to length 1; the arms are the ten digits."""
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    features, labels = load_digits(return_X_y=True)
    return ClassificationBandit(features / np.linalg.norm(features, axis=1, keepdims=True), labels)


def regrets(learner):
    trace = rx.simulate(digits(), learner, ROUNDS, SEEDS, checkpoints=[ROUNDS], progress=False)
    return trace.metrics["regret"][0]


@pytest.mark.slow
@pytest.mark.parametrize("learner", [NeuSquareCB, NeuFastCB])
def test_replay_is_far_below_random_play(learner):
    """Random play has a regret of 1,617."""
    assert np.mean(regrets(learner(learning_rate=0.1))) < 500


@pytest.mark.parametrize(("learner", "rate"), [(NeuSquareCB, 0.1), (NeuFastCB, 0.3)])
def test_one_step_a_round_learns_more_slowly(learner, rate):
    """An independent implementation had 826 to 982 in three seeds."""
    online = learner(scale=1000.0, power=0.0, train="online", learning_rate=rate)
    assert 700 < np.mean(regrets(online)) < 1250


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "mean", "deviation", "seeds"),
    [
        (Greedy(ReplayNetwork(of="rewards")), 773, 152, 32),
        (NeuralUCB(ReplayNetwork(of="rewards")), 675, 147, 64),
    ],
    ids=["greedy", "NeuralUCB"],
)
def test_regret_is_that_of_an_independent_implementation(learner, mean, deviation, seeds):
    """A loop in NumPy, with a random number generator of its own."""
    ours = regrets(learner)
    test = stats.ttest_ind_from_stats(ours.mean(), ours.std(ddof=1), SEEDS, mean, deviation, seeds)
    assert test.pvalue > 1e-6
