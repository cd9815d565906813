"""What every neural learner must do, whatever it computes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise, simulate
from regrax.core.learners.neural import (
    NeuFastCB,
    NeuralTS,
    NeuralUCB,
    NeuSquareCB,
    ReplayNetwork,
)
from regrax.core.protocol import Context
from regrax.core.tapes import BLOCK
from regrax.envs.contextual import ClassificationBandit

from . import reference_neural as reference
from .reference_neural import D, K

T = 120
REPLAY = {"hidden": (8,), "learning_rate": 0.1, "turn": 50, "late": 25, "steps": 100}
ONLINE = {"train": "online", "hidden": (8,), "perturbation": "sampled", "strength": 0.1}
LEARNERS = {
    "NeuSquareCB, replay": NeuSquareCB(**REPLAY),
    "NeuSquareCB, online": NeuSquareCB(**ONLINE, shared=False, radius=2.0),
    "NeuFastCB, replay": NeuFastCB(**REPLAY, weight_decay=1e-3),
    "NeuFastCB, online": NeuFastCB(**ONLINE, curvature=0.1),
    "NeuralUCB": NeuralUCB(ReplayNetwork(of="rewards", **REPLAY)),
    "NeuralTS": NeuralTS(ReplayNetwork(of="rewards", **REPLAY)),
}
every_learner = pytest.mark.parametrize("name", LEARNERS)
layouts = pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])


@functools.cache
def problem():
    """Three classes around points of their own, with some overlap."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, K, 400)
    features = rng.normal(size=(K, D))[labels] + 0.7 * rng.normal(size=(400, D))
    return ClassificationBandit(features / np.linalg.norm(features, axis=1, keepdims=True), labels)


@functools.cache
def play(name, seeds):
    trace = rx.simulate(problem(), LEARNERS[name], T, seeds, checkpoints=[T // 2, T],
                        progress=False)  # fmt: skip
    return trace.metrics["regret"]


def other(learner):
    """With other numbers."""
    network = dataclasses.replace(
        learner.regressor, learning_rate=0.5 * learner.regressor.learning_rate
    )
    name = "scale" if hasattr(learner, "scale") else "exploration"
    numbers = {name: 0.3 * getattr(learner, name)}
    return dataclasses.replace(learner, regressor=network, **numbers)


@every_learner
def test_a_seed_is_the_same_in_any_batch(name):
    few, many = (play(name, seeds) for seeds in (range(5, 12), range(64)))
    np.testing.assert_array_equal(few, many[:, 5:12])
    assert len(np.unique(many[-1])) > 10


@every_learner
def test_learns_classes_that_are_nearly_apart(name):
    """Random play is wrong in two rounds of three; one step a round takes longer to learn."""
    first, both = play(name, range(64)).astype(float).sum(axis=1) / 64
    if "online" in name:
        assert both - first < 0.95 * first
    else:
        assert both < 0.5 * T


@every_learner
def test_other_parameters_are_no_other_program(name):
    play(name, range(5, 12))
    before = simulate._init._cache_size(), simulate._advance._cache_size()
    run = rx.simulate(problem(), other(LEARNERS[name]), T, range(5, 12), checkpoints=[T // 2, T],
                      progress=False)  # fmt: skip
    assert (simulate._init._cache_size(), simulate._advance._cache_size()) == before
    assert np.any(run.metrics["regret"] != play(name, range(5, 12)))


@every_learner
def test_a_stack_is_its_members(name):
    learner = LEARNERS[name]
    grid = rx.stack([other(learner), learner])
    run = rx.simulate(problem(), grid, T, range(5, 12), checkpoints=[T // 2, T], progress=False)
    np.testing.assert_array_equal(run.metrics["regret"][1], play(name, range(5, 12)))
    alone = rx.simulate(problem(), other(learner), T, range(5, 12), checkpoints=[T // 2, T],
                        progress=False)  # fmt: skip
    np.testing.assert_array_equal(run.metrics["regret"][0], alone.metrics["regret"])


@every_learner
def test_a_simulation_is_a_loop_in_python(name):
    """With the same keys: round after round, each a call of its own."""
    env, seed = problem(), 6
    learner = rx.core.protocol.complete(LEARNERS[name], env, T)
    key = noise.stream(noise.root(0), seed)
    own, met = (noise.stream(key, x) for x in ("learner", "environment"))
    tapes = [
        player.noise(noise.stream(noise.stream(key, f"{role} noise"), 0), BLOCK)
        for player, role in ((learner, "learner"), (env, "environment"))
    ]
    act, update = jax.jit(learner.act), jax.jit(learner.update)
    state, state_of_env, total = learner.init(own), env.init(met), 0
    for t in range(T):
        row, row_of_env = (jax.tree.map(lambda x, t=t: x[t], tape) for tape in tapes)
        context = env.observe(state_of_env, row_of_env)
        arm = act(state, context, row)
        state_of_env, feedback, metrics = env.step(state_of_env, arm, row_of_env)
        state = update(state, context, arm, feedback)
        total += float(metrics["regret"])
    assert total == play(name, range(5, 12))[-1, 1]


@every_learner
@layouts
def test_a_round_leaves_shapes_and_dtypes_as_they_were(name, disjoint, strict_promotion):
    learner = reference.fitted(LEARNERS[name], disjoint, T)
    seen = Context(jnp.zeros(D if disjoint else (K, D)))

    def one_round():
        state, tape = learner.init(noise.root(0)), learner.noise(noise.root(0), 7)
        arm = learner.act(state, seen, jax.tree.map(lambda x: x[0], tape))
        after = learner.update(state, seen, arm, rx.BanditFeedback(jnp.float32(0.5)))
        return state, tape, after, arm

    state, tape, after, arm = jax.eval_shape(one_round)
    assert all(x.shape[0] == 7 for x in jax.tree.leaves(tape))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert arm.shape == () and arm.dtype == jnp.int32
    assert learner.recommend(state) == ()


@every_learner
def test_blanks_are_filled_and_must_fit(name):
    learner = LEARNERS[name]
    with pytest.raises(ValueError, match="does not know its (dimension|disjoint)"):
        learner.init(noise.root(0))
    network = learner.regressor
    whole = rx.core.protocol.complete(learner, problem(), T).regressor
    assert (whole.num_arms, whole.dimension, whole.disjoint) == (K, D, True)
    assert getattr(whole, "horizon", T) == T
    wrong = dataclasses.replace(learner, regressor=dataclasses.replace(network, num_arms=9))
    message = rf"{type(network).__name__}\(num_arms=9\) met ClassificationBandit with 3 arms"
    with pytest.raises(ValueError, match=message):
        rx.simulate(problem(), wrong, T, 4)
    with pytest.raises(ValueError, match="learns from contexts, and BernoulliBandit shows none"):
        rx.simulate(rx.envs.BernoulliBandit(np.array([0.2, 0.8])), learner, 10, 4)


@every_learner
@pytest.mark.parametrize("wrong", [{"disjoint": False}, {"dimension": 4}], ids=str)
def test_features_of_another_shape_are_an_error(name, wrong):
    """By hand, as the number of arms above: nothing is played with other blocks than it says."""
    network = dataclasses.replace(LEARNERS[name].regressor, **wrong)
    with pytest.raises(ValueError, match="Network learns from features"):
        rx.simulate(problem(), dataclasses.replace(LEARNERS[name], regressor=network), 10, 4)


@every_learner
def test_it_says_what_it_is_in_a_line(name):
    for given in (LEARNERS[name], reference.fitted(LEARNERS[name], True)):
        assert repr(given).startswith(f"{type(given).__name__}(regressor=")
        assert len(repr(given)) < 500 and "\n" not in repr(given)


def test_how_to_train_is_online_or_replay():
    with pytest.raises(ValueError, match="train is 'replay' or 'online', got 'batch'"):
        NeuSquareCB(train="batch")
