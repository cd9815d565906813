"""Identification with linear rewards: Yang and Tan 2022, and Soare, Lazaric and Munos 2014.

Two figures of `best_arm`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import envs
from ..core import learners, plotting
from ..core.statistics import Estimate, paired_difference, smallest, split_level
from ..core.study import Study
from .identification import (
    Data,
    curve,
    draw,
    errors,
    mean_difference,
    names_of,
    rate,
    row,
    stacked,
    study,
)
from .paper import Scale

RUNS: dict[Scale, int] = {"smoke": 200, "quick": 2000, "paper": 20_000}

_STRIDE: dict[Scale, int] = {"smoke": 6, "quick": 3, "paper": 1}  # of the numbers of arms

# ---- Yang and Tan --------------------------------------------------------------------------

TRIALS = 1000  # of the published curves: inferred from their digits
# Error probabilities read from the vector figure of the authors' poster.
PUBLISHED: dict[int, dict[str, dict[int, float]]] = {
    25: {
        "OD-LinBAI": {3: 0.117, 7: 0.130, 11: 0.147, 16: 0.160, 20: 0.151, 24: 0.151},
        "Sequential Halving": {3: 0.313, 7: 0.675, 11: 0.756, 16: 0.803, 20: 0.827, 24: 0.878},
        "BayesGap, oracle": {3: 0.267, 7: 0.248, 11: 0.254, 16: 0.266, 20: 0.284, 24: 0.299},
        "BayesGap, adaptive": {3: 0.208, 7: 0.211, 11: 0.218, 16: 0.229, 20: 0.217, 24: 0.306},
        "Peace": {3: 0.234, 7: 0.245, 11: 0.296, 16: 0.322, 20: 0.366, 24: 0.411},
        "GSE": {3: 0.302, 7: 0.636, 11: 0.816, 16: 0.830, 20: 0.898, 24: 0.912},
    },
    50: {
        "OD-LinBAI": {3: 0.044, 12: 0.061, 21: 0.065, 31: 0.071, 40: 0.069, 49: 0.089},
        "Sequential Halving": {3: 0.228, 12: 0.759, 21: 0.822, 31: 0.869, 40: 0.914, 49: 0.927},
        "BayesGap, oracle": {3: 0.203, 12: 0.251, 21: 0.252, 31: 0.245, 40: 0.271, 49: 0.270},
        "BayesGap, adaptive": {3: 0.126, 12: 0.165, 21: 0.174, 31: 0.215, 40: 0.195, 49: 0.257},
        "Peace": {3: 0.171, 12: 0.163, 21: 0.269, 31: 0.321, 40: 0.367, 49: 0.421},
        "GSE": {3: 0.240, 12: 0.758, 21: 0.845, 31: 0.855, 40: 0.928, 49: 0.917},
    },
}


def _linear_players(arms: int, budget: int) -> dict[str, dict[str, Any]]:
    """By how they play; a learner that cannot run on such a budget is left out."""
    phased: dict[str, Any] = {
        "OD-LinBAI": learners.ODLinBAI(),
        "GSE": learners.GSE(),
        "Peace": learners.Peace(),
    }
    if budget >= arms * math.ceil(math.log2(arms)):
        phased["Sequential Halving"] = learners.SequentialHalving()
    pulled = {
        "BayesGap, oracle": learners.BayesGap(oracle=[1.0, 0.0]),
        "BayesGap, adaptive": learners.BayesGap(),
    }
    return {"phases": phased, "pulls": pulled}


def circle_studies(scale: Scale) -> list[Study]:
    studies = []
    for budget, curves in PUBLISHED.items():
        for arms in list(curves["OD-LinBAI"])[:: _STRIDE[scale]]:
            env = {f"K = {arms}": envs.BestArm(envs.YangTanOne(arms), budget)}
            for kind, players in _linear_players(arms, budget).items():
                studies.append(study(f"{kind}-{budget}-{arms}", env, players, RUNS[scale] // 2))
    return studies


def _circle(data: Data, budget: int, arms: int, learner: str) -> np.ndarray | None:
    """Errors of a learner, [seed], or None where it did not run."""
    for kind in ("phases", "pulls"):
        dataset = data.get(f"{kind}-{budget}-{arms}")
        if dataset is not None and learner in dataset.learner.values:
            return errors(dataset, f"K = {arms}", learner)
    return None


def plot_circle(data: Data):
    drawn = plotting.figure(1, 2, width=4.9, height=4.2)
    for ax, (budget, curves) in zip(drawn.axes, PUBLISHED.items(), strict=True):
        for slot, (learner, points) in enumerate(curves.items()):
            kind = "pulls" if learner.startswith("BayesGap") else "phases"
            ran = [k for k in points if _circle(data, budget, k, learner) is not None]
            rows = [row(rate(data[f"{kind}-{budget}-{k}"], f"K = {k}", learner)) for k in ran]
            draw(ax, ran, np.array(rows).T, learner, slot)
            colour = plotting.line_style(slot)["color"]
            ax.plot(list(points), list(points.values()), "x", color=colour, markersize=4)
        ax.plot([], [], "x", color="0.3", markersize=4, label="published")
        ax.set(title=f"T = {budget}", xlabel="number of arms K", ylim=(0, 1))
    drawn.axes[0].set_ylabel("error probability")
    drawn.axes[0].legend(fontsize="small", loc="center right", bbox_to_anchor=(1, 0.63))
    return drawn


def to_published(learner: str, data: Data, level: float) -> Estimate:
    """Mean over all settings of our error probability less the published one."""
    ours, theirs = [], []
    for budget, curves in PUBLISHED.items():
        for arms, value in curves[learner].items():
            found = _circle(data, budget, arms, learner)
            if found is not None:
                ours.append(found)
                theirs.append(value)
    return mean_difference(np.stack(ours), theirs, TRIALS, level)


def design_gain(data: Data, level: float) -> Estimate:
    """Error of any other learner less that of OD-LinBAI, where it is smallest."""
    pairs = [
        (budget, arms, learner)
        for budget, curves in PUBLISHED.items()
        for learner, points in curves.items()
        for arms in points
        if learner != "OD-LinBAI" and _circle(data, budget, arms, learner) is not None
    ]
    split, gains = split_level(level, len(pairs)), []
    for budget, arms, learner in pairs:
        other, ours = (_circle(data, budget, arms, x) for x in (learner, "OD-LinBAI"))
        assert other is not None and ours is not None
        gains.append(paired_difference(other, ours, split))
    return smallest(gains)._replace(level=level)


# ---- Soare, Lazaric and Munos --------------------------------------------------------------

SOARE_BUDGETS = (1010, 2010, 3010, 4010, 5010)
# Of the data saved with public code (Xiong et al. 2024): 21,000 runs of six processes that seem to
# share their random numbers, so counted once.
SOARE_TRIALS = 3500
SOARE = {
    "OD-LinBAI": (0.444, 0.428, 0.431, 0.435, 0.429),
    "Peace": (0.085, 0.033, 0.011, 0.002, 0.001),
}


def soare_studies(scale: Scale) -> list[Study]:
    environments = {f"T = {t}": envs.BestArm(envs.soare(10, 0.1), t) for t in SOARE_BUDGETS}
    players = {"OD-LinBAI": learners.ODLinBAI(), "Peace": learners.Peace()}
    return [study("soare", environments, players, RUNS[scale] // 10)]


def plot_soare(data: Data):
    drawn = plotting.figure(1, 1, width=5.6, height=3.8)
    ax, dataset = drawn.axes[0], data["soare"]
    for slot, (learner, values) in enumerate(SOARE.items()):
        draw(ax, SOARE_BUDGETS, curve(dataset, learner, names_of(dataset)), learner, slot)
        colour = plotting.line_style(slot)["color"]
        ax.plot(SOARE_BUDGETS, values, "x", color=colour, markersize=5)
    ax.plot([], [], "x", color="0.3", markersize=5, label="saved data of public code")
    ax.set(xlabel="budget T (pulls)", ylabel="error probability", ylim=(0, None))
    ax.legend(fontsize="small")
    return drawn


def to_saved(learner: str, data: Data, level: float) -> Estimate:
    ours = stacked(data["soare"], learner, names_of(data["soare"]))
    return mean_difference(ours, SOARE[learner], SOARE_TRIALS, level)


def plateau(data: Data, level: float) -> Estimate:
    """Error of OD-LinBAI at the largest budget less that at half of it, about."""
    names = names_of(data["soare"])
    first, last = (errors(data["soare"], names[i], "OD-LinBAI") for i in (1, 4))
    return paired_difference(last, first, level)
