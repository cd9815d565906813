"""Private bandits: regret and identification with a fixed confidence.

After the experiments of Azize's thesis on private bandits (2024), which compare DP-UCB, DP-SE,
AdaP-UCB, AdaP-KLUCB and AdaP-TT on five Bernoulli arms. Published numbers were read from figures.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .. import envs
from ..core import learners, plotting
from ..core.claims import Claim
from ..core.statistics import Estimate, mean, proportion, ratio_of_means, split_level
from ..core.study import Study
from .growth import final
from .identification import Data, row, study
from .paper import Figure, Paper, Scale

RUNS: dict[Scale, int] = {"smoke": 32, "quick": 200, "paper": 2000}
TREE_RUNS: dict[Scale, int] = {"smoke": 8, "quick": 8, "paper": 32}
HORIZON: dict[Scale, int] = {"smoke": 100_000, "quick": 1_000_000, "paper": 10_000_000}
INSTANCES = ("C1", "C2", "C3", "C4")
EPSILONS = (0.025, 0.05, 0.1, 0.3, 1.0)
DELTA = 0.01  # confidence of identification
STOPPING_EPSILONS = (0.03, 0.1, 0.3, 1.0, 3.0)
CAP = 10_000_000  # pulls after which a run is cut off

# ---- regret --------------------------------------------------------------------------------


def _regret_players(epsilon: float) -> dict[str, Any]:
    return {
        "DP-SE": learners.DPSE(epsilon=epsilon),
        "AdaP-UCB": learners.AdaPUCB(epsilon=epsilon),
        "AdaP-KLUCB": learners.AdaPKLUCB(epsilon=epsilon),
    }


def _regret_studies(scale: Scale) -> list[Study]:
    horizon = HORIZON[scale]
    problems = {name: envs.BestArm(envs.private_arms(name), horizon) for name in INSTANCES}
    phased = [study(f"epsilon {e:g}", problems, _regret_players(e), RUNS[scale]) for e in EPSILONS]
    tree = Study(
        "tree",
        {"C2": problems["C2"]},
        {"DP-UCB": learners.DPUCB(epsilon=1.0)},
        horizon,
        TREE_RUNS[scale],
        checkpoints=(horizon,),
    )
    return [*phased, tree]


def _plot_regret(data: Data):
    drawn = plotting.figure(1, len(INSTANCES), width=3.4, height=3.6)
    for ax, name in zip(drawn.axes, INSTANCES, strict=True):
        for slot, learner in enumerate(_regret_players(1.0)):
            rows = [row(mean(final(data[f"epsilon {e:g}"], name, learner))) for e in EPSILONS]
            _band(ax, EPSILONS, rows, learner, slot)
        if name == "C2":
            value, low, high = row(mean(final(data["tree"], "C2", "DP-UCB")))
            ax.errorbar(1.0, value, yerr=[[value - low], [high - value]], fmt="s", capsize=3,
                        color=plotting.COLOURS[3], label="DP-UCB")  # fmt: skip
        ax.set(title=name, xscale="log", yscale="log", xlabel="epsilon")
    drawn.axes[0].set_ylabel("regret at the horizon")
    drawn.axes[1].legend(fontsize="small")
    return drawn


def _band(ax, x, rows, label, slot):
    value, low, high = np.array(rows).T
    look = plotting.line_style(slot)
    ax.plot(x, value, marker="o", markersize=3.5, label=label, **look)
    ax.fill_between(x, low, high, alpha=0.2, color=look["color"], linewidth=0)


# Regret on C2 after 10^7 rounds, epsilon = 1, 20 runs, as read from the thesis.
THESIS = {"DP-UCB": 129_200.0, "DP-SE": 24_500.0, "AdaP-UCB": 2147.0, "AdaP-KLUCB": 1385.0}


def _regret(data: Data, instance: str, learner: str, epsilon: float) -> np.ndarray:
    name = "tree" if learner == "DP-UCB" else f"epsilon {epsilon:g}"
    return final(data[name], instance, learner)


def _over_thesis(learner: str, data: Data, level: float) -> Estimate:
    """Our regret over the published one, at the horizon that was run."""
    return mean(_regret(data, "C2", learner, 1.0) / THESIS[learner], level=level)


def _regret_ratio(first: str, second: str, data: Data, level: float) -> Estimate:
    """Largest ratio of the regrets of two learners over the four instances, epsilon = 1; the two
    ends are those of each instance's interval."""
    both = [x for x in INSTANCES if "DP-UCB" not in (first, second) or x == "C2"]
    split, found = split_level(level, len(both)), []
    for instance in both:
        a, b = (_regret(data, instance, x, 1.0) for x in (first, second))
        runs = min(len(a), len(b))
        found.append(row(ratio_of_means(a[:runs], b[:runs], split)))
    value, low, high = np.array(found).max(axis=0)
    return Estimate(float(value), float(low), float(high), level)


def _privacy_price(learner: str, data: Data, level: float) -> Estimate:
    """Regret on C2 with epsilon = 0.025 over that with 0.05."""
    return ratio_of_means(
        _regret(data, "C2", learner, 0.025), _regret(data, "C2", learner, 0.05), level
    )


# ---- fixed confidence ----------------------------------------------------------------------

PROBLEMS = ("linspace", "C2")


def _stopping_players(epsilon: float) -> dict[str, Any]:
    given: dict[str, Any] = {"epsilon": epsilon, "delta": DELTA}
    return {
        "DP-SE": learners.DPSE(identify=True, **given),
        "AdaP-TT, short threshold": learners.AdaPTT(sampling="code", threshold="short", **given),
        "AdaP-TT, proved threshold": learners.AdaPTT(sampling="code", **given),
        "AdaP-TT*": learners.AdaPTTStar(sampling="code", **given),
    }


def _stopping_studies(scale: Scale) -> list[Study]:
    problems = {name: envs.BestArm(envs.private_arms(name), CAP) for name in PROBLEMS}
    return [
        study(f"{learner}, {e:g}", problems, {learner: player}, RUNS[scale] // 2)
        for e in STOPPING_EPSILONS
        for learner, player in _stopping_players(e).items()
    ]


def _stopping(data: Data, problem: str, learner: str, e: float, metric="budget_used") -> np.ndarray:
    return final(data[f"{learner}, {e:g}"], problem, learner, metric)


def _plot_stopping(data: Data):
    drawn = plotting.figure(1, len(PROBLEMS), width=4.6, height=3.8)
    for ax, problem in zip(drawn.axes, PROBLEMS, strict=True):
        for slot, learner in enumerate(_stopping_players(1.0)):
            rows = [row(mean(_stopping(data, problem, learner, e))) for e in STOPPING_EPSILONS]
            _band(ax, STOPPING_EPSILONS, rows, learner, slot)
        ax.set(title=problem, xscale="log", yscale="log", xlabel="epsilon")
    drawn.axes[0].set_ylabel("pulls until the learner stops")
    drawn.axes[0].legend(fontsize="small")
    return drawn


def _worst_error(data: Data, level: float) -> Estimate:
    """The largest error probability over problems, learners and epsilons."""
    cells = [
        (problem, learner, e)
        for problem in PROBLEMS
        for learner in _stopping_players(1.0)
        for e in STOPPING_EPSILONS
    ]
    split, found = split_level(level, len(cells)), []
    for cell in cells:
        wrong = _stopping(data, *cell, metric="error")
        found.append(row(proportion(wrong.sum(), len(wrong), split)))
    value, low, high = np.array(found).max(axis=0)
    return Estimate(float(value), float(low), float(high), level)


def _stops_earlier(problem: str, epsilon: float, data: Data, level: float) -> Estimate:
    """Pulls of AdaP-TT with the short threshold over those of DP-SE."""
    names = ("AdaP-TT, short threshold", "DP-SE")
    ours, theirs = (_stopping(data, problem, name, epsilon) for name in names)
    return ratio_of_means(ours, theirs, level)


# ---- the thesis ----------------------------------------------------------------------------

FIGURES = (
    Figure(
        "regret", "Regret by epsilon", _regret_studies, _plot_regret,
        "Five Bernoulli arms, 10^7 rounds at paper scale; bands are 95 % intervals of the mean. "
        "DP-UCB only on C2 with epsilon = 1. Whole episodes are one draw, so a run of 10^7 rounds "
        "takes microseconds."
    ),
    Figure(
        "stopping", "Pulls until the best arm is known", _stopping_studies, _plot_stopping,
        "Confidence 0.99. All pulls are counted; the public code for AdaP-TT leaves out those "
        "since the last renewal of each arm's mean. AdaP-TT samples as that code does."
    ),
)  # fmt: skip

_SOURCE = "Azize 2024, figure of regret, C2, epsilon = 1"
CLAIMS = (
    *(
        Claim(
            f"thesis-{learner.lower()}", f"The regret of {learner} on C2 is that of the thesis",
            _SOURCE, "regret", f"{value:,.0f} after 10^7 rounds", partial(_over_thesis, learner),
            (0.8, 1.25), "of theirs",
        )
        for learner, value in THESIS.items()
    ),
    *(
        Claim(
            f"{first.lower()}-beats-{second.lower()}",
            f"{first} has less regret than {second}, epsilon = 1{where}",
            _SOURCE, "regret", "ratio below 1", partial(_regret_ratio, first, second), (0.0, 1.0),
        )
        for first, second, where in (
            ("AdaP-KLUCB", "AdaP-UCB", ", on C1 to C4"),
            ("AdaP-UCB", "DP-SE", ", on C1 to C4"),
            ("DP-SE", "DP-UCB", ", on C2"),
        )
    ),
    *(
        Claim(
            f"price-{learner.lower()}",
            f"Where privacy is what costs, half the epsilon doubles the regret of {learner}",
            "regret O(K log T / epsilon)", "regret", "2", partial(_privacy_price, learner),
            (1.6, 2.4),
        )
        for learner in _regret_players(1.0)
    ),
    Claim(
        "confidence", "Every learner names a wrong arm with probability 0.01 at most",
        "delta-correctness", "stopping", "at most 0.01", _worst_error, (0.0, DELTA),
    ),
    *(
        Claim(
            f"stops-{problem.lower()}-{str(e).replace('.', '')}",
            f"AdaP-TT (short threshold) stops before DP-SE on {problem}, epsilon = {e:g}",
            "Azize 2024, figure of stopping times", "stopping", "ratio below 1",
            partial(_stops_earlier, problem, e), (-math.inf, 1.0),
        )
        for problem in PROBLEMS
        for e in (0.1, 1.0)
    ),
)  # fmt: skip

PAPER = Paper(
    "private_bandits",
    "Private bandits: regret and fixed confidence",
    "Achraf Azize, thesis on private bandits, 2024; Sajed and Sheffet, ICML 2019 (from memory)",
    "DP-SE, AdaP-UCB, AdaP-KLUCB and DP-UCB by regret, DP-SE and AdaP-TT by the pulls until they "
    "stop, on the instances of the thesis. Where our numbers differ from its figures, it is shown.",
    FIGURES,
    CLAIMS,
)
