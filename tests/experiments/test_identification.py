"""The estimators that compare our error probabilities with published ones: do they cover?"""

import numpy as np
import pytest
import xarray as xr

import regrax as rx
from regrax.experiments.identification import (
    at_budgets,
    curve,
    errors,
    excess_distance,
    mean_difference,
    study,
)

RATES = np.array([0.001, 0.02, 0.1, 0.3, 0.6])
REPEATS = 2000
# Misses of a 95 % interval among REPEATS: binomial, mean 100; 1e-6 above it is 153.
MOST_MISSES = 153


@pytest.mark.parametrize("shift", [0.0, 0.03])
def test_mean_difference_covers(shift):
    rng, runs, trials = np.random.default_rng(0), 400, 300
    misses = 0
    for _ in range(REPEATS):
        ours = (rng.random((5, runs)) < RATES[:, None] + shift).astype(float)
        theirs = rng.binomial(trials, RATES) / trials
        _, low, high, _ = mean_difference(ours, list(theirs), trials, 0.95)
        misses += not low <= shift <= high
    assert misses <= MOST_MISSES


@pytest.mark.parametrize("shift", [0.0, 0.04])
def test_excess_distance_covers(shift):
    """The distance is 0 when the rates are equal. Where they differ by the same amount everywhere
    it is that amount, for rates of about equal variance."""
    rng, runs, trials, rates = np.random.default_rng(1), 4000, 500, np.full(8, 0.4)
    misses = 0
    for _ in range(400):
        ours = (rng.random((8, runs)) < rates[:, None] + shift).astype(float)
        theirs = rng.binomial(trials, rates) / trials
        _, low, high, _ = excess_distance(ours, list(theirs), trials, 0.95)
        misses += not low <= shift <= high
    assert misses <= 48  # binomial(400, 0.05): 1e-6


def test_no_errors_seen_are_not_no_errors():
    none = mean_difference(np.zeros((3, 20)), [0.01, 0.02, 0.0], 1000, 0.95)
    assert none.low < -0.01 < none.high and none.high > 0.01


def test_a_study_of_identification():
    arms = rx.envs.Arms([0.9, 0.1, 0.2])
    made = study("s", at_budgets(arms, (12, 60)), {"SH": rx.learners.SequentialHalving()}, 50)
    assert made.horizon == 2 and made.checkpoints == (2,)
    dataset = rx.run(made, store=None, progress=False)
    assert isinstance(dataset, xr.Dataset)
    values = curve(dataset, "SH", ["T = 12", "T = 60"])
    assert values.shape == (3, 2) and np.all(values[1] <= values[0])
    np.testing.assert_allclose(values[0, 0], errors(dataset, "T = 12", "SH").mean())
