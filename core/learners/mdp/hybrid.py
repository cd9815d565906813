"""Hybrid learning without optimism: fitted Q-iteration on offline and online data, Hy-Q."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...mdp import Deterministic, Stochastic, greedy, times
from ..parameters import filled
from .statistics import Statistics, learn, require_ridge, start, table, value_iteration

EXPLORATION = ("none", "uniform")


class HybridState(NamedTuple):
    statistics: Statistics  # of offline and online data
    episodes: jax.Array  # int32, online so far


def fitted_values(statistics: Statistics, features: jax.Array) -> jax.Array:
    """Fitted Q-iteration on linear functions: Q [H, S, A], kept between 0 and the number of stages
    left; float64."""

    def backup(weights, nothing, left):
        return jnp.clip(times(features, weights), 0, left)

    return value_iteration(statistics, features, backup, ())


@flax.struct.dataclass
class HyQ:
    """Hy-Q with linear functions: fitted Q-iteration on offline and online data, no optimism.

    From the last stage to the first, w_h = (ridge I + sum phi phi^T)^-1 sum phi (r + max_a
    Q_(h+1)(s', a)) over both kinds of data, every transition with the same weight; Q_h = phi^T w_h,
    kept between 0 and the number of stages left (the bounds are ours), and play is greedy. It rests
    on the offline data to cover what a good policy does; online data show where the values are
    wrong. Song, Zhou, Sekhari, Bagnell, Krishnamurthy and Sun, "Hybrid RL: using both offline and
    online data can make RL efficient", ICLR 2023, Algorithm 1; there both kinds are as many at the
    end, and in `H2O` at all times. Ties go to the lowest index. Recommends the greedy policy.

    What is played in an episode is said by `exploration`:
      "none": the greedy policy, for a Q-type bilinear rank, as linear MDPs have;
      "uniform": a uniformly random action at one stage, and the greedy policy at all others, for a
        V-type rank. The stages take turns. The paper's code rolls in to every stage and stops
        there; an episode here goes on, and all of it is learned from.

    Costs d^2 + S A d operations a stage and episode.

    Args:
      offline: what has a `draw(key)` that gives `core.mdp.Counts`, as `envs.OfflineData`; None is
        no data.
      ridge: positive.
      exploration: see above.
      features, stages: phi [S, A, d] and H; taken from the environment.

    Raises:
      ValueError: a ridge or an exploration that is not as said.
    """

    offline: Any = flax.struct.field(default=None, repr=False)
    ridge: Any = 0.01
    exploration: str = flax.struct.field(pytree_node=False, default="none")
    features: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        require_ridge(self)
        if self.exploration not in EXPLORATION:
            raise ValueError(f"HyQ: exploration is one of {EXPLORATION}, got {self.exploration!r}")

    def init(self, key) -> HybridState:
        return HybridState(start(self, key), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state: HybridState, observation, noise) -> Deterministic | Stochastic:
        policy = self.recommend(state)
        if self.exploration == "none":
            return policy
        chances, stages = policy.probabilities(), filled(self, "stages")
        turn = jnp.arange(stages) == state.episodes % stages
        return Stochastic(jnp.where(turn[:, None, None], 1 / chances.shape[-1], chances))

    def update(self, state: HybridState, observation, policy, trajectory):
        with jax.enable_x64(True):
            statistics = learn(state.statistics, table(self), trajectory)
            return HybridState(statistics, state.episodes + 1)

    def recommend(self, state: HybridState) -> Deterministic:
        with jax.enable_x64(True):
            return greedy(fitted_values(state.statistics, table(self)))
