"""A logistic model of preferences, learned pair by pair, in float64.

The model: the second of two trajectories is preferred with probability sigmoid(k <x, theta>), x the
difference of their features. The maximum likelihood of all pairs needs all pairs. Here the pairs
told before count by the quadratic expansion of their likelihood at the estimate of their time, and
the newest one in full: the Laplace approximation in sequence (Spiegelhalter and Lauritzen,
"Sequential updating of conditional probabilities on directed graphical structures", Networks 1990,
from memory). It costs n^2 operations for n features, however many pairs there were.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...mdp import times

_STEPS = 20  # of Newton's method in one dimension; see `newest`


class Preferences(NamedTuple):
    """What is known of theta, float64."""

    theta: jax.Array  # [n], the estimate
    posterior: jax.Array  # [n, n], a root of the inverse curvature of what theta maximises
    coverage: jax.Array  # [n, n], a root of (ridge I + sum x x^T)^-1


def no_preferences(size: int, penalty: Any, ridge: Any) -> Preferences:
    """Before the first pair; call it with float64 enabled.

    Args:
      size: n.
      penalty: the weight of |theta|^2 / 2 in what theta maximises, positive.
      ridge: of the coverage, positive.
    """
    identity = jnp.eye(size, dtype=jnp.float64)
    scales = (jax.lax.rsqrt(jnp.asarray(x).astype(jnp.float64)) for x in (penalty, ridge))
    return Preferences(jnp.zeros(size, jnp.float64), *(scale * identity for scale in scales))


def told(
    known: Preferences, steepness: jax.Array, x: jax.Array, asked: jax.Array, preference: jax.Array
) -> Preferences:
    """What is known after one more pair, and nothing new if it was not asked; call it with float64
    enabled.

    Args:
      steepness: k, [] float64; x: [n] float64.
      preference: 1, 0, or anything if not asked.
    """
    theta, posterior, coverage = known
    image = times(posterior, x)
    direction = times(image, posterior)  # of the largest change, as the curvature has it
    width = jnp.sum(image * image)
    sign = jnp.where(preference > 0.5, 1.0, -1.0)
    before = sign * steepness * jnp.sum(x * theta)
    logit = newest(before, steepness * steepness * width)
    wrong = jax.nn.sigmoid(-logit)  # the chance that the model gave to the other answer
    step = jnp.where(asked, sign * steepness * wrong, 0.0)
    curvature = jnp.where(asked, steepness * steepness * wrong * (1 - wrong), 0.0)
    return Preferences(
        theta + step * direction,
        with_pair(posterior, x, curvature),
        with_pair(coverage, x, asked.astype(jnp.float64)),
    )


def newest(before: jax.Array, gain: jax.Array) -> jax.Array:
    """The y with y = before + gain sigmoid(-y), gain from 0: the logit of the answer after it is
    known, of which the estimate before had the logit `before`.

    Newton's method from 0, where the sigmoid turns: y - gain sigmoid(-y) is concave above and
    convex below, so that no step goes beyond the root. Errors are those of rounding for gains up to
    10^6.
    """

    def step(_, y):
        wrong = jax.nn.sigmoid(-y)
        return y - (y - before - gain * wrong) / (1 + gain * wrong * (1 - wrong))

    return jax.lax.fori_loop(0, _STEPS, step, jnp.zeros_like(before))


def with_pair(root: jax.Array, x: jax.Array, weight: jax.Array) -> jax.Array:
    """A root of (A + weight x x^T)^-1, from one of A^-1; exactly the same one if the weight is 0.

    The update is that of Sherman and Morrison (1950) on a square root, as in `linear.Ridge`.
    """
    image = times(root, x)
    growth = 1 + weight * jnp.sum(image * image)
    gain = weight / (growth + jnp.sqrt(growth))
    return root - gain * image[:, None] * times(image, root)[None, :]
