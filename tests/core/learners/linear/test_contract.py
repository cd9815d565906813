"""What every contextual learner must do, whatever it computes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.learners.linear import OFUL, LinTS, LinUCB, Logistic, RegCB, Ridge
from regrax.core.learners.reductions import FastCB, Greedy, SquareCB
from regrax.core.protocol import Context

from . import problems
from .problems import D, K

T = 200
LEARNERS = {
    "LinUCB": LinUCB(),
    "OFUL": OFUL(noise_scale=0.2, norm=0.5),
    "LinTS": LinTS(),
    "RegCB": RegCB(scale=0.01),
    "SquareCB": SquareCB(Ridge(of="losses")),
    "FastCB": FastCB(Logistic()),
    "Greedy": Greedy(Ridge(of="losses"), epsilon=0.1),
}
every_learner = pytest.mark.parametrize("name", LEARNERS)
layouts = pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])


@functools.cache
def play(name, seeds):
    env = problems.clusters()
    return rx.simulate(env, LEARNERS[name], T, seeds, checkpoints=[T], progress=False).metrics


@every_learner
def test_a_seed_is_the_same_in_any_batch(name):
    few, many = (play(name, seeds)["regret"] for seeds in (range(5, 12), range(64)))
    np.testing.assert_array_equal(few, many[:, 5:12])
    assert len(np.unique(many)) > 10


@every_learner
def test_learns_classes_that_are_nearly_apart(name):
    """Random play is wrong in three rounds of four."""
    assert np.mean(play(name, range(64))["regret"]) < 0.5 * T


@every_learner
def test_a_stack_is_its_members(name):
    """Numbers are leaves: a grid of them is one program."""
    learner = LEARNERS[name]
    grid = rx.stack([jax.tree.map(lambda x: 0.5 * x, learner), learner])
    metrics = rx.simulate(problems.clusters(), grid, T, 7, checkpoints=[T], progress=False).metrics
    np.testing.assert_array_equal(metrics["regret"][1], play(name, range(64))["regret"][:, :7])
    assert np.any(metrics["regret"][0] != metrics["regret"][1])


@every_learner
@layouts
def test_a_round_leaves_shapes_and_dtypes_as_they_were(name, disjoint, strict_promotion):
    learner = problems.fitted(LEARNERS[name], disjoint)
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
    assert learner.num_arms == K


@every_learner
def test_blanks_are_filled_and_must_fit(name):
    learner = LEARNERS[name]
    holds = [f.name for f in dataclasses.fields(learner)]
    with pytest.raises(ValueError, match="does not know its dimension"):
        learner.init(noise.root(0))
    model = learner.regressor if "regressor" in holds else learner
    wrong = dataclasses.replace(model, num_arms=9)
    wrong = dataclasses.replace(learner, regressor=wrong) if "regressor" in holds else wrong
    message = rf"{type(model).__name__}\(num_arms=9\) met ClassificationBandit with 4 arms"
    with pytest.raises(ValueError, match=message):
        rx.simulate(problems.clusters(), wrong, T, 4)
    with pytest.raises(ValueError, match="learns from contexts, and BernoulliBandit shows none"):
        rx.simulate(rx.envs.BernoulliBandit(np.array([0.2, 0.8])), learner, 10, 4)
