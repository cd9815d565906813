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
from .sums import RETRY, BinomialTape, binomial, binomial_tape, uniform_sum

__all__ = [
    "BinomialTape",
    "GammaShape",
    "GammaTape",
    "beta",
    "beta_from",
    "beta_tape",
    "binomial",
    "binomial_tape",
    "gamma",
    "gamma_shape",
    "gamma_tape",
    "uniform_sum",
]

_FEW = 256  # up to this many lanes, rejected ones are redrawn one by one; beyond, all together


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
        words = jax.lax.optimization_barrier(threefry((words[0], words[1]), (n, RETRY)))
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
