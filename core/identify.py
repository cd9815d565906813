"""Fixed-budget identification: how often is the wrong arm recommended?"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from .checks import whole
from .progress import Progress, bar
from .protocol import complete
from .simulate import simulate
from .statistics import Estimate, proportion

_BLOCK = 1 << 16  # runs at once: what is kept of them is added up before the next


@dataclasses.dataclass(frozen=True)
class Identification:
    """What `identify` found.

    Attributes:
      runs, errors: how many runs, and in how many a wrong arm was recommended.
      simple_regret: mean over the runs of best mean less that of the recommended arm.
      most_pulls: the largest number of pulls that any run took.
      budget: number of pulls allowed.
      wall_seconds: running, without compiling.
    """

    runs: int
    errors: int
    simple_regret: float
    most_pulls: int
    budget: int
    wall_seconds: float

    def error(self, level: float = 0.95) -> Estimate:
        """The error probability with its Clopper-Pearson interval."""
        return proportion(self.errors, self.runs, level)

    def __str__(self) -> str:
        error = self.error()
        return (
            f"error {error.value:.4g} [{error.low:.4g}, {error.high:.4g}] in {self.runs:,} runs "
            f"of {self.budget:,} pulls"
        )


def phases(env: Any, *learners: Any) -> int:
    """The number of rounds in which all these learners have finished in `env`: the most phases
    that any of them asks for; the budget, where one plays pull by pull."""
    rounds = []
    for learner in learners:
        whole_learner = complete(learner, env, int(env.budget))
        is_phased = hasattr(whole_learner, "num_phases")
        rounds.append(int(whole_learner.num_phases()) if is_phased else int(env.budget))
    return max(rounds)


def identify(
    env: Any,
    learner: Any,
    runs: int = 10_000,
    *,
    root_seed: int = 0,
    progress: Progress = None,
) -> Identification:
    """Run a fixed-budget learner to its end, many times, and count its errors.

    Runs are the seeds 0, 1, ... of `simulate`; only sums over them are kept, so 10^7 runs take no
    more memory than 65,536.

    Args:
      env: an environment with a `budget` and the metrics of `envs.BestArm`.
      learner: one that plays in phases, or pull by pull.
      runs: how many, 1 to 2^31 - 1.
      root_seed, progress: as in `simulate`.

    Raises:
      ValueError: runs out of range, and what `simulate` raises.
      RuntimeError: the learner pulled more often than its budget allows.
    """
    runs, rounds = whole("runs", runs), phases(env, learner)
    budget, start = int(env.budget), time.perf_counter()
    compiling, errors, regret, most = 0.0, 0, 0.0, 0
    title = f"{type(learner).__name__} on {type(env).__name__}, {runs:,} runs"
    with bar(progress, runs * rounds, title) as update:
        for first in range(0, runs, _BLOCK):
            # Whole blocks but the last: it may be smaller, which compiles once more.
            seeds = range(first, min(first + _BLOCK, runs))
            trace = simulate(
                env, learner, rounds, seeds, checkpoints=[rounds], root_seed=root_seed,
                progress=update,
            )  # fmt: skip
            compiling += trace.compile_seconds
            errors += int(np.count_nonzero(trace.metrics["error"]))
            regret += float(np.sum(trace.metrics["simple_regret"], dtype=np.float64))
            most = max(most, int(trace.metrics["budget_used"].max()))
    if most > budget:
        raise RuntimeError(
            f"{type(learner).__name__} pulled {most} times, its budget is {budget}: {learner!r}"
        )
    wall = time.perf_counter() - start - compiling
    return Identification(runs, errors, regret / runs, most, budget, wall)
