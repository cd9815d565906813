"""What learners with expert advice regret: towards each expert, over intervals, with switches.

The regret of a round towards an expert is the loss of the play less that of the expert, and 0 where
the expert is asleep: every sum below is over the rounds in which it was awake.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..core.exact import Pair, plus, single, value

METRIC_DIMS = {"expert_regret": ("expert",)}
_SLACK = 1e-3  # further than rounding takes a sum of weights from 1


class Regrets(NamedTuple):
    """Sums over the rounds so far."""

    experts: Pair  # [K] of all rounds
    ending: Pair  # [K] the largest over the intervals that end now, the empty one among them
    adaptive: jax.Array  # [] the largest over all intervals and experts
    shifting: Any  # Pair [m + 1, K] over the best sequence with <= j switches that ends in k, or ()


def nothing(num_arms: int, num_switches: int | None) -> Regrets:
    """No rounds yet. Sequences with switches are followed where their number is given."""
    zeros = single(jnp.zeros(num_arms, jnp.float32))
    shifting = () if num_switches is None else single(jnp.zeros((num_switches + 1, num_arms)))
    return Regrets(zeros, zeros, jnp.float32(0), shifting)


def settle(
    regrets: Regrets, weights: jax.Array, losses: jax.Array, active: jax.Array | None
) -> tuple[Regrets, dict[str, jax.Array]]:
    """Add a round, and say what it adds to `loss` and to `dynamic_regret`.

    Losses are taken less the least of the round: where nothing was regretted, nothing is added to
    any sum, not even rounding. Weights of those awake that do not add up to 1 make the loss NaN.
    """
    if active is None:
        least = jnp.min(losses)
        behind = losses - least
    else:
        least = jnp.min(losses, where=active, initial=jnp.inf)
        weights = jnp.where(active, weights, 0)
        behind = jnp.where(active, losses - least, 0)
    mixed = jnp.abs(jnp.sum(weights) - 1) < _SLACK
    dynamic = jnp.where(mixed, jnp.sum(weights * behind), jnp.nan)
    now = dynamic - behind
    if active is not None:
        now = jnp.where(active, now, 0)
    ending = plus(regrets.ending, single(now))
    positive = ending.high > 0
    # Kadane: an interval whose sum has fallen to 0 is no better a beginning than none.
    ending = Pair(jnp.where(positive, ending.high, 0), jnp.where(positive, ending.low, 0))
    after = Regrets(
        plus(regrets.experts, single(now)),
        ending,
        jnp.maximum(regrets.adaptive, jnp.max(value(ending))),
        _switched(regrets.shifting, now) if regrets.shifting else (),
    )
    return after, {"loss": least + dynamic, "dynamic_regret": dynamic}


def report(regrets: Regrets) -> dict[str, jax.Array]:
    """Metrics at a checkpoint."""
    experts = value(regrets.experts)
    metrics = {
        "regret": jnp.max(experts),
        "expert_regret": experts,
        "adaptive_regret": regrets.adaptive,
    }
    if regrets.shifting:
        most = _largest(Pair(regrets.shifting.high[-1], regrets.shifting.low[-1]))
        metrics["shifting_regret"] = value(most)
    return metrics


def _switched(shifting: Any, now: jax.Array) -> Pair:
    """One step of dynamic programming: a sequence stays where it was, or comes over from the best
    of those with one switch less."""
    best = _largest(shifting)
    came = Pair(*(jnp.pad(x[:-1], (1, 0), constant_values=-jnp.inf)[:, None] for x in best))
    level = came.high == shifting.high
    better = (came.high > shifting.high) | (level & (came.low > shifting.low))
    so_far = Pair(*(jnp.where(better, x, y) for x, y in zip(came, shifting, strict=True)))
    return plus(so_far, single(now))


def _largest(x: Pair) -> Pair:
    """Of the last axis."""
    high = jnp.max(x.high, axis=-1)
    low = jnp.max(jnp.where(x.high == high[..., None], x.low, -jnp.inf), axis=-1)
    return Pair(high, low)
