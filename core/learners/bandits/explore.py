"""Learners that explore without regard to what they have seen: uniform play, explore-first and
the epsilon-greedy family."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ..parameters import filled, require
from .arms import Arms, add, best, fresh


def uniform_arm(u: jax.Array, num_arms: int) -> jax.Array:
    """An arm (int32) drawn uniformly, from one uniform in (0, 1)."""
    return jnp.minimum((u * num_arms).astype(jnp.int32), num_arms - 1)


@flax.struct.dataclass
class Uniform:
    """Plays every arm with the same probability for ever: the baseline of a plot.

    Recommends the largest mean among the arms played, the lowest index on ties.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        return fresh(filled(self, "num_arms"))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        return uniform_arm(noise, filled(self, "num_arms"))

    def update(self, state, observation, arm, feedback):
        return add(state, arm, feedback.reward)

    def recommend(self, state):
        return best(state)


class ExploreThenCommitState(NamedTuple):
    arms: Arms
    turn: jax.Array  # int32, the arm whose turn it is to be explored
    leader: jax.Array  # int32, the best mean so far, fixed once exploration ends


@flax.struct.dataclass
class ExploreThenCommit:
    """Explore-first: every arm in turn, `pulls_per_arm` times, then the best mean for ever.

    Slivkins, "Introduction to multi-armed bandits", 2019, Algorithm 1.1. Left blank,
    `pulls_per_arm` is (T / K)^(2/3) (ln T)^(1/3), rounded up, at horizon T: the choice behind the
    T^(2/3) (K ln T)^(1/3) of Theorem 1.5, for rewards in [0, 1]. Arms are explored in index order,
    over and over; ties go to the lowest index.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    pulls_per_arm: Any = None

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one or more")
        require(self, "pulls_per_arm", lambda x: x >= 1, "one or more")

    def init(self, key):
        return ExploreThenCommitState(fresh(filled(self, "num_arms")), jnp.int32(0), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return jnp.where(self._exploring(state), state.turn, state.leader)

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        leader = jnp.where(self._exploring(state), best(arms), state.leader)
        turn = jnp.where(state.turn + 1 < filled(self, "num_arms"), state.turn + 1, 0)
        return ExploreThenCommitState(arms, turn, leader)

    def recommend(self, state):
        return state.leader

    def _exploring(self, state):
        """Whether the last arm, which is always explored last, still lacks a play."""
        return state.arms.pulls[-1].astype(jnp.float32) < self._pulls_per_arm()

    def _pulls_per_arm(self):
        if self.pulls_per_arm is not None:
            return self.pulls_per_arm
        horizon = jnp.asarray(filled(self, "horizon"), jnp.float32)
        per_arm = (horizon / filled(self, "num_arms")) ** (2 / 3) * jnp.log(horizon) ** (1 / 3)
        return jnp.maximum(jnp.ceil(per_arm), 1)


@flax.struct.dataclass
class EpsilonGreedy:
    """With probability `epsilon` an arm drawn uniformly, otherwise the largest mean.

    Sutton and Barto, "Reinforcement learning", 2nd edition, 2018, Section 2.4. The largest mean
    is taken among the arms already played, arm 0 before any was; ties go to the lowest index.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    epsilon: Any = 0.1

    def __post_init__(self):
        require(self, "epsilon", lambda x: (x >= 0) & (x <= 1), "a probability")

    def init(self, key):
        return fresh(filled(self, "num_arms"))

    def noise(self, key, num_rounds):
        """Two uniforms a round: whether to explore, and where."""
        return tapes.uniform(key, (num_rounds, 2))

    def act(self, state, observation, noise):
        return _greedy_but(self.epsilon, state, noise)

    def update(self, state, observation, arm, feedback):
        return add(state, arm, feedback.reward)

    def recommend(self, state):
        return best(state)


class DecayingState(NamedTuple):
    arms: Arms
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class DecayingEpsilonGreedy:
    """Epsilon-greedy that explores less and less: in round t with probability min(1, epsilon_t).

    epsilon_t = scale (K ln t / t)^(1/3), Slivkins 2019, Algorithm 1.2 and Theorem 1.6; or, once a
    `gap` is given, epsilon_t = scale K / (gap^2 t), Auer, Cesa-Bianchi and Fischer, "Finite-time
    analysis of the multiarmed bandit problem", Machine Learning 47, 2002, Figure 3 and Theorem 3
    (there: gap is d, scale is c). The largest mean is taken among the arms already played, arm 0
    before any was; ties go to the lowest index.

    Args:
      gap: a lower bound, above 0, on what the second-best arm lacks; never filled in.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    scale: Any = 1.0
    gap: Any = 0.0

    def __post_init__(self):
        require(self, "scale", lambda x: x > 0, "positive")
        require(self, "gap", lambda x: x >= 0, "positive, or 0 where none is known")

    def init(self, key):
        return DecayingState(fresh(filled(self, "num_arms")), jnp.int32(0))

    def noise(self, key, num_rounds):
        """Two uniforms a round: whether to explore, and where."""
        return tapes.uniform(key, (num_rounds, 2))

    def act(self, state, observation, noise):
        return _greedy_but(self.epsilon(state.rounds + 1), state.arms, noise)

    def update(self, state, observation, arm, feedback):
        return DecayingState(add(state.arms, arm, feedback.reward), state.rounds + 1)

    def recommend(self, state):
        return best(state.arms)

    def epsilon(self, t: jax.Array) -> jax.Array:
        """The probability of exploring in round t, counted from 1; above 1 it stands for 1."""
        t, num_arms = t.astype(jnp.float32), filled(self, "num_arms")
        blind = self.scale * jnp.cbrt(num_arms * jnp.log(t) / t)
        square = jnp.square(jnp.asarray(self.gap, jnp.float32))
        known = self.scale * num_arms / (jnp.where(square > 0, square, 1) * t)
        return jnp.where(square > 0, known, blind)


def _greedy_but(epsilon: Any, arms: Arms, uniforms: jax.Array) -> jax.Array:
    explored = uniform_arm(uniforms[1], arms.means.shape[-1])
    return tapes.once(jnp.where(uniforms[0] < epsilon, explored, best(arms)))
