"""Schedules: equal shares, who holds which incomplete sum, and makespans, against plain Python."""

import heapq
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core.kernels import stream_k

OUTPUTS = 6
WORKERS = (1, 3, 7, 20)
ragged = st.lists(st.integers(0, 30), min_size=OUTPUTS, max_size=OUTPUTS)
compiled = {w: jax.jit(lambda tiles, w=w: stream_k.schedule(tiles, w)) for w in WORKERS}
greedy = {w: jax.jit(lambda jobs, w=w: stream_k.greedy_makespan(jobs, w)) for w in WORKERS}

LENGTHS = [1000, 37, 512, 4096]  # of the specification's simulation: 3 heads, tiles of 64


def spec_tiles():
    tiles = stream_k.tile_counts(jnp.zeros(4, jnp.int32), jnp.array(LENGTHS), 64)
    return jnp.repeat(tiles, 3)


@given(ragged, st.sampled_from(WORKERS))
@settings(max_examples=60, deadline=None)
def test_everybody_takes_the_same_and_nothing_is_left_out(tiles, workers):
    plan = compiled[workers](np.array(tiles, np.int32))
    shares = np.diff(plan.bounds)
    assert plan.bounds[0] == 0 and plan.bounds[-1] == sum(tiles)
    assert shares.min() >= 0 and shares.max() - shares.min() <= 1
    assert np.all(np.diff(shares) <= 0)  # the longer ones come first
    assert shares.max() == -(-sum(tiles) // workers)


@given(ragged, st.sampled_from(WORKERS))
@settings(max_examples=60, deadline=None)
def test_slots_hold_what_is_incomplete_and_nothing_else(tiles, workers):
    """Output by output and worker by worker, from the definition."""
    plan = jax.tree.map(np.asarray, compiled[workers](np.array(tiles, np.int32)))
    line = [output for output, count in enumerate(tiles) for _ in range(count)]
    for worker in range(workers):
        part = line[plan.bounds[worker] : plan.bounds[worker + 1]]
        held = [output for output in dict.fromkeys(part) if part.count(output) < tiles[output]]
        assert len(held) <= 2
        named = [output for output in plan.owners[worker] if output != OUTPUTS]
        assert named == held
        if part:
            assert (plan.first[worker], plan.last[worker]) == (part[0], part[-1])
            for output in held:  # in the slot of a first output, or in that of a last one
                assert plan.owners[worker, int(output != part[0])] == output
        for output in set(part) - set(held):
            assert plan.whole[output]
    shared = [output in plan.owners for output in range(OUTPUTS)]
    some = np.array(tiles) > 0
    np.testing.assert_array_equal(plan.whole, some & ~np.array(shared))


def test_the_simulation_of_the_specification():
    """Twelve outputs of 16, 1, 8 and 64 tiles, thrice each."""
    tiles = spec_tiles()
    np.testing.assert_array_equal(tiles, np.repeat([16, 1, 8, 64], 3))
    for workers, shares in ((132, {2, 3}), (7, {38, 39})):
        assert set(np.diff(stream_k.schedule(tiles, workers).bounds).tolist()) == shares
        assert stream_k.stream_k_makespan(tiles, workers) == max(shares)
    splits = stream_k.equal_splits(12, 132)
    assert splits == 11 and stream_k.fixed_split_makespan(tiles, 132, splits) == 6
    assert stream_k.equal_splits(12, 7) == 1
    longest_first = jnp.sort(tiles, descending=True)
    assert stream_k.per_head_makespan(longest_first, 7) == 64
    assert stream_k.per_head_makespan(tiles, 7) == 73  # as they stand, the longest come last


@given(ragged, st.sampled_from(WORKERS))
@settings(max_examples=40, deadline=None)
def test_greedy_makespan_is_that_of_a_queue(jobs, workers):
    free_at = [0] * workers
    for job in jobs:
        heapq.heappush(free_at, heapq.heappop(free_at) + job)
    assert greedy[workers](np.array(jobs, np.int32)) == max(free_at)


@given(ragged, st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_a_fixed_number_of_parts(tiles, splits):
    jobs = np.asarray(stream_k.fixed_split_jobs(jnp.array(tiles), splits, 60)).tolist()
    parts = [jobs[i * splits : (i + 1) * splits] for i in range(OUTPUTS)]
    assert [sum(part) for part in parts] == tiles
    for part, count in zip(parts, tiles, strict=True):
        size = -(-count // splits)
        whole = [size] * (count // max(size, 1))
        rest = [count - sum(whole)] if sum(whole) < count else []
        assert part == whole + rest + [0] * (splits - len(whole) - len(rest))
    assert not any(jobs[OUTPUTS * splits :])


@given(ragged, st.sampled_from(WORKERS))
@settings(max_examples=40, deadline=None)
def test_nothing_takes_less_than_stream_k(tiles, workers):
    tiles = np.array(tiles, np.int32)
    least = stream_k.stream_k_makespan(tiles, workers)
    assert least == math.ceil(tiles.sum() / workers)
    assert least <= greedy[workers](tiles)


def test_tiles_start_at_multiples():
    """A window that starts within a tile needs that tile."""
    starts, stops = jnp.array([0, 63, 64, 5, 9, 130]), jnp.array([64, 65, 64, 5, 3, 192])
    np.testing.assert_array_equal(stream_k.tile_counts(starts, stops, 64), [1, 2, 0, 0, 0, 1])


def rule(outputs, workers, tiles, most=128):
    """FlashDecoding's number of parts, as a loop."""
    if outputs >= 0.8 * workers:
        return 1
    filled = {}
    for parts in range(1, min(most, workers, tiles) + 1):
        if parts == 1 or -(-tiles // parts) < -(-tiles // (parts - 1)):
            waves = outputs * parts / workers
            filled[parts] = waves / math.ceil(waves)
    return next(p for p in filled if filled[p] >= 0.85 * max(filled.values()))


def test_the_number_of_parts_of_flash_decoding():
    found = jax.jit(lambda n, tiles: stream_k.wave_splits(n, 108, tiles))
    for outputs in (1, 2, 5, 8, 12, 31, 54, 60, 86, 87, 108, 200):
        for tiles in (1, 2, 7, 64, 1000):
            assert found(outputs, tiles) == rule(outputs, 108, tiles), (outputs, tiles)


@pytest.mark.parametrize("workers", WORKERS)
def test_without_any_tile(workers):
    plan = stream_k.schedule(jnp.zeros(OUTPUTS, jnp.int32), workers)
    assert not np.any(plan.bounds) and not np.any(plan.whole)
    assert np.all(plan.owners == OUTPUTS)
