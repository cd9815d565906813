"""The misspecified linear bandit: what seeds draw, its accounts, and the hidden direction."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.envs.misspecified import MisspecifiedLinear, hidden_direction

from .conformance import Scripted, check_environment, play, scripted_arms

FEATURES = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.0, 0.0, -1.0]])
GIVEN = {"features": FEATURES, "theta": [0.0, 0.5, 0.0], "errors": [0.1, -0.1, 0.05]}
ENVIRONMENTS = {
    "drawn": MisspecifiedLinear(6, 5, sparsity=2, epsilon=0.2, sigma=0.3),
    "hidden": MisspecifiedLinear(6, 5, sparsity=2, epsilon=0.3, sigma=0.3, hidden=True),
    "given": MisspecifiedLinear(3, 3, epsilon=0.1, **GIVEN),
}


@jit
def _start(env, keys):
    def one(key):
        return env.init(key), env._theta(key)

    return jax.vmap(one)(keys)


@cache
def started(name, seeds=3000):
    """States of many seeds, and their theta, in float64."""
    keys = jax.vmap(lambda i: noise.stream(noise.root(2), i))(jnp.arange(seeds, dtype=jnp.uint32))
    (features, means), theta = _start(ENVIRONMENTS[name], keys)
    return np.asarray(features, float), np.asarray(means, float), np.asarray(theta, float)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_it_keeps_the_contract_and_its_accounts(name):
    env = ENVIRONMENTS[name]
    check_environment(env)
    p = play(env)
    arms = scripted_arms(env.num_arms, 60)
    means = np.asarray(p.first.means, float)
    np.testing.assert_allclose(
        p.metrics["regret"], means.max(1, keepdims=True) - means[:, arms], atol=1e-6
    )
    np.testing.assert_allclose(
        p.feedback.reward, means[:, arms] + float(env.sigma) * p.tape, atol=1e-6
    )
    np.testing.assert_array_equal(p.metrics["reward"], p.feedback.reward)
    np.testing.assert_allclose(
        p.reports["simple_regret"][:, 0], means.max(1) - means[:, 0], atol=1e-6
    )
    assert stats.kstest(np.ravel(p.tape), stats.norm.cdf).pvalue > 1e-6
    state = jax.tree.map(lambda x: x[0], p.first)
    np.testing.assert_array_equal(env.observe(state, p.tape[0, 0]).features, state.features)
    assert (env.num_arms, env.dimension) == state.features.shape and env.disjoint is False


def test_what_seeds_draw():
    features, means, theta = started("drawn")
    size = len(theta)
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-6)
    # A squared coordinate of the sphere of R^5 is Beta(1/2, 2).
    assert stats.kstest(features[:, 0, 0] ** 2, stats.beta(0.5, 2).cdf).pvalue > 1e-6
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1, atol=1e-6)
    assert np.all(np.count_nonzero(theta, axis=1) == 2)
    places = np.array([np.flatnonzero(row) for row in theta])
    pairs = np.bincount(5 * places[:, 0] + places[:, 1], minlength=25)
    assert stats.chisquare(pairs[pairs > 0]).pvalue > 1e-6 and np.sum(pairs > 0) == 10
    first = np.arctan2(theta[np.arange(size), places[:, 1]], theta[np.arange(size), places[:, 0]])
    assert stats.kstest(first, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-6
    errors = means - np.einsum("skd,sd->sk", features, theta)
    assert np.abs(errors).max() <= 0.2 + 1e-6
    assert stats.kstest(errors.ravel(), stats.uniform(-0.2, 0.4).cdf).pvalue > 1e-6


def test_hidden_arms_tell_nothing():
    features, means, theta = started("hidden")
    exact = np.einsum("skd,sd->sk", features, theta)
    clear = np.abs(np.abs(exact) - 0.3) > 1e-6
    expected = np.where(np.abs(exact) <= 0.3, 0, exact)
    np.testing.assert_allclose(means[clear], expected[clear], atol=1e-6)
    assert 0.1 < np.mean(means == 0) < 0.9


def test_what_is_given_is_taken():
    features, means, _ = started("given", 4)
    np.testing.assert_array_equal(features, np.tile(np.float32(FEATURES), (4, 1, 1)))
    np.testing.assert_allclose(means, np.tile([0.1, 0.3 - 0.1, 0.05], (4, 1)), atol=1e-7)


@pytest.mark.parametrize("name", ["drawn", "given"])
def test_a_seed_is_the_same_in_any_batch(name):
    env = ENVIRONMENTS[name]
    runs = [
        rx.simulate(env, Scripted(), 100, seeds, checkpoints=[100], progress=False)
        for seeds in (range(20), [6, 13])
    ]
    for metric, x in runs[0].metrics.items():
        np.testing.assert_array_equal(x[:, 13], runs[1].metrics[metric][:, 1])
    assert len(np.unique(runs[0].metrics["reward"])) == 20


# ---- the hidden direction ------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 7, 50])
def test_the_hidden_direction_is_lost_on_least_squares(d):
    epsilon = 0.9 / np.sqrt(d)
    env = hidden_direction(d, epsilon, sigma=0.2)
    state = jax.jit(lambda: env.init(noise.root(0)))()
    x, means = np.asarray(state.features, float), np.asarray(state.means, float)
    np.testing.assert_allclose(x[:d] @ x[:d].T, np.eye(d), atol=1e-6)
    np.testing.assert_array_equal(x[d], np.eye(d)[0])
    size = 0.9 * epsilon * np.sqrt(d)
    np.testing.assert_allclose(means, np.append(np.full(d, -epsilon / 10), size), atol=1e-6)
    # The errors are epsilon at most, the means are linear in theta = size e_1 up to them.
    assert np.abs(means - x @ (size * np.eye(d)[0])).max() <= epsilon * (1 + 1e-6)
    # Even weights on the basis are G-optimal for all arms (Kiefer and Wolfowitz: largest norm d).
    norms = np.sum(x * np.linalg.solve(x[:d].T @ x[:d] / d, x.T).T, axis=1)
    np.testing.assert_allclose(norms, d, rtol=1e-5)
    theta = np.linalg.lstsq(x[:d], means[:d], rcond=None)[0]
    estimates = np.append(np.full(d, -epsilon / 10), -epsilon * np.sqrt(d) / 10)
    np.testing.assert_allclose(x @ theta, estimates, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: MisspecifiedLinear(1, 3), "num_arms is a whole number from 2 .*got 1"),
        (lambda: MisspecifiedLinear(3, 3, 4), "sparsity is a whole number from 1 to 3, got 4"),
        (lambda: MisspecifiedLinear(3, 3, epsilon=-0.1), "epsilon is zero or more, got -0.1"),
        (lambda: MisspecifiedLinear(3, 3, sigma=-1), "sigma is zero or more, got -1"),
        (lambda: MisspecifiedLinear(2, 3, features=FEATURES), r"features is \[2, 3\] of finite"),
        (lambda: MisspecifiedLinear(3, 3, theta=[1, 1, 0]), "2 entries.*sparsity=1 allows"),
        (lambda: MisspecifiedLinear(2, 2, errors=[0.1, 0.3]), "epsilon=0.1 at most, got 0.3"),
        (
            lambda: MisspecifiedLinear(2, 2, errors=[0.1, 0.1], hidden=True),
            "errors are given, or hidden=True",
        ),
        (lambda: hidden_direction(1, 0.1), "dimension is a whole number from 2"),
        (lambda: hidden_direction(49, 0.2), "length 1 at most: .*= 1.26 with dimension=49"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
