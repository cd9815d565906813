"""The sum of exponentials of every row, as a pair (max, sum): what all softmaxes start from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from . import platforms, softmax_xla
from .monoids import MaxSum
from .rows import Scale, over_rows, split, sums_dtype

ROWS = 1024  # entries of a row below which nothing is gained by looking at platforms
GPU_SUMS = 2**15  # bytes of a row from which reading once is worth a kernel and its lanes' sums
Choice = tuple[str, str]


def row_sums(x: jax.Array, where: Any, scale: Scale, axis: int) -> MaxSum:
    """The pair of the entries along an axis, which is kept, with one read of x where that can be.
    Sums are in float32 at least. No derivative goes through it: `shares` has that."""
    x, scale = jax.lax.stop_gradient((x, scale))
    if axis != x.ndim - 1 or x.shape[-1] < ROWS:
        return softmax_xla.sums(x, where, scale, axis)
    return over_rows(_of_rows, x, where, scale)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def shares(
    axis: int, positive: bool, x: jax.Array, where: Any, scale: Any, pairs: MaxSum
) -> jax.Array:
    """exp(c x) / sum in the dtype of sums, from the pairs of `row_sums`."""
    wide = x.astype(sums_dtype(x.dtype))
    return softmax_xla.quotients(wide, where, split(scale, positive), pairs)


@shares.defjvp
def _shares_jvp(axis, positive, primals, tangents):
    x, where, scale, pairs = primals
    y = shares(axis, positive, x, where, scale, pairs)
    moved = y * change(x, scale, tangents[0], tangents[2], y == 0)
    return y, moved - y * jnp.sum(moved, axis=axis, keepdims=True)


def change(x: jax.Array, scale: Any, dx: Any, dscale: Any, out: jax.Array) -> jax.Array:
    """d(c x), in the dtype of sums; entries that are `out` do not feel c, as they may be -inf."""
    dz = dx.astype(sums_dtype(x.dtype))
    if scale is None:
        return dz
    return scale * dz + dscale * jnp.where(out, 0, x).astype(dz.dtype)


# ---- rows [R, n] ---------------------------------------------------------------------------


def _of_rows(x: jax.Array, where: Any, scale: Scale) -> MaxSum:
    kernels = chosen(sums_implementation, KERNELS, x, where)
    return platforms.by_platform(x, where, scale, default=softmax_xla.sums, **kernels)


def chosen(
    implementation: Callable[..., Choice], kernels: Mapping[str, Callable], x: Any, where: Any
) -> dict[str, Callable]:
    """The kernel of every platform that has one for x, by platform."""
    plans = {
        name: implementation(x.shape, x.dtype, name, where is not None)[0]
        for name in platforms.NAMES
    }
    return {name: kernels[plan] for name, plan in plans.items() if plan in kernels}


def in_lanes(x: jax.Array, where: Any, scale: Scale) -> MaxSum:
    return softmax_xla.sums_in_lanes(x, where, scale)


def on_gpu(x: jax.Array, where: None, scale: Scale) -> MaxSum:
    from . import softmax_gpu

    return softmax_gpu.sums(x, scale)


def on_tpu(x: jax.Array, where: None, scale: Scale) -> MaxSum:
    from . import softmax_tpu

    return softmax_tpu.sums(x, scale)


KERNELS = {"lanes": in_lanes, "mosaic-gpu": on_gpu, "mosaic-tpu": on_tpu}


def sums_implementation(
    shape: tuple[int, ...], dtype: Any, platform: str | None = None, masked: bool = False
) -> Choice:
    """(name, why) of what sums rows [..., n] along the last axis on a platform."""
    platform, n, itemsize = platforms.known(platform), shape[-1], jnp.dtype(dtype).itemsize
    rows = math.prod(shape[:-1])
    if platform == "cpu":
        if softmax_xla.one_read(rows, n, itemsize):
            return "lanes", "one read, in a loop over blocks; XLA alone would read twice"
        return "xla", "short rows, or few: one expression"
    if (why := kernel_missing(n, dtype, platform, masked)) or n < ROWS:
        return "xla", why or "short rows"
    if platform == "cuda":
        if n * itemsize < GPU_SUMS:
            return "xla", "short rows"
        return "mosaic-gpu", "one read; XLA reads twice"
    return "mosaic-tpu", "one read; XLA reads twice"


def kernel_missing(n: int, dtype: Any, platform: str, masked: bool) -> str:
    """Why there is no kernel for rows of n entries on an accelerator, or ""."""
    dtype = jnp.dtype(dtype)
    if masked:
        return "a mask is read with x, by XLA; write -inf into x to have the kernel"
    if platform == "rocm":
        return "no kernel of ours for ROCm"
    if dtype == jnp.float64:
        return "float64 goes through XLA"
    if platform == "cuda":
        if n * dtype.itemsize % 16:
            return "rows do not start at multiples of 16 bytes"
        return platforms.mosaic_gpu_missing()
    if dtype == jnp.float16:
        return "TPUs have no float16 arithmetic"
    return ""
