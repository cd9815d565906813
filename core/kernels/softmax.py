"""Softmax over the entries that count."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from . import platforms, softmax_xla
from .row_sums import ROWS, Choice, change, chosen, in_lanes, kernel_missing, on_gpu, on_tpu
from .rows import Scale, arguments, is_positive, over_rows, split, sums_dtype

GPU_FUSED = 2**14  # entries up to which XLA makes one kernel of a softmax on a GPU
GPU_SHARED = 200 * 1024  # bytes of shared memory that a row may take
GPU_STEP = 16 * 1024  # bytes that the kernel takes in at a time
TPU_CORE = 12 * 2**20  # bytes of a core's memory that a group of rows may take


def softmax(
    x: jax.Array, axis: int = -1, where: Any = None, *, scale: Any = None, donate: bool = False
) -> jax.Array:
    """exp(c x) / sum(exp(c x)) along an axis, over the entries where `where` holds; 0 elsewhere.

    The largest entry is taken off x before the factor c is multiplied in, so nothing overflows, and
    a compiler that fuses the product with the difference has nothing to round twice:
    `jax.jit(lambda x: jax.nn.softmax(c * x))` gives NaN for |x| up to 1e12 over a thousand entries
    on a CPU, this does not.

    Entries may be -inf: their share is 0. A row in which nothing counts is 0 throughout. NaN or inf
    that counts makes its row NaN.

    Args:
      x: [..., n, ...] real numbers; whole numbers become floats. Sums are kept in float32 at least.
      axis: the axis of a row.
      where: which entries count, bool, broadcasts to x.
      scale: c, one number or one a row (of the shape of x with a 1 at `axis`), of any sign, 1 if
        left out. An entry of -inf counts for nothing as long as c is not negative.
      donate: whether the result may take the memory of x, which then must not be used again: on a
        CPU long rows take half the time. Inside `jax.jit` it holds of what is computed there, and
        of arguments that are donated to the program.

    Returns:
      Of the shape and, if floating, the dtype of x.

    Where accelerators have a kernel, long rows are read twice and written once, and where they fit
    into the memory of a core once each (`implementation` says what is chosen). Derivatives of all
    orders, forwards and in reverse, also with respect to `scale`; vmap is more rows.

    Sharding: rows are independent. Rows that lie on several devices want `jax.shard_map`, in which
    the parts' `MaxSum` pairs (`monoids`) are merged with one `lax.pmax` and one `lax.psum`.

    Dukhan and Ablavatski, "The Two-Pass Softmax Algorithm", 2020 (arXiv 2001.04438).

    Raises:
      ValueError: an axis that there is not, a mask or scale that does not fit, complex numbers.
    """
    positive = is_positive(scale)
    x, axis, where, scale = arguments("softmax", x, axis, where, scale)
    given = donate and not isinstance(x, Tracer)
    return (_giving if given else _keeping)(axis, positive, bool(donate), x, where, scale)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _softmax(axis: int, positive: bool, donate: bool, x: Any, where: Any, scale: Any) -> jax.Array:
    factor = split(scale, positive)
    few = x.shape[-1] < ROWS and x.size < softmax_xla.FEW
    if axis != x.ndim - 1 or few:
        return softmax_xla.softmax_at_once(x, where, factor, axis)
    if donate:  # as it lies: if x were made rows on the way, XLA would copy it
        return _planned(x, where, factor, donate=True)
    return over_rows(_planned, x, where, factor)


@_softmax.defjvp
def _softmax_jvp(axis, positive, donate, primals, tangents):
    (x, where, scale), (dx, _, dscale) = primals, tangents
    y = _softmax(axis, positive, donate, x, where, scale)
    wide = y.astype(sums_dtype(x.dtype))
    moved = wide * change(x, scale, dx, dscale, wide == 0)
    total = jnp.sum(moved, axis=axis, keepdims=True)
    return y, (moved - wide * total).astype(x.dtype)


_keeping = jax.jit(_softmax, static_argnums=(0, 1, 2))
_giving = jax.jit(_softmax, static_argnums=(0, 1, 2), donate_argnums=3)


# ---- rows [..., n] -------------------------------------------------------------------------


def _planned(x: jax.Array, where: Any, scale: Scale, donate: bool = False) -> jax.Array:
    kernels = chosen(partial(implementation, donate=donate), _KERNELS, x, where)
    return platforms.by_platform(x, where, scale, default=softmax_xla.softmax_at_once, **kernels)


def _two_passes(sums: Callable) -> Callable:
    def softmax(x, where, scale):
        pairs = over_rows(sums, x, where, scale)
        if x.shape[:-1] == (1,) and x.dtype.itemsize < 4:
            # By itself: XLA for TPUs pads an array of one row of bfloat16 to two, and copies it.
            row = jax.tree.map(lambda a: a[0], (x, where, scale, pairs))
            return softmax_xla.quotients(*row)[None]
        return softmax_xla.quotients(x, where, scale, pairs)

    return softmax


def _gpu(x, where, scale):
    from . import softmax_gpu

    return softmax_gpu.softmax(x, scale)


def _tpu(x, where, scale):
    from . import softmax_tpu

    return softmax_tpu.softmax(x, scale)


_KERNELS = {
    "xla-fresh": softmax_xla.fresh,
    "two-pass": _two_passes(in_lanes),
    "mosaic-gpu-kept": partial(over_rows, _gpu),
    "mosaic-gpu-two-pass": _two_passes(on_gpu),
    "mosaic-tpu-kept": partial(over_rows, _tpu),
    "mosaic-tpu-two-pass": _two_passes(on_tpu),
}


def implementation(
    shape: tuple[int, ...],
    dtype: Any,
    platform: str | None = None,
    masked: bool = False,
    *,
    donate: bool = False,
) -> Choice:
    """(name, why) of what computes a softmax of rows [..., n] along the last axis on a platform;
    the default one if left out."""
    platform, n, dtype = platforms.known(platform), shape[-1], jnp.dtype(dtype)
    if platform == "cpu":
        rows, itemsize = math.prod(shape[:-1]), dtype.itemsize
        if donate and softmax_xla.two_passes(n, itemsize):
            return "two-pass", "very long rows in place, 3N; XLA alone would take 6N"
        if donate or rows * n < softmax_xla.FEW or rows >= softmax_xla.MANY:
            return "xla", "one kernel for many rows, 2N; else passes that can be in place"
        if itemsize < 4 and rows * n * itemsize >= softmax_xla.LARGE:
            return "xla", "no exponentials are kept, which are twice as large as x"
        return "xla-fresh", "the plan of JAX's function, 5N: fresh memory costs more than passes"
    if n < ROWS:
        return "xla", "short rows"
    if why := kernel_missing(n, dtype, platform, masked):
        return "xla", why
    if platform == "cuda":
        if n <= GPU_FUSED:
            return "xla", "one kernel that reads and writes once, 2N"
        if _kept_on_gpu(n, dtype.itemsize) <= GPU_SHARED:
            return "mosaic-gpu-kept", "rows stay in shared memory, 2N; XLA takes 4N"
        return "mosaic-gpu-two-pass", "rows are too long for shared memory, 3N; XLA takes 4N"
    if _kept_on_tpu(n, dtype.itemsize) <= TPU_CORE:
        return "mosaic-tpu-kept", "rows stay in the memory of the core, 2N; XLA takes 4N"
    return "mosaic-tpu-two-pass", "rows are too long for the memory of the core, 3N; XLA takes 4N"


def _kept_on_gpu(n: int, itemsize: int) -> int:
    """Bytes of shared memory: a row, rounded up to steps of the kernel."""
    return -(-n * itemsize // GPU_STEP) * GPU_STEP


def _kept_on_tpu(n: int, itemsize: int) -> int:
    """Bytes of a core's memory: a group of rows coming, one going, two buffers each, and their
    exponentials and logits in float32."""
    return 32 // itemsize * n * (4 * itemsize + 2 * 4)
