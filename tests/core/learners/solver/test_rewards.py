"""Learners of rewards on iterations."""

from __future__ import annotations

import flax.struct
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.learners.bandits import UCB1, Exp3
from regrax.core.learners.solver import FromCosts
from regrax.core.protocol import Iterations, complete

from . import systems

KEY = noise.root(6)


@flax.struct.dataclass
class Recorder:
    """Keeps what it was told last."""

    def init(self, key):
        return jnp.int32(-1), jnp.zeros(())

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        return jnp.int32(observation + noise)

    def update(self, state, observation, arm, feedback):
        return arm, feedback.reward

    def recommend(self, state):
        return state[0]


def test_rewards_fall_from_one_to_zero():
    learner = FromCosts(Recorder(), 100.0)
    state = learner.init(KEY)
    for iterations, reward in [(0, 1), (1, 1), (2, 0.99), (51, 0.5), (101, 0), (2900, 0)]:
        state = learner.update(state, (), jnp.int32(7), Iterations(jnp.int32(iterations)))
        assert state[1].dtype == np.float32
        np.testing.assert_allclose(state[1], reward, rtol=1e-6)
    assert learner.recommend(state) == 7
    assert learner.act(state, 3, 2.0) == 5
    np.testing.assert_array_equal(learner.noise(KEY, 4), Recorder().noise(KEY, 4))


def test_the_inner_learner_is_filled_in():
    env = systems.Systems(systems.contexts(16))
    inner = complete(FromCosts(Exp3(), 100.0), env, 50).learner
    assert (inner.num_arms, inner.horizon) == (20, 50)


def test_ucb_tunes_a_solver():
    """Regret below half of uniform play's, by six standard errors."""
    env = systems.Systems(systems.contexts(1024))
    trace = rx.simulate(env, FromCosts(UCB1(), 500.0), 3000, 64, checkpoints=[3000], progress=False)
    regret = trace.metrics["regret"][-1] / 3000
    uniform = (systems.MEAN_COUNTS - systems.MEAN_COUNTS.min()).mean()
    assert regret.mean() + 6 * regret.std() / 8 < uniform / 2


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: FromCosts(Exp3, 10.0), "takes a learner"),
        (lambda: FromCosts(rx.learners.SequentialHalving(3, 100), 10.0), "phases"),
        (lambda: FromCosts(Exp3(), 0.0), "most is positive"),
    ],
)
def test_it_says_what_is_wrong(build, message):
    with pytest.raises(ValueError, match=message):
        build()
