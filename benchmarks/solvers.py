"""Tuning linear solvers, beside a program in plain NumPy and SciPy.

    regrax bench solvers
    python -m regrax.benchmarks.solvers --trials 8 --rounds 500 --port-rounds 500 --heat-steps 500

The contextual experiment of "Learning to relax" (two laws of the shifts, 40 trials of 5,000 systems
of 100 unknowns, five methods), and counts of preconditioned conjugate gradients for the heat
equation. regrax solves every system with all 20 parameters first and lets the learners look counts
up. `numpy_solvers.py` solves what each method asks for, one system after the other on one core. It
is timed on a slice and extrapolated in proportion: one trial of each law, some steps of the heat
equation. The answers of the two are compared on that slice.
"""

import dataclasses
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import regrax as rx  # pyright: ignore[reportMissingImports]

from ..core.learners.solver.binned import Binned
from ..core.learners.solver.chebyshev import ChebCB
from ..core.learners.solver.tsallis import TsallisTuner
from ..core.tables import prepared
from ..envs.heat import HeatTable
from ..envs.linear_systems import DiagonalShifts, Tabulated
from . import numpy_solvers as plain
from .harness import machine

LEARNERS = {
    "Tsallis-INF": TsallisTuner(),
    "Tsallis-INF-CB": Binned(TsallisTuner(), 5, plain.INTERVAL),
    "ChebCB": ChebCB(interval=plain.INTERVAL),
}
_HEAT_GOALS = {100: 180.0}
PERIOD = 1_000  # steps in which the coefficient of the heat equation comes round
FAR = 6.0  # standard deviations of a trial from the mean of ours that mean: another experiment
UNLIKE = 0.01  # the same, for iterations of the heat equation: a share of them

Law = Literal["low", "high"]
Name = Literal["Tsallis-INF", "Tsallis-INF-CB", "ChebCB"]


@dataclass(frozen=True)
class Config:
    """Speed of solver tuning: regrax beside NumPy and SciPy."""

    trials: int = 40
    """Trials of each law of the shifts, side by side."""
    rounds: int = 5_000
    """Systems of a trial."""
    port_rounds: int = 5_000
    """Systems of the one trial that the NumPy program is timed on."""
    port_instances: int = 200
    """Systems that SciPy solves with all parameters, for the time of a solve."""
    learner_seeds: int = 1_000
    """Runs side by side where learners are timed alone."""
    laws: tuple[Law, ...] = ("low", "high")
    """Low or high variance of the shifts."""
    learners: tuple[Name, ...] = ("Tsallis-INF", "Tsallis-INF-CB", "ChebCB")
    """Who learns, beside the fixed and the instance-optimal parameter."""
    heat: tuple[int, ...] = (25, 100)
    """Intervals of the heat equation's grids each way."""
    heat_steps: int = 5_000
    """Its time steps, each solved with 20 parameters."""
    heat_every: int = 50
    """SciPy solves every so many of the first thousand steps."""
    output: Path | None = None
    """Where to write every raw measurement, as JSON."""

    def __post_init__(self):
        counts = (
            self.trials - 1, self.port_rounds, self.port_instances, self.learner_seeds,
            self.heat_steps, self.heat_every, *(nx - 2 for nx in self.heat),
        )  # fmt: skip
        if min(counts) < 1 or not (self.laws and self.learners) or self.port_rounds > self.rounds:
            raise ValueError(
                f"two trials, one law, one learner and one of everything else are needed at least, "
                f"grids of 3 intervals, and no more port_rounds than rounds, got {self}."
            )


def run(**options: Any) -> dict[str, Any]:
    """Measures, prints the table and returns everything as plain data; `options`: see `Config`."""
    return execute(Config(**options))


def execute(config: Config) -> dict[str, Any]:
    """`run` for a ready-made configuration."""
    about = machine()
    laws = [_law(law, config) for law in config.laws]
    heat = [_heat(nx, config) for nx in config.heat]
    result = {
        "config": {**asdict(config), "output": None},
        "machine": about,
        "laws": laws,
        "heat": heat,
        "ratios": _ratios(laws, heat),
        "problems": [problem for part in (*laws, *heat) for problem in part.pop("problems")],
    }
    print(as_text(result))
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        config.output.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _law(law: Law, config: Config) -> dict[str, Any]:
    """The experiment under one law: our table, our learners on it, and the NumPy program."""
    a, b = plain.LAWS[law]
    start = time.perf_counter()
    recipe = Tabulated(DiagonalShifts(a=a, b=b))
    table = prepared(recipe, config.rounds, np.arange(config.trials), 0)
    table_seconds = time.perf_counter() - start
    iterations, learners = {}, []
    for name in config.learners:
        learner, start = LEARNERS[name], time.perf_counter()
        stops = sorted({config.port_rounds, config.rounds})
        trace = _played(table, learner, stops, config.trials)
        seconds = time.perf_counter() - start
        iterations[name] = trace.metrics["iterations"][0]
        fixed, best = (trace.metrics[key][0] for key in ("fixed_iterations", "best_iterations"))
        alone = _played(_first_row(table), learner, [config.rounds], config.learner_seeds)
        learners.append({
            "learner": name,
            "seconds": seconds,
            "compile_seconds": trace.compile_seconds,
            "rounds_a_second": alone.pulls_per_second,
        })  # fmt: skip
    iterations["fixed"] = fixed[:, np.argmin(np.abs(plain.OMEGAS - plain.FIXED[law]))]
    iterations["instance-optimal"] = best

    spent = plain.contextual(law, config.port_rounds, 0)
    start = time.perf_counter()
    port_solves = plain.sor_table(law, config.port_instances, 0).size
    port_table_seconds = time.perf_counter() - start
    for learner in learners:
        rate = config.port_rounds / spent[learner["learner"]].learn
        learner |= {"port_rounds_a_second": rate, "ratio": learner["rounds_a_second"] / rate}
    slice_seconds = sum(spent[name].solve + spent[name].learn for name in iterations)
    counts = [_compared(name, iterations[name], spent[name], config) for name in iterations]
    return {
        "law": law,
        "seconds": table_seconds + sum(learner["seconds"] for learner in learners),
        "port_slice_seconds": slice_seconds,
        "port_seconds": slice_seconds * config.trials * config.rounds / config.port_rounds,
        "solves": config.trials * config.rounds * (len(plain.OMEGAS) + 1),  # one with omega*(c)
        "table_seconds": table_seconds,
        "port_solves_a_second": port_solves / port_table_seconds,
        "learners": learners,
        "counts": counts,
        "problems": [
            f"{law}, {row['method']}: NumPy's mean count lies {row['deviations']:+.1f} standard "
            f"deviations from ours"
            for row in counts
            if not abs(row["deviations"]) <= FAR
        ],
    }


def _played(table, learner, stops, seeds):
    return rx.simulate(table, learner, stops[-1], seeds, checkpoints=stops, progress=False)


def _first_row(table):
    """Its first trial, for any number of seeds to play."""
    rows = {name: getattr(table, name)[:1] for name in ("counts", "contexts", "best")}
    return dataclasses.replace(table, **rows, keys=None)


def _compared(method, ours, used, config):
    """Mean counts after `port_rounds`; one trial of NumPy's against the spread of our trials."""
    ours, port = np.asarray(ours, float) / config.port_rounds, used.iterations / config.port_rounds
    deviation = float(np.std(ours, ddof=1)) * (1 + 1 / len(ours)) ** 0.5
    return {
        "method": method,
        "ours": float(ours.mean()),
        "port": port,
        "deviations": (port - float(ours.mean())) / deviation,
        "port_solve_seconds": used.solve,
        "port_learn_seconds": used.learn,
    }


def _heat(nx: int, config: Config) -> dict[str, Any]:
    """Counts of one grid, all steps by us and some by SciPy."""
    start = time.perf_counter()
    table = HeatTable(nx, config.heat_steps).tabulate(config.heat_steps)
    seconds = time.perf_counter() - start
    steps = range(0, min(config.heat_steps, PERIOD), config.heat_every)
    counts, port_seconds = plain.heat(nx, steps, plain.OMEGAS)
    ours = table["counts"][0, list(steps)].astype(int)
    off = abs(int(ours.sum()) - int(counts.sum())) / counts.sum()
    return {
        "nx": nx,
        "seconds": seconds,
        "port_steps": len(steps),
        "port_slice_seconds": port_seconds,
        "port_seconds": port_seconds * config.heat_steps / len(steps),
        "iterations": int(table["counts"].sum()),
        "equal_counts": float((ours == counts).mean()),
        "problems": [f"heat, nx = {nx}: iterations are {off:.2%} apart"] if off > UNLIKE else [],
    }


def _ratios(laws, heat) -> list[dict[str, Any]]:
    """What the whole comes to; a goal is for two cores. Seconds should be fewer than theirs, which
    is that of the full size, everything else more."""
    whole = sum(row["port_seconds"] for row in laws) / sum(row["seconds"] for row in laws)
    rows = [{"name": "contextual experiment, NumPy / regrax", "value": whole, "goal": 20.0}]
    for row in laws:
        name = f"learners alone, {row['law']}, regrax / NumPy, least"
        least = min(learner["ratio"] for learner in row["learners"])
        rows.append({"name": name, "value": least, "goal": 500.0})
    for row in laws:
        rate = row["solves"] / row["table_seconds"]
        name = f"SOR solves a second, {row['law']}, regrax / SciPy"
        rows.append({"name": name, "value": rate / row["port_solves_a_second"], "goal": None})
        name = f"seconds for {row['solves']:,} SOR solves, {row['law']}"
        rows.append({"name": name, "value": row["table_seconds"], "goal": 120.0})
    for row in heat:
        name, goal = f"seconds for the heat equation, nx = {row['nx']}", _HEAT_GOALS.get(row["nx"])
        rows.append({"name": name, "value": row["seconds"], "goal": goal})
        name = f"heat equation, nx = {row['nx']}, SciPy / regrax"
        rows.append({"name": name, "value": row["port_seconds"] / row["seconds"], "goal": None})
    return rows


def as_text(result: dict[str, Any]) -> str:
    """What is printed at the end."""
    about, config = result["machine"], result["config"]
    load = "unknown" if about["load"] is None else f"{about['load'][0]:.1f}"
    lines = [
        "",
        f"{about['processor']}, {about['cores']} cores, load {load} at the start; "
        f"jax {about['jax_version']}, numpy {about['numpy_version']}",
        f"{config['trials']} trials of {config['rounds']:,} systems; our seconds with compiling, "
        f"NumPy's extrapolated from one trial of {config['port_rounds']:,}",
        f"{'contextual experiment':<24}{'regrax s':>10}{'table s':>10}{'solves/s':>12}"
        f"{'NumPy s':>10}{'(slice)':>10}{'solves/s':>12}",
    ]
    for row in result["laws"]:
        lines.append(
            f"{'  ' + row['law'] + ' variance':<24}{row['seconds']:>10.1f}"
            f"{row['table_seconds']:>10.1f}{row['solves'] / row['table_seconds']:>12,.0f}"
            f"{row['port_seconds']:>10.0f}{row['port_slice_seconds']:>10.1f}"
            f"{row['port_solves_a_second']:>12,.0f}"
        )
    lines.append(
        f"{'learners alone':<24}{'rounds/s':>14}{'NumPy':>12}{'ratio':>10}{'compile s':>12}"
        f"   ({config['learner_seeds']:,} seeds; NumPy one)"
    )
    for row in result["laws"]:
        for learner in row["learners"]:
            lines.append(
                f"{'  ' + learner['learner'] + ', ' + row['law']:<24}"
                f"{learner['rounds_a_second']:>14,.0f}{learner['port_rounds_a_second']:>12,.0f}"
                f"{learner['ratio']:>10.0f}{learner['compile_seconds']:>12.1f}"
            )
    lines.append(f"{'mean counts':<24}{'regrax':>10}{'NumPy':>10}{'deviations':>12}")
    for row in result["laws"]:
        for count in row["counts"]:
            lines.append(
                f"{'  ' + count['method'] + ', ' + row['law']:<24}{count['ours']:>10.2f}"
                f"{count['port']:>10.2f}{count['deviations']:>+12.1f}"
            )
    lines.append(
        f"{'heat equation':<24}{'regrax s':>10}{'SciPy s':>10}{'(slice)':>10}{'steps':>7}"
        f"{'equal counts':>14}   ({config['heat_steps']:,} steps; ours with plain CG)"
    )
    for row in result["heat"]:
        lines.append(
            f"{'  nx = ' + str(row['nx']):<24}{row['seconds']:>10.1f}{row['port_seconds']:>10.0f}"
            f"{row['port_slice_seconds']:>10.1f}{row['port_steps']:>7}{row['equal_counts']:>14.1%}"
        )
    for ratio in result["ratios"]:
        goal = f" (goal {ratio['goal']:g} on two cores)" if ratio["goal"] else ""
        lines.append(f"{ratio['name']} = {ratio['value']:.1f}{goal}")
    return "\n".join([*lines, *(f"LOOK: {problem}" for problem in result["problems"]), ""])


def main(config: Config | None = None) -> int:
    """Runs the benchmark, by default as the command line asks; 1 when answers are off."""
    if config is None:
        import tyro

        config = tyro.cli(Config, prog="regrax bench solvers", description=__doc__)
    return 1 if execute(config)["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
