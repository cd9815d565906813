"""Hedge, for full feedback: against a plain float64 reference, and its regret bounds."""

from __future__ import annotations

import math
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core import noise
from regrax.core.learners.experts import Hedge
from regrax.core.protocol import FullFeedback
from regrax.core.simulate import simulate
from regrax.envs import BernoulliBandit, FullInformation

from .bandits import reference_randomised as reference

K, T = 4, 200
KEY = noise.root(3)
LOG = math.log(K)


def chances(learner, state):
    with mock.patch.object(noise, "categorical", lambda u, weights: weights / jnp.sum(weights)):
        return learner.act(state, (), jnp.float32(0.5))


def game(learner, rewards, tape):
    """Arms [T], the probabilities [T, K] before every round, and the last state."""

    def one_round(state, row):
        rewards, u = row
        arm = learner.act(state, (), u)
        after = learner.update(state, (), arm, FullFeedback(rewards))
        return after, (arm, chances(learner, state))

    state, seen = jax.lax.scan(one_round, learner.init(KEY), (rewards, tape))
    return *seen, state


play = jax.jit(game)

LEARNERS = {
    "fixed": (Hedge(K, T), lambda t: math.sqrt(8 * LOG / T)),
    "given": (Hedge(K, learning_rate=0.7), lambda t: 0.7),
    "anytime": (Hedge(K, anytime=True), lambda t: math.sqrt(8 * LOG / t)),
    "anytime-given": (Hedge(K, anytime=True, learning_rate=1.5), lambda t: 1.5 / math.sqrt(t)),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_agrees_with_its_reference(name):
    learner, rate = LEARNERS[name]
    rewards = np.random.default_rng(1).beta(2, [2, 3, 1, 2], (T, K)).astype(np.float32)
    tape = learner.noise(KEY, T)
    arms, probabilities, state = play(learner, rewards, tape)
    other, tolerance = reference.Hedge(K, rate), 1e-5
    for t in range(T):
        expected = other.chances()
        np.testing.assert_allclose(probabilities[t], expected, rtol=0, atol=tolerance)
        choice, distance = reference.draw(expected, float(tape[t]))
        assert arms[t] == choice or distance < K * tolerance
        other.update(None, [float(x) for x in rewards[t]])
    assert learner.recommend(state) == np.argmin(other.losses)


tables = hnp.arrays(np.float32, (30, 3), elements=st.floats(0, 1, width=32))


@pytest.mark.parametrize(
    ("learner", "bound"),
    [
        (Hedge(3, 30), math.sqrt(30 * math.log(3) / 2)),
        (Hedge(3, anytime=True), math.sqrt(2 * 30 * math.log(3)) + math.sqrt(math.log(3) / 8)),
    ],
    ids=["fixed", "anytime"],
)
def test_regret_never_exceeds_the_theorem(learner, bound):
    """Expected over the arms, for any rewards: the worst table of losses has no exception."""

    @given(tables)
    @settings(max_examples=150)
    def check(rewards):
        _, probabilities, _ = play(learner, rewards, np.full(30, 0.5, np.float32))
        earned = np.sum(np.asarray(probabilities, np.float64) * rewards)
        assert rewards.astype(np.float64).sum(axis=0).max() - earned <= bound + 1e-4

    check()


@given(tables, st.floats(-10, 10, width=32))
@settings(max_examples=60)
def test_only_differences_between_arms_count(rewards, shift):
    """Adding the same number to all rewards of a round changes nothing but the rounding."""
    learner, tape = Hedge(3, 30), np.full(30, 0.5, np.float32)
    _, before, _ = play(learner, rewards, tape)
    _, after, _ = play(learner, rewards + np.float32(shift), tape)
    np.testing.assert_allclose(after, before, atol=1e-4)


@given(tables)
@settings(max_examples=60)
def test_probabilities_stay_probabilities(rewards):
    learner = Hedge(3, learning_rate=100.0)
    _, probabilities, _ = play(learner, rewards, np.full(30, 0.5, np.float32))
    assert np.all(np.isfinite(probabilities)) and np.min(probabilities) >= 0
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-6)


def test_a_million_rounds_lose_no_digits():
    """Arm 1 falls behind by 0.3 a round, which float32 cannot add to 3 10^5 without help, and then
    catches up: the lead changes in the round in which it should."""
    behind, ahead, rounds = np.float32(0.3), np.float32(0.7), 1_000_000
    learner = Hedge(2, learning_rate=0.01)

    @jax.jit
    def lags(state, first, second, rounds):
        rewards = jnp.stack([first, second])
        feedback = FullFeedback(rewards)
        step = lambda i, s: learner.update(s, (), 0, feedback)  # noqa: E731
        return jax.lax.fori_loop(0, rounds, step, state)

    state = lags(learner.init(KEY), behind, np.float32(0), rounds)
    lag = float(state.weights.losses[1] - state.weights.losses[0])
    assert lag == pytest.approx(float(behind) * rounds, rel=1e-7)
    state = lags(state, np.float32(0), ahead, int(rounds * 0.3 / 0.7))
    assert abs(float(state.weights.losses[1] - state.weights.losses[0])) < 1
    assert 0 <= float(jnp.min(state.weights.losses)) < 1024


def test_arms_are_drawn_from_the_weights():
    learner = Hedge(K, learning_rate=0.3)
    state = learner.init(KEY)
    for _ in range(3):
        state = learner.update(state, (), 0, FullFeedback(jnp.array([0.1, 0.9, 0.4, 0.9])))
    arms = jax.vmap(lambda u: learner.act(state, (), u))(learner.noise(KEY, 200_000))
    expected = np.asarray(chances(learner, state), np.float64)
    seen = np.bincount(arms, minlength=K) / 200_000
    assert np.max(np.abs(seen - expected)) < 5 * math.sqrt(0.25 / 200_000)
    assert learner.recommend(state) == 1  # arms 1 and 3 are equal: the lowest index


def test_runs_in_the_suite():
    env = FullInformation(BernoulliBandit([0.3, 0.5, 0.7]))
    trace = simulate(env, Hedge(), 500, 64, checkpoints=[500], progress=False)
    assert np.mean(trace.metrics["hindsight_regret"]) < math.sqrt(500 * math.log(3) / 2)
    assert np.mean(trace.metrics["simple_regret"]) < 0.01


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Hedge(learning_rate=-0.1), "Hedge: learning_rate is zero or more.*-0.1"),
        (lambda: Hedge(horizon=0.0), "horizon is one or more"),
        (lambda: Hedge().init(KEY), "num_arms"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
