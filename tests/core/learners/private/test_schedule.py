"""The schedules of DP-BAI: against the recursions as they are written, and never over budget."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from regrax.core.learners.private import schedule

from . import reference_dp_bai as reference

ARMS, DIMENSIONS = (2, 3, 5, 10, 27, 64, 100, 333, 1000), (1, 2, 3, 4, 6, 10, 20, 64)
GRID = list(itertools.product(ARMS, DIMENSIONS, ("V2", "V1")))
TABLE = {
    (30, 2): ([30, 1], [30, 1]),
    (3, 2): ([3, 2, 1], [3, 2, 1]),
    (10, 3): ([10, 4, 2, 1], [10, 4, 3, 2, 1]),
    (27, 4): ([27, 6, 2, 1], [27, 6, 4, 2, 1]),
    (100, 5): ([100, 12, 4, 2, 1], [100, 12, 7, 4, 2, 1]),
    (1000, 10): ([1000, 74, 27, 13, 7, 4, 2, 1], [1000, 74, 27, 25, 13, 7, 4, 2, 1]),
    (64, 64): ([64, 32, 16, 8, 4, 2, 1], [64, 32, 16, 8, 4, 2, 1]),
    (20, 6): ([20, 12, 10, 5, 3, 2, 1], [20, 12, 10, 9, 5, 3, 2, 1]),
}


def test_tabulated_schedules():
    for (k, d), (v2, v1) in TABLE.items():
        assert list(schedule.phases(k, d, "V2").sizes) == v2
        assert list(schedule.phases(k, d, "V1").sizes) == v1


@pytest.mark.parametrize("variant", ["V2", "V1"])
def test_schedules_are_the_recursions(variant):
    for k, d in itertools.product(range(2, 130), range(1, 14)):
        shrinking, sizes = reference.sizes(k, d, variant)
        assert schedule.phases(k, d, variant) == (tuple(sizes), shrinking)
        assert sizes[0] == k and sizes[-1] == 1 and all(np.diff(sizes) < 0), (k, d)
        for rounding in ("safe", "paper"):
            left = reference.divided(10**6, k, d, variant, rounding)
            assert 10**6 - schedule.removed(k, d, variant, rounding) == left


def test_the_budget_is_never_exceeded():
    """Whatever the arms span in each phase, from the smallest budget on; and hardly wasted."""
    for (k, d, variant), max_det in itertools.product(GRID, (True, False)):
        sizes = schedule.phases(k, d, variant).sizes
        kept = schedule.removed(k, d, variant, "safe", max_det)
        for budget in kept + np.array([1, 2, 3, 17, 100, 999, 10**6]):
            pulls = schedule.pulls(k, d, int(budget), variant, "safe", max_det)
            most = schedule.most_pulls(pulls, sizes, max_det)
            assert pulls.min() >= 1 and budget - kept <= most <= budget, (k, d, variant, budget)


def test_each_phase_gets_its_share():
    for k, d, variant in GRID:
        sizes = schedule.phases(k, d, variant).sizes
        share = reference.divided(12345, k, d, variant, "safe") / (len(sizes) - 1)
        if share <= 0:
            continue
        pulls = schedule.pulls(k, d, 12345, variant)
        np.testing.assert_array_equal(pulls[:, 0], np.ceil(share / np.array(sizes[:-1])))
        for j in range(1, d + 1):
            np.testing.assert_array_equal(pulls[:, j], np.ceil(share / j))


def test_the_papers_form_may_exceed_the_budget():
    """Where a phase before the halving pulls all its arms. In two dimensions none does."""

    def excess(k, d, budget, max_det=True):
        sizes = schedule.phases(k, d).sizes
        pulls = schedule.pulls(k, d, budget, "V2", "paper", max_det)
        return schedule.most_pulls(pulls, sizes, max_det) - budget

    assert max(excess(30, 2, budget) for budget in range(3, 600)) == -1
    # 25 arms that span six dimensions: all are pulled, 25 is not above 6^2.
    sizes = schedule.phases(25, 6).sizes
    assert schedule.branches(sizes[0], 6) == [0, 1, 2, 3, 4, 5]
    assert max(excess(25, 6, budget) for budget in range(60, 400)) > 0
    # The Baseline on the paper's instance: ceil(48 / 30) = 2 pulls of 30 arms, of 50.
    assert excess(30, 2, 50, max_det=False) == 10


def test_branches():
    assert schedule.branches(30, 2) == [1, 2]
    assert schedule.branches(30, 2, max_det=False) == [0]
    assert schedule.branches(6, 4) == [0, 1, 2]
    assert schedule.branches(2, 4) == [0, 1]


def test_unknown_choices():
    schedule.check_choices("V1", "paper")
    with pytest.raises(ValueError, match="no schedule of DP-BAI is called 'v2': did you mean 'V2'"):
        schedule.check_choices("v2", "safe")
    with pytest.raises(ValueError, match="no rounding of DP-BAI is called 'exact': there is"):
        schedule.check_choices("V2", "exact")
