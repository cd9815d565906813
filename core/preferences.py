"""Preference feedback: duels of two policies, and rules about when to ask which one did better.

A learner plays two policies in a round and says when it wants to know which of the two trajectories
is preferred. What it knows of these is their features, so rules take the difference of the features
along them, [H, d].
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import flax.struct
import jax
import jax.numpy as jnp

from .mdp import Policy, Trajectory, times


class QueryRule(Protocol):
    """Whether to ask, once both trajectories are known."""

    def asks(self, difference: jax.Array) -> jax.Array:
        """Bool []; `difference` is that of the features, [H, d], as `feature_difference` has it."""
        ...


class Duel(NamedTuple):
    """An action: two policies, each played for one episode, and when to ask about them."""

    first: Policy
    second: Policy
    rule: QueryRule


class DuelFeedback(NamedTuple):
    """What a learner is told of a duel.

    The rewards of the trajectories are zeros where only preferences are told.
    """

    first: Trajectory
    second: Trajectory
    asked: jax.Array  # [] bool
    preference: jax.Array  # [] 1 if the second one is preferred, 0 if the first; 1/2 if not asked


def feature_difference(features: jax.Array, first: Trajectory, second: Trajectory) -> jax.Array:
    """phi along the second trajectory less phi along the first, [H, d].

    Args:
      features: phi, [S, A, d].
    """
    return along(features, second) - along(features, first)


def along(features: jax.Array, trajectory: Trajectory) -> jax.Array:
    """phi(s_h, a_h) of every stage, [H, d]."""
    return features[trajectory.states[:-1], trajectory.actions]


def expected_disagreement(root: jax.Array, scale: jax.Array, difference: jax.Array) -> jax.Array:
    """E |<x, theta - theta'>| for x = `difference` and two independent draws theta, theta' from one
    normal law of covariance scale^2 root^T root: 2 scale |root x| / sqrt(pi).

    Args:
      root: [n, n]; scale: []; difference: n numbers, of any shape. All of one dtype.
    """
    image = times(root, difference.reshape(-1))
    return 2 / math.sqrt(math.pi) * scale * jnp.sqrt(jnp.sum(image * image))


@flax.struct.dataclass
class AskIfUnsure:
    """Asks if two draws of the rewards would disagree by more than `threshold` in expectation
    (`expected_disagreement`): the query rule of Wu and Sun, "Making RL with preference-based
    feedback efficient via randomization", ICLR 2024 (from memory).

    With a threshold of 0 it asks about all trajectories whose features differ.
    """

    root: Any  # [H d, H d] float64
    scale: Any  # []
    threshold: Any  # []

    def asks(self, difference: jax.Array) -> jax.Array:
        with jax.enable_x64(True):
            scale = jnp.asarray(self.scale).astype(jnp.float64)
            expected = expected_disagreement(self.root, scale, difference.astype(jnp.float64))
            return expected > jnp.asarray(self.threshold).astype(jnp.float64)


@flax.struct.dataclass
class AlwaysAsk:
    """Asks about every pair, equal ones too."""

    def asks(self, difference: jax.Array) -> jax.Array:
        return jnp.bool_(True)


@flax.struct.dataclass
class NeverAsk:
    """Asks nothing."""

    def asks(self, difference: jax.Array) -> jax.Array:
        return jnp.bool_(False)
