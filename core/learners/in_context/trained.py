"""Forecasters of whole tasks: with weights that stay, and with weights that are trained on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

from ... import noise as tapes
from ..parameters import filled, require
from .attention import Attention, Transformer


@flax.struct.dataclass
class FixedForecaster:
    """Answers the queries of tasks with a forecaster that learns nothing from one for the next.

    forecaster: something with `predict(features, labels, query)`, such as a `Descent`. It is also
    what is recommended.
    """

    forecaster: Any

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, tasks, noise):
        return jax.vmap(self.forecaster.predict)(*tasks)

    def update(self, state, tasks, predictions, feedback):
        return state

    def recommend(self, state):
        return self.forecaster


class TrainedState(NamedTuple):
    layers: Attention  # [layers, e, e] each
    optimiser: Any


@flax.struct.dataclass
class TrainedAttention:
    """Linear self-attention that is trained on tasks: every round is a step of Adam on the mean of
    1/2 (forecast - label)^2 over the round's tasks.

    The training of von Oswald et al., ICML 2023, in the numbers of their published code for one or
    two layers: steps of 1e-3 with moments .9 and .98, gradients clipped to a norm of 1e-3, all four
    matrices of a layer free, their entries normal at first with a variance of
    0.002 / (layers repeats (d + 1)); there a normal cut off at two deviations, of that variance.

    Args:
      dimension: number of features d; taken from the environment.
      layers: different layers. repeats: times that the stack is gone through ("recurrent").
      learning_rate, clip: positive; the clip is on the norm of the whole gradient.
      initial_scale: 0.002 above, positive.

    Recommends the `Transformer` that it has. Raises ValueError for a parameter that is not so.
    """

    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    layers: int = flax.struct.field(pytree_node=False, default=1)
    repeats: int = flax.struct.field(pytree_node=False, default=1)
    learning_rate: Any = 1e-3
    clip: Any = 1e-3
    initial_scale: Any = 0.002

    def __post_init__(self):
        for name in ("learning_rate", "clip", "initial_scale"):
            require(self, name, lambda x: x > 0, "positive")
        for name in ("layers", "repeats"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"TrainedAttention: {name} is a whole number from one, got {value!r}"
                )

    def init(self, key):
        size = filled(self, "dimension") + 1
        depth = self.layers * self.repeats
        deviation = jnp.sqrt(jnp.asarray(self.initial_scale, jnp.float32) / (depth * size))
        drawn = deviation * tapes.normal(key, (4, self.layers, size, size))
        layers = Attention(*drawn)
        return TrainedState(layers, self._optimiser().init(layers))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, tasks, noise):
        return self._answers(state.layers, tasks)

    def update(self, state, tasks, predictions, feedback):
        def loss(layers):
            return jnp.mean((self._answers(layers, tasks) - feedback.labels) ** 2) / 2

        moves, optimiser = self._optimiser().update(jax.grad(loss)(state.layers), state.optimiser)
        layers: Any = optax.apply_updates(state.layers, moves)
        return TrainedState(layers, optimiser)

    def recommend(self, state):
        return Transformer(state.layers, self.repeats)

    def _answers(self, layers, tasks):
        return jax.vmap(Transformer(layers, self.repeats).predict)(*tasks)

    def _optimiser(self):
        return optax.chain(
            optax.clip_by_global_norm(self.clip), optax.adam(self.learning_rate, 0.9, 0.98)
        )
