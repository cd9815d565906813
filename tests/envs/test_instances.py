"""Named instances, hidden arms and means from a prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as sps

import regrax.envs as envs
from regrax.core.simulate import simulate, stack
from regrax.tests.envs.conformance import (
    Scripted,
    check_environment,
    key,
    play,
    pulls_before,
    scripted_arms,
)

BANDIT = envs.BernoulliBandit([0.9, 0.5, 0.2])
DRAWN = {
    "hidden": envs.HiddenBestArm(BANDIT),
    "hidden piecewise": envs.HiddenBestArm(envs.stochastically_constrained(3, 0.2, 60)),
    "uniform": envs.RandomMeans(BANDIT, 0.2, 0.8),
    "beta": envs.BetaMeans(BANDIT, 2, 5),
}


@pytest.mark.parametrize("name", DRAWN)
def test_conformance(name):
    check_environment(DRAWN[name])


def many(env, n=4000):
    keys = jax.vmap(key)(jnp.arange(n, dtype=jnp.uint32))
    return jax.jit(jax.vmap(env.init))(keys)


def test_means_follow_the_prior():
    uniform = many(DRAWN["uniform"]).bandit.means
    assert sps.kstest(np.ravel(uniform), sps.uniform(0.2, 0.6).cdf).pvalue > 1e-7
    beta = many(DRAWN["beta"]).bandit.means
    assert sps.kstest(np.ravel(beta), sps.beta(2, 5).cdf).pvalue > 1e-7


def test_regret_is_that_of_the_means_drawn():
    arms = scripted_arms(3, 60)
    played = play(DRAWN["uniform"])
    means = played.first.bandit.means
    assert len(np.unique(means)) == 9
    np.testing.assert_array_equal(played.feedback.reward, played.tape < means[:, arms])
    gaps = means.max(axis=1, keepdims=True).astype(np.float64) - means
    exact = gaps @ pulls_before(arms, 3).T
    np.testing.assert_allclose(played.reports["regret"], exact, rtol=1e-6)


def test_hidden_arms_are_in_every_order_equally_often():
    order = np.asarray(many(DRAWN["hidden"], 6000).order)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile([0, 1, 2], (6000, 1)))
    counts = np.unique(order @ [9, 3, 1], return_counts=True)[1]
    assert len(counts) == 6 and sps.chisquare(counts).pvalue > 1e-7


def test_hidden_arms_keep_their_rewards_and_metrics():
    arms = scripted_arms(3, 60)
    played = play(DRAWN["hidden"])
    for seed in range(3):
        order = played.first.order[seed]
        rewards = played.tape[seed] < BANDIT.means[order[arms]]
        np.testing.assert_array_equal(played.feedback.reward[seed], rewards)
        report = {name: x[seed] for name, x in played.reports.items()}
        pulls = pulls_before(order[arms], 3)
        np.testing.assert_array_equal(report["pulls"], pulls)
        np.testing.assert_allclose(report["regret"], pulls @ [0, 0.4, 0.7], rtol=1e-6)
        np.testing.assert_allclose(report["simple_regret"], [0, 0.4, 0.7][order[0]], rtol=1e-6)


def test_hidden_arms_show_the_rewards_of_all_arms_in_their_order():
    env = DRAWN["hidden"]

    @jax.jit
    def all_and_each(key):
        state, row = env.init(key), env.noise(key, 3)
        each = [env.step(state, arm, row[arm])[1].reward for arm in range(3)]
        return env.rewards(state, row), jnp.stack(each)

    for seed in range(20):
        together, alone = all_and_each(key(seed))
        np.testing.assert_array_equal(together, alone)


def test_gaussian_means_are_drawn_outside_the_unit_interval():
    env = envs.RandomMeans(envs.GaussianBandit([0, 0], [1, 2]), -2, 2)
    drawn = many(env, 100).bandit
    assert drawn.means.min() < -1 and drawn.means.max() > 1
    np.testing.assert_array_equal(drawn.scales, np.tile(np.float32([1, 2]), (100, 1)))


def test_named_instances():
    assert [envs.auer_2002(i).num_arms for i in (1, 2, 3, 11, 12, 13, 14)] == [2] * 3 + [10] * 4
    np.testing.assert_array_equal(
        envs.auer_2002(12).means, np.float32([0.9] + [0.8] * 3 + [0.7] * 3 + [0.6] * 3)
    )
    np.testing.assert_allclose(envs.garivier_cappe_2011().means.sum(), 0.34, rtol=1e-6)
    np.testing.assert_array_equal(envs.chapelle_li_2011(3).means, np.float32([0.5, 0.4, 0.4]))
    np.testing.assert_allclose(envs.linear_gaps(5).means, [0.9, 0.7, 0.5, 0.3, 0.1], rtol=1e-6)


def test_gaps_shrink_with_the_horizon():
    assert envs.worst_gap(2, 10**6).means[0] == np.float32(0.5 + np.sqrt(2e-6 * np.log(1e6)))
    assert envs.worst_gap(2, 10**6, power=1 / 3).means[0] > envs.worst_gap(2, 10**6).means[0]
    assert envs.worst_gap(100, 2).means[0] == 1
    np.testing.assert_array_equal(
        envs.lower_bound(4, 400, best=2, scale=1.0).means, np.float32([0.5, 0.5, 0.6, 0.5])
    )
    pair = envs.lower_bound_pair(200)
    np.testing.assert_array_equal(pair[0].means, pair[1].means[::-1])


def test_members_of_a_family_run_as_one_program():
    family = stack([envs.lower_bound(3, 90, best=j) for j in range(3)])
    trace = simulate(family, Scripted(), 90, 2, checkpoints=[90], progress=False)
    gap = 0.5 * np.sqrt(3 / 90)
    pulls = trace.metrics["pulls"][:, 0, 0]
    lost = [90 - pulls[j, j] for j in range(3)]
    np.testing.assert_allclose(trace.metrics["regret"][:, 0, 0], gap * np.array(lost), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.RandomMeans(BANDIT, 0.5, 0.5), "low < high"),
        (lambda: envs.RandomMeans(BANDIT, 0, 1.5), r"inside \[0, 1\]"),
        (lambda: envs.RandomMeans(envs.GaussianBandit([0]), 0, float("inf")), "finite"),
        (lambda: envs.RandomMeans(envs.alternating(2)), "one mean an arm"),
        (lambda: envs.BetaMeans(BANDIT, 0, 1), "positive"),
        (lambda: envs.HiddenBestArm(envs.FullInformation(BANDIT)), "go outside"),
        (lambda: envs.auer_2002(4), r"\[1, 2, 3, 11, 12, 13, 14\]"),
        (lambda: envs.one_good_arm(1, 0.1), "two arms"),
        (lambda: envs.one_good_arm(3, 0.1, best=3), "best=3"),
        (lambda: envs.one_good_arm(3, 0.7), r"means\[0\] = 1.2"),
        (lambda: envs.linear_gaps(3, 0.1, 0.9), "low < high"),
        (lambda: envs.worst_gap(1, 100), "two arms"),
        (lambda: envs.worst_gap(2, 100, power=0), "power"),
        (lambda: envs.lower_bound(2, 100, scale=0), "scale=0"),
    ],
)
def test_bad_parameters_are_refused_when_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
