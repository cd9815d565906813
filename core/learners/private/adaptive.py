"""AdaP-UCB, AdaP-KLUCB and AdaC-UCB: private optimism in episodes that double and forget."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax, laplace, normal, stream
from ...protocol import Pulls
from ..bandits.kl import bernoulli_ascent
from ..best_arm.schedule import known_budget
from ..elementwise import flat
from ..parameters import filled, nonnegative, require
from .budgets import check_privacy, most


class EpisodeState(NamedTuple):
    key: jax.Array
    pulls: jax.Array  # [K] int32
    means: jax.Array  # [K] private means of the last episodes
    episode: jax.Array  # int32, episodes played


class Episodes:
    """Shared by the learners of this file; a subclass adds `_index` and `_perturbed`.

    The first K episodes pull every arm once, in index order. After t pulls an episode takes the arm
    with the largest index, the lowest such arm on ties, and pulls it as often as it has been pulled
    before. The arm's private mean is that of its last episode alone. A reward enters one mean and
    all else follows from the means, so privacy of the means is privacy of the run.

    The last episode is cut where the budget ends. Recommends the arm with most pulls, the lowest
    index on ties: the mean of an arm given up early is mostly noise.
    """

    num_arms: int | None
    budget: Any

    def num_phases(self) -> int:
        """Every episode but the K first and the one that is cut doubles the pulls of its arm. After
        n_a doublings of arm a the pulls, sum_a 2^n_a, are K 2^(mean of n_a) at least and T at most:
        sum_a n_a <= K log2(T / K)."""
        num_arms = filled(self, "num_arms")
        doublings = num_arms * math.log2(max(most(self.budget) / num_arms, 1))
        return num_arms + math.floor(doublings + 1e-6) + 1

    def init(self, key):
        num_arms = filled(self, "num_arms")
        filled(self, "budget")
        pulls, means = jnp.zeros(num_arms, jnp.int32), jnp.zeros(num_arms, jnp.float32)
        return EpisodeState(key, pulls, means, jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        pulls = state.pulls
        played = jnp.sum(pulls)
        # The last episode was half of an arm's pulls, but for the very first.
        batches = jnp.maximum(pulls // 2, 1).astype(jnp.float32)
        log = jnp.log(jnp.maximum(played, 1).astype(jnp.float32))
        best = argmax(self._index(state.means, batches, log))
        arm = jnp.where(state.episode < pulls.shape[-1], state.episode, best)
        room = jnp.asarray(self.budget).astype(jnp.int32) - played
        count = jnp.minimum(jnp.maximum(pulls[arm], 1), room)
        return Pulls(arm[None], count[None])

    def update(self, state, observation, pulls, feedback):
        arm, count = pulls.arms[0], pulls.counts[0]
        key = stream(state.key, state.episode)
        mean = self._perturbed(key, feedback.sums[0], jnp.maximum(count, 1).astype(jnp.float32))
        mean = jnp.where(count > 0, mean, state.means[arm])
        return EpisodeState(
            state.key,
            state.pulls.at[arm].add(count),
            state.means.at[arm].set(mean),
            state.episode + 1,
        )

    def recommend(self, state):
        return argmax(state.pulls)

    def _index(self, means, batches, log):
        """[K] what the arms promise at most, from private means of so many pulls."""
        raise NotImplementedError

    def _perturbed(self, key, total, count):
        """The private mean of `count` rewards that add up to `total`."""
        raise NotImplementedError


def _laplace_mean(key, total, count, epsilon):
    # One reward in [0, 1] moves the sum by one at most.
    return (total + laplace(key) / epsilon) / count


@flax.struct.dataclass
class AdaPUCB(Episodes):
    """AdaP-UCB: epsilon-differentially private UCB, in episodes that double (see `Episodes`).

    Index of an arm whose last episode had n pulls, after t pulls in all:
    mean + sqrt(beta ln t / (2 n)) + beta ln t / (epsilon n), the mean with Laplace(1 / (epsilon n))
    added. Rewards in [0, 1].

    Azize and Basu, "When privacy meets partial information: a refined analysis of differentially
    private bandits", NeurIPS 2022, Algorithm 1 and its instance AdaP-UCB (there beta > 3). A phase
    learner of width 1: an episode is a phase.

    Args:
      budget: pulls that may be made, T; the horizon, for regret.
      epsilon: privacy; infinity adds no noise.

    Raises:
      ValueError: fewer than two arms; a budget that is not a whole number from num_arms to
        2^31 - 1; epsilon that is not positive; a negative beta.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    epsilon: Any = 1.0
    beta: Any = 3.1

    def __post_init__(self):
        known_budget(self, lambda num_arms: num_arms)
        check_privacy(self)
        require(self, "beta", nonnegative, "zero or more")

    def _index(self, means, batches, log):
        level = self.beta * log / batches
        return means + jnp.sqrt(level / 2) + level / self.epsilon

    def _perturbed(self, key, total, count):
        return _laplace_mean(key, total, count, self.epsilon)


@flat
def _odds(mean, budget):
    """-ln(1 - q) of the largest q with KL(Ber(mean), Ber(q)) <= budget: as q itself, but bounds
    close to 1 are told apart. Infinite for mean 1."""
    rest = 1 - mean
    return bernoulli_ascent(mean, rest, budget, steps=4) - jnp.log(rest)


@flax.struct.dataclass
class AdaPKLUCB(Episodes):
    """AdaP-KLUCB: epsilon-differentially private KL-UCB, in episodes that double (see `Episodes`).

    Index of an arm whose last episode had n pulls, after t pulls in all: the largest q with
    KL(Ber(m), Ber(q)) <= beta ln t / n, where m is mean + beta ln t / (epsilon n) brought into
    [0, 1], the mean with Laplace(1 / (epsilon n)) added. Rewards in [0, 1].

    Azize and Basu, "When privacy meets partial information: a refined analysis of differentially
    private bandits", NeurIPS 2022, Algorithm 1 and its instance AdaP-KLUCB (there beta > 3). As
    long as several arms have m = 1, the lowest index is played: of arms in order of their means
    this favours the first. A phase learner of width 1: an episode is a phase.

    Args and Raises: as in `AdaPUCB`.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    epsilon: Any = 1.0
    beta: Any = 3.1

    def __post_init__(self):
        known_budget(self, lambda num_arms: num_arms)
        check_privacy(self)
        require(self, "beta", nonnegative, "zero or more")

    def _index(self, means, batches, log):
        level = self.beta * log / batches
        return _odds(jnp.clip(means + level / self.epsilon, 0, 1), level)

    def _perturbed(self, key, total, count):
        return _laplace_mean(key, total, count, self.epsilon)


@flax.struct.dataclass
class AdaCUCB(Episodes):
    """AdaC-UCB: rho-zero-concentrated differentially private UCB, in episodes that double (see
    `Episodes`).

    Index of an arm whose last episode had n pulls, after t pulls in all:
    mean + sqrt((1 / (2 n) + 1 / (rho n^2)) beta ln t), the mean with N(0, 1 / (2 rho n^2)) added.
    Rewards in [0, 1].

    Azize and Basu, "Concentrated differential privacy for bandits", SaTML 2024 (there beta > 1).
    A phase learner of width 1: an episode is a phase.

    Args:
      budget: pulls that may be made, T; the horizon, for regret.
      rho: privacy; infinity adds no noise.

    Raises:
      ValueError: as in `AdaPUCB`, with rho for epsilon.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    rho: Any = 1.0
    beta: Any = 1.0

    def __post_init__(self):
        known_budget(self, lambda num_arms: num_arms)
        check_privacy(self, "rho")
        require(self, "beta", nonnegative, "zero or more")

    def _index(self, means, batches, log):
        width = 1 / (2 * batches) + 1 / (self.rho * batches * batches)
        return means + jnp.sqrt(width * self.beta * log)

    def _perturbed(self, key, total, count):
        return (total + normal(key) / jnp.sqrt(2 * jnp.asarray(self.rho))) / count
