"""Stream-K: equal shares of ragged work, and what other schedules take.

An output is the attention of one query over one context; the context is cut into tiles. All tiles
of all outputs stand in one line, output after output, and each worker takes a contiguous part of
it, longer than another's by one tile at most. So nobody waits, however ragged the batch is; and of
the outputs that a worker meets, only its first and its last can be incomplete. Two slots a worker
are enough for what has to be merged, and the merge needs no atomics and has a fixed order.

Sanovar et al., "Lean Attention: hardware-aware scalable attention mechanism for the decode-phase of
transformers", 2024 (arXiv 2405.10480); Osama et al., "Stream-K", PPoPP 2023 (arXiv 2301.03598).
Everything here is a pure function of static shapes. `makespan`s count tiles, the unit of time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Schedule(NamedTuple):
    """Who does what, for N outputs and W workers."""

    offsets: jax.Array  # [N + 1] int32: where the tiles of each output start in the line
    bounds: jax.Array  # [W + 1] int32: worker w takes the tiles [bounds[w], bounds[w + 1])
    first: jax.Array  # [W] int32: the output of its first tile (of no meaning without a tile)
    last: jax.Array  # [W] int32: the output of its last tile
    owners: jax.Array  # [W, 2] int32: whose incomplete sum its slots hold; N where they hold none
    whole: jax.Array  # [N] bool: one worker does all of it and needs no slot


def tile_counts(starts: jax.Array, stops: jax.Array, tile: int) -> jax.Array:
    """Tiles that hold the positions [start, stop) when tiles start at multiples of `tile`."""
    return jnp.where(stops > starts, -(-stops // tile) - starts // tile, 0)


def worker_bounds(total: jax.Array, workers: int) -> jax.Array:
    """Where each worker's part of `total` tiles starts, and the end: [workers + 1].

    With hi = ceil(total / workers), the first total - (hi - 1) workers of them take hi tiles and
    the others hi - 1, as in the published kernels; no special case without tiles.
    """
    total = jnp.asarray(total)
    hi = -(-total // workers)
    index = jnp.arange(workers + 1, dtype=total.dtype)
    return (hi - 1) * index + jnp.minimum(index, total - (hi - 1) * workers)


def schedule(tiles: jax.Array, workers: int) -> Schedule:
    """Equal contiguous parts of the line of tiles: tiles [N] of each output, 0 allowed."""
    outputs = tiles.shape[0]
    offsets = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(tiles, dtype=jnp.int32)])
    bounds = worker_bounds(offsets[-1], workers)
    begin, end = bounds[:-1], bounds[1:]
    busy = end > begin
    first, last = (output_of(offsets, tile) for tile in (begin, end - 1))
    # The first output is incomplete where it started before this part or goes on after it; the
    # last one, if another, started within and can only go on after it.
    goes_on = offsets[last + 1] > end
    first_open = busy & ((offsets[first] < begin) | (offsets[first + 1] > end))
    last_open = busy & (last != first) & goes_on
    owners = jnp.where(
        jnp.stack([first_open, last_open], axis=1), jnp.stack([first, last], axis=1), outputs
    )
    # No bound of a part strictly inside the output.
    inside = jnp.searchsorted(bounds, offsets[:-1], side="right")
    before_end = jnp.searchsorted(bounds, offsets[1:], side="left")
    return Schedule(offsets, bounds, first, last, owners, (tiles > 0) & (inside == before_end))


def output_of(offsets: jax.Array, tile: jax.Array) -> jax.Array:
    """The output that a tile of the line belongs to; outputs without tiles are passed over."""
    found = jnp.searchsorted(offsets, tile, side="right") - 1
    return jnp.clip(found, 0, offsets.shape[0] - 2).astype(jnp.int32)


# ---- makespans -----------------------------------------------------------------------------


def stream_k_makespan(tiles: jax.Array, workers: int) -> jax.Array:
    """Tiles of the busiest worker under stream-K: the mean, rounded up. Nothing takes less."""
    return -(-jnp.sum(tiles) // workers)


def greedy_makespan(jobs: jax.Array, workers: int) -> jax.Array:
    """When the last job ends, if each in turn goes to the worker that is free first.

    jobs [J] in the order in which they are given out: thread blocks of a launch. A job of 0 takes
    no time.
    """
    jobs = jnp.asarray(jobs)

    def give(free_at, job):
        return free_at.at[jnp.argmin(free_at)].add(job), None

    free_at, _ = lax.scan(give, jnp.zeros(workers, jobs.dtype), jobs)
    return jnp.max(free_at)


def per_head_makespan(tiles: jax.Array, workers: int) -> jax.Array:
    """One job an output, as FlashAttention-2 does it: tiles [N]."""
    return greedy_makespan(tiles, workers)


def fixed_split_jobs(tiles: jax.Array, splits: Any, jobs: int) -> jax.Array:
    """Every output cut into `splits` parts of ceil(tiles / splits), the last shorter or empty.

    The parts of an output follow one another: [jobs], with zeros where there are fewer. `splits`
    may be traced; `jobs` must be enough for all parts.
    """
    index = jnp.arange(jobs)
    output, part = index // splits, index % splits
    mine = jnp.where(output < tiles.shape[0], tiles[jnp.minimum(output, tiles.shape[0] - 1)], 0)
    size = -(-mine // splits)
    return jnp.clip(mine - part * size, 0, size)


def fixed_split_makespan(tiles: jax.Array, workers: int, splits: int) -> jax.Array:
    """The same number of parts for every output, as FlashDecoding does it: tiles [N]."""
    return greedy_makespan(fixed_split_jobs(tiles, splits, tiles.shape[0] * splits), workers)


def equal_splits(outputs: int, workers: int) -> int:
    """As many parts an output as there are workers for it: what fits into one wave."""
    return max(1, workers // outputs)


def wave_splits(outputs: Any, workers: int, tiles: Any, most: int = 128) -> jax.Array:
    """Parts an output by FlashDecoding's rule (from memory), for the longest context's `tiles`.

    One where the outputs alone fill 80 % of the workers. Else, of the numbers of parts up to
    min(most, workers, tiles) that make parts shorter than one part fewer does, the first whose
    waves are filled to 85 % of the best filling.
    """
    parts = jnp.arange(1, most + 1)
    waves = outputs * parts / workers
    filled = waves / jnp.ceil(waves)  # the share of the workers' time that is used
    shorter = (parts == 1) | (-(-tiles // parts) < -(-tiles // jnp.maximum(parts - 1, 1)))
    allowed = shorter & (parts <= jnp.minimum(workers, jnp.maximum(tiles, 1)))
    best = jnp.max(filled, where=allowed, initial=0)
    chosen = jnp.argmax(allowed & (filled >= 0.85 * best)) + 1
    return jnp.where(outputs >= 0.8 * workers, 1, chosen).astype(jnp.int32)
