"""What a reduction to regression asks of the regression."""

from __future__ import annotations

from typing import Any, Protocol

import jax

from ...protocol import Context, Key


class Regressor(Protocol):
    """Online regression of an arm's reward on its features: `Ridge`, `Logistic`, `Online`, ...

    Fields `num_arms`, `dimension` and `disjoint` are left blank and filled from the environment. A
    regressor that draws at random keeps a key in its state and folds the round into it, so that a
    state alone determines what it predicts.
    """

    num_arms: int | None
    dimension: int | None
    disjoint: bool | None  # each arm has a model of its own: see `protocol.Context`

    def init(self, key: Key) -> Any: ...

    def predict(self, state: Any, context: Context) -> jax.Array:
        """Expected rewards of all arms, [K] float32, not clipped."""
        ...

    def update(self, state: Any, context: Context, arm: jax.Array, reward: jax.Array) -> Any:
        """The state after `arm` brought `reward`."""
        ...
