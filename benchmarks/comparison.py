"""Programs that do the same work, timed in turn: medians, their spread, and ratios."""

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .harness import machine


@dataclass
class Contender:
    """A program that can be timed.

    Attributes:
        task: what it is compared within; the first contender of a task is the one that ratios are
        formed for. run: does the work and returns a number that all contenders of the task must
        agree on, with its standard error. work: units done by one call of `run`. unit: their name.
    """

    task: str
    name: str
    run: Callable[[], tuple[float, float]]
    work: float
    unit: str
    seconds: list[float] = field(default_factory=list)
    answers: list[tuple[float, float]] = field(default_factory=list)

    @property
    def per_unit(self) -> float:
        """Median seconds for one unit of work."""
        return statistics.median(self.seconds) / self.work


def compare(contenders: Sequence[Contender], repeats: int, title: str) -> dict[str, Any]:
    """Time everything `repeats` times in turn, after one call each that compiles; print a table.

    Returns everything as plain data; "disagreements" names answers more than five standard errors
    apart.
    """
    about = machine()
    with tqdm(total=len(contenders) * (repeats + 1), desc=title, disable=None) as bar:
        for turn in range(repeats + 1):
            for contender in contenders:
                start = time.perf_counter()
                answer = contender.run()
                seconds = time.perf_counter() - start
                if turn:
                    contender.seconds.append(seconds)
                    contender.answers.append(answer)
                bar.update()
    rows = [_row(contender, contenders) for contender in contenders]
    disagreements = [row["task"] + ": " + row["program"] for row in rows if not row["agrees"]]
    print(_text(about, rows))
    for line in disagreements:
        print(f"does other work than the rest: {line}")
    return {"machine": about, "rows": rows, "disagreements": disagreements}


def write(result: dict[str, Any], output: Path | None) -> int:
    """Keep the raw measurements; the exit status of the benchmark."""
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(output.name + ".part")
        try:
            partial.write_text(json.dumps(result, indent=1, default=str) + "\n")
            partial.replace(output)
        finally:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
        print(f"raw measurements: {output}", file=sys.stderr)
    return 1 if result["disagreements"] else 0


def _row(contender: Contender, contenders: Sequence[Contender]) -> dict[str, Any]:
    first = next(other for other in contenders if other.task == contender.task)
    value, error = _pooled(contender)
    target, target_error = _pooled(first)
    spread = (error**2 + target_error**2) ** 0.5
    return {
        "task": contender.task,
        "program": contender.name,
        "unit": contender.unit,
        "work": contender.work,
        "seconds": contender.seconds,
        "microseconds_per_unit": contender.per_unit * 1e6,
        "ratio": contender.per_unit / first.per_unit,
        "answer": value,
        "standard_error": error,
        "agrees": abs(value - target) <= 5 * spread or value == target,
    }


def _pooled(contender: Contender) -> tuple[float, float]:
    values, errors = zip(*contender.answers, strict=True)
    if len(set(values)) == 1:  # the same seeds each time
        return values[0], errors[0]
    return statistics.fmean(values), sum(e**2 for e in errors) ** 0.5 / len(errors)


def _text(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    load = about["load"]
    lines = [
        f"{about['processor']}, {about['cores']} cores, load at the start "
        f"{'unknown' if load is None else f'{load[0]:.2f}'}",
        f"{'':36}{'us a unit':>12}{'lowest':>10}{'highest':>10}{'ratio':>9}  answer",
    ]
    task = None
    for row in rows:
        if row["task"] != task:
            task = row["task"]
            lines.append(f"{task} (a unit: {row['unit']})")
        scale = 1e6 / row["work"]
        lines.append(
            f"  {row['program']:34}{row['microseconds_per_unit']:12.4g}"
            f"{min(row['seconds']) * scale:10.4g}{max(row['seconds']) * scale:10.4g}"
            f"{row['ratio']:9.3g}  {row['answer']:.5g} +- {row['standard_error']:.2g}"
        )
    return "\n".join(lines)
