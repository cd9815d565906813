"""AdaP-UCB, AdaP-KLUCB and AdaC-UCB against plain references, their budgets and their laws."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise as tapes
from regrax.core.learners.private.adaptive import AdaCUCB, AdaPKLUCB, AdaPUCB
from regrax.core.protocol import RewardSums
from regrax.envs.best_arm import Arms, BestArm

from . import reference_private as reference
from .written_down import agrees, check_one_round, coins, noise_of, play, sums_of

MEANS, RUNS = (0.5, 0.4, 0.6, 0.1, 0.3), 12
TABLE = coins(MEANS, 30_000)
PHASES = AdaPUCB(5, 30_000).num_phases() + 2
KINDS = [
    (AdaPUCB, reference.ucb_index, lambda e: lambda n: 1 / (e * n), tapes.laplace),
    (AdaPKLUCB, reference.kl_index, lambda e: lambda n: 1 / (e * n), tapes.laplace),
    (AdaCUCB, reference.concentrated_index, lambda e: lambda n: (2 * e) ** -0.5 / n, tapes.normal),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[0].__name__)


@every_kind
def test_reference(kind):
    """Without noise coins tie exactly. Sums and roots tie in float32 as well; logarithms need not,
    as the last lanes of an array may be rounded in another way: there epsilon is large instead."""
    learner, index, spread, draw = kind
    budgets = np.tile([5, 100, 3_001, 30_000], RUNS // 4)
    for epsilon in (0.1, 1.0, 300.0 if learner is AdaPKLUCB else np.inf):
        played = play(learner(5, 100, epsilon), TABLE, budgets, PHASES)
        for run, budget in enumerate(budgets):
            noise, exact = noise_of(run, draw=draw), float(np.float32(epsilon))
            agrees(
                played, run,
                reference.episodes(5, budget, index(exact), spread(exact), sums_of(TABLE), noise),
            )  # fmt: skip


@every_kind
def test_budget(kind):
    """Used up and never passed; nothing asked after `num_phases`."""
    budgets = np.array([5, 6, 9, 10, 11, 20, 159, 160, 161, 1_000, 4_096, 29_999])
    pulls = play(kind[0](5, 100), TABLE, budgets, PHASES)[0]
    assert (pulls >= 0).all()
    np.testing.assert_array_equal(pulls.sum(axis=(1, 2)), budgets)
    for run, budget in enumerate(budgets):
        assert not pulls[run, kind[0](5, budget).num_phases() :].any()


def test_the_most_phases_there_can_be():
    """Rewards of 0 keep the arms level: every arm doubles as often as the others."""
    learner, table = AdaPUCB(5, 5 * 2**10, np.inf), np.zeros((5, 30_000))
    pulls = play(learner, table, np.full(RUNS, 5 * 2**10), PHASES)[0][0]
    assert np.flatnonzero(pulls.any(axis=1))[-1] + 1 == 5 + 5 * 10
    assert learner.num_phases() == 5 + 5 * 10 + 1


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind[0].__name__)
def test_regret_is_that_of_the_reference(kind):
    """Regret over 10^7 pulls, beside the reference on binomial draws: 5 standard errors. For
    AdaP-UCB the authors report 2147 (20 runs)."""
    learner, index, spread, _ = kind
    runs, means, rng = 60, np.array([0.75, 0.625, 0.5, 0.375, 0.25]), np.random.default_rng(5)
    regrets = []
    for _ in range(runs):
        phases, _ = reference.episodes(
            5, 10**7, index(1.0), spread(1.0), lambda a, _, n: rng.binomial(n, means[a]),
            lambda _: rng.laplace(),
        )  # fmt: skip
        regrets.append(np.sum(phases, axis=0) @ (means[0] - means))
    env = BestArm(Arms(means), 10**7)
    found = rx.simulate(env, learner(), 110, 1_000, checkpoints=[110], progress=False).metrics
    assert (found["budget_used"] == 10**7).all()
    deviation = found["regret"].std()
    error = np.hypot(np.std(regrets) / runs**0.5, deviation / 1_000**0.5)
    assert abs(found["regret"].mean() - np.mean(regrets)) < 5 * error
    if learner is AdaPUCB:
        assert abs(found["regret"].mean() - 2147) < 5 * deviation / 20**0.5


@every_kind
def test_one_round(kind):
    check_one_round(kind[0](5, 100), RewardSums(jnp.zeros(1)))


def test_errors():
    with pytest.raises(ValueError, match="5 pulls at least for 5 arms"):
        AdaPUCB(5, 4)
    with pytest.raises(ValueError, match="epsilon is positive"):
        AdaPKLUCB(5, 100, -1.0)
    with pytest.raises(ValueError, match="rho is positive"):
        AdaCUCB(5, 100, 0.0)
    with pytest.raises(ValueError, match="beta is zero or more"):
        AdaPUCB(5, 100, beta=-1.0)
    with pytest.raises(ValueError, match="two at least"):
        AdaPUCB(1, 100)
