"""Losses that are revealed after a round: what a learner with full information is told.

Each is the loss function of one round of one seed, as data: `value` at a point and `gradient` at a
point. A learner asks for no more of it than its kind of feedback allows.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from .protocol import Mixture


class Loss(Protocol):
    """A function of a point, [d] or a scalar prediction."""

    def value(self, point: jax.Array) -> jax.Array: ...
    def gradient(self, point: jax.Array) -> jax.Array: ...


class LinearLoss(NamedTuple):
    """<coefficients, x>: losses of experts, costs of edges, linear functions."""

    coefficients: jax.Array  # [d]

    def value(self, point: jax.Array) -> jax.Array:
        return jnp.sum(self.coefficients * point)

    def gradient(self, point: jax.Array) -> jax.Array:
        return self.coefficients


class QuadraticLoss(NamedTuple):
    """curvature / 2 |x - centre|^2."""

    centre: jax.Array  # [d]
    curvature: Any = 1.0  # []

    def value(self, point: jax.Array) -> jax.Array:
        return self.curvature / 2 * jnp.sum((point - self.centre) ** 2)

    def gradient(self, point: jax.Array) -> jax.Array:
        return self.curvature * (point - self.centre)


class LogisticLoss(NamedTuple):
    """log(1 + exp(-label <features, x>)), label +1 or -1."""

    features: jax.Array  # [d]
    label: jax.Array  # []

    def value(self, point: jax.Array) -> jax.Array:
        return jax.nn.softplus(-self.label * jnp.sum(self.features * point))

    def gradient(self, point: jax.Array) -> jax.Array:
        margin = self.label * jnp.sum(self.features * point)
        return -self.label * jax.nn.sigmoid(-margin) * self.features


class SquaredLoss(NamedTuple):
    """(x - label)^2 of a scalar prediction x."""

    label: jax.Array  # []

    def value(self, point: jax.Array) -> jax.Array:
        return (point - self.label) ** 2

    def gradient(self, point: jax.Array) -> jax.Array:
        return 2 * (point - self.label)


def expected(loss: Loss, action: Any) -> jax.Array:
    """The loss of an action; of a `Mixture`, its mean over the points."""
    if not isinstance(action, Mixture):
        return loss.value(action)
    return jnp.sum(action.weights * jax.vmap(loss.value)(action.points))
