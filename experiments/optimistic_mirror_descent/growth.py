"""How regret grows with the number of rounds: square roots, logarithms, constants."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from ...core import plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, growth_exponent, ratio_of_means
from ...core.study import Study
from ...envs import sea_scenarios as sea
from ..growth import Data
from ..paper import Figure, Scale
from .dial import CHEN, NEWTONS, SACHS
from .runs import CONVEX, CURVED, OFTL_SC, OFTRL, OMD, OMD_SC, ONS, SIZES, band, study, tiled

IID, HALF, ADVERSARY, SAME = "i.i.d.", "half and half", "adversary", "same loss"
LOGISTIC = {f"{name}, logistic": dial for name, dial in ((IID, 0.0), (HALF, 0.5), (ADVERSARY, 1.0))}


def growth_studies(scale: Scale) -> list[Study]:
    """Learners that need no horizon: one run, looked at several times."""
    size = SIZES[scale]
    last = size.horizons[-1]
    drawn: dict[str, Any] = {IID: tiled(sea.iid(), 2), HALF: sea.mixture(0.5)}
    sure: dict[str, Any] = {ADVERSARY: sea.alternating(), SAME: tiled(sea.iid(spread=0.0), 2)}
    logistic = {name: sea.logistic_mixture(dial) for name, dial in LOGISTIC.items()}
    return [
        study("drawn", drawn, CONVEX | CURVED, last, size.seeds, size.horizons),
        study("sure", sure, CONVEX | CURVED, last, 16, size.horizons),  # nothing is drawn
        study("logistic", logistic, {ONS: NEWTONS[ONS]}, last, size.newtons, size.horizons),
    ]


def curve(environment: str, learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Horizons, and regret [horizon, seed]."""
    for dataset in data.values():
        if environment in dataset.environment.values and learner in dataset.learner.values:
            found = dataset.regret.sel(environment=environment, learner=learner)
            found = found.transpose("checkpoint", "seed")
            return found.checkpoint.values.astype(int), found.values.astype(float)
    raise ValueError(f"no study has {learner!r} in {environment!r}")


def exponent(environment: str, learner: str, data: Data, level: float) -> Estimate:
    return growth_exponent(*curve(environment, learner, data), level)


def increments(environment: str, learner: str, data: Data, level: float) -> Estimate:
    """What the last factor of the horizon added, over what the one before added: 1 for a logarithm,
    and for a square root the root of that factor, 2 at paper scale."""
    horizons, values = curve(environment, learner, data)
    return ratio_of_means(values[-1] - values[-2], values[-2] - values[-3], level)


def settled(environment: str, learner: str, data: Data, level: float) -> Estimate:
    """Regret at the last horizon over that at the first."""
    _, values = curve(environment, learner, data)
    return ratio_of_means(values[-1], values[0], level)


def plot_growth(data: Data):
    drawn = plotting.figure(2, 3, width=4.8, height=3.6)
    panels = [(name, CONVEX) for name in (IID, HALF, ADVERSARY)]
    for ax, (name, learners) in zip(drawn.axes[:3], panels, strict=True):
        for slot, learner in enumerate(learners):
            horizons, values = curve(name, learner, data)
            band(ax, horizons, values, learner, slot)
        guide = values[-1].mean() * np.sqrt(horizons / horizons[-1])
        ax.plot(horizons, guide, "--", color="0.5", lw=1, label="square root")
        ax.set(xscale="log", yscale="log", title=name)
    groups = ((IID, CURVED), (ADVERSARY, CURVED), (None, None))
    for ax, (name, learners) in zip(drawn.axes[3:], groups, strict=True):
        if name is not None:
            for slot, learner in enumerate(learners or ()):
                band(ax, *curve(name, learner, data), learner, slot + 3)
            ax.set(xscale="log", title=f"{name}, strongly convex rates")
        else:
            for slot, environment in enumerate(LOGISTIC):
                band(
                    ax, *curve(environment, ONS, data), f"{ONS}, {environment.split(',')[0]}", slot
                )
            ax.set(xscale="log", title="logistic losses")
    for i, ax in enumerate(drawn.axes):
        shown = curve(IID if i < 5 else next(iter(LOGISTIC)), OMD if i < 5 else ONS, data)[0]
        ax.set_xticks(shown, [f"{t:,}" for t in shown])
        ax.xaxis.set_minor_formatter(NullFormatter())  # they would overlap
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("rounds T")
        ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    for ax in drawn.axes[::3]:
        ax.set_ylabel("regret (losses)")
    return drawn


FIGURES = (
    Figure(
        "growth", "Square roots and logarithms", growth_studies, plot_growth,
        "Regret against the best fixed point at several rounds of one run. Upper row: rates for "
        "convex losses, both axes logarithmic; lower row: rates for strongly convex losses and "
        "Newton steps, a logarithm is a straight line. Quadratic losses but for the last panel. "
        "Bands are 95 % intervals of the mean; the adversary draws nothing."
    ),
)  # fmt: skip

SOURCES = {OMD: CHEN, OFTRL: SACHS, OMD_SC: CHEN, OFTL_SC: SACHS, ONS: CHEN}


def _slug(name: str) -> str:
    return name.lower().replace(".", "").replace(",", "").replace(" ", "-")


CLAIMS = (
    *(
        Claim(
            f"root-of-T-{learner.lower()}-{_slug(name)}",
            f"{name}: the regret of {learner} grows as sqrt(T)",
            f"{SOURCES[learner]}, convex", "growth", "exponent 1/2",
            partial(exponent, name, learner), (0.45, 0.55),
        )
        for learner in (OMD, OFTRL)
        for name in (IID, HALF, ADVERSARY)
    ),
    *(
        Claim(
            f"log-T-{learner.lower()}-{_slug(name)}",
            f"{name}: the regret of {learner} grows as log T: equal factors add equal amounts",
            f"{SOURCES[learner]}, strongly convex", "growth", "ratio 1",
            partial(increments, name, learner), (0.75, 1.25),
        )
        for learner in (OMD_SC, OFTL_SC)
        for name in (IID, HALF, ADVERSARY)
    ),
    *(
        Claim(
            f"log-T-{ONS.lower()}-{_slug(name)}",
            f"{name} losses: the regret of {ONS} grows as log T: equal factors add equal amounts",
            f"{CHEN}, exp-concave", "growth", "ratio 1",
            partial(increments, name, ONS), (0.75, 1.25),
        )
        for name in LOGISTIC
    ),
    *(
        Claim(
            f"constant-{learner.lower()}",
            f"Where one loss comes again and again, the regret of {learner} stops growing",
            f"{SOURCES[learner]}, sigma = Sigma = 0", "growth", "ratio 1",
            partial(settled, SAME, learner), (0.99, 1.01),
        )
        for learner in (OMD, OFTRL, OMD_SC, OFTL_SC)
    ),
)  # fmt: skip
