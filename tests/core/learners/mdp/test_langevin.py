"""LMC-LSVI: the law of noisy gradient descent, and a reference with the whole history."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from regrax.core import noise
from regrax.core.learners.mdp.langevin import LMCLSVI, descend, step_size
from regrax.core.learners.mdp.lsvi import LSVIUCB
from regrax.envs.mdp_instances import random_low_rank

from . import reference_langevin as reference
from . import reference_lsvi as plain
from .histories import features_of, record

LOW_RANK = random_low_rank(5, 3, 3, 4, seed=3)
GRAM = np.array([[3.0, 1.0], [1.0, 2.0]])
TARGET, START = np.array([1.0, -2.0]), np.array([4.0, 4.0])
ETA, TEMPERATURE = 0.05, 0.3


@jax.jit
def ends(normals):
    """Where descents end, [N, 2], with one row of steps [N, J, 2] each."""
    with jax.enable_x64(True):
        arrays = (jnp.asarray(x, jnp.float64) for x in (GRAM, TARGET, START, ETA, TEMPERATURE))
        run = jax.vmap(lambda z, *x: descend(*x, z), in_axes=(0, *[None] * 5))
        return run(normals.astype(jnp.float64), *arrays)


def test_a_descent_is_its_recursion():
    normals = noise.normal(noise.root(1), (3, 20, 2))
    got = jax.device_get(ends(normals))
    assert got.dtype == np.float64
    for end, z in zip(got, np.asarray(normals, float), strict=True):
        expected = reference.descend(GRAM, TARGET, START, ETA, TEMPERATURE, z)
        np.testing.assert_allclose(end, expected, rtol=1e-12)


@pytest.mark.parametrize("steps", [3, 200])
def test_the_law_of_where_it_ends(steps):
    """Normal, with the mean and covariance of the linear recursion: chi-square statistics of both,
    as in the test of RLSVI's draws."""
    got = jax.device_get(ends(noise.normal(noise.root(2), (10_000, steps, 2))))
    mean, covariance = reference.law(GRAM, TARGET, START, ETA, TEMPERATURE, steps)
    white = np.linalg.solve(np.linalg.cholesky(covariance), (got - mean).T).T
    count, (i, j) = len(white), np.triu_indices(2)
    assert count * np.sum(white.mean(axis=0) ** 2) < stats.chi2.isf(1e-7, 2)
    errors = (white.T @ white / count - np.eye(2))[i, j]
    assert count * np.sum(errors**2 / np.where(i == j, 2, 1)) < stats.chi2.isf(1e-7, 3)


def test_in_the_limit_it_is_the_law_of_rlsvi():
    """After many steps the covariance is (2 beta Lambda)^-1 (I - eta Lambda)^-1, the mean the ridge
    regression; after many small steps, (2 beta Lambda)^-1."""
    inverse, solution = np.linalg.inv(GRAM), np.linalg.solve(GRAM, TARGET)
    mean, covariance = reference.law(GRAM, TARGET, START, ETA, TEMPERATURE, 500)
    expected = 0.5 * TEMPERATURE * inverse @ np.linalg.inv(np.eye(2) - ETA * GRAM)
    np.testing.assert_allclose(covariance, expected, rtol=1e-10)
    np.testing.assert_allclose(mean, solution, rtol=1e-10)
    _, covariance = reference.law(GRAM, TARGET, START, 1e-3, TEMPERATURE, 20_000)
    limit = 0.5 * TEMPERATURE * inverse
    largest = 1e-3 * np.linalg.eigvalsh(GRAM)[-1]
    assert np.linalg.norm(covariance - limit, 2) <= 1.01 * largest * np.linalg.norm(limit, 2)


def test_step_sizes_are_stable():
    """Row sums bound eigenvalues, so that every step shrinks the error."""
    rng = np.random.default_rng(4)
    for d in (1, 2, 6):
        x = rng.normal(size=(20, d))
        gram = np.eye(d) + x.T @ x
        eta = float(step_size(jnp.asarray(gram), 0.99))
        assert np.abs(np.linalg.eigvalsh(np.eye(d) - 2 * eta * gram)).max() < 1
    assert float(step_size(jnp.asarray(GRAM), 0.5)) == pytest.approx(0.5 / 4)


def test_play_is_that_of_a_reference():
    """Which regresses on all transitions anew and starts from where the last descent ended."""
    learner = LMCLSVI(temperature=0.0625, step=0.25, steps=8, ridge=0.5)
    history = record(LOW_RANK, learner, 40)
    model = reference.LMC(features_of(LOW_RANK), 4, 0.5, 0.0625, 0.25)
    for k in range(40):
        values = model.values(history.trajectories, k, np.asarray(history.tape[k], float))
        np.testing.assert_allclose(history.policies.weights[k], model.weights, rtol=1e-8, atol=1e-9)
        np.testing.assert_array_equal(history.policies.policy.actions[k], plain.greedy(values))
    assert len(np.unique(history.policies.policy.actions, axis=0)) > 10


def test_without_noise_many_steps_are_ridge_regression():
    cold = LMCLSVI(temperature=0.0, steps=3000, step=0.5)
    exact = record(LOW_RANK, LSVIUCB(0.0), 12)
    same = record(LOW_RANK, cold, 12)
    np.testing.assert_array_equal(same.policies.policy.actions, exact.policies.actions)
    assert len(np.unique(exact.policies.actions, axis=0)) > 3


def test_recommends_ridge_regression():
    learner = LMCLSVI(steps=4).replace(features=features_of(LOW_RANK), stages=4)
    history = record(LOW_RANK, learner, 30)
    with jax.enable_x64(True):
        state = jax.tree.map(lambda x: jnp.asarray(x[-1]), history.states)
        recommended = jax.jit(lambda state: learner.recommend(state))(state)
    played = history.trajectories
    rounded = features_of(LOW_RANK)
    values = plain.lsvi_ucb(rounded, jax.tree.map(lambda x: x[:-1], played), 4, 1.0, 0.0)
    np.testing.assert_array_equal(recommended.policy.actions, plain.greedy(values))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -1.0}, r"LMCLSVI: temperature is zero or more, got -1\.0"),
        ({"step": 1.0}, r"step is between 0 and 1, got 1\.0"),
        ({"steps": 0}, "steps is a whole number from 1 to 2147483647, got 0"),
        ({"ridge": 0.0}, r"ridge is positive, got 0\.0"),
    ],
)
def test_bad_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        LMCLSVI(**wrong)
