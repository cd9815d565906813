"""Exponential weights over estimated losses: Exp3, Exp3-IX and Exp3.S.

Learners for rewards in [0, 1]; the loss of a round is 1 - reward. An arm's share is exponential in
what it lost less what the best arm lost, so nothing overflows, however long the game.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ... import noise as tapes
from ..parameters import filled, require

# A probability as small as this has never been sampled: the uniforms are 2^-23 apart.
SMALLEST = np.float32(2**-60)


class Weights(NamedTuple):
    """Losses of K arms and what they are worth."""

    losses: jax.Array  # [K] cumulative losses, less a number common to all arms
    weights: jax.Array  # [K] exp(-rate (losses - least)); the largest is 1
    total: jax.Array  # [] sum of the weights


def even(num_arms: int) -> Weights:
    """No losses yet."""
    zeros = jnp.zeros(num_arms, jnp.float32)
    return Weights(zeros, zeros + 1, jnp.float32(num_arms))


def weigh(losses: jax.Array, rate: Any) -> Weights:
    """Weights exp(-rate * losses), up to a factor, of cumulative losses [K]."""
    least = jnp.min(losses)
    weights = jnp.exp(-rate * (losses - least))
    return Weights(settle(losses, least), weights, jnp.sum(weights))


def settle(losses: jax.Array, least: jax.Array) -> jax.Array:
    """Losses less what all arms have in common, so that the leader's stay below 1024.

    The step is a multiple of 1024: taking it off rounds nothing below 2^34, whereas taking off
    the least loss itself would round every arm in every round, always in the same direction.
    """
    return losses - jnp.floor(least * np.float32(2**-10)) * np.float32(2**10)


@flax.struct.dataclass
class Exp3:
    """Exp3: plays arm i with probability (1 - mixing) w_i / sum(w) + mixing / K.

    estimator="loss": w_i = exp(-learning_rate * sum of estimated losses), a loss counting as
    loss / probability of the arm that was played. Bubeck and Cesa-Bianchi, "Regret analysis of
    stochastic and nonstochastic multi-armed bandit problems", 2012, Section 3.1, Theorem 3.1: left
    blank, learning_rate is sqrt(2 ln K / (T K)) at horizon T, and nothing is mixed in.
    estimator="reward": w_i = exp(learning_rate * sum of estimated rewards). Auer, Cesa-Bianchi,
    Freund and Schapire, "The nonstochastic multiarmed bandit problem", SIAM Journal on Computing
    32, 2002, Figure 1 and Corollary 3.2: left blank, mixing is
    min(1, sqrt(K ln K / ((e - 1) T))) and learning_rate is mixing / K.

    One uniform a round, by inversion in index order. Recommends the arm of the largest weight,
    the lowest index on ties.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    learning_rate: Any = None
    mixing: Any = None
    estimator: str = flax.struct.field(pytree_node=False, default="loss")

    def __post_init__(self):
        if self.estimator not in ("loss", "reward"):
            raise ValueError(f'Exp3: estimator is "loss" or "reward", got {self.estimator!r}')
        require(self, "horizon", lambda x: x >= 1, "one or more")
        require(self, "learning_rate", lambda x: x >= 0, "zero or more")
        require(self, "mixing", lambda x: (x >= 0) & (x <= 1), "a probability")

    def init(self, key):
        return even(filled(self, "num_arms"))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        mixing = self._mixing()
        shares = state.weights
        if mixing is not None:
            shares = (1 - mixing) * shares + mixing * state.total / filled(self, "num_arms")
        return tapes.categorical(noise, shares)

    def update(self, state, observation, arm, feedback):
        chance, mixing = state.weights[arm] / state.total, self._mixing()
        if mixing is not None:
            chance = (1 - mixing) * chance + mixing / filled(self, "num_arms")
        loss = 1 - feedback.reward if self.estimator == "loss" else -feedback.reward
        estimate = loss / jnp.maximum(chance, SMALLEST)
        return weigh(state.losses.at[arm].add(estimate), self._learning_rate())

    def recommend(self, state):
        return tapes.argmax(-state.losses)

    def _mixing(self):
        """None where there is nothing to mix in, which costs nothing then."""
        if self.mixing is not None or self.estimator == "loss":
            return self.mixing
        num_arms = filled(self, "num_arms")
        gain = num_arms * math.log(num_arms) / (math.e - 1)
        return jnp.minimum(jnp.sqrt(gain / filled(self, "horizon")), 1)

    def _learning_rate(self):
        if self.learning_rate is not None:
            return self.learning_rate
        num_arms = filled(self, "num_arms")
        if self.estimator == "reward":
            return self._mixing() / num_arms
        return jnp.sqrt(2 * math.log(num_arms) / num_arms / filled(self, "horizon"))


class Exp3IXState(NamedTuple):
    weights: Weights
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class Exp3IX:
    """Exp3-IX: Exp3 that counts a loss as loss / (probability + exploration): implicit exploration.

    Neu, "Explore no more: improved high-probability regret bounds for non-stochastic bandits",
    NIPS 2015, Algorithm 1 and Theorem 1. Left blank, learning_rate is sqrt(2 ln K / (K T)) at
    horizon T; with anytime=True it is the c of the rate c / sqrt(t) in round t, and left blank
    sqrt(ln K / K). Left blank, exploration is half the rate of the round.

    One uniform a round, by inversion in index order. Recommends the arm of the largest weight,
    the lowest index on ties.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    learning_rate: Any = None
    exploration: Any = None
    anytime: bool = flax.struct.field(pytree_node=False, default=False)

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one or more")
        require(self, "learning_rate", lambda x: x >= 0, "zero or more")
        require(self, "exploration", lambda x: x >= 0, "zero or more")

    def init(self, key):
        return Exp3IXState(even(filled(self, "num_arms")), jnp.int32(0))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        return tapes.categorical(noise, state.weights.weights)

    def update(self, state, observation, arm, feedback):
        (losses, weights, total), t = state.weights, state.rounds + 1
        exploration = self.exploration
        if exploration is None:
            exploration = self._rate(t) / 2
        chance = jnp.maximum(weights[arm] / total, SMALLEST)
        losses = losses.at[arm].add((1 - feedback.reward) / (chance + exploration))
        return Exp3IXState(weigh(losses, self._rate(t + 1)), t)

    def recommend(self, state):
        return tapes.argmax(-state.weights.losses)

    def _rate(self, t):
        num_arms, rate = filled(self, "num_arms"), self.learning_rate
        if self.anytime:
            rate = math.sqrt(math.log(num_arms) / num_arms) if rate is None else rate
            return rate * jax.lax.rsqrt(t.astype(jnp.float32))
        if rate is not None:
            return rate
        return jnp.sqrt(2 * math.log(num_arms) / num_arms / filled(self, "horizon"))


@flax.struct.dataclass
class Exp3S:
    """Exp3.S: Exp3 that keeps up with a best arm that changes.

    Plays arm i with probability (1 - mixing) w_i / sum(w) + mixing / K; a round multiplies the
    weight of its arm by exp(mixing * reward / (K probability)) and gives every arm
    e * sharing / K of the total weight. Auer, Cesa-Bianchi, Freund and Schapire, "The nonstochastic
    multiarmed bandit problem", SIAM Journal on Computing 32, 2002, Figure 3. Left blank, sharing is
    1 / T at horizon T, and mixing is sqrt(K ln(K T) / T) (Corollary 8.2) or, where num_changes is
    known, sqrt(K (S ln(K T) + e) / ((e - 1) T)) with S = num_changes + 1 (Corollary 8.3); in both
    cases 1 at most.

    One uniform a round, by inversion in index order. Recommends the arm of the largest weight,
    the lowest index on ties.

    Args:
      num_changes: how often the best arm changes; taken from an environment that says it.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    num_changes: Any = None
    mixing: Any = None
    sharing: Any = None

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one or more")
        require(self, "num_changes", lambda x: x >= 0, "zero or more")
        require(self, "mixing", lambda x: (x > 0) & (x <= 1), "a positive probability")
        require(self, "sharing", lambda x: x >= 0, "zero or more")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        return jnp.full(num_arms, 1 / num_arms, jnp.float32)

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        return tapes.categorical(noise, self._chances(state))

    def update(self, state, observation, arm, feedback):
        # The weights add up to one, so that sharing keeps them far from underflow.
        num_arms, mixing = filled(self, "num_arms"), self._mixing()
        sharing = 1 / filled(self, "horizon") if self.sharing is None else self.sharing
        growth = jnp.exp(mixing / num_arms * feedback.reward / self._chances(state[arm]))
        weights = state.at[arm].multiply(growth) + math.e / num_arms * sharing
        return weights / jnp.sum(weights)

    def recommend(self, state):
        return tapes.argmax(state)

    def _chances(self, shares):
        mixing = self._mixing()
        return (1 - mixing) * shares + mixing / filled(self, "num_arms")

    def _mixing(self):
        if self.mixing is not None:
            return self.mixing
        num_arms, horizon = (
            filled(self, "num_arms"),
            jnp.asarray(filled(self, "horizon"), jnp.float32),
        )
        hardness = math.log(num_arms) + jnp.log(horizon)
        if self.num_changes is not None:
            hardness = ((self.num_changes + 1) * hardness + math.e) / (math.e - 1)
        return jnp.minimum(jnp.sqrt(num_arms * hardness / horizon), 1)
