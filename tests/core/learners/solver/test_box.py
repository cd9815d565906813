"""Least squares in a box against NumPy and SciPy, on problems that are close to singular."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev
from scipy.optimize import lsq_linear

from regrax.core.learners.solver import box

M, LANES, MOST = 6, 60, 40
BOUNDS = np.array([100, *(200 / np.arange(1, M))])
RIDGE = box.RIDGE * np.eye(M)


def problems():
    """Rows [MOST, M + 1, LANES]: 1 to 40 rounds of polynomials on a part of their interval, down to
    a hundredth of it; rows beyond are 0."""
    rng, rows = np.random.default_rng(5), np.zeros((MOST, M + 1, LANES))
    for lane in range(LANES):
        number, width = rng.integers(1, MOST + 1), 10 ** rng.uniform(-2, 0)
        x = -1 + rng.uniform(0, 1) + width * rng.beta(2, 6, number)
        scale = 10 ** rng.uniform(-3, 2)
        y = scale * (1 + np.exp(-3 * (x + 1))) * (1 + 0.1 * rng.normal(size=number))
        rows[:number, :M, lane], rows[:number, M, lane] = chebyshev.chebvander(x, M - 1), y
    return rows


@jax.jit
def factorise(rows):
    def one(carry, row):
        factor, left = box.rotate_in(carry[0], row)
        return (factor, carry[1] + left * left), None

    eye = jnp.tile(box.RIDGE * jnp.eye(M, M + 1)[..., None], (1, 1, rows.shape[-1]))
    return jax.lax.scan(one, (eye, jnp.zeros(rows.shape[-1])), rows)[0]


def test_fits_are_those_of_lstsq_and_lsq_linear():
    rows, fit = problems(), jax.jit(box.box_fit)
    bounds = np.tile(BOUNDS[:, None], (1, LANES))
    with jax.enable_x64(True):
        factor, rest = factorise(rows)
        free = np.asarray(jax.jit(box.free_fit)(factor))
        cold = fit(factor, bounds, np.zeros_like(bounds))
        warm = np.asarray(fit(factor, bounds, cold[0])[0])
        x, squares, outside = map(np.asarray, cold)
        rest = np.asarray(rest)
    points = chebyshev.chebvander(np.linspace(-1, 1, 30), M - 1)
    for lane in range(LANES):
        features = np.vstack([rows[:, :M, lane], RIDGE])
        y = np.append(rows[:, M, lane], np.zeros(M))
        # As many digits as the problem has: a condition of 10^6 and more loses as many.
        expected = np.linalg.lstsq(features, y, rcond=None)[0]
        digits = 1e-15 * np.linalg.cond(features) * np.max(np.abs(expected))
        np.testing.assert_allclose(points @ free[:, lane], points @ expected, atol=100 * digits)
        assert outside[lane] == np.any(np.abs(expected) > BOUNDS)
        if outside[lane]:
            expected = lsq_linear(features, y, (-BOUNDS, BOUNDS), "bvls", 1e-15, max_iter=500).x
        near = 1e-6 * np.max(np.abs(points @ expected))
        np.testing.assert_allclose(points @ x[:, lane], points @ expected, rtol=0, atol=near)
        np.testing.assert_allclose(points @ warm[:, lane], points @ expected, rtol=0, atol=near)
        least = np.sum((features @ expected - y) ** 2)
        np.testing.assert_allclose(rest[lane] + squares[lane], least, rtol=1e-9, atol=1e-9)
    assert 5 < np.sum(outside) < LANES - 5


def test_a_box_without_inside_holds_its_unknowns():
    with jax.enable_x64(True):
        factor, _ = factorise(problems())
        bounds = np.zeros((M, LANES))
        bounds[0] = 1e9
        x, _, outside = jax.jit(box.box_fit)(factor, bounds, np.zeros_like(bounds))
    means = problems()[:, M].sum(axis=0) / problems()[:, 0].sum(axis=0)
    np.testing.assert_allclose(x, [means, *np.zeros((M - 1, LANES))], rtol=1e-9)
    assert np.all(outside)


def test_one_unknown_is_cut_off_at_the_bound():
    """min (2 x - z)^2 for |x| <= 1: z / 2, or the bound."""
    target = np.array([[1.0, 3.0, -5.0]])
    factor = np.concatenate([np.full((1, 1, 3), 2.0), target[:, None]], axis=1)
    with jax.enable_x64(True):
        x, squares, outside = box.box_fit(factor, np.ones((1, 3)), np.zeros((1, 3)))
    np.testing.assert_allclose(x, [[0.5, 1, -1]])
    np.testing.assert_allclose(squares, [0, 1, 9], atol=1e-12)
    np.testing.assert_array_equal(outside, [False, True, True])
