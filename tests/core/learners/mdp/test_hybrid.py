"""Hy-Q, H2O and HyGLOW against references with the whole history, and the combination lock."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core.learners.mdp.hybrid import HyQ
from regrax.core.learners.mdp.lsvi import LSVIUCB
from regrax.core.learners.mdp.reduction import H2O, MABO, FittedQ, HyGLOW, density_ratios
from regrax.core.mdp import Counts
from regrax.envs.mdp_hard_instances import combination_lock
from regrax.envs.mdp_instances import random_low_rank
from regrax.envs.mdp_values import occupancy, optimal_values, uniform_policy
from regrax.envs.offline_mdp_sets import expert_data, occupancy_data

from . import reference_hybrid as reference
from . import reference_lsvi as plain
from .histories import Recorded, before, counted, features_of, no_data, record

LOW_RANK = random_low_rank(5, 3, 3, 4, seed=3)
SHAPE = 4, 5, 3
EPISODES = 30


@functools.cache
def offline():
    """30 episodes of another learner."""
    return record(LOW_RANK, LSVIUCB(0.5), 30, seed=9).trajectories


def data():
    return Recorded(counted(offline(), LOW_RANK))


def test_hyq_is_lsvi_from_offline_data_without_bonus():
    mine = record(LOW_RANK, HyQ(data(), ridge=0.5), EPISODES)
    same = record(LOW_RANK, LSVIUCB(0.0, 0.5, offline=data()), EPISODES)
    np.testing.assert_array_equal(mine.policies.actions, same.policies.actions)
    np.testing.assert_array_equal(mine.regrets, same.regrets)
    for k in (0, 10, EPISODES - 1):
        both = reference.joined(offline(), before(mine.trajectories, k))
        values = plain.lsvi_ucb(features_of(LOW_RANK), both, 4, 0.5, 0.0)
        np.testing.assert_array_equal(mine.policies.actions[k], plain.greedy(values))


def test_uniform_exploration_takes_turns():
    """At one stage every action has the same chance; elsewhere play is greedy."""
    history = record(LOW_RANK, HyQ(data(), ridge=0.5, exploration="uniform"), EPISODES)
    for k, chances in enumerate(history.policies.chances):
        both = reference.joined(offline(), before(history.trajectories, k))
        values = plain.lsvi_ucb(features_of(LOW_RANK), both, 4, 0.5, 0.0)
        expected = np.eye(3)[plain.greedy(values)]
        expected[k % 4] = 1 / 3
        np.testing.assert_allclose(chances, expected, rtol=1e-6)


def test_h2o_takes_equal_shares():
    """Before episode t offline data weigh as much as t episodes, online data as much as t - 1."""
    history = record(LOW_RANK, H2O(FittedQ(0.5), data()), EPISODES)
    for k in (0, 1, 2, 10, EPISODES - 1):
        values = reference.fitted_q(
            features_of(LOW_RANK), offline(), before(history.trajectories, k), SHAPE, 0.5
        )
        np.testing.assert_array_equal(history.policies.actions[k], plain.greedy(values))
    assert len(np.unique(history.policies.actions, axis=0)) > 2


def glow(gamma):
    """Q* and values that are wrong in one pair each; ratios of their policies, and a few others."""
    rng = np.random.default_rng(0)
    best = optimal_values(LOW_RANK.transitions, LOW_RANK.rewards)[0]
    values = best + (rng.random((6, *SHAPE)) < 0.2) * rng.normal(size=(6, *SHAPE))
    values[3] = best
    policies = np.eye(3)[values.argmax(axis=-1)]
    occupancies = [occupancy(LOW_RANK.transitions, LOW_RANK.start, p) for p in policies]
    uniform = uniform_policy(*SHAPE)
    mu = occupancy(LOW_RANK.transitions, LOW_RANK.start, uniform)[None]
    ratios = density_ratios(occupancies, mu)
    rounded = values.astype(np.float32)
    return HyGLOW(rounded, ratios, data(), gamma), rounded.astype(float), ratios.astype(float)


@pytest.mark.parametrize("gamma", [0.0625, 1.0])
def test_hyglow_plays_for_the_values_that_a_reference_chooses(gamma):
    """With a ratio at a time, a transition at a time. The smaller gamma clips."""
    learner, values, ratios = glow(gamma)
    history = record(LOW_RANK, learner, EPISODES)
    chosen = []
    for k in (0, 1, 5, EPISODES - 1):
        online = before(history.trajectories, k)
        scores = reference.mabo(values, ratios, gamma, offline(), online)
        with jax.enable_x64(True):
            arrays = jax.tree.map(lambda x, k=k: jnp.asarray(x[k]), history.states)
            counts = Counts(
                *((k + 1) * x + y for x, y in zip(arrays.offline, arrays.online, strict=True))
            )
            got = jax.device_get(learner.algorithm.scores(counts, 2.0 * k + 1))
        np.testing.assert_allclose(got, scores, rtol=1e-6, atol=1e-9)
        chosen.append(np.argmin(scores))
        expected = plain.greedy(values[chosen[-1]])
        np.testing.assert_array_equal(history.policies.actions[k], expected)
    assert np.any(ratios > gamma) or gamma == 1


def test_mabo_finds_the_optimal_values():
    """From expected counts, as of a million episodes: only Q* has no error under any ratio."""
    learner, values, _ = glow(0.01)
    mu = occupancy(LOW_RANK.transitions, LOW_RANK.start, uniform_policy(*SHAPE))
    visits = 1e6 * mu[..., None] * LOW_RANK.transitions
    counts = Counts(visits, 1e6 * mu * LOW_RANK.rewards)
    with jax.enable_x64(True):
        arrays = Counts(*(jnp.asarray(x, jnp.float64) for x in counts))
        scores = jax.device_get(learner.algorithm.scores(arrays, jnp.float64(1e6)))
    assert np.argmin(scores) == 3 and np.sum(scores < 0.01) == 1
    assert len(values) == 6


def test_clipped_concentrability():
    """d = (.5, .5) on data (.9, .1): E_d min(d / mu, g) is .777778, 1.277778 and 2.777778 for g of
    1, 2 and 10."""
    d, mu = (np.array(x).reshape(1, 1, 1, 2) for x in ((0.5, 0.5), (0.9, 0.1)))
    ratio = density_ratios(d, mu).astype(float).reshape(2)
    for g, expected in ((1, "0.777778"), (2, "1.277778"), (10, "2.777778")):
        assert f"{np.sum(d.reshape(2) * np.minimum(ratio, g)):.6f}" == expected


def test_density_ratios_of_every_pair():
    d = np.array([[[[0.5, 0.5]]], [[[0.0, 1.0]]]])
    mu = np.array([[[[0.25, 0.75]]], [[[0.0, 1.0]]], [[[1.0, 0.0]]]])
    largest = np.finfo(np.float32).max
    rows = [(2, 2 / 3), (largest, 0.5), (0.5, largest), (0, 4 / 3), (0, 1), (0, largest)]
    got = density_ratios(d, mu)
    np.testing.assert_allclose(got.reshape(6, 2), np.array(rows, np.float32), rtol=1e-6)
    assert got.dtype == np.float32 and got.shape == (6, 1, 1, 2)


def test_no_data_is_learning_online():
    without = record(LOW_RANK, HyQ(), 10)
    empty = record(LOW_RANK, HyQ(no_data(LOW_RANK)), 10)
    np.testing.assert_array_equal(without.policies.actions, empty.policies.actions)
    reduced = record(LOW_RANK, H2O(FittedQ(), no_data(LOW_RANK)), 10)
    np.testing.assert_array_equal(without.policies.actions, reduced.policies.actions)


def lock_regrets(learner, env, episodes, seeds):
    """Cumulative, [2, seeds]: after nine tenths, and at the end."""
    stops = [episodes * 9 // 10, episodes]
    trace = rx.simulate(env, learner, episodes, seeds, checkpoints=stops, progress=False)
    return trace.metrics["regret"], trace.metrics["simple_regret"][-1]


def check_lock(stages, episodes, seeds, share):
    """Greedy play online never finds the way, in 10^H paths; with offline data of which a `share`
    of an optimal policy's trajectories, or of what it visits, it does."""
    env = combination_lock(stages, 10)
    online, _ = lock_regrets(HyQ(), env, episodes, seeds)
    assert np.all(online[1] - online[0] >= 0.9 * episodes / 10)
    for offline in (expert_data(env, share, 1 / stages, stages // 2), occupancy_data(env, share)):
        regret, simple = lock_regrets(HyQ(offline), env, episodes, seeds)
        assert np.all(regret[1] < 0.1 * online[1])
        assert np.all(regret[1] == regret[0]) and np.all(simple == 0)


def test_hyq_opens_the_lock():
    check_lock(stages=10, episodes=100, seeds=8, share=400)


@pytest.mark.slow
def test_hyq_opens_a_long_lock():
    """H = 100 and ten actions, as in the paper."""
    check_lock(stages=100, episodes=300, seeds=8, share=2000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HyQ(ridge=0.0), r"HyQ: ridge is positive, got 0\.0"),
        (
            lambda: HyQ(exploration="x"),
            r"HyQ: exploration is one of \('none', 'uniform'\), got 'x'",
        ),
        (lambda: FittedQ(-1.0), r"FittedQ: ridge is positive, got -1\.0"),
        (lambda: MABO(np.ones((2, *SHAPE)), -np.ones((1, *SHAPE))), "MABO: ratios is zero or more"),
        (lambda: MABO(np.ones((2, *SHAPE)), np.ones(SHAPE)), r"MABO takes values \[M, H, S, A\]"),
        (lambda: MABO(np.ones((2, *SHAPE)), np.ones((1, *SHAPE)), 0.0), "gamma is positive, got 0"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()
