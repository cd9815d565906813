"""Finite-horizon Markov decision processes: what passes between one and a learner, and its values.

One round is an episode of H stages, numbered from 0. The learner plays a policy and is told the
trajectory. States and actions are numbers; what a learner generalises over are their features,
a table [S, A, d] that it takes from the environment, so a policy is a table over states as well.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import flax.struct
import jax
import jax.numpy as jnp

from .noise import argmax, categorical


class Trajectory(NamedTuple):
    """What happened in an episode. State h + 1 is what action h led to."""

    states: jax.Array  # [H + 1] int32
    actions: jax.Array  # [H] int32
    rewards: jax.Array  # [H]


class Counts(NamedTuple):
    """Any number of episodes, without their order: all that least squares needs to know."""

    visits: jax.Array  # [H, S, A, S] int32: how often action a led from s to s' at stage h
    rewards: jax.Array  # [H, S, A]: sums of rewards


class Policy(Protocol):
    """An action of a learner in a Markov decision process."""

    def act(self, stage: jax.Array, state: jax.Array, noise: jax.Array) -> jax.Array:
        """What to do in `state`, int32; noise is uniform on (0, 1), one number a stage."""
        ...

    def probabilities(self) -> jax.Array:
        """[H, S, A], for exact values."""
        ...


@flax.struct.dataclass
class Deterministic:
    """One action for every stage and state."""

    actions: jax.Array  # [H, S] int32
    num_actions: int = flax.struct.field(pytree_node=False)

    def act(self, stage, state, noise):
        return self.actions[stage, state]

    def probabilities(self):
        return jax.nn.one_hot(self.actions, self.num_actions, dtype=jnp.float32)


@flax.struct.dataclass
class Stochastic:
    """An action drawn anew at every stage."""

    chances: jax.Array  # [H, S, A]

    def act(self, stage, state, noise):
        return categorical(noise, self.chances[stage, state])

    def probabilities(self):
        return self.chances


def greedy(values: jax.Array) -> Deterministic:
    """Plays the action of the largest value [H, S, A]; the lowest of equal ones, after rounding to
    float32."""
    return Deterministic(argmax(values.astype(jnp.float32)), values.shape[-1])


def policy_values(transitions: jax.Array, rewards: jax.Array, policy: Policy) -> jax.Array:
    """Expected sum of the rewards still to come, [H, S], by the Bellman equation.

    Args:
      transitions: [H, S, A, S]; rewards: [H, S, A], means.
    """

    def stage(after, now):
        chances, row, move = now
        value = jnp.sum(chances * (row + times(move, after)), axis=-1)
        return value, value

    inputs = policy.probabilities().astype(rewards.dtype), rewards, transitions
    last = jnp.zeros(rewards.shape[1], rewards.dtype)
    return jax.lax.scan(stage, last, inputs, reverse=True)[1]


def optimal_values(transitions: jax.Array, rewards: jax.Array) -> jax.Array:
    """Q* [H, S, A]: of each action, if all later ones are the best. Arguments: `policy_values`."""

    def stage(after, now):
        row, move = now
        values = row + times(move, after)
        return jnp.max(values, axis=-1), values

    last = jnp.zeros(rewards.shape[1], rewards.dtype)
    return jax.lax.scan(stage, last, (rewards, transitions), reverse=True)[1]


def occupancy(transitions: jax.Array, start: jax.Array, policy: Policy) -> jax.Array:
    """The chances that stage h finds the process in s and plays a, [H, S, A].

    Args:
      transitions: [H, S, A, S]; start: [S], the chances of the first state.
    """

    def stage(before, now):
        chances, move = now
        here = before[:, None] * chances
        after = times(here.reshape(-1), move.reshape(-1, move.shape[-1]))
        return after, here

    inputs = policy.probabilities().astype(start.dtype), transitions
    return jax.lax.scan(stage, start, inputs)[1]


def counts_of(trajectories: Trajectory, num_states: int, num_actions: int) -> Counts:
    """The counts of episodes, [N, ...] or one."""
    states, actions, rewards = (jnp.atleast_2d(x) for x in trajectories)
    stages = actions.shape[-1]
    stage = jnp.broadcast_to(jnp.arange(stages), actions.shape)
    at = stage, states[:, :-1], actions
    visits = jnp.zeros((stages, num_states, num_actions, num_states), jnp.int32)
    sums = jnp.zeros((stages, num_states, num_actions), rewards.dtype)
    return Counts(visits.at[(*at, states[:, 1:])].add(1), sums.at[at].add(rewards))


def times(a: jax.Array, b: jax.Array) -> jax.Array:
    """The product over the last axis of `a` and the first of `b`, both of one dtype; it stays
    float64 under `vmap`, where `@` and `jnp.einsum` may lose it."""
    return jax.lax.dot_general(a, b, (((a.ndim - 1,), (0,)), ((), ())))
