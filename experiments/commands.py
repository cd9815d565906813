"""The commands of `regrax`: a dataclass each, whose fields are its options and docstring its help.

Whatever takes long to import is imported where it is used, so that help is there at once.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from .paper import Scale

if TYPE_CHECKING:
    from .reproduce import Outcome


def _number_spec(least: int = 1) -> Any:
    def read(words: list[str]) -> int:
        try:
            number = float(words[0].replace("_", "").replace(",", ""))
        except ValueError:
            number = math.nan
        if not (number.is_integer() and number >= least):
            raise ValueError(
                f"a whole number from {least}, such as 1000, 100_000 or 1e5, is needed: "
                f"got {words[0]!r}"
            )
        return int(number)

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NUMBER",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


Number = Annotated[int, _number_spec()]  # 1000, 100_000 or 1e5
Output = Annotated[Path, tyro.conf.arg(metavar="FOLDER")]


@dataclass(frozen=True)
class List:
    """List papers, figures, environments and learners, a line each."""

    examples: ClassVar[tuple[str, ...]] = (
        "regrax list",
        "regrax list learners",
    )

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    """Papers, environments or learners; all of them by default."""

    def __call__(self) -> int:
        from ..core.names import did_you_mean
        from . import catalogue

        parts: dict[str, Callable[[], list[tuple[str, str]]]] = {
            "papers": _papers,
            "environments": lambda: _described(catalogue.environments()),
            "learners": lambda: _described(catalogue.learners()),
        }
        for name in self.what:
            if name not in parts:
                raise catalogue.UsageError(f"cannot list {name!r}: {did_you_mean(name, parts)}")
        for i, name in enumerate(self.what or parts):
            rows = parts[name]()
            width = max((len(row[0]) for row in rows), default=0)
            lines = [_cut(f"  {left.ljust(width)}  {right}".rstrip()) for left, right in rows]
            print("\n" * (i > 0) + "\n".join([f"{name}:", *(lines or ["  none yet"])]))
        return 0


@dataclass(frozen=True)
class Run:
    """Run learners in an environment: a regret curve, a table with intervals, the data."""

    examples: ClassVar[tuple[str, ...]] = (
        "regrax run BernoulliBandit --learners UCB1 ThompsonBeta --set means=0.1,0.5,0.9",
        "regrax run garivier_cappe_2011 --learners UCB1 KLUCB --horizon 1e5 --seeds 4096",
        "regrax run BernoulliBandit --set means=0.4,0.6 "
        "--learners UCB1 bold=UCB1 --set bold.exploration=0.5",
    )

    environment: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENVIRONMENT")]
    """A class or a named instance; `regrax list environments` shows them."""
    learners: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LEARNER")]
    """One or more classes; LABEL=CLASS gives one a name of its own."""
    horizon: Number = 10_000
    """Number of rounds."""
    seeds: Number = 1000
    """Independent repetitions."""
    set: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")
    ] = ()
    """A field of the environment (means=0.1,0.5) or of a learner (UCB1.exploration=1)."""
    metric: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """What to show, of what the environment reports; its regret by default."""
    level: float = 0.95
    """Confidence of the intervals."""
    root_seed: int = 0
    """Another one gives other, independent repetitions."""
    output: Output = Path("results")
    """Folder of results."""

    def __call__(self) -> int:
        from . import trial

        asked = trial.study(
            self.environment, self.learners, self.horizon, self.seeds, self.set, self.root_seed
        )
        print(trial.perform(asked, self.output, self.metric or None, self.level).text)
        return 0


@dataclass(frozen=True)
class Reproduce:
    """Reproduce the figures of papers and judge their claims.

    Ends with code 0 whatever the verdicts are, and with 1 when a figure could not be made.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "regrax reproduce",
        "regrax reproduce introduction_to_bandits --scale smoke",
        "regrax reproduce introduction_to_bandits --scale paper --until-settled --max-seconds 3600",
    )

    papers: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PAPER[/FIGURE]")
    ] = ()
    """What to reproduce; every paper by default."""
    scale: Scale = "quick"
    """Smoke runs in seconds, quick in a minute a figure; paper is as large as the publication."""
    seeds: Annotated[int, _number_spec(least=0)] = 0
    """Seeds of every study; 0 is as many as the study itself asks for."""
    until_settled: bool = False
    """Double the seeds of each figure until its claims are decided."""
    max_seconds: float = math.inf
    """With --until-settled: start no further run after so long."""
    max_seeds: Number = 2**20
    """With --until-settled: ask for no more seeds than this."""
    output: Output = Path("results")
    """Folder of results."""

    def __call__(self) -> int:
        from . import reproduce as engine
        from .catalogue import UsageError
        from .registry import PAPERS

        limited = self.max_seconds < math.inf or self.max_seeds != 2**20
        if limited and not self.until_settled:
            raise UsageError("--max-seconds and --max-seeds go with --until-settled")
        try:
            selections = engine.select(self.papers, PAPERS)
        except ValueError as error:
            raise UsageError(str(error)) from error
        options = engine.Options(
            self.scale,
            self.seeds or None,
            self.until_settled,
            self.max_seconds,
            self.max_seeds,
            self.output,
        )
        outcomes: list[Outcome] = []
        try:
            engine.reproduce(selections, options, partial(print, flush=True), outcomes)
        except BaseException:  # Ctrl-C, a full disk: what is done goes on the page, if it can
            with contextlib.suppress(OSError, ValueError):
                _page(self.output, outcomes)
            raise
        page = _page(self.output, outcomes)
        print(f"\n{_tables(outcomes)}\n")
        if self.scale != "paper":
            print(f"{self.scale} scale: what is said of growth is judged on short horizons here;")
            print("--scale paper asks the real question.")
        failed = [f"{o.paper.name}/{o.figure.name}" for o in outcomes if o.errors]
        if failed:
            print(f"failed: {', '.join(failed)}")
        if page:
            print(f"report: {page}")
        return 1 if failed else 0


@dataclass(frozen=True)
class Report:
    """Make the report page again from stored results; nothing is run."""

    examples: ClassVar[tuple[str, ...]] = (
        "regrax report",
        "regrax report --output elsewhere",
    )

    output: Output = Path("results")
    """Folder of results."""

    def __call__(self) -> int:
        from . import report
        from .registry import PAPERS

        print(report.build(self.output, PAPERS))
        return 0


@dataclass(frozen=True)
class Doctor:
    """Show versions and devices, and check the store of results.

    Ends with code 1 when something is wrong.
    """

    examples: ClassVar[tuple[str, ...]] = ("regrax doctor",)

    output: Output = Path("results")
    """Folder of results."""

    def __call__(self) -> int:
        from . import doctor

        findings = doctor.examine(self.output / "store")
        print(doctor.as_text(findings))
        return 0 if all(finding.well for finding in findings) else 1


@dataclass(frozen=True)
class Bench:
    """Measure speed: `regrax bench bandits --help` shows the options."""

    examples: ClassVar[tuple[str, ...]] = (
        "regrax bench bandits",
        "regrax bench bandits --seeds 1000 --repeats 3 --no-peers",
        "regrax bench best_arm",
        "regrax bench solvers",
        "regrax bench tallying",
    )

    benchmark: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="BENCHMARK")]
    """One of bandits, best_arm, contextual, kernels, linear_mdp, online, solvers, tallying. What
    follows are its own options."""

    def __call__(self) -> int:
        return bench([self.benchmark])


@dataclass(frozen=True)
class Audit:
    """Look for violations of differential privacy: lower bounds on epsilon from many runs.

    Each learner plays pairs of reward tables that differ in one reward, and the event that tells
    the two apart best is counted. Ends with code 1 when a claim is refuted.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "regrax audit",
        "regrax audit dp-se --epsilon 0.5 --runs 1e6",
        "regrax audit adap-ucb adap-tt --epsilon 1",
    )

    learners: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="LEARNER")
    ] = ()
    """Private learners, such as dp-se; all of them by default."""
    epsilon: float = 0.5
    """What they are set to, and claim."""
    delta: float = 1e-3
    """The same, for those that claim (epsilon, delta)-privacy."""
    runs: Number = 100_000
    """Runs on each table; half of them or fewer choose the event, the others count it."""
    level: float = 0.99
    """Confidence of all bounds of a learner together."""
    root_seed: int = 0
    """Another one gives other, independent runs."""
    output: Output = Path("results")
    """Folder of results."""

    def __call__(self) -> int:
        from . import audit

        violated = False
        for i, name in enumerate(audit.names(self.learners)):
            done = audit.perform(
                name, self.epsilon, delta=self.delta, runs=self.runs, level=self.level,
                root_seed=self.root_seed,
            )  # fmt: skip
            print("\n" * (i > 0) + audit.text(done), flush=True)
            audit.save(done, self.output, self.epsilon)
            violated = violated or done.violated
        return 1 if violated else 0


COMMANDS: dict[str, Callable[..., Any]] = {
    "list": List,
    "run": Run,
    "reproduce": Reproduce,
    "audit": Audit,
    "report": Report,
    "doctor": Doctor,
    "bench": Bench,
}


BENCHMARKS = (
    "bandits", "best_arm", "contextual", "kernels", "linear_mdp", "online", "solvers", "tallying"
)  # fmt: skip


def bench(words: list[str]) -> int:
    """`regrax bench NAME ...`: a benchmark has options of its own."""
    from ..core.names import did_you_mean
    from .catalogue import UsageError

    name, rest = words[0], words[1:]
    if name not in BENCHMARKS:
        raise UsageError(f"no benchmark {name!r}: {did_you_mean(name, BENCHMARKS)}")
    benchmark = importlib.import_module(f"..benchmarks.{name}", __package__)
    return benchmark.main(tyro.cli(benchmark.Config, prog=f"regrax bench {name}", args=rest))


def _cut(line: str) -> str:
    """To the width of a terminal; in full where the output goes elsewhere."""
    width = shutil.get_terminal_size().columns
    return line if not sys.stdout.isatty() or len(line) <= width else f"{line[: width - 1]}…"


def _papers() -> list[tuple[str, str]]:
    from .registry import PAPERS

    rows = []
    for paper in PAPERS.values():
        rows.append((paper.name, f"{paper.title} ({len(paper.claims)} claims)"))
        rows += [(f"{paper.name}/{figure.name}", figure.title) for figure in paper.figures]
    return rows


def _described(options: dict[str, Callable[..., Any]]) -> list[tuple[str, str]]:
    from .catalogue import first_line

    return [(name, first_line(value)) for name, value in options.items()]


def _tables(outcomes: list[Outcome]) -> str:
    from ..core.claims import table

    papers = {outcome.paper.name: outcome.paper for outcome in outcomes}
    parts = []
    for name, paper in papers.items():
        results = [r for outcome in outcomes if outcome.paper.name == name for r in outcome.results]
        head = f"{paper.title}. {paper.reference}"
        parts.append(f"{head}\n\n{table(results)}" if results else f"{head}\n\nno claims judged")
    return "\n\n\n".join(parts)


def _page(output: Path, outcomes: list[Outcome]) -> Path | None:
    from . import report
    from .registry import PAPERS

    return report.build(output, PAPERS) if outcomes else None
