"""Decode attention from platform to platform, under `vmap`, and its gradient."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from . import decode_cache as cache
from . import platforms
from .attention_partials import Partials
from .decode_attention_xla import blocked, plain
from .decode_cache import Spec, Work


@functools.partial(jax.jit, static_argnums=0)
def decode(spec: Spec, work: Work) -> Partials:
    """(m, l, o) of every query, by whatever is best where the program runs."""
    return _decode(spec, work)


def refused(
    platform: str,
    layout: str,
    kv_heads: int,
    group: int,
    page: int,
    features: int,
    dtype: Any,
) -> str:
    """Why there is no kernel of ours for it; "" where there is."""
    if platform == "cuda":
        if missing := platforms.mosaic_gpu_missing():
            return missing
        from . import decode_attention_gpu as gpu

        return gpu.supports(layout, group, page, features, dtype)
    if platform == "tpu":
        from . import decode_attention_tpu as tpu

        return tpu.supports(layout, kv_heads, page, features, dtype)
    return f"no kernel for {platform!r}"


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _decode(spec: Spec, work: Work) -> Partials:
    return _batched(spec)(*work)


def _forward(spec: Spec, work: Work):
    return _decode(spec, work), work


def _backward(spec: Spec, work: Work, slope: Partials):
    def formula(q, k, v):
        return plain(spec, work._replace(q=q, k=k, v=v))

    _, pull = jax.vjp(formula, work.q, work.k, work.v)
    q, k, v = pull(slope)
    none = dict.fromkeys(("starts", "stops", "pages"))
    return (work._replace(q=q, k=k, v=v, **none),)


_decode.defvjp(_forward, _backward)


@functools.lru_cache
def _batched(spec: Spec):
    """The function of the six arrays of `Work`, which under vmap works on more of them at once."""

    @custom_vmap
    def decode(*work):
        return _on_platform(spec, Work(*work))

    @decode.def_vmap
    def _(size, mapped, *work):
        found = _folded(spec, size, Work(*mapped), Work(*work))
        return found, jax.tree.map(lambda x: True, found)

    return decode


def _folded(spec: Spec, size: int, mapped: Work, work: Work) -> Partials:
    """`size` times the work as one: more queries; or, of the same keys, more heads a key head."""
    if not (mapped.k or mapped.v or mapped.starts or mapped.stops or mapped.pages):
        times, queries, heads, group, features = work.q.shape
        q = jnp.moveaxis(work.q, 0, 2).reshape(queries, heads, times * group, features)
        found = _batched(spec)(*work._replace(q=q))
        return Partials(
            *(
                jnp.moveaxis(x.reshape(queries, heads, times, group, *x.shape[3:]), 2, 0)
                for x in found
            )
        )

    def each(x, is_mapped):
        return x if is_mapped else jnp.broadcast_to(x, (size, *x.shape))

    q, starts, stops, pages = (
        each(getattr(work, name), getattr(mapped, name))
        for name in ("q", "starts", "stops", "pages")
    )
    k, v, paged = work.k, work.v, spec.paged
    if mapped.k or mapped.v:
        k, v = each(k, mapped.k), each(v, mapped.v)
        pages = pages + k.shape[1] * jnp.arange(size, dtype=pages.dtype)[:, None, None]
        k, v = (x.reshape(-1, *x.shape[2:]) for x in (k, v))
    else:
        paged = True  # several queries of one page
    flat = (x.reshape(-1, *x.shape[2:]) for x in (q, starts, stops, pages))
    q, starts, stops, pages = flat
    found = _batched(spec._replace(paged=paged))(q, k, v, starts, stops, pages)
    return Partials(*(x.reshape(size, -1, *x.shape[1:]) for x in found))


def _on_platform(spec: Spec, work: Work) -> Partials:
    heads, page, features = cache.sizes(spec.layout, work.k)
    sizes = spec.layout, heads, work.q.shape[2], page, features
    dtypes = {x.dtype for x in (work.q, work.k, work.v)}

    def on_cpu(*work):
        return blocked(spec, Work(*work))

    def on_gpu(*work):
        from . import decode_attention_gpu as gpu

        return gpu.decode(spec, Work(*work))

    def on_tpu(*work):
        from . import decode_attention_tpu as tpu

        return tpu.decode(spec, Work(*work))

    def on_others(*work):
        return plain(spec, Work(*work))

    def ours(platform, kernel):
        fits = platform in platforms.at_hand() and len(dtypes) == 1
        return kernel if fits and not refused(platform, *sizes, *dtypes) else None

    return platforms.by_platform(
        *work, default=on_others, cpu=on_cpu, cuda=ours("cuda", on_gpu), tpu=ours("tpu", on_tpu)
    )
