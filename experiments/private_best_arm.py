"""Chen et al., "Fixed-budget differentially private best arm identification", ICLR 2024.

No code of the authors is public. The instance, the policy and the success rates are the paper's;
parts of the schedule, the rounding of pulls and the noise of DP-OD are reconstructions that the
published curves confirm (where they can tell: with 30 arms in 2 dimensions there is one phase).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .. import envs
from ..core import learners, plotting
from ..core.claims import Claim
from ..core.statistics import Estimate, paired_difference, proportion, smallest, split_level
from ..core.study import Study
from . import private_scaling as scaling
from .identification import (
    Data,
    at_budgets,
    curve,
    draw,
    errors,
    excess_distance,
    mean_difference,
    names_of,
    rate,
    row,
    stacked,
    study,
)
from .paper import Figure, Paper, Scale

RUNS: dict[Scale, int] = {"smoke": 400, "quick": 4000, "paper": 40_000}
BUDGETS = tuple(range(50, 501, 50))
EPSILONS = (0.1, 0.3)
# The success rates of the paper's figure, 1,000 trials a point (the number of trials is inferred:
# all are multiples of 0.001).
TRIALS = 1000
PUBLISHED = {
    "OD-LinBAI": (0.743, 0.827, 0.855, 0.886, 0.928, 0.938, 0.959, 0.963, 0.968, 0.977),
    "DP-BAI, 0.1": (0.520, 0.540, 0.594, 0.619, 0.626, 0.688, 0.717, 0.717, 0.727, 0.772),
    "DP-OD, 0.1": (0.465, 0.491, 0.507, 0.518, 0.504, 0.522, 0.528, 0.527, 0.520, 0.522),
    "Baseline, 0.1": (0.024, 0.040, 0.039, 0.039, 0.040, 0.037, 0.046, 0.043, 0.043, 0.049),
    "DP-BAI, 0.3": (0.590, 0.663, 0.692, 0.765, 0.791, 0.821, 0.844, 0.897, 0.923, 0.913),
    "DP-OD, 0.3": (0.478, 0.528, 0.516, 0.515, 0.521, 0.567, 0.556, 0.578, 0.594, 0.605),
    "Baseline, 0.3": (0.044, 0.045, 0.041, 0.052, 0.050, 0.050, 0.078, 0.063, 0.072, 0.103),
}  # fmt: skip


# ---- the paper's figure --------------------------------------------------------------------


def _private(epsilon: float) -> dict:
    return {
        f"DP-BAI, {epsilon:g}": learners.DPBAI(epsilon=epsilon, rounding="paper"),
        f"DP-OD, {epsilon:g}": learners.DPOD(epsilon=epsilon),
        f"Baseline, {epsilon:g}": learners.DPBAI(epsilon=epsilon, rounding="paper", max_det=False),
    }


def _curve_studies(scale: Scale) -> list[Study]:
    players = {"OD-LinBAI": learners.ODLinBAI(), **_private(0.1), **_private(0.3)}
    environments = at_budgets(envs.DPBAIPaper(), BUDGETS)
    return [study("success", environments, players, RUNS[scale])]


def _plot_curves(data: Data):
    dataset = data["success"]
    drawn = plotting.figure(1, len(EPSILONS), width=4.8, height=4.0)
    for ax, epsilon in zip(drawn.axes, EPSILONS, strict=True):
        names = ["OD-LinBAI", *(name for name in PUBLISHED if name.endswith(f" {epsilon:g}"))]
        for slot, name in enumerate(names):
            values = curve(dataset, name, dataset.environment.values)
            draw(ax, BUDGETS, values, name.split(",")[0], slot, flip=True)
            ax.plot(BUDGETS, PUBLISHED[name], "x", color="0.25", markersize=4, zorder=3)
        ax.plot([], [], "x", color="0.25", markersize=4, label="published, 1,000 trials")
        ax.set(title=f"epsilon = {epsilon:g}", xlabel="budget T (pulls)", ylim=(0, 1))
    drawn.axes[0].set_ylabel("probability of recommending the best arm")
    drawn.axes[1].legend(fontsize="small", loc="center right", bbox_to_anchor=(1, 0.33))
    return drawn


def _to_published(learner: str, data: Data, level: float) -> Estimate:
    theirs = 1 - np.array(PUBLISHED[learner])
    ours = stacked(data["success"], learner, names_of(data["success"]))
    return mean_difference(ours, list(theirs), TRIALS, level)


def _from_published(data: Data, level: float) -> Estimate:
    """Over all policies and budgets together."""
    theirs = [1 - p for values in PUBLISHED.values() for p in values]
    names = names_of(data["success"])
    ours = np.concatenate([stacked(data["success"], policy, names) for policy in PUBLISHED])
    return excess_distance(ours, theirs, TRIALS, level)


def _least_advantage(winner: str, loser: str, data: Data, level: float) -> Estimate:
    """Error of `loser` less that of `winner`, at the budget where it is smallest."""
    names = names_of(data["success"])
    split = split_level(level, len(names))
    gains = [
        paired_difference(
            errors(data["success"], name, loser), errors(data["success"], name, winner), split
        )
        for name in names
    ]
    return smallest(gains)._replace(level=level)


# ---- epsilon -------------------------------------------------------------------------------

SWEEP = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def _sweep_studies(scale: Scale) -> list[Study]:
    players: dict[str, Any] = {f"{e:g}": learners.DPBAI(epsilon=e) for e in SWEEP}
    environments = {"T = 500": envs.BestArm(envs.DPBAIPaper(), 500)}
    return [
        study("epsilon", environments, {**players, scaling.FREE: learners.ODLinBAI()}, RUNS[scale])
    ]


def _plot_sweep(data: Data):
    drawn = plotting.figure(1, 1, width=6.0, height=3.8)
    ax, dataset = drawn.axes[0], data["epsilon"]
    values = np.array([row(rate(dataset, "T = 500", f"{e:g}")) for e in SWEEP]).T
    draw(ax, SWEEP, values, "DP-BAI", 0, flip=True)
    ceiling = 1 - row(rate(dataset, "T = 500", scaling.FREE))[0]
    ax.axhline(ceiling, color="0.4", linestyle="--", linewidth=1, label="OD-LinBAI, no privacy")
    ax.set(xscale="log", xlabel="epsilon", ylabel="probability of the best arm", ylim=(0, 1))
    ax.legend(fontsize="small", loc="lower right")
    return drawn


def _ceiling(data: Data, level: float) -> Estimate:
    """Error of DP-BAI at the largest epsilon less that of OD-LinBAI."""
    ours = errors(data["epsilon"], "T = 500", f"{SWEEP[-1]:g}")
    return paired_difference(ours, errors(data["epsilon"], "T = 500", scaling.FREE), level)


def _least_step(data: Data, level: float) -> Estimate:
    """Smallest loss of accuracy in one step of the sweep towards more privacy, up to epsilon 1."""
    steps = [e for e in SWEEP if e <= 1]
    wrong = [errors(data["epsilon"], "T = 500", f"{e:g}") for e in steps]
    split = split_level(level, len(steps) - 1)
    losses = [paired_difference(a, b, split) for a, b in zip(wrong[:-1], wrong[1:], strict=True)]
    return smallest(losses)._replace(level=level)


# ---- an audit ------------------------------------------------------------------------------

AUDIT_RUNS: dict[Scale, int] = {"smoke": 2000, "quick": 50_000, "paper": 400_000}
AUDITED = (0.1, 0.5, 1.0)


def _audit_tables() -> dict[str, envs.RewardTable]:
    """Two data sets that differ in one reward: the first of arm 1, 0 or 1. Arm 1 has 4 or 5 other
    rewards of 1 among the 24 that are read, arm 3 has 8: it is in the tail, where privacy is
    tightest, that arm 1 wins."""
    features = envs.dp_bai_grid().features
    table = np.zeros((len(features), 50))
    table[0, 1:5], table[2, :8] = 1, 1
    neighbour = table.copy()
    neighbour[0, 0] = 1
    return {
        "table": envs.RewardTable(table, features),
        "neighbour": envs.RewardTable(neighbour, features),
    }


def _audit_studies(scale: Scale) -> list[Study]:
    honest = {f"DP-BAI, {e:g}": learners.DPBAI(epsilon=e, rounding="paper") for e in AUDITED}
    # Twice the epsilon is half the noise: the mistake that an audit is there to find.
    wrong = {
        f"half the noise, {e:g}": learners.DPBAI(epsilon=2 * e, rounding="paper") for e in AUDITED
    }
    return [study("audit", _audit_tables(), honest | wrong, AUDIT_RUNS[scale])]


def _log_ratio(player: str, data: Data, level: float) -> Estimate:
    """Log of the probability that arm 1 is recommended on the neighbour, over that on the table."""
    split = split_level(level, 2)
    chosen = data["audit"]["recommended"].sel(learner=player).isel(checkpoint=-1)
    count = {name: int((chosen.sel(environment=name) == 0).sum()) for name in _audit_tables()}
    runs = chosen.sizes["seed"]
    (p, low, high), (q, q_low, q_high) = (
        row(proportion(count[name], runs, split)) for name in ("neighbour", "table")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.log(low / q_high), np.log(high / q_low)
        return Estimate(float(np.log(p / q)), float(ends[0]), float(ends[1]), level)


def _plot_audit(data: Data):
    drawn = plotting.figure(1, 1, width=6.0, height=4.0)
    ax = drawn.axes[0]
    for slot, kind in enumerate(("DP-BAI", "half the noise")):
        rows = np.array([row(_log_ratio(f"{kind}, {e:g}", data, 0.99)) for e in AUDITED]).T
        value, low, high = rows
        ax.errorbar(
            AUDITED, value, yerr=[value - low, high - value], fmt="o", capsize=3, label=kind,
            color=plotting.COLOURS[slot],
        )  # fmt: skip
    ax.plot([0, 1.05], [0, 1.05], "--", color="0.4", linewidth=1, label="what epsilon allows")
    ax.set(xlabel="epsilon that is claimed", ylabel="log-likelihood ratio of recommending arm 1")
    ax.legend(fontsize="small", loc="upper left")
    return drawn


# ---- the paper -----------------------------------------------------------------------------

FIGURES = (
    Figure(
        "success", "Success rates on the paper's instance", _curve_studies, _plot_curves,
        "30 arms in two dimensions, uniform rewards; crosses are the published rates. DP-OD: noise "
        "twice what privacy needs, which is what the published curve fits (a reconstruction). The "
        "published rates carry their own sampling error, which no number of our runs removes."
    ),
    Figure(
        "epsilon", "What privacy costs", _sweep_studies, _plot_sweep,
        "The paper's instance with 500 pulls: the probability of the best arm by epsilon."
    ),
    Figure(
        "tail", "The error falls exponentially", scaling.tail_studies, scaling.plot_tail,
        "The instance with fixed features, and the upper bound exp(-T / (65 M H)), M = 1: true by "
        "far at budgets of any practical size."
    ),
    Figure(
        "trades", "What budget, gap and epsilon trade for", scaling.trade_studies,
        scaling.plot_trades,
        "Without privacy half the gap needs four times the budget; where privacy is what costs, "
        "twice. Half the epsilon needs twice the budget. Pairs should coincide."
    ),
    Figure(
        "phases", "Several phases", scaling.grid_studies, scaling.plot_grid,
        "27 Bernoulli arms in four dimensions. The schedule of the phases is a reconstruction: "
        "both recollections of it (V2 is the default) are shown."
    ),
    Figure(
        "audit", "An audit of DP-BAI", _audit_studies, _plot_audit,
        "Two data sets that differ in one reward; 99 % intervals. A point whose interval lies "
        "above the line is a violation. An audit can refute privacy, never prove it."
    ),
)  # fmt: skip

_NEAR = (-0.02, 0.02)
_SOURCE = "the paper's figure of success rates"

CLAIMS = (
    *(
        Claim(
            f"mean-{name.lower().replace(', ', '-').replace('.', '')}",
            f"{name}: our error probability is the published one, on average over budgets",
            _SOURCE, "success", "difference 0", partial(_to_published, name), _NEAR,
        )
        for name in PUBLISHED
    ),
    Claim(
        "curves", "All curves together are the published ones, to 0.025 in root mean square",
        _SOURCE, "success", "distance 0", _from_published, (0.0, 0.025),
    ),
    *(
        Claim(
            f"beats-{loser.lower()}-{str(e).replace('.', '')}",
            f"DP-BAI errs less than {loser} at every budget, epsilon = {e:g}",
            _SOURCE, "success", "difference above 0",
            partial(_least_advantage, f"DP-BAI, {e:g}", f"{loser}, {e:g}"), (0.0, math.inf),
        )
        for loser in ("DP-OD", "Baseline")
        for e in EPSILONS
    ),
    Claim(
        "privacy-costs", "OD-LinBAI, without privacy, errs less than DP-BAI with epsilon = 0.3",
        _SOURCE, "success", "difference above 0",
        partial(_least_advantage, "OD-LinBAI", "DP-BAI, 0.3"), (0.0, math.inf),
    ),
    Claim(
        "epsilon-monotone", "Less privacy, fewer errors, in every step from 0.01 to 1",
        "H_pri is proportional to 1 / epsilon", "epsilon", "differences above 0",
        _least_step, (0.0, math.inf),
    ),
    Claim(
        "epsilon-ceiling", "With epsilon = 10 the error is that of OD-LinBAI without privacy",
        "H_pri vanishes", "epsilon", "difference 0", _ceiling, (-0.01, 0.01),
    ),
    Claim(
        "upper-bound", "The error is at most exp(-T / (65 M H)) at every budget and epsilon",
        "upper bound on the error (for budgets that are large enough)", "tail", "ratio at most 1",
        scaling.over_bound, (-math.inf, 1.0),
    ),
    *(
        Claim(
            f"exponential-{name.replace(' ', '-').replace('.', '').replace('=-', '')}",
            f"The error falls as fast from T = 1000 to 1500 as from 500 to 1000 ({name})",
            "error exp(-Omega(T / H))", "tail", "ratio of slopes 1",
            partial(scaling.slopes, name), (0.7, 1.4),
        )
        for name in ("epsilon = 0.1", "epsilon = 0.3", scaling.FREE)
    ),
    *(
        Claim(
            f"trade-{name.replace(', ', '-').replace(' ', '-')}", statement, source, "trades",
            "difference 0", partial(scaling.trade, name), (-0.015, 0.015),
        )
        for name, statement, source in (
            ("gap, no privacy", "Without privacy half the gap needs four times the budget",
             "H_BAI = max i / gap^2"),
            ("gap, privacy", "Where privacy dominates half the gap needs twice the budget",
             "H_pri = max i / (epsilon gap)"),
            ("epsilon", "Where privacy dominates half the epsilon needs twice the budget",
             "H_pri = max i / (epsilon gap)"),
        )
    ),
    *(
        Claim(
            f"phases-{loser.lower()}",
            f"With several phases, too, DP-BAI errs less than {loser}",
            "our expectation from the theory", "phases", "differences above 0",
            partial(scaling.grid_advantage, loser), (0.0, math.inf),
        )
        for loser in ("Baseline", "DP-OD")
    ),
    *(
        Claim(
            f"audit-{str(e).replace('.', '')}",
            f"An audit does not refute that DP-BAI is private, epsilon = {e:g}",
            "privacy of DP-BAI", "audit", f"at most {e:g}",
            partial(_log_ratio, f"DP-BAI, {e:g}"), (-e, e),
        )
        for e in AUDITED
    ),
    *(
        Claim(
            f"audit-mutant-{str(e).replace('.', '')}",
            f"The same audit finds a policy with half the noise, epsilon = {e:g}",
            "our check of the audit", "audit", f"above {e:g}",
            partial(_log_ratio, f"half the noise, {e:g}"), (e, math.inf),
        )
        for e in AUDITED
    ),
)  # fmt: skip

PAPER = Paper(
    "private_best_arm",
    "Fixed-Budget Differentially Private Best Arm Identification",
    "Zhirui Chen, P. N. Karthik, Yeow Meng Chee, Vincent Y. F. Tan, ICLR 2024 (arXiv 2401.09073)",
    "Success rates of DP-BAI, DP-OD and the Baseline against the published curves; how the error "
    "depends on budget, gap and epsilon; an audit of privacy. The schedule of phases and the noise "
    "of DP-OD are reconstructions.",
    FIGURES,
    CLAIMS,
)
