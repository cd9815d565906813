"""UCBVI against a reference with the whole history, and optimism where it is proved."""

import math

import jax
import numpy as np
import pytest

from regrax.core.compiled import jit
from regrax.core.learners.mdp.ucbvi import UCBVI
from regrax.core.protocol import complete
from regrax.envs.linear_mdp import tabular
from regrax.envs.mdp_instances import chain
from regrax.envs.mdp_values import optimal_values, policy_values, uniform_policy

from . import reference_lsvi as plain
from . import reference_ucbvi as reference
from .histories import before, record, record_seeds

SHAPE = 4, 3, 2
RNG = np.random.default_rng(0)
ENV = tabular(RNG.dirichlet(np.ones(3), SHAPE), RNG.uniform(size=SHAPE), [0.5, 0.25, 0.25], "coins")


@jit
def values_of(learner, states):
    return jax.vmap(lambda state: learner.values(state, learner.scale))(states)


@pytest.mark.parametrize("stage_dependent", [True, False], ids=["apart", "shared"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "estimated"])
def test_values_and_play_are_those_of_a_reference(stage_dependent, known):
    learner = UCBVI(0.5, stage_dependent=stage_dependent, known_rewards=known)
    history = record(ENV, learner, 80)
    values = jax.device_get(values_of(complete(learner, ENV, 80), history.states))
    means = np.asarray(ENV.rewards) if known else None
    for k in (0, 1, 2, 5, 20, 79):
        seen = before(history.trajectories, k)
        expected = reference.ucbvi(seen, SHAPE, 0.5, stage_dependent, means)
        np.testing.assert_allclose(values[k], expected, rtol=1e-5)
        np.testing.assert_array_equal(history.policies.actions[k], plain.greedy(values[k]))
    assert len(np.unique(history.policies.actions, axis=0)) > 5


@pytest.mark.parametrize("stage_dependent", [True, False], ids=["apart", "shared"])
def test_recommends_without_a_bonus(stage_dependent):
    learner = complete(UCBVI(0.5, stage_dependent=stage_dependent), ENV, 50)
    history = record(ENV, learner, 50)
    state = jax.tree.map(lambda x: x[-1], history.states)
    seen = before(history.trajectories, 49)
    expected = reference.ucbvi(seen, SHAPE, 0.0, stage_dependent, width=0.0)
    np.testing.assert_array_equal(
        jit(lambda x, y: x.recommend(y))(learner, state).actions, plain.greedy(expected)
    )


def test_what_was_never_tried_has_the_largest_value():
    learner = complete(UCBVI(scale=0.0), ENV, 10)
    values = learner.values(learner.init(None), learner.scale)
    np.testing.assert_array_equal(
        values, np.broadcast_to(np.arange(4, 0, -1)[:, None, None], SHAPE)
    )


def test_values_are_optimistic_at_a_radius_that_is_proved():
    """A mean of n targets from 0 to H - h is off by less than H sqrt(L / (2 n)) for all pairs, n up
    to K and seeds at once but with probability a millionth (Hoeffding), L = ln(H S A K seeds / p);
    the targets are of V*, which values are above by induction."""
    episodes, seeds = 4000, 4
    level = math.log(math.prod(SHAPE) * episodes * seeds / 1e-6)
    learner = complete(UCBVI(4 * math.sqrt(level / 2)), ENV, episodes)
    best = optimal_values(ENV.transitions, ENV.rewards)[0]
    for history in record_seeds(ENV, learner, episodes, range(seeds)):
        values = jax.device_get(values_of(learner, history.states))
        assert np.all(values >= best - 1e-5)
        assert np.any(values < np.arange(4, 0, -1)[:, None, None])


def test_stages_that_are_alike_are_learned_faster_together():
    """And apart still much better than by play at random."""
    env = chain(6, 0.1, 10)
    values = policy_values(env.transitions, env.gaps, uniform_policy(10, 6, 2))
    apart, shared = (
        np.array([x.regrets.sum() for x in record_seeds(env, learner, 500, range(8))])
        for learner in (UCBVI(), UCBVI(stage_dependent=False))
    )
    assert np.all(shared < apart) and np.all(apart < 0.5 * 500 * values[0, 0])


def test_bad_parameters():
    with pytest.raises(ValueError, match=r"UCBVI: scale is zero or more, got -1\.0"):
        UCBVI(scale=-1.0)
    with pytest.raises(ValueError, match="UCBVI does not know its num_states"):
        UCBVI().init(None)
