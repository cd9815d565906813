"""What the softmax family shares: its arguments, rows of an array, and vmap as more rows."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from ..protocol import concrete


class Scale(NamedTuple):
    """The factor c of c x, apart: x turns by `sign` before anything is subtracted from it, and
    differences are multiplied by `size` > 0. None is 1."""

    sign: Any = None
    size: Any = None


class Arguments(NamedTuple):
    """Checked arguments."""

    x: jax.Array  # [...] floating
    axis: int  # from 0
    where: jax.Array | None  # bool, broadcasts to x
    scale: Any  # None, or an array of the dtype of sums with one number, or one a row


def arguments(name: str, x: Any, axis: Any = -1, where: Any = None, scale: Any = None) -> Arguments:
    """The arguments of a function of this family, as its body wants them.

    Raises:
      ValueError: x is complex or has no axis; an axis that there is not; a mask or a scale whose
        dtype or shape does not fit.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        if jnp.issubdtype(x.dtype, jnp.complexfloating) or x.dtype == bool:
            raise ValueError(f"{name} takes real numbers, got an array of {x.dtype}")
        x = x.astype(jnp.result_type(float))
    if not x.ndim:
        raise ValueError(f"{name} takes an array with an axis, got the single number {x}")
    if not isinstance(axis, numbers.Integral) or isinstance(axis, bool):
        raise ValueError(
            f"{name}: axis is one whole number, got {_short(axis)}; a mask is passed as where=mask"
        )
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{name}: x has {x.ndim} axes, there is no axis {axis}")
    axis = int(axis) % x.ndim
    return Arguments(x, axis, _mask(name, where, x), _factor(name, scale, x, axis))


def _mask(name: str, where: Any, x: jax.Array) -> jax.Array | None:
    if where is None:
        return None
    mask = jnp.asarray(where)
    if mask.dtype != bool or not _fits(mask.shape, x.shape):
        raise ValueError(
            f"{name}: where is a mask of bool that broadcasts to the shape {list(x.shape)} of x, "
            f"got {mask.dtype} of shape {list(mask.shape)}"
        )
    return mask


def _factor(name: str, scale: Any, x: jax.Array, axis: int) -> Any:
    if scale is None:
        return None
    factor = jnp.asarray(scale)
    rows = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    if not jnp.issubdtype(factor.dtype, jnp.number) or jnp.iscomplexobj(factor):
        raise ValueError(f"{name}: scale is a real number, or one a row, got {factor.dtype}")
    if not _fits(factor.shape, rows):
        raise ValueError(
            f"{name}: scale is one number, or one a row of shape {list(rows)}, got the shape "
            f"{list(factor.shape)}"
        )
    return factor.astype(sums_dtype(x.dtype))


def _fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:40]}..."


def sums_dtype(dtype: Any) -> Any:
    """What sums over entries are kept in: at least float32."""
    return jnp.promote_types(dtype, jnp.float32)


def is_positive(scale: Any) -> bool:
    """Whether a factor is known to be positive before anything runs."""
    if scale is None:
        return True
    value = concrete(scale)
    return value is not None and value.dtype.kind in "fiu" and bool(np.all(value > 0))


def split(scale: jax.Array | None, positive: bool) -> Scale:
    """A factor as sign and size. Of a size 0 the least normal number is left: entries of -inf stay
    apart from all others, which are as good as equal."""
    if scale is None:
        return Scale()
    least = jnp.finfo(scale.dtype).tiny
    sign = None if positive else jnp.where(scale < 0, -1, 1).astype(scale.dtype)
    return Scale(sign, jnp.maximum(jnp.abs(scale), least))


def turned(x: jax.Array, where: jax.Array | None, scale: Scale) -> jax.Array:
    """x turned by the sign, and -inf where the mask does not hold; exact in any dtype."""
    if scale.sign is not None:
        x = scale.sign.astype(x.dtype) * x
    return x if where is None else jnp.where(where, x, jnp.asarray(-jnp.inf, x.dtype))


# ---- rows ----------------------------------------------------------------------------------


def over_rows(function: Callable, x: jax.Array, where: Any, scale: Scale) -> Any:
    """function(x [R, n], where [R, n] or None, a Scale of [R, 1] or None), for x [..., n].

    What it returns starts with the axis R, which becomes the leading axes of x again. Under vmap
    it is called once, with more rows, and not with an array of three axes.
    """
    lead, n = x.shape[:-1], x.shape[-1]
    rows = math.prod(lead)
    if where is not None:
        where = jnp.broadcast_to(where, x.shape).reshape(rows, n)
    scale = jax.tree.map(lambda a: jnp.broadcast_to(a, (*lead, 1)).reshape(rows, 1), scale)
    found = _batched_as_rows(function)(x.reshape(rows, n), where, scale)
    return jax.tree.map(lambda a: a.reshape(*lead, *a.shape[1:]), found)


@functools.cache
def _batched_as_rows(function: Callable) -> Callable:
    """A function of arrays that all start with an axis of rows, and vmap of it as more rows."""
    call = custom_vmap(lambda *arrays: function(*arrays))

    def rule(size, batched, *arrays):
        def merged(array, has):
            array = array if has else jnp.broadcast_to(array, (size, *array.shape))
            return array.reshape(size * array.shape[1], *array.shape[2:])

        found = call(*jax.tree.map(merged, arrays, tuple(batched)))
        found = jax.tree.map(lambda a: a.reshape(size, a.shape[0] // size, *a.shape[1:]), found)
        return found, jax.tree.map(lambda a: True, found)

    call.def_vmap(rule)
    return call
