"""The heat equation, one linear system a time step: tuning where systems drift and starts are warm.

u_t = kappa(t) Laplacian(u) + f(t, x) on the unit square, u = 0 on its edge, in steps of dt = 1e-3:
the problem of Khodak, Chow, Balcan and Talwalkar, "Learning to relax" (ICLR 2024, arXiv
2310.02246), with the coefficients of the authors' code (the paper prints some differently). On
nx - 1 inner points each way, dx = 1 / nx, the scheme is Crank-Nicolson with the coefficients in the
middle of a step: with a = kappa dt / (2 dx^2) and L = 4 on the diagonal, -1 between neighbours,

    (I + a L) u(t + dt) = (I - a L) u(t) + dt f = b,

solved by SSOR-preconditioned CG from u(t) to a residual of 1e-8 |b|, in float64. A round is a step,
the context is kappa at its beginning, actions are those of `linear_systems`. During one half of
each unit of time a is small and every omega does; during the other a is up to 100 times as large.

`HeatEquation` solves as it is played. `HeatTable` counts for every omega and step beforehand: u is
the same to about 1e-8 whatever solved the steps before, so one trajectory serves all, and it comes
from a direct solver, as sines diagonalise L.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from scipy.fft import dstn

from ..core.checks import whole
from ..core.devices import devices
from ..core.progress import Progress, bar
from ..core.protocol import Iterations, Key
from ..core.shards import over_devices
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
    """exp(1 - 1 / (1 - s)), s = |(x, y) - centre|^2 / radius^2, and 0 where s >= 1: at most 1."""
    s = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2
    inside = s < 1
    return xp.where(inside, xp.exp(1 - 1 / (1 - xp.where(inside, s, 0.0))), 0.0)


def start(nx: int) -> np.ndarray:
    """u at time 0 on the inner points [nx - 1, nx - 1], x first: flat, in their natural order."""
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


def right_side(a: Any, u: Any, f: Any, xp: Any = np) -> Any:
    """b of steps with the couplings a [...] that begin in u, with f in their middle [..., m, m]."""
    v = xp.pad(u, [(0, 0)] * (u.ndim - 2) + [(1, 1), (1, 1)])
    near = v[..., 2:, 1:-1] + v[..., :-2, 1:-1] + v[..., 1:-1, 2:] + v[..., 1:-1, :-2]
    return u - a[..., None, None] * (4 * u - near) + DT * f


def _points(nx: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(1, nx) / nx
    return at[:, None], at[None, :]


@flax.struct.dataclass
class Systems:
    """The linear systems of W steps."""

    nx: int = flax.struct.field(pytree_node=False)
    a: Any  # couplings [W]
    b: Any  # right-hand sides [W, n]
    u: Any  # where the solves start [W, n]


def systems(nx: int, steps: int, window: int | None = None) -> Iterator[Systems]:
    """The steps from time 0 on with u from a direct solver, at most `window` at a time; float64."""
    waves = np.sin(np.pi / (2 * nx) * np.arange(1, nx)) ** 2
    eigenvalues = 4 * (waves[:, None] + waves)
    u = _in_sines(start(nx))
    for first in range(0, steps, window or steps):
        t = DT * np.arange(first, min(first + (window or steps), steps))
        a, f = coupling(nx, t), forcing(nx, t + DT / 2)
        seen, push = np.empty_like(f), _in_sines(f)
        for i in range(len(t)):
            seen[i] = u
            u = ((1 - a[i] * eigenvalues) * u + DT * push[i]) / (1 + a[i] * eigenvalues)
        seen = _in_sines(seen)
        b = right_side(a, seen, f)
        yield Systems(nx, a, b.reshape(len(t), -1), seen.reshape(len(t), -1))


def _in_sines(x: np.ndarray) -> np.ndarray:
    """From values on the points to those on the eigenvectors of L, and back."""
    return np.asarray(dstn(x, type=1, axes=(-2, -1), norm="ortho"))


# ---- played step by step -------------------------------------------------------------------


class HeatState(NamedTuple):
    u: jax.Array  # [n] float64
    step: jax.Array  # [] int32


@flax.struct.dataclass
class HeatEquation:
    """The heat equation, solved as it is played; see the head of this file.

    Attributes:
      nx: intervals of the grid each way, 3 or more (in the paper 25 to 400), n = (nx - 1)^2.
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
        omega, side, grid = played(self.omegas, action), self.nx - 1, self.grid
        with jax.enable_x64(True):
            t = _time(state)
            a, f = coupling(self.nx, t, jnp), forcing(self.nx, t + DT / 2, jnp)
            b = right_side(a, state.u.reshape(side, side), f, jnp).ravel()
            if self.method == "cg":
                iterations, u = pcg.cg(grid, 1 + 4 * a, a, b, state.u)
            else:
                iterations, u = pcg.ssor_pcg(grid, 1 + 4 * a, a, b, omega, state.u)
        return HeatState(u, state.step + 1), Iterations(iterations), metrics(iterations, omega)

    def evaluate(self, state, recommendation):
        return {}


def _time(state: HeatState) -> jax.Array:
    return state.step.astype(jnp.float64) * DT


# ---- solved beforehand ---------------------------------------------------------------------


@flax.struct.dataclass
class HeatTable:
    """The heat equation with every parameter at every step counted before play: a recipe, that
    `simulate` and `run` turn into a `SolverTable` (`core.tables`), the same for all seeds.

    Every count is that of a solve from the exact u, where `HeatEquation` goes on from what its own
    last solve left. In what was tried a count differs by one now and then, and totals by less than
    0.1 percent. For nx = 100, 5,000 steps take about two minutes on two cores; time grows like the
    cube of nx, and memory does not grow with the steps.

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
        """The environment; it leaves `cg` out."""
        counts, contexts = table["counts"], table["contexts"]
        return SolverTable(counts, contexts, self.omegas, range=self.interval, keys=keys)


_BYTES = 1 << 26  # of the right-hand sides that are kept at a time
_LANES = 16  # solves that wait for each other, as in `pcg`


def count(nx: int, omegas: np.ndarray, steps: int, update=lambda done: None) -> np.ndarray:
    """Iterations, int16 [steps, 1 + d]: of CG, and of SSOR-PCG with each of the omegas [d].

    The steps go into blocks of lanes by what they took with the parameter before, as from one
    parameter to the next their order hardly changes. CG is the first, its steps in the order of a.
    """
    mesh = Mesh(np.array(devices()), ("jobs",))
    everywhere, block = NamedSharding(mesh, P()), _LANES * mesh.size
    windows = -(-steps // max(block, _BYTES // (8 * (nx - 1) ** 2)))
    size = -(-steps // (windows * block)) * block
    windows = -(-steps // size)
    counts = np.zeros((steps, 1 + len(omegas)), np.int16)
    for w, window in enumerate(systems(nx, windows * size, size)):
        rows = counts[w * size :][:size]  # the last window has steps that nobody wants
        cost = window.a[: len(rows)]
        with jax.enable_x64(True):
            window = jax.device_put(window, everywhere)
            for column, omega in enumerate((None, *omegas)):
                order = np.argsort(-cost, kind="stable")
                jobs = np.concatenate([order, np.repeat(order[-1:], size - len(order))])
                cost = rows[:, column]
                cost[jobs] = over_devices(_iterations, (window, omega), jobs, block=_LANES)
                update(len(rows))
    return counts


def _iterations(shared: tuple[Systems, Any], jobs: jax.Array) -> jax.Array:
    """Of the steps numbered `jobs`; of CG where omega is None."""
    window, omega = shared

    def solve(i):
        a, b, u = window.a[i], window.b[i], window.u[i]
        grid = square(window.nx - 1)
        if omega is None:
            return pcg.cg(grid, 1 + 4 * a, a, b, u)[0]
        return pcg.ssor_pcg(grid, 1 + 4 * a, a, b, omega, u)[0]

    return jax.vmap(solve)(jobs)


def _check(name: str, problem: Any) -> None:
    object.__setattr__(problem, "nx", whole(f"{name}: nx", problem.nx, 3, 10_001))
    object.__setattr__(problem, "omegas", check_omegas(name, problem.omegas))
