"""LSVI-UCB++ and HYRULE against a reference with the whole history, and what their papers say."""

import functools
import math

import jax
import numpy as np
import pytest

import regrax as rx
from regrax.core.learners.mdp.lsvi_plus import HYRULE, LSVIUCBPlusPlus, radii
from regrax.envs.linear_mdp import tabular
from regrax.envs.mdp_instances import random_low_rank, river_swim
from regrax.envs.mdp_values import optimal_values, uniform_policy
from regrax.envs.offline_mdp import OfflineData

from . import reference_lsvi as plain
from . import reference_lsvi_plus as reference
from .histories import Recorded, counted, features_of, no_data, record, tuples

LOW_RANK = random_low_rank(4, 3, 3, 4, seed=2)
EPISODES = 60
SCALES = [(2**-7, 0.0), (2**-7, 2**-10), (2**-9, 2**-8), (0.0, 2**-8)]


@functools.cache
def history(bonus, correction, offline=False):
    """Everything is exact in float32."""
    learner = LSVIUCBPlusPlus(bonus, correction, delta=0.015625)
    return record(LOW_RANK, learner.replace(offline=data() if offline else None), EPISODES)


def data():
    """Of episodes that a learner with another bonus has played."""
    played = record(LOW_RANK, LSVIUCBPlusPlus(0.0625), 30, seed=5)
    return Recorded(counted(played.trajectories, LOW_RANK))


def test_radii_of_the_example():
    """H = d = 10, K = 100, delta = 0.01, ridge 1 / H^2: L = 18.42 and beta = 61.4, above H."""
    given = 10, 10, 100, 0.01, 0.01
    assert f"{math.log(10 * 10 * 100 / (0.01 * 0.01)):.2f}" == "18.42"
    assert f"{float(radii(*given).optimistic):.1f}" == "61.4"
    np.testing.assert_allclose(radii(*given), reference.radii(*given), rtol=1e-6)
    other = 3, 7, 500, 0.1, 2.0
    np.testing.assert_allclose(radii(*other), reference.radii(*other), rtol=1e-6)


@pytest.mark.parametrize("offline", [False, True], ids=["LSVI-UCB++", "HYRULE"])
@pytest.mark.parametrize("scales", SCALES, ids=str)
def test_values_switches_and_play_are_those_of_the_reference(scales, offline):
    played = history(*scales, offline)
    rows = ()
    if offline:
        other = record(LOW_RANK, LSVIUCBPlusPlus(0.0625), 30, seed=5).trajectories
        rows = [tuples(other, h) for h in range(4)]
    rewards = np.asarray(LOW_RANK.rewards)
    model = reference.PlusPlus(
        features_of(LOW_RANK), rewards, EPISODES, *scales, 0.015625, offline=rows
    )
    for k in range(EPISODES):
        assert played.states.switches[k] == model.switches
        np.testing.assert_allclose(played.states.optimistic[k], model.Q, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            played.states.pessimistic[k], model.Q_check, rtol=1e-8, atol=1e-8
        )
        np.testing.assert_array_equal(played.policies.actions[k], plain.greedy(model.Q))
        if k + 1 < EPISODES:
            model.play(played.trajectories, k)
    assert model.switches > 2
    assert np.any(model.Q < 4) and (scales[0] > 2**-9 or np.any(model.Q_check > 0))


def test_it_rarely_switches():
    """Every switch doubles one of H determinants, and with |phi| <= 1 and weights of at most 1 / H
    these grow by no more than (1 + K / (d H ridge))^d = (1 + K H / d)^d."""
    d, stages, episodes = 3, 4, 400
    most = stages * d * math.log2(1 + episodes * stages / d)
    states = record(LOW_RANK, LSVIUCBPlusPlus(), episodes).states
    assert 2 < states.switches[-1] <= most < episodes / 3
    switched = np.diff(states.switches) > 0
    changed = np.any(np.diff(states.optimistic, axis=0) != 0, axis=(1, 2, 3))
    assert np.all(switched | ~changed) and np.any(changed)


def test_values_never_rise_again():
    """What was once an upper bound stays one, and a lower bound a lower bound."""
    for scales in SCALES:
        states = history(*scales).states
        assert np.all(np.diff(states.optimistic, axis=0) <= 0)
        assert np.all(np.diff(states.pessimistic, axis=0) >= 0)
        assert np.all(states.optimistic[0] == 4) and np.all(states.pessimistic[0] == 0)


def test_the_constants_of_the_theory_leave_nothing_to_learn_from():
    """Not at this size: no determinant doubles."""
    assert history(1.0, 1.0).states.switches[-1] == 0


@pytest.mark.parametrize("bonus", [1.0, 0.0625])
def test_values_are_bounds(bonus):
    """Without the corrections, which only make weights smaller, in a process so small that bounds
    say something. At the radii of the theory Q is above Q* at all times. Rewards are known, so a
    regression's error has a deviation of at most u sqrt(Var V / H) <= u / sqrt(8), as V_1 is in
    [0, 1] and V_2 is 0: with 1 / 16 of the radii Q is four deviations off, and Q' sixteen."""
    moves = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.1, 0.9]]])
    means = np.array([[0.2, 0.1], [0.7, 0.3]])
    env = tabular(np.stack([moves, moves]), np.stack([means, means]), [0.5, 0.5])
    best = optimal_values(env.transitions, env.rewards)[0]
    played = record(env, LSVIUCBPlusPlus(bonus), 20_000).states
    assert np.all(played.pessimistic <= best + 1e-6)
    if bonus == 1:
        assert np.all(played.optimistic >= best - 1e-6) and played.optimistic[-1].min() < 1
    else:
        assert played.pessimistic[-1].max() > 0.5


def test_hyrule_without_data_is_lsvi_ucb_plus_plus():
    learner = LSVIUCBPlusPlus(2**-7, 2**-10, delta=0.015625)
    without = history(2**-7, 2**-10)
    empty = record(LOW_RANK, learner.replace(offline=no_data(LOW_RANK)), EPISODES)
    for a, b in zip(jax.tree.leaves(without), jax.tree.leaves(empty), strict=True):
        np.testing.assert_array_equal(a, b)
    assert HYRULE(None, bonus_scale=0.5) == LSVIUCBPlusPlus(bonus_scale=0.5)


def test_offline_data_spare_exploration():
    """Uniform episodes of a process with few states; the first policy is made of them."""
    env = river_swim(3, 6)
    offline = OfflineData(env, uniform_policy(6, 3, 2), 500)
    regrets = [
        rx.simulate(env, learner, 200, 16, checkpoints=[200], progress=False).metrics["regret"][0]
        for learner in (LSVIUCBPlusPlus(), HYRULE(offline))
    ]
    assert np.all(regrets[1] < regrets[0])
    assert np.mean(regrets[1]) < 0.5 * np.mean(regrets[0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bonus_scale": -0.5}, r"LSVIUCBPlusPlus: bonus_scale is zero or more, got -0\.5"),
        ({"correction_scale": -1.0}, r"correction_scale is zero or more, got -1\.0"),
        ({"delta": 1.0}, r"delta is a probability between 0 and 1, got 1\.0"),
        ({"ridge": 0.0}, r"ridge is positive, got 0\.0"),
        ({"horizon": 0}, "horizon is one episode or more, got 0"),
    ],
)
def test_bad_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        LSVIUCBPlusPlus(**wrong)
