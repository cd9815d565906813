"""The logarithm of a sum of exponentials."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .monoids import MaxSum, times
from .row_sums import change, row_sums, shares
from .row_sums import sums_implementation as implementation  # noqa: F401
from .rows import Scale, arguments, is_positive, split


def logsumexp(
    x: jax.Array, axis: int = -1, where: Any = None, *, scale: Any = None, keepdims: bool = False
) -> jax.Array:
    """log(sum(exp(c x))) along an axis, over the entries where `where` holds.

    x is read once where rows are long, which `jax.nn.logsumexp` does twice (`implementation` says
    what is chosen). Arguments, errors, derivatives and sharding are as for `softmax`.

    Returns:
      The shape of x without the axis, or with a 1 there if `keepdims`. -inf where nothing counts,
      NaN where NaN or inf does (`jax.nn.logsumexp` has inf for inf).

    Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018 (arXiv 1805.02867).
    """
    positive = is_positive(scale)
    x, axis, where, scale = arguments("logsumexp", x, axis, where, scale)
    found = _logsumexp(axis, positive, x, where, scale)
    return found if keepdims else jnp.squeeze(found, axis)


@partial(jax.jit, static_argnums=(0, 1))
def _logsumexp(axis: int, positive: bool, x: Any, where: Any, scale: Any) -> jax.Array:
    pairs = row_sums(x, where, split(scale, positive), axis)
    return _logarithm(axis, positive, x, where, scale, pairs)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _logarithm(axis: int, positive: bool, x: Any, where: Any, scale: Any, pairs: MaxSum) -> Any:
    """log(sum), a function of x whose value needs the pairs alone."""
    return logarithm(pairs, split(scale, positive)).astype(x.dtype)


@_logarithm.defjvp
def _logarithm_jvp(axis, positive, primals, tangents):
    (x, _, scale, _), (dx, _, dscale, _) = primals, tangents
    y = shares(axis, positive, *primals)
    moved = y * change(x, scale, dx, dscale, y == 0)
    total = jnp.sum(moved, axis=axis, keepdims=True)
    return _logarithm(axis, positive, *primals), total.astype(x.dtype)


def logarithm(pairs: MaxSum, scale: Scale) -> jax.Array:
    """log(sum) of pairs; -inf of nothing."""
    return times(pairs.top, scale.size) + jnp.log(pairs.total)
