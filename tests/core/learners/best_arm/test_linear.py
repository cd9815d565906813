"""OD-LinBAI and GSE: every phase against plain NumPy, budgets, and error probabilities."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from regrax.core.learners.best_arm.linear import GSE, ODLinBAI

from .reference_linear import (
    CHECKED,
    SEEDS,
    check_budget,
    check_kept,
    error,
    largest_norm,
    play,
    problems,
    soare,
    yang_tan,
)

SHAPES = [(24, 2), (12, 4), (11, 10), (5, 1)]


def _reserve(num_arms, d):
    later = [math.ceil(d / 2**r) for r in range(1, math.ceil(math.log2(d)))]
    return min(num_arms, d * (d + 1) // 2), later


@pytest.mark.parametrize(("num_arms", "d"), SHAPES)
def test_od_linbai_phase_by_phase(num_arms, d):
    x, theta = problems(num_arms, d)
    first, later = _reserve(num_arms, d)
    reserve, phases = first + sum(later), max(1, math.ceil(math.log2(d)))
    for budget in (reserve + 1, 157, 100_000):
        played = play(ODLinBAI(num_arms=num_arms, dimension=d, budget=budget), x, theta)
        check_budget(played, budget)
        worth = (budget - reserve) / phases
        for i in CHECKED:
            for r in range(phases):
                before, counts = played["active"][i, r], played["counts"][i, r]
                assert not counts[~before].any()
                assert (counts > 0).sum() <= [first, *later][r]
                assert counts.sum() < worth + [first, *later][r]
                # No fewer than worth * weight pulls of an arm, for weights that are optimal.
                largest, rank = largest_norm(x[i], counts, before)
                assert largest <= rank / worth * 1.003
                check_kept(
                    x[i], counts, played["sums"][i, r], before, played["active"][i, r + 1],
                    math.ceil(d / 2 ** (r + 1)),
                )  # fmt: skip
            assert played["active"][i, phases].sum() == 1
            assert played["recommended"][i, -1] == np.argmax(played["active"][i, phases])


@pytest.mark.parametrize(("num_arms", "d"), [(24, 2), (11, 10)])
def test_gse_stage_by_stage(num_arms, d):
    x, theta = problems(num_arms, d)
    stages = math.ceil(math.log2(num_arms))
    for budget in (stages, 26, 100_003):
        played = play(GSE(num_arms=num_arms, dimension=d, budget=budget), x, theta)
        check_budget(played, budget)
        size = num_arms
        for r in range(played["counts"].shape[1] - 2):
            length = budget // stages + (r >= stages - budget % stages)
            assert (played["counts"][:, r].sum(axis=1) == length).all()
            size = max(size // 2, 1)
            for i in CHECKED:
                before, counts = played["active"][i, r], played["counts"][i, r]
                assert not counts[~before].any()
                if length >= 200:  # efficient rounding: counts >= (length - support) * weights
                    largest, rank = largest_norm(x[i], counts, before)
                    assert largest <= rank / (length - (counts > 0).sum()) * 1.003
                after = played["active"][i, r + 1]
                check_kept(x[i], counts, played["sums"][i, r], before, after, size)
        assert size == 1


def test_od_linbai_errs_as_often_as_its_authors_runs():
    """Yang and Tan's Figure 1, 1,000 runs a point."""
    for budget, published in ((25, 0.151), (50, 0.07)):
        x, theta = yang_tan(24)
        played = play(ODLinBAI(num_arms=24, dimension=2, budget=budget), x, theta)
        rate = error(x, theta, played)
        spread = math.sqrt(published * (1 - published) * (1 / 1_000 + 1 / SEEDS))
        assert abs(rate - published) < 5 * spread


def test_od_linbai_ends_in_a_duel_of_the_two_nearly_parallel_arms():
    """No other arm comes near: the error is that of comparing two means."""
    x, theta = soare()
    played = play(ODLinBAI(num_arms=11, dimension=10, budget=1_010), x, theta)
    last = played["counts"][:, 3]
    assert (np.flatnonzero(last.sum(axis=0)) == [0, 10]).all()
    pulls = last[0, [0, 10]]
    spread = math.sqrt((1 / pulls).sum())
    expected = NormalDist().cdf(-2 * (1 - math.cos(0.1)) / spread)
    assert abs(error(x, theta, played) - expected) < 5 * math.sqrt(0.25 / SEEDS)


@pytest.mark.parametrize("learner", [ODLinBAI, GSE])
def test_errors_before_anything_runs(learner):
    with pytest.raises(ValueError, match="dimension is a whole number"):
        learner(num_arms=4, dimension=0, budget=100)
    with pytest.raises(ValueError, match="needs a budget of"):
        learner(num_arms=24, dimension=4, budget=1)
    whole = learner(num_arms=4, dimension=2, budget=100)
    with pytest.raises(ValueError, match="the environment shows none"):
        whole.act(whole.init(None), (), ())
    with pytest.raises(ValueError, match="does not know its num_arms"):
        learner(dimension=2, budget=100).num_phases()


def test_smallest_budget_of_od_linbai():
    smallest = 3 + 1
    ODLinBAI(num_arms=24, dimension=2, budget=smallest)
    with pytest.raises(ValueError, match=f"a budget of {smallest} pulls"):
        ODLinBAI(num_arms=24, dimension=2, budget=smallest - 1)


def test_eta_of_gse():
    with pytest.raises(ValueError, match="eta is a whole number from 2"):
        GSE(num_arms=4, dimension=2, budget=100, eta=1)
    assert GSE(num_arms=27, dimension=2, budget=100, eta=3).num_phases() == 3
