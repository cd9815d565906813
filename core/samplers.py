"""Gamma, beta and binomial draws whose parameters are known only inside the loop.

A tape holds randomness drawn in a block ahead of time; the sampler turns it into a draw once the
parameters are known. The samplers reject: the first proposal comes from the tape and is nearly
always kept. A rejected one is redrawn from the bits it was made of, hashed once more with
the number of the attempt, so the result is exact in law, and a function of its own words alone:
what other seeds of the batch do never changes it.

`jax.random.gamma` and `beta` run one rejection loop a lane, several times slower than scalar C.
Here one pass of vector code serves all lanes, and only rows with a rejected lane cost more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .noise import pairs, stream, threefry, to_normal, to_uniform, uniform
from .protocol import Key

_FEW = 256  # up to this many lanes, rejected ones are redrawn one by one; beyond, all together
_DRAWN = 1024  # up to so many uniforms are drawn for a sum of them
_CHUNK = 32  # so many at once
_RETRY = np.uint32(0x72747279)  # second counter word of redrawn proposals


class GammaTape(NamedTuple):
    """What gamma draws of some shape are made of."""

    normal: jax.Array  # [...]
    log_uniform: jax.Array  # [...]
    log_boost: jax.Array | None  # [...]; None when every shape parameter is at least one


class GammaShape(NamedTuple):
    """Constants of gamma laws. A learner in whose posterior one arm a round changes keeps them:
    computed again each round they cost more than the draw."""

    d: jax.Array
    slope: jax.Array
    boost: jax.Array  # exponent of the extra uniform: 1 / shape below one, else 0


class BinomialTape(NamedTuple):
    """Words for binomial draws of some shape."""

    first: jax.Array  # [...] uint32
    second: jax.Array  # [...] uint32


def gamma_tape(key: Key, shape: Sequence[int] = (), *, below_one: bool = True) -> GammaTape:
    """A tape for `gamma` draws of the given shape (with a leading axis of rounds, usually).

    `below_one=False` promises shape parameters of at least one, and saves a third of the words.
    """
    first, second = pairs(key, shape)
    boost = uniform(stream(key, "boost"), shape) if below_one else None
    return GammaTape(
        to_normal(to_uniform(first)),
        jnp.log(to_uniform(second)),
        None if boost is None else jnp.log(boost),
    )


def beta_tape(key: Key, shape: Sequence[int] = (), *, below_one: bool = True) -> GammaTape:
    """A tape for `beta` draws of the given shape: gammas twice as wide on the last axis."""
    return gamma_tape(key, (*shape[:-1], 2 * shape[-1]) if shape else (2,), below_one=below_one)


def binomial_tape(key: Key, shape: Sequence[int] = ()) -> BinomialTape:
    """A tape for `binomial` draws of the given shape."""
    return BinomialTape(*pairs(key, shape))


def gamma_shape(shape: jax.Array) -> GammaShape:
    """The constants that draws with these shape parameters (> 0) need."""
    shape = jnp.asarray(shape, jnp.float32)
    small = shape < 1
    d = shape + jnp.where(small, np.float32(2 / 3), np.float32(-1 / 3))
    return GammaShape(d, np.float32(1 / 3) / jnp.sqrt(d), jnp.where(small, 1 / shape, 0))


def gamma(tape: GammaTape, shape: jax.Array) -> jax.Array:
    """Gamma draws with scale 1 and the given shape parameters (> 0), float32, shaped as the tape.

    Marsaglia and Tsang, "A simple method for generating gamma variables", 2000; below one by
    Gamma(a) = Gamma(a + 1) U^(1/a), Section 6 there. A draw under 1e-38 comes out as 0, as small
    shapes make likely; `beta` keeps its precision there.
    """
    constants = gamma_shape(jnp.broadcast_to(shape, tape.normal.shape))
    root = _root(tape, constants)
    draw = constants.d * (root * root * root)
    return draw if tape.log_boost is None else draw * jnp.exp(tape.log_boost * constants.boost)


def beta(tape: GammaTape, a: jax.Array, b: jax.Array) -> jax.Array:
    """Beta(a, b) draws (a, b > 0), float32, shaped as the tape was asked for."""
    lanes = (*tape.normal.shape[:-1], tape.normal.shape[-1] // 2)
    if not jnp.shape(a) and not jnp.shape(b) and lanes == (1,):  # one draw
        return beta_from(tape, gamma_shape(jnp.stack([a, b])))[0]
    both = [jnp.broadcast_to(jnp.asarray(x, jnp.float32), lanes) for x in (a, b)]
    return beta_from(tape, gamma_shape(jnp.concatenate(both, axis=-1)))


def beta_from(tape: GammaTape, shapes: GammaShape) -> jax.Array:
    """Beta draws from kept constants, those of every a before those of every b on the last axis:
    X / (X + Y) of two gammas, formed from their ratio so that tiny shapes do not underflow."""
    half = tape.normal.shape[-1] // 2

    def y_over_x(x):
        return x[..., half:] / x[..., :half]

    root = y_over_x(_root(tape, shapes))
    ratio = y_over_x(shapes.d) * (root * root * root)
    if tape.log_boost is not None:
        log_boost = tape.log_boost * shapes.boost
        ratio = ratio * jnp.exp(log_boost[..., half:] - log_boost[..., :half])
    return 1 / (1 + ratio)


def _root(tape: GammaTape, shapes: GammaShape) -> jax.Array:
    """Cube roots of gamma draws over d (of shape + 1 where the shape is below one)."""

    def propose(normal, log_uniform, d, slope):
        y = jax.lax.optimization_barrier(slope * normal)  # or it is computed once for each use
        return 1 + y, log_uniform < d * _log_density_ratio(y)

    def propose_again(first, second, d, slope):
        return propose(to_normal(to_uniform(first)), jnp.log(to_uniform(second)), d, slope)

    parameters = shapes.d, shapes.slope
    words = [jax.lax.bitcast_convert_type(x, jnp.uint32) for x in (tape.normal, tape.log_uniform)]
    value, accepted = propose(tape.normal, tape.log_uniform, *parameters)
    return _redraw(value, accepted, words, propose_again, parameters)


def _log_density_ratio(y):
    """3 log(1 + y) - 3 y + 3 y^2 / 2 - y^3, which is -3/4 y^4 + ... near 0: the log of the
    acceptance probability over d. Written out directly it loses every digit once d is large.
    (`log1p` is avoided: fused with the rest it would keep XLA from vectorising on a CPU.)"""
    series = np.float32(3 / 12)
    for n in range(11, 3, -1):
        series = series * -y + np.float32(3 / n)
    direct = 3 * jnp.log(jnp.maximum(1 + y, 0)) - y * (3 - y * (np.float32(1.5) - y))
    square = y * y
    return jnp.where(jnp.abs(y) < 0.25, -series * (square * square), direct)


def _redraw(value, accepted, words, propose: Callable, parameters):
    """`value` where accepted; elsewhere the first accepted proposal made of the successive hashes
    of the entry's two words. `propose(first, second, *parameters) -> (value, accepted)` works
    entry by entry."""
    shape, lanes = value.shape, math.prod(value.shape)
    words = [x.reshape(lanes) for x in words]
    parameters = [x.reshape(lanes) for x in parameters]

    def attempt(words, n, parameters):
        words = jax.lax.optimization_barrier(threefry((words[0], words[1]), (n, _RETRY)))
        return jax.lax.optimization_barrier(propose(*words, *parameters))

    def redraw(loop):
        n, value, pending = loop
        if lanes > _FEW:  # all at once
            new, accepted = attempt(words, n, parameters)
            return n + 1, jnp.where(pending, new, value), pending & ~accepted
        # The first one pending. Its attempts need not be consecutive: only that all differ.
        lane = jnp.min(jnp.where(pending, jax.lax.iota(jnp.int32, lanes), lanes - 1))
        lane = jax.lax.optimization_barrier(lane)
        new, accepted = attempt([x[lane] for x in words], n, [x[lane] for x in parameters])
        value = value.at[lane].set(jnp.where(pending[lane], new, value[lane]))
        return n + 1, value, pending.at[lane].set(pending[lane] & ~accepted)

    loop = np.uint32(0), value.reshape(lanes), ~accepted.reshape(lanes)
    return jax.lax.while_loop(lambda loop: jnp.any(loop[2]), redraw, loop)[1].reshape(shape)


def uniform_sum(key: Key, counts: jax.Array) -> jax.Array:
    """Sums of `counts` independent uniforms on (0, 1) each, float32, shaped as `counts` (int32, up
    to 2^24).

    Equal in law to adding up that many draws of `noise.uniform`. Up to 1,024 they are drawn and
    added up; beyond, bit by bit: of the b-th binary digits of n uniforms, Binomial(n, 1/2) are one.
    """
    few = jnp.where(counts <= _DRAWN, counts, 0)
    many = counts - few

    def draw(loop):
        chunk, total = loop
        cells = jnp.stack(pairs(stream(key, chunk), (*counts.shape, _CHUNK // 2)), axis=-1) >> 9
        cells = cells.reshape(*counts.shape, _CHUNK)
        left = few[..., None] - chunk * _CHUNK
        kept = jnp.where(jnp.arange(_CHUNK) < left, cells, 0)
        added = jnp.sum(kept, axis=-1, dtype=jnp.uint32).astype(jnp.float32)
        return chunk + 1, total + added * np.float32(2**-23)

    def digit(loop):
        b, total = loop
        tape = binomial_tape(stream(stream(key, "digits"), b), counts.shape)
        ones = binomial(tape, many, jnp.float32(0.5)).astype(jnp.float32)
        return b - 1, total + ones * jnp.exp2(-b.astype(jnp.float32))

    middle = counts.astype(jnp.float32) * np.float32(2**-24)  # a uniform is the middle of its cell
    loop = jnp.int32(0), middle
    total = jax.lax.while_loop(lambda x: jnp.any(x[0] * _CHUNK < few), draw, loop)[1]
    loop = jnp.int32(23), total  # the smallest digits first
    return jax.lax.while_loop(lambda x: jnp.any(many > 0) & (x[0] > 0), digit, loop)[1]


# ---- binomial ------------------------------------------------------------------------------


def binomial(tape: BinomialTape, n: jax.Array, p: jax.Array) -> jax.Array:
    """Binomial(n, p) draws, int32, shaped as the tape; n up to 2^24, p in [0, 1].

    By inversion where n min(p, 1 - p) < 10, else Hoermann's transformed rejection BTRS ("The
    generation of binomial random variates", 1993) with Loader's form of the probabilities
    ("Fast and accurate computation of binomial probabilities", 2000), which float32 can hold.
    """
    n = jnp.broadcast_to(n, tape.first.shape).astype(jnp.float32)
    p = jnp.broadcast_to(p, tape.first.shape).astype(jnp.float32)
    q = jnp.minimum(p, 1 - p)
    few = n * q < 10
    inverted = _invert(to_uniform(tape.first), n, jnp.where(few, q, 0))
    safe = jnp.where(few, 100, n), jnp.where(few, np.float32(0.5), q)
    rejected = _redraw(*_btrs(*tape, *safe), tape, _btrs, safe)
    count = jnp.where(few, inverted, rejected)
    return jnp.where(p > 0.5, n - count, count).astype(jnp.int32)


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
    at_edge = n * jnp.where(k == 0, jnp.log1p(-p), jnp.log(p))
    half_log_tau = np.float32(0.5 * math.log(2 * math.pi))
    return jnp.where(edge, at_edge - _stirling_error(n) + half_log_tau, value)


_STIRLING = np.array(
    [math.lgamma(k + 1) - (k + 0.5) * math.log(k) + k - 0.5 * math.log(2 * math.pi)
     for k in range(1, 16)], np.float32,
)  # fmt: skip


def _stirling_error(k):
    """log k! less Stirling's approximation, k >= 1 a whole number."""
    table = jnp.asarray(_STIRLING)[jnp.clip(k.astype(jnp.int32) - 1, 0, 14)]
    square = 1 / (k * k)
    series = (np.float32(1 / 12) - square * (np.float32(1 / 360) - square / 1260)) / k
    return jnp.where(k < 16, table, series)


def _deviance(x, mean):
    """x log(x / mean) + mean - x, exact where x is near the mean."""
    t = (x - mean) / mean
    series = np.float32(1 / (12 * 11))
    for m in range(11, 1, -1):
        series = series * -t + np.float32(1 / (m * (m - 1)))
    return mean * jnp.where(jnp.abs(t) < 0.25, series * t * t, (1 + t) * jnp.log1p(t) - t)
