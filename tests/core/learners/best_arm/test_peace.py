"""Peace: every epoch against linear programming in NumPy, budgets, and error probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regrax.core.learners.best_arm.peace import Peace

from ...reference_design import norms, xy_rho
from .reference_linear import (
    CHECKED,
    SEEDS,
    check_budget,
    check_kept,
    error,
    estimates,
    play,
    problems,
    soare,
)

BUDGET = 5_003


def test_peace_epoch_by_epoch():
    x, theta = problems(9, 3)
    played = play(Peace(num_arms=9, dimension=3, budget=BUDGET), x, theta)
    check_budget(played, BUDGET)
    for i in (0, 2, 7):
        counts, active, rhos = (
            played["counts"][i],
            played["active"][i],
            [xy_rho(x[i], np.arange(9))],
        )
        epochs = BUDGET // counts[0].sum()
        assert abs(epochs - max(1, math.log2(rhos[0]) + 0.5)) <= 0.55
        for r in range(epochs):
            before, after = active[r], active[r + 1]
            if before.sum() == 1:
                assert not counts[r].any()
                continue
            last = r == epochs - 1
            assert counts[r].sum() == (BUDGET - r * (BUDGET // epochs) if last else counts[0].sum())
            rows = x[i][before]
            y = (rows[:, None] - rows).reshape(-1, 3)
            y = y[np.abs(y).sum(axis=1) > 0]
            free = counts[r].sum() - (counts[r] > 0).sum()  # efficient rounding
            if len(y):
                assert norms(x[i], counts[r], y).max() <= rhos[-1] * 1.03 / free
            if last:
                assert (after == before).all()
                continue
            check_kept(x[i], counts[r], played["sums"][i, r], before, after)
            values = estimates(x[i], counts[r], played["sums"][i, r])
            order = sorted(np.flatnonzero(before), key=lambda k: -values[k])
            size = int(after.sum())
            if size + 1 < before.sum():
                assert xy_rho(x[i], np.array(order[: size + 1])) > rhos[-1] / 2 * 0.96
            rhos.append(xy_rho(x[i], np.array(order[:size])) if size > 1 else 0)
            assert rhos[-1] <= rhos[-2] / 2 * 1.05


@pytest.mark.parametrize("budget", [4, 5, 17, 100_000])
def test_peace_keeps_to_its_budget(budget):
    x, theta = problems(9, 3)
    played = play(Peace(num_arms=9, dimension=3, budget=budget), x, theta)
    check_budget(played, budget)
    for i in CHECKED:
        for r in range(played["counts"].shape[1] - 2):
            before, after = played["active"][i, r : r + 2]
            assert after.any()
            assert not (after & ~before).any()


@pytest.mark.slow
def test_peace_errs_as_often_as_the_code_it_follows():
    """Data published with Xiong et al. 2024: .085 at T = 1,010, .033 at 2,010, 21,000 runs each, by
    six processes that shared their random numbers: counted as 3,500."""
    x, theta = soare()
    for budget, published in ((1_010, 0.085), (2_010, 0.033)):
        played = play(Peace(num_arms=11, dimension=10, budget=budget), x, theta)
        check_budget(played, budget)
        spread = math.sqrt(published * (1 - published) * (1 / 3_500 + 1 / SEEDS))
        assert abs(error(x, theta, played) - published) < 5 * spread


def test_errors_before_anything_runs():
    with pytest.raises(ValueError, match="needs a budget of 4 pulls"):
        Peace(num_arms=9, dimension=3, budget=3)
    whole = Peace(num_arms=9, dimension=3, budget=100)
    with pytest.raises(
        ValueError, match=r"features \[K, d\] = \[9, 3\], the environment shows none"
    ):
        whole.act(whole.init(None), (), ())
