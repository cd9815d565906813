"""The same layers as online learners: one token a round, over a cache of the rounds so far."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.learners.in_context import theory
from ...core.statistics import Estimate, mean, paired_difference, ratio_of_means
from ...core.study import Study
from ...envs.drawn_groups import DrawnShapes
from ...envs.regression_stream import RegressionStream
from ..growth import Data, final
from ..paper import Figure, Scale

D, SIGMA = 10, 0.2
SIZES: dict[Scale, tuple[int, int]] = {
    "smoke": (24, 8), "quick": (200, 32), "paper": (1000, 200),
}  # fmt: skip
# Of one layer alone: the weights of a seed make half of its excess, so that digits take many seeds.
ALONE: dict[Scale, tuple[int, int]] = {
    "smoke": (24, 8), "quick": (200, 2048), "paper": (200, 16_384),
}  # fmt: skip

RIDGE, VAW, OGD = "ridge", "Vovk-Azoury-Warmuth", "gradient descent"
ONE, FOUR, DECODER, SOFT = "one layer", "four layers", "four layers, decoder", "two softmax heads"
# The best step for each number of rounds so far, and the penalty of the weights' own law.
_RATE, _OFFSET = 1 / theory.second_moment(), theory.spread(D, 1.0, SIGMA)
STREAM: dict[str, Any] = {
    RIDGE: learners.OnlineRidge(regularisation=SIGMA**2),
    VAW: learners.VovkAzouryWarmuth(regularisation=SIGMA**2),
    OGD: learners.LinearPredictor(learners.OGD(), radius=5.0),
    ONE: learners.InContext(rate=_RATE, offset=_OFFSET),
    FOUR: learners.InContext(layers=4, rate=_RATE, offset=_OFFSET),
    DECODER: learners.InContext(layers=4, rate=_RATE, offset=_OFFSET, causal=True),
    SOFT: learners.InContextSoftmax(rate=_RATE, offset=_OFFSET, sharpness=0.1),
}
SHARPNESSES = (0.03, 0.1, 0.3, 1.0, 3.0)

SAFE_ONE, SAFE_MANY = "one layer", "eight layers"
GROUPS: dict[str, Any] = {
    RIDGE: learners.OnlineRidge(),
    OGD: learners.LinearPredictor(learners.OGD()),
    SAFE_ONE: learners.InContext(),
    SAFE_MANY: learners.InContext(layers=8),
}


def _stops(rounds: int) -> tuple[int, ...]:
    return tuple(map(int, np.unique(np.rint(np.geomspace(5, rounds, 12)).astype(int))))


def _stream_studies(scale: Scale) -> list[Study]:
    rounds, seeds = SIZES[scale]
    env = {"stream": RegressionStream(D, SIGMA)}
    short, many = ALONE[scale]
    return [
        Study("stream", env, STREAM, rounds, seeds, _stops(rounds)),
        Study("alone", env, {ONE: STREAM[ONE]}, short, many, (short,)),
    ]


def _softmax_studies(scale: Scale) -> list[Study]:
    rounds, seeds = SIZES[scale]
    players: dict[str, Any] = {ONE: STREAM[ONE]}
    for b in SHARPNESSES:
        players[f"sharpness {b:g}"] = learners.InContextSoftmax(
            rate=_RATE, offset=_OFFSET, sharpness=b
        )
    env = {"stream": RegressionStream(D, SIGMA)}
    return [Study("softmax", env, players, rounds, seeds, (rounds,))]


def _group_studies(scale: Scale) -> list[Study]:
    rounds, seeds = SIZES[scale]
    env = {"shapes and colours": DrawnShapes("perm")}
    return [Study("groups", env, GROUPS, rounds, max(8, seeds // 3), _stops(rounds))]


def _curve(data: Data, study: str, learner: str, metric: str) -> np.ndarray:
    """[checkpoint, seed]; of all rounds, where there are groups of them."""
    found = data[study][metric].isel(environment=0).sel(learner=learner)
    found = found.isel(group=-1) if "group" in found.dims else found
    return found.transpose("checkpoint", "seed").values.astype(float)


def closed_form(rounds: int) -> float:
    """The expected excess of one layer with the best step in every round, summed: d m2 in the
    first, and then twice what half the squared error is."""
    seen = np.arange(1, rounds)
    best = theory.best_rate(seen, D, 1.0, SIGMA)
    later = theory.one_step_loss(best, seen, D, 1.0, SIGMA)
    return 2 * (float(theory.one_step_loss(0.0, 1, D)) + float(np.sum(later)))


# ---- pictures ------------------------------------------------------------------------------


def _draw(ax, data: Data, study: str, names, metric: str) -> None:
    rounds = data[study].checkpoint.values
    for slot, name in enumerate(names):
        value, low, high = (np.asarray(x) for x in mean(_curve(data, study, name, metric))[:3])
        look = plotting.line_style(slot)
        ax.plot(rounds, value, label=name, **look)
        floor = np.maximum(low, value / 10)  # a logarithmic axis has no zero
        ax.fill_between(rounds, floor, high, color=look["color"], alpha=0.2, lw=0)
    ax.set(xscale="log", yscale="log", xlabel="rounds")


def _plot_stream(data: Data):
    drawn = plotting.figure(width=6.6, height=4.2)
    ax = drawn.axes[0]
    _draw(ax, data, "stream", STREAM, "excess")
    rounds = [int(t) for t in data["stream"].checkpoint.values]
    ax.plot(
        rounds, [closed_form(t) for t in rounds], ":", color="k", label="one layer, closed form"
    )
    ax.set_ylabel("squared distance from the mean, summed")
    ax.legend(fontsize="small")
    return drawn


def _plot_softmax(data: Data):
    drawn = plotting.figure(width=5.4, height=3.6)
    ax = drawn.axes[0]
    rows = [final(data["softmax"], "stream", f"sharpness {b:g}", "excess") for b in SHARPNESSES]
    value, low, high = (np.asarray(x) for x in mean(np.stack(rows))[:3])
    ax.errorbar(SHARPNESSES, value, yerr=[value - low, high - value], fmt="o-", capsize=2,
                color=plotting.COLOURS[0], label="two softmax heads")  # fmt: skip
    linear = mean(final(data["softmax"], "stream", ONE, "excess"))[:3]
    ax.axhline(float(linear[0]), color=plotting.COLOURS[1], label="one linear layer")
    ax.axhspan(float(linear[1]), float(linear[2]), color=plotting.COLOURS[1], alpha=0.2, lw=0)
    ax.set(xscale="log", xlabel="sharpness", ylabel="squared distance from the mean, summed")
    ax.legend()
    return drawn


def _plot_groups(data: Data):
    drawn = plotting.figure(width=5.8, height=3.8)
    ax = drawn.axes[0]
    _draw(ax, data, "groups", GROUPS, "group_loss")
    ax.set_ylabel("squared error, summed")
    ax.legend()
    return drawn


# ---- claims --------------------------------------------------------------------------------


def _over_closed_form(data: Data, level: float) -> Estimate:
    expected = closed_form(int(data["alone"].checkpoint[-1]))
    last = final(data["alone"], "stream", ONE, "excess")
    return mean(last, level=level).map(lambda x: x / expected)


def _ratio(study: str, top: str, bottom: str, metric: str, data: Data, level: float) -> Estimate:
    ends = [_curve(data, study, name, metric)[-1] for name in (top, bottom)]
    return ratio_of_means(ends[0], ends[1], level)


def _gap(study: str, more: str, less: str, metric: str, data: Data, level: float) -> Estimate:
    ends = [_curve(data, study, name, metric)[-1] for name in (more, less)]
    return paired_difference(ends[0], ends[1], level)


FIGURES = (
    Figure(
        "stream", "In context, beside ridge and online gradient descent", _stream_studies,
        _plot_stream,
        "Ten inputs in (-1/2, 1/2), weights N(0, I), noise of deviation 0.2; 1,000 rounds and 200 "
        "seeds at paper scale. One layer takes the best step in each round; ridge has the penalty "
        "of the weights' law. Bands are 95 % t intervals.",
    ),
    Figure(
        "softmax", "Two softmax heads for a linear one", _softmax_studies, _plot_softmax,
        "The same problem. Sharpness 1: products differ by 2 at most. What stays between the two "
        "as the sharpness goes to 0 is the mean of the inputs, which softmax takes away. Bars are "
        "95 % t intervals; all meet the same draws.",
    ),
    Figure(
        "groups", "Inputs that do not lie around zero", _group_studies, _plot_groups,
        "Shapes and colours (`DrawnShapes`), 25 inputs in [0, 1], steps that never overshoot. "
        "Bands are 95 % t intervals over data sets.",
    ),
)  # fmt: skip
_OURS = "beyond the paper"
CLAIMS = (
    Claim(
        "online-closed-form", "As an online learner one layer has the excess of its closed form",
        f"{_OURS}; the closed form of a step, summed over 200 rounds", "stream",
        "ratio 1, to 3 % (ours)", _over_closed_form, (0.97, 1.03),
    ),
    Claim(
        "online-above-ridge", "One layer has more regret than ridge", _OURS, "stream",
        "ratio above 1", partial(_ratio, "stream", ONE, RIDGE, "regret"), (1.0, np.inf),
    ),
    Claim(
        "online-below-descent", "One layer has less regret than online gradient descent, which "
        "keeps no cache (steps of its theorem)", _OURS, "stream", "ratio below 1",
        partial(_ratio, "stream", ONE, OGD, "regret"), (0.0, 1.0),
    ),
    Claim(
        "online-layers", "Four layers, each a step, have less regret than one", _OURS, "stream",
        "difference above 0", partial(_gap, "stream", ONE, FOUR, "regret"), (0.0, np.inf),
    ),
    Claim(
        "online-decoder", "Examples that see the past alone cost regret: a decoder's layers are "
        "not steps on all rounds so far",
        "Ding et al., ICLR 2024 (from memory): causal masks are not optimal here", "stream",
        "difference above 0", partial(_gap, "stream", DECODER, FOUR, "regret"), (0.0, np.inf),
    ),
    Claim(
        "softmax-is-linear", "Two softmax heads of little sharpness do as a linear layer does",
        "Section 3 and appendix: softmax needs two heads", "softmax",
        "ratio 1, to 3 % (ours)",
        partial(_ratio, "softmax", f"sharpness {SHARPNESSES[0]:g}", ONE, "excess"), (0.97, 1.03),
    ),
    Claim(
        "groups-one-layer", "Where inputs do not lie around zero, one layer loses far more than "
        "ridge", _OURS, "groups", "ratio above 2, ours",
        partial(_ratio, "groups", SAFE_ONE, RIDGE, "group_loss"), (2.0, np.inf),
    ),
    Claim(
        "groups-layers", "and eight layers lose less than one", _OURS, "groups",
        "difference above 0", partial(_gap, "groups", SAFE_ONE, SAFE_MANY, "group_loss"),
        (0.0, np.inf),
    ),
)  # fmt: skip
