"""Sums of gradients that lose no digits over many rounds, at four operations a coordinate."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Sum(NamedTuple):
    """total + lost: a float32 sum, and what rounding kept from it."""

    total: jax.Array  # [...]
    lost: jax.Array  # [...]


def nothing(like: jax.Array) -> Sum:
    """An empty sum of arrays shaped as `like`."""
    zeros = jnp.zeros_like(like)
    return Sum(zeros, zeros)


def add(before: Sum, x: jax.Array) -> Sum:
    """The sum with one term more. After n terms it is off by at most about 2^-23 (|x_1| + ... +
    |x_n|), whatever n is (Kahan, "Further remarks on reducing truncation errors", Communications
    of the ACM 8, 1965); rounding errors of both signs make it far less."""
    x = x + before.lost
    total = before.total + x
    return Sum(total, x - (total - before.total))


def rounded(x: Sum) -> jax.Array:
    """The sum as float32."""
    return x.total + x.lost


def below_top(x: Sum) -> jax.Array:
    """The sums [K] less the total of the largest: for a softmax, which sees only differences. Large
    totals that are close keep all the digits they have."""
    return (x.total - jnp.max(x.total)) + x.lost
