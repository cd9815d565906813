"""Tuning SOR: how regret grows with the number of systems."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from matplotlib.ticker import NullFormatter
from scipy.stats import beta as beta_law

from ...core import plotting
from ...core.learners.tallying import Always
from ...core.statistics import Estimate, growth_exponent
from ...core.study import Study
from ...envs.linear_systems import DiagonalShifts, Tabulated
from ...envs.solver_theory import square_beta, tsallis_guarantee
from ..growth import Data, Growth
from ..growth import plot as plot_curves
from ..paper import Scale
from .trials import CHEB, LAWS, LEARNERS, SIZES, TSALLIS, study

TAU = math.exp(-2)  # the least for which the paper proves its Lipschitz constant
FINE = np.round(np.arange(1.4, 1.87, 0.02), 2)  # what "best fixed" chooses from
POINTS = 4000  # of the law, evenly spread over its probability
SOMEONE = "any learner"  # its table matters, not what it does


def theory_grid(law: str, horizon: int) -> np.ndarray:
    """Parameters 1 + (omega_max - 1) i / d, i = 1, ..., d, of Theorem 2.1, for tau = e^-2 and the
    law's own shifts: d grows as the cube root of T."""
    shares = beta_law(LAWS[law].a, LAWS[law].b).ppf((np.arange(POINTS) + 0.5) / POINTS)
    promised = tsallis_guarantee(square_beta(-0.15 + 0.6 * shares, 10), TAU, horizon)
    arms = math.ceil(promised.num_arms)
    return 1 + (promised.largest - 1) * np.arange(1, arms + 1) / arms


def growth_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]

    def systems(law: str, omegas: np.ndarray) -> dict[str, Tabulated]:
        return {law: Tabulated(DiagonalShifts(omegas=omegas, a=LAWS[law].a, b=LAWS[law].b))}

    laws = list(LAWS)[:1] if scale == "smoke" else list(LAWS)  # each grid is a program to compile
    found = [study("contextual", list(LAWS), [CHEB], scale)]
    for law in laws:
        last, fixed = size.horizons[-1], {SOMEONE: Always(0)}
        fine = systems(law, FINE)
        found.append(Study(f"fine, {law}", fine, fixed, last, size.growths, size.horizons))
        for horizon in size.horizons:
            grid = systems(law, theory_grid(law, horizon))
            name, learner = f"grid of {horizon}, {law}", {TSALLIS: LEARNERS[TSALLIS]}
            found.append(Study(name, grid, learner, horizon, size.growths, (horizon,)))
    return found


def tsallis_regret(law: str, data: Data) -> Growth:
    """Iterations of Tsallis-INF with the grid of each horizon, above those of the fine grid's best
    fixed parameter for the same systems."""
    fine = data[f"fine, {law}"].sel(environment=law, learner=SOMEONE)
    least = fine.fixed_iterations.min("arm").transpose("checkpoint", "seed")
    horizons = [int(t) for t in fine.checkpoint]
    runs = [
        data[f"grid of {t}, {law}"].iterations.sel(environment=law, learner=TSALLIS).isel(
            checkpoint=-1
        ).values
        for t in horizons
    ]  # fmt: skip
    return Growth(np.array(horizons), np.stack(runs).astype(float) - least.values)


def chebyshev_regret(law: str, data: Data) -> Growth:
    """Iterations of ChebCB above those of omega*(c), which needs no horizon: one run, looked at
    several times, from a tenth of it on."""
    found = data["contextual"].contextual_regret.sel(environment=law, learner=CHEB)
    found = found.transpose("checkpoint", "seed")
    last = int(found.checkpoint[-1])
    near = [last // 10, last // 5, 2 * last // 5, last]
    places = [int(np.argmin(np.abs(found.checkpoint.values - t))) for t in near]
    kept = found.isel(checkpoint=sorted(set(places)))
    return Growth(kept.checkpoint.values.astype(int), kept.values.astype(float))


def exponent(regret, law: str, data: Data, level: float) -> Estimate:
    horizons, values = regret(law, data)
    return growth_exponent(horizons, values, level)


def plot_growth(data: Data):
    drawn = plotting.figure(1, 2, width=4.8, height=4.2)
    panels = (
        (tsallis_regret, 2 / 3, "2/3", f"{TSALLIS}, theory's grid", "to the best fixed ω"),
        (chebyshev_regret, 9 / 11, "9/11", CHEB, "to ω*(c)"),
    )
    for ax, (regret, power, name, title, against) in zip(drawn.axes, panels, strict=True):
        curves = {law: regret(law, data) for law in LAWS if f"fine, {law}" in data}
        guides = {f"$T^{{{name}}}$": partial(_power, power)}
        plot_curves(ax, curves, guides, title)
        ax.set(xlabel="systems T", ylabel=f"regret {against} (iterations)")
        ax.set_xticks(shown := next(iter(curves.values()))[0], [f"{t:,}" for t in shown])
        ax.xaxis.set_minor_formatter(NullFormatter())  # they would overlap
    return drawn


def _power(power: float, rounds: np.ndarray) -> np.ndarray:
    return rounds**power
