"""The synthetic law with a data set of its own for every seed: what holds beyond one data set."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ...core import plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, largest, mean, split_level
from ...core.study import Study
from ...envs.drawn_groups import DrawnShapes
from ..growth import Data
from ..paper import Figure, Scale
from .common import (
    BASELINE,
    OURS,
    PLAYERS,
    final_regrets,
    largest_exponent,
    least_gain,
    over_root,
    regrets,
)
from .published import GROUPS, KINDS

SIZES: dict[Scale, tuple[int, int]] = {
    "smoke": (300, 8),
    "quick": (10_000, 100),
    "paper": (100_000, 1000),
}
_FEWER = {"min": 4, "max": 4}  # times fewer seeds: no numbers are known of these two


def _studies(kinds: tuple[str, ...], scale: Scale) -> list[Study]:
    rounds, seeds = SIZES[scale]
    return [
        Study(
            f"fresh {kind}", {kind: DrawnShapes(kind)}, PLAYERS, rounds,
            max(8, seeds // _FEWER.get(kind, 1)),
        )
        for kind in kinds
    ]  # fmt: skip


def _plot_final(data: Data):
    drawn = plotting.figure(1, len(KINDS), width=2.9, height=3.4)
    for ax, kind in zip(drawn.axes, KINDS, strict=True):
        for slot, learner in enumerate(PLAYERS):
            rows = mean(final_regrets(data[f"fresh {kind}"], learner).T)[:3]
            value, low, high = map(np.asarray, rows)
            places = np.arange(len(GROUPS)) + 0.2 * (slot - 0.5)
            colour = plotting.COLOURS[slot]
            ax.errorbar(
                places, value, yerr=[value - low, high - value], fmt="o", markersize=4, capsize=3,
                color=colour, label=learner,
            )  # fmt: skip
        ax.set_xticks(range(len(GROUPS)), GROUPS, rotation=45, ha="right")
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set_title(f"label by {kind}")
    drawn.axes[0].set_ylabel("regret on the group")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawn


def _plot_growth(data: Data):
    drawn = plotting.figure(1, 2, width=4.8, height=3.8)
    for ax, learner in zip(drawn.axes, PLAYERS, strict=True):
        for slot, group in enumerate(GROUPS):
            values = regrets(data["fresh perm"], learner)[..., slot]
            rounds = regrets(data["fresh perm"], learner, "group_rounds")[..., slot].mean(axis=1)
            value, low, high = (np.asarray(x) for x in mean(values)[:3])
            shown = (rounds >= 10) & (low > 0)
            look = plotting.line_style(slot)
            ax.plot(rounds[shown], value[shown], label=group, **look)
            band = rounds[shown], low[shown], high[shown]
            ax.fill_between(*band, alpha=0.2, color=look["color"], linewidth=0)
        ax.set(xscale="log", yscale="log", xlabel="rounds of the group", title=learner)
        last = float(data["fresh perm"].checkpoint[-1])
        x = np.geomspace(10, last, 50)
        ax.plot(x, 0.3 * np.sqrt(x), ":", color="0.4", label="root of the rounds")
        ax.plot(x, 2e-3 * x, "-.", color="0.4", label="proportional to them")
    drawn.axes[0].sharey(drawn.axes[1])
    drawn.axes[0].set_ylabel("regret on the group, where positive")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return drawn


def _over_bound(study: str, data: Data, level: float) -> Estimate:
    """The largest, over groups and checkpoints, of mean regret over the bound at the mean number
    of rounds n: d ln(1 + 22 n / d) + sqrt(3 n ln(6 B)), B = 1 + 3/2 (1 + ln(1 + n)), which holds
    for squared errors of at most one; |theta|^2 is left out, in favour of a violation."""
    values, counts = regrets(data[study], OURS), regrets(data[study], OURS, "group_rounds")
    n = counts.mean(axis=1)
    surplus = 1 + 1.5 * (1 + np.log1p(n))
    bound = 25 * np.log1p(22 * n / 25) + np.sqrt(3 * n * np.log(len(GROUPS) * surplus))
    ratios = values / np.where(n > 0, bound, math.inf)[:, None, :]
    cells = ratios.transpose(0, 2, 1).reshape(-1, ratios.shape[1])
    split = split_level(level, len(cells))
    return largest([mean(cell, level=split) for cell in cells])


FIGURES = (
    Figure(
        "fresh", "Fresh data sets, regret after the last round", partial(_studies, tuple(KINDS)),
        _plot_final,
        "Weights, points, groups and labels anew for every seed; 100,000 rounds and 1,000 seeds at "
        "paper scale, 250 for min and max. Bars are 95 % t intervals of the mean over data sets.",
    ),
    Figure(
        "growth", "Growth of regret on every group", partial(_studies, ("perm",)), _plot_growth,
        "Fresh data sets, label by a random order of the groups. Where the mean is not surely "
        "positive there is nothing to bound, and no curve. Bands are 95 % t intervals.",
    ),
)  # fmt: skip

_GUARANTEE = "guarantee: regret of the subroutine and O(sqrt(T_g log n))"
CLAIMS = (
    *(
        Claim(
            f"fresh-better-{kind}",
            f"Fresh data sets, label by {kind}: groupwise ridge has less mean regret than one "
            "ridge on every group", "Figures of the synthetic sets, on fresh data", "fresh",
            "difference above 0",
            partial(least_gain, f"fresh {kind}", OURS, BASELINE, range(len(GROUPS))),
            (0.0, math.inf),
        )
        for kind in KINDS
    ),
    *(
        Claim(
            f"bound-{kind}",
            f"Label by {kind}: no group's mean regret passes the bound (largest ratio)",
            f"{_GUARANTEE}; constants of ridge and AdaNormalHedge as in their docstrings", "fresh",
            "at most 1", partial(_over_bound, f"fresh {kind}"), (-math.inf, 1.0),
        )
        for kind in KINDS
    ),
    Claim(
        "growth", "On no group does the regret of groupwise ridge grow faster than the root of the "
        "group's rounds (exponent)", _GUARANTEE, "growth", "at most 1/2",
        partial(largest_exponent, "fresh perm", OURS), (-math.inf, 0.5),
    ),
    Claim(
        "growth-baseline", "On some group the regret of one ridge for all is linear (exponent)",
        "our expectation: no single linear forecaster fits all groups", "growth", "1",
        partial(largest_exponent, "fresh perm", BASELINE), (0.95, 1.05),
    ),
    Claim(
        "over-root", "On no group is the regret of groupwise ridge more than the root of the "
        "group's rounds", "our reading of O(sqrt(T_g)), constant 1", "growth", "at most 1",
        partial(over_root, "fresh perm", OURS), (-math.inf, 1.0),
    ),
)  # fmt: skip
