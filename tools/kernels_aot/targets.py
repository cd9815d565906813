"""Devices to compile for, none of which is here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

H200 = Path(__file__).with_name("h200_target.pbtxt")


class Target(NamedTuple):
    name: str
    platform: str  # as the package's kernels have it
    where: NamedSharding  # one device; kernels are chosen under the abstract mesh of it


def tpu(name: str, topology: str) -> Target:
    found = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    return _one_device(name, "tpu", found)


def h200(name: str) -> Target:
    found = topologies.get_topology_desc(
        platform="cuda", topology_name="", topology="1x1x1", target_config=H200.read_text()
    )
    return _one_device(name, "cuda", found)


def _one_device(name: str, platform: str, topology: topologies.TopologyDescription) -> Target:
    mesh = Mesh(np.array(topology.devices[:1]), ("one",))
    return Target(name, platform, NamedSharding(mesh, PartitionSpec()))


TARGETS: dict[str, Callable[[str], Target]] = {
    "v5e": lambda name: tpu(name, "v5e:2x2"),
    "v6e": lambda name: tpu(name, "v6e:2x2"),
    "h200": h200,
}
