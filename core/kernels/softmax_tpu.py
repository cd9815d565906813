"""The softmax family on TPUs: Pallas kernels through Mosaic.

`sums` goes through a group of rows in blocks of columns and keeps a pair (max, sum) for each of 128
lanes; x is read once. `softmax` takes a group of whole rows at a time: 1 read and 1 write, where
XLA takes 4 passes over rows of any length.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .monoids import MaxSum, absorb, fold_max_sum, no_max_sum
from .rows import Scale, turned
from .softmax_xla import softmax_at_once

LANES = 128
TILES = 32  # of a block
DEPTH = 16  # tiles that a pair takes in at a time


def rows_together(dtype: Any) -> int:
    """Rows of a tile of memory: 8 of 4 bytes, 16 of 2."""
    return 32 // jnp.dtype(dtype).itemsize


def sums(x: jax.Array, scale: Scale, interpret: Any = False) -> MaxSum:
    """The pair of every row of x [R, n], each [R, 1], reading x once."""
    rows, n = x.shape
    together = rows_together(x.dtype)
    scale = Scale(*(None if a is None else _column(a, rows) for a in scale))
    flat = rows == 1 and n % (together * LANES) == 0
    if flat:  # the same bytes, in tiles that are full; else a single row fills one sublane of 8
        x = x.reshape(n // LANES, LANES)
    else:
        together = min(together, rows)
    axis, side = (0, together) if flat else (1, LANES)  # tiles lie along this axis
    length = x.shape[axis]
    block = min(TILES * side, length)
    steps, groups = pl.cdiv(length, block), 1 if flat else pl.cdiv(rows, together)

    def body(x_ref, *refs):
        (sign, size), (top_ref, total_ref) = _factors(refs[:-2], scale), refs[-2:]
        step = pl.program_id(1)

        @pl.when(step == 0)
        def _():
            top_ref[...], total_ref[...] = no_max_sum(top_ref.shape)

        def tile(start):
            stop = min(start + side, block)
            part = x_ref[start:stop, :] if flat else x_ref[:, start:stop]
            part = turned(part.astype(jnp.float32), None, Scale(sign))
            if length % block:  # the last block reaches over the end
                place = step * block + start + lax.broadcasted_iota(jnp.int32, part.shape, axis)
                part = jnp.where(place < length, part, -jnp.inf)
            return _filled(part)

        pairs = MaxSum(top_ref[...], total_ref[...])
        starts = range(0, block, side)
        for first in range(0, len(starts), DEPTH):
            pairs = absorb(pairs, [tile(start) for start in starts[first : first + DEPTH]], size)
        top_ref[...], total_ref[...] = pairs

    lanes = jax.ShapeDtypeStruct((together if flat else rows, LANES), jnp.float32)
    found = pl.pallas_call(
        body,
        out_shape=(lanes, lanes),
        grid=(groups, steps),
        in_specs=[
            pl.BlockSpec((block, LANES), lambda i, j: (j, 0))
            if flat
            else pl.BlockSpec((together, block), lambda i, j: (i, j)),
            *_specs(scale, 1 if flat else together, lambda i, j: (i, 0)),
        ],
        out_specs=[pl.BlockSpec((together, LANES), lambda i, j: (i, 0))] * 2,
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        interpret=interpret,
    )(x, *_operands(scale))
    of_rows = MaxSum(*(a.reshape(rows, -1) for a in found))
    return MaxSum(*(a[:, None] for a in fold_max_sum(of_rows, 1, scale.size)))


def softmax(x: jax.Array, scale: Scale, interpret: Any = False) -> jax.Array:
    """The softmax of rows [R, n], whole rows at a time."""
    rows, n = x.shape
    together = min(rows_together(x.dtype), rows)
    scale = Scale(*(None if a is None else _column(a, rows) for a in scale))

    def body(x_ref, *refs):
        sign, size = _factors(refs[:-1], scale)
        refs[-1][...] = softmax_at_once(
            x_ref[...].astype(jnp.float32), None, Scale(sign, size)
        ).astype(x.dtype)

    block = pl.BlockSpec((together, n), lambda i: (i, 0))
    return pl.pallas_call(
        body,
        out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype),
        grid=(pl.cdiv(rows, together),),
        in_specs=[block, *_specs(scale, together, lambda i: (i, 0))],
        out_specs=block,
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        interpret=interpret,
    )(x, *_operands(scale))


def _filled(tile: jax.Array) -> jax.Array:
    """A tile of fewer lanes with -inf in the others."""
    gap = LANES - tile.shape[1]
    if not gap:
        return tile
    rest = jnp.full((tile.shape[0], gap), -jnp.inf, tile.dtype)
    return jnp.concatenate([tile, rest], axis=1)


def _column(a: jax.Array, rows: int) -> jax.Array:
    return jnp.broadcast_to(a.astype(jnp.float32), (rows, 1))


def _operands(scale: Scale) -> list[jax.Array]:
    """Sign and size of every row, of those that there are."""
    return [a for a in scale if a is not None]


def _specs(scale: Scale, together: int, index: Any) -> list[Any]:
    return [pl.BlockSpec((together, 1), index) for _ in _operands(scale)]


def _factors(refs: Any, scale: Scale) -> tuple[Any, Any]:
    """Sign and size of the rows of a block."""
    refs = list(refs)
    return tuple(None if a is None else refs.pop(0)[...] for a in scale)  # pyright: ignore
