"""UCBVI: optimism on counts, the tabular baseline."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...mdp import greedy
from ..parameters import filled, nonnegative, require


class UCBVIState(NamedTuple):
    """Counts are whole numbers in float32, exact up to 2^24. Where stages share them there is no
    axis H."""

    visits: jax.Array  # [(H,) S, A, S], how often a led from s to s'
    rewards: jax.Array  # [(H,) S, A], sums


@flax.struct.dataclass
class UCBVI:
    """UCBVI: value iteration on the empirical process, with a bonus for what was seldom tried.

    With n_h(s, a) the number of visits, Q_h = mean reward + mean V_(h+1)(s') + bonus_h, at most the
    number of stages left, H - h, which is also the value of a pair that was never tried; then play
    is greedy. Azar, Osband and Munos, "Minimax regret bounds for reinforcement learning", ICML
    2017, Algorithm 1, with the bonus of the library rlberry,
      bonus_h = scale / sqrt(n) + (H - h) / n,
    a simple form of their Bernstein bonus. That library bounds values by H at every stage, and the
    values that play is greedy for not at all. It takes no features: states have nothing in common.
    Ties go to the lowest index. Recommends the policy without a bonus, as that library does.

    Costs H S^2 A operations an episode.

    Args:
      scale: zero or more.
      stage_dependent: whether every stage has counts of its own; if not, all stages share them,
        which is for processes whose stages are alike.
      known_rewards: whether mean rewards are known, and taken from the environment.
      rewards, stages, num_states, num_actions: [H, S, A], H, S and A; taken from the environment.
    """

    scale: Any = 1.0
    stage_dependent: bool = flax.struct.field(pytree_node=False, default=True)
    known_rewards: bool = flax.struct.field(pytree_node=False, default=False)
    rewards: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)
    num_states: int | None = flax.struct.field(pytree_node=False, default=None)
    num_actions: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        require(self, "scale", nonnegative, "zero or more")

    def init(self, key) -> UCBVIState:
        pairs = filled(self, "num_states"), filled(self, "num_actions")
        lead = (filled(self, "stages"),) if self.stage_dependent else ()
        return UCBVIState(jnp.zeros((*lead, *pairs, pairs[0])), jnp.zeros((*lead, *pairs)))

    def noise(self, key, num_rounds):
        return ()

    def values(self, state: UCBVIState, scale: Any, width: Any = 1.0) -> jax.Array:
        """Q [H, S, A] float32, with the bonus scale / sqrt(n) + width * (H - h) / n."""
        stages = filled(self, "stages")
        left = jnp.arange(stages, 0, -1).astype(jnp.float32)
        visits = jnp.sum(state.visits, axis=-1)
        share = 1 / jnp.maximum(visits, 1)
        means = state.rewards * share
        wide = scale * jnp.sqrt(share)
        rows = state.visits, means, share, wide
        if not self.stage_dependent:
            rows = jax.tree.map(lambda x: jnp.broadcast_to(x, (stages, *x.shape)), rows)
        if self.known_rewards:
            rows = rows[0], jnp.asarray(filled(self, "rewards"), jnp.float32), *rows[2:]

        def stage(after, now):
            (visits, means, share, wide), left = now
            values = means + wide + (jnp.sum(visits * after, axis=-1) + width * left) * share
            values = jnp.minimum(values, left)
            return jnp.max(values, axis=-1), values

        last = jnp.zeros(filled(self, "num_states"), jnp.float32)
        return jax.lax.scan(stage, last, (rows, left), reverse=True)[1]

    def act(self, state, observation, noise):
        return greedy(self.values(state, self.scale))

    def update(self, state, observation, policy, trajectory):
        states, actions, rewards = trajectory
        at = states[:-1], actions
        at = (jnp.arange(len(actions)), *at) if self.stage_dependent else at
        visits = state.visits.at[(*at, states[1:])].add(1.0)
        return UCBVIState(visits, state.rewards.at[at].add(rewards))

    def recommend(self, state):
        return greedy(self.values(state, 0.0, 0.0))
