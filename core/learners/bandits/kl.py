"""Learners that measure confidence by the Kullback-Leibler divergence: KL-UCB and IMED."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax
from ..elementwise import flat
from ..parameters import filled, nonnegative, require
from .arms import Arms, add, best, fresh

Divergence = Literal["bernoulli", "gaussian"]

_TINY = 1e-30


def bernoulli_divergence(mean: jax.Array, gap: jax.Array) -> jax.Array:
    """KL(Ber(mean), Ber(mean + gap)) for gap >= 0, elementwise; infinite where only mean + gap
    is 1.

    Takes the gap and not the other mean, because the divergence is about gap^2 where the terms it
    is the difference of are about gap: its error is a few 2^-24 * gap, not 2^-24.
    """
    rest = 1 - mean
    up = mean * jnp.log1p(gap / jnp.maximum(mean, _TINY))
    down = rest * jnp.log1p(-gap / jnp.maximum(rest, _TINY))
    return jnp.maximum(-up - down, 0)


def bernoulli_ascent(mean: jax.Array, rest: jax.Array, budget: jax.Array, steps: int) -> jax.Array:
    """The y >= 0 with KL(Ber(mean), Ber(1 - rest exp(-y))) = budget, where rest = 1 - mean,
    elementwise.

    In this variable the divergence, rest y - mean ln((1 - rest exp(-y)) / mean), is convex, like
    y^2 near 0 and linear far out. Newton's method on its square root starts from the least of
    three upper bounds on y and takes `steps` steps.
    """
    mean, rest = jnp.maximum(mean, _TINY), jnp.maximum(rest, _TINY)
    # The divergence is at least gap^2 / 2v, v the largest variance between the two means.
    wide = jnp.minimum(budget + jnp.sqrt(budget * (budget + 2 * mean)), jnp.sqrt(budget / 2))
    share = jnp.where(mean < 0.5, wide, jnp.sqrt(2 * budget * mean * rest)) / rest
    linear = (budget - mean * jnp.log(mean)) / rest
    near = -jnp.log1p(-jnp.minimum(share, 0.999))
    y = jnp.where(share < 0.999, jnp.minimum(near, linear), linear)
    root = jnp.sqrt(budget)

    def step(_, y):
        gap = -rest * jnp.expm1(-y)
        value = jnp.sqrt(jnp.maximum(rest * y - mean * jnp.log1p(gap / mean), 0))
        slope = gap / (mean + gap)  # of the divergence
        return jnp.maximum(y - 2 * value * (value - root) / jnp.maximum(slope, _TINY), 0)

    return jax.lax.fori_loop(0, steps, step, y)


@flat
def _upper(mean, budget):
    mean = jnp.clip(mean, 0, 1)
    rest = 1 - mean
    return mean - rest * jnp.expm1(-bernoulli_ascent(mean, rest, budget, steps=3))


def bernoulli_upper(mean: jax.Array, budget: jax.Array) -> jax.Array:
    """The largest q in [mean, 1] with KL(Ber(mean), Ber(q)) <= budget, elementwise.

    Three Newton steps; the error is at most 2e-7 (float32) for any mean in [0, 1] and budget >= 0.
    """
    return _upper(*jnp.broadcast_arrays(mean, budget))


def _check_divergence(learner: Any) -> None:
    if learner.divergence not in ("bernoulli", "gaussian"):
        raise ValueError(
            f"{type(learner).__name__}: divergence is 'bernoulli' or 'gaussian', "
            f"got {learner.divergence!r}"
        )
    require(learner, "reward_scale", lambda x: x > 0, "positive")


class KLUCBState(NamedTuple):
    arms: Arms
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class KLUCB:
    """KL-UCB: plays the arm with the largest mean q that its rewards do not rule out.

    In round t (t = 1, 2, ...), the largest q with pulls * KL(mean, q) <= ln t + c ln ln t.

    Garivier and Cappe, "The KL-UCB algorithm for bounded stochastic bandits and beyond", COLT 2011,
    Algorithm 1. Every arm once first, in index order; ties go to the lowest index. The Bernoulli
    index is accurate to 2e-7 (`bernoulli_upper`), so bounds within that of 1 tie.

    Args:
      divergence: "bernoulli", for any rewards in [0, 1], or "gaussian".
      c: 3 in the regret bound, 0 as the authors advise in practice.
      reward_scale: standard deviation of a reward about its mean, for "gaussian".
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    divergence: Divergence = flax.struct.field(pytree_node=False, default="bernoulli")
    c: Any = 0.0
    reward_scale: Any = 1.0

    def __post_init__(self):
        _check_divergence(self)
        require(self, "c", nonnegative, "zero or more")

    def init(self, key):
        return KLUCBState(fresh(filled(self, "num_arms")), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        means, pulls = state.arms.means, state.arms.pulls
        log = jnp.log((state.rounds + 1).astype(jnp.float32))
        level = log + self.c * jnp.log(jnp.maximum(log, 1))  # ln ln t counts from t = 3 on
        budget = level / jnp.maximum(pulls, 1).astype(jnp.float32)
        if self.divergence == "bernoulli":
            bounds = bernoulli_upper(means, budget)
        else:
            bounds = means + self.reward_scale * jnp.sqrt(2 * budget)
        return argmax(jnp.where(pulls > 0, bounds, jnp.inf))

    def update(self, state, observation, arm, feedback):
        return KLUCBState(add(state.arms, arm, feedback.reward), state.rounds + 1)

    def recommend(self, state):
        return best(state.arms)


class IMEDState(NamedTuple):
    arms: Arms
    logs: jax.Array  # [K] ln(pulls)


@flax.struct.dataclass
class IMED:
    """IMED (indexed minimum empirical divergence): plays the smallest
    pulls * KL(mean, largest mean) + ln(pulls).

    Honda and Takemura, "Non-asymptotic analysis of a new bandit algorithm for semi-bounded
    rewards", JMLR 16, 2015, Algorithm 1, with the divergence of the family of rewards. Every arm
    once first, in index order; ties go to the lowest index.

    Args:
      divergence: "bernoulli", for any rewards in [0, 1], or "gaussian".
      reward_scale: standard deviation of a reward about its mean, for "gaussian".
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    divergence: Divergence = flax.struct.field(pytree_node=False, default="bernoulli")
    reward_scale: Any = 1.0

    def __post_init__(self):
        _check_divergence(self)

    def init(self, key):
        num_arms = filled(self, "num_arms")
        return IMEDState(fresh(num_arms), jnp.zeros(num_arms, jnp.float32))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        means, pulls = state.arms.means, state.arms.pulls
        if self.divergence == "bernoulli":
            means = jnp.clip(means, 0, 1)
            divergence = bernoulli_divergence(means, jnp.max(means) - means)
        else:
            divergence = ((jnp.max(means) - means) / self.reward_scale) ** 2 / 2
        index = pulls.astype(jnp.float32) * divergence + state.logs
        return argmax(jnp.where(pulls > 0, -index, jnp.inf))

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        log = jnp.log(arms.pulls[arm].astype(jnp.float32))
        return IMEDState(arms, state.logs.at[arm].set(log))

    def recommend(self, state):
        return best(state.arms)
