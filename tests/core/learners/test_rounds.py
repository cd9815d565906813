"""Phase learners pull by pull; what they say of a problem without a budget."""

import numpy as np
import pytest

import regrax as rx


def test_phases_need_a_budget():
    bandit = rx.envs.BernoulliBandit([0.2, 0.8])
    message = "SuccessiveRejects plays in phases of many pulls, for which BernoulliBandit has no"
    with pytest.raises(ValueError, match=message):
        rx.simulate(bandit, rx.learners.SuccessiveRejects(), 100, 8)
    with pytest.raises(ValueError, match=message):
        rx.run(
            rx.Study("s", {"b": bandit}, {"l": rx.learners.SuccessiveRejects()}, 100), store=None
        )


def test_a_phase_learner_plays_any_bandit_with_a_budget_of_its_own():
    bandit = rx.envs.BernoulliBandit([0.2, 0.8, 0.5])
    learner = rx.learners.ByRound(rx.learners.SuccessiveRejects(budget=60))
    trace = rx.simulate(bandit, learner, 100, 16, checkpoints=[60, 100], progress=False)
    first, last = trace.metrics["pulls"]
    # SR's levels for K = 3, T = 60: ceil(57 / (4/3 * 3)) = 15, ceil(57 / (4/3 * 2)) = 22. The 60 -
    # 59 pulls left go, with the forty rounds after the budget, to the arm that is recommended.
    assert np.all(np.sort(first, axis=-1)[:, 0] == 15) and np.all(first.sum(axis=-1) == 60)
    assert np.all(np.sort(last - first, axis=-1) == [0, 0, 40])
