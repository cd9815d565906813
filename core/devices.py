"""The devices that simulations run on."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import jax


def devices() -> list[Any]:
    """Every local device; on a CPU one a core, if JAX has not been used yet in this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # JAX has started: its devices are what they are
            if getattr(jax.config, "jax_num_cpu_devices", -1) < 1:
                jax.config.update("jax_num_cpu_devices", cores or 1)
    return jax.local_devices()
