"""Linear self-attention over tokens, and weights with which a layer is a step of gradient descent.

Von Oswald, Niklasson, Randazzo, Sacramento, Mordvintsev, Zhmoginov and Vladymyrov, "Transformers
learn in-context by gradient descent", ICML 2023 (arXiv 2212.07677). A token is an example (x, y) in
R^(d + 1); a reader is a query (x, 0). A layer, without softmax, biases, norms and positions, gives

    e + P sum_i (V e_i) <K e_i, Q e>      over the examples i, to examples and readers alike,

and the forecast is MINUS the last entry of the reader after all layers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp


class Attention(NamedTuple):
    """Layers of one head; [layers, e, e] each."""

    query: jax.Array  # Q
    key: jax.Array  # K
    value: jax.Array  # V
    projection: jax.Array  # P


def attend(layer: Attention, examples: jax.Array, readers: jax.Array) -> jax.Array:
    """Readers [M, e] after one layer, [e, e] matrices, over examples [N, e]."""
    keys = readers @ layer.query.T @ layer.key
    scores = jnp.sum(keys[:, None, :] * examples, axis=-1)  # [M, N]: no softmax
    seen = jnp.sum(scores[:, :, None] * examples, axis=1)
    return readers + seen @ layer.value.T @ layer.projection.T


def gradient_layers(rates: Any, curvatures: Any, context: int, dimension: int) -> Attention:
    """Layers that are steps of descent on 1 / (2N) sum (w.x_i - y_i)^2 from w = 0.

    Layer l takes a step of rates[l]. With curvatures[l] = c that is not 0 it also turns inputs x
    into (I - c / N sum x_i x_i^T) x, which the next steps then meet: "GD++", descent with a better
    condition. (The division by N is our reading, as is the sign.)

    Args:
      rates, curvatures: [layers].
      context: N, the number of examples.
      dimension: d.
    """
    rates = jnp.asarray(rates, jnp.float32)
    curvatures = jnp.broadcast_to(jnp.asarray(curvatures, jnp.float32), rates.shape)
    inputs = jnp.append(jnp.ones(dimension, jnp.float32), 0)
    reads = jnp.broadcast_to(jnp.diag(inputs), (len(rates), dimension + 1, dimension + 1))
    values = jnp.broadcast_to(-jnp.eye(dimension + 1, dtype=jnp.float32), reads.shape)
    steps = jnp.where(inputs > 0, curvatures[:, None], rates[:, None]) / context
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
        depth = self.layers.query.shape[0]
        for i in range(depth * self.repeats):
            layer = jax.tree.map(lambda x, i=i: x[i % depth], self.layers)
            last = i == depth * self.repeats - 1
            after = examples if last else attend(layer, examples, examples)
            reader, examples = attend(layer, examples, reader), after
        return -reader[0, -1]


@flax.struct.dataclass
class Descent:
    """Forecasts by gradient descent on 1 / (2N) sum (w.x_i - y_i)^2 from w = 0, as descent.

    rates: [steps]. curvatures: [steps] or a number; before the next step, inputs x become
    (I - c / N sum x_i x_i^T) x, where c is not 0: GD++.
    """

    rates: Any
    curvatures: Any = 0.0

    def predict(self, features: jax.Array, labels: jax.Array, query: jax.Array) -> jax.Array:
        """The label [] of a query [d], after examples [N, d] with labels [N]."""
        rates = jnp.asarray(self.rates, jnp.float32)
        curvatures = jnp.broadcast_to(jnp.asarray(self.curvatures, jnp.float32), rates.shape)
        count, forecast = labels.shape[0], jnp.zeros((), jnp.float32)
        for i in range(rates.shape[0]):
            slope = (
                -jnp.sum(labels[:, None] * features, axis=0) / count
            )  # at w = 0: y is what is left
            step = -rates[i] * slope
            forecast = forecast + jnp.sum(step * query)
            labels = labels - jnp.sum(features * step, axis=1)
            if i < rates.shape[0] - 1:
                moments = jnp.sum(features[:, :, None] * features[:, None, :], axis=0) / count
                turn = jnp.eye(len(query), dtype=jnp.float32) - curvatures[i] * moments
                features, query = features @ turn, turn @ query
        return forecast
