"""SOR: counts beside what its spectrum says, as pictures and as numbers for claims.

The near-asymptotic bound U holds, by definition, for the right-hand side and the parameters that
its constant tau was made from. So tau is made from some and U held against others.
"""

from __future__ import annotations

import numpy as np

from ...core import plotting
from ...core.statistics import (
    Estimate,
    largest,
    mean,
    paired_difference,
    proportion,
    ratio_of_means,
    smallest,
    split_level,
)
from ...envs import solver_theory as theory
from ...envs.grids import square
from ..growth import Data, final
from . import spectra as spectra
from .cg_bounds import away, highest, plain_numbers
from .spectra import BETA, counts_of, omegas

STAR = float(theory.optimal_omega(BETA))
PROVED = float(np.exp(-2))  # tau for which U is known to be semi-Lipschitz
BLUE, RED, GREEN = plotting.COLOURS[:3]

# ---- Figure 1, left and right: one matrix --------------------------------------------------


def _fixed(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Parameters [omega] and counts [seed, omega] of c = 0."""
    counts = counts_of(data["fixed"], "fixed")
    return omegas("fixed", counts.shape[1]), counts


def _first_bound(data: Data) -> tuple[np.ndarray, float]:
    """U [omega] with the tau of the first right-hand side, and that tau."""
    grid, counts = _fixed(data)
    tau = float(spectra.quotients(0.0, grid, counts[0]).max())
    return theory.near_asymptotic_bound(grid, BETA, tau), tau


def _energy(grid: np.ndarray) -> np.ndarray:
    return theory.energy_bound(square(spectra.SIDE).matrix(4.0, 1.0), grid)


def plot_bounds(data: Data):
    drawn = plotting.figure(1, 1, width=6.4, height=4.2)
    (ax,) = drawn.axes
    (grid, counts), (bound, tau) = _fixed(data), _first_bound(data)
    ax.fill_between(grid, counts.min(axis=0), counts.max(axis=0), color=BLUE, alpha=0.2, lw=0)
    ax.plot(grid, counts.mean(axis=0), color=BLUE, label="iterations, mean and range over b")
    ax.plot(grid, counts[0], color="0.3", lw=0.9, label="iterations, one b")
    ax.plot(grid, bound, "--", color=RED, label=rf"its near-asymptotic bound, $\tau$ = {tau:.2f}")
    ax.plot(
        grid,
        theory.asymptotic_count(grid, BETA),
        ":",
        color=GREEN,
        label=r"$\log\varepsilon / \log\rho$",
    )
    ax.plot(grid, _energy(grid), "-.", color=plotting.COLOURS[3], label="energy bound")
    ax.set(xlabel=r"$\omega$", ylabel="iterations", yscale="log")
    plain_numbers(ax)
    ax.legend(fontsize="small")
    return drawn


def plot_asymptocity(data: Data):
    drawn = plotting.figure(1, 1, width=6.0, height=3.8)
    (ax,) = drawn.axes
    grid, counts = _fixed(data)
    some = counts[: spectra.calibrating(len(counts))]
    shares = np.array([spectra.quotients(0.0, grid, row) for row in some])
    rest = 1 - theory.sor_radius(grid, BETA)
    excess = shares * rest
    ax.fill_between(grid, excess.min(axis=0), excess.max(axis=0), color=BLUE, alpha=0.2, lw=0)
    ax.plot(grid, excess[0], color=BLUE, label=r"$\|C^k\|^{1/k} - \rho$, one b; band: range")
    tau = shares[0].max()
    ax.plot(grid, tau * rest, "--", color=RED, label=rf"$\tau (1 - \rho)$, $\tau$ = {tau:.2f}")
    ax.axvline(STAR, color="0.5", lw=0.8, ls=":")
    ax.set(xlabel=r"$\omega$")
    ax.legend(fontsize="small")
    return drawn


def bound_transfers(data: Data, level: float) -> Estimate:
    """Share of the other right-hand sides that U of the first one bounds, at every omega."""
    held = np.all(_fixed(data)[1][1:] < _first_bound(data)[0], axis=1)
    return proportion(int(held.sum()), len(held), level)


def _others(data: Data, level: float) -> Estimate:
    """Mean counts of all right-hand sides but the first [omega], all intervals at once."""
    rows = _fixed(data)[1][1:].T
    found = mean(rows, level=split_level(level, len(rows)))
    return found.map(lambda count: np.maximum(count, 1.0))._replace(level=level)


def _over_energy(data: Data, level: float) -> Estimate:
    """How far U is above the mean count, over how far the energy bound is [omega]."""
    bound, energy = _first_bound(data)[0], _energy(_fixed(data)[0])

    def ratio(count):  # monotone below the energy bound, which no count passes
        below = np.minimum(count, (1 - 1e-9) * energy)
        return (bound - below) / (energy - below)

    return _others(data, level).map(ratio)


def over_energy(data: Data, level: float) -> Estimate:
    return highest(_over_energy(data, level))


def nearer_than_energy(data: Data, level: float) -> Estimate:
    """Share of the parameters where U is nearer to the mean count than the energy bound is."""
    value, high, low = (float(np.mean(np.less(x, 1))) for x in _over_energy(data, level)[:3])
    return Estimate(value, low, high, level)


def looseness(data: Data, level: float) -> Estimate:
    """U over the mean count; the worst omega."""
    bound = _first_bound(data)[0]
    return highest(_others(data, level).map(lambda count: bound / count))


def _cost_of(counts: np.ndarray, arm: int, level: float) -> Estimate:
    """Mean count of one parameter over that of whichever is best: counts [seed, omega]."""
    rows = counts.T
    split = split_level(level, len(rows))
    found = ratio_of_means(np.broadcast_to(rows[arm], rows.shape), rows, split)
    return highest(found)._replace(level=level)


def cost_of_star(data: Data, level: float) -> Estimate:
    grid, counts = _fixed(data)
    return _cost_of(counts, int(np.argmin(np.abs(grid - STAR))), level)


def tau_at_zero(data: Data, level: float) -> Estimate:
    grid, counts = _fixed(data)
    some = counts[: spectra.calibrating(len(counts))]
    return mean([spectra.quotients(0.0, grid, row).max() for row in some], level=level)


# ---- Figure 1, centre: drawn shifts --------------------------------------------------------


def plot_comparators(data: Data):
    drawn = plotting.figure(1, len(data), width=4.6, height=3.9)
    for ax, (law, dataset) in zip(drawn.axes, data.items(), strict=True):
        counts, found = counts_of(dataset, law), spectra.bounded(dataset, law)
        grid = omegas("drawn", counts.shape[1])
        value, low, high = mean(counts.T)[:3]
        ax.fill_between(grid, np.maximum(low, 1), high, color=BLUE, alpha=0.2, lw=0)
        ax.plot(grid, value, color=BLUE, label="iterations, all systems")
        some = f"{len(found.counts)} systems"
        ax.plot(grid, found.counts.mean(axis=0), color="0.3", lw=0.9, label=f"iterations, {some}")
        ax.plot(grid, found.bounds.mean(axis=0), "-.", color=RED, label=f"U, {some}")
        for level, colour in ((counts.min(axis=1).mean(), BLUE), (found.least.mean(), RED)):
            ax.axhline(level, color=colour, ls="--", lw=1)
        ax.set(xlabel=r"$\omega$", ylabel="mean iterations", yscale="log", title=law)
        plain_numbers(ax)
        ax.legend(fontsize="small")
    return drawn


def best_omega(law: str, data: Data, level: float) -> Estimate:
    """The parameter with the least mean count. Interval: all that are not shown to be worse than
    the best of the data, by paired t intervals at once, so that its choice is accounted for."""
    rows = counts_of(data[law], law).T
    grid = omegas("drawn", len(rows))
    best = int(np.argmin(rows.mean(axis=1)))
    worse = paired_difference(
        rows, np.broadcast_to(rows[best], rows.shape), split_level(level, len(rows) - 1)
    )
    left = grid[~(np.asarray(worse.low) > 0)]
    return Estimate(float(grid[best]), float(left[0]), float(left[-1]), level)


# Means of 40 systems in three repeats, by an independent re-implementation: lowest and highest.
REFERENCE = {
    "low variance": {"best fixed": (55, 63), "instance-optimal": (40, 42)},
    "high variance": {"best fixed": (90, 110), "instance-optimal": (52, 61)},
}


def furthest_mean(data: Data, level: float) -> Estimate:
    """How far our means are from the middles of `REFERENCE`, in standard errors of a mean over
    three times 40 systems."""
    pairs = []
    for law, dataset in data.items():
        counts = counts_of(dataset, law)
        best = counts[:, np.argmin(counts.mean(axis=0))]  # its mean moves less than what is chosen
        own = final(dataset, law, "none", "least_iterations")
        pairs += zip((best, own), REFERENCE[law].values(), strict=True)
    split, found = split_level(level, len(pairs)), []
    for values, ends in pairs:
        middle, error = sum(ends) / 2, values.std(ddof=1) / np.sqrt(120)
        scale = middle / error
        found.append(away(values, middle, split).map(lambda share, scale=scale: share * scale))
    return largest(found)._replace(level=level)


def cost_of_bound(data: Data, level: float) -> Estimate:
    """Mean count where the mean of U is least over that of the best parameter, on systems that U
    was not made from; the worse of both laws."""
    found = []
    for law, dataset in data.items():
        made = spectra.bounded(dataset, law)
        chosen = int(np.argmin(made.bounds.mean(axis=0)))
        rest = counts_of(dataset, law)[len(made.counts) :]
        found.append(_cost_of(rest, chosen, split_level(level, len(data))))
    return largest(found)._replace(level=level)


def bound_between(data: Data, level: float) -> Estimate:
    """Share of the systems that U bounds at the parameters that tau was not made from; the smaller
    of both laws."""
    found = []
    for law, dataset in data.items():
        made = spectra.bounded(dataset, law)
        others = np.arange(made.counts.shape[1]) % 5 > 0
        held = np.all((made.counts < made.bounds)[:, others], axis=1)
        found.append(proportion(int(held.sum()), len(held), split_level(level, len(data))))
    return smallest(found)._replace(level=level)


# ---- Figure 2, left: a right-hand side that misleads ---------------------------------------

ON_PLOT = {1.0: 190, 1.56: 37, 1.9: 177}  # read off the authors' picture: means over 40 b


def plot_degenerate(data: Data):
    drawn = plotting.figure(1, 1, width=6.0, height=3.9)
    (ax,) = drawn.axes
    counts = counts_of(data["degenerate"], "degenerate")
    grid = omegas("degenerate", counts.shape[1])
    ax.fill_between(grid, counts.min(axis=0), counts.max(axis=0), color=BLUE, alpha=0.2, lw=0)
    ax.plot(grid, counts.mean(axis=0), color=BLUE, label="random b, mean and range")
    own = spectra.eigenvector_counts(len(grid))
    ax.plot(grid, own, color=RED, label=r"b an eigenvector of C at $\omega$ = 1.4")
    ax.axvline(STAR, color="0.5", lw=0.8, ls=":")
    ax.set(xlabel=r"$\omega$", ylabel="iterations", yscale="log")
    plain_numbers(ax)
    ax.legend(fontsize="small")
    return drawn


def _eigenvector(data: Data) -> tuple[np.ndarray, np.ndarray]:
    count = data["degenerate"].sizes["arm"]
    return omegas("degenerate", count), spectra.eigenvector_counts(count)


def eigenvector_count(data: Data, level: float) -> Estimate:
    grid, counts = _eigenvector(data)
    exact = float(counts[np.argmin(np.abs(grid - spectra.DEGENERATE))])
    return Estimate(exact, exact, exact, level)


def eigenvector_best(data: Data, level: float) -> Estimate:
    grid, counts = _eigenvector(data)
    fewest = grid[counts == counts.min()]
    return Estimate(float(fewest.mean()), float(fewest[0]), float(fewest[-1]), level)


def furthest_on_plot(data: Data, level: float) -> Estimate:
    counts = counts_of(data["degenerate"], "degenerate")
    grid, split = omegas("degenerate", counts.shape[1]), split_level(level, len(ON_PLOT))
    rows = [(counts[:, np.argmin(np.abs(grid - omega))], seen) for omega, seen in ON_PLOT.items()]
    return largest([away(values, seen, split) for values, seen in rows])._replace(level=level)


# ---- Figure 3: tau and beta over the shift -------------------------------------------------

TAU = dict(zip(spectra.LISTED, (0.108, 0.154, 0.173, 0.168, 0.208, 0.226), strict=True))


def plot_tau_beta(data: Data):
    drawn = plotting.figure(1, 1, width=6.4, height=4.0)
    (ax,) = drawn.axes
    grids = (False, BLUE, r"$\omega$ in steps of 0.02"), (True, RED, r"and $\omega^*$ itself")
    for with_best, colour, label in grids:
        taus = spectra.shift_taus(data["shifts"], with_best)
        shifts, rows = list(taus), np.array(list(taus.values()))
        ax.fill_between(shifts, rows.min(axis=1), rows.max(axis=1), color=colour, alpha=0.2, lw=0)
        ax.plot(shifts, rows.mean(axis=1), color=colour, label=rf"$\tau$, {label}")
    ax.plot(shifts, [spectra.beta_of(c) for c in shifts], color=GREEN, label=r"$\beta$")
    ax.axhline(PROVED, color="0.3", ls="--", lw=1, label=r"$\tau$: $1 / e^2$")
    needed = 2 * np.sqrt(PROVED * (1 - PROVED))
    ax.axhline(needed, color="0.3", ls=":", lw=1, label=r"$\beta$: $2 \sqrt{1 - 1 / e^2} / e$")
    ax.plot(list(TAU), list(TAU.values()), "x", color="0.2", label=r"$\tau$, re-implementation")
    ax.set(xlabel="shift c", ylim=(0, None))
    ax.legend(fontsize="small")
    return drawn


def furthest_tau(data: Data, level: float) -> Estimate:
    """The largest distance of mean tau from the reference, over the shifts that it has."""
    taus = spectra.shift_taus(data["shifts"], False)
    there = [c for c in TAU if c in taus]
    split = split_level(level, len(there))
    found = [away(taus[c], TAU[c], split).map(lambda share, tau=TAU[c]: share * tau) for c in there]
    return largest(found)._replace(level=level)


def least_tau(data: Data, level: float) -> Estimate:
    """The least over the shifts of mean tau, with omega*."""
    taus = spectra.shift_taus(data["shifts"], True)
    split = split_level(level, len(taus))
    return smallest([mean(row, level=split) for row in taus.values()])._replace(level=level)


def usual_tau(data: Data, level: float) -> Estimate:
    """Share of the shifts where mean tau, without omega*, is above 1 / e^2."""
    taus = spectra.shift_taus(data["shifts"], False)
    found = mean(list(taus.values()), level=split_level(level, len(taus)))
    value, low, high = (float(np.mean(np.asarray(part) > PROVED)) for part in found[:3])
    return Estimate(value, low, high, level)
