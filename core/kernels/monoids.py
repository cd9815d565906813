"""Two ways to add up exponentials that overflow, each a monoid: parts add up in any grouping.

A sum of exp(x) can be held as `MaxSum`, the largest x and the sum relative to it, or as `ExtSum`, a
number with an exponent of its own. Both pass over x once; what then divides by the sum passes over
it a second time, so a softmax takes 2 reads and 1 write (Dukhan and Ablavatski, "The Two-Pass
Softmax Algorithm", 2020, arXiv 2001.04438, whose pair is `ExtSum`; Milakov and Gimelshein, "Online
normalizer calculation for softmax", 2018, arXiv 1805.02867, have the other).

Merging is associative and commutative up to rounding. Sums are best merged from blocks: one
accumulator for 2^26 numbers loses three digits of float32. Which pair a kernel takes is a matter of
speed: MaxSum costs one exponential an entry and a few more to merge blocks, ExtSum none to merge,
but powers of two by the bits, which only native code has as one instruction. What is compiled here
uses MaxSum throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# ---- (max, sum) ----------------------------------------------------------------------------


class MaxSum(NamedTuple):
    """sum exp(size x) = total exp(size top), with top the largest x and total >= 1.

    Of nothing, or of entries -inf alone, the total is 0 and top the least finite number, so that no
    difference is inf - inf: the neutral element. An entry inf makes the total NaN, as NaN does.
    `size` > 0 is a factor that is not part of the pair; 1 where it is left out. Differences are
    formed before products, so a compiler that fuses size x - size top into one rounding has nothing
    to fuse.
    """

    top: jax.Array
    total: jax.Array


def no_max_sum(shape: tuple[int, ...], dtype: Any = jnp.float32) -> MaxSum:
    """The neutral element, for every place of an array."""
    return MaxSum(jnp.full(shape, jnp.finfo(dtype).min, dtype), jnp.zeros(shape, dtype))


def max_sum(x: jax.Array, axis: int = -1, size: Any = None, keepdims: bool = False) -> MaxSum:
    """The pair of the entries along an axis, in float32 at least.

    XLA for CPUs makes one kernel of this and of what follows, over short rows, as long as nothing
    between the maximum and the sum is a choice or another bound.
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    top = jnp.max(x, axis=axis, keepdims=True, initial=jnp.finfo(x.dtype).min).astype(wide)
    total = jnp.sum(jnp.exp(times(x.astype(wide) - top, size)), axis=axis, keepdims=True)
    return MaxSum(*(a if keepdims else jnp.squeeze(a, axis) for a in (top, total)))


def merge_max_sum(a: MaxSum, b: MaxSum, size: Any = None) -> MaxSum:
    """The pair of the entries of both, place by place."""
    top = jnp.maximum(a.top, b.top)
    return MaxSum(top, _moved(a, top, size) + _moved(b, top, size))


def fold_max_sum(pairs: MaxSum, axis: int = -1, size: Any = None) -> MaxSum:
    """The pair of all parts along an axis."""
    least = jnp.finfo(pairs.top.dtype).min
    top = jnp.max(pairs.top, axis=axis, keepdims=True, initial=least)
    return MaxSum(jnp.squeeze(top, axis), jnp.sum(_moved(pairs, top, size), axis=axis))


def absorb(pairs: MaxSum, tiles: Sequence[jax.Array], size: Any = None) -> MaxSum:
    """Every place of `pairs` takes in what the tiles, of its shape, have there.

    One exponential for every entry and one for the pair, and every entry is used twice at once: a
    kernel reads it from memory once. This is the inner step of all kernels here.
    """
    top = _tree(jnp.maximum, [pairs.top, *tiles])
    terms = [_moved(pairs, top, size), *(jnp.exp(times(tile - top, size)) for tile in tiles)]
    return MaxSum(top, _tree(jnp.add, terms))


def times(x: jax.Array, size: Any) -> jax.Array:
    return x if size is None else size * x


def _moved(pairs: MaxSum, top: jax.Array, size: Any) -> jax.Array:
    return pairs.total * jnp.exp(times(pairs.top - top, size))


def _tree(operation: Callable, values: list[jax.Array]) -> jax.Array:
    """Combine neighbours until one is left: rounding grows with the logarithm of their number."""
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=False)
        values = [operation(a, b) for a, b in pairs] + values[len(values) // 2 * 2 :]
    return values[0]


# ---- (mantissa, exponent) ------------------------------------------------------------------

_LOWEST = -1e30  # the exponent of zero: finite, so that differences of two of them are 0, not NaN
_LOG2_E = 1.4426950408889634
_LN2 = {  # in two parts; a whole number up to 2^15 (float64: 2^20) times the first is exact
    4: (0.693359375, -2.12194440054690583e-4),
    8: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
# exp on |t| <= ln(2) / 2, relative error 6e-8: the best of degree 5, by a linear program.
_POLYNOMIAL = (0.00824785814, 0.0419119078, 0.166682742, 0.499989380, 0.999999501, 1.00000006)


class ExtSum(NamedTuple):
    """sum exp(x) = mantissa * 2^exponent; the exponent is a whole number, held as a float.

    Of nothing: (0, -1e30), the neutral element.
    """

    mantissa: jax.Array
    exponent: jax.Array


def no_ext_sum(shape: tuple[int, ...], dtype: Any = jnp.float32) -> ExtSum:
    """The neutral element, for every place of an array."""
    return ExtSum(jnp.zeros(shape, dtype), jnp.full(shape, _LOWEST, dtype))


def ext_exp(x: jax.Array) -> ExtSum:
    """exp(x) with a mantissa in [0.7, 1.42], which neither over- nor underflows.

    float32 or float64. In float32 within 1e-6 for |x| up to 10^4; beyond, the error is that of an
    x that moves in its last digit, and above 5e6 (float64: 1e15) it has none that is right. -inf is
    the neutral element; inf and NaN give NaN.
    """
    x = jnp.asarray(x)
    nothing = x == -jnp.inf
    exponent = jnp.round(x * jnp.asarray(_LOG2_E, x.dtype))
    high, low = (jnp.asarray(part, x.dtype) for part in _LN2[x.dtype.itemsize])
    rest = (x - exponent * high) - exponent * low
    if x.dtype == jnp.float32:
        mantissa = jnp.full_like(rest, _POLYNOMIAL[0])
        for coefficient in _POLYNOMIAL[1:]:
            mantissa = mantissa * rest + jnp.asarray(coefficient, x.dtype)
    else:
        mantissa = jnp.exp(rest)
    lowest = jnp.asarray(_LOWEST, x.dtype)
    return ExtSum(jnp.where(nothing, 0, mantissa), jnp.where(nothing, lowest, exponent))


def merge_ext_sum(a: ExtSum, b: ExtSum) -> ExtSum:
    """The sum of both, place by place."""
    exponent = jnp.maximum(a.exponent, b.exponent)
    return ExtSum(_scaled(a, exponent) + _scaled(b, exponent), exponent)


def fold_ext_sum(pairs: ExtSum, axis: int = -1) -> ExtSum:
    """The sum of all parts along an axis."""
    top = jnp.max(pairs.exponent, axis=axis, keepdims=True, initial=_LOWEST)
    return ExtSum(jnp.sum(_scaled(pairs, top), axis=axis), jnp.squeeze(top, axis))


def ext_ratio(a: ExtSum, b: ExtSum) -> jax.Array:
    """a / b as a plain number, where a is no larger than b; 0 where b is nothing."""
    inverse = jnp.where(b.mantissa > 0, 1 / b.mantissa, 0)
    return a.mantissa * inverse * power_of_two(a.exponent - b.exponent)


def power_of_two(n: jax.Array) -> jax.Array:
    """2^n for a whole number n held as a float, from 0 down; 0 where that is no normal number."""
    bits = jnp.finfo(n.dtype)
    whole = jnp.int32 if n.dtype.itemsize == 4 else jnp.int64
    n = jnp.maximum(n, bits.minexp - 1)
    return lax.bitcast_convert_type((n.astype(whole) + (1 - bits.minexp)) << bits.nmant, n.dtype)


def _scaled(pairs: ExtSum, exponent: jax.Array) -> jax.Array:
    return pairs.mantissa * power_of_two(pairs.exponent - exponent)
