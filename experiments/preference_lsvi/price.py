"""What it costs to have preferences in place of rewards."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ...core import plotting
from ...core.claims import Claim
from ...core.learners.mdp.duelling import Duelling
from ...core.learners.mdp.preference import PRLSVI
from ...core.learners.mdp.randomised import RLSVI
from ...core.statistics import Estimate, mean, ratio_of_means
from ...core.study import Study
from ...envs.preference_mdp import PreferenceMDP
from ..growth import Data, final
from ..paper import Figure, Scale
from .instances import OURS, SEEDS, SETTING, periodic

STEEPNESSES = (1.0, 2.0, 5.0, 10.0, 20.0)
COINS, EXACT = "rewards, coins", "rewards, exact"
SIGMAS: dict[Scale, tuple[float, ...]] = {
    "smoke": (0.1, 1.0), "quick": (0.1, 0.3, 1.0), "paper": (0.03, 0.1, 0.3, 1.0, 3.0),
}  # fmt: skip
_RIDGES = (1e-4, 1e-2)
_EPISODES: dict[Scale, int] = {"smoke": 32, "quick": 1000, "paper": 4096}


def studies(scale: Scale) -> list[Study]:
    episodes, seeds = _EPISODES[scale], SEEDS[scale]
    asking = {f"sigma {s:g}": PRLSVI(0.0, sigma_reward=s) for s in SIGMAS[scale]}
    links = {f"{k:g}": PreferenceMDP(periodic(), k) for k in STEEPNESSES}
    told = {
        f"sigma {s:g}, ridge {ridge:g}": Duelling(RLSVI(s, ridge), both=True)
        for s in SIGMAS[scale]
        for ridge in _RIDGES
    }
    noises = {
        COINS: PreferenceMDP(periodic("coins"), feedback="rewards"),
        EXACT: PreferenceMDP(periodic("none"), feedback="rewards"),
    }
    return [
        Study("preferences", links, asking, episodes, seeds, (episodes,)),
        Study("rewards", noises, told, episodes, seeds, (episodes,)),
    ]


def _best(study: str, environment: str, data: Data) -> np.ndarray:
    """Regret of the best learner, [seed]: half of the seeds choose it and the others measure."""
    dataset = data[study]
    rows = [final(dataset, environment, str(name)) for name in dataset.learner.values]
    return min(rows, key=lambda values: float(values[::2].mean()))[1::2]


def _preferences(steepness: float, data: Data) -> np.ndarray:
    return _best("preferences", f"{steepness:g}", data)


def _price(steepness: float, told: str, data: Data, level: float) -> Estimate:
    return ratio_of_means(_preferences(steepness, data), _best("rewards", told, data), level)


def _plot(data: Data):
    drawn = plotting.figure(width=6.0, height=4.0)
    ax = drawn.axes[0]
    rows = np.stack([_preferences(k, data) for k in STEEPNESSES])
    curves = {"preferences": rows}
    for told in (COINS, EXACT):
        curves[told] = np.tile(_best("rewards", told, data), (len(STEEPNESSES), 1))
    for slot, (label, values) in enumerate(curves.items()):
        value, low, high = (np.asarray(x) for x in mean(values)[:3])
        look, floor = plotting.line_style(slot), np.maximum(low, value / 10)
        ax.plot(STEEPNESSES, value, label=label, marker="" if slot else "o", ms=4, **look)
        ax.fill_between(STEEPNESSES, floor, high, color=look["color"], alpha=0.2, lw=0)
    ax.set(xscale="log", yscale="log", ylabel="regret (rewards)")
    ax.set(xlabel="steepness of the link (for a reward of 1)")
    ax.set_xticks(STEEPNESSES, [f"{k:g}" for k in STEEPNESSES], minor=False)
    ax.set_xticks([], minor=True)
    ax.legend()
    return drawn


FIGURES = (
    Figure(
        "price", "Preferences and rewards", studies, _plot,
        f"PR-LSVI asks about every pair that differs; RLSVI is told the rewards of both "
        f"trajectories, as coins or exactly, and learns from both. Each has the best sigma (and "
        f"ridge) of a grid, which half of the seeds choose and the others measure. The periodic "
        f"instance; 4,096 duels at paper scale. {SETTING}",
    ),
)  # fmt: skip
CLAIMS = (
    Claim(
        "price-gentle", "With a link of steepness 1, preferences cost more regret than rewards "
        "that are coins", OURS, "price", "ratio above 1", partial(_price, 1.0, COINS),
        (1.0, math.inf),
    ),
    Claim(
        "price-equal", "With steepness 5 they cost as much as coins, within a factor of 2", OURS,
        "price", "ratio from 1/2 to 2", partial(_price, 5.0, COINS), (0.5, 2.0),
    ),
    Claim(
        "price-steep", "Even with steepness 20 they cost more than exact rewards", OURS, "price",
        "ratio above 1", partial(_price, 20.0, EXACT), (1.0, math.inf),
    ),
)  # fmt: skip
