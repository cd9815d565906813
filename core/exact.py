"""Arithmetic in about twice the precision of float32, for sums over very many rounds.

A number is a pair of float32, as in Dekker, "A floating-point technique for extending the available
precision", Numerische Mathematik 18, 1971. float64 would do, but JAX has it for a whole process or
not at all, and GPUs and TPUs compute it slowly. Nothing here may be reordered: XLA keeps to the
order of float additions as they are written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Pair(NamedTuple):
    """The unevaluated sum high + low of two float32 arrays: a number of about 48 bits, as long as
    `low` is at most half a unit in the last place of `high`, as all functions here leave it."""

    high: Any
    low: Any


def single(x: Any) -> Pair:
    """A float32 array as a pair."""
    return Pair(x, jnp.zeros_like(x))


def value(x: Pair) -> jax.Array:
    """A pair rounded to float32."""
    return x.high + x.low


def two_sum(a: Any, b: Any) -> Pair:
    """a + b of two float32 arrays, without error (Knuth, TAOCP 2, Section 4.2.2, Theorem B)."""
    high = a + b
    part = high - a
    return Pair(high, (a - (high - part)) + (b - part))


def plus(a: Pair, b: Pair) -> Pair:
    """a + b, to within 2^-46 of |a| + |b|.

    The last line matters (Dekker's two-sum, for a second part that is the smaller one): errors that
    are only ever collected in `low` make it grow until it loses digits itself, in a sum of 10^7
    equal numbers a thousandth of the sum.
    """
    s, error = two_sum(a.high, b.high)
    low = (a.low + b.low) + error
    high = s + low
    return Pair(high, low - (high - s))


def minus(a: Pair, b: Pair) -> Pair:
    """a - b."""
    return plus(a, Pair(-b.high, -b.low))


def times(counts: jax.Array, x: Pair) -> Pair:
    """counts * x, for counts that are int32 and not negative.

    Counts are cut into pieces of 11 bits and `high` into halves of 12, whose products are exact.
    """
    counts, x = jax.lax.optimization_barrier((counts, x))  # as in `add_up`
    words = jax.lax.bitcast_convert_type(x.high, jnp.uint32) & np.uint32(0xFFFFF000)
    coarse = jax.lax.bitcast_convert_type(words, jnp.float32)
    total = single(counts.astype(jnp.float32) * x.low)
    for half in (x.high - coarse, coarse):
        for shift in (0, 11, 22):
            piece = ((counts >> shift) & 2047).astype(jnp.float32) * np.float32(2**shift)
            high, low = two_sum(total.high, piece * half)
            total = Pair(high, total.low + low)
    return two_sum(*total)


def add_up(x: Pair) -> Pair:
    """Sum over the first axis, the two halves of it added again and again. That order is fixed, so
    a seed's sum does not depend on the batch it is computed in."""
    count = x.high.shape[0]
    size = 1 << (count - 1).bit_length()
    pad = [(0, size - count)] + [(0, 0)] * (x.high.ndim - 1)
    x = Pair(jnp.pad(x.high, pad), jnp.pad(x.low, pad))
    while size > 1:
        size //= 2
        # Left to itself, XLA fuses these passes into one that computes everything many times.
        x = jax.lax.optimization_barrier(x)
        x = plus(Pair(x.high[:size], x.low[:size]), Pair(x.high[size:], x.low[size:]))
    return Pair(x.high[0], x.low[0])


def weighted(counts: jax.Array, x: Pair) -> Pair:
    """Sum of counts * x over all entries; for counts see `times`."""
    product = times(counts, x)
    return add_up(Pair(product.high.reshape(-1), product.low.reshape(-1)))
