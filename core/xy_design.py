"""The design that tells arms apart best: XY-optimal designs.

Pure functions of one seed, vmapped over seeds in vector code, as in `design`.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .lanes import dot, inverse, over_lanes, rows, while_any

_STEPS = 1000  # what is left of the gap then is left
_BLOCK = 32  # lanes at a time on a CPU
_FLOOR = 1e-4  # of the even weight: keeps the matrix regular, and counts as nothing in the end


class XYDesign(NamedTuple):
    """A design over all arms, and what it achieves: `rho` is the largest squared norm of a
    difference; no design is below `bound`."""

    weights: jax.Array  # [K], adding up to 1
    rho: jax.Array  # []
    bound: jax.Array  # []


def xy_optimal(
    coordinates: jax.Array,
    rank: jax.Array,
    among: jax.Array,
    needed: jax.Array,
    limit: jax.Array | None = None,
    *,
    tolerance: float = 0.02,
) -> XYDesign:
    """Weights w of all K arms that nearly minimise the largest ||x_i - x_j||^2, i and j `among`, in
    the inverse of A(w) = sum_k w_k x_k x_k^T.

    The minimum is rho = min_w max_m sum_ij m_ij ||x_i - x_j||^2 over weights m of pairs. Both sides
    are updated at once, w_k by the square root of the derivative in it, relative to the mean, m_ij
    by its norm relative to the mean, until the norms are certified to be within `tolerance` of rho:
    with F the mean norm and G the largest derivative, F^2 / G is a lower bound of it. (The
    multiplicative steps for w are Silvey, Titterington and Torsney's, 1978; the simultaneous ones
    for m have no proof of convergence that we know of, only the certificate.)

    Args:
      coordinates: [K, d] float32 in a well-conditioned basis: the `alphas` of `design.max_det`.
      rank: dimension of their span; columns from there on are zero.
      among: [K] bool. With fewer than two arms, or equal ones, rho is 0 and the weights even.
      needed: [] bool; without it no steps are taken, and the result means nothing.
      limit: []; stop as soon as it is known which of rho and `limit` is larger: then `rho` of the
        result is at most `limit`, or `bound` is above it. NaN is no limit.
      tolerance: relative, 1e-3 or more.

    Raises:
      ValueError: a tolerance below what float32 can tell.
    """
    if tolerance < 1e-3:
        raise ValueError(f"the tolerance of an XY-optimal design is 1e-3 or more, got {tolerance}")
    function = over_lanes(partial(_xy_optimal, tolerance), _BLOCK)
    return function(coordinates, rank, among, needed, *([] if limit is None else [limit]))


def _xy_optimal(tolerance, coordinates, rank, among, needed, limit=None):
    x = jnp.moveaxis(coordinates, 1, 0)  # [d, K, B]
    num_arms = x.shape[1]
    index = jnp.arange(num_arms)
    pairs = among[:, None] & among & (index[:, None] != index)[:, :, None]  # [K, K, B]
    count = jnp.sum(pairs, axis=(0, 1), dtype=jnp.float32)
    weights = jnp.full(among.shape, 1 / num_arms, jnp.float32)
    mixture = jnp.where(pairs, 1 / jnp.maximum(count, 1), 0)
    measured = _measure(x, rank, pairs, weights, mixture)

    def going(state):
        best, bound, measured = state.best, state.bound, state.measured
        off = best > bound * (1 + tolerance)
        if limit is not None:
            off &= ~((best <= limit) | (bound > limit))
        return needed & off & (measured.mean > 0) & (state.steps < _STEPS)

    def step(state):
        mean = jnp.maximum(state.measured.mean, 1e-30)
        weights = state.weights * jnp.sqrt(state.measured.slopes / mean)
        weights = jnp.maximum(weights, _FLOOR / num_arms)
        weights = weights / jnp.sum(weights, axis=0)
        mixture = state.mixture * state.measured.norms / mean
        mixture = mixture / jnp.maximum(jnp.sum(mixture, axis=(0, 1)), 1e-30)
        measured = _measure(x, rank, pairs, weights, mixture)
        better = measured.largest < state.best
        return _State(
            weights,
            mixture,
            measured,
            jnp.where(better, weights, state.best_weights),
            jnp.where(better, measured.largest, state.best),
            jnp.maximum(state.bound, measured.bound),
            state.steps + 1,
        )

    steps = jnp.zeros(rank.shape, jnp.int32)
    start = _State(weights, mixture, measured, weights, measured.largest, measured.bound, steps)
    end = while_any(going, step, start)
    weights = jnp.where(end.best_weights > 2 * _FLOOR / num_arms, end.best_weights, 0)
    return XYDesign(weights / jnp.sum(weights, axis=0), end.best, end.bound)


class _State(NamedTuple):
    weights: jax.Array  # [K, B]
    mixture: jax.Array  # [K, K, B], symmetric
    measured: _Measured
    best_weights: jax.Array  # [K, B]
    best: jax.Array  # [B], the largest norm that they achieve
    bound: jax.Array  # [B]
    steps: jax.Array  # [B] int32


class _Measured(NamedTuple):
    norms: jax.Array  # [K, K, B] squared norms of differences; 0 where a pair does not count
    slopes: jax.Array  # [K, B] minus the derivative of the mean norm in each weight
    mean: jax.Array  # [B] mean norm
    largest: jax.Array  # [B]
    bound: jax.Array  # [B]


def _measure(x, rank, pairs, weights, mixture):
    d = len(x)
    weighted = x * weights
    matrix = rows(d, lambda j: jnp.sum(weighted[j] * x, axis=1))  # [d, d, B]
    empty = jnp.arange(d, dtype=jnp.int32)[:, None] >= rank
    matrix = matrix + jnp.where(jnp.eye(d, dtype=bool)[:, :, None] & empty, 1, 0)
    inverted = inverse(matrix)
    images = rows(d, lambda j: dot(x, inverted[j]))  # [d, K, B], A^-1 x
    products = dot(images[:, :, None], x[:, None])  # [K, K, B]
    own = dot(images, x)
    norms = jnp.where(pairs, jnp.maximum(own[:, None] + own - 2 * products, 0), 0)
    mean = jnp.sum(mixture * norms, axis=(0, 1))
    # sum_ij m_ij (x_i - x_j)(x_i - x_j)^T seen from x_k: the mixture is symmetric.
    degrees = jnp.sum(mixture, axis=1)
    moved = rows(d, lambda j: degrees * x[j] - jnp.sum(mixture * x[j], axis=1))
    spread = rows(d, lambda j: 2 * jnp.sum(moved[j] * x, axis=1))  # [d, d, B]
    slopes = dot(rows(d, lambda j: dot(images, spread[j])), images)
    slopes = jnp.maximum(slopes, 0)
    largest = jnp.max(norms, axis=(0, 1))
    bound = mean * mean / jnp.maximum(jnp.max(slopes, axis=0), 1e-30)
    return _Measured(norms, slopes, mean, largest, bound)
