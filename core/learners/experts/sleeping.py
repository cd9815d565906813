"""Sleeping experts, for learners that know nothing of sleep."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ...losses import LinearLoss
from ...protocol import complete
from .weights import awake, even_over, regrets_of_round


@flax.struct.dataclass
class Sleeping:
    """`learner`, where experts may sleep: its weights are cut down to those awake and made to add
    up to 1 again, and those asleep are said to have lost what was lost by the play.

    Freund, Schapire, Singer and Warmuth, "Using and combining predictors that specialize", STOC
    1997; in this form Chernov and Vovk, "Prediction with expert evaluators' advice", ALT 2009. To
    `learner` the loss of its own weights is then the loss of those that were played, so its regret
    towards an expert is that over the rounds in which the expert was awake: the bound for T rounds
    holds for the regret towards every expert over its own.

    Even weights over those awake where `learner` gives them none, over all where nobody is awake.
    Losses of those asleep are not looked at. Losses that `learner` is told are less the loss of the
    play, so that 0 is told of those asleep. Recommends what `learner` recommends.

    Raises:
      ValueError: a `learner` that plays by chance.
    """

    learner: Any

    @property
    def num_arms(self) -> int:
        return self.learner.num_arms

    def completed(self, env, horizon):
        return Sleeping(complete(self.learner, env, horizon))

    def init(self, key):
        return self.learner.init(key)

    def noise(self, key, num_rounds):
        without_noise(self, self.learner.noise(key, num_rounds))
        return ()

    def act(self, state, observation, noise):
        weights, active = self.learner.act(state, (), ()), awake(observation)
        return weights if active is None else restricted(weights, active)

    def update(self, state, observation, weights, feedback):
        own, active = self.learner.act(state, (), ()), awake(observation)
        if active is None:
            return self.learner.update(state, (), own, feedback)
        told = -regrets_of_round(weights, feedback.gradient(weights), active)
        return self.learner.update(state, (), own, LinearLoss(told))

    def recommend(self, state):
        return self.learner.recommend(state)


def restricted(weights: jax.Array, active: jax.Array) -> jax.Array:
    """Weights [K] of those awake, made to add up to 1; even where they have none."""
    weights = jnp.where(active, weights, 0)
    total = jnp.sum(weights)
    some = total > 0
    return jnp.where(
        some, weights / jnp.where(some, total, 1), even_over(weights.shape[-1], active)
    )


def without_noise(wrapper: Any, noise: Any) -> None:
    """For wrappers that ask their learner for the weights of a round more than once.

    Raises:
      ValueError: they depend on a draw.
    """
    if jax.tree.leaves(noise):
        raise ValueError(
            f"{type(wrapper).__name__} takes a learner whose weights follow from its state, "
            f"and this one draws noise: {wrapper.learner!r}"
        )
