"""Speed of online learning with full information, beside plain NumPy programs, in one run.

    regrax bench online
    python -m regrax.benchmarks.online --rounds 5000 --seeds 2 --numpy-orders 1 --oco-rounds 1000

Groupwise regret: the published set of shapes and colours in its published orders, six groups, 25
features; regret of every group at 100 points, comparators included. The NumPy program goes through
one order after the other, so it is timed on a few and scaled to all. Then the cost of a round for
more and more groups. Optimistic mirror descent: noisy quadratic losses in the unit ball of R^5,
many seeds side by side, beside NumPy vectorised over seeds. Programs are timed in turn, and what
they computed is compared.
"""

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import regrax as rx  # pyright: ignore[reportMissingImports]

from ..core.learners import Groups, OptimisticMirrorDescent
from ..envs import sea_scenarios
from ..envs.grouped_data import GroupedData, published_orders, shapes_and_colours
from ..envs.groupwise import GroupwiseRegression, InPublishedOrders, regression_on
from . import numpy_groups, numpy_oco
from .harness import machine

POINTS = 100  # at which regret is wanted
GROUP_GOAL, OCO_GOAL = 20.0, 1e7
UNLIKE = 1e-3  # a difference in regret that means: another program
FAR = 4.0  # standard errors of a difference in mean regret that mean the same
MEAN, SPREAD, DIMENSION = 0.5, 0.5, 5


@dataclass(frozen=True)
class Config:
    """Speed of online learning: regrax beside NumPy."""

    rounds: int = 100_000
    """Rounds of the groupwise problem."""
    seeds: int = 10
    """Published orders, of which there are ten."""
    numpy_orders: int = 1
    """Orders that the NumPy program is timed on."""
    groups: tuple[int, ...] = (6, 25, 50, 100, 200)
    """Numbers of groups whose rounds are timed."""
    group_rounds: int = 2_000
    """Rounds of those."""
    oco_rounds: int = 10_000
    """Rounds of optimistic mirror descent."""
    oco_seeds: int = 10_000
    """Its seeds."""
    numpy_rounds: int = 1_000
    """Rounds that NumPy's is timed on."""
    repeats: int = 3
    """Measurements of each program, in turn; the median counts."""
    output: Path | None = None
    """Where to write every raw measurement, as JSON."""

    def __post_init__(self):
        least = (
            self.rounds // POINTS, self.seeds, self.numpy_orders, min(self.groups, default=0) - 5,
            self.group_rounds, self.oco_rounds, self.oco_seeds - 1, self.numpy_rounds, self.repeats,
        )  # fmt: skip
        if min(least) < 1 or max(self.seeds, self.numpy_orders) > 10:
            raise ValueError(
                f"{POINTS} rounds, one to ten orders, six groups, two seeds of mirror descent and "
                f"one of everything else are needed at least, got {self}"
            )


def run(**options: Any) -> dict[str, Any]:
    """Measures, prints the table and returns everything as plain data; `options`: see `Config`."""
    return execute(Config(**options))


def execute(config: Config) -> dict[str, Any]:
    """`run` for a ready-made configuration."""
    about = machine()
    parts = {
        "groupwise": _groupwise(config),
        "groups": _costs(config),
        "optimistic": _optimistic(config),
    }
    result = {
        "config": {**asdict(config), "output": None},
        "machine": about,
        **parts,
        "problems": parts["groupwise"].pop("problems") + parts["optimistic"].pop("problems"),
    }
    print(as_text(result))
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        config.output.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _groupwise(config: Config) -> dict[str, Any]:
    data = shapes_and_colours("mean", config.rounds)
    env, learner = InPublishedOrders(regression_on(data)), Groups()
    stops = np.linspace(config.rounds / POINTS, config.rounds, POINTS).astype(int).tolist()

    def ours():
        return rx.simulate(
            env, learner, config.rounds, config.seeds, checkpoints=stops, progress=False
        )

    compiled = ours().compile_seconds
    times, numpy_times, regrets, found = [], [], np.empty(0), np.empty(0)
    for _ in range(config.repeats):
        start = time.perf_counter()
        found = ours().metrics["group_regret"][-1]
        times.append(time.perf_counter() - start)
        numpy_times.append(_clock_numpy(data, config.numpy_orders))
    regrets = np.stack([x[1] for x in numpy_times])[0]
    seconds, one_order = statistics.median(times), statistics.median(x[0] for x in numpy_times)
    both = min(config.numpy_orders, config.seeds)
    apart = float(np.abs(found[:both] - regrets[:both]).max())
    scaled = one_order * config.seeds
    return {
        "seconds": seconds,
        "all_seconds": times,
        "compile_seconds": compiled,
        "numpy_seconds": scaled,
        "ratio": scaled / seconds,
        "goal": GROUP_GOAL,
        "apart": apart,
        "problems": [f"regrets of groups differ by {apart:.2g} from NumPy's"] * (apart > UNLIKE),
    }


def _clock_numpy(data: GroupedData, orders: int) -> tuple[float, np.ndarray]:
    """Seconds an order, and the regrets [order, group]."""
    start, found = time.perf_counter(), []
    for order in published_orders(len(data.labels))[:orders]:
        rows = data.features[order], data.active[order], data.labels[order]
        losses = numpy_groups.learn(*rows)
        found.append(numpy_groups.group_regrets(losses, *rows, POINTS)[-1])
    return (time.perf_counter() - start) / orders, np.array(found)


def _costs(config: Config) -> list[dict[str, Any]]:
    """Seconds of a round of one seed, by the number of groups."""
    known, rows = shapes_and_colours("perm", config.group_rounds), []
    for number in config.groups:
        added = np.random.default_rng(number).random((config.group_rounds, number - 6)) < 0.3
        added[0] = True
        active = np.hstack([known.active, added])
        env = GroupwiseRegression(known.features, active, known.labels)

        def play(env=env):
            return rx.simulate(
                env, Groups(), config.group_rounds, 16, checkpoints=[config.group_rounds],
                progress=False,
            )  # fmt: skip

        play()
        seconds = statistics.median(play().wall_seconds for _ in range(config.repeats))
        microseconds = seconds / config.group_rounds / 16 * 1e6
        rows.append({"groups": number, "microseconds": microseconds, "each": microseconds / number})
    return rows


def _optimistic(config: Config) -> dict[str, Any]:
    env, learner = sea_scenarios.iid(MEAN, SPREAD), OptimisticMirrorDescent()

    def ours(root_seed, rounds=config.oco_rounds):
        stops = [min(config.numpy_rounds, rounds), rounds]
        return rx.simulate(
            env, learner, rounds, config.oco_seeds, checkpoints=sorted(set(stops)),
            root_seed=root_seed, progress=False,
        )  # fmt: skip

    compiled = ours(0).compile_seconds
    rates, numpy_rates, trace, regrets = [], [], None, np.empty(0)
    few = min(config.oco_seeds, 1000)
    for repeat in range(config.repeats):
        trace = ours(repeat)
        rates.append(trace.pulls_per_second)
        start = time.perf_counter()
        regrets = numpy_oco.simulate(few, config.numpy_rounds, DIMENSION, MEAN, SPREAD, repeat)
        numpy_rates.append(few * config.numpy_rounds / (time.perf_counter() - start))
    assert trace is not None
    at = list(trace.checkpoints).index(min(config.numpy_rounds, config.oco_rounds))
    own = trace.metrics["regret"][at]
    error = np.sqrt(own.var(ddof=1) / len(own) + regrets.var(ddof=1) / len(regrets))
    apart = float((own.mean() - regrets.mean()) / error)
    rate, numpy_rate = statistics.median(rates), statistics.median(numpy_rates)
    far = abs(apart) > FAR and config.numpy_rounds <= config.oco_rounds
    return {
        "rate": rate,
        "rates": rates,
        "compile_seconds": compiled,
        "numpy_rate": numpy_rate,
        "ratio": rate / numpy_rate,
        "goal": OCO_GOAL,
        "regret": float(own.mean()),
        "numpy_regret": float(regrets.mean()),
        "standard_errors_apart": apart,
        "problems": [f"mean regret is {apart:+.1f} standard errors from NumPy's"] * far,
    }


def as_text(result: dict[str, Any]) -> str:
    """What is printed at the end."""
    about, config = result["machine"], result["config"]
    load = "unknown" if about["load"] is None else f"{about['load'][0]:.1f}"
    group, oco = result["groupwise"], result["optimistic"]
    lines = [
        "",
        f"{about['processor']}, {about['cores']} cores, load {load} at the start; "
        f"jax {about['jax_version']}, numpy {about['numpy_version']}; "
        f"medians of {config['repeats']}",
        f"groupwise, {config['rounds']:,} rounds x {config['seeds']} orders, regret at {POINTS} "
        f"points: regrax {group['seconds']:.2f} s (compiling {group['compile_seconds']:.1f} s), "
        f"NumPy {group['numpy_seconds']:.0f} s by {config['numpy_orders']} of them: ratio "
        f"{group['ratio']:.1f} (goal {group['goal']:g} on two cores)",
        f"{'groups':>8}{'us a round and seed':>22}{'us a group':>13}",
    ]
    for row in result["groups"]:
        lines.append(f"{row['groups']:>8}{row['microseconds']:>22.2f}{row['each']:>13.3f}")
    lines.append(
        f"optimistic mirror descent, d = {DIMENSION}: regrax {oco['rate'] / 1e6:.1f} million "
        f"rounds a second (goal {oco['goal'] / 1e6:g} on two cores), NumPy over seeds "
        f"{oco['numpy_rate'] / 1e6:.2f}: ratio {oco['ratio']:.1f}"
    )
    return "\n".join([*lines, *(f"LOOK: {problem}" for problem in result["problems"]), ""])


def main(config: Config | None = None) -> int:
    """Runs the benchmark, by default as the command line asks; 1 when a program is off."""
    if config is None:
        import tyro

        config = tyro.cli(Config, prog="regrax bench online", description=__doc__)
    return 1 if execute(config)["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
