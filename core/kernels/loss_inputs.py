"""What the losses share: checks of their arguments, and which entries count."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..protocol import concrete


def rows(name: str, what: str, x: Any) -> jax.Array:
    """Scores [..., n], float32 where they were of half precision.

    Raises:
      ValueError: not floats, or without an axis.
    """
    x = jnp.asarray(x)
    if x.ndim < 1 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{name}: {what} are floats [..., n], got {x.dtype} {list(x.shape)}")
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def entries(name: str, what: str, mask: Any, scores: jax.Array) -> jax.Array:
    """A mask as bool of the shape of the scores.

    Raises:
      ValueError: one that does not broadcast to that shape.
    """
    mask = jnp.asarray(mask)
    try:
        return jnp.broadcast_to(mask.astype(bool), scores.shape)
    except ValueError:
        raise ValueError(
            f"{name}: {what} says of every entry of scores {list(scores.shape)} whether it is one, "
            f"got shape {list(mask.shape)}"
        ) from None


def counting(name: str, where: Any, scores: jax.Array) -> jax.Array:
    """Entries that count, bool of the shape of the scores: those of `where` that are not -inf."""
    found = scores != -jnp.inf
    return found if where is None else found & entries(name, "where", where, scores)


def each_row(name: str, what: str, x: Any, scores: jax.Array) -> jax.Array:
    """A number, or one a row, in the dtype of the scores and the shape of their rows.

    Raises:
      ValueError: another shape.
    """
    x = jnp.asarray(x, scores.dtype)
    try:
        return jnp.broadcast_to(x, scores.shape[:-1])
    except ValueError:
        raise ValueError(
            f"{name}: {what} is a number or one for each row of {list(scores.shape[:-1])}, got "
            f"shape {list(x.shape)}"
        ) from None


def class_labels(name: str, labels: Any, scores: jax.Array) -> jax.Array:
    """Class indices, one a row.

    Raises:
      ValueError: not whole numbers, or not one a row.
    """
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer) or labels.shape != scores.shape[:-1]:
        raise ValueError(
            f"{name}: labels are classes (whole numbers), one for each row of "
            f"{list(scores.shape[:-1])}, got {labels.dtype} {list(labels.shape)}"
        )
    return labels


def positive(name: str, what: str, x: Any) -> None:
    """Raises ValueError for a number with a value by now that is not positive and finite."""
    value = concrete(x)
    if value is not None and not np.all((value > 0) & np.isfinite(value)):
        raise ValueError(f"{name}: {what} is positive, got {x}")
