"""Regret curves in four problems: half of the seeds choose every algorithm's setting, the other
half are shown."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from ...core import plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, growth_exponent, mean, ratio_of_means
from ...core.study import Study
from ...envs import mdp_hard_instances, mdp_instances
from ...envs.linear_mdp import LinearMDP
from ..growth import Data
from ..paper import Figure, Scale
from .players import (
    ALGORITHMS,
    LANGEVIN,
    PERTURBED,
    PLUS,
    RANDOM,
    UCB,
    WHAT,
    chosen,
    grid,
    measured,
    settings_in,
)

SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 16, "paper": 48}


class Problem(NamedTuple):
    name: str
    title: str
    episodes: int  # at paper scale
    build: type | object


PROBLEMS = (
    Problem("river_swim", "RiverSwim, 6 states, 20 stages", 5000, mdp_instances.river_swim),
    Problem(
        "low_rank", "Low rank: 20 states, 5 actions, d = 6, 10 stages", 8192,
        partial(mdp_instances.periodic_low_rank, 20, 5, 6, 10),
    ),
    Problem(
        "lock", "Combination lock, 10 stages, 4 actions", 4000,
        partial(mdp_hard_instances.combination_lock, 10, 4),
    ),
    Problem("windy", "Windy DeepSea of size 8", 4000, partial(mdp_instances.deep_sea, 8, True)),
)  # fmt: skip


def looks(last: int, per_decade: int = 12) -> tuple[int, ...]:
    """Episodes at which to look, log-spaced from 10 on."""
    count = max(2, round(np.log10(last / 10) * per_decade) + 1)
    return tuple(np.unique(np.rint(np.geomspace(min(10, last), last, count)).astype(int)).tolist())


def _studies(problem: Problem, scale: Scale) -> list[Study]:
    episodes = {"smoke": 24, "quick": 1000, "paper": problem.episodes}[scale]
    cells = grid({"smoke": 3, "quick": 2, "paper": 1}[scale])
    env: LinearMDP = problem.build()  # pyright: ignore[reportCallIssue]
    return [
        Study(problem.name, {problem.name: env}, cells, episodes, SEEDS[scale], looks(episodes))
    ]


# ---- pictures ------------------------------------------------------------------------------


def _plot(problem: Problem, data: Data):
    drawn = plotting.figure(1, 2, width=6.0, height=4.4)
    curves, settings = drawn.axes
    episodes = data[problem.name].checkpoint.values
    for slot, algorithm in enumerate(ALGORITHMS):
        look = plotting.line_style(slot)
        best = chosen(data, problem.name, algorithm)
        value, low, high = mean(measured(data, problem.name, best))[:3]
        curves.plot(episodes, value, label=best, **look)
        curves.fill_between(episodes, np.maximum(low, 1e-3), high, color=look["color"], alpha=0.2)
        names = settings_in(data, problem.name, algorithm)
        xs = [float(name.rpartition(" ")[2]) for name in names]
        ends = np.stack([measured(data, problem.name, name)[-1] for name in names])
        value, low, high = mean(ends)[:3]
        label = f"{algorithm} ({WHAT[algorithm]})"
        settings.plot(xs, value, marker="o", ms=3, label=label, **look)
        settings.fill_between(xs, low, high, color=look["color"], alpha=0.2)
    curves.set(xscale="log", yscale="log", xlabel="episodes", ylabel="regret (sum of rewards)")
    curves.set_title(problem.title)
    curves.legend(fontsize="x-small")
    settings.set(xscale="log", yscale="log", xlabel="setting", title="every setting, at the end")
    settings.legend(fontsize="x-small")
    return drawn


# ---- claims --------------------------------------------------------------------------------


def _exponent(problem: str, algorithm: str, data: Data, level: float) -> Estimate:
    """Of regret in episodes, over the last tenfold."""
    values = measured(data, problem, chosen(data, problem, algorithm))
    episodes = data[problem].checkpoint.values.astype(float)
    late = episodes >= episodes[-1] / 10
    return growth_exponent(episodes[late], values[late], level)


def _ratio(problem: str, one: str, other: str, data: Data, level: float) -> Estimate:
    first, second = (measured(data, problem, chosen(data, problem, x))[-1] for x in (one, other))
    return ratio_of_means(first, second, level)


_SOURCES = {
    UCB: "Jin et al., COLT 2020, Theorem 3.1",
    PLUS: "He et al., ICML 2023, main theorem",
    RANDOM: "Zanette et al., AISTATS 2020 (a variant)",
    PERTURBED: "Ishfaq et al., ICML 2021",
    LANGEVIN: "Ishfaq et al., ICLR 2024",
}
_CAPTION = (
    "Left: the setting that does best on one half of the seeds, shown on the other half. Right: "
    "every setting of every algorithm, on that other half. Bands are 95 % t intervals; lambda is "
    "1, of LSVI-UCB++ 1 / H^2, which knows the mean rewards, as its paper has it: the others learn "
    "them."
)
FIGURES = tuple(
    Figure(
        problem.name, problem.title, partial(_studies, problem), partial(_plot, problem), _CAPTION
    )
    for problem in PROBLEMS
)
CLAIMS = (
    *(
        Claim(
            f"{problem.name}-{algorithm.lower().replace('+', 'p')}-rate",
            f"{problem.title}: the regret of {algorithm}, tuned, grows no faster than sqrt(K)",
            source, problem.name, "exponent at most 1/2 (and logs)",
            partial(_exponent, problem.name, algorithm), (-np.inf, 0.5),
        )
        for problem in PROBLEMS
        for algorithm, source in _SOURCES.items()
    ),
    *(
        Claim(
            f"{problem.name}-plus", f"{problem.title}: LSVI-UCB++, which knows the rewards, has "
            "less regret than LSVI-UCB, both tuned",
            "our reading of He et al.: d sqrt(H^3 K) against sqrt(d^3 H^4 K)",
            problem.name, "ratio below 1", partial(_ratio, problem.name, PLUS, UCB), (0.0, 1.0),
        )
        for problem in PROBLEMS
    ),
    *(
        Claim(
            f"{problem.name}-noise", f"{problem.title}: RLSVI has less regret than LSVI-UCB, both "
            "tuned", "our addition", problem.name, "ratio below 1",
            partial(_ratio, problem.name, RANDOM, UCB), (0.0, 1.0),
        )
        for problem in PROBLEMS
    ),
)  # fmt: skip
