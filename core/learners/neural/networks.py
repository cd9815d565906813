"""Networks whose first layer has a block of weights for every arm.

A network of contexts in R^(K d) of which only block a is not zero needs the weights of that block
only. The first layer is kept as [d, B, m], with B = K blocks where arms are disjoint and one block
where they share a model; a prediction for an arm, its gradient and a step on it touch one block.
All other weights are shared by the arms. (With the blocks in the middle all arms are one product
with a matrix [d, B m]; with the blocks first XLA on a CPU turns the weights around in every round.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...protocol import Context, Key


class MLP(nn.Module):
    """ReLU layers and a linear output: [d] to []. Its first weights are those of one block."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        for depth, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, name=_layer(depth))(x))
        return nn.Dense(1, name=_layer(len(self.hidden)))(x)[..., 0]


class Weights(NamedTuple):
    """The weights of a network, or of one block of it, or a gradient of either."""

    blocks: jax.Array  # [d, B, m], or [d, m]: the first layer, without its offsets
    shared: Any  # all others, as flax names them


def _layer(depth: int) -> str:
    return f"layer{depth}"


def random_weights(key: Key, hidden: Sequence[int], num_blocks: int, dimension: int) -> Weights:
    """Weights and offsets uniform on +-1 / sqrt(inputs), where the first layer counts num_blocks *
    dimension inputs: what PyTorch starts linear layers with, and the published code with it."""
    sizes = (num_blocks * dimension, *hidden, 1)
    shared, blocks = {}, None
    for depth, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        bound = 1 / math.sqrt(inputs)
        weights, offsets = (
            bound * (2 * tapes.uniform(tapes.stream(key, f"{name}{depth}"), shape) - 1)
            for name, shape in (("weights", (inputs, outputs)), ("offsets", (outputs,)))
        )
        shared[_layer(depth)] = {"bias": offsets, "kernel": weights}
        if depth == 0:
            blocks = weights.reshape(dimension, num_blocks, outputs)
            del shared[_layer(depth)]["kernel"]
    assert blocks is not None
    return Weights(blocks, shared)


def apply(weights: Weights, x: jax.Array) -> jax.Array:
    """The output for features [d] by the weights of one block: []."""
    hidden = _widths(weights.shared)
    first = weights.shared[_layer(0)] | {"kernel": weights.blocks}
    return jnp.asarray(MLP(hidden).apply({"params": weights.shared | {_layer(0): first}}, x))


def _widths(shared) -> tuple[int, ...]:
    return tuple(shared[_layer(depth)]["bias"].shape[-1] for depth in range(len(shared) - 1))


def outputs(weights: Weights, context: Context) -> jax.Array:
    """The outputs for all arms, [K]."""
    return over_arms(apply, weights, context)


def gradients(weights: Weights, context: Context) -> Weights:
    """The gradients of all arms' outputs, each with respect to the arm's block and what is shared:
    leaves [K, ...]. The arms' other blocks have gradient zero."""
    return over_arms(jax.grad(apply), weights, context)


def over_arms(function: Any, weights: Weights, context: Context) -> Any:
    """function(weights of the arm's block, features) of every arm."""
    if disjoint(context):
        return jax.vmap(function, (Weights(1, None), None))(weights, context.features)  # pyright: ignore[reportArgumentType]
    return jax.vmap(function, (None, 0))(block(weights, 0), context.features)


def disjoint(context: Context) -> bool:
    return context.features.ndim == 1


def block(weights: Weights, index: Any) -> Weights:
    """The weights that the outputs of arms in a block depend on."""
    return weights._replace(blocks=jax.lax.dynamic_index_in_dim(weights.blocks, index, 1, False))


def with_block(weights: Weights, part: Weights, index: Any) -> Weights:
    """`weights` with those of one block replaced."""
    blocks = jax.lax.dynamic_update_index_in_dim(weights.blocks, part.blocks, index, 1)
    return Weights(blocks, part.shared)


def played(context: Context, arm: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The features of an arm [d], and which block is its own."""
    if disjoint(context):
        return context.features, arm
    return context.features[arm], jnp.zeros_like(arm)


def size(weights: Weights) -> int:
    """Number of weights p."""
    return sum(x.size for x in jax.tree.leaves(weights))
