"""Attention of many query tokens a sequence, for prompts and training: others' where there is one.

For one new token a sequence see `decode_attention`.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from . import decode_cache as cache
from . import platforms

_BLOCK = 512  # keys that `_blocked` looks at together


def attention(
    q: Any,
    k: Any,
    v: Any,
    kv_lengths: Any = None,
    *,
    query_starts: Any = None,
    causal: bool = False,
    window: int | None = None,
    scale: float | None = None,
    soft_cap: float | None = None,
    layout: str = "BSHD",
) -> jax.Array:
    """softmax(scale q k^T) v of T query tokens a sequence.

    One signature for what is best at hand (`implementation` says what and why): tokamax on an
    accelerator where it is installed, cuDNN by `jax.nn.dot_product_attention` on a GPU that has it,
    else XLA by the same; and a loop over blocks of keys of our own for a soft cap, which these do
    not have. All of them are differentiable and work under `vmap`.

    Sharding: as XLA does it for what is delegated; sequences and heads can be cut freely inside
    `jax.shard_map`.

    Args:
      q: [B, T, Hq, D] for "BSHD", [B, Hq, T, D] for "BHSD".
      k, v: [B, S, H, D] or [B, H, S, D]; H divides Hq, and query head i belongs to key head
        i // (Hq / H). "BHSD" is turned into "BSHD" on the way.
      kv_lengths: [B] or one for all: keys at positions [0, length) are there; all by default.
      query_starts: [B] or one for all: the position of the first query; 0 by default. When the
        queries are the last of the context, kv_lengths - T.
      causal: whether a query sees no later position than its own.
      window: a query at position p sees positions above p - window, and with causal=False those
        below p + window.
      scale: of the products; 1 / sqrt(D) by default.
      soft_cap: c > 0: products z become c tanh(z / c).

    Returns:
      In the layout and dtype of q; zeros for a query that sees nothing.

    Raises:
      ValueError: shapes, dtypes, a layout or parameters that do not fit.
    """
    q, k, v = (jnp.asarray(x) for x in (q, k, v))
    _check(q, k, v, layout)
    cache.check_parameters("attention", scale, soft_cap, window)
    if layout == "BHSD":
        q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q, k, v))
    batch, length, heads, features = q.shape
    lengths = starts = None
    if kv_lengths is not None:
        lengths = cache.each_sequence("attention", "kv_lengths", kv_lengths, batch)
    if query_starts is not None:
        starts = cache.each_sequence("attention", "query_starts", query_starts, batch)
    scale = 1 / math.sqrt(features) if scale is None else float(scale)
    seen = _Seen(length, k.shape[1], starts, lengths, causal, window)
    name, _ = implementation(k.shape, k.dtype, platforms.known(), soft_cap=soft_cap, window=window,
                             causal=causal, square=seen.square)  # fmt: skip
    if soft_cap is not None and name != "tokamax":
        found = _blocked(q, k, v, scale, float(soft_cap), seen)
    else:
        found = _delegated(name, q, k, v, scale, soft_cap, seen)
    found = jnp.where(seen.anything()[..., None, None], found, 0).astype(q.dtype)
    return jnp.swapaxes(found, 1, 2) if layout == "BHSD" else found


def implementation(
    shape: tuple[int, ...],
    dtype: Any,
    platform: str | None = None,
    *,
    soft_cap: float | None = None,
    window: int | None = None,
    causal: bool = False,
    square: bool = True,
) -> tuple[str, str]:
    """(name, why) of what `attention` runs for keys of this shape [B, S, H, D] on a platform; the
    default one if left out.

    square: whether queries and keys have the same positions.
    """
    platform = platforms.known(platform)
    if platform in ("cuda", "tpu") and importlib.util.find_spec("tokamax") is not None:
        return "tokamax", "it is installed, and has kernels for accelerators"
    if soft_cap is not None:
        return "blocked XLA", "a loop over blocks of keys: jax.nn has no soft cap"
    features, half = shape[-1], jnp.dtype(dtype).itemsize == 2
    if platform == "cuda":
        if not half or features % 8 or features > 128:
            return (
                "jax.nn, xla",
                "cuDNN takes float16 and bfloat16, heads of 8, 16, ... 128 numbers",
            )
        if not square or (window is not None and not causal):
            return "jax.nn, xla", "cuDNN takes windows with causal only, and positions from 0"
        if jax.default_backend() != "gpu":
            return "jax.nn, xla", "no GPU is here that could be asked for cuDNN"
        return "jax.nn, cudnn", "float16 or bfloat16, and heads that cuDNN takes"
    return "jax.nn, xla", "what jax.nn has on this platform"


class _Seen:
    """Which positions each query sees."""

    def __init__(self, queries, keys, starts, lengths, causal, window):
        self.queries, self.keys, self.starts, self.lengths = queries, keys, starts, lengths
        self.causal, self.window = causal, window
        # Positions from 0 on both sides: flags say it all, and windows are the same for all.
        self.square = starts is None and (window is None or queries == keys)

    def bounds(self) -> tuple[jax.Array, jax.Array]:
        """Query t of sequence b sees [low, high): [B or 1, T] each."""
        first = jnp.zeros(1, jnp.int32) if self.starts is None else self.starts
        position = first[:, None] + jnp.arange(self.queries)
        low, high = jnp.zeros_like(position), jnp.full_like(position, self.keys)
        if self.window is not None:
            low, high = jnp.maximum(low, position - self.window + 1), position + self.window
        if self.causal:
            high = position + 1
        most = self.keys if self.lengths is None else jnp.minimum(self.lengths, self.keys)[:, None]
        return low, jnp.minimum(high, most)

    def anything(self) -> jax.Array:
        low, high = self.bounds()
        return high > low

    def mask(self, first: Any = 0, count: int | None = None) -> jax.Array:
        """[B or 1, T, count] of the keys from `first` on."""
        low, high = self.bounds()
        key = first + jnp.arange(self.keys if count is None else count)
        return (key >= low[..., None]) & (key < high[..., None])


def _delegated(name, q, k, v, scale, soft_cap, seen: _Seen) -> jax.Array:
    options: dict[str, Any] = {}
    if seen.square:
        options = dict(is_causal=seen.causal, key_value_seq_lengths=seen.lengths)
        if seen.window is not None:
            options["local_window_size"] = (seen.window - 1, 0 if seen.causal else seen.window - 1)
    else:
        options = dict(mask=seen.mask()[:, None])
    if name == "tokamax":
        import tokamax  # pyright: ignore[reportMissingImports]

        return tokamax.dot_product_attention(
            q, k, v, scale=scale, logits_soft_cap=soft_cap, **options
        )
    backend = "cudnn" if name == "jax.nn, cudnn" else "xla"
    return jax.nn.dot_product_attention(q, k, v, scale=scale, implementation=backend, **options)


def _blocked(q, k, v, scale, soft_cap, seen: _Seen) -> jax.Array:
    """One block of keys after another, products in float32, never more than a block of them; the
    gradient makes them anew."""
    batch, length, heads, features = q.shape
    size, kv_heads = k.shape[1:3]
    acc = cache.accumulator(q, k, v)
    block = min(_BLOCK, size)
    q = q.reshape(batch, length, kv_heads, heads // kv_heads, features).astype(acc) * scale

    @jax.checkpoint
    def turn(sums, start):
        m, l, o = sums  # noqa: E741
        first = jnp.minimum(start, size - block)  # the last block may overlap the one before it
        kb, vb = (lax.dynamic_slice_in_dim(x, first, block, 1).astype(acc) for x in (k, v))
        z = jnp.einsum("bthgd,bshd->bhgts", q, kb, precision="highest")
        counts = seen.mask(first, block) & (first + jnp.arange(block) >= start)
        z = jnp.where(counts[:, None, None], cache.logits(z, soft_cap), -jnp.inf)
        top = jnp.maximum(m, lax.stop_gradient(jnp.max(z, axis=-1)))
        base = jnp.where(top == -jnp.inf, 0, top)
        shrink, p = jnp.exp(m - base), jnp.exp(z - base[..., None])
        part = jnp.einsum("bhgts,bshd->bhgtd", p, vb, precision="highest")
        return (top, l * shrink + jnp.sum(p, -1), o * shrink[..., None] + part), None

    shape = (batch, kv_heads, heads // kv_heads, length)
    none = (jnp.isnan(q[0, 0, 0, 0, 0]) * 0).astype(acc)
    empty = (
        jnp.full(shape, -jnp.inf, acc) + none,
        jnp.zeros(shape, acc) + none,
        jnp.zeros((*shape, features), acc) + none,
    )
    (_, l, o), _ = lax.scan(turn, empty, jnp.arange(0, size, block))  # noqa: E741
    o = o / jnp.where(l > 0, l, 1)[..., None]
    return jnp.moveaxis(o, 3, 1).reshape(batch, length, heads, features)


def _check(q, k, v, layout) -> None:
    cache.check_layout("attention", layout, ("BSHD", "BHSD"))
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating) or 0 in x.shape:
            raise ValueError(
                f"attention: {name} is an array of floats {list(layout)}, no axis empty, got "
                f"{x.dtype} {list(x.shape)}"
            )
    if k.shape != v.shape or len({x.dtype for x in (q, k, v)}) > 1:
        raise ValueError(
            "attention: k and v have one shape, and all three one dtype, got q "
            f"{q.dtype} {list(q.shape)}, k {k.dtype} {list(k.shape)} and v {v.dtype} "
            f"{list(v.shape)}"
        )
    head = layout.index("H")
    if q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3] or q.shape[head] % k.shape[head]:
        raise ValueError(
            f"attention: in the layout {layout!r}, keys {list(k.shape)} go with queries of "
            f"{k.shape[0]} sequences, a multiple of {k.shape[head]} heads and {k.shape[3]} numbers "
            f"a head, got {list(q.shape)}"
        )
