"""Optimistic mirror descent with many steps at once, for a best point that moves."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...exact import Pair, plus, single, value
from ...kernels.softmax import softmax
from ...losses import LinearLoss
from ..parameters import filled, require
from .optimistic import OptimisticMirrorDescent, OptimisticState
from .rates import check_constants, domain_of, fill, horizon_of
from .sums import Sum, add, below_top, nothing


class TwoLayerState(NamedTuple):
    bases: OptimisticState  # of all base learners: a leading axis N
    points: jax.Array  # [N, d], what they play next
    moved: jax.Array  # [N], lambda |x_{t,i} - x_{t-1,i}|^2
    losses: Sum  # [N], sum of -l_{s,i}
    variation: Pair  # [], V_{t-1}
    point: jax.Array  # [d], their mean, to be played next


@flax.struct.dataclass
class TwoLayer:
    """A method with small dynamic regret, against points u_1, ..., u_T that move: optimistic Hedge
    over optimistic mirror descent with N fixed steps, which all see the gradient where the mean of
    their points is.

    Base learner i = 1, ..., N is OptimisticMirrorDescent with the step eta_i =
    min(1 / (8 L), 2^(i-1) D / (G sqrt(8 T))), N = 1 + ceil(log2(G sqrt(T) / (D L sqrt(8)))), at
    least 1, so that the last step is 1 / (8 L); L = smoothness, G = gradient_bound, D the diameter
    of the domain, T = horizon. x_t = sum_i p_{t,i} x_{t,i} is played, and p_{t,i} is proportional
    to exp(-eps_t (sum_{s<t} l_{s,i} + m_{t,i})) with l_{t,i} = <g_t, x_{t,i}> + c_{t,i}, m_{t,i} =
    <g_{t-1}, x_{t,i}> + c_{t,i}, and c_{t,i} = 2 L |x_{t,i} - x_{t-1,i}|^2 the cost of moving,
    which lets the base learners pay for each other. Zhao, Zhang, Zhang and Zhou, "Adaptivity and
    non-stationarity: problem-dependent dynamic regret for online convex optimization", Journal of
    Machine Learning Research 25, 2024 (Sword++), in the SEA model Chen, Zhang, Tu, Zhao and Zhang,
    "Optimistic online mirror descent for bridging stochastic and adversarial online convex
    optimization", ibid. Steps, N and c are from memory; eps_t = sqrt(1 + ln N) /
    (D sqrt(4 D^2 L^2 + 4 G^2 + V_{t-1})), V_t = sum_{s<=t} |g_s - g_{s-1}|^2, is a choice of ours.

    For any gradients, any u_t and any i, with P = sum_{t>1} |u_t - u_{t-1}|, derived here,
    sum <g_t, x_t - u_t> <= 5/4 D sqrt(1 + ln N) sqrt(4 D^2 L^2 + 4 G^2 + V_T)
      + (D^2 / 2 + D P) / eta_i + eta_i V_T - sum_t sum_j p_{t,j} c_{t,j}:
    Hedge gives the first term, less what moving costs on average, plus what it costs base learner
    i; the latter is less than its own gain from moving, sum |x_{t,i} - x_{t-1,i}|^2 / (4 eta_i),
    where eta_i <= 1 / (8 L).

    Starts at the start of the domain; deterministic. Recommends the next point it would play.

    Args:
      num_steps: N; left blank, as above, for which the other parameters have to be numbers when
        `simulate` meets the learner.

    Raises:
      ValueError: a parameter that is not positive.
    """

    domain: Any = None
    gradient_bound: Any = None
    smoothness: Any = None
    horizon: Any = None
    num_steps: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        check_constants(self, ("gradient_bound", "horizon"))
        require(self, "smoothness", lambda x: x > 0, "positive")
        given = self.num_steps
        if given is not None and (not isinstance(given, int) or given < 1):
            raise ValueError(f"TwoLayer: num_steps is a whole number from 1, got {given!r}")

    def completed(self, env, horizon):
        whole = dataclasses.replace(self, **fill(self, env, horizon))
        return dataclasses.replace(whole, num_steps=self.num_steps or _enough_steps(whole))

    def init(self, key):
        bases = jax.vmap(lambda base: base.init(key))(self._bases())
        points, none = bases.internal, jnp.float32(0)
        moved = jnp.zeros(len(points), jnp.float32)
        return TwoLayerState(
            bases, points, moved, nothing(moved), Pair(none, none), domain_of(self).start()
        )

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state.point

    def update(self, state, observation, point, feedback):
        gradient = feedback.gradient(point)
        bases, points = jax.vmap(partial(_after, gradient))(
            self._bases(), state.bases, state.points
        )
        losses = add(state.losses, -(jnp.sum(gradient * state.points, axis=1) + state.moved))
        change = jnp.sum((gradient - state.bases.gradient[0]) ** 2)
        variation = plus(state.variation, single(change))
        smoothness = filled(self, "smoothness")
        moved = 2 * smoothness * jnp.sum((points - state.points) ** 2, axis=1)
        guess = jnp.sum(gradient * points, axis=1) + moved
        chances = softmax(self._rate(variation) * (below_top(losses) - guess))
        point = jnp.sum(chances[:, None] * points, axis=0)
        return TwoLayerState(bases, points, moved, losses, variation, point)

    def recommend(self, state):
        return state.point

    def _bases(self):
        """The base learners, as a stack."""
        diameter, bound = domain_of(self).diameter, filled(self, "gradient_bound")
        least = diameter / (bound * jnp.sqrt(8 * horizon_of(self)))
        powers = 2.0 ** np.arange(filled(self, "num_steps"))
        steps = jnp.minimum(1 / (8 * filled(self, "smoothness")), least * powers)

        def base(step):
            return OptimisticMirrorDescent(self.domain, rate="fixed", step_size=step)

        return jax.vmap(base)(steps.astype(jnp.float32))

    def _rate(self, variation):
        diameter, smoothness = domain_of(self).diameter, filled(self, "smoothness")
        floor = 4 * (diameter * smoothness) ** 2 + 4 * filled(self, "gradient_bound") ** 2
        scale = math.sqrt(1 + math.log(filled(self, "num_steps"))) / diameter
        return scale * jax.lax.rsqrt(floor + value(variation))


def _after(gradient, base, state, point):
    """A base learner told a gradient, wherever it was: its state and the point it plays next."""
    state = base.update(state, (), point, LinearLoss(gradient))
    return state, base.act(state, (), ())


def _enough_steps(learner):
    """N, from parameters that are numbers."""
    bound, smoothness, horizon = (
        float(filled(learner, name)) for name in ("gradient_bound", "smoothness", "horizon")
    )
    diameter = float(domain_of(learner).diameter)
    top = bound * math.sqrt(horizon) / (diameter * smoothness * math.sqrt(8))
    return max(1, 1 + math.ceil(math.log2(top)))
