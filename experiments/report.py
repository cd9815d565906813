"""The report: one static page of all reproduced figures and claims, made from their records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..core.claims import Verdict
from ..core.sources import version
from . import audit, records
from .paper import Papers

_TEMPLATES = Path(__file__).parent / "templates"
VERDICTS = {
    str(Verdict.REPRODUCED): ("yes", "✓"),
    str(Verdict.NOT_REPRODUCED): ("no", "✗"),
    str(Verdict.UNDECIDED): ("open", "?"),
}  # verdict -> its CSS class and its sign


def build(output: str | Path = "results", papers: Papers | None = None) -> Path:
    """Write <output>/report/index.html and <output>/claims.json; returns the path of the page.

    Nothing is run: what counts is what `reproduce` has recorded below `output`.

    Raises:
      ValueError: nothing was recorded there.
      OSError: the page cannot be written.
    """
    output = Path(output)
    found, audits = records.load(output, papers), audit.load(output)
    if not found and not audits:
        raise ValueError(
            f"nothing to report in {str(output)!r}: run `regrax reproduce` first, or name the "
            f"folder of its results with --output"
        )
    records.collect(output, found)
    return records.write_text(output / "report" / "index.html", render(found, audits))


def render(found: Iterable[Mapping[str, Any]], audits: Iterable[Mapping[str, Any]] = ()) -> str:
    """The page as text, from records in the order of the page and the rows of privacy audits."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(verdicts=VERDICTS, version=version("regrax"))
    environment.filters.update(url=quote, region=region, percent=percent, duration=duration)
    environment.filters.update(gauge=gauge, count=lambda number: f"{number:,}")
    papers = [
        {"about": items[0]["paper"], "figures": items, "claims": _claims(items)}
        for _, group in itertools.groupby(found, key=lambda record: record["paper"]["name"])
        for items in [list(group)]
    ]
    totals = {
        verdict: sum(row["verdict"] == verdict for paper in papers for row in paper["claims"])
        for verdict in VERDICTS
    }
    failed = sum(bool(figure["errors"]) for paper in papers for figure in paper["figures"])
    return environment.get_template("report.html.j2").render(
        papers=papers, totals=totals, failed=failed, audits=_audited(audits)
    )


def _claims(figures: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "record": figure} for figure in figures for row in figure["claims"]]


def _audited(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a learner and claim: the largest lower bound on epsilon in either box."""
    found = []
    for key, group in itertools.groupby(rows, lambda x: (x["learner"], x["epsilon"], x["delta"])):
        members = list(group)
        boxes = {
            box: max((x["lower"] for x in members if x["box"] == box), default=None)
            for box in ("black", "white")
        }
        verdicts = {x["verdict"] for x in members}
        worst = "violated" if "violated" in verdicts else "not refuted"
        found.append(
            dict(zip(("learner", "epsilon", "delta"), key, strict=True))
            | boxes
            | {"pairs": len({x["case"] for x in members}), "verdict": worst}
            | {"confidence": members[0]["confidence"]}
        )
    return found


def region(row: Mapping[str, Any]) -> str:
    """The region of a claim in words, as the records keep it: None is an infinite end."""
    low, high = row["region_low"], row["region_high"]
    if low is None:
        return f"at most {high:.6g}"
    if high is None:
        return f"at least {low:.6g}"
    return f"{low:.6g}" if low == high else f"between {low:.6g} and {high:.6g}"


def percent(share: float) -> str:
    """A level as a reader expects it: 95 %, but never 100 % for what is only close to it."""
    digits = 3 if share < 0.999 else 2 - math.floor(math.log10(1 - share)) if share < 1 else 3
    return f"{100 * share:.{digits}g} %"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def gauge(row: Mapping[str, Any]) -> dict[str, float] | None:
    """Where region and interval of a claim lie on a line from 0 to 100; None without a value.

    An end that is infinite, or far beyond the rest, is drawn at the edge.
    """
    value, low, high = row["value"], row["low"], row["high"]
    if value is None:
        return None
    marks = [x for x in (value, low, high, row["region_low"], row["region_high"]) if x is not None]
    start, stop = min(marks), max(marks)
    margin = 0.18 * (stop - start) or max(abs(value), 1.0) * 0.5
    start, stop = start - margin, stop + margin

    def at(x: float | None, edge: float) -> float:
        if x is None or not math.isfinite(x):
            return edge
        return round(min(max(100 * (x - start) / (stop - start), 0.0), 100.0), 2)

    return {
        "value": at(value, 50.0),
        "low": at(low, 0.0),
        "high": at(high, 100.0),
        "region_low": at(row["region_low"], 0.0),
        "region_high": at(row["region_high"], 100.0),
    }
