"""Iteration counts written down beforehand, played as an environment."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.protocol import Iterations, Key, concrete


class TableState(NamedTuple):
    row: jax.Array  # int32; -1 for a seed that the table does not have
    round: jax.Array  # int32
    spent: jax.Array  # int32, iterations so far
    fixed: jax.Array  # [d] int32: what each fixed parameter would have cost so far
    least: jax.Array  # int32: what the best parameter of each system would have
    best: jax.Array  # int32: what omega*(c) would have


@flax.struct.dataclass
class SolverTable:
    """Systems whose costs are known for every parameter of a grid.

    Attributes:
      counts: iterations with each parameter, integers [rows, T, d], or [T, d] for one row.
      contexts: what the learner sees before each solve, [rows, T] or [T]; 0 if left out.
      omegas: the grid of parameters, increasing in (0, 2) [d].
      best: counts with a parameter that was chosen with knowledge of the system, [rows, T].
      range: of the contexts, for learners that divide it; by default that of `contexts`.
      keys: words of the key from which the seed of each row starts [rows, 2]; without them every
        seed plays row 0. A seed without a row, or a round beyond T, makes `iterations` NaN.

    Metrics: `iterations`, `omega`, `omega_squared` (sums of what was played), `fixed_iterations`
    [d] (what each fixed parameter would have cost), `least_iterations` (each system's best one on
    the grid), `regret` (iterations above those of the best fixed parameter in hindsight), and with
    `best` `best_iterations` and `contextual_regret` (iterations above those).

    Raises:
      ValueError: shapes that do not fit together, counts that are not integers from 0 or so large
        that their sum passes 2^31, parameters outside (0, 2).
    """

    counts: Any
    contexts: Any = None
    omegas: Any = None
    best: Any = None
    range: Any = None
    keys: Any = None

    metric_dims = {"fixed_iterations": ("arm",)}

    def __post_init__(self):
        counts = concrete(self.counts)
        if counts is None or counts.ndim > 3:
            return  # stacked, or a placeholder
        put = partial(object.__setattr__, self)
        counts = counts[None] if counts.ndim == 2 else counts
        if counts.ndim != 3 or not counts.size or counts.dtype.kind not in "iu":
            raise ValueError(
                f"SolverTable: counts are integers [rows, rounds, parameters], got "
                f"{counts.dtype} of shape {list(counts.shape)}"
            )
        if counts.min() < 0 or counts.sum(axis=1, dtype=np.int64).max() >= 2**31:
            raise ValueError(
                f"SolverTable: counts are not negative and add up to less than 2^31 over the "
                f"rounds, got {counts.min()} to {counts.max()}, "
                f"{counts.sum(axis=1, dtype=np.int64).max():,} in all"
            )
        put("counts", counts)
        rows, rounds, arms = counts.shape
        if self.omegas is None:
            raise ValueError("SolverTable: give the parameters of the columns, omegas=[...]")
        put("omegas", check_omegas("SolverTable", self.omegas))
        if len(self.omegas) != arms:
            raise ValueError(f"SolverTable: {arms} columns of counts, {len(self.omegas)} omegas")
        contexts = concrete(self.contexts)
        contexts = np.zeros((rows, rounds), np.float32) if contexts is None else contexts
        put("contexts", self._fit("contexts", contexts).astype(np.float32))
        if (best := concrete(self.best)) is not None:
            put("best", self._fit("best", best))
        if concrete(self.range) is None:
            put("range", np.array([self.contexts.min(), self.contexts.max()], np.float32))

    def _fit(self, name: str, x: np.ndarray) -> np.ndarray:
        x, shape = x[None] if x.ndim == 1 else x, np.shape(self.counts)[:2]
        if x.shape != shape or not np.all(np.isfinite(x)):
            raise ValueError(
                f"SolverTable: {name} are finite numbers {list(shape)} like the counts, got shape "
                f"{list(x.shape)}"
            )
        return x

    def __repr__(self) -> str:
        rows, rounds, arms = np.shape(self.counts)[-3:]
        return f"SolverTable({rows} rows of {rounds:,} systems, {arms} parameters)"

    @property
    def num_arms(self) -> int:
        return np.shape(self.counts)[-1]

    @property
    def most_rounds(self) -> int:
        """T: a longer horizon is refused."""
        return np.shape(self.counts)[-2]

    @property
    def interval(self) -> Any:
        return self.range

    def init(self, key: Key) -> TableState:
        row, zero = jnp.int32(0), jnp.int32(0)
        if self.keys is not None:
            same = jnp.all(jnp.asarray(self.keys) == jax.random.key_data(key), axis=-1)
            row = jnp.where(jnp.any(same), jnp.argmax(same), -1).astype(jnp.int32)
        return TableState(row, zero, zero, jnp.zeros(self.num_arms, jnp.int32), zero, zero)

    def noise(self, key: Key, num_rounds: int) -> tuple:
        return ()

    def observe(self, state, noise):
        return jnp.asarray(self.contexts)[state.row, state.round]

    def step(self, state, action, noise):
        if jnp.issubdtype(action.dtype, jnp.floating):
            raise ValueError(
                "SolverTable: an action is the index of a parameter; a learner that plays omega "
                "itself, as FixedOmega does, needs a live environment"
            )
        row, t = state.row, state.round
        counts = jnp.asarray(self.counts)[row, t].astype(jnp.int32)
        iterations, omega = counts[action], jnp.asarray(self.omegas, jnp.float32)[action]
        best = 0 if self.best is None else jnp.asarray(self.best)[row, t].astype(jnp.int32)
        known = (row >= 0) & (t < self.most_rounds)
        metrics = {
            "iterations": jnp.where(known, iterations.astype(jnp.float32), jnp.nan),
            "omega": omega,
            "omega_squared": omega * omega,
        }
        state = TableState(
            row, t + 1, state.spent + iterations, state.fixed + counts,
            state.least + jnp.min(counts), state.best + best,
        )  # fmt: skip
        return state, Iterations(iterations), metrics

    def evaluate(self, state, recommendation):
        found = {
            "fixed_iterations": state.fixed,
            "least_iterations": state.least,
            "regret": state.spent - jnp.min(state.fixed),
        }
        if self.best is not None:
            found |= {"best_iterations": state.best, "contextual_regret": state.spent - state.best}
        return found


def check_omegas(name: str, omegas: Any) -> Any:
    """A grid of parameters, float64 to six decimals, which survive float32 on the way through
    JAX, so that live solves and tables are of the same ones; stacked or placeholder leaves as they
    are.

    Raises:
      ValueError: not increasing numbers in (0, 2).
    """
    values = concrete(omegas)
    if values is None or values.ndim > 1:
        return omegas
    fits = values.ndim == 1 and values.size and values.dtype.kind in "fiu"
    values = np.round(values.astype(np.float64), 6) if fits else values
    if not fits or not (values[0] > 0 and values[-1] < 2 and np.all(np.diff(values) > 0)):
        raise ValueError(f"{name}: omegas are increasing numbers in (0, 2), got {omegas!r}")
    return values
