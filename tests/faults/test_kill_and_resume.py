"""Processes die and share: what is on the disk stays good, and the numbers stay the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from regrax.core import noise
from regrax.core.protocol import BanditFeedback
from regrax.core.store import Store
from regrax.core.study import Study, run

SEEDS, BATCH = 64, 4


@flax.struct.dataclass
class Coins:
    means: Any
    num_arms: int = flax.struct.field(pytree_node=False, default=3)

    def init(self, key):
        return jnp.zeros(3, jnp.int32)

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def observe(self, state, u):
        return ()

    def step(self, state, arm, u):
        reward = (u < self.means[arm]).astype(jnp.float32)
        return state.at[arm].add(1), BanditFeedback(reward), {"reward": reward}

    def evaluate(self, state, arm):
        return {"regret": jnp.sum(state * (jnp.max(self.means) - self.means)), "pulls": state}


@flax.struct.dataclass
class Uniform:
    def init(self, key):
        return noise.uniform(key)

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def act(self, state, observation, u):
        return (state * u * 3).astype(jnp.int32)

    def update(self, state, observation, action, feedback):
        return state

    def recommend(self, state):
        return jnp.int32(0)


def study() -> Study:
    environments = {"coins": Coins(np.array([0.1, 0.5, 0.9]))}
    return Study("shared", environments, {"uniform": Uniform()}, 300, SEEDS, [1, 10, 100, 300])


CHILD = f"""
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("kill_and_resume", {__file__!r})
module = sys.modules["kill_and_resume"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
if "hang" in sys.argv:  # in the middle of the second write
    fsync, calls = os.fsync, []
    def hang(number):
        calls.append(number)
        if len(calls) == 3:  # file and directory of the first block, file of the second
            print("writing", flush=True)
            time.sleep(600)
        fsync(number)
    os.fsync = hang
if "slow" in sys.argv:  # so that the study is not over before it can be killed
    fsync = os.fsync
    os.fsync = lambda number: (time.sleep(0.05), fsync(number))
print("ready", flush=True)
if "wait" in sys.argv:
    sys.stdin.readline()
module.run(module.study(), store=sys.argv[1], batch={BATCH})
"""


def child(store: Path, *words: str) -> subprocess.Popen:
    """The study in a process of its own."""
    command = [sys.executable, "-c", CHILD, str(store), *words]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes)


def here(store: Path | None, **options) -> xr.Dataset:
    """The study in this process, with the address it has in a child."""
    return run(in_module().study(), store=store, **options)


def in_module():
    """This file under the name that children give it, so that classes have the same address."""
    import importlib.util

    if "kill_and_resume" not in sys.modules:
        spec = importlib.util.spec_from_file_location("kill_and_resume", __file__)
        assert spec is not None and spec.loader is not None
        sys.modules["kill_and_resume"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["kill_and_resume"])
    return sys.modules["kill_and_resume"]


@pytest.fixture(scope="module")
def straight() -> xr.Dataset:
    """The numbers of a run that nothing disturbs, in one piece."""
    return here(None, batch=SEEDS)


def kill(process: subprocess.Popen) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def assert_same(data: xr.Dataset, straight: xr.Dataset) -> None:
    xr.testing.assert_identical(data.drop_attrs(), straight.drop_attrs())


def test_kill_and_resume_gives_the_same_numbers(tmp_path, straight):
    process = child(tmp_path, "slow")
    deadline = time.monotonic() + 120
    while len(list(tmp_path.rglob("*.nc"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    kill(process)
    stored = Store(tmp_path).check()
    assert 2 <= stored.verified == stored.blocks < SEEDS // BATCH
    done = []
    assert_same(here(tmp_path, progress=done.append), straight)
    assert sum(done) == 300 * (SEEDS - BATCH * stored.blocks)
    assert not Store(tmp_path).check().damaged


def test_killed_in_the_middle_of_a_write(tmp_path, straight):
    process = child(tmp_path, "hang")
    assert process.stdout is not None
    while process.stdout.readline() != "writing\n":
        assert process.poll() is None
    kill(process)
    stored = Store(tmp_path).check()
    assert stored.blocks == stored.verified == 1 and len(stored.temporaries) == 1
    assert_same(here(tmp_path), straight)
    assert Store(tmp_path).check().temporaries == stored.temporaries  # too young to be removed


def test_two_processes_share_a_store(tmp_path, straight):
    processes = [child(tmp_path, "wait") for _ in range(2)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:  # both are set up: now, together
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    report = Store(tmp_path).check()
    assert report.verified == report.blocks == SEEDS // BATCH
    assert not report.temporaries and not report.set_aside
    done = []
    assert_same(here(tmp_path, progress=done.append), straight)
    assert not done
