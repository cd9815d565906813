"""Learners that play the largest upper confidence bound on a mean: UCB1, UCB-V, MOSS."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax
from ..parameters import filled, nonnegative, require
from .arms import Arms, add, best, fresh

UNPLAYED = 1e30  # stands for 1 / 0: any bound that it multiplies beats the bound of a played arm


class UCB1State(NamedTuple):
    arms: Arms
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class UCB1:
    """UCB1: plays the largest mean + sqrt(exploration * ln(t) / pulls), t rounds into the game.

    Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem",
    Machine Learning 47, 2002, Figure 1 and Theorem 1 (there: rewards in [0, 1], exploration 2);
    Slivkins 2019, Algorithm 1.5. Every arm once first, in index order; ties go to the lowest index.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    exploration: Any = 2.0

    def __post_init__(self):
        require(self, "exploration", nonnegative, "zero or more")

    def init(self, key):
        return UCB1State(fresh(filled(self, "num_arms")), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        # For an arm never played 1 / sqrt(0) is infinite: it comes first as long as the width,
        # of which ln is taken at 2 or more, is not zero.
        log = jnp.log(jnp.maximum(state.rounds, 2).astype(jnp.float32))
        width = jnp.sqrt(jnp.maximum(self.exploration * log, 1e-36))
        roots = jax.lax.rsqrt(state.arms.pulls.astype(jnp.float32))
        return argmax(state.arms.means + width * roots)

    def update(self, state, observation, arm, feedback):
        return UCB1State(add(state.arms, arm, feedback.reward), state.rounds + 1)

    def recommend(self, state):
        return best(state.arms)


class UCBVState(NamedTuple):
    arms: Arms
    squares: Arms  # of the squared deviations, so that its means are the empirical variances
    roots: jax.Array  # [K] sqrt(2 variance / pulls)
    inverses: jax.Array  # [K] 3 / pulls
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class UCBV:
    """UCB-V: bounds that are narrow where the rewards vary little.

    With E = exploration * ln(t) in round t (t = 1, 2, ...) and V the empirical variance (divided
    by pulls, not pulls - 1), plays the largest

        mean + sqrt(2 V E / pulls) + 3 range E / pulls.

    Audibert, Munos and Szepesvari, "Exploration-exploitation tradeoff using variance estimates in
    multi-armed bandits", Theoretical Computer Science 410, 2009, Section 3, with c = 1. Every arm
    once first, in index order; ties go to the lowest index.

    Args:
      exploration: the paper's zeta, above 1 for its regret bound.
      range: width b of the interval that the rewards lie in.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    exploration: Any = 1.2
    range: Any = 1.0

    def __post_init__(self):
        require(self, "exploration", nonnegative, "zero or more")
        require(self, "range", lambda x: x > 0, "positive")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        roots = jnp.zeros(num_arms, jnp.float32)
        inverses = jnp.full(num_arms, UNPLAYED, jnp.float32)
        return UCBVState(fresh(num_arms), fresh(num_arms), roots, inverses, jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        log = jnp.log((state.rounds + 1).astype(jnp.float32))
        level = jnp.maximum(self.exploration * log, 1e-20)
        bonus = jnp.sqrt(level) * state.roots + self.range * level * state.inverses
        return argmax(state.arms.means + bonus)

    def update(self, state, observation, arm, feedback):
        reward = feedback.reward
        arms = add(state.arms, arm, reward)
        # Welford: the products of the deviations from the old and the new mean add up to the
        # squared deviations from the new one; none is negative but by rounding.
        product = (reward - state.arms.means[arm]) * (reward - arms.means[arm])
        squares = add(state.squares, arm, jnp.maximum(product, 0))
        pulls = arms.pulls[arm].astype(jnp.float32)
        root = jnp.sqrt(2 * squares.means[arm] / pulls)
        roots, inverses = state.roots.at[arm].set(root), state.inverses.at[arm].set(3 / pulls)
        return UCBVState(arms, squares, roots, inverses, state.rounds + 1)

    def recommend(self, state):
        return best(state.arms)


class MOSSState(NamedTuple):
    arms: Arms
    bounds: jax.Array  # [K], which change with the played arm only


@flax.struct.dataclass
class MOSS:
    """MOSS: within a constant of the minimax regret sqrt(K T), for a known horizon T.

    Plays the largest mean + sqrt(exploration * max(0, ln(T / (K pulls))) / pulls).

    Audibert and Bubeck, "Minimax policies for adversarial and stochastic bandits", COLT 2009,
    Section 2 (there: rewards in [0, 1], exploration 1); for Gaussian rewards of variance 1
    Lattimore and Szepesvari, "Bandit Algorithms", 2020, Algorithm 7 has exploration 4. Every arm
    once first, in index order; ties go to the lowest index.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    exploration: Any = 1.0

    def __post_init__(self):
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "exploration", nonnegative, "zero or more")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        return MOSSState(fresh(num_arms), jnp.full(num_arms, jnp.inf, jnp.float32))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return argmax(state.bounds)

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        pulls = arms.pulls[arm].astype(jnp.float32)
        share = filled(self, "horizon") / (filled(self, "num_arms") * pulls)
        bonus = jnp.sqrt(self.exploration * jnp.log(jnp.maximum(share, 1)) / pulls)
        return MOSSState(arms, state.bounds.at[arm].set(arms.means[arm] + bonus))

    def recommend(self, state):
        return best(state.arms)


class AnytimeMOSSState(NamedTuple):
    arms: Arms
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class AnytimeMOSS:
    """MOSS-anytime: MOSS for an unknown horizon.

    Plays the largest mean + sqrt((1 + alpha) / 2 * max(0, ln(t / (K pulls))) / pulls), t rounds
    into the game.

    Degenne and Perchet, "Anytime optimal algorithms in stochastic multi-armed bandits", ICML 2016,
    with the alpha they advise. Every arm once first, in index order; ties go to the lowest index.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    alpha: Any = 1.35

    def __post_init__(self):
        require(self, "alpha", nonnegative, "zero or more")

    def init(self, key):
        return AnytimeMOSSState(fresh(filled(self, "num_arms")), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        pulls = state.arms.pulls.astype(jnp.float32)
        # One division by K * pulls: it is exact at t = K pulls, where the logarithm starts.
        share = state.rounds.astype(jnp.float32) / (filled(self, "num_arms") * pulls)
        bonus = jnp.sqrt((1 + self.alpha) / 2 * jnp.log(jnp.maximum(share, 1)) / pulls)
        return argmax(jnp.where(state.arms.pulls > 0, state.arms.means + bonus, jnp.inf))

    def update(self, state, observation, arm, feedback):
        return AnytimeMOSSState(add(state.arms, arm, feedback.reward), state.rounds + 1)

    def recommend(self, state):
        return best(state.arms)
