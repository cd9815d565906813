"""Bases of large determinant and optimal designs, against plain NumPy and closed forms."""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core.design import g_optimal, max_det
from regrax.core.xy_design import xy_optimal

from .reference_design import (
    d_optimal,
    features,
    greedy_and_swaps,
    largest_volume,
    norms,
    span,
    volume,
    xy_rho,
)

SHAPES = [(24, 2), (9, 4), (11, 10)]
SEEDS = 300


SLIDES = [[1, 4], [2, 5], [2, 6]]  # determinants 3, 2, 2
THIRDS = [[np.cos(k * np.pi / 3), np.sin(k * np.pi / 3)] for k in range(3)]


@cache
def _problems(num_arms, d):
    """The first two of shape (24, 2) are known ones of three arms."""
    rng = np.random.default_rng(num_arms)
    active = rng.random((SEEDS, num_arms)) < 0.8
    active[:, 0] = True
    x = features(num_arms, d, SEEDS, rng)
    if d == 2:
        x[:2, :3] = SLIDES, THIRDS
        active[:2] = np.arange(num_arms) < 3
    return x, active


@cache
def _basis(num_arms, d):
    x, active = _problems(num_arms, d)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(max_det))(x, active))


def test_max_det_of_three_vectors():
    basis = _basis(24, 2)
    assert sorted(basis.members[0].tolist()) == [0, 1]
    assert basis.rank[0] == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_max_det_spans_the_active_arms_with_small_coefficients(shape):
    x, active = _problems(*shape)
    basis = _basis(*shape)
    for i in range(SEEDS):
        rank = basis.rank[i]
        assert rank == np.linalg.matrix_rank(x[i][active[i]], tol=1e-4)
        members = basis.members[i][:rank]
        assert len(set(members.tolist())) == rank
        assert active[i][members].all()
        assert (basis.members[i][rank:] == 0).all()
        assert (basis.alphas[i][:, rank:] == 0).all()
        rebuilt = basis.alphas[i][:, :rank].astype(np.float64) @ x[i][members]
        np.testing.assert_allclose(rebuilt, x[i] * active[i][:, None], atol=2e-5)
        assert np.abs(basis.alphas[i]).max() <= 1 + 2e-4


def test_max_det_takes_the_steps_of_the_reference():
    x, active = _problems(9, 4)
    basis = _basis(9, 4)
    for i in range(0, SEEDS, 4):  # the normal ones, which have no ties
        if basis.rank[i] == 4:
            index = np.flatnonzero(active[i])
            assert basis.members[i].tolist() == index[greedy_and_swaps(x[i][index])].tolist()


def test_max_det_is_rarely_far_from_the_largest_determinant():
    x, active = _problems(9, 4)
    basis = _basis(9, 4)
    ratios = []
    for i in range(0, SEEDS, 4):
        best = largest_volume(x[i][active[i]].astype(np.float64), basis.rank[i])
        members = basis.members[i][: basis.rank[i]]
        ratios.append(volume(x[i][members].astype(np.float64)) / best)
    # The best collection has alphas of at most 1 in terms of this one: Hadamard's inequality.
    assert min(ratios) >= 4**-2
    assert np.mean(np.array(ratios) > 1 - 1e-4) > 0.8


@cache
def _g_design(num_arms, d):
    x, active = _problems(num_arms, d)
    solve = jax.jit(jax.vmap(partial(g_optimal, max_support=d * (d + 1) // 2)))
    return np.asarray(solve(x, active))


@pytest.mark.parametrize("shape", SHAPES)
def test_g_optimal_meets_the_equivalence_theorem(shape):
    (x, active), weights = _problems(*shape), _g_design(*shape)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert ((weights > 0).sum(axis=1) <= shape[1] * (shape[1] + 1) // 2).all()
    assert not weights[~active].any()
    for i in range(SEEDS):
        rank = span(x[i][active[i]]).shape[1]
        largest = norms(x[i], weights[i], x[i][active[i]]).max()
        assert largest <= rank * 1.003


def test_g_optimal_finds_the_largest_determinant():
    (x, active), weights = _problems(9, 4), _g_design(9, 4)
    for i in range(12):
        rows = x[i][active[i]].astype(np.float64)
        rows = rows @ span(rows)
        determinants = [
            np.linalg.slogdet(rows.T @ (w[:, None] * rows))[1]
            for w in (weights[i][active[i]].astype(np.float64), d_optimal(rows, 2_000))
        ]
        # A gap of 0.001 in norm is one of rank * 0.001 in the logarithm at most.
        assert determinants[0] >= determinants[1] - 4 * 0.0011


def test_g_optimal_of_thirds_of_a_half_circle():
    np.testing.assert_allclose(_g_design(24, 2)[1][:3], np.full(3, 1 / 3), atol=0.03)


def test_pruning_keeps_the_matrix():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(64, 40, 3)).astype(np.float32)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    active = np.ones((64, 40), bool)
    whole, pruned = (
        np.asarray(jax.jit(jax.vmap(partial(g_optimal, max_support=limit)))(x, active), np.float64)
        for limit in (None, 6)
    )
    assert ((whole > 0).sum(axis=1) > 6).any()
    assert ((pruned > 0).sum(axis=1) <= 6).all()
    before, after = (np.einsum("nk,nki,nkj->nij", w, x, x) for w in (whole, pruned))
    np.testing.assert_allclose(after, before, atol=2e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tolerance": 1e-6}, "1e-4 or more"), ({"max_support": 2}, "supported on 3 arms")],
)
def test_g_optimal_errors(options, message):
    with pytest.raises(ValueError, match=message):
        g_optimal(jnp.ones((4, 2)), jnp.ones(4, bool), **options)


@cache
def _xy(num_arms, d, seeds):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(seeds, num_arms, d)).astype(np.float32)
    among = rng.random((seeds, num_arms)) < 0.5
    among[:, :2] = True
    among[: seeds // 2, 2:] = False  # a single pair
    x[-2, 1], among[-2, 2:], among[-1] = x[-2, 0], False, np.arange(num_arms) == 3
    basis = jax.jit(jax.vmap(max_det))(x, np.ones_like(among))
    solve = jax.jit(jax.vmap(xy_optimal))
    design = solve(basis.alphas, basis.rank, among, np.ones(seeds, bool))
    return x, among, jax.tree.map(np.asarray, design)


def test_xy_optimal_of_a_pair_is_elfvings():
    from scipy.optimize import linprog

    x, _, design = _xy(8, 3, 20)
    for i in range(10):
        y = (x[i, 0] - x[i, 1]).astype(np.float64)
        columns = np.hstack([x[i].T, -x[i].T]).astype(np.float64)
        length = linprog(np.ones(16), A_eq=columns, b_eq=y).fun
        assert design.rho[i] == pytest.approx(length**2, rel=0.021)
        assert design.bound[i] <= length**2 * (1 + 1e-4)


def test_xy_optimal_against_cutting_planes():
    x, among, design = _xy(8, 3, 20)
    for i in range(10, 18):
        rho = xy_rho(x[i], np.flatnonzero(among[i]))
        assert rho / 1.004 <= design.rho[i] <= rho * 1.021
        assert design.bound[i] <= rho * (1 + 1e-4)
        rows = x[i][among[i]]
        differences = (rows[:, None] - rows).reshape(-1, 3)
        kept = np.abs(differences).sum(axis=1) > 0
        achieved = norms(x[i], design.weights[i], differences[kept]).max()
        assert achieved <= design.rho[i] * 1.002


def test_xy_optimal_of_equal_or_single_arms_is_even():
    design = _xy(8, 3, 20)[2]
    assert design.rho[-2:].tolist() == [0, 0]
    np.testing.assert_allclose(design.weights[-2:], np.full((2, 8), 1 / 8), rtol=1e-6)


def test_xy_optimal_error():
    with pytest.raises(ValueError, match="1e-3 or more"):
        xy_optimal(jnp.eye(2), jnp.int32(2), jnp.ones(2, bool), jnp.asarray(True), tolerance=1e-5)
