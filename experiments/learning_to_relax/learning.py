"""Tuning SOR, one system after another: learning curves, rankings, the root finder, rivals."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.learners.solver import FromCosts, GoldenSection
from ...core.learners.solver.bayes import GPTuner
from ...core.learners.solver.neural import NeuralTuner
from ...core.study import Study
from ..growth import Data
from ..paper import Figure, Scale
from . import rates
from .estimates import (
    CROSSINGS,
    REFERENCE,
    THEIRS,
    crossing,
    excess,
    furthest,
    gain,
    least_gain,
    least_step,
    mean_ratio,
    speed_up,
    spread_of,
)
from .trials import (
    BINNED,
    BINNED_PUBLISHED,
    CHEB,
    FULL,
    HIGH,
    HINDSIGHT,
    INTERVAL,
    LAWS,
    LEARNERS,
    LOW,
    OPTIMAL,
    PUBLISHED,
    SIZES,
    TSALLIS,
    Estimator,
    Who,
    at_full_length,
    label,
    looks_of,
    only,
    per_instance,
    plot_averages,
    plot_remaining,
    study,
)

# ---- learning curves -----------------------------------------------------------------------


def _contextual(law: str, scale: Scale) -> list[Study]:
    return [study("contextual", [law], [TSALLIS, BINNED, CHEB], scale)]


def _learning(law: str, scale: Scale) -> list[Study]:
    return [study("learning", [law], [TSALLIS], scale)]


def _plot_curves(law: str, players: list[Who], data: Data):
    drawn = plotting.figure(1, 2, width=5.2, height=4.2)
    left, right = drawn.axes
    dataset, looks = only(data), looks_of(players)
    plot_remaining(left, dataset, law, looks)
    plot_averages(right, dataset, law, looks)
    left.set_title(law)
    left.legend(fontsize="small")
    return drawn


FIXED: tuple[float, ...] = (1.0, 1.2, 1.4, 1.6, 1.8)


def _contextual_players(law: str) -> list[Who]:
    return [TSALLIS, BINNED, CHEB, LAWS[law].reference, HINDSIGHT, OPTIMAL]


# ---- the root finder -----------------------------------------------------------------------

ROOTS: list[str] = [TSALLIS, PUBLISHED, BINNED, BINNED_PUBLISHED]


def _root_studies(scale: Scale) -> list[Study]:
    return [study("roots", list(LAWS), ROOTS, scale)]


def _plot_roots(data: Data):
    dataset = only(data)
    drawn = plotting.figure(1, 2, width=5.2, height=3.4)
    full = int(dataset.attrs["horizon"]) >= FULL
    for ax, law in zip(drawn.axes, LAWS, strict=True):
        for place, who in enumerate(ROOTS):
            values = per_instance(dataset, law, who)
            colour = plotting.COLOURS[place % 2]
            heights = place + 0.25 * np.linspace(-1, 1, len(values))  # by trial
            ax.plot(values, heights, ".", color=colour, alpha=0.4, markersize=3)
            centre, spread = values.mean(), values.std(ddof=1)
            ax.errorbar(
                centre, place + 0.33, xerr=spread, fmt="o", capsize=3, color=colour,
                label=None if place else "mean and standard deviation",
            )  # fmt: skip
            if full:
                centre, spread = REFERENCE[law][who]
                ax.errorbar(
                    centre, place + 0.45, xerr=spread, fmt="x", capsize=3, color="0.35",
                    label=None if place else "independent re-implementation",
                )  # fmt: skip
        ax.set_yticks(range(len(ROOTS)), ROOTS)
        ax.invert_yaxis()
        ax.set(xlabel="iterations per instance, a dot a trial", title=law)
    lines, names = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(lines, names, loc="outside upper right", ncols=2, fontsize="small")
    return drawn


# ---- learners beyond the paper -------------------------------------------------------------

MOST = 500  # iterations at which a reward is 0, several times what a good parameter takes
BLIND = {  # to the context
    "Exp3": FromCosts(learners.Exp3(), MOST),
    "UCB1": FromCosts(learners.UCB1(), MOST),
    "Thompson, Gaussian": FromCosts(learners.ThompsonGaussian(), MOST),
    "golden section": GoldenSection(),
    "GP-UCB without context": GPTuner(contextual=False),
}
SEEING = {
    "GP-UCB": GPTuner(interval=INTERVAL),
    "GP-Thompson": GPTuner(interval=INTERVAL, explore="thompson"),
    "NeuSquareCB": NeuralTuner(interval=INTERVAL),
}
RIVALS: dict[str, Any] = {who: LEARNERS[who] for who in (TSALLIS, BINNED, CHEB)} | BLIND | SEEING


def _rival_studies(scale: Scale) -> list[Study]:
    few = [TSALLIS, CHEB, "UCB1", "golden section"]  # each is a program to compile
    chosen = {who: RIVALS[who] for who in few} if scale == "smoke" else RIVALS
    found = study("beyond", list(LAWS), chosen, scale)
    return [Study(
        found.name, found.environments, found.learners, found.horizon, SIZES[scale].rivals,
        found.checkpoints,
    )]  # fmt: skip


def _plot_rivals(data: Data):
    dataset = only(data)
    drawn = plotting.figure(1, 2, width=5.6, height=4.6)
    players: list[Who] = [*map(str, dataset.learner.values), HINDSIGHT, OPTIMAL]
    looks: dict[Who, dict[str, Any]] = {who: plotting.line_style(i) for i, who in enumerate(RIVALS)}
    looks |= {HINDSIGHT: {"color": "0.3", "linestyle": "--"}}
    looks |= {OPTIMAL: {"color": "0.3", "linestyle": ":"}}
    for ax, law in zip(drawn.axes, LAWS, strict=True):
        plot_averages(ax, dataset, law, {who: looks[who] for who in players})
        ax.set_title(law)
    lines, names = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(lines, names, loc="outside right upper", fontsize="small")
    return drawn


# ---- figures -------------------------------------------------------------------------------


def _slug(law: str) -> str:
    return law.replace(" ", "_")


SYSTEMS = (
    "The 5-point Laplacian on 10 x 10 points plus c, SOR to 1e-8, c = -0.15 + 0.6 Beta(2, 6) (low "
    "variance) or Beta(1/2, 3/2) (high); 5,000 instances and 400 trials at paper scale, where the "
    "paper has 40 trials. Bands: 95 % intervals of the mean."
)

FIGURES = (
    *(
        Figure(
            f"contextual_{_slug(law)}", f"Learning with contexts, {law} (paper, {where})",
            partial(_contextual, law), partial(_plot_curves, law, _contextual_players(law)),
            f"Left: as the paper draws it. Right: the same, divided. {SYSTEMS}",
        )
        for law, where in ((LOW, "Figure 2, centre left"), (HIGH, "Figure 5, left"))
    ),
    *(
        Figure(
            f"learning_{_slug(law)}", f"Tsallis-INF and fixed ω, {law} (paper, Figure 5, {where})",
            partial(_learning, law), partial(_plot_curves, law, [TSALLIS, *FIXED, HINDSIGHT]),
            f"Left: as the paper draws it. Right: the same, divided. {SYSTEMS}",
        )
        for law, where in ((LOW, "right"), (HIGH, "centre"))
    ),
    Figure(
        "root_finder", "What the published root finder costs", _root_studies, _plot_roots,
        "The authors' code looks for the normalisation of Tsallis-INF by 20 Newton steps from a "
        "fixed start, which diverge once the losses have grown: learning all but stops on an arm "
        f"found early. Beside it the same learners with a root that is found. {SYSTEMS}",
    ),
    Figure(
        "beyond", "Learners beyond the paper", _rival_studies, _plot_rivals,
        "Exp3, UCB1 and Thompson sampling take 1 - (k - 1) / 500 for a reward, 0 at least. GP and "
        f"NeuSquareCB learn the logarithm of the count. 100 trials at paper scale. {SYSTEMS}",
    ),
    Figure(
        "regret_growth", "Regret against the number of instances",
        rates.growth_studies, rates.plot_growth,
        "Left: Tsallis-INF (learned scale, anytime rate) on the grid of Theorem 2.1 for each "
        "horizon, with tau = 1/e^2, against the best fixed parameter of a grid from 1.4 to 1.86 by "
        "0.02; 16 trials at paper scale. Right: ChebCB, with 20 parameters and degree 5 at any "
        "horizon, against omega*(c). Dotted: the rates of the theory, which are upper bounds.",
    ),
)  # fmt: skip


# ---- claims --------------------------------------------------------------------------------

ORDER: dict[str, list[Who]] = {
    LOW: [OPTIMAL, CHEB, 1.65, 1.6, TSALLIS, 1.8],
    HIGH: [OPTIMAL, CHEB, 1.8, TSALLIS, 1.6],
}
LEARNING_ORDER: dict[str, list[Who]] = {
    LOW: [1.6, TSALLIS, 1.8, 1.4, 1.2, 1.0],
    HIGH: [1.8, TSALLIS, 1.6, 1.4, 1.2, 1.0],
}
EXCESSES = {LOW: (0.13, 0.07), HIGH: (0.19, 0.11)}  # over 5,000, over the last 1,000


def _claim(
    name: str, law: str, statement: str, source: str, figure: str, paper_value: str,
    estimate: Estimator, region: tuple[float, float], unit: str = "",
) -> Claim:  # fmt: skip
    short = law.partition(" ")[0]
    figure = figure.format(_slug(law))
    return Claim(
        f"{name}-{short}", f"{statement} ({law})", source, figure, paper_value, estimate, region,
        unit,
    )  # fmt: skip


def _within(value: float, reach: float) -> tuple[float, float]:
    return round(value - reach, 3), round(value + reach, 3)


def _near(value: float, part: float) -> tuple[float, float]:
    return _within(value, part * value)


def _speed(law: str, who: str) -> float:
    return REFERENCE[law][1.0][0] / REFERENCE[law][who][0]


def _named(order: list[Who]) -> str:
    return " < ".join(f"ω = {x:g}" if isinstance(x, float) else str(x).split(",")[0] for x in order)


def _claims(law: str) -> list[Claim]:
    contextual, learning, above_0 = "contextual_{}", "learning_{}", (0.0, math.inf)
    over_all, over_last = EXCESSES[law]
    elsewhere = (PUBLISHED, BINNED_PUBLISHED, CHEB)
    known: list[Who] = [who for who in REFERENCE[law] if who not in elsewhere]
    return [
        _claim(
            "means", law,
            "Fixed ω, ω*(c), Tsallis-INF and its bins: no mean is far from the re-implementation's "
            "(in standard errors)",
            f"{THEIRS}; region ours", contextual, "at most 4",
            partial(furthest, law, known), (0.0, 4.0), "s.e.",
        ),
        _claim(
            "means-chebcb", law, "Nor is one of ChebCB",
            f"{THEIRS}; region ours", contextual, "at most 4",
            partial(furthest, law, [CHEB]), (0.0, 4.0), "s.e.",
        ),
        _claim(
            "means-published", law, "Nor is one with the published root finder",
            f"{THEIRS}; region ours", "root_finder", "at most 4",
            partial(furthest, law, [PUBLISHED, BINNED_PUBLISHED]), (0.0, 4.0), "s.e.",
        ),
        _claim(
            "ranking", law, f"Costs over 5,000 instances: {_named(ORDER[law])}",
            f"paper, Figures 2 and 5; {THEIRS}", contextual, "smallest step above 0",
            at_full_length(partial(least_step, law, ORDER[law])), above_0, "iterations",
        ),
        _claim(
            "bins-help", law, "Tsallis-INF-CB costs less than Tsallis-INF over 5,000 instances",
            "paper, Figures 2 and 5", contextual, "difference above 0",
            at_full_length(partial(gain, law, BINNED, TSALLIS)), above_0, "iterations",
        ),
        _claim(
            "chebcb-excess", law, "ChebCB costs this much more than ω*(c) over 5,000 instances",
            f"{THEIRS}; within two points", contextual, f"{over_all:.2f}",
            at_full_length(partial(excess, law, None)), _within(over_all, 0.02),
        ),
        _claim(
            "chebcb-excess-late", law, "ChebCB costs this much more than ω*(c) over the last 1,000",
            f"{THEIRS}; within two points", contextual, f"{over_last:.2f}",
            at_full_length(partial(excess, law, 1000)), _within(over_last, 0.02),
        ),
        _claim(
            "chebcb-crossing", law,
            f"From this instance on ChebCB has cost less than {label(LAWS[law].reference)}",
            f"{THEIRS}; within a tenth", contextual, str(CROSSINGS[law]),
            partial(crossing, law), _near(CROSSINGS[law], 0.1), "instances",
        ),
        _claim(
            "chebcb-speed-up", law, "Gauss-Seidel takes this many times the iterations of ChebCB",
            f"{THEIRS}; within 3 %", contextual, f"{_speed(law, CHEB):.2f}",
            at_full_length(partial(speed_up, law, CHEB)), _near(_speed(law, CHEB), 0.03),
        ),
        _claim(
            "tsallis-speed-up", law,
            "Gauss-Seidel takes this many times the iterations of Tsallis-INF",
            f"{THEIRS}; within 3 %", learning, f"{_speed(law, TSALLIS):.2f}",
            at_full_length(partial(speed_up, law, TSALLIS)), _near(_speed(law, TSALLIS), 0.03),
        ),
        _claim(
            "learning-ranking", law, f"Costs over 5,000 instances: {_named(LEARNING_ORDER[law])}",
            f"paper, Figure 5; {THEIRS}", learning, "smallest step above 0",
            at_full_length(partial(least_step, law, LEARNING_ORDER[law])), above_0, "iterations",
        ),
        _claim(
            "root-finder-mean", law, "With the published root finder Tsallis-INF costs the same",
            f"{THEIRS}; within 5 %", "root_finder", "ratio 1",
            at_full_length(partial(mean_ratio, law, PUBLISHED, TSALLIS)), (0.95, 1.05),
        ),
        _claim(
            "root-finder-spread", law,
            "and the standard deviation over trials is about 4 times as large",
            f"{THEIRS}; region ours", "root_finder", "about 4",
            at_full_length(partial(spread_of, law, PUBLISHED, TSALLIS)), (2.5, 6.0),
        ),
        _claim(
            "root-finder-mean-binned", law, "With it Tsallis-INF-CB costs no more",
            f"{THEIRS}", "root_finder", "ratio below 1",
            at_full_length(partial(mean_ratio, law, BINNED_PUBLISHED, BINNED)), (0.0, 1.0),
        ),
        _claim(
            "root-finder-spread-binned", law, "but its standard deviation is larger",
            f"{THEIRS}", "root_finder", "ratio above 1",
            at_full_length(partial(spread_of, law, BINNED_PUBLISHED, BINNED)), (1.0, math.inf),
        ),
        _claim(
            "context-pays", law, "ChebCB costs less than any learner that is blind to the context",
            "our expectation", "beyond", "difference above 0",
            at_full_length(partial(least_gain, law, CHEB, [TSALLIS, *BLIND])), above_0,
            "iterations",
        ),
        _claim(
            "tsallis-exponent", law,
            "Regret of Tsallis-INF to the best fixed ω grows as T^(2/3) at most",
            "paper, Theorem 2.1", "regret_growth", "at most 2/3",
            at_full_length(partial(rates.exponent, rates.tsallis_regret, law)),
            (-math.inf, 2 / 3),
        ),
        _claim(
            "chebcb-exponent", law, "Regret of ChebCB to ω*(c) grows as T^(9/11) at most",
            "paper, Section 2.3", "regret_growth", "at most 9/11",
            at_full_length(partial(rates.exponent, rates.chebyshev_regret, law)),
            (-math.inf, 9 / 11),
        ),
    ]  # fmt: skip


CLAIMS = tuple(claim for law in LAWS for claim in _claims(law))
