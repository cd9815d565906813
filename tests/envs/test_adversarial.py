"""Tables of rewards against NumPy, and the tables that ruin deterministic learners."""

import dataclasses

import jax
import numpy as np
import pytest

import regrax.envs as envs
from regrax.core.learners.bandits.ucb import UCB1
from regrax.core.simulate import simulate
from regrax.tests.envs.conformance import (
    Scripted,
    check_environment,
    key,
    play,
    pulls_before,
    scripted_arms,
)

TABLE = np.random.default_rng(0).random((100, 3), np.float32)


def reference(table, arms):
    """Regret in hindsight, in float64."""
    rewards = np.asarray(table, np.float64)[np.arange(len(arms)) % len(table)]
    return rewards.sum(axis=0).max() - rewards[np.arange(len(arms)), arms].sum()


def test_conformance():
    check_environment(envs.AdversarialBandit(TABLE))


@pytest.mark.parametrize("rows", [1, 70])
def test_a_history_agrees_with_numpy(rows):
    table, arms = TABLE[:rows], scripted_arms(3, 250)
    played = play(envs.AdversarialBandit(table), 250)
    rewards = table[np.arange(250) % rows, arms]
    np.testing.assert_array_equal(played.feedback.reward, np.tile(rewards, (3, 1)))
    np.testing.assert_array_equal(played.reports["pulls"][1], pulls_before(arms, 3))
    for t in range(1, 250):
        exact = reference(table, arms[:t])
        np.testing.assert_allclose(played.reports["regret"][1, t], exact, rtol=1e-6, atol=1e-12)


def test_regret_survives_many_rounds():
    env = envs.AdversarialBandit(TABLE)
    sums = TABLE.astype(np.float64).sum(axis=0)
    row, cycles = 57, 10**5 - 1
    totals = cycles * sums + TABLE[:row].astype(np.float64).sum(axis=0)
    earned = totals.max() - 123.456
    high = np.float32(earned)
    pair = type(env.init(key(0)).earned)(high, np.float32(earned - high))
    state = env.init(key(0))._replace(row=np.int32(row), cycles=np.int32(cycles), earned=pair)
    report = jax.jit(lambda env, state: env.evaluate(state, 0))(env, state)
    np.testing.assert_allclose(report["regret"], 123.456, rtol=1e-7)


@pytest.mark.slow
def test_ten_million_rounds_agree_with_float64():
    env = envs.WithHindsight(envs.AdversarialBandit(TABLE))
    trace = simulate(env, Scripted(), 10**7, 1, checkpoints=[10**7], progress=False)
    exact = reference(TABLE, scripted_arms(3, 10**7))
    np.testing.assert_allclose(trace.metrics["regret"], exact, rtol=1e-6)
    np.testing.assert_allclose(trace.metrics["hindsight_regret"], exact, rtol=1e-6)


def test_a_replaced_table_has_sums_of_its_own():
    env = dataclasses.replace(envs.AdversarialBandit(TABLE), table=1 - TABLE)
    exact = (1 - TABLE.astype(np.float64)).sum(axis=0)
    np.testing.assert_allclose(env.prefix[:, -1].sum(axis=0, dtype=np.float64), exact, rtol=1e-6)


def test_alternating_table():
    env = envs.alternating(3, period=2)
    np.testing.assert_array_equal(np.argmin(env.table, axis=1), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(env.table.sum(axis=1), np.full(6, 2))


def test_alternating_rewards_ruin_ucb1():
    trace = simulate(envs.alternating(4), UCB1(), 400, 2, checkpoints=[400], progress=False)
    np.testing.assert_array_equal(trace.metrics["regret"], [[300, 300]])
    # UCB1 once more, in plain NumPy
    pulls, total = np.zeros(4), 0
    for t in range(400):
        index = np.where(pulls, np.sqrt(2 * np.log(max(t, 1)) / np.maximum(pulls, 1)), np.inf)
        arm = int(np.argmax(index))
        total += arm != t % 4
        pulls[arm] += 1
    assert total == 0


def test_a_table_against_a_deterministic_learner():
    learner = UCB1(exploration=0.5)
    env = envs.against(learner, num_arms=3, horizon=500)
    assert env.table.shape == (500, 3) and set(env.table.sum(axis=1)) == {2}
    trace = simulate(env, learner, 500, 2, checkpoints=[500], progress=False)
    fewest = trace.metrics["pulls"].min(axis=-1)
    np.testing.assert_array_equal(trace.metrics["regret"], 500 - fewest)
    assert np.all(trace.metrics["regret"] >= 500 - 500 / 3)


class Uniform(Scripted):
    def noise(self, key, num_rounds):
        return np.zeros(num_rounds)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.AdversarialBandit([0.5, 0.6]), r"shape \[rounds, K\]"),
        (lambda: envs.AdversarialBandit(np.zeros((0, 3))), r"at least one"),
        (lambda: envs.AdversarialBandit([[0.5, -0.5]]), r"table\[0, 1\] = -0.5"),
        (lambda: envs.AdversarialBandit([[0.5, np.nan]]), r"table\[0, 1\] = nan"),
        (lambda: envs.alternating(1), "two arms"),
        (lambda: envs.alternating(2, 0), "period=0"),
        (lambda: envs.against(Scripted(), 1, 10), "two arms"),
        (lambda: envs.against(Uniform(), 2, 10), "deterministic"),
    ],
)
def test_bad_parameters_are_refused_when_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
