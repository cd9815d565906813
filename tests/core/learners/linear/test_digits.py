"""Regret on the digits of scikit-learn, against numbers that were measured with other code."""

import functools

import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core.learners.linear import LinTS, LinUCB, Ridge
from regrax.core.learners.reductions import FastCB, SquareCB
from regrax.envs.contextual import ClassificationBandit

SEEDS, ROUNDS = 16, 1797


@functools.cache
def digits():
    """1,797 images of 64 pixels, scaled to length 1; the arms are the ten digits."""
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    features, labels = load_digits(return_X_y=True)
    return ClassificationBandit(features / np.linalg.norm(features, axis=1, keepdims=True), labels)


@functools.cache
def regrets(learner):
    trace = rx.simulate(digits(), learner, ROUNDS, SEEDS, checkpoints=[ROUNDS], progress=False)
    return trace.metrics["regret"][0]


def test_linucb_is_far_below_random_play():
    """Random play has a regret of 1,617."""
    assert np.mean(regrets(LinUCB())[:5]) < 420


@pytest.mark.parametrize(
    ("learner", "mean", "deviation"),
    [
        (LinUCB(), 356, 18),
        (LinUCB(width="square"), 334, 34),
        (SquareCB(Ridge(), scale=10.0), 631, 115),
        (FastCB(Ridge(), scale=10.0), 565, 89),
    ],
    ids=["LinUCB", "LinUCB square", "SquareCB", "FastCB"],
)
def test_regret_is_that_of_an_independent_implementation(learner, mean, deviation):
    """In NumPy, five seeds: one row to a learner, block by block, in an order of its own."""
    ours = regrets(learner)
    test = stats.ttest_ind_from_stats(
        ours.mean(), ours.std(ddof=1), SEEDS, mean, deviation, 5, equal_var=True
    )
    assert test.pvalue > 1e-6


def test_exploration_pays():
    """Ridge on rewards starts with low expectations: without exploration it stays with what it has
    met first. A larger width is a smaller regret, in every one of the seeds."""
    assert np.all(regrets(LinUCB()) < regrets(LinUCB(exploration=0.1)))
    # Of the draw's deviation 0.1 and 0.3 were measured: 629 and 475, one number each.
    assert np.mean(regrets(LinTS(exploration=0.09))) < np.mean(regrets(LinTS(exploration=0.01)))
