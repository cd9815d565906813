"""Learning to relax: tuning SSOR-preconditioned CG through the steps of the heat equation.

The numbers in `TOTALS` and `LEARNED` are not the paper's, which has curves only. They come from a
program that was written apart from this package, and that counts as the authors' code does wherever
the two were compared.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import ScalarFormatter

from ...core import plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, largest, mean, split_level
from ...envs.heat import DT, STEPS, kappa
from ...envs.linear_systems import OMEGAS
from ..growth import Data
from ..paper import Figure
from .heat_clock import plot_clock
from .heat_runs import (
    BINNED,
    CHEB,
    LEARNERS,
    PERIOD,
    TSALLIS,
    WINDOW,
    Run,
    actions_study,
    by_size,
    looks_of,
    runs,
    studies,
    study,
    whole_runs,
)

LEAST = "best ω of every step"
TOTALS: dict[int, dict[str | float, int]] = {  # over 5,000 steps, by nx
    25: {"CG": 85_422, 1.0: 32_800, 1.4: 29_454, 1.5: 32_296, LEAST: 24_158},
    100: {
        "CG": 325_008, 1.0: 117_568, 1.3: 90_518, 1.5: 77_269, 1.7: 65_734, 1.75: 63_834,
        1.8: 64_388, 1.85: 71_420, 1.95: 112_686, LEAST: 49_576,
    },
    200: {
        "CG": 655_331, 1.0: 233_676, 1.5: 141_582, 1.75: 107_243, 1.8: 100_910, 1.85: 95_874,
        1.9: 97_233, 1.95: 130_183,
    },
}  # fmt: skip
LEARNED: dict[int, dict[str, tuple[int, int]]] = {  # mean and deviation of its seeds
    25: {TSALLIS: (31_139, 321), BINNED: (29_559, 239), CHEB: (24_981, 275)},
    100: {TSALLIS: (69_986, 1357), BINNED: (67_109, 1029), CHEB: (51_479, 516)},
}
SEEDS = 20  # of that program
REIMPLEMENTED = "an independent re-implementation"

# ---- pictures ------------------------------------------------------------------------------


def _curves(run: Run) -> dict[str, float]:
    """Iterations that no learner has a part in."""
    return {
        "CG": float(run.cg[-1]),
        "ω = 1": run.at(1.0),
        "ω = 1.5": run.at(1.5),
        "best fixed ω": float(run.fixed[-1].min()),
        LEAST: float(run.least[-1]),
    }


def plot_iterations(data: Data):
    found = runs(data)
    unknowns = [(run.nx - 1) ** 2 for run in found]
    drawn = plotting.figure(1, 2, width=4.8, height=4.4)
    names = [*_curves(found[0]), *LEARNERS]
    for ax, relative in zip(drawn.axes, (False, True), strict=True):
        units = [run.least[-1] if relative else run.steps / STEPS for run in found]
        for name, look in looks_of(names).items():
            if name in LEARNERS:
                pairs = zip(found, units, strict=True)
                samples = np.stack([run.of(name)[-1] / unit for run, unit in pairs])
                low, high = np.quantile(samples, (0.025, 0.975), axis=1)
                ax.fill_between(unknowns, low, high, alpha=0.2, color=look["color"], linewidth=0)
                values = samples.mean(axis=1)
            else:
                values = [_curves(run)[name] / u for run, u in zip(found, units, strict=True)]
            ax.plot(unknowns, values, marker="o", markersize=3.5, label=name, **look)
        ax.set(xscale="log", yscale="log")
        by_size(ax, found)
    drawn.axes[0].set_ylabel("iterations in 5,000 steps")
    drawn.axes[1].set_ylabel(f"over those of the {LEAST}")
    drawn.axes[1].set_yticks([1, 1.5, 2, 3, 5, 10])
    drawn.axes[1].yaxis.set_major_formatter(ScalarFormatter())
    drawn.axes[1].set_ylim(top=10, bottom=0.95)
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return drawn


def windows(sums: np.ndarray) -> np.ndarray:
    """Means over the steps of each window, from sums [checkpoint, ...]."""
    return np.diff(sums, axis=0, prepend=0) / WINDOW


def played(run: Run, learner: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the parameter over the steps of each window and all seeds."""
    value = windows(run.of(learner, "omega")).mean(axis=1)
    square = windows(run.of(learner, "omega_squared")).mean(axis=1)
    return value, np.sqrt(np.maximum(square - value**2, 0))


def plot_actions(data: Data):
    (run,) = runs(data)
    drawn = plotting.figure(len(LEARNERS), 1, width=8.4, height=2.5)
    cost = windows(run.fixed)
    middle = DT * (np.arange(len(cost)) + 0.5) * WINDOW
    top = max(float(cost.max()), 1.1 * float(cost.min()))
    levels = np.geomspace(cost.min(), top, 15)
    for ax, name in zip(drawn.axes, LEARNERS, strict=True):
        picture = ax.contourf(
            middle, OMEGAS, cost.T, levels, norm=LogNorm(levels[0], top), cmap="cividis"
        )
        value, spread = played(run, name)
        ax.fill_between(
            middle, value - spread, value + spread, color="white", alpha=0.25, linewidth=0
        )
        ax.plot(middle, value, color="white", linewidth=2.2)
        ax.plot(middle, value, color=plotting.COLOURS[1], linewidth=1.3)
        ax.axhline(OMEGAS[run.best], color="white", linestyle="--", linewidth=1)
        ax.set(title=f"{name}, nx = {run.nx}", ylabel="ω", ylim=(OMEGAS[0], OMEGAS[-1]))
        ax.grid(False)
    drawn.axes[-1].set_xlabel("time t (1,000 steps to a unit)")
    bar = drawn.colorbar(picture, ax=drawn.axes, format="%.3g", ticks=levels[::2])
    bar.set_label("iterations a step")
    return drawn


def plot_coefficient(data: Data):
    (run,) = runs(data)
    drawn = plotting.figure(1, 2, width=4.8, height=3.6)
    times = np.linspace(0, STEPS * DT, 2001)
    drawn.axes[0].plot(times, kappa(times))
    drawn.axes[0].set(xlabel="time t", ylabel="κ(t)", title="coefficient")
    middle = DT * (np.arange(run.steps // WINDOW) + 0.5) * WINDOW
    for slot, (name, sums) in enumerate(
        (("ω = 1", run.fixed[:, 0]), ("best fixed ω", run.fixed[:, run.best]), (LEAST, run.least))
    ):
        drawn.axes[1].plot(middle, windows(sums), label=name, **plotting.line_style(slot))
    drawn.axes[1].set(xlabel="time t", ylabel="iterations a step", title=f"nx = {run.nx}")
    drawn.axes[1].legend(fontsize="small", ncols=3, loc="upper center")
    drawn.axes[1].set_ylim(top=1.2 * windows(run.fixed[:, 0]).max())
    return drawn


# ---- what is claimed -----------------------------------------------------------------------


def _exact(value: float, level: float) -> Estimate:
    """Of a number in which there is no chance."""
    return Estimate(float(value), float(value), float(value), level)


def _nothing(level: float) -> Estimate:
    """Of a size that was not run."""
    return Estimate(math.nan, math.nan, math.nan, level)


def _at(data: Data, *sizes: int) -> list[Run]:
    """Runs of the paper's number of steps, all sizes if none is named."""
    return [run for run in whole_runs(data) if not sizes or run.nx in sizes]


def furthest_total(nx: int, data: Data, level: float) -> Estimate:
    """Largest relative difference to the totals of the other program."""
    for run in _at(data, nx):
        known = {"CG": float(run.cg[-1]), LEAST: float(run.least[-1])}
        ours = {name: known.get(str(name)) or run.at(float(name)) for name in TOTALS[nx]}
        return _exact(max(abs(ours[x] / total - 1) for x, total in TOTALS[nx].items()), level)
    return _nothing(level)


def learned_distance(learner: str, data: Data, level: float) -> Estimate:
    """How far our mean is from the other program's, in standard errors of that one's; the largest
    over the sizes that both have."""
    found = _at(data, *LEARNED)
    split, distances = split_level(level, max(len(found), 1)), []
    for run in found:
        theirs, deviation = LEARNED[run.nx][learner]
        value, low, high = (float(x) for x in mean(run.of(learner)[-1], level=split)[:3])
        away, reach = abs(value - theirs), max(high - value, value - low)
        parts = np.array([away, max(0.0, away - reach), away + reach])
        value, low, high = parts * math.sqrt(SEEDS) / deviation
        distances.append(Estimate(value, low, high, split))
    return largest(distances)._replace(level=level) if distances else _nothing(level)


def most_relative(who: tuple[str, ...], to, sizes: tuple[int, ...], data: Data, level: float):
    """Mean iterations over those of `to`, a function of the run: the largest over learners and
    sizes."""
    found = _at(data, *sizes)
    if not found:
        return _nothing(level)
    split = split_level(level, len(found) * len(who))
    ratios = [mean(run.of(name)[-1] / to(run), level=split) for run in found for name in who]
    return largest(ratios)._replace(level=level)


def speed_up(learner: str, nx: int, data: Data, level: float) -> Estimate:
    """Iterations with omega = 1 over those of a learner on average."""
    for run in _at(data, nx):
        return mean(run.of(learner)[-1] / run.at(1.0), level=level).map(lambda x: 1 / x)
    return _nothing(level)


def least_growth(data: Data, level: float) -> Estimate:
    """Smallest change of the best fixed parameter from one size to the next, over whole periods."""
    best = [OMEGAS[run.best] for run in whole_runs(data, PERIOD)]
    return _exact(np.diff(best).min(), level) if len(best) > 1 else _nothing(level)


def tie_of_middle(data: Data, level: float) -> Estimate:
    """omega = 1.5 over the best fixed parameter on the small grids, the largest."""
    found = _at(data, 25, 50)
    ratios = [run.at(1.5) / run.fixed[-1].min() for run in found]
    return _exact(max(ratios), level) if found else _nothing(level)


def follows(learner: str, data: Data, level: float) -> Estimate:
    """Mean parameter while kappa is large less that while it is small, over whole periods."""
    found = whole_runs(data, PERIOD)
    if not found:
        return _nothing(level)
    per_window = windows(found[0].of(learner, "omega"))
    halves = per_window[: found[0].steps // PERIOD * PERIOD // WINDOW].reshape(
        -1, 2, PERIOD // (2 * WINDOW), per_window.shape[1]
    )
    return mean((halves[:, 1] - halves[:, 0]).mean(axis=(0, 1)), level=level)


def _best_fixed(run: Run) -> float:
    return float(run.fixed[-1].min())


def _cg_or_one(run: Run) -> float:
    return float(min(run.cg[-1], run.at(1.0)))


def _middle(run: Run) -> float:
    return run.at(1.5)


def _least(run: Run) -> float:
    return float(run.least[-1])


def _relative(name: str, statement: str, who, to, sizes, region, paper_value, source) -> Claim:
    return Claim(
        f"heat-{name}", statement, source, "heat_iterations", paper_value,
        partial(most_relative, who, to, sizes), region, "times",
    )  # fmt: skip


BOTH = (TSALLIS, CHEB)
SECTION = "paper, heat equation and Figure 2 (centre right)"

CLAIMS = (
    *(
        Claim(
            f"heat-totals-{nx}",
            f"nx = {nx}: totals with fixed parameters (and CG, and the {LEAST}, where known) are "
            f"those of the other program to 0.1 %",
            f"{REIMPLEMENTED}, 5,000 steps", "heat_iterations", "relative difference 0",
            partial(furthest_total, nx), (0.0, 0.001),
        )
        for nx in TOTALS
    ),
    *(
        Claim(
            f"heat-mean-{learner.lower()}",
            f"{learner}: the mean total is the other program's, but for sampling (in its standard "
            f"errors, the largest over nx = 25 and 100)",
            f"{REIMPLEMENTED}, {SEEDS} seeds", "heat_iterations", "at most 4",
            partial(learned_distance, learner), (0.0, 4.0), "s.e.",
        )
        for learner in LEARNERS
    ),
    *(
        Claim(
            f"heat-speed-up-{learner.lower()}",
            f"{learner} is about {factor} times as fast as Gauss-Seidel (ω = 1): here in "
            f"iterations at nx = 200, as the paper does not say at which size; about: a quarter",
            "paper, heat equation", "heat_iterations", f"{factor}",
            partial(speed_up, learner, 200), (0.75 * factor, 1.25 * factor), "times",
        )
        for learner, factor in ((TSALLIS, 2.4), (CHEB, 3.5))
    ),
    _relative(
        "beats-best-fixed", "ChebCB takes fewer iterations than the best fixed ω, at all sizes",
        (CHEB,), _best_fixed, (), (0.0, 1.0), "below 1 in most cases", SECTION,
    ),
    _relative(
        "beats-cg", "Tsallis-INF and ChebCB take fewer iterations than CG and than ω = 1",
        BOTH, _cg_or_one, (), (0.0, 1.0), "below 1", SECTION,
    ),
    _relative(
        "beats-middle",
        "From nx = 100 on, Tsallis-INF and ChebCB take fewer iterations than ω = 1.5",
        BOTH, _middle, (100, 200), (0.0, 1.0), "below 1", SECTION,
    ),
    Claim(
        "heat-middle-ties",
        "At nx = 25 and 50, ω = 1.5 almost equals the best fixed ω: within 10 %, our reading",
        SECTION, "heat_iterations", "nearly 1", tie_of_middle, (1.0, 1.1), "times",
    ),
    _relative(
        "near-least", f"ChebCB takes at most 5 % more iterations than the {LEAST}",
        (CHEB,), _least, (), (1.0, 1.05), "1.034 and 1.038 (nx = 25, 100)",
        f"{REIMPLEMENTED}, {SEEDS} seeds; 5 % is ours",
    ),
    Claim(
        "heat-best-grows", "The best fixed ω grows with the size: by more than half a step of the "
        "grid from each size to the next",
        f"{REIMPLEMENTED}: 1.40, 1.75, 1.85 at nx = 25, 100, 200", "heat_iterations",
        "differences above 0", least_growth, (0.025, math.inf),
    ),
    Claim(
        "heat-actions-follow", "ChebCB plays larger ω while κ is large than while it is small",
        "paper, Figure 2 (right)", "heat_actions", "difference above 0",
        partial(follows, CHEB), (0.0, math.inf),
    ),
)  # fmt: skip

FIGURES = (
    Figure(
        "heat_iterations", "The heat equation: iterations against the size", studies,
        plot_iterations,
        f"Figure 2 (centre right): PCG iterations over 5,000 steps (shorter runs, at smaller "
        f"scales, are scaled up), and over those of the {LEAST}, the least count on the grid 1, "
        f"1.05, ..., 1.95, which stands for the paper's instance-optimal parameter by golden "
        f"section (CG leaves the picture there). Bands hold 95 % of the seeds. nx up to 200; the "
        f"paper has 400 too.",
    ),
    Figure(
        "heat_actions", "What is played while the coefficient changes", actions_study,
        plot_actions,
        f"Figure 2 (right): mean and standard deviation of ω over {WINDOW} steps and all seeds, on "
        f"what every ω costs in these steps; dashed: the best fixed ω. nx = 100, at quick 50. The "
        f"paper draws moving means of single runs.",
    ),
    Figure(
        "heat_coefficient", "The coefficient of the heat equation",
        lambda scale: [study(25, scale)], plot_coefficient,
        "Figure 6: κ(t) = max(0.1 sin 2πt, -10 sin 2πt), as in the authors' code (the paper prints "
        "0.01), and what it makes of the number of iterations.",
    ),
    Figure(
        "heat_wallclock", "The heat equation: time relative to CG", studies, plot_clock,
        "Figure 6: iterations counted by the study times seconds an iteration (the fastest of "
        "several solves of one system, at the largest κ), plus what learners take in a step to "
        "choose and learn; the direct solver is SciPy's sparse LU, factored in every step. Seconds "
        "are measured on this machine when the figure is drawn and change with it and its load.",
    ),
)  # fmt: skip
