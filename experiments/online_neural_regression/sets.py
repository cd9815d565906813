"""One figure a data set: every cell of every grid, and the chosen cells with fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, mean, ratio_of_means
from ...core.study import Study
from ...envs.contextual import ClassificationBandit, classification
from ..growth import Data, final
from ..paper import Figure, Scale
from .players import (
    ALGORITHMS,
    FAST,
    OURS,
    RIVALS,
    SQUARE,
    WHAT,
    Cell,
    chosen,
    grid,
)

ROUNDS = 10_000  # or as many as there are examples
TIED = 1.05  # times the least regret


class Set(NamedTuple):
    name: str  # as `classification` knows it
    title: str
    rows: int
    cells: Mapping[str, Cell]  # of least mean regret in the grid, at paper scale


def _cells(fast, square, ucb, ts, epsilon) -> dict[str, Cell]:
    rows = fast, square, ucb, ts, epsilon
    return {name: Cell(*row) for name, row in zip(ALGORITHMS, rows, strict=True)}


# Where nobody has run the grid yet: cells that did well on the others.
_USUAL = _cells((0.1, 100.0), (0.1, 100.0), (0.01, 0.01, 0.1), (0.1, 0.1, 0.01), (0.1, 0.01))
_MUSHROOM = _cells((0.1, 100.0), (0.1, 1e3), (0.1, 0.01, 0.1), (0.1, 0.01, 0.001), (0.1, 0.01))
_MAGIC = _cells((0.01, 10.0), (0.01, 1e3), (0.01, 1.0, 0.1), (0.01, 0.01, 0.001), (0.01, 0.01))
_SHUTTLE = _cells((0.1, 100.0), (0.1, 100.0), (0.01, 0.01, 0.1), (0.01, 0.1, 0.01), (0.1, 0.01))
_LETTER = _cells((0.1, 10.0), (0.01, 10.0), (0.01, 0.01, 0.1), (0.01, 0.1, 0.01), (0.1, 0.1))
SETS = (
    Set("mushroom", "Mushroom", 8124, _MUSHROOM),
    Set("MagicTelescope", "MAGIC telescope", 19020, _MAGIC),
    Set("shuttle", "Shuttle", 58000, _SHUTTLE),
    Set("letter", "Letter", 20000, _LETTER),
    Set("digits", "Digits", 1797, _USUAL),
    Set("covertype", "Covertype", 581012, _USUAL),
    Set("fashion", "Fashion-MNIST", 70000, _USUAL),
    Set("plants", "Plants (margin)", 1600, _USUAL),
)
OF_THE_PAPER = ("mushroom", "MagicTelescope", "shuttle", "covertype", "fashion", "plants")
GRID, COMPARED, OTHERS = "grid", "chosen cells", "other algorithms"


@cache
def bandit(name: str, rounds: int) -> ClassificationBandit:
    return classification(name, rounds)


def rounds_of(one: Set, scale: Scale) -> int:
    return min(one.rows, {"smoke": 40, "quick": 1000, "paper": ROUNDS}[scale])


def looks(rounds: int, points: int = 50) -> tuple[int, ...]:
    """So many rounds at equal distances, the last one the horizon."""
    first = max(rounds / points, 1)
    return tuple(np.unique(np.linspace(first, rounds, points).astype(int)).tolist())


def _others() -> dict[str, object]:
    """With published settings: linear models, and what else there is of networks."""
    return {
        "LinUCB": learners.LinUCB(),
        "LinTS": learners.LinTS(),
        "SquareCB, ridge": learners.SquareCB(learners.Ridge(of="losses"), scale=100.0),
        "FastCB, logistic": learners.FastCB(learners.Logistic(learning_rate=10.0), scale=100.0),
        "Neural greedy": learners.Greedy(learners.ReplayNetwork(of="rewards")),
    }


def _studies(one: Set, scale: Scale) -> list[Study]:
    rounds = rounds_of(one, scale)
    env = {one.name: bandit(one.name, rounds)}
    seeds = {"smoke": (2, 2, 2), "quick": (16, 16, 16), "paper": (16, 48, 16)}[scale]
    cells = grid({"smoke": 9, "quick": 3, "paper": 1}[scale])
    times = looks(rounds)  # the same for all: they share their programs
    return [
        # Other seeds chose the cells than those that are compared.
        Study(GRID, env, cells, rounds, seeds[0], times, root_seed=1),
        Study(COMPARED, env, chosen(one.cells), rounds, seeds[1], times),
        Study(OTHERS, env, _others(), rounds, seeds[2], times),
    ]


# ---- pictures ------------------------------------------------------------------------------


def _plot(one: Set, data: Data):
    drawn = plotting.figure(1, 2, width=6.5, height=5.0)
    curves, cells = drawn.axes
    for slot, (study, learner) in enumerate(
        [(COMPARED, name) for name in ALGORITHMS] + [(OTHERS, name) for name in _others()]
    ):
        draw_curve(curves, data[study], learner, slot)
    curves.set(xlabel="rounds", ylabel="regret (mistakes)", title=one.title)
    curves.legend(fontsize="x-small")
    _draw_grid(cells, data[GRID], data[COMPARED].attrs.get("horizon", 0))
    return drawn


def draw_curve(ax, dataset, learner: str, slot: int, label: str = "", environment: int = 0) -> None:
    """Mean regret with its 95 % t band."""
    chosen = dataset.regret.isel(environment=environment).sel(learner=learner)
    value, low, high = mean(chosen.transpose("checkpoint", "seed").values)[:3]
    look = plotting.line_style(slot)
    ax.plot(dataset.checkpoint.values, value, label=label or learner, **look)
    ax.fill_between(dataset.checkpoint.values, low, high, color=look["color"], alpha=0.2, lw=0)


def _draw_grid(ax, dataset, rounds: int) -> None:
    """Every cell of every grid, a row an algorithm, the best one named."""
    for row, algorithm in enumerate(ALGORITHMS):
        names, averages = cells_of(dataset, algorithm)
        values = dataset.regret.isel(environment=0, checkpoint=-1).sel(learner=names)
        order = np.argsort(averages)
        height = row + np.linspace(-0.3, 0.3, len(names))
        value, low, high = mean(values.transpose("learner", "seed").values[order])[:3]
        color = plotting.line_style(row)["color"]
        bars = np.nan_to_num([np.asarray(value - low), np.asarray(high - value)], posinf=0)
        ax.errorbar(value, height, xerr=bars, fmt="o", ms=3, lw=0.8, color=color)
        best = names[order[0]].removeprefix(f"{algorithm} ")
        text = f"{algorithm} ({WHAT[algorithm]}); best {best}"
        ax.text(0.01, row - 0.42, text, transform=ax.get_yaxis_transform(), fontsize=7, color=color)
    ax.set(
        xlabel=f"regret after {rounds:,} rounds", yticks=[], xscale="log",
        title="the whole grid, other seeds", ylim=(len(ALGORITHMS) - 0.4, -0.6),
    )  # fmt: skip


def cells_of(dataset, algorithm: str) -> tuple[list[str], np.ndarray]:
    """The cells of an algorithm in the grid, and their mean regrets at the end."""
    names = [str(x) for x in dataset.learner.values if str(x).startswith(f"{algorithm} ")]
    values = dataset.regret.isel(environment=0, checkpoint=-1).sel(learner=names)
    return names, values.mean("seed").values


# ---- claims --------------------------------------------------------------------------------


def _over_best(one: Set, ours: str, rivals: tuple[str, ...], data: Data, level: float) -> Estimate:
    """Mean regret of `ours` over that of the best rival. The grid, which had other seeds, chooses
    the rival, so that the choice does not bias the ratio."""
    best = min(rivals, key=lambda name: float(cells_of(data[GRID], name)[1].min()))
    mine, other = (final(data[COMPARED], one.name, name) for name in (ours, best))
    return ratio_of_means(mine, other, level)


def _claims(one: Set) -> tuple[Claim, ...]:
    where = "Figure of the six data sets" if one.name in OF_THE_PAPER else "our addition"
    rest = tuple(name for name in ALGORITHMS if name != FAST)
    least = (0.0, 1.0)
    return (
        Claim(
            f"{one.name}-first", f"{one.title}: NeuFastCB has the least regret of all, or at most "
            "5 % more", where, one.name, "first on all sets; tied: at most 1.05, ours",
            partial(_over_best, one, FAST, rest), (0.0, TIED),
        ),
        Claim(
            f"{one.name}-fast", f"{one.title}: NeuFastCB has less regret than NeuralUCB, NeuralTS "
            "and NeuralEpsilon", where, one.name, "ratio below 1",
            partial(_over_best, one, FAST, RIVALS), least,
        ),
        Claim(
            f"{one.name}-square", f"{one.title}: NeuSquareCB has less regret than NeuralUCB, "
            "NeuralTS and NeuralEpsilon", where, one.name, "ratio below 1",
            partial(_over_best, one, SQUARE, RIVALS), least,
        ),
        Claim(
            f"{one.name}-kl", f"{one.title}: NeuFastCB has less regret than NeuSquareCB", where,
            one.name, "ratio below 1", partial(_over_best, one, FAST, (SQUARE,)), least,
        ),
    )  # fmt: skip


def _caption(one: Set) -> str:
    cells = "; ".join(f"{name} {one.cells[name]}" for name in (*OURS, *RIVALS))
    return (
        f"Regret is the number of mistakes. Networks of 100 ReLU units, trained by replay as in "
        f"the code of EE-Net. Left: the cells named here, chosen by the grid on the right, which "
        f"had other seeds ({cells}), and other algorithms with published settings; bands are 95 % "
        f"t intervals. Right: every cell of the grids."
    )


FIGURES = tuple(
    Figure(one.name, one.title, partial(_studies, one), partial(_plot, one), _caption(one))
    for one in SETS
)
CLAIMS = tuple(claim for one in SETS for claim in _claims(one))
