"""Uniform allocation, and what all schedules have in common."""

import jax
import numpy as np
import pytest
import scipy.stats as sps

from regrax.core.identify import identify
from regrax.core.learners.best_arm.halving import SequentialHalving
from regrax.core.learners.best_arm.rejects import SuccessiveRejects
from regrax.core.learners.best_arm.ucbe import UCBE, AdaptiveUCBE
from regrax.core.learners.best_arm.uniform import UniformAllocation
from regrax.envs.best_arm import Arms, BestArm

from . import reference_best_arm as reference
from .phases import check_against, check_one_round

PHASED = UniformAllocation, SuccessiveRejects, SequentialHalving
ALL = *PHASED, AdaptiveUCBE
SMALLEST = {UniformAllocation: 5, SuccessiveRejects: 6, SequentialHalving: 15, AdaptiveUCBE: 6}


def test_plays_what_the_reference_plays():
    check_against(UniformAllocation(), reference.uniform_allocation)


def test_the_error_probability_is_that_of_independent_binomials():
    """The best arm, of lowest index, errs unless no other arm has more successes."""
    means, budget, runs = [0.5] + 19 * [0.4], 2000, 50_000
    k = np.arange(101)
    wins = np.sum(sps.binom.pmf(k, 100, 0.5) * sps.binom.cdf(k, 100, 0.4) ** 19)
    found = identify(BestArm(Arms(means), budget), UniformAllocation(), runs, progress=False)
    law = sps.binom(runs, 1 - wins)
    assert min(law.cdf(found.errors), law.sf(found.errors - 1)) > 1e-7
    assert found.most_pulls == budget


# ---- all schedules -------------------------------------------------------------------------


@pytest.mark.parametrize("learner", ALL)
def test_shapes_and_dtypes_stay(learner):
    if learner in PHASED:
        check_one_round(learner(num_arms=5, budget=100))


@pytest.mark.parametrize("learner", ALL)
def test_the_smallest_budget_is_said_and_works(learner):
    smallest, name = SMALLEST[learner], learner.__name__
    message = f"{name} needs a budget of {smallest} pulls at least for 5 arms, got {smallest - 1}"
    with pytest.raises(ValueError, match=message):
        learner(num_arms=5, budget=smallest - 1)
    assert learner(num_arms=5, budget=smallest).schedule.max() >= 1


@pytest.mark.parametrize("learner", [*ALL, UCBE])
@pytest.mark.parametrize("budget", [0, -3, 10.5, np.nan, 2**31, "many"])
def test_budgets_that_are_none_are_refused(learner, budget):
    with pytest.raises(ValueError, match="budget is a whole number of pulls"):
        learner(num_arms=2, budget=budget)


@pytest.mark.parametrize("learner", [*ALL, UCBE])
def test_one_arm_is_refused(learner):
    with pytest.raises(ValueError, match=f"{learner.__name__} tells arms apart"):
        learner(num_arms=1, budget=10)


@pytest.mark.parametrize("learner", ALL)
def test_schedules_follow_the_budget(learner):
    """A schedule is data: it is worked out anew with another budget, and can be stacked."""
    small, large = learner(num_arms=6, budget=100), learner(num_arms=6, budget=1e3)
    np.testing.assert_array_equal(small.replace(budget=1000).schedule, large.schedule)
    assert large.budget == 1000 and np.asarray(large.budget).dtype == np.int32
    both = jax.tree.map(lambda *x: np.stack(x), small, large)
    np.testing.assert_array_equal(both.schedule[1], large.schedule)
    assert learner(num_arms=6).schedule is learner(budget=60).schedule is None
    assert len(repr(large)) < 120


@pytest.mark.parametrize("learner", PHASED)
def test_blanks_have_to_be_filled(learner):
    with pytest.raises(ValueError, match="does not know its num_arms"):
        learner(budget=60).init(None)
    state = learner(num_arms=6).init(None)
    with pytest.raises(ValueError, match="does not know its budget"):
        learner(num_arms=6).act(state, (), ())
