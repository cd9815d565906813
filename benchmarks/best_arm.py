"""Identification in phases beside NumPy and beside the same learner pull by pull.

regrax bench best_arm
python -m regrax.benchmarks.best_arm --runs 4000 --repeats 1
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import regrax as rx  # pyright: ignore[reportMissingImports]

from . import numpy_best_arm as plain
from .comparison import Contender, compare, write

BUDGETS, EPSILONS = tuple(range(50, 501, 50)), (0.1, 0.3)


@dataclass(frozen=True)
class Config:
    """Speed of best-arm identification: regrax beside NumPy, phases beside single pulls."""

    runs: int = 40_000
    """Runs of each of the 20 settings of the DP-BAI figure."""
    loop_runs: int = 50
    """Runs of each setting for the NumPy program that goes trial by trial."""
    pulls: int = 100_000
    """Budget at which phases are compared with single pulls."""
    pulled_runs: int = 64
    """Runs pull by pull at that budget; in phases there are a thousand times as many."""
    repeats: int = 5
    """Measurements of each program, interleaved; the median counts."""
    output: Path | None = None
    """Where to write every raw measurement, as JSON."""

    def __post_init__(self):
        if min(self.runs, self.loop_runs, self.pulled_runs, self.repeats) < 1:
            raise ValueError(f"runs and repeats must be positive, got {self}.")


def contenders(config: Config) -> list[Contender]:
    """Everything that is timed, the yardstick of each task first."""
    return [*_figure(config), *_engines(config)]


def _figure(config: Config) -> list[Contender]:
    """The DP-BAI figure: 10 budgets, 2 epsilons; the answer is the mean error over them."""
    settings = [(budget, epsilon) for epsilon in EPSILONS for budget in BUDGETS]

    def regrax() -> tuple[float, float]:
        found = [
            rx.identify(
                rx.envs.BestArm(rx.envs.DPBAIPaper(), budget),
                rx.learners.DPBAI(epsilon=epsilon, rounding="paper"),
                config.runs,
                root_seed=place,
                progress=False,
            )
            for place, (budget, epsilon) in enumerate(settings)
        ]
        return _mean([x.errors for x in found], config.runs)

    def numpy(runs: int, trials: Callable) -> tuple[float, float]:
        return _mean([trials(*setting, runs) for setting in settings], runs)

    rng = np.random.default_rng(0)

    def together(budget, epsilon, runs):
        return plain.paper_errors(budget, epsilon, runs, rng)

    def one_by_one(budget, epsilon, runs):
        errors = 0
        for _ in range(runs):
            arms = plain.paper_instance(rng)
            errors += plain.one_trial(*arms, budget, epsilon, (plain.ARMS, 1), rng) != 0
        return errors

    task, unit = "DP-BAI figure", "run"
    return [
        Contender(task, "regrax", regrax, 20 * config.runs, unit),
        Contender(
            task, "NumPy, for this instance", lambda: numpy(config.runs, together),
            20 * config.runs, unit,
        ),
        Contender(
            task, "NumPy, trial by trial", lambda: numpy(config.loop_runs, one_by_one),
            20 * config.loop_runs, unit,
        ),
    ]  # fmt: skip


def _engines(config: Config) -> list[Contender]:
    """Successive Rejects on 20 arms, in phases and pull by pull."""
    env = rx.envs.BestArm(rx.envs.audibert_2010(1), config.pulls)
    task = f"20 arms, {config.pulls:,} pulls"

    def contender(name, learner, runs):
        def run():
            found = rx.identify(env, learner, runs, progress=False)
            return _mean([found.errors], runs)

        return Contender(task, name, run, runs, "run")

    rejects = rx.learners.SuccessiveRejects()
    return [
        contender("regrax in phases", rejects, 1000 * config.pulled_runs),
        contender("regrax pull by pull", rx.learners.ByRound(rejects), config.pulled_runs),
    ]


def _mean(errors: list[int], runs: int) -> tuple[float, float]:
    """Mean error over settings and its standard error, one more error counted in each."""
    rates = np.array(errors) / runs
    smooth = (np.array(errors) + 1) / (runs + 2)
    return float(rates.mean()), float(np.sqrt(np.sum(smooth * (1 - smooth) / runs)) / len(errors))


def main(config: Config) -> int:
    """Run, print, write; the exit status is 1 when programs disagree."""
    result = compare(contenders(config), config.repeats, "best_arm")
    return write(result, config.output)


if __name__ == "__main__":
    import tyro

    sys.exit(main(tyro.cli(Config)))
