"""What the benchmarks share: a measurement, a row of the table, a worker process, the machine."""

import json
import math
import os
import platform
import statistics
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core import provenance


class Unavailable(Exception):
    """A program that cannot be run here; the text says why."""


@dataclass(frozen=True)
class Measurement:
    """One timing of one program.

    Attributes:
        seconds: on the clock, compilation and start-up excluded. pulls: arms pulled in that time,
        over all runs. runs: independent runs that `mean` and `variance` (unbiased) of the regret
        are over. compile_seconds: spent compiling before the clock started. call_seconds: the whole
        call as its caller saw it, less compiling; None where that is `seconds`.
    """

    seconds: float
    pulls: int
    runs: int
    mean: float
    variance: float
    compile_seconds: float = 0.0
    call_seconds: float | None = None

    @property
    def rate(self) -> float:
        """Pulls per second."""
        return self.pulls / self.seconds


Measure = Callable[[str, int, int, int], Measurement]  # algorithm, seeds, horizon, root seed


@dataclass(frozen=True)
class Program:
    """Something that can be measured.

    Attributes:
        kind: its part in the ratios: regrax, plain, c, numpy, jax, library, or "" for none.
        variants: by algorithm, how it differs from the one compared; its regret is then its own.
    """

    name: str
    kind: str
    threads: int
    measure: Measure
    algorithms: tuple[str, ...] = ("ucb1", "thompson", "exp3")
    variants: dict[str, str] = field(default_factory=dict)


@dataclass
class Row:
    """One line of the table; `failure` says why it has no (more) measurements."""

    program: Program
    algorithm: str
    seeds: int | None  # None: a library, one run after the other
    horizon: int
    compile_seconds: float = 0.0
    measurements: list[Measurement] = field(default_factory=list)
    failure: str = ""

    @property
    def rate(self) -> float | None:
        """Median pulls per second."""
        return statistics.median(m.rate for m in self.measurements) if self.measurements else None


def pool(parts: Sequence[Measurement]) -> Measurement:
    """Measurements taken one after the other, as one: times and runs add up, regrets are pooled."""
    runs = sum(part.runs for part in parts)
    mean = sum(part.runs * part.mean for part in parts) / runs
    squares = sum((p.runs - 1) * p.variance + p.runs * (p.mean - mean) ** 2 for p in parts)
    calls = [part.seconds if part.call_seconds is None else part.call_seconds for part in parts]
    return Measurement(
        seconds=sum(part.seconds for part in parts),
        pulls=sum(part.pulls for part in parts),
        runs=runs,
        mean=mean,
        variance=squares / (runs - 1) if runs > 1 else 0.0,
        compile_seconds=sum(part.compile_seconds for part in parts),
        call_seconds=sum(calls) if any(part.call_seconds is not None for part in parts) else None,
    )


def standard_errors_apart(a: Measurement, b: Measurement) -> float:
    """How far the mean regret of `a` lies above that of `b`, in standard errors."""
    error = math.sqrt(a.variance / a.runs + b.variance / b.runs)
    return (a.mean - b.mean) / error if error > 0 else 0.0


class Worker:
    """A program in a process of its own that answers one JSON line with one JSON line."""

    def __init__(self, command: Sequence[str | Path]):
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._complaints: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def ask(self, request: dict[str, Any], timeout: float = 600.0) -> dict[str, Any]:
        """Sends a request and waits for its answer.

        Raises:
            Unavailable: the process ended, or gave no answer within `timeout` seconds and was
            ended.
        """
        process, timer = self._process, threading.Timer(timeout, self._process.kill)
        assert process.stdin is not None and process.stdout is not None
        timer.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (BrokenPipeError, ValueError):
            line = ""
        expired = not timer.is_alive()
        timer.cancel()
        if not line:
            self.close()
            raise Unavailable(
                f"no answer within {timeout:.0f} s" if expired else last_words(self._complaints)
            )
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._listener.join(timeout=5)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._complaints[:] = [*self._complaints[-50:], line]


def last_words(lines: Sequence[str]) -> str:
    """The line that says what went wrong: the last with "error" in it, else the last one."""
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("WARNING")]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["ended without a word"])[-1][:200]


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """What the numbers were measured on: processor, cores, load before the start, versions."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {**provenance.collect(), "processor": _processor(), "cores": cores(), "load": load}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
