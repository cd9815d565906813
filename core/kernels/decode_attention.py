"""Attention of one new token a sequence over its cache of keys and values."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..protocol import concrete
from . import decode_cache as cache
from . import platforms
from .attention_partials import Partials, divided
from .decode_attention_xla import block
from .decode_cache import Spec, Work
from .decode_dispatch import decode, refused


def decode_attention(
    q: Any,
    k: Any,
    v: Any,
    kv_lengths: Any = None,
    *,
    kv_starts: Any = None,
    scale: float | None = None,
    soft_cap: float | None = None,
    window: int | None = None,
    layout: str = "BSHD",
    block_tables: Any = None,
    return_partials: bool = False,
) -> Any:
    """softmax(scale q k^T) v of one query token a sequence, over the keys of that sequence.

    Query head i belongs to key head i // (heads / key heads). On a GPU equal shares of all tiles of
    a ragged batch are worked on at once and the sums merged (stream-K: Sanovar et al., "Lean
    Attention", 2024, arXiv 2405.10480); `implementation` says what runs where. Keys and values are
    read where they lie, never copied, and past the end of a sequence not at all.

    Sharding: nothing is said to the compiler, so call it inside `jax.shard_map`. Sequences and
    heads can be cut freely. Where a context is cut, give each shard what it has of `kv_lengths` and
    `kv_starts`, ask for `return_partials` and merge with `merge_attention_partials`.

    Gradients are those of the same formula written plainly, which holds all products in memory and
    on a CPU transposes the cache; in reverse mode only. Under `vmap` more sequences are decoded at
    once; where the cache is not mapped it is shared, not repeated.

    Args:
      q: [B, Hq, D] floats, the new token of each sequence.
      k, v: [B, S, H, D] for "BSHD", [B, H, S, D] for "BHSD", [B, H, D, S] for "BHDS" (on TPUs for
        D = 64); H divides Hq. Also of float16 and bfloat16, multiplied as they are and summed in
        float32.
      kv_lengths: [B] or one for all: positions [0, length) are there; all of them by default.
        Lengths are kept within the cache. Elsewhere anything may stand; on a GPU, finite numbers.
        A key that counts and is not finite may make other heads of its sequence NaN, too.
      kv_starts: [B] or one for all: positions before it do not count; 0 by default.
      scale: of the products; 1 / sqrt(D) by default.
      soft_cap: c > 0: products z become c tanh(z / c).
      window: only the last `window` positions before each length count.
      block_tables: [B, L] int32: the cache is paged. k and v have pages in the place of sequences,
        S is the size of a page, and position s of sequence b is in page block_tables[b, s // S]
        at s % S. Entries past the length do not matter, but name a page.
      return_partials: whether to give (m, l, o), float32, instead: the largest product [B, Hq],
        the sum of exponentials below it [B, Hq], and the sum of values so weighed [B, Hq, D].

    Returns:
      [B, Hq, D] in the dtype of q; zeros for a sequence without a position that counts.

    Raises:
      ValueError: shapes, dtypes, a layout or parameters that do not fit.
    """
    q, k, v = (jnp.asarray(x) for x in (q, k, v))
    _check_arrays(q, k, v, layout, block_tables)
    cache.check_parameters("decode_attention", scale, soft_cap, window)
    batch, heads, features = q.shape
    kv_heads, page, _ = cache.sizes(layout, k)
    if block_tables is None:
        pages = jnp.arange(batch, dtype=jnp.int32)[:, None]
    else:
        pages = jnp.asarray(block_tables, jnp.int32)
    most = pages.shape[1] * page
    lengths = most if kv_lengths is None else kv_lengths
    stops = cache.each_sequence("decode_attention", "kv_lengths", lengths, batch)
    stops = jnp.clip(stops, 0, most)
    starts = 0 if kv_starts is None else kv_starts
    starts = cache.each_sequence("decode_attention", "kv_starts", starts, batch)
    starts = jnp.maximum(starts, 0)
    if window is not None:
        starts = jnp.maximum(starts, stops - window)
    spec = Spec(
        layout,
        1 / math.sqrt(features) if scale is None else float(scale),
        None if soft_cap is None else float(soft_cap),
        block_tables is not None,
    )
    grouped = q.reshape(batch, kv_heads, heads // kv_heads, features)
    found = decode(spec, Work(grouped, k, v, jnp.minimum(starts, stops), stops, pages))
    if return_partials:
        return Partials(*(x.reshape(batch, heads, *x.shape[3:]) for x in found))
    return divided(found).reshape(q.shape).astype(q.dtype)


def implementation(
    shape: tuple[int, ...],
    dtype: Any,
    platform: str | None = None,
    *,
    heads: int | None = None,
    layout: str = "BSHD",
) -> tuple[str, str]:
    """(name, why) of what `decode_attention` runs for keys of this shape (pages, if they are) on a
    platform; the default one if left out.

    heads: of the queries; as many as keys have by default. Raises ValueError for a layout or
    platform that there is not.
    """
    cache.check_layout("decode_attention", layout)
    platform = platforms.known(platform)
    kv_heads, page, features = (shape[axis] for axis in cache.LAYOUTS[layout])
    group = (heads or kv_heads) // kv_heads
    if platform == "cpu":
        tile, pages = block(kv_heads, page, features)
        read = f"{tile} positions" if pages == 1 else f"{pages} pages"
        return "blocked XLA", f"a loop over what counts, {read} at a time, which stay in cache"
    reason = refused(platform, layout, kv_heads, group, page, features, dtype)
    if reason:
        return "plain XLA", reason
    if platform == "tpu":
        return "Pallas, Mosaic TPU", "blocks past the end of a sequence are neither read nor used"
    return "Pallas, Mosaic GPU", "stream-K: equal shares of all tiles, merged in a fixed order"


def _check_arrays(q, k, v, layout, block_tables) -> None:
    cache.check_layout("decode_attention", layout)
    for name, x, axes in (("q", q, "[B, Hq, D]"), ("k", k, list(layout)), ("v", v, list(layout))):
        if x.ndim != 3 + (name != "q") or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"decode_attention: {name} is an array of floats {axes}, got {x.dtype} "
                f"{list(x.shape)}"
            )
    if k.shape != v.shape or 0 in k.shape or 0 in q.shape:
        raise ValueError(
            "decode_attention: k and v have one shape, and no axis is empty, got q "
            f"{list(q.shape)}, k {list(k.shape)} and v {list(v.shape)}"
        )
    heads, _, features = cache.sizes(layout, k)
    if q.shape[2] != features or q.shape[1] % heads:
        raise ValueError(
            f"decode_attention: in the layout {layout!r} keys {list(k.shape)} have {heads} heads "
            f"of {features} numbers; queries [B, Hq, {features}] with a multiple of {heads} heads "
            f"fit, got {list(q.shape)}"
        )
    if block_tables is None:
        if q.shape[0] != k.shape[0]:
            raise ValueError(
                f"decode_attention: {q.shape[0]} queries, {k.shape[0]} sequences; a cache of pages "
                "needs block_tables"
            )
        return
    shape, dtype = np.shape(block_tables), jnp.result_type(block_tables)
    if len(shape) != 2 or shape[0] != q.shape[0] or not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(
            f"decode_attention: block_tables are page numbers [{q.shape[0]}, L], whole, got "
            f"{dtype} {list(shape)}"
        )
    table = concrete(block_tables)
    if table is not None and table.size and not 0 <= table.min() <= table.max() < k.shape[0]:
        raise ValueError(
            f"decode_attention: there are {k.shape[0]} pages, block_tables name "
            f"{table.min()} to {table.max()}"
        )
