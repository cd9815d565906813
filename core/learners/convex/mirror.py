"""Mirror descent."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...kernels.softmax import softmax
from ..parameters import filled
from .entropy import check_choice, hedge_rate
from .rates import check_rate, domain_of, floats, horizon_of
from .sums import add, below_top, nothing

_RATES = {
    "convex": ("gradient_bound",),
    "fixed": ("gradient_bound", "horizon", "step_size"),
}


class MirrorState(NamedTuple):
    place: Any  # [d] a point, or, entropic, its logarithm up to a number common to all, as a Sum
    rounds: jax.Array  # [] int32, rounds played


@flax.struct.dataclass
class MirrorDescent:
    """Online mirror descent: x_{t+1} = argmin eta_t <g_t, x> + B(x, x_t) over the domain, B being
    the Bregman divergence of the mirror map. Nemirovski and Yudin, "Problem complexity and method
    efficiency in optimization", 1983; Beck and Teboulle, "Mirror descent and nonlinear projected
    subgradient methods for convex optimization", Operations Research Letters 31, 2003.

      mirror="euclidean": B = |x - x_t|^2 / 2; OGD, whose steps and bounds it has: rate="convex",
        D / (G sqrt(t)), and rate="fixed", step_size, left blank D / (G sqrt(T)) at horizon T.
      mirror="entropic", on a Simplex: B is the relative entropy, and x_{t+1} is proportional to
        x_t exp(-eta g_t), the exponentiated gradient. rate="fixed" only: step_size, left blank
        sqrt(8 ln d / T) / loss_range, Hedge's, with a regret of at most
        loss_range sqrt(T ln d / 2). With steps c / sqrt(t) the regret is linear: what n rounds
        said takes 3 n rounds to be unsaid, as the next 3 n steps come to no more than the first n.
        FTRL(regulariser="entropic", rate="convex") is what to play then.

    Starts at the start of the domain; deterministic. Logarithms are summed with compensation.
    Recommends the next point it would play.

    Args:
      loss_range: the largest difference between two coordinates of a gradient; left blank,
        sqrt(2) gradient_bound.

    Raises:
      ValueError: an unknown mirror map or rate, changing entropic steps, a domain that the mirror
        map is not for, or a parameter that is not positive.
    """

    domain: Any = None
    mirror: str = flax.struct.field(pytree_node=False, default="euclidean")
    rate: str = flax.struct.field(pytree_node=False, default="fixed")
    gradient_bound: Any = None
    loss_range: Any = None
    horizon: Any = None
    step_size: Any = None

    def __post_init__(self):
        check_rate(self, _RATES)
        check_choice(self, "mirror", ("euclidean", "entropic"))
        if self.mirror == "entropic" and self.rate != "fixed":
            raise ValueError(
                'MirrorDescent: mirror="entropic" has linear regret with steps that change: use '
                'rate="fixed", or FTRL(regulariser="entropic", rate="convex")'
            )

    def init(self, key):
        start = domain_of(self).start()
        place = nothing(start) if self.mirror == "entropic" else start
        return MirrorState(place, jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return softmax(below_top(state.place)) if self.mirror == "entropic" else state.place

    def update(self, state, observation, point, feedback):
        rounds = state.rounds + 1
        move = -self._step(floats(rounds)) * feedback.gradient(point)
        if self.mirror == "entropic":
            return MirrorState(add(state.place, move), rounds)
        return MirrorState(domain_of(self).project(point + move), rounds)

    def recommend(self, state):
        return self.act(state, (), ())

    def _step(self, t):
        if self.rate == "fixed":
            if self.step_size is not None:
                return self.step_size
            t = horizon_of(self)
        if self.mirror == "entropic":
            return hedge_rate(self, t)
        return domain_of(self).diameter / filled(self, "gradient_bound") * jax.lax.rsqrt(t)
