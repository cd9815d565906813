"""Online linear regression in its plainest form: one law, drawn anew for every seed."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise as tapes
from ..core.losses import SquaredLoss, expected
from ..core.protocol import GroupContext, Key, concrete
from . import group_accounts
from .group_accounts import Accounts, no_rounds


class StreamState(NamedTuple):
    weights: jax.Array  # [d]
    accounts: Accounts


class StreamNoise(NamedTuple):
    """Of one round."""

    inputs: jax.Array  # [d] uniform
    error: jax.Array  # [] normal


@flax.struct.dataclass
class RegressionStream:
    """Labels <w, x> + noise, one a round: x uniform on (-a/2, a/2) in each coordinate, noise normal
    of deviation sigma, weights w from N(0, s^2 I), one for each seed.

    A round shows x (as a `GroupContext` of one group), the action is a forecast of its label or a
    `Mixture` of forecasts, and then the label is told. Metrics: `loss`, the sum of squared errors;
    `excess`, of squared distances from <w, x>; `regret` against the best linear forecaster in
    hindsight, whose loss is `hindsight_loss`.

    Args:
      dimension: d.
      sigma: zero or more.
      input_range, weight_scale: a and s, positive.

    Raises:
      ValueError: parameters that are not so.
    """

    dimension: int = flax.struct.field(pytree_node=False, default=10)
    sigma: Any = 0.1
    input_range: Any = 1.0
    weight_scale: Any = 1.0

    num_groups = 1

    def __post_init__(self):
        size = self.dimension
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(
                f"RegressionStream: dimension is a whole number from one, got {size!r}"
            )
        for name, least in (("sigma", 0), ("input_range", 1e-30), ("weight_scale", 1e-30)):
            value = concrete(getattr(self, name))
            if value is not None and not np.all((value >= least) & np.isfinite(value)):
                what = "positive" if least else "zero or more"
                raise ValueError(f"RegressionStream: {name} is {what}, got {value}")

    @property
    def feature_bound(self) -> Any:
        """The length of the longest x there can be."""
        return self.input_range * np.float32(np.sqrt(self.dimension) / 2)

    def init(self, key: Key) -> StreamState:
        weights = tapes.normal(tapes.stream(key, "weights"), (self.dimension,))
        return StreamState(self.weight_scale * weights, no_rounds(1, self.dimension))

    def noise(self, key: Key, num_rounds: int) -> StreamNoise:
        inputs = tapes.uniform(tapes.stream(key, "inputs"), (num_rounds, self.dimension))
        return StreamNoise(inputs, tapes.normal(tapes.stream(key, "errors"), (num_rounds,)))

    def observe(self, state, noise) -> GroupContext:
        return GroupContext(self.input_range * (noise.inputs - 0.5), jnp.ones(1, bool))

    def step(self, state, action, noise):
        seen = self.observe(state, noise)
        mean = jnp.sum(state.weights * seen.features)
        feedback = SquaredLoss(mean + self.sigma * noise.error)
        accounts, loss = group_accounts.settle(
            state.accounts, seen.features, seen.active, feedback, action
        )
        excess = expected(SquaredLoss(mean), action).astype(jnp.float32)
        return state._replace(accounts=accounts), feedback, {"loss": loss, "excess": excess}

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        found = group_accounts.report(state.accounts)
        return {name: found[name] for name in ("regret",)} | {
            "hindsight_loss": found["hindsight_loss"][0]
        }
