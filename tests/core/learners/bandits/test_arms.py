"""Play counts and means of arms, over many rounds."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core.learners.bandits import arms


@jax.jit
def history(played, rewards):
    """The statistics of three arms after a history."""
    state, _ = jax.lax.scan(
        lambda state, row: (arms.add(state, *row), None), arms.fresh(3), (played, rewards)
    )
    return state, state.means, arms.best(state)


def test_means_are_those_of_the_history():
    rng = np.random.default_rng(0)
    played, rewards = rng.integers(0, 2, 1000), rng.normal(0.2, 3, 1000).astype(np.float32)
    state, means, best = history(played, rewards)
    own = [rewards[played == arm].astype(np.float64) for arm in range(2)]
    np.testing.assert_array_equal(state.pulls, [*map(len, own), 0])
    np.testing.assert_allclose(means, [*(x.mean() for x in own), 0], rtol=1e-6)
    assert best == np.argmax([x.mean() for x in own])


def test_equal_counts_of_coins_have_equal_means_in_any_order():
    played, rewards = np.tile([0, 1], 500), np.repeat([0, 1], 500)
    rewards = np.where(played == 0, rewards, rewards[::-1]).astype(np.float32)
    _, means, best = history(played, rewards)
    assert means[0] == means[1] == 0.5 and best == 0


def test_an_arm_never_played_is_not_the_best():
    _, _, best = history(np.full(1000, 2), np.full(1000, -1, np.float32))
    assert best == 2


@pytest.mark.parametrize("reward", [0.1, 0.9])
def test_the_mean_follows_after_ten_million_plays(reward):
    """Ten million times the same reward, then a million times another."""

    @jax.jit
    def run(state, reward, rounds):
        add = partial(arms.add, arm=jnp.int32(0), reward=reward)
        return jax.lax.fori_loop(0, rounds, lambda _, state: add(state), state)

    first, then = np.float32(reward), np.float32(0.3)
    state = run(run(arms.fresh(2), first, 10**7), then, 10**6)
    expected = (10 * float(first) + float(then)) / 11
    assert float(state.means[0]) == pytest.approx(expected, rel=1e-6)
