"""A fixed omega, the optimal one, and golden-section search over the grid."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core import noise
from regrax.core.learners.solver import FixedOmega, GoldenSection, InstanceOptimal
from regrax.core.protocol import Iterations, complete

from . import systems

KEY = noise.root(5)


def test_a_fixed_omega_is_played_whatever_comes():
    learner = FixedOmega(1.6)
    state = learner.update(learner.init(KEY), 0.3, learner.act((), 0.3, ()), Iterations(9))
    for omega in (learner.act(state, 0.5, ()), learner.recommend(state)):
        assert omega.dtype == np.float32 and omega == np.float32(1.6)
    for omega in (0, 2, -1, math.nan):
        with pytest.raises(ValueError, match="omega is between 0 and 2"):
            FixedOmega(omega)


def test_the_optimal_omega_on_a_10_by_10_grid():
    """Against its values to six digits, and over the range of shifts in float64."""
    env = systems.Systems(systems.contexts(16))
    learner = complete(InstanceOptimal(), env, 10)
    assert (learner.diagonal, learner.spread) == (env.diagonal, env.spread)
    act = jax.jit(jax.vmap(lambda c: learner.act((), c, ())))
    values = act(np.float32([-0.15, 0, 0.15, 0.45]))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [1.853594, 1.560388, 1.448831, 1.327919], atol=2e-6)
    np.testing.assert_allclose(learner.recommend(()), 1.560388, atol=1e-6)
    shifts = np.linspace(-0.15, 0.45, 601, dtype=np.float32)
    beta = 4 * math.cos(math.pi / 11) / (4 + shifts.astype(np.float64))
    np.testing.assert_allclose(act(shifts), 1 + (beta / (1 + np.sqrt(1 - beta**2))) ** 2, atol=5e-6)


def test_the_optimal_omega_minimises_the_asymptotic_rate():
    """The spectral radius of SOR's iteration matrix, by eigenvalues, on a 4 x 4 grid."""
    m, c = 4, 0.1
    line = np.eye(m, k=1) + np.eye(m, k=-1)
    a = (4 + c) * np.eye(m * m) - np.kron(line, np.eye(m)) - np.kron(np.eye(m), line)

    def radius(omega):
        split = np.diag(np.diag(a)) / omega + np.tril(a, -1)
        return np.max(np.abs(np.linalg.eigvals(np.eye(m * m) - np.linalg.solve(split, a))))

    best = float(InstanceOptimal(4.0, 4 * math.cos(math.pi / (m + 1))).act((), np.float32(c), ()))
    assert all(radius(best + 1e-5) < radius(best + d) for d in (-0.1, -0.01, 0.01, 0.1))


# ---- golden section ----------------------------------------------------------------------------


def search(counts, repeats):
    """Arms of a Fibonacci search in plain Python, then the arm that is left; counts [T, d]."""
    fibonacci = [0, 1, 1]
    while fibonacci[-1] - 1 < counts.shape[1]:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    n, left, arms, known = len(fibonacci) - 1, 0, [], {}

    def measure(arm):
        if arm not in known and arm >= counts.shape[1]:
            known[arm] = math.inf
        elif arm not in known:
            rounds = range(len(arms), len(arms) + repeats)
            arms.extend([arm] * repeats)
            known[arm] = sum(int(counts[t, arm]) for t in rounds)
        return known[arm]

    while n > 3:
        low, high = left + fibonacci[n - 2] - 1, left + fibonacci[n - 1] - 1
        if measure(low) > measure(high):
            left += fibonacci[n - 2]
        n -= 1
    return arms, left


def player(num_arms):
    @jax.jit
    def play(learner, counts):
        def one_round(state, counts):
            arm = learner.act(state, (), ())
            return learner.update(state, (), arm, Iterations(counts[arm])), arm

        state, arms = jax.lax.scan(one_round, learner.init(KEY), counts)
        return arms, learner.recommend(state)

    return lambda counts, repeats: play(GoldenSection(num_arms, repeats), counts)


@pytest.mark.parametrize("num_arms", [1, 2, 3, 4, 6, 13, 20])
def test_golden_section_finds_the_least_of_counts_that_fall_and_rise(num_arms):
    play = player(num_arms)
    for best in range(num_arms):
        steps = np.arange(num_arms) - best
        row = np.where(steps < 0, -7 * steps, 3 * steps) + 5
        counts = np.tile(row, (40, 1)).astype(np.int32)
        arms, recommended = play(counts, np.int32(4))
        expected, left = search(counts, 4)
        assert left == best == recommended and recommended.dtype == np.int32
        np.testing.assert_array_equal(arms, expected + [left] * (40 - len(expected)))
        assert len(expected) <= 4 * 6


@pytest.mark.parametrize("num_arms", [6, 20])
def test_golden_section_follows_its_reference_on_any_counts(num_arms):
    play = player(num_arms)

    @given(st.integers(0, 2**32 - 1), st.integers(1, 6))
    @settings(max_examples=60)
    def check(seed, repeats):
        counts = np.random.default_rng(seed).integers(0, 5, (40, num_arms)).astype(np.int32)
        arms, recommended = play(counts, np.int32(repeats))
        expected, left = search(counts, repeats)
        np.testing.assert_array_equal(arms, expected + [left] * (40 - len(expected)))
        assert recommended == left

    check()


def test_golden_section_says_what_is_wrong():
    with pytest.raises(ValueError, match="repeats is one or more"):
        GoldenSection(20, 0)
    with pytest.raises(ValueError, match="num_arms"):
        GoldenSection().init(KEY)
    assert jnp.asarray(GoldenSection(20).init(KEY).level) == 8  # F_8 - 1 = 20
