"""DP-SE against a plain reference, its budget, and its law."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core.learners.private.elimination import DPSE
from regrax.core.protocol import RewardSums
from regrax.envs.best_arm import Arms, BestArm

from . import reference_private as reference
from .written_down import agrees, check_one_round, coins, noise_of, play, sums_of

MEANS, RUNS, PHASES = (0.9, 0.7, 0.5, 0.3, 0.1), 12, 12
TABLE = coins(MEANS, 40_000)


@pytest.mark.parametrize("identify", [False, True])
def test_reference(identify):
    """Budgets that end in the first epoch, in later ones, and when one arm is left."""
    budgets = np.tile([7, 5_000, 11_000, 40_000], RUNS // 4)
    for epsilon in (0.1, 1.0, np.inf):
        learner = DPSE(5, 100, epsilon, delta=0.01, identify=identify)
        played = play(learner, TABLE, budgets, PHASES)
        for run, budget in enumerate(budgets):
            noise = noise_of(run, 5)
            exact = float(np.float32(epsilon)), float(np.float32(0.01))
            found = reference.dp_se(5, budget, *exact, identify, sums_of(TABLE), noise)
            agrees(played, run, found)
            np.testing.assert_allclose(played[2].means[run], found[2], rtol=1e-5, atol=1e-6)


def test_budget():
    """Never passed; used up unless the learner may stop; nothing asked after `num_phases`."""
    budgets = np.array([5, 6, 9, 10, 1_061, 5_309, 5_310, 5_311, 10_000, 20_001, 29_999, 40_000])
    pulls, _, _ = play(DPSE(5, 100, 1.0, delta=0.01), TABLE, budgets, PHASES)
    assert (pulls >= 0).all()
    np.testing.assert_array_equal(pulls.sum(axis=(1, 2)), budgets)
    for run, budget in enumerate(budgets):
        phases = DPSE(5, budget, 1.0, delta=0.01).num_phases()
        assert not pulls[run, phases:].any()
    pulls, _, states = play(DPSE(5, 100, 1.0, delta=0.01, identify=True), TABLE, budgets, PHASES)
    assert (pulls.sum(axis=(1, 2)) <= budgets).all()
    one_left = states.active.sum(axis=1) == 1
    assert one_left.any() and not one_left.all()
    assert ((pulls.sum(axis=(1, 2)) == budgets) | one_left).all()


def test_any_budget_ends_within_the_table():
    for budget, delta in [(10**7, None), (2**31 - 1, None), (2**31 - 1, 0.999)]:
        learner = DPSE(2, budget, np.inf, delta)
        epochs = learner.num_phases() - 1
        taken = 2 * learner.schedule.pulls[:, 2].astype(np.int64).cumsum()
        assert taken[epochs - 1] <= budget < taken[epochs]  # that epoch is in the table
    assert epochs + 1 <= len(taken)


def test_stopping_time_by_hand():
    """linspace(0, 1, 5), epsilon 1, delta .01: the first epoch, 5 * 1062 pulls, drops all but the
    best. Its test is at .139, eight standard errors below the smallest gap. Public code stops here
    too."""
    env = BestArm(Arms(np.linspace(0, 1, 5)), 10**6)
    learner = DPSE(5, env.budget, 1.0, delta=0.01, identify=True)
    found = rx.simulate(env, learner, 7, 500, checkpoints=[7], progress=False)
    assert (found.metrics["budget_used"] == 5_310).all()
    assert not found.metrics["error"].any()


def test_regret_is_that_of_the_reference():
    """Regret over 10^7 pulls, beside the reference on binomial draws: 5 standard errors."""
    means, rng = np.array([0.75, 0.625, 0.5, 0.375, 0.25]), np.random.default_rng(5)
    regrets = []
    for _ in range(300):
        phases, *_ = reference.dp_se(
            5, 10**7, 1.0, 1e-7, False, lambda a, _, n: rng.binomial(n, means[a]),
            lambda _: rng.laplace(size=5),
        )  # fmt: skip
        regrets.append(np.sum(phases, axis=0) @ (means[0] - means))
    env = BestArm(Arms(means), 10**7)
    found = rx.simulate(env, DPSE(), 7, 1_000, checkpoints=[7], progress=False).metrics
    assert (found["budget_used"] == 10**7).all()
    error = np.hypot(np.std(regrets) / 300**0.5, found["regret"].std() / 1_000**0.5)
    assert abs(found["regret"].mean() - np.mean(regrets)) < 5 * error


def test_one_round():
    check_one_round(DPSE(5, 100), RewardSums(jnp.zeros(5)))


def test_errors():
    with pytest.raises(ValueError, match="5 pulls at least for 5 arms"):
        DPSE(5, 4)
    with pytest.raises(ValueError, match="epsilon is positive"):
        DPSE(5, 100, 0.0)
    with pytest.raises(ValueError, match="delta is a probability"):
        DPSE(5, 100, 1.0, delta=1.0)
    with pytest.raises(ValueError, match="identify=True needs delta"):
        DPSE(5, 100, identify=True)
