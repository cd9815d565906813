"""The learners that randomise (and explore-first): against plain float64 references on the same
tape, in law, and by what must hold for any rewards."""

from __future__ import annotations

import math
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from regrax.core import noise
from regrax.core.learners.bandits import explore, exponential, gradient, tsallis
from regrax.core.protocol import BanditFeedback
from regrax.core.simulate import simulate, stack
from regrax.envs import BernoulliBandit

from . import reference_randomised as reference

K, T = 5, 200
KEY = noise.root(2)
# A thousand roundings. They feed back: a probability that is too low makes the next estimate too
# high, which lowers it further, so errors grow like exp(learning rate * estimated losses).
TOLERANCE = 1000 * 2**-24
LOG = math.log(K)


def table(num_rounds=T, num_arms=K, change=True):
    """Rewards in (0, 1): arm 0 is the best; from half-way on, with `change`, the last arm."""
    draws = np.random.default_rng(0).beta(1, 2, (num_rounds, num_arms))
    draws[:, 0] **= 0.3
    if change:
        draws[num_rounds // 2 :, -1] **= 0.1
    return draws.astype(np.float32)


def chances(learner, state):
    """The probabilities of the next round, as the learner hands them to the sampler."""
    with mock.patch.object(noise, "categorical", lambda u, weights: weights / jnp.sum(weights)):
        return learner.act(state, (), jnp.float32(0.5))


def play(learner, rewards, tape, watch=None):
    """Arms [T] of one game on a reward table [T, K], the last state, and what `watch` says of
    (learner, state) before every round."""

    @jax.jit
    def game(learner, rewards, tape):
        def one_round(state, row):
            rewards, noise = row
            arm = learner.act(state, (), noise)
            after = learner.update(state, (), arm, BanditFeedback(rewards[arm]))
            return after, (arm, watch(learner, state) if watch else ())

        return jax.lax.scan(one_round, learner.init(KEY), (rewards, tape))

    state, (arms, seen) = game(learner, rewards, tape)
    return np.asarray(arms), state, np.asarray(seen) if watch else None


# ---- against the references, on the same tape ----------------------------------------------

MIXING = math.sqrt(K * LOG / ((math.e - 1) * T))
IX_RATE = math.sqrt(2 * LOG / (K * T))


def anytime_ix(t):
    return math.sqrt(LOG / (K * t))


SAMPLERS = {
    "exp3": (
        exponential.Exp3(K, T),
        partial(reference.Exp3, K, math.sqrt(2 * LOG / (T * K))),
    ),
    "exp3-mixing": (
        exponential.Exp3(K, learning_rate=0.1, mixing=0.2),
        partial(reference.Exp3, K, 0.1, 0.2),
    ),
    "exp3-reward": (
        exponential.Exp3(K, T, estimator="reward"),
        partial(reference.Exp3, K, MIXING / K, MIXING, rewards=True),
    ),
    "exp3-ix": (
        exponential.Exp3IX(K, T),
        partial(reference.Exp3IX, K, lambda t: IX_RATE),
    ),
    "exp3-ix-anytime": (
        exponential.Exp3IX(K, anytime=True),
        partial(reference.Exp3IX, K, anytime_ix),
    ),
    "exp3-ix-fast": (
        exponential.Exp3IX(K, learning_rate=0.2, exploration=0.05),
        partial(reference.Exp3IX, K, lambda t: 0.2, 0.05),
    ),
    "exp3.s": (
        exponential.Exp3S(K, T),
        partial(reference.Exp3S, K, math.sqrt(K * math.log(K * T) / T), 1 / T),
    ),
    "exp3.s-changes": (
        exponential.Exp3S(K, 20 * T, num_changes=2),
        partial(
            reference.Exp3S,
            K,
            math.sqrt(K * (3 * math.log(20 * K * T) + math.e) / ((math.e - 1) * 20 * T)),
            1 / (20 * T),
        ),
    ),
    "exp3.s-given": (
        exponential.Exp3S(K, mixing=0.3, sharing=0.01),
        partial(reference.Exp3S, K, 0.3, 0.01),
    ),
    "tsallis-iw": (tsallis.TsallisINF(K), partial(reference.TsallisINF, K, 2)),
    "tsallis-rv": (
        tsallis.TsallisINF(K, estimator="rv"),
        partial(reference.TsallisINF, K, 4, reduced_variance=True),
    ),
    "gradient": (gradient.GradientBandit(K), partial(reference.GradientBandit, K, 0.1)),
    "gradient-no-baseline": (
        gradient.GradientBandit(K, step_size=0.4, baseline=False),
        partial(reference.GradientBandit, K, 0.4, baseline=False),
    ),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_agree_with_their_reference(name):
    learner, build = SAMPLERS[name]
    rewards, tape = table(), learner.noise(KEY, T)
    arms, _, probabilities = play(learner, rewards, tape, chances)
    other, sure = build(), 0
    for t, arm in enumerate(arms):
        expected = other.chances()
        np.testing.assert_allclose(probabilities[t], expected, rtol=0, atol=TOLERANCE)
        choice, distance = reference.draw(expected, float(tape[t]))
        if distance > K * TOLERANCE:  # else rounding may decide between two neighbours
            sure += 1
            assert arm == choice, f"round {t}"
        other.update(arm, float(rewards[t, arm]))
    assert sure > 0.9 * T
    assert np.max(probabilities) > 0.35  # it has learned something, so there was something to check


@pytest.mark.parametrize("pulls_per_arm", [1, 7, None])
def test_explore_then_commit_agrees_with_its_reference(pulls_per_arm):
    learner = explore.ExploreThenCommit(K, T, pulls_per_arm)
    number = pulls_per_arm or math.ceil((T / K) ** (2 / 3) * math.log(T) ** (1 / 3))
    rewards = table()
    arms, state, _ = play(learner, rewards, learner.noise(KEY, T))
    other = reference.ExploreThenCommit(K, number)
    for t, arm in enumerate(arms):
        choice, lead = other.choice()
        assert lead > 1e-5 and arm == choice, f"round {t}"
        other.update(arm, float(rewards[t, arm]))
    assert learner.recommend(state) == arms[-1]


@pytest.mark.parametrize(
    ("learner", "epsilon"),
    [
        (explore.EpsilonGreedy(K), lambda t: 0.1),
        (explore.EpsilonGreedy(K, 0.5), lambda t: 0.5),
        (
            explore.DecayingEpsilonGreedy(K),
            lambda t: min(1, (K * math.log(t)) ** (1 / 3) * t ** (-1 / 3)),
        ),
        (
            explore.DecayingEpsilonGreedy(K, scale=5, gap=0.6),
            lambda t: min(1, 5 * K / (0.36 * t)),
        ),
    ],
)
def test_epsilon_greedy_agrees_with_its_reference(learner, epsilon):
    rewards, tape = table(), learner.noise(KEY, T)
    arms, state, _ = play(learner, rewards, tape)
    other, sure = reference.EpsilonGreedy(K, epsilon), 0
    for t, arm in enumerate(arms):
        choice, margin = other.choice([float(u) for u in tape[t]])
        if margin > 1e-5:
            sure += 1
            assert arm == choice, f"round {t}"
        other.update(arm, float(rewards[t, arm]))
    assert sure > 0.95 * T
    assert learner.recommend(state) == other.means.best()[0]


def test_uniform_agrees_with_its_reference():
    learner = explore.Uniform(K)
    tape = learner.noise(KEY, T)
    arms, _, _ = play(learner, table(), tape)
    for arm, u in zip(arms, tape, strict=True):
        choice, distance = reference.draw(reference.Uniform(K).chances(), float(u))
        assert arm == choice or distance < TOLERANCE


# ---- in law ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exp3-mixing", "exp3-ix", "exp3.s", "tsallis-iw", "gradient"])
def test_arms_are_played_as_often_as_the_probabilities_say(name):
    learner, _ = SAMPLERS[name]
    _, state, _ = play(learner, table(60), learner.noise(KEY, 60))
    tape = learner.noise(noise.stream(KEY, "law"), 200_000)
    arms = jax.vmap(lambda u: learner.act(state, (), u))(tape)
    expected = np.asarray(chances(learner, state), np.float64) * len(tape)
    seen = np.bincount(arms, minlength=K)
    assert stats.chisquare(seen, expected * len(tape) / expected.sum()).pvalue > 1e-3


def test_epsilon_greedy_explores_uniformly_and_otherwise_exploits():
    learner = explore.EpsilonGreedy(K, 0.3)
    state = learner.update(learner.init(KEY), (), jnp.int32(2), BanditFeedback(jnp.float32(1)))
    tape = learner.noise(KEY, 200_000)
    arms = jax.vmap(lambda u: learner.act(state, (), u))(tape)
    expected = np.full(K, 0.3 / K) + 0.7 * (np.arange(K) == 2)
    assert stats.chisquare(np.bincount(arms, minlength=K), expected * len(tape)).pvalue > 1e-3


@pytest.mark.parametrize("num_arms", [1, 2, 3, 10, 1000])
def test_uniform_arm_stays_in_range_and_is_uniform(num_arms):
    extremes = jnp.array([2**-24, 1 - 2**-24], jnp.float32)
    assert list(explore.uniform_arm(extremes, num_arms)) == [0, num_arms - 1]
    arms = explore.uniform_arm(noise.uniform(KEY, (200_000,)), num_arms)
    seen = np.bincount(arms, minlength=num_arms)
    assert num_arms == 1 or stats.chisquare(seen).pvalue > 1e-3


# ---- for any rewards ------------------------------------------------------------------------

unit = st.floats(0, 1, width=32)
rounds_of_three = hnp.arrays(np.float32, (20, 3), elements=unit)
uniforms = hnp.arrays(
    np.float32, 20, elements=st.floats(2**-24, 1 - 2**-24, width=32, exclude_min=False)
)
STEEP = {
    "exp3": exponential.Exp3(3, learning_rate=30.0),
    "exp3-reward": exponential.Exp3(3, 20, estimator="reward"),
    "exp3-ix": exponential.Exp3IX(3, learning_rate=30.0, exploration=1e-6),
    "exp3-ix-anytime": exponential.Exp3IX(3, anytime=True, learning_rate=30.0),
    "exp3.s": exponential.Exp3S(3, 20, num_changes=1),
    "tsallis-iw": tsallis.TsallisINF(3),
    "tsallis-rv": tsallis.TsallisINF(3, estimator="rv", learning_rate=30.0),
    "gradient": gradient.GradientBandit(3, step_size=30.0),
}


@pytest.mark.parametrize("name", STEEP)
def test_probabilities_stay_probabilities(name):
    learner = STEEP[name]
    game = jax.jit(lambda rewards, tape: _probabilities(learner, rewards, tape))

    @given(rewards=rounds_of_three, tape=uniforms)
    @settings(max_examples=60)
    def check(rewards, tape):
        arms, probabilities = game(rewards, tape)
        assert np.all(np.isfinite(probabilities)) and np.min(probabilities) >= 0
        np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-6)
        assert np.all(np.take_along_axis(probabilities[:-1], arms[:, None], 1) > 0)

    check()


def _probabilities(learner, rewards, tape):
    """Arms [T] and the probabilities [T + 1, K] before every round and after the last."""

    def one_round(state, row):
        rewards, u = row
        arm = learner.act(state, (), u)
        after = learner.update(state, (), arm, BanditFeedback(rewards[arm]))
        return after, (arm, chances(learner, state))

    state, (arms, before) = jax.lax.scan(one_round, learner.init(KEY), (rewards, tape))
    return arms, jnp.concatenate([before, chances(learner, state)[None]])


def _expected_charge(learner, state, losses, of):
    """Expectation over the arm of what a round adds to `of(state)`."""
    probabilities = chances(learner, state)

    def charge(arm):
        after = learner.update(state, (), arm, BanditFeedback(1 - losses[arm]))
        return of(after) - of(state)

    return probabilities, probabilities @ jax.vmap(charge)(jnp.arange(len(losses)))


ESTIMATES = {
    "exp3": (exponential.Exp3(3, 20), lambda s: s.losses),
    "exp3-mixing": (exponential.Exp3(3, 20, mixing=0.3), lambda s: s.losses),
    "tsallis-iw": (tsallis.TsallisINF(3), lambda s: s.losses),
    "tsallis-rv": (tsallis.TsallisINF(3, estimator="rv"), lambda s: s.losses),
    "exp3-ix": (exponential.Exp3IX(3, 20, exploration=0.1), lambda s: s.weights.losses),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_loss_estimate_is_unbiased(name):
    """In expectation over the arm a round adds every arm's loss; Exp3-IX a known part of it."""
    learner, of = ESTIMATES[name]

    @jax.jit
    def expected(rewards, tape, losses):
        def one_round(state, row):
            arm = learner.act(state, (), row[1])
            return learner.update(state, (), arm, BanditFeedback(row[0][arm])), ()

        state = jax.lax.scan(one_round, learner.init(KEY), (rewards, tape))[0]
        return _expected_charge(learner, state, losses, of)

    @given(rounds_of_three, uniforms, hnp.arrays(np.float32, 3, elements=unit))
    @settings(max_examples=60)
    def check(rewards, tape, losses):
        probabilities, charges = expected(rewards, tape, losses)
        biased = 0.1 if name == "exp3-ix" else 0.0
        ratio = np.asarray(probabilities) / (probabilities + biased)
        drawn = np.asarray(probabilities) > 2**-23  # else a uniform may never find the arm
        np.testing.assert_allclose(charges[drawn], (losses * ratio)[drawn], atol=1e-4)

    check()


# ---- numbers that a long game leads to ------------------------------------------------------


@pytest.mark.parametrize("num_arms", [1, 2, 10, 11, 300])
def test_tsallis_weights_add_up_to_one_whatever_the_lags(num_arms):
    weigh = jax.jit(tsallis.tsallis_weights)

    @given(st.lists(st.floats(0, 1e9, width=32), min_size=num_arms, max_size=num_arms))
    @settings(max_examples=60)
    def check(lags):
        lags = np.asarray(lags, np.float32)
        lags = lags - lags.min()
        weights = np.asarray(weigh(lags), np.float64)
        assert abs(weights.sum() - 1) < 3e-6
        np.testing.assert_allclose(
            weights, reference.tsallis_weights([float(x) for x in lags], 2.0), atol=3e-6
        )

    check()


@pytest.mark.parametrize("num_arms", [2, 10, 100, 1000, 10_000])
def test_tsallis_weights_in_the_slowest_cases(num_arms):
    """A few leaders and a crowd at the same distance: most steps, by a search over such cases."""
    first = np.arange(num_arms) < np.array([1, 2, 3, num_arms // 10, num_arms // 2])[:, None]
    distances = np.geomspace(1e-3, 1e7, 60, dtype=np.float32)[:, None, None]
    lags = np.where(first, 0, distances).reshape(-1, num_arms)
    lags = lags[np.min(lags, axis=1) == 0]
    sums = jax.jit(jax.vmap(lambda x: jnp.sum(tsallis.tsallis_weights(x))))(jnp.asarray(lags))
    assert np.max(np.abs(np.asarray(sums) - 1)) < 3e-6


@pytest.mark.parametrize("estimator", ["iw", "rv"])
def test_tsallis_after_ten_million_rounds(estimator):
    learner = tsallis.TsallisINF(4, estimator=estimator)
    rounds = jnp.int32(10_000_000)
    update = jax.jit(lambda s, arm, reward: learner.update(s, (), arm, BanditFeedback(reward)))
    for losses in ([0, 1e7, 1e7, 1e7], [0, 0, 1e7, 5e6], [500, 1e3, 3e3, 1e7], [0, 1, 2, 4]):
        losses = np.asarray(losses, np.float32)
        scale = 2 if estimator == "iw" else 4
        weights = reference.tsallis_weights([float(x) for x in losses], scale / math.sqrt(1e7))
        state = tsallis.TsallisState(
            jnp.asarray(losses), jnp.asarray(weights, jnp.float32), rounds - 1
        )
        for arm in range(4):
            after = update(state, arm, jnp.float32(0.25))
            assert abs(float(jnp.sum(after.weights)) - 1) < 3e-6
            expected = losses.astype(np.float64)
            charged = 0.75
            if estimator == "rv":
                halves = 0.5 * (np.asarray(weights) >= 16e-7)
                expected, charged = expected + halves, 0.75 - halves[arm]
            expected[arm] += charged / weights[arm]
            np.testing.assert_allclose(
                after.weights,
                reference.tsallis_weights(list(expected), scale / math.sqrt(1e7 + 1)),
                atol=3e-6,
            )


def test_settling_is_exact_and_keeps_the_leader_small():
    rng = np.random.default_rng(0)
    losses = np.concatenate([rng.uniform(5e6, 6e6, 3), 10 ** rng.uniform(7, 10, 40)])
    losses = losses.astype(np.float32)
    settled = np.asarray(exponential.settle(losses, losses.min()), np.float64)
    common = np.unique(losses.astype(np.float64) - settled)
    assert len(common) == 1 and common[0] % 1024 == 0
    assert 0 <= settled.min() < 1024


MANY = 1_000_000


@pytest.mark.parametrize(
    ("learner", "share"),
    [
        (exponential.Exp3(3, MANY), 0.02),
        (exponential.Exp3(3, learning_rate=5.0), 0.2),  # so steep that it evens out the losses
        (tsallis.TsallisINF(3), 0.02),
    ],
    ids=["exp3", "exp3-steep", "tsallis"],
)
def test_a_million_rounds_against_one_bad_arm(learner, share):
    """Arm 0 always loses 1, arm 1 and arm 2 lose 1/2: all stays finite, and arm 0 is given up."""
    rewards = jnp.array([0.0, 0.5, 0.5])

    @jax.jit
    def game():
        def block(b, carry):
            tape = learner.noise(noise.stream(KEY, b), 1000)

            def one_round(t, carry):
                state, pulls = carry
                arm = learner.act(state, (), tape[t])
                state = learner.update(state, (), arm, BanditFeedback(rewards[arm]))
                return state, pulls.at[arm].add(1)

            return jax.lax.fori_loop(0, 1000, one_round, carry)

        return jax.lax.fori_loop(0, MANY // 1000, block, (learner.init(KEY), jnp.zeros(3, int)))

    state, pulls = game()
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))
    assert np.min(state.losses) < 1024
    assert pulls[0] < share * MANY and int(jnp.sum(pulls)) == MANY
    assert learner.recommend(state) in (1, 2)


# ---- regret ---------------------------------------------------------------------------------


def mean_regret(learner, rewards, best, seeds=300):
    """Mean over seeds of what was lost to the arms `best` [T], and its standard error."""

    @jax.jit
    @jax.vmap
    def game(seed):
        tape = learner.noise(noise.stream(KEY, seed), len(rewards))

        def one_round(state, row):
            rewards, noise, best = row
            arm = learner.act(state, (), noise)
            after = learner.update(state, (), arm, BanditFeedback(rewards[arm]))
            return after, rewards[best] - rewards[arm]

        rows = jnp.asarray(rewards), tape, jnp.asarray(best)
        return jnp.sum(jax.lax.scan(one_round, learner.init(KEY), rows)[1])

    regrets = np.asarray(game(jnp.arange(seeds)))
    return regrets.mean(), regrets.std(ddof=1) / math.sqrt(seeds)


@pytest.mark.parametrize(
    ("learner", "bound"),
    [
        (exponential.Exp3(K, 2000), math.sqrt(2 * 2000 * K * LOG)),
        (tsallis.TsallisINF(K), 4 * math.sqrt(K * 2000) + 1),
        (
            tsallis.TsallisINF(K, estimator="rv"),
            2 * math.sqrt(K * 2000) + 10 * K * math.log(2000) + 16,
        ),
    ],
    ids=["exp3", "tsallis-iw", "tsallis-rv"],
)
def test_regret_is_within_the_bound_of_the_theorem(learner, bound):
    rewards = (table(2000, change=False) > 0.5).astype(np.float32)
    best = np.full(2000, np.argmax(rewards.sum(axis=0)))
    mean, error = mean_regret(learner, rewards, best)
    assert 0 < mean < bound - 4 * error


def test_exp3s_keeps_up_with_a_change_that_exp3_misses():
    halves = np.repeat([0, 1], 2000)
    rewards = np.where(np.arange(3) == halves[:, None], 0.9, 0.1).astype(np.float32)
    follows, error = mean_regret(exponential.Exp3S(3, 4000, num_changes=1), rewards, halves, 100)
    stays, _ = mean_regret(exponential.Exp3(3, 4000), rewards, halves, 100)
    assert follows + 10 * error < 0.7 * stays


# ---- stated rules ---------------------------------------------------------------------------


def test_ties_go_to_the_lowest_index():
    reward = BanditFeedback(jnp.float32(0.5))
    fresh = [learner.init(KEY) for learner in _all(4)]
    for learner, state in zip(_all(4), fresh, strict=True):
        assert learner.recommend(state) == 0
    for learner in (explore.Uniform(4), explore.EpsilonGreedy(4, 0.0)):
        state = learner.init(KEY)
        for arm in (3, 2, 1):
            state = learner.update(state, (), jnp.int32(arm), reward)
        assert learner.recommend(state) == 1  # 0 was not played, 1 to 3 are equal
    arms, _, _ = play(explore.ExploreThenCommit(4, 30, 2), np.ones((30, 4), np.float32), ())
    assert list(arms) == [0, 1, 2, 3] * 2 + [0] * 22


def test_explore_then_commit_never_reconsiders():
    rewards = np.zeros((60, 2), np.float32)
    rewards[:, 0], rewards[:4, 1] = 0.5, 1  # arm 1 leads when exploration ends, and never again
    arms, state, _ = play(explore.ExploreThenCommit(2, 60, 2), rewards, ())
    assert list(arms) == [0, 1, 0, 1] + [1] * 56
    assert explore.ExploreThenCommit(2, 60, 2).recommend(state) == 1


def _all(num_arms, horizon=100.0):
    return [
        explore.Uniform(num_arms),
        explore.ExploreThenCommit(num_arms, horizon),
        explore.EpsilonGreedy(num_arms),
        explore.DecayingEpsilonGreedy(num_arms),
        exponential.Exp3(num_arms, horizon),
        exponential.Exp3(num_arms, horizon, estimator="reward"),
        exponential.Exp3IX(num_arms, horizon),
        exponential.Exp3IX(num_arms, anytime=True),
        exponential.Exp3S(num_arms, horizon),
        tsallis.TsallisINF(num_arms),
        tsallis.TsallisINF(num_arms, estimator="rv"),
        gradient.GradientBandit(num_arms),
    ]


@pytest.mark.parametrize("learner", _all(1, 50.0), ids=lambda x: type(x).__name__)
def test_one_arm_is_played_for_ever(learner):
    arms, state, _ = play(learner, table(50, 1), learner.noise(KEY, 50))
    assert np.all(arms == 0) and learner.recommend(state) == 0
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("learner", _all(3), ids=lambda x: type(x).__name__)
def test_a_round_leaves_shapes_and_dtypes_as_they_were(learner):
    state = learner.init(KEY)
    tape = learner.noise(KEY, 2)

    def one_round(state, row):
        arm = learner.act(state, (), row)
        assert arm.dtype == jnp.int32 and arm.shape == ()
        return learner.update(state, (), arm, BanditFeedback(jnp.float32(0.5)))

    row = jax.tree.map(lambda x: x[0], tape)
    with jax.numpy_dtype_promotion("strict"):
        after = jax.eval_shape(one_round, state, row)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype


@pytest.mark.parametrize("learner", _all(3)[2::3], ids=lambda x: type(x).__name__)
def test_games_in_a_batch_equal_games_one_by_one(learner):
    rewards = jnp.asarray(table(60, 3))

    @jax.jit
    def game(key):
        def one_round(state, row):
            arm = learner.act(state, (), row[1])
            after = learner.update(state, (), arm, BanditFeedback(row[0][arm]))
            return after, arm

        return jax.lax.scan(one_round, learner.init(key), (rewards, learner.noise(key, 60)))

    keys = jax.vmap(lambda i: noise.stream(KEY, i))(jnp.arange(6))
    states, arms = jax.vmap(game)(keys)
    for i in range(6):
        state, alone = game(keys[i])
        np.testing.assert_array_equal(arms[i], alone)
        for a, b in zip(jax.tree.leaves(states), jax.tree.leaves(state), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=TOLERANCE)


def test_blanks_are_filled_and_parameters_stack():
    env = BernoulliBandit([0.2, 0.8])
    learners = [exponential.Exp3(learning_rate=rate) for rate in (0.01, 0.1, 1.0)]
    together = simulate(env, stack(learners), 200, 16, checkpoints=[200], progress=False)
    alone = simulate(env, learners[1], 200, 16, checkpoints=[200], progress=False)
    np.testing.assert_array_equal(together.metrics["pulls"][1], alone.metrics["pulls"])
    regrets = together.metrics["regret"].mean(axis=(1, 2))
    assert regrets[0] > regrets[1]  # a rate of 0.01 hardly learns in 200 rounds
    blank = simulate(env, exponential.Exp3(), 200, 16, checkpoints=[200], progress=False)
    given = exponential.Exp3(2, 200, learning_rate=math.sqrt(2 * math.log(2) / 400))
    given = simulate(env, given, 200, 16, checkpoints=[200], progress=False)
    np.testing.assert_array_equal(blank.metrics["pulls"], given.metrics["pulls"])


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: exponential.Exp3(estimator="gain"), "loss.*reward.*gain"),
        (lambda: exponential.Exp3(learning_rate=-1.0), "Exp3: learning_rate is zero or more.*-1"),
        (lambda: exponential.Exp3(mixing=1.5), "mixing is a probability.*1.5"),
        (lambda: exponential.Exp3IX(exploration=-0.1), "exploration is zero or more"),
        (lambda: exponential.Exp3IX(learning_rate=math.nan), "learning_rate.*nan"),
        (lambda: exponential.Exp3S(mixing=0.0), "mixing is a positive probability"),
        (lambda: exponential.Exp3S(num_changes=-1), "num_changes is zero or more"),
        (lambda: tsallis.TsallisINF(estimator="vr"), "iw.*rv.*vr"),
        (lambda: tsallis.TsallisINF(learning_rate=0.0), "learning_rate is positive"),
        (lambda: gradient.GradientBandit(step_size=0.0), "step_size is positive"),
        (lambda: explore.EpsilonGreedy(epsilon=1.1), "epsilon is a probability.*1.1"),
        (lambda: explore.DecayingEpsilonGreedy(scale=0.0), "scale is positive"),
        (lambda: explore.DecayingEpsilonGreedy(gap=-0.1), "gap is positive, or 0"),
        (lambda: explore.ExploreThenCommit(pulls_per_arm=0), "pulls_per_arm is one or more"),
        (lambda: exponential.Exp3().init(KEY), "num_arms"),
        (lambda: exponential.Exp3(3).update(exponential.even(3), (), 0, BanditFeedback(1.0)),
         "horizon"),
    ],
)  # fmt: skip
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
