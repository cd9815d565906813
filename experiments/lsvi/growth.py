"""Regret in the number of episodes on the lower bound's instances, and in the dimension."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, growth_exponent, mean
from ...core.study import Study
from ...envs.mdp_hard_instances import hard_instance
from ...envs.mdp_instances import random_low_rank
from ..growth import Data
from ..paper import Figure, Scale
from .players import LANGEVIN, PERTURBED, PLUS, RANDOM, UCB

EPISODES: dict[Scale, tuple[int, ...]] = {
    "smoke": (64, 128), "quick": (256, 1024, 4096), "paper": tuple(2**k for k in range(8, 15)),
}  # fmt: skip
DIMENSIONS: dict[Scale, tuple[int, ...]] = {
    "smoke": (2, 4), "quick": (3, 6, 12), "paper": (3, 4, 6, 8, 12, 16),
}  # fmt: skip
_HORIZON: dict[Scale, int] = {"smoke": 64, "quick": 1000, "paper": 4096}  # of the dimensions
SEEDS: dict[Scale, int] = {"smoke": 8, "quick": 16, "paper": 96}  # of the hard instances
_D, _STAGES = 4, 6
INSTANCES = 4  # MDPs a dimension, drawn
UNIFORM = "uniform play"


def _players() -> dict[str, object]:
    return {
        UCB: learners.LSVIUCB(bonus=0.3),
        PLUS: learners.LSVIUCBPlusPlus(bonus_scale=0.003),
        RANDOM: learners.RLSVI(sigma=0.3),
        PERTURBED: learners.LSVIPHE(sigma=0.3),
        LANGEVIN: learners.LMCLSVI(temperature=0.18),
    }


def _hard_studies(scale: Scale) -> list[Study]:
    return [
        Study(
            f"K={k}", {"hard": hard_instance(_D, _STAGES, k, seed=0)}, _players(), k, SEEDS[scale],
            (k,),
        )
        for k in EPISODES[scale]
    ]  # fmt: skip


def _dimension_studies(scale: Scale) -> list[Study]:
    k = _HORIZON[scale]
    return [
        Study(
            f"d={d}",
            {f"draw {i}": random_low_rank(30, 5, d, 5, seed=i) for i in range(INSTANCES)},
            _players(), k, SEEDS[scale] // INSTANCES, (k,),
        )
        for d in DIMENSIONS[scale]
    ]  # fmt: skip


def _by_number(learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """The numbers in the studies' names, and regret at the end [number, seed], averaged over the
    instances."""
    rows = []
    for name, dataset in data.items():
        ends = dataset.regret.isel(checkpoint=-1).sel(learner=learner)
        values = ends.transpose("environment", "seed").values.astype(float)
        rows.append((int(name[2:]), values.mean(axis=0)))
    rows.sort(key=lambda row: row[0])
    return np.array([x for x, _ in rows], float), np.stack([values for _, values in rows])


def _draw(ax, data: Data, guides: dict[str, float], xlabel: str) -> None:
    for slot, name in enumerate(_players()):
        xs, values = _by_number(name, data)
        value, low, high = mean(values)[:3]
        look = plotting.line_style(slot)
        ax.plot(xs, value, marker="o", ms=3, label=name, **look)
        ax.fill_between(xs, np.maximum(low, value / 10), high, color=look["color"], alpha=0.2, lw=0)
    xs, values = _by_number(UCB, data)
    for (name, power), dots in zip(guides.items(), (":", "-."), strict=False):
        ax.plot(xs, values[0].mean() * (xs / xs[0]) ** power, dots, color="0.4", label=name)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="regret (sum of rewards)")
    ax.legend(fontsize="small")


def _plot_hard(data: Data):
    drawn = plotting.figure(width=6.0, height=4.2)
    ax = drawn.axes[0]
    _draw(ax, data, {"square root": 0.5}, "episodes K, which the instance is made for")
    episodes = np.array(sorted(int(name[2:]) for name in data), float)
    ax.plot(episodes, [_uniform_regret(int(k)) for k in episodes], "--", color="k", label=UNIFORM)
    ax.legend(fontsize="small")
    return drawn


def _plot_dimension(data: Data):
    drawn = plotting.figure(width=6.0, height=4.2)
    _draw(drawn.axes[0], data, {"d": 1.0, "d^(3/2)": 1.5}, "dimension d")
    return drawn


def _uniform_regret(episodes: int) -> float:
    """Of play at random, in closed form: the goal is reached with chance 1/H, not 1/H + (d-1) D."""
    lean = (_D - 1) * np.sqrt(1 / (_STAGES * episodes)) / (4 * np.sqrt(2))
    h = np.arange(1, _STAGES + 1)
    best, plain = (
        np.sum((1 - p) ** (h - 1) * p * (_STAGES - h)) for p in (1 / _STAGES + lean, 1 / _STAGES)
    )
    return float(episodes * (best - plain))


def _exponent(learner: str, data: Data, level: float) -> Estimate:
    return growth_exponent(*_by_number(learner, data), level)


def _share_of_uniform(learner: str, data: Data, level: float) -> Estimate:
    """Regret on the instance for the most episodes, over that of play at random."""
    episodes, values = _by_number(learner, data)
    worst = _uniform_regret(int(episodes[-1]))
    return mean(values[-1], level=level).map(lambda x: x / worst)


_LOWER = "Zhou et al., COLT 2021, lower bound d sqrt(H^3 K)"
_POWERS = {UCB: (1.5, "d^(3/2)", "Jin et al., COLT 2020, Theorem 3.1"),
           PLUS: (1.0, "d", "He et al., ICML 2023, main theorem"),
           RANDOM: (2.0, "d^2", "Zanette et al., AISTATS 2020"),
           PERTURBED: (1.5, "d^(3/2)", "Ishfaq et al., ICML 2021"),
           LANGEVIN: (1.5, "d^(3/2)", "Ishfaq et al., ICLR 2024")}  # fmt: skip
FIGURES = (
    Figure(
        "hard", "The lower bound's instances", _hard_studies, _plot_hard,
        f"d = {_D}, H = {_STAGES}; signs drawn once. Each point has an instance of its own, made "
        "for that many episodes. Dashed: regret of playing at random, in closed form. Bands are "
        "95 % t intervals.",
    ),
    Figure(
        "dimension", "Regret and dimension", _dimension_studies, _plot_dimension,
        f"Random low rank, 30 states, 5 actions, 5 stages; at paper scale after 4,096 episodes; "
        f"means over {INSTANCES} draws of the MDP and all seeds. With d the features of such MDPs "
        "concentrate and gaps shrink: regret falls. Bands are 95 % t intervals over seeds.",
    ),
)  # fmt: skip
CLAIMS = (
    *(
        Claim(
            f"hard-{name.lower().replace('+', 'p')}",
            f"On the instances made against it, the regret of {name} grows as sqrt(K), not slower",
            _LOWER, "hard", "exponent at least 1/2; 0.45 to 0.55, ours", partial(_exponent, name),
            (0.45, 0.55),
        )
        for name in _POWERS
    ),
    *(
        Claim(
            f"hard-{name.lower().replace('+', 'p')}-share",
            f"{name} does not escape: it keeps a tenth of the regret of play at random",
            _LOWER, "hard", "ratio at least 0.1, ours", partial(_share_of_uniform, name),
            (0.1, np.inf),
        )
        for name in _POWERS
    ),
    *(
        Claim(
            f"dimension-{name.lower().replace('+', 'p')}",
            f"The regret of {name} grows no faster than {what}", source, "dimension",
            f"exponent at most {power:g}", partial(_exponent, name), (-np.inf, power),
        )
        for name, (power, what, source) in _POWERS.items()
    ),
)  # fmt: skip
