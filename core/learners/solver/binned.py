"""A learner without context, made contextual: one copy of it for every bin of the context."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...noise import argmax, stream
from ...protocol import complete
from ..parameters import filled, require
from .rewards import check_learner


@flax.struct.dataclass
class Binned:
    """Plays, in every round, the copy of `learner` that belongs to the bin of the context.

    The interval [a, b] is cut into m equal bins, with centres a + (b - a) (j - 1/2) / m for
    j = 1..m; a context belongs to the nearest centre, to the lower one of two, and to an outermost
    bin where it lies outside the interval. A copy knows the rounds of its own bin only. The noise
    of the learner is drawn once a round, for the copy that plays. Binned(TsallisTuner(), 5) is
    Tsallis-INF-CB of Khodak, Chow, Balcan and Talwalkar, ICLR 2024.

    The context is the observation, a number. Blanks of the learner are filled in as if it played
    all rounds. Recommends what each bin recommends, [m].

    Args:
      learner: any learner that plays one action a round.
      bins: m, one or more.
      interval: [2], the ends a < b; left blank, the environment's.

    Raises:
      ValueError: a learner of phases, or none; bins below one; an interval that is none, or that
        neither the environment nor the caller gives; a context that is not one number.
    """

    learner: Any
    bins: int = flax.struct.field(pytree_node=False)
    interval: Any = None

    def __post_init__(self):
        check_learner(self)
        if not isinstance(self.bins, int) or self.bins < 1:
            raise ValueError(f"Binned: bins is a whole number, one or more, got {self.bins!r}")
        require(
            self,
            "interval",
            lambda x: x.shape[-1:] == (2,) and np.all(x[..., 0] < x[..., 1]),
            "a pair a < b",
        )
        if isinstance(self.interval, list | tuple):  # would be two leaves
            object.__setattr__(self, "interval", np.asarray(self.interval, np.float32))

    def completed(self, env, horizon):
        interval = self.interval
        if interval is None:
            interval = getattr(env, "interval", None)
        if interval is None:
            raise ValueError(
                f"Binned does not know the range of the contexts, and {type(env).__name__} does "
                f"not say: give interval=(a, b)"
            )
        inner = complete(self.learner, env, horizon)
        return dataclasses.replace(self, learner=inner, interval=interval)

    def init(self, key):
        numbers = jnp.arange(self.bins, dtype=jnp.uint32)
        return jax.vmap(lambda j: self.learner.init(stream(key, j)))(numbers)

    def noise(self, key, num_rounds):
        return self.learner.noise(key, num_rounds)

    def act(self, state, observation, noise):
        chosen = self.bin_of(observation)
        return self.learner.act(_row(state, chosen), observation, noise)

    def update(self, state, observation, action, feedback):
        chosen = self.bin_of(observation)
        new = self.learner.update(_row(state, chosen), observation, action, feedback)
        with jax.enable_x64(True):  # leaves keep the type they have, which may be float64
            return jax.tree.map(lambda rows, row: rows.at[chosen].set(row), state, new)

    def recommend(self, state):
        return jax.vmap(self.learner.recommend)(state)

    def bin_of(self, context: jax.Array) -> jax.Array:
        """The bin of a context, int32 in 0..m-1.

        Raises:
          ValueError: the context is not one number.
        """
        if not hasattr(context, "dtype") or jnp.shape(context) != ():
            raise ValueError(
                f"Binned sorts rounds by a context that is one number: got {context!r}; play a "
                f"problem that shows one, or the learner without bins"
            )
        ends = jnp.asarray(filled(self, "interval"), jnp.float32)
        steps = (np.arange(self.bins, dtype=np.float32) + np.float32(0.5)) / np.float32(self.bins)
        return argmax(-jnp.abs(ends[0] + (ends[1] - ends[0]) * steps - context))


def _row(state, index):
    with jax.enable_x64(True):
        return jax.tree.map(lambda rows: rows[index], state)
