"""Online regression by linear self-attention over the rounds so far."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...lanes import one_by_one
from ..parameters import filled, nonnegative, require


class Cache(NamedTuple):
    """Keys and values of the rounds so far; zeros beyond them."""

    keys: jax.Array  # [T, d]: features, the same in every layer
    values: jax.Array  # [L, T]: what the layer finds of the labels; one row unless `causal`
    rounds: jax.Array  # [] int32


@flax.struct.dataclass
class InContext:
    """Forecasts a label as a stack of linear self-attention layers does whose weights are fixed:
    they make each layer a step of gradient descent, from zero, on the mean squared error of the
    rounds so far.

    Von Oswald et al., "Transformers learn in-context by gradient descent", ICML 2023 (arXiv
    2212.07677), Proposition 1. A layer reads the N examples (x_i, r_i) so far and subtracts
    rate / (N + offset) sum_i r_i <x_i, x> from what is left, r, of a token's label: y at first for
    an example, 0 for the query. The forecast is what has gone from the query's.

    A round is one token: its example is written into the cache. A round costs layers * T * d
    operations and the state grows with the horizon T.

    Args:
      dimension: number of features d; taken from the environment.
      layers: number of layers.
      rate: of the steps; left blank, 1 / feature_bound^2, with which no step overshoots.
      offset: zero or more, added to the number of examples: steps are small while there are few.
        With `theory.spread`, a rate of 1 / `theory.second_moment` is the best for one layer in
        every round.
      causal: examples attend to themselves and the ones before them alone, as in a decoder: each
        goes through the layers once, when it comes, and each layer keeps values of its own. By
        default all examples attend to each other: then layers are steps of descent exactly.
      feature_bound: on |x|; taken from the environment.
      horizon: most rounds that can be kept; taken from the run.

    Raises:
      ValueError: layers that are not a whole number from one, a rate or offset below zero.
    """

    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    layers: int = flax.struct.field(pytree_node=False, default=1)
    rate: Any = None
    offset: Any = 0.0
    causal: bool = flax.struct.field(pytree_node=False, default=False)
    feature_bound: Any = None
    horizon: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        if isinstance(self.layers, bool) or not isinstance(self.layers, int) or self.layers < 1:
            raise ValueError(f"InContext: layers is a whole number from one, got {self.layers!r}")
        require(self, "rate", nonnegative, "zero or more")
        require(self, "offset", nonnegative, "zero or more")

    def init(self, key):
        rounds, rows = filled(self, "horizon"), self.layers if self.causal else 1
        keys = jnp.zeros((rounds, filled(self, "dimension")), jnp.float32)
        return Cache(keys, jnp.zeros((rows, rounds), jnp.float32), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        step = self._step(state.rounds)
        values = state.values if self.causal else _deepened(state, step, self.layers)
        return _read(state.keys, values, observation.features, step)

    def update(self, state, observation, prediction, feedback):
        now = state.rounds
        keys = state.keys.at[now].set(observation.features)
        values, left = state.values, feedback.label
        for layer in range(len(values)):
            values = values.at[layer, now].set(left)
            if layer + 1 < len(values):
                row = values[layer][None]
                left -= _read(keys, row, observation.features, self._step(now + 1))
        return Cache(keys, values, now + 1)

    def recommend(self, state):
        return ()

    def _step(self, rounds):
        """The rate, divided by the number of examples and the offset."""
        rate = filled(self, "feature_bound") ** -2.0 if self.rate is None else self.rate
        return rate / (jnp.maximum(rounds, 1).astype(jnp.float32) + self.offset)


# A seed at a time: as products of one matrix they are faster on a CPU, and a seed's digits do not
# depend on the others.


@one_by_one
def _read(keys, values, query, step):
    """What all layers, with values [L, T], take from a token's label."""
    scores = jnp.dot(keys, query, precision="highest")  # [T]: no softmax
    return step * jnp.sum(jnp.dot(values, scores, precision="highest"))


@one_by_one
def _next_values(keys, values, step):
    """Values [T] after a layer in which every example reads all of them."""
    slope = jnp.dot(values, keys, precision="highest")
    return values - step * jnp.dot(keys, slope, precision="highest")


def _deepened(cache: Cache, step, layers: int):
    """The values that each layer finds, [layers, T]."""
    rows = [cache.values[0]]
    for _ in range(layers - 1):
        rows.append(_next_values(cache.keys, rows[-1], step))
    return jnp.stack(rows)
