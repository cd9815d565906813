"""Regression by a network that is trained on all that was seen, now and then."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ... import noise as tapes
from ...lanes import one_by_one
from ...protocol import Context, Key, concrete
from ..linear.ridge import shown_features
from ..parameters import filled, nonnegative, require
from .networks import Weights, apply, block, outputs, played, random_weights, with_block
from .regression import as_rewards, check_network, divergence, num_blocks, target


class History(NamedTuple):
    """Rounds so far; rows from the number of rounds on are empty."""

    features: jax.Array  # [T, d] of the arm that was played
    blocks: jax.Array  # [T] int32, its block
    targets: jax.Array  # [T]
    order: jax.Array  # [T] int32, a permutation of the rounds so far, and then of the rest


class ReplayState(NamedTuple):
    weights: Weights
    history: History
    rounds: jax.Array  # [] int32
    key: Key


@flax.struct.dataclass
class ReplayNetwork:
    """Stochastic gradient descent over the whole history, every `early` or every `late` rounds.

    The training of the published code of EE-Net (Ban, Yan, Banerjee and He, "EE-Net:
    exploitation-exploration neural networks in contextual bandits", ICLR 2022), whose authors wrote
    "Contextual bandits with online neural regression" too: rounds 0, 10, 20, ... train until round
    `turn`, and later every hundredth. Training goes on from where the last one ended. It takes
    steps on single rounds, in an order shuffled once a training, pass after pass, and ends after
    `steps` steps or after a pass whose mean loss is `tolerance` at most. Steps are learning_rate
    times the gradient of (output - y)^2, or of the Kullback-Leibler divergence of sigmoid(output)
    from y ("kl").

    The state holds the history: it grows with the horizon, not with the rounds played.

    Args:
      hidden: widths of the ReLU layers.
      loss: "square" or "kl".
      of: "losses" are predicted (y = 1 - reward, so that an arm never played looks good), or
        "rewards".
      learning_rate: of the steps.
      turn, early, late: trains every `early` rounds up to round `turn`, then every `late` rounds.
      steps, tolerance: of a training.
      weight_decay: every step also takes learning_rate * weight_decay, less than one, times all
        weights from them; None: no decay.
      horizon: most rounds that can be kept; taken from the run.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    hidden: tuple[int, ...] = flax.struct.field(pytree_node=False, default=(100,))
    loss: str = flax.struct.field(pytree_node=False, default="square")
    of: str = flax.struct.field(pytree_node=False, default="losses")
    learning_rate: Any = 0.01
    turn: Any = 1000
    early: Any = 10
    late: Any = 100
    steps: int = flax.struct.field(pytree_node=False, default=2000)
    tolerance: Any = 1e-3
    weight_decay: Any = None
    horizon: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        check_network(self)
        require(self, "learning_rate", nonnegative, "zero or more")
        require(self, "tolerance", nonnegative, "zero or more")
        require(self, "weight_decay", nonnegative, "zero or more")
        rate, decay = concrete(self.learning_rate), concrete(self.weight_decay)
        if rate is not None and decay is not None and np.any(rate * decay >= 1):
            raise ValueError(
                f"ReplayNetwork: learning_rate * weight_decay is less than 1, got "
                f"{np.max(rate * decay):.3g}: weights would change their signs in every step"
            )
        for name in ("early", "late"):
            require(self, name, lambda x: (x >= 1) & (x == x // 1), "a whole number from one")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"ReplayNetwork: steps is a whole number from one, got {self.steps!r}")

    def init(self, key):
        dimension, capacity = filled(self, "dimension"), filled(self, "horizon")
        weights = random_weights(
            tapes.stream(key, "weights"), self.hidden, num_blocks(self), dimension
        )
        rows = jnp.arange(capacity, dtype=jnp.int32)
        features = jnp.zeros((capacity, dimension), jnp.float32)
        history = History(features, jnp.zeros_like(rows), jnp.zeros(capacity, jnp.float32), rows)
        return ReplayState(weights, history, jnp.int32(0), tapes.stream(key, "order"))

    def predict(self, state, context):
        return as_rewards(self, outputs(state.weights, Context(shown_features(self, context))))

    def update(self, state, context, arm, reward):
        features, index = played(context, arm)
        history, now = state.history, state.rounds
        history = history._replace(
            features=history.features.at[now].set(features),
            blocks=history.blocks.at[now].set(index),
            targets=history.targets.at[now].set(target(self, reward)),
        )
        every = jnp.where(now < self.turn, self.early, self.late)
        state = ReplayState(state.weights, history, now + 1, state.key)

        def train(loop):
            return jnp.bool_(False), self._trained(loop[1])

        # Turns once at most: under vmap a `cond` would train in every round.
        return jax.lax.while_loop(lambda loop: loop[0], train, (now % every == 0, state))[1]

    def _trained(self, state):
        train = one_by_one(partial(_train, self.loss, self.steps))
        words = tapes.bits(tapes.stream(state.key, state.rounds), (self.steps,))
        rates = self.learning_rate, self.weight_decay, self.tolerance
        rates = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), rates)
        weights, order = train(state.weights, state.history, state.rounds, words, rates)
        return state._replace(weights=weights, history=state.history._replace(order=order))


def _train(loss, steps, weights, history, rounds, words, rates):
    """Weights after a training, and the order that it took the rounds in."""
    learning_rate, weight_decay, tolerance = rates
    descend = optax.sgd(learning_rate)
    factor = 2.0 if loss == "square" else 1.0  # (output - y)^2, without the half

    order = _shuffled(history.order, rounds, words)

    def fit(part, x, y):
        return factor * divergence(loss, apply(part, x), y)

    def kept(steps):
        """What decay leaves of a weight."""
        return jnp.exp(steps.astype(jnp.float32) * jnp.log1p(-learning_rate * weight_decay))

    def step(loop):
        row = order[loop.place]
        index = history.blocks[row]
        part = block(loop.weights, index)
        used = loop.used
        if weight_decay is not None:  # all shrink in every step: a block does when it is used
            part = part._replace(blocks=part.blocks * kept(loop.number - used[index]))
            used = used.at[index].set(loop.number + 1)
        value, slopes = jax.value_and_grad(fit)(part, history.features[row], history.targets[row])
        if weight_decay is not None:
            slopes = jax.tree.map(lambda g, w: g + weight_decay * w, slopes, part)
        moves, _ = descend.update(slopes, descend.init(part), part)
        weights = with_block(loop.weights, cast(Weights, optax.apply_updates(part, moves)), index)

        number, place, total = loop.number + 1, loop.place + 1, loop.total + value
        passed = place == rounds
        good = passed & (total <= tolerance * rounds.astype(jnp.float32))
        return _Training(
            weights, used, number, jnp.where(passed, 0, place),
            jnp.where(passed, 0.0, total), good | (number == steps),
        )  # fmt: skip

    zero, nothing = jnp.int32(0), jnp.float32(0)
    used = jnp.zeros(weights.blocks.shape[1], jnp.int32)
    start = _Training(weights, used, zero, zero, nothing, jnp.bool_(False))
    end = jax.lax.while_loop(lambda loop: ~loop.done, step, start)
    weights = end.weights
    if weight_decay is not None:
        left = kept(end.number - end.used)[:, None]
        weights = weights._replace(blocks=weights.blocks * left)
    return weights, order


def _shuffled(order, rounds, words):
    """The first places of `order`, as many as there are words and rounds, drawn at random from all
    rounds so far (Fisher and Yates)."""

    def swap(place, order):
        left = (rounds - place).astype(jnp.uint32)
        drawn = place + (words[place] % left).astype(jnp.int32)
        both = jnp.stack([place, drawn])  # as one gather and one scatter: XLA copies `order` else
        return order.at[both].set(order[both][::-1])

    return jax.lax.fori_loop(0, jnp.minimum(rounds, len(words)), swap, order)


class _Training(NamedTuple):
    weights: Weights
    used: jax.Array  # [B] int32, the steps that a block has decayed for
    number: jax.Array  # [] int32, steps taken
    place: jax.Array  # [] int32, in the order
    total: jax.Array  # [] sum of the losses of this pass
    done: jax.Array  # [] bool
