"""The Z-loss: the softplus of how far a class stands above the others, in standard deviations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from . import loss_inputs as inputs
from . import platforms

_NAME = "z_loss_spherical"


def z_loss_spherical(
    outputs: jax.Array,
    labels: jax.Array,
    *,
    sharpness: Any = 1.0,
    margin: Any = 0.0,
    floor: float = 1e-6,
    where: jax.Array | None = None,
) -> jax.Array:
    """log(1 + exp(a (b - z))) / a with z = (o_c - mean(o)) / std(o), of the D outputs o of a row.

    It does not change when a row is shifted, or scaled by a positive number. De Brebisson and
    Vincent, "The Z-loss: a shift and scale invariant classification loss belonging to the spherical
    family", 2016 (arXiv 1604.08859); it has nothing to do with the "z-loss" (log Z)^2 that
    keeps the logits of language models small. `spherical` takes steps with it at a cost that does
    not grow with D.

    Args:
      outputs: [..., D] floats.
      labels: [...] whole numbers, the class c of every row; one outside [0, D) makes the loss NaN.
      sharpness, margin: a, positive, and b; defaults are ours.
      floor: the least standard deviation, so that rows of equal outputs are no 0 / 0.
      where: [..., D] which outputs count, all by default; outputs of -inf never do. A row whose
        class does not count costs nothing.

    Returns:
      Losses [...]; float32 where outputs are of half precision.

    Gradients are a closed form, with no more memory than the outputs; they go to `sharpness` and
    `margin` too. Classes sharded over devices: the mean, the mean square and the output of the
    class are one number a row each, all that has to be summed across.

    Raises:
      ValueError: shapes or dtypes that do not fit, a sharpness or floor that is not positive.
    """
    inputs.positive(_NAME, "sharpness", sharpness)
    inputs.positive(_NAME, "floor", floor)
    outputs = inputs.rows(_NAME, "outputs", outputs)
    labels = inputs.class_labels(_NAME, labels, outputs)
    counts = inputs.counting(_NAME, where, outputs)
    a = inputs.each_row(_NAME, "sharpness", sharpness, outputs)
    b = inputs.each_row(_NAME, "margin", margin, outputs)
    return _losses(outputs, counts, labels, a, b, jnp.asarray(floor, outputs.dtype))


def z_loss_of_sums(
    total: jax.Array,
    squares: jax.Array,
    score: jax.Array,
    classes: int,
    *,
    sharpness: Any = 1.0,
    margin: Any = 0.0,
    floor: float = 1e-6,
) -> jax.Array:
    """The same loss, from sum(o), sum(o^2), o_c and D: all that it depends on."""
    mean = total / classes
    variance = squares / classes - mean * mean
    z = (score - mean) * jax.lax.rsqrt(jnp.maximum(variance, floor**2))
    return jax.nn.softplus(sharpness * (margin - z)) / sharpness


def implementation(
    shape: tuple[int, ...], dtype: Any, platform: str | None = None
) -> tuple[str, str]:
    """(name, why) of what computes it on a platform; the same everywhere."""
    platforms.known(platform)
    return "xla", "sums along a row, which XLA fuses with what makes the row"


@jax.jit
def _losses(outputs, counts, labels, a, b, floor):
    losses = jax.nn.softplus(a * (b - standing(outputs, counts, labels, floor))) / a
    return jnp.where(_of_class(counts, labels, True), losses, 0)


def _of_class(x, labels, fill):
    """x[..., label], or `fill` outside."""
    found = jnp.take_along_axis(
        x, labels[..., None], axis=-1, mode="fill", fill_value=fill, wrap_negative_indices=False
    )
    return found[..., 0]


@jax.custom_vjp
def standing(outputs, counts, labels, floor):
    """z [...], of the class of every row."""
    return _forward(outputs, counts, labels, floor)[0]


def _moments(outputs, counts, labels, floor):
    """Outputs above that of the class, their mean, deviation and number. So shifted, a row of equal
    outputs is one of zeros without any rounding."""
    score = _of_class(outputs, labels, jnp.nan)[..., None]
    above = jnp.where(counts, outputs - jnp.where(score == -jnp.inf, 0, score), 0)
    size = jnp.maximum(jnp.sum(counts, axis=-1, keepdims=True, dtype=outputs.dtype), 1)
    mean = jnp.sum(above, axis=-1, keepdims=True) / size
    rest = jnp.where(counts, above - mean, 0)
    variance = jnp.sum(rest * rest, axis=-1, keepdims=True) / size
    return rest, mean, jnp.sqrt(jnp.maximum(variance, floor**2)), size, variance > floor**2


def _forward(outputs, counts, labels, floor):
    _, mean, deviation, *_ = _moments(outputs, counts, labels, floor)
    return (-mean / deviation)[..., 0], (outputs, counts, labels, floor)


def _backward(kept, slope):
    outputs, counts, labels, floor = kept
    rest, mean, deviation, size, free = _moments(*kept)
    classes = jnp.arange(outputs.shape[-1], dtype=labels.dtype)
    own = jnp.where(classes == labels[..., None], 1, 0)
    turned = jnp.where(free, -mean / deviation**2 * rest, 0)  # z_c z_k
    one = jnp.where(counts, (own - (1 + turned) / size) / deviation, 0)
    slopes = jnp.where(_of_class(counts, labels, True)[..., None], slope[..., None] * one, 0)
    return slopes, None, None, None


standing.defvjp(_forward, _backward)
