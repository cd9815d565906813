"""Thompson sampling in linear contextual bandits."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ..parameters import filled, nonnegative, require
from .ridge import ridge_of, shown_features, times


@flax.struct.dataclass
class LinTS:
    """LinTS: draws a parameter and plays the arm of the largest x^T draw.

    The draw is normal: around the ridge regression theta of rewards, with covariance
    regularisation * exploration * A^-1 (see `Ridge`), as public code of neural bandits has it;
    where rewards are normal with that product as their variance, it is the posterior. Agrawal and
    Goyal, "Thompson sampling for contextual bandits with linear payoffs", ICML 2013, Algorithm 1,
    scale A^-1 by v^2 with v = R sqrt(9 d ln(t / delta)) for R-subgaussian noise (number from
    memory). Exact and without a factorisation, in d^2 operations: where the environment is
    disjoint, scores of different arms are independent normals, and these are drawn; where it is
    not, the draw is theta + scale * root^T z of a standard normal z. One normal a round for each
    arm, or for each feature. Ties go to the lowest index. Recommends nothing.

    Args:
      exploration: zero or more.
      regularisation: positive.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    exploration: Any = 0.1
    regularisation: Any = 1.0

    def __post_init__(self):
        require(self, "exploration", nonnegative, "zero or more")
        require(self, "regularisation", lambda x: x > 0, "positive")

    def init(self, key):
        return ridge_of(self).init(key)

    def noise(self, key, num_rounds):
        size: Any = filled(self, "num_arms") if self.disjoint else filled(self, "dimension")
        return tapes.normal(key, (num_rounds, size))

    def act(self, state, observation, noise):
        ridge = ridge_of(self)
        scale = jnp.sqrt(jnp.asarray(self.regularisation * self.exploration, jnp.float32))
        if self.disjoint:
            deviations = scale * jnp.sqrt(ridge.squared_widths(state, observation))
            return tapes.argmax(ridge.predict(state, observation) + deviations * noise)
        features = shown_features(self, observation)
        with jax.enable_x64(True):
            normals, x = noise.astype(jnp.float64), features.astype(jnp.float64)
            deviation = times(normals, state.roots[0])
            draw = state.solutions[0] + scale.astype(jnp.float64) * deviation
            scores = jnp.sum(x * draw, axis=-1).astype(jnp.float32)
        return tapes.argmax(scores)

    def update(self, state, observation, arm, feedback):
        return ridge_of(self).update(state, observation, arm, feedback.reward)

    def recommend(self, state):
        return ()
