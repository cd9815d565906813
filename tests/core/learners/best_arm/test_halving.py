"""Sequential Halving; its error probabilities are tested with those of Successive Rejects."""

import math
from functools import partial

import numpy as np
import pytest

from regrax.core.learners.best_arm.halving import SequentialHalving, halving_sizes

from . import reference_best_arm as reference
from .phases import TABLES, K, T, check_against, check_one_round, play


@pytest.mark.parametrize("accumulate", [False, True])
def test_plays_what_the_reference_plays(accumulate):
    learner = SequentialHalving(accumulate=accumulate)
    check_against(learner, partial(reference.sequential_halving, accumulate=accumulate))


def test_accumulating_counts_what_the_classic_forgets():
    """K = 7, T = 300: 14, 25 and 50 pulls. The first 39 pulls of arm 0 bring 1 and no other; the
    15th to the 74th of arm 1 bring 0.4. Both pass two phases (the first by a tie). In the last one
    arm 0 has 0 and arm 1 has 14; over all phases 39 and 24."""
    tables = np.zeros((TABLES, K, T), np.float32)
    tables[:, 0, :39] = 1
    tables[:, 1, 14:74] = 0.4
    classic, keeps = (play(SequentialHalving(accumulate=x), tables)[1][0] for x in (False, True))
    assert (classic, keeps) == (1, 0)


def test_sizes():
    assert halving_sizes(20) == [20, 10, 5, 3, 2, 1]
    assert all(len(halving_sizes(k)) == math.ceil(math.log2(k)) + 1 for k in range(2, 600))


def test_never_over_budget():
    for num_arms in (2, 3, 4, 5, 7, 16, 17, 20, 33, 100):
        sizes = np.array(halving_sizes(num_arms)[:-1])
        smallest = num_arms * len(sizes)
        for budget in (smallest, smallest + 1, 2 * smallest - 1, 9973, 2**20, 2**31 - 1):
            pulls = SequentialHalving(num_arms, budget).schedule.astype(np.int64)
            assert np.all(pulls >= 1)
            # Rounding down leaves less than a pull for every active arm.
            assert budget - np.sum(sizes) < np.sum(pulls * sizes) <= budget


def test_shapes_and_dtypes_stay():
    check_one_round(SequentialHalving(num_arms=5, budget=100, accumulate=True))
