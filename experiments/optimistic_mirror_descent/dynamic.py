"""Against a best point that moves: drifts and switches."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from ...core import plotting
from ...core.claims import Claim
from ...core.learners import convex
from ...core.learners.parameters import filled
from ...core.statistics import Estimate, growth_exponent, ratio_of_means
from ...core.study import Study
from ...envs import sea_scenarios as sea
from ..growth import Data, final
from ..paper import Figure, Scale
from .bounds import problem_of, two_layer
from .dial import CHEN
from .runs import (
    CONVEX,
    CURVED,
    OGD,
    OMD,
    OMD_SC,
    SIZES,
    TWO,
    Cell,
    band,
    cells,
    largest_ratio,
    limit,
    study,
)

TURNS, SWITCHES = (0.25, 1.0, 4.0, 16.0), (1, 3, 15, 63)
PLAYERS = {
    TWO: convex.TwoLayer(),
    OGD: CONVEX[OGD],
    OMD: CONVEX[OMD],
    OMD_SC: CURVED[OMD_SC],
}


def _drifts(horizon: int) -> dict[str, Any]:
    return {f"{turns:g} turns": sea.drift(horizon, turns=turns) for turns in TURNS}


def _switches(horizon: int) -> dict[str, Any]:
    return {f"{c} switches": sea.switching(horizon, c) for c in SWITCHES}


def paths_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    every = _drifts(size.horizon) | _switches(size.horizon)
    return [study("paths", every, PLAYERS, size.horizon, size.seeds)]


def _steps(env: Any, horizon: int) -> int:
    """N of the learner as `simulate` fills it in."""
    return filled(convex.TwoLayer().completed(env, horizon), "num_steps")


def dynamic_cells(data: Data) -> dict[str, Cell]:
    """Dynamic regret of the two layers and its bound."""
    dataset = data["paths"]
    horizon = int(dataset.attrs["horizon"])

    def bound(env, variance, variation):
        name = next(name for name, one in every.items() if one is env)
        path = float(final(dataset, name, TWO, "path_length").mean())
        steps = _steps(env, horizon)
        return two_layer(problem_of(env), variance, variation, path, steps, horizon)

    every = _drifts(horizon) | _switches(horizon)
    return cells(dataset, every, TWO, bound, "dynamic_regret")


def over_dynamic(data: Data, level: float) -> Estimate:
    return largest_ratio(dynamic_cells(data).values(), level)


def _paths(kind: str, learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """1 + P_T and dynamic regret [path, seed], by the length of the path."""
    dataset = data["paths"]
    names = [str(name) for name in dataset.environment.values if str(name).endswith(kind)]
    lengths = [final(dataset, name, learner, "path_length").mean() for name in names]
    values = [final(dataset, name, learner, "dynamic_regret") for name in names]
    return 1 + np.array(lengths), np.stack(values)


def _theorem(dataset: Any, name: str) -> float:
    """P_T + sqrt(1 + P_T) (sqrt(sigma^2) + sqrt(Sigma^2)), the bound without its constants."""
    path, variance, variation = (
        float(final(dataset, name, TWO, metric).mean())
        for metric in ("path_length", "stochastic_variance", "adversarial_variation")
    )
    return path + math.sqrt(1 + path) * (math.sqrt(variance) + math.sqrt(variation))


def path_exponent(kind: str, data: Data, level: float) -> Estimate:
    """p of dynamic regret ~ (1 + P_T)^p times the bound."""
    dataset = data["paths"]
    names = [str(name) for name in dataset.environment.values if str(name).endswith(kind)]
    orders = [_theorem(dataset, name) for name in names]
    return growth_exponent(*_paths(kind, TWO, data), level, divide_by=orders)


def plot_paths(data: Data):
    drawn = plotting.figure(1, 2, width=5.0, height=4.2)
    found = dynamic_cells(data)
    for ax, (kind, title) in zip(
        drawn.axes, (("turns", "drift"), ("switches", "switches")), strict=True
    ):
        for slot, learner in enumerate(PLAYERS):
            lengths, values = _paths(kind, learner, data)
            band(ax, lengths, values, learner, slot)
        lengths, values = _paths(kind, TWO, data)
        limits = [cell.bound for name, cell in found.items() if name.endswith(kind)]
        limit(ax, lengths, limits, f"{TWO}, bound", 0)
        orders = np.array([_theorem(data["paths"], name) for name in found if name.endswith(kind)])
        guide = values[0].mean() * orders / orders[0]
        ax.plot(lengths, guide, "--", color="0.5", lw=1, label="order of the theorem")
        ax.set(xscale="log", yscale="log", title=title, xlabel=r"$1 + P_T$")
        ax.xaxis.set_minor_formatter(NullFormatter())  # they would overlap
    drawn.axes[0].set_ylabel("dynamic regret (losses)")
    handles, names = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside right upper")
    return drawn


# ---- more rounds for the same path ---------------------------------------------------------


def horizons_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    found = []
    for horizon in _horizons(scale):
        moving = {"drift": sea.drift(horizon), "switches": sea.switching(horizon)}
        found.append(study(f"T{horizon}", moving, PLAYERS, horizon, size.seeds))
    return found


def _horizons(scale: Scale) -> tuple[int, ...]:
    return {"smoke": (100, 400), "quick": (1000, 4000)}.get(scale, (1000, 4000, 16_000, 64_000))


def _growth(name: str, learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    rows = {int(key[1:]): final(d, name, learner, "dynamic_regret") for key, d in data.items()}
    horizons = np.array(sorted(rows))
    return horizons, np.stack([rows[t] for t in horizons])


def horizon_exponent(name: str, learner: str, data: Data, level: float) -> Estimate:
    return growth_exponent(*_growth(name, learner, data), level)


def contrast(name: str, data: Data, level: float) -> Estimate:
    """Dynamic regret of OOMD-sc over that of the two layers, at the last horizon."""
    (*_, ours), (*_, theirs) = (_growth(name, learner, data)[1] for learner in (OMD_SC, TWO))
    return ratio_of_means(ours, theirs, level)


def plot_horizons(data: Data):
    drawn = plotting.figure(1, 2, width=5.0, height=4.2)
    for ax, name in zip(drawn.axes, ("drift", "switches"), strict=True):
        for slot, learner in enumerate(PLAYERS):
            band(ax, *_growth(name, learner, data), learner, slot)
        horizons, values = _growth(name, TWO, data)
        guide = values[-1].mean() * np.sqrt(horizons / horizons[-1])
        ax.plot(horizons, guide, "--", color="0.5", lw=1, label="square root")
        ax.set(xscale="log", yscale="log", title=name, xlabel="rounds T")
        ax.set_xticks(horizons, [f"{t:,}" for t in horizons])
        ax.minorticks_off()
    drawn.axes[0].set_ylabel("dynamic regret (losses)")
    handles, names = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside right upper")
    return drawn


FIGURES = (
    Figure(
        "paths", "Longer paths", paths_studies, plot_paths,
        "Means of quadratic losses that go round a circle, 1/4 to 16 times, or jump between two "
        "points, 1 to 63 times; noise of radius 1/2; T = 16,000 at paper scale. P_T is the length "
        "of the path of the minimisers. Bands are 95 % intervals of the mean."
    ),
    Figure(
        "horizons", "More rounds for the same path", horizons_studies, plot_horizons,
        "One turn, or three switches, in T rounds. TwoLayer knows T."
    ),
)  # fmt: skip

CLAIMS = (
    Claim(
        "dynamic-bound",
        "The dynamic regret of the two layers is at most 7/4 e D sqrt(F + W) + min_i((D^2 / 2 + "
        "D P_T) / eta_i + eta_i W) + 147/8 e^3 D^2 L",
        f"{CHEN}, dynamic regret; constants derived here", "paths", "regret / bound at most 1",
        over_dynamic, (-math.inf, 1.0),
    ),
    *(
        Claim(
            f"dynamic-path-{kind}",
            f"With more {kind} the dynamic regret of the two layers grows no faster than P_T + "
            f"sqrt(1 + P_T) (sqrt(sigma^2) + sqrt(Sigma^2))",
            f"{CHEN}, dynamic regret", "paths", "exponent at most 0",
            partial(path_exponent, kind), (-math.inf, 0.05),
        )
        for kind in ("turns", "switches")
    ),
    *(
        Claim(
            f"dynamic-horizon-{name}",
            f"{name}: for the same path the dynamic regret of the two layers grows no faster than "
            f"sqrt(T)", f"{CHEN}, dynamic regret", "horizons", "exponent at most 1/2",
            partial(horizon_exponent, name, TWO), (-math.inf, 0.55),
        )
        for name in ("drift", "switches")
    ),
    *(
        Claim(
            f"dynamic-curved-{name}",
            f"{name}: steps 2 / (lambda t) cannot follow, OOMD-sc has a dynamic regret of the "
            f"order T", "our reading: its theorem is about fixed points", "horizons",
            "exponent 1", partial(horizon_exponent, name, OMD_SC), (0.95, 1.05),
        )
        for name in ("drift", "switches")
    ),
)  # fmt: skip
