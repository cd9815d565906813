"""Successive over-relaxation on a grid: how many sweeps until the residual is small.

A sweep solves M d = r with M = D / omega + L (D the diagonal, L what is strictly below it), moves x
by d and computes the residual anew. In its natural order point (i, j) waits for (i - 1, j) and
(i, j - 1): 2 side - 1 steps, one diagonal after the other. But the next sweep can set off two steps
behind. So at step s all points with i + j = s (mod 2) are updated at once, each in a sweep of its
own, the points of the even diagonals and those of the odd ones in turn. With g the residual that a
point meets when its turn comes,

    g(s) = (1 - omega) g(s - 2) + (omega coupling / diagonal) * (sum of the neighbours' g(s - 1)),

into which b enters when the first sweep comes by: nothing but g is kept. The residual after
the sweep is (1 - omega) g + (omega coupling / diagonal) (g of the neighbours that come later), and
its squares are added up along the way of the sweep. All this is exact algebra: the numbers are
those of x += M^-1 (b - A x) but for rounding, which here is relative to the residual and not to b.

Lanes (problems) are on the last axis; float64 throughout, enabled locally: at 1e-8 the residuals
of float32 never get there.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.lanes import over_lanes
from .grids import Grid

LANES = 64  # problems at a time: their state stays in the cache, and few wait for the last
MOST = 10_000  # iterations after which all solvers here give up
TOLERANCE = 1e-8


def sor(
    grid: Grid,
    diagonal: jax.Array,
    coupling: jax.Array,
    b: jax.Array,
    omega: jax.Array,
    *,
    order: str = "natural",
    tolerance: float = TOLERANCE,
    most: int = MOST,
) -> jax.Array:
    """Sweeps of SOR from x = 0 until |b - A x| < tolerance |b| (2-norms): the first such sweep, at
    least 1; `most` where there is none by then. int32 [].

    Args:
      grid, diagonal, coupling: the matrix, see `grids`.
      b: right-hand side in the natural order [n]; omega: relaxation parameter in (0, 2).
      order: "natural", or "red-black": all even points, then all odd ones. The spectral radius is
        the same, the transients are not.

    `vmap` over any of the array arguments: problems run in blocks of lanes, each until its last
    one is done, so put those of similar cost side by side.
    """
    if order not in ("natural", "red-black"):
        raise ValueError(f'sor: order is "natural" or "red-black", got {order!r}')
    solve = _natural if order == "natural" else _red_black
    run = over_lanes(partial(solve, grid, tolerance, most), LANES)
    return run(*(jnp.asarray(x) for x in (diagonal, coupling, b, omega)))


class _Layout(NamedTuple):
    """The points in one row of cells, row of the grid after row, an odd number of cells each, at
    least one of them empty. The points whose i + j is even are then every other cell; `half` of
    the cells are theirs. Arrays are kept by halves, with `pad` empty cells at both ends."""

    cells: np.ndarray  # of the points in natural order [n]
    half: int
    pad: int
    inside: tuple[np.ndarray, np.ndarray]  # 1.0 on the region [half, 1]
    square: tuple[np.ndarray, np.ndarray]  # 1.0 on the whole square
    last: tuple[np.ndarray, np.ndarray]  # 1.0 on its last column
    diagonal: tuple[np.ndarray, np.ndarray]  # i + j


@lru_cache
def _layout(grid: Grid) -> _Layout:
    side = grid.side
    width = side + 1 + side % 2
    count = side * width + (side * width) % 2
    row, column = np.divmod(np.arange(count), width)
    square = (row < side) & (column < side)
    inside = np.zeros(count, bool)
    i, j = grid.points
    cells = i * width + j
    inside[cells] = True

    def halves(x):
        x = x.astype(np.float64)[:, None]
        return x[0::2], x[1::2]

    last = square & (column == side - 1)
    parts = (halves(x) for x in (inside, square, last, row + column))
    return _Layout(cells, count // 2, (width + 1) // 2, *parts)


def _neighbours(layout: _Layout, parity: int, other: jax.Array):
    """Values at the right, left, lower and upper neighbours of the points of one parity; `other`
    has those of the other one."""
    near, far = layout.pad - 1, layout.pad  # half the width, rounded down and up
    offsets = (0, -1, near, -far) if parity == 0 else (1, 0, far, -near)
    return (other[layout.pad + s :][: layout.half] for s in offsets)


def _own(layout: _Layout, x: jax.Array) -> jax.Array:
    return x[layout.pad :][: layout.half]


def _put(layout: _Layout, old: jax.Array, new: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice(old, new, (layout.pad, 0))


def _prepare(layout: _Layout, diagonal, coupling, b, omega):
    """In float64: 1 - omega, omega coupling / diagonal, b by halves, |b|^2, and empty halves."""
    diagonal, coupling, b, omega = (
        jnp.asarray(x, jnp.float64) for x in (diagonal, coupling, b, omega)
    )
    cells = jnp.zeros((2 * layout.half, b.shape[-1])).at[layout.cells].set(b)
    empty = jnp.zeros((layout.half + 2 * layout.pad, b.shape[-1]))
    halves = cells[0::2], cells[1::2]
    return 1 - omega, omega * coupling / diagonal, halves, jnp.sum(b * b, axis=0), empty


def _natural(grid, tolerance, most, diagonal, coupling, b, omega):
    layout, delay = _layout(grid), grid.side - 1
    end = layout.pad + delay * layout.pad  # where a sweep ends: the last point of the square
    with jax.enable_x64(True):
        keep, pull, halves, size, empty = _prepare(layout, diagonal, coupling, b, omega)

        def update(parity, step, own, other, entering):
            """g of the points of one parity at a step."""
            right, left, down, up = _neighbours(layout, parity, other)
            new = keep * _own(layout, own) + pull * (left + up + (right + down))
            if entering:
                new = new + jnp.where(layout.diagonal[parity] == step, halves[parity], 0)
            return _put(layout, own, new * layout.inside[parity])

        def add_up(parity, own, later, before, along):
            """Sums of squared residuals along the way of each sweep: within a row from the left,
            in the last column from above. `later` came one step after `own`."""
            right, _, down, _ = _neighbours(layout, parity, later)
            residual = (keep * _own(layout, own) + pull * (right + down)) * layout.inside[parity]
            _, left, _, up = _neighbours(layout, parity, before)
            total = residual * residual + left + layout.last[parity] * up
            return _put(layout, along, total * layout.square[parity])

        def sweep(carry, entering):
            number, even, odd, even_sum, odd_sum, count = carry
            step = (2 * number).astype(jnp.float64)
            even = update(0, step, even, odd, entering)
            odd_sum = add_up(1, odd, even, even_sum, odd_sum)
            odd = update(1, step + 1, odd, even, entering)
            even_sum = add_up(0, even, odd, odd_sum, even_sum)
            number = number + 1
            done = (even_sum[end] < tolerance**2 * size) & (count == 0) & (number > delay)
            count = jnp.where(done, number - delay, count)
            return number, even, odd, even_sum, odd_sum, count

        zero = jnp.zeros(size.shape, jnp.int32)
        carry = jnp.int32(0), empty, empty, empty, empty, zero
        carry = jax.lax.fori_loop(0, grid.side, lambda _, c: sweep(c, True), carry)
        carry = jax.lax.while_loop(
            lambda c: jnp.any(c[-1] == 0) & (c[0] < most + delay), lambda c: sweep(c, False), carry
        )
    return jnp.where(carry[-1] == 0, jnp.int32(most), carry[-1])


def _red_black(grid, tolerance, most, diagonal, coupling, b, omega):
    layout = _layout(grid)
    with jax.enable_x64(True):
        keep, pull, halves, size, empty = _prepare(layout, diagonal, coupling, b, omega)

        def update(parity, own, other, entering):
            near = sum(_neighbours(layout, parity, other))
            new = keep * _own(layout, own) + pull * near + (halves[parity] if entering else 0)
            return _put(layout, own, new * layout.inside[parity])

        def sweep(carry, entering=False):
            number, even, odd, count = carry
            even = update(0, even, odd, entering)
            odd = update(1, odd, even, entering)
            late = keep * _own(layout, even) + pull * sum(_neighbours(layout, 0, odd))
            early = keep * _own(layout, odd)
            rest = jnp.sum((late * layout.inside[0]) ** 2, axis=0) + jnp.sum(early**2, axis=0)
            number = number + 1
            done = (rest < tolerance**2 * size) & (count == 0)
            return number, even, odd, jnp.where(done, number, count)

        zero = jnp.zeros(size.shape, jnp.int32)
        carry = sweep((jnp.int32(0), empty, empty, zero), entering=True)
        carry = jax.lax.while_loop(
            lambda c: jnp.any(c[-1] == 0) & (c[0] < most), lambda c: sweep(c), carry
        )
    return jnp.where(carry[-1] == 0, jnp.int32(most), carry[-1])
