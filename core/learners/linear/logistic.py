"""Online logistic regression of an arm's reward on its features."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ...protocol import Context
from ..parameters import filled, require
from .ridge import shown_features


@flax.struct.dataclass
class Logistic:
    """Predicts 1 / (1 + exp(-x^T w)), and takes a gradient step on the logarithmic loss after each
    round: a `Regressor`, for rewards in [0, 1].

    w starts at 0, so that all arms are predicted to bring 1/2; then
    w <- w + learning_rate * (reward - prediction) x. On losses 1 - reward it would be the same
    regression, with -w. Online gradient descent: Zinkevich, ICML 2003. The oracle of linear
    `FastCB`, whose regret is in terms of that loss. Parameters are [B, d] float32: one row for
    each arm, or one for all.

    Args:
      learning_rate: positive.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    learning_rate: Any = 1.0

    def __post_init__(self):
        require(self, "learning_rate", lambda x: x > 0, "positive")

    def init(self, key):
        d, num_arms = filled(self, "dimension"), filled(self, "num_arms")
        return jnp.zeros((num_arms if filled(self, "disjoint") else 1, d), jnp.float32)

    def predict(self, state: jax.Array, context: Context) -> jax.Array:
        """Rewards of all arms, in [0, 1], [K] float32."""
        features = shown_features(self, context)
        return jax.nn.sigmoid(jnp.sum(state * features, axis=-1))

    def update(self, state: jax.Array, context: Context, arm: jax.Array, reward: jax.Array):
        """The state after `arm` brought `reward`."""
        features = shown_features(self, context)
        model, x = (arm, features) if self.disjoint else (0, features[arm])
        error = reward - jax.nn.sigmoid(jnp.sum(state[model] * x))
        return state.at[model].add(self.learning_rate * error * x)
