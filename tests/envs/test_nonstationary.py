"""Piecewise-stationary bandits against NumPy."""

import jax
import numpy as np
import pytest

import regrax.envs as envs
from regrax.core.simulate import simulate
from regrax.tests.envs.conformance import (
    Scripted,
    check_environment,
    key,
    play,
    pulls_before,
    scripted_arms,
)

MEANS = [[0.1, 0.9, 0.5], [0.8, 0.2, 0.5], [0.8, 0.3, 0.9]]
STARTS = [0, 10, 45]


def reference(means, starts, arms):
    """Regret against the best fixed arm, and against the best arm of each segment, in float64."""
    means = np.asarray(means, np.float64)
    segment = np.searchsorted(starts, np.arange(len(arms)), side="right") - 1
    expected = means[segment]
    earned = expected[np.arange(len(arms)), arms].sum()
    return expected.sum(axis=0).max() - earned, expected.max(axis=1).sum() - earned, segment


def test_conformance():
    check_environment(envs.PiecewiseStationaryBandit(MEANS, STARTS))


def test_a_history_agrees_with_numpy():
    played, arms = play(envs.PiecewiseStationaryBandit(MEANS, STARTS)), scripted_arms(3, 60)
    segment = reference(MEANS, STARTS, arms)[2]
    rewards = played.tape < np.float32(MEANS)[segment, arms]
    np.testing.assert_array_equal(played.feedback.reward, rewards)
    report = {name: x[0] for name, x in played.reports.items()}
    np.testing.assert_array_equal(report["pulls"], pulls_before(arms, 3))
    for t in range(1, 60):
        fixed, dynamic, _ = reference(MEANS, STARTS, arms[:t])
        np.testing.assert_allclose(report["regret"][t], fixed, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(report["dynamic_regret"][t], dynamic, rtol=1e-6, atol=1e-12)
        means = MEANS[segment[t - 1]]
        np.testing.assert_allclose(report["simple_regret"][t], max(means) - means[0], rtol=1e-6)


def test_one_segment_is_a_bernoulli_bandit():
    one = play(envs.PiecewiseStationaryBandit(MEANS[:1], [0]))
    plain = play(envs.BernoulliBandit(MEANS[0]))
    np.testing.assert_array_equal(one.feedback.reward, plain.feedback.reward)
    for name in ("regret", "dynamic_regret"):
        np.testing.assert_array_equal(one.reports[name], plain.reports["regret"])


def test_regret_survives_many_rounds():
    # As if 10^7 rounds had been played: segments of millions, close means.
    env = envs.PiecewiseStationaryBandit([[0.5, 0.499], [0.497, 0.5]], [0, 4_000_000])
    pulls = np.array([[1_000_001, 2_999_999], [5_000_003, 999_997]], np.int32)
    state = env.init(key(0))._replace(segment=np.int32(1), pulls=pulls.ravel())
    report = jax.jit(lambda env, state: env.evaluate(state, 0))(env, state)
    means = np.array([[0.5, 0.499], [0.497, 0.5]])
    earned, rounds = np.sum(pulls * means), pulls.sum(axis=1)
    np.testing.assert_allclose(report["dynamic_regret"], 0.5 * rounds.sum() - earned, rtol=1e-6)
    np.testing.assert_allclose(report["regret"], (rounds @ means).max() - earned, rtol=1e-6)


@pytest.mark.slow
def test_ten_million_rounds_agree_with_float64():
    env = envs.stochastically_constrained(3, 0.1, 10**7)
    trace = simulate(env, Scripted(), 10**7, 4, checkpoints=[10**7], progress=False)
    means = np.where(np.arange(len(env.starts))[:, None] % 2, [0.1, 0, 0], [1, 0.9, 0.9])
    fixed, dynamic, _ = reference(means, env.starts, scripted_arms(3, 10**7))
    np.testing.assert_allclose(trace.metrics["regret"], fixed, rtol=1e-6)
    np.testing.assert_allclose(trace.metrics["dynamic_regret"], dynamic, rtol=1e-6)


def test_stochastically_constrained_adversary():
    env = envs.stochastically_constrained(3, 0.125, 30)
    # floor(1.6^i) = 1, 1, 2, 4, 6, 10, ...
    np.testing.assert_array_equal(env.starts, [0, 1, 2, 4, 8, 14, 24])
    np.testing.assert_array_equal(env.means[0], np.float32([1, 0.875, 0.875]))
    np.testing.assert_array_equal(env.means[1], np.float32([0.125, 0, 0]))
    np.testing.assert_array_equal(env.means[::2], np.tile(env.means[0], (4, 1)))


def test_abrupt_changes():
    env = envs.abrupt(num_arms=2, num_changes=2, horizon=10)
    np.testing.assert_array_equal(env.starts, [0, 3, 6])
    np.testing.assert_array_equal(env.means, np.float32([[0.6, 0.4], [0.4, 0.6], [0.6, 0.4]]))


def test_garivier_moulines():
    env = envs.garivier_moulines(2)
    np.testing.assert_array_equal(env.starts, [0, 6000, 10000])
    np.testing.assert_array_equal(np.argmax(env.means, axis=1), [0, 2, 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.PiecewiseStationaryBandit([0.5, 0.6], [0]), r"shape \[S, K\]"),
        (lambda: envs.PiecewiseStationaryBandit([[0.5], [1.5]], [0, 1]), r"means\[1, 0\] = 1.5"),
        (lambda: envs.PiecewiseStationaryBandit(MEANS, [0, 10]), "3 segments"),
        (lambda: envs.PiecewiseStationaryBandit(MEANS, [1, 10, 45]), "begin with 0"),
        (lambda: envs.PiecewiseStationaryBandit(MEANS, [0, 10, 10]), "increasing"),
        (lambda: envs.PiecewiseStationaryBandit(MEANS, [0, 20, 10]), "increasing"),
        (lambda: envs.PiecewiseStationaryBandit(MEANS, [0, 1.5, 10]), "whole"),
        (lambda: envs.PiecewiseStationaryBandit(MEANS, [0, 10, 2**31]), "whole"),
        (lambda: envs.abrupt(1, 2, 10), "two arms"),
        (lambda: envs.abrupt(2, 10, 10), "num_changes=10"),
        (lambda: envs.stochastically_constrained(2, 1.0, 10), "gap=1.0"),
        (lambda: envs.garivier_moulines(0), "scale=0"),
    ],
)
def test_bad_parameters_are_refused_when_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
