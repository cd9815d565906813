"""Regret of forecasts on every group of rounds, against the best linear forecaster of the group.

What a group has lost is compared with least squares on its rounds so far, without a penalty. Each
group keeps the moments sum z z^T of z = (features, label), in float64; the least sum of squares is
what elimination of the features leaves of the label's own entry. So a round costs d^2 operations a
group, a checkpoint d^3, and no round is looked at twice. Rounds are put down first and added to the
moments 32 at a time, as one product of matrices: memory that is gone through in every round is what
takes the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.losses import expected

# A feature is a combination of the ones before it when elimination leaves this share of its sum of
# squares or less. Rounding leaves about 1e-13 of it over 10^5 rounds, dependence apart some 1e-4.
_DEPENDENT = 1e-10
_TOGETHER = 32  # rounds that are added to the moments at once


class Accounts(NamedTuple):
    """Of G groups with d features."""

    losses: jax.Array  # [G] float64: what was lost in the group's rounds
    rounds: jax.Array  # [G] int32
    moments: jax.Array  # [G, d + 1, d + 1] float64, without the rounds below
    rows: jax.Array  # [32, d + 1] float32
    counted: jax.Array  # [32, G] float32: 1 for the groups of a row
    waiting: jax.Array  # int32: rows put down so far


def no_rounds(num_groups: int, dimension: int) -> Accounts:
    size = dimension + 1
    with jax.enable_x64(True):
        moments = jnp.zeros((num_groups, size, size), jnp.float64)
        losses = jnp.zeros(num_groups, jnp.float64)
    return Accounts(
        losses,
        jnp.zeros(num_groups, jnp.int32),
        moments,
        jnp.zeros((_TOGETHER, size), jnp.float32),
        jnp.zeros((_TOGETHER, num_groups), jnp.float32),
        jnp.int32(0),
    )


def settle(
    accounts: Accounts, features: jax.Array, active: jax.Array, feedback: Any, action: Any
) -> tuple[Accounts, jax.Array]:
    """The accounts after a round, and the (expected) loss of its action, float32."""
    loss = expected(feedback, action).astype(jnp.float32)
    at = accounts.waiting
    with jax.enable_x64(True):
        losses = accounts.losses + jnp.where(active, loss, 0).astype(jnp.float64)
    accounts = Accounts(
        losses,
        accounts.rounds + active.astype(jnp.int32),
        accounts.moments,
        accounts.rows.at[at].set(jnp.append(features, feedback.label)),
        accounts.counted.at[at].set(active.astype(jnp.float32)),
        at + 1,
    )

    def add(accounts):
        return accounts._replace(
            moments=_all_moments(accounts),
            # Changed too: what is done to constants of a loop XLA does before it, in every round.
            rows=jnp.zeros_like(accounts.rows),
            counted=jnp.zeros_like(accounts.counted),
            waiting=jnp.zeros_like(at),
        )

    # A loop that turns once at most: under vmap a `cond` would pay for both branches always.
    return jax.lax.while_loop(_is_full, add, accounts), loss


def _is_full(accounts: Accounts) -> jax.Array:
    return accounts.waiting == _TOGETHER


def _all_moments(accounts: Accounts) -> jax.Array:
    """With the rows that wait."""
    groups, size, _ = accounts.moments.shape
    with jax.enable_x64(True):
        rows = accounts.rows.astype(jnp.float64)
        counted = accounts.counted.astype(jnp.float64)
        left = (counted.T[:, None, :] * rows.T).reshape(groups * size, _TOGETHER)
        return accounts.moments + jax.lax.dot(left, rows).reshape(groups, size, size)


def report(accounts: Accounts) -> dict[str, jax.Array]:
    """`group_regret`, `group_loss`, `hindsight_loss` and `group_rounds` of every group [G], and
    `regret`, the largest of the groups."""
    with jax.enable_x64(True):
        least = least_squares(_all_moments(accounts))
        regret = accounts.losses - least
        found = {
            "regret": jnp.max(regret),
            "group_regret": regret,
            "group_loss": accounts.losses,
            "hindsight_loss": least,
        }
        found = {name: x.astype(jnp.float32) for name, x in found.items()}
    return found | {"group_rounds": accounts.rounds}


def least_squares(moments: jax.Array) -> jax.Array:
    """min over theta of sum (theta^T x - y)^2 from moments [..., d + 1, d + 1], float64 [...].

    Gauss elimination without exchanges, which is stable for matrices of moments; a feature that is
    a combination of earlier ones is left out.
    """
    squares = jnp.diagonal(moments, axis1=-2, axis2=-1)

    def eliminate(j, left):
        pivot = left[..., j, j]
        free = pivot > _DEPENDENT * squares[..., j]
        scale = jnp.where(free, 1 / jnp.where(free, pivot, 1), 0)
        row = left[..., j, :]
        return left - (row * scale[..., None])[..., :, None] * row[..., None, :]

    left = jax.lax.fori_loop(0, moments.shape[-1] - 1, eliminate, moments)
    return jnp.maximum(left[..., -1, -1], 0)


METRIC_DIMS = {
    name: ("group",) for name in ("group_regret", "group_loss", "hindsight_loss", "group_rounds")
}


def check_data(name: str, features: np.ndarray, active: np.ndarray, labels: np.ndarray) -> None:
    """Raises ValueError where the three do not fit together, saying how."""
    if features.ndim != 2 or not features.size or not np.all(np.isfinite(features)):
        raise ValueError(
            f"{name}: features are finite numbers [N, d], at least one of each, got shape "
            f"{list(features.shape)}"
        )
    rows = len(features)
    if active.ndim != 2 or len(active) != rows or not active.size or active.dtype != bool:
        raise ValueError(
            f"{name}: active says [N, G] bool which groups each of the {rows} examples is in, got "
            f"{active.dtype} of shape {list(active.shape)}"
        )
    if empty := np.flatnonzero(~active.any(axis=0)).tolist():
        raise ValueError(f"{name}: no example is in group {empty[0]}: leave empty groups out")
    if labels.shape != (rows,) or not np.all((labels >= 0) & (labels <= 1)):
        raise ValueError(
            f"{name}: labels are {rows} numbers in [0, 1], one an example; scale them first, as "
            f"grouped_data.min_max does: got shape {list(labels.shape)}"
        )
