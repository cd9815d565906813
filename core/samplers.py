"""Gamma, beta and binomial draws whose parameters are known only inside the loop.

A tape holds raw random words, drawn in a block ahead of time; the sampler turns them into a draw
once the parameters are known. The samplers reject: the first proposal comes from the tape and is
nearly always kept. A rejected one is redrawn from the words it was made of, hashed once more with
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

from .noise import bits, threefry, to_normal, to_uniform
from .protocol import Key

_FEW = 64  # up to this many lanes, rejected ones are redrawn one by one; beyond, all together
_RETRY = np.uint32(0x72747279)  # second counter word of redrawn proposals


class GammaTape(NamedTuple):
    """Words for gamma draws of some shape."""

    first: jax.Array  # [...] uint32
    second: jax.Array  # [...] uint32
    boost: jax.Array | None  # [...] uint32; None when every shape parameter is at least one


class GammaShape(NamedTuple):
    """Constants of gamma laws. A learner in whose posterior one arm a round changes keeps them,
    and `gamma` and `beta` are then faster: square roots keep the rest from vectorising."""

    d: jax.Array
    slope: jax.Array
    boost: jax.Array  # exponent of the extra uniform: 1 / shape below one, else 0


class BetaTape(NamedTuple):
    """Words for beta draws of some shape: two gammas each."""

    x: GammaTape
    y: GammaTape


class BinomialTape(NamedTuple):
    """Words for binomial draws of some shape."""

    first: jax.Array  # [...] uint32
    second: jax.Array  # [...] uint32


def gamma_tape(key: Key, shape: Sequence[int] = (), *, below_one: bool = True) -> GammaTape:
    """Words for `gamma` draws of the given shape (with a leading axis of rounds, usually).

    `below_one=False` promises shape parameters of at least one, and saves a third of the words.
    """
    words = bits(key, (3 if below_one else 2, *shape))
    return GammaTape(words[0], words[1], words[2] if below_one else None)


def beta_tape(key: Key, shape: Sequence[int] = (), *, below_one: bool = True) -> BetaTape:
    """Words for `beta` draws of the given shape; `below_one` as for `gamma_tape`."""
    words = bits(key, (6 if below_one else 4, *shape))
    boosts = (words[4], words[5]) if below_one else (None, None)
    return BetaTape(
        GammaTape(words[0], words[1], boosts[0]), GammaTape(words[2], words[3], boosts[1])
    )


def binomial_tape(key: Key, shape: Sequence[int] = ()) -> BinomialTape:
    """Words for `binomial` draws of the given shape."""
    return BinomialTape(*bits(key, (2, *shape)))


def gamma_shape(shape: jax.Array) -> GammaShape:
    """The constants that draws with these shape parameters (> 0) need."""
    shape = jnp.asarray(shape, jnp.float32)
    small = shape < 1
    d = shape + jnp.where(small, np.float32(2 / 3), np.float32(-1 / 3))
    return GammaShape(d, np.float32(1 / 3) / jnp.sqrt(d), jnp.where(small, 1 / shape, 0))


def gamma(tape: GammaTape, shape: jax.Array | GammaShape) -> jax.Array:
    """Gamma draws with scale 1 and the given shape parameters (> 0), float32, shaped as the tape.

    Marsaglia and Tsang, "A simple method for generating gamma variables", 2000; below one by
    Gamma(a) = Gamma(a + 1) U^(1/a), Section 6 there. A draw under 1e-38 comes out as 0, as small
    shapes make likely; `beta` keeps its precision there.
    """
    constants = shape if isinstance(shape, GammaShape) else gamma_shape(shape)
    root = _root(tape, constants)
    return jnp.exp(_log_boost(tape, constants)) * constants.d * (root * root * root)


def beta(
    tape: BetaTape, a: jax.Array | GammaShape, b: jax.Array | GammaShape
) -> jax.Array:
    """Beta(a, b) draws (a, b > 0), float32, shaped as the tape: X / (X + Y) of two gammas, formed
    from their ratio so that tiny shapes do not underflow."""
    x = a if isinstance(a, GammaShape) else gamma_shape(a)
    y = b if isinstance(b, GammaShape) else gamma_shape(b)
    root = _root(tape.y, y) / _root(tape.x, x)
    ratio = (y.d / x.d) * (root * root * root)
    if tape.x.boost is not None:
        ratio = ratio * jnp.exp(_log_boost(tape.y, y) - _log_boost(tape.x, x))
    return 1 / (1 + ratio)


def _log_boost(tape, shape):
    if tape.boost is None:
        return np.float32(0)
    return jnp.log(to_uniform(tape.boost)) * shape.boost


def _root(tape, shape):
    """Cube roots of gamma draws over d (of shape + 1 where it is below one)."""

    def propose(first, second, d, slope):
        y = slope * to_normal(to_uniform(first))
        return 1 + y, jnp.log(to_uniform(second)) < d * _log_density_ratio(y)

    d = jnp.broadcast_to(shape.d, tape.first.shape)
    slope = jnp.broadcast_to(shape.slope, tape.first.shape)
    return _redraw(propose, tape.first, tape.second, d, slope)


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


def _redraw(propose: Callable, first, second, *parameters):
    """The first accepted of proposals made of (first, second), then of their successive hashes.

    `propose(first, second, *parameters) -> (value, accepted)` works entry by entry.
    """
    value, accepted = propose(first, second, *parameters)
    shape, lanes = value.shape, math.prod(value.shape)
    flat = [x.reshape(lanes) for x in (first, second, *parameters)]

    def attempt(loop):
        n, value, pending = loop
        if lanes > _FEW:  # all at once
            words = threefry((flat[0], flat[1]), (n, _RETRY))
            new, accepted = propose(*words, *flat[2:])
            value = jnp.where(pending, new, value)
            return n + 1, value, pending & ~accepted
        # The first one pending. Its attempts need not be consecutive: only that all differ.
        lane = jnp.min(jnp.where(pending, jax.lax.iota(jnp.int32, lanes), lanes - 1))
        at = [x[lane] for x in flat]
        words = threefry((at[0], at[1]), (n, _RETRY))
        new, accepted = propose(*words, *at[2:])
        value = value.at[lane].set(jnp.where(pending[lane], new, value[lane]))
        return n + 1, value, pending.at[lane].set(pending[lane] & ~accepted)

    loop = np.uint32(0), value.reshape(lanes), ~accepted.reshape(lanes)
    return jax.lax.while_loop(lambda loop: jnp.any(loop[2]), attempt, loop)[1].reshape(shape)


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
    rejected = _redraw(_btrs, tape.first, tape.second, *safe)
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
