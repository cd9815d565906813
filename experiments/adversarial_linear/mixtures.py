"""OPPO in linear mixture MDPs: regret in the number of episodes, losses told in full."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...core import plotting
from ...core.claims import Claim
from ...core.learners.mdp.oppo import OPPO
from ...core.study import Study
from ...envs.adversarial_mdp_instances import linear_mixture
from ..growth import Data, exponent, growth, plot
from ..paper import Figure, Scale
from .growth import label_episodes

STATES, ACTIONS, KERNELS, STAGES = 4, 3, 3, 3
DRAWN, CYCLIC = "tables drawn", "tables in turn"
ENVIRONMENTS = {
    name: linear_mixture(STATES, ACTIONS, KERNELS, STAGES, schedule=schedule)
    for name, schedule in ((DRAWN, "drawn"), (CYCLIC, "cyclic"))
}
THEORY = "rate of the theory"
LEARNERS = {
    THEORY: OPPO(bonus=1.0),
    "4 times the rate": OPPO(bonus=1.0, rate=4.0),
    "4 times rate and bonus": OPPO(bonus=4.0, rate=4.0),
}
SLUGS = dict(zip(LEARNERS, ("theory", "rate-4", "rate-bonus-4"), strict=True))
HORIZONS: dict[Scale, tuple[int, ...]] = {
    "smoke": (64, 256), "quick": (256, 1024, 4096), "paper": (1024, 4096, 16_384, 32_768),
}  # fmt: skip
SEEDS: dict[Scale, int] = {"smoke": 2, "quick": 32, "paper": 200}
_PREFIX = "K="


def _studies(scale: Scale) -> list[Study]:
    return [
        Study(f"{_PREFIX}{k}", ENVIRONMENTS, LEARNERS, k, SEEDS[scale], (k,))
        for k in HORIZONS[scale]
    ]


def _curve(learner: str, environment: str, data: Data):
    return growth(data, _PREFIX, learner, environment)


def _plot(data: Data):
    drawn = plotting.figure(1, 2, width=5.0, height=4.0)
    for ax, environment in zip(drawn.axes, ENVIRONMENTS, strict=True):
        curves = {name: _curve(name, environment, data) for name in LEARNERS}
        plot(ax, curves, {"square root": np.sqrt}, environment)
        label_episodes(ax, curves[THEORY].horizons)
    drawn.axes[0].set_ylabel("regret (losses)")
    return drawn


FIGURES = (
    Figure(
        "oppo", "OPPO: regret and episodes", _studies, _plot,
        f"Linear mixtures of {KERNELS} known kernels, {STATES} states, {ACTIONS} actions, {STAGES} "
        "stages; three tables of losses, uniform on [0, 1]. Every K is a run of its own, its rate "
        "follows K. The bonus is 1 unless said otherwise, ridge is 1. Bands are 95 % t intervals.",
    ),
)  # fmt: skip
CLAIMS = tuple(
    Claim(
        f"oppo-{SLUGS[name]}-{'drawn' if environment == DRAWN else 'cyclic'}",
        f"{environment}: the regret of OPPO, {name}, grows no faster than sqrt(K), up to a factor "
        "ln K", "Cai et al., ICML 2020, regret of OPPO (from memory)", "oppo",
        "exponent of regret / ln K at most 1/2",
        exponent(partial(_curve, name, environment), 1.0), (-np.inf, 0.5),
    )
    for environment in ENVIRONMENTS
    for name in LEARNERS
)  # fmt: skip
