"""From a design to pulls and back: rounding, and the least squares of what was seen.

Pure functions of one seed, vmapped over seeds in vector code, as in `design`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .lanes import dot, first_max, loop, one_hot, over_lanes, pick, while_any

_SLACK = 1e-6  # products this close above a whole number (relatively) are that number, in float32
_COLUMN_TOLERANCE = 1e-5  # a column whose residual is below this part of it depends on the others


def ceil_rounding(weights: jax.Array, amount: jax.Array, limit: jax.Array) -> jax.Array:
    """ceil(amount * weights) pulls of each arm of the support, [K] int32, and one at least.

    Args:
      weights: [K], non-negative, adding up to 1.
      amount: real.
      limit: int32, what the pulls may add up to; where float32 rounding would exceed it, the arm
        with the most pulls gets fewer. Not below the size of the support.
    """
    product = amount * weights
    counts = jnp.ceil(product - _SLACK * jnp.maximum(product, 1)).astype(jnp.int32)
    counts = jnp.where(weights > 0, jnp.maximum(counts, 1), 0)
    excess = jnp.maximum(jnp.sum(counts, dtype=jnp.int32) - limit, 0)
    most = jnp.argmax(counts)
    return counts - jnp.where(jnp.arange(counts.shape[-1]) == most, excess, 0)


def efficient_rounding(weights: jax.Array, total: jax.Array) -> jax.Array:
    """Whole numbers of pulls, [K] int32, that add up to `total` and are close to it times weights.

    ceil((total - s / 2) weights), s the size of the support, not below 0; then, while too few, one
    more for the smallest count / weight, while too many, one less for the largest
    (count - 1) / weight, the lowest index on ties.

    Pukelsheim, "Optimal design of experiments", 2006, Section 12.5 (from memory).

    Args:
      weights: [K], non-negative, with a positive sum of about 1.
      total: int32, zero or more.
    """
    return over_lanes(_efficient_rounding)(weights, total)


def _efficient_rounding(weights, total):
    support = weights > 0
    inverse = jnp.where(support, 1 / jnp.where(support, weights, 1), 0)
    free = total.astype(jnp.float32) - jnp.sum(support, axis=0, dtype=jnp.float32) / 2
    product = free * weights
    counts = jnp.ceil(product - _SLACK * jnp.maximum(product, 1))
    counts = jnp.where(support, jnp.maximum(counts, 0), 0).astype(jnp.int32)

    def lacking(counts):
        return total - jnp.sum(counts, axis=0, dtype=jnp.int32)

    def step(counts):
        short = lacking(counts) > 0
        ratio = jnp.where(short, -counts, counts - 1).astype(jnp.float32) * inverse
        _, arm = first_max(jnp.where(support, ratio, -jnp.inf))
        return counts + jnp.where(one_hot(arm, len(counts)), jnp.where(short, 1, -1), 0)

    return while_any(lambda counts: lacking(counts) != 0, step, counts)


def occupied(counts: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
    """The arms with non-zero counts in `width` slots, by index, and their counts, [W] int32 each;
    empty slots hold arm 0 and count 0. There are no more such arms than slots."""
    if width >= counts.shape[-1]:
        return jnp.arange(counts.shape[-1], dtype=jnp.int32), counts
    return over_lanes(lambda counts: _occupied(counts, width))(counts)


def _occupied(counts, width):
    def take(slot, carry):
        arms, taken, rest = carry
        exists, arm = first_max((rest > 0).astype(jnp.int32))
        hot = one_hot(arm, len(counts))
        arms = arms.at[slot].set(jnp.where(exists > 0, arm, 0))
        return arms, taken.at[slot].set(pick(rest, hot)), jnp.where(hot, 0, rest)

    empty = jnp.zeros((width, counts.shape[1]), jnp.int32)
    arms, taken, _ = loop(width, take, (empty, empty, counts))
    return arms, taken


def least_squares(features: jax.Array, counts: jax.Array, sums: jax.Array) -> jax.Array:
    """The parameter [d] that fits the mean rewards of W arms best, weighted by their pulls.

    Modified Gram-Schmidt on the columns of the design, which loses no more digits than the
    features' own condition. A column that depends on those before it (a residual below 1e-5 of its
    norm) gets coefficient 0: predictions within the span of the pulled arms are the same for every
    choice, outside of it they say nothing.

    Args:
      features: [W, d] of the arms pulled.
      counts: [W], pulls; an arm with none does not matter.
      sums: [W], sums of rewards.
    """
    return over_lanes(_least_squares)(features, counts, sums)


def _least_squares(features, counts, sums):
    d = features.shape[1]
    pulled = counts > 0
    root = jnp.where(pulled, jnp.sqrt(counts.astype(jnp.float32)), 0)
    columns = jnp.moveaxis(features, 1, 0) * root  # [d, W, B]
    target = jnp.where(pulled, sums / jnp.where(pulled, root, 1), 0)  # [W, B]
    size = jnp.sum(columns * columns, axis=1)  # [d, B]

    def orthogonalise(j, carry):
        columns, target, triangle, right = carry
        column = columns[j]
        norm = jnp.sum(column * column, axis=0)
        scale = jnp.where(norm > _COLUMN_TOLERANCE**2 * size[j], 1 / jnp.maximum(norm, 1e-30), 0)
        row = jnp.sum(columns * column, axis=1) * scale  # in units of the column, itself 1
        value = jnp.sum(target * column, axis=0) * scale
        columns = columns - row[:, None] * column
        return columns, target - value * column, triangle.at[j].set(row), right.at[j].set(value)

    zeros = jnp.zeros((d, d, features.shape[2]), jnp.float32)
    start = columns, target, zeros, jnp.zeros_like(zeros[0])
    _, _, triangle, right = loop(d, orthogonalise, start)

    def substitute(step, theta):
        j = d - 1 - step
        later = jnp.arange(d)[:, None] > j
        return theta.at[j].set(right[j] - jnp.sum(jnp.where(later, triangle[j] * theta, 0), axis=0))

    return loop(d, substitute, jnp.zeros_like(right))


def predictions(features: jax.Array, theta: jax.Array) -> jax.Array:
    """<features[i], theta> of every arm, [K]."""
    return over_lanes(lambda x, theta: dot(jnp.moveaxis(x, 1, 0), theta))(features, theta)
