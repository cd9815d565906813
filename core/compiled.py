"""`jax.jit` that tells classes apart.

JAX 0.10 finds a compiled program by the structures of its arguments, and structures of dataclasses
are equal to it whatever their classes are: it may run the program of UCB1 for another learner with
the same fields. (Their hashes differ, so this happens once in a while only.) Here the classes are a
static argument of the program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def jit(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jax.jit(function, **options)` for positional arguments that hold dataclasses, such as
    learners; static arguments are keywords, named in `static_argnames`."""
    names = options.pop("static_argnames", ())
    names = (names,) if isinstance(names, str) else tuple(names)

    def program(*arguments, classes_, **static):
        return function(*arguments, **static)

    program.__name__ = getattr(function, "__name__", "program")  # for profiles
    compiled = jax.jit(program, static_argnames=(*names, "classes_"), **options)

    @functools.wraps(function)
    def call(*arguments, **static):
        return compiled(*arguments, classes_=classes(arguments), **static)

    call._cache_size = compiled._cache_size  # pyright: ignore[reportAttributeAccessIssue]
    return call


def canonical(tree: Any) -> Any:
    """The tree with NumPy arrays in the dtypes that JAX has for them, float64 as float32.

    JAX 0.10 remembers what a float64 array became when it met it inside `jax.enable_x64`, and
    `device_put` may return that outside, under the name of float32: programs then fail, or crash. A
    new array it has not met.
    """

    def of_leaf(leaf):
        if not isinstance(leaf, np.ndarray):
            return leaf
        return leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)

    return jax.tree.map(of_leaf, tree)


def classes(tree: Any) -> Any:
    """The classes of a pytree's nodes, nested as they are; hashable."""
    return _classes(jax.tree.structure(tree))


def _classes(structure: Any) -> Any:
    node = structure.node_data()
    return node and (node[0], *map(_classes, structure.children()))
