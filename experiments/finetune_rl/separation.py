"""Offline and online episodes together beat either alone: trees whose best path is not covered."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.learners.mdp.optcov import tree_episodes
from ...core.statistics import Estimate, growth_exponent, mean, ratio_of_means
from ...core.study import Study
from ..growth import Data
from ..paper import Figure, Scale
from .common import Estimating, TreeData, looks, needed, paths, tree, values_of, verified

PEDEL, UCB, RANDOM, PEVI = "FTPedel", "LSVI-UCB", "RLSVI", "LinPEVI"
BOTH, ONLINE = "offline and online", "online alone"
GAP, EPSILON, BEST = 0.4, 0.35, 0.7
COVERED = 1500  # offline episodes of every path but the best
WIDTHS: dict[Scale, tuple[int, ...]] = {
    "smoke": (2, 3), "quick": (2, 3, 4), "paper": (2, 3, 4, 5),
}  # fmt: skip
PER_PATH: dict[Scale, int] = {"smoke": 8, "quick": 500, "paper": 500}  # online episodes
SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 16, "paper": 104}


def means(width: int) -> np.ndarray:
    """All paths are `GAP` below the last, [A, A]."""
    found = np.full((width, width), BEST - GAP)
    found[-1, -1] = BEST
    return found


def _players(width: int) -> dict[str, Any]:
    env, visits = tree(means(width)), np.full((width, width), COVERED)
    visits[-1, -1] = 0
    given = {BOTH: TreeData(means(width), visits), ONLINE: TreeData(means(width), 0 * visits)}
    players: dict[str, Any] = {}
    for name, data in given.items():
        players[f"{PEDEL}, {name}"] = learners.FTPedel(
            paths(env), EPSILON, known_model=True, offline=data
        )
        players[f"{UCB}, {name}"] = Estimating(offline=data)
        players[f"{RANDOM}, {name}"] = learners.RLSVI(0.5, offline=data)
    return players | {PEVI: learners.LinPEVI(given[BOTH])}


def _studies(scale: Scale) -> list[Study]:
    found = []
    for width in WIDTHS[scale]:
        env, last = tree(means(width)), PER_PATH[scale] * width**2
        found.append(
            Study(
                f"{width**2} paths", {"tree": env}, _players(width), last, SEEDS[scale], looks(last)
            )
        )
    return found


def _by_paths(data: Data, of) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of paths, and of(dataset) [paths, seed]."""
    rows = sorted((int(name.split()[0]), of(dataset)) for name, dataset in data.items())
    return np.array([n for n, _ in rows], float), np.stack([x for _, x in rows])


def _verified(name: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    return _by_paths(data, lambda dataset: verified(dataset, f"{PEDEL}, {name}"))


def _needed(learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    return _by_paths(data, lambda dataset: needed(dataset, learner, EPSILON))


def _closed(name: str, count: float) -> float:
    """T_o2o for b = 1: of the one path that is not covered, or of all."""
    gaps = np.full(int(count), GAP)
    gaps[-1] = 0
    visits = np.where(gaps > 0, np.inf if name == BOTH else 0, 0)
    return tree_episodes(gaps, visits, EPSILON)


def _plot(data: Data):
    drawn = plotting.figure(1, 2, width=5.0, height=4.2)
    stops, facts = drawn.axes
    for slot, name in enumerate((BOTH, ONLINE)):
        look = plotting.line_style(slot)
        counts, values = _verified(name, data)
        _draw(stops, counts, values, name, look)
        scale = _verified(ONLINE, data)[1][0].mean() / _closed(ONLINE, counts[0])
        line = [scale * _closed(name, count) for count in counts]
        stops.plot(counts, line, ":", color=look["color"], label="closed form")
    for slot, learner in enumerate((PEDEL, UCB, RANDOM)):
        for dashes, name in (("-", BOTH), ("--", ONLINE)):
            look = plotting.line_style(slot) | {"linestyle": dashes}
            _draw(facts, *_needed(f"{learner}, {name}", data), f"{learner}, {name}", look)
    _draw(facts, *_needed(PEVI, data), f"{PEVI}: never", plotting.line_style(3))
    stops.set(title="until FTPedel knows it", ylabel="online episodes")
    facts.set(title="until it is so")
    for ax in drawn.axes:
        ax.set(xscale="log", yscale="log", xlabel="paths, of which all but the best are covered")
        ax.set_xticks(counts, [f"{int(count)}" for count in counts])
        ax.xaxis.minorticks_off()
    stops.legend(fontsize="x-small")
    drawn.legend(
        *facts.get_legend_handles_labels(), loc="outside right upper", fontsize="x-small",
        handlelength=4,
    )  # fmt: skip
    return drawn


def _draw(ax, xs, values, label, look) -> None:
    value, low, high = mean(values)[:3]
    ax.plot(xs, value, marker="o", ms=4, label=label, **look)
    floor = np.maximum(low, np.asarray(value) / 10)  # a logarithmic axis has no zero
    ax.fill_between(xs, floor, high, color=look["color"], alpha=0.2, lw=0)


# ---- claims --------------------------------------------------------------------------------


def _verified_ratio(data: Data, level: float) -> Estimate:
    """Of the widest tree."""
    return ratio_of_means(_verified(BOTH, data)[1][-1], _verified(ONLINE, data)[1][-1], level)


def _needed_ratio(learner: str, data: Data, level: float) -> Estimate:
    both, online = (_needed(f"{learner}, {name}", data)[1][-1] for name in (BOTH, ONLINE))
    return ratio_of_means(both, online, level)


def _exponent(name: str, data: Data, level: float) -> Estimate:
    return growth_exponent(*_verified(name, data), level)


def _offline_regret(data: Data, level: float) -> Estimate:
    counts, values = _by_paths(data, lambda dataset: values_of(dataset, PEVI)[-1])
    return mean(values[-1], level=level)


def _price(data: Data, level: float) -> Estimate:
    """Of FTPedel online alone: episodes until it is right, over those until it stops."""
    right, stop = _needed(f"{PEDEL}, {ONLINE}", data)[1][-1], _verified(ONLINE, data)[1][-1]
    return ratio_of_means(right, stop, level)


_SOURCE = "Wagenmaker and Pacchiano, ICML 2023"
_OURS = "; instance and closed form are ours"
FIGURES = (
    Figure(
        "separation", "Offline and online data beat either alone", _studies, _plot,
        f"Trees of two decisions; every path but the best has {COVERED} offline episodes and mean "
        f"{BEST - GAP:g}, the best has none and {BEST:g}; epsilon = {EPSILON:g}. Left: until "
        f"FTPedel, which knows where actions lead, stops; dotted: the closed form, scaled to the "
        f"first point online. Right: until the recommended policy stays epsilon-optimal, counted "
        f"to the next of 12 looks a decade. LinPEVI, offline alone, is never right; its line is "
        f"the length of the runs. Bands are 95 % t intervals.",
    ),
)  # fmt: skip
CLAIMS = (
    Claim(
        "separation-offline", "Offline data alone leave the best path unknown: LinPEVI is not "
        "epsilon-optimal", _SOURCE + _OURS, "separation", f"simple regret above {EPSILON:g}",
        _offline_regret, (EPSILON, np.inf),
    ),
    Claim(
        "separation-online", "With both, FTPedel stops after fewer online episodes than online "
        "alone", _SOURCE + _OURS, "separation", "ratio at most 0.9", _verified_ratio, (0.0, 0.9),
    ),
    Claim(
        "separation-growth-online", "Online alone the episodes grow in proportion to the paths",
        _SOURCE + _OURS, "separation", "exponent 1 (and logs)", partial(_exponent, ONLINE),
        (0.75, 1.25),
    ),
    Claim(
        "separation-growth-both", "With both they do not grow", _SOURCE + _OURS, "separation",
        "exponent 0 (and logs)", partial(_exponent, BOTH), (-0.25, 0.25),
    ),
    Claim(
        "separation-warm", "LSVI-UCB, too, is right after fewer online episodes from a warm start",
        _SOURCE + "; Tan, Fan and Wei, NeurIPS 2024", "separation", "ratio at most 0.9",
        partial(_needed_ratio, UCB), (0.0, 0.9),
    ),
    Claim(
        "separation-rlsvi", "And so is RLSVI", _SOURCE, "separation", "ratio at most 0.9",
        partial(_needed_ratio, RANDOM), (0.0, 0.9),
    ),
    Claim(
        "separation-price", "To know it takes longer than to be right", _SOURCE + " (verifiable "
        "and unverifiable learning)", "separation", "ratio at most 0.9", _price, (0.0, 0.9),
    ),
)  # fmt: skip
