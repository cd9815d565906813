"""The logarithm of a softmax."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from . import softmax_xla
from .monoids import MaxSum
from .row_sums import change, row_sums, shares
from .row_sums import sums_implementation as implementation  # noqa: F401
from .rows import arguments, is_positive, split, turned


def log_softmax(x: jax.Array, axis: int = -1, where: Any = None, *, scale: Any = None) -> jax.Array:
    """c x - log(sum(exp(c x))) along an axis, over the entries where `where` holds.

    -inf for entries that do not count, and throughout a row in which nothing does. Where rows are
    long, x is read once for the sum (`implementation` says by what) and once for the result, whose
    exponentials are computed once; so it is quicker than the softmax. Arguments, errors,
    derivatives and sharding are as for `softmax`.

    Returns:
      Of the shape and, if floating, the dtype of x.
    """
    positive = is_positive(scale)
    x, axis, where, scale = arguments("log_softmax", x, axis, where, scale)
    return _log_softmax(axis, positive, x, where, scale)


@partial(jax.jit, static_argnums=(0, 1))
def _log_softmax(axis: int, positive: bool, x: Any, where: Any, scale: Any) -> jax.Array:
    pairs = row_sums(x, where, split(scale, positive), axis)
    return _logarithms(axis, positive, x, where, scale, pairs)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _logarithms(axis: int, positive: bool, x: Any, where: Any, scale: Any, pairs: MaxSum) -> Any:
    return softmax_xla.logarithms(x, where, split(scale, positive), pairs)


@_logarithms.defjvp
def _logarithms_jvp(axis, positive, primals, tangents):
    (x, where, scale, _), (dx, _, dscale, _) = primals, tangents
    y = shares(axis, positive, *primals)
    out = jnp.isneginf(turned(x, where, split(scale, positive)))
    dz = jnp.where(out, 0, change(x, scale, dx, dscale, out))
    moved = jnp.where(out, 0, dz - jnp.sum(y * dz, axis=axis, keepdims=True))
    return _logarithms(axis, positive, *primals), moved.astype(x.dtype)
