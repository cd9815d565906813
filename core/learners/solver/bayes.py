"""A Gaussian process over the parameter of a solver and the context."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ... import noise as tapes
from ...lanes import first_max
from ..parameters import filled, require
from .chebyshev import check_interval, position

# Cosines along omega and along the context, and the lengths of the kernel, of a range of 1.
_WAVES = (8, 8)
_LENGTHS = (0.15, 0.1)


class Posterior(NamedTuple):
    """Of the weights of J x C features: cosines along omega times cosines along the context."""

    mean: jax.Array  # [J, C] float64
    covariance: jax.Array  # [J, C, J, C] float64
    first: jax.Array  # [] float64, log of the first number of iterations
    contexts: jax.Array  # [C] float64, sum of the features of the contexts so far
    rounds: jax.Array  # [] int32, rounds played


def cosines(x: jax.Array, number: int, length: float) -> jax.Array:
    """Features [..., number] of points x in [0, 1] whose products have, summed, about the kernel
    exp(-(x - y)^2 / (2 length^2)): cos(pi j x), weighted by the square root of its spectrum.

    Solin and Sarkka, "Hilbert space methods for reduced-rank Gaussian process regression",
    Statistics and Computing 30, 2020, with cosines for sines: the process is mirrored at the ends
    instead of held at 0. The prior variance is 1 away from the ends and 2 at them.
    """
    j = np.arange(number)
    weights = np.exp(-0.5 * (math.pi * j * length) ** 2) * np.where(j == 0, 1, 2)
    scales = np.sqrt(2 * weights / weights.sum())
    return scales * jnp.cos(math.pi * j * x[..., None])


@flax.struct.dataclass
class GPTuner:
    """Bayesian optimisation of the number of iterations, as a function of omega and the context.

    A Gaussian process on log(iterations / iterations of the first round): features are products of
    cosines in where log(2 - omega) lies on the grid, and, if contextual, of cosines in the context
    (see `cosines`), with normal weights and normal noise of known scale. The posterior is exact; a
    round costs p^2 operations for p = 64 features (8 without context), in float64 on a 32-bit
    machine state too.
      explore="ucb": the least mean - width * standard deviation. Srinivas, Krause, Kakade and
        Seeger, "Gaussian process optimization in the bandit setting", ICML 2010, with a constant
        width; with contexts, Krause and Ong, NIPS 2011. Nothing is random.
      explore="thompson": the least of a draw from the posterior, by 8 normals a round.
    Its aim is the mean of the logarithm, which rare large counts move less than the mean count.
    Ties go to the lowest index. Recommends the arm of the least posterior mean, averaged over the
    contexts so far.

    Args:
      omegas: [K], the grid, below 2, not all equal; left blank, the environment's.
      interval: [2], the ends a < b of the contexts; left blank, the environment's.
      contextual: whether the context, an observation that is one number, is used.
      prior_scale: standard deviation of the logarithm before the first round.
      noise_scale: standard deviation of the logarithm for given omega and context; left blank,
        0.15, and 0.5 without contexts, whose changes count as noise then.
      width: standard deviations that an arm is trusted to be better than its mean.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    omegas: Any = None
    interval: Any = None
    contextual: bool = flax.struct.field(pytree_node=False, default=True)
    explore: str = flax.struct.field(pytree_node=False, default="ucb")
    prior_scale: Any = 1.5
    noise_scale: Any = None
    width: Any = 2.0

    def __post_init__(self):
        if self.explore not in ("ucb", "thompson"):
            raise ValueError(f'GPTuner: explore is "ucb" or "thompson", got {self.explore!r}')
        check_interval(self)
        require(
            self,
            "omegas",
            lambda x: x.ndim > 0 and np.all(x < 2) and np.all(x.min(-1) < x.max(-1)),
            "a grid of parameters below 2, not all equal",
        )
        if isinstance(self.omegas, list | tuple):  # would be a leaf for every number in it
            object.__setattr__(self, "omegas", np.asarray(self.omegas, np.float32))
        require(self, "prior_scale", lambda x: x > 0, "positive")
        require(self, "noise_scale", lambda x: x > 0, "positive")
        require(self, "width", lambda x: x >= 0, "zero or more")

    def init(self, key):
        waves, along = self._waves, self._waves[1]
        size = math.prod(waves)
        with jax.enable_x64(True):
            prior = jnp.square(jnp.asarray(self.prior_scale, jnp.float64))
            covariance = (prior * jnp.eye(size, dtype=jnp.float64)).reshape(*waves, *waves)
            zero = jnp.zeros((), jnp.float64)
            return Posterior(
                zero + np.zeros(waves), covariance, zero, zero + np.zeros(along), jnp.int32(0)
            )

    def noise(self, key, num_rounds):
        if self.explore == "ucb":
            return ()
        return tapes.normal(key, (num_rounds, _WAVES[0]))

    def act(self, state, observation, noise):
        with jax.enable_x64(True):
            grid, along = self._grid(), self._along(observation)
            mean = _apply(state.mean, along)
            covariance = jnp.sum(state.covariance * along[:, None, None], axis=1)
            covariance = _apply(covariance, along)
            if self.explore == "thompson":
                draw = _draw(covariance, noise.astype(jnp.float64))
                costs = _apply(grid, mean + draw)
            else:
                variance = jnp.sum(_apply(covariance, grid[:, None]) * grid, axis=1)
                costs = _apply(grid, mean) - self.width * jnp.sqrt(jnp.maximum(variance, 0))
            return first_max(-costs)[1]

    def update(self, state, observation, arm, feedback):
        with jax.enable_x64(True):
            along = self._along(observation)
            count = jnp.log(jnp.maximum(feedback.iterations, 1).astype(jnp.float64))
            first = jnp.where(state.rounds == 0, count, state.first)
            features = self._grid()[arm][:, None] * along
            gain = jnp.sum(state.covariance * features[:, :, None, None], axis=(0, 1))
            variance = jnp.square(self._noise_scale()) + jnp.sum(features * gain)
            error = count - first - jnp.sum(features * state.mean)
            return Posterior(
                state.mean + gain * (error / variance),
                state.covariance - gain[:, :, None, None] * (gain / variance),
                first,
                state.contexts + along,
                state.rounds + 1,
            )

    def recommend(self, state):
        with jax.enable_x64(True):
            return first_max(-_apply(self._grid(), _apply(state.mean, state.contexts)))[1]

    @property
    def _waves(self):
        return _WAVES[0], _WAVES[1] if self.contextual else 1

    def _noise_scale(self):
        scale = self.noise_scale
        if scale is None:
            scale = 0.15 if self.contextual else 0.5
        return jnp.asarray(scale, jnp.float64)

    def _grid(self):
        """Features of the arms [K, J]: SOR's rate changes with the logarithm of 2 - omega."""
        omegas = jnp.asarray(filled(self, "omegas")).astype(jnp.float64)
        x = jnp.log(2 - omegas)
        low, high = jnp.min(x), jnp.max(x)
        return cosines((high - x) / (high - low), _WAVES[0], _LENGTHS[0])

    def _along(self, context):
        """Features of a context [C]."""
        if not self.contextual:
            return jnp.ones(1, jnp.float64)
        x = position(context, filled(self, "interval"), jnp.float64)
        return cosines((x + 1) / 2, _WAVES[1], _LENGTHS[1])


def _apply(matrix, vector):
    """matrix @ vector, over the last axis. (JAX computes a product of float64 matrices in 32 bits
    where it is batched after 64 bits have been switched off again.)"""
    return jnp.sum(matrix * vector, axis=-1)


def _draw(covariance, normals):
    """A normal vector [J] of that covariance, by Cholesky's factor, column by column."""
    total = jnp.zeros_like(normals)
    for j in range(len(normals)):
        column = covariance[:, j] * jax.lax.rsqrt(jnp.maximum(covariance[j, j], 1e-30))
        column = jnp.where(np.arange(len(normals)) < j, 0, column)
        total = total + column * normals[j]
        covariance = covariance - column[:, None] * column
    return total
