"""Online gradient descent."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..parameters import filled
from .rates import check_rate, domain_of, floats, horizon_of

_RATES = {
    "convex": ("gradient_bound",),
    "strongly convex": ("strong_convexity",),
    "fixed": ("gradient_bound", "horizon", "step_size"),
}


class GradientState(NamedTuple):
    point: jax.Array  # [d], to be played next
    rounds: jax.Array  # [] int32, rounds played


@flax.struct.dataclass
class OGD:
    """Online gradient descent: x_{t+1} is the point of the domain nearest to x_t - eta_t g_t.

    The steps eta_t, with D the diameter of the domain and G = gradient_bound, and what the regret
    against any fixed point is at most (proved from the telescoping sum of |x_t - u|^2):
      rate="convex": D / (G sqrt(t)); 3/2 D G sqrt(T). Zinkevich, "Online convex programming and
        generalized infinitesimal gradient ascent", ICML 2003, whose steps are 1 / sqrt(t); with D
        and G: Hazan, "Introduction to online convex optimization", 2016, Theorem 3.1.
      rate="strongly convex": 1 / (strong_convexity t); G^2 (1 + ln T) / (2 strong_convexity).
        Hazan, Agarwal and Kale, "Logarithmic regret algorithms for online convex optimization",
        Machine Learning 69, 2007, Theorem 1.
      rate="fixed": step_size, left blank D / (G sqrt(T)) at horizon T; D^2 / (2 step_size) +
        step_size G^2 T / 2, which is D G sqrt(T) if left blank.

    Starts at the start of the domain; deterministic. Recommends the next point it would play.

    Raises:
      ValueError: an unknown rate, or a parameter of that rate that is not positive.
    """

    domain: Any = None
    rate: str = flax.struct.field(pytree_node=False, default="convex")
    gradient_bound: Any = None
    strong_convexity: Any = None
    horizon: Any = None
    step_size: Any = None

    def __post_init__(self):
        check_rate(self, _RATES)

    def init(self, key):
        return GradientState(domain_of(self).start(), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state.point

    def update(self, state, observation, point, feedback):
        rounds = state.rounds + 1
        step = self._step(floats(rounds))
        point = domain_of(self).project(state.point - step * feedback.gradient(state.point))
        return GradientState(point, rounds)

    def recommend(self, state):
        return state.point

    def _step(self, t):
        if self.rate == "strongly convex":
            return 1 / (filled(self, "strong_convexity") * t)
        if self.rate == "fixed" and self.step_size is not None:
            return self.step_size
        scale = domain_of(self).diameter / filled(self, "gradient_bound")
        return scale * jax.lax.rsqrt(t if self.rate == "convex" else horizon_of(self))
