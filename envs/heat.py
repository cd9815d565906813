"""The heat equation, one linear system a time step: tuning where systems drift and start is warm.

u_t = kappa(t) Laplacian(u) + f(t, x) on the unit square, u = 0 on its edge, from t = 0 in steps of
dt = 1e-3; the problem of section 4 of Khodak, Chow, Balcan and Talwalkar, "Learning to relax" (ICLR
2024, arXiv 2310.02246), with the coefficients of the authors' code (the paper prints some of them
differently). On nx - 1 inner points each way, dx = 1 / nx, Crank-Nicolson takes the coefficients in the
middle of a step: with A = I + a L, L the 5-point Laplacian (4 on the diagonal, -1 off it) and
a = kappa dt / (2 dx^2),

    A u(t + dt) = (I - a L) u(t) + dt f.

It is solved by SSOR-preconditioned CG from u(t), to a residual of 1e-8 |b|, in float64. Half of the
time kappa hardly matters and a few iterations do; the other half it is up to 100 times as large.
A round is a step, the context is kappa at its beginning, an action as in `linear_systems`.

`HeatEquation` solves as it is played. `HeatTable` counts for all parameters at all steps beforehand:
whatever solved the steps before, u is the same to about 1e-8, so that one trajectory does, and it comes
from a direct solver, as sines diagonalise L.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import whole
from ..core.progress import Progress, bar
from ..core.protocol import Iterations, Key
from ..core.spread import over_devices
from ..core.tables import Table
from . import pcg
from .grids import Grid, square
from .linear_systems import OMEGAS, metrics, played
from .solver_table import SolverTable, check_omegas

DT = 1e-3
STEPS = 5000
METHODS = ("ssor_pcg", "cg")


# ---- the equation --------------------------------------------------------------------------
# For NumPy arrays and for those of JAX: `xp` is the one module or the other.


def kappa(t: Any, xp: Any = np) -> Any:
    """The diffusion coefficient at time t, between 0 and 10, of period 1."""
    wave = xp.sin(2 * np.pi * t)
    return xp.maximum(0.1 * wave, -10 * wave)


def bump(x: Any, y: Any, centre: tuple[Any, Any], radius: float, xp: Any = np) -> Any:
    """exp(1 - 1 / (1 - s)), s = |(x, y) - centre|^2 / radius^2: 1 at the centre, 0 from s = 1 on."""
    s = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2
    inside = s < 1
    return xp.where(inside, xp.exp(1 - 1 / (1 - xp.where(inside, s, 0.0))), 0.0)


def start(nx: int) -> np.ndarray:
    """u at time 0 on the inner points [nx - 1, nx - 1], x first. Flat, that is the natural order."""
    return bump(*_points(nx), (0.5, 0.5), 0.25)


def forcing(nx: int, t: Any, xp: Any = np) -> Any:
    """f at the times t [...] on the inner points, [..., nx - 1, nx - 1]: a source of radius 1/8
    that goes round the middle of the square 8 times in a unit of time."""
    angle = 16 * np.pi * xp.asarray(t)[..., None, None]
    centre = 0.5 + xp.cos(angle) / 4, 0.5 + xp.sin(angle) / 4
    return 32 * bump(*_points(nx), centre, 0.125, xp)


def coupling(nx: int, t: Any, xp: Any = np) -> Any:
    """a of the step from time t to t + dt."""
    return 0.5 * kappa(t + DT / 2, xp) * DT * nx**2


def right_side(nx: int, t: Any, u: Any, xp: Any = np) -> Any:
    """b of the steps that begin at the times t [...] in u [..., nx - 1, nx - 1]."""
    edge = [(0, 0)] * (u.ndim - 2) + [(1, 1), (1, 1)]
    v = xp.pad(u, edge)
    near = v[..., 2:, 1:-1] + v[..., :-2, 1:-1] + v[..., 1:-1, 2:] + v[..., 1:-1, :-2]
    a = coupling(nx, t, xp)[..., None, None]
    return u - a * (4 * u - near) + DT * forcing(nx, t + DT / 2, xp)


def _points(nx: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(1, nx) / nx
    return at[:, None], at[None, :]


def trajectory(nx: int, steps: int, window: int | None = None) -> Iterator[np.ndarray]:
    """u at the beginnings of the steps 0, 1, ..., from a direct solver: arrays [<= window, nx - 1,
    nx - 1], `window` steps at a time."""
    window = steps if window is None else window
    waves = np.arange(1, nx)
    sines = np.sqrt(2 / nx) * np.sin(np.pi / nx * np.outer(waves, waves))  # its own inverse
    eigenvalues = 4 * np.sin(np.pi / (2 * nx) * waves) ** 2
    eigenvalues = eigenvalues[:, None] + eigenvalues
    u = sines @ start(nx) @ sines
    for first in range(0, steps, window):
        t = DT * np.arange(first, min(first + window, steps))
        seen = sines @ (DT * forcing(nx, t + DT / 2)) @ sines
        for i, a in enumerate(coupling(nx, t)):
            after = ((1 - a * eigenvalues) * u + seen[i]) / (1 + a * eigenvalues)
            seen[i], u = u, after
        yield sines @ seen @ sines


# ---- played step by step -------------------------------------------------------------------


class HeatState(NamedTuple):
    u: jax.Array  # [n] float64
    step: jax.Array  # [] int32


@flax.struct.dataclass
class HeatEquation:
    """The heat equation, solved as it is played; see the head of this file.

    Attributes:
      nx: intervals of the grid each way, 3 or more; n = (nx - 1)^2 unknowns. The paper has 25 to 400.
      omegas: the grid of parameters, increasing in (0, 2) [d]; 1, 1.05, ..., 1.95 if not given.
      method: "ssor_pcg", or "cg", which has no parameter: what is played then changes nothing.

    The state holds float64 and is computed in float64, also where JAX has it disabled. There is no
    chance in it: seeds differ by what their learners play.
    Metrics: `iterations`; `omega` and `omega_squared`, sums over the rounds of what was played.

    Raises:
      ValueError: nx or omegas out of range, an unknown method.
    """

    nx: int = flax.struct.field(pytree_node=False)
    omegas: Any = flax.struct.field(default_factory=lambda: OMEGAS)
    method: str = flax.struct.field(pytree_node=False, default="ssor_pcg")

    def __post_init__(self):
        _check("HeatEquation", self)
        if self.method not in METHODS:
            raise ValueError(f"HeatEquation: method is one of {METHODS}, got {self.method!r}")

    @property
    def grid(self) -> Grid:
        return square(self.nx - 1)

    @property
    def num_arms(self) -> int:
        return np.shape(self.omegas)[-1]

    @property
    def interval(self) -> np.ndarray:
        """Range of the contexts."""
        return np.array([0, 10], np.float32)

    def init(self, key: Key) -> HeatState:
        with jax.enable_x64(True):
            return HeatState(jnp.asarray(start(self.nx).ravel()), jnp.int32(0))

    def noise(self, key: Key, num_rounds: int) -> tuple:
        return ()

    def observe(self, state: HeatState, noise):
        with jax.enable_x64(True):
            return kappa(_time(state), jnp).astype(jnp.float32)

    def step(self, state: HeatState, action, noise):
        omega, side = played(self.omegas, action), self.nx - 1
        with jax.enable_x64(True):
            t = _time(state)
            b = right_side(self.nx, t, state.u.reshape(side, side), jnp).ravel()
            iterations, u = solve(
                self.grid, self.method, coupling(self.nx, t, jnp), b, omega, state.u
            )
        return HeatState(u, state.step + 1), Iterations(iterations), metrics(iterations, omega)

    def evaluate(self, state, recommendation):
        return {}


def _time(state: HeatState) -> jax.Array:
    return state.step.astype(jnp.float64) * DT


def solve(grid: Grid, method: str, a, b, omega, u) -> tuple[jax.Array, jax.Array]:
    """Iterations and solution of one step; all arguments in float64."""
    if method == "cg":
        return pcg.cg(grid, 1 + 4 * a, a, b, u)
    return pcg.ssor_pcg(grid, 1 + 4 * a, a, b, omega, u)


# ---- solved beforehand ---------------------------------------------------------------------


@flax.struct.dataclass
class HeatTable:
    """The heat equation with every parameter at every step counted before play: a recipe, that
    `simulate` and `run` turn into a `SolverTable` (`core.tables`), the same for all seeds.

    Every count is that of a solve from the exact u, where `HeatEquation` goes on from what its own
    last solve left: counts differ by one now and then, totals by less than 0.1 percent.
    nx = 100 and 5,000 steps take some minutes on two cores, nx = 400 about an hour for 1,000.

    Attributes:
      nx, omegas: as in `HeatEquation`.
      steps: of the sequence, up to time steps * dt; a horizon may be shorter.

    Raises:
      ValueError: nx, steps or omegas out of range.
    """

    nx: int = flax.struct.field(pytree_node=False)
    steps: int = flax.struct.field(pytree_node=False, default=STEPS)
    omegas: Any = flax.struct.field(default_factory=lambda: OMEGAS)

    deterministic = True

    def __post_init__(self):
        _check("HeatTable", self)
        object.__setattr__(self, "steps", whole("steps", self.steps))

    @property
    def num_arms(self) -> int:
        return np.shape(self.omegas)[-1]

    @property
    def interval(self) -> np.ndarray:
        """Range of the contexts."""
        return np.array([0, 10], np.float32)

    def init(self, key: Key):
        raise TypeError("HeatTable is a recipe: simulate and run fill it in")

    noise = step = init

    def tabulate(
        self, horizon: int, seeds: Any = None, root_seed: int = 0, progress: Progress = None
    ) -> Table:
        """Counts int16 [1, T, d], contexts float32 [1, T], and `cg`, the counts of CG without
        preconditioner, int16 [1, T].

        Raises:
          ValueError: a horizon of more than `steps` rounds.
        """
        if not 1 <= horizon <= self.steps:
            raise ValueError(
                f"HeatTable: the horizon is at most the {self.steps:,} steps of the table, got "
                f"{horizon:,}: give it steps={horizon}"
            )
        total = horizon * (self.num_arms + 1)
        title = f"heat equation, nx = {self.nx}: {total:,} solves"
        with bar(progress, total, title, "solves") as update:
            counts = count(self.nx, np.asarray(self.omegas), horizon, update)
        contexts = kappa(DT * np.arange(horizon)).astype(np.float32)
        return {"counts": counts[None, :, 1:], "contexts": contexts[None], "cg": counts[None, :, 0]}

    def with_table(self, table: Table, keys: np.ndarray | None = None) -> SolverTable:
        return SolverTable(**table, omegas=self.omegas, range=self.interval, keys=keys)


_BYTES = 1 << 26  # of the right-hand sides that are kept at a time
_LANES = 16  # solves that wait for each other, as in `pcg`


def count(nx: int, omegas: np.ndarray, steps: int, update=lambda done: None) -> np.ndarray:
    """Iterations, int16 [steps, 1 + d]: of CG, and of SSOR-PCG with each of the omegas [d].

    The steps go into blocks of lanes by what they took with the parameter before: among the
    parameters the order hardly changes. CG is the first, its steps in the order of a.
    """
    devices = jax.local_device_count()
    at_once = _LANES * devices
    largest = max(1, _BYTES // (8 * (nx - 1) ** 2 * at_once)) * at_once
    windows = -(-steps // largest)
    size = -(-steps // (windows * at_once)) * at_once
    counts = np.zeros((steps, 1 + len(omegas)), np.int16)
    for w, u in enumerate(trajectory(nx, steps, size)):
        t = DT * (w * size + np.arange(len(u)))
        a, b = coupling(nx, t), right_side(nx, t, u).reshape(len(u), -1)
        jobs = _Window(nx, a, b, u.reshape(len(u), -1))
        cost = a
        for column, omega in enumerate((None, *omegas)):
            cost = jobs.count(omega, np.argsort(-cost, kind="stable"), size, devices)
            counts[w * size :, column][: len(u)] = cost
            update(len(u))
    return counts


class _Window(NamedTuple):
    """The systems of some steps."""

    nx: int
    a: np.ndarray  # [W]
    b: np.ndarray  # [W, n]
    u: np.ndarray  # [W, n]

    def count(self, omega, order, size, devices) -> np.ndarray:
        """Iterations of the steps, int16 [W]; those next to each other in `order` run together."""
        padded = np.concatenate([order, np.repeat(order[-1:], size - len(order))])
        # Blocks are dealt to the devices in turn, so that each gets as many of the dear ones.
        dealt = np.arange(size).reshape(-1, devices, _LANES).swapaxes(0, 1).ravel()
        with jax.enable_x64(True):
            omega = jnp.float64(1 if omega is None else omega)
            found = _solve(self.nx, self.a, self.b, self.u, omega, padded[dealt])
        counts = np.zeros(len(order), np.int16)
        counts[padded[dealt]] = found
        return counts
