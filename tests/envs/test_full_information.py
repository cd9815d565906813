"""The wrappers that draw the rewards of all arms."""

import jax
import numpy as np
import pytest

import regrax.envs as envs
from regrax.core.protocol import BanditFeedback, FullFeedback
from regrax.tests.envs.conformance import check_environment, key, play, scripted_arms

BANDIT = envs.BernoulliBandit([0.3, 0.6, 0.5])
INSIDE = {
    "bernoulli": BANDIT,
    "gaussian": envs.GaussianBandit([0.0, 0.1], 3.0),
    "beta": envs.BetaBandit([0.3, 0.6]),
    "piecewise": envs.PiecewiseStationaryBandit([[0.1, 0.9], [0.9, 0.1]], [0, 20]),
    "table": envs.AdversarialBandit(np.random.default_rng(1).random((40, 3))),
    "hidden": envs.HiddenBestArm(BANDIT),
    "drawn": envs.RandomMeans(BANDIT),
}


@pytest.mark.parametrize("name", INSIDE)
def test_conformance(name):
    check_environment(envs.WithHindsight(INSIDE[name]), num_seeds=2)


def test_conformance_of_full_information():
    check_environment(envs.FullInformation(BANDIT))


@pytest.mark.parametrize("name", INSIDE)
def test_hindsight_agrees_with_numpy(name):
    num_arms = INSIDE[name].num_arms
    arms = scripted_arms(num_arms, 100)
    full = play(envs.FullInformation(INSIDE[name]), key(0), arms)
    partial = play(envs.WithHindsight(INSIDE[name]), key(0), arms)
    assert isinstance(full[3], FullFeedback) and isinstance(partial[3], BanditFeedback)
    rewards = np.asarray(full[3].rewards, np.float64)
    assert rewards.shape == (100, num_arms)
    own = rewards[np.arange(100), arms]
    np.testing.assert_array_equal(partial[3].reward, own)
    exact = rewards.sum(axis=0).max() - own.sum()
    for *_, report in (full, partial):
        np.testing.assert_allclose(report["hindsight_regret"], exact, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(np.sum(report["pulls"]), 100)
        if name == "table":
            np.testing.assert_allclose(report["regret"], exact, rtol=1e-6, atol=1e-6)


def test_metrics_of_the_bandit_stay():
    arms = scripted_arms(3, 60)
    plain = play(BANDIT, key(0), arms)[-1]
    wrapped = play(envs.WithHindsight(BANDIT), key(0), arms)[-1]
    assert wrapped.keys() == plain.keys() | {"hindsight_regret"}
    assert wrapped["regret"] == plain["regret"]


def test_arms_draw_independently_with_their_own_means():
    n = 40_000
    env = envs.FullInformation(BANDIT)
    rewards = np.asarray(jax.vmap(env.bandit.reward)(env.noise(key(1), n)), np.float64)
    means = np.array([0.3, 0.6, 0.5])
    deviation = np.sqrt(means * (1 - means))
    assert np.all(np.abs(rewards.mean(axis=0) - means) < 6 * deviation / np.sqrt(n))
    correlation = np.corrcoef(rewards.T)[np.triu_indices(3, 1)]
    assert np.all(np.abs(correlation) < 6 / np.sqrt(n))


@pytest.mark.parametrize("wrapper", [envs.FullInformation, envs.WithHindsight])
def test_only_bandits_are_wrapped(wrapper):
    with pytest.raises(ValueError, match="rewards of all arms"):
        wrapper(envs.FullInformation(BANDIT))
