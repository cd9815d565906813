"""A small network of the context, with inverse-gap weighting."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

from ... import noise as tapes
from ..parameters import filled, require
from .chebyshev import check_interval, inverse_gap, position


class Network(NamedTuple):
    """out @ tanh(slopes x + offsets) + base: of a number x, the costs of K arms."""

    slopes: jax.Array  # [H]
    offsets: jax.Array  # [H]
    out: jax.Array  # [K, H]
    base: jax.Array  # [K]

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.sum(self.out * jnp.tanh(self.slopes * x + self.offsets), axis=1) + self.base


class NeuralState(NamedTuple):
    network: Network
    optimiser: Any
    first: jax.Array  # [] log of the first number of iterations
    positions: jax.Array  # [] sum of the contexts, each in [-1, 1]
    rounds: jax.Array  # [] int32, rounds played


@flax.struct.dataclass
class NeuralTuner:
    """NeuSquareCB on the context: online regression by a network, and inverse-gap weighting.

    Deb, Ban, Zuo, He and Banerjee, "Contextual bandits with online neural regression", ICLR 2024,
    in a plain form: one hidden layer of tanh with an output for each arm, which after every round
    takes one step of Adagrad (Duchi, Hazan and Singer, JMLR 12, 2011) on half the squared error of
    the arm that was played, without the perturbed copies of the network that their proof needs.
    The target is log(iterations / iterations of the first round), so that a system a hundred times
    as hard does not drown all others. In round t, arm i is played with probability
    1 / (K + rate sqrt(K t) (y_i - least)), the first of the cheapest with the rest. The outputs
    start at 0: the first round is uniform. The context is the observation.

    One uniform a round, by inversion in index order. Recommends the cheapest arm at the mean
    context so far, the lowest index on ties.

    The defaults were found by trial on a model of SOR, where Adam and plain gradient steps at a
    constant rate did worse. It learns more slowly than ChebCB there.

    Args:
      interval: [2], the ends a < b of the contexts; left blank, the environment's.
      hidden: number of hidden units.
      learning_rate: of Adagrad, whose steps shrink as gradients add up.
      rate: how fast exploration ends.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    interval: Any = None
    hidden: int = flax.struct.field(pytree_node=False, default=32)
    learning_rate: Any = 0.1
    rate: Any = 5.0

    def __post_init__(self):
        if not isinstance(self.hidden, int) or self.hidden < 1:
            raise ValueError(
                f"NeuralTuner: hidden is a whole number, one or more, got {self.hidden!r}"
            )
        check_interval(self)
        require(self, "learning_rate", lambda x: x > 0, "positive")
        require(self, "rate", lambda x: x >= 0, "zero or more")

    def init(self, key):
        num_arms: Any = filled(self, "num_arms")
        # Bends all over the interval: steep enough to tell its ends apart.
        slopes, offsets = 4 * tapes.normal(key, (2, self.hidden))
        zeros = jnp.zeros(num_arms, jnp.float32)
        network = Network(slopes, offsets, jnp.zeros((num_arms, self.hidden), jnp.float32), zeros)
        zero = jnp.float32(0)
        return NeuralState(network, self._optimiser().init(network), zero, zero, jnp.int32(0))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        num_arms: Any = filled(self, "num_arms")
        costs = state.network(self._position(observation))
        rounds = (state.rounds + 1).astype(jnp.float32)
        return tapes.categorical(noise, inverse_gap(costs, self.rate * jnp.sqrt(num_arms * rounds)))

    def update(self, state, observation, arm, feedback):
        x = self._position(observation)
        count = jnp.log(jnp.maximum(feedback.iterations, 1).astype(jnp.float32))
        first = jnp.where(state.rounds == 0, count, state.first)

        def loss(network):
            return jnp.square(network(x)[arm] - (count - first)) / 2

        slopes = jax.grad(loss)(state.network)
        steps, optimiser = self._optimiser().update(slopes, state.optimiser)
        network: Any = optax.apply_updates(state.network, steps)
        return NeuralState(network, optimiser, first, state.positions + x, state.rounds + 1)

    def recommend(self, state):
        mean = state.positions / jnp.maximum(state.rounds, 1)
        return tapes.argmax(-state.network(mean))

    def _optimiser(self):
        return optax.adagrad(self.learning_rate)

    def _position(self, context):
        return position(context, filled(self, "interval"))
