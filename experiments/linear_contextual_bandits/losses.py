"""FastCB and SquareCB as the loss of the best policy goes down."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.statistics import (
    Estimate,
    growth_exponent,
    mean,
    ratio_of_means,
    split_level,
)
from ...core.study import Study
from ...envs.synthetic_contexts import SmallLossContexts
from ..growth import Data, final
from ..paper import Figure, Scale

FAST, SQUARE = "FastCB, logistic", "SquareCB, ridge"
LOSSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
ROUNDS: dict[Scale, int] = {"smoke": 50, "quick": 2000, "paper": 20_000}
SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 64, "paper": 400}
_ARMS, _DIMENSION, _SCALE = 10, 10, 100.0


def _studies(scale: Scale) -> list[Study]:
    envs = {f"{x:g}": SmallLossContexts(_ARMS, _DIMENSION, best_loss=x) for x in LOSSES}
    players: dict[str, Any] = {
        FAST: learners.FastCB(learners.Logistic(learning_rate=3.0), scale=_SCALE),
        SQUARE: learners.SquareCB(learners.Ridge(of="losses"), scale=_SCALE),
    }
    return [Study("losses", envs, players, ROUNDS[scale], SEEDS[scale], (ROUNDS[scale],))]


def _regrets(learner: str, data: Data) -> np.ndarray:
    """[loss, seed]."""
    return np.stack([final(data["losses"], f"{x:g}", learner) for x in LOSSES])


def _plot(data: Data):
    drawn = plotting.figure(width=6.0, height=4.0)
    ax = drawn.axes[0]
    for slot, name in enumerate((FAST, SQUARE)):
        value, low, high = mean(_regrets(name, data))[:3]
        look = plotting.line_style(slot)
        ax.plot(LOSSES, value, marker="o", ms=4, label=name, **look)
        ax.fill_between(LOSSES, low, high, color=look["color"], alpha=0.2, lw=0)
    ax.set(xlabel="loss of the best policy, a round", ylabel="regret (losses)")
    ax.legend()
    return drawn


def _gain(learner: str, data: Data, level: float) -> Estimate:
    values = _regrets(learner, data)
    return ratio_of_means(values[0], values[-1], level)


def _relative_gain(data: Data, level: float) -> Estimate:
    split = split_level(level, 2)
    fast, square = _gain(FAST, data, split), _gain(SQUARE, data, split)
    return Estimate(
        fast.value / square.value, fast.low / square.high, fast.high / square.low, level
    )


def _exponent(learner: str, data: Data, level: float) -> Estimate:
    return growth_exponent(np.array(LOSSES[1:]) * 1.0, _regrets(learner, data)[1:], level)


_SOURCE = "Foster and Krishnamurthy, NeurIPS 2021, Theorem 1"
FIGURES = (
    Figure(
        "small-loss", "Regret and the loss of the best policy", _studies, _plot,
        "Ten arms, d = 10: one arm of a round loses with the probability on the axis, the others "
        "with 0.3 more. gamma is 100 sqrt(t) for both; bands are 95 % t intervals.",
    ),
)  # fmt: skip
CLAIMS = (
    Claim(
        "fastcb-rate", "With one gamma for all L* (the theorem's knows it) the regret of FastCB "
        "grows no faster than sqrt(L*)", _SOURCE, "small-loss", "exponent at most 1/2",
        partial(_exponent, FAST), (-np.inf, 0.5),
    ),
    Claim(
        "fastcb-gain", "Without loss FastCB has less regret than with 0.4 a round", _SOURCE,
        "small-loss", "ratio below 1", partial(_gain, FAST), (0.0, 1.0),
    ),
    Claim(
        "fastcb-squarecb", "From 0.4 a round to none, FastCB gains a larger factor than SquareCB",
        _SOURCE + "; SquareCB's bound does not know L*", "small-loss",
        "ratio of the factors below 1", _relative_gain, (0.0, 1.0),
    ),
)  # fmt: skip
