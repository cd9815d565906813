"""Weights on experts, some of whom may be asleep."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ...kernels.softmax import softmax


def awake(observation: Any) -> jax.Array | None:
    """Who is awake this round, [K] bool; None where everybody always is."""
    return None if observation == () else observation.active


def all_awake(learner: Any, observation: Any) -> None:
    """For a learner that puts weight on everybody.

    Raises:
      ValueError: the environment says who is awake.
    """
    if awake(observation) is not None:
        name = type(learner).__name__
        raise ValueError(
            f"{name} puts weights on all experts, and here some may be asleep: play "
            f"Sleeping({name}()), or a learner that knows of sleep, as AdaNormalHedge and Squint do"
        )


def normalised(logs: jax.Array, active: jax.Array | None) -> jax.Array:
    """Weights [K] proportional to exp(logs) over those awake, exactly 0 elsewhere.

    Even over those awake where all their logs are -inf, and over all K where nobody is awake.
    """
    weights = softmax(logs, where=active)
    return jnp.where(jnp.max(weights) > 0, weights, even_over(logs.shape[-1], active))


def even_over(num_arms: int, active: jax.Array | None) -> jax.Array:
    """Equal weights for those awake, or for all where nobody is."""
    even = jnp.full(num_arms, 1 / num_arms, jnp.float32)
    if active is None:
        return even
    here = active.astype(jnp.float32)
    count = jnp.sum(here)
    return jnp.where(count > 0, here / jnp.maximum(count, 1), even)


def regrets_of_round(weights: jax.Array, losses: jax.Array, active: jax.Array | None) -> jax.Array:
    """The learner's loss less each expert's, [K]; 0 for those asleep, whatever their losses are.

    The least loss is taken off first: experts with equal losses are regretted by exactly 0, and a
    number common to all of them costs no digits.
    """
    if active is None:
        losses = losses - jnp.min(losses)
        return jnp.sum(weights * losses) - losses
    least = jnp.min(losses, where=active, initial=jnp.inf)
    losses = jnp.where(active, losses - least, 0)
    return jnp.where(active, jnp.sum(weights * losses) - losses, 0)
