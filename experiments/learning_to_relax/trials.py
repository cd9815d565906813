"""What the figures on tuning SOR share: the two laws of systems, sizes, learners, sums of costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.ticker import EngFormatter, LogFormatter

from ...core import plotting
from ...core.learners.solver import Binned, TsallisTuner
from ...core.learners.solver.chebyshev import ChebCB
from ...core.statistics import Estimate, mean
from ...core.study import Study
from ...envs.linear_systems import OMEGAS, DiagonalShifts, Tabulated
from ..growth import Data
from ..paper import Scale

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Estimator = Callable[[Data, float], Estimate]


class Law(NamedTuple):
    """Shifts c = -0.15 + 0.6 Beta(a, b)."""

    a: float
    b: float
    reference: float  # the fixed parameter that the paper draws
    best: float  # the best of the grid over 5,000 systems, in the independent re-implementation


LOW, HIGH = "low variance", "high variance"
LAWS = {LOW: Law(2.0, 6.0, 1.6, 1.65), HIGH: Law(0.5, 1.5, 1.8, 1.8)}


class Size(NamedTuple):
    """How large each figure is at one scale."""

    horizon: int
    trials: int
    rivals: int  # trials with learners beyond the paper
    horizons: tuple[int, ...]  # of the growth of regret
    growths: int  # trials of that


SIZES: dict[Scale, Size] = {
    "smoke": Size(48, 8, 8, (24, 48), 8),
    "quick": Size(1000, 16, 16, (60, 120, 240), 16),
    "paper": Size(5000, 400, 100, (500, 1000, 2000, 5000), 16),
}
FULL = 5000  # systems, in the paper

INTERVAL = np.array([-0.15, 0.65], np.float32)  # of contexts, as the authors' learners cut it
TSALLIS, BINNED, CHEB = "Tsallis-INF", "Tsallis-INF-CB", "ChebCB"
PUBLISHED, BINNED_PUBLISHED = "Tsallis-INF, published", "Tsallis-INF-CB, published"
LEARNERS: dict[str, Any] = {
    TSALLIS: TsallisTuner(),
    BINNED: Binned(TsallisTuner(), 5, interval=INTERVAL),
    CHEB: ChebCB(interval=INTERVAL, degree=5),
    PUBLISHED: TsallisTuner(newton="published"),
    BINNED_PUBLISHED: Binned(TsallisTuner(newton="published"), 5, interval=INTERVAL),
}
OPTIMAL, HINDSIGHT = "ω*(c), instance by instance", "best fixed ω in hindsight"
Who = str | float  # a learner, one of these two, or a fixed parameter


def table(law: str) -> Tabulated:
    """The systems of a law, with the grid of the paper."""
    return Tabulated(DiagonalShifts(a=LAWS[law].a, b=LAWS[law].b))


def checkpoints(horizon: int) -> tuple[int, ...]:
    """The same in all studies, so that they share what is stored."""
    step = max(1, min(20, horizon // 12))
    return tuple(t for t in range(step, horizon + 1, step) if t <= 1000 or not t % 50)


def study(name: str, laws: list[str], learners: list[str] | dict[str, Any], scale: Scale) -> Study:
    """Learners on the systems of some laws: trial i meets the same systems in every study."""
    size = SIZES[scale]
    chosen = {who: LEARNERS[who] for who in learners} if isinstance(learners, list) else learners
    environments = {law: table(law) for law in laws}
    return Study(name, environments, chosen, size.horizon, size.trials, checkpoints(size.horizon))


# ---- costs ---------------------------------------------------------------------------------


def totals(dataset: xr.Dataset, law: str, who: Who) -> np.ndarray:
    """Iterations so far, [checkpoint, seed]. What does not depend on a learner is taken from the
    run of the first one."""
    there = dataset.sel(environment=law)
    if isinstance(who, float):
        arm = int(np.argmin(np.abs(OMEGAS - who)))
        found = there.fixed_iterations.isel(learner=0, arm=arm)
    elif who == HINDSIGHT:
        found = there.fixed_iterations.isel(learner=0).min("arm")
    elif who == OPTIMAL:
        found = there.best_iterations.isel(learner=0)
    else:
        found = there.iterations.sel(learner=who)
    return np.asarray(found.transpose("checkpoint", "seed").values, np.float64)


def per_instance(
    dataset: xr.Dataset, law: str, who: Who, stop: int | None = None, last: int | None = None
) -> np.ndarray:
    """Mean iterations of an instance up to `stop`, or of its `last` ones before, [seed]."""
    sums, rounds = totals(dataset, law, who), [int(t) for t in dataset.checkpoint]
    stop = rounds[-1] if stop is None else stop
    total, count = sums[rounds.index(stop)], stop
    if last is not None and last < stop:
        total, count = total - sums[rounds.index(stop - last)], last
    return total / count


def only(data: Data) -> xr.Dataset:
    """The one study of a figure."""
    (dataset,) = data.values()
    return dataset


def at_full_length(estimate: Estimator) -> Estimator:
    """Undecided, by not being a number, where there are fewer systems than in the paper."""

    def judged(data: Data, level: float) -> Estimate:
        if max(int(dataset.attrs["horizon"]) for dataset in data.values()) < FULL:
            return Estimate(math.nan, math.nan, math.nan, level)
        return estimate(data, level)

    return judged


# ---- drawing -------------------------------------------------------------------------------


def label(who: Who) -> str:
    return f"fixed ω = {who:g}" if isinstance(who, float) else str(who)


def plot_averages(ax: Axes, dataset: xr.Dataset, law: str, looks: Mapping[Who, dict[str, Any]]):
    """Mean iterations of an instance over the first t instances, with 95 % intervals."""
    rounds = dataset.checkpoint.values.astype(float)
    for who, look in looks.items():
        value, low, high = mean(totals(dataset, law, who) / rounds[:, None])[:3]
        ax.plot(rounds, value, label=label(who), **look)
        if dataset.sizes["seed"] > 1:
            ax.fill_between(rounds, low, high, color=look["color"], alpha=0.2, linewidth=0)
    ax.set(xlabel="instances t", ylabel="iterations per instance, mean up to t")
    ax.set(xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(LogFormatter())
    ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.6)))  # 60, not 6 x 10^1


def plot_remaining(ax: Axes, dataset: xr.Dataset, law: str, looks: Mapping[Who, dict[str, Any]]):
    """As the paper draws it: instances that remain against iterations so far."""
    rounds = np.concatenate([[0], dataset.checkpoint.values])
    for who, look in looks.items():
        spent = np.concatenate([[0], totals(dataset, law, who).mean(axis=1)])
        ax.plot(spent, rounds[-1] - rounds, label=label(who), **look)
    ax.set(xlabel="cumulative iterations (mean of trials)", ylabel="instances remaining")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def looks_of(players: list[Who]) -> dict[Who, dict[str, Any]]:
    """A line for everyone; what does not learn is dashed."""
    return {
        who: {"color": plotting.COLOURS[i % 7], "linestyle": "-" if who in LEARNERS else "--"}
        for i, who in enumerate(players)
    }
