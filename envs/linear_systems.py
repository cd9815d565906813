"""Tuning the relaxation parameter of an iterative solver, one linear system after another.

Khodak, Chow, Balcan and Talwalkar, "Learning to relax: setting solver parameters across a sequence
of linear system instances", ICLR 2024 (arXiv 2310.02246). In round t a system A_t x = b_t comes;
the learner chooses omega and is told how many iterations the solve took (`Iterations`), nothing
else. Before that it sees the context, here c_t of A_t = A + c_t I.

An action is an int32 index into `omegas`, the grid of parameters (the arms), or, where solves are
live, a float: omega itself. Two ways to play, with the same numbers:

- live: `DiagonalShifts` solves within `step`;
- `Tabulated(DiagonalShifts(...))` solves every system with every omega of the grid beforehand,
  those of similar cost side by side, and the learner's rounds are look-ups: for many learners on
  the same systems, and for what needs all counts, as regret.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import samplers
from ..core.compiled import jit
from ..core.noise import normal, stream
from ..core.progress import Progress, bar
from ..core.protocol import Iterations, Key, concrete
from ..core.shards import over_devices
from ..core.tables import Table
from ..core.tapes import environment_tape
from . import pcg, sor
from .grids import Grid, square
from .solver_table import SolverTable, check_omegas
from .solver_theory import optimal_omega, sor_radius

METHODS = ("sor", "red-black sor", "ssor_pcg", "cg")
OMEGAS = np.round(1 + 0.05 * np.arange(20), 2)  # 1.00, 1.05, ..., 1.95


class ShiftNoise(NamedTuple):
    """One system."""

    shift: Any  # tape of a beta draw
    b: jax.Array  # [n] float32


@flax.struct.dataclass
class DiagonalShifts:
    """Systems (A + c_t I) x = b_t with A the 5-point Laplacian (4 on the diagonal, -1 off it).

    c_t = low + (high - low) Beta(a, b), seen as the context, float32; b_t is standard normal. (The
    authors draw b_t anew until |b_t| <= sqrt(n); counts relative to |b_t| do not depend on its
    length, so their law is the same.) Defaults are the paper's: 10 x 10 points, 20 parameters from
    1 to 1.95, and the law of low variance, Beta(2, 6); that of high variance is Beta(1/2, 3/2).
    Solves are in float64, from x = 0, to a relative residual of 1e-8, of at most 10,000 iterations.

    Attributes:
      omegas: the grid of parameters, increasing in (0, 2) [d].
      a, b: of the beta law; low, high: range of the shift. A + low I is positive definite.
      grid: the region; method: "sor" in the natural order, "red-black sor", "ssor_pcg" or "cg"
        (which has no parameter).

    Metrics: `iterations`; `omega` and `omega_squared`, sums over the rounds of what was played.

    Raises:
      ValueError: parameters outside of their range, an unknown method.
    """

    omegas: Any = flax.struct.field(default_factory=lambda: OMEGAS)
    a: Any = 2.0
    b: Any = 6.0
    low: Any = -0.15
    high: Any = 0.45
    grid: Grid = flax.struct.field(pytree_node=False, default=square(10))
    method: str = flax.struct.field(pytree_node=False, default="sor")

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"DiagonalShifts: method is one of {METHODS}, got {self.method!r}")
        object.__setattr__(self, "omegas", check_omegas("DiagonalShifts", self.omegas))
        values = [concrete(x) for x in (self.a, self.b, self.low, self.high)]
        if any(x is None or x.ndim for x in values):
            return
        a, b, low, high = (float(x) for x in values if x is not None)
        if not (0 < a < np.inf and 0 < b < np.inf):
            raise ValueError(f"DiagonalShifts: the beta law needs a > 0 and b > 0, got {a}, {b}")
        least = self.grid.spread - 4
        if not least < low <= high < np.inf:
            raise ValueError(
                f"DiagonalShifts: on this grid A + c I is positive definite for c > {least:.4f}, "
                f"and low is not above high: got low = {low}, high = {high}"
            )

    @property
    def num_arms(self) -> int:
        return np.shape(self.omegas)[-1]

    @property
    def interval(self) -> np.ndarray:
        """Range of the contexts."""
        return np.array([self.low, self.high], np.float32)

    @property
    def diagonal(self) -> np.float32:
        """The Jacobi iteration has the spectral radius spread / (diagonal + c)."""
        return np.float32(4)

    @property
    def spread(self) -> np.float32:
        return np.float32(self.grid.spread)

    def init(self, key: Key):
        return ()

    def noise(self, key: Key, num_rounds: int) -> ShiftNoise:
        below_one = concrete(self.a) is None or min(float(self.a), float(self.b)) < 1
        shift = samplers.beta_tape(stream(key, "shift"), (num_rounds, 1), below_one=below_one)
        return ShiftNoise(shift, normal(stream(key, "b"), (num_rounds, self.grid.size)))

    def observe(self, state, noise):
        return self.shift(noise)

    def step(self, state, action, noise):
        omega = played(self.omegas, action)
        iterations = self.solve(self.shift(noise), noise.b, omega)
        return state, Iterations(iterations), metrics(iterations, omega)

    def evaluate(self, state, recommendation):
        return {}

    def shift(self, noise: ShiftNoise) -> jax.Array:
        """c_t, float32 []."""
        share = samplers.beta(noise.shift, jnp.float32(self.a), jnp.float32(self.b))
        return self.low + (self.high - self.low) * share.reshape(())

    def solve(self, shift: jax.Array, b: jax.Array, omega: jax.Array) -> jax.Array:
        """Iterations for one system, int32 []."""
        with jax.enable_x64(True):
            diagonal, one = 4 + shift.astype(jnp.float64), jnp.ones(shift.shape, jnp.float64)
            omega = jnp.asarray(omega, jnp.float64)
        if self.method == "cg":
            return pcg.cg(self.grid, diagonal, one, b)[0]
        if self.method == "ssor_pcg":
            return pcg.ssor_pcg(self.grid, diagonal, one, b, omega)[0]
        order = "natural" if self.method == "sor" else "red-black"
        return sor.sor(self.grid, diagonal, one, b, omega, order=order)

    def best_omega(self, shift: np.ndarray) -> np.ndarray | None:
        """omega*(c), asymptotically optimal for SOR; None where there is no closed form."""
        if not self.method.endswith("sor"):
            return None
        return optimal_omega(self.grid.spread / (4 + shift.astype(np.float64)))

    def expected(self, shift: np.ndarray, omega: np.ndarray) -> np.ndarray:
        """What a solve will cost, roughly: jobs are sorted by it."""
        if not self.method.endswith("sor"):
            return omega * 1e3 - shift
        beta = self.grid.spread / (4 + shift.astype(np.float64))
        return -1 / np.log(sor_radius(omega, beta))


@flax.struct.dataclass
class Tabulated:
    """The systems of a live problem, each solved with every parameter before play: a recipe, that
    `simulate` and `run` turn into a `SolverTable` (`core.tables`).

    Seed i meets the systems it meets live, and pays the same. Where the best parameter of a system
    is known in closed form, it is solved with that one too.
    """

    problem: DiagonalShifts

    deterministic = False

    @property
    def num_arms(self) -> int:
        return self.problem.num_arms

    @property
    def omegas(self):
        return self.problem.omegas

    @property
    def interval(self) -> np.ndarray:
        return self.problem.interval

    def init(self, key: Key):
        raise TypeError("Tabulated is a recipe: simulate and run fill it in")

    noise = step = init

    def seeds_together(self, horizon: int) -> int:
        return max(1, _JOBS_STORED // (horizon * (self.num_arms + 1)))

    def tabulate(
        self, horizon: int, seeds: np.ndarray, root_seed: int, progress: Progress = None
    ) -> Table:
        """Counts int16 [seed, T, d], contexts float32 [seed, T], and, where omega*(c) is known,
        `best`, the counts with it, int16 [seed, T]."""
        parts, group = [], max(1, _RIGHT_HAND_SIDES // (horizon * self.problem.grid.size))
        total = len(seeds) * horizon * (self.num_arms + 1)
        with bar(progress, total, f"{self.problem.method}: {total:,} solves", "solves") as update:
            for first in range(0, len(seeds), group):
                tape = environment_tape(
                    self.problem, seeds[first : first + group], horizon, root_seed
                )
                parts.append(self._rows(tape, update))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def with_table(self, table: Table, keys: np.ndarray | None) -> SolverTable:
        return SolverTable(**table, omegas=self.omegas, range=self.interval, keys=keys)

    def _rows(self, tape: ShiftNoise, update) -> Table:
        shift = np.asarray(_shifts(self.problem, tape))
        size, rows = shift.size, (*shift.shape, self.num_arms)
        b = np.asarray(tape.b).reshape(size, -1)
        omega = np.broadcast_to(np.asarray(self.omegas), rows).reshape(size, -1)
        best = self.problem.best_omega(shift.reshape(-1, 1))
        if best is not None:
            omega = np.concatenate([omega, np.round(best, 6)], axis=1)
        cost = self.problem.expected(shift.reshape(-1, 1), omega)
        counts = solve_all(self.problem, shift.reshape(-1), b, omega, cost, update)
        table = {"counts": counts[:, : self.num_arms].reshape(rows), "contexts": shift}
        return table if best is None else table | {"best": counts[:, -1].reshape(shift.shape)}


_JOBS_STORED = 1 << 22  # solves in one block of the store
_RIGHT_HAND_SIDES = 1 << 26  # numbers in the right-hand sides that are kept at a time
_JOBS = 1 << 15  # solves in one call


def solve_all(
    problem: DiagonalShifts, shift: np.ndarray, b: np.ndarray, omega: np.ndarray, cost: np.ndarray,
    update=lambda done: None,
) -> np.ndarray:  # fmt: skip
    """Counts int16 [systems, parameters] of systems shift [S], b [S, n] with the parameters omega
    [S, P], in the order of the expected `cost` [S, P], so that lanes end together."""
    order = np.argsort(cost.ravel(), kind="stable")
    size = min(_JOBS, 1 << max(9, int(np.ceil(np.log2(len(order))))))
    order = np.concatenate([np.repeat(order[:1], -len(order) % size), order])  # the cheapest
    counts = np.zeros(omega.size, np.int16)
    for jobs in order.reshape(-1, size):
        system = jobs // omega.shape[1]
        arrays = shift[system], b[system], omega.ravel()[jobs]
        counts[jobs] = over_devices(_solve_lanes, problem, *arrays, block=sor.LANES)
        update(size)
    return counts.reshape(omega.shape)


def _solve_lanes(problem, shift, b, omega):
    return jax.vmap(problem.solve)(shift, b, omega)


@jit
def _shifts(problem, tape):
    return jax.vmap(jax.vmap(problem.shift))(tape)


def played(omegas: Any, action: jax.Array) -> jax.Array:
    """The parameter that an action means, float64 [] to six decimals: a float is it, an integer
    its index."""
    with jax.enable_x64(True):
        if jnp.issubdtype(action.dtype, jnp.floating):
            omega = action.astype(jnp.float64)
        else:
            omega = jnp.asarray(omegas, jnp.float64)[action]
        return jnp.round(omega * 1e6) / 1e6


def metrics(iterations: jax.Array, omega: jax.Array) -> dict[str, jax.Array]:
    """What solver environments report of a round."""
    omega = jnp.asarray(omega).astype(jnp.float32)
    return {
        "iterations": iterations.astype(jnp.float32),
        "omega": omega,
        "omega_squared": omega * omega,
    }
