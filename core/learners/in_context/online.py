"""Online regression by linear self-attention over the rounds so far."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...protocol import concrete
from ..parameters import filled, nonnegative, require


class Cache(NamedTuple):
    """Keys and values of the rounds so far, one row a layer; zeros beyond them."""

    features: jax.Array  # [layers, T, d] keys, and values of what changes the features
    labels: jax.Array  # [layers, T] values: what is left of the labels
    rounds: jax.Array  # [] int32


@flax.struct.dataclass
class InContext:
    """Forecasts a label as a stack of linear self-attention layers does whose weights are fixed:
    the layers' weights make each a step of gradient descent, from zero, on the mean squared error
    of the rounds so far.

    Von Oswald et al., "Transformers learn in-context by gradient descent", ICML 2023 (arXiv
    2212.07677). Layer l reads the N examples so far, with what the layers below have left of their
    labels: r <- r - rate_l / (N + offset) sum_i r_i <x_i, x>, for the examples and for the query;
    the forecast is what has gone from the query's label. With a curvature c it also turns inputs,
    x <- x - c / (N + offset) sum_i x_i <x_i, x>, which the next layer then meets (GD++).

    A round is one token: its example is written into the cache, [T, d] keys and values. A round
    costs layers * T * d operations (T * d^2 with curvature where all tokens read each other), and
    the state grows with the horizon T.

    Args:
      dimension: number of features d; taken from the environment.
      layers: number of layers.
      rate: of the steps, a number or one a layer; left blank, 1 / feature_bound^2, with which no
        step overshoots.
      curvature: c, a number or one a layer; None: inputs stay as they are.
      offset: zero or more, added to the number of examples: steps are small while there are few.
        With `theory.spread`, a rate of 1 / `theory.second_moment` is the best in every round.
      causal: examples attend to the ones before them and themselves alone, as in a decoder: each
        goes through the layers once, when it comes, and each layer keeps a cache of its own. By
        default all examples attend to each other: then layers are steps of descent exactly.
      feature_bound: on |x|; taken from the environment.
      horizon: most rounds that can be kept; taken from the run.

    Raises:
      ValueError: layers that are not a whole number from one, a rate or curvature that is not a
        number or one a layer, a rate or offset below zero.
    """

    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    layers: int = flax.struct.field(pytree_node=False, default=1)
    rate: Any = None
    curvature: Any = None
    offset: Any = 0.0
    causal: bool = flax.struct.field(pytree_node=False, default=False)
    feature_bound: Any = None
    horizon: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        if isinstance(self.layers, bool) or not isinstance(self.layers, int) or self.layers < 1:
            raise ValueError(f"InContext: layers is a whole number from one, got {self.layers!r}")
        require(self, "rate", nonnegative, "zero or more")
        require(self, "offset", nonnegative, "zero or more")
        require(self, "curvature", np.isfinite, "a number")
        for name in ("rate", "curvature"):
            value = concrete(getattr(self, name))
            if value is not None and value.ndim and value.shape[-1] != self.layers:
                raise ValueError(
                    f"InContext: {name} is a number or one for each of {self.layers} layers, got "
                    f"shape {list(value.shape)}"
                )

    def init(self, key):
        rows = self.layers if self.causal else 1, filled(self, "horizon")
        features = jnp.zeros((*rows, filled(self, "dimension")), jnp.float32)
        return Cache(features, jnp.zeros(rows, jnp.float32), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        rates, curvatures = self._steps(state.rounds)
        x, left = observation.features, jnp.zeros((), jnp.float32)
        features, labels = state.features[0], state.labels[0]
        for i in range(self.layers):
            if i and self.causal:
                features, labels = state.features[i], state.labels[i]
            elif i:
                features, labels = _turned(features, labels, rates[i - 1], curvatures[i - 1])
            x, left = _read(features, labels, x, left, rates[i], curvatures[i])
        return -left

    def update(self, state, observation, prediction, feedback):
        now = state.rounds
        rates, curvatures = self._steps(now + 1)
        features, labels = state.features, state.labels
        x, left = observation.features, feedback.label
        for i in range(features.shape[0]):
            if i:
                before = features[i - 1], labels[i - 1]
                x, left = _read(*before, x, left, rates[i - 1], curvatures[i - 1])
            features = features.at[i, now].set(x)
            labels = labels.at[i, now].set(left)
        return Cache(features, labels, now + 1)

    def recommend(self, state):
        return ()

    def _steps(self, rounds):
        """Rates and curvatures [layers], divided by the number of examples."""
        rate = filled(self, "feature_bound") ** -2.0 if self.rate is None else self.rate
        count = jnp.maximum(rounds, 1).astype(jnp.float32) + self.offset
        rates = jnp.broadcast_to(jnp.asarray(rate, jnp.float32) / count, (self.layers,))
        if self.curvature is None:
            return rates, (None,) * self.layers
        curvature = jnp.asarray(self.curvature, jnp.float32) / count
        return rates, jnp.broadcast_to(curvature, (self.layers,))


def _read(features, labels, x, left, rate, curvature):
    """A token (x, left) after it has read a cache: linear attention, keys `features`."""
    scores = jnp.sum(features * x, axis=-1)
    if curvature is not None:
        x = x - curvature * jnp.sum(scores[:, None] * features, axis=0)
    return x, left - rate * jnp.sum(scores * labels)


def _turned(features, labels, rate, curvature):
    """All tokens of a cache, each after it has read all. Sums over the cache are taken first: they
    are the same for all tokens, as there is no softmax."""
    along = jnp.sum(labels[:, None] * features, axis=0)
    labels = labels - rate * jnp.sum(features * along, axis=-1)
    if curvature is None:
        return features, labels
    moments = jax.lax.dot_general(features, features, (((0,), (0,)), ((), ())))
    return features - curvature * jax.lax.dot(features, moments), labels
