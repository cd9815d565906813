"""What an audit of privacy found: bounds, verdicts, and how to show them."""

from __future__ import annotations

import dataclasses
from typing import Literal

Box = Literal["black", "white"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the runs say of one pair of tables.

    Attributes:
      case: its name; box: whether the event is one of the transcript alone ("black") or also of
        what the learner holds ("white").
      event: S in words; changed_first: P is the law on the changed table, P' on the original one,
        or the other way round.
      runs: on each table, for the test. first, second: how many of them were in S.
      estimate: ln((first/runs - delta) / (second/runs)), NaN where it has no value.
      lower: the lower confidence bound on epsilon, 0 or more.
      epsilon, delta: what is claimed. level: the confidence of this bound alone.
      read: the share of runs in which the entry was read at all.
    """

    case: str
    box: Box
    event: str
    changed_first: bool
    runs: int
    first: int
    second: int
    estimate: float
    lower: float
    epsilon: float
    delta: float
    level: float
    read: float

    @property
    def violated(self) -> bool:
        return self.lower > self.epsilon

    @property
    def verdict(self) -> str:
        return "violated" if self.violated else "not refuted"


@dataclasses.dataclass(frozen=True)
class PrivacyAudit:
    """All findings of an audit. With probability `level` or more every lower bound holds, so a
    learner that keeps its claim is called violated with probability 1 - level or less."""

    learner: str
    findings: tuple[Finding, ...]
    level: float

    @property
    def violated(self) -> bool:
        return any(finding.violated for finding in self.findings)

    @property
    def worst(self) -> Finding:
        """The finding that is furthest above its claim, or least below it."""
        return max(self.findings, key=lambda f: (f.violated, f.lower))

    def rows(self) -> list[tuple[str, ...]]:
        """Cells of a table, the heading first."""
        head = ("tables", "box", "event", "P", "P'", "estimate", "at least", "claim", "verdict")
        return [head, *(_cells(finding) for finding in self.findings)]

    def table(self) -> str:
        """For a terminal."""
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows]
        return "\n".join(line.rstrip() for line in lines)

    def markdown(self) -> str:
        """A table of Markdown."""
        rows = self.rows()
        rows.insert(1, ("---",) * len(rows[0]))
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    def line(self) -> str:
        """One sentence."""
        worst = self.worst
        runs = f"{worst.runs:,} runs a table"
        sure = f"{100 * self.level:.6g} % confidence"
        if self.violated:
            claim = _claim(worst)
            return (
                f"{self.learner}: VIOLATED. Epsilon is at least {worst.lower:.3f} ({worst.case}, "
                f"{worst.box} box), and {claim} was claimed; {runs}, {sure}"
            )
        return (
            f"{self.learner}: not refuted. The largest lower bound on epsilon is "
            f"{worst.lower:.3f} of {_claim(worst)} ({worst.case}, {worst.box} box); {runs}, {sure}"
        )


def _claim(finding: Finding) -> str:
    text = f"{finding.epsilon:.6g}"
    return f"({text}, {finding.delta:.3g})" if finding.delta else text


def _cells(finding: Finding) -> tuple[str, ...]:
    tables = "changed, original" if finding.changed_first else "original, changed"
    return (
        finding.case,
        finding.box,
        f"{finding.event} [{tables}]",
        f"{finding.first / finding.runs:.4g}",
        f"{finding.second / finding.runs:.4g}",
        f"{finding.estimate:.3f}",
        f"{finding.lower:.3f}",
        _claim(finding),
        finding.verdict,
    )
