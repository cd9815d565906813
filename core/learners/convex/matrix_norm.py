"""The least point of a quadratic on a ball or a box: steps and projections in the norm of a matrix.

argmin <g, x> + |x - y|_H^2 / 2 over a domain, for H positive definite, is the projection in the
norm of H of y - H^{-1} g, and the least point of <x, H x> / 2 - <H y - g, x>. Nothing is inverted
in between, so nothing drifts over many rounds: H is kept as the sum it is. In float64, for a few
dimensions and many seeds (`core.lanes`).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...domains import Ball, Box
from ...lanes import inverse, loop, over_lanes, while_any
from ..solver.box import box_fit

_CLOSE = 1 + 1e-13  # a point is on the sphere when its length is this close to the radius
_STEPS = 60  # Newton steps; three to eight are usual


def check_domain(learner: Any) -> None:
    """Check that a learner's domain is one that `least` knows.

    Raises:
      ValueError: it is a domain of another kind.
    """
    domain = learner.domain
    if hasattr(domain, "project") and not isinstance(domain, Ball | Box):
        raise ValueError(
            f"{type(learner).__name__} projects in the norm of a matrix, onto a Ball or a Box: got "
            f"{domain!r}; OGD, MirrorDescent and FTRL play on any domain"
        )


def step(domain: Any, matrix: jax.Array, point: jax.Array, gradient: jax.Array) -> jax.Array:
    """argmin <gradient, x> + |x - point|_H^2 / 2 over a Ball or a Box, [d] float64.

    Args:
      matrix: H, [d, d] float64, positive definite.
      point, gradient: [d] float64.
    """
    with jax.enable_x64(True):
        return least(domain, matrix, jnp.sum(matrix * point, axis=1) - gradient)


def least(domain: Any, matrix: jax.Array, linear: jax.Array) -> jax.Array:
    """argmin <x, H x> / 2 - <linear, x> over a Ball or a Box, [d] float64."""
    with jax.enable_x64(True):
        if isinstance(domain, Ball):
            radius = jnp.asarray(domain.radius, jnp.float64)
            return over_lanes(_in_ball)(matrix, linear, radius)
        low, high = (jnp.asarray(x, jnp.float64) for x in (domain.low, domain.high))
        return over_lanes(_in_box)(matrix, linear, low, high)


def _in_ball(matrix, linear, radius):
    """The point is x(m) = (H + m I)^{-1} linear with the least m >= 0 for which |x(m)| <= radius.

    1 / |x(m)| is increasing and concave (More and Sorensen, "Computing a trust region step", SIAM
    Journal on Scientific and Statistical Computing 4, 1983), so Newton's steps towards 1 / radius
    from the left stay on the left, and converge from wherever they start. |H x| <= trace(H) |x|
    says how far to the right they may start.
    """
    with jax.enable_x64(True):  # again: JAX may batch this when the caller has returned
        identity = np.eye(len(matrix))[:, :, None]

        def at(level):
            solve = inverse(matrix + level * identity)
            x = jnp.sum(solve * linear, axis=1)
            squared = jnp.sum(x * x, axis=0)
            bend = jnp.sum(x * jnp.sum(solve * x, axis=1), axis=0)
            return level, x, jnp.sqrt(squared), squared / bend

        def outside(state):
            now, count = state
            return (now[2] > _CLOSE * radius) & (count < _STEPS)

        def newton(state):
            (level, _, length, ratio), count = state
            return at(level + ratio * (length - radius) / radius), count + 1

        trace = jnp.sum(matrix * identity, axis=(0, 1))
        first = jnp.maximum(jnp.sqrt(jnp.sum(linear * linear, axis=0)) / radius - trace, 0)
        count = jnp.zeros(first.shape, jnp.int32)
        (_, x, length, _), _ = while_any(outside, newton, (at(first), count))
        return x * (radius / jnp.maximum(length, radius))


def _in_box(matrix, linear, low, high):
    """By the exact method for least squares in a box: |R (x - middle) - z|^2 with H = R^T R."""
    with jax.enable_x64(True):
        middle, half = (low + high) / 2, (high - low) / 2
        centred = linear - jnp.sum(matrix * middle, axis=1)
        factor = _factor(jnp.concatenate([matrix, centred[:, None]], axis=1))
        return middle + box_fit(factor, half, jnp.zeros_like(middle))[0]


def _factor(system):
    """[R | R^{-T} b] of [H | b], [d, d + 1, B]: Cholesky's, R upper triangular."""
    d = len(system)
    places = np.arange(d + 1)[:, None]

    def eliminate(j, carry):
        system, factor = carry
        row = jnp.where(places >= j, system[j], 0) * jax.lax.rsqrt(system[j, j])
        return system - row[:d, None] * row, factor.at[j].set(row)

    return loop(d, eliminate, (system, jnp.zeros_like(system)))[1]
