"""What online and replayed regression by a network have in common."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..parameters import filled

LOSSES = ("square", "kl")
TARGETS = ("losses", "rewards")


def check_network(learner: Any) -> None:
    """Check the static fields `hidden`, `loss` and `of` of a regressor.

    Raises:
      ValueError: widths that are not whole numbers from one; an unknown loss or target.
    """
    name, hidden = type(learner).__name__, learner.hidden
    if isinstance(hidden, list):
        object.__setattr__(learner, "hidden", tuple(hidden))
    widths = learner.hidden
    if not isinstance(widths, tuple) or not widths or not all(map(_whole, widths)):
        raise ValueError(f"{name}: hidden holds the widths of layers, as (100,), got {hidden!r}")
    for field, known in (("loss", LOSSES), ("of", TARGETS)):
        if getattr(learner, field) not in known:
            raise ValueError(
                f"{name}: {field} is one of {', '.join(map(repr, known))}, got "
                f"{getattr(learner, field)!r}"
            )


def _whole(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x >= 1


def num_blocks(learner: Any) -> int:
    return filled(learner, "num_arms") if filled(learner, "disjoint") else 1


def target(learner: Any, reward: jax.Array) -> jax.Array:
    """What the network is to predict of an arm that brought `reward`."""
    return 1 - reward if learner.of == "losses" else reward


def as_rewards(learner: Any, output: jax.Array) -> jax.Array:
    """Predicted rewards, by outputs of the network."""
    predicted = jax.nn.sigmoid(output) if learner.loss == "kl" else output
    return 1 - predicted if learner.of == "losses" else predicted


def divergence(loss: str, output: jax.Array, y: jax.Array) -> jax.Array:
    """Half the squared error, or the Kullback-Leibler divergence of sigmoid(output) from y; for y
    in {0, 1} the cross-entropy."""
    if loss == "square":
        return jnp.square(output - y) / 2
    entropy = jax.scipy.special.entr(y) + jax.scipy.special.entr(1 - y)
    return y * jax.nn.softplus(-output) + (1 - y) * jax.nn.softplus(output) - entropy


def slope(loss: str, output: jax.Array, y: jax.Array) -> jax.Array:
    """Derivative of `divergence` in the output: prediction less y."""
    return (output if loss == "square" else jax.nn.sigmoid(output)) - y
