"""Learners of points as forecasters of labels."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import flax.struct
import jax.numpy as jnp

from ...domains import Ball
from ...losses import LinearLoss
from ...protocol import complete
from ..parameters import require


@flax.struct.dataclass
class LinearPredictor:
    """Predicts <theta, x> with the theta that a learner of points plays in the ball |theta| <=
    radius, told the gradient of the squared loss at it.

    `learner` is one of online convex optimisation without noise, such as `OGD()`. What it leaves
    blank is filled in for squared losses of labels in [0, 1]: the ball, and the bound
    2 X (radius X + 1) on gradients that follows from |x| <= X, the environment's `feature_bound`
    (predictions lie in [-radius X, radius X]: at most radius X + 1 away from a label).
    """

    learner: Any
    radius: Any = 1.0

    def __post_init__(self):
        require(self, "radius", lambda x: x > 0, "positive")

    def completed(self, env, horizon):
        reach = env.feature_bound
        problem = SimpleNamespace(
            domain=Ball(env.dimension, self.radius),
            gradient_bound=2 * reach * (self.radius * reach + 1),
        )
        return dataclasses.replace(self, learner=complete(self.learner, problem, horizon))

    def init(self, key):
        return self.learner.init(key)

    def noise(self, key, num_rounds):
        return self.learner.noise(key, num_rounds)

    def act(self, state, observation, noise):
        return jnp.sum(self.learner.act(state, (), noise) * observation.features)

    def update(self, state, observation, prediction, feedback):
        theta = self.learner.act(state, (), ())
        slope = feedback.gradient(prediction) * observation.features
        return self.learner.update(state, (), theta, LinearLoss(slope))

    def recommend(self, state):
        return self.learner.recommend(state)
