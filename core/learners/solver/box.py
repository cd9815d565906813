"""Least squares in a box from a triangular factor, for a few unknowns and many lanes.

A problem min sum_s (<f_s, x> - y_s)^2 is kept as F = [R | z], m x (m + 1): R is upper triangular
and R^T R, R^T z, and the squares that no x can explain are all that the data say. Rows are rotated
in one by one. Unlike normal equations, whose digits are lost twice as fast, R shows singular values
down to 1e-16 of the largest one: sums of squares of six Chebyshev polynomials on a short interval
need that. R starts from RIDGE times the identity, so there is always exactly one solution; where
the data leave more than one it is, but for order RIDGE, the one of least norm.

Functions of lanes (`core.lanes`), in float64: call them where 64 bits are enabled.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ...lanes import while_any

RIDGE = 1e-6  # squared it is added to the squares of the data: a number of rows of order one
_STEPS = 60  # of the active set; three to ten are usual
_ROUNDING = 16 * float(np.finfo(np.float64).eps)


def rotate_in(factor: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One more row of data, by Givens rotations.

    Args:
      factor: [m, m + 1, B], with a positive diagonal.
      row: [m + 1, B], features and target.

    Returns:
      The factor, and what is left of the target [B]: its square adds to the least sum of squares.
    """

    def rotate(row, now):
        above, here = now
        a, b = (jnp.sum(jnp.where(here[:, None], x, 0), axis=0) for x in (above, row))
        length = jnp.sqrt(a * a + b * b)
        cosine, sine = a / length, b / length
        return cosine * row - sine * above, cosine * above + sine * row

    m = len(factor)
    row, factor = jax.lax.scan(rotate, row, (factor, np.eye(m, m + 1, dtype=bool)))
    return factor, row[m]


def free_fit(factor: jax.Array) -> jax.Array:
    """The least-squares solution [m, B] of a factor [m, m + 1, B]."""
    m = len(factor)
    shifted = [jnp.pad(factor[j, j:m], [(0, j), (0, 0)]) for j in range(m)]
    return _back_substitute(jnp.stack(shifted), factor[:, m])


def box_fit(
    factor: jax.Array, bounds: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The least-squares solution with |x_j| <= bounds_j.

    Stark and Parker, "Bounded-variable least-squares: an algorithm and applications",
    Computational Statistics 10, 1995: unknowns on their bounds are held there while the others are
    solved for; a solution outside the box is gone towards as far as the box allows, which holds one
    more; at a solution inside, the one that is held back hardest is let go. The squares fall in
    every step, so no set of held unknowns comes twice, and the last one is exact. Lanes whose free
    solution is in the box take no step, and few are needed from the solution before the last row.

    Args:
      factor: [m, m + 1, B].
      bounds: [m, B], zero or more.
      start: [m, B], a point in the box.

    Returns:
      The solution [m, B]; what it leaves of the squares [B], beyond what no solution explains; and
      whether the free solution was outside the box [B].
    """
    free = free_fit(factor)
    outside = jnp.any(jnp.abs(free) > bounds, axis=0)
    matrix, target = factor[:, :-1], factor[:, -1]
    slack = _ROUNDING * jnp.sqrt(
        jnp.sum(matrix * matrix, axis=0) * jnp.sum(target * target, axis=0)
    )

    def going(state):
        return state[2]

    def step(state):
        x, held, _, count = state
        goal = jnp.where(held, x, _solve_among(factor, x, held))
        over = jnp.abs(goal) > bounds
        edge = jnp.where(goal > 0, bounds, -bounds)
        part = jnp.where(over, (edge - x) / jnp.where(over, goal - x, 1), 1)
        reach = jnp.clip(jnp.min(part, axis=0), 0, 1)
        inside = ~jnp.any(over, axis=0)
        hit = over & (part <= reach)
        x = jnp.where(hit, edge, jnp.clip(x + reach * (goal - x), -bounds, bounds))
        x = jnp.where(inside, goal, x)
        back = jnp.where(held, jnp.sign(x) * _gradient(matrix, x, target) - slack, 0)
        hardest = jnp.max(back, axis=0)
        loose = inside & (back == hardest) & (hardest > 0)
        more = ~inside | (hardest > 0)
        return x, (held | hit) & ~loose, more & (count < _STEPS), count + 1

    count = jnp.zeros(outside.shape, jnp.int32)
    x = while_any(going, step, (start, jnp.abs(start) >= bounds, outside, count))[0]
    x = jnp.where(outside, x, free)
    rest = _times(matrix, x) - target
    return x, jnp.sum(rest * rest, axis=0), outside


def _solve_among(factor, x, held):
    """The least-squares solution [m, B] over the unknowns that are not held; the others count 0.

    By modified Gram-Schmidt on the columns, the target among them, which is as stable as
    Householder's method for least squares (Bjorck, BIT 7, 1967).
    """
    m = len(factor)
    matrix, target = factor[:, :m], factor[:, m] - _times(factor[:, :m], jnp.where(held, x, 0))

    def project(carry, held):
        columns, target = carry
        square = jnp.sum(columns[0] * columns[0], axis=0)
        unit = columns[0] * jax.lax.rsqrt(jnp.where(held, 1, square))
        shares = jnp.sum(unit * columns, axis=1)
        share = jnp.sum(unit * target, axis=0)
        rest = (columns - shares[:, None] * unit)[1:]
        row = jnp.concatenate([jnp.sqrt(square)[None] + held, shares[1:]])
        columns = jnp.concatenate([rest, jnp.zeros_like(columns[:1])])
        return (columns, target - share * unit), (row, share)

    columns = jnp.where(held[:, None], 0, jnp.moveaxis(matrix, 1, 0))
    return _back_substitute(*jax.lax.scan(project, (columns, target), held)[1])


def _back_substitute(rows, target):
    """Solve R x = z: rows[j] holds R[j, j:], then zeros, and target[j] z[j]; lanes last."""

    def solve(later, now):
        row, known = now
        x = (known - jnp.sum(row[1:] * later[:-1], axis=0)) / row[0]
        return jnp.concatenate([x[None], later[:-1]]), None

    return jax.lax.scan(solve, jnp.zeros_like(target), (rows, target), reverse=True)[0]


def _times(matrix, x):
    return jnp.sum(matrix * x, axis=1)


def _gradient(matrix, x, target):
    return jnp.sum(matrix * (_times(matrix, x) - target)[:, None], axis=0)
