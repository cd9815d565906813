"""How the error of DP-BAI falls, and what budget, gap, privacy and phases trade for.

Figures of `private_best_arm` that the paper does not have: its theory put to the test.
"""

from __future__ import annotations

import math

import numpy as np

from .. import envs
from ..core import learners, plotting
from ..core.complexity import dp_bai_bound
from ..core.statistics import Estimate, paired_difference, smallest, split_level
from ..core.study import Study
from .identification import Data, at_budgets, curve, draw, errors, names_of, rate, row, study
from .paper import Scale

RUNS: dict[Scale, tuple[int, int]] = {  # (others, tails)
    "smoke": (400, 2000),
    "quick": (4000, 10_000),
    "paper": (40_000, 200_000),
}

# ---- how the error falls -------------------------------------------------------------------

TAIL_BUDGETS = (500, 1000, 1500, 2000)
FREE = "no privacy"


def _tail_players() -> dict:
    private = {f"epsilon = {e:g}": learners.DPBAI(epsilon=e) for e in (0.1, 0.3)}
    return {FREE: learners.DPBAI(epsilon=math.inf), **private}


def tail_studies(scale: Scale) -> list[Study]:
    environments = at_budgets(envs.dp_bai_grid(), TAIL_BUDGETS)
    return [study("tail", environments, _tail_players(), RUNS[scale][1])]


def _bound(learner: str, budget: int) -> float:
    """The paper's upper bound on the error; one phase."""
    epsilon = math.inf if learner == FREE else float(learner.split("= ")[1])
    arms = envs.dp_bai_grid()
    return dp_bai_bound(arms.means, arms.dimension or 1, budget, epsilon, 1)


def plot_tail(data: Data):
    drawn = plotting.figure(1, 1, width=6.2, height=4.2)
    ax = drawn.axes[0]
    dataset = data["tail"]
    for slot, name in enumerate(dataset.learner.values):
        draw(ax, TAIL_BUDGETS, curve(dataset, name, dataset.environment.values), name, slot)
        bound = [_bound(name, t) for t in TAIL_BUDGETS]
        ax.plot(TAIL_BUDGETS, bound, ":", color=plotting.COLOURS[slot], linewidth=1.2)
    ax.plot([], [], ":", color="0.3", label="upper bound of Theorem 1")
    ax.set(xlabel="budget T (pulls)", ylabel="error probability", yscale="log")
    ax.legend(fontsize="small", loc="lower left")
    return drawn


def over_bound(data: Data, level: float) -> Estimate:
    """Largest ratio of the error probability to its upper bound."""
    dataset, ratios = data["tail"], []
    split = split_level(level, len(TAIL_BUDGETS) * dataset.sizes["learner"])
    for name in dataset.learner.values:
        for budget, environment in zip(TAIL_BUDGETS, dataset.environment.values, strict=True):
            bound = _bound(name, budget)
            ratios.append([x / bound for x in row(rate(dataset, environment, name, split))])
    value, low, high = np.array(ratios).max(axis=0)
    return Estimate(value, low, high, level)


def slopes(learner: str, data: Data, level: float) -> Estimate:
    """How much the error falls in log from T = 500 to 1000, over that from 1000 to 1500: one, when
    it falls exponentially. The interval takes each of three intervals at its worst end."""
    split = split_level(level, 3)
    names = names_of(data["tail"])
    logs = [np.log(row(rate(data["tail"], name, learner, split))) for name in names[:3]]
    (a, a_low, a_high), (b, b_low, b_high), (c, c_low, c_high) = logs
    late_low, late_high = max(b_low - c_high, 1e-9), b_high - c_low
    low = (a_low - b_high) / late_high
    return Estimate((a - b) / (b - c), max(low, 0.0), (a_high - b_low) / late_low, level)


# ---- what budget, gap and epsilon trade for ------------------------------------------------

PRIVACY_ONLY = 0.02  # so small an epsilon that privacy is what costs, in the settings below


def family(gap: float) -> envs.Arms:
    """The paper's instance with any gap: means 1/2 - gap c_i, c = 0, 1, 1, then 1.2 to 8. Arms of
    halved gap have all gaps halved."""
    c = np.linspace(1.2, 8, 27)
    first = 0.05 - gap / 10
    weights = 2 * (0.5 - first - gap * c)
    features = np.concatenate(
        [[[0, 1], [0, 1 - 2 * gap], [10, 0]], np.stack([np.ones(27), weights], axis=1)]
    )
    return envs.linear_arms(features, [first, 0.5], law="uniform")


TRADES = {  # name: (gap, budget, epsilon), and the same with a half gap or epsilon
    "gap, no privacy": ((0.05, 250, math.inf), (0.025, 1000, math.inf)),
    "gap, privacy": ((0.05, 4000, PRIVACY_ONLY), (0.025, 8000, PRIVACY_ONLY)),
    "epsilon": ((0.05, 4000, PRIVACY_ONLY), (0.05, 8000, PRIVACY_ONLY / 2)),
}


def _label(gap: float, budget: int, epsilon: float) -> str:
    return f"gap {gap:g}, T = {budget}, epsilon {epsilon:g}"


def trade_studies(scale: Scale) -> list[Study]:
    settings = dict.fromkeys(setting for pair in TRADES.values() for setting in pair)
    return [
        study(
            _label(gap, budget, epsilon),
            {"family": envs.BestArm(family(gap), budget)},
            {"DP-BAI": learners.DPBAI(epsilon=epsilon)},
            RUNS[scale][0],
        )
        for gap, budget, epsilon in settings
    ]


def plot_trades(data: Data):
    drawn = plotting.figure(1, 1, width=7.2, height=3.6)
    ax = drawn.axes[0]
    labels = []
    for place, (name, pair) in enumerate(TRADES.items()):
        for k, setting in enumerate(pair):
            value, low, high = row(rate(data[_label(*setting)], "family", "DP-BAI"))
            y = 3 * place + k
            look = {"color": plotting.COLOURS[place], "markersize": 5, "capsize": 3}
            ax.errorbar(value, y, xerr=[[value - low], [high - value]], fmt="o", **look)
            labels.append((y, f"{name}: {_label(*setting)}"))
    ax.set_yticks([y for y, _ in labels], [text for _, text in labels], fontsize="small")
    ax.invert_yaxis()
    ax.set(xlabel="error probability")
    return drawn


def trade(name: str, data: Data, level: float) -> Estimate:
    """Error in the second setting of a pair less that in the first."""
    first, second = (errors(data[_label(*s)], "family", "DP-BAI") for s in TRADES[name])
    return paired_difference(second, first, level)


# ---- several phases ------------------------------------------------------------------------

GRID_BUDGETS, GRID_EPSILONS = (500, 2000), (0.1, 1.0)


def _grid_players() -> dict:
    return {
        f"{name}, {e:g}": player
        for e in GRID_EPSILONS
        for name, player in {
            "DP-BAI": learners.DPBAI(epsilon=e),
            "DP-BAI, schedule V1": learners.DPBAI(epsilon=e, variant="V1"),
            "Baseline": learners.DPBAI(epsilon=e, max_det=False),
            "DP-OD": learners.DPOD(epsilon=e),
        }.items()
    }


def grid_studies(scale: Scale) -> list[Study]:
    environments = at_budgets(envs.grid27(), GRID_BUDGETS)
    seeds = RUNS[scale][0] // 4
    return [
        study(name, environments, {name: player}, seeds) for name, player in _grid_players().items()
    ]


def plot_grid(data: Data):
    drawn = plotting.figure(1, len(GRID_BUDGETS), width=4.6, height=3.8)
    for ax, budget in zip(drawn.axes, GRID_BUDGETS, strict=True):
        names = [name.rsplit(",", 1)[0] for name in _grid_players() if name.endswith(", 1")]
        for slot, name in enumerate(names):
            players = [f"{name}, {e:g}" for e in GRID_EPSILONS]
            values = np.array([row(rate(data[x], f"T = {budget}", x)) for x in players]).T
            draw(ax, GRID_EPSILONS, values, name, slot, flip=True)
        ax.set(title=f"T = {budget}", xscale="log", xlabel="epsilon", ylim=(0, 1))
    drawn.axes[0].set_ylabel("probability of the best arm")
    drawn.axes[1].legend(fontsize="small", loc="lower right")
    return drawn


def grid_advantage(loser: str, data: Data, level: float) -> Estimate:
    cells = [(f"T = {t}", e) for t in GRID_BUDGETS for e in GRID_EPSILONS]
    split = split_level(level, len(cells))
    gains = [
        paired_difference(
            errors(data[f"{loser}, {e:g}"], t, f"{loser}, {e:g}"),
            errors(data[f"DP-BAI, {e:g}"], t, f"DP-BAI, {e:g}"),
            split,
        )
        for t, e in cells
    ]
    return smallest(gains)._replace(level=level)
