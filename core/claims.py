"""A paper's claim as data, and the sequential test that settles it.

A claim names a number that the paper implies (an exponent, a ratio, a probability) and the region
in which it must lie for the sentence to hold. Its verdict compares a confidence interval with the
region and nothing else: inside it, REPRODUCED; disjoint, NOT REPRODUCED; neither, UNDECIDED.

The error level. One may look at 1,000 seeds, stay undecided, and look again at 2,000. Were every
look taken at the same level, the chance that some look errs would grow with their number. Look j
is therefore given alpha * 6 / (pi^2 j^2) (`spend`); these allowances sum to alpha, so by the union
bound the chance that ANY look returns a wrong verdict is at most alpha, wherever one stops. This
holds for at most one look in each doubling of the seeds, as `settle` makes them, and as far as the
intervals of the estimators hold at their level.
"""

from __future__ import annotations

import itertools
import math
import shutil
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .statistics import Estimate

if TYPE_CHECKING:
    import xarray as xr

Studies = Mapping[str, "xr.Dataset"]  # the results of one figure, by the name of the study
Figures = Mapping[str, Studies]  # the results of a paper, by the name of the figure


class Verdict(StrEnum):
    """What the data say about a claim."""

    REPRODUCED = "REPRODUCED"
    NOT_REPRODUCED = "NOT REPRODUCED"
    UNDECIDED = "UNDECIDED"


class ClaimError(RuntimeError):
    """An estimator failed or returned something that cannot be judged; the text names the claim."""


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper that data can contradict.

    name: unique within its paper. statement: the sentence. source: where it stands ("Theorem 1.5").
    figure: the figure whose studies hold the data. paper_value: the paper's number, as text.
    estimate: (studies by name, level) -> Estimate of one number, its interval at that level.
    region: (low, high), ends included, either may be infinite: where the number must lie.
    unit: of the number, for display.
    Raises ValueError for a region that is empty, NaN, or the whole line (nothing could fail it).
    """

    name: str
    statement: str
    source: str
    figure: str
    paper_value: str
    estimate: Callable[[Any, float], Estimate]
    region: tuple[float, float]
    unit: str = ""

    def __post_init__(self) -> None:
        low, high = self.region
        if not low <= high:
            raise ValueError(
                f"claim {self.name!r}: region ({low}, {high}) holds no number; give (low, high)"
            )
        if low == -math.inf and high == math.inf:
            raise ValueError(
                f"claim {self.name!r}: the region is the whole line, which no data can contradict; "
                "give at least one finite end"
            )


@dataclass(frozen=True)
class Result:
    """What one look at the data gave: the interval at `level`, from `seeds` seeds, and the verdict.

    reason: why a claim is undecided when the width of the interval is not the reason; else "".
    """

    claim: Claim
    estimate: Estimate
    verdict: Verdict
    level: float
    seeds: int
    reason: str = ""


class Look(NamedTuple):
    """One round of `settle`: the seeds asked for and the results of the claims still open then."""

    seeds: int
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Settled:
    """The end of `settle`: the last result of every claim, every look, and why it stopped."""

    results: tuple[Result, ...]
    history: tuple[Look, ...]
    stopped: str


def spend(alpha: float, num_seeds: int) -> float:
    """The error allowance of a look at `num_seeds` seeds, out of `alpha` for all looks together.

    alpha * 6 / (pi^2 j^2) with j = max(1, ceil(log2 num_seeds)): 1/j^2 sums to pi^2/6, so the
    allowances of one look in each doubling (2^(j-1), 2^j] of the seeds sum to at most alpha. A look
    at other seeds within the same doubling would spend its allowance twice. That is the union
    bound, so the looks may depend on each other in any way.
    Raises ValueError for alpha outside (0, 1) or fewer than one seed.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}; give 0.05, say")
    return alpha * 6 / (math.pi * _doubling(num_seeds)) ** 2


def compare(estimate: Estimate, region: tuple[float, float]) -> Verdict:
    """The verdict of one interval [low, high] on a closed region; UNDECIDED where a part is NaN."""
    if any(math.isnan(part) for part in estimate[:3]):
        return Verdict.UNDECIDED
    if region[0] <= estimate.low and estimate.high <= region[1]:
        return Verdict.REPRODUCED
    if estimate.high < region[0] or estimate.low > region[1]:
        return Verdict.NOT_REPRODUCED
    return Verdict.UNDECIDED


def judge(claim: Claim, data: Studies, alpha: float = 0.05) -> Result:
    """Judge one claim on the studies of its figure, at the level 1 - spend(alpha, seeds).

    The number of seeds is the length of the `seed` dimension, the least over the studies. A NaN, or
    a single seed, leaves the claim UNDECIDED with the reason in the result.
    Raises ClaimError naming the claim where its estimator raises, returns anything but one Estimate
    of one number, or an interval at a lower level than it was asked for; ValueError for bad data.
    """
    seeds = _num_seeds(claim, data)
    level = 1 - spend(alpha, seeds)
    try:
        estimate = claim.estimate(data, level)
    except Exception as error:
        raise ClaimError(
            f"claim {claim.name!r}: its estimator raised {type(error).__name__}: {error}"
        ) from error
    estimate = _checked(claim, estimate, level)
    verdict, reason = compare(estimate, claim.region), ""
    if any(math.isnan(part) for part in estimate[:3]):
        parts = zip(("value", "low", "high"), estimate[:3], strict=True)
        broken = [name for name, part in parts if math.isnan(part)]
        reason = f"the estimate is not a number ({', '.join(broken)})"
    elif seeds < 2:
        verdict, reason = Verdict.UNDECIDED, "one seed shows no spread; run at least two"
    return Result(claim, estimate, verdict, level, seeds, reason)


def judge_all(
    claims: Sequence[Claim],
    data_by_figure: Figures,
    alpha: float = 0.05,
    family: bool | int = True,
) -> list[Result]:
    """Judge several claims, each on the studies of its own figure.

    family=True: alpha is the chance that ANY of these claims is ever judged wrongly, each gets
    alpha / len(claims) (Bonferroni). An int counts the family when only some of a paper's claims
    are at hand. False: alpha for each claim by itself.
    Raises ValueError for repeated names or a figure without data, and what `judge` raises.
    """
    share = _share(claims, alpha, family)
    return [judge(claim, _studies(claim, data_by_figure), share) for claim in claims]


def settle(
    run: Callable[[int], Figures],
    claims: Sequence[Claim],
    first_seeds: int,
    max_seeds: int,
    max_seconds: float = math.inf,
    alpha: float = 0.05,
    *,
    family: bool | int = True,
    on_look: Callable[[Look], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Settled:
    """Look, double the seeds, and look again, until every claim is decided or the budget ends.

    run(seeds) returns the results by figure and study; a store makes repeated seeds cheap. Only
    the figures of claims still open are taken from what it returns, so a mapping that computes on
    access runs no others. A decided claim keeps its verdict and is not looked at again. No run
    starts once `max_seconds` have passed, or in a doubling that has had its look; one that has
    started is finished. alpha and family are those of `judge_all`, for all looks together.
    on_look(look) is called after each.
    Raises ValueError for first_seeds < 2 or max_seeds < first_seeds, and what `judge_all` raises.
    """
    if not 2 <= first_seeds <= max_seeds:
        raise ValueError(
            f"settle: need 2 <= first_seeds <= max_seeds, got {first_seeds} and {max_seeds}"
        )
    share, start, seeds = _share(claims, alpha, family), clock(), first_seeds
    latest: dict[str, Result] = {}
    history: list[Look] = []
    open_claims, stopped = list(claims), "every claim is decided"
    while open_claims:
        data, fresh = run(seeds), []
        for claim in open_claims:
            studies, before = _studies(claim, data), latest.get(claim.name)
            # A run may return fewer seeds than asked for, in a doubling that has had its look.
            if before is None or _num_seeds(claim, studies) > _last_of_doubling(before.seeds):
                latest[claim.name] = judge(claim, studies, share)
                fresh.append(latest[claim.name])
        if not fresh:
            stopped = f"the run of {seeds} seeds returned too few new ones for another look"
            break
        history.append(Look(seeds, tuple(fresh)))
        if on_look is not None:
            on_look(history[-1])
        open_claims = [c for c in open_claims if latest[c.name].verdict == Verdict.UNDECIDED]
        longer = min(2 * seeds, max_seeds)
        if open_claims and longer <= _last_of_doubling(seeds):
            stopped = f"{len(open_claims)} undecided at {seeds} seeds, at most {max_seeds} allowed"
            break
        if open_claims and clock() - start >= max_seconds:
            stopped = f"{len(open_claims)} undecided when the {max_seconds:g} seconds were over"
            break
        seeds = longer
    return Settled(tuple(latest[claim.name] for claim in claims), tuple(history), stopped)


def to_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One dict a result, of strings, ints, finite floats and None only, for JSON.

    None stands for what JSON cannot hold: an infinite end of an interval or region, or a NaN.
    """
    rows = []
    for result in results:
        claim, estimate = result.claim, result.estimate
        numbers = {
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "region_low": claim.region[0],
            "region_high": claim.region[1],
            "level": result.level,
        }
        rows.append(
            {
                "name": claim.name,
                "statement": claim.statement,
                "source": claim.source,
                "figure": claim.figure,
                "paper_value": claim.paper_value,
                "unit": claim.unit,
                "ours": show(estimate, claim.unit),
                "verdict": str(result.verdict),
                "seeds": result.seeds,
                "reason": result.reason,
                **{k: float(v) if math.isfinite(v) else None for k, v in numbers.items()},
            }
        )
    return rows


def show(estimate: Estimate, unit: str = "") -> str:
    """ "0.667 [0.654, 0.679] unit": two significant digits of half the interval's width."""
    value, low, high = (float(part) for part in estimate[:3])
    half, form = (high - low) / 2, ".6g"
    if math.isfinite(half) and half > 0:
        last = math.floor(math.log10(half)) - 1  # the decimal place of the last digit shown
        largest = max(abs(low), abs(high))
        if last >= -6 and largest < 1e7:
            form = f".{max(-last, 0)}f"
        else:
            form = f".{min(math.floor(math.log10(largest)) - last + 1, 15)}g"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]" + (f" {unit}" if unit else "")


def table(results: Sequence[Result], width: int | None = None) -> str:
    """The results as a plain text table `width` columns wide (default: the terminal; at least 60).

    Below it: how many claims have which verdict, and why a claim is undecided where the width of
    its interval is not the reason.
    """
    width = max(60, shutil.get_terminal_size((100, 24)).columns if width is None else width)
    rows = [("claim", "source", "paper", "ours", "verdict")]
    for result in results:
        claim = result.claim
        ours = show(result.estimate, claim.unit)
        rows.append((claim.statement, claim.source, claim.paper_value, ours, str(result.verdict)))
    widths = _fit([max(map(len, column)) for column in zip(*rows, strict=True)], width)
    lines = [line for row in rows for line in _wrapped(row, widths)]
    head = len(_wrapped(rows[0], widths))
    lines.insert(head, "  ".join("-" * room for room in widths))
    counts = [(sum(r.verdict == verdict for r in results), verdict) for verdict in Verdict]
    lines += ["", ", ".join(f"{count} {verdict}" for count, verdict in counts)]
    for result in results:
        if result.reason:
            lines += textwrap.wrap(f"{result.claim.name}: {result.reason}", width)
    return "\n".join(lines)


def _fit(natural: list[int], width: int) -> list[int]:
    """Widths of the columns: natural where they fit, else the widest column gives way first."""
    least = [12, 8, 8, 11, 10]  # 49 and four gaps of two make 57: always within the width
    widths = list(natural)
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
        widths[widest] -= 1
    return widths


def _wrapped(row: tuple[str, ...], widths: list[int]) -> list[str]:
    cells = [textwrap.wrap(cell, room) for cell, room in zip(row, widths, strict=True)]
    lines = itertools.zip_longest(*cells, fillvalue="")
    return [
        "  ".join(part.ljust(room) for part, room in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _doubling(num_seeds: int) -> int:
    """j = max(1, ceil(log2 num_seeds)), in whole numbers."""
    if num_seeds < 1:
        raise ValueError(f"a look needs at least one seed, got {num_seeds}")
    return max(1, (int(num_seeds) - 1).bit_length())


def _last_of_doubling(num_seeds: int) -> int:
    return 2 ** _doubling(num_seeds)


def _num_seeds(claim: Claim, data: Studies) -> int:
    if not data:
        raise ValueError(f"claim {claim.name!r}: no studies given; run figure {claim.figure!r}")
    missing = [name for name, study in data.items() if "seed" not in study.sizes]
    if missing:
        raise ValueError(
            f"claim {claim.name!r}: no `seed` dimension in the studies {missing}; "
            "give the datasets that run(study) returns"
        )
    return min(int(study.sizes["seed"]) for study in data.values())


def _studies(claim: Claim, data_by_figure: Figures) -> Studies:
    try:
        return data_by_figure[claim.figure]
    except KeyError as error:
        raise ValueError(
            f"claim {claim.name!r} needs figure {claim.figure!r}, "
            f"but there are data for {sorted(data_by_figure)} only"
        ) from error


def _share(claims: Sequence[Claim], alpha: float, family: bool | int) -> float:
    names = [claim.name for claim in claims]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two claims share a name: {repeated}; give each its own")
    size = (len(claims) if family else 1) if isinstance(family, bool) else family
    if not isinstance(family, bool) and size < len(claims):
        raise ValueError(f"family={family} is smaller than the {len(claims)} claims given")
    return alpha / max(size, 1)


def _checked(claim: Claim, estimate: object, level: float) -> Estimate:
    """The estimate with plain floats, once it is one number with an interval at the level asked."""
    if not isinstance(estimate, Estimate) or any(np.ndim(part) != 0 for part in estimate[:3]):
        raise ClaimError(
            f"claim {claim.name!r}: its estimator must return one Estimate of one number, "
            f"got {estimate!r}"
        )
    if estimate.level is not None and estimate.level < level - 1e-12:
        raise ClaimError(
            f"claim {claim.name!r}: its estimator was asked for level {level:.6g} and gave "
            f"{estimate.level:.6g}; pass `level` on to the statistics it uses"
        )
    value, low, high = (float(part) for part in estimate[:3])
    if low > high:
        raise ClaimError(f"claim {claim.name!r}: its interval [{low}, {high}] is upside down")
    return Estimate(value, low, high, estimate.level)
