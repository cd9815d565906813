"""Thresholds that fall with the horizon: orders of growth of regret and questions."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from ...core import plotting
from ...core.claims import Claim
from ...core.learners.mdp.preference import PRLSVI, PbTS
from ...core.study import Study
from ..growth import Data, Growth, exponent, growth, plot
from ..paper import Figure, Scale
from .instances import (
    ENVIRONMENTS,
    PR,
    SEEDS,
    SETTING,
    SIGMA,
    SOURCE,
    SPREAD,
    TS,
    instances,
    named,
)

POWERS = (0.25, 0.375, 0.5)
HORIZONS: dict[Scale, tuple[int, ...]] = {
    "smoke": (16, 64),
    "quick": tuple(2**k for k in range(8, 12)),
    "paper": tuple(2**k for k in range(9, 15)),
}


def studies(scale: Scale) -> list[Study]:
    players: dict[str, Any] = {named(PR, b): PRLSVI(1.0, b, sigma_reward=SIGMA) for b in POWERS}
    players[named(TS, POWERS[0])] = PbTS(1.0, POWERS[0], sigma_reward=SPREAD)
    return [
        Study(f"rates-T{episodes}", instances(), players, episodes, SEEDS[scale], (episodes,))
        for episodes in HORIZONS[scale]
    ]


def _curve(learner: str, b: float, environment: str, metric: str, data: Data) -> Growth:
    return growth(data, "rates-", named(learner, b), environment, metric)


_CURVES = (*((PR, b) for b in POWERS), (TS, POWERS[0]))


def _plot(data: Data):
    drawn = plotting.figure(2, len(ENVIRONMENTS), width=5.0, height=3.6)
    places = [(metric, name) for metric in ("regret", "queries") for name in ENVIRONMENTS]
    for ax, (metric, name) in zip(drawn.axes, places, strict=True):
        curves = {
            f"{learner}, b = {b:g}": _curve(learner, b, name, metric, data)
            for learner, b in _CURVES
        }
        power = 1 - POWERS[0] if metric == "regret" else 2 * POWERS[0]
        plot(ax, curves, {f"T^{power:g}": lambda t, p=power: t**p}, name)
        ax.set(ylabel="regret (rewards)" if metric == "regret" else "questions")
        ax.set(xlabel="horizon T (duels)")
    return drawn


def _claims(learner: str, b: float, environment: str) -> list[Claim]:
    slug = f"{learner.lower()}-{b:g}-{environment}"
    regret, questions = (
        exponent(partial(_curve, learner, b, environment, metric))
        for metric in ("regret", "queries")
    )
    found = [
        Claim(
            f"regret-{slug}", f"{environment}: with epsilon ~ T^-{b:g}, the regret of {learner} "
            f"grows no faster than T^{1 - b:g}", SOURCE, "rates",
            f"exponent at most {1 - b:g} (and logs)", regret, (-math.inf, 1 - b),
        )
    ]  # fmt: skip
    if b < 0.5:  # at 1/2 the bound is T, and there are no more questions than duels
        found.append(
            Claim(
                f"questions-{slug}", f"{environment}: and it asks of the order T^{2 * b:g} "
                f"questions", SOURCE, "rates", f"exponent {2 * b:g} (and logs)", questions,
                (2 * b - 0.1, 2 * b + 0.1),
            )
        )  # fmt: skip
    return found


FIGURES = (
    Figure(
        "rates", "Thresholds that fall with the horizon", studies, _plot,
        f"epsilon = T^-b, sigma_reward 0.5 (PbTS: 1), a link of steepness 5; every "
        f"point has runs of its own. {SETTING}",
    ),
)  # fmt: skip
CLAIMS = tuple(
    claim for name in ENVIRONMENTS for learner, b in _CURVES for claim in _claims(learner, b, name)
)
