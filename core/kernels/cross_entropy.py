"""Cross-entropy of a softmax over classes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from . import platforms, softmax_xla
from .monoids import MaxSum
from .row_sums import row_sums
from .row_sums import sums_implementation as implementation  # noqa: F401
from .rows import Scale, arguments, sums_dtype


def softmax_cross_entropy(logits: jax.Array, labels: jax.Array, where: Any = None) -> jax.Array:
    """log(sum(exp(logits))) - logits[label] for every row of logits.

    The loss takes one read of the logits (`implementation` says by what) and the gradient one read
    and one write: shares are computed anew from the logits and two numbers a row, and no array of
    the size of the logits is held but the gradient itself.

    Args:
      logits: [..., C] real numbers; -inf for a class that cannot be. Sums are in float32 at least.
      labels: [...] whole numbers. One outside [0, C) makes the loss and the gradient of its row
        NaN.
      where: which classes count, bool, broadcasts to logits. A row whose class does not count costs
        nothing, and has the gradient 0: this masks rows, too.

    Returns:
      Losses [...], in float32 at least. In reverse differentiable once, with respect to logits.

    Sharding: rows are independent. Classes that lie on several devices: merge the `MaxSum` pairs
    of the parts (`monoids`) inside `jax.shard_map`, and sum up the logit of the class.

    Raises:
      ValueError: shapes or dtypes that do not fit.
    """
    logits, _, where, _ = arguments("softmax_cross_entropy", logits, -1, where)
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer) or labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"softmax_cross_entropy: labels are whole numbers {list(logits.shape[:-1])}, one a row "
            f"of logits {list(logits.shape)}, got {labels.dtype} of shape {list(labels.shape)}"
        )
    return _compiled(logits, labels, where)


@jax.custom_vjp
def _losses(logits: jax.Array, labels: jax.Array, where: Any) -> jax.Array:
    return _forward(logits, labels, where)[0]


def _forward(logits, labels, where):
    pairs = row_sums(logits, where, Scale(), logits.ndim - 1)
    column, known = labels[..., None], (labels >= 0) & (labels < logits.shape[-1])
    pairs = MaxSum(pairs.top, jnp.where(known[..., None], pairs.total, jnp.nan))
    losses = ((pairs.top - _own(logits, column)) + jnp.log(pairs.total))[..., 0]
    counts = None
    if where is not None:
        mask = jnp.broadcast_to(where, logits.shape)
        counts = jnp.take_along_axis(mask, column, axis=-1, mode="clip")[..., 0] | ~known
        losses = jnp.where(counts, losses, 0)
    return losses, (logits, labels, where, pairs, counts)


def _backward(kept, rates):
    logits, labels, where, pairs, counts = kept
    # Else XLA keeps exponentials of the loss for the gradient, an array of the size of the logits.
    logits, pairs = lax.optimization_barrier((logits, pairs))
    rates = rates if counts is None else jnp.where(counts, rates, 0)
    wide = logits.astype(pairs.top.dtype)
    shares = softmax_xla.quotients(wide, where, Scale(), pairs)
    own = lax.broadcasted_iota(labels.dtype, logits.shape, logits.ndim - 1) == labels[..., None]
    slopes = rates[..., None] * (shares - own)
    if where is not None:
        slopes = jnp.where(where, slopes, 0)
    if counts is not None:
        slopes = jnp.where(counts[..., None], slopes, 0)
    none = np.zeros(labels.shape, jax.dtypes.float0)
    masked = None if where is None else np.zeros(where.shape, jax.dtypes.float0)
    return slopes.astype(logits.dtype), none, masked


_losses.defvjp(_forward, _backward)
_compiled = jax.jit(_losses)


def _own(logits: jax.Array, column: jax.Array) -> jax.Array:
    """The entry of every row of logits that stands in the column [..., 1], in the dtype of sums."""

    def taken(x, column):
        found = jnp.take_along_axis(x, column, axis=-1, mode="clip")
        return found.astype(sums_dtype(x.dtype))

    def of_bits(x, column):
        found = jnp.take_along_axis(
            lax.bitcast_convert_type(x, jnp.uint16), column, axis=-1, mode="clip"
        )
        return lax.bitcast_convert_type(found.astype(jnp.uint32) << 16, jnp.float32)

    # To take a few entries of bfloat16, XLA for CPUs would make a float32 array of all of them; and
    # to look at their bits, XLA for TPUs would make another array of these.
    on_cpu = of_bits if logits.dtype == jnp.bfloat16 else taken
    return platforms.by_platform(logits, column, default=taken, cpu=on_cpu)
