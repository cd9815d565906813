"""Independent jobs, dealt out to all local devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from .compiled import jit
from .devices import devices


def over_devices(
    function: Callable[..., jax.Array], shared: Any, *arrays: Any, block: int
) -> np.ndarray:
    """function(shared, *arrays) of arrays with the jobs on their first axis, in one program.

    Jobs are dealt out in blocks of `block`, one to each device in turn, so that jobs of similar
    cost that lie side by side end on all devices together; their number is a multiple of `block`
    times the number of devices.

    Args:
      function: of jobs, to one number each; not a lambda, or it is compiled every time.
      shared: a pytree that all jobs need.
    """
    mesh = Mesh(np.array(devices()), ("jobs",))
    jobs = np.arange(len(arrays[0])).reshape(-1, mesh.size, block)
    order = jobs.swapaxes(0, 1).ravel()
    found = np.asarray(_run(shared, *(x[order] for x in arrays), function=function, mesh=mesh))
    result = np.empty_like(found)
    result[order] = found
    return result


@partial(jit, static_argnames=("function", "mesh"))
def _run(shared, *arrays, function, mesh):
    specs = (P(), *(P("jobs") for _ in arrays))
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=P("jobs"), check_vma=False)(
        shared, *arrays
    )
