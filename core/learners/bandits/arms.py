"""What most bandit learners remember of an arm: how often it was played and its mean reward."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ... import noise


class Arms(NamedTuple):
    """Play counts and mean rewards of K arms; the mean of an arm never played is 0."""

    pulls: jax.Array  # [K] int32
    means: jax.Array  # [K] float32


def fresh(num_arms: int) -> Arms:
    """No arm played yet."""
    return Arms(jnp.zeros(num_arms, jnp.int32), jnp.zeros(num_arms, jnp.float32))


def add(arms: Arms, arm: jax.Array, reward: jax.Array) -> Arms:
    """One more reward of `arm`: a running mean, so nothing grows with the horizon."""
    pulls = arms.pulls[arm] + 1
    mean = arms.means[arm]
    mean = mean + (reward - mean) / pulls
    return Arms(arms.pulls.at[arm].set(pulls), arms.means.at[arm].set(mean))


def best(arms: Arms) -> jax.Array:
    """The arm with the largest mean among those played; the lowest index on ties."""
    return noise.argmax(jnp.where(arms.pulls > 0, arms.means, -jnp.inf))
