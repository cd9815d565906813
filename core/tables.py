"""Tables that an environment needs before it can be played, computed once for all learners.

Where a round is dear and what it brings does not depend on the learner, an environment may be only
a recipe: `tabulate(horizon, seeds, root_seed, progress)` makes arrays with the seeds first, and
`with_table(arrays, keys)` the environment that looks them up, in which a seed finds its row by the
key it starts from. With `deterministic = True` there is one row, for all seeds. `simulate` fills
recipes by itself; `run` keeps their tables in the store, a block of seeds at a time.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
import xarray as xr

from . import provenance
from .fingerprint import configuration
from .progress import Progress
from .store import Store
from .tapes import environment_keys

Table = dict[str, np.ndarray]


class Recipe(Protocol):
    """An environment whose rounds are computed beforehand."""

    deterministic: bool

    def tabulate(
        self, horizon: int, seeds: np.ndarray, root_seed: int, progress: Progress
    ) -> Table: ...
    def seeds_together(self, horizon: int) -> int:
        """Seeds of one block of the store: some minutes of work."""
        ...

    def with_table(self, table: Table, keys: np.ndarray | None) -> Any: ...


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Stands where a learner would in the address of a table."""


def is_recipe(env: Any) -> bool:
    return hasattr(env, "tabulate")


def prepared(
    env: Any, horizon: int, seeds: np.ndarray, root_seed: int, progress: Progress = None
) -> Any:
    """The environment itself, or what a recipe comes to for these seeds."""
    if not is_recipe(env):
        return env
    rows = np.zeros(1, np.int64) if env.deterministic else seeds
    shown = False if callable(progress) else progress  # a callable counts rounds that are played
    table = env.tabulate(horizon, rows, root_seed, shown)
    return env.with_table(table, _keys(env, seeds, root_seed))


def stored(
    env: Any, horizon: int, seeds: range, root_seed: int, store: Store | None, progress: Progress
) -> Any:
    """As `prepared`, with the rows that the store has taken from it, and new ones put there.

    Raises:
      StoreError: the store cannot be read or written; blocks that were stored are safe.
    """
    rows = range(1) if env.deterministic else seeds
    shown = False if callable(progress) else progress
    blocks, missing, address = [], [rows], None
    if store is not None:
        address = configuration(env, _Rows(), horizon, (horizon,), root_seed)
        blocks, missing = store.load(address, rows)
        if missing:
            store.prepare(address)
    size = 1 if env.deterministic else env.seeds_together(horizon)
    for gap in missing:
        for first in range(gap.start, gap.stop, size):
            part = range(first, min(first + size, gap.stop))
            block = _block(env.tabulate(horizon, np.array(part), root_seed, shown), part)
            if store is not None and address is not None:
                store.save(address, block, provenance.collect())
            blocks.append(block)
    whole = xr.concat(sorted(blocks, key=lambda block: int(block.seed[0])), "seed")
    table = {str(name): whole[name].values for name in whole.data_vars}
    return env.with_table(table, _keys(env, np.array(seeds), root_seed))


def _keys(env: Any, seeds: np.ndarray, root_seed: int) -> np.ndarray | None:
    return None if env.deterministic else environment_keys(seeds, root_seed)


def _block(table: Table, seeds: range) -> xr.Dataset:
    variables = {
        name: (("seed", *(f"{name}_axis{i}" for i in range(1, array.ndim))), array)
        for name, array in table.items()
    }
    return xr.Dataset(variables, {"seed": np.array(seeds, np.int64)})
