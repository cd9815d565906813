"""Least-squares value iteration that explores by noise in its weights: RLSVI and LSVI-PHE."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...checks import whole
from ...mdp import greedy, times
from ..parameters import filled, nonnegative, require
from .statistics import Statistics, learn, require_ridge, start, table, value_iteration


def perturbed_values(
    state: Statistics, features: jax.Array, sigma: jax.Array, normals: jax.Array
) -> jax.Array:
    """Q [H, S, A] of value iteration on weights w + sigma * root^T z, whose law is that of ridge
    regression on targets with noise of deviation sigma, and a prior to match; float64.

    Args:
      normals: z, [H, M, d]: the largest of M values counts, and is kept between 0 and the number
        of stages left.
    """
    draws = jax.vmap(times)(normals.astype(jnp.float64), state.roots) * sigma.astype(jnp.float64)

    def backup(weights, draws, left):
        values = times(features, (weights + draws).T)  # [S, A, M]
        return jnp.clip(jnp.max(values, axis=-1), 0, left)

    return value_iteration(state, features, backup, draws)


@flax.struct.dataclass
class LSVIPHE:
    """LSVI-PHE: optimism by chance. The largest of several perturbed regressions counts.

    As LSVI-UCB, with Q_h the largest of `draws` values phi^T w^m, w^m normal around the ridge
    regression with covariance sigma^2 Lambda_h^-1: the law of a regression on targets with normal
    noise of deviation sigma (Ishfaq et al., "Randomized exploration in reinforcement learning with
    general value function approximation", ICML 2021, from memory; theory: sigma^2 of order H^2 d,
    and d draws). Ties go to the lowest index. Recommends the policy without perturbation.

    Args:
      sigma: zero or more.
      draws: M, from 1.
      ridge, features, stages, offline: see `LSVIUCB`.
    """

    sigma: Any = 1.0
    draws: int = flax.struct.field(pytree_node=False, default=10)
    ridge: Any = 1.0
    features: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)
    offline: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        require(self, "sigma", nonnegative, "zero or more")
        whole("draws", self.draws)
        require_ridge(self)

    def init(self, key) -> Statistics:
        return start(self, key)

    def noise(self, key, num_rounds):
        d = jnp.shape(filled(self, "features"))[-1]
        return tapes.normal(key, (num_rounds, filled(self, "stages"), self.draws, d))

    def act(self, state, observation, noise):
        with jax.enable_x64(True):
            return greedy(perturbed_values(state, table(self), jnp.asarray(self.sigma), noise))

    def update(self, state, observation, policy, trajectory):
        with jax.enable_x64(True):
            return learn(state, table(self), trajectory)

    def recommend(self, state):
        d = jnp.shape(self.features)[-1]
        return self.act(state, (), jnp.zeros((filled(self, "stages"), 1, d)))


def RLSVI(sigma: Any = 1.0, ridge: Any = 1.0, offline: Any = None) -> LSVIPHE:
    """RLSVI: acts greedily on one regression with normal noise in its weights.

    `LSVIPHE` with one draw: w ~ N(ridge regression, sigma^2 Lambda_h^-1), once an episode and
    stage, values kept between 0 and the number of stages left (Osband, Van Roy and Wen,
    "Generalization and exploration via randomized value functions", ICML 2016, Algorithm 1, from
    memory; there the values are not bounded). For arguments see `LSVIPHE`.
    """
    return LSVIPHE(sigma, 1, ridge, offline=offline)
