"""Which arms stay: the s best of those that are left."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_PAIRWISE = 128  # up to here every pair is compared: vector code, where a sort goes row by row


def keep_best(values: jax.Array, active: jax.Array, count: jax.Array | int) -> jax.Array:
    """The `count` largest values among the active entries, as a mask, [K] bool.

    Of equal values the lowest index stays; when fewer are active, all of them stay.
    """
    values = jnp.where(active, values, -jnp.inf)
    num_arms = values.shape[-1]
    index = jnp.arange(num_arms)
    if num_arms <= _PAIRWISE:
        ahead = (values[:, None] > values) | (
            (values[:, None] == values) & (index[:, None] < index)
        )
        rank = jnp.sum(ahead & active[:, None], axis=0, dtype=jnp.int32)
    else:
        order = jnp.argsort(-values, stable=True)
        rank = jnp.zeros(num_arms, jnp.int32).at[order].set(index)
    return active & (rank < count)
