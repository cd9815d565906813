"""What every bandit learner must do, whatever it computes.

Two programs are compiled a learner, for 8 and for 64 seeds, and shared by all tests.
"""

from __future__ import annotations

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise, simulate
from regrax.core.protocol import complete

T = 300
LEARNERS = [getattr(rx.learners, name) for name in rx.learners.bandits.__all__]
# With 20 arms, one for each way to choose: the largest of a long row, by inversion, by rejection.
MANY_ARMS = rx.learners.UCB1, rx.learners.Exp3, rx.learners.ThompsonBeta
every_learner = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: x.__name__)


@flax.struct.dataclass
class Tells(rx.envs.BernoulliBandit):
    """A bandit that also records what the learner recommends."""

    def evaluate(self, state, arm):
        return super().evaluate(state, arm) | {"recommended": arm}


def problem(learner):
    return Tells(np.linspace(0.05, 0.95, 20 if learner in MANY_ARMS else 3))


@functools.cache
def play(learner, seeds):
    """The metrics of a run with the learner's defaults."""
    env = problem(learner)
    return rx.simulate(env, learner(), T, seeds, checkpoints=[T], progress=False).metrics


@every_learner
def test_a_seed_is_the_same_in_any_batch(learner):
    few, many = (play(learner, seeds)["pulls"] for seeds in (range(5, 12), range(64)))
    np.testing.assert_array_equal(few, many[:, 5:12])
    # Seeds do differ; explore-first may find the best arm in all of them.
    assert len(np.unique(many[0], axis=0)) > 1 or learner is rx.learners.ExploreThenCommit
    assert np.all(many.sum(axis=-1) == T)


@every_learner
def test_it_recommends_an_arm(learner):
    recommended = play(learner, range(64))["recommended"]
    assert recommended.dtype == np.int32
    assert np.all((0 <= recommended) & (recommended < problem(learner).num_arms))


@every_learner
def test_other_parameters_are_no_other_program(learner):
    """Parameters, means, horizon and seeds are data: nothing is compiled for new ones."""
    play(learner, range(5, 12))
    before = simulate._init._cache_size(), simulate._advance._cache_size()
    changed = jax.tree.map(lambda x: 0.9 * x, learner())
    env = problem(learner)
    env = dataclasses.replace(env, means=env.means[::-1])
    rx.simulate(env, changed, T - 50, range(7), checkpoints=[T - 50], progress=False)
    assert (simulate._init._cache_size(), simulate._advance._cache_size()) == before


@every_learner
def test_blanks_are_filled_and_fit_the_problem(learner):
    name, env = learner.__name__, problem(learner)
    whole = complete(learner(), env, T)
    assert whole.num_arms == env.num_arms
    if "horizon" in [field.name for field in dataclasses.fields(learner)]:
        assert whole.horizon == T and learner().horizon is None
    message = rf"{name}\(num_arms=2\) met Tells with {env.num_arms} arms: leave num_arms out"
    with pytest.raises(ValueError, match=message):
        rx.simulate(env, learner(num_arms=2), T, 4)
    with pytest.raises(ValueError, match=f"{name} does not know its num_arms"):
        learner().init(noise.root(0))


@every_learner
def test_a_round_leaves_shapes_and_dtypes_as_they_were(learner):
    """Without silent mixtures of dtypes; and an arm is an int32 scalar."""
    learner = complete(learner(), problem(learner), T)

    def one_round(state, tape):
        row = jax.tree.map(lambda x: x[0], tape)
        arm = learner.act(state, (), row)
        after = learner.update(state, (), arm, rx.BanditFeedback(jnp.float32(0.5)))
        return after, (arm, learner.recommend(after))

    with jax.numpy_dtype_promotion("strict"):
        state = jax.eval_shape(lambda: learner.init(noise.root(0)))
        tape = jax.eval_shape(lambda: learner.noise(noise.root(0), 7))
        after, arms = jax.eval_shape(one_round, state, tape)
    assert all(x.shape[0] == 7 for x in jax.tree.leaves(tape))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert all(x.shape == () and x.dtype == jnp.int32 for x in arms)


@every_learner
def test_it_says_what_it_is_in_a_line(learner):
    for given in (learner(), complete(learner(), problem(learner), T)):
        assert repr(given).startswith(f"{learner.__name__}(") and len(repr(given)) < 120
