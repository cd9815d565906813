"""Regret in seven scenarios, beside that of an independent program."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from ...core import plotting
from ...core.claims import Claim
from ...core.learners import convex
from ...core.statistics import Estimate, largest, mean, split_level
from ...core.study import Study
from ...envs import sea_scenarios as sea
from ..growth import Data, final
from ..paper import Figure, Scale
from .runs import (
    CONVEX,
    CURVED,
    OFTL_SC,
    OFTRL,
    OGD,
    OGD_SC,
    OMD,
    OMD_SC,
    ONS,
    SIZES,
    TWO,
    study,
    tiled,
)

HORIZON, STREAMS = 4000, 20  # of the reference
GRADIENT = 2.0  # what its learners are told, whatever gradients fall
SAME, IID, ORDER = "same loss", "i.i.d.", "random order"
ADVERSARY, CORRUPTED, DRIFT, SWITCH = "adversary", "corrupted", "drift", "switches"

# Means over 20 streams of an independent program in NumPy, as they were printed. Dynamic regret
# where the mean of the losses moves for good, else static regret.
STATIC = {
    SAME: "0.12 0.23 0.24 0.12 0.40 0.28 16.3",
    IID: "8.45 23.4 8.60 1.33 2.57 1.61 270",
    ORDER: "21.6 37.4 13.1 3.16 5.80 3.84 321",
    ADVERSARY: "66.6 181 65.6 5.40 30.4 16.2 331",
    CORRUPTED: "-19.6 -5.0 -17.7 -3.5 -19.4 1.5 238",
}
PLAYERS = (OGD, OMD, OFTRL, OGD_SC, OMD_SC, OFTL_SC, ONS)
DYNAMIC = {
    DRIFT: {TWO: "21.9", OGD: "15.0", OMD: "24.6", OMD_SC: "855"},
    SWITCH: {TWO: "62.5", OGD: "93.9", OMD: "56.6", OGD_SC: "1281"},
}
REFERENCE: dict[str, dict[str, str]] = {
    **{name: dict(zip(PLAYERS, row.split(), strict=True)) for name, row in STATIC.items()},
    **DYNAMIC,
}


def _scenarios(horizon: int) -> dict[str, Any]:
    made = {
        SAME: sea.iid(spread=0.0),
        IID: sea.iid(),
        ADVERSARY: sea.alternating(),
        CORRUPTED: sea.corrupted(horizon),
        DRIFT: sea.drift(horizon),
        SWITCH: sea.switching(horizon),
    }
    return {name: tiled(env, horizon) for name, env in made.items()}


def _players() -> dict[str, Any]:
    told = {
        name: dataclasses.replace(learner, gradient_bound=GRADIENT)
        for name, learner in CONVEX.items()
    }
    newton = convex.OptimisticNewton(gradient_bound=GRADIENT, exp_concavity=1 / GRADIENT**2)
    return told | CURVED | {ONS: newton, TWO: convex.TwoLayer(gradient_bound=GRADIENT)}


def table_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    horizon, seeds = min(size.horizon, HORIZON), 4 * size.seeds
    scenarios, players = _scenarios(horizon), _players()
    newton = {ONS: players.pop(ONS)}
    order = {ORDER: sea.random_order(horizon)}
    still = {name: scenarios[name] for name in (SAME, IID, ADVERSARY, CORRUPTED)}
    moving = {name: scenarios[name] for name in DYNAMIC}
    two = {TWO: players.pop(TWO)}
    some = {name: players[name] for name in (OGD, OMD, OGD_SC, OMD_SC)}
    return [
        study("static", still, players, horizon, seeds),
        study("order", order, players, horizon, seeds),
        study("static, Newton", still, newton, horizon, size.seeds),
        study("order, Newton", order, newton, horizon, size.seeds),
        study("dynamic", moving, some, horizon, seeds),
        study("dynamic, two layers", moving, two, horizon, seeds),
    ]


class Entry(NamedTuple):
    scenario: str
    learner: str
    values: np.ndarray  # [seed] ours
    reference: float
    digit: float  # the last one printed, of the reference


def entries(data: Data) -> list[Entry]:
    """What the reference has, as far as it was run."""
    found = []
    for scenario, row in REFERENCE.items():
        metric = "dynamic_regret" if scenario in DYNAMIC else "regret"
        for learner, printed in row.items():
            for dataset in data.values():
                if scenario in dataset.environment.values and learner in dataset.learner.values:
                    values = final(dataset, scenario, learner, metric)
                    digit = 10.0 ** -len(printed.partition(".")[2])
                    found.append(Entry(scenario, learner, values, float(printed), digit))
    return found


def _distances(data: Data, level: float) -> list[Estimate]:
    """How far our means are from those of the reference, in standard errors of the latter: of 20
    streams, of the spread that ours show, and of their last digit."""
    if any(int(dataset.attrs["horizon"]) != HORIZON for dataset in data.values()):
        return [Estimate(math.nan, math.nan, math.nan, level)]  # there is nothing to compare with
    rows = entries(data)
    split, found = split_level(level, len(rows)), []
    for entry in rows:
        error = math.sqrt(entry.values.var(ddof=1) / STREAMS + entry.digit**2 / 12)
        value, low, high = (float(x) for x in mean(entry.values, level=split)[:3])
        away, reach = abs(value - entry.reference), max(high - value, value - low)
        ends = max(0.0, away - reach) / error, (away + reach) / error
        found.append(Estimate(away / error, *ends, split))
    return found


def furthest(data: Data, level: float) -> Estimate:
    return largest(_distances(data, level))._replace(level=level)


def typical(data: Data, level: float) -> Estimate:
    """Root mean square of the distances; by Minkowski's inequality it moves by no more than that
    of what the distances move by."""
    parts = np.array([estimate[:3] for estimate in _distances(data, level)], float)
    value = math.sqrt(np.mean(parts[:, 0] ** 2))
    reach = math.sqrt(np.mean((parts[:, 2] - parts[:, 0]) ** 2))
    return Estimate(value, max(0.0, value - reach), value + reach, level)


def plot_table(data: Data):
    rows = entries(data)
    drawn = plotting.figure(2, 4, width=3.3, height=2.9)
    for ax, scenario in zip(drawn.axes, REFERENCE, strict=False):
        shown = [entry for entry in rows if entry.scenario == scenario]
        for place, entry in enumerate(shown):
            value, low, high = (float(x) for x in mean(entry.values)[:3])
            error = math.sqrt(entry.values.var(ddof=1) / STREAMS + entry.digit**2 / 12)
            ax.errorbar(
                entry.reference, place + 0.2, xerr=2 * error, fmt="x", capsize=2,
                color=plotting.COLOURS[1], label="NumPy, 2 s.e." if not place else None,
            )  # fmt: skip
            ax.errorbar(
                value, place - 0.1, xerr=[[value - low], [high - value]], fmt="o", capsize=2,
                color=plotting.COLOURS[0], label="regrax" if not place else None,
            )  # fmt: skip
        ax.set_yticks(range(len(shown)), [entry.learner for entry in shown])
        kind = "dynamic regret" if scenario in DYNAMIC else "regret"
        scale = "log" if min(entry.reference for entry in shown) > 0 else "symlog"
        ax.set(xscale=scale, title=scenario, xlabel=f"{kind} (losses)")
        least, most = (choose(entry.reference for entry in shown) for choose in (min, max))
        ax.set_xlim(2 * least if least < 0 else least / 2, 2 * most)
        ax.invert_yaxis()
    spare = drawn.axes[-1]
    spare.axis("off")
    spare.legend(*drawn.axes[0].get_legend_handles_labels(), loc="center left")
    return drawn


FIGURES = (
    Figure(
        "table", "Seven scenarios, eight learners", table_studies, plot_table,
        "T = 4,000 (quick, paper), unit ball of R^5, losses |x - z|^2 / 2; learners are told "
        "G = 2. Dots and bars: our mean and its 95 % interval; crosses: means of 20 streams of an "
        "independent program, with two standard errors of the spread that ours show. Neither "
        "paper has experiments: scenarios are ours."
    ),
)  # fmt: skip

CLAIMS = (
    Claim(
        "table-furthest", "No mean is far from the independent program's (in standard errors)",
        "our reference table, by another program", "table", "at most 4",
        furthest, (0.0, 4.0), "s.e.",
    ),
    Claim(
        "table-typical", "Root mean square of these distances is what chance makes of it",
        "our reference table, by another program", "table", "1", typical, (0.0, 1.6), "s.e.",
    ),
)  # fmt: skip
