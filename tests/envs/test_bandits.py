"""Bernoulli, Gaussian and Beta bandits, and the arithmetic behind their regret."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as sps

import regrax.envs as envs
from regrax.core import samplers
from regrax.core.compiled import jit
from regrax.core.simulate import simulate
from regrax.envs import bandits
from regrax.tests.envs.conformance import (
    Scripted,
    check_environment,
    key,
    play,
    pulls_before,
    scripted_arms,
)

MEANS = [0.1, 0.75, 0.3, 0.7]
BANDITS = {
    "bernoulli": envs.BernoulliBandit(MEANS),
    "gaussian": envs.GaussianBandit(np.array([-3.0, 2, 0.5, 40]), [0.5, 1, 2, 10]),
    "beta": envs.BetaBandit(MEANS, 0.8),
}
SIGMAS = sps.norm.isf(1e-8)  # two-sided; some thirty comparisons below


@pytest.mark.parametrize("name", BANDITS)
def test_conformance(name):
    check_environment(BANDITS[name])


@pytest.mark.parametrize("name", BANDITS)
def test_a_history_agrees_with_numpy(name):
    env, arms = BANDITS[name], scripted_arms(4, 60)
    played = play(env)
    means = env.means.astype(np.float64)
    if name == "bernoulli":
        rewards = (played.tape < env.means[arms]).astype(np.float64)
    elif name == "gaussian":
        rewards = means[arms] + env.scales[arms] * played.tape.astype(np.float64)
    else:
        mean, c = env.means[arms, None], np.float32(0.8)
        rewards = jax.jit(samplers.beta)(played.tape, mean * c, (1 - mean) * c)[..., 0]
    np.testing.assert_allclose(played.feedback.reward, rewards, rtol=1e-5, atol=1e-6)
    assert played.metrics == {}
    pulls, gaps = pulls_before(arms, 4), means.max() - means
    for seed in range(3):
        report = {name: x[seed] for name, x in played.reports.items()}
        np.testing.assert_array_equal(report["pulls"], pulls)
        np.testing.assert_allclose(report["regret"], pulls @ gaps, rtol=1e-6)
        np.testing.assert_allclose(report["simple_regret"], gaps[0], rtol=1e-6)


@partial(jit, static_argnames="n")
def first_arm(env, key, *, n):
    return env.reward(env.noise(key, n), 0)


@pytest.mark.parametrize(
    ("env", "law"),
    [
        (envs.BernoulliBandit([0.02]), sps.bernoulli(0.02)),
        (envs.BernoulliBandit([0.5]), sps.bernoulli(0.5)),
        (envs.GaussianBandit([-1.5], 0.3), sps.norm(-1.5, 0.3)),
        (envs.BetaBandit([0.5], 2.0), sps.beta(1, 1)),
        (envs.BetaBandit([0.1], 0.5), sps.beta(0.05, 0.45)),
        (envs.BetaBandit([0.9], 40), sps.beta(36, 4)),
    ],
)
def test_rewards_have_the_stated_mean_and_variance(env, law):
    n = 100_000
    x = np.asarray(first_arm(env, key(1), n=n), np.float64)
    variance = law.var()
    fourth = float(law.stats(moments="k")) * variance**2 + 3 * variance**2
    assert abs(x.mean() - law.mean()) < SIGMAS * np.sqrt(variance / n)
    spread = SIGMAS * np.sqrt((fourth - variance**2) / n) + SIGMAS**2 * variance / n
    assert abs(np.mean((x - law.mean()) ** 2) - variance) < spread


def test_certain_rewards_are_certain():
    env, u = envs.BernoulliBandit([0.0, 1.0]), np.float32([2**-24, 0.5, 1 - 2**-24])
    np.testing.assert_array_equal(env.reward(u, 0), np.zeros(3))
    np.testing.assert_array_equal(env.reward(u, 1), np.ones(3))


@pytest.mark.parametrize("name", BANDITS)
def test_rewards_of_all_arms_agree_with_the_arm_played(name):
    env = BANDITS[name]

    @jax.jit
    def all_and_each(row):
        return env.rewards(None, row), jax.lax.map(
            lambda now: env.reward(*now), (row, jnp.arange(4))
        )

    together, alone = all_and_each(env.noise(key(3), 4))
    np.testing.assert_allclose(together, alone, rtol=1e-6)


# ---- regret --------------------------------------------------------------------------------


@jit
def regret(env, pulls):
    return env.evaluate(bandits.BanditState(pulls), 0)["regret"]


@pytest.mark.parametrize("num_arms", [2, 100, 1000])
def test_regret_is_the_float64_value_rounded_even_after_many_rounds(num_arms):
    rng = np.random.default_rng(num_arms)
    for kind in ("wide", "close", "closer than float32 can tell"):
        width = {"wide": 0.7, "close": 1e-4}.get(kind, 1e-9)
        means = 0.7 - width * rng.random(num_arms)
        pulls = rng.multinomial(10**7, rng.dirichlet(np.full(num_arms, 0.1))).astype(np.int32)
        exact = np.sum(pulls * (means.max() - means))
        # Below 2^-49 nothing is left of a gap, not even in two float32 numbers.
        tolerance = 2**-23 * exact + 1e7 * 2**-49
        assert abs(regret(envs.BernoulliBandit(means), pulls) - exact) <= tolerance, kind


def test_regret_of_two_thousand_million_rounds():
    pulls = np.array([2**31 - 5, 3], np.int32)
    got = regret(envs.BernoulliBandit([0.3, 0.8]), pulls)
    np.testing.assert_allclose(got, 0.5 * (2**31 - 5), rtol=2**-23)


@pytest.mark.slow
def test_ten_million_rounds_agree_with_float64():
    means = [0.5, 0.49, 0.45]
    trace = simulate(
        envs.BernoulliBandit(means), Scripted(), 10**7, 8, checkpoints=[10**7], progress=False
    )
    pulls = np.bincount(scripted_arms(3, 10**7), minlength=3)
    np.testing.assert_array_equal(trace.metrics["pulls"], np.broadcast_to(pulls, (1, 8, 3)))
    exact = np.sum(pulls * (0.5 - np.array(means)))
    np.testing.assert_allclose(trace.metrics["regret"], exact, rtol=1e-6)


# ---- construction --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.BernoulliBandit([0.5, 1.2]), r"means\[1\] = 1\.2"),
        (lambda: envs.BernoulliBandit([-0.1, 0.2]), r"means\[0\] = -0\.1"),
        (lambda: envs.BernoulliBandit([0.5, float("nan")]), r"means\[1\] = nan"),
        (lambda: envs.BernoulliBandit([]), r"at least one arm"),
        (lambda: envs.BernoulliBandit(0.5), r"shape \[K\]"),
        (lambda: envs.BernoulliBandit([[0.5, 0.6]]), r"shape \[1, 2\]"),
        (lambda: envs.BernoulliBandit("ab"), r"shape \[K\]"),
        (lambda: envs.BernoulliBandit([0.5]).replace(means=[2.0]), r"means\[0\] = 2"),
        (lambda: envs.GaussianBandit([0.0, float("inf")]), r"finite.*means\[1\]"),
        (lambda: envs.GaussianBandit([0.0, 1e39]), r"finite.*means\[1\]"),
        (lambda: envs.GaussianBandit([0.0, 1.0], 0.0), r"scales.*positive"),
        (lambda: envs.GaussianBandit([0.0, 1.0], [1.0, -1.0]), r"scales.*positive"),
        (lambda: envs.GaussianBandit([0.0, 1.0], [1.0, 1.0, 1.0]), r"one an arm"),
        (lambda: envs.GaussianBandit([0.0, 1.0]).replace(scales=-1), r"scales.*positive"),
        (lambda: envs.BetaBandit([0.0, 0.5]), r"strictly between"),
        (lambda: envs.BetaBandit([0.5, 1 - 1e-9]), r"strictly between"),
        (lambda: envs.BetaBandit([0.5], 0), r"concentration.*positive"),
    ],
)
def test_bad_parameters_are_refused_when_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_parameters_are_numpy_float32_and_a_replaced_field_is_settled_too():
    env = envs.GaussianBandit([1, 2, 3]).replace(scales=2)
    np.testing.assert_array_equal(env.scales, np.float32([2, 2, 2]))
    env = env.replace(means=np.array([0.1, 0.2, 0.3]))
    for x in (env.means, env.scales, env.rest):
        assert isinstance(x, np.ndarray) and x.dtype == np.float32
    exact = env.means.astype(np.float64) + env.rest
    np.testing.assert_allclose(exact, [0.1, 0.2, 0.3], rtol=2**-47)
    assert repr(envs.BernoulliBandit([0.5])) == "BernoulliBandit(means=array([0.5], dtype=float32))"


def test_means_may_be_traced():
    made = jax.jit(lambda m: regret(envs.BernoulliBandit(m), jnp.array([2, 3])))
    swapped = jax.jit(lambda e, m: regret(e.replace(means=m), jnp.array([2, 3])))
    means = np.float32([0.25, 0.5])
    assert made(means) == swapped(envs.BernoulliBandit([0.1, 0.2]), means) == 0.5


def test_making_environments_does_not_start_jax():
    script = """
import regrax.envs as envs
from jax._src import xla_bridge
b = envs.BernoulliBandit([0.1, 0.9])
made = [
    b, envs.GaussianBandit([0, 1]), envs.BetaBandit([0.5, 0.6], 3), envs.RandomMeans(b),
    envs.BetaMeans(b, 1, 2), envs.HiddenBestArm(b), envs.WithHindsight(b), envs.FullInformation(b),
    envs.abrupt(3, 4, 100), envs.stochastically_constrained(3, 0.1, 100), envs.alternating(3),
    envs.AdversarialBandit([[0, 1], [1, 0]]), envs.worst_gap(10, 1000), envs.auer_2002(1),
]
repr(made), [env.num_arms for env in made]
assert not xla_bridge.backends_are_initialized()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
