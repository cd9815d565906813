"""Misspecified linear bandits: what sparsity buys."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, growth_exponent, largest, mean, split_level
from ...core.study import Study
from ...envs.misspecified import MisspecifiedLinear, hidden_direction
from ..growth import Data
from ..paper import Figure, Scale

PHASED, SPARSE = "phased elimination", "sparse elimination"
_ERROR, _NOISE = 0.1, 0.1  # epsilon, and the deviation of the rewards
DIMENSIONS: dict[Scale, tuple[int, ...]] = {
    "smoke": (4, 9), "quick": (4, 9, 16, 25), "paper": (4, 9, 16, 25, 36, 49),
}  # fmt: skip
ROUNDS: dict[Scale, int] = {"smoke": 200, "quick": 20_000, "paper": 100_000}
SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 32, "paper": 200}
_DRAWN = 100  # arms


def _studies(scale: Scale) -> list[Study]:
    rounds, players = ROUNDS[scale], {PHASED: learners.PhasedElimination()}
    players |= {SPARSE: learners.SparseElimination()}
    studies = []
    for d in DIMENSIONS[scale]:
        envs = {
            "hidden direction": hidden_direction(d, _ERROR, _NOISE),
            "drawn arms": MisspecifiedLinear(_DRAWN, d, 1, _ERROR, _NOISE),
        }
        for name, env in envs.items():
            studies.append(
                Study(f"{name}, d={d}", {name: env}, players, rounds, SEEDS[scale], (rounds,))
            )
    return studies


def _errors(environment: str, learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Dimensions, and simple regret over epsilon, [dimension, seed]."""
    rows = []
    for name, dataset in data.items():
        kind, _, d = name.partition(", d=")
        if kind == environment:
            found = dataset.simple_regret.isel(environment=0, checkpoint=-1).sel(learner=learner)
            rows.append((int(d), found.values.astype(float) / _ERROR))
    rows.sort(key=lambda row: row[0])
    return np.array([d for d, _ in rows], float), np.stack([x for _, x in rows])


def _plot(data: Data):
    drawn = plotting.figure(1, 2, width=5.0, height=4.0)
    for ax, environment in zip(drawn.axes, ("hidden direction", "drawn arms"), strict=True):
        for slot, learner in enumerate((PHASED, SPARSE)):
            xs, values = _errors(environment, learner, data)
            value, low, high = mean(values)[:3]
            look = plotting.line_style(slot)
            ax.plot(xs, value, marker="o", ms=4, label=learner, **look)
            ax.fill_between(xs, low, high, color=look["color"], alpha=0.2, lw=0)
        ax.plot(xs, np.sqrt(xs), ":", color="0.4", label="sqrt(d)")
        ax.set(title=environment, xlabel="dimension d")
    drawn.axes[0].set_ylabel("error of the recommended arm / epsilon")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return drawn


def _worst(learner: str, data: Data, level: float) -> Estimate:
    """The largest mean error, over environments and dimensions, over epsilon."""
    rows = [
        row
        for environment in ("hidden direction", "drawn arms")
        for row in _errors(environment, learner, data)[1]
    ]
    split = split_level(level, len(rows))
    return largest([mean(row, level=split) for row in rows])


def _exponent(data: Data, level: float) -> Estimate:
    """Of phased elimination's error in d, where the direction is hidden."""
    return growth_exponent(*_errors("hidden direction", PHASED, data), level)


_SOURCE = "Dong and Yang, ICML 2023 (abstract), by our reconstruction"
FIGURES = (
    Figure(
        "misspecified", "Misspecified rewards, one coordinate that matters", _studies, _plot,
        f"Means are off by up to epsilon = {_ERROR:g}, noise has deviation {_NOISE:g}. Left: an "
        f"instance of ours where all arms but one are equal. Right: 100 arms at random. Bands "
        f"are 95 % t intervals.",
    ),
)  # fmt: skip
CLAIMS = (
    Claim(
        "sparse-error", "With sparsity the error is O(epsilon), whatever d: at most 6 epsilon",
        _SOURCE, "misspecified", "error / epsilon at most 6 (constant ours)",
        partial(_worst, SPARSE), (-np.inf, 6.0),
    ),
    Claim(
        "dense-error", "Without it the error grows as epsilon sqrt(d)",
        "Lattimore, Szepesvari and Weisz, ICML 2020", "misspecified", "exponent 1/2",
        _exponent, (0.45, 0.55),
    ),
)  # fmt: skip
