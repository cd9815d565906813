"""Optimistic online Newton steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..parameters import filled
from .matrix_norm import step
from .newton import check_curvature, curvature
from .rates import domain_of


class OptimisticNewtonState(NamedTuple):
    internal: jax.Array  # [d] float64, xh_t
    point: jax.Array  # [d] float64, x_t
    gradient: jax.Array  # [d] float64, g_{t-1}, zero at first
    matrix: jax.Array  # [d, d] float64, H_t


@flax.struct.dataclass
class OptimisticNewton:
    """Optimistic online mirror descent in the norm of what the gradients were, for exp-concave
    losses between stochastic and adversarial.

    x_t = argmin <g_{t-1}, x> + |x - xh_t|^2 / 2 and xh_{t+1} = argmin <g_t, x> + |x - xh_t|^2 / 2
    over the domain, both in the norm of H_t = (1 + beta G^2 / 2) I + beta / 2 sum_{s<t} g_s g_s',
    with g_0 = 0, beta = min(1 / (4 G D), alpha) / 2, D the diameter of the domain, G =
    gradient_bound and alpha = exp_concavity. Chen, Zhang, Tu, Zhao and Zhang, "Optimistic online
    mirror descent for bridging stochastic and adversarial online convex optimization", Journal of
    Machine Learning Research 25, 2024, whose bound in the SEA model is of order
    d / alpha log(sigma^2 + Sigma^2); H_t and beta are from memory.

    For any exp-concave losses the regret is at most D^2 (1 + beta G^2 / 2) / 2 +
    (1/2 + c) sum_t |g_t - g_{t-1}|^2 in the norm of H_t^{-1}, c = (beta G^2 / 2) /
    (1 + beta G^2 / 2); derived here from the inequality of OptimisticMirrorDescent, the growth of
    H_t being paid by the curvature of the losses.

    On a Ball or a Box, whose projections in the norm of a matrix are exact (see `matrix_norm`).
    Starts at the start of the domain; deterministic. H_t is summed in float64. A round costs
    order d^3. Recommends the next point it would play.

    Args:
      exp_concavity: alpha; left blank, the environment's, or else strong_convexity / G^2.

    Raises:
      ValueError: a parameter that is not positive, a domain of another kind; losses of which
        neither alpha nor the strong convexity is known.
    """

    domain: Any = None
    gradient_bound: Any = None
    exp_concavity: Any = None
    strong_convexity: Any = None

    def __post_init__(self):
        check_curvature(self)

    def init(self, key):
        domain = domain_of(self)
        with jax.enable_x64(True):
            start = domain.start().astype(jnp.float64)
            scale = 1 + curvature(self) * filled(self, "gradient_bound") ** 2 / 2
            identity = jnp.eye(domain.dimension, dtype=jnp.float64)
            return OptimisticNewtonState(start, start, jnp.zeros_like(start), scale * identity)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state.point.astype(jnp.float32)

    def update(self, state, observation, point, feedback):
        gradient, domain = feedback.gradient(point), domain_of(self)
        with jax.enable_x64(True):
            gradient = gradient.astype(jnp.float64)
            internal = step(domain, state.matrix, state.internal, gradient)
            matrix = state.matrix + curvature(self) / 2 * gradient[:, None] * gradient
            point = step(domain, matrix, internal, gradient)
            return OptimisticNewtonState(internal, point, gradient, matrix)

    def recommend(self, state):
        return self.act(state, (), ())
