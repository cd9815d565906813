"""The store: what goes in comes out, in any cut, and only what is missing is asked for."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from regrax.core.fingerprint import Configuration
from regrax.core.store import Store, StoreError, checksum, subtract

CONFIGURATION = Configuration("a" * 64, "Env-Learner-aaaa", '{"horizon": 30}')
OTHER = Configuration("b" * 64, "Env-Learner-bbbb", "{}")


def block(start: int, stop: int) -> xr.Dataset:
    """A block whose numbers are a function of the seed, as those of a simulation are."""
    seeds, rounds = np.arange(start, stop), np.array([1, 10, 30])
    regret = np.sin(rounds[:, None] * (1.0 + seeds))
    pulls = (rounds[:, None, None] + seeds[None, :, None] * np.arange(4)).astype(np.int32)
    return xr.Dataset(
        {
            "regret": (("checkpoint", "seed"), regret),
            "loss": (("checkpoint", "seed"), regret.astype(np.float32)),
            "pulls": (("checkpoint", "seed", "arm"), pulls),
            "won": (("checkpoint", "seed"), regret > 0),
        },
        {"checkpoint": rounds, "seed": seeds},
    )


def save(store: Store, start: int, stop: int):
    return store.save(CONFIGURATION, block(start, stop), {"git_commit": "abc", "wall_seconds": 1.5})


def together(parts: list[xr.Dataset]) -> xr.Dataset:
    return xr.concat([part.drop_attrs() for part in parts], "seed").sortby("seed")


def test_a_block_comes_back_as_it_was(tmp_path):
    store = Store(tmp_path / "deep" / "store")
    path = save(store, 0, 20)
    (found,), missing = store.load(CONFIGURATION, range(20))
    assert not missing
    xr.testing.assert_identical(found.drop_attrs(), block(0, 20))
    assert {name: x.dtype for name, x in found.variables.items()} == {
        name: x.dtype for name, x in block(0, 20).variables.items()
    }
    assert found.attrs["git_commit"] == "abc" and found.attrs["wall_seconds"] == 1.5
    assert found.attrs["configuration"] == CONFIGURATION.text
    assert path.name == "0000000-0000020.nc"


def test_a_stored_file_is_plain_netcdf(tmp_path):
    path = save(Store(tmp_path), 0, 5)
    with xr.open_dataset(path, engine="h5netcdf") as found:
        np.testing.assert_array_equal(found.pulls, block(0, 5).pulls)


def test_nan_and_odd_values_survive(tmp_path):
    data = block(0, 3)
    data["regret"][0, 0], data["regret"][0, 1], data["regret"][0, 2] = np.nan, -0.0, np.inf
    data["loss"][1] = np.float32(1e-45)
    store = Store(tmp_path)
    store.save(CONFIGURATION, data, {})
    (found,), _ = store.load(CONFIGURATION, range(3))
    assert found.regret.values.tobytes() == data.regret.values.tobytes()
    assert found.loss.values.tobytes() == data.loss.values.tobytes()


def test_configurations_do_not_mix(tmp_path):
    store = Store(tmp_path)
    save(store, 0, 5)
    assert store.load(OTHER, range(5)) == ([], [range(5)])


def test_an_empty_store_has_nothing_and_reading_makes_nothing(tmp_path):
    store = Store(tmp_path / "nowhere")
    assert store.load(CONFIGURATION, range(3)) == ([], [range(3)])
    assert store.check().blocks == 0
    assert not store.path.exists()


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15)), max_size=4),
    st.integers(0, 40),
    st.integers(1, 30),
)
def test_found_and_missing_cover_what_is_asked_for_once(tmp_path_factory, stored, first, count):
    store = Store(tmp_path_factory.mktemp("store"))
    for start, length in stored:
        save(store, start, start + length)
    asked = range(first, first + count)
    found, missing = store.load(CONFIGURATION, asked)
    have = [int(seed) for part in found for seed in part.seed]
    lack = [seed for gap in missing for seed in gap]
    assert sorted(have + lack) == list(asked)
    assert not set(lack) & {s for start, length in stored for s in range(start, start + length)}
    if found:
        expected = block(0, 80).isel(seed=sorted(have))
        xr.testing.assert_identical(together(found), expected)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=5),
    st.integers(0, 30),
    st.integers(0, 20),
)
def test_subtract_is_set_difference(ranges, start, length):
    ranges = [range(a, a + n) for a, n in ranges]
    taken = range(start, start + length)
    left = subtract(ranges, taken)
    assert [i for r in left for i in r] == [i for r in ranges for i in r if i not in taken]


def test_checksum_knows_names_dtypes_shapes_and_values():
    base = block(0, 3)
    different = [
        base.rename(regret="regrets"),
        base.rename(arm="arms"),
        base.assign(loss=base.loss.astype(np.float64)),
        base.assign(regret=base.regret + 1e-16 + (base.seed == 2) * 1e-12),
        base.isel(arm=slice(3)),
        base.assign_coords(seed=base.seed + 1),
    ]
    assert len({checksum(data) for data in [base, *different]}) == 7
    assert checksum(base) == checksum(block(0, 3))


def test_check_reports_and_changes_nothing(tmp_path):
    store = Store(tmp_path)
    good, bad = save(store, 0, 5), save(store, 5, 9)
    bad.write_bytes(bad.read_bytes()[:-7])
    stray = good.with_name(f".{good.name}.{'0' * 32}.tmp")
    aside = good.with_name("0000020-0000030.nc.damaged-1")
    for file in (stray, aside):
        file.touch()
    (tmp_path / "README").touch()
    before = sorted(tmp_path.rglob("*"))
    report = store.check()
    assert (report.configurations, report.blocks, report.verified) == (1, 2, 1)
    assert report.bytes == good.stat().st_size + bad.stat().st_size
    assert [path for path, _ in report.damaged] == [bad] and "cut short" in report.damaged[0][1]
    assert report.set_aside == (aside,) and report.temporaries == (stray,)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_path_below_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    for use in (lambda s: s.prepare(CONFIGURATION), lambda s: save(s, 0, 2)):
        with pytest.raises(StoreError, match="a file is where a directory should be"):
            use(Store(tmp_path / "file"))
