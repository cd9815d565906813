"""From stochastic to adversarial: regret against the dial, against sigma^2 and against Sigma^2."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...core import plotting
from ...core.claims import Claim
from ...core.learners import convex
from ...core.statistics import Estimate, growth_exponent
from ...core.study import Study
from ...envs import sea_scenarios as sea
from ..growth import Data, final
from ..paper import Figure, Scale
from . import bounds
from .bounds import Problem, problem_of
from .runs import (
    CONVEX,
    CURVED,
    OFTL_SC,
    OFTRL,
    OMD,
    OMD_SC,
    ONS,
    SIZES,
    WORST,
    Cell,
    band,
    cells,
    largest_ratio,
    limit,
    study,
)

DIALS: dict[Scale, tuple[float, ...]] = {
    "smoke": (0.0, 0.5, 1.0),
    "quick": (0.0, 0.05, 0.2, 0.5, 1.0),
    "paper": (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
}
NEWTONS = {ONS: convex.OptimisticNewton(), "ONS": convex.OnlineNewton()}

# ---- the dial ------------------------------------------------------------------------------


def _mixtures(kind: str, names: Any) -> dict[str, Any]:
    """Environments by the name that they have in a study."""
    make: Callable[[float], Any] = {
        "quadratic": sea.mixture,
        "linear": partial(sea.mixture, loss="linear"),
        "logistic": sea.logistic_mixture,
    }[kind]
    return {str(name): make(float(str(name).removeprefix("dial "))) for name in names}


def dial_studies(scale: Scale) -> list[Study]:
    size, names = SIZES[scale], [f"dial {x:g}" for x in DIALS[scale]]
    quadratic = _mixtures("quadratic", names)
    worst = {
        name: {WORST: convex.OptimisticFTRL(smoothness=np.float32(p.gradient / p.diameter))}
        for name, env in quadratic.items()
        for p in [problem_of(env)]
    }
    told = [
        study(f"worst, {name}", {name: quadratic[name]}, learner, size.horizon, size.seeds)
        for name, learner in worst.items()
    ]
    linear, logistic = _mixtures("linear", names), _mixtures("logistic", names)
    return [
        study("quadratic", quadratic, CONVEX | CURVED, size.horizon, size.seeds),
        study("linear", linear, CONVEX, size.horizon, size.seeds),
        study("logistic", logistic, NEWTONS, size.horizon, size.newtons),
        *told,
    ]


Bound = Callable[[Problem, float, float], float]


def _dial_cells(kind: str, learner: str, bound: Bound, data: Data) -> dict[str, Cell]:
    environments = _mixtures(kind, data[kind].environment.values)
    return cells(data[kind], environments, learner, partial(_of_problem, bound))


def _of_problem(bound: Bound, env: Any, variance: float, variation: float) -> float:
    return bound(problem_of(env), variance, variation)


def _worst_cells(data: Data) -> dict[str, Cell]:
    found = {}
    for study_name, dataset in data.items():
        if study_name.startswith("worst, "):
            horizon = int(dataset.attrs["horizon"])
            environments = _mixtures("quadratic", dataset.environment.values)
            found |= cells(
                dataset,
                environments,
                WORST,
                lambda env, *_, horizon=horizon: bounds.leader_at_worst(problem_of(env), horizon),
            )
    return found


BOUNDS: dict[str, Callable[[Data], dict[str, Cell]]] = {
    "mirror-descent": partial(_dial_cells, "quadratic", OMD, bounds.mirror_descent),
    "mirror-descent-linear": partial(_dial_cells, "linear", OMD, bounds.mirror_descent),
    "leader": partial(_dial_cells, "quadratic", OFTRL, bounds.regularised_leader),
    "leader-linear": partial(_dial_cells, "linear", OFTRL, bounds.regularised_leader),
    "leader-at-worst": _worst_cells,
    "descent-curved": partial(_dial_cells, "quadratic", OMD_SC, bounds.strongly_convex_descent),
    "leader-curved": partial(_dial_cells, "quadratic", OFTL_SC, bounds.strongly_convex_leader),
    "newton": partial(_dial_cells, "logistic", ONS, bounds.newton),
}


def over_bound(name: str, data: Data, level: float) -> Estimate:
    return largest_ratio(BOUNDS[name](data).values(), level)


def plot_dial(data: Data):
    drawn = plotting.figure(2, 2, width=5.4, height=4.0)
    descents = {OMD: "mirror-descent", OFTRL: "leader"}
    linear = {OMD: "mirror-descent-linear", OFTRL: "leader-linear"}
    curved = {OMD_SC: "descent-curved", OFTL_SC: "leader-curved"}
    panels = (
        ("quadratic", CONVEX, descents, "convex rates"),
        ("linear", CONVEX, linear, "convex rates"),
        ("quadratic", CURVED, curved, "strongly convex rates"),
        ("logistic", NEWTONS, {ONS: "newton"}, "Newton steps"),
    )
    for ax, (kind, learners, limits, title) in zip(drawn.axes, panels, strict=True):
        names = [str(name) for name in data[kind].environment.values]
        dials = [float(name.removeprefix("dial ")) for name in names]
        for slot, learner in enumerate(learners):
            band(ax, dials, [final(data[kind], name, learner) for name in names], learner, slot)
            if learner in limits:
                found = BOUNDS[limits[learner]](data)
                limit(ax, dials, [found[x].bound for x in names], f"{learner}, bound", slot)
        ax.set(yscale="log", title=f"{title}, {kind} losses")
    _legends(drawn)
    for ax in drawn.axes[2:]:
        ax.set_xlabel("dial: stochastic 0, adversarial 1")
    for ax in drawn.axes[::2]:
        ax.set_ylabel("regret (losses)")
    return drawn


def _legends(drawn: Any) -> None:
    for ax in drawn.axes:
        ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


# ---- one of the two alone ------------------------------------------------------------------

SPREADS = (0.125, 0.25, 0.5, 1.0)
TWO_RATES = {OMD: CONVEX[OMD], OFTRL: CONVEX[OFTRL]}


def alone_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    horizon = size.horizons[-1]
    noise = {f"sigma {s:g}": sea.iid(spread=s) for s in SPREADS}
    moves = {f"size {s:g}": sea.alternating(size=s) for s in SPREADS}
    return [
        study("noise", noise, TWO_RATES, horizon, size.seeds),
        study("moves", moves, TWO_RATES, horizon, 16),  # nothing is drawn
    ]


ALONE = {"noise": "stochastic_variance", "moves": "adversarial_variation"}


def _alone(kind: str, learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """The sums of sigma_t^2, or of Sigma_t^2, and regrets [sum, seed]."""
    dataset = data[kind]
    names = [str(name) for name in dataset.environment.values]
    sums = np.array([final(dataset, name, learner, ALONE[kind]).mean() for name in names])
    return sums, np.stack([final(dataset, name, learner) for name in names])


def slope(kind: str, learner: str, data: Data, level: float) -> Estimate:
    return growth_exponent(*_alone(kind, learner, data), level)


def plot_alone(data: Data):
    drawn = plotting.figure(1, 2, width=5.0, height=4.2)
    labels = {
        "noise": r"$\sigma^2_{1:T}$ (squared gradients), $\Sigma^2_{1:T} = 0$",
        "moves": r"$\Sigma^2_{1:T}$ (squared gradients), $\sigma^2_{1:T} = 0$",
    }
    for ax, kind in zip(drawn.axes, ALONE, strict=True):
        for slot, (learner, bound) in enumerate(
            ((OMD, bounds.mirror_descent), (OFTRL, bounds.regularised_leader))
        ):
            sums, values = _alone(kind, learner, data)
            band(ax, sums, values, learner, slot)
            limits = [
                bound(problem_of(env), *((x, 0.0) if kind == "noise" else (0.0, x)))
                for env, x in zip(_sizes(kind), sums, strict=True)
            ]
            limit(ax, sums, limits, f"{learner}, bound", slot)
        guide = values[-1].mean() * np.sqrt(sums / sums[-1])
        ax.plot(sums, guide, "--", color="0.5", lw=1, label="square root")
        ax.set(xscale="log", yscale="log", xlabel=labels[kind])
    drawn.axes[0].set_ylabel("regret (losses)")
    handles, names = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside right upper")
    return drawn


def _sizes(kind: str) -> list[Any]:
    if kind == "noise":
        return [sea.iid(spread=s) for s in SPREADS]
    return [sea.alternating(size=s) for s in SPREADS]


# ---- claims --------------------------------------------------------------------------------

FIGURES = (
    Figure(
        "dial", "Between stochastic and adversarial", dial_studies, plot_dial,
        "Means (1 - x) e1 / 2 +- x e1 with the noise of radius (1 - x) / 2, x on the axis; for "
        "logistic losses chances of a label. Unit ball of R^5, T = 16,000 at paper scale. Dotted: "
        "the bounds of the theorems in the exact sums of variances and variations, with constants "
        "as derived here. Bands are 95 % intervals of the mean."
    ),
    Figure(
        "alone", "Noise alone, moves alone", alone_studies, plot_alone,
        "Left: i.i.d. centres, radius of the noise from 1/8 to 1. Right: centres +-a e1 by turns "
        "without noise, a from 1/8 to 1. T = 64,000 at paper scale."
    ),
)  # fmt: skip


def _below(name: str, statement: str, source: str) -> Claim:
    return Claim(
        f"bound-{name}", statement, source, "dial", "regret / bound at most 1",
        partial(over_bound, name), (-math.inf, 1.0),
    )  # fmt: skip


def _root(kind: str, learner: str, what: str) -> Claim:
    return Claim(
        f"root-of-{kind}-{learner.lower()}",
        f"Where only {what}, the regret of {learner} grows as the square root of its sum",
        "the theorems' sqrt(sigma^2) and sqrt(Sigma^2)", "alone", "exponent 1/2",
        partial(slope, kind, learner), (0.45, 0.55),
    )  # fmt: skip


CHEN, SACHS = "Chen et al., JMLR 2024", "Sachs et al., NeurIPS 2022"
CLAIMS = (
    _below(
        "mirror-descent",
        "On quadratic losses, OOMD's regret is at most 5 sqrt(10) D^2 L + 5/2 sqrt(5) D G + "
        "5 sqrt(2) D sqrt(sigma^2) + 5 D sqrt(Sigma^2)",
        f"{CHEN}, convex; constants derived here",
    ),
    _below(
        "mirror-descent-linear", "The same on linear losses, with L = 0",
        f"{CHEN}, convex; constants derived here",
    ),
    _below(
        "leader",
        "On quadratic losses, OFTRL's regret is at most 7/4 sqrt(2) D sqrt(G^2 + 8 sigma^2 + "
        "4 Sigma^2) + 33/4 D G + (5/4 + 147/4 / (1 + G / (D L))) D^2 L",
        f"{SACHS}, convex; constants derived here",
    ),
    _below(
        "leader-linear", "The same on linear losses, with L = 0",
        f"{SACHS}, convex; constants derived here",
    ),
    _below(
        "leader-at-worst",
        "Told L = G / D, OFTRL's regret is at most 3 sqrt(2) D G sqrt(T) + 4 D G",
        f"{SACHS}, worst case",
    ),
    _below(
        "descent-curved",
        "OOMD-sc's regret is at most 2 / lambda (G^2 + a (1 + log(A / a))) + O(D^2 L^2 / lambda), "
        "a = 8 sigma_max^2 + 4 Sigma_max^2, A = 8 sigma^2 + 4 Sigma^2",
        f"{CHEN}, strongly convex; constants derived here",
    ),
    _below(
        "leader-curved",
        "OFTL-sc's regret is at most half of that, 1 / lambda (G^2 + a (1 + log(A / a))) + "
        "O(D^2 L^2 / lambda)",
        f"{SACHS}, strongly convex; the same constants derived here",
    ),
    _below(
        "newton",
        "On logistic losses, the regret of OONS is at most O(d / beta) log(1 + beta / (8 d) (G^2 + "
        "8 sigma^2 + 4 Sigma^2))",
        f"{CHEN}, exp-concave; constants derived here",
    ),
    *(
        _root(kind, learner, what)
        for kind, what in (("noise", "noise"), ("moves", "the mean moves"))
        for learner in (OMD, OFTRL)
    ),
)  # fmt: skip
