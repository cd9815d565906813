"""Pulls per second of UCB1, Thompson sampling and Exp3 beside C, NumPy, JAX and libraries.

    regrax bench bandits
    python -m regrax.benchmarks.bandits --seeds 1000 --repeats 3 --no-peers

README.md beside this file says what is compared and how to read the table.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

import regrax as rx  # pyright: ignore[reportMissingImports]

from . import numpy_bandits, report
from .environments import compile_c, make_environment
from .harness import (
    Measurement,
    Program,
    Row,
    Unavailable,
    Worker,
    cores,
    machine,
    pool,
)
from .peers import PEERS, Peer

MEANS = tuple(k / 20 for k in range(2, 12))  # 0.10, 0.15, ..., 0.55
HERE = Path(__file__).parent
LIBRARY_HORIZON = 10_000  # the most for libraries: a run of this length takes up to seconds
REFERENCE_SEED = 987_654_321

AlgorithmName = Literal["ucb1", "thompson", "exp3"]
ProgramName = Literal["regrax", "plain", "c", "numpy", "jax"]


@dataclass(frozen=True)
class Config:
    """Speed of bandit simulations: regrax beside C, NumPy, textbook JAX and Python libraries."""

    seeds: tuple[int, ...] = (100, 1_000, 10_000)
    """Batch sizes: independent runs side by side."""
    horizon: int = 10_000
    """Rounds of a run; 1/10 or 1/100 of them where a measurement would need more than --budget."""
    repeats: int = 5
    """Measurements of each program, interleaved; the median counts."""
    peers: bool = True
    """Also time libraries, each in a virtual environment of its own that pip fills on first use."""
    output: Path | None = None
    """Where to write every raw measurement, as JSON."""
    algorithms: tuple[AlgorithmName, ...] = ("ucb1", "thompson", "exp3")
    """Algorithms to run."""
    programs: tuple[ProgramName, ...] = ("regrax", "plain", "c", "numpy", "jax")
    """Programs beside the libraries; "plain" is regrax with learners written the plain way."""
    budget: float = 10.0
    """Most seconds one measurement should take."""
    shortest: float = 0.3
    """Seconds below which a program is run again and the times added up, for one measurement."""
    peer_seconds: float = 10.0
    """Seconds for each library and algorithm, over all repeats."""
    peers_dir: Path = Path.home() / ".cache" / "regrax" / "bench"
    """Where the libraries' environments are kept."""
    reference_seeds: int = 1_000
    """Runs of the NumPy program that every program's mean regret is compared with."""

    def __post_init__(self):
        numbers = (*self.seeds, self.horizon, self.repeats, self.reference_seeds - 1)
        if not self.seeds or min(numbers) < 1:
            raise ValueError(f"seeds, horizon and repeats must be positive, got {self}.")


def run(
    seeds: Sequence[int] = (100, 1_000, 10_000),
    horizon: int = 10_000,
    repeats: int = 5,
    peers: bool = True,
    output: Path | str | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Measures, prints the table and returns everything as plain data; `others`: see `Config`."""
    output = None if output is None else Path(output)
    return execute(Config(tuple(seeds), horizon, repeats, peers, output, **others))


def execute(config: Config) -> dict[str, Any]:
    """`run` for a ready-made configuration."""
    start, about = time.perf_counter(), machine()
    with contextlib.ExitStack() as stack:
        programs, missing = prepare(config, stack)
        rows = plan(config, programs)
        references = {
            place: reference(config, *place)
            for place in dict.fromkeys((row.algorithm, row.horizon) for row in rows)
        }
        measure_interleaved(config, rows)
    result = {
        "config": {**asdict(config), "peers_dir": None, "output": None},
        "machine": about,
        "seconds": time.perf_counter() - start,
        "not_run": missing,
        **report.as_data(rows, references),
    }
    print(report.as_text(about, missing, rows, references))
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        config.output.write_text(json.dumps(result, indent=1) + "\n")
        print(f"raw measurements: {config.output}")
    return result


# What can be measured


def prepare(config: Config, stack: contextlib.ExitStack) -> tuple[list[Program], dict[str, str]]:
    """Everything that runs here, and for the rest the reason why not; ends with `stack`."""
    makers: dict[str, Callable[[], list[Program]]] = {
        "regrax": lambda: [regrax_program("regrax", "regrax", _shipped())],
        "plain": lambda: [regrax_program("regrax, plain learners", "plain", _plain())],
        "c": lambda: c_programs(Path(stack.enter_context(tempfile.TemporaryDirectory()))),
        "numpy": lambda: [Program("NumPy over seeds", "numpy", 1, measure_numpy)],
        "jax": lambda: [jax_program(stack)],
    }
    makers = {name: make for name, make in makers.items() if name in config.programs}
    for peer in PEERS if config.peers else ():
        makers[peer.name] = lambda peer=peer: [library_program(peer, config, stack)]
    programs, missing = [], {}
    for name, make in makers.items():
        say(f"preparing {name}")
        try:
            programs += make()
        except Unavailable as reason:
            missing[name] = str(reason)
            say(f"  not installed: {reason}")
    return programs, missing


def regrax_program(name: str, kind: str, learners: dict[str, Callable[[], Any]]) -> Program:
    """`rx.simulate` as a user calls it; the time is the trace's own, without compiling."""

    def measure(algorithm: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
        start = time.perf_counter()
        environment = rx.envs.BernoulliBandit(np.array(MEANS))
        learner = learners[algorithm]()
        trace = rx.simulate(
            environment, learner, horizon, seeds, root_seed=root_seed, progress=False
        )
        call = time.perf_counter() - start - trace.compile_seconds
        return _measurement(
            trace.wall_seconds,
            horizon,
            trace.metrics["regret"][-1],
            compile_seconds=trace.compile_seconds,
            call_seconds=call,
        )

    return Program(name, kind, cores(), measure)


def _shipped() -> dict[str, Callable[[], Any]]:
    learners = rx.learners
    return {"ucb1": learners.UCB1, "thompson": learners.ThompsonBeta, "exp3": learners.Exp3}


def _plain() -> dict[str, Callable[[], Any]]:
    from .plain_learners import PlainExp3, PlainThompson, PlainUCB1

    return {"ucb1": PlainUCB1, "thompson": PlainThompson, "exp3": PlainExp3}


def c_programs(directory: Path) -> list[Program]:
    """The C program; for Exp3 also in the form that keeps its weights, which does less work."""
    executable, command_line = compile_c(HERE / "programs" / "bandits.c", directory)
    say(f"  {command_line}")
    threads = cores()

    def measure(algorithm: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
        words = [executable, algorithm, seeds, horizon, threads, root_seed, *MEANS]
        command = [str(word) for word in words]
        out = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return Measurement(out["seconds"], seeds * horizon, seeds, out["mean"], out["variance"])

    def measure_kept(algorithm: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
        return measure(f"{algorithm}_cached", seeds, horizon, root_seed)

    return [
        Program("C", "c", threads, measure),
        Program("C, weights kept", "", threads, measure_kept, ("exp3",)),
    ]


def measure_numpy(algorithm: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
    """The NumPy program, in this process."""
    start = time.perf_counter()
    pulls = numpy_bandits.simulate(algorithm, MEANS, horizon, seeds, root_seed)
    seconds = time.perf_counter() - start
    return _measurement(seconds, horizon, numpy_bandits.regrets(pulls, MEANS))


def jax_program(stack: contextlib.ExitStack) -> Program:
    """The textbook JAX program, in a process of its own where JAX is as it comes."""
    worker = Worker([sys.executable, "-I", HERE / "plain_jax.py"])
    stack.callback(worker.close)

    def measure(algorithm: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
        request = {"algorithm": algorithm, "means": MEANS, "horizon": horizon, "seeds": seeds}
        out = worker.ask({**request, "root_seed": root_seed})
        return Measurement(pulls=seeds * horizon, runs=seeds, **out)

    return Program("JAX, textbook", "jax", cores(), measure)


def library_program(peer: Peer, config: Config, stack: contextlib.ExitStack) -> Program:
    """A library in its own environment. Raises Unavailable when it cannot be installed."""
    if peer.absent:
        raise Unavailable(peer.absent)
    python = make_environment(config.peers_dir, peer.requirements, peer.newest_python)
    worker = Worker([python, "-I", HERE / "peers.py", peer.name])
    stack.callback(worker.close)

    def measure(algorithm: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
        request = {"algorithm": algorithm, "means": MEANS, "horizon": horizon}
        seconds = config.peer_seconds / config.repeats
        out = worker.ask({**request, "seconds": seconds, "root_seed": root_seed})
        return _measurement(out["seconds"], horizon, np.array(out["regrets"]))

    return Program(peer.name, "library", 1, measure, peer.algorithms, peer.variants)


def _measurement(seconds: float, horizon: int, regrets: np.ndarray, **times: float) -> Measurement:
    variance = float(regrets.var(ddof=1)) if len(regrets) > 1 else 0.0
    pulls = horizon * len(regrets)
    return Measurement(seconds, pulls, len(regrets), float(regrets.mean()), variance, **times)


# The order of measurements


def plan(config: Config, programs: Sequence[Program]) -> list[Row]:
    """The rows of the table, sized up: how many rounds each program can run within the budget.

    Programs of one algorithm and batch size share a horizon, so that their ratios compare like with
    like; only the textbook JAX program, far slower than the others at Thompson sampling, may get a
    shorter one of its own.
    """
    rows = []
    places = [(a, s) for a in config.algorithms for s in config.seeds]
    chosen = [p for p in programs if p.kind != "library"]
    for algorithm, seeds in tqdm(places, desc="sizing up", disable=None):
        group = [Row(p, algorithm, seeds, 0) for p in chosen if algorithm in p.algorithms]
        needs = [_seconds_per_round(row, config) for row in group]
        shared = [n for n, row in zip(needs, group, strict=True) if row.program.kind != "jax"]
        for need, row in zip(needs, group, strict=True):
            slowest = max([need, *shared] if row.program.kind == "jax" else shared)
            row.horizon = _longest(config.horizon, config.budget / max(slowest, 1e-12))
        rows += group
    for algorithm in config.algorithms:
        horizon = min(config.horizon, LIBRARY_HORIZON)
        libraries = [p for p in programs if p.kind == "library" and algorithm in p.algorithms]
        rows += [Row(p, algorithm, None, horizon) for p in libraries]
    return rows


def _seconds_per_round(row: Row, config: Config) -> float:
    """Times short runs of a row, after one to compile: a hundredth of the rounds, then a tenth."""
    row.horizon = _choices(config.horizon)[-1]
    attempt_measurement(row, root_seed=REFERENCE_SEED)
    needed = 0.0
    for row.horizon in _choices(config.horizon)[:0:-1]:
        if (got := attempt_measurement(row, root_seed=REFERENCE_SEED + 1)) is None:
            break
        needed = got.seconds / row.horizon
        if 10 * got.seconds > config.budget:  # what is left is known to be too long
            break
    return needed


def _choices(horizon: int) -> tuple[int, int, int]:
    """All rounds, a tenth, a hundredth; no fewer than the arms."""
    all_of_it, tenth, hundredth = (max(len(MEANS), horizon // share) for share in (1, 10, 100))
    return all_of_it, tenth, hundredth


def _longest(horizon: int, affordable: float) -> int:
    """The longest choice of rounds that is affordable, or the shortest there is."""
    choices = _choices(horizon)
    return next((choice for choice in choices if choice <= affordable), choices[-1])


def attempt_measurement(row: Row, root_seed: int) -> Measurement | None:
    """One run of a row's program; a failure ends the row, not the benchmark."""
    if row.failure:
        return None
    try:
        got = row.program.measure(row.algorithm, row.seeds or 0, row.horizon, root_seed)
    except Exception as error:
        row.failure = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        say(f"{row.program.name}, {row.algorithm}: {row.failure}")
        return None
    row.compile_seconds = max(row.compile_seconds, got.compile_seconds)
    return got


def measure_interleaved(config: Config, rows: Sequence[Row]) -> None:
    """`repeats` times all rows one after the other: A B C, A B C, ... Fills their measurements."""
    steps = [(repeat, row) for repeat in range(config.repeats) for row in rows]
    last = None
    with tqdm(total=len(steps), unit="measurement", disable=None) as bar:
        for repeat, row in steps:
            if repeat != last:
                say(f"repeat {repeat + 1} of {config.repeats}")
                last = repeat
            batch = "" if row.seeds is None else f", {row.seeds:,} seeds"
            bar.set_description(f"{row.algorithm}, {row.program.name}{batch}")
            parts: list[Measurement] = []
            while not parts or sum(part.seconds for part in parts) < config.shortest:
                part = attempt_measurement(row, root_seed=100_000 * repeat + len(parts))
                if part is None:
                    break
                parts.append(part)
            if parts:
                row.measurements.append(pool(parts))
            bar.update()


def reference(config: Config, algorithm: str, horizon: int) -> Measurement:
    """Mean regret by the NumPy program, on seeds of its own."""
    say(f"reference regret: {algorithm}, {horizon:,} rounds x {config.reference_seeds:,} runs")
    return measure_numpy(algorithm, config.reference_seeds, horizon, REFERENCE_SEED)


def say(text: str) -> None:
    """A line of progress."""
    tqdm.write(text, file=sys.stderr)


def main(config: Config | None = None) -> int:
    """Runs the benchmark, by default as the command line asks; 1 when a program fails or is off."""
    if config is None:
        import tyro

        config = tyro.cli(Config, prog="regrax bench bandits", description=__doc__)
    return 1 if execute(config)["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
