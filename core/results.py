"""Results as labelled arrays: one block of seeds, and a whole study put together from blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from . import provenance
from .executors import Result, Task

# Blocks by the names of environment and learner.
Blocks = Mapping[tuple[str, str], list[xr.Dataset]]
# Attributes of a block that say what it is, not where it comes from.
_IDENTITY = ("address", "checksum", "configuration")


def to_dataset(task: Task, result: Result) -> xr.Dataset:
    """A block: metrics over (checkpoint, seed, ...), with provenance.

    A metric's own axes are called what the environment says in `metric_dims` (name of a metric to
    names of axes); `arm` for `pulls`; else they are numbered.
    """
    shape = (len(task.checkpoints), len(task.seeds))
    names = {"pulls": ("arm",), **getattr(task.environment, "metric_dims", {})}
    variables = {}
    for name, array in result.metrics.items():
        if array.shape[:2] != shape:
            raise ValueError(f"metric {name!r} has shape {array.shape}, expected {shape} first")
        own = names.get(name, ())
        if len(own) != array.ndim - 2:
            own = tuple(f"{name}_axis{i}" for i in range(array.ndim - 2))
        variables[name] = (("checkpoint", "seed", *own), array)
    coordinates = {
        "checkpoint": np.array(task.checkpoints, np.int64),
        "seed": np.array(task.seeds, np.int64),
    }
    origin = provenance.collect() | {
        "device": result.device,
        "pulls": float(task.horizon) * len(task.seeds),
        "wall_seconds": result.wall_seconds,
        "compile_seconds": result.compile_seconds,
    }
    return xr.Dataset(variables, coordinates, origin)


def assemble(
    environments: Sequence[str],
    learners: Sequence[str],
    checkpoints: Sequence[int],
    seeds: range,
    blocks: Blocks,
) -> xr.Dataset:
    """Metrics over (environment, learner, checkpoint, seed, ...) from blocks that cover `seeds`.

    Integers are padded with 0 where an axis is shorter than elsewhere, floats with NaN; a metric
    that some blocks lack is NaN there. `blocks` is emptied on the way, to save memory.

    Raises:
      ValueError: a metric has other axes in one environment than in another.
    """
    every = [part for parts in blocks.values() for part in parts]
    attributes = _origin(every)
    size = (len(environments), len(learners), len(checkpoints), len(seeds))
    variables = {}
    for name in dict.fromkeys(str(name) for part in every for name in part.data_vars):
        arrays = [part[name] for part in every if name in part]
        own = arrays[0].dims[2:]
        if any(array.dims[2:] != own for array in arrays):
            raise ValueError(f"metric {name!r} has other axes in one environment than in another")
        lengths = np.max([array.shape[2:] for array in arrays], axis=0).astype(int)
        dtype = np.result_type(*(array.dtype for array in arrays))
        if len(arrays) < len(every):
            dtype = np.result_type(dtype, np.float64)
        blank = np.nan if np.issubdtype(dtype, np.inexact) else 0
        whole = np.full((*size, *lengths), blank, dtype)
        for (environment, learner), parts in blocks.items():
            place = whole[environments.index(environment), learners.index(learner)]
            for array in (part[name] for part in parts if name in part):
                first = int(array.seed[0]) - seeds.start
                within = (slice(first, first + array.sizes["seed"]), *map(slice, array.shape[2:]))
                place[:, *within] = array.values
            parts[:] = [part.drop_vars(name, errors="ignore") for part in parts]
        every = [part for parts in blocks.values() for part in parts]
        variables[name] = (("environment", "learner", "checkpoint", "seed", *own), whole)
    coordinates = {
        "environment": list(environments),
        "learner": list(learners),
        "checkpoint": np.array(checkpoints, np.int64),
        "seed": np.arange(seeds.start, seeds.stop),
    }
    return xr.Dataset(variables, coordinates, attributes)


def _origin(blocks: Iterable[xr.Dataset]) -> dict[str, Any]:
    distinct = {}
    for block in blocks:  # two cuts of one block count once
        attributes = {k: v for k, v in block.attrs.items() if k not in _IDENTITY}
        identity = (block.attrs.get("address"), block.attrs.get("checksum", id(block)))
        distinct[identity] = attributes
    merged = provenance.merge(distinct.values())
    merged["pulls_per_second"] = merged["pulls"] / max(merged["wall_seconds"], 1e-9)
    return merged
