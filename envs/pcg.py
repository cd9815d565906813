"""Conjugate gradients on a grid, plain or preconditioned by SSOR, and stationary SSOR.

SSOR solves with D + omega L and with its transpose. Row after row of the grid, `side` + 1 cells
each (one of them empty), and the row cut into pieces of `side` cells: then the diagonals i + j =
const of the grid are the columns of the pieces, two of them in each, and a triangular solve runs
through the columns twice. The second time redoes the points of the first, with the same result.
Arrays are [columns, pieces, lanes]; the lanes (problems) are on the last axis; float64, enabled
locally.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.lanes import over_lanes
from .grids import Grid
from .sor import MOST, TOLERANCE

_LARGE, _STAGES = 50, 4  # from so many columns a sweep goes in stages, which cost compile time
_LANES = 16  # problems at a time: of 10^4 points each they fill the cache


def cg(
    grid: Grid,
    diagonal: jax.Array,
    coupling: jax.Array,
    b: jax.Array,
    start: jax.Array | None = None,
    *,
    tolerance: float = TOLERANCE,
    most: int = MOST,
) -> tuple[jax.Array, jax.Array]:
    """Iterations of conjugate gradients until |b - A x| <= tolerance |b|, int32 [], and x float64
    [n]. Arguments as in `ssor_pcg`."""
    return _conjugate_gradients(_no_sweep, grid, tolerance, most, diagonal, coupling, b, start)


def ssor_pcg(
    grid: Grid,
    diagonal: jax.Array,
    coupling: jax.Array,
    b: jax.Array,
    omega: jax.Array,
    start: jax.Array | None = None,
    *,
    tolerance: float = TOLERANCE,
    most: int = MOST,
) -> tuple[jax.Array, jax.Array]:
    """Iterations of conjugate gradients preconditioned by SSOR until |b - A x| <= tolerance |b|,
    int32 [], and x float64 [n].

    The preconditioner is X^T D^-1 X / (omega (2 - omega)) with X = D + omega L: the upper
    triangle is solved first, as in the authors' code of "Learning to relax" (the paper has the
    lower one first). The residual is the recurrence's; 0 iterations where the start will do.

    Args:
      grid, diagonal, coupling: the matrix, see `grids`.
      b: right-hand side in the natural order [n]; omega: relaxation parameter in (0, 2).
      start: where to begin [n]; 0 by default.

    `vmap` over any of the array arguments: problems run in blocks of lanes, each until its last
    one is done, so put those of similar cost side by side.
    """
    solve = (grid, tolerance, most, diagonal, coupling, b, start, omega)
    return _conjugate_gradients(_ssor, *solve)


def ssor(
    grid: Grid,
    diagonal: jax.Array,
    coupling: jax.Array,
    b: jax.Array,
    omega: jax.Array,
    *,
    tolerance: float = TOLERANCE,
    most: int = MOST,
) -> jax.Array:
    """Sweeps of stationary SSOR from x = 0, the lower triangle first, until |b - A x| <= tolerance
    (absolute, as in the paper), at least 1; `most` where there is none by then. int32 []."""
    run = over_lanes(partial(_stationary, grid, tolerance, most), _LANES)
    return run(*(jnp.asarray(x) for x in (diagonal, coupling, b, omega)))


class _Layout(NamedTuple):
    columns: np.ndarray  # where the points in natural order are [n]
    pieces: np.ndarray
    inside: np.ndarray  # 1.0 on the region [columns, pieces, 1]


@lru_cache
def _layout(grid: Grid) -> _Layout:
    side = grid.side
    i, j = grid.points
    pieces, columns = np.divmod(i * (side + 1) + j, side)
    inside = np.zeros((side, side + 2, 1))
    inside[columns, pieces] = 1
    return _Layout(columns, pieces, inside)


def _spread_out(layout: _Layout, x: jax.Array) -> jax.Array:
    """[n, lanes] -> [columns, pieces, lanes]."""
    empty = jnp.zeros((*layout.inside.shape[:2], x.shape[-1]), jnp.float64)
    return empty.at[layout.columns, layout.pieces].set(x.astype(jnp.float64))


def _multiply(layout: _Layout, diagonal, coupling, x):
    """A x."""
    around = jnp.pad(x, [(1, 1), (1, 1), (0, 0)])
    # Before the first column comes the last, a piece earlier, and the other way round.
    around = around.at[0, 2:-1].set(x[-1, :-1]).at[-1, 1:-2].set(x[0, 1:])
    near = around[2:, 1:-1] + around[2:, 2:] + around[:-2, 1:-1] + around[:-2, :-2]
    return (diagonal * x - coupling * near) * layout.inside


def _stages(columns: int) -> list[tuple[int, int]]:
    """Ranges of columns. The diagonal that begins in column c is in its first c + 1 pieces, the
    other one in the rest: so a range of columns up to `end` needs only the first `end` pieces of
    its columns the first time, and those after its first column's the second time."""
    stages = 1 if columns < _LARGE else _STAGES
    ends = [round(columns * i / stages) for i in range(stages + 1)]
    return list(zip(ends[:-1], ends[1:], strict=True))


def _lower(layout: _Layout, pull, x):
    """z with z = x + pull * (its left and its upper neighbour)."""
    columns, pieces, lanes = x.shape
    inside = jnp.asarray(layout.inside)

    def column(first, last, c, z):
        size = last - first
        near = jax.lax.dynamic_slice(z, (c, first, 0), (1, size + 1, lanes))  # column c - 1
        own = jax.lax.dynamic_slice(x, (c, first, 0), (1, size, lanes))
        mask = jax.lax.dynamic_slice(inside, (c, first, 0), (1, size, 1))
        new = (own + pull * (near[:, 1:] + near[:, :-1])) * mask
        return jax.lax.dynamic_update_slice(z, new, (c + 1, first + 1, 0))

    z = jnp.zeros((columns + 1, pieces + 1, lanes))
    for begin, end in _stages(columns):
        z = jax.lax.fori_loop(begin, end, partial(column, 0, end), z)
    z = z.at[0, 1:].set(z[-1, :-1])  # before the first column comes the last, a piece earlier
    for begin, end in _stages(columns):
        z = jax.lax.fori_loop(begin, end, partial(column, begin + 1, pieces), z)
    return z[1:, 1:]


def _upper(layout: _Layout, pull, x):
    """z with z = x + pull * (its right and its lower neighbour)."""
    columns, pieces, lanes = x.shape
    inside = jnp.asarray(layout.inside)

    def column(first, last, end, step, z):
        c, size = end - 1 - step, last - first
        near = jax.lax.dynamic_slice(z, (c + 1, first, 0), (1, size + 1, lanes))
        own = jax.lax.dynamic_slice(x, (c, first, 0), (1, size, lanes))
        mask = jax.lax.dynamic_slice(inside, (c, first, 0), (1, size, 1))
        new = (own + pull * (near[:, 1:] + near[:, :-1])) * mask
        return jax.lax.dynamic_update_slice(z, new, (c, first, 0))

    z = jnp.zeros((columns + 1, pieces + 1, lanes))
    for begin, end in reversed(_stages(columns)):
        z = jax.lax.fori_loop(0, end - begin, partial(column, begin + 1, pieces, end), z)
    z = z.at[-1, :-1].set(z[0, 1:])
    for begin, end in reversed(_stages(columns)):
        z = jax.lax.fori_loop(0, end - begin, partial(column, 0, end, end), z)
    return z[:-1, :-1]


def _no_sweep(layout: _Layout, diagonal, coupling, residual):
    return residual


def _ssor(layout: _Layout, diagonal, coupling, residual, omega):
    """omega (2 - omega) X^-1 D X^-T residual."""
    pull = omega * coupling / diagonal
    return omega * (2 - omega) / diagonal * _lower(layout, pull, _upper(layout, pull, residual))


def _dot(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum(x * y, axis=(0, 1))


def _conjugate_gradients(
    precondition: Callable[..., jax.Array], grid, tolerance, most, diagonal, coupling, b, start,
    *parameter,
):  # fmt: skip
    start = jnp.zeros_like(b) if start is None else start
    run = over_lanes(partial(_iterate, precondition, grid, tolerance, most), _LANES)
    return run(*(jnp.asarray(x) for x in (diagonal, coupling, b, start, *parameter)))


def _iterate(precondition, grid, tolerance, most, diagonal, coupling, b, start, *parameter):
    layout = _layout(grid)
    with jax.enable_x64(True):
        diagonal, coupling, *parameter = (
            x.astype(jnp.float64) for x in (diagonal, coupling, *parameter)
        )
        b, x = _spread_out(layout, b), _spread_out(layout, start)
        enough = _dot(b, b) * tolerance**2
        residual = b - _multiply(layout, diagonal, coupling, x)

        def iterate(carry):
            x, residual, direction, size, count, on = carry
            z = precondition(layout, diagonal, coupling, residual, *parameter)
            new_size = _dot(residual, z)
            direction = z + jnp.where(count == 0, 0, new_size / size) * direction
            image = _multiply(layout, diagonal, coupling, direction)
            step = jnp.where(on, new_size / _dot(direction, image), 0)
            x, residual = x + step * direction, residual - step * image
            count = count + on
            on = on & (_dot(residual, residual) > enough) & (count < most)
            return x, residual, direction, new_size, count, on

        one, none = jnp.ones(enough.shape), jnp.zeros(enough.shape, jnp.int32)
        on = _dot(residual, residual) > enough
        carry = x, residual, jnp.zeros_like(x), one, none, on
        x, *_, count, _ = jax.lax.while_loop(lambda carry: jnp.any(carry[-1]), iterate, carry)
        return count, x[layout.columns, layout.pieces]


def _stationary(grid, tolerance, most, diagonal, coupling, b, omega):
    layout = _layout(grid)
    with jax.enable_x64(True):
        diagonal, coupling, omega = (x.astype(jnp.float64) for x in (diagonal, coupling, omega))
        b, pull = _spread_out(layout, b), omega * coupling / diagonal
        weight = omega * (2 - omega) / diagonal

        def sweep(carry):
            number, x, residual, count = carry
            x = x + weight * _upper(layout, pull, _lower(layout, pull, residual))
            residual = b - _multiply(layout, diagonal, coupling, x)
            number = number + 1
            done = (_dot(residual, residual) <= tolerance**2) & (count == 0)
            return number, x, residual, jnp.where(done, number, count)

        zero = jnp.zeros(omega.shape, jnp.int32)
        carry = jnp.int32(0), jnp.zeros_like(b), b, zero
        *_, count = jax.lax.while_loop(lambda c: jnp.any(c[-1] == 0) & (c[0] < most), sweep, carry)
    return jnp.where(count == 0, jnp.int32(most), count)
