"""Contextual bandits with drawn contexts: laws, mean functions in float64, accounts, errors."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.envs.synthetic_contexts import (
    REACH,
    BernoulliLinearContexts,
    FourierContexts,
    LinearContexts,
    LogisticContexts,
    NonlinearContexts,
    SmallLossContexts,
    draw_points,
)

from .conformance import Scripted, check_environment, play, scripted_arms

Z = 5.0  # standard errors: a false alarm in 6e-7

THETA = np.array([0.6, -0.64, 0.48])
ENVIRONMENTS = {
    "linear": LinearContexts(5, 3, scale=2.0, sigma=0.5),
    "linear, theta given": LinearContexts(5, 3, theta=THETA, contexts="gaussian"),
    "logistic": LogisticContexts(4, 6, scale=3.0, contexts="ball"),
    "coins": BernoulliLinearContexts(5, 4, scale=0.9),
    "coins, theta given": BernoulliLinearContexts(3, 4, theta=THETA, contexts="ball"),
    "small losses": SmallLossContexts(6, 5, best_loss=0.1, gap=0.6),
    "squared": NonlinearContexts("squared"),
    "quadratic": NonlinearContexts("quadratic", num_arms=3, dimension=6, sigma=0.1),
    "cosine": NonlinearContexts("cosine", dimension=2),
    "waves": FourierContexts(4, 5, frequency=1.5),
    "waves, lifted": FourierContexts(4, 5, num_features=7, lifted=True),
}
every = pytest.mark.parametrize("name", ENVIRONMENTS)


SIZES = {"num_rounds": 200, "num_seeds": 4}


@cache
def played(name):
    return play(ENVIRONMENTS[name], **SIZES)


def shown(name):
    """What the rounds showed, [seeds, rounds, K, d]."""
    env, p = ENVIRONMENTS[name], played(name)
    one = jax.vmap(env.observe, in_axes=(None, 0))
    return np.asarray(jax.jit(jax.vmap(one))(p.first, p.tape).features, float)


def with_constant(z):
    return np.concatenate([np.ones((*z.shape[:-1], 1)), z], axis=-1) / np.sqrt(2)


def sigma(env):
    """Of normal rewards; 0 for coins."""
    return float(getattr(env, "sigma", 0))


@cache
def expected(name):
    """Features and mean rewards in float64, from what the seeds drew."""
    env, p = ENVIRONMENTS[name], played(name)
    state, tape = jax.tree.map(lambda x: np.asarray(x, float), (p.first, p.tape))
    x = tape.points
    if name.startswith("waves"):
        angles = env.frequency * np.einsum("stkn,smn->stkm", x, state.directions)
        phi = np.cos(angles + state.phases[:, None, None]) / np.sqrt(env.num_features)
        means = (1 + np.einsum("stkm,sm->stk", phi, state.theta)) / 2
        return (with_constant(phi) if env.lifted else x), means
    if name == "small losses":
        best = np.floor(tape.best * env.num_arms)[..., None] == np.arange(env.num_arms)
        e = state[:, None, None]
        across = x - np.sum(x * e, axis=-1, keepdims=True) * e
        across /= np.linalg.norm(across, axis=-1, keepdims=True)
        height = np.where(best, 0.5, -0.5)[..., None]
        z = height * e + np.sqrt(0.75) * across
        return with_constant(z), 1 - np.where(best, 0.1, 0.1 + 0.6)
    if name == "quadratic":
        return x, np.sum(np.einsum("sij,stkj->stki", state, x) ** 2, axis=-1)
    product = np.einsum("stkd,sd->stk", x, state)
    if name.startswith("coins"):
        return with_constant(x), (1 + env.scale * product) / 2
    means = {
        "linear": lambda u: 2.0 * u,
        "linear, theta given": lambda u: u,
        "logistic": lambda u: 1 / (1 + np.exp(-3.0 * u)),
        "squared": lambda u: 10 * u**2,
        "cosine": lambda u: np.cos(3 * u),
    }
    return x, means[name](product)


@pytest.mark.parametrize(
    "name", ["linear", "logistic", "coins, theta given", "small losses", "quadratic", "waves"]
)
def test_it_keeps_the_contract(name):
    check_environment(ENVIRONMENTS[name], **SIZES)


@every
def test_features_and_accounts_are_those_of_the_means(name):
    env, p = ENVIRONMENTS[name], played(name)
    features, means = expected(name)
    np.testing.assert_allclose(shown(name), features, atol=2e-6)
    assert features.shape[-2:] == (env.num_arms, env.dimension) and env.disjoint is False
    arms = scripted_arms(env.num_arms, means.shape[1])
    mean = np.take_along_axis(means, np.broadcast_to(arms, means.shape[:2])[..., None], 2)[..., 0]
    largest = max(1, np.abs(means).max())
    np.testing.assert_allclose(p.metrics["regret"], means.max(-1) - mean, atol=2e-6 * largest)
    np.testing.assert_array_equal(p.metrics["reward"], p.feedback.reward)
    u = np.asarray(p.tape.reward, float)
    if sigma(env):
        rewards = mean + sigma(env) * stats.norm.ppf(u)
        np.testing.assert_allclose(p.feedback.reward, rewards, atol=5e-6 * largest)
    else:
        clear = np.abs(u - mean) > 1e-6
        assert clear.mean() > 0.99
        np.testing.assert_array_equal(p.feedback.reward[clear], (u < mean)[clear])


@every
def test_rewards_have_their_means(name):
    env, p = ENVIRONMENTS[name], played(name)
    _, means = expected(name)
    arms = scripted_arms(env.num_arms, means.shape[1])
    mean = np.take_along_axis(means, np.broadcast_to(arms, means.shape[:2])[..., None], 2)[..., 0]
    spread = sigma(env) ** 2 or mean * (1 - mean)
    errors = p.feedback.reward - mean
    assert abs(errors.sum()) < Z * np.sqrt(np.sum(spread * np.ones_like(mean)))


@pytest.mark.parametrize("law", ["sphere", "ball", "gaussian"])
@pytest.mark.parametrize("n", [2, 7])
def test_laws_of_points(law, n):
    size = 40_000
    draw = jax.jit(lambda key: draw_points(law, key, (size, n)))
    x = np.asarray(draw(noise.root(n)), float)
    radius = np.linalg.norm(x, axis=1)
    if law == "sphere":
        np.testing.assert_allclose(radius, 1, atol=1e-6)
    else:  # the distribution of the n-th power of the radius, or of its square
        ball = law == "ball"
        values, of = (radius**n, stats.uniform()) if ball else (radius**2, stats.chi2(n))
        assert stats.kstest(values, of.cdf).pvalue > 1e-6
    # Directions: a coordinate squared is Beta(1/2, (n - 1) / 2), its sign is fair, and coordinates
    # of one point are uncorrelated: products have variance 1 / (n (n + 2)).
    along = x / radius[:, None]
    for i in (0, n - 1):
        beta = stats.beta(0.5, (n - 1) / 2)
        assert stats.kstest(along[:, i] ** 2, beta.cdf).pvalue > 1e-6
        assert abs(np.mean(along[:, i] > 0) - 0.5) < Z * 0.5 / np.sqrt(size)
    product = along[:, 0] * along[:, -1]
    assert abs(product.mean()) < Z / np.sqrt(size * n * (n + 2))
    # Points of one draw are independent of each other.
    neighbours = np.sum(along[1:] * along[:-1], axis=1)
    assert abs(neighbours.mean()) < Z / np.sqrt((size - 1) * n)


@jit
def _drawn(env, keys):
    return jax.vmap(env.init)(keys)


def test_every_seed_draws_its_parameter():
    keys = jax.vmap(lambda i: noise.stream(noise.root(0), i))(jnp.arange(4000, dtype=jnp.uint32))
    for env in (LinearContexts(2, 3), LogisticContexts(2, 3), BernoulliLinearContexts(2, 4)):
        theta = np.asarray(_drawn(env, keys), float)
        np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1, atol=1e-6)
        # On the sphere of R^3 every coordinate is uniform on [-1, 1].
        for i in range(3):
            assert stats.kstest(theta[:, i], stats.uniform(-1, 2).cdf).pvalue > 1e-6
    a = np.asarray(_drawn(NonlinearContexts("squared", dimension=3), keys), float)
    assert stats.kstest(np.linalg.norm(a, axis=1) ** 3, stats.uniform(0, 1).cdf).pvalue > 1e-6
    matrix = np.asarray(_drawn(NonlinearContexts("quadratic", dimension=2), keys), float)
    assert stats.kstest(matrix.ravel(), stats.norm.cdf).pvalue > 1e-6
    given = _drawn(ENVIRONMENTS["linear, theta given"], keys)
    np.testing.assert_array_equal(given, np.tile(np.float32(THETA), (4000, 1)))


# ---- small losses --------------------------------------------------------------------------


def test_small_losses_are_linear_and_logistic_in_what_is_shown():
    features, means = expected("small losses")
    for seed in range(2):
        x, mean = features[seed].reshape(-1, 5), means[seed].ravel()
        assert sorted(set(np.round(1 - mean, 12))) == [0.1, 0.7]
        for target in (mean, np.log(mean / (1 - mean))):
            fit, _, rank, _ = np.linalg.lstsq(x, target, rcond=None)
            assert rank == 5
            np.testing.assert_allclose(x @ fit, target, atol=1e-5)  # e is in float32
        w = np.append(1 - (0.1 + 0.3), 0.3 / REACH * played("small losses").first[seed])
        np.testing.assert_allclose(x @ (np.sqrt(2) * w), mean, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-6)


def test_small_losses_add_up_to_those_of_the_best_policy():
    _, means = expected("small losses")
    p = played("small losses")
    np.testing.assert_allclose(p.metrics["best_loss"], 1 - means.max(-1), atol=1e-7)
    counts = np.bincount(np.argmax(means, -1).ravel(), minlength=6)
    assert stats.chisquare(counts).pvalue > 1e-6
    loss, rounds = 1 - p.metrics["reward"], SIZES["num_rounds"]
    of_the_best = p.metrics["best_loss"].sum(1)
    np.testing.assert_allclose(of_the_best, rounds * 0.1, rtol=1e-5)
    error = loss.sum(1) - of_the_best - p.metrics["regret"].sum(1)
    assert np.all(np.abs(error) < Z * np.sqrt(rounds / 4))


@jit
def _rounds(env):
    """Features, means, and what playing arm 0 brings, of thirty rounds."""
    state, tape = env.init(noise.root(3)), env.noise(noise.root(4), 30)

    def one(draw):
        _, feedback, metrics = env.step(state, 0, draw)
        return env.observe(state, draw).features, env.means(state, draw), feedback, metrics

    return jax.vmap(one)(tape)


def test_what_is_shown_does_not_depend_on_the_losses():
    sure, close = (SmallLossContexts(4, 6, *losses) for losses in ((0.0, 1.0), (0.4, 0.1)))
    (features, *_, feedback, metrics), (others, means, *_) = _rounds(sure), _rounds(close)
    np.testing.assert_array_equal(features, others)
    np.testing.assert_allclose(np.max(means, axis=1), 0.6, atol=1e-7)
    np.testing.assert_allclose(np.min(means, axis=1), 0.5, atol=1e-7)
    # Without chance losses are those of the means, 0 and 1.
    np.testing.assert_array_equal(1 - feedback.reward, metrics["regret"])
    assert set(np.asarray(metrics["regret"])) == {0, 1}


# ---- waves ---------------------------------------------------------------------------------


@jit
def _wave_round(env):
    waves = env.init(noise.root(4))
    draw = jax.tree.map(lambda x: x[0], env.noise(noise.root(5), 1))
    return draw.points, env.observe(waves, draw).features


def _waves(env):
    """Contexts and waves of all arms, in float64."""
    x, shown = _wave_round(env)
    return np.asarray(x, float), np.sqrt(2) * np.asarray(shown, float)[:, 1:]


def test_frequency_says_how_far_from_linear_the_waves_are():
    """The share of the variance that a linear function explains, over 200 waves of n = 30 inputs.
    Its standard error is measured over waves; a sphere of R^n is 1/n from normal."""
    n, size, count = 30, 4000, 200
    for frequency in (1.0, 2.0):
        env = FourierContexts(size, n, num_features=count, frequency=frequency, lifted=True)
        x, phi = _waves(env)
        phi -= phi.mean(0)
        inputs = np.column_stack([np.ones(size), x])
        rest = phi - inputs @ np.linalg.lstsq(inputs, phi, rcond=None)[0]
        ours, all_ = np.mean(phi**2 - rest**2, axis=0), np.mean(phi**2, axis=0)
        share, f2 = ours.mean() / all_.mean(), frequency**2
        claimed = f2 / np.expm1(f2)
        error = np.std(ours - claimed * all_) / np.sqrt(count) / all_.mean()
        assert abs(share - claimed) < Z * error + 1 / n


# ---- runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", "waves, lifted"])
def test_a_seed_is_the_same_in_any_batch(name):
    env = ENVIRONMENTS[name]
    runs = [
        rx.simulate(env, Scripted(), 200, seeds, checkpoints=[100, 200], progress=False)
        for seeds in (range(20), [6, 13])
    ]
    for metric, x in runs[0].metrics.items():
        np.testing.assert_array_equal(x[:, 13], runs[1].metrics[metric][:, 1])
        assert len(np.unique(x[-1])) > 10


def test_environments_stack():
    scales = [0.5, 1.0, 4.0]
    envs = [LogisticContexts(3, 4, theta=[1, 0, 0, 0], scale=s) for s in scales]
    together = rx.simulate(
        rx.stack(envs), Scripted(), 100, 8, checkpoints=[100], progress=False
    ).metrics["regret"]
    alone = rx.simulate(envs[2], Scripted(), 100, 8, checkpoints=[100], progress=False)
    np.testing.assert_allclose(together[2], alone.metrics["regret"], rtol=1e-5)
    assert np.all(np.diff(together, axis=0) > 0)  # the same contexts, further from each other


# ---- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: LinearContexts(1, 3), "num_arms is a whole number from 2 .*got 1"),
        (lambda: LinearContexts(2, 0), "dimension is a whole number from 1 .*got 0"),
        (lambda: LinearContexts(2, 3, contexts="spere"), "contexts is one of .*mean 'sphere'"),
        (lambda: LinearContexts(2, 3, theta=[1, 2]), r"theta is \[3\] of finite numbers, got \[1"),
        (lambda: LinearContexts(2, 2, theta=[1, np.nan]), r"theta is \[2\] of finite numbers"),
        (lambda: LinearContexts(2, 3, sigma=-1.0), "sigma is zero or more, got -1.0"),
        (lambda: LogisticContexts(2, 3, scale=np.inf), "scale is zero or more, got inf"),
        (lambda: BernoulliLinearContexts(2, 1), "dimension is a whole number from 2"),
        (lambda: BernoulliLinearContexts(2, 3, contexts="gaussian"), "contexts is one of sphere,"),
        (lambda: BernoulliLinearContexts(2, 3, scale=1.5), r"scale is in \[0, 1\], got 1.5"),
        (lambda: BernoulliLinearContexts(2, 3, theta=[1, 1]), "length 1 at most.*got 1.41"),
        (lambda: SmallLossContexts(2, 2), "dimension is a whole number from 3"),
        (lambda: SmallLossContexts(2, 4, best_loss=0.6), r"best_loss is in \[0, 1/2\], got 0.6"),
        (lambda: SmallLossContexts(2, 4, gap=0.0), r"gap is in \(0, 1\], got 0.0"),
        (lambda: SmallLossContexts(2, 4, 0.5, 0.7), "best_loss \\+ gap is 1 at most"),
        (lambda: NonlinearContexts("h1"), "function is one of squared, quadratic, cosine, got"),
        (lambda: FourierContexts(2, 3, frequency=0), "frequency is positive, got 0"),
        (lambda: FourierContexts(2, 3, num_features=0), "num_features is a whole number from 1"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()


def test_a_table_of_parameters_is_no_parameter():
    env = LinearContexts(3, 2, theta=np.eye(3, 2))  # as a stack has it, but not a stack
    with pytest.raises(ValueError, match=r"theta is \[2\], got shape \[3, 2\]"):
        env.init(noise.root(0))
