"""Pulls per second of successive elimination on a weighted tallying bandit, beside NumPy.

    python -m regrax.benchmarks.tallying
    python -m regrax.benchmarks.tallying --seeds 1000 --repeats 3

Ten arms, a memory of 20 rounds, 50,000 rounds, burn-in 20, on two of the families of
`envs.tally_losses`. regrax plays the game round by round, as it does for any learner, and visit by
visit; NumPy goes round by round, vectorised over seeds (`numpy_tallying.py`). All three play the
same game, to which the comparison of mean regrets testifies. Programs are timed in turn.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import regrax as rx  # pyright: ignore[reportMissingImports]

from ..core.learners.tallying import ByVisit, TallyingElimination
from ..envs import tally_losses
from ..envs.tally_visits import TallyingInVisits
from ..envs.tallying import WeightedTallyingBandit
from ..envs.windows import UniformWindow
from . import numpy_tallying
from .harness import Measurement, Program, Row, cores, machine, pool, standard_errors_apart

ARMS, MEMORY = 10, 20
LEVELS = np.linspace(0.2, 0.6, ARMS)
GAMES = {
    "trap": tally_losses.tabulated(tally_losses.trap(ARMS), MEMORY),
    "learning": tally_losses.tabulated(tally_losses.learning(LEVELS), MEMORY),
}
GOAL = 20.0  # visit by visit over NumPy, on two cores
FAR = 4.0  # standard errors of a difference in mean regret that mean: another game

GameName = Literal["trap", "learning"]


@dataclass(frozen=True)
class Config:
    """Speed on weighted tallying bandits: regrax, in rounds and in visits, beside NumPy."""

    seeds: int = 1_000
    """Independent runs side by side."""
    horizon: int = 50_000
    """Rounds of a run."""
    repeats: int = 5
    """Measurements of each program, in turn; the median counts."""
    games: tuple[GameName, ...] = ("trap", "learning")
    """Families of losses."""
    output: Path | None = None
    """Where to write every raw measurement, as JSON."""

    def __post_init__(self):
        if min(self.seeds - 1, self.horizon, self.repeats) < 1 or not self.games:
            raise ValueError(f"two seeds, one round, one repeat and one game at least, got {self}.")


def by_visits(game: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
    """`rx.simulate` over visits."""
    env = TallyingInVisits(_bandit(game), horizon)
    learner = ByVisit(TallyingElimination(burn_in=MEMORY))
    return _simulated(env, learner, learner.num_visits(env), seeds, horizon, root_seed)


def by_rounds(game: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
    """`rx.simulate` over rounds."""
    learner = TallyingElimination(burn_in=MEMORY)
    return _simulated(_bandit(game), learner, horizon, seeds, horizon, root_seed)


def by_numpy(game: str, seeds: int, horizon: int, root_seed: int) -> Measurement:
    """The NumPy program, in this process."""
    start = time.perf_counter()
    losses = np.asarray(GAMES[game].values)
    regrets = numpy_tallying.simulate(losses, horizon, seeds, MEMORY, root_seed)
    return _measurement(time.perf_counter() - start, regrets, horizon)


PROGRAMS = (
    Program("regrax, visit by visit", "visits", cores(), by_visits, tuple(GAMES)),
    Program("regrax, round by round", "rounds", cores(), by_rounds, tuple(GAMES)),
    Program("NumPy over seeds", "numpy", 1, by_numpy, tuple(GAMES)),
)


def run(**options: Any) -> dict[str, Any]:
    """Measures, prints the table and returns everything as plain data; `options`: see `Config`."""
    return execute(Config(**options))


def execute(config: Config) -> dict[str, Any]:
    """`run` for a ready-made configuration."""
    about = machine()
    rows = [Row(p, game, config.seeds, config.horizon) for game in config.games for p in PROGRAMS]
    for row in rows:  # compiles, and warms up
        got = row.program.measure(row.algorithm, config.seeds, config.horizon, 0)
        row.compile_seconds = got.compile_seconds
    for repeat in range(config.repeats):
        for row in rows:
            got = row.program.measure(row.algorithm, config.seeds, config.horizon, 1 + repeat)
            row.measurements.append(got)
    result = {
        "config": {**asdict(config), "output": None},
        "machine": about,
        "rows": [_as_data(row, rows) for row in rows],
        "ratios": [
            _ratio(rows, game, top) for game in config.games for top in ("visits", "rounds")
        ],
        "problems": _problems(rows),
    }
    print(as_text(result))
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        config.output.write_text(json.dumps(result, indent=1) + "\n")
    return result


def as_text(result: dict[str, Any]) -> str:
    """What is printed at the end."""
    about, config = result["machine"], result["config"]
    load = "unknown" if about["load"] is None else f"{about['load'][0]:.1f}"
    lines = [
        "",
        f"{about['processor']}, {about['cores']} cores, load {load} at the start; "
        f"jax {about['jax_version']}, numpy {about['numpy_version']}",
        f"{ARMS} arms, memory and burn-in {MEMORY}, {config['horizon']:,} rounds x "
        f"{config['seeds']:,} seeds; million pulls a second, median of {config['repeats']}",
        f"{'program':<26}{'game':<10}{'M pulls/s':>10}{'lowest':>9}{'highest':>9}"
        f"{'compile s':>11}{'regret':>18}",
    ]
    for row in result["rows"]:
        speeds = "".join(
            f"{row[name] / 1e6:>{width}.1f}"
            for name, width in (("rate", 10), ("lowest", 9), ("highest", 9))
        )
        regret = f"{row['regret']:.1f} ± {row['standard_error']:.1f}"
        compiled = f"{row['compile_seconds']:.1f}" if row["compile_seconds"] else "-"
        lines.append(f"{row['program']:<26}{row['game']:<10}{speeds}{compiled:>11}{regret:>18}")
    for ratio in result["ratios"]:
        goal = f" (goal {ratio['goal']:g} on two cores)" if ratio["goal"] else ""
        lines.append(f"{ratio['game']}: {ratio['ratio']} = {ratio['value']:.1f}{goal}")
    return "\n".join([*lines, *(f"LOOK: {problem}" for problem in result["problems"]), ""])


def _bandit(game):
    return WeightedTallyingBandit(GAMES[game], UniformWindow(MEMORY))


def _simulated(env, learner, length, seeds, horizon, root_seed) -> Measurement:
    start = time.perf_counter()
    trace = rx.simulate(
        env, learner, length, seeds, checkpoints=[length], root_seed=root_seed, progress=False
    )
    call = time.perf_counter() - start - trace.compile_seconds
    times = {"compile_seconds": trace.compile_seconds, "call_seconds": call}
    return _measurement(trace.wall_seconds, trace.metrics["regret"][-1], horizon, **times)


def _measurement(seconds, regrets, horizon, **times: float) -> Measurement:
    variance = float(np.var(regrets, ddof=1))
    pulls = horizon * len(regrets)
    return Measurement(seconds, pulls, len(regrets), float(np.mean(regrets)), variance, **times)


def _as_data(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    pooled, rates = pool(row.measurements), [m.rate for m in row.measurements]
    return {
        "program": row.program.name,
        "threads": row.program.threads,
        "game": row.algorithm,
        "rate": row.rate,
        "lowest": min(rates),
        "highest": max(rates),
        "compile_seconds": row.compile_seconds,
        "regret": pooled.mean,
        "standard_error": (pooled.variance / pooled.runs) ** 0.5,
        "standard_errors_apart": _apart(row, rows),
        "measurements": [asdict(measurement) for measurement in row.measurements],
    }


def _ratio(rows: Sequence[Row], game: str, top: str) -> dict[str, Any]:
    rates = {row.program.kind: row.rate or 0.0 for row in rows if row.algorithm == game}
    names = {program.kind: program.name for program in PROGRAMS}
    return {
        "game": game,
        "ratio": f"{names[top]} / {names['numpy']}",
        "value": rates[top] / rates["numpy"],
        "goal": GOAL if top == "visits" else None,
    }


def _apart(row: Row, rows: Sequence[Row]) -> float:
    other = next(x for x in rows if x.algorithm == row.algorithm and x.program.kind == "numpy")
    return standard_errors_apart(pool(row.measurements), pool(other.measurements))


def _problems(rows: Sequence[Row]) -> list[str]:
    apart = {(row.program.name, row.algorithm): _apart(row, rows) for row in rows}
    return [
        f"{name}, {game}: mean regret {distance:+.1f} standard errors from NumPy's"
        for (name, game), distance in apart.items()
        if abs(distance) > FAR
    ]


def main(config: Config | None = None) -> int:
    """Runs the benchmark, by default as the command line asks; 1 when a program is off."""
    if config is None:
        import tyro

        config = tyro.cli(Config, prog="regrax bench tallying", description=__doc__)
    return 1 if execute(config)["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
