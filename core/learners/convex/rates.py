"""What convex learners share: a rate that fits the curvature, and what a problem is known by.

A learner's `rate` says which theorem its steps are from. It is a static choice and never filled in
from an environment, so that knowing a constant of the problem does not change the algorithm. The
constants themselves are blank fields: `gradient_bound` G (|gradients| <= G), `smoothness` L,
`strong_convexity` lambda, `horizon` T, and the `domain`, of diameter D.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..parameters import filled, nonnegative, require

_MAY_BE_ZERO = frozenset({"smoothness"})


def check_rate(learner: Any, rates: Mapping[str, tuple[str, ...]]) -> None:
    """Check a learner's choice of rate, and the parameters that this rate uses.

    Args:
      rates: for each rate the names of the fields it is made of.

    Raises:
      ValueError: a rate that the learner does not have, or a parameter that is not a positive
        number; smoothness may be 0, a horizon is 1 or more.
    """
    if learner.rate not in rates:
        known = " or ".join(f'"{name}"' for name in rates)
        raise ValueError(f"{type(learner).__name__}: rate is {known}, got {learner.rate!r}")
    check_constants(learner, rates[learner.rate])


def check_constants(learner: Any, names: tuple[str, ...]) -> None:
    """Check parameters by name, where they have values.

    Raises:
      ValueError: see `check_rate`.
    """
    for name in names:
        if name in _MAY_BE_ZERO:
            require(learner, name, nonnegative, "zero or more")
        elif name == "horizon":
            require(learner, name, lambda x: x >= 1, "one or more")
        else:
            require(learner, name, lambda x: x > 0, "positive")


def domain_of(learner: Any) -> Any:
    """The set that a learner plays from.

    Raises:
      ValueError: it is still blank, or no domain.
    """
    domain = filled(learner, "domain")
    if not hasattr(domain, "project") or isinstance(domain, type):
        raise ValueError(
            f"{type(learner).__name__}: domain is a set to play from, such as Ball(5, radius=1.0), "
            f"got {domain!r}"
        )
    return domain


def fill(learner: Any, env: Any, horizon: int) -> dict[str, Any]:
    """What `protocol.complete` would fill a learner's blanks with: for one that has more to do."""
    known = {"horizon": np.float32(horizon)}
    names = [field.name for field in dataclasses.fields(learner)]
    blanks = {name: known.get(name, getattr(env, name, None)) for name in names}
    return {name: x for name, x in blanks.items() if getattr(learner, name) is None}


def horizon_of(learner: Any) -> jax.Array:
    """The horizon, float32."""
    return jnp.asarray(filled(learner, "horizon"), jnp.float32)


def floats(count: jax.Array) -> jax.Array:
    """A count of rounds as float32: exact up to 2^24, to within 2^-24 of itself beyond."""
    return count.astype(jnp.float32)
