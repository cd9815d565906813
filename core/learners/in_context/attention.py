"""Linear self-attention over tokens, and weights with which a layer is a step of gradient descent.

Von Oswald, Niklasson, Randazzo, Sacramento, Mordvintsev, Zhmoginov and Vladymyrov, "Transformers
learn in-context by gradient descent", ICML 2023 (arXiv 2212.07677). A token is an example (x, y) in
R^(d + 1); a reader is a query (x, 0). A layer, without softmax, biases, norms and positions, gives

    e + P sum_i (V e_i) <K e_i, Q e>      over the examples i, to examples and readers alike,

and the forecast is MINUS the last entry of the reader after all layers.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

# As products of matrices, many small ones are fast; an accelerator must not round their factors.
_times = partial(jnp.matmul, precision="highest")


class Attention(NamedTuple):
    """Layers of one head; [layers, e, e] each."""

    query: jax.Array  # Q
    key: jax.Array  # K
    value: jax.Array  # V
    projection: jax.Array  # P


def attend(layer: Attention, examples: jax.Array, readers: jax.Array) -> jax.Array:
    """Readers [M, e] after one layer, [e, e] matrices, over examples [N, e]."""
    asked = _times(readers, _times(layer.query.T, layer.key))
    scores = _times(asked, examples.T)  # [M, N]: no softmax
    seen = _times(scores, examples)
    return readers + _times(seen, _times(layer.value.T, layer.projection.T))


def gradient_layers(rates: Any, curvatures: Any, context: int, dimension: int) -> Attention:
    """Layers that are steps of descent on 1 / (2N) sum (w.x_i - y_i)^2 from w = 0.

    Layer l takes a step of rates[l]. With curvatures[l] = c that is not 0 it also turns inputs x
    into (I - c / N sum x_i x_i^T) x, which the next layers then meet: "GD++", descent on a problem
    of better condition. (The division by N is our reading.)

    Args:
      rates: [layers]. curvatures: [layers], or one for all.
      context: N, the number of examples.
      dimension: d.
    """
    rates = jnp.asarray(rates, jnp.float32)
    curvatures = jnp.broadcast_to(jnp.asarray(curvatures, jnp.float32), rates.shape)
    is_input = jnp.arange(dimension + 1) < dimension
    shape = len(rates), dimension + 1, dimension + 1
    reads = jnp.broadcast_to(jnp.diag(is_input.astype(jnp.float32)), shape)
    values = jnp.broadcast_to(-jnp.eye(dimension + 1, dtype=jnp.float32), shape)
    steps = jnp.where(is_input, curvatures[:, None], rates[:, None]) / context
    return Attention(reads, reads, values, jax.vmap(jnp.diag)(steps))


@flax.struct.dataclass
class Transformer:
    """Forecasts by layers of linear self-attention.

    layers: an `Attention`. repeats: times that the stack is gone through ("recurrent" layers).
    """

    layers: Any
    repeats: int = flax.struct.field(pytree_node=False, default=1)

    def predict(self, features: jax.Array, labels: jax.Array, query: jax.Array) -> jax.Array:
        """The label [] of a query [d], after examples [N, d] with labels [N]."""
        examples = jnp.concatenate([features, labels[:, None]], axis=1)
        reader = jnp.append(query, 0)[None]
        depth = self.layers.query.shape[0] * self.repeats
        for i in range(depth):
            layer = jax.tree.map(lambda x, i=i: x[i % len(x)], self.layers)
            reader, examples = (
                attend(layer, examples, reader),
                # Nobody reads the examples after the last layer.
                attend(layer, examples, examples) if i < depth - 1 else examples,
            )
        return -reader[0, -1]


@flax.struct.dataclass
class Descent:
    """Forecasts by gradient descent on 1 / (2N) sum (w.x_i - y_i)^2 from w = 0, written as such.

    rates: [steps]. curvatures: [steps], or one for all: after a step, inputs x become
    (I - c / N sum x_i x_i^T) x, and the next step is taken on these, with what is left of the
    labels (GD++). At 0, which is plain descent, they stay as they are.
    """

    rates: Any
    curvatures: Any = 0.0

    def predict(self, features: jax.Array, labels: jax.Array, query: jax.Array) -> jax.Array:
        """The label [] of a query [d], after examples [N, d] with labels [N]."""
        rates = jnp.asarray(self.rates, jnp.float32)
        curvatures = jnp.broadcast_to(jnp.asarray(self.curvatures, jnp.float32), rates.shape)
        forecast = jnp.zeros((), jnp.float32)
        for rate, curvature in zip(rates, curvatures, strict=True):
            step = rate * _times(features.T, labels) / len(labels)  # at w = 0: the slope is -X^T y
            forecast += _times(step, query)
            labels = labels - _times(features, step)
            moments = _times(features.T, features) / len(labels)
            query = query - curvature * _times(moments, query)
            features = features - curvature * _times(features, moments)
        return forecast
