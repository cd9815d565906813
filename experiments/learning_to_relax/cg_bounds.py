"""Conjugate gradients preconditioned by SSOR: counts beside their bound, on two regions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from ...core import plotting
from ...core.statistics import Estimate, largest, mean, ratio_of_means, smallest, split_level
from ...core.study import Study
from ...envs import solver_theory as theory
from ...envs.grids import Grid, l_shape, square
from ...envs.linear_systems import DiagonalShifts
from ..growth import Data, final
from ..paper import Scale
from .spectra import counts_of, one_round

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHIFTS = (0.0, 0.5)
SIZES: dict[Scale, tuple[tuple[int, ...], int, int]] = {  # sides, parameters, seeds
    "smoke": ((10,), 10, 4),
    "quick": ((10, 30), 25, 10),
    "paper": ((10, 30), 100, 40),
}
PLAIN = "CG"
REFERENCE: dict[tuple[str, float], tuple[int, int]] = {  # fewest iterations, and those of plain CG
    ("square 100", 0.0): (13, 33),
    ("square 100", 0.5): (9, 26),
    ("square 900", 0.0): (22, 96),
    ("square 900", 0.5): (9, 36),
    ("L 75", 0.0): (12, 32),
    ("L 75", 0.5): (9, 25),
    ("L 675", 0.0): (20, 91),
    ("L 675", 0.5): (9, 35),
}  # one right-hand side, 25 parameters


def omegas(count: int) -> np.ndarray:
    """Where the theory is about: from 2 sqrt(2) - 2, up to 1.9 [count]."""
    return np.linspace(2 * np.sqrt(2) - 2, 1.9, count)


def studies(scale: Scale) -> list[Study]:
    sides, count, seeds = SIZES[scale]
    found = []
    for side in sides:
        for grid in (square(side),) if scale == "smoke" else (square(side), l_shape(side)):
            for method, some in (("ssor_pcg", omegas(count)), ("cg", np.ones(1))):
                if scale == "smoke" and method == "cg":
                    continue
                problems = {
                    f"{c}": DiagonalShifts(some, low=c, high=c, grid=grid, method=method)
                    for c in SHIFTS
                }
                name = f"{grid.region} {grid.size}"
                found.append(
                    one_round(f"{name}{'' if method == 'ssor_pcg' else PLAIN}", problems, seeds)
                )
    return found


@lru_cache
def spectrum(region: str, size: int, shift: float) -> theory.SsorSpectrum:
    side = round(np.sqrt(size if region == "square" else 4 * size / 3))
    return theory.ssor_spectrum(Grid(region, side).matrix(4 + shift, 1.0))


def _panels(data: Data):
    """(name, shift, spectrum, omegas, counts [seed, omega]) of every region and shift."""
    for name, dataset in data.items():
        if not name.endswith(PLAIN):
            region, size = name.split()
            for shift in SHIFTS:
                counts = counts_of(dataset, f"{shift}")
                known = spectrum(region, int(size), shift)
                yield name, shift, known, omegas(counts.shape[1]), counts


def _plain(data: Data, name: str, shift: float) -> np.ndarray | None:
    """Iterations without a preconditioner [seed]."""
    found = data.get(name + PLAIN)
    return None if found is None else counts_of(found, f"{shift}")[:, 0]


def plot(data: Data):
    panels = list(_panels(data))
    drawn = plotting.figure(-(-len(panels) // 4), min(len(panels), 4), width=3.3, height=3.0)
    for ax, (name, shift, known, grid, counts) in zip(drawn.axes, panels, strict=True):
        tau = theory.empirical_cg_tau(grid, counts[0], known)
        low, high = counts.min(axis=0), counts.max(axis=0)
        ax.fill_between(grid, low, high, color=plotting.COLOURS[0], alpha=0.2, linewidth=0)
        ax.plot(grid, counts.mean(axis=0), color=plotting.COLOURS[0], label="mean, all b")
        ax.plot(grid, counts[0], color="0.3", linewidth=0.9, label="one b")
        bound = theory.ssor_cg_bound(grid, known, tau)
        ax.plot(grid, bound, "--", color=plotting.COLOURS[1], label="its bound")
        ax.axvline(theory.best_ssor_omega(known), color=plotting.COLOURS[1], linewidth=0.8, ls=":")
        if (plain := _plain(data, name, shift)) is not None:
            ax.plot(grid[[0, -1]], [plain.mean()] * 2, "-.", color="0.5", label="CG alone")
        ax.set(xlabel=r"$\omega$", ylabel="iterations", yscale="log")
        ax.set_title(f"{name.replace(' ', ', n = ')}, c = {shift:g}\n$\\tau$ = {tau:.2f}")
        plain_numbers(ax)
    drawn.axes[0].legend(fontsize="x-small")
    return drawn


def plain_numbers(ax: Axes) -> None:
    """On a logarithmic axis of less than two decades: 20, 30, 50, 100..."""
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


# ---- claims --------------------------------------------------------------------------------


def least_tau(data: Data, level: float) -> Estimate:
    """The mean over right-hand sides of the factor that the bound needs, where it is least."""
    panels = list(_panels(data))
    split = split_level(level, len(panels))
    taus = [
        [theory.empirical_cg_tau(grid, row, known) for row in counts]
        for _, _, known, grid, counts in panels
    ]
    return smallest([mean(row, level=split) for row in taus])._replace(level=level)


def cost_of_minimiser(data: Data, level: float) -> Estimate:
    """Mean count where the bound is least, over that of any other parameter; the worst panel."""
    panels, ratios = list(_panels(data)), []
    for _, _, known, grid, counts in panels:
        at = int(np.argmin(np.abs(grid - theory.best_ssor_omega(known))))
        split = split_level(level, len(panels) * len(grid))
        rows = counts.T
        found = ratio_of_means(np.broadcast_to(rows[at], rows.shape), rows, split)
        ratios.append(highest(found))
    return largest(ratios)._replace(level=level)


def furthest_from_reference(data: Data, level: float) -> Estimate:
    """The largest relative distance of our means from the counts of `REFERENCE`."""
    pairs = []
    for name, shift, *_ in _panels(data):
        fewest, plain = REFERENCE[name, shift]
        pairs.append((final(data[name], f"{shift}", "none", "least_iterations"), fewest))
        if (ours := _plain(data, name, shift)) is not None:
            pairs.append((ours, plain))
    split = split_level(level, len(pairs))
    return largest([away(values, ref, split) for values, ref in pairs])._replace(level=level)


def highest(found: Estimate) -> Estimate:
    """Of many quantities, each with its interval, the largest; see `statistics.largest`."""
    value, low, high = (float(np.max(part)) for part in found[:3])
    return Estimate(value, low, high, found.level)


def away(values: np.ndarray, reference: float, level: float) -> Estimate:
    """|mean / reference - 1|."""
    value, low, high = (float(part) / reference - 1 for part in mean(values, level=level)[:3])
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Estimate(abs(value), nearest, max(abs(low), abs(high)), level)
