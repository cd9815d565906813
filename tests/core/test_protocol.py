"""Filling a learner's blanks, and errors before anything is compiled."""

import flax.struct
import jax
import numpy as np
import pytest

import regrax as rx
from regrax.core import protocol


def test_blanks_are_filled_from_the_problem():
    env = rx.envs.BernoulliBandit([0.2, 0.5, 0.9])
    learner = protocol.complete(rx.learners.MOSS(), env, 500)
    assert learner.num_arms == 3 and learner.horizon == 500
    assert learner.horizon.dtype == np.float32  # another horizon is no other program


def test_what_is_given_stays():
    env = rx.envs.BernoulliBandit([0.2, 0.5])
    assert protocol.complete(rx.learners.MOSS(horizon=77.0), env, 500).horizon == 77


def test_a_wrong_number_of_arms():
    env = rx.envs.BernoulliBandit([0.2, 0.5])
    with pytest.raises(ValueError, match="num_arms=3.*2 arms.*leave num_arms out"):
        rx.simulate(env, rx.learners.UCB1(num_arms=3), 10, 4)


def test_an_environment_that_does_not_say():
    with pytest.raises(ValueError, match="needs to know the number of arms"):
        protocol.complete(rx.learners.UCB1(), object(), 10)


def test_a_class_is_not_a_learner():
    env = rx.envs.BernoulliBandit([0.2, 0.5])
    with pytest.raises(ValueError, match="dataclass instance"):
        rx.simulate(env, rx.learners.UCB1, 10, 4)


def test_other_blanks_are_filled_too():
    @flax.struct.dataclass
    class Wants:
        num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
        budget: float | None = None

    class Env:
        num_arms, budget = 2, 12.5

    assert protocol.complete(Wants(), Env(), 10).budget == 12.5


def test_concrete():
    assert protocol.concrete(None) is None
    assert protocol.concrete(object()) is None
    assert np.array_equal(protocol.concrete([1, 2]), [1, 2])
    seen = []
    jax.jit(lambda x: seen.append(protocol.concrete(x)))(1.0)
    assert seen == [None]


@pytest.mark.parametrize("play", ["simulate", "run"])
def test_two_that_do_not_fit_are_named(play):
    """Weights for an environment of arms: said before anything is compiled, with the cause."""
    env, learner = rx.envs.BernoulliBandit([0.4, 0.6]), rx.learners.Hedge()
    with pytest.raises(ValueError, match="Hedge does not fit BernoulliBandit.*TypeError") as caught:
        if play == "simulate":
            rx.simulate(env, learner, 10, 8)
        else:
            rx.run(rx.Study("odd", {"arms": env}, {"Hedge": learner}, 10, 8), store=None)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("learner", [rx.learners.LinUCB(), rx.learners.NeuFastCB()])
def test_a_contextual_learner_needs_contexts(learner):
    with pytest.raises(ValueError, match="learns from contexts, and BernoulliBandit shows none"):
        protocol.complete(learner, rx.envs.BernoulliBandit([0.2, 0.4]), 10)


def test_a_memory_is_as_long_as_the_run_or_longer():
    env = rx.envs.ClassificationBandit(np.eye(4, 3), [0, 1, 0, 1])
    network = protocol.complete(rx.learners.ReplayNetwork(), env, 4)
    assert network.horizon == 4 and isinstance(network.horizon, int)
    assert protocol.complete(rx.learners.ReplayNetwork(horizon=9), env, 4).horizon == 9
    with pytest.raises(ValueError, match=r"ReplayNetwork\(horizon=3\) has no room for 4 rounds"):
        protocol.complete(rx.learners.ReplayNetwork(horizon=3), env, 4)
