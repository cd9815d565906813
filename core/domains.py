"""Convex sets that points are played from: balls, boxes, the probability simplex.

Frozen pytrees: sizes are parameters, so that sweeps over them are one program. Each knows its
Euclidean projection, its diameter, where play starts, and the point that a linear function is
least at.
"""

from __future__ import annotations

from typing import Any, Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from .protocol import concrete

_PAIRWISE = 64  # up to here the simplex projection compares all pairs, beyond it sorts


class Domain(Protocol):
    """A bounded closed convex set in R^d."""

    @property
    def dimension(self) -> int: ...
    @property
    def diameter(self) -> Any: ...
    def start(self) -> jax.Array: ...
    def project(self, point: jax.Array) -> jax.Array: ...
    def least(self, coefficients: jax.Array) -> jax.Array: ...


@flax.struct.dataclass
class Ball:
    """|x| <= radius. Play starts at the centre 0.

    Raises:
      ValueError: no dimension, or a radius that is not positive.
    """

    dimension: int = flax.struct.field(pytree_node=False)
    radius: Any = 1.0

    def __post_init__(self):
        _check_dimension(self)
        radius = concrete(self.radius)
        if radius is not None and not np.all((radius > 0) & np.isfinite(radius)):
            raise ValueError(f"Ball: radius is positive, got {self.radius}")

    @property
    def diameter(self):
        return 2 * self.radius

    @property
    def l1_diameter(self):
        return 2 * self.radius * np.float32(np.sqrt(self.dimension))

    def start(self) -> jax.Array:
        return jnp.zeros(self.dimension, jnp.float32)

    def project(self, point: jax.Array) -> jax.Array:
        """The nearest point of the ball, [d]."""
        squared = jnp.sum(point * point)
        outside = squared > self.radius * self.radius
        # Not divided by a length of 0, whose unused branch would turn derivatives into NaN.
        length = jnp.sqrt(jnp.where(outside, squared, 1))
        return jnp.where(outside, self.radius / length, 1) * point

    def least(self, coefficients: jax.Array) -> jax.Array:
        """argmin <coefficients, x>, [d]; 0 where all coefficients are."""
        length = jnp.sqrt(jnp.sum(coefficients**2))
        return -self.radius * coefficients / jnp.where(length > 0, length, 1)


@flax.struct.dataclass
class Box:
    """low <= x <= high in every coordinate. Play starts at the point nearest to 0.

    Raises:
      ValueError: ends that are not [d] numbers each, or out of order.
    """

    low: Any  # [d]
    high: Any  # [d]

    def __post_init__(self):
        low, high = concrete(self.low), concrete(self.high)
        if low is None or high is None:
            return
        if low.ndim < 1 or low.shape != high.shape or not low.size:
            raise ValueError(f"Box: low and high are [d] each, got {self.low} and {self.high}")
        if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(low < high)):
            raise ValueError(f"Box: low < high, both finite, got {self.low} and {self.high}")
        object.__setattr__(self, "low", np.asarray(low, np.float32))
        object.__setattr__(self, "high", np.asarray(high, np.float32))

    @property
    def dimension(self) -> int:
        return np.shape(self.low)[-1]

    @property
    def diameter(self):
        if isinstance(self.low, np.ndarray):
            return np.sqrt(np.sum((self.high - self.low) ** 2, axis=-1))
        return jnp.sqrt(jnp.sum((self.high - self.low) ** 2, axis=-1))

    @property
    def l1_diameter(self):
        return (self.high - self.low).sum(axis=-1)

    def start(self) -> jax.Array:
        return self.project(jnp.zeros(self.dimension, jnp.float32))

    def project(self, point: jax.Array) -> jax.Array:
        """The nearest point of the box, [d]."""
        return jnp.clip(point, self.low, self.high)

    def least(self, coefficients: jax.Array) -> jax.Array:
        """argmin <coefficients, x>, [d]; the low end where a coefficient is 0."""
        return jnp.where(coefficients >= 0, jnp.asarray(self.low), jnp.asarray(self.high))


@flax.struct.dataclass
class Simplex:
    """x >= 0 with sum 1. Play starts in the middle.

    Raises:
      ValueError: no dimension.
    """

    dimension: int = flax.struct.field(pytree_node=False)

    def __post_init__(self):
        _check_dimension(self)

    @property
    def diameter(self):
        return np.float32(np.sqrt(2)) if self.dimension > 1 else np.float32(0)

    @property
    def l1_diameter(self):
        return np.float32(2) if self.dimension > 1 else np.float32(0)

    def start(self) -> jax.Array:
        return jnp.full(self.dimension, 1 / self.dimension, jnp.float32)

    def project(self, point: jax.Array) -> jax.Array:
        """The nearest point of the simplex, [d]: max(x - t, 0), with the t that makes the sum 1.

        For any set S of coordinates t >= (sum of S - 1) / |S|, with equality for those that stay
        positive, which are the largest ones: t is the largest such number over the d sets of
        largest coordinates (Held, Wolfe and Crowder 1974 solve it by sorting).
        """
        if self.dimension <= _PAIRWISE:
            above = point[None, :] >= point[:, None]
            sums = jnp.sum(jnp.where(above, point[None, :], 0), axis=1)
            counts = jnp.sum(above, axis=1).astype(point.dtype)
        else:
            sums = jnp.cumsum(jnp.flip(jnp.sort(point)))
            counts = jnp.arange(1, self.dimension + 1).astype(point.dtype)
        return jnp.maximum(point - jnp.max((sums - 1) / counts), 0)

    def least(self, coefficients: jax.Array) -> jax.Array:
        """argmin <coefficients, x>, [d]: a corner, the lowest index on ties."""
        # Not by `argmin`, which forgets float64 inside a batched scan.
        index = jnp.arange(self.dimension, dtype=jnp.int32)
        lowest = coefficients == jnp.min(coefficients)
        corner = jnp.min(jnp.where(lowest, index, self.dimension))
        return (index == corner).astype(coefficients.dtype)


def _check_dimension(domain: Any) -> None:
    given, name = domain.dimension, type(domain).__name__
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise ValueError(f"{name}: dimension is a whole number from 1, got {given!r}")
