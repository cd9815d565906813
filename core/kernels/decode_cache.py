"""A key-value cache as the decode kernels see it: pages, whatever the layout.

A cache that is not paged is one with a page a sequence, so there is one case only. The arrays are
the caller's: nothing here moves a key or a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..names import did_you_mean
from ..protocol import concrete

# Axes of keys and values in each layout: (heads, positions, features), after the page.
LAYOUTS = {"BSHD": (2, 1, 3), "BHSD": (1, 2, 3), "BHDS": (1, 3, 2)}


class Spec(NamedTuple):
    """What is fixed when a kernel is compiled."""

    layout: str
    scale: float
    soft_cap: float | None
    paged: bool  # else page b is sequence b


class Work(NamedTuple):
    """One decode step: N queries, P pages of keys and values, G query heads a key head."""

    q: jax.Array  # [N, H, G, D]
    k: jax.Array  # [P, ...] in the layout
    v: jax.Array
    starts: jax.Array  # [N] int32: the positions [start, stop) of a sequence count
    stops: jax.Array  # [N] int32
    pages: jax.Array  # [N, L] int32: page l of sequence n holds its positions from l * page_size


class Sizes(NamedTuple):
    heads: int
    page: int  # positions a page
    features: int


def sizes(layout: str, k: Any) -> Sizes:
    return Sizes(*(k.shape[axis] for axis in LAYOUTS[layout]))


def check_layout(name: str, layout: str, layouts: Iterable[str] = tuple(LAYOUTS)) -> None:
    if layout not in layouts:
        raise ValueError(
            f"{name}: no layout {layout!r} (B batch or pages, S positions, H heads, D features); "
            + did_you_mean(layout, layouts)
        )


def check_parameters(name: str, scale: Any, soft_cap: Any, window: Any) -> None:
    if scale is not None and not math.isfinite(scale):
        raise ValueError(f"{name}: scale is a finite number, got {scale}")
    if soft_cap is not None and not 0 < soft_cap < math.inf:
        raise ValueError(f"{name}: soft_cap is positive and finite, got {soft_cap}")
    if window is not None and (window != int(window) or window < 1):
        raise ValueError(f"{name}: window counts positions, at least 1, got {window}")


def each_sequence(name: str, what: str, x: Any, batch: int) -> jax.Array:
    """Whole numbers from 0, one a sequence [B]."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.integer) or x.shape not in ((), (1,), (batch,)):
        raise ValueError(
            f"{name}: {what} is a whole number, or one for each of {batch} sequences, got "
            f"{x.dtype} {list(x.shape)}"
        )
    value = concrete(x)
    if value is not None and value.size and value.min() < 0:
        raise ValueError(f"{name}: {what} are not negative, got {value.min()}")
    return jnp.broadcast_to(x.astype(jnp.int32), (batch,))


class Tile(NamedTuple):
    listed: jax.Array  # its page, in the table of the sequence
    read: jax.Array  # the first position of the page that is read
    low: jax.Array  # of the positions read, [low, high) count
    high: jax.Array


def tile_range(starts: Any, stops: Any, page: int, tile: int) -> tuple[jax.Array, jax.Array]:
    """The first tile that holds a position of [start, stop), and how many do, none included.

    The tiles of a sequence are numbered through its pages, ceil(page / tile) of them in each.
    """
    parts = -(-page // tile)

    def tile_of(position):
        return position // page * parts + position % page // tile

    first = tile_of(starts)
    return first, jnp.where(stops > starts, tile_of(jnp.maximum(stops, 1) - 1) - first + 1, 0)


def place(number: Any, page: int, tile: int, start: Any, stop: Any) -> Tile:
    """Where a tile is. The last one of a page is read from further ahead where it would stick out;
    the positions that it shares with the tile before do not count."""
    parts = jnp.int32(-(-page // tile))
    number = jnp.asarray(number, jnp.int32)
    listed = lax.div(number, parts)
    within = lax.rem(number, parts) * tile
    read = jnp.minimum(within, page - tile)
    low = jnp.maximum(start - listed * page, within) - read
    return Tile(listed, read, low, stop - listed * page - read)


def logits(z: jax.Array, soft_cap: float | None) -> jax.Array:
    """Scaled products, kept within the soft cap: cap tanh(z / cap)."""
    return z if soft_cap is None else soft_cap * jnp.tanh(z / soft_cap)


def accumulator(*arrays: jax.Array) -> Any:
    """What sums are kept in: float32, or float64 where an array is."""
    return jnp.promote_types(jnp.result_type(*arrays), jnp.float32)
