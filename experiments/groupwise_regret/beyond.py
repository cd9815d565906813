"""What the paper leaves out: other subroutines, no always-on group, many groups, shortest paths."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from matplotlib.ticker import EngFormatter

from ...core import graphs, learners, plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, largest, mean, split_level
from ...core.study import Study
from ...envs.drawn_groups import DrawnShapes
from ...envs.groupwise import GroupwiseRegression
from ...envs.shortest_path import ShortestPath
from ..growth import Data
from ..paper import Figure, Scale
from .common import (
    BASELINE,
    OURS,
    PLAYERS,
    final_regrets,
    largest_exponent,
    least_gain,
    regrets,
)
from .published import GROUPS, examples

EVERYBODY = range(len(GROUPS))


def _dots(ax, dataset, groups, players) -> None:
    """Final regret of every learner on every group, with its 95 % t interval."""
    for slot, learner in enumerate(players):
        rows = mean(final_regrets(dataset, learner).T[: len(groups)])[:3]
        value, low, high = map(np.asarray, rows)
        places = np.arange(len(groups)) + 0.15 * (slot - (len(players) - 1) / 2)
        ax.errorbar(
            places, value, yerr=[value - low, high - value], fmt="o", markersize=4, capsize=3,
            color=plotting.COLOURS[slot], label=learner,
        )  # fmt: skip
    ax.set_xticks(range(len(groups)), groups, rotation=45, ha="right")
    ax.axhline(0, color="0.6", linewidth=0.8)


# ---- without the always-on group -----------------------------------------------------------

NO_ALWAYS = "groupwise ridge, no always-on group"
WITHOUT: dict[str, Any] = {
    **PLAYERS,
    NO_ALWAYS: learners.Groups(ignored=(GROUPS.index("always_on"),)),
}
FRESH_SIZES: dict[Scale, tuple[int, int]] = {
    "smoke": (300, 8),
    "quick": (5_000, 100),
    "paper": (20_000, 1000),
}


def _without_studies(scale: Scale) -> list[Study]:
    rounds, seeds = FRESH_SIZES[scale]
    return [
        Study(f"without {kind}", {kind: DrawnShapes(kind)}, WITHOUT, rounds, seeds)
        for kind in ("mean", "perm")
    ]


def _plot_without(data: Data):
    drawn = plotting.figure(1, 2, width=4.2, height=3.6)
    for ax, kind in zip(drawn.axes, ("mean", "perm"), strict=True):
        _dots(ax, data[f"without {kind}"], GROUPS, list(WITHOUT))
        ax.set_title(f"label by {kind}")
    drawn.axes[0].set_ylabel("regret on the group")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return drawn


# ---- other subroutines ---------------------------------------------------------------------

ONE_OGD, GROUPS_OGD = "one gradient descent for all", "groupwise gradient descent"
ONE_VAW, GROUPS_VAW = "one Vovk-Azoury-Warmuth for all", "groupwise Vovk-Azoury-Warmuth"
SUBROUTINES: dict[str, Any] = {
    BASELINE: PLAYERS[BASELINE],
    OURS: PLAYERS[OURS],
    ONE_VAW: learners.VovkAzouryWarmuth(),
    GROUPS_VAW: learners.Groups(learners.VovkAzouryWarmuth()),
    ONE_OGD: learners.LinearPredictor(learners.OGD()),
    GROUPS_OGD: learners.Groups(learners.LinearPredictor(learners.OGD())),
}


def _subroutine_studies(scale: Scale) -> list[Study]:
    rounds, seeds = FRESH_SIZES[scale]
    return [Study("subroutines", {"perm": DrawnShapes("perm")}, SUBROUTINES, rounds, seeds)]


def _plot_subroutines(data: Data):
    drawn = plotting.figure(1, 3, width=3.3, height=3.4)
    titles = "ridge", "Vovk-Azoury-Warmuth", "gradient descent"
    names = list(SUBROUTINES)
    for ax, title, players in zip(
        drawn.axes, titles, (names[:2], names[2:4], names[4:]), strict=True
    ):
        _dots(ax, data["subroutines"], GROUPS, players)
        ax.set_title(title)
    drawn.axes[0].set_ylabel("regret on the group")
    handles = drawn.axes[0].get_legend_handles_labels()[0]
    labels = ("one learner for all", "one for every group")
    drawn.legend(handles, labels, loc="outside upper center", ncols=2)
    return drawn


# ---- many groups ---------------------------------------------------------------------------

NUMBERS = (6, 20, 50, 200)
SHARE = 0.3  # of the rounds that an added group has
MANY_SIZES: dict[Scale, tuple[int, int]] = {
    "smoke": (300, 8),
    "quick": (2_000, 32),
    "paper": (20_000, 64),
}


def many_groups(number: int, rounds: int) -> GroupwiseRegression:
    """The set of shapes and colours with groups added that say nothing: each round is in each of
    them with a chance of its own."""
    known = examples("perm", rounds)
    rng = np.random.default_rng(number)
    added = rng.random((rounds, number - len(GROUPS))) < SHARE
    added[0] = True  # none is empty
    return GroupwiseRegression(known.features, np.hstack([known.active, added]), known.labels)


def _many_studies(scale: Scale) -> list[Study]:
    rounds, seeds = MANY_SIZES[scale]
    return [
        Study(
            f"{number} groups", {"perm": many_groups(number, rounds)}, PLAYERS, rounds, seeds,
            checkpoints=(rounds,),
        )
        for number in NUMBERS
    ]  # fmt: skip


def _plot_many(data: Data):
    drawn = plotting.figure(1, 1, width=6.0, height=3.8)
    ax = drawn.axes[0]
    for slot, group in enumerate(GROUPS):
        for learner, dashes in ((OURS, "-"), (BASELINE, ":")):
            rows = [mean(final_regrets(data[f"{n} groups"], learner)[:, slot]) for n in NUMBERS]
            value, low, high = np.array([row[:3] for row in rows], float).T
            label, colour = group if learner == OURS else None, plotting.COLOURS[slot]
            ax.plot(NUMBERS, value, dashes, marker="o", ms=3, color=colour, label=label)
            if learner == OURS:
                ax.fill_between(NUMBERS, low, high, alpha=0.2, color=colour, linewidth=0)
    ax.plot([], [], ":", color="0.3", label="one ridge for all (dotted)")
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.set(xscale="log", xlabel="number of groups", ylabel="regret on the group")
    ax.set_xticks(NUMBERS, [str(n) for n in NUMBERS])
    ax.minorticks_off()
    drawn.legend(*ax.get_legend_handles_labels(), loc="outside right upper")
    return drawn


def _price_of_groups(data: Data, level: float) -> Estimate:
    """The largest rise of the mean regret on a real group from 6 to 200 groups, over
    sqrt(3 T_g ln(200 B)), what the bound allows."""
    few, many = (data[f"{n} groups"] for n in (NUMBERS[0], NUMBERS[-1]))
    first, second = final_regrets(few, OURS), final_regrets(many, OURS)
    rounds = np.asarray(many.group_rounds.isel(environment=0, checkpoint=-1).sel(learner=OURS))
    split, found = split_level(level, len(GROUPS)), []
    for group in EVERYBODY:
        n = float(np.mean(rounds[:, group]))
        allowed = math.sqrt(3 * n * math.log(NUMBERS[-1] * (1 + 1.5 * (1 + math.log1p(n)))))
        found.append(mean((second[:, group] - first[:, group]) / allowed, level=split))
    return largest(found)


# ---- shortest paths ------------------------------------------------------------------------

ONE_FTPL, GROUPS_FTPL = "one perturbed leader for all", "a perturbed leader for every group"
STREETS = graphs.grid(4, 4)
TRAVELLERS = ("rush hour", "other hours", "lorries", "cars", "everybody")
SHARES = ((0.5, 0.5), (0.4, 0.6))
_SCALE = 1 / STREETS.longest  # of the costs, so that no path costs more than 1
LEADER = learners.FTPL(cost_norm=STREETS.dimension * _SCALE, cost_range=1.0)
LEADERS: dict[str, Any] = {ONE_FTPL: LEADER, GROUPS_FTPL: learners.Groups(LEADER, loss_range=1.0)}


def streets() -> ShortestPath:
    """A grid of one-way streets; every group of travellers has mean costs of its own."""
    rng = np.random.default_rng(0)
    means = _SCALE / 2 * rng.random((4, STREETS.dimension))
    return ShortestPath(STREETS, means, "uniform", SHARES)


def _path_studies(scale: Scale) -> list[Study]:
    rounds, seeds = FRESH_SIZES[scale]
    return [Study("paths", {"streets": streets()}, LEADERS, rounds, seeds)]


def _plot_paths(data: Data):
    drawn = plotting.figure(1, len(TRAVELLERS), width=2.5, height=3.0)
    for group, (ax, name) in enumerate(zip(drawn.axes, TRAVELLERS, strict=True)):
        for slot, learner in enumerate(LEADERS):
            values = regrets(data["paths"], learner)[..., group]
            value, low, high = (np.asarray(x) for x in mean(values)[:3])
            times, look = data["paths"].checkpoint.values, plotting.line_style(slot)
            ax.plot(times, value, label=learner, **look)
            ax.fill_between(times, low, high, alpha=0.2, color=look["color"], linewidth=0)
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set(title=name, xlabel="rounds")
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    drawn.axes[0].set_ylabel("regret on the group")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawn


FIGURES = (
    Figure(
        "no-always-on", "Without the always-on group", _without_studies, _plot_without,
        "Fresh data sets; the learner in the third place is not told of the group of all rounds. "
        "Bars are 95 % t intervals over data sets.",
    ),
    Figure(
        "subroutines", "Other subroutines", _subroutine_studies, _plot_subroutines,
        "Fresh data sets, label by a random order of the groups. The reduction takes any learner: "
        "ridge, the forecaster of Vovk, Azoury and Warmuth, projected gradient descent in the unit "
        "ball with the steps of its theorem. Bars are 95 % t intervals over data sets.",
    ),
    Figure(
        "many-groups", "Up to 200 groups", _many_studies, _plot_many,
        "The published data set by perm, in orders at random, with groups added that each round "
        "is in with probability 0.3. Bands are 95 % t intervals over orders.",
    ),
    Figure(
        "paths", "Shortest paths for groups of travellers", _path_studies, _plot_paths,
        "A 4 x 4 grid of one-way streets with mean costs of its own for each of four groups; a "
        "round is for an hour, a vehicle, and everybody. Follow the perturbed leader calls a "
        "shortest-path oracle once a round and group. Bands are 95 % t intervals over seeds.",
    ),
)  # fmt: skip

_OURS = "our addition"
CLAIMS = (
    *(
        Claim(
            f"no-always-on-{kind}",
            f"Label by {kind}: without an always-on group, groupwise ridge still has less mean "
            "regret than one ridge on every group, that of all rounds too",
            f"{_OURS} (a reviewer asked)", "no-always-on", "difference above 0",
            partial(least_gain, f"without {kind}", NO_ALWAYS, BASELINE, EVERYBODY), (0.0, math.inf),
        )
        for kind in ("mean", "perm")
    ),
    *(
        Claim(
            f"subroutine-{name}",
            f"Groupwise {title} has less mean regret than one {title} on every group",
            f"{_OURS}: the reduction takes any subroutine", "subroutines", "difference above 0",
            partial(least_gain, "subroutines", ours, one, EVERYBODY), (0.0, math.inf),
        )
        for name, title, ours, one in (
            ("vaw", "Vovk-Azoury-Warmuth", GROUPS_VAW, ONE_VAW),
            ("ogd", "gradient descent", GROUPS_OGD, ONE_OGD),
        )
    ),
    Claim(
        "paths", "A perturbed leader for every group has less mean regret than one for all on "
        "every group of travellers", f"{_OURS}: combinatorial subroutines by an oracle", "paths",
        "difference above 0",
        partial(least_gain, "paths", GROUPS_FTPL, ONE_FTPL, range(len(TRAVELLERS))),
        (0.0, math.inf),
    ),
    Claim(
        "subroutine-ogd-growth", "With gradient descent, on no group does regret grow faster than "
        "the root of the group's rounds (exponent)",
        "guarantee: regret of the subroutine and O(sqrt(T_g log n))", "subroutines",
        "at most 1/2", partial(largest_exponent, "subroutines", GROUPS_OGD), (-math.inf, 0.5),
    ),
    *(
        Claim(
            f"many-{number}",
            f"With {number} groups, groupwise ridge has less mean regret than one ridge on each of "
            "the six that matter", f"{_OURS}: up to 200 groups", "many-groups",
            "difference above 0",
            partial(least_gain, f"{number} groups", OURS, BASELINE, EVERYBODY), (0.0, math.inf),
        )
        for number in NUMBERS
    ),
    Claim(
        "many-price", "194 groups more raise the regret on each of the six by no more than the "
        "bound allows (share of it)", "guarantee: O(sqrt(T_g log n)), constant of AdaNormalHedge",
        "many-groups", "at most 1", _price_of_groups, (-math.inf, 1.0),
    ),
)  # fmt: skip
