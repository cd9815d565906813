"""Empirical audit of differential privacy: a lower confidence bound on epsilon from many runs.

A learner is (epsilon, delta)-private at the level of one reward when, for any two reward tables
that differ in ONE entry and any set S of what it releases (the arms pulled, in order, and the
recommendation), P(S) <= e^epsilon P'(S) + delta. The rewards of both tables are fixed numbers; only
the learner's noise is random. An audit runs the learner many times on both, looks for an event S on
some of the runs, and counts it on the others: with p >= p_low and p' <= p'_high from the exact
intervals of Clopper and Pearson,

    epsilon >= ln((p_low - delta) / p'_high)  with the stated confidence.

A bound above the claim refutes it. A bound below it proves nothing: other tables, or rarer events,
may tell more. References: Ding, Wang, Wang, Zhang, Kifer, "Detecting violations of differential
privacy", CCS 2018; Jagielski, Ullman, Oprea, "Auditing differentially private machine learning",
NeurIPS 2020 (bounds from Clopper-Pearson intervals).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import noise
from .checks import whole
from .privacy_events import Event, Samples, choose, loss_bound
from .privacy_findings import Box, Finding, PrivacyAudit
from .progress import Progress, bar
from .protocol import concrete
from .statistics import split_level
from .transcripts import (
    Transcripts,
    View,
    batch_size,
    check_entry,
    default_stops,
    num_rounds,
    transcripts,
)

_MOST_FOR_CHOICE = 200_000
_LEAST = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A learner, and two reward tables that differ in one entry.

    Attributes:
      name: short, different for each case of an audit: the draws depend on it.
      learner: of phases or of single pulls, with its blanks filled.
      table: [K, N] rewards; the n-th pull of arm i brings table[i, n].
      arm, index: the entry that changes; value: the reward it has in the other table.
      features: [K, d] for learners that use them, else ().
      watch: other arms whose values a white-box audit looks at.
      rounds: how many pulls to play, for a learner of single pulls.
      stops: numbers of phases after which the run is looked at, ascending; see
        `core.transcripts.default_stops`.
      view: the learner's state -> what it holds of each arm, [K]; None leaves white box out.
      epsilon, delta: what is claimed of this pair of tables; 0 for an entry that nobody reads.
    """

    name: str
    learner: Any
    table: np.ndarray
    arm: int
    index: int
    value: float
    features: Any = ()
    watch: tuple[int, ...] = ()
    rounds: int | None = None
    stops: tuple[int, ...] | None = None
    view: View | None = None
    epsilon: float = math.inf
    delta: float = 0.0

    def __post_init__(self) -> None:
        table = np.asarray(self.table, np.float64)
        check_entry(table.shape, self.arm, self.index)
        object.__setattr__(self, "table", table)
        if table[self.arm, self.index] == self.value:
            raise ValueError(
                f"case {self.name!r}: entry ({self.arm}, {self.index}) is {self.value} in both "
                f"tables, so they do not differ; give another value"
            )
        if not (self.epsilon >= 0 and 0 <= self.delta < 1):
            raise ValueError(
                f"case {self.name!r}: epsilon is not negative and delta lies in [0, 1), got "
                f"epsilon={self.epsilon}, delta={self.delta}"
            )

    @property
    def other(self) -> np.ndarray:
        """The neighbouring table."""
        table = self.table.copy()
        table[self.arm, self.index] = self.value
        return table


def audit(
    cases: Sequence[Case],
    runs: int = 100_000,
    *,
    name: str = "",
    level: float = 0.99,
    events: Sequence[Event] = (),
    root_seed: int = 0,
    progress: Progress = None,
) -> PrivacyAudit:
    """Audit a learner on pairs of tables.

    Args:
      cases: see `Case`; learners, shapes and views that are equal share one compiled program.
      runs: on each of the two tables of every case. Half of them, 200,000 at most, choose an event
        for each box; the others test it.
      name: what to call the learner in texts; its class when left out.
      level: of all bounds together, split evenly (Bonferroni).
      events: these instead of chosen ones. Then all runs test them, each in both directions.
      root_seed: the one key everything is folded from; no run shares its key with another.

    Raises:
      ValueError: no cases, two of one name, too few runs, and what `transcripts` raises.
    """
    runs, cases = whole("runs", runs), list(cases)
    names = [case.name for case in cases]
    if not cases or len(set(names)) < len(names):
        raise ValueError(f"an audit needs cases of different names, got {names}")
    if runs < _LEAST:
        raise ValueError(f"an audit needs {_LEAST} runs or more, got {runs}")
    tests = sum(2 * len(events) if events else len(_boxes(case)) for case in cases)
    each = split_level(level, tests)
    key, findings = noise.stream(noise.root(root_seed), "privacy audit"), []
    label = name or type(cases[0].learner).__name__
    work = [2 * runs * _pulls(case) for case in cases]
    with bar(progress, sum(work), f"audit of {label}, {len(cases)} pairs of tables") as update:
        for case, pulls in zip(cases, work, strict=True):
            case_key = noise.stream(key, case.name)
            run = _Runner(case, case_key, update, pulls / (2 * runs), runs)
            findings += _fixed(run, events, runs, each) if events else _chosen(run, runs, each)
    return PrivacyAudit(label, tuple(findings), level)


class _Runner:
    """Plays ranges of runs on either table of a case."""

    def __init__(self, case, key, update, pulls, runs) -> None:
        self.case, self.update, self.pulls = case, update, pulls
        self.batch = batch_size(case.table.shape[0], max(runs // 4, 1))  # one compiled program
        rounds = num_rounds(case.learner, case.rounds)
        self.stops = default_stops(rounds) if case.stops is None else case.stops
        self.keys = noise.stream(key, "original"), noise.stream(key, "changed")

    def batches(self, changed: bool, runs: range):
        case = self.case
        for batch in transcripts(
            case.learner,
            case.other if changed else case.table,
            runs,
            self.keys[changed],
            arm=case.arm,
            index=case.index,
            watch=case.watch,
            features=case.features,
            rounds=case.rounds,
            stops=self.stops,
            view=case.view,
            batch=self.batch,
        ):
            self.update(int(len(batch.read) * self.pulls))
            yield batch

    def samples(self, runs: range) -> Samples:
        def all_of(changed):
            parts = list(self.batches(changed, runs))
            return Transcripts(*(np.concatenate(x) for x in zip(*parts, strict=True)))

        return Samples(all_of(False), all_of(True))

    def count(self, events: Sequence[Event], runs: range) -> tuple[np.ndarray, float]:
        """How many runs are in each event, [original or changed, event]; the share that read."""
        counts, read = np.zeros((2, len(events)), np.int64), 0
        for changed in (False, True):
            for batch in self.batches(changed, runs):
                counts[int(changed)] += [int(np.sum(event.holds(batch))) for event in events]
                read += int(batch.read.sum())
        return counts, read / (2 * len(runs))


def _fixed(run: _Runner, events: Sequence[Event], runs: int, level: float) -> list[Finding]:
    both = [dataclasses.replace(e, changed_first=first) for e in events for first in (True, False)]
    counts, read = run.count(both, range(runs))
    white: Box = "black" if run.case.view is None else "white"
    return [
        _finding(run.case, white, event, counts[:, i], runs, level, read)
        for i, event in enumerate(both)
    ]


def _chosen(run: _Runner, runs: int, level: float) -> list[Finding]:
    case = run.case
    part = min(runs // 2, _MOST_FOR_CHOICE) // 2
    fit, score = run.samples(range(part)), run.samples(range(part, 2 * part))
    boxes = _boxes(case)
    events = [choose(fit, score, run.stops, box == "white", level, case.delta) for box in boxes]
    counts, read = run.count(events, range(2 * part, runs))
    return [
        _finding(case, box, event, counts[:, i], runs - 2 * part, level, read)
        for i, (box, event) in enumerate(zip(boxes, events, strict=True))
    ]


def _finding(
    case: Case, box: Box, event: Event, counts: np.ndarray, runs: int, level: float, read: float
) -> Finding:
    original, changed = (int(x) for x in counts)
    first, second = (changed, original) if event.changed_first else (original, changed)
    excess = first / runs - case.delta
    if second:
        estimate = math.log(excess * runs / second) if excess > 0 else -math.inf
    else:
        estimate = math.inf if excess > 0 else math.nan
    lower = float(loss_bound(first, second, runs, level, case.delta))
    return Finding(
        case.name, box, event.text, event.changed_first, runs, first, second, estimate, lower,
        case.epsilon, case.delta, level, read,
    )  # fmt: skip


def _boxes(case: Case) -> tuple[Box, ...]:
    return ("black",) if case.view is None else ("black", "white")


def _pulls(case: Case) -> int:
    """Pulls of a run, about: only for the progress bar."""
    budget = concrete(getattr(case.learner, "budget", None))
    return int(budget) if budget is not None and budget.ndim == 0 else case.table.shape[1]
