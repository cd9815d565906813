"""Gradient ascent on the expected reward of a softmax policy."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ..parameters import filled, require


class GradientState(NamedTuple):
    preferences: jax.Array  # [K]
    weights: jax.Array  # [K] exp(preferences - largest)
    total: jax.Array  # [] sum of the weights
    mean: jax.Array  # [] mean reward of the rounds played
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class GradientBandit:
    """Plays arm i with probability proportional to exp(H_i), and moves the preferences H along
    step_size (reward - baseline) (1[i was played] - probability_i).

    Sutton and Barto, "Reinforcement learning", 2nd edition, 2018, Section 2.8, equation (2.12).
    The baseline is the mean reward of the rounds before, the first reward in the first round; 0
    with baseline=False. One uniform a round, by inversion in index order. Recommends the largest
    preference, the lowest index on ties.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    step_size: Any = 0.1
    baseline: bool = flax.struct.field(pytree_node=False, default=True)

    def __post_init__(self):
        require(self, "step_size", lambda x: x > 0, "positive")

    def init(self, key):
        num_arms, zero = filled(self, "num_arms"), jnp.float32(0)
        zeros = jnp.zeros(num_arms, jnp.float32)
        return GradientState(zeros, zeros + 1, zero + num_arms, zero, jnp.int32(0))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        return tapes.categorical(noise, state.weights)

    def update(self, state, observation, arm, feedback):
        reward, rounds = feedback.reward, state.rounds + 1
        advantage = reward
        if self.baseline:
            advantage = jnp.where(state.rounds > 0, reward - state.mean, 0)
        step = self.step_size * advantage
        preferences = state.preferences - step / state.total * state.weights
        preferences = preferences.at[arm].add(step)
        weights = jnp.exp(preferences - jnp.max(preferences))
        mean = state.mean + (reward - state.mean) / rounds.astype(jnp.float32)
        return GradientState(preferences, weights, jnp.sum(weights), mean, rounds)

    def recommend(self, state):
        return tapes.argmax(state.preferences)
