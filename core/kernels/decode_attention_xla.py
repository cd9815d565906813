"""Decode attention in plain XLA: `plain`, written down as it is defined, and `blocked` for CPUs.

`plain` has all products in memory at once and is differentiable. `blocked` goes over the tiles of
all sequences that hold a position that counts, one after another, and keeps (m, l, o) of every
sequence: each key and value is read once, in blocks that stay in the cache, where XLA may transpose
them as its products want it. (Outside a loop it transposes the whole cache of keys and values.)
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from . import decode_cache as cache
from .attention_partials import Partials, combine
from .decode_cache import Spec, Work
from .stream_k import output_of

_BLOCK_BYTES = 2**22  # of keys in float32: together with the values, within a shared cache


def plain(spec: Spec, work: Work) -> Partials:
    """Softmax attention of every query over the positions [start, stop): (m, l, o)."""
    acc = cache.accumulator(work.q, work.k, work.v)
    heads, page, features = cache.sizes(spec.layout, work.k)
    k, v = work.k, work.v
    if spec.paged:
        k, v = k[work.pages], v[work.pages]  # [N, L, ...]
    else:
        k, v = k[:, None], v[:, None]
    order = [
        0,
        1 + cache.LAYOUTS[spec.layout][0],
        1,
        *(1 + a for a in cache.LAYOUTS[spec.layout][1:]),
    ]
    k, v = (x.transpose(order).reshape(-1, heads, x.shape[1] * page, features) for x in (k, v))
    z = jnp.einsum(
        "nhgd,nhsd->nhgs", work.q.astype(acc) * spec.scale, k.astype(acc), precision="highest"
    )
    position = jnp.arange(z.shape[-1])
    counts = (position >= work.starts[:, None]) & (position < work.stops[:, None])  # [N, S]
    z = jnp.where(counts[:, None, None], cache.logits(z, spec.soft_cap), -jnp.inf)
    m = jnp.max(z, axis=-1)
    p = jnp.exp(z - jnp.where(m == -jnp.inf, 0, m)[..., None])
    v = jnp.where(counts[:, None, :, None], v.astype(acc), 0)
    o = jnp.einsum("nhgs,nhsd->nhgd", p, v, precision="highest")
    return Partials(m, jnp.sum(p, axis=-1), o)


def blocked(spec: Spec, work: Work) -> Partials:
    """The same, tile by tile: a loop as long as the tiles that hold something that counts."""
    acc = cache.accumulator(work.q, work.k, work.v)
    heads, page, features = cache.sizes(spec.layout, work.k)
    queries, table = work.pages.shape
    tile, pages = block(heads, page, features, table)
    span, length = page * pages, tile * pages  # a tile is a part of a page, or whole pages
    first, tiles = cache.tile_range(work.starts, work.stops, span, length)
    offsets = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(tiles, dtype=jnp.int32)])
    q = work.q.astype(acc) * spec.scale

    def turn(t, sums: Partials) -> Partials:
        n = output_of(offsets, t)
        number = t - offsets[n] + first[n]
        at = cache.place(number, span, length, work.starts[n], work.stops[n])
        index = jnp.arange(length)
        listed = jnp.minimum(at.listed * pages + jnp.arange(pages), table - 1)
        k, v = (_read(spec, x, work.pages[n, listed], at.read, tile) for x in (work.k, work.v))
        counts = (index >= at.low) & (index < at.high)
        here = tile_sums(spec, q[n], k.astype(acc), v.astype(acc), counts)
        total = combine(jax.tree.map(lambda x: x[n], sums), here)
        return jax.tree.map(lambda x, y: x.at[n].set(y), sums, total)

    none = _nothing(work).astype(acc)  # see there
    empty = Partials(
        jnp.full(work.q.shape[:3], -jnp.inf, acc) + none,
        jnp.zeros(work.q.shape[:3], acc) + none,
        jnp.zeros(work.q.shape, acc) + none,
    )
    return lax.fori_loop(0, offsets[-1], turn, empty)


def block(heads: int, page: int, features: int, table: int = 2**30) -> tuple[int, int]:
    """(positions of a page, pages) that `blocked` reads at once: 2048 positions of 8 heads of 64
    numbers. Several pages only where they are small."""
    positions = max(1, _BLOCK_BYTES // (4 * heads * features))
    positions = 1 << (positions.bit_length() - 1)
    return min(positions, page), min(max(1, positions // page), table)


def tile_sums(spec: Spec, q: jax.Array, k: jax.Array, v: jax.Array, counts: jax.Array) -> Partials:
    """(m, l, o) over the positions of a tile that count: q [H, G, D] scaled, k and v [...] in the
    layout, counts [positions]. What stands at other positions does not matter, be it NaN."""
    heads, group, features = q.shape
    head_axis, positions, feature_axis = (axis - 1 for axis in cache.LAYOUTS[spec.layout])
    mask = jnp.expand_dims(counts, [a for a in range(3) if a != positions])
    v = jnp.where(mask, v, 0)
    if spec.layout != "BSHD":
        z = lax.dot_general(q, k, (((2,), (feature_axis,)), ((0,), (head_axis,))))  # [H, G, S]
        m, l, p = _exponentials(spec, z, counts)  # noqa: E741
        return Partials(m, l, lax.dot_general(p, v, (((2,), (positions,)), ((0,), (head_axis,)))))
    if _together(heads, group):
        return _all_heads(spec, q, k, v, counts)
    if group == 1:  # no product of XLA's, so nothing to transpose
        z = jnp.sum(k * q[:, 0], axis=-1).T[:, None]
        m, l, p = _exponentials(spec, z, counts)  # noqa: E741
        return Partials(m, l, jnp.sum(p[:, 0].T[..., None] * v, axis=0)[:, None])
    turned = spec._replace(layout="BHSD")
    return tile_sums(turned, q, k.swapaxes(0, 1), v.swapaxes(0, 1), counts)


def _exponentials(spec: Spec, z: jax.Array, counts: jax.Array) -> tuple[jax.Array, ...]:
    """Of scaled products [..., S]: the largest that counts, the sum of exponentials below it, and
    these [..., S]."""
    z = jnp.where(counts, cache.logits(z, spec.soft_cap), -jnp.inf)
    m = jnp.max(z, axis=-1)
    p = jnp.exp(z - jnp.where(m == -jnp.inf, 0, m)[..., None])
    return m, jnp.sum(p, axis=-1), p


def _together(heads: int, group: int) -> bool:
    """Whether one product with the keys of all heads is cheaper than one for each. It is `heads`
    times the arithmetic, but reads keys and values as they lie."""
    return heads > 1 and (heads * group <= 16 or (heads <= 8 and group > 1))


def _all_heads(spec: Spec, q: jax.Array, k: jax.Array, v: jax.Array, counts: jax.Array) -> Partials:
    """`tile_sums` of "BSHD", the heads of a position as one of H D numbers: a query is 0 at those
    of other heads, and of what it gets its own D are taken."""
    (heads, group, features), positions = q.shape, k.shape[0]
    own = jnp.eye(heads, dtype=q.dtype)[:, None, :, None]
    q = (own * q[:, :, None]).reshape(heads * group, heads * features)
    k, v = (x.reshape(positions, heads * features) for x in (k, v))
    z = lax.dot_general(q, k, (((1,), (1,)), ((), ())))  # [H G, S]
    m, l, p = _exponentials(spec, z, counts)  # noqa: E741
    o = lax.dot(p, v).reshape(heads, group, heads, features)
    o = jnp.moveaxis(jnp.diagonal(o, axis1=0, axis2=2), -1, 0)
    return Partials(m.reshape(heads, group), l.reshape(heads, group), o)


def _read(spec: Spec, x: jax.Array, pages: jax.Array, first: jax.Array, tile: int):
    """Positions [first, first + tile) of a page, or several whole pages one after another."""
    axis = cache.LAYOUTS[spec.layout][1]
    if pages.shape[0] == 1:
        begin = [pages[0], *[jnp.int32(0)] * 3]  # also where whole numbers are int64
        begin[axis] = first
        shape = [1, *x.shape[1:]]
        shape[axis] = tile
        return lax.dynamic_slice(x, begin, shape)[0]
    found = jnp.moveaxis(x[pages], 0, axis - 1)  # the pages in front of their positions
    shape = list(x.shape[1:])
    shape[axis - 1] *= pages.shape[0]
    return found.reshape(shape)


def _nothing(work: Work) -> jax.Array:
    """Zero, made from all arrays: within `shard_map` it varies over the devices as they do, which
    what a loop carries has to from the start."""
    zeros = [jnp.isnan(x[(0,) * x.ndim]).astype(jnp.int32) * 0 for x in work]
    return functools.reduce(jnp.add, zeros)
