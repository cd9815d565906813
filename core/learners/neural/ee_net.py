"""EE-Net: a second network learns, from the gradient of the first, how far the first is off."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from ... import noise as tapes
from ...lanes import one_by_one
from ...protocol import Context, Key, complete
from ..parameters import filled, nonnegative, require
from .networks import MLP, Weights, disjoint, gradients
from .regression import num_blocks, target
from .replay import ReplayNetwork

_KERNEL, _STRIDE = 100, 50
_DECIDER, _DECIDES_AFTER, _DECIDER_STEPS, _DECIDER_TOLERANCE = MLP((20,)), 500, 1000, 1e-3


class Gradient(NamedTuple):
    """What the gradient of an arm's output is made of. In the weights of the first layer it is the
    product of `units` and `features`, in one block; so much is kept, instead of p numbers."""

    features: jax.Array  # [d]
    block: jax.Array  # [] int32
    units: jax.Array  # [m]: in the offsets of the first layer
    rest: jax.Array  # [r]: in all that comes after the first layer's weights, summed in pools


def arm_gradients(weights: Weights, context: Context, pool: int) -> Gradient:
    """The gradients of all arms' outputs: leaves [K, ...]."""
    shared = gradients(weights, context).shared
    units = shared["layer0"]["bias"]
    num_arms, first = len(units), weights.blocks.size
    flat = [units]
    for depth in range(1, len(shared)):
        layer = shared[f"layer{depth}"]
        flat += [jnp.swapaxes(layer["kernel"], 1, 2).reshape(num_arms, -1), layer["bias"]]
    flat = jnp.concatenate(flat, axis=1)
    pools = (first + flat.shape[1]) // pool + 1 - first // pool
    begin = first % pool
    flat = jnp.pad(flat, ((0, 0), (begin, pools * pool - begin - flat.shape[1])))
    rest = jnp.sum(flat.reshape(num_arms, pools, pool), axis=2)
    arms = jnp.arange(num_arms, dtype=jnp.int32)
    if disjoint(context):
        features = jnp.broadcast_to(context.features, (num_arms, len(context.features)))
        return Gradient(features, arms, units, rest)
    return Gradient(context.features, jnp.zeros_like(arms), units, rest)


def pooled(gradient: Gradient, num_blocks: int, pool: int) -> jax.Array:
    """Means over pools of `pool` weights, zeros in other blocks included: [p // pool + 1].

    The weights come in the order of PyTorch, a layer's weights unit by unit and then its offsets,
    so that a pool holds neighbouring features of one or two units. The order matters: the network
    on top joins pools that are near each other. The last pool is filled up with zeros.
    """
    x, units, rest = gradient.features, gradient.units, gradient.rest
    d, m = len(x), len(units)
    row = num_blocks * d  # weights of a unit of the first layer
    begins = jnp.arange(m, dtype=jnp.int32) * row + gradient.block * d  # of the block's, by unit
    met = (d + pool - 2) // pool + 1  # pools that they can be in
    edges = pool * jnp.arange(met + 1, dtype=jnp.int32) - (begins % pool)[:, None]
    sums = jnp.concatenate([jnp.zeros(1, x.dtype), jnp.cumsum(x)])[jnp.clip(edges, 0, d)]
    where = (begins // pool)[:, None] + jnp.arange(met, dtype=jnp.int32)
    before = row * m // pool
    total = jnp.zeros(before + len(rest), x.dtype).at[before:].set(rest)
    return total.at[where].add(units[:, None] * (sums[:, 1:] - sums[:, :-1])) / pool


class Exploration(nn.Module):
    """A convolution of one channel, a ReLU layer and a linear output: [L] to [].

    The kernel has 100 weights and moves by 50; of shorter inputs it has L. What is left over at the
    end of the input is not seen.
    """

    @nn.compact
    def __call__(self, x):
        kernel = min(_KERNEL, x.shape[-1])
        x = nn.Conv(1, (kernel,), (_STRIDE,), "VALID", name="layer0")(x[..., None])[..., 0]
        x = nn.relu(nn.Dense(100, name="layer1")(x))
        return nn.Dense(1, name="layer2")(x)[..., 0]


class Memory(NamedTuple):
    gradients: Gradient  # leaves [N, ...]
    targets: jax.Array  # [N]
    count: jax.Array  # [] int32: rows from here on are empty


class EENetState(NamedTuple):
    inner: Any  # of the regressor
    exploration: Any  # weights of the second network
    memory: Memory
    decider: Any  # weights of the third network, or ()
    outputs: Any  # [T, 2]: what the first two said of the arms that were played, or ()
    key: Key


@flax.struct.dataclass
class EENet:
    """EE-Net: plays the largest f1 + w (f2 - 1), where f1 predicts an arm's reward and f2, from
    the gradient of f1 in its weights, how much more than that it will bring (plus one).

    Ban, Yan, Banerjee and He, "EE-Net: exploitation-exploration neural networks in contextual
    bandits", ICLR 2022, Algorithm 1, in the form of the authors' code, with its numbers:

    - f1 is a `ReplayNetwork`; f2 trains in the same rounds, after it, and likewise: on single rows
      of its memory, shuffled once a training, pass after pass, until `steps` steps or a pass of
      mean squared error `tolerance`. Steps are Adam's, which starts anew every training, with
      weight_decay times the weights added to the gradient (not decoupled from it).
    - f2 sees means over pools of 50 weights (`pooled`), by the weights when the arm was played, and
      is a convolution below a hidden layer (`Exploration`).
    - The arm that was played is a row of its memory, with target reward - f1 + 1. While t < turn
      and the reward is 0, all other arms are rows too, with target `bonus`.
    - w is `weight` in rounds t <= turn (they count from 0) and `late_weight` afterwards.
    - With `decision` a third network chooses after round 500: 20 ReLU units on (f1, f2), trained
      for rewards with Adam in 1,000 steps at most, until a pass of mean squared error 0.001. The
      code has it, and runs without it; so does the default.

    Deterministic but for the first weights and the shuffles; ties go to the lowest index. The
    memory has T + (K - 1) min(T, turn + 1) rows of d + m + p_shared / pool numbers, m the width of
    the first layer and p_shared the number of weights that do not belong to an arm.

    Args:
      regressor: f1, a `ReplayNetwork`.
      pool: how many weights a number of f2's input is the mean of.
      learning_rate: of Adam, for f2 and the third network.
      weight_decay, steps, tolerance: of f2.
      weight, late_weight, turn, bonus, decision: see above.

    Raises:
      ValueError: a regressor that is not a `ReplayNetwork`, numbers out of range.
    """

    regressor: Any = ReplayNetwork(of="rewards")
    pool: int = flax.struct.field(pytree_node=False, default=50)
    learning_rate: Any = 0.001
    weight_decay: Any = 1e-4
    steps: int = flax.struct.field(pytree_node=False, default=2000)
    tolerance: Any = 2e-3
    weight: Any = 0.1
    late_weight: Any = 0.01
    turn: int = flax.struct.field(pytree_node=False, default=1000)
    bonus: Any = 1.2
    decision: bool = flax.struct.field(pytree_node=False, default=False)

    def __post_init__(self):
        if type(self.regressor) is not object and not isinstance(self.regressor, ReplayNetwork):
            raise ValueError(
                f"EENet: regressor is a ReplayNetwork, whose gradients and rounds of training it "
                f"uses, got {self.regressor!r}"
            )
        for name, low in (("pool", 1), ("steps", 1), ("turn", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ValueError(f"EENet: {name} is a whole number from {low}, got {value!r}")
        for name in ("learning_rate", "weight_decay", "tolerance", "weight", "late_weight"):
            require(self, name, nonnegative, "zero or more")
        require(self, "bonus", lambda x: True, "a number")

    @property
    def num_arms(self) -> int | None:
        return self.regressor.num_arms

    def completed(self, env, horizon):
        return dataclasses.replace(self, regressor=complete(self.regressor, env, horizon))

    def init(self, key):
        num_arms, horizon = filled(self.regressor, "num_arms"), filled(self.regressor, "horizon")
        inner = self.regressor.init(tapes.stream(key, "exploitation"))
        shape = (filled(self.regressor, "dimension"),)
        seen = Context(jnp.zeros(shape if self.regressor.disjoint else (num_arms, *shape)))
        rows = arm_gradients(inner.weights, seen, self.pool)
        capacity = horizon + (num_arms - 1) * min(horizon, self.turn + 1)
        empty = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape[1:]), x.dtype), rows)
        memory = Memory(empty, jnp.zeros(capacity, jnp.float32), jnp.int32(0))
        length = jax.eval_shape(self._pooled, jax.tree.map(lambda x: x[0], rows)).shape
        exploration = _random_weights(tapes.stream(key, "exploration"), Exploration(), length)
        decider, outputs = (), ()
        if self.decision:
            decider = _random_weights(tapes.stream(key, "decision"), _DECIDER, (2,))
            outputs = jnp.zeros((horizon, 2), jnp.float32)
        key = tapes.stream(key, "order")
        return EENetState(inner, exploration, memory, decider, outputs, key)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        first, second = self.scores(state, observation)
        now = state.inner.rounds
        total = first + jnp.where(now <= self.turn, self.weight, self.late_weight) * (second - 1)
        if self.decision:
            decided = _DECIDER.apply(state.decider, jnp.stack([first, second], axis=1))
            total = jnp.where(now > _DECIDES_AFTER, jnp.asarray(decided), total)
        return tapes.argmax(total)

    def update(self, state, observation, arm, feedback):
        now, reward = state.inner.rounds, feedback.reward
        first, second = self.scores(state, observation)
        rows = arm_gradients(state.inner.weights, observation, self.pool)
        memory = self._stored(state.memory, rows, arm, reward, first[arm], now)
        outputs = state.outputs
        if self.decision:
            outputs = outputs.at[now].set(jnp.stack([first[arm], second[arm]]))
        inner = self.regressor.update(state.inner, observation, arm, reward)
        state = state._replace(inner=inner, memory=memory, outputs=outputs)
        every = jnp.where(now < self.regressor.turn, self.regressor.early, self.regressor.late)

        def train(loop):
            return jnp.bool_(False), self._trained(state, *loop)

        # Turns once at most, and carries no memory: under vmap all that it carries is copied.
        start = now % every == 0, (state.exploration, state.decider)
        exploration, decider = jax.lax.while_loop(lambda loop: loop[0], train, start)[1]
        return state._replace(exploration=exploration, decider=decider)

    def recommend(self, state):
        return ()

    def scores(self, state: EENetState, context: Context) -> tuple[jax.Array, jax.Array]:
        """f1 and f2 of all arms, [K] each."""
        rows = arm_gradients(state.inner.weights, context, self.pool)
        second = jax.vmap(self._explored, (None, 0))(state.exploration, rows)
        return self.regressor.predict(state.inner, context), second

    def _pooled(self, row):
        return pooled(row, num_blocks(self.regressor), self.pool)

    def _explored(self, weights, row):
        return jnp.asarray(Exploration().apply(weights, self._pooled(row)))

    def _stored(self, memory, rows, arm, reward, predicted, now):
        """With the arm that was played, and perhaps the others. All are written, the played one
        first; what comes next overwrites those that do not count."""
        num_arms = len(rows.block)
        first = jnp.arange(num_arms, dtype=jnp.int32).at[0].set(arm).at[arm].set(0)
        targets = jnp.full(num_arms, self.bonus, jnp.float32).at[0].set(reward - predicted + 1)
        count = jnp.where((now < self.turn) & (reward == 0), num_arms, 1).astype(jnp.int32)

        def write(kept, new):
            return jax.lax.dynamic_update_slice_in_dim(kept, new, memory.count, 0)

        gradients = jax.tree.map(lambda a, b: write(a, b[first]), memory.gradients, rows)
        return Memory(gradients, write(memory.targets, targets), memory.count + count)

    def _trained(self, state, due, networks):
        """The second and third network after a training. It is made of what the loop carries (`due`
        is true): XLA takes what is not out of the loop, and would do it in every round."""
        exploration, decider = networks
        memory, rounds = state.memory, jnp.where(due, state.inner.rounds, 0)
        key = tapes.stream(state.key, rounds)
        rates = self.learning_rate, self.weight_decay, self.tolerance
        rows = _shuffled(key, (memory.gradients, memory.targets), memory.count, self.steps)
        exploration = _train(self._explored, exploration, rows, self.steps, rates)
        if self.decision:
            rates = self.learning_rate, 0.0, _DECIDER_TOLERANCE
            rewards = target(self.regressor, state.inner.history.targets)  # its own inverse
            data = state.outputs, rewards
            rows = _shuffled(tapes.stream(key, "decision"), data, rounds, _DECIDER_STEPS)
            decider = _train(_DECIDER.apply, decider, rows, _DECIDER_STEPS, rates)
        return exploration, decider


def _random_weights(key: Key, network: nn.Module, shape: tuple[int, ...]) -> Any:
    """Weights and offsets uniform on +-1 / sqrt(inputs), layer by layer, as PyTorch's."""
    layers = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))["params"]
    draws = tapes.uniform(key, (sum(x.size for x in jax.tree.leaves(layers)),))
    weights, begin = {}, 0
    for name, layer in sorted(layers.items()):
        bound, weights[name] = 1 / math.sqrt(math.prod(layer["kernel"].shape[:-1])), {}
        for kind, leaf in sorted(layer.items()):
            part, begin = draws[begin : begin + leaf.size], begin + leaf.size
            weights[name][kind] = (bound * (2 * part - 1)).reshape(leaf.shape)
    return {"params": weights}


def _shuffled(key: Key, rows: Any, count: jax.Array, most: int) -> tuple[Any, jax.Array]:
    """Of the first `count` rows, in random order, the first `most`, and how many that are."""
    capacity = len(jax.tree.leaves(rows)[0])
    words, last = tapes.bits(key, (capacity,)), jnp.uint32(2**32 - 1)
    order = jnp.argsort(jnp.where(jnp.arange(capacity) < count, words, last), stable=True)[:most]
    return jax.tree.map(lambda x: x[order], rows), jnp.minimum(count, most)


class _Training(NamedTuple):
    weights: Any
    moments: Any  # Adam's
    number: jax.Array  # [] int32, steps taken
    place: jax.Array  # [] int32, of the row
    total: jax.Array  # [] sum of the squared errors of this pass
    done: jax.Array  # [] bool


def _train(output: Callable[..., Any], weights: Any, rows: Any, steps: int, rates: Any) -> Any:
    """Weights after a training on rows ((inputs, targets), their number), in the order given."""
    (inputs, targets), count = rows
    rates = jax.tree.map(lambda x: jnp.asarray(x, targets.dtype), rates)
    return one_by_one(partial(_descend, output, steps))(weights, inputs, targets, count, rates)


def _descend(output, steps, weights, inputs, targets, count, rates):
    learning_rate, weight_decay, tolerance = rates
    adam = optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(learning_rate))

    def step(loop):
        def error(weights):
            row = jax.tree.map(lambda x: x[loop.place], inputs)
            return jnp.square(output(weights, row) - targets[loop.place])

        value, slopes = jax.value_and_grad(error)(loop.weights)
        moves, moments = adam.update(slopes, loop.moments, loop.weights)
        number, place, total = loop.number + 1, loop.place + 1, loop.total + value
        passed = place == count
        good = passed & (total <= tolerance * count.astype(total.dtype))
        return _Training(
            optax.apply_updates(loop.weights, moves), moments, number, jnp.where(passed, 0, place),
            jnp.where(passed, 0, total), good | (number == steps),
        )  # fmt: skip

    zero, nothing = jnp.int32(0), jnp.zeros((), targets.dtype)
    start = _Training(weights, adam.init(weights), zero, zero, nothing, jnp.bool_(False))
    return jax.lax.while_loop(lambda loop: ~loop.done, step, start).weights
