"""DeepSea: how many episodes it takes to find the one reward, as the sea gets deeper."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, growth_exponent, mean
from ...core.study import Study
from ...envs.mdp_instances import deep_sea
from ..growth import Data
from ..paper import Figure, Scale
from .players import LANGEVIN, PERTURBED, PLUS, RANDOM, UCB

SIZES: dict[Scale, tuple[int, ...]] = {
    "smoke": (3, 4), "quick": (6, 8, 10), "paper": (6, 8, 10, 12, 14, 17, 20),
}  # fmt: skip
EPISODES: dict[Scale, int] = {"smoke": 60, "quick": 2000, "paper": 10_000}
SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 16, "paper": 16}
SOLVED = 0.9  # of the episodes so far have been bad at most: bsuite's mark
LITTLE = "RLSVI, sigma 0.01"


def _players() -> dict[str, object]:
    """One setting for all sizes: rewards are certain, so little noise is enough."""
    return {
        UCB: learners.LSVIUCB(bonus=0.1),
        PLUS: learners.LSVIUCBPlusPlus(bonus_scale=0.003),
        RANDOM: learners.RLSVI(sigma=0.3),
        PERTURBED: learners.LSVIPHE(sigma=0.3),
        LANGEVIN: learners.LMCLSVI(temperature=0.18),
        LITTLE: learners.RLSVI(sigma=0.01),
    }


def _looks(last: int) -> tuple[int, ...]:
    """About 4 % apart."""
    return tuple(np.unique(np.geomspace(10, last, 180).astype(int)).tolist())


def _studies(scale: Scale) -> list[Study]:
    episodes = EPISODES[scale]
    return [
        Study(
            f"N={size}", {f"N={size}": deep_sea(size, seed=42)}, _players(), episodes,
            SEEDS[scale], _looks(episodes),
        )
        for size in SIZES[scale]
    ]  # fmt: skip


def solved_after(dataset, learner: str) -> np.ndarray:
    """The first look at which at most 0.9 of all that could be won was missed, [seed]; infinite
    where there is none."""
    regret = dataset.regret.isel(environment=0).sel(learner=learner)
    values = regret.transpose("checkpoint", "seed").values.astype(float)
    episodes = dataset.checkpoint.values.astype(float)
    there = values <= SOLVED * 0.99 * episodes[:, None]
    return np.where(there.any(axis=0), episodes[there.argmax(axis=0)], np.inf)


def _by_size(learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and episodes until it is solved, [size, seed]."""
    rows = sorted((int(name[2:]), solved_after(dataset, learner)) for name, dataset in data.items())
    return np.array([n for n, _ in rows], float), np.stack([x for _, x in rows])


def _plot(data: Data):
    drawn = plotting.figure(width=6.5, height=4.4)
    ax = drawn.axes[0]
    for slot, learner in enumerate(_players()):
        sizes, values = _by_size(learner, data)
        all_there = np.isfinite(values).all(axis=1)
        look = plotting.line_style(slot)
        if all_there.any():
            value, low, high = mean(values[all_there])[:3]
            ax.plot(sizes[all_there], value, marker="o", ms=4, label=learner, **look)
            ax.fill_between(sizes[all_there], low, high, color=look["color"], alpha=0.2, lw=0)
        share = 100 * np.isfinite(values).mean(axis=1)
        for size, percent in zip(sizes[~all_there], share[~all_there], strict=True):
            top = max(map(int, next(iter(data.values())).checkpoint.values))
            ax.plot(size, top, "x", color=look["color"])
            ax.annotate(f"{percent:.0f} %", (size, top), fontsize=6, color=look["color"],
                        xytext=(4, -8 * slot), textcoords="offset points")  # fmt: skip
    sizes = np.array(sorted(int(name[2:]) for name in data), float)
    ax.plot(sizes, 2**sizes + 100, ":", color="0.4", label="2^N + 100: without exploration")
    ax.set(yscale="log", xlabel="size N", ylabel="episodes until it is solved")
    ax.legend(fontsize="small")
    return drawn


def _exponent(learner: str, data: Data, level: float) -> Estimate:
    """Of the episodes in N; NaN, undecided, where some seed has not solved some size."""
    sizes, values = _by_size(learner, data)
    if not np.isfinite(values).all():
        return Estimate(np.nan, np.nan, np.nan, level)
    return growth_exponent(sizes, values, level)


def _share(learner: str, data: Data, level: float) -> Estimate:
    """Of the seeds that solve the largest size in fewer than 2^N + 100 episodes."""
    from ...core.statistics import proportion

    sizes, values = _by_size(learner, data)
    return proportion(np.sum(values[-1] < 2 ** sizes[-1] + 100), values.shape[1], level)


FIGURES = (
    Figure(
        "deep_sea", "DeepSea: episodes until it is solved", _studies, _plot,
        "Solved: the first look (they are 4 % apart) at which fewer than 90 % of the episodes so "
        "far were bad, as bsuite counts. Crosses: some seeds have not solved it; the share that "
        "have. Bands are 95 % t intervals. One setting for all sizes, lambda is 1.",
    ),
)  # fmt: skip
CLAIMS = (
    *(
        Claim(
            f"deep-sea-{learner.lower().replace('+', 'p')}",
            f"{learner} solves the largest sea in fewer than 2^N + 100 episodes, nine seeds of ten",
            "Osband et al., ICLR 2020 (bsuite's mark)", "deep_sea", "share above 0.9",
            partial(_share, learner), (0.9, 1.0),
        )
        for learner in (UCB, PLUS, RANDOM, PERTURBED, LANGEVIN)
    ),
    *(
        Claim(
            f"deep-sea-{learner.lower()}-growth",
            f"The episodes that {learner} needs grow no faster than N^3",
            "Osband et al., JMLR 2019, on DeepSea (from memory)", "deep_sea",
            "exponent at most 3", partial(_exponent, learner), (-np.inf, 3.0),
        )
        for learner in (UCB, RANDOM, PERTURBED)
    ),
)  # fmt: skip
