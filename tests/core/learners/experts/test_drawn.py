"""An arm drawn from the weights on experts."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core.compiled import jit
from regrax.core.learners.experts import AdaHedge, AdaNormalHedge, Drawn, Hedge, Sleeping, Squint
from regrax.core.protocol import FullFeedback, GroupContext, complete
from regrax.core.simulate import simulate
from regrax.envs import BernoulliBandit, FullInformation, WithHindsight

from ..bandits import reference_randomised as reference
from .games import KEY, play

ENV = FullInformation(BernoulliBandit([0.3, 0.5, 0.7]))


@jit
def arms_of(learner, rewards, tape):
    def one_round(state, row):
        rewards, u = row
        arm = learner.act(state, (), u)
        return learner.update(state, (), arm, FullFeedback(rewards)), arm

    state, arms = jax.lax.scan(one_round, learner.init(KEY), (rewards, tape))
    return arms, learner.recommend(state)


@pytest.mark.parametrize("inside", [Hedge(4, 200), AdaHedge(4), Squint(4), AdaNormalHedge(4)])
def test_plays_what_the_weights_say(inside):
    """The weights do not depend on the arms: they are those of the learner alone, of losses that
    are 1 - reward, where Drawn is told of rewards."""
    rewards = np.random.default_rng(1).beta(2, [2, 3, 1, 2], (200, 4)).astype(np.float32)
    tape = Drawn(inside).noise(KEY, 200)
    arms, recommended = arms_of(Drawn(inside), rewards, tape)
    weights, state = play(inside, 1 - rewards)
    for t in range(200):
        choice, distance = reference.draw(list(map(float, weights[t])), float(tape[t]))
        assert arms[t] == choice or distance < 1e-4
    assert recommended == np.argmax(inside.recommend(state))


def test_arms_are_drawn_with_the_chances_of_their_weights():
    learner = Drawn(Hedge(4, learning_rate=0.3))
    state = learner.init(KEY)
    for _ in range(3):
        state = learner.update(state, (), 0, FullFeedback(jnp.array([0.1, 0.9, 0.4, 0.9])))
    arms = jax.vmap(lambda u: learner.act(state, (), u))(learner.noise(KEY, 200_000))
    expected = np.exp(0.9 * np.array([0.1, 0.9, 0.4, 0.9]))
    seen = np.bincount(arms, minlength=4) / 200_000
    assert np.max(np.abs(seen - expected / expected.sum())) < 5 * math.sqrt(0.25 / 200_000)
    assert learner.recommend(state) == 1  # arms 1 and 3 are equal: the lowest index


def test_the_observation_is_passed_on():
    learner = Drawn(Sleeping(Hedge(3, learning_rate=1.0)))
    observation = GroupContext((), jnp.array([False, True, False]))
    assert learner.act(learner.init(KEY), observation, jnp.float32(0.01)) == 1


@pytest.mark.parametrize("inside", [Hedge(), AdaNormalHedge()])
def test_runs_against_a_bandit_that_shows_all_rewards(inside):
    learner = complete(Drawn(inside), ENV, 500)
    assert learner.num_arms == learner.learner.num_arms == 3
    trace = simulate(ENV, Drawn(inside), 500, 64, checkpoints=[500], progress=False)
    # The bound of Hedge; the mean of 64 runs has a standard deviation below sqrt(500) / 2 / 8.
    bound = math.sqrt(500 * math.log(3) / 2) + 5 * math.sqrt(500) / 16
    assert np.mean(trace.metrics["hindsight_regret"]) < bound
    assert np.mean(trace.metrics["simple_regret"]) < 0.01


@pytest.mark.parametrize("env", [ENV, WithHindsight(ENV.bandit)])
def test_a_bandit_takes_no_weights(env):
    name = type(env).__name__
    with pytest.raises(ValueError, match=rf"{name} takes an arm, and got weights.*Drawn\(learner"):
        simulate(env, Hedge(), 5, 2, progress=False)


@dataclasses.dataclass(frozen=True)
class Chancy:
    def noise(self, key, num_rounds):
        return jnp.zeros(num_rounds)


@pytest.mark.parametrize("wrapper", [Drawn, Sleeping])
def test_a_learner_that_draws_is_refused(wrapper):
    with pytest.raises(
        ValueError, match=rf"{wrapper.__name__} takes a learner whose weights.*Chan"
    ):
        wrapper(Chancy()).noise(KEY, 8)
