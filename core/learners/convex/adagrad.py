"""Gradient descent with steps that adapt to the gradients."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...domains import Ball, Box
from ...lanes import over_lanes, while_any
from .rates import check_constants, domain_of
from .sums import Sum, add, nothing, rounded

_CLOSE = 1 + 1e-6  # a point is on the sphere when its length is this close to the radius
_STEPS = 40  # Newton steps; three to six are usual


class AdaGradState(NamedTuple):
    point: jax.Array  # [d], to be played next
    squares: Sum  # [d], or [] for one step size: of the squared gradients


@flax.struct.dataclass
class AdaGrad:
    """AdaGrad: online gradient descent whose steps shrink with the gradients that were seen, with
    no bound on them given.

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", Journal of Machine Learning Research 12, 2011, mirror descent form without
    a composite term, delta = 0; s_t is the sum of the squares of g_1, ..., g_t:
      scaling="diagonal", on a Box or a Ball: x_{t+1} = argmin <g_t, x> + |x - x_t|^2 / 2 in the
        norm of the diagonal matrix H_t = sqrt(s_{t,i}) / eta_i, which projects in that norm:
        exactly on a Box, by Newton's method on a Ball. Coordinates that had no gradient stay where
        they are. Left blank, eta_i is D_i / sqrt(2), D_i the width of the domain along coordinate
        i, and the regret is at most sqrt(2) sum_i D_i sqrt(s_{T,i}): for coordinates of equal width
        their Corollary 6 (number from memory). Given one step_size eta, it is at most
        sum_i (D_i^2 / (2 eta) + eta) sqrt(s_{T,i}).
      scaling="scalar", on any domain: one step eta / sqrt(s_t), s_t the sum of |g_t|^2. Streeter
        and McMahan, "Less regret via online conditioning", 2010. Left blank, eta is D / sqrt(2),
        D the diameter, and the regret is at most sqrt(2) D sqrt(s_T).
    All bounds follow from the telescoping sum and sum_t g_t^2 / sqrt(s_t) <= 2 sqrt(s_T).

    Starts at the start of the domain; deterministic. Squares are summed with compensation.
    Recommends the next point it would play.

    Args:
      step_size: eta.

    Raises:
      ValueError: an unknown scaling, a domain it is not for, a step that is not positive.
    """

    domain: Any = None
    scaling: str = flax.struct.field(pytree_node=False, default="diagonal")
    step_size: Any = None

    def __post_init__(self):
        if self.scaling not in ("diagonal", "scalar"):
            raise ValueError(f'AdaGrad: scaling is "diagonal" or "scalar", got {self.scaling!r}')
        check_constants(self, ("step_size",))
        known = not hasattr(self.domain, "project") or isinstance(self.domain, Ball | Box)
        if self.scaling == "diagonal" and not known:
            raise ValueError(
                f'AdaGrad: scaling="diagonal" is for a Box or a Ball, got {self.domain!r}; '
                f'scaling="scalar" plays on any domain'
            )

    def init(self, key):
        start = domain_of(self).start()
        return AdaGradState(start, nothing(start if self.scaling == "diagonal" else start[0]))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state.point

    def update(self, state, observation, point, feedback):
        gradient, domain, step = feedback.gradient(point), domain_of(self), self._step()
        square = gradient**2
        diagonal = self.scaling == "diagonal"
        squares = add(state.squares, square if diagonal else jnp.sum(square))
        total = rounded(squares)
        inverse = jax.lax.rsqrt(jnp.where(total > 0, total, 1))
        goal = point - step * inverse * gradient
        if diagonal and isinstance(domain, Ball):
            weights = jnp.sqrt(total)  # H_t but for a factor, which the nearest point ignores
            radius = jnp.asarray(domain.radius, jnp.float32)
            return AdaGradState(over_lanes(_onto_ball)(goal, weights, radius), squares)
        return AdaGradState(domain.project(goal), squares)

    def recommend(self, state):
        return state.point

    def _step(self):
        if self.step_size is not None:
            return self.step_size
        domain = domain_of(self)
        if self.scaling == "diagonal" and isinstance(domain, Box):
            return (jnp.asarray(domain.high) - jnp.asarray(domain.low)) / math.sqrt(2)
        return domain.diameter / math.sqrt(2)


def _onto_ball(goal, weights, radius):
    """argmin sum_i weights_i (x_i - goal_i)^2 with |x| <= radius; lanes [d, B].

    x_i(m) = weights_i goal_i / (weights_i + m), with the least m >= 0 for which x is in the ball:
    Newton's method on 1 / |x(m)| from the left, as in `matrix_norm`. Where a weight is 0 the goal
    is 0 too.
    """
    used = weights > 0
    forces = jnp.where(used, weights * goal, 0)

    def at(level):
        inverse = jnp.where(used, 1 / jnp.where(used, weights + level, 1), 0)
        x = forces * inverse
        squared = jnp.sum(x * x, axis=0)
        return level, x, jnp.sqrt(squared), squared / jnp.sum(x * x * inverse, axis=0)

    def outside(state):
        now, count = state
        return (now[2] > _CLOSE * radius) & (count < _STEPS)

    def newton(state):
        (level, _, length, ratio), count = state
        return at(level + ratio * (length - radius) / radius), count + 1

    push = jnp.sqrt(jnp.sum(forces * forces, axis=0)) / radius
    first = jnp.maximum(push - jnp.max(weights, axis=0), 0)
    count = jnp.zeros(first.shape, jnp.int32)
    (level, x, length, _), _ = while_any(outside, newton, (at(first), count))
    return jnp.where(level > 0, x * (radius / jnp.maximum(length, radius)), goal)
