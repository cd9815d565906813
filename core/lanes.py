"""Small linear algebra for many seeds at once.

XLA on a CPU vectorises along the last axis. Under `vmap` that is an axis of arms or of features, a
handful of numbers; here it is the axis of the seeds. A function for `over_lanes` takes and returns
arrays [..., B], one lane a seed, and is called with arrays [...] of one seed, vmapped at will.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

_UNROLL = 4  # loops of up to so many steps are written out
_BLOCK = 256  # lanes at a time on a CPU: they stay in its cache, and fewer wait for the last one


def over_lanes(function: Callable[..., Any], block: int = _BLOCK) -> Callable[..., Any]:
    """A function of one seed from a function of lanes.

    All arguments are arrays, with the lanes on the last axis; so are the results, in any pytree.
    A lane's result must not depend on the other lanes: loops that end when the last lane is done
    leave the finished ones alone. On a CPU they come in blocks of `block`.
    """

    @custom_vmap
    def call(*arguments):
        return _in_blocks(function, block, arguments)

    @call.def_vmap
    def rule(size, batched, *arguments):
        def merge(x, is_batched):
            x = x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
            x = jnp.moveaxis(x, 0, -2)
            return x.reshape(*x.shape[:-2], -1)

        def split(y):
            return jnp.moveaxis(y.reshape(*y.shape[:-1], size, -1), -2, 0)

        result = call(*map(merge, arguments, batched))
        return jax.tree.map(split, result), jax.tree.map(lambda _: True, result)

    def one(*arguments):
        result = call(*(jnp.asarray(x)[..., None] for x in arguments))
        return jax.tree.map(lambda y: y[..., 0], result)

    return one


def _in_blocks(function, block, arguments):
    lanes = arguments[0].shape[-1]
    if lanes <= block or jax.default_backend() != "cpu":
        return function(*arguments)

    def cut(x):
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -lanes % block)], mode="edge")
        return jnp.moveaxis(x.reshape(*x.shape[:-1], -1, block), -2, 0)

    def join(y):
        y = jnp.moveaxis(y, 0, -2)
        return y.reshape(*y.shape[:-2], -1)[..., :lanes]

    blocks = tuple(map(cut, arguments))
    return jax.tree.map(join, jax.lax.map(lambda block: function(*block), blocks))


def loop(count: int, body: Callable[[Any, Any], Any], start: Any) -> Any:
    """`fori_loop` from 0, written out when there are few steps."""
    return jax.lax.fori_loop(0, count, body, start, unroll=count <= _UNROLL)


def rows(count: int, row: Callable[[Any], jax.Array]) -> jax.Array:
    """[count, ...], made of row(0), row(1), ...: written out when there are few."""
    if count <= _UNROLL:
        return jnp.stack([row(j) for j in range(count)])
    return jax.lax.map(row, jnp.arange(count, dtype=jnp.int32))


def while_any(going: Callable[[Any], jax.Array], body: Callable[[Any], Any], start: Any) -> Any:
    """A loop that ends lane by lane: `going` of the state says [B] bool which lanes go on."""

    def step(carry):
        state, on = carry
        new = body(state)
        state = jax.tree.map(lambda a, b: jnp.where(on, b, a), state, new)
        return state, on & going(state)

    return jax.lax.while_loop(lambda carry: jnp.any(carry[1]), step, (start, going(start)))[0]


def dot(x: jax.Array, y: jax.Array) -> jax.Array:
    """The sum of x[j] * y[j]. Over a few features it is written out and fuses into what comes next,
    over more it is a loop, computed once; a `jnp.sum` over the features is ten times slower on a
    CPU where the result is an array of arms. (Over the arms `jnp.sum` is the right thing.)"""
    start = x[0] * y[0]
    return loop(len(x) - 1, lambda j, total: total + x[j + 1] * y[j + 1], start)


def first_max(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The largest entry along the first axis of [N, ..., B] and its index, int32, the lowest of
    equal ones; entries are not NaN."""
    top = jnp.max(x, axis=0)
    index = jax.lax.broadcasted_iota(jnp.int32, x.shape, 0)
    return top, jnp.min(jnp.where(x == top, index, x.shape[0]), axis=0)


def one_hot(index: jax.Array, size: int) -> jax.Array:
    """[size, ..., B] bool, true where the first axis is `index` [..., B]."""
    return jax.lax.broadcasted_iota(jnp.int32, (size, *index.shape), 0) == index


def pick(x: jax.Array, hot: jax.Array, axis: int = 0) -> jax.Array:
    """The entries of `x` that a `one_hot` mask points to along an axis; 0 where it is empty."""
    return jnp.sum(jnp.where(hot, x, jnp.zeros((), x.dtype)), axis=axis)


def inverse(matrix: jax.Array) -> jax.Array:
    """Of positive definite matrices [d, d, B], by Gauss-Jordan elimination."""
    d = len(matrix)

    def eliminate(j, carry):
        matrix, result = carry
        pivot = 1 / matrix[j, j]
        row, right = matrix[j] * pivot, result[j] * pivot
        column = matrix[:, j].at[j].set(0)
        matrix = (matrix - column[:, None] * row).at[j].set(row)
        result = (result - column[:, None] * right).at[j].set(right)
        return matrix, result

    identity = jnp.broadcast_to(jnp.eye(d, dtype=matrix.dtype)[:, :, None], matrix.shape)
    return loop(d, eliminate, (matrix, identity))[1]


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose lanes a CPU runs one after the other when it is vmapped.

    For long loops of small matrix products, which XLA batches badly: a step of gradient descent of
    a small network takes twice as long in company as alone, and a loop that ends early for one lane
    ends early.
    """

    @custom_vmap
    def call(*arguments):
        return function(*arguments)

    @call.def_vmap
    def rule(size, batched, *arguments):
        def full(x, is_batched):
            return x if is_batched else jnp.broadcast_to(x, (size, *x.shape))

        arguments = jax.tree.map(full, arguments, tuple(batched))
        if jax.default_backend() == "cpu":
            result = jax.lax.map(lambda lane: call(*lane), arguments)
        else:
            result = jax.vmap(function)(*arguments)
        return result, jax.tree.map(lambda _: True, result)

    return call
