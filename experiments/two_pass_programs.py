"""The algorithms of "The Two-Pass Softmax Algorithm", in XLA, and the memory that each moves.

A vector of n entries. With recomputation, three passes read x for its maximum, read it for the sum
of exponentials, and read it and write the shares: 4n entries are moved. With reloading, the second
pass also writes the exponentials and the third reads those: 5n. Two passes keep a sum that cannot
overflow, and read x once less: 3n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..core.kernels import softmax_xla
from ..core.kernels.monoids import (
    ExtSum,
    MaxSum,
    absorb,
    ext_exp,
    ext_ratio,
    fold_ext_sum,
    no_ext_sum,
    no_max_sum,
    power_of_two,
)
from ..core.kernels.rows import Scale

RECOMPUTE, RELOAD = "three passes, recompute", "three passes, reload"
MAX_SUM, EXT_SUM = "two passes, (max, sum)", "two passes, (mantissa, exponent)"
XLA = "jax.nn.softmax"
NAMES = (RECOMPUTE, RELOAD, MAX_SUM, EXT_SUM, XLA)
ITEM = 4  # bytes of an entry: everything is float32
LANES, DEPTH = softmax_xla.LANES, softmax_xla.DEPTH


def recompute(x: jax.Array) -> jax.Array:
    top = jnp.max(x)
    total = _sum_of(x, top)
    # The barrier keeps XLA from storing the exponentials, which would be the other algorithm.
    return _shares(x, lax.optimization_barrier(top), total)


def reload(x: jax.Array) -> jax.Array:
    weights = lax.optimization_barrier(jnp.exp(x - jnp.max(x)))
    return weights * (1 / jnp.sum(weights))


def two_pass_max_sum(x: jax.Array) -> jax.Array:
    pairs = softmax_xla.sums_in_lanes(x[None], None, Scale())
    return softmax_xla.quotients(x, None, Scale(), MaxSum(pairs.top[0], pairs.total[0]))


def two_pass_ext_sum(x: jax.Array) -> jax.Array:
    """The paper's pair, in the same loop over lanes."""
    depth, lanes = _cut(x.shape[0])
    block = depth * lanes

    def step(i, pairs):
        tiles = [lax.dynamic_slice(x, (i * block + k * lanes,), (lanes,)) for k in range(depth)]
        return _absorb_ext(pairs, tiles)

    pairs = lax.fori_loop(0, x.shape[0] // block, step, no_ext_sum((lanes,)))
    return _ext_shares(x, fold_ext_sum(pairs))


PROGRAMS: dict[str, Callable[[jax.Array], jax.Array]] = {
    RECOMPUTE: recompute,
    RELOAD: reload,
    MAX_SUM: two_pass_max_sum,
    EXT_SUM: two_pass_ext_sum,
    XLA: lambda x: jax.nn.softmax(x),
}


def _sum_of(x, top):
    return jnp.sum(jnp.exp(x - top))


def _shares(x, top, total):
    return jnp.exp(x - top) * (1 / total)


def _absorb_ext(pairs: ExtSum, tiles: list[jax.Array]) -> ExtSum:
    """One largest exponent for all tiles, as the paper's loop takes one for what it unrolls."""
    parts = [pairs, *(ext_exp(tile) for tile in tiles)]
    exponent = parts[0].exponent
    for part in parts[1:]:
        exponent = jnp.maximum(exponent, part.exponent)
    mantissa = sum(part.mantissa * power_of_two(part.exponent - exponent) for part in parts)
    return ExtSum(mantissa, exponent)  # pyright: ignore[reportArgumentType]


def _ext_shares(x, total):
    return ext_ratio(ext_exp(x), total)


def _cut(n: int) -> tuple[int, int]:
    """(depth, lanes) of a step over a vector whose length is a power of two."""
    depth = min(DEPTH, n)
    return depth, min(LANES, n // depth)


# ---- traffic -------------------------------------------------------------------------------


def traffic(n: int) -> dict[str, float]:
    """Entries moved by each program for a vector of n, as multiples of n.

    Each pass is compiled by itself. A pass over the whole vector moves what XLA's cost analysis
    says its kernels access. A pass in blocks moves a block once, as its other accesses find the
    block in the cache: that is the size of its argument.
    """
    x, one = _struct(n), _struct()
    maximum = accessed(jnp.max, x)
    found = {
        RECOMPUTE: maximum + accessed(_sum_of, x, one) + accessed(_shares, x, one, one),
        RELOAD: maximum
        + accessed(lambda x, top: jnp.exp(x - top), x, one)
        + accessed(jnp.sum, x)
        + accessed(lambda e, total: e * (1 / total), x, one),
        MAX_SUM: in_blocks(n, absorb, no_max_sum) + accessed(_shares, x, one, one),
        EXT_SUM: in_blocks(n, _absorb_ext, no_ext_sum)
        + accessed(lambda x, v, e: _ext_shares(x, ExtSum(v, e)), x, one, one),
        XLA: accessed(PROGRAMS[XLA], x),
    }
    return {name: found[name] / (ITEM * n) for name in NAMES}


def accessed(function: Callable, *shapes: Any) -> float:
    """Bytes that the kernels of a program read and write, by XLA's cost analysis."""
    costs = jax.jit(function).lower(*shapes).compile().cost_analysis()
    return float(costs["bytes accessed"])  # pyright: ignore[reportOptionalSubscript]


def in_blocks(n: int, absorb_tiles: Callable, nothing: Callable) -> float:
    """Bytes that a loop over blocks reads from memory: the pairs stay in the cache."""
    depth, lanes = _cut(n)
    pairs = jax.eval_shape(lambda: nothing((lanes,)))
    tiles = [_struct(lanes)] * depth
    step: Any = jax.jit(absorb_tiles).lower(pairs, tiles).compile().memory_analysis()
    kept = step.output_size_in_bytes  # the pairs, which also stand among the arguments
    return (step.argument_size_in_bytes - kept) * (n // (depth * lanes))


def _struct(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)
