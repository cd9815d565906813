"""Thompson sampling: against conjugate posteriors kept in NumPy, and the probabilities of the arms
against their integrals."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from regrax.core import noise, samplers
from regrax.core.compiled import jit
from regrax.core.learners.bandits.thompson import ThompsonBeta, ThompsonGaussian
from regrax.core.protocol import BanditFeedback

K, T = 4, 300
KEY = noise.root(4)
MEANS = np.array([0.3, 0.7, 0.6, 0.1])


def table(kind):
    """Rewards [T, K]: coins, fractions of both sizes, or normal."""
    rng = np.random.default_rng(0)
    draws = {
        "coins": lambda: rng.uniform(size=(T, K)) < MEANS,
        "fractions": lambda: rng.beta(MEANS, 1 - MEANS, (T, K)),
        "normal": lambda: rng.normal(MEANS, 0.5, (T, K)),
    }
    return draws[kind]().astype(np.float32)


@jit
def play(learner, rewards, tape):
    """Arms [T] and the recommendation at the end."""

    def one_round(state, row):
        arm = learner.act(state, (), row[1])
        return learner.update(state, (), arm, BanditFeedback(row[0][arm])), arm

    state, arms = jax.lax.scan(one_round, learner.init(KEY), (rewards, tape))
    return arms, learner.recommend(state)


def seen_before(arms, rewards):
    """Of every arm before every round, and after the last: plays and sum of rewards, [T + 1, K]."""
    played = arms[:, None] == np.arange(K)
    earned = np.where(played, rewards.astype(np.float64), 0)
    return tuple(np.cumsum(np.vstack([np.zeros(K), x]), axis=0) for x in (played, earned))


def lead(values):
    """By how much the largest on the last axis exceeds the next."""
    values = np.sort(values, axis=-1)
    return values[..., -1] - values[..., -2]


# ---- against the posteriors ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["coins", "fractions"])
@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.5, 0.5), (0.2, 2.0)])
def test_beta_plays_the_largest_draw_of_the_posterior(prior, kind):
    """The draws are `samplers.beta` of the same tape, with parameters counted here."""
    learner, rewards = ThompsonBeta(K, prior), table(kind)
    tape = learner.noise(KEY, T)
    assert (tape.log_boost is None) == (min(prior) >= 1)
    arms, recommended = jax.device_get(play(learner, rewards, tape))
    plays, earned = seen_before(arms, rewards)
    a, b = prior[0] + earned, prior[1] + plays - earned
    draws = np.asarray(jax.jit(samplers.beta)(tape, np.float32(a[:T]), np.float32(b[:T])))
    # Sums of halves are the same in float32, so that no round is in doubt; others are rounded.
    halves = kind == "coins" and prior[0] % 0.5 == 0
    sure = lead(draws) > (0 if halves else 1e-5)
    np.testing.assert_array_equal(arms[sure], np.argmax(draws, axis=1)[sure])
    assert np.mean(sure) > 0.95 and len(np.unique(arms)) == K
    assert recommended == np.argmax((a / (a + b))[-1])


@pytest.mark.parametrize(
    "parameters",
    [{}, {"prior_mean": 0.4, "prior_scale": 0.3, "reward_scale": 0.5}, {"prior_scale": 100.0}],
)
def test_gaussian_plays_the_largest_draw_of_the_posterior(parameters):
    learner, rewards = ThompsonGaussian(K, **parameters), table("normal")
    tape = learner.noise(KEY, T)
    arms, recommended = jax.device_get(play(learner, rewards, tape))
    plays, earned = seen_before(arms, rewards)
    means, scales = gaussian_posterior(plays, earned, **parameters)
    draws = means[:T] + scales[:T] * np.asarray(tape, np.float64)
    sure = lead(draws) > 1e-5
    np.testing.assert_array_equal(arms[sure], np.argmax(draws, axis=1)[sure])
    assert np.mean(sure) > 0.95 and len(np.unique(arms)) == K
    assert recommended == np.argmax(means[-1])


def gaussian_posterior(plays, earned, prior_mean=0.0, prior_scale=1.0, reward_scale=1.0):
    """Means and standard deviations: precisions add up, means are weighted by them."""
    precision = 1 / prior_scale**2 + plays / reward_scale**2
    mean = (prior_mean / prior_scale**2 + earned / reward_scale**2) / precision
    return mean, np.sqrt(1 / precision)


# ---- in law --------------------------------------------------------------------------------

N = 100_000
ALPHA = 1e-6  # of a false alarm, in each comparison of a count with its probability


def assert_binomial(counts, probabilities):
    low, high = stats.binom.ppf([[ALPHA / 2], [1 - ALPHA / 2]], N, probabilities)
    assert np.all((low <= counts) & (counts <= high)), (counts, N * np.asarray(probabilities))


def best_of(laws):
    """Of independent variables, the probability that X_i is the largest: the mean over X_i of the
    product of the others' distribution functions there."""

    def chance(i):
        def others(u):
            return math.prod(law.cdf(laws[i].ppf(u)) for law in laws if law is not laws[i])

        value, error = integrate.quad(others, 0, 1, limit=200, epsabs=1e-7)
        assert error < 1e-5
        return value

    chances = [chance(i) for i in range(len(laws))]
    assert sum(chances) == pytest.approx(1, abs=1e-5)
    return chances


@jit
def counts_of_arms(learner, played, rewards, tape):
    """How often each arm comes up in N draws after each of some histories, [histories, K]."""

    def one(played, rewards):
        def update(state, row):
            return learner.update(state, (), row[0], BanditFeedback(row[1])), None

        state, _ = jax.lax.scan(update, learner.init(KEY), (played, rewards))
        arms = jax.vmap(lambda row: learner.act(state, (), row))(tape)
        return jnp.sum(arms[:, None] == jnp.arange(learner.num_arms), axis=0)

    return jax.vmap(one)(played, rewards)


# Successes and failures of each arm, 40 rounds in all.
PAIRS = [((10, 10), (12, 8)), ((0, 20), (1, 19)), ((38, 0), (1, 1)), ((0, 0), (3, 37))]
TRIPLES = [((5, 5), (7, 8), (10, 5)), ((0, 1), (1, 0), (19, 19)), ((0, 0), (0, 0), (30, 10))]


@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.5, 0.5)])
@pytest.mark.parametrize("records", [PAIRS, TRIPLES], ids=["2 arms", "3 arms"])
def test_beta_plays_an_arm_as_often_as_it_is_the_best(records, prior):
    num_arms = len(records[0])
    flat = np.reshape(records, (len(records), -1))
    played = [np.repeat(np.repeat(np.arange(num_arms), 2), row) for row in flat]
    rewards = [np.repeat(np.tile([1, 0], num_arms), row) for row in flat]
    learner = ThompsonBeta(num_arms, prior)
    tape = learner.noise(noise.stream(KEY, "law"), N)
    counts = counts_of_arms(
        learner, np.array(played, np.int32), np.array(rewards, np.float32), tape
    )
    for record, seen in zip(records, np.asarray(counts), strict=True):
        laws = [stats.beta(prior[0] + wins, prior[1] + losses) for wins, losses in record]
        assert_binomial(seen, best_of(laws))


def test_gaussian_plays_an_arm_as_often_as_it_is_the_better():
    parameters = {"prior_mean": 0.2, "prior_scale": 0.7, "reward_scale": 0.5}
    learner = ThompsonGaussian(2, **parameters)
    rng = np.random.default_rng(1)
    played = rng.integers(0, 2, (4, 40), np.int32)
    played[0] = 1  # arm 0 still has its prior
    rewards = rng.normal(0.1 * played, 0.5).astype(np.float32)
    tape = learner.noise(noise.stream(KEY, "law"), N)
    counts = np.asarray(counts_of_arms(learner, played, rewards, tape))
    plays = np.stack([np.sum(played == arm, axis=1) for arm in range(2)], axis=1)
    earned = np.stack([np.sum((played == arm) * rewards, axis=1) for arm in range(2)], axis=1)
    means, scales = gaussian_posterior(plays, earned.astype(np.float64), **parameters)
    distance = (means[:, 0] - means[:, 1]) / np.hypot(*scales.T)
    assert_binomial(counts[:, 0], stats.norm.cdf(distance))


# ---- parameters ----------------------------------------------------------------------------


def test_a_list_is_as_good_a_prior_as_a_tuple():
    assert ThompsonBeta(prior=[1, 2]).prior == (1.0, 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ThompsonBeta(prior=(0.0, 1.0)), r"prior is a pair of positive.*0\.0"),
        (lambda: ThompsonBeta(prior=(1.0, -2.0)), "pair of positive"),
        (lambda: ThompsonBeta(prior=(1.0, math.inf)), "pair of positive.*inf"),
        (lambda: ThompsonBeta(prior=(1.0,)), r"pair of positive.*\(1\.0,\)"),  # type: ignore[arg-type]
        (lambda: ThompsonBeta(prior=1.0), "pair of positive.*got 1.0"),  # type: ignore[arg-type]
        (lambda: ThompsonBeta(prior="ab"), "pair of positive.*got 'ab'"),  # type: ignore[arg-type]
        (lambda: ThompsonBeta(prior=None), "pair of positive.*got None"),  # type: ignore[arg-type]
        (lambda: ThompsonGaussian(prior_scale=0.0), "prior_scale is positive, got 0.0"),
        (lambda: ThompsonGaussian(prior_mean=math.nan), "prior_mean is finite"),
        (lambda: ThompsonGaussian(reward_scale=-1.0), "reward_scale is positive"),
        (lambda: ThompsonGaussian(reward_scale="wide"), "reward_scale is positive, got wide"),
        (lambda: ThompsonBeta().init(KEY), "ThompsonBeta does not know its num_arms"),
        (lambda: ThompsonGaussian().noise(KEY, 3), "ThompsonGaussian does not know its num_arms"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
