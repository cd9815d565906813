"""What one and two layers of linear attention gain, beside descent and closed forms."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.learners.in_context import theory
from ...core.learners.in_context.attention import Descent, Transformer, gradient_layers
from ...core.statistics import (
    Estimate,
    largest,
    mean,
    paired_difference,
    smallest,
    split_level,
)
from ...core.study import Study
from ...envs.regression_tasks import RegressionTasks
from ..growth import Data, final
from ..paper import Figure, Scale

N = D = 10  # examples of a task, and their dimension: the paper's
BEST = theory.best_rate(N, D)
FACTORS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0)  # of the best rate
SIZES: dict[Scale, tuple[int, int, int]] = {  # tasks a round, rounds, seeds
    "smoke": (64, 4, 8), "quick": (1000, 32, 32), "paper": (1000, 32, 64),
}  # fmt: skip

# Rates, curvatures, and the expected loss there: a numerical optimum of it, but for one step, which
# has a closed form.
ONE, SHARED, FREE = "one step", "two steps, one rate", "two steps"
TURNED, TURNED_ALIKE = "two layers of GD++", "two layers of GD++, alike"
LAYERS: dict[str, tuple[tuple[float, ...], tuple[float, ...], float]] = {
    ONE: ((BEST,), (0.0,), theory.one_step_loss(BEST, N, D)),
    SHARED: ((5.99, 5.99), (0.0, 0.0), 0.1566),
    FREE: ((4.00, 11.57), (0.0, 0.0), 0.1413),
    TURNED_ALIKE: ((13.49, 13.49), (1.76, 1.76), 0.1105),
    TURNED: ((4.12, 36.5), (3.99, 0.0), 0.0922),
}


def _attention(rates: Any, curvatures: Any = 0.0) -> Any:
    return learners.FixedForecaster(Transformer(gradient_layers(np.array(rates), curvatures, N, D)))


def _descent(rates: Any, curvatures: Any = 0.0) -> Any:
    return learners.FixedForecaster(
        Descent(np.array(rates, np.float32), np.array(curvatures, np.float32))
    )


def _study(name: str, players: dict[str, Any], scale: Scale) -> list[Study]:
    batch, rounds, seeds = SIZES[scale]
    return [Study(name, {"tasks": RegressionTasks(D, N, batch)}, players, rounds, seeds, (rounds,))]


def _rate_studies(scale: Scale) -> list[Study]:
    players = {f"attention {f:g}": _attention([f * BEST]) for f in FACTORS}
    players |= {f"descent {f:g}": _descent([f * BEST]) for f in FACTORS}
    return _study("rates", players, scale)


def _layer_studies(scale: Scale) -> list[Study]:
    players = {}
    for name, (rates, curvatures, _) in LAYERS.items():
        players[f"attention, {name}"] = _attention(rates, np.array(curvatures))
        players[f"descent, {name}"] = _descent(rates, curvatures)
    return _study("layers", players, scale)


def _losses(data: Data, study: str, learner: str) -> np.ndarray:
    """Mean loss of a task, [seed]."""
    dataset = data[study]
    return final(dataset, "tasks", learner, "loss") / int(dataset.attrs["horizon"])


# ---- pictures ------------------------------------------------------------------------------


def _plot_rates(data: Data):
    drawn = plotting.figure(width=6.0, height=3.8)
    ax = drawn.axes[0]
    fine = np.linspace(0, 2 * BEST, 101)
    ax.plot(fine, theory.one_step_loss(fine, N, D), color="0.4", label="closed form")
    for slot, (kind, mark) in enumerate((("attention", "o"), ("descent", "x"))):
        rows = [mean(_losses(data, "rates", f"{kind} {f:g}"))[:3] for f in FACTORS]
        value, low, high = np.array(rows, float).T
        ax.errorbar(
            np.array(FACTORS) * BEST, value, yerr=[value - low, high - value], fmt=mark,
            capsize=2, color=plotting.COLOURS[slot], label=kind,
        )  # fmt: skip
    ax.set(xlabel="rate of the step", ylabel="loss, half the squared error")
    ax.set_ylim(bottom=0)
    ax.legend()
    return drawn


def _plot_layers(data: Data):
    drawn = plotting.figure(width=6.4, height=3.0)
    ax = drawn.axes[0]
    for place, (name, (_, _, least)) in enumerate(LAYERS.items()):
        ax.plot([least, least], [place - 0.3, place + 0.3], color="0.4",
                label=None if place else "expected")  # fmt: skip
        for slot, kind in enumerate(("attention", "descent")):
            value, low, high = (
                float(x) for x in mean(_losses(data, "layers", f"{kind}, {name}"))[:3]
            )
            ax.errorbar(
                value, place + 0.1 * (2 * slot - 1), xerr=[[value - low], [high - value]],
                fmt="ox"[slot], capsize=2, color=plotting.COLOURS[slot],
                label=None if place else kind,
            )  # fmt: skip
    ax.set_yticks(range(len(LAYERS)), list(LAYERS))
    ax.set(xlabel="loss, half the squared error")
    ax.set_xlim(left=0)
    ax.invert_yaxis()
    ax.legend()
    return drawn


# ---- claims --------------------------------------------------------------------------------


def _over_closed_form(factor: float, data: Data, level: float) -> Estimate:
    """Mean loss of attention over the closed form."""
    expected = theory.one_step_loss(factor * BEST, N, D)
    losses = _losses(data, "rates", f"attention {factor:g}")
    return mean(losses, level=level).map(lambda x: x / expected)


def _furthest(data: Data, level: float) -> Estimate:
    """The largest of |loss / closed form - 1| over rates."""
    split, found = split_level(level, len(FACTORS)), []
    for f in FACTORS:
        value, low, high = (float(x) - 1 for x in _over_closed_form(f, data, split)[:3])
        least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        found.append(Estimate(abs(value), least, max(abs(low), abs(high)), split))
    return largest(found)._replace(level=level)


def _unlike(study: str, pairs: list[tuple[str, str]], data: Data, level: float) -> Estimate:
    """The largest relative difference of two players' losses, over pairs and seeds: a number that
    was computed, not estimated."""
    worst = max(
        float(np.max(np.abs(_losses(data, study, x) / _losses(data, study, y) - 1)))
        for x, y in pairs
    )
    return Estimate(worst, worst, worst, level)


def _unlike_rates(data: Data, level: float) -> Estimate:
    pairs = [(f"attention {f:g}", f"descent {f:g}") for f in FACTORS]
    return _unlike("rates", pairs, data, level)


def _unlike_layers(data: Data, level: float) -> Estimate:
    pairs = [(f"attention, {name}", f"descent, {name}") for name in LAYERS]
    return _unlike("layers", pairs, data, level)


def _lost_beside(data: Data, level: float) -> Estimate:
    """The lesser of what rates a tenth below and above the best one lose beside it."""
    best, split = _losses(data, "rates", "attention 1"), split_level(level, 2)
    beside = [_losses(data, "rates", f"attention {f:g}") for f in (0.9, 1.1)]
    return smallest([paired_difference(x, best, split) for x in beside])._replace(level=level)


def _over_known(name: str, data: Data, level: float) -> Estimate:
    expected = LAYERS[name][2]
    losses = _losses(data, "layers", f"attention, {name}")
    return mean(losses, level=level).map(lambda x: x / expected)


def _gain(better: str, worse: str, data: Data, level: float) -> Estimate:
    return paired_difference(
        _losses(data, "layers", f"attention, {worse}"),
        _losses(data, "layers", f"attention, {better}"), level,
    )  # fmt: skip


FIGURES = (
    Figure(
        "rates", "One layer is one step of gradient descent", _rate_studies, _plot_rates,
        "Ten examples in ten dimensions, inputs in (-1/2, 1/2), weights N(0, I), no noise. Bars "
        "are 95 % t intervals over seeds; attention and descent answer the same tasks. (With "
        "inputs in (-1, 1), as in the paper's text, the same picture: losses four times as large, "
        "rates a quarter.)",
    ),
    Figure(
        "layers", "Two layers are two steps, and more with turned inputs", _layer_studies,
        _plot_layers,
        "Inputs in (-1/2, 1/2). Grey: the least expected loss. Bars are 95 % t intervals.",
    ),
)  # fmt: skip

_ONE_STEP = "Proposition 1; closed form derived"
CLAIMS = (
    Claim(
        "best-rate", "At the best rate a layer's loss is that of its closed form, "
        f"{theory.one_step_loss(BEST, N, D):.5f}", _ONE_STEP, "rates", "ratio 1, to 1 % (ours)",
        partial(_over_closed_form, 1.0), (0.99, 1.01),
    ),
    Claim(
        "all-rates", "And at any rate from none to twice the best (largest relative distance)",
        _ONE_STEP, "rates", "at most 2 %, ours", _furthest, (0.0, 0.02),
    ),
    Claim(
        "best-is-best", "Rates a tenth below or above the best lose more", _ONE_STEP, "rates",
        "difference above 0", _lost_beside, (0.0, np.inf),
    ),
    Claim(
        "layer-is-step", "On the same tasks a layer loses what a step of descent loses (largest "
        "relative difference)", "Proposition 1", "rates", "0, up to rounding of float32",
        _unlike_rates, (0.0, 1e-4),
    ),
    Claim(
        "layers-are-steps", "Two layers lose what two steps lose, or two of GD++ (the same)",
        "Section 3", "layers", "0, up to rounding of float32", _unlike_layers, (0.0, 1e-3),
    ),
    *(
        Claim(
            f"loss-{name.replace(' ', '-').replace(',', '').replace('+', 'p').lower()}",
            f"The loss of {name} is {least:.4g}", "numerical optimum of the expected loss",
            "layers", "ratio 1, to 1 % (ours)", partial(_over_known, name), (0.99, 1.01),
        )
        for name, (_, _, least) in LAYERS.items()
        if name != ONE  # "best-rate"
    ),
    Claim(
        "turning-gains", "Turned inputs gain more than a second rate", "Section 3, GD++", "layers",
        "difference above 0", partial(_gain, TURNED, FREE), (0.0, np.inf),
    ),
)  # fmt: skip
