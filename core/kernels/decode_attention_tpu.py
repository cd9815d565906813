"""Decode attention on TPU, in Pallas (Mosaic).

A core goes through the grid in order, so equal shares buy nothing here; what counts is not to read
what does not count. The lengths are there before the grid starts: a block past the end of a
sequence is mapped to the last one that counts, which is in VMEM already, and skipped.

Caches with heads of 64 numbers are kept "BHDS", positions last: with 64 numbers last, XLA copies
all of the cache in front of the kernel. In "BSHD" the heads of a position lie together and are not
taken apart: every query meets the keys of every head, and those of the others are masked. The
matrix unit, idle otherwise, does `heads` times the work; memory is read once all the same.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from . import decode_cache as cache
from .attention_partials import Partials
from .decode_cache import Spec, Work

_BLOCK_BYTES = 2**20  # of keys: with the values, and the next block of both, a quarter of VMEM


def decode(spec: Spec, work: Work, interpret: Any = False) -> Partials:
    """(m, l, o) as `decode_attention_xla.plain` has it."""
    heads, page, features = cache.sizes(spec.layout, work.k)
    queries, table = work.pages.shape
    together = heads if spec.layout == "BSHD" else 1  # heads in one block
    steps = heads // together
    q = work.q.reshape(queries, steps, -1, features)
    rows = q.shape[2]
    tile = block(spec.layout, together, page, features, work.k.dtype)
    parts = -(-page // tile)  # tiles a page
    head_axis, position_axis, feature_axis = cache.LAYOUTS[spec.layout]

    def tiles_of(n, starts, stops):
        """The first and the last tile of a sequence that count; one tile where none does."""
        first, count = cache.tile_range(starts[n], stops[n], page, tile)
        return first, first + jnp.maximum(count, 1) - 1

    def of_cache(n, h, t, starts, stops, pages):
        t = jnp.clip(t, *tiles_of(n, starts, stops))
        at = [pages[n, jnp.minimum(t // parts, table - 1)], 0, 0, 0]
        at[position_axis], at[head_axis] = t % parts, h
        return tuple(at)

    def kernel(starts, stops, pages, q_ref, k_ref, v_ref, m_ref, l_ref, o_ref):
        n, t = pl.program_id(0), pl.program_id(2)

        @pl.when(t == 0)
        def _():
            m_ref[...] = jnp.full_like(m_ref, -jnp.inf)
            l_ref[...] = jnp.zeros_like(l_ref)
            o_ref[...] = jnp.zeros_like(o_ref)

        first, last = tiles_of(n, starts, stops)

        @pl.when((t >= first) & (t <= last) & (stops[n] > starts[n]))
        def _():
            if spec.layout == "BSHD":
                k, v = (x[0].reshape(tile * heads, features) for x in (k_ref, v_ref))
            else:
                k, v = k_ref[0, 0], v_ref[0, 0]
            begin = t // parts * page  # of the page, in the sequence
            bounds = starts[n] - begin, jnp.minimum(stops[n] - begin, page)
            sums = tuple(x[0, 0] for x in (m_ref, l_ref, o_ref))
            counts = partial(_counts, t % parts * tile, *bounds, rows, together)
            added = add(spec, counts, q_ref[0, 0], k, v, *sums)
            m_ref[0, 0], l_ref[0, 0], o_ref[0, 0] = added

    def of_query(width):
        return pl.BlockSpec((1, 1, rows, width), lambda n, h, *_: (n, h, 0, 0))

    shape = [1, 1, 1, 1]
    shape[head_axis], shape[position_axis], shape[feature_axis] = together, tile, features
    kept = pl.BlockSpec(tuple(shape), of_cache)
    sums = pl.pallas_call(
        kernel,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=3,
            grid=(queries, steps, table * parts),
            in_specs=[of_query(features), kept, kept],
            out_specs=[of_query(1), of_query(1), of_query(features)],
        ),
        out_shape=[
            jax.ShapeDtypeStruct((queries, steps, rows, width), jnp.float32)
            for width in (1, 1, features)
        ],
        interpret=interpret,
    )(work.starts, work.stops, work.pages, q, work.k, work.v)
    m, l, o = (x.reshape(*work.q.shape[:3], -1) for x in sums)  # noqa: E741
    return Partials(m[..., 0], l[..., 0], o)


def block(layout: str, heads: int, page: int, features: int, dtype: Any) -> int:
    """Positions of a page in VMEM at once: whole pages, or a power of two up to 1024, from what
    the last or the last but one axis of a block must be a multiple of."""
    positions = max(1, _BLOCK_BYTES // (heads * features * jnp.dtype(dtype).itemsize))
    least = 128 if layout == "BHDS" else 16
    return min(page, max(least, min(1024, 1 << (positions.bit_length() - 1))))


def supports(layout: str, heads: int, page: int, features: int, dtype: Any) -> str:
    """Why the kernel cannot do it; "" where it can."""
    if jnp.dtype(dtype) not in (jnp.float32, jnp.bfloat16):
        return f"the kernel takes float32 and bfloat16, not {jnp.dtype(dtype)}"
    if layout != "BHDS" and features % 128:
        return f'heads of {features}: XLA would copy the cache; keep it in the layout "BHDS"'
    if layout == "BHDS" and (features % 16 or page % 128):
        return "BHDS needs pages of a multiple of 128 positions and heads of a multiple of 16"
    if layout == "BHSD" and page % 16:
        return "BHSD needs pages of a multiple of 16 positions"
    if layout == "BSHD" and heads % 8:
        return f'BSHD needs a multiple of 8 key heads, there are {heads}; or keep it "BHSD"'
    return ""


def add(spec: Spec, counts: Any, q, k, v, m, l, o):  # noqa: E741
    """One tile more: q [R, D], k and v [T, D] or, of BHDS, [D, T]; m, l [R, 1] and o [R, D].
    counts(shape) says which of the products [R, T] count, and counts(shape, axis) which of the
    values do for some query, their T along the axis."""
    last = spec.layout == "BHDS"
    precision = lax.Precision.HIGHEST if k.dtype == jnp.float32 else None
    dot = partial(lax.dot_general, precision=precision, preferred_element_type=jnp.float32)
    z = dot(q, k, (((1,), (0 if last else 1,)), ((), ()))) * spec.scale
    z = jnp.where(counts(z.shape), cache.logits(z, spec.soft_cap), -jnp.inf)
    top = jnp.maximum(m, jnp.max(z, axis=1, keepdims=True))
    base = jnp.where(top == -jnp.inf, 0, top)
    shrink, p = jnp.exp(m - base), jnp.exp(z - base)
    v = jnp.where(counts(v.shape, 1 if last else 0), v, 0)
    part = dot(p.astype(v.dtype), v, (((1,), (1 if last else 0,)), ((), ())))
    return top, l * shrink + jnp.sum(p, axis=1, keepdims=True), o * shrink + part


def _counts(within, start, stop, rows, heads, shape, axis=None):
    """Positions [start, stop) of the page, of a tile that begins `within` it; the heads of a
    position one after another, as the queries are, and only those of the query's own head."""
    index = lax.broadcasted_iota(jnp.int32, shape, 1 if axis is None else axis)
    position = within + index // heads
    found = (position >= start) & (position < stop)
    if axis is None and heads > 1:
        head = lax.broadcasted_iota(jnp.int32, shape, 0) // (rows // heads)
        found &= index % heads == head
    return found
