"""BayesGap: pull by pull, where the Bayesian bounds on the gaps are widest."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...lanes import dot, first_max, inverse, one_hot, over_lanes, pick, rows
from ...noise import argmax
from ...protocol import concrete
from ..bandits.arms import Arms, add, fresh
from ..parameters import filled, nonnegative, require
from .schedule import set_schedule


class BayesGapState(NamedTuple):
    arms: Arms
    next: jax.Array  # int32, the arm to pull; -1 before the first pull
    best: jax.Array  # int32, what it recommends
    bound: jax.Array  # how much worse than the best arm that may be: the smallest bound so far


@flax.struct.dataclass
class BayesGap:
    """BayesGap: Gaussian posteriors, bounds on every arm's gap, and pulls of the two arms in
    question.

    Rewards, budget T. The parameter has the prior N(0, prior_scale^2 I), rewards the variance
    noise_scale^2; without features every arm has a parameter of its own. With posterior means m,
    standard deviations s, U = m + beta s and L = m - beta s, each round takes the arm J with the
    smallest B_k = max_{i != k} U_i - L_k, the arm j != J with the largest U, and pulls the one of
    the two with the larger s (J on a tie; other ties go to the lowest index). That is the arm with
    the longest features in the first round. It recommends the J of the round where B_J was
    smallest, not counting the first.

        beta^2 = ((T - K) / noise_scale^2 + kappa / prior_scale^2) / (4 H),
        kappa = sum_k ||x_k||^-2,   H = sum_k h_k^-2,   h_k = max((gap_k + epsilon) / 2, epsilon),

    where gap_k = |max_{i != k} mu_i - mu_k| from the true parameter, if `oracle` is given, and
    otherwise, in every round, max_{i != k} (m_i + 3 s_i) - (m_k - 3 s_k), not below 0.

    Hoffman, Shahriari and de Freitas, "On correlation and budget constraints in model-based bandit
    optimization with application to automatic machine learning", AISTATS 2014, Algorithm 1.
    Reconstruction: the constants were not available; H is written such that beta has no unit, as
    in UGapE (Gabillon, Ghavamzadeh and Lazaric, NeurIPS 2012), from which it descends.

    Args:
      oracle: the true parameter, [d], or the true means, [K], without features. None: adaptive.
      epsilon: precision asked for, zero or more, in units of reward.
      each_first: pull every arm once first, in index order, as some implementations do. When the
        budget is a few pulls an arm and arms share features, that errs more often.

    Raises:
      ValueError: fewer than two arms, a budget that does not exceed their number, scales that are
        not positive, a negative epsilon, an oracle that is not a vector of finite numbers.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    oracle: Any = None
    noise_scale: Any = 1.0
    prior_scale: Any = 1.0
    epsilon: Any = 0.0
    each_first: bool = flax.struct.field(pytree_node=False, default=False)
    schedule: Any = flax.struct.field(default=None, repr=False)  # [1], the budget

    def __post_init__(self):
        require(self, "noise_scale", lambda x: x > 0, "positive")
        require(self, "prior_scale", lambda x: x > 0, "positive")
        require(self, "epsilon", nonnegative, "zero or more")
        require(self, "oracle", lambda x: x.ndim >= 1, "a vector of finite numbers")
        if concrete(self.oracle) is not None:
            object.__setattr__(self, "oracle", np.asarray(self.oracle, np.float32))
        set_schedule(self, lambda k: k + 1, lambda k, t: [t])

    def init(self, key):
        arms = fresh(filled(self, "num_arms"))
        return BayesGapState(arms, jnp.int32(-1), jnp.int32(0), jnp.float32(jnp.inf))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        filled(self, "budget")
        if self.each_first or isinstance(observation, tuple):
            return jnp.maximum(state.next, 0)
        longest = argmax(jnp.sum(observation * observation, axis=-1))
        return jnp.where(state.next < 0, longest, state.next)

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        rounds, num_arms = jnp.sum(arms.pulls, dtype=jnp.int32), arms.pulls.shape[-1]
        features = None if isinstance(observation, tuple) else observation
        mean, scale, norms = self._posterior(features, arms)
        budget = jnp.asarray(self.schedule, jnp.int32)[0]
        effort = (budget - num_arms).astype(jnp.float32) / jnp.square(jnp.float32(self.noise_scale))
        effort = effort + jnp.sum(1 / norms) / jnp.square(jnp.float32(self.prior_scale))
        gaps = None if self.oracle is None else self._true_gaps(features)
        j, bound, pull = over_lanes(partial(_choose, gaps is not None))(
            mean, scale, jnp.zeros_like(mean) if gaps is None else gaps, effort, self.epsilon
        )
        begun = rounds >= (num_arms if self.each_first else 1)
        better = begun & (rounds < budget) & (bound < state.bound)
        return BayesGapState(
            arms,
            jnp.where(begun, pull, jnp.minimum(rounds, num_arms - 1)),
            jnp.where(better, j, state.best),
            jnp.where(better, bound, state.bound),
        )

    def recommend(self, state):
        return state.best

    def _posterior(self, features, arms):
        """Means and standard deviations of all arms, [K], and the squared norms of features."""
        noise, prior = jnp.float32(self.noise_scale) ** 2, jnp.float32(self.prior_scale) ** 2
        if features is None:
            precision = arms.pulls.astype(jnp.float32) / noise + 1 / prior
            scale = jax.lax.rsqrt(precision)
            return arms.totals / noise / precision, scale, jnp.ones_like(scale)
        return over_lanes(_posterior)(features, arms.pulls, arms.totals, noise, prior)

    def _true_gaps(self, features):
        oracle = jnp.asarray(self.oracle)
        means = oracle if features is None else jnp.sum(features * oracle, axis=-1)
        others = jnp.where(jnp.eye(len(means), dtype=bool), -jnp.inf, means)
        return jnp.abs(jnp.max(others, axis=-1) - means)


def _posterior(features, pulls, totals, noise, prior):
    x = jnp.moveaxis(features, 1, 0)  # [d, K, B]
    d = len(x)
    weighted = x * pulls.astype(jnp.float32) / noise
    precision = rows(d, lambda j: jnp.sum(weighted[j] * x, axis=1))
    precision = precision + jnp.where(jnp.eye(d, dtype=bool)[:, :, None], 1 / prior, 0)
    covariance = inverse(precision)  # [d, d, B]
    mean = jnp.sum(covariance * jnp.sum(x * totals / noise, axis=1), axis=1)
    images = rows(d, lambda j: dot(x, covariance[j]))
    scale = jnp.sqrt(jnp.maximum(dot(images, x), 0))
    norms = dot(x, x)
    return dot(x, mean), scale, jnp.maximum(norms, 1e-30)


def _others_max(values):
    """For every arm the largest value among the others."""
    top, arm = first_max(values)
    hot = one_hot(arm, len(values))
    return jnp.where(hot, jnp.max(jnp.where(hot, -jnp.inf, values), axis=0), top)


def _choose(has_gaps, mean, scale, gaps, effort, epsilon):
    """J, its bound, and the arm to pull."""
    if not has_gaps:
        gaps = jnp.maximum(_others_max(mean + 3 * scale) - (mean - 3 * scale), 0)
    h = jnp.maximum(jnp.maximum((gaps + epsilon) / 2, epsilon), 1e-9)
    beta = jnp.sqrt(effort / (4 * jnp.sum(1 / (h * h), axis=0)))
    upper, lower = mean + beta * scale, mean - beta * scale
    least, j = first_max(lower - _others_max(upper))
    at_j = one_hot(j, len(mean))
    _, rival = first_max(jnp.where(at_j, -jnp.inf, upper))
    rival_scale = pick(scale, one_hot(rival, len(mean)))
    return j, -least, jnp.where(pick(scale, at_j) >= rival_scale, j, rival)
