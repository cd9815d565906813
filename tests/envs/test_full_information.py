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
    "table": envs.AdversarialBandit(np.random.default_rng(1).random((40, 3))),
    "hidden": envs.HiddenBestArm(envs.PiecewiseStationaryBandit([[0, 0.9], [0.9, 0]], [0, 20])),
}


@pytest.mark.parametrize("wrapper", [envs.FullInformation, envs.WithHindsight])
def test_conformance(wrapper):
    check_environment(wrapper(BANDIT))


@pytest.mark.parametrize("name", INSIDE)
def test_hindsight_agrees_with_numpy(name):
    num_arms = INSIDE[name].num_arms
    arms = scripted_arms(num_arms, 60)
    played = play(envs.FullInformation(INSIDE[name]))
    assert isinstance(played.feedback, FullFeedback)
    rewards = played.feedback.rewards.astype(np.float64)
    assert rewards.shape == (3, 60, num_arms)
    own = rewards[:, np.arange(60), arms]
    ahead = np.cumsum(rewards, axis=1).max(axis=2) - np.cumsum(own, axis=1)
    regret = played.reports["hindsight_regret"][:, 1:]
    np.testing.assert_allclose(regret, ahead[:, :-1], rtol=1e-6, atol=1e-6)
    if name == "table":
        np.testing.assert_allclose(played.reports["regret"][:, 1:], regret, rtol=1e-6, atol=1e-6)


def test_with_hindsight_shows_the_reward_of_the_arm_played_alone():
    arms = scripted_arms(3, 60)
    full, partial = play(envs.FullInformation(BANDIT)), play(envs.WithHindsight(BANDIT))
    assert isinstance(partial.feedback, BanditFeedback)
    own = full.feedback.rewards[:, np.arange(60), arms]
    np.testing.assert_array_equal(partial.feedback.reward, own)
    plain = play(BANDIT)
    assert full.reports.keys() == partial.reports.keys()
    assert partial.reports.keys() == plain.reports.keys() | {"hindsight_regret"}
    np.testing.assert_array_equal(partial.reports["regret"], plain.reports["regret"])


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
