"""RLSVI and LSVI-PHE: the law of their draws, and values from the whole history."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp.lsvi import LSVIUCB
from regrax.core.learners.mdp.randomised import LSVIPHE, RLSVI, perturbed_values
from regrax.core.learners.mdp.statistics import Statistics
from regrax.envs.mdp_instances import random_low_rank

from . import reference_lsvi as reference
from .histories import before, features_of, record

LOW_RANK = random_low_rank(6, 3, 4, 5, seed=1)
CENTRE = np.array([20.0, 21.0, 19.0])  # far from the bounds 0 and 40, between which values are kept


@jit
def draws(statistics, sigma, normals):
    """Q at the first of 40 stages, of one state and three actions with one-hot features: it is the
    drawn weights."""

    def one(normals):
        features = jnp.eye(3, dtype=jnp.float64)[None]
        return perturbed_values(statistics, features, sigma, normals)[0, 0]

    with jax.enable_x64(True):
        return jax.vmap(one)(normals)


def law(num_draws, count=20_000):
    """Drawn weights [count, 3] with sigma = 3/4, Lambda, its root and the tape [count, M, 3]."""
    x = np.random.default_rng(0).normal(size=(30, 3))
    gram = np.eye(3) + x.T @ x
    root, stages = np.linalg.inv(np.linalg.cholesky(gram)), 40
    tape = noise.normal(noise.root(4), (count, num_draws, 3))
    normals = jnp.zeros((count, stages, num_draws, 3)).at[:, 0].set(tape)
    with jax.enable_x64(True):
        zeros = jnp.zeros((stages, 1, 3))
        roots, sums = jnp.tile(root, (stages, 1, 1)), jnp.tile(gram @ CENTRE, (stages, 1))
        statistics = Statistics(roots, zeros, sums, zeros, zeros[:, 0, 0])
        got = jax.device_get(draws(statistics, jnp.float64(0.75), normals))
    return got, gram, root, np.asarray(tape, float)


def test_rlsvi_draws_have_the_mean_and_the_covariance():
    """Whitened they are standard normal. N times the squared mean is then chi-square with d degrees
    of freedom; so is with d (d + 1) / 2, for large N, the sum over entries of N times the squared
    error of the covariance, over the entry's variance."""
    got, gram, _, _ = law(1)
    white = (got - CENTRE) @ np.linalg.cholesky(gram) / 0.75
    count, (i, j) = len(white), np.triu_indices(3)
    assert count * np.sum(white.mean(axis=0) ** 2) < stats.chi2.isf(1e-7, 3)
    errors = (white.T @ white / count - np.eye(3))[i, j]
    assert count * np.sum(errors**2 / np.where(i == j, 2, 1)) < stats.chi2.isf(1e-7, 6)
    assert min(stats.kstest(column, stats.norm.cdf).pvalue for column in white.T) > 1e-7


def test_phe_takes_the_largest_of_its_draws():
    got, _, root, tape = law(4, 500)
    expected = np.max(CENTRE + 0.75 * tape @ root, axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("learner", [RLSVI(0.25, 0.5), LSVIPHE(0.25, 4, 0.5)], ids=["RLSVI", "PHE"])
def test_play_is_that_of_a_reference(learner):
    """Which solves regressions anew from all transitions; values, and what is played."""
    history = record(LOW_RANK, learner, 40)
    for k in (0, 1, 7, 39):
        normals, roots = np.asarray(history.tape[k], float), history.states.roots[k]
        values = reference.perturbed(
            features_of(LOW_RANK), before(history.trajectories, k), 5, 0.5, 0.25, normals, roots
        )
        np.testing.assert_array_equal(history.policies.actions[k], reference.greedy(values))
    assert len(np.unique(history.policies.actions, axis=0)) > 20


@pytest.mark.parametrize("learner", [RLSVI(0.0), LSVIPHE(0.0, 3)], ids=["RLSVI", "PHE"])
def test_without_noise_it_is_lsvi_without_bonus(learner):
    plain, same = record(LOW_RANK, LSVIUCB(0.0), 60), record(LOW_RANK, learner, 60)
    np.testing.assert_array_equal(same.policies.actions, plain.policies.actions)
    np.testing.assert_array_equal(same.regrets, plain.regrets)


def test_recommends_without_noise():
    learner = LSVIPHE(2.0, 3).replace(features=LOW_RANK.features, stages=5)
    state = jax.tree.map(lambda x: x[-1], record(LOW_RANK, learner, 30).states)
    plain = LSVIUCB(0.0).replace(features=LOW_RANK.features, stages=5)
    recommend = jit(lambda *learners: [x.recommend(learners[-1]) for x in learners[:-1]])
    with jax.enable_x64(True):
        recommended, expected = recommend(learner, plain, state)
    np.testing.assert_array_equal(recommended.actions, expected.actions)


def test_rlsvi_is_one_draw():
    assert RLSVI(0.5, 2.0) == LSVIPHE(0.5, 1, 2.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sigma": -1.0}, r"LSVIPHE: sigma is zero or more, got -1\.0"),
        ({"draws": 0}, "draws is a whole number from 1 to 2147483647, got 0"),
        ({"ridge": -1.0}, r"ridge is positive, got -1\.0"),
    ],
)
def test_bad_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        LSVIPHE(**wrong)
