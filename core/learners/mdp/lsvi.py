"""Least-squares value iteration with optimism: LSVI-UCB."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ...mdp import greedy, times
from ..parameters import nonnegative, require
from .statistics import Statistics, learn, require_ridge, start, table, value_iteration


@flax.struct.dataclass
class LSVIUCB:
    """LSVI-UCB: acts greedily on a regression of values plus a bonus for what is little known.

    From the last stage to the first, w_h is the ridge regression of r + V_(h+1)(s') on the
    features of all episodes, and Q_h = phi^T w_h + bonus * |phi| in the norm of Lambda_h^-1, kept
    between 0 and the number of stages left (Jin, Yang, Wang and Jordan, COLT 2020, Algorithm 1,
    from memory; the bound from below is ours). The theory has ridge = 1 and bonus = c d H
    sqrt(ln(2 d K H / p)); Q_h is then above Q*_h with probability 1 - p. With ridge = 1 and a bonus
    below the number of stages it is not optimistic: a pair that was never seen has the value
    bonus / sqrt(ridge) only. Ties go to the lowest index.

    With `offline` data the regressions start from these instead of from nothing: the warm start.
    Costs d^2 + S A d operations a stage, however many episodes there were.

    Args:
      bonus: beta, zero or more.
      ridge: lambda, positive.
      features, stages: phi [S, A, d] and H; taken from the environment.
      offline: what has a `draw(key)` that gives `core.mdp.Counts`, as `envs.OfflineData`.
    """

    bonus: Any = 1.0
    ridge: Any = 1.0
    features: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)
    offline: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        require(self, "bonus", nonnegative, "zero or more")
        require_ridge(self)

    def init(self, key) -> Statistics:
        return start(self, key)

    def noise(self, key, num_rounds):
        return ()

    def values(self, state: Statistics) -> jax.Array:
        """Q, [H, S, A] float64; call it with float64 enabled."""
        features = table(self)
        bonuses = jnp.asarray(self.bonus).astype(jnp.float64) * jnp.sqrt(state.widths)

        def backup(weights, bonus, left):
            return jnp.clip(times(features, weights) + bonus, 0, left)

        return value_iteration(state, features, backup, bonuses)

    def act(self, state, observation, noise):
        with jax.enable_x64(True):
            return greedy(self.values(state))

    def update(self, state, observation, policy, trajectory):
        with jax.enable_x64(True):
            return learn(state, table(self), trajectory)

    def recommend(self, state):
        """The policy of the next episode."""
        return self.act(state, (), ())
