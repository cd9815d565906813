"""Thompson sampling: play the arm that is best in a draw from the posterior."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ... import noise as tapes
from ...samplers import GammaShape, beta_from, beta_tape, gamma_shape
from ..parameters import filled, require, require_pair
from .arms import Arms, add, fresh


@flax.struct.dataclass
class ThompsonBeta:
    """Thompson sampling with a Beta prior on each arm's mean, for rewards in [0, 1].

    Agrawal and Goyal, "Analysis of Thompson sampling for the multi-armed bandit problem", COLT
    2012, Algorithm 1; Slivkins 2019, Chapter 3. A reward r counts as r successes and 1 - r
    failures, which for Bernoulli rewards is the posterior: exact to 2^24 of either. Sums of other
    rewards are off by a few percent at most after 10^6 plays of an arm. Ties have probability about
    2^-24 and go to the lowest index.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    prior: tuple[float, float] = flax.struct.field(pytree_node=False, default=(1.0, 1.0))

    def __post_init__(self):
        require_pair(self, "prior", lambda x: x > 0, "positive numbers")

    # State: the posteriors' a, then their b, [2 K], as constants of the gammas that a draw is made
    # of; two entries change a round.

    def init(self, key):
        return gamma_shape(jnp.repeat(jnp.float32(self.prior), filled(self, "num_arms")))

    def noise(self, key, num_rounds):
        shape = num_rounds, filled(self, "num_arms")
        return beta_tape(key, shape, below_one=min(self.prior) < 1)

    def act(self, state, observation, noise):
        return tapes.argmax(beta_from(noise, state))

    def update(self, state, observation, arm, feedback):
        at = jnp.stack([arm, arm + filled(self, "num_arms")])
        seen = jnp.stack([feedback.reward, 1 - feedback.reward])
        new = gamma_shape(_parameters(state)[at] + seen)
        return jax.tree.map(lambda old, x: old.at[at].set(x), state, new)

    def recommend(self, state):
        a, b = jnp.split(_parameters(state), 2)
        return tapes.argmax(a / (a + b))


def _parameters(shape: GammaShape) -> jax.Array:
    """What `gamma_shape` was given."""
    return jnp.where(shape.boost > 0, 1 / shape.boost, shape.d + np.float32(1 / 3))


class GaussianState(NamedTuple):
    arms: Arms
    means: jax.Array  # [K] posterior means
    scales: jax.Array  # [K] posterior standard deviations


@flax.struct.dataclass
class ThompsonGaussian:
    """Thompson sampling with a Gaussian prior on each arm's mean and Gaussian rewards.

    Agrawal and Goyal, "Further optimal regret bounds for Thompson sampling", AISTATS 2013,
    Section 3 (there: prior N(0, 1), reward_scale 1); conjugate updates in general.

    Args:
      prior_mean, prior_scale: of every arm's mean.
      reward_scale: standard deviation of a reward about its mean, taken as known.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    prior_mean: Any = 0.0
    prior_scale: Any = 1.0
    reward_scale: Any = 1.0

    def __post_init__(self):
        require(self, "prior_mean", np.isfinite, "finite")
        require(self, "prior_scale", lambda x: x > 0, "positive")
        require(self, "reward_scale", lambda x: x > 0, "positive")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        ones = jnp.ones(num_arms, jnp.float32)
        return GaussianState(fresh(num_arms), self.prior_mean * ones, self.prior_scale * ones)

    def noise(self, key, num_rounds):
        return tapes.normal(key, (num_rounds, filled(self, "num_arms")))

    def act(self, state, observation, noise):
        return tapes.argmax(state.means + state.scales * noise)

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        prior = (self.reward_scale / self.prior_scale) ** 2  # worth so many rewards
        precision = prior + arms.pulls[arm].astype(jnp.float32)
        mean = (prior * self.prior_mean + arms.totals[arm]) / precision
        scale = self.reward_scale * jax.lax.rsqrt(precision)
        return GaussianState(arms, state.means.at[arm].set(mean), state.scales.at[arm].set(scale))

    def recommend(self, state):
        return tapes.argmax(state.means)
