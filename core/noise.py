"""Randomness: one root key, named streams, and blocks of noise.

Every draw of the suite goes through this file. The generator is threefry-2x32 with 20 rounds
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the same as JAX's default,
written out so that XLA fuses a block into one pass and both output words are used: about four
times faster on a CPU than `jax.random.bits`, which keeps half of what it computes. It is a
function of key and counter alone, so the draws of a seed do not depend on the batch it runs in.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .protocol import Key

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_DRAW, _FOLD = np.uint32(0x64726177), np.uint32(0x666F6C64)  # keep draws and child keys apart


def root(seed: int) -> Key:
    """The one root key of a run; every other key is folded from it."""
    return jax.random.key(seed, impl="threefry2x32")


def stream(key: Key, name: str | int | jax.Array) -> Key:
    """The key of a named (or numbered) stream below `key`."""
    number = np.uint32(zlib.crc32(name.encode())) if isinstance(name, str) else name
    words = jax.random.key_data(key)
    child = threefry((words[0], words[1]), (jnp.asarray(number, jnp.uint32), _FOLD))
    return jax.random.wrap_key_data(jnp.stack(child), impl="threefry2x32")


def threefry(key: tuple, counter: tuple) -> tuple[jax.Array, jax.Array]:
    """The threefry-2x32-20 block cipher: two words of key, two of counter, two of output."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = (y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation))
            y = x ^ y
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def pairs(key: Key, shape: Sequence[int] = ()) -> tuple[jax.Array, jax.Array]:
    """Two independent arrays of uniform 32-bit words, uint32 of the given shape each."""
    words = jax.random.key_data(key)
    counter = jax.lax.iota(np.uint32, math.prod(shape)).reshape(shape)
    return threefry((words[0], words[1]), (counter, _DRAW))


def bits(key: Key, shape: Sequence[int] = ()) -> jax.Array:
    """Independent uniform 32-bit words, uint32 of the given shape."""
    size = math.prod(shape)
    return jnp.concatenate(pairs(key, ((size + 1) // 2,)))[:size].reshape(shape)


def to_uniform(words: jax.Array) -> jax.Array:
    """Words to floats: the midpoints of 2^23 equal cells of (0, 1), so neither 0 nor 1 comes up
    and the mean is exactly one half."""
    return (words >> 9).astype(jnp.float32) * np.float32(2**-23) + np.float32(2**-24)


def uniform(key: Key, shape: Sequence[int] = ()) -> jax.Array:
    """Uniform on (0, 1), float32, with a resolution of 2^-23; never 0, never 1."""
    return to_uniform(bits(key, shape))


# Polynomial for the normal quantile of u, over z = 2u - 1, in s = w / 7.75 - 1 where
# w = -log(1 - z^2): a least-squares Chebyshev fit on 0 <= w <= 15.5, the range of `uniform`.
_QUANTILE = (
    3.7010386, 1.9611159, -0.44534317, 0.16736203, -0.041373234, -0.03080993, 0.06098378,
    -0.0560095, 0.0432262, -0.02899099, -0.010848762, 0.04164148, -0.017966725, -0.010793086,
    0.0071134656,
)  # fmt: skip


def to_normal(uniforms: jax.Array) -> jax.Array:
    """Standard normal quantiles of uniforms, to a relative 4e-7; the tails end at 5.4 standard
    deviations. One branch-free polynomial: `lax.erf_inv` does not vectorise on a CPU once it is
    fused with what follows, and is then ten times slower."""
    z = 2 * uniforms - 1
    s = -jnp.log((1 - z) * (1 + z)) * np.float32(1 / 7.75) - 1
    ratio = np.float32(_QUANTILE[-1])
    for coefficient in _QUANTILE[-2::-1]:
        ratio = ratio * s + np.float32(coefficient)
    return z * ratio


def normal(key: Key, shape: Sequence[int] = ()) -> jax.Array:
    """Standard normal, float32, by inversion of `uniform`."""
    return to_normal(uniform(key, shape))


def exponential(key: Key, shape: Sequence[int] = ()) -> jax.Array:
    """Exponential with mean 1, float32."""
    return -jnp.log(uniform(key, shape))


def laplace(key: Key, shape: Sequence[int] = ()) -> jax.Array:
    """Laplace with scale 1 (variance 2), float32: the difference of two exponentials."""
    first, second = pairs(key, shape)
    return jnp.log(to_uniform(second)) - jnp.log(to_uniform(first))


def gumbel(key: Key, shape: Sequence[int] = ()) -> jax.Array:
    """Standard Gumbel, float32: argmax(logits + gumbel) is categorical(softmax(logits))."""
    return -jnp.log(exponential(key, shape))


_WIDE, _LONG = 16, 1024


@jax.jit  # XLA crashes over a reduction of two results that nobody uses; a function it can drop
def argmax(x: jax.Array) -> jax.Array:
    """Index (int32) of the largest entry on the last axis, the lowest such index on ties; entries
    are not NaN.

    `jnp.argmax` goes through a long axis entry by entry. From 17 to 1,024 entries this one folds
    it into 16 lanes first, in vector code: three times faster on a CPU at 100 entries.
    """
    size = x.shape[-1]
    x = x.astype(jnp.float32) if x.dtype == bool else x
    if not _WIDE < size <= _LONG or not jnp.issubdtype(x.dtype, jnp.floating):
        return jax.lax.argmax(x, x.ndim - 1, jnp.int32)  # int32 also where float64 is enabled
    padding = [(0, 0)] * (x.ndim - 1) + [(0, -size % _WIDE)]
    x = jnp.pad(x, padding, constant_values=-jnp.inf)
    best = x[..., :_WIDE]
    row = jnp.zeros(best.shape, jnp.int32)
    for i in range(1, x.shape[-1] // _WIDE):
        here = x[..., i * _WIDE : (i + 1) * _WIDE]
        better = here > best
        best, row = jnp.where(better, here, best), jnp.where(better, i, row)
    index = row * _WIDE + jax.lax.broadcasted_iota(jnp.int32, row.shape, row.ndim - 1)

    def larger(a, b):
        later = (b[0] > a[0]) | ((b[0] == a[0]) & (b[1] < a[1]))
        return jnp.maximum(a[0], b[0]), jnp.where(later, b[1], a[1])

    lowest = (np.array(-np.inf, x.dtype), np.int32(size - 1))
    return jax.lax.reduce((best, index), lowest, larger, (index.ndim - 1,))[1]


def categorical(u: jax.Array, weights: jax.Array) -> jax.Array:
    """One draw by inversion: the index i (int32) with probability weights[i] / sum(weights).

    Args:
      u: one uniform in (0, 1), shape [].
      weights: non-negative, not all zero, [K]; they need not add up to one.

    Takes a running sum in float32: a weight below 2^-23 of the total may never be drawn.
    """
    if weights.shape[-1] <= _UNROLLED:
        return _categorical_unrolled(u, weights)
    cumulative = jnp.cumsum(weights, axis=-1)
    reached = cumulative <= u * cumulative[..., -1:]
    return jnp.minimum(jnp.sum(reached, axis=-1, dtype=jnp.int32), weights.shape[-1] - 1)


_UNROLLED = 100  # up to here the running sum is written out: on a CPU two to five times faster


def _categorical_unrolled(u, weights):
    sums = [weights[..., 0]]
    for k in range(1, weights.shape[-1]):
        sums.append(sums[-1] + weights[..., k])
    index = jnp.zeros(sums[-1].shape, jnp.int32)
    for reached in sums[:-1]:
        index += (reached <= u * sums[-1]).astype(jnp.int32)
    return once(index)


def once(index: jax.Array) -> jax.Array:
    """The same int32 index, but computed once: XLA would compute a cheap-looking expression again
    in each of its uses. (A reduction of two operands is a border that it does not cross, where it
    takes an `optimization_barrier` away.)"""
    zero = jnp.zeros_like(index)
    pairs = jnp.stack([index, zero], axis=-1), jnp.stack([zero, zero], axis=-1)
    initial = (np.int32(0), np.int32(0))

    def fold(a, b):
        return jnp.maximum(a[0], b[0]), a[1] + b[1]

    return jax.lax.reduce(pairs, initial, fold, (index.ndim,))[0]
