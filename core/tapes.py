"""Noise tapes as `simulate` cuts them: blocks of rounds, each drawn in one piece."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import noise
from .compiled import jit
from .devices import devices
from .protocol import Noise

BLOCK = 128  # rounds of noise drawn at once, at most: enough to vectorise
_BYTES = 4096  # of noise a seed, about: fewer rounds at once where a round takes many draws


def block_rounds(player: Any) -> int:
    """How many rounds of a player's noise to draw at once: a power of two from 8 to BLOCK."""
    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(one_round(player)))
    return 2 ** max(3, min(int(math.log2(_BYTES / max(size, 1))), int(math.log2(BLOCK))))


def one_round(player: Any) -> Noise:
    """Shapes of one round's noise."""
    tape = jax.eval_shape(lambda: player.noise(noise.root(0), 1))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), tape)


def environment_tape(env: Any, seeds: np.ndarray, rounds: int, root_seed: int) -> Noise:
    """The noise that `simulate` hands to an environment that is not stacked: leaves [seed, round,
    ...]."""
    devices()  # before JAX starts: one a core
    numbers = jnp.asarray(seeds.astype(np.uint32))
    return _tape(env, numbers, noise.root(root_seed), rounds=rounds, size=block_rounds(env))


def environment_keys(seeds: np.ndarray, root_seed: int) -> np.ndarray:
    """The words of the keys from which `simulate` starts an environment, uint32 [seed, 2]."""
    devices()
    root = noise.root(root_seed)

    def words(number):
        key = noise.stream(noise.stream(root, number), "environment")
        return jax.random.key_data(key)

    return np.asarray(jax.jit(jax.vmap(words))(jnp.asarray(seeds.astype(np.uint32))))


@partial(jit, static_argnames=("rounds", "size"))
def _tape(env, numbers, root, *, rounds, size):
    blocks = jnp.arange(-(-rounds // size), dtype=jnp.uint32)

    def one(number):
        key = noise.stream(noise.stream(root, number), "environment noise")
        tape = jax.vmap(lambda block: env.noise(noise.stream(key, block), size))(blocks)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:rounds], tape)

    return jax.vmap(one)(numbers)
