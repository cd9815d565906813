"""Regret in the number of episodes, in the worst of problems of the same kind."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import NullLocator

from ...core import plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, growth_exponent, mean, ratio_of_means, split_level
from ...core.study import Study
from ..growth import Data, Growth, exponent, final, plot, studies, worst_growth
from ..paper import Figure, Scale
from .players import (
    BARRIER,
    CHOSEN,
    FAST,
    LEARNERS,
    PLAIN,
    REDUCED,
    SEQUENCES,
    SIZES,
    WHAT,
    chosen,
    family,
)


class Size(NamedTuple):
    horizons: tuple[int, ...]
    seeds: int


SCALES: dict[Scale, Size] = {
    "smoke": Size((64, 256), 4),
    "quick": Size((256, 1024, 4096), 32),
    "paper": Size((1024, 4096, 16_384), 200),
}
_PREFIX = "K="


def _names(sequence: str) -> tuple[str, ...]:
    return (*LEARNERS, FAST) if sequence == "opposed" else LEARNERS


def _studies(sequence: str, scale: Scale) -> list[Study]:
    """A study for every horizon, on which the parameters depend."""
    horizons, seeds = SCALES[scale]
    envs, learners = family(sequence, SIZES[scale]), chosen(*_names(sequence))
    return [Study(f"{_PREFIX}{k}", envs, learners, k, seeds, (k,)) for k in horizons]


def _worst(learner: str, data: Data) -> Growth:
    return worst_growth(data, _PREFIX, learner)


# ---- pictures ------------------------------------------------------------------------------


def _plot(sequence: str, data: Data):
    drawn = plotting.figure(1, 2, width=5.6, height=4.2)
    left, right = drawn.axes
    curves = {name: _worst(name, data) for name in _names(sequence)}
    guides = {"square root": np.sqrt, "two thirds": lambda k: k ** (2 / 3)}
    plot(left, curves, guides, f"{sequence}, worst size")
    label_episodes(left, curves[PLAIN].horizons)
    left.set_ylabel("regret (losses)")
    last = studies(data, _PREFIX)[-1]
    names = [str(name) for name in last.environment.values]
    sizes = np.array([float(name.rpartition(" ")[2]) for name in names])
    for slot, learner in enumerate(_names(sequence)):
        value, low, high = mean(np.stack([final(last, name, learner) for name in names]))[:3]
        look = plotting.line_style(slot)
        right.plot(sizes, value, marker="o", ms=4, label=learner, **look)
        right.fill_between(sizes, low, high, color=look["color"], alpha=0.2, lw=0)
    right.set(
        xscale="log", xlabel="size of what sets policies apart, relative", ylim=(0, None),
        title=f"all sizes, K = {int(last.attrs['horizon']):,}",
    )  # fmt: skip
    right.set_xticks(sizes, [f"{size:g}" for size in sizes])
    right.xaxis.set_minor_locator(NullLocator())
    return drawn


def label_episodes(ax, horizons: np.ndarray) -> None:
    ax.set_xlabel("episodes K")
    ax.set_xticks(horizons, [f"{k:,}" for k in horizons])
    ax.xaxis.set_minor_locator(NullLocator())


# ---- claims --------------------------------------------------------------------------------


def _steeper(data: Data, level: float) -> Estimate:
    """The exponent of plain estimates less that of reduced ones; both intervals hold at once."""
    split = split_level(level, 2)
    first, second = (growth_exponent(*_worst(name, data), split) for name in (PLAIN, REDUCED))
    return Estimate(
        first.value - second.value, first.low - second.high, first.high - second.low, level
    )


def _last_ratio(learner: str, other: str, data: Data, level: float) -> Estimate:
    """Regret at the largest K over that of another learner, each in its worst problem."""
    first, second = (_worst(name, data).values[-1] for name in (learner, other))
    return ratio_of_means(first, second, level)


_DAI, _LUO = "Dai et al., ICML 2023", "Luo, Wei and Lee, NeurIPS 2021"
_RATES = {
    BARRIER: (0.5, "sqrt(K)", f"{_DAI}, first algorithm"),
    REDUCED: (0.5, "sqrt(K)", f"{_DAI}, second algorithm"),
    PLAIN: (2 / 3, "K^(2/3)", f"{_LUO}, linear Q"),
}
_SLUGS = {BARRIER: "barrier", REDUCED: "reduced", PLAIN: "plain"}


def _claims(sequence: str) -> tuple[Claim, ...]:
    rates = tuple(
        Claim(
            f"{sequence}-{_SLUGS[name]}-rate", f"{WHAT[sequence]}: the worst regret of {name} "
            f"grows no faster than {text}, up to a factor ln K", source, sequence,
            f"exponent of regret / ln K at most {power:.3g}",
            exponent(partial(_worst, name), 1.0), (-np.inf, power),
        )
        for name, (power, text, source) in _RATES.items()
    )  # fmt: skip
    pairs = [(BARRIER, PLAIN), (REDUCED, PLAIN)]
    pairs += [(REDUCED, FAST)] if sequence == "opposed" else []
    ratios = tuple(
        Claim(
            f"{sequence}-{_SLUGS[name]}-{_SLUGS.get(other, 'fast')}", f"{WHAT[sequence]}: at the "
            f"largest K the worst regret of {name} is below that of {other}", f"{_DAI}; the "
            "comparison is ours", sequence, "ratio below 1",
            partial(_last_ratio, name, other), (0.0, 1.0),
        )
        for name, other in pairs
    )  # fmt: skip
    steeper = Claim(
        f"{sequence}-steeper", f"{WHAT[sequence]}: the worst regret grows faster with plain "
        "estimates than with reduced ones", f"{_DAI}; the comparison is ours", sequence,
        "2/3 - 1/2 = 1/6 in theory, above 0", _steeper, (0.0, np.inf),
    )  # fmt: skip
    return *rates, steeper, *ratios


_CELLS = ", ".join(f"{name} {CHOSEN[name]}" for name in LEARNERS)
FIGURES = tuple(
    Figure(
        sequence, f"Regret and episodes: {WHAT[sequence]}", partial(_studies, sequence),
        partial(_plot, sequence),
        "Left: regret against the best policy in hindsight, every K a run of its own whose "
        "parameters follow K. What sets policies apart is scaled by each of the sizes on the "
        "right; half of the seeds choose the worst size of every learner and K, the others are "
        f"drawn. Constants, rate / bonus, are the same in all figures ({_CELLS}); see the figure "
        "`constants`. Bands are 95 % t intervals.",
    )
    for sequence in SEQUENCES
)  # fmt: skip
CLAIMS = tuple(claim for sequence in SEQUENCES for claim in _claims(sequence))
