"""MetaGrad: many learning rates at once."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...kernels.softmax import softmax
from ..parameters import filled
from .matrix_norm import check_domain, step
from .rates import check_constants, domain_of, fill


class MetaGradState(NamedTuple):
    points: jax.Array  # [N, d] float64, of the learning rates
    losses: jax.Array  # [N] float64, their surrogate losses so far
    matrix: jax.Array  # [d, d] float64, sum of g_s g_s'


@flax.struct.dataclass
class MetaGrad:
    """MetaGrad, full matrix: an online Newton step for each of N learning rates, and their mean
    with weights that favour large rates. It adapts to curvature and to chance without knowing them.

    Van Erven and Koolen, "MetaGrad: multiple learning rates in online learning", NIPS 2016,
    Algorithms 1 and 2. The rates are eta_i = 2^-i / (5 D G) for i = 0, ..., N - 1, N =
    1 + ceil(log2(T) / 2), G = gradient_bound, D the diameter of the domain, T = horizon; their
    weights start from pi_i = (1 + 1 / N) / ((i + 1) (i + 2)). Learning rate i keeps a point w_i and
    is charged l_i(u) = eta_i <g_t, u - x_t> + eta_i^2 <g_t, u - x_t>^2 at it, where x_t =
    sum_i pi_i eta_i w_i / sum_i pi_i eta_i is played; then pi_i is multiplied by exp(-l_i(w_i)),
    and w_i moves to argmin <c_i g_t, u> + |u - w_i|^2 / 2 over the domain, in the norm of
    I / D^2 + 2 eta_i^2 sum_{s<=t} g_s g_s', c_i = eta_i + 2 eta_i^2 <g_t, w_i - x_t>.

    For any gradients, any u in the domain and any i, with V = sum_t <g_t, x_t - u>^2, derived here,
    sum <g_t, x_t - u> <= eta_i V + (ln(1 / pi_i) + 1/2 +
      ln det(I + 2 (eta_i D)^2 sum_t g_t g_t') / 2) / eta_i:
    the weights' potential does not grow because exp(r - r^2) <= 1 + r from -1/2 on, and
    |c_i| <= sqrt(2) eta_i because eta_i D G <= 1/5. The best i gives order sqrt(V d ln T) +
    D G d ln T, as their Theorem 8 says. Rates and first weights are from memory, and serve.

    On a Ball or a Box, whose projections in the norm of a matrix are exact (see `matrix_norm`).
    Starts at the start of the domain; deterministic. Sums are float64. A round costs order N d^3.
    Recommends the next point it would play.

    Args:
      num_rates: N; left blank, as above, for which the horizon has to be a number when `simulate`
        meets the learner.

    Raises:
      ValueError: a parameter that is not positive, or a domain of another kind.
    """

    domain: Any = None
    gradient_bound: Any = None
    num_rates: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        check_constants(self, ("gradient_bound",))
        check_domain(self)
        given = self.num_rates
        if given is not None and (not isinstance(given, int) or given < 1):
            raise ValueError(f"MetaGrad: num_rates is a whole number from 1, got {given!r}")

    def completed(self, env, horizon):
        rates = self.num_rates or 1 + math.ceil(math.log2(horizon) / 2)
        blanks = fill(self, env, horizon) | {"num_rates": rates}
        return dataclasses.replace(self, **blanks)

    def init(self, key):
        with jax.enable_x64(True):
            start = domain_of(self).start().astype(jnp.float64)
            points = jnp.tile(start, (filled(self, "num_rates"), 1))
            matrix = jnp.zeros((len(start), len(start)), jnp.float64)
            return MetaGradState(points, jnp.zeros(len(points), jnp.float64), matrix)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        with jax.enable_x64(True):
            return self._mean(state).astype(jnp.float32)

    def update(self, state, observation, point, feedback):
        gradient, domain = feedback.gradient(point), domain_of(self)
        with jax.enable_x64(True):
            gradient, rates = gradient.astype(jnp.float64), self._rates()
            identity = np.eye(len(gradient)) / jnp.asarray(domain.diameter, jnp.float64) ** 2
            gaps = rates * jnp.sum((state.points - self._mean(state)) * gradient, axis=1)
            matrix = state.matrix + gradient[:, None] * gradient

            def move(w, rate, gap):
                norm = identity + 2 * rate**2 * matrix
                return step(domain, norm, w, rate * (1 + 2 * gap) * gradient)

            points = jax.vmap(move)(state.points, rates, gaps)
            return MetaGradState(points, state.losses + gaps + gaps**2, matrix)

    def recommend(self, state):
        return self.act(state, (), ())

    def _rates(self):
        top = 5 * jnp.asarray(filled(self, "gradient_bound"), jnp.float64)
        return 0.5 ** np.arange(filled(self, "num_rates")) / (top * domain_of(self).diameter)

    def _mean(self, state):
        # 2^-i / ((i + 1) (i + 2)): pi_i eta_i but for a factor that all have.
        i = np.arange(filled(self, "num_rates"))
        weights = softmax(-np.log((i + 1) * (i + 2) * 2.0**i) - state.losses)
        return jnp.sum(weights[:, None] * state.points, axis=0)
