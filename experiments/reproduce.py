"""Reproduce papers: run the studies of their figures, draw, judge the claims, file the results.

    results/store/                     blocks of seeds: what took long to compute
    results/<paper>/<figure>.png .svg  the picture
    results/<paper>/<figure>.nc        its data, one group a study
    results/<paper>/<figure>.json      its record: verdicts, provenance, how to make it again
    results/claims.json                all records together
    results/report/index.html          the page

A figure that fails does not stop the others; a store that cannot be written does. With every claim
of a paper judged at level alpha / (number of its claims), and each look at more seeds at its share
of that (`core.claims`), the chance that any verdict of a paper is wrong is at most alpha.
"""

from __future__ import annotations

import datetime
import math
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import plotting, provenance
from ..core.claims import Claim, ClaimError, Look, Result, Verdict, judge, settle, to_rows
from ..core.names import did_you_mean
from ..core.store import Store, StoreError
from ..core.study import run
from ..envs.datasets import DataSetError
from . import records
from .paper import Figure, Paper, Papers, Scale

if TYPE_CHECKING:
    import xarray as xr

    from ..core.study import Study

Data = dict[str, "xr.Dataset"]  # results of one figure, by the name of the study
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Options:
    """How to reproduce.

    scale: how large. seeds: instead of each study's own. until_settled: double the seeds of a
    figure until its claims are decided, or max_seconds (all figures together) or max_seeds are
    reached. alpha: chance that any verdict of a paper is wrong. output: folder of results.
    """

    scale: Scale = "quick"
    seeds: int | None = None
    until_settled: bool = False
    max_seconds: float = math.inf
    max_seeds: int = 2**20
    output: Path = Path("results")
    alpha: float = 0.05
    progress: bool | None = None


@dataclass(frozen=True)
class Selection:
    """A paper and those of its figures that are asked for."""

    paper: Paper
    figures: tuple[Figure, ...]


@dataclass
class Outcome:
    """What came of one figure."""

    paper: Paper
    figure: Figure
    results: tuple[Result, ...] = ()
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0


def select(names: Sequence[str], papers: Papers) -> list[Selection]:
    """The selections that `PAPER` or `PAPER/FIGURE` names ask for; all papers for no names.

    Raises:
      ValueError: an unknown name; the text has the nearest one.
    """
    chosen: dict[str, list[str]] = {}
    for name in names or papers:
        paper, _, figure = name.partition("/")
        if paper not in papers:
            raise ValueError(f"no paper {paper!r}: {did_you_mean(paper, papers)}")
        figures = [each.name for each in papers[paper].figures]
        if figure and figure not in figures:
            hint = did_you_mean(figure, figures)
            raise ValueError(f"paper {paper!r} has no figure {figure!r}: {hint}")
        chosen.setdefault(paper, []).extend([figure] if figure else figures)
    return [
        Selection(papers[name], tuple(f for f in papers[name].figures if f.name in figures))
        for name, figures in chosen.items()
    ]


def reproduce(
    selections: Sequence[Selection],
    options: Options,
    say: Say = print,
    into: list[Outcome] | None = None,
) -> list[Outcome]:
    """Reproduce figures one after the other, and record each as soon as it is done.

    into: a list to append outcomes to, for a caller who wants those before an interruption.

    Raises:
      StoreError, OSError: results cannot be written. What was stored before is safe.
    """
    deadline = time.monotonic() + options.max_seconds
    todo = [(selection.paper, figure) for selection in selections for figure in selection.figures]
    outcomes = [] if into is None else into
    for number, (paper, figure) in enumerate(todo, 1):
        say(f"[{number}/{len(todo)}] {paper.name}/{figure.name}: {figure.title}")
        outcome = make(paper, figure, options, deadline)
        outcomes.append(outcome)
        for error in outcome.errors:
            say(f"    failed: {error}")
        say(f"    {_counts(outcome)}{outcome.seconds:.1f} s")
    return outcomes


def make(paper: Paper, figure: Figure, options: Options, deadline: float = math.inf) -> Outcome:
    """Run, judge, draw and record one figure. Errors of its own code end up in the outcome."""
    outcome, start, runs = Outcome(paper, figure), time.perf_counter(), _Runs(figure, options)
    try:
        runs.begin()
        outcome.results = _judge(paper, figure, options, runs, outcome.errors, deadline)
    except DataSetError as error:  # of this figure alone; the text says what to do
        outcome.errors.append(str(error))
    except (StoreError, OSError):
        raise
    except Exception as error:
        outcome.errors.append(_explain(error))
    data = runs.latest
    files = {}
    if data:
        stem = options.output / paper.name / figure.name
        files["nc"] = records.save_data(data, stem.with_name(f"{stem.name}.nc"))
        try:
            files |= _draw(figure, data, stem)
        except (StoreError, OSError):
            raise
        except Exception as error:
            outcome.errors.append(f"the plot: {_explain(error)}")
    outcome.seconds = time.perf_counter() - start
    records.save(options.output, _record(outcome, options, data, files))
    return outcome


class _Runs:
    """Runs the studies of a figure with a number of seeds; keeps the latest results."""

    def __init__(self, figure: Figure, options: Options) -> None:
        self.figure, self.options = figure, options
        self.store = Store(options.output / "store")
        self.studies: list[Study] = []
        self.seeds = 0  # of the last call
        self.latest: Data = {}

    def begin(self) -> None:
        """The first look, at the seeds that were asked for."""
        self.studies = self.figure.studies(self.options.scale)
        names = [study.name for study in self.studies]
        if not names or len(set(names)) < len(names) or any("/" in name for name in names):
            raise ValueError(
                f"figure {self.figure.name!r} needs studies with different names without '/', "
                f"got {names}"
            )
        self(self.options.seeds or min(study.seeds for study in self.studies))

    def __call__(self, seeds: int) -> Data:
        if seeds != self.seeds:
            self.latest = {study.name: self._run(study, seeds) for study in self.studies}
            self.seeds = seeds
        return self.latest

    def _run(self, study: Study, seeds: int) -> xr.Dataset:
        # Without --seeds a study keeps the seeds it asks for, until more are needed.
        seeds = seeds if self.options.seeds else max(seeds, study.seeds)
        return run(study, store=self.store, seeds=seeds, progress=self.options.progress)


def _judge(
    paper: Paper, figure: Figure, options: Options, runs: _Runs, errors: list[str], deadline: float
) -> tuple[Result, ...]:
    """Look once; then, if asked, settle what can be judged and is not decided."""
    share = options.alpha / max(len(paper.claims), 1)
    results: dict[str, Result] = {}
    for claim in paper.claims_of(figure):
        try:
            results[claim.name] = judge(claim, runs.latest, share)
        except ClaimError as error:
            errors.append(str(error))
    judged = [claim for claim in paper.claims if claim.name in results]
    if options.until_settled and judged and runs.seeds >= 2:
        settled = _settle(judged, options, runs, share, deadline - time.monotonic(), errors)
        results |= {result.claim.name: result for result in settled}
    return tuple(results.values())


def _settle(
    claims: list[Claim],
    options: Options,
    runs: _Runs,
    share: float,
    seconds: float,
    errors: list[str],
) -> tuple[Result, ...]:
    results: dict[str, Result] = {}

    def keep(look: Look) -> None:
        results.update({result.claim.name: result for result in look.results})

    try:
        settle(
            lambda seeds: {claims[0].figure: runs(seeds)},
            claims,
            runs.seeds,
            max(options.max_seeds, runs.seeds),
            max(seconds, 0.0),
            share,
            family=False,  # `share` is this claim's part already
            on_look=keep,
        )
    except ClaimError as error:
        errors.append(str(error))
    return tuple(results.values())


def _draw(figure: Figure, data: Data, stem: Path) -> dict[str, Path]:
    with plotting.style():
        drawn = figure.plot(data)
        png, svg = plotting.save(drawn, stem)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(drawn)  # a plot that went through pyplot after all
    return {"png": png, "svg": svg}


def _record(
    outcome: Outcome, options: Options, data: Data, files: dict[str, Path]
) -> dict[str, Any]:
    paper, figure = outcome.paper, outcome.figure
    seeds = sorted({int(study.sizes["seed"]) for study in data.values()})
    return {
        "paper": {
            "name": paper.name,
            "title": paper.title,
            "reference": paper.reference,
            "summary": paper.summary,
            "claims": len(paper.claims),
            "order": [each.name for each in paper.figures],
        },
        "figure": {"name": figure.name, "title": figure.title, "caption": figure.caption},
        "scale": options.scale,
        "alpha": options.alpha,
        "seeds": seeds,
        "studies": [_describe(name, study) for name, study in data.items()],
        "claims": to_rows(outcome.results),
        "errors": outcome.errors,
        "files": {kind: path.name for kind, path in files.items()},
        "command": _command(outcome, options, seeds),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(outcome.seconds, 2),
        "provenance": _provenance(data),
    }


def _describe(name: str, study: xr.Dataset) -> dict[str, Any]:
    return {
        "name": name,
        "environments": [str(x) for x in study.environment.values],
        "learners": [str(x) for x in study.learner.values],
        "horizon": int(study.checkpoint[-1]),
        "seeds": int(study.sizes["seed"]),
    }


def _command(outcome: Outcome, options: Options, seeds: list[int]) -> str:
    words = ["regrax", "reproduce", f"{outcome.paper.name}/{outcome.figure.name}"]
    words += ["--scale", options.scale]
    if seeds and (options.seeds or options.until_settled):
        words += ["--seeds", str(max(seeds))]
    if options.output != Path("results"):
        words += ["--output", str(options.output)]
    return shlex.join(words)


def _provenance(data: Data) -> dict[str, Any]:
    """Where the numbers come from: of the data, not of the moment of drawing."""
    skipped = ("study", "horizon", "root_seed", "pulls_per_second", "pulls")
    parts = [{k: v for k, v in study.attrs.items() if k not in skipped} for study in data.values()]
    merged: dict[str, Any] = provenance.merge(parts) if parts else {**provenance.collect()}
    times = sorted(str(merged.pop("time", "")).split(", "))
    merged["time"] = times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"
    merged["pulls"] = sum(float(study.attrs.get("pulls", 0)) for study in data.values())
    return {k: v if isinstance(v, float) else str(v) for k, v in sorted(merged.items())}


def _counts(outcome: Outcome) -> str:
    verdicts = [result.verdict for result in outcome.results]
    parts = [f"{verdicts.count(v)} {v.lower()}, " for v in Verdict if v in verdicts]
    seeds = max((result.seeds for result in outcome.results), default=0)
    return "".join(parts) + (f"{seeds:,} seeds, " if seeds else "")


def _explain(error: Exception) -> str:
    """The error with the line of code that raised it: whoever wrote the figure needs it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in Path(frame.filename).parts]
    frame = (ours or frames)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
