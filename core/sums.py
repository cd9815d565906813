"""Sums of n independent rewards in a time that hardly depends on n: of coins, and of uniforms.

The words that a draw is made of come first, and n and p are known only inside the loop. A rejected
proposal is made again from the hash of its words and the number of the attempt, so the result is
exact in law and a function of its own words alone: what other seeds of the batch do never changes
it. The code is written for lanes of seeds (`core.lanes`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .lanes import over_lanes
from .noise import pairs, stream, threefry, to_uniform
from .protocol import Key

RETRY = np.uint32(0x72747279)  # second counter word of redrawn proposals
_DRAWN = 1024  # up to so many uniforms are drawn for a sum of them
_CHUNK = 16  # so many at once


class BinomialTape(NamedTuple):
    """Words for binomial draws of some shape."""

    first: jax.Array  # [...] uint32
    second: jax.Array  # [...] uint32


def binomial_tape(key: Key, shape: Sequence[int] = ()) -> BinomialTape:
    """A tape for `binomial` draws of the given shape."""
    return BinomialTape(*pairs(key, shape))


def binomial(tape: BinomialTape, n: jax.Array, p: jax.Array) -> jax.Array:
    """Binomial(n, p) draws, int32, shaped as the tape; n up to 2^24, p in [0, 1].

    By inversion where n min(p, 1 - p) < 10, else Hoermann's transformed rejection BTRS ("The
    generation of binomial random variates", 1993) with Loader's form of the probabilities
    ("Fast and accurate computation of binomial probabilities", 2000), which float32 can hold.
    """
    shape = tape.first.shape
    arguments = *tape, *(jnp.broadcast_to(x, shape).astype(jnp.float32) for x in (n, p))
    return over_lanes(_binomial)(*(x.reshape(-1) for x in arguments)).reshape(shape)


def _binomial(first, second, n, p):
    q = jnp.minimum(p, 1 - p)
    few = n * q < 10
    inverted = _invert(to_uniform(first), n, jnp.where(few, q, 0))
    safe = jnp.where(few, 100, n), jnp.where(few, np.float32(0.5), q)
    value, accepted = _btrs(first, second, *safe)
    count = jnp.where(few, inverted, _redraw(value, accepted | few, (first, second), safe))
    return jnp.where(p > 0.5, n - count, count).astype(jnp.int32)


def _redraw(value, accepted, words, parameters):
    """`value` where accepted; elsewhere the first accepted proposal made of the successive hashes
    of the entry's two words."""

    def redraw(loop):
        number, value, pending = loop
        again = threefry(words, (jnp.full(value.shape, number), RETRY))
        new, accepted = _btrs(*again, *parameters)
        return number + 1, jnp.where(pending, new, value), pending & ~accepted

    loop = np.uint32(0), value, ~accepted
    return jax.lax.while_loop(lambda loop: jnp.any(loop[2]), redraw, loop)[1]


def _invert(u, n, p):
    """The smallest k with u <= P(X <= k), adding up probabilities from 0."""

    def step(loop):
        k, mass, left = loop
        more = left > mass
        left = jnp.where(more, left - mass, left)
        mass = jnp.where(more, mass * (n - k) / (k + 1) * (p / (1 - p)), mass)
        return k + more, mass, left

    def short(loop):
        k, mass, left = loop
        return jnp.any((left > mass) & (k < n) & (k < 100))

    start = jnp.zeros_like(u), jnp.exp(n * jnp.log1p(-p)), u
    return jax.lax.while_loop(short, step, start)[0]


def _btrs(first, second, n, p):
    mean, spread = n * p, jnp.sqrt(n * p * (1 - p))
    b = np.float32(1.15) + np.float32(2.53) * spread
    a = np.float32(-0.0873) + np.float32(0.0248) * b + np.float32(0.01) * p
    alpha = (np.float32(2.83) + np.float32(5.1) / b) * spread
    u, v = to_uniform(first) - np.float32(0.5), to_uniform(second)
    us = np.float32(0.5) - jnp.abs(u)
    k = jnp.floor((2 * a / us + b) * u + mean + np.float32(0.5))
    inside = (k >= 0) & (k <= n)
    k = jnp.clip(k, 0, n)
    quick = (us >= np.float32(0.07)) & (v <= np.float32(0.92) - np.float32(4.2) / b)
    mode = jnp.floor((n + 1) * p)
    bound = _log_probability(k, n, p) - _log_probability(mode, n, p)
    return k, inside & (quick | (jnp.log(v * alpha / (a / (us * us) + b)) <= bound))


def _log_probability(k, n, p):
    """Log of the binomial probability of k among n, less terms of n alone (Loader 2000)."""
    edge = (k == 0) | (k == n)
    inner = jnp.where(edge, 1, k)
    rest = n - inner
    value = (
        np.float32(-0.5) * jnp.log(inner * rest / n)
        - _stirling_error(inner)
        - _stirling_error(rest)
        - _deviance(inner, n * p)
        - _deviance(rest, n * (1 - p))
    )
    at_edge = n * jnp.where(k == 0, jnp.log(1 - p), jnp.log(p))
    half_log_tau = np.float32(0.5 * math.log(2 * math.pi))
    return jnp.where(edge, at_edge - _stirling_error(n) + half_log_tau, value)


_AT_ONE = np.float32(1 - 0.5 * math.log(2 * math.pi))
_STIELTJES = tuple(np.float32(x) for x in (1 / 12, 1 / 30, 53 / 210, 195 / 371, 22999 / 22737))


def _stirling_error(k):
    """log k! less Stirling's approximation, k >= 1 a whole number, to 1e-7: the continued fraction
    of Stieltjes, which is vector code where a table would not be. It is short of that at k = 1."""
    below = 0.0
    for numerator in _STIELTJES[::-1]:
        below = numerator / (k + below)
    return jnp.where(k < 1.5, _AT_ONE, below)


def _deviance(x, mean):
    """x log(x / mean) + mean - x, exact where x is near the mean."""
    t = (x - mean) / mean
    series = np.float32(1 / (12 * 11))
    for m in range(11, 1, -1):
        series = series * -t + np.float32(1 / (m * (m - 1)))
    return mean * jnp.where(jnp.abs(t) < 0.25, series * t * t, (1 + t) * jnp.log(x / mean) - t)


# ---- sums of uniforms ----------------------------------------------------------------------


def uniform_sum(key: Key, counts: jax.Array) -> jax.Array:
    """Sums of `counts` independent uniforms on (0, 1) each, float32, shaped as `counts` (int32, up
    to 2^24).

    Equal in law to adding up that many draws of `noise.uniform`. Up to 1,024 they are drawn and
    added up; beyond, bit by bit: of the b-th binary digits of n uniforms, Binomial(n, 1/2) are one.
    """
    words = jax.random.key_data(key)
    few = jnp.where(counts <= _DRAWN, counts, 0).reshape(-1)
    total = over_lanes(_add_up)(words[0], words[1], few).reshape(counts.shape)
    many = jnp.where(counts > _DRAWN, counts, 0)

    def digit(loop):  # the smallest first
        b, total = loop
        tape = binomial_tape(stream(stream(key, "digits"), b), counts.shape)
        ones = binomial(tape, many, jnp.float32(0.5)).astype(jnp.float32)
        return b - 1, total + ones * jnp.exp2(-b.astype(jnp.float32))

    # A uniform is the middle of its cell: half a cell for each that comes in digits.
    start = jnp.int32(23), total + many.astype(jnp.float32) * np.float32(2**-24)
    return jax.lax.while_loop(lambda x: jnp.any(many > 0) & (x[0] > 0), digit, start)[1]


def _add_up(first, second, counts):
    """Keys [B], [B] and counts [W, B]."""
    slot = jax.lax.broadcasted_iota(jnp.uint32, counts.shape, 0)

    def draw(loop):
        chunk, total = loop
        left = counts - chunk * _CHUNK
        cells = jnp.zeros(counts.shape, jnp.uint32)
        # Counters: the slot, and a number for each two uniforms of it.
        number = chunk.astype(jnp.uint32) * np.uint32(_CHUNK // 2)
        for i in range(_CHUNK // 2):
            words = threefry((first, second), (slot, number + np.uint32(i)))
            for j, word in enumerate(words):
                cells += jnp.where(2 * i + j < left, word >> 9, 0)
        return chunk + 1, total + cells.astype(jnp.float32) * np.float32(2**-23)

    def short(loop):
        return jnp.any(loop[0] * _CHUNK < counts)

    start = jnp.int32(0), counts.astype(jnp.float32) * np.float32(2**-24)
    return jax.lax.while_loop(short, draw, start)[1]
