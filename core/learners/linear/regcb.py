"""RegCB: optimism, or elimination, over all regressions that fit the past almost as well."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ..parameters import filled, nonnegative, require
from .ridge import RidgeState, ridge_of


class RegCBState(NamedTuple):
    ridge: RidgeState
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class RegCB:
    """RegCB on ridge regression of losses: the loss of an arm is between the least and the largest
    predictions of the parameters whose squared error on the past is at most D_t above the least.

    D_t = scale * range^2 ln(K max(t, 1)) after t rounds. For ridge regression the two ends are
    x^T theta -+ sqrt(D_t x^T A^-1 x), here clipped to [0, 1]. Foster, Agarwal, Dudik, Luo and
    Schapire, "Practical contextual bandits with regression oracles", ICML 2018, Algorithm 1, with
    the D_t of Vowpal Wabbit. Losses are 1 - reward; unknown arms are predicted to lose nothing. One
    uniform a round. Recommends nothing.

    Args:
      mode: "optimistic" plays the least lower end, "elimination" an arm whose lower end is not
        above any upper end; ties, and the arms that are left, uniformly.
      scale: zero or more.
      range: width of the interval that the losses lie in, positive.
      regularisation: positive.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    mode: str = flax.struct.field(pytree_node=False, default="optimistic")
    scale: Any = 0.1
    range: Any = 1.0
    regularisation: Any = 1.0

    def __post_init__(self):
        if self.mode not in ("optimistic", "elimination"):
            raise ValueError(f'RegCB: mode is "optimistic" or "elimination", got {self.mode!r}')
        require(self, "scale", nonnegative, "zero or more")
        require(self, "range", lambda x: x > 0, "positive")
        require(self, "regularisation", lambda x: x > 0, "positive")

    def init(self, key):
        return RegCBState(ridge_of(self, "losses").init(key), jnp.int32(0))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        lower, upper = self.bounds(state, observation)
        limit = jnp.min(lower if self.mode == "optimistic" else upper)
        return tapes.categorical(noise, (lower <= limit).astype(jnp.float32))

    def update(self, state, observation, arm, feedback):
        ridge = ridge_of(self, "losses")
        learnt = ridge.update(state.ridge, observation, arm, feedback.reward)
        return RegCBState(learnt, state.rounds + 1)

    def recommend(self, state):
        return ()

    def bounds(self, state: RegCBState, observation: Any) -> tuple[jax.Array, jax.Array]:
        """The least and the largest loss of every arm, [K] float32 each."""
        ridge = ridge_of(self, "losses")
        losses = 1 - ridge.predict(state.ridge, observation)
        num_arms: Any = filled(self, "num_arms")
        rounds = jnp.maximum(state.rounds, 1).astype(jnp.float32)
        excess = self.scale * self.range**2 * jnp.log(num_arms * rounds)
        widths = jnp.sqrt(excess * ridge.squared_widths(state.ridge, observation))
        return jnp.clip(losses - widths, 0, 1), jnp.clip(losses + widths, 0, 1)
