"""Speed of learners in linear MDPs, beside the library rlberry, in one run.

    regrax bench linear_mdp
    python -m regrax.benchmarks.linear_mdp --repeats 1 --no-peer --lengths 1000 10000

The Chain of rlberry at two sizes: what an episode of one seed costs for LSVI-UCB and for UCBVI,
against one run of rlberry's, in a virtual environment of its own, one thread. rlberry's LSVI-UCB
scans its whole history after every episode, so its cost grows with their number; ours is measured
for ever longer runs, to 10^5 episodes. Programs are timed in turn. The algorithms differ in how
they pool stages and in their bonus: what is compared is the cost of an episode of the same shape.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import regrax as rx  # pyright: ignore[reportMissingImports]

from ..core.learners.mdp import LSVIPHE, LSVIUCB, RLSVI, UCBVI
from ..envs.mdp_instances import chain
from . import rlberry_mdp
from .environments import make_environment
from .harness import Unavailable, Worker, machine

HERE = Path(__file__).parent
SHAPES = ((6, 10, 400), (10, 20, 200))  # states, stages, episodes
LSVI = "LSVI-UCB"
COMPARED = {LSVI: LSVIUCB(bonus=5.0), "UCBVI": UCBVI()}
ALONE = {"RLSVI": RLSVI(), "LSVI-PHE, 10 draws": LSVIPHE()}
GOAL = 1000.0  # times the episodes a second of rlberry's LSVI-UCB, at the first shape
FLAT = 1.5  # the longest run's cost of an episode over that of the shortest, at most


@dataclass(frozen=True)
class Config:
    """Speed of learners in linear MDPs: regrax beside rlberry."""

    seeds: int = 32
    """Seeds that regrax plays side by side."""
    lengths: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Numbers of episodes for which the cost of one is measured."""
    peer: bool = True
    """Whether to install and time rlberry."""
    repeats: int = 3
    """Measurements of each program, in turn; the median counts."""
    peers_dir: Path = Path.home() / ".cache" / "regrax" / "bench"
    """Where rlberry's environment is kept."""
    output: Path | None = None
    """Where to write every raw measurement, as JSON."""

    def __post_init__(self):
        if min(self.seeds, self.repeats, *self.lengths) < 1 or not self.lengths:
            raise ValueError(f"one of everything is needed at least, got {self}")


def run(**options: Any) -> dict[str, Any]:
    """Measures, prints the table and returns everything as plain data; `options`: see `Config`."""
    return execute(Config(**options))


def execute(config: Config) -> dict[str, Any]:
    """`run` for a ready-made configuration."""
    about, (worker, failure) = machine(), _peer(config)
    rows, failure = _programs(config, worker, failure)
    if worker is not None:
        worker.close()
    result = {
        "config": {**asdict(config), "peers_dir": None, "output": None},
        "machine": about,
        "programs": rows,
        "flat": _flat(config),
        "failure": failure,
    }
    result["problems"] = _problems(result)
    print(as_text(result))
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        config.output.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _programs(config: Config, worker: Worker | None, failure: str) -> tuple[list[dict], str]:
    """A row for every shape and learner, and why rlberry is not in them."""
    rows = [
        {"shape": shape, "name": name, "seconds": [], "peer_seconds": []}
        for shape in SHAPES
        for name in (*COMPARED, *ALONE)
    ]
    for row in rows:  # compiles
        row["compile_seconds"] = _play(config, row["name"], row["shape"]).compile_seconds
    for repeat in range(config.repeats):
        for row in rows:
            trace = _play(config, row["name"], row["shape"])
            row["seconds"].append(trace.wall_seconds)
            row["devices"] = int(trace.device.split(" x ")[1])
            row["reward"] = float(trace.metrics["reward"][-1].mean()) / row["shape"][2]
            if worker is None or row["name"] not in COMPARED:
                continue
            try:
                answer = worker.ask(_request(row["name"], row["shape"], repeat))
            except Unavailable as error:
                worker, failure = None, str(error)
                continue
            row["peer_seconds"].append(answer["seconds"])
            row["peer_reward"] = answer["reward"]
    for row in rows:
        _add_rates(config, row)
    return rows, failure


def _add_rates(config: Config, row: dict[str, Any]) -> None:
    episodes = row["shape"][2]
    each = statistics.median(row["seconds"]) / episodes / config.seeds
    row["microseconds"] = 1e6 * each
    if row["peer_seconds"]:
        theirs = statistics.median(row["peer_seconds"]) / episodes
        row |= {"peer_microseconds": 1e6 * theirs, "ratio": theirs / each}


def _play(config: Config, name: str, shape: Sequence[int], episodes: int | None = None) -> Any:
    length, stages, usual = shape
    episodes = episodes or usual
    learner = (COMPARED | ALONE)[name]
    return rx.simulate(
        chain(length, stages=stages), learner, episodes, config.seeds, checkpoints=[episodes],
        progress=False,
    )  # fmt: skip


def _flat(config: Config) -> list[dict[str, Any]]:
    """The cost of an episode of LSVI-UCB in runs of different lengths, the first shape."""
    rows = []
    for episodes in config.lengths:
        trace = _play(config, LSVI, SHAPES[0], episodes)
        each = trace.wall_seconds / episodes / config.seeds
        regret = float(trace.metrics["regret"][-1].mean())
        rows.append({"episodes": episodes, "microseconds": 1e6 * each, "regret": regret})
    return rows


def _peer(config: Config) -> tuple[Worker | None, str]:
    if not config.peer:
        return None, "not asked for"
    try:
        python = make_environment(
            config.peers_dir, rlberry_mdp.REQUIREMENTS, rlberry_mdp.NEWEST_PYTHON
        )
        worker = Worker([python, "-I", HERE / "rlberry_mdp.py"])
        for name in COMPARED:  # compiles, untimed
            worker.ask(_request(name, (6, 10, 5), 0))
    except Unavailable as error:
        return None, str(error)
    return worker, ""


def _request(name: str, shape: Sequence[int], seed: int) -> dict[str, Any]:
    length, stages, episodes = shape
    return {
        "algorithm": name, "length": length, "stages": stages, "episodes": episodes, "bonus": 0.1,
        "seed": seed,
    }  # fmt: skip


def _problems(result: dict[str, Any]) -> list[str]:
    first, last = (result["flat"][k]["microseconds"] for k in (0, -1))
    if last > FLAT * first:
        return [f"an episode of the longest run costs {last / first:.1f} times one of the shortest"]
    return []


def as_text(result: dict[str, Any]) -> str:
    """What is printed at the end."""
    about, config = result["machine"], result["config"]
    load = "unknown" if about["load"] is None else f"{about['load'][0]:.1f}"
    lines = [
        "",
        f"{about['processor']}, {about['cores']} cores, load {load} at the start; "
        f"jax {about['jax_version']}, numpy {about['numpy_version']}; "
        f"medians of {config['repeats']}",
        f"Chain: regrax {config['seeds']} seeds side by side, rlberry one on one thread; "
        f"microseconds an episode and seed, on the clock",
        f"{'S':>4}{'H':>4}{'K':>6}  {'':<20}{'regrax':>9}{'rlberry':>10}{'ratio':>9}{'reward':>9}"
        f"{'rlberry':>9}{'compiling':>11}",
    ]
    for row in result["programs"]:
        length, stages, episodes = row["shape"]
        theirs, ratio, reward = "", "", ""
        if "ratio" in row:
            theirs, ratio = f"{row['peer_microseconds']:,.0f}", f"{row['ratio']:,.0f}"
            reward = "" if row["peer_reward"] is None else f"{row['peer_reward']:.2f}"
        lines.append(
            f"{length:>4}{stages:>4}{episodes:>6}  {row['name']:<20}{row['microseconds']:>9.2f}"
            f"{theirs:>10}{ratio:>9}{row['reward']:>9.2f}{reward:>9}"
            f"{row['compile_seconds']:>9.1f} s"
        )
    if result["failure"]:
        lines.append(f"rlberry: left out, {result['failure']}")
    else:
        lines.append(f"goal: {GOAL:,.0f} times rlberry's LSVI-UCB at the first shape")
    lines.append("LSVI-UCB at the first shape, by the length of the run:")
    lines += [
        f"{row['episodes']:>10,} episodes: {row['microseconds']:.2f} microseconds each, "
        f"regret {row['regret']:,.0f}"
        for row in result["flat"]
    ]
    return "\n".join([*lines, *(f"LOOK: {problem}" for problem in result["problems"]), ""])


def main(config: Config | None = None) -> int:
    """Runs the benchmark, by default as the command line asks; 1 when the cost of an episode grows
    with their number."""
    if config is None:
        import tyro

        config = tyro.cli(Config, prog="regrax bench linear_mdp", description=__doc__)
    return 1 if execute(config)["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
