"""Which event tells two laws of transcripts apart: chosen from runs of its own, tested on others.

A lens reads a few numbers off every run and cuts them into atoms. For two samples of runs the atoms
are put in the order of their likelihood ratio (half of the runs), and the best set of leading atoms
is the one with the largest lower bound on the loss (the other half). By the lemma of Neyman and
Pearson sets of this kind are the best there are for what a lens sees. Whatever is chosen here, the
bound that counts is made from fresh runs, so a bad choice costs power and never validity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import statistics
from .transcripts import Transcripts

_CUTS = 32  # atoms of a number: quantiles of both samples
_SETS = 64  # sets of leading atoms that are tried, of each order


class Samples(NamedTuple):
    """Runs on the original table and on the changed one."""

    original: Transcripts
    changed: Transcripts


@dataclass(frozen=True)
class Event:
    """A set of outcomes.

    Attributes:
      text: what it is, for readers.
      holds: which of the runs are in it, [R] bool.
      changed_first: whether its probability on the changed table is the one that is thought to be
        the larger.
    """

    text: str
    holds: Callable[[Transcripts], np.ndarray]
    changed_first: bool = True


class Lens(NamedTuple):
    text: str
    ordered: bool  # whether neighbouring atoms belong together
    fitted: bool  # whether it was made to tell the runs of `fit` apart
    code: Callable[[Transcripts], np.ndarray]  # [R] atoms
    name: Callable[[np.ndarray], str]  # words for a set of atoms


def loss_bound(
    first: np.ndarray | int, second: np.ndarray | int, runs: int, level: float, delta: float = 0.0
) -> np.ndarray:
    """A lower confidence bound on ln((P(S) - delta) / P'(S)) from counts of S in `runs` runs under
    either law: p_low and p'_high of Clopper and Pearson, each missed with chance (1 - level)/2.
    Never below 0, which is true of every mechanism (for S, or for its complement)."""
    low = np.asarray(statistics.proportion(first, runs, level).low)
    high = np.asarray(statistics.proportion(second, runs, level).high)
    return np.log(np.maximum((low - delta) / high, 1.0))


def recommends(arm: int) -> Event:
    """The learner recommends this arm."""
    return Event(f"arm {arm} is recommended", lambda runs: runs.recommendation == arm)


def value_above(threshold: float, stop: int = 0, watched: int = 0) -> Event:
    """What the learner holds of a watched arm, at a stop, is above a threshold."""
    return Event(
        f"value {watched} above {threshold:.4g} at stop {stop}",
        lambda runs: runs.values[:, stop, watched] > threshold,
    )


def choose(
    fit: Samples, score: Samples, stops: tuple[int, ...], white: bool, level: float, delta: float
) -> Event:
    """The most telling event of all lenses: atoms are ordered by `fit`, sets judged by `score`.

    Args:
      stops: the phases after which the transcripts were looked at.
      white: whether what the learner holds may be used, beside what it releases.
    """
    lenses = [*_released(stops)]
    if white:
        lenses += _held(fit, stops)
    best, chosen = -1.0, None
    for lens in lenses:
        for bound, event in _sets(lens, fit, score, level, delta):
            if bound > best:
                best, chosen = bound, event
    assert chosen is not None
    return chosen


# ---- lenses --------------------------------------------------------------------------------


def _released(stops: tuple[int, ...]) -> Iterator[Lens]:
    def several(what):
        return lambda atoms: f"{what}: {_number(len(atoms), 'chosen outcome')}"

    def arms(atoms):
        return f"recommends {_list(sorted(int(x) for x in atoms))}"

    yield Lens("recommendation", False, False, lambda runs: runs.recommendation, arms)
    for s, stop in enumerate(stops):
        until = f"in the first {_number(stop, 'phase')}"
        yield Lens(
            f"transcript {until}",
            False,
            False,
            lambda runs, s=s: runs.released[:, s],
            several(f"transcript {until}"),
        )
        yield Lens(
            f"its pulls {until}",
            False,
            False,
            lambda runs, s=s: runs.watched[:, s],
            several(f"pulls of the arm {until}"),
        )

    def everything(runs):
        return (runs.released[:, -1].astype(np.int64) << 31) ^ runs.recommendation

    yield Lens("whole transcript", False, False, everything, several("whole transcript"))


def _held(fit: Samples, stops: tuple[int, ...]) -> Iterator[Lens]:
    """Each value by itself, the linear combination that differs most between the samples, and the
    likelihood ratio as it would be if the values were independent."""
    width = fit.original.values.shape[2]
    for s, stop in enumerate(stops):
        for v in range(width):
            what = f"value of {'the arm' if v == 0 else f'arm {v} watched'} after phase {stop}"
            yield _number_lens(what, fit, lambda runs, s=s, v=v: runs.values[:, s, v])
    if width * len(stops) > 1:
        weights = _discriminant(*(_flat(runs) for runs in fit))
        combined = _number_lens("a combination of values", fit, lambda runs: _flat(runs) @ weights)
        yield combined._replace(fitted=True)
        likelihood = _number_lens("likelihood of the values", fit, _likelihood(fit))
        yield likelihood._replace(fitted=True)


def _flat(runs: Transcripts) -> np.ndarray:
    return runs.values.reshape(len(runs.values), -1).astype(np.float64)


def _number_lens(what: str, fit: Samples, read: Callable[[Transcripts], np.ndarray]) -> Lens:
    cuts = _quantiles(read(fit.original), read(fit.changed))

    def name(atoms):
        atoms = np.sort(atoms)
        if len(atoms) == atoms[-1] - atoms[0] + 1:  # an interval; atom i is (cuts[i-1], cuts[i]]
            low = f" above {cuts[atoms[0] - 1]:.4g}" if atoms[0] > 0 else ""
            high = f" up to {cuts[atoms[-1]]:.4g}" if atoms[-1] < len(cuts) else ""
            return f"{what}{low}{' and' if low and high else ''}{high}"
        return f"{what}: in {len(atoms)} of {len(cuts) + 1} bins"

    return Lens(what, True, False, lambda runs: np.searchsorted(cuts, read(runs)), name)


def _quantiles(first: np.ndarray, second: np.ndarray, count: int = _CUTS) -> np.ndarray:
    """Cuts between atoms of about equal weight under either law. Medians are among them."""
    levels = np.arange(1, count) / count
    levels = np.concatenate([levels, [1 / 8 / count, 1 - 1 / 8 / count]])
    both = [np.quantile(x.astype(np.float64), levels, method="lower") for x in (first, second)]
    return np.unique(np.concatenate(both))


def _discriminant(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Fisher's linear discriminant (1936): the direction with the largest difference of means in
    standard deviations. Finds the one in which noise cancels, if there is one."""
    spread = 0.5 * (np.cov(first, rowvar=False) + np.cov(second, rowvar=False))
    scale = np.sqrt(np.diag(spread))
    varies = scale > 1e-6 * (1 + np.abs(first).max(axis=0))
    weights = np.zeros(len(scale))
    if varies.any():
        scale = scale[varies]
        spread = spread[np.ix_(varies, varies)] / np.outer(scale, scale)
        apart = (second.mean(0) - first.mean(0))[varies] / scale
        found = np.linalg.solve(spread + 1e-10 * np.eye(len(scale)), apart) / scale
        weights[varies] = found / max(np.abs(found).max(), 1e-30)
    return weights


def _likelihood(fit: Samples, bins: int = 16) -> Callable[[Transcripts], np.ndarray]:
    """The sum over values of the log-likelihood ratio of the bin that each falls in."""
    first, second = (_flat(runs) for runs in fit)
    parts = []
    for j in range(first.shape[1]):
        cuts = _quantiles(first[:, j], second[:, j], bins)
        counts = [
            np.bincount(np.searchsorted(cuts, x[:, j]), minlength=len(cuts) + 1)
            for x in (first, second)
        ]
        parts.append((cuts, np.log((counts[1] + 0.5) / (counts[0] + 0.5))))

    def total(runs):
        flat = _flat(runs)
        each = [
            ratio[np.searchsorted(cuts, x)] for x, (cuts, ratio) in zip(flat.T, parts, strict=True)
        ]
        return np.sum(each, axis=0)

    return total


# ---- sets of atoms -------------------------------------------------------------------------


def _sets(
    lens: Lens, fit: Samples, score: Samples, level: float, delta: float
) -> Iterator[tuple[float, Event]]:
    """For each order of the atoms and each direction, the best leading set and its bound."""
    atoms = np.unique(np.concatenate([lens.code(runs) for runs in fit]))
    fitted, scored = (
        np.array([_counts(lens, runs, atoms) for runs in pair]) for pair in (fit, score)
    )
    runs = len(score.original.recommendation)
    ratio = np.log((fitted[1] + 0.5) / (fitted[0] + 0.5))
    orders = [(np.argsort(ratio, kind="stable"), scored, runs)]
    if lens.fitted:
        orders.append((np.arange(len(atoms)), scored, runs))
    elif lens.ordered:  # the order owes nothing to `fit`, so both samples may judge
        orders.append((np.arange(len(atoms)), fitted + scored, runs + len(fit[0].recommendation)))
    for order, counts, total in orders:
        for lead in (order, order[::-1]):
            ends = _ends(len(lead))
            sums = np.cumsum(counts[:, lead], axis=1)[:, ends]
            for changed_first in (True, False):
                first, second = sums[::-1] if changed_first else sums
                bounds = loss_bound(first, second, total, level, delta)
                k = int(np.argmax(bounds))
                yield float(bounds[k]), _event(lens, atoms[lead[: ends[k] + 1]], changed_first)


def _event(lens: Lens, chosen: np.ndarray, changed_first: bool) -> Event:
    chosen = np.sort(chosen)

    def holds(runs):
        return np.isin(lens.code(runs), chosen)

    return Event(lens.name(chosen), holds, changed_first)


def _counts(lens: Lens, runs: Transcripts, atoms: np.ndarray) -> np.ndarray:
    """How many runs are in each of the sorted `atoms`; runs in others are left out."""
    codes = lens.code(runs)
    at = np.minimum(np.searchsorted(atoms, codes), len(atoms) - 1)
    return np.bincount(at[atoms[at] == codes], minlength=len(atoms))


def _ends(size: int) -> np.ndarray:
    """Last indices of the leading sets to try: all of a few atoms, a spread of many."""
    return np.unique(np.linspace(0, size - 1, min(size, _SETS)).astype(np.int64))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _list(numbers: list[int]) -> str:
    few = ", ".join(map(str, numbers[:4]))
    return (
        f"arm {few}" if len(numbers) == 1 else f"one of arms {few}" + ", ..." * (len(numbers) > 4)
    )
