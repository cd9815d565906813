"""Schedules of phase learners: whole numbers, worked out on the host from the budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...protocol import concrete


def set_schedule(
    learner: Any, smallest: Callable[[int], int], compute: Callable[[int, int], Any]
) -> None:
    """Set `learner.schedule` to `compute(num_arms, budget)`, int32, where both are known. Inside
    JAX's transformations, and in a stack, it stays as it is.

    Raises:
      ValueError: what `known_budget` raises.
    """
    budget = known_budget(learner, smallest)
    if budget is not None:
        pulls = compute(learner.num_arms, budget)
        object.__setattr__(learner, "schedule", np.asarray(pulls, np.int32))


def known_budget(learner: Any, smallest: Callable[[int], int]) -> int | None:
    """The budget of a learner whose number of arms and budget are known by now, else None. It is
    stored as an int32, so that a budget given as a float is no other program.

    Raises:
      ValueError: fewer than two arms; a budget that is not a whole number, or is below
        `smallest(num_arms)`.
    """
    name, num_arms = type(learner).__name__, learner.num_arms
    if num_arms is not None and num_arms < 2:
        raise ValueError(f"{name} tells arms apart: it needs two at least, got num_arms={num_arms}")
    budget = concrete(learner.budget)
    if budget is None or budget.ndim:
        return None
    if budget.dtype.kind not in "fiu" or not 1 <= budget < 2**31 or budget != int(budget):
        raise ValueError(
            f"{name}: budget is a whole number of pulls from 1 to 2^31 - 1, got {learner.budget}"
        )
    if num_arms is None:
        return None
    if budget < smallest(num_arms):
        raise ValueError(
            f"{name} needs a budget of {smallest(num_arms)} pulls at least for {num_arms} arms, "
            f"got {int(budget)}"
        )
    object.__setattr__(learner, "budget", np.int32(budget))
    return int(budget)


def entry(schedule: Any, phase: jax.Array) -> jax.Array:
    """schedule[phase], and 0 after the end. A sum over the schedule: a gather with another phase
    in every lane is not vector code."""
    schedule = jnp.asarray(schedule, jnp.int32)
    return jnp.sum(jnp.where(jnp.arange(len(schedule)) == phase, schedule, 0), dtype=jnp.int32)
