"""Softmax cross-entropy with several right classes that do not compete with each other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from . import loss_inputs as inputs
from . import platforms
from .logsumexp import logsumexp

_NAME = "decoupled_softmax"


def decoupled_softmax(
    scores: jax.Array, positives: jax.Array, *, where: jax.Array | None = None
) -> jax.Array:
    """The mean over right classes i of log(exp(s_i) + sum over wrong j of exp(s_j)) - s_i.

    Other right classes are not in the denominator of one: where they were, those of large score
    would be pushed down for the others. With one right class a row it is the usual cross-entropy.
    Gupta, Khatri, Rawat, Bhojanapalli, Jain and Dhillon, "Dual-encoders for extreme multi-label
    classification", ICLR 2024 (arXiv 2310.10636; names of the authors from memory).

    Args:
      scores: [..., n] floats.
      positives: [..., n], true (or not zero) for the right classes.
      where: [..., n] which classes count, all by default; scores of -inf never do. A row without a
        right class, or without a wrong one, costs nothing.

    Returns:
      Losses [...]; float32 where scores are of half precision.

    Gradients are a closed form: one logsumexp and two sums a row, with no more memory than the
    scores. Classes sharded over devices: the logsumexp of the wrong ones, the number of right ones
    and the two sums over them are all that crosses.

    Raises:
      ValueError: scores that are no floats, or a mask of a shape that does not fit.
    """
    scores = inputs.rows(_NAME, "scores", scores)
    right = inputs.entries(_NAME, "positives", positives, scores)
    counts = inputs.counting(_NAME, where, scores)
    return _compiled(scores, right, counts)


def implementation(
    shape: tuple[int, ...], dtype: Any, platform: str | None = None
) -> tuple[str, str]:
    """(name, why) of what computes it on a platform; the same everywhere."""
    platforms.known(platform)
    return "xla", "sums along a row, which XLA fuses with what makes the row"


@jax.custom_vjp
def _loss(scores, right, counts):
    return _forward(scores, right, counts)[0]


def _forward(scores, right, counts):
    right, wrong = right & counts, ~right & counts
    against = logsumexp(scores, where=wrong, keepdims=True)
    shares = jnp.maximum(jnp.sum(right, axis=-1, keepdims=True, dtype=scores.dtype), 1)
    behind = jnp.where(right, against - scores, -jnp.inf)
    losses = jnp.sum(jax.nn.softplus(behind) / shares, axis=-1)
    return losses, (scores, right, wrong, against, shares)


def _backward(kept, slope):
    scores, right, wrong, against, shares = kept
    level = jnp.where(against == -jnp.inf, 0, against)
    some = against != -jnp.inf
    pulled = jnp.where(right & some, jax.nn.sigmoid(level - scores) / shares, 0)
    chances = jnp.exp(jnp.where(wrong, scores - level, -jnp.inf))
    pushed = chances * jnp.sum(pulled, axis=-1, keepdims=True)
    return slope[..., None] * (pushed - pulled), None, None


_loss.defvjp(_forward, _backward)
_compiled = jax.jit(_loss)
