"""Where blocks of seeds run: in this process, for now.

A `Task` is plain data and `compute` a plain function of it, so that another executor (a cluster's)
need only send tasks away and hand results back as they come.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from .devices import devices
from .protocol import complete, meeting
from .simulate import LANES, NonFiniteMetric, simulate
from .tapes import BLOCK

Progress = Callable[[int], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One block: a range of seeds of one learner in one environment."""

    environment: Any
    learner: Any
    horizon: int
    checkpoints: tuple[int, ...]
    root_seed: int
    seeds: range
    label: str = ""  # how the study calls the pair; for error messages


@dataclasses.dataclass(frozen=True)
class Result:
    """What a task comes to. `metrics`: name to array [C, S, ...]."""

    metrics: dict[str, np.ndarray]
    compile_seconds: float
    wall_seconds: float
    device: str
    unit: int  # seeds that fitted into memory at once


class Executor(Protocol):
    """Runs tasks, in any order and anywhere.

    `in_process` says whether `function` may hold references into this process (a progress bar);
    otherwise it is `compute` itself, and it and the tasks can be sent elsewhere.
    """

    in_process: bool

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, as results come. `tasks` may be made while it is read."""
        ...


class LocalExecutor:
    """Runs tasks one after the other in this process, each on all of its devices."""

    in_process = True

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        for task in tasks:
            yield task, function(task)


def compute(task: Task, progress: Progress | None = None) -> Result:
    """Simulate a task; one that does not fit into memory in halves, and so on.

    Args:
      progress: called with the number of pulls (rounds x seeds) newly done; negative when work
        is lost because it did not fit.

    Raises:
      MemoryError: not even one seed fits.
      NonFiniteMetric: a metric became NaN or infinite; the message has the task's label.
    """
    parts: list[Result] = []
    waiting, unit = deque([task.seeds]), len(task.seeds)
    while waiting:
        seeds = waiting.popleft()
        result = _attempt(dataclasses.replace(task, seeds=seeds), progress)
        if result is not None:
            parts.append(result)
            continue
        if len(seeds) == 1:
            raise MemoryError(
                f"one seed of {task.label or repr(task.learner)} does not fit into memory: "
                f"ask for fewer checkpoints, or for a smaller problem"
            )
        unit = -(-len(seeds) // 2)
        waiting.extendleft(reversed(split(seeds, unit)))
    return Result(
        {name: np.concatenate([p.metrics[name] for p in parts], 1) for name in parts[0].metrics},
        sum(part.compile_seconds for part in parts),
        sum(part.wall_seconds for part in parts),
        parts[0].device,
        unit,
    )


def _attempt(task: Task, progress: Progress | None) -> Result | None:
    """Simulate a task in one piece, or None when it does not fit into memory."""
    done = 0

    def count(pulls: int) -> None:
        nonlocal done
        done += pulls
        if progress is not None:
            progress(pulls)

    try:
        trace = simulate(
            task.environment,
            task.learner,
            task.horizon,
            task.seeds,
            checkpoints=task.checkpoints,
            root_seed=task.root_seed,
            progress=count,
        )
    except NonFiniteMetric as error:
        raise NonFiniteMetric(f"{task.label}: {error}" if task.label else str(error)) from None
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not (isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)):
            raise
        count(-done)
        return None
    return Result(
        trace.metrics, trace.compile_seconds, trace.wall_seconds, trace.device, len(task.seeds)
    )


# ---- how many seeds at once ----------------------------------------------------------------

_RESULT_BYTES = 64 << 20  # of one block: what is compressed, checked and written in one piece
_PULLS = 500_000_000  # of one block: seconds to minutes of work, all that a killed process can lose
_FEWEST, _MOST = 256, 4096  # seeds in a block, as far as memory allows; enough to vectorise
_ACCELERATOR = 16  # how many times more of the last three an accelerator takes at once
_HEAVY = 16 << 10  # bytes of a seed's state from which on a round is a walk through memory
_CACHE = 5 << 18  # bytes of states that stay in the cache of one core, about


@dataclasses.dataclass(frozen=True)
class SeedMemory:
    """Estimated bytes that one seed needs: while it runs, and as a result."""

    running: int
    result: int
    state: int = 0  # what every round reads and writes


def seed_memory(environment: Any, learner: Any, horizon: int, num_checkpoints: int) -> SeedMemory:
    """Estimate the memory of one seed from the shapes of states, noise and metrics; nothing is
    computed. Running counts two copies: the carry before and after, or a result as it is copied.
    """
    learner = complete(learner, environment, horizon)

    def one_round(environment, learner, key):
        states = environment.init(key), learner.init(key)
        tapes = environment.noise(key, BLOCK), learner.noise(key, BLOCK)
        now = jax.tree.map(lambda x: x[0], tapes)
        action = learner.act(states[1], environment.observe(states[0], now[0]), now[1])
        _, _, metrics = environment.step(states[0], action, now[0])
        values = environment.evaluate(states[0], learner.recommend(states[1]))
        return states, tapes, metrics, values

    parameters = jax.tree.map(np.asarray, (environment, learner))
    key = jax.eval_shape(jax.random.key, 0)
    with meeting(learner, environment):
        states, tapes, metrics, values = jax.eval_shape(one_round, *parameters, key)
    result = num_checkpoints * (2 * _bytes(metrics) + _bytes(values))  # totals are kept in pairs
    running = 2 * (_bytes(states) + _bytes(tapes) + result)
    return SeedMemory(running, result, 0 if hasattr(learner, "num_phases") else _bytes(states))


def block_size(memory: SeedMemory, horizon: int) -> int:
    """Seeds to run and store at once: within memory, and not too long a work to lose. Large states
    come a few at a time, as many as a CPU's cache holds: matrices of 60 KB a seed take four times
    as long in a thousand seeds as in thirty-two."""
    accelerated = 1 if devices()[0].platform == "cpu" else _ACCELERATOR
    wanted = accelerated * min(max(_PULLS // horizon, _FEWEST), _MOST)
    fits = min(_RESULT_BYTES // max(memory.result, 1), available_memory() // (2 * memory.running))
    if devices()[0].platform == "cpu" and memory.state > _HEAVY:
        fits = min(fits, len(devices()) * max(_CACHE // memory.state // LANES, 1) * LANES)
    return max(1, min(wanted, fits))


def split(seeds: range, size: int) -> list[range]:
    """Cut a range into pieces of at most `size`; equal if possible, as every length is compiled."""
    count = -(-len(seeds) // size)
    even = [n for n in range(count, 2 * count + 1) if len(seeds) % n == 0]
    size = -(-len(seeds) // (even[0] if even else count))
    return [seeds[i : i + size] for i in range(0, len(seeds), size)]


def available_memory() -> int:
    """Bytes free on the device with the least, all devices of a CPU being one; a guess of 4 GiB
    where nobody says."""
    stats = [device.memory_stats() for device in devices()]
    if all(stats):
        return len(stats) * min(s["bytes_limit"] - s["bytes_in_use"] for s in stats if s)
    return free_memory()


def free_memory() -> int:
    """Bytes of main memory that are free; a guess of 4 GiB where the system does not say."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = next(line for line in lines if line.startswith("MemAvailable:")).split()[1]
        return int(kilobytes) << 10
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def _bytes(tree: Any) -> int:
    """Size of a pytree of shapes, keys counted by their words."""
    sizes = (math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
    return sum(sizes)
