"""Losses in hindsight: what quadratic and linear losses add up to, and the best fixed point.

Regrets of 1 to 20 are left over from losses of 10^4 and more, so everything here is float64: each
function is called under `with jax.enable_x64(True)`, inside a traced function.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from ..core.domains import Ball, Box, Domain, Simplex
from ..core.losses import LinearLoss, QuadraticLoss
from ..core.protocol import concrete

Kind = Literal["quadratic", "linear"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Sums(NamedTuple):
    """Of the rounds so far, in float64."""

    loss: jax.Array  # [] of the points played
    centres: jax.Array  # [d] of the losses: coefficients where they are linear
    squares: jax.Array  # [] |centre|^2


class CentredLosses:
    """Shared by environments whose losses are quadratic around a centre, or linear in it: a
    subclass has the fields `loss` and `curvature`, and the property `gradient_bound`."""

    loss: Kind
    curvature: Any
    gradient_bound: Any

    def check(self) -> None:
        """Raises ValueError for another loss, or a curvature that is not positive."""
        name, curvature = type(self).__name__, concrete(self.curvature)
        if self.loss not in KINDS:
            raise ValueError(f"{name}: loss is one of {list(KINDS)}, got {self.loss!r}")
        if curvature is not None and not np.all(np.isfinite(curvature) & (curvature > 0)):
            raise ValueError(f"{name}: curvature is positive, got {self.curvature}")

    @property
    def smoothness(self) -> np.float32:
        return np.float32(0 if self.loss == "linear" else self.curvature)

    @property
    def strong_convexity(self) -> np.float32 | None:
        return None if self.loss == "linear" else np.float32(self.curvature)

    @property
    def exp_concavity(self) -> np.float32 | None:
        """alpha with exp(-alpha f_t) concave: the curvature over the square of the gradients."""
        if self.loss == "linear":
            return None
        return np.float32(self.curvature / self.gradient_bound**2)


def given(table: Any) -> np.ndarray | None:
    """A table that a person gives, or JAX with values in it; None for what else JAX puts into a
    pytree."""
    return concrete(table) if isinstance(table, list | np.ndarray | jax.Array) else None


def check_rows(env: Any, what: str, rows: np.ndarray) -> None:
    """Raises ValueError for something other than finite numbers [R, d], d that of the domain."""
    name, domain = type(env).__name__, env.domain
    good = rows.dtype.kind in "fiu" and rows.ndim >= 2 and rows.size
    if not good or not np.all(np.isfinite(rows)):
        raise ValueError(
            f"{name}: {what} are finite numbers [rows, d], at least one row: got {rows!r}"
        )
    if rows.shape[-1] != getattr(domain, "dimension", None):
        raise ValueError(
            f"{name}: {what} have {rows.shape[-1]} columns, as many as the domain has dimensions: "
            f"got {domain!r}"
        )


def nothing(dimension: int) -> Sums:
    with jax.enable_x64(True):
        zero = jnp.zeros((), jnp.float64)
        return Sums(zero, jnp.zeros(dimension, jnp.float64), zero)


def loss_of(kind: Kind, centre: jax.Array, curvature: Any) -> QuadraticLoss | LinearLoss:
    return LinearLoss(centre) if kind == "linear" else QuadraticLoss(centre, curvature)


def add(sums: Sums, paid: jax.Array, centre: jax.Array) -> Sums:
    """With one round more; both are `wide`."""
    squares = sums.squares + jnp.sum(centre * centre)
    return Sums(sums.loss + paid, sums.centres + centre, squares)


def least(kind: Kind, domain: Any, curvature: Any, rounds: jax.Array, sums: Sums) -> jax.Array:
    """The least that one point of the domain could have paid for these losses.

    Quadratic losses are those of their mean centre, but for what no point can change: the best
    point is its projection. `domain` and `curvature` are `wide`.
    """
    if kind == "linear":
        return jnp.sum(domain.least(sums.centres) * sums.centres)
    rounds = rounds.astype(jnp.float64)
    point = domain.project(sums.centres / jnp.maximum(rounds, 1))
    away = jnp.sum(rounds * point * point - 2 * point * sums.centres) + sums.squares
    return curvature / 2 * away


def regret(kind: Kind, domain: Any, curvature: Any, rounds: jax.Array, sums: Sums) -> jax.Array:
    return sums.loss - least(kind, domain, curvature, rounds, sums)


def wide(tree: Any) -> Any:
    """Every leaf in float64."""
    return jax.tree.map(lambda x: jnp.asarray(x).astype(jnp.float64), tree)


def narrow(metrics: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Every metric in float32."""
    return {name: x.astype(jnp.float32) for name, x in metrics.items()}


def so_far(table: jax.Array, row: jax.Array, cycles: jax.Array) -> jax.Array:
    """Sum over the rows [R, ...] read so far: all of them `cycles` times, then the first `row`.

    The running sums depend on the table alone, so seeds share them: they cost nothing under vmap.
    """
    sums = jnp.cumsum(table, axis=0)
    started = jnp.where(row > 0, sums[jnp.maximum(row - 1, 0)], 0)
    return cycles.astype(jnp.float64) * sums[-1] + started


def steps(table: jax.Array, row: jax.Array, cycles: jax.Array) -> jax.Array:
    """Sum over the rows [R] read so far, where row r holds the step to it from the row before: the
    first round is no step, but reading the table again is one."""
    begun = (row > 0) | (cycles > 0)
    return so_far(table, row, cycles) - jnp.where(begun, table[0], 0)


def furthest(domain: Domain, points: np.ndarray) -> np.ndarray:
    """The largest distance from each point [..., d] to one of the domain, [...]; on the host.

    Raises:
      ValueError: a domain other than a ball, a box or a simplex.
    """
    if isinstance(domain, Ball):
        return np.float64(domain.radius) + np.linalg.norm(points, axis=-1)
    if isinstance(domain, Simplex):  # the corner e_j with the least points[j]
        return np.sqrt(np.sum(points**2, axis=-1) - 2 * np.min(points, axis=-1) + 1)
    low, high = corners(domain)
    return np.linalg.norm(np.maximum(np.abs(points - low), np.abs(points - high)), axis=-1)


def corners(domain: Any) -> tuple[Any, Any]:
    """Ends of the smallest box around the domain, [d] each.

    Raises:
      ValueError: a domain other than a ball, a box or a simplex.
    """
    if isinstance(domain, Box):
        return domain.low, domain.high
    ones = np.ones(domain.dimension)
    if isinstance(domain, Simplex):
        return (0 * ones, ones) if domain.dimension > 1 else (ones, ones)
    if isinstance(domain, Ball):
        return -domain.radius * ones, domain.radius * ones
    raise ValueError(f"the domain is a Ball, a Box or a Simplex, got {domain!r}")
