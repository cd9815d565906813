"""Which code runs where: kernels for GPUs and TPUs beside XLA's own, chosen as programs are built.

A program that is compiled for a CPU neither traces nor imports Pallas. To lower for a device that
is not at hand, do it under an abstract mesh of such devices; then its kernels are chosen too.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import jax

from ..names import did_you_mean

NAMES = ("cpu", "cuda", "rocm", "tpu")


def known(platform: str | None = None) -> str:
    """The name of a platform as XLA has it: "gpu" is "cuda", None that of the default device.

    Raises:
      ValueError: an unknown one; the text has the nearest.
    """
    platform = jax.default_backend() if platform is None else platform
    platform = "cuda" if platform == "gpu" else platform
    if platform not in NAMES:
        raise ValueError(f"no platform {platform!r}: {did_you_mean(platform, NAMES)}")
    return platform


def at_hand() -> set[str]:
    """Platforms that a program traced now may run on: that of the default device, and that of the
    devices of an abstract mesh."""
    found = {jax.default_backend()}
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    if device is not None:
        found.add("tpu" if device.device_kind.startswith("TPU") else "gpu")
    return {"cuda" if name == "gpu" else name for name in found}


def by_platform(*arguments: Any, default: Callable, **kernels: Callable | None) -> Any:
    """Call one of several functions that compute the same: that for the platform the program is
    compiled for, or `default` where there is none, or None."""
    there = at_hand() | {"cpu"}
    chosen = {name: f for name, f in kernels.items() if f is not None and name in there}
    if there == {"cpu"}:
        return chosen.get("cpu", default)(*arguments)
    return jax.lax.platform_dependent(*arguments, default=default, **chosen)


def mosaic_gpu_missing() -> str:
    """What keeps kernels for Mosaic GPU from running here, or "": absl-py, which it needs and does
    not say, or a GPU that is older than Hopper. Where there is no GPU, one is expected that will
    do."""
    if importlib.util.find_spec("absl") is None:
        return "Mosaic GPU needs absl-py, which is not installed: pip install absl-py"
    if jax.default_backend() == "gpu":
        capability = getattr(jax.devices()[0], "compute_capability", "9.0")
        if float(capability) < 9.0:
            return f"kernels are for Hopper and newer; this GPU has compute capability {capability}"
    return ""
