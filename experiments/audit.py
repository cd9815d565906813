"""`regrax audit`: private learners by name, on the tables that suit them, and what came of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..core.names import did_you_mean
from ..core.privacy_audit import audit
from ..core.privacy_cases import BUILDERS
from ..core.privacy_findings import PrivacyAudit
from ..core.progress import Progress
from . import records
from .catalogue import UsageError

FORMAT = 1


def names(asked: Sequence[str] = ()) -> list[str]:
    """The learners that are meant, in the order given; all of them when none is named. Case,
    hyphens and underscores do not matter: DPBAI is dp-bai.

    Raises:
      UsageError: a name that no private learner has, with the nearest.
    """
    short = {_bare(name): name for name in BUILDERS}
    for name in asked:
        if _bare(name) not in short:
            raise UsageError(f"no private learner {name!r}: {did_you_mean(name, BUILDERS)}")
    return list(dict.fromkeys(short[_bare(name)] for name in asked)) or list(BUILDERS)


def perform(
    name: str,
    epsilon: float = 0.5,
    *,
    delta: float = 1e-3,
    runs: int = 100_000,
    level: float = 0.99,
    root_seed: int = 0,
    progress: Progress = None,
) -> PrivacyAudit:
    """Audit a learner at `epsilon` on its own tables.

    Args:
      name: one of `names()`.
      epsilon, delta: what the learner is set to and claims; delta is for those that are
        (epsilon, delta)-private only.
      runs: on each of the two tables of every case.
      level: of all bounds together.

    Raises:
      UsageError: an unknown name, or numbers that cannot be meant.
    """
    (name,) = names([name])
    if not 0 < epsilon < math.inf:
        raise UsageError(f"epsilon is positive and finite, got {epsilon:g}")
    if not 0 < delta < 1:
        raise UsageError(f"delta lies strictly between 0 and 1, got {delta:g}")
    if not 0 < level < 1:
        raise UsageError(f"the level lies strictly between 0 and 1, got {level:g}")
    cases = BUILDERS[name](epsilon, delta, runs)
    return audit(cases, runs, name=name, level=level, root_seed=root_seed, progress=progress)


def text(done: PrivacyAudit) -> str:
    """For a terminal: the table, then the verdict in one sentence."""
    return f"{done.table()}\n\n{done.line()}"


def audit_rows(audits: Iterable[PrivacyAudit]) -> list[dict[str, Any]]:
    """One row a finding, of strings and numbers that JSON knows: an infinite or undefined estimate
    is None. In the order of the audits and of their cases."""
    return [
        {
            "learner": done.learner,
            "case": finding.case,
            "box": finding.box,
            "event": finding.event,
            "likelier": "changed" if finding.changed_first else "original",
            "runs": finding.runs,
            "first": finding.first,
            "second": finding.second,
            "estimate": finding.estimate if math.isfinite(finding.estimate) else None,
            "lower": finding.lower,
            "epsilon": finding.epsilon,
            "delta": finding.delta,
            "read": finding.read,
            "confidence": done.level,
            "verdict": finding.verdict,
        }
        for done in audits
        for finding in done.findings
    ]


def save(done: PrivacyAudit, output: Path, epsilon: float) -> Path:
    """Write the rows of an audit to <output>/audits/<learner>/epsilon-<epsilon>.json."""
    path = output / "audits" / done.learner / f"epsilon-{epsilon:g}.json"
    return records.write_json(path, {"format": FORMAT, "rows": audit_rows([done])})


def load(output: Path) -> list[dict[str, Any]]:
    """The rows of every audit saved below `output`, by learner and epsilon."""
    found = []
    for path in sorted(output.glob("audits/*/*.json"), key=_place):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("format") == FORMAT:
            found += content["rows"]
    return found


def _place(path: Path) -> tuple[str, float]:
    number = re.fullmatch(r"epsilon-(.+)", path.stem)
    return path.parent.name, float(number[1]) if number else 0.0


def _bare(name: str) -> str:
    return re.sub(r"[-_ ]", "", name).lower()
