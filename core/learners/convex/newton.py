"""The online Newton step."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..parameters import filled
from .matrix_norm import check_domain, step
from .rates import check_constants, domain_of


class NewtonState(NamedTuple):
    point: jax.Array  # [d] float64
    matrix: jax.Array  # [d, d] float64, A_t


def check_curvature(learner: Any) -> None:
    """Check what `curvature` is made of, and that the domain has projections in matrix norms.

    Raises:
      ValueError: a parameter that is not positive, or a domain of another kind.
    """
    known = "strong_convexity" if learner.exp_concavity is None else "exp_concavity"
    check_constants(learner, ("gradient_bound", known))
    check_domain(learner)


def curvature(learner: Any) -> Any:
    """min(1 / (4 G D), alpha) / 2, float64: for an alpha-exp-concave f with gradients of length at
    most G at two points x, u at most D apart, f(x) - f(u) is at most <g, x - u> less half this
    number times <g, x - u>^2, g being the gradient at x.

    alpha is `exp_concavity`, left blank strong_convexity / G^2, which every strongly convex f has.
    Hazan, Agarwal and Kale, "Logarithmic regret algorithms for online convex optimization", Machine
    Learning 69, 2007, Lemma 3. Call it where 64 bits are enabled.

    Raises:
      ValueError: neither of the two is known, or the gradient bound or the domain is not.
    """
    bound = jnp.asarray(filled(learner, "gradient_bound"), jnp.float64)
    alpha = learner.exp_concavity
    if alpha is None and learner.strong_convexity is None:
        raise ValueError(
            f"{type(learner).__name__} is for losses that are exp-concave: give exp_concavity=... "
            f"or strong_convexity=..., which the environment does not say"
        )
    if alpha is None:
        alpha = learner.strong_convexity / bound**2
    return jnp.minimum(1 / (4 * bound * domain_of(learner).diameter), alpha) / 2


@flax.struct.dataclass
class OnlineNewton:
    """The online Newton step, for exp-concave losses such as the logistic one.

    x_{t+1} = argmin <g_t, x> / gamma + |x - x_t|^2 / 2 over the domain, in the norm of
    A_t = I / (gamma D)^2 + sum_{s<=t} g_s g_s', with D the diameter of the domain and gamma =
    min(1 / (4 G D), alpha) / 2, G = gradient_bound, alpha = exp_concavity. Hazan, Agarwal and Kale,
    "Logarithmic regret algorithms for online convex optimization", Machine Learning 69, 2007,
    Figure 2. The regret is at most (1 + d ln(1 + (gamma D G)^2 T / d)) / (2 gamma), derived here
    as in their Theorem 2, without its rounding up; for any gradients this bounds
    sum <g_t, x_t - u> - gamma / 2 <g_t, x_t - u>^2.

    On a Ball or a Box, whose projections in the norm of a matrix are exact (see `matrix_norm`).
    Starts at the start of the domain; deterministic. A_t is summed in float64. A round costs
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
            scale = curvature(self) * domain.diameter
            identity = jnp.eye(domain.dimension, dtype=jnp.float64)
            return NewtonState(domain.start().astype(jnp.float64), identity / scale**2)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state.point.astype(jnp.float32)

    def update(self, state, observation, point, feedback):
        gradient = feedback.gradient(point)
        with jax.enable_x64(True):
            gradient = gradient.astype(jnp.float64)
            matrix = state.matrix + gradient[:, None] * gradient
            gradient = gradient / curvature(self)
            return NewtonState(step(domain_of(self), matrix, state.point, gradient), matrix)

    def recommend(self, state):
        return self.act(state, (), ())
