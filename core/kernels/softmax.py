"""Softmax over the entries that count."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def softmax(x: jax.Array, where: jax.Array | None = None, axis: int = -1) -> jax.Array:
    """exp(x) / sum(exp(x)) along an axis, over the entries where `where` holds; 0 elsewhere.

    The largest entry is taken off first, so nothing overflows. Entries may be -inf: their share is
    0. A row without a single finite entry that counts is 0 throughout.
    """
    counts = jnp.isfinite(x) if where is None else where & jnp.isfinite(x)
    top = jnp.max(x, axis=axis, keepdims=True, where=counts, initial=-jnp.inf)
    weights = jnp.exp(jnp.where(counts, x - jnp.where(jnp.isfinite(top), top, 0), -jnp.inf))
    total = jnp.sum(weights, axis=axis, keepdims=True)
    return weights / jnp.where(total > 0, total, 1)
