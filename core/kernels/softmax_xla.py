"""The softmax family as XLA compiles it: many rows in one expression, few long ones in passes.

XLA for CPUs turns a softmax of thousands of rows into one kernel that reads and writes once; of
fewer rows it moves each entry five times or more (the maximum; exponentials read and written; their
sum; quotients read and written). Two passes move it three times: the first holds a pair (max, sum)
for each of some 32,768 lanes and reads 16 entries for each at a time, so everything in its loop is
elementwise and XLA makes one loop of it, without a buffer for what it reads; the second is one
expression. An online softmax, Milakov and Gimelshein 2018 (arXiv 1805.02867); two passes, Dukhan
and Ablavatski 2020 (arXiv 2001.04438).

On a CPU the fresh memory of a large result costs more than all of that, so for a fresh result
XLA's own plan (`fresh`) is no slower than two passes. A result in the memory of x is another
matter: what moves entries three times, or six, takes less than half the time.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .monoids import MaxSum, absorb, fold_max_sum, max_sum, merge_max_sum, no_max_sum, times
from .rows import Scale, sums_dtype, turned

FEW = 2**15  # entries in all below which launches are what costs
MANY = 4096  # rows from which XLA makes one kernel of a softmax
LONG = 2**23  # entries of a row from which two passes in place are quicker than XLA's
LONG_SUMS = 2**16  # entries of a row from which the first pass is quicker than XLA's own plan
LARGE = 2**24  # bytes in all from which passes over memory are what costs
LANES = 2**15  # pairs that are kept at once: 256 KiB of float32
DEPTH = 16  # entries that a lane takes in at a time


def two_passes(n: int, itemsize: int) -> bool:
    """Whether a softmax of rows of n in the place of x is best made in two passes on a CPU."""
    return itemsize >= 4 and n >= LONG


def one_read(rows: int, n: int, itemsize: int) -> bool:
    """Whether the sums of rows of n are best made in lanes on a CPU."""
    return itemsize >= 4 and n >= LONG_SUMS and rows * n * itemsize >= LARGE


def sums(x: jax.Array, where: Any, scale: Scale, axis: int = -1) -> MaxSum:
    """The pair of every row, its axis kept, in one expression."""
    return max_sum(turned(x, where, scale), axis, scale.size, keepdims=True)


def quotients(x: jax.Array, where: Any, scale: Scale, pairs: MaxSum) -> jax.Array:
    """exp(c x) / sum, from pairs that broadcast to x; zeros in rows that are empty."""
    gaps, pairs = _gaps(x, where, scale, pairs)
    inverse = 1 / jnp.maximum(pairs.total, 1)  # 1 at least, or 0 in an empty row
    return (jnp.exp(times(gaps, scale.size)) * inverse).astype(x.dtype)


def logarithms(x: jax.Array, where: Any, scale: Scale, pairs: MaxSum) -> jax.Array:
    """log of the same; -inf throughout rows that are empty."""
    gaps, pairs = _gaps(x, where, scale, pairs)
    found = times(gaps, scale.size) - jnp.log(jnp.maximum(pairs.total, 1))
    return found.astype(x.dtype)


def _gaps(x, where, scale, pairs):
    """How far entries are below the top, and the pairs once more."""
    if x.dtype.itemsize < 4 and pairs.top.size < MANY:
        # Else XLA keeps a float32 array of x for both passes. Of many rows it makes one kernel and
        # keeps none; from jax 0.11 on, only if nothing stands between the two.
        x, pairs = lax.optimization_barrier((x, pairs))
    return turned(x, where, scale).astype(pairs.top.dtype) - pairs.top, pairs


def softmax_at_once(x: jax.Array, where: Any, scale: Scale, axis: int = -1) -> jax.Array:
    """The softmax in the expression that XLA knows to make one kernel of, and else works through
    in place where it can."""
    if x.dtype.itemsize < 4:  # exponentials are not kept: they would be twice as large as x
        return quotients(x, where, scale, sums(x, where, scale, axis))
    z = turned(x, where, scale)
    top = jnp.max(z, axis=axis, keepdims=True, initial=jnp.finfo(z.dtype).min)
    weights = jnp.exp(times(z - top, scale.size))
    total = jnp.sum(weights, axis=axis, keepdims=True)  # 1 at least, or 0 in an empty row
    return weights / jnp.maximum(total, 1)


def fresh(x: jax.Array, where: Any, scale: Scale) -> jax.Array:
    """The softmax of a few long rows [R, n], by the plan that XLA for CPUs has for JAX's function.

    It hangs on the maximum being that of x and nothing else, -inf included, so that empty rows come
    out as NaN; they are looked for, in one more read of x, only where there is a NaN.
    """
    z = turned(x, where, scale).astype(sums_dtype(x.dtype))
    top = jnp.max(z, axis=-1, keepdims=True, initial=-jnp.inf)
    weights = jnp.exp(times(z - top, scale.size))
    total = jnp.sum(weights, axis=-1, keepdims=True)

    def empty():
        z = turned(x, where, scale)
        return jnp.max(z, axis=-1, keepdims=True, initial=-jnp.inf) == -jnp.inf

    nothing = lax.cond(jnp.any(jnp.isnan(total)), empty, lambda: jnp.zeros(total.shape, bool))
    return jnp.where(nothing, 0, weights / total).astype(x.dtype)


# ---- long rows -----------------------------------------------------------------------------


def sums_in_lanes(x: jax.Array, where: Any, scale: Scale) -> MaxSum:
    """The pair of every row of x [R, n], float32 or float64 and n >= DEPTH,
    each [R, 1], reading x once."""
    (rows, n), dtype = x.shape, sums_dtype(x.dtype)
    lanes, blocks = _cut(n)
    together = min(max(1, LANES // lanes), rows)  # rows in a step
    main = blocks * DEPTH * lanes

    def of_rows(first: Any) -> MaxSum:
        def part(array: Any, start: Any, width: int) -> jax.Array:
            if array.shape[1] == 1:
                start, width = 0, 1
            return lax.dynamic_slice(array, (first, start), (together, width))

        def tile(start, width):
            mask = None if where is None else part(where, start, width)
            sign = None if scale.sign is None else part(scale.sign, 0, 1)
            return turned(part(x, start, width), mask, Scale(sign))

        size = None if scale.size is None else part(scale.size, 0, 1)

        def step(block, pairs):
            begin = block * DEPTH * lanes
            return absorb(pairs, [tile(begin + k * lanes, lanes) for k in range(DEPTH)], size)

        pairs = lax.fori_loop(0, blocks, step, no_max_sum((together, lanes), dtype))
        found = fold_max_sum(pairs, 1, size)
        if main < n:
            found = merge_max_sum(found, max_sum(tile(main, n - main), 1, size), _column(size))
        return found

    if together == rows:
        return MaxSum(*(a[:, None] for a in of_rows(0)))

    def group(i, whole):
        first = jnp.minimum(i * together, rows - together)  # the last group may overlap
        return jax.tree.map(
            lambda w, part: lax.dynamic_update_slice(w, part, (first,)), whole, of_rows(first)
        )

    whole = no_max_sum((rows,), dtype)
    return MaxSum(*(a[:, None] for a in lax.fori_loop(0, -(-rows // together), group, whole)))


def _cut(n: int) -> tuple[int, int]:
    """Lanes and blocks of a row: blocks x DEPTH x lanes entries are its larger part, and few are
    left over. Lanes come in sixteens, as vectors of a processor do."""
    blocks = max(1, -(-n // (DEPTH * LANES)))
    lanes = n // (blocks * DEPTH)
    return lanes - lanes % 16 if lanes >= 16 else lanes, blocks


def _column(size: Any) -> Any:
    return None if size is None else size[:, 0]
