"""Optimistic online mirror descent, which expects the last gradient to come again."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...exact import Pair, plus, single, value
from ..parameters import filled
from .rates import check_rate, domain_of, floats

_RATES = {
    "convex": ("gradient_bound", "smoothness"),
    "strongly convex": ("strong_convexity",),
    "fixed": ("step_size",),
}


class OptimisticState(NamedTuple):
    internal: jax.Array  # [d], xh_t
    gradient: jax.Array  # [d], g_{t-1}, zero at first
    pace: Any  # what the steps are made of: V_{t-1} as a Pair, or t as int32, or ()


@flax.struct.dataclass
class OptimisticMirrorDescent:
    """Optimistic online mirror descent with the Euclidean map, for losses between stochastic and
    adversarial.

    Of two sequences x_t is played, P being the projection on the domain and g_0 = 0:
    x_t = P(xh_t - eta_t g_{t-1}) and xh_{t+1} = P(xh_t - eta_t g_t). Chen, Zhang, Tu, Zhao and
    Zhang, "Optimistic online mirror descent for bridging stochastic and adversarial online convex
    optimization", Journal of Machine Learning Research 25, 2024, for the SEA model: losses f_t are
    drawn from laws whose means F_t are L-smooth (L = smoothness) and may move.

    The steps, with D the diameter of the domain, |g_t| <= G = gradient_bound, v_t = |g_t -
    g_{t-1}|^2 and V_t = v_1 + ... + v_t:
      rate="convex": eta_t = D / sqrt(delta + 4 G^2 + V_{t-1}), delta = 10 D^2 L^2. For any
        gradients and any u, sum <g_t, x_t - u> <= D/2 sqrt(delta + 4 G^2 + V_{T-1}) +
        D (sqrt(delta + V_T) - sqrt(delta)). In the SEA model the expected regret is at most
        5 sqrt(10) D^2 L + 5/2 sqrt(5) D G + 5 sqrt(2) D sqrt(sigma^2) + 5 D sqrt(Sigma^2), with
        sigma^2 the summed variances of the gradients and Sigma^2 the summed largest squares of the
        changes of the gradient of F_t from t = 2 on.
      rate="strongly convex": eta_t = 2 / (lambda t), lambda = strong_convexity. For lambda-strongly
        convex f_t the regret is at most lambda D^2 / 4 + sum_t v_t (1 / t + 2 / t^2) / lambda.
      rate="fixed": eta_t = step_size.

    The form of eta_t is the paper's; delta and 2 / (lambda t) were from memory. All bounds were
    derived here, from <g_t, x_t - u> <= <g_t - g_{t-1}, x_t - xh_{t+1}> + (|u - xh_t|^2 -
    |u - xh_{t+1}|^2 - |xh_{t+1} - x_t|^2 - |x_t - xh_t|^2) / (2 eta_t) and |x_t - xh_{t+1}| <=
    eta_t sqrt(v_t). For the SEA model the squares are kept, which leaves -|x_{t+1} - x_t|^2 /
    (4 eta_t), and E v_t <= 4 (2 variances + L^2 |x_t - x_{t-1}|^2 + change^2); the delta above
    makes the constant that remains least. The individual f_t need not be convex then.

    Starts at the start of the domain; deterministic. V_t is summed with compensation. Recommends
    the next point it would play.

    Raises:
      ValueError: an unknown rate, or a parameter of that rate that is not positive.
    """

    domain: Any = None
    rate: str = flax.struct.field(pytree_node=False, default="convex")
    gradient_bound: Any = None
    smoothness: Any = None
    strong_convexity: Any = None
    step_size: Any = None

    def __post_init__(self):
        check_rate(self, _RATES)
        if self.rate == "fixed" and self.step_size is None:
            raise ValueError(
                'OptimisticMirrorDescent: rate="fixed" needs step_size, eta of every round'
            )

    def init(self, key):
        start, none = domain_of(self).start(), jnp.float32(0)
        pace = {"convex": Pair(none, none), "strongly convex": jnp.int32(1), "fixed": ()}
        return OptimisticState(start, jnp.zeros_like(start), pace[self.rate])

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return domain_of(self).project(state.internal - self._step(state) * state.gradient)

    def update(self, state, observation, point, feedback):
        gradient, pace = feedback.gradient(point), state.pace
        internal = domain_of(self).project(state.internal - self._step(state) * gradient)
        if self.rate == "convex":
            pace = plus(pace, single(jnp.sum((gradient - state.gradient) ** 2)))
        elif self.rate == "strongly convex":
            pace = pace + 1
        return OptimisticState(internal, gradient, pace)

    def recommend(self, state):
        return self.act(state, (), ())

    def _step(self, state):
        if self.rate == "fixed":
            return filled(self, "step_size")
        if self.rate == "strongly convex":
            return 2 / (filled(self, "strong_convexity") * floats(state.pace))
        diameter, bound = domain_of(self).diameter, filled(self, "gradient_bound")
        floor = 10 * (diameter * filled(self, "smoothness")) ** 2 + 4 * bound**2
        return diameter * jax.lax.rsqrt(floor + value(state.pace))
