"""Long elementwise formulas in vector code."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


def flat(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """An elementwise function that sees one long vector when it is vmapped.

    XLA on a CPU vectorises along the last axis, which holds the arms: long formulas stay scalar
    for most numbers of arms, and run five times slower. Loops in `function` keep XLA from undoing
    this. All arguments are arrays of one shape.
    """

    @custom_vmap
    def call(*arguments):
        return function(*arguments)

    @call.def_vmap
    def rule(size, batched, *arguments):
        pairs = zip(arguments, batched, strict=True)
        full = [x if b else jnp.broadcast_to(x, (size, *x.shape)) for x, b in pairs]
        return call(*(x.reshape(-1) for x in full)).reshape(full[0].shape), True

    return call
