"""What least-squares value iteration keeps of all episodes, in float64: sums, not the history.

Over a finite number of states the regression of r + V(s') on the features phi, for any V, needs
no more than Lambda = ridge * I + sum phi phi^T, sum phi r and sum phi e_(s')^T of every stage: an
episode costs the same after ten episodes and after a million.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...mdp import Counts, Trajectory, times
from ..parameters import filled, require


class Statistics(NamedTuple):
    """Of H regressions, one a stage; everything is float64."""

    roots: jax.Array  # [H, d, d], root^T root = Lambda^-1
    widths: jax.Array  # [H, S, A], phi^T Lambda^-1 phi
    rewards: jax.Array  # [H, d], sum phi r
    successors: jax.Array  # [H, S, d], sum phi e_(s')^T, transposed
    log_growth: jax.Array  # [H], ln det Lambda - ln det(ridge * I)


def table(learner: Any) -> jax.Array:
    """The features of a learner, [S, A, d] float64."""
    return jnp.asarray(filled(learner, "features")).astype(jnp.float64)


def require_ridge(learner: Any) -> None:
    require(learner, "ridge", lambda x: x > 0, "positive")


def start(learner: Any, key: jax.Array) -> Statistics:
    """Before the first episode: of nothing, or of the learner's `offline` data, where it has any.

    Args:
      learner: its `features`, `stages` and `ridge` are used.
      key: of the learner; data that are drawn anew for every seed depend on it alone.
    """
    stages = filled(learner, "stages")
    offline = getattr(learner, "offline", None)
    counts = None if offline is None else offline.draw(tapes.stream(key, "offline data"))
    with jax.enable_x64(True):
        features, ridge = table(learner), jnp.asarray(learner.ridge).astype(jnp.float64)
        states, _, d = features.shape
        if counts is None:
            root = jax.lax.rsqrt(ridge) * jnp.eye(d, dtype=jnp.float64)
            widths = jnp.sum(features * features, axis=-1) / ridge
            zeros = jnp.zeros((stages, d), jnp.float64)
            return Statistics(
                jnp.tile(root, (stages, 1, 1)),
                jnp.tile(widths, (stages, 1, 1)),
                zeros,
                jnp.zeros((stages, states, d), jnp.float64),
                zeros[:, 0],
            )
        return from_counts(features, ridge, counts)


def from_counts(features: jax.Array, ridge: Any, counts: Counts, weights: Any = None) -> Statistics:
    """The statistics of many episodes at once; call it with float64 enabled.

    Args:
      features: [S, A, d]; ridge: positive.
      weights: of every stage, state and action in the regressions, [H, S, A]; ones when left out.
    """
    d = features.shape[-1]
    flat = features.reshape(-1, d)
    visits = counts.visits.astype(jnp.float64)
    weights = jnp.ones(visits.shape[:3]) if weights is None else weights

    def stage(visits, rewards, weights):
        weighted = visits * weights[..., None]
        seen = weighted.sum(axis=-1).reshape(-1, 1)
        gram = times(flat.T, seen * flat) + ridge * jnp.eye(d, dtype=jnp.float64)
        root, log_det = inverse_root(gram)
        images = times(flat, root.T)
        widths = jnp.sum(images * images, axis=-1).reshape(features.shape[:-1])
        sums = times((rewards * weights).reshape(-1), flat)
        successors = times(weighted.reshape(len(flat), -1).T, flat)
        return Statistics(root, widths, sums, successors, log_det - d * jnp.log(ridge))

    return jax.vmap(stage)(visits, counts.rewards.astype(jnp.float64), weights)


def learn(
    statistics: Statistics, features: jax.Array, trajectory: Trajectory, weights: Any = None
) -> Statistics:
    """The statistics after one more episode; call it with float64 enabled.

    The update is that of Sherman and Morrison (1950) on a square root of the inverse, as in
    `linear.Ridge`; it costs d^2 + S A d operations a stage.

    Args:
      features: [S, A, d].
      weights: of the episode in the regression of every stage, [H]; ones when left out.
    """
    states, actions, rewards = trajectory
    x = features[states[:-1], actions]
    weights = jnp.ones(len(x)) if weights is None else weights
    roots, widths, sums, successors, log_growth = statistics
    images = jax.vmap(times)(roots, x)
    directions = jax.vmap(times)(images, roots)  # Lambda^-1 x
    growth = 1 + weights * jnp.sum(images * images, axis=-1)  # det Lambda grows by this factor
    gains = weights / (growth + jnp.sqrt(growth))
    # (I - gain image image^T) root: its square is Lambda^-1 - weight direction direction^T / growth
    roots = roots - (gains[:, None] * images)[:, :, None] * directions[:, None, :]
    shared = jnp.moveaxis(times(features, directions.T), -1, 0)
    widths = widths - (weights / growth)[:, None, None] * shared * shared
    weighted = weights[:, None] * x
    stage = jnp.arange(len(x))
    return Statistics(
        roots,
        jnp.maximum(widths, 0),
        sums + weighted * rewards.astype(jnp.float64)[:, None],
        successors.at[stage, states[1:]].add(weighted),
        log_growth + jnp.log(growth),
    )


def inverse_root(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of a positive definite matrix: the root with root^T root = matrix^-1, and ln det matrix.

    By elimination in plain XLA, a column at a time: the library routines that JAX 0.10 calls on a
    CPU may wait for each other for ever, where two devices factorise many matrices at once.
    """
    index = jnp.arange(len(matrix))

    # Below the pivots, where elimination leaves zeros, the inverse of the lower factor grows.
    def column(k, table):
        factors = jnp.where(index > k, table[:, k] / table[k, k], 0)[:, None]
        eliminated = table - factors * table[k]
        return jnp.where((index > k)[:, None] & (index == k), -factors, eliminated)

    table = jax.lax.fori_loop(0, len(matrix), column, matrix)
    pivots = jnp.diagonal(table)
    lower = jnp.where(index[:, None] > index, table, jnp.eye(len(matrix), dtype=matrix.dtype))
    return lower / jnp.sqrt(pivots)[:, None], jnp.sum(jnp.log(pivots))


def solve(root: jax.Array, target: jax.Array) -> jax.Array:
    """Lambda^-1 target, [d]."""
    return times(times(root, target), root)


def value_iteration(
    statistics: Statistics, features: jax.Array, backup: Callable[..., jax.Array], extras: Any
) -> jax.Array:
    """Q [H, S, A] from the last stage to the first, float64; call it with float64 enabled.

    Args:
      features: [S, A, d].
      backup: from the regression's weights w [d], the row of `extras` and the number of stages left
        (this one counts), to the values [S, A] of a stage.
      extras: what a stage adds, leading axis H, in any pytree.
    """
    stages = len(statistics.rewards)
    left = jnp.arange(stages, 0, -1).astype(jnp.float64)

    def stage(after, now):
        root, rewards, successors, extra, left = now
        weights = solve(root, rewards + times(after, successors))
        values = backup(weights, extra, left)
        return jnp.max(values, axis=-1), values

    inputs = statistics.roots, statistics.rewards, statistics.successors, extras, left
    last = jnp.zeros(features.shape[0], jnp.float64)
    return jax.lax.scan(stage, last, inputs, reverse=True)[1]
