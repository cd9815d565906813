"""Disks fail: nothing damaged is used, nothing good is lost, and the error says what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from regrax.core import store as store_module
from regrax.core.fingerprint import Configuration
from regrax.core.store import Store, StoreError

CONFIGURATION = Configuration("a" * 64, "Env-Learner-aaaa", "{}")
OTHER = Configuration("b" * 64, "Env-Learner-bbbb", "{}")


def block(start: int, stop: int) -> xr.Dataset:
    values = np.random.default_rng(start).standard_normal((3, stop - start))
    coordinates = {"checkpoint": [1, 2, 3], "seed": np.arange(start, stop)}
    return xr.Dataset({"regret": (("checkpoint", "seed"), values)}, coordinates)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    return Store(tmp_path_factory.mktemp("whole")).save(CONFIGURATION, block(0, 8), {}).read_bytes()


def assert_set_aside(store: Store, path, reason: str = "") -> None:
    before = path.read_bytes()
    with pytest.warns(UserWarning, match=f"is not used: .*{reason}.*run again"):
        assert store.load(CONFIGURATION, range(8)) == ([], [range(8)])
    assert not path.exists()
    asides = sorted(path.parent.glob(f"{path.name}.damaged-*"))
    assert asides and asides[-1].read_bytes() == before
    store.save(CONFIGURATION, block(0, 8), {})  # run again
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,), missing = store.load(CONFIGURATION, range(8))
    assert not missing
    xr.testing.assert_identical(found.drop_attrs(), block(0, 8))


# ---- what is found on the disk -------------------------------------------------------------


def assert_noticed(store: Store, content: bytes) -> None:
    path = store.path / CONFIGURATION.label / "0000000-0000008.nc"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="0000000-0000008.nc is not used"):
        assert store.load(CONFIGURATION, range(8)) == ([], [range(8)])
    assert [file.name for file in path.parent.iterdir()] == [f"{path.name}.damaged-1"]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_noticed(tmp_path_factory, content, data):
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    assert_noticed(Store(tmp_path_factory.mktemp("flipped")), bytes(changed))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_truncation_is_noticed(tmp_path_factory, content, data):
    length = data.draw(st.integers(0, len(content) - 1))
    assert_noticed(Store(tmp_path_factory.mktemp("truncated")), content[:length])


def test_a_zeroed_page_and_a_longer_file_are_noticed(store, content):
    assert any(content[-600:-300])
    for changed in (content[:-600] + bytes(300) + content[-300:], content + b"\0"):
        path = store.save(CONFIGURATION, block(0, 8), {})
        path.write_bytes(changed)
        assert_set_aside(store, path)
    assert len(list(path.parent.glob("*.damaged-*"))) == 2  # neither replaces the other


def test_somebody_elses_netcdf_file_is_not_used(store):
    path = store.save(CONFIGURATION, block(0, 8), {})
    block(0, 8).to_netcdf(path, engine="h5netcdf")
    assert_set_aside(store, path, "not written by regrax")


def test_results_of_another_configuration_are_not_used(store):
    path = store.save(CONFIGURATION, block(0, 8), {})
    shutil.copy(store.save(OTHER, block(0, 8), {}), path)
    assert_set_aside(store, path, "another configuration")


def test_other_seeds_than_the_name_says_are_not_used(store):
    path = store.save(CONFIGURATION, block(0, 8), {})
    shutil.copy(store.save(CONFIGURATION, block(8, 16), {}), path)
    assert_set_aside(store, path, "other seeds")


def test_arrays_that_do_not_match_their_checksum_are_not_used(store):
    path = store.save(CONFIGURATION, block(0, 8), {})
    attributes = {"address": CONFIGURATION.address, "checksum": "0" * 64}
    path.write_bytes(store_module._encode(block(0, 8).assign_attrs(attributes)))
    assert_set_aside(store, path, "checksum")


def test_a_damaged_block_costs_only_its_own_seeds(store):
    for start in (0, 8, 16):
        path = store.save(CONFIGURATION, block(start, start + 8), {})
    middle = path.with_name("0000008-0000016.nc")
    middle.write_bytes(middle.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="0000008-0000016.nc is not used"):
        found, missing = store.load(CONFIGURATION, range(24))
    assert missing == [range(8, 16)]
    assert sorted(int(part.seed[0]) for part in found) == [0, 16]


def test_a_good_file_written_meanwhile_is_left_alone(store, content):
    """Another process has set the damaged file aside and written a good one."""
    path = store.save(CONFIGURATION, block(0, 8), {})
    store_module._set_aside(path, identity=-1, reason="was damaged")
    assert path.exists()


# ---- temporary files -----------------------------------------------------------------------


def test_only_stale_temporary_files_are_removed(store):
    path = store.save(CONFIGURATION, block(0, 8), {})
    directory = path.parent
    names = [f".0000008-0000016.nc.{c * 32}.tmp" for c in "01"] + ["mine.tmp", ".hidden.nc.tmp"]
    old, fresh, mine, hidden = [directory / name for name in names]
    for file in (old, fresh, mine, hidden):
        file.touch()
    yesterday = time.time() - 25 * 3600
    for file in (old, mine, hidden, path):
        os.utime(file, (yesterday, yesterday))
    store.save(CONFIGURATION, block(8, 16), {})
    assert not old.exists()
    assert all(file.exists() for file in (fresh, mine, hidden, path))


# ---- writing that fails --------------------------------------------------------------------


def failing(code: int):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.ENOSPC, r"the disk is full.*free some space \(this block needs .* MB\)"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "access is denied.*store=None"),
        (errno.EACCES, "access is denied"),
        (errno.EIO, "(?i)input/output error"),
    ],
)
def test_a_failed_write_is_one_clear_error_and_leaves_no_trace(
    store, monkeypatch, step, code, text
):
    path = store.save(CONFIGURATION, block(0, 8), {})
    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, step, failing(code))
        with pytest.raises(StoreError, match=text) as caught:
            store.save(CONFIGURATION, block(8, 16), {})
    assert str(store.path) in str(caught.value) and "\n" not in str(caught.value)
    assert list(path.parent.iterdir()) == [path]
    found, missing = store.load(CONFIGURATION, range(16))
    assert missing == [range(8, 16)]
    xr.testing.assert_identical(found[0].drop_attrs(), block(0, 8))


def test_a_real_full_disk(store):
    """/dev/full answers every write with ENOSPC."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with (
        pytest.raises(StoreError, match="the disk is full"),
        store_module._explained(store.path, 9),
    ):
        with open("/dev/full", "wb") as file:
            file.write(b"x" * 100_000)


def test_an_interrupted_write_leaves_no_trace(store, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module.os, "fsync", interrupt)
    with contextlib.suppress(KeyboardInterrupt):
        store.save(CONFIGURATION, block(0, 8), {})
    assert not [path for path in store.path.rglob("*") if path.is_file()]


def test_a_read_only_store_is_noticed_before_anything_runs(store, monkeypatch):
    monkeypatch.setattr(store_module.Path, "touch", failing(errno.EROFS))
    with pytest.raises(StoreError, match="access is denied.*choose another directory"):
        store.prepare(CONFIGURATION)


def test_a_full_read_only_store_can_be_read(store, monkeypatch):
    store.save(CONFIGURATION, block(0, 8), {})
    for name in ("replace", "rename"):
        monkeypatch.setattr(store_module.os, name, failing(errno.EROFS))
    monkeypatch.setattr(store_module.Path, "mkdir", failing(errno.EROFS))
    found, missing = store.load(CONFIGURATION, range(8))
    assert found and not missing


def test_an_unreadable_block_is_an_error_not_a_gap(store, monkeypatch):
    store.save(CONFIGURATION, block(0, 8), {})
    monkeypatch.setattr("builtins.open", failing(errno.EACCES))
    with pytest.raises(StoreError, match="access is denied"):
        store.load(CONFIGURATION, range(8))
