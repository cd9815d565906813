"""Verified learning on a tree of four paths: offline data in closed form, and measured."""

from __future__ import annotations

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.learners.mdp.optcov import tree_episodes
from ...core.statistics import (
    Estimate,
    largest,
    mean,
    proportion,
    ratio_of_means,
    smallest,
    split_level,
)
from ...core.study import Study
from ..growth import Data
from ..paper import Figure, Scale
from .common import TreeData, paths, tree, values_of, verified

PEDEL, PEVI = "FTPedel", "LinPEVI"
GAPS, EPSILON = np.array([0.2, 0.0, 0.4, 0.4]), 0.2
BEST = 0.7  # mean of the best path
PLANS = {
    "all paths": np.array([1, 1, 1, 1]),
    "all but the best": np.array([1, 0, 1, 1]),
    "only the best": np.array([0, 1, 0, 0]),
}
AMOUNTS: dict[Scale, tuple[int, ...]] = {
    "smoke": (40,), "quick": (400, 1600), "paper": (200, 400, 800, 1200, 1600, 2400),
}  # fmt: skip
EPISODES: dict[Scale, int] = {"smoke": 60, "quick": 6000, "paper": 6000}
SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 16, "paper": 128}


def _study(scale: Scale, plan: str, amount: int) -> Study:
    means = BEST - GAPS.reshape(2, 2)
    env, data = tree(means), TreeData(means, amount * PLANS[plan].reshape(2, 2))
    players = {
        PEDEL: learners.FTPedel(paths(env), EPSILON, known_model=True, offline=data),
        PEVI: learners.LinPEVI(data),
    }
    last = EPISODES[scale]
    name = f"{plan}, n={amount}"
    return Study(name, {"tree": env}, players, last, SEEDS[scale], (1, last))


def _studies(scale: Scale) -> list[Study]:
    first = _study(scale, "all paths", 0)
    return [first, *(_study(scale, plan, n) for plan in PLANS for n in AMOUNTS[scale])]


def _measured(plan: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Offline episodes of a covered path, from 0, and episodes until the stop, [amount, seed]."""
    rows = [(0, data["all paths, n=0"])]
    rows += [
        (int(name.partition(", n=")[2]), dataset)
        for name, dataset in data.items()
        if name.startswith(f"{plan}, ") and not name.endswith("n=0")
    ]
    rows.sort(key=lambda row: row[0])
    return np.array([n for n, _ in rows], float), np.stack([verified(d, PEDEL) for _, d in rows])


def _budget(data: Data) -> float:
    """b, from what was needed without offline data."""
    episodes = verified(data["all paths, n=0"], PEDEL).mean()
    return float(episodes / tree_episodes(GAPS, np.zeros(4), EPSILON))


def _closed(plan: str, amounts: np.ndarray, gaps: np.ndarray, epsilon: float, budget: float):
    return np.array([tree_episodes(gaps, n * PLANS[plan], epsilon, budget) for n in amounts])


def _plot(data: Data):
    drawn = plotting.figure(1, 2, width=5.0, height=4.0)
    closed, measured = drawn.axes
    gaps, epsilon, per_path = np.array([0.1, 0.0, 0.3, 0.3]), 0.1, np.linspace(0, 150, 301)
    budget = _budget(data)
    for slot, plan in enumerate(PLANS):
        look = plotting.line_style(slot)
        closed.plot(per_path, _closed(plan, per_path, gaps, epsilon, 1.0), label=plan, **look)
        amounts, values = _measured(plan, data)
        value, low, high = mean(values)[:3]
        measured.plot(amounts, value, marker="o", ms=4, label=f"{plan}, FTPedel", **look)
        measured.fill_between(amounts, low, high, color=look["color"], alpha=0.2, lw=0)
        grid = np.linspace(0, amounts[-1], 301)
        line = _closed(plan, grid, GAPS, EPSILON, budget)
        measured.plot(grid, line, ":", color=look["color"], label="closed form")
    closed.set(
        title="gaps 0.1, 0, 0.3, 0.3 and epsilon = 0.1",
        xlabel="offline episodes of a covered path / b",
        ylabel="online episodes / b",
    )
    measured.set(
        title="gaps 0.2, 0, 0.4, 0.4 and epsilon = 0.2",
        xlabel="offline episodes of a covered path",
        ylabel="online episodes until it stops",
    )
    closed.legend()
    measured.legend(fontsize="x-small")
    return drawn


# ---- claims --------------------------------------------------------------------------------


def _ratios(data: Data, level: float) -> list[Estimate]:
    """Measured over closed form, of every plan at every amount where the latter is not 0."""
    first = verified(data["all paths, n=0"], PEDEL)
    found = []
    for plan in PLANS:
        amounts, values = _measured(plan, data)
        shares = _closed(plan, amounts, GAPS, EPSILON, _budget(data)) / first.mean()
        found += [(v, share) for v, share in zip(values[1:], shares[1:], strict=True) if share > 0]
    split = split_level(level, len(found))
    return [
        ratio_of_means(values, first, split).map(lambda x, share=share: x / share)
        for values, share in found
    ]


def _worst(data: Data, level: float) -> Estimate:
    return largest(_ratios(data, split_level(level, 2)))


def _least(data: Data, level: float) -> Estimate:
    return smallest(_ratios(data, split_level(level, 2)))


def _unverified(data: Data, level: float) -> Estimate:
    """How often LinPEVI is optimal with most data of the best path only."""
    last = max(int(name.partition(", n=")[2]) for name in data)
    good = values_of(data[f"only the best, n={last}"], PEVI)[-1] < 1e-6
    return proportion(good.sum(), good.size, level)


def _verifying(data: Data, level: float) -> Estimate:
    """What FTPedel explores with these data, over what it explores without any."""
    _, values = _measured("only the best", data)
    return ratio_of_means(values[-1], values[0], level)


_SOURCE = "Wagenmaker and Pacchiano, ICML 2023"
FIGURES = (
    Figure(
        "tree", "What offline data are worth on a tree", _studies, _plot,
        "Four paths, of which some are covered offline, by n episodes each. Left: the closed form "
        "sum of max(0, b / max(gap, epsilon)^2 - n). Right: episodes until FTPedel stops; it knows "
        "where actions lead, not what they bring; rewards are coins, 0.7 for the best path. b of "
        "the dotted lines is what it is without offline data. Bands are 95 % t intervals.",
    ),
)  # fmt: skip
CLAIMS = (
    Claim(
        "tree-not-more", "FTPedel needs at most H = 2 times the episodes of the closed form, "
        "scaled by what it needs without offline data", _SOURCE + " (optimal up to H)", "tree",
        "largest ratio at most 2", _worst, (0.0, 2.0),
    ),
    Claim(
        "tree-not-less", "Nor does it stop before 1/2 of that", _SOURCE + " (lower bound)", "tree",
        "smallest ratio at least 1/2", _least, (0.5, np.inf),
    ),
    Claim(
        "tree-unverified", "With data of the best path alone pessimism plays it: what is not "
        "verified can be good", _SOURCE + " (unverifiable learning)", "tree",
        "chance of the best policy near 1", _unverified, (0.9, 1.0),
    ),
    Claim(
        "tree-verifying", "To verify it, the other paths have to be explored all the same",
        _SOURCE + " (verifiable learning)", "tree", "closed form 0.6, up to a factor of H = 2",
        _verifying, (0.3, np.inf),
    ),
)  # fmt: skip
