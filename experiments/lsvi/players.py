"""The algorithms and their grids, and the setting that half of the seeds choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core import learners
from ..growth import Data

UCB, PLUS, RANDOM, PERTURBED, LANGEVIN = (
    "LSVI-UCB",
    "LSVI-UCB++",
    "RLSVI",
    "LSVI-PHE",
    "LMC-LSVI",
)
ALGORITHMS = (UCB, PLUS, RANDOM, PERTURBED, LANGEVIN)
MAKE: dict[str, Callable[[float], Any]] = {
    UCB: lambda x: learners.LSVIUCB(bonus=x),
    PLUS: lambda x: learners.LSVIUCBPlusPlus(bonus_scale=x),
    RANDOM: lambda x: learners.RLSVI(sigma=x),
    PERTURBED: lambda x: learners.LSVIPHE(sigma=x),
    LANGEVIN: lambda x: learners.LMCLSVI(temperature=2 * x * x),  # in the limit, sigma = x
}
GRIDS = {
    UCB: (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    PLUS: (0.001, 0.003, 0.01, 0.03, 0.1),
    RANDOM: (0.03, 0.1, 0.3, 1.0, 3.0),
    PERTURBED: (0.03, 0.1, 0.3, 1.0, 3.0),
    LANGEVIN: (0.1, 0.3, 1.0),
}
WHAT = {
    UCB: "bonus", PLUS: "scale of the bonus", RANDOM: "sigma", PERTURBED: "sigma", LANGEVIN: "sigma"
}  # fmt: skip


def grid(part: int = 1) -> dict[str, Any]:
    """Every setting, or every so-manieth of each algorithm, by its name."""
    return {
        name_of(algorithm, x): MAKE[algorithm](x)
        for algorithm in ALGORITHMS
        for x in GRIDS[algorithm][::part]
    }


def name_of(algorithm: str, setting: float) -> str:
    return f"{algorithm} {setting:g}"


def settings_in(data: Data, study: str, algorithm: str) -> list[str]:
    """The settings of an algorithm that a study has run."""
    names = [str(name) for name in data[study].learner.values]
    return [name for name in names if name.rpartition(" ")[0] == algorithm]


def chosen(data: Data, study: str, algorithm: str) -> str:
    """The setting of least regret at the end, over the seeds of even place."""
    names = settings_in(data, study, algorithm)
    ends = data[study].regret.isel(environment=0, checkpoint=-1).sel(learner=names)
    means = ends.transpose("learner", "seed").values[:, ::2].mean(axis=1)
    return names[int(np.argmin(means))]


def measured(data: Data, study: str, learner: str) -> np.ndarray:
    """Regret [checkpoint, seed] over the other seeds: the choice does not bias what they say."""
    found = data[study].regret.isel(environment=0).sel(learner=learner)
    return found.transpose("checkpoint", "seed").values[:, 1::2].astype(float)
