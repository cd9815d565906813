"""Regret of linear learners in the number of rounds and in the dimension."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, growth_exponent, mean, ratio_of_means
from ...core.study import Study
from ...envs.synthetic_contexts import BernoulliLinearContexts, LinearContexts
from ..growth import Data
from ..paper import Figure, Scale

ARMS = 10
OFUL, UCB, TS, SQUARE = "OFUL", "LinUCB", "LinTS", "SquareCB"
ROUNDS: dict[Scale, int] = {"smoke": 64, "quick": 4096, "paper": 65536}
SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 64, "paper": 200}
DIMENSIONS: dict[Scale, tuple[int, ...]] = {
    "smoke": (4, 8), "quick": (5, 10, 20), "paper": (5, 10, 20, 40),
}  # fmt: skip
_HORIZON: dict[Scale, int] = {"smoke": 64, "quick": 2000, "paper": 10_000}  # of the dimensions


def _horizons(last: int, count: int = 8) -> tuple[int, ...]:
    return tuple(last >> k for k in reversed(range(min(count, int(np.log2(last)) - 2))))


def _players(dimension: int) -> dict[str, Any]:
    """Noise of deviation 1/2, parameters of length 1. SquareCB has the gamma of its theorem in K, t
    and d, times a constant of ours with which it leaves uniform play behind: 10 sqrt(K t / d)."""
    return {
        OFUL: learners.OFUL(noise_scale=0.5),
        UCB: learners.LinUCB(exploration=0.5),
        TS: learners.LinTS(exploration=0.25),
        SQUARE: learners.SquareCB(learners.Ridge(), scale=10 * float(np.sqrt(ARMS / dimension))),
    }


def _round_studies(scale: Scale) -> list[Study]:
    rounds, d = ROUNDS[scale], 10
    envs = {
        "normal rewards": LinearContexts(ARMS, d, sigma=0.5),
        "coins": BernoulliLinearContexts(ARMS, d),
    }
    return [Study("rounds", envs, _players(d), rounds, SEEDS[scale], _horizons(rounds))]


def _dimension_studies(scale: Scale) -> list[Study]:
    rounds = _HORIZON[scale]
    return [
        Study(
            f"d={d}", {"normal rewards": LinearContexts(ARMS, d, sigma=0.5)}, _players(d), rounds,
            SEEDS[scale], (rounds,),
        )
        for d in DIMENSIONS[scale]
    ]  # fmt: skip


# ---- curves --------------------------------------------------------------------------------


def _by_rounds(environment: str, learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Rounds, and regret [rounds, seed]."""
    found = data["rounds"].regret.sel(environment=environment, learner=learner)
    values = found.transpose("checkpoint", "seed").values.astype(float)
    return found.checkpoint.values.astype(float), values


def _by_dimension(learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Dimensions, and final regret [dimension, seed]."""
    rows = [
        (int(name[2:]), dataset.regret.isel(environment=0, checkpoint=-1).sel(learner=learner))
        for name, dataset in data.items()
    ]
    rows.sort(key=lambda row: row[0])
    return np.array([d for d, _ in rows], float), np.stack(
        [x.values.astype(float) for _, x in rows]
    )


def _draw(ax, curves: dict[str, tuple[np.ndarray, np.ndarray]], guide: float, label: str) -> None:
    for slot, (name, (xs, values)) in enumerate(curves.items()):
        value, low, high = mean(values)[:3]
        look = plotting.line_style(slot)
        ax.plot(xs, value, marker="o", ms=3, label=name, **look)
        floor = np.maximum(low, np.asarray(value) / 10)  # a logarithmic axis has no zero
        ax.fill_between(xs, floor, high, color=look["color"], alpha=0.2, lw=0)
    xs, values = next(iter(curves.values()))
    line = values[-1].mean() * (xs / xs[-1]) ** guide
    ax.plot(xs, line, ":", color="0.4", label=label)
    ax.set(xscale="log", yscale="log")


def _plot_rounds(data: Data):
    drawn = plotting.figure(1, 2, width=5.0, height=4.0)
    for ax, environment in zip(drawn.axes, data["rounds"].environment.values, strict=True):
        players = map(str, data["rounds"].learner.values)
        curves = {name: _by_rounds(str(environment), name, data) for name in players}
        _draw(ax, curves, 0.5, "square root")
        ax.set(title=str(environment), xlabel="rounds")
    drawn.axes[0].set_ylabel("regret (rewards)")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return drawn


def _plot_dimension(data: Data):
    drawn = plotting.figure(width=6.0, height=4.0)
    ax = drawn.axes[0]
    _draw(ax, {name: _by_dimension(name, data) for name in _players(1)}, 1.0, "linear")
    ax.set(xlabel="dimension d", ylabel="regret (rewards)")
    ax.legend()
    return drawn


# ---- claims --------------------------------------------------------------------------------


def _round_exponent(environment: str, learner: str, data: Data, level: float) -> Estimate:
    return growth_exponent(*_by_rounds(environment, learner, data), level)


def _dimension_exponent(learner: str, data: Data, level: float) -> Estimate:
    return growth_exponent(*_by_dimension(learner, data), level)


def _bound_ratio(environment: str, data: Data, level: float) -> Estimate:
    """OFUL's regret at the end over its bound 4 sqrt(T d log(lambda + T / d)) (sqrt(lambda) S + R
    sqrt(2 log(1 / delta) + d log(1 + T / (lambda d)))), with lambda = S = 1."""
    rounds, values = _by_rounds(environment, OFUL, data)
    horizon, d, delta = rounds[-1], 10, 0.05
    radius = 1 + 0.5 * np.sqrt(2 * np.log(1 / delta) + d * np.log(1 + horizon / d))
    bound = 4 * np.sqrt(horizon * d * np.log(1 + horizon / d)) * radius
    return ratio_of_means(values[-1], np.full_like(values[-1], bound), level)


_SOURCES = {
    OFUL: "Abbasi-Yadkori et al., NeurIPS 2011, Theorem 3",
    UCB: "Chu et al., AISTATS 2011",
    TS: "Agrawal and Goyal, ICML 2013",
    SQUARE: "Foster and Rakhlin, ICML 2020, Theorem 1",
}
_POWERS = {OFUL: (1.0, "d"), UCB: (1.0, "d"), TS: (1.5, "d^(3/2)"), SQUARE: (0.5, "sqrt(d)")}
_BANDS = (
    "Ten arms, contexts uniform on the sphere, noise of deviation 1/2; bands are 95 % t intervals."
)
FIGURES = (
    Figure(
        "rounds", "Regret and rounds", _round_studies, _plot_rounds,
        f"d = 10; rewards normal, or 0 and 1. {_BANDS}",
    ),
    Figure(
        "dimension", "Regret and dimension", _dimension_studies, _plot_dimension,
        f"At paper scale after 10,000 rounds. {_BANDS}",
    ),
)  # fmt: skip
CLAIMS = (
    *(
        Claim(
            f"{name.lower()}-{environment.split()[0]}-rate", f"{environment}: the regret of {name} "
            "grows no faster than sqrt(T)", source, "rounds", "exponent at most 1/2 (and logs)",
            partial(_round_exponent, environment, name), (-np.inf, 0.5),
        )
        for environment in ("normal rewards", "coins")
        for name, source in _SOURCES.items()
    ),
    Claim(
        "oful-bound", "normal rewards: the regret of OFUL is below its bound",
        _SOURCES[OFUL] + " (from memory)", "rounds", "regret / bound at most 1",
        partial(_bound_ratio, "normal rewards"), (0.0, 1.0),
    ),
    *(
        Claim(
            f"{name.lower()}-dimension", f"The regret of {name} grows no faster than "
            f"{_POWERS[name][1]}", source, "dimension",
            f"exponent at most {_POWERS[name][0]:g}", partial(_dimension_exponent, name),
            (-np.inf, _POWERS[name][0]),
        )
        for name, source in _SOURCES.items()
    ),
)  # fmt: skip
