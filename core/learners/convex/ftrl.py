"""Follow-the-regularised-leader on linearised losses, and dual averaging."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...exact import Pair, plus, single, value
from ...kernels.softmax import softmax
from ..parameters import filled
from .entropy import check_choice, hedge_rate
from .rates import check_constants, check_rate, domain_of, floats, horizon_of
from .sums import Sum, add, below_top, nothing, rounded

_RATES = {
    "convex": ("gradient_bound",),
    "fixed": ("gradient_bound", "horizon", "step_size"),
}


class FTRLState(NamedTuple):
    sums: Sum  # [d], of the negative gradients
    rounds: jax.Array  # [] int32, rounds played


@flax.struct.dataclass
class FTRL:
    """Follow-the-regularised-leader: x_t = argmin <g_1 + ... + g_{t-1}, x> + R(x) / eta_t over the
    domain. Shalev-Shwartz, "Online learning and online convex optimization", 2012, Section 2;
    the bounds are for any convex losses with gradients of length at most G = gradient_bound.

      regulariser="quadratic": R = |x - x_1|^2 / 2, x_1 the start of the domain; x_t is the
        projection of x_1 - eta_t (g_1 + ... + g_{t-1}), "lazy" projection. rate="convex":
        eta_t = D / (G sqrt(2 t)), regret at most D G sqrt(2 T); rate="fixed": step_size, left blank
        D / (G sqrt(T)) at horizon T, regret at most D G sqrt(T). Both follow from
        |u - x_1|^2 / (2 eta_T) + sum_t eta_t |g_t|^2 / 2, derived as in OptimisticFTRL.
      regulariser="entropic", on a Simplex: R = sum_i x_i ln x_i; x_t is proportional to
        exp(-eta_t (g_1 + ... + g_{t-1})), Hedge with gradients for losses, and its rates and
        bounds: rate="convex", sqrt(8 ln d / t) / loss_range, loss_range (sqrt(2 T ln d) +
        sqrt(ln d / 8)); rate="fixed": step_size, left blank sqrt(8 ln d / T) / loss_range,
        loss_range sqrt(T ln d / 2).

    On the whole space with a fixed step it is mirror descent; once projections happen it is not:
    it projects the sum of all gradients, mirror descent the last point and one gradient.
    Deterministic. Sums are kept with compensation. Recommends the next point it would play.

    Args:
      loss_range: the largest difference between two coordinates of a gradient; left blank,
        sqrt(2) gradient_bound.

    Raises:
      ValueError: an unknown regulariser or rate, a domain that the regulariser is not for, or a
        parameter that is not positive.
    """

    domain: Any = None
    regulariser: str = flax.struct.field(pytree_node=False, default="quadratic")
    rate: str = flax.struct.field(pytree_node=False, default="convex")
    gradient_bound: Any = None
    loss_range: Any = None
    horizon: Any = None
    step_size: Any = None

    def __post_init__(self):
        check_rate(self, _RATES)
        check_choice(self, "regulariser", ("quadratic", "entropic"))

    def init(self, key):
        return FTRLState(nothing(domain_of(self).start()), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        step = self._step(floats(state.rounds + 1))
        if self.regulariser == "entropic":
            return softmax(step * below_top(state.sums))
        return _lazy(domain_of(self), step, state.sums)

    def update(self, state, observation, point, feedback):
        return FTRLState(add(state.sums, -feedback.gradient(point)), state.rounds + 1)

    def recommend(self, state):
        return self.act(state, (), ())

    def _step(self, t):
        if self.rate == "fixed":
            if self.step_size is not None:
                return self.step_size
            t = horizon_of(self)
        if self.regulariser == "entropic":
            return hedge_rate(self, t)
        scale = domain_of(self).diameter / filled(self, "gradient_bound")
        return (scale if self.rate == "fixed" else scale / math.sqrt(2)) * jax.lax.rsqrt(t)


class DualAveragingState(NamedTuple):
    sums: Sum  # [d], of the negative gradients
    pace: Pair  # [], b_{t-1} of Nesterov's sequence
    rounds: jax.Array  # [] int32, rounds played


@flax.struct.dataclass
class DualAveraging:
    """Simple dual averaging: FTRL with a quadratic regulariser and Nesterov's sequence.

    x_{t+1} = argmin <g_1 + ... + g_t, x> + gamma b_t |x - x_1|^2 / 2 over the domain, x_1 its
    start, with b_0 = b_1 = 1 and b_{t+1} = b_t + 1 / b_t = 1 / b_0 + ... + 1 / b_t, so that both
    terms of the bound grow alike, gamma b_T D^2 / 2 and G^2 / (2 gamma) sum_{t<T} 1 / b_t.
    Nesterov, "Primal-dual subgradient methods for convex problems", Mathematical Programming 120,
    2009, Section 2 (simple averages: all gradients count the same); Xiao, "Dual averaging methods
    for regularized stochastic learning and online optimization", Journal of Machine Learning
    Research 11, 2010, without a composite term. It is FTRL with a quadratic regulariser and the
    step 1 / (gamma b_{t-1}), about D / (G sqrt(2 t)), which FTRL(rate="convex") has exactly.

    Left blank, gamma is gradient_bound / D, and the regret is at most D G b_T <=
    D G (sqrt(2 T - 1) + 1 / (1 + sqrt(3))), D the diameter of the domain.

    Deterministic. Sums are kept with compensation. Recommends the next point it would play.

    Raises:
      ValueError: a parameter that is not positive.
    """

    domain: Any = None
    gradient_bound: Any = None
    gamma: Any = None

    def __post_init__(self):
        check_constants(self, ("gradient_bound", "gamma"))

    def init(self, key):
        start = domain_of(self).start()
        return DualAveragingState(nothing(start), single(jnp.float32(1)), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        gamma = self.gamma
        if gamma is None:
            gamma = filled(self, "gradient_bound") / domain_of(self).diameter
        return _lazy(domain_of(self), 1 / (gamma * value(state.pace)), state.sums)

    def update(self, state, observation, point, feedback):
        more = jnp.where(state.rounds > 0, 1 / value(state.pace), 0)  # b_0 = b_1
        pace = plus(state.pace, single(more))
        sums = add(state.sums, -feedback.gradient(point))
        return DualAveragingState(sums, pace, state.rounds + 1)

    def recommend(self, state):
        return self.act(state, (), ())


def _lazy(domain, step, sums):
    return domain.project(domain.start() + step * rounded(sums))
