"""Lean Attention (Sanovar et al. 2024): what equal shares of a decode step can gain, counted.

The paper measures times on GPUs. Here schedules are simulated exactly, and nothing else: a tile
takes one unit of time, wherever it is, and launches, merges and memory take none. A ratio of
makespans is what balance alone gives. It cannot show that a kernel is fast, nor that a speed-up
above it is wrong: that has other causes. Of the paper only the abstracts were at hand (v1 and the
later one), so there is no table of its own shapes to compare with: claims go over all numbers of
outputs (sequences times key heads) of up to four waves of an A100's 108 multiprocessors.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import EngFormatter

from ..core import plotting
from ..core.claims import Claim
from ..core.learners.tallying import Always
from ..core.statistics import (
    Estimate,
    mean,
    paired_difference,
    ratio_of_means,
    smallest,
    split_level,
)
from ..core.study import Study
from .growth import Data, final
from .lean_schedules import MULTIPROCESSORS, TILE, CutContexts, DecodeBatches
from .paper import Figure, Paper, Scale

NOBODY = {"none": Always(0, num_arms=1)}
MOST = 4 * MULTIPROCESSORS
BATCHES = {"8 outputs": 8, "32 outputs": 32, "112 outputs": 112}
SHARES = (1.0, 0.75, 0.5, 0.25, 0.1, 0.01)  # the shortest context there can be, of the longest
SCALES = {"all keys alike": 1 / 64, "as usual": 1 / 8, "a few keys": 1.0}
LONG = 2**18
OTHERS = {"fixed": "a fixed number of parts", "per_head": "one worker an output"}


class Size(NamedTuple):
    contexts: tuple[int, ...]
    outputs: tuple[int, ...]
    ragged: int  # seeds
    cuts: int  # seeds
    keys: int


SIZES: dict[Scale, Size] = {
    "smoke": Size((2**10, 2**17), (1, 12, 64, 112), 4, 16, 256),
    "quick": Size((2**10, 2**13, 2**16, 2**19), tuple(range(4, MOST + 1, 12)), 32, 32, 1024),
    "paper": Size(tuple(2**i for i in range(10, 20)), tuple(range(1, MOST + 1)), 400, 400, 4096),
}


def one_step(name: str, environments: dict, seeds: int) -> Study:
    return Study(name, environments, NOBODY, 1, seeds, checkpoints=(1,))


def context_studies(scale: Scale) -> list[Study]:
    found = {
        f"{name}, {context}": DecodeBatches(context=context, outputs=outputs)
        for name, outputs in BATCHES.items()
        for context in SIZES[scale].contexts
    }
    return [one_step("contexts", found, 2)]


def output_studies(scale: Scale) -> list[Study]:
    found = {f"{n}": DecodeBatches(context=LONG, outputs=n) for n in SIZES[scale].outputs}
    return [one_step("outputs", found, 2)]


def ragged_studies(scale: Scale) -> list[Study]:
    found = {
        f"{share}": DecodeBatches(context=65536, shortest=share, heads=8, outputs=32)
        for share in SHARES
    }
    return [one_step("ragged", found, SIZES[scale].ragged)]


def cut_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    found = {name: CutContexts(scale=value, keys=size.keys) for name, value in SCALES.items()}
    return [one_step("cuts", found, size.cuts)]


# ---- what is read off ----------------------------------------------------------------------


def metric(data: Data, study: str, environment: str, name: str) -> np.ndarray:
    """[seed]."""
    return final(data[study], environment, "none", name)


def environments(data: Data, study: str) -> list[str]:
    return [str(name) for name in data[study].environment.values]


def gains(data: Data, other: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of outputs [n] and makespans of a schedule over those of stream-K [n, seed]."""
    names = environments(data, "outputs")
    ratios = [
        metric(data, "outputs", name, other) / metric(data, "outputs", name, "lean")
        for name in names
    ]
    return np.array([int(name) for name in names]), np.stack(ratios)


def occupancy(least: int, data: Data, level: float) -> Estimate:
    """The least share of the workers' time that stream-K uses, of contexts of `least` or more."""
    rows = []
    for name in environments(data, "contexts"):
        if int(name.split(", ")[1]) >= least:
            time = metric(data, "contexts", name, "lean") * MULTIPROCESSORS
            rows.append(metric(data, "contexts", name, "tiles") / time)
    split = split_level(level, len(rows))
    return smallest([mean(row, level=split) for row in rows])._replace(level=level)


def mean_gain(other: str, data: Data, level: float) -> Estimate:
    return mean(gains(data, other)[1].mean(axis=0), level=level)


def largest_gain(other: str, data: Data, level: float) -> Estimate:
    """Over all numbers of outputs; nothing here is random, so the largest is no biased choice."""
    return mean(gains(data, other)[1].max(axis=0), level=level)


def outputs_with_gain(gain: float, data: Data, level: float) -> Estimate:
    """The most outputs with which stream-K has this gain over one worker an output."""
    outputs, ratios = gains(data, "per_head")
    return mean((outputs[:, None] * (ratios >= gain)).max(axis=0), level=level)


def more_when_ragged(data: Data, level: float) -> Estimate:
    """Gain over a fixed number of parts of the most ragged batches, less that of equal ones."""
    most, least = (
        metric(data, "ragged", f"{share}", "fixed") / metric(data, "ragged", f"{share}", "lean")
        for share in (min(SHARES), 1.0)
    )
    return paired_difference(most, least, level)


def merging(data: Data, level: float) -> Estimate:
    """Numbers written and read to merge, over those of keys and values, at most: one query head a
    key head, 64 features, contexts of 16k or more."""
    shares = []
    for name in environments(data, "contexts"):
        if int(name.split(", ")[1]) >= 2**14:
            slots = metric(data, "contexts", name, "lean_slots")
            tiles = metric(data, "contexts", name, "tiles")
            # A sum is 66 numbers of 4 bytes, written and read; keys and values have 2 bytes.
            shares.append(slots * 2 * 66 * 4 / (tiles * TILE * 2 * 64 * 2))
    return mean(np.max(shares, axis=0), level=level)


def error_of_cuts(data: Data, level: float) -> Estimate:
    """The mean error after unequal cuts over that without cuts, products as usual."""
    cut, whole = (metric(data, "cuts", "as usual", x) for x in ("unequal_error", "whole_error"))
    return ratio_of_means(cut, whole, level)


# ---- pictures ------------------------------------------------------------------------------


def plot_contexts(data: Data):
    drawn = plotting.figure(1, len(BATCHES), width=3.4, height=3.2)
    for ax, batch in zip(drawn.axes, BATCHES, strict=True):
        names = [name for name in environments(data, "contexts") if name.startswith(f"{batch},")]
        contexts = [int(name.split(", ")[1]) for name in names]
        for i, (other, label) in enumerate(OTHERS.items()):
            ratios = [
                metric(data, "contexts", name, other)[0] / metric(data, "contexts", name, "lean")[0]
                for name in names
            ]
            size = 9 - 4 * i  # both are seen where they agree
            ax.plot(contexts, ratios, "o-", markersize=size, color=plotting.COLOURS[i], label=label)
        ax.axhline(1, color="0.4", linewidth=0.8)
        ax.set(xscale="log", xlabel="context (keys)", title=batch, ylim=(0, None))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    drawn.axes[0].set_ylabel("makespan / stream-K's")
    drawn.axes[0].legend(fontsize="x-small")
    return drawn


def plot_outputs(data: Data):
    drawn = plotting.figure(1, 1, width=6.4, height=3.6)
    (ax,) = drawn.axes
    for i, (other, label) in enumerate(OTHERS.items()):
        outputs, ratios = gains(data, other)
        ax.plot(outputs, ratios[:, 0], color=plotting.COLOURS[i], label=label, linewidth=1.2)
    ax.axhline(2.18, color="0.4", ls="--", linewidth=0.9, label="2.18: the paper's best, 256k")
    ax.set(xscale="log", yscale="log", xlabel="outputs (sequences times key heads)")
    ax.set_ylabel("makespan / stream-K's")
    ax.legend()
    return drawn


def plot_ragged(data: Data):
    drawn = plotting.figure(1, 1)
    (ax,) = drawn.axes
    for i, (other, label) in enumerate(OTHERS.items()):
        found = [
            ratio_of_means(
                metric(data, "ragged", name, other), metric(data, "ragged", name, "lean")
            )
            for name in environments(data, "ragged")
        ]
        value, low, high = np.array([(x.value, x.low, x.high) for x in found], float).T
        ax.plot(SHARES, value, "o-", color=plotting.COLOURS[i], label=label)
        ax.fill_between(SHARES, low, high, color=plotting.COLOURS[i], alpha=0.2, linewidth=0)
    ax.axhline(1, color="0.4", linewidth=0.8)
    ax.set(xlabel="shortest context / longest", ylabel="makespan / stream-K's", ylim=(0, None))
    ax.legend()
    return drawn


def plot_cuts(data: Data):
    drawn = plotting.figure(1, 1)
    (ax,) = drawn.axes
    kinds = {"whole_error": "not cut", "equal_error": "equal", "unequal_error": "unequal"}
    for i, (name, label) in enumerate(kinds.items()):
        found = [mean(metric(data, "cuts", law, name)) for law in SCALES]
        value = np.array([float(x.value) for x in found])
        half = np.array([float(x.high - x.low) / 2 for x in found])
        at = np.arange(len(SCALES)) + 0.2 * (i - 1)
        ax.errorbar(at, value, half, fmt="o", color=plotting.COLOURS[i], label=label, capsize=3)
    ax.axhline(float(np.finfo(np.float32).eps), color="0.4", ls=":", label="float32's unit")
    ax.set_xticks(range(len(SCALES)), list(SCALES))
    ax.set(yscale="log", ylabel="largest error / largest output")
    ax.legend(title="parts")
    return drawn


FIGURES = (
    Figure(
        "contexts", "Equal contexts: other schedules over stream-K", context_studies, plot_contexts,
        "Simulated, in tiles of 256 keys on 108 workers. 112 outputs (56 heads, 2 sequences) are "
        "one wave and a bit: nothing is cut, and half of the time is idle."
    ),
    Figure(
        "outputs", "Contexts of 256k: gain over the number of outputs", output_studies,
        plot_outputs,
        "Simulated. Over a fixed number of parts balance gives less than 2 everywhere: n / w waves "
        "rounded up."
    ),
    Figure(
        "ragged", "Ragged batches", ragged_studies, plot_ragged,
        "Simulated: 4 sequences of 8 key heads, contexts uniform up to 64k; ratios of means and "
        "intervals. Every output has the same number of parts, however long it is. Of 128 outputs "
        "none is cut, and one worker an output is what a fixed number of parts comes to."
    ),
    Figure(
        "cuts", "Parts add up to the whole", cut_studies, plot_cuts,
        "Error against float64 of one query, 64 numbers a key: means and t intervals. Eight parts, "
        "cut at uniform random places."
    ),
)  # fmt: skip

CLAIMS = (
    Claim(
        "occupancy-everywhere", "Workers are busy for nearly all of the time, whatever the context",
        "abstract; 0.9 and the three batches are ours", "contexts", "near-perfect",
        partial(occupancy, 0), (0.9, 1.0),
    ),
    Claim(
        "occupancy-long", "Workers are busy for nearly all of the time, at 64k and more",
        "abstract; 64k and 0.9 are ours", "contexts", "near-perfect",
        partial(occupancy, 2**16), (0.9, 1.0),
    ),
    Claim(
        "average-over-flash-decoding", "Balance alone gives the mean gain over FlashDecoding",
        "abstract, times on GPUs; 1 to 432 outputs are ours", "outputs", "1.73",
        partial(mean_gain, "fixed"), (1.73, np.inf),
    ),
    Claim(
        "best-over-flash-decoding", "Balance alone gives the largest gain over FlashDecoding, at "
        "256k", "abstract, times on GPUs", "outputs", "2.18", partial(largest_gain, "fixed"),
        (2.18, np.inf),
    ),
    Claim(
        "average-over-flash-attention", "Balance alone gives the mean gain over FlashAttention-2, "
        "one worker an output", "abstract of v1, times on GPUs; 1 to 432 outputs are ours",
        "outputs", "2.6", partial(mean_gain, "per_head"), (2.6, np.inf),
    ),
    Claim(
        "best-over-flash-attention", "Balance alone can give 8.33 over FlashAttention-2, with "
        "several outputs", "abstract of v1 (at 512k), times on GPUs; several means two or more",
        "outputs", "8.33", partial(outputs_with_gain, 8.33), (2, MOST), "outputs",
    ),
    Claim(
        "ragged-gain", "The gain over a fixed number of parts is larger for ragged batches",
        "our addition", "ragged", "difference above 0", more_when_ragged, (1e-9, np.inf),
    ),
    Claim(
        "merging-is-cheap", "Merging moves less than a fiftieth of the bytes of keys and values, "
        "at 16k and more", "our addition", "contexts", "small", merging, (0.0, 0.02),
    ),
    Claim(
        "unequal-cuts", "Unequal parts are as exact as none: errors at most a tenth larger",
        "abstract: softmax rescaling is associative; the tenth is ours", "cuts", "exact",
        error_of_cuts, (0.0, 1.1),
    ),
)  # fmt: skip

PAPER = Paper(
    "lean_attention",
    "Lean Attention: Hardware-Aware Scalable Attention Mechanism for the Decode-Phase of "
    "Transformers",
    "Rya Sanovar, Srikant Bharadwaj, Renee St. Amant, Victor Rühle and Saravan Rajmohan, 2024 "
    "(arXiv 2405.10480)",
    "Makespans of stream-K against a fixed number of parts and one worker an output, simulated "
    "exactly from 1k to 512k keys, and the error of unequal parts. Gains are those of balance "
    "alone; times need a GPU.",
    FIGURES,
    CLAIMS,
)
