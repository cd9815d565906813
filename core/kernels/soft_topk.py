"""A soft choice of the k largest, and the loss of right classes that it leaves out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from . import loss_inputs as inputs
from . import platforms

_MOST = 160  # halvings: from the whole range of float32 to its last bit, and more


def soft_topk(
    scores: jax.Array, k: Any, *, sharpness: Any = 1.0, where: jax.Array | None = None
) -> jax.Array:
    """Shares in [0, 1] that add up to k: sigmoid(a (s + t)), with the t at which they do.

    The larger the sharpness a, the nearer they are to 1 for the k largest scores and 0 for the
    rest. Gupta et al., "Dual-encoders for extreme multi-label classification", ICLR 2024 (arXiv
    2310.10636). t is found by halving an interval, to the last bit; gradients are those of the
    equation that it solves, not of the halvings: with v = a share (1 - share), the Jacobian in the
    scores is diag(v) - v v^T / sum(v).

    Args:
      scores: [..., n] floats.
      k: a number, or one a row, [...]; not whole numbers only. From the number of entries that
        count upwards all shares are 1, from 0 downwards all are 0.
      sharpness: a, positive: a number, or one a row.
      where: [..., n] which entries count, all by default; scores of -inf never do, and have 0.

    Returns:
      Shares [..., n]; float32 where scores are of half precision.

    Sharded over devices, each halving sums one number a row across, the ends of the interval take
    the largest and the smallest score, and the gradient two sums.

    Raises:
      ValueError: scores that are no floats, shapes that do not fit, a sharpness that is not
        positive.
    """
    return _shares(*_inputs("soft_topk", scores, k, sharpness, where))


def soft_topk_loss(
    scores: jax.Array,
    positives: jax.Array,
    k: Any = None,
    *,
    sharpness: Any = 1.0,
    where: jax.Array | None = None,
) -> jax.Array:
    """The mean over right classes of -log of the share that `soft_topk` gives them, [...].

    positives: [..., n], true (or not zero) for the right classes. k: as there; left out, the number
    of right classes of the row. A row without a right class costs nothing. Scores, `sharpness`,
    `where`, sharding and errors as for `soft_topk`.
    """
    name = "soft_topk_loss"
    scores = inputs.rows(name, "scores", scores)
    right = inputs.entries(name, "positives", positives, scores)
    right = right & inputs.counting(name, where, scores)
    k = jnp.sum(right, axis=-1, dtype=scores.dtype) if k is None else k
    return _loss(right, *_inputs(name, scores, k, sharpness, where))


def implementation(
    shape: tuple[int, ...], dtype: Any, platform: str | None = None
) -> tuple[str, str]:
    """(name, why) of what computes it on a platform; the same everywhere."""
    platforms.known(platform)
    return "xla", "some 30 sums along a row that stays in cache, and no more for the gradient"


def _inputs(name, scores, k, sharpness, where):
    inputs.positive(name, "sharpness", sharpness)
    scores = inputs.rows(name, "scores", scores)
    k = inputs.each_row(name, "k", k, scores)
    a = inputs.each_row(name, "sharpness", sharpness, scores)
    return scores, inputs.counting(name, where, scores), k, a


@jax.jit
def _shares(scores, counts, k, a):
    return jnp.where(counts, jax.nn.sigmoid(_levels(scores, counts, k, a)), 0)


@jax.jit
def _loss(right, scores, counts, k, a):
    level = _levels(scores, counts, k, a)
    missed = jnp.where(right, jax.nn.softplus(jnp.where(right, -level, 0)), 0)
    return jnp.sum(missed, axis=-1) / jnp.maximum(jnp.sum(right, axis=-1), 1).astype(missed.dtype)


def _levels(scores, counts, k, a):
    """a (s + t) [..., n]."""
    top = jnp.max(scores, axis=-1, keepdims=True, where=counts, initial=-jnp.inf)
    top = jax.lax.stop_gradient(jnp.where(top == -jnp.inf, 0, top))
    below = jnp.where(counts, scores - top, 0)  # t is small then, and has all its bits
    shift = _shift(below, counts, k, a)[..., None]
    finite = jnp.isfinite(shift)
    return jnp.where(finite, a[..., None] * (below + jnp.where(finite, shift, 0)), shift)


@jax.custom_vjp
def _shift(below, counts, k, a):
    """t [...] with sum of sigmoid(a (below + t)) = k over the entries that count; infinite where it
    takes all of them, or none."""
    size = jnp.sum(counts, axis=-1, dtype=below.dtype)
    least = jnp.min(below, axis=-1, where=counts, initial=0.0)
    # Were all entries equal to the largest, 0, or to the least, this would be t.
    middle = jax.scipy.special.logit(jnp.clip(k / jnp.maximum(size, 1), 0, 1)) / a
    first = jnp.where(jnp.isfinite(middle), middle, 0)

    def halve(loop):
        low, high, _, number = loop
        t = low + (high - low) / 2
        shares = jax.nn.sigmoid(a[..., None] * (below + t[..., None]))
        enough = jnp.sum(jnp.where(counts, shares, 0), axis=-1) >= k
        done = (t <= low) | (t >= high) | (low >= high)
        low, high = jnp.where(enough, low, t), jnp.where(enough, t, high)
        return low, high, jnp.all(done), number + 1

    def unfinished(loop):
        return ~loop[2] & (loop[3] < _MOST)

    start = first, first - least, jnp.bool_(False), jnp.int32(0)
    found = jax.lax.while_loop(unfinished, halve, start)[1]
    return jnp.where(jnp.isfinite(middle), found, middle)


def _forward(below, counts, k, a):
    t = _shift(below, counts, k, a)
    return t, (below, counts, t, a)


def _backward(kept, slope):
    below, counts, t, a = kept
    distance = below + t[..., None]
    share = jax.nn.sigmoid(a[..., None] * distance)
    v = jnp.where(counts, share * jax.nn.sigmoid(-a[..., None] * distance), 0)
    total = jnp.sum(v, axis=-1)
    rate = jnp.where(total > 0, slope / jnp.where(total > 0, total, 1), 0)  # of k / a
    turn = jnp.sum(jnp.where(v > 0, v * distance, 0), axis=-1)
    return -rate[..., None] * v, None, rate / a, -rate * turn / a


_shift.defvjp(_forward, _backward)
