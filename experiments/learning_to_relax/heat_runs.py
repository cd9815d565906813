"""What the figures on the heat equation share: its table with CG beside it, studies, their sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.ticker import NullFormatter, NullLocator

from ...core import plotting
from ...core.learners.solver import Binned, TsallisTuner
from ...core.learners.solver.chebyshev import ChebCB
from ...core.study import Study
from ...envs.heat import STEPS
from ...envs.linear_systems import OMEGAS
from ..growth import Data
from ..paper import Scale
from .heat_table import HeatBesideCG

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

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


# ---- drawing -------------------------------------------------------------------------------


def looks_of(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A line for everyone; what does not learn is dashed, in the colours that are left."""
    names = list(names)
    learned = [name for name in names if name in LEARNERS]
    others = [name for name in names if name not in LEARNERS]
    colours = [plotting.COLOURS[i] for i in (3, 4, 5, 6)] + ["black"]
    looks = {
        name: {"color": c, "linestyle": "--"} for name, c in zip(others, colours, strict=False)
    }
    return looks | {
        name: {"color": plotting.COLOURS[i], "linestyle": "-"} for i, name in enumerate(learned)
    }


def by_size(ax: Axes, found: list[Run]) -> None:
    """Names the sizes below the axis of unknowns."""
    ticks = [(run.nx - 1) ** 2 for run in found]
    ax.set_xlabel("unknowns n")
    ax.set_xticks(ticks, [f"{n:,}\nnx = {run.nx}" for n, run in zip(ticks, found, strict=True)])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())
