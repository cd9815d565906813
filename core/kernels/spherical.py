"""Steps of stochastic gradient descent on a wide output layer at a cost that does not grow with it.

Outputs are o = W h, with W [D, d] and an input h [d]. Where a loss depends on sum(o), sum(o^2) and
the output o_c of the class alone (the spherical family), its value, its gradient in h and the step
on W cost d^2 and not D d: W^T W and W^T 1 are kept, and W = V U + 1 w^T in factors, of which a step
changes U, w and one row of V. Vincent, de Brebisson and Bouthillier, "Efficient exact gradient
update for training deep networks with very large sparse targets", NeurIPS 2015; for the Z-loss see
de Brebisson and Vincent 2016 (arXiv 1604.08859).

    layer = spherical.init(W)
    layer, loss, slope = spherical.step(layer, h, label, rate)     # inside a scan or a donated jit
    W = spherical.dense(layer)

The step is the one that dense descent takes, up to rounding. U can become ill-conditioned; before
it is, a step spends D d^2 once to multiply the factors out (`refresh`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import dot

from .z_loss import z_loss_of_sums

# Of sum(o), sum(o^2), o_c and D: a loss of the family.
SphericalLoss = Callable[[jax.Array, jax.Array, jax.Array, int], jax.Array]


class Layer(NamedTuple):
    """W = V U + 1 w^T, and its sums."""

    rows: jax.Array  # V [D, d]
    right: jax.Array  # U [d, d]
    inverse: jax.Array  # of U
    shift: jax.Array  # w [d]
    gram: jax.Array  # W^T W [d, d]
    total: jax.Array  # W^T 1 [d]


class Slopes(NamedTuple):
    """Derivatives of the loss."""

    total: jax.Array  # [] in sum(o)
    squares: jax.Array  # [] in sum(o^2)
    score: jax.Array  # [] in o_c


def init(weights: jax.Array) -> Layer:
    """The layer of weights W [D, d].

    Raises:
      ValueError: weights that are no floats [D, d], of 32 or 64 bits.
    """
    weights = jnp.asarray(weights)
    wide = weights.dtype in (jnp.float32, jnp.float64)
    if weights.ndim != 2 or not weights.size or not wide:
        raise ValueError(
            f"spherical.init: weights are floats [D, d] of 32 or 64 bits, got {weights.dtype} "
            f"{list(weights.shape)}"
        )
    size, dtype = weights.shape[1], weights.dtype
    eyes = jnp.eye(size, dtype=dtype), jnp.eye(size, dtype=dtype)  # two: one array is donated once
    return Layer(weights, *eyes, jnp.zeros(size, dtype), *_sums(weights))


def dense(layer: Layer) -> jax.Array:
    """The weights W [D, d]."""
    return dot(layer.rows, layer.right) + layer.shift


def row(layer: Layer, label: jax.Array) -> jax.Array:
    """The weights of one class, [d]."""
    return dot(layer.rows[label], layer.right) + layer.shift


def refresh(layer: Layer) -> Layer:
    """The same layer with its factors multiplied out and its sums taken anew: D d^2 operations."""
    return init(dense(layer))


def loss(
    layer: Layer, hidden: jax.Array, label: jax.Array, of: SphericalLoss = z_loss_of_sums
) -> jax.Array:
    """The loss [] of a class, int [] in [0, D), at an input [d]: d^2 operations."""
    classes = layer.rows.shape[0]
    return of(*_outputs(layer, hidden, row(layer, label)), classes)


def step(
    layer: Layer,
    hidden: jax.Array,
    label: jax.Array,
    rate: Any,
    of: SphericalLoss = z_loss_of_sums,
    *,
    worst: float | None = None,
) -> tuple[Layer, jax.Array, jax.Array]:
    """One step of descent on the weights, W - rate * dL/dW: the layer after it, and before it the
    loss [] and its gradient in the input [d].

    Args:
      hidden, label: an input [d] and its class, int [] in [0, D).
      rate: the length of the step.
      of: the loss; `functools.partial(z_loss_of_sums, margin=2.0)` for another Z-loss.
      worst: what |U| |U^-1| / d (Frobenius norms) is to stay below: factors are multiplied out
        before a step that could take it there, and for a step that would do so by itself. By
        default eps^(-1/3), some 200 in float32: a constant of ours, as is the rule.

    V changes in place where the compiler can see that nobody needs the old one, as in a scan: a
    call by itself copies it unless it is donated. Under vmap over layers a refresh of one is the
    price for all. Sums in `gram` cancel where outputs share a large offset: mind float32 there.
    Classes sharded over devices: V alone is large, and a step changes it on the device that has
    the class; all else is computed everywhere.

    Raises:
      ValueError: an input of another length than the layer's rows.
    """
    if jnp.shape(hidden) != (layer.shift.shape[0],):
        raise ValueError(
            f"spherical.step: hidden is one input [{layer.shift.shape[0]}], got shape "
            f"{list(jnp.shape(hidden))}"
        )
    hidden = jnp.asarray(hidden, layer.rows.dtype)
    rate = jnp.asarray(rate, hidden.dtype)
    own = row(layer, label)
    value, slopes = _valued(layer, hidden, own, of)
    image = dot(layer.gram, hidden)
    slope = slopes.total * layer.total + 2 * slopes.squares * image + slopes.score * own

    bend = 2 * rate * slopes.squares  # W (I - bend h h^T) is what the squares make of W
    limit = float(jnp.finfo(hidden.dtype).eps) ** (-1 / 3) if worst is None else worst
    left = 1 - bend * jnp.sum(hidden * hidden)  # the factor of the input's direction
    stretch = jnp.maximum(jnp.abs(left), 1 / jnp.abs(left))
    flat = ~(stretch <= limit)
    condition = _norm(layer.right) * _norm(layer.inverse) / len(hidden)
    layer = _multiplied_out(layer, hidden, bend, flat, ~(stretch * condition <= limit))
    bent = _bent(layer, hidden, jnp.where(flat, 0, bend), jnp.where(flat, 1, left))
    gram, total = _new_sums(layer, hidden, own, rate, bend, slopes)
    move = -rate * hidden
    shift = layer.shift - bend * jnp.sum(layer.shift * hidden) * hidden + slopes.total * move
    rows = layer.rows.at[label].add(slopes.score * dot(move, bent.inverse))
    return bent._replace(rows=rows, shift=shift, gram=gram, total=total), value, slope


def _outputs(layer, hidden, own):
    """sum(o), sum(o^2) and o_c."""
    squares = jnp.sum(hidden * dot(layer.gram, hidden))
    return jnp.sum(layer.total * hidden), squares, jnp.sum(own * hidden)


def _valued(layer, hidden, own, of):
    classes = layer.rows.shape[0]
    value, slopes = jax.value_and_grad(lambda sums: of(*sums, classes))(
        _outputs(layer, hidden, own)
    )
    return value, Slopes(*slopes)


def _multiplied_out(layer, hidden, bend, flat, due):
    """The same layer, with U = I and sums taken anew, where that is `due`; V has the bend of this
    step in it where it would leave U flat."""

    def turn(loop):
        _, layer = loop
        rows = dot(layer.rows, layer.right)
        sums = _sums(rows + layer.shift)
        eye = jnp.eye(len(hidden), dtype=rows.dtype)
        rows = rows - (jnp.where(flat, bend, 0) * dot(rows, hidden))[:, None] * hidden
        return jnp.bool_(False), Layer(rows, eye, eye, layer.shift, *sums)

    # A loop that turns once at most, and has V to itself: a `cond` would copy it.
    return jax.lax.while_loop(lambda loop: loop[0], turn, (due, layer))[1]


def _bent(layer, hidden, bend, left):
    """With U (I - bend h h^T) for U, and the inverse of that (Sherman and Morrison)."""
    right = layer.right - bend * dot(layer.right, hidden)[:, None] * hidden
    back = dot(hidden, layer.inverse)
    return layer._replace(
        right=right, inverse=layer.inverse + (bend / left) * hidden[:, None] * back
    )


def _new_sums(layer, hidden, own, rate, bend, slopes):
    """W^T W and W^T 1 of the weights after the step, W A + g u^T with A = I - bend h h^T, u =
    -rate h, and g the slopes that do not come from the squares."""
    move = -rate * hidden
    image = dot(layer.gram, hidden)
    pull = slopes.total * layer.total + slopes.score * own  # W^T g
    pull = pull - bend * jnp.sum(pull * hidden) * hidden
    classes = layer.rows.shape[0]
    square = slopes.total**2 * classes + 2 * slopes.total * slopes.score + slopes.score**2
    half = (
        -bend * image + 0.5 * bend**2 * jnp.sum(image * hidden) * hidden - rate * pull
        + 0.5 * rate**2 * square * hidden
    )  # fmt: skip
    gram = layer.gram + half[:, None] * hidden + hidden[:, None] * half
    total = layer.total - bend * jnp.sum(layer.total * hidden) * hidden
    return gram, total + (slopes.total * classes + slopes.score) * move


def _sums(weights):
    return dot(weights.T, weights), jnp.sum(weights, axis=0)


def _norm(matrix):
    return jnp.sqrt(jnp.sum(matrix * matrix))
