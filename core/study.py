"""A study as data: environments x learners x seeds; and running one, from and into a store."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr
from tqdm import tqdm

from .checks import checkpoint_rounds, log_checkpoints, whole
from .executors import (
    Executor,
    LocalExecutor,
    Task,
    block_size,
    compute,
    free_memory,
    seed_memory,
    split,
)
from .fingerprint import Configuration, configuration
from .protocol import complete
from .results import assemble, to_dataset
from .simulate import Stacked
from .sources import sha256
from .store import Store, StoreError
from .tables import is_recipe, stored

DEFAULT_STORE = Path("results/store")
Progress = Callable[[int], Any] | bool | None


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """What to simulate: every learner in every environment, over the same seeds.

    Attributes:
      name: short; it stands on plots and in file names.
      environments, learners: by the names they have on plots.
      horizon: number of rounds T.
      seeds: how many independent repetitions; seed i is the same in every study.
      checkpoints: increasing rounds in [1, T] after which metrics are kept; log-spaced by default.
      root_seed: another one gives other, independent repetitions.
    """

    name: str
    environments: Mapping[str, Any]
    learners: Mapping[str, Any]
    horizon: int
    seeds: int = 1000
    checkpoints: Sequence[int] | None = None
    root_seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"a study needs a name, got {self.name!r}")
        put = partial(object.__setattr__, self)
        put("environments", _named("environments", self.environments, "step", "learners"))
        put("learners", _named("learners", self.learners, "act", "environments"))
        put("horizon", whole("horizon", self.horizon, 1, 2**31 - 1))
        put("seeds", whole("seeds", self.seeds, 1, 2**32))
        put("root_seed", whole("root_seed", self.root_seed, 0, 2**32 - 1))
        put("checkpoints", _rounds(self.checkpoints, self.horizon))


def run(
    study: Study,
    *,
    store: Store | str | Path | None = DEFAULT_STORE,
    executor: Executor | None = None,
    progress: Progress = None,
    seeds: int | range | None = None,
    batch: int | None = None,
) -> xr.Dataset:
    """The results of a study: what the store has of them, and the rest computed and stored.

    Args:
      store: where blocks of seeds are kept; None keeps everything in memory and writes nothing.
      executor: where blocks run; in this process by default.
      progress: None shows a bar on a terminal when the run takes longer than two seconds; False
        never; a callable is called with the number of pulls (rounds x seeds) newly done.
      seeds: how many, or which range, instead of `study.seeds`.
      batch: seeds to run and store at once; chosen by memory and length by default. Results do
        not depend on it.

    Returns:
      Metrics over (environment, learner, checkpoint, seed), `pulls` with a last dimension `arm`
      that is padded with 0 where an environment has fewer arms. A metric that an environment does
      not have is NaN there. Attributes say where the results come from.

    Raises:
      ValueError: a learner does not fit an environment, or cannot be addressed for the store.
      StoreError: the store cannot be read or written; blocks that were stored are safe.
      MemoryError: the results, or a single seed, are too large.
      NonFiniteMetric: a metric became NaN or infinite.
    """
    seeds = _range(study.seeds if seeds is None else seeds)
    store = Store(store) if isinstance(store, str | Path) else store
    pairs = _pairs(study, addressed=store is not None)
    for pair in pairs:
        pair.load(store, seeds)
    todo = [pair for pair in pairs if pair.missing]
    saved = 0
    try:
        _prepare(study, todo, store, progress)
        _plan(study, todo, store, batch)
        with _bar(progress if todo else False, study, todo) as update:
            for pair, block in _compute(todo, store, executor or LocalExecutor(), update):
                pair.parts.append(block)
                if store is not None and pair.configuration is not None:
                    store.save(pair.configuration, block, block.attrs)
                    saved += 1
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(study, store, saved)) from None
    except StoreError as error:
        raise StoreError(f"{error}. {_kept(study, store, saved)}") from error
    blocks = {pair.names: pair.parts for pair in pairs}
    checkpoints = pairs[0].task.checkpoints
    results = assemble(list(study.environments), list(study.learners), checkpoints, seeds, blocks)
    return results.assign_attrs(_identity(study, pairs))


# ---- blocks --------------------------------------------------------------------------------


@dataclasses.dataclass(eq=False)
class Pair:
    """One learner in one environment: what there is of it, and what is missing."""

    names: tuple[str, str]  # of the environment and of the learner
    task: Task  # its seeds are left to the blocks
    configuration: Configuration | None
    parts: list[xr.Dataset] = dataclasses.field(default_factory=list)
    missing: list[range] = dataclasses.field(default_factory=list)
    size: int = 1  # seeds to run at once

    def load(self, store: Store | None, seeds: range) -> list[range]:
        """Take what the store has of `seeds`; what it has not is missing."""
        found, missing = [], [seeds]
        if store is not None and self.configuration is not None:
            found, missing = store.load(self.configuration, seeds)
        self.parts += found
        self.missing = missing
        return missing


def _pairs(study: Study, addressed: bool) -> list[Pair]:
    checkpoints = tuple(int(t) for t in study.checkpoints or log_checkpoints(study.horizon))
    pairs = []
    for e, environment in study.environments.items():
        for k, learner in study.learners.items():
            learner = complete(learner, environment, study.horizon)
            label = f"study {study.name!r}, environment {e!r}, learner {k!r}"
            task = Task(
                environment, learner, study.horizon, checkpoints, study.root_seed, range(0), label
            )
            parameters = (environment, learner, study.horizon, checkpoints, study.root_seed)
            found = None
            with contextlib.nullcontext() if addressed else contextlib.suppress(ValueError):
                found = configuration(*parameters)
            pairs.append(Pair((e, k), task, found))
    return pairs


def _prepare(study: Study, todo: list[Pair], store: Store | None, progress: Progress) -> None:
    """Tables that environments need, computed once for all learners."""
    for name, environment in study.environments.items():
        waiting = [pair for pair in todo if pair.names[0] == name]
        if not waiting or not is_recipe(environment):
            continue
        gaps = [gap for pair in waiting for gap in pair.missing]
        seeds = range(min(gap.start for gap in gaps), max(gap.stop for gap in gaps))
        full = stored(environment, study.horizon, seeds, study.root_seed, store, progress)
        for pair in waiting:
            pair.task = dataclasses.replace(pair.task, environment=full)


def _plan(study: Study, todo: list[Pair], store: Store | None, batch: int | None) -> None:
    """Before anything runs: the pairs trace, the results fit into memory and can be written."""
    total = 0
    for pair in todo:
        task = pair.task
        memory = seed_memory(task.environment, task.learner, task.horizon, len(task.checkpoints))
        pair.size = block_size(memory, task.horizon) if batch is None else whole("batch", batch)
        total += memory.result * sum(map(len, pair.missing))
    if total > (free := free_memory()):
        raise MemoryError(
            f"the results of study {study.name!r} take {total / 1e9:.1f} GB and {free / 1e9:.1f} "
            f"GB of memory are free: ask for fewer seeds, checkpoints or learners at a time"
        )
    for pair in todo:
        if store is not None and pair.configuration is not None:
            store.prepare(pair.configuration)


def _compute(
    todo: list[Pair], store: Store | None, executor: Executor, update: Callable[[int], Any]
) -> Iterator[tuple[Pair, xr.Dataset]]:
    """Run what is missing, block by block; what another process has stored meanwhile is taken."""
    owner: dict[Task, Pair] = {}

    def tasks() -> Iterator[Task]:
        for pair in todo:
            waiting = deque(part for gap in pair.missing for part in split(gap, pair.size))
            while waiting:
                seeds = waiting.popleft()
                if len(seeds) > pair.size:  # it has turned out to be too large
                    waiting.extendleft(reversed(split(seeds, pair.size)))
                    continue
                missing = pair.load(store, seeds)
                if skipped := len(seeds) - sum(map(len, missing)):
                    update(skipped * pair.task.horizon)
                for part in missing:
                    task = dataclasses.replace(pair.task, seeds=part)
                    owner[task] = pair
                    yield task

    function = partial(compute, progress=update) if executor.in_process else compute
    for task, result in executor.map(function, tasks()):
        pair = owner.pop(task)
        if result.unit < len(task.seeds):
            pair.size = min(pair.size, result.unit)
        if not executor.in_process:
            update(len(task.seeds) * task.horizon)
        yield pair, to_dataset(task, result)


def _identity(study: Study, pairs: list[Pair]) -> dict[str, Any]:
    addresses = [(*pair.names, pair.configuration.address) for pair in pairs if pair.configuration]
    return {
        "study": study.name,
        "horizon": study.horizon,
        "root_seed": study.root_seed,
        "fingerprint": sha256(repr(addresses)) if len(addresses) == len(pairs) else "unknown",
    }


# ---- arguments and messages ----------------------------------------------------------------


def _named(kind: str, values: Any, method: str, other: str) -> dict[str, Any]:
    if not isinstance(values, Mapping) or not values:
        raise ValueError(
            f"{kind} is a non-empty mapping from names to {kind}, such as {{'name': ...}}; "
            f"got {values!r:.80}"
        )
    for name, value in values.items():
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"the names of {kind} are non-empty strings, got {name!r}")
        if isinstance(value, type):
            raise ValueError(f"{kind}[{name!r}] is a class; give an instance: {value.__name__}()")
        if isinstance(value, Stacked):
            raise ValueError(f"{kind}[{name!r}] is a stack; give its members each a name instead")
        if not hasattr(value, method):
            raise ValueError(
                f"{kind}[{name!r}] has no method {method!r}; is it one of the {other}? "
                f"It is {value!r:.80}"
            )
    return dict(values)


def _rounds(checkpoints: Sequence[int] | None, horizon: int) -> tuple[int, ...] | None:
    return None if checkpoints is None else tuple(map(int, checkpoint_rounds(checkpoints, horizon)))


def _range(seeds: int | range) -> range:
    if not isinstance(seeds, range):
        return range(whole("seeds", seeds, 1, 2**32))
    if seeds.step != 1 or not seeds or seeds.start < 0 or seeds.stop > 2**32:
        raise ValueError(f"seeds is a count or a range of steps of 1 within [0, 2^32), got {seeds}")
    return seeds


@contextlib.contextmanager
def _bar(progress: Progress, study: Study, todo: list[Pair]) -> Iterator[Callable[[int], Any]]:
    """The function to call with the number of pulls newly done."""
    runs = sum(len(gap) for pair in todo for gap in pair.missing)
    if callable(progress):
        yield progress
        return
    title = f"{study.name}: {study.horizon:,} rounds x {runs:,} runs"
    disable = not progress if isinstance(progress, bool) else None  # None: only on a terminal
    with tqdm(
        total=runs * study.horizon,
        desc=title,
        unit=" pulls",
        unit_scale=True,
        delay=2,
        disable=disable,
    ) as bar:
        yield bar.update


def _kept(study: Study, store: Store | None, saved: int) -> str:
    if store is None:
        return f"study {study.name!r} stopped; with store=None nothing is kept"
    return (
        f"study {study.name!r} stopped; the {saved} blocks of seeds that this run finished and all "
        f"earlier ones are safe in {store.path}: run it again and it goes on from there"
    )
