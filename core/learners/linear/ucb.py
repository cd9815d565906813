"""Optimism in linear contextual bandits: LinUCB, OFUL."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax
from ..parameters import nonnegative, require
from .ridge import ridge_of


@flax.struct.dataclass
class LinUCB:
    """LinUCB: plays the largest x^T theta + exploration * sqrt(x^T A^-1 x).

    Ridge regression theta of rewards and its matrix A, see `Ridge`: one for each arm where the
    environment is disjoint, one for all where it is not. Li, Chu, Langford and Schapire, "A
    contextual-bandit approach to personalized news article recommendation", WWW 2010, Algorithm 1
    (regularisation 1); Chu, Li, Reyzin and Schapire, AISTATS 2011. Ties go to the lowest index. It
    commits to no arm without a context: recommends nothing.

    Args:
      exploration: zero or more.
      regularisation: positive.
      width: "sqrt" as above, or "square", exploration * x^T A^-1 x: what the public code of some
        neural bandits runs as LinUCB, with exploration = sqrt(regularisation * nu).
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    exploration: Any = 1.0
    regularisation: Any = 1.0
    width: str = flax.struct.field(pytree_node=False, default="sqrt")

    def __post_init__(self):
        if self.width not in ("sqrt", "square"):
            raise ValueError(f'LinUCB: width is "sqrt" or "square", got {self.width!r}')
        require(self, "exploration", nonnegative, "zero or more")
        require(self, "regularisation", lambda x: x > 0, "positive")

    def init(self, key):
        return ridge_of(self).init(key)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        ridge = ridge_of(self)
        widths = ridge.squared_widths(state, observation)
        widths = jnp.sqrt(widths) if self.width == "sqrt" else widths
        return argmax(ridge.predict(state, observation) + self.exploration * widths)

    def update(self, state, observation, arm, feedback):
        return ridge_of(self).update(state, observation, arm, feedback.reward)

    def recommend(self, state):
        return ()


@flax.struct.dataclass
class OFUL:
    """OFUL: LinUCB with the width of a confidence set that holds the true parameter, in all rounds
    at once, with probability 1 - delta.

    The rewards are x^T theta plus noise that is R-subgaussian, and |theta| <= S. Then the
    exploration of a round is
      R sqrt(ln(det A / det(regularisation I)) + 2 ln(1 / delta)) + sqrt(regularisation) S.
    Where the environment is disjoint, theta is the parameters of all arms in one vector, and A has
    their matrices as blocks. Abbasi-Yadkori, Pal and Szepesvari, "Improved algorithms for linear
    stochastic bandits", NeurIPS 2011, Theorem 2 and Figure 1. Ties go to the lowest index.
    Recommends nothing.

    Args:
      noise_scale: R, zero or more; 1/2 does for any rewards in [0, 1].
      norm: S, zero or more.
      delta: in (0, 1).
      regularisation: positive.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    noise_scale: Any = 1.0
    norm: Any = 1.0
    delta: Any = 0.05
    regularisation: Any = 1.0

    def __post_init__(self):
        require(self, "noise_scale", nonnegative, "zero or more")
        require(self, "norm", nonnegative, "zero or more")
        require(self, "delta", lambda x: (x > 0) & (x < 1), "a probability between 0 and 1")
        require(self, "regularisation", lambda x: x > 0, "positive")

    def init(self, key):
        return ridge_of(self).init(key)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        ridge = ridge_of(self)
        widths = jnp.sqrt(ridge.squared_widths(state, observation))
        return argmax(ridge.predict(state, observation) + self.radius(state) * widths)

    def update(self, state, observation, arm, feedback):
        return ridge_of(self).update(state, observation, arm, feedback.reward)

    def recommend(self, state):
        return ()

    def radius(self, state) -> jax.Array:
        """Of the confidence set, [] float32: it holds every theta with
        sqrt((theta - solution)^T A (theta - solution)) at most this."""
        with jax.enable_x64(True):
            growth = state.log_growth.astype(jnp.float32)
        level = jnp.sqrt(growth - 2 * jnp.log(self.delta))
        return self.noise_scale * level + jnp.sqrt(self.regularisation) * self.norm
