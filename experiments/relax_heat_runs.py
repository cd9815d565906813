"""What the figures on the heat equation share: its table with CG beside it, studies, their sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import flax.struct
import jax.numpy as jnp
import numpy as np

from ..core.learners.solver import Binned, TsallisTuner
from ..core.learners.solver.chebyshev import ChebCB
from ..core.study import Study
from ..envs.heat import STEPS, HeatTable
from ..envs.linear_systems import OMEGAS
from ..envs.solver_table import SolverTable
from .growth import Data
from .paper import Scale

if TYPE_CHECKING:
    import xarray as xr

PERIOD = 1000  # steps in a period of kappa
WINDOW = 25  # steps between checkpoints: the width of the paper's moving means
TSALLIS, BINNED, CHEB = "Tsallis-INF", "Tsallis-INF-CB", "ChebCB"
LEARNERS: dict[str, Any] = {
    TSALLIS: TsallisTuner(),
    BINNED: Binned(TsallisTuner(), 6),
    CHEB: ChebCB(degree=5),
}


class Size(NamedTuple):
    """How large the figures are at one scale."""

    steps: dict[int, int]  # by nx
    seeds: int
    actions: int  # the nx at which actions are drawn


SIZES: dict[Scale, Size] = {
    "smoke": Size({25: 75}, 16, 25),
    "quick": Size({25: STEPS, 50: PERIOD}, 100, 50),
    "paper": Size(dict.fromkeys((25, 50, 100, 200), STEPS), 200, 100),
}

# ---- studies -------------------------------------------------------------------------------


@flax.struct.dataclass
class BesideCG(SolverTable):
    """Also says what CG without a preconditioner would have taken so far, `cg_iterations`."""

    cg: Any = None  # sums over the rounds before each, int32 [T + 1]

    def evaluate(self, state, recommendation):
        sums = super().evaluate(state, recommendation)
        return sums | {"cg_iterations": jnp.asarray(self.cg)[state.round]}


@flax.struct.dataclass
class HeatBesideCG(HeatTable):
    """The table of the heat equation with the counts of CG, which it has in any case."""

    def with_table(self, table, keys=None):
        found = super().with_table(table, keys)
        return beside_cg(found.counts, found.contexts, table["cg"][0], self.interval)


def beside_cg(counts, contexts, cg, interval) -> BesideCG:
    """From counts [1, T, 20] on the paper's grid, contexts [1, T] and counts of CG [T]."""
    sums = np.concatenate([[0], np.cumsum(cg, dtype=np.int32)]).astype(np.int32)
    return BesideCG(counts, contexts, OMEGAS, range=interval, cg=sums)


def checkpoints(steps: int) -> range:
    return range(WINDOW, steps + 1, WINDOW)


def study(nx: int, scale: Scale) -> Study:
    """All learners on one grid. Figures that ask for the same one share what is stored of it."""
    size = SIZES[scale]
    steps = size.steps[nx]
    heat = {"heat": HeatBesideCG(nx, steps)}
    return Study(f"heat-nx{nx}", heat, LEARNERS, steps, size.seeds, checkpoints(steps))


def studies(scale: Scale) -> list[Study]:
    return [study(nx, scale) for nx in SIZES[scale].steps]


def actions_study(scale: Scale) -> list[Study]:
    return [study(SIZES[scale].actions, scale)]


# ---- what came of them ---------------------------------------------------------------------


class Run(NamedTuple):
    """The results of one study; sums are over all steps so far, the last checkpoint last."""

    nx: int
    steps: int
    data: xr.Dataset  # (learner, checkpoint, seed, arm)

    @property
    def fixed(self) -> np.ndarray:
        """Iterations with every parameter of the grid, [checkpoint, 20]."""
        return self._same("fixed_iterations")

    @property
    def least(self) -> np.ndarray:
        """With the best parameter of every step, [checkpoint]."""
        return self._same("least_iterations")

    @property
    def cg(self) -> np.ndarray:
        """Of CG without preconditioner, [checkpoint]."""
        return self._same("cg_iterations")

    @property
    def best(self) -> int:
        """The arm of the best fixed parameter."""
        return int(np.argmin(self.fixed[-1]))

    def at(self, omega: float) -> float:
        """Iterations with a fixed parameter in all."""
        return float(self.fixed[-1, int(np.argmin(np.abs(OMEGAS - omega)))])

    def of(self, learner: str, metric: str = "iterations") -> np.ndarray:
        """A sum of a learner's, [checkpoint, seed]."""
        found = self.data[metric].sel(learner=learner).transpose("checkpoint", "seed")
        return found.values.astype(float)

    def _same(self, metric: str) -> np.ndarray:
        """What neither learner nor seed has a part in."""
        return self.data[metric].isel(learner=0, seed=0).values.astype(float)


def runs(data: Data) -> list[Run]:
    """By size, from the smallest."""
    found = [
        Run(
            int(name.removeprefix("heat-nx")),
            int(part.checkpoint[-1]),
            part.sel(environment="heat"),
        )
        for name, part in data.items()
    ]
    return sorted(found, key=lambda run: run.nx)


def whole_runs(data: Data, steps: int = STEPS) -> list[Run]:
    """Of all sizes that were run for so many steps, the paper's number by default."""
    return [run for run in runs(data) if run.steps >= steps]
