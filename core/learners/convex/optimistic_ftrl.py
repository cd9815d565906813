"""Optimistic follow-the-regularised-leader."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...exact import plus, single, value
from ..parameters import filled
from .rates import check_rate, domain_of, floats
from .sums import Sum, add, nothing, rounded

_RATES = {
    "convex": ("gradient_bound", "smoothness"),
    "strongly convex": ("strong_convexity",),
}


class LeaderState(NamedTuple):
    sums: Sum  # [d], of g_s; for strongly convex losses of g_s - lambda x_s
    gradient: jax.Array  # [d], the last one, zero at first
    pace: Any  # D^2 / eta_t as a Pair, or the rounds played as int32


@flax.struct.dataclass
class OptimisticFTRL:
    """Optimistic follow-the-regularised-leader: the last gradient is expected to come again.

    Sachs, Hadiji, van Erven and Guzman, "Between stochastic and adversarial online convex
    optimization: improved regret bounds via smoothness", NeurIPS 2022. With P the projection on the
    domain, x_1 its start, D its diameter, G = gradient_bound, L = smoothness, g_0 = 0 and
    v_t = |g_t - g_{t-1}|^2:
      rate="convex": x_t = P(x_1 - eta_t / 2 (g_1 + ... + g_{t-1} + g_{t-1})), which minimises
        <g_1 + ... + g_{t-1} + g_{t-1}, x> + |x - x_1|^2 / eta_t. The steps start from
        1 / eta_1 = (L D^2 + D G) / D^2, and 1 / eta_{t+1} = 1 / eta_t + eta_t v_t / D^2.
        For any gradients and any u, sum <g_t, x_t - u> <= D^2 / eta_T + D^2 (1 / eta_{T+1} -
        1 / eta_1) / 4; where 1 / eta_1 = 2 G / D, that is with L = G / D, this is at most
        3 sqrt(2) D G sqrt(T) + 4 D G, the paper's worst case.
      rate="strongly convex": x_t = P((sum_{s<t} (lambda x_s - g_s) - g_{t-1}) / (lambda (t - 1))),
        which minimises sum_{s<t} (<g_s, x> + lambda / 2 |x - x_s|^2) + <g_{t-1}, x>, lambda =
        strong_convexity. For lambda-strongly convex losses the regret is at most
        sum_t v_t / (2 lambda t).

    The steps are the paper's. The bounds for any gradients were derived here: looking ahead by one
    loss, sum <g_t, x_t - u> is at most the regulariser at u plus the sum of v_t / (2 mu_t), where
    what x_t minimises is mu_t-strongly convex with the loss of round t added, or 2 / eta_t.

    Deterministic. Sums are kept with compensation. Recommends the next point it would play.

    Raises:
      ValueError: an unknown rate, or a parameter of that rate that is not positive.
    """

    domain: Any = None
    rate: str = flax.struct.field(pytree_node=False, default="convex")
    gradient_bound: Any = None
    smoothness: Any = None
    strong_convexity: Any = None

    def __post_init__(self):
        check_rate(self, _RATES)

    def init(self, key):
        start = domain_of(self).start()
        pace = jnp.int32(0)
        if self.rate == "convex":
            diameter = domain_of(self).diameter
            first = filled(self, "smoothness") * diameter**2
            pace = single(jnp.float32(first + filled(self, "gradient_bound") * diameter))
        return LeaderState(nothing(start), jnp.zeros_like(start), pace)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        domain, total = domain_of(self), rounded(state.sums) + state.gradient
        start = domain.start()
        if self.rate == "convex":
            return domain.project(start - domain.diameter**2 / (2 * value(state.pace)) * total)
        weight = filled(self, "strong_convexity") * floats(jnp.maximum(state.pace, 1))
        return jnp.where(state.pace == 0, start, domain.project(-total / weight))

    def update(self, state, observation, point, feedback):
        gradient = feedback.gradient(point)
        if self.rate == "convex":
            gain = jnp.sum((gradient - state.gradient) ** 2)
            gain = domain_of(self).diameter ** 2 * gain / value(state.pace)
            pace = plus(state.pace, single(gain))
            return LeaderState(add(state.sums, gradient), gradient, pace)
        term = gradient - filled(self, "strong_convexity") * point
        return LeaderState(add(state.sums, term), gradient, state.pace + 1)

    def recommend(self, state):
        return self.act(state, (), ())
