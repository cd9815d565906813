"""The softmax family on NVIDIA GPUs, Hopper and newer: Pallas kernels through Mosaic GPU.

`sums` reads every row once, in parts: a block of 128 threads keeps a pair (max, sum) for each of
`width` lanes, and what it has at the end goes to memory, where XLA folds lanes and parts. With the
division as one more expression of XLA that makes a softmax of 2 reads and 1 write. `softmax` keeps
a row in shared memory between its two passes: 1 read and 1 write.

Rows start at multiples of 16 bytes, so every load is of 16 bytes. The last tile of a row may lie
over the one before it; entries that were there already are left out.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from .monoids import MaxSum, absorb, fold_max_sum, no_max_sum, times
from .rows import Scale

THREADS = 128
DEPTH = 8  # tiles that are on their way at once: 16 KiB a block of threads
BLOCKS = 1056  # blocks of threads to aim at: 8 on each of 132 processors


def width(itemsize: int) -> int:
    """Lanes of a tile: 16 bytes a thread."""
    return THREADS * 16 // itemsize


def sums(x: jax.Array, scale: Scale) -> MaxSum:
    """The pair of every row of x [R, n], each [R, 1], reading x once."""
    rows, n = x.shape
    lanes = width(x.dtype.itemsize)
    tiles = -(-n // lanes)
    parts = max(1, min(-(-BLOCKS // rows), tiles // (4 * DEPTH)))
    each = -(-tiles // (parts * DEPTH)) * DEPTH  # tiles of a part
    parts = -(-tiles // each)

    def body(x_ref, *refs):
        (sign, size), (top_ref, total_ref) = _factors(refs[:-2], scale), refs[-2:]
        part = lax.axis_index("part")
        take = _loader(x_ref, n, sign, even=parts * each * lanes == n)

        def step(i, pairs):
            first = part * each + i * DEPTH
            return absorb(pairs, [take(first + k)[1] for k in range(DEPTH)], size)

        pairs = lax.fori_loop(0, each // DEPTH, step, _nothing(lanes, x.dtype.itemsize))
        row = lax.axis_index("row")
        top_ref[row, part], total_ref[row, part] = pairs.top, pairs.total

    lane_sums = jax.ShapeDtypeStruct((rows, parts, lanes), jnp.float32)
    found = plgpu.kernel(
        body,
        out_type=(lane_sums, lane_sums),
        grid=(rows, parts),
        grid_names=("row", "part"),
        # Nothing is written that is read again, so no load or store has to wait for another.
        compiler_params=plgpu.CompilerParams(unsafe_no_auto_barriers=True),
    )(x, *_operands(scale, rows))
    flat = MaxSum(*(a.reshape(rows, parts * lanes) for a in found))
    return MaxSum(*(a[:, None] for a in fold_max_sum(flat, 1, _column(scale.size, rows))))


def softmax(x: jax.Array, scale: Scale) -> jax.Array:
    """The softmax of rows [R, n] that fit into shared memory."""
    rows, n = x.shape
    lanes = width(x.dtype.itemsize)
    steps = -(-n // (lanes * DEPTH))
    layout = _layout(lanes, x.dtype.itemsize)

    def body(x_ref, *refs):
        (sign, size), (y_ref, kept) = _factors(refs[:-2], scale), refs[-2:]
        row = lax.axis_index("row")
        take = _loader(x_ref, n, sign, even=steps * DEPTH * lanes == n)

        def gather(i, pairs):
            found = [take(i * DEPTH + k) for k in range(DEPTH)]
            for k, (raw, _) in enumerate(found):
                kept[i * DEPTH + k] = raw
            return absorb(pairs, [tile for _, tile in found], size)

        pairs = lax.fori_loop(0, steps, gather, _nothing(lanes, x.dtype.itemsize))
        top = jnp.max(pairs.top)
        total = jnp.sum(pairs.total * jnp.exp(times(pairs.top - top, size)))
        inverse = 1 / jnp.maximum(total, 1)

        def give(i, _):
            for k in range(DEPTH):
                raw = plgpu.layout_cast(kept[i * DEPTH + k], layout)  # what this thread has written
                z = raw.astype(jnp.float32)
                z = z if sign is None else sign * z
                y = jnp.exp(times(z - top, size)) * inverse
                start = jnp.minimum((i * DEPTH + k) * lanes, n - lanes)
                y_ref[row, pl.ds(start, lanes)] = y.astype(x.dtype)

        lax.fori_loop(0, steps, give, None)

    return plgpu.kernel(
        body,
        out_type=jax.ShapeDtypeStruct(x.shape, x.dtype),
        scratch_types=(plgpu.SMEM((steps * DEPTH, lanes), x.dtype),),
        grid=(rows,),
        grid_names=("row",),
    )(x, *_operands(scale, rows))


def counted(tile: jax.Array, lane: jax.Array, start: Any, index: Any) -> jax.Array:
    """The tile number `index` of a row, with -inf where a tile before it has the same entries: it
    was read from `start`, which is earlier than index x lanes where the row ends."""
    return jnp.where(lane + start >= index * tile.shape[0], tile, -jnp.inf)


def _loader(x_ref: Any, n: int, sign: Any, even: bool):
    """tile number -> (as it is in memory, what counts of it)."""
    row, lanes = lax.axis_index("row"), width(x_ref.dtype.itemsize)
    layout = _layout(lanes, x_ref.dtype.itemsize)
    lane = None if even else plgpu.broadcasted_iota(jnp.int32, (lanes,), 0, layout=layout)

    def take(index):
        start = index * lanes if even else jnp.minimum(index * lanes, n - lanes)
        raw = plgpu.layout_cast(x_ref[row, pl.ds(start, lanes)], layout)
        tile = raw.astype(jnp.float32)
        tile = tile if sign is None else sign * tile
        return raw, tile if lane is None else counted(tile, lane, start, index)

    return take


def _layout(lanes: int, itemsize: int) -> Any:
    return plgpu.Layout.WG_STRIDED((lanes,), vec_size=16 // itemsize)


def _nothing(lanes: int, itemsize: int) -> MaxSum:
    layout = _layout(lanes, itemsize)
    return MaxSum(*(plgpu.layout_cast(a, layout) for a in no_max_sum((lanes,))))


def _operands(scale: Scale, rows: int) -> list[jax.Array]:
    """Sign and size of every row, of those that there are."""
    return [_column(a, rows)[:, 0] for a in scale if a is not None]


def _factors(refs: Any, scale: Scale) -> tuple[Any, Any]:
    """Sign and size of this row, as numbers."""
    row, refs = lax.axis_index("row"), list(refs)
    return tuple(None if a is None else refs.pop(0)[row] for a in scale)  # pyright: ignore


def _column(a: Any, rows: int) -> Any:
    return None if a is None else jnp.broadcast_to(a.astype(jnp.float32), (rows, 1))
