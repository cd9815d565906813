"""What all tests share: how JAX, matplotlib and hypothesis are set before the first test runs."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything imports pyplot

import hypothesis
import jax
import pytest

# JAX compiles each example anew when shapes change, so wall time says nothing about an example.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    """Keep what XLA compiled from one run of the tests to the next.

    Every worker has a directory of its own: JAX writes an entry in place and without a lock, so a
    second process could read half of it. Child processes of a test are left without a cache.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    cache = Path(config.rootpath, ".pytest_cache", "xla", worker)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Forget compiled programs before a process holds too many. On a CPU each takes several
    mappings of memory, of which Linux allows a process 65,530: beyond that, JAX crashes."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > 20_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def strict_promotion() -> Iterator[None]:
    """Inside the test JAX refuses to mix dtypes silently."""
    with jax.numpy_dtype_promotion("strict"):
        yield
