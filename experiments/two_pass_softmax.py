"""The two-pass softmax (Dukhan and Ablavatski 2020): what it moves, how long it takes, its errors.

The paper measures programs of its own for AVX2 and AVX-512, called with memory that is warm. Here
the same algorithms are written in JAX and compiled by XLA for the CPU at hand, so times test what
is left of the paper's gain there, not its code. Donated inputs are worked on in place: that is the
paper's setting. Fresh results are what a JAX user mostly has, and there the operating system's
fresh pages cost more than either algorithm.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from ..core import plotting
from ..core.claims import Claim
from ..core.statistics import Estimate, largest, mean, proportion, split_level
from ..core.study import Study
from .growth import Data, final
from .paper import Figure, Paper, Scale
from .two_pass_programs import EXT_SUM, ITEM, MAX_SUM, NAMES, RECOMPUTE, RELOAD, XLA, traffic
from .two_pass_tables import INSIDE, OUTSIDE, SCALED, Clock, Errors, Traffic, players


class Size(NamedTuple):
    """How large the figures are at one scale."""

    powers: tuple[int, ...]  # of two: lengths of the vectors
    rounds: int  # of measurements
    draws: int  # of inputs whose errors are looked at


SIZES: dict[Scale, Size] = {
    "smoke": Size((10, 14), 3, 8),
    "quick": Size((16, 20, 23), 12, 60),
    "paper": Size(tuple(range(12, 27, 2)), 40, 500),
}
TWICE = 8  # seeds of what is the same for every seed
FRESH, DONATED = "fresh result", "in place"
SPREADS = (1.0, 100.0, 1e4)
SCALED_SPREADS = (1e10, 1e11, 1e12)
ENTRIES = 4096  # of vectors whose errors are looked at
SCALED_ENTRIES = 1000  # of longer ones XLA for CPUs makes another program
FACTS = {RECOMPUTE: 4, RELOAD: 5, MAX_SUM: 3, EXT_SUM: 3}  # the paper's counts


def vector(power: int) -> str:
    return f"2^{power}"


def _lengths(dataset) -> list[int]:
    """Powers of two of the environments, in order."""
    return [int(str(name)[2:]) for name in dataset.environment.values]


# ---- traffic -------------------------------------------------------------------------------


def traffic_studies(scale: Scale) -> list[Study]:
    tables = {vector(k): Traffic(2**k) for k in SIZES[scale].powers}
    return [Study("traffic", tables, players(NAMES), 1, TWICE, (1,))]


def moved(data: Data, program: str, power: int | None = None) -> np.ndarray:
    """Entries moved, over entries, [seed]; of the longest vector by default."""
    dataset = data["traffic"]
    power = _lengths(dataset)[-1] if power is None else power
    return final(dataset, vector(power), program, "traffic")


def plot_traffic(data: Data):
    drawn = plotting.figure(1, 1, width=7.4, height=3.6)
    ax = drawn.axes[0]
    powers = _lengths(data["traffic"])
    for slot, name in enumerate(NAMES):
        values = [moved(data, name, k)[0] for k in powers]
        size = 11 - 2 * slot  # programs that move the same stay visible beneath each other
        ax.plot(powers, values, "o", markersize=size, label=name, **plotting.line_style(slot))
        if name in FACTS:
            ax.axhline(FACTS[name], color="0.8", linewidth=0.8, zorder=0)
    ax.set(xlabel="length of the vector (power of two)", ylabel="entries moved / entries")
    ax.set_ylim(bottom=0)
    drawn.legend(loc="outside right upper")
    return drawn


def moved_ratio(one: str, other: str, data: Data, level: float) -> Estimate:
    return mean(moved(data, one) / moved(data, other), level=level)


def moved_by_xla(data: Data, level: float) -> Estimate:
    return mean(moved(data, XLA), level=level)


# ---- time ----------------------------------------------------------------------------------


def time_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    return [
        Study(
            name, {vector(k): Clock(2**k, name == DONATED) for k in size.powers},
            players(NAMES), 1, size.rounds, (1,),
        )
        for name in (FRESH, DONATED)
    ]  # fmt: skip


def nanoseconds(data: Data, mode: str, program: str, power: int | None = None) -> np.ndarray:
    """For an entry, [round]; of the longest vector by default."""
    power = _lengths(data[mode])[-1] if power is None else power
    return final(data[mode], vector(power), program, "nanoseconds")


def plot_time(data: Data):
    drawn = plotting.figure(2, 2, width=4.6, height=3.2)
    for column, mode in enumerate((FRESH, DONATED)):
        powers = _lengths(data[mode])
        above, below = drawn.axes[column], drawn.axes[2 + column]
        moves = [traffic(2**k) for k in powers]
        for slot, name in enumerate(NAMES):
            look = plotting.line_style(slot)
            rows = np.stack([nanoseconds(data, mode, name, k) for k in powers])
            bytes_moved = ITEM * np.array([move[name] for move in moves])[:, None]
            for ax, values in ((above, rows), (below, bytes_moved / rows)):
                low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
                ax.fill_between(powers, low, high, color=look["color"], alpha=0.15, linewidth=0)
                ax.plot(powers, middle, marker="o", markersize=3.5, label=name, **look)
        above.set(title=mode, yscale="log", ylabel="ns an entry")
        below.set(xlabel="length of the vector (power of two)", ylabel="GB/s moved", ylim=(0, None))
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return drawn


def time_ratio(one: str, other: str, mode: str, data: Data, level: float) -> Estimate:
    """Geometric mean over rounds of the ratio of times within a round."""
    logs = np.log(nanoseconds(data, mode, one) / nanoseconds(data, mode, other))
    return mean(logs, level=level).map(np.exp)


def against_best(program: str, data: Data, level: float) -> Estimate:
    """Time over that of the quicker three-pass program, in place: the larger of the two ratios."""
    split = split_level(level, 2)
    pairs = [time_ratio(program, other, DONATED, data, split) for other in (RECOMPUTE, RELOAD)]
    return largest(pairs)._replace(level=level)


# ---- errors --------------------------------------------------------------------------------


def error_studies(scale: Scale) -> list[Study]:
    draws = SIZES[scale].draws
    plain = {f"{spread:g}": Errors(ENTRIES, spread) for spread in SPREADS}
    scaled = {f"{spread:g}": Errors(SCALED_ENTRIES, spread, True) for spread in SCALED_SPREADS}
    return [
        Study("errors", plain, players(NAMES), 1, draws, (1,)),
        Study("scaled", scaled, players(SCALED), 1, draws, (1,)),
    ]


def plot_errors(data: Data):
    drawn = plotting.figure(1, 2, width=4.4, height=3.6)
    left, right = drawn.axes
    for slot, name in enumerate(NAMES):
        errors = [final(data["errors"], f"{spread:g}", name, "error") for spread in SPREADS]
        low, middle, high = np.quantile(np.stack(errors), (0.05, 0.5, 0.95), axis=1)
        look = plotting.line_style(slot)
        left.fill_between(SPREADS, low, high, color=look["color"], alpha=0.15, linewidth=0)
        left.plot(SPREADS, middle, marker="o", markersize=4, label=name, **look)
    left.set(xscale="log", yscale="log", xlabel="entries are within", ylabel="largest rel. error")
    for slot, name in enumerate(SCALED):
        shares = [float(proportion_failed(data, name, at).value) for at in SCALED_SPREADS]
        look = plotting.line_style(len(NAMES) + slot)
        right.plot(SCALED_SPREADS, shares, marker="o", markersize=4, label=name, **look)
    right.set(xscale="log", xlabel="entries are within", ylabel="share of runs with NaN")
    right.set_ylim(-0.03, 1.03)
    drawn.legend(loc="outside right upper")
    return drawn


def proportion_failed(data: Data, name: str, spread: float, level: float = 0.95) -> Estimate:
    failed = final(data["scaled"], f"{spread:g}", name, "failed")
    return proportion(failed.sum(), len(failed), level)


def most_failed(name: str, data: Data, level: float) -> Estimate:
    split = split_level(level, len(SCALED_SPREADS))
    found = [proportion_failed(data, name, spread, split) for spread in SCALED_SPREADS]
    return largest(found)._replace(level=level)


def ext_error(data: Data, level: float) -> Estimate:
    return mean(final(data["errors"], f"{SPREADS[-1]:g}", EXT_SUM, "error"), level=level)


# ---- the paper -----------------------------------------------------------------------------

FIGURES = (
    Figure(
        "traffic", "Two passes move three entries for each", traffic_studies, plot_traffic,
        "Every pass compiled by itself; bytes by XLA's cost analysis, those of a loop over blocks "
        "by what it is given. Grey: the paper's counts, 3, 4 and 5. XLA stores exponentials and "
        "sums them up in two kernels, so reloading takes 6 here."
    ),
    Figure(
        "bandwidth", "Time and bandwidth over the length", time_studies, plot_time,
        "Medians and quartiles of rounds in which every program runs once, in a shuffled order. A "
        "fresh result costs page faults, whatever the algorithm; the paper's memory is warm, as "
        "that of a donated input is. Bandwidth: entries moved (see the other figure) over time."
    ),
    Figure(
        "errors", "What float32 keeps", error_studies, plot_errors,
        "Left: uniform entries, medians and 5 to 95 % of draws. Right: the softmax of c x, "
        "compiled, c = 1/30: the product is rounded in one kernel, and fused with the difference "
        "in another."
    ),
)  # fmt: skip

_LONGEST = "at the longest vectors, in place"
CLAIMS = (
    Claim(
        "moves-less-than-recomputing",
        "Two passes move 3/4 of what three passes with recomputation move",
        "Section 3", "traffic", "3n / 4n", partial(moved_ratio, EXT_SUM, RECOMPUTE), (0.74, 0.76),
    ),
    Claim(
        "moves-less-than-reloading",
        "Two passes move at most 3/5 of what three passes with reloading move",
        "Section 3", "traffic", "3n / 5n", partial(moved_ratio, EXT_SUM, RELOAD), (0.0, 0.605),
    ),
    Claim(
        "libraries-take-three-passes",
        "A library's softmax of a long vector moves 4n or more",
        "Section 1", "traffic", "4n or 5n", moved_by_xla, (4.0, np.inf), "n",
    ),
    Claim(
        "extended-exponent-is-faster",
        f"With (mantissa, exponent), two passes take less time than either of three {_LONGEST}",
        "abstract (AVX-512, out of cache)", "bandwidth", "up to 28 % faster",
        partial(against_best, EXT_SUM), (0.0, 1.0),
    ),
    Claim(
        "max-and-sum-is-faster",
        f"With (max, sum), two passes take less time than either of three {_LONGEST}",
        "our reading: the same traffic with another pair", "bandwidth", "up to 28 % faster",
        partial(against_best, MAX_SUM), (0.0, 1.0),
    ),
    Claim(
        "in-place-beats-the-library",
        "With (max, sum) in place, a softmax takes at most half the time of the library's in place",
        "our goal", "bandwidth", "none", partial(time_ratio, MAX_SUM, XLA, DONATED), (0.0, 0.5),
    ),
    Claim(
        "extended-exponent-is-exact",
        "With (mantissa, exponent) no input overflows, and shares of entries in [-10^4, 10^4] are "
        "right to 10^-5",
        "Section 3 (no overflow); the number is ours", "errors", "none", ext_error, (0.0, 1e-5),
    ),
    Claim(
        "scale-inside-never-fails",
        "With the factor inside, no compiled softmax of c x has NaN",
        "our reading", "errors", "none", partial(most_failed, INSIDE), (0.0, 0.1),
    ),
    Claim(
        "scale-outside-fails",
        "With the factor outside, compiled softmaxes of c x over 1000 entries have NaN, at |x| up "
        "to 10^10 to 10^12",
        "our finding on this compiler", "errors", "none", partial(most_failed, OUTSIDE), (0.1, 1.0),
    ),
)  # fmt: skip

PAPER = Paper(
    "two_pass_softmax",
    "The Two-Pass Softmax Algorithm",
    "Marat Dukhan and Artsiom Ablavatski, 2020 (arXiv 2001.04438)",
    "What the algorithms move, from compiled programs; times over the length on the CPU at hand, "
    "in XLA instead of AVX intrinsics; errors, and the factor inside the softmax.",
    FIGURES,
    CLAIMS,
)
