"""How many online episodes offline data save, with dynamics: low rank, and RiverSwim."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, mean, ratio_of_means
from ...core.study import Study
from ...envs.linear_mdp import LinearMDP
from ...envs.mdp_instances import periodic_low_rank, river_swim
from ...envs.mdp_values import best_policy, optimal_values
from ...envs.offline_mdp import OfflineData
from ...envs.offline_mdp_sets import expert_data, uniform_data
from ..growth import Data
from ..paper import Figure, Scale
from .common import Estimating, Prefix, looks, needed

PEDEL, UCB, RANDOM, PEVI = "FTPedel", "LSVI-UCB", "RLSVI", "LinPEVI"
POLICIES = 32  # of the class of FTPedel
EPISODES: dict[Scale, int] = {"smoke": 20, "quick": 500, "paper": 1000}
SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 16, "paper": 104}
AMOUNTS: dict[Scale, tuple[int, ...]] = {
    "smoke": (0, 10), "quick": (0, 100, 1000), "paper": (0, 30, 100, 300, 1000),
}  # fmt: skip


class Problem(NamedTuple):
    name: str
    title: str
    epsilon: float
    build: Callable[[], LinearMDP]


PROBLEMS = (
    Problem(
        "low_rank", "Low rank: 10 states, d = 3", 0.2,
        partial(periodic_low_rank, 10, 4, 3, 5),
    ),
    Problem("river_swim", "RiverSwim: 4 states", 0.2, partial(river_swim, 4, 10, "coins")),
)  # fmt: skip
DATA: dict[str, Callable[[LinearMDP, int], OfflineData]] = {
    "uniform": uniform_data,
    "expert": expert_data,
}


def policy_class(env: LinearMDP) -> np.ndarray:
    """Greedy policies of Q* with normal noise of deviation 0.1 to 3; the first without. [P, ...]"""
    rng, values = np.random.default_rng(0), optimal_values(env.transitions, env.rewards)[0]
    sizes = np.append(0, np.geomspace(0.1, 3, POLICIES - 1))
    found = [best_policy(values + size * rng.normal(size=values.shape)) for size in sizes]
    return np.asarray(found, np.float32)


def _players(env: LinearMDP, epsilon: float, data: Prefix) -> dict[str, Any]:
    return {
        PEDEL: learners.FTPedel(policy_class(env), epsilon, offline=data),
        UCB: Estimating(offline=data),
        RANDOM: learners.RLSVI(0.5, offline=data),
        PEVI: learners.LinPEVI(data),
    }


def _studies(scale: Scale) -> list[Study]:
    last, most, found = EPISODES[scale], max(AMOUNTS[scale]), []
    for problem in PROBLEMS:
        env = problem.build()
        for kind, collect in DATA.items():
            whole = collect(env, most)
            for amount in AMOUNTS[scale]:
                if amount == 0 and kind != "uniform":  # no data are no data
                    continue
                players = _players(env, problem.epsilon, Prefix(whole, amount))
                name = f"{problem.name}, {kind}, n={amount}"
                found.append(
                    Study(name, {problem.name: env}, players, last, SEEDS[scale], looks(last))
                )
    return found


def _needed(problem: Problem, kind: str, learner: str, data: Data):
    """Offline episodes, and online ones, [amount, seed]."""
    rows = [(0, data[f"{problem.name}, uniform, n=0"])]
    rows += [
        (int(name.partition(", n=")[2]), dataset)
        for name, dataset in data.items()
        if name.startswith(f"{problem.name}, {kind}, ") and not name.endswith("n=0")
    ]
    rows = sorted((n, needed(dataset, learner, problem.epsilon)) for n, dataset in rows)
    return np.array([n for n, _ in rows], float), np.stack([x for _, x in rows])


def _plot(data: Data):
    drawn = plotting.figure(2, 2, width=4.6, height=3.5)
    panels = [(problem, kind) for problem in PROBLEMS for kind in DATA]
    for ax, (problem, kind) in zip(drawn.axes, panels, strict=True):
        for slot, learner in enumerate((PEDEL, UCB, RANDOM, PEVI)):
            amounts, values = _needed(problem, kind, learner, data)
            value, low, high = mean(values)[:3]
            look = plotting.line_style(slot)
            ax.plot(amounts, value, marker="o", ms=3, label=learner, **look)
            floor = np.maximum(low, np.asarray(value) / 10)  # a logarithmic axis has no zero
            ax.fill_between(amounts, floor, high, color=look["color"], alpha=0.2, lw=0)
        ax.set_xscale("symlog", linthresh=10)
        ax.set(yscale="log", title=f"{problem.title}; {kind} data", xlabel="offline episodes")
    for ax in drawn.axes[::2]:
        ax.set_ylabel("online episodes needed")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return drawn


# ---- claims --------------------------------------------------------------------------------


def _saved(problem: Problem, kind: str, learner: str, data: Data, level: float) -> Estimate:
    """With most offline data, over without."""
    _, values = _needed(problem, kind, learner, data)
    return ratio_of_means(values[-1], values[0], level)


def _against_offline(problem: Problem, amount: int, data: Data, level: float) -> Estimate:
    """Of simple regret: LSVI-UCB's from a warm start, at the end, over LinPEVI's; with so much
    offline data, or the next less that there is."""
    amounts, _ = _needed(problem, "uniform", PEVI, data)
    dataset = data[f"{problem.name}, uniform, n={int(amounts[amounts <= amount][-1])}"]
    found = dataset.simple_regret.isel(environment=0, checkpoint=-1)
    warm, offline = (found.sel(learner=name).values.astype(float) for name in (UCB, PEVI))
    return ratio_of_means(warm, offline, level)


_SOURCE = "Wagenmaker and Pacchiano, ICML 2023 (abstract)"
FIGURES = (
    Figure(
        "coverage", "Online episodes needed, by offline data", _studies, _plot,
        f"Until the recommended policy stays epsilon-optimal (epsilon = 0.2), counted to the next "
        f"of 12 looks a decade and at most to the end of the runs (1,000 episodes at paper scale), "
        f"where it stands for never. LinPEVI learns offline alone: it needs 1 or never. No offline "
        f"data is online alone. FTPedel chooses among {POLICIES} policies, the best of which is "
        f"optimal, and does not know the model. Bands are 95 % t intervals.",
    ),
)  # fmt: skip
CLAIMS = tuple(
    Claim(
        f"coverage-{problem.name}-{name.lower()}", f"{problem.title}: {name} needs fewer online "
        "episodes with uniform offline data than without data", _SOURCE, "coverage",
        "ratio at most 0.9", partial(_saved, problem, "uniform", name), (0.0, 0.9),
    )
    for problem in PROBLEMS
    for name in (PEDEL, UCB, RANDOM)
) + (
    Claim(
        "coverage-offline", "RiverSwim: where 100 uniform episodes are not enough for LinPEVI, "
        "online episodes on top of them make up for it", _SOURCE, "coverage",
        "ratio of simple regrets at most 0.9", partial(_against_offline, PROBLEMS[1], 100),
        (0.0, 0.9),
    ),
)  # fmt: skip
