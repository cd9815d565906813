"""Tsallis-INF on iterations: round by round against float64, the root finder from any state, the
published root finder's fault, and regret."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regrax as rx
from regrax.core import noise
from regrax.core.learners.bandits.tsallis import tsallis_weights
from regrax.core.learners.solver import TsallisTuner
from regrax.core.learners.solver import tsallis as tuners
from regrax.core.protocol import Iterations

from . import systems

K, T = 20, 5000
KEY = noise.root(3)
COUNTS = systems.counts(systems.contexts(T))


def played(newton, num_seeds):
    """Arms and the weights before every round, [seeds, T, ...], where every `rhythm`-th round of a
    seed plays an arm by lot, whatever the learner says."""
    learner = TsallisTuner(K, newton)
    rhythms = np.array([T, 50, 10, *[T] * num_seeds])[:num_seeds]
    lots = np.random.default_rng(7).integers(0, K, (num_seeds, T)).astype(np.int32)
    forced = (np.arange(T) % rhythms[:, None] == rhythms[:, None] - 1) & (rhythms[:, None] < T)

    def one_round(state, row):
        counts, noise, forced, lot = row
        arm = jnp.where(forced, lot, learner.act(state, (), noise))
        after = learner.update(state, (), arm, Iterations(counts[arm]))
        return after, (arm, state.weights)

    def game(seed, forced, lots):
        tape = learner.noise(noise.stream(KEY, seed), T)
        rows = jnp.asarray(COUNTS), tape, forced, lots
        return jax.lax.scan(one_round, learner.init(KEY), rows)[1]

    games = jax.jit(jax.vmap(game))(jnp.arange(num_seeds, dtype=jnp.uint32), forced, lots)
    return jax.tree.map(np.asarray, games)


@pytest.fixture(scope="module")
def exact():
    return played("exact", 8)


@pytest.fixture(scope="module")
def published():
    arms, weights = played("published", 10)
    keep = np.array([0, 3, 4, 5, 6, 7, 8, 9])  # forced arms are another game: only unforced ones
    return arms[keep], weights[keep]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_probabilities_and_sums_stay_accurate_for_thousands_of_rounds(exact, seed):
    """Charges are what the learner charged, so that an error of one round is not amplified by the
    next: what is compared is the sum of thousands of charges from 1e-2 to 1e22."""
    arms, weights = exact[0][seed], exact[1][seed]
    other = systems.Reference(systems.probabilities, K)
    for arm, p, counts in zip(arms, weights, COUNTS, strict=True):
        expected = other.weights()
        assert np.all(np.abs(p - expected) < 2e-5 * expected)
        other.update(arm, counts[arm], max(float(p[arm]), 2.0**-60))
    assert len(np.unique(arms)) == K
    assert other.losses.max() > 1e6


def test_it_plays_the_game_of_the_reference(exact):
    arms, weights = exact[0][0], exact[1][0]
    other = systems.Reference(systems.probabilities, K)
    for arm, p, counts in zip(arms[:150], weights, COUNTS, strict=False):
        np.testing.assert_allclose(p, other.weights(), rtol=1e-4)
        other.update(arm, counts[arm])


def test_arms_are_drawn_by_the_probabilities(exact):
    """A sum of T differences (arm played) - p, each of variance p (1 - p) at most: beyond 6.5
    standard deviations once in 10^10, for 20 arms and five seeds."""
    arms, weights = exact[0][3:], exact[1][3:].astype(np.float64)
    surprise = ((arms[..., None] == np.arange(K)) - weights).sum(axis=1)
    spread = np.sqrt((weights * (1 - weights)).sum(axis=1))
    assert np.all(np.abs(surprise) < 6.5 * spread + 10)


losses = st.lists(st.floats(0, 2.0**100, width=32), min_size=K, max_size=K)


def test_the_root_finder_sums_to_one_from_any_state():
    weigh = jax.jit(tuners.probabilities)
    raw = jax.jit(tsallis_weights)

    @given(losses, st.sampled_from([0.0, 0.01, 1.0, 57.25, 1e4]), st.integers(1, 2**31 - 1))
    @settings(max_examples=150, deadline=None)
    def check(lost, scale, t):
        lost = np.asarray(lost, np.float32)
        p = np.asarray(weigh(lost, np.float32(scale), np.int32(t)), np.float64)
        assert abs(p.sum() - 1) < 1e-6
        assert np.all(p >= 0)
        unit = (scale if scale > 0 else 1) * np.sqrt(t)
        lags = ((lost - lost.min()) / np.float32(unit)).astype(np.float32)
        assert abs(np.asarray(raw(lags), np.float64).sum() - 1) < 1e-6
        # The condition of optimality: 1 / sqrt(p_i) - lag_i is the same y for all arms.
        inverse = 1 / np.sqrt(np.maximum(p, 1e-30))
        sure = p > 1e-30
        y = inverse[np.argmin(lags)]
        np.testing.assert_allclose(inverse[sure], (lags + y)[sure], rtol=1e-5)

    check()


def test_solves_of_one_iteration_or_none_teach_nothing():
    learner = TsallisTuner(K)
    update = jax.jit(lambda state, k: learner.update(state, (), 3, Iterations(k)))
    state = learner.init(KEY)
    for iterations in (1, 1, 0, 1):
        state = update(state, jnp.int32(iterations))
        np.testing.assert_allclose(state.weights, 1 / K, rtol=1e-6)
    state = update(state, jnp.int32(11))
    np.testing.assert_allclose(state.scale, 2)
    np.testing.assert_allclose(
        state.weights, systems.probabilities(200.0 * (np.arange(K) == 3), 2.0, 6), rtol=1e-5
    )


# ---- the published root finder -----------------------------------------------------------------


def test_the_published_variant_follows_its_reference(published):
    """The 20 steps are chaotic once the root is lost, so a last digit may grow: in at most one of a
    hundred rounds by more than 1e-6."""
    arms, weights = published[0][0], published[1][0]
    other = systems.Reference(systems.published_weights, K)
    far = []
    for arm, w, counts in zip(arms, weights, COUNTS, strict=True):
        far.append(np.max(np.abs(w / other.weights() - 1)) > 1e-6)
        other.update(arm, counts[arm], w[arm])
    assert not any(far[:120]) and np.mean(far) < 0.01


def test_only_the_published_variant_loses_the_root(exact, published):
    off = np.abs(published[1].sum(axis=-1) - 1) > 0.01
    assert not np.any(off[:, :60])
    assert np.all(off[:, 130:].mean(axis=1) > 0.5) and off[:, 130:].mean() > 0.85
    assert np.max(published[1].sum(axis=-1)) > 1e10
    assert np.max(np.abs(exact[1].astype(np.float64).sum(axis=-1) - 1)) < 1e-6


def test_published_weights_that_cannot_be_drawn_from_make_the_round_uniform():
    learner = TsallisTuner(4, "published")
    act = jax.jit(jax.vmap(lambda state, u: learner.act(state, (), u), in_axes=(None, 0)))
    update = jax.jit(lambda state, k: learner.update(state, (), 2, Iterations(k)))
    u = (np.arange(8) + np.float32(0.5)) / 8
    state = learner.init(KEY)
    assert state.losses.dtype == state.weights.dtype == np.float64
    for iterations in (1, 30, 200):  # the first leaves 0 / 0 behind
        state = update(state, jnp.int32(iterations))
        assert np.all(np.isnan(state.weights))
        np.testing.assert_array_equal(act(state, u), np.arange(8) // 2)
    assert learner.recommend(state) == 0 and np.isnan(state.losses[2])
    with jax.enable_x64(True):
        state = learner.init(KEY)._replace(weights=jnp.zeros(4))
    np.testing.assert_array_equal(act(state, u), np.arange(8) // 2)


# ---- regret -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace():
    env = systems.Systems(systems.contexts(4096))
    stops = [1000, 4000]
    return rx.simulate(env, TsallisTuner(), 4000, 64, checkpoints=stops, progress=False)


def test_regret_is_sublinear_and_below_uniform_play(trace):
    """In 64 seeds; by 6 standard errors: the last three quarters cost less than half of the regret
    a round of the first one, and the whole less than half of what uniform play does."""
    early, total = trace.metrics["regret"] / np.array([[1000.0], [4000.0]])
    late = (4 * total - early) / 3

    def surely_positive(x):
        return x.mean() > 6 * x.std() / np.sqrt(len(x))

    assert surely_positive(early / 2 - late)
    uniform = (systems.MEAN_COUNTS - systems.MEAN_COUNTS.min()).mean()
    assert surely_positive(uniform / 2 - total)


def test_it_recommends_a_good_arm(trace):
    recommended = trace.metrics["recommended"][-1]
    assert recommended.dtype == np.int32
    assert np.all(systems.MEAN_COUNTS[recommended] < 1.5 * systems.MEAN_COUNTS.min())


def test_it_says_what_is_wrong():
    with pytest.raises(ValueError, match="exact.*published.*'newton'"):
        TsallisTuner(newton="newton")
    with pytest.raises(ValueError, match="num_arms"):
        TsallisTuner().init(KEY)
