"""Coefficients of coverage: closed forms, brute force over policies, and what must hold of them."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings

from regrax.envs import mdp_coverage as coverage
from regrax.envs import mdp_values as exact
from regrax.envs.linear_mdp import tabular
from regrax.envs.mdp_hard_instances import combination_lock, hard_instance
from regrax.envs.mdp_instances import (
    deep_sea,
    depth_two_tree,
    periodic_low_rank,
    random_low_rank,
    river_swim,
)

ALL = np.array([[True, True]])  # both pairs of one state with two actions


def policies(env):
    """Visits of all deterministic policies, [P, H, S, A]."""
    moves, _, start = coverage.exact_tables(env)
    shape = env.stages, env.num_states
    every = itertools.product(range(env.num_actions), repeat=shape[0] * shape[1])
    tables = (np.eye(env.num_actions)[np.reshape(actions, shape)] for actions in every)
    return np.array([exact.occupancy(moves, start, table) for table in tables])


def drawn(seed, states=2, actions=2, stages=3):
    """A dense MDP, the visits of a policy and data of another one."""
    env = random_low_rank(states, actions, 3, stages, seed)
    moves, _, start = coverage.exact_tables(env)
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(actions), (2, stages, states))
    return env, *(exact.occupancy(moves, start, table) for table in chances)


def arms(angles):
    """One stage, one state, an arm a unit vector of the plane."""
    features = np.stack([np.cos(angles), np.sin(angles)], axis=-1)[None]
    return features, np.ones((1, 1, len(angles), 1)), np.ones(1)


# ---- over states and actions ---------------------------------------------------------------


@pytest.mark.parametrize(("clip", "wanted"), [(1, 0.777778), (2, 1.277778), (10, 2.777778)])
def test_clipped_concentrability(clip, wanted):
    visits, data = np.array([[[0.5, 0.5]]]), np.array([[[0.9, 0.1]]])
    found = coverage.clipped_concentrability(visits, data, clip)
    assert found.shape == (1,) and round(found[0], 6) == wanted


def test_concentrability_by_hand():
    visits, data = np.array([[[0.5, 0.5]], [[1.0, 0.0]]]), np.array([[[0.9, 0.1]], [[0.25, 0.75]]])
    np.testing.assert_allclose(coverage.concentrability(visits, data), 5)
    np.testing.assert_allclose(coverage.concentrability(data, data), 1)
    assert coverage.concentrability(data, visits) == np.inf
    np.testing.assert_array_equal(
        coverage.clipped_concentrability(data, visits, 3)[1], 0.25 * 0.25 + 0.75 * 3
    )


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_coefficients_of_all_policies(seed):
    env, _, data = drawn(seed)
    moves, _, start = coverage.exact_tables(env)
    visits = policies(env)
    reached = exact.reachability(moves, start)
    np.testing.assert_allclose(reached, visits.sum(axis=-1).max(axis=0), rtol=1e-12)
    found = coverage.all_policy_concentrability(moves, start, data)
    singles = [coverage.concentrability(v, data) for v in visits]
    np.testing.assert_allclose(found, max(singles), rtol=1e-12)
    # The best data for all policies at once go where each can be led: that is coverability.
    best = np.repeat(reached[..., None], env.num_actions, axis=-1)
    best /= best.sum(axis=(1, 2), keepdims=True)
    cover = exact.coverability(moves, start)
    np.testing.assert_allclose(
        coverage.all_policy_concentrability(moves, start, best), cover, rtol=1e-12
    )
    assert found >= cover - 1e-12


# ---- over features -------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_feature_coverage(seed):
    env, visits, data = drawn(seed, states=4, actions=3)
    found = coverage.feature_coverage(env.features, visits, data)
    moments = [coverage.second_moments(env.features, x) for x in (visits, data)]
    reference = [
        scipy.linalg.eigh(above, below, eigvals_only=True)[-1]
        for above, below in zip(moments[0][1:], moments[1][1:], strict=True)
    ]  # at stage 0 there are three pairs, so features may be close to dependent
    np.testing.assert_allclose(found[1:], reference, rtol=1e-6)
    ratios = coverage.concentrability(visits, data)
    assert found.max() <= ratios * (1 + 1e-6)
    w = np.random.default_rng(seed).standard_normal((50, 3))
    squares = (env.features @ w.T) ** 2
    above, below = (np.einsum("hsa,saw->hw", x, squares) for x in (visits, data))
    assert np.all(above <= found[:, None] * below * (1 + 1e-6))


def test_feature_coverage_depends_on_the_span_only():
    env, visits, data = drawn(3, states=4, actions=3)
    change = np.random.default_rng(0).standard_normal((3, 3))
    np.testing.assert_allclose(
        coverage.feature_coverage(env.features @ change, visits, data),
        coverage.feature_coverage(env.features, visits, data),
        rtol=1e-6,
    )


def test_feature_coverage_of_a_table_is_concentrability():
    env, visits, data = drawn(4)
    one_hot = np.eye(4).reshape(2, 2, 4)
    stages = [coverage.concentrability(*pair) for pair in zip(visits, data, strict=True)]
    np.testing.assert_allclose(coverage.feature_coverage(one_hot, visits, data), stages)


def test_features_reach_what_data_miss():
    """Action 2 never came up; the features of the others span its own. Then one is taken away."""
    features = np.array([[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]])
    visits, data = np.array([[[0.0, 0.0, 1.0]]]), np.array([[[0.5, 0.5, 0.0]]])
    assert coverage.concentrability(visits, data) == np.inf
    # E_d: (0.6 v + 0.8 w)^2, of E_mu: (v^2 + w^2) / 2; the best is v, w along (0.6, 0.8).
    np.testing.assert_allclose(coverage.feature_coverage(features, visits, data), 2)
    alone = np.array([[[1.0, 0.0, 0.0]]])
    assert coverage.feature_coverage(features, visits, alone)[0] == np.inf
    np.testing.assert_allclose(coverage.feature_coverage(features, alone, alone), 1)


def test_least_eigenvalues():
    env = periodic_low_rank(10, 4, 3, 5)
    everywhere = np.full((5, 10, 4), 1 / 40)
    np.testing.assert_allclose(
        coverage.least_eigenvalues(env.features, everywhere), 0.07382, atol=5e-6
    )
    tree = depth_two_tree()
    assert np.all(coverage.least_eigenvalues(tree.features, np.full((2, 3, 2), 1 / 6)) > 0.166)
    assert coverage.least_eigenvalues(tree.features, np.eye(6).reshape(6, 3, 2)[:1])[0] == 0


# ---- partial coverage ----------------------------------------------------------------------


def test_partial_coverage_of_a_table():
    """One over the least chance of X."""
    one_hot, data = np.eye(4).reshape(2, 2, 4), np.array([[[0.5, 0.3], [0.2, 0.0]]])
    np.testing.assert_allclose(coverage.partial_coverage(one_hot, data), 5)
    part = np.array([[True, True], [False, False]])
    np.testing.assert_allclose(coverage.partial_coverage(one_hot, data, part), 1 / 0.3)
    np.testing.assert_allclose(coverage.partial_coverage(one_hot, data, part[None]), 1 / 0.3)
    assert coverage.partial_coverage(one_hot, data, ~np.zeros((2, 2), bool)) == np.inf


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_partial_coverage_is_no_less_than_the_dimension(seed):
    """Second moments have a trace of one at most, on any subspace."""
    env, _, data = drawn(seed, states=4, actions=3)
    part = np.random.default_rng(seed).random((4, 3)) < 0.3
    part[0, 0] = True
    rank = np.linalg.matrix_rank(env.features[part])
    assert coverage.partial_coverage(env.features, data, part) >= rank - 1e-9


@pytest.mark.parametrize("angle", [0.3, 1.0, np.pi / 2])
def test_best_partial_coverage_of_two_arms(angle):
    """Each half of the time: eigenvalues (1 +- cos angle) / 2."""
    low, high = coverage.best_partial_coverage(*arms(np.array([0.0, angle])), ALL, 1e-6)
    wanted = 2 / (1 - np.cos(angle))
    assert low * (1 - 1e-7) <= wanted <= high * (1 + 1e-7) and high / low < 1 + 1e-5


def test_best_partial_coverage_of_a_frame():
    """Three arms with 60 degrees between them: a third each makes E[x x^T] = I / 2."""
    part = np.ones((1, 3), bool)
    found = coverage.best_partial_coverage(*arms(np.arange(3) * np.pi / 3), part, 1e-6)
    np.testing.assert_allclose(found, 2, rtol=1e-5)


def test_best_partial_coverage_of_a_tree():
    """Four paths, a quarter of the episodes each: only a random policy takes them all."""
    tree = depth_two_tree()
    moves, _, start = coverage.exact_tables(tree)
    part = np.zeros((2, 3, 2), bool)
    part[0, 0] = part[1, 1:] = True
    np.testing.assert_allclose(
        coverage.best_partial_coverage(tree.features, moves, start, part), 4, rtol=1e-3
    )
    part[1, 1:] = [[True, False], [False, False]]
    np.testing.assert_allclose(
        coverage.best_partial_coverage(tree.features, moves, start, part), 2, rtol=1e-3
    )
    missed = coverage.best_partial_coverage(tree.features, moves, start, np.ones((3, 2), bool))
    assert missed == (np.inf, np.inf)


@pytest.mark.parametrize("seed", range(3))
def test_best_partial_coverage_is_below_that_of_policies(seed):
    env, _, _ = drawn(seed)
    moves, _, start = coverage.exact_tables(env)
    part = np.random.default_rng(seed).random((2, 2)) < 0.4
    part[0, 0] = True
    low, high = coverage.best_partial_coverage(env.features, moves, start, part)
    assert low <= high <= low * 1.0011
    assert low >= np.linalg.matrix_rank(env.features[part]) - 1e-6
    rng = np.random.default_rng(seed)
    for chances in rng.dirichlet(np.ones(2), (40, 3, 2)):
        visits = exact.occupancy(moves, start, chances)
        assert coverage.partial_coverage(env.features, visits, part) >= low * (1 - 1e-6)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (np.ones((2, 3), bool), r"bool \[2, 2\] or \[3, 2, 2\], got bool \[2, 3\]"),
        (np.ones((2, 2)), "got float64"),
        (np.zeros((2, 2), bool), "none at stage 0"),
    ],
)
def test_bad_parts(part, message):
    env, _, data = drawn(0)
    moves, _, start = coverage.exact_tables(env)
    with pytest.raises(ValueError, match=message):
        coverage.partial_coverage(env.features, data, part)
    with pytest.raises(ValueError, match=message):
        coverage.best_partial_coverage(env.features, moves, start, part)


# ---- of the model --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "bound"),
    [
        (river_swim(6, 3), 2.0),  # three states at most come next, of six
        (deep_sea(7), 7.0),
        (combination_lock(5, 4), 1.5),
        (hard_instance(4, 6, 1000), 1.0),  # a stage has two successors, and the goal
        (periodic_low_rank(10, 4, 3, 2), 1.0),
    ],
)
def test_rank_bound(env, bound):
    moves, _, _ = coverage.exact_tables(env)
    np.testing.assert_allclose(coverage.rank_bound(moves), bound)
    ranks = np.linalg.matrix_rank(moves.reshape(env.stages, -1, env.num_states))
    assert bound <= ranks.max() <= env.dimension


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_rank_bound_of_sparse_transitions(seed):
    rng = np.random.default_rng(seed)
    moves = rng.dirichlet(np.full(6, 0.2), (2, 6, 3))
    moves[moves < 0.2] = 0
    moves /= moves.sum(axis=-1, keepdims=True)
    env = tabular(moves, np.zeros((2, 6, 3)), np.eye(6)[0])
    found = coverage.rank_bound(coverage.exact_tables(env)[0])
    assert 1 <= found <= np.linalg.matrix_rank(moves.reshape(2, 18, 6)).max()


def test_exact_tables():
    env = periodic_low_rank(5, 3, 2, 4)
    moves, rewards, start = coverage.exact_tables(env)
    assert moves.dtype == rewards.dtype == start.dtype == np.float64
    np.testing.assert_allclose(moves.sum(axis=-1), 1, rtol=1e-15)
    np.testing.assert_allclose(moves, env.transitions, atol=1e-7)
    np.testing.assert_allclose(rewards, env.rewards, atol=1e-7)
