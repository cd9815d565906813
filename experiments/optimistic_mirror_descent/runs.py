"""What the figures share: how large, which learners, and regrets against bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ...core import plotting
from ...core.learners import convex
from ...core.statistics import Estimate, largest, mean, split_level
from ...core.study import Study
from ...envs.convex import SEA
from ..growth import final
from ..paper import Scale

OGD, OMD, OFTRL = "OGD", "OOMD", "OFTRL"
OGD_SC, OMD_SC, OFTL_SC = "OGD-sc", "OOMD-sc", "OFTL-sc"
ONS, TWO, WORST = "OONS", "two-layer", "OFTRL, L = G / D"
STRONG: dict[str, Any] = {"rate": "strongly convex"}
CONVEX = {
    OGD: convex.OGD(),
    OMD: convex.OptimisticMirrorDescent(),
    OFTRL: convex.OptimisticFTRL(),
}
CURVED = {
    OGD_SC: convex.OGD(**STRONG),
    OMD_SC: convex.OptimisticMirrorDescent(**STRONG),
    OFTL_SC: convex.OptimisticFTRL(**STRONG),
}


class Size(NamedTuple):
    seeds: int
    horizon: int
    horizons: tuple[int, ...]  # of figures about growth
    newtons: int  # seeds of Newton steps, which take ten times as long


SIZES: dict[Scale, Size] = {
    "smoke": Size(16, 400, (50, 100, 200, 400), 16),
    "quick": Size(200, 4000, (500, 1000, 2000, 4000), 64),
    "paper": Size(1000, 16_000, (1000, 4000, 16_000, 64_000), 300),
}


def study(
    name: str,
    environments: dict[str, Any],
    learners: dict[str, Any],
    horizon: int,
    seeds: int,
    checkpoints: tuple[int, ...] | None = None,
) -> Study:
    """Recorded at the end, or at a few rounds."""
    return Study(name, environments, learners, horizon, seeds, checkpoints or (horizon,))


def tiled(env: SEA, rows: int) -> SEA:
    """The same environment with its table written out, so that tables of one length share one
    compiled program."""
    index = np.arange(rows) % len(env.means)
    return dataclasses.replace(env, means=env.means[index], spread=env.spread[index])


# ---- regret against bounds -----------------------------------------------------------------


class Cell(NamedTuple):
    """One learner in one environment, at the end."""

    values: np.ndarray  # [seed] regret
    bound: float


def cells(
    dataset: Any,
    environments: dict[str, Any],
    learner: str,
    bound: Callable[[Any, float, float], float],
    metric: str = "regret",
) -> dict[str, Cell]:
    """Of every environment: regrets, and `bound` of the environment and the means of its summed
    variances and variations."""
    found = {}
    for name, env in environments.items():
        sums = [
            float(np.mean(final(dataset, name, learner, kind)))
            for kind in ("stochastic_variance", "adversarial_variation")
        ]
        found[name] = Cell(final(dataset, name, learner, metric), bound(env, *sums))
    return found


def largest_ratio(found: Iterable[Cell], level: float) -> Estimate:
    """Of mean regret over bound, the largest."""
    found = list(found)
    split = split_level(level, len(found))
    ratios = [mean(cell.values / cell.bound, level=split) for cell in found]
    return largest(ratios)._replace(level=level)


# ---- curves --------------------------------------------------------------------------------


def band(ax: Any, x: Any, values: Any, label: str, slot: int) -> None:
    """Mean and 95 % t interval of values [x, seed]."""
    value, low, high = (np.asarray(part) for part in mean(np.stack(values))[:3])
    look = plotting.line_style(slot)
    ax.plot(x, value, marker="o", markersize=3.5, label=label, **look)
    ax.fill_between(x, np.maximum(low, value / 10), high, alpha=0.2, color=look["color"], lw=0)


def limit(ax: Any, x: Any, values: Any, label: str, slot: int) -> None:
    """A bound, in the colour of its learner."""
    colour = plotting.line_style(slot)["color"]
    ax.plot(x, values, ":", color=colour, linewidth=1.2, label=label)
