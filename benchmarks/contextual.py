"""Speed of neural contextual bandits on digits, beside NumPy and PyTorch, in one run.

    regrax bench contextual
    python -m regrax.benchmarks.contextual --rounds 300 --seeds 8 --numpy-seeds 2 --torch-rounds 10

The digits of scikit-learn, ten arms, 64 features: what a round of one seed costs for online
NeuFastCB, replayed NeuSquareCB, NeuralUCB and LinUCB. The NumPy program plays the first two, one
seed after the other. The PyTorch program, in a virtual environment of its own, trains NeuralUCB as
its authors do, up to a thousand steps after every round; it is timed on some rounds after a history
of given length. Then the grid of a study, 9 settings of NeuSquareCB by 20 seeds, as one program.
Programs are timed in turn, and what they computed is compared.
"""

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import regrax as rx  # pyright: ignore[reportMissingImports]

from ..core.learners.linear import LinUCB
from ..core.learners.neural import NeuFastCB, NeuralUCB, NeuSquareCB
from ..envs import classification_data
from ..envs.contextual import ClassificationBandit, classification
from ..envs.datasets import DataSetError
from . import numpy_neural, torch_neural
from .environments import make_environment
from .harness import Unavailable, Worker, machine

HERE = Path(__file__).parent
ONLINE, REPLAY, UCB, LINEAR = "NeuFastCB, online", "NeuSquareCB, replay", "NeuralUCB", "LinUCB"
LEARNERS = {
    ONLINE: NeuFastCB(train="online", learning_rate=0.3),
    REPLAY: NeuSquareCB(learning_rate=0.1),
    UCB: NeuralUCB(),
    LINEAR: LinUCB(),
}
NUMPY = {ONLINE: numpy_neural.online_fast, REPLAY: numpy_neural.replayed_square}
GOALS = {ONLINE: 500.0, REPLAY: 100.0, UCB: 100.0}  # the PyTorch program's time, in ours
CELLS = [(rate, scale) for rate in (0.1, 0.01, 0.001) for scale in (10.0, 100.0, 1000.0)]
GRID_GOAL = 300.0  # seconds
FAR = 4.0  # standard errors of a difference in mean regret that mean the same


@dataclass(frozen=True)
class Config:
    """Speed of neural contextual bandits: regrax beside NumPy and PyTorch."""

    rounds: int = 1_797
    """Rounds of a game on digits, of which there are 1,797."""
    seeds: int = 32
    """Seeds that regrax plays side by side."""
    numpy_seeds: int = 8
    """Seeds that the NumPy program is timed on."""
    torch_rounds: int = 60
    """Rounds that the PyTorch program is timed on; 0 leaves it out, and nothing is installed."""
    torch_history: int = 200
    """Rounds in its history before them, of random arms."""
    grid_seeds: int = 20
    """Seeds of each cell of the grid; 0 leaves the grid out."""
    repeats: int = 3
    """Measurements of each program, in turn; the median counts. The grid is played once."""
    peers_dir: Path = Path.home() / ".cache" / "regrax" / "bench"
    """Where PyTorch's environment is kept."""
    output: Path | None = None
    """Where to write every raw measurement, as JSON."""

    def __post_init__(self):
        least = (
            self.rounds, self.seeds - 1, self.numpy_seeds - 1, self.torch_rounds + 1,
            self.torch_history, self.grid_seeds + 1, self.repeats,
        )  # fmt: skip
        most = 1_797
        if min(least) < 1 or max(self.rounds, self.torch_rounds + self.torch_history) > most:
            raise ValueError(
                f"digits has {most:,} rounds; two seeds and one of everything else are needed at "
                f"least (of torch_rounds and grid_seeds none), got {self}"
            )


def run(**options: Any) -> dict[str, Any]:
    """Measures, prints the table and returns everything as plain data; `options`: see `Config`.

    Raises:
        DataSetError: scikit-learn, which has the digits, is not installed.
    """
    return execute(Config(**options))


def execute(config: Config) -> dict[str, Any]:
    """`run` for a ready-made configuration."""
    about, env = machine(), classification("digits", config.rounds)
    rows, torch, problems = _programs(config, env)
    result = {
        "config": {**asdict(config), "peers_dir": None, "output": None},
        "machine": about,
        "programs": rows,
        "torch": torch,
        "grid": _grid(config, env) if config.grid_seeds else None,
        "problems": problems,
    }
    print(as_text(result))
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        config.output.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _programs(config: Config, env: ClassificationBandit) -> tuple[list[dict], dict, list[str]]:
    """The rows of the table, what PyTorch did, and whose regret is another than NumPy's."""
    compiling = {name: _play(config, env, x, config.seeds).compile_seconds
                 for name, x in LEARNERS.items()}  # fmt: skip
    traces: dict[str, list[Any]] = {name: [] for name in LEARNERS}
    found: dict[str, list[tuple[float, list[int]]]] = {name: [] for name in NUMPY}
    answers, failure = [], ""
    worker = None
    try:
        worker = _torch(config)
    except Unavailable as error:
        failure = str(error)
    for repeat in range(config.repeats):
        for name, learner in LEARNERS.items():
            traces[name].append(_play(config, env, learner, config.seeds))
        for name, program in NUMPY.items():
            found[name].append(_clock_numpy(config, program))
        try:
            if worker is not None:
                answers.append(worker.ask(_request(config, repeat)))
        except Unavailable as error:
            worker, failure = None, str(error)
    if worker is not None:
        worker.close()

    torch = {"failure": failure} if failure else _summary(config, answers)
    rows, problems = [], []
    for name in LEARNERS:
        row = {"name": name, "compile_seconds": compiling[name], "goal": GOALS.get(name)}
        row |= _row(config, traces[name])
        if name in NUMPY:
            row |= _beside_numpy(config, row["regrets"], found[name])
            if abs(row["apart"]) > FAR:
                problems.append(
                    f"mean regret of {name} is {row['apart']:+.1f} standard errors from NumPy's"
                )
        if not failure:
            row["ratio"] = torch["milliseconds"] / row["cpu_milliseconds"]
        rows.append(row)
    return rows, torch, problems


def _play(config: Config, env: ClassificationBandit, learner: Any, seeds: int) -> Any:
    return rx.simulate(
        env, learner, config.rounds, seeds, checkpoints=[config.rounds], progress=False
    )


def _row(config: Config, traces: Sequence[Any]) -> dict[str, Any]:
    devices = int(traces[0].device.split(" x ")[1])
    seconds = [trace.wall_seconds for trace in traces]
    each = 1e3 * statistics.median(seconds) / config.rounds / config.seeds
    regrets = traces[0].metrics["regret"][-1]
    return {
        "seconds": seconds,
        "device": traces[0].device,
        "wall_milliseconds": each,
        "cpu_milliseconds": each * devices,
        "regrets": regrets.tolist(),
    }


def _beside_numpy(config: Config, regrets: list[float], found: list[Any]) -> dict[str, Any]:
    seconds, theirs = [x for x, _ in found], found[0][1]  # every repeat plays the same seeds
    return {
        "numpy_seconds": seconds,
        "numpy_milliseconds": 1e3 * statistics.median(seconds) / config.rounds,
        "numpy_regrets": theirs,
        "apart": _errors_apart(regrets, theirs),
    }


def _summary(config: Config, answers: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = statistics.median(answer["seconds"] for answer in answers)
    return {
        "milliseconds": 1e3 * seconds / config.torch_rounds,
        "steps": statistics.mean(answer["steps"] for answer in answers) / config.torch_rounds,
        "regret": statistics.mean(answer["mistakes"] for answer in answers),
        "answers": answers,
    }


def _clock_numpy(config: Config, program: Callable[..., int]) -> tuple[float, list[int]]:
    """Seconds a seed on one thread, and the regrets of the seeds."""
    from threadpoolctl import threadpool_limits  # scikit-learn brings it

    data = classification_data.load("digits")
    features, labels = data.features, data.labels
    start, regrets = time.perf_counter(), []
    with threadpool_limits(1):
        for seed in range(config.numpy_seeds):
            rows = np.random.default_rng([seed, 1]).permutation(len(labels))[: config.rounds]
            regrets.append(program(features[rows], labels[rows], len(data.classes), seed))
    return (time.perf_counter() - start) / config.numpy_seeds, regrets


def _torch(config: Config) -> Worker:
    """The PyTorch program in its environment. Raises Unavailable where there is none."""
    if not config.torch_rounds:
        raise Unavailable("not asked for")
    python = make_environment(
        config.peers_dir, torch_neural.REQUIREMENTS, torch_neural.NEWEST_PYTHON
    )
    worker = Worker([python, "-I", HERE / "torch_neural.py"])
    worker.ask(_request(config, 0) | {"history": 1, "rounds": 1})  # imports it, untimed
    return worker


def _request(config: Config, seed: int) -> dict[str, Any]:
    data = classification_data.load("digits")
    return {
        "features": data.features.tolist(), "labels": data.labels.tolist(),
        "arms": len(data.classes), "history": config.torch_history,
        "rounds": config.torch_rounds, "seed": seed,
    }  # fmt: skip


def _errors_apart(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How far the mean of `ours` lies above that of `theirs`, in standard errors.

    The variance is pooled: seeds of the same program have the same. Where there is none, means are
    the same or infinitely far apart.
    """
    a, b = np.array(ours, float), np.array(theirs, float)
    squares = np.sum((a - a.mean()) ** 2) + np.sum((b - b.mean()) ** 2)
    error = math.sqrt(squares / (len(a) + len(b) - 2) * (1 / len(a) + 1 / len(b)))
    difference = float(a.mean() - b.mean())
    if error > 0:
        return difference / error
    return math.copysign(math.inf, difference) if difference else 0.0


def _grid(config: Config, env: ClassificationBandit) -> dict[str, Any]:
    """All settings of NeuSquareCB by all seeds as one program."""
    cells = rx.stack([NeuSquareCB(scale=scale, learning_rate=rate) for rate, scale in CELLS])
    trace = _play(config, env, cells, config.grid_seeds)
    means = trace.metrics["regret"][:, -1].mean(axis=1)
    best = int(means.argmin())
    return {
        "seconds": trace.wall_seconds,
        "compile_seconds": trace.compile_seconds,
        "goal": GRID_GOAL,
        "cells": [
            {"learning_rate": rate, "scale": scale, "regret": float(mean)}
            for (rate, scale), mean in zip(CELLS, means, strict=True)
        ],
        "best": best,
    }


def as_text(result: dict[str, Any]) -> str:
    """What is printed at the end."""
    about, config = result["machine"], result["config"]
    torch, grid, first = result["torch"], result["grid"], result["programs"][0]
    load = "unknown" if about["load"] is None else f"{about['load'][0]:.1f}"
    lines = [
        "",
        f"{about['processor']}, {about['cores']} cores, load {load} at the start; "
        f"jax {about['jax_version']}, numpy {about['numpy_version']}; "
        f"medians of {config['repeats']}",
        f"digits, {config['rounds']:,} rounds: regrax {config['seeds']} seeds on "
        f"{first['device']}, NumPy {config['numpy_seeds']} on one thread; milliseconds a round and "
        "seed",
        "(wall: on the clock; CPU: that times the devices, and the one for NumPy and PyTorch)",
        f"{'':<22}{'wall':>9}{'CPU':>9}{'NumPy':>9}{'PyTorch / CPU':>15}{'goal':>6}"
        f"{'regret':>9}{'NumPy':>9}{'apart':>7}{'compiling':>11}",
    ]
    for row in result["programs"]:
        numpy_time, numpy_regret, apart = "", "", ""
        if "apart" in row:
            numpy_time = f"{row['numpy_milliseconds']:.4f}"
            numpy_regret = f"{statistics.mean(row['numpy_regrets']):.0f}"
            apart = f"{row['apart']:+.1f}"
        ratio = f"{row['ratio']:,.0f}" if "ratio" in row else ""
        goal = f"{row['goal']:g}" if row["goal"] else ""
        lines.append(
            f"{row['name']:<22}{row['wall_milliseconds']:>9.4f}{row['cpu_milliseconds']:>9.4f}"
            f"{numpy_time:>9}{ratio:>15}{goal:>6}{statistics.mean(row['regrets']):>9.0f}"
            f"{numpy_regret:>9}{apart:>7}{row['compile_seconds']:>9.1f} s"
        )
    if "failure" in torch:
        lines.append(f"PyTorch: left out, {torch['failure']}")
    else:
        lines.append(
            f"PyTorch, NeuralUCB as its authors train it, one thread, {config['torch_rounds']} "
            f"rounds after {config['torch_history']}: {torch['milliseconds']:.1f} ms a round, "
            f"{torch['steps']:.0f} steps each; regret of those rounds {torch['regret']:.1f}"
        )
    if grid is not None:
        best = grid["cells"][grid["best"]]
        lines.append(
            f"grid, {len(grid['cells'])} settings of NeuSquareCB x {config['grid_seeds']} seeds: "
            f"{grid['seconds']:.1f} s (goal {grid['goal']:g} on two cores), compiling "
            f"{grid['compile_seconds']:.1f} s; least mean regret {best['regret']:.0f}, steps "
            f"{best['learning_rate']:g} and scale {best['scale']:g}"
        )
    return "\n".join([*lines, *(f"LOOK: {problem}" for problem in result["problems"]), ""])


def main(config: Config | None = None) -> int:
    """Runs the benchmark, by default as the command line asks; 1 when a program is off, or the
    digits are missing."""
    if config is None:
        import tyro

        config = tyro.cli(Config, prog="regrax bench contextual", description=__doc__)
    try:
        return 1 if execute(config)["problems"] else 0
    except DataSetError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
