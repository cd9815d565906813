"""Least-squares value iteration whose noise is that of the gradient descent: LMC-LSVI."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...checks import whole
from ...mdp import Deterministic, greedy, times
from ..parameters import filled, require
from .statistics import inverse_root, require_ridge, solve, table


class LangevinState(NamedTuple):
    """Of H regressions; everything is float64."""

    gram: jax.Array  # [H, d, d], ridge * I + sum phi phi^T
    rewards: jax.Array  # [H, d], sum phi r
    successors: jax.Array  # [H, S, d], sum phi e_(s')^T, transposed
    weights: jax.Array  # [H, d], where the descent of the last episode ended


@flax.struct.dataclass
class Descended:
    """A greedy policy, and the weights that it is greedy for: from there the next one starts."""

    policy: Deterministic
    weights: jax.Array  # [H, d] float64

    def act(self, stage, state, noise):
        return self.policy.act(stage, state, noise)

    def probabilities(self):
        return self.policy.probabilities()


def step_size(gram: jax.Array, step: Any) -> jax.Array:
    """eta of a descent: `step` over the largest row sum of absolute values of `gram`, which no
    eigenvalue is above."""
    return step / jnp.max(jnp.sum(jnp.abs(gram), axis=-1))


def descend(
    gram: jax.Array,
    target: jax.Array,
    weights: jax.Array,
    eta: jax.Array,
    temperature: jax.Array,
    normals: jax.Array,
) -> jax.Array:
    """Noisy gradient steps on w^T gram w - 2 w^T target, the ridge regression's loss; float64, [d].

    Args:
      normals: standard normal, [J, d], a row a step; the noise of a step has the variance
        2 * eta * temperature.
    """
    scale = jnp.sqrt(2 * eta * temperature)

    def step(weights, normal):
        gradient = 2 * (times(gram, weights) - target)
        return weights - eta * gradient + scale * normal, None

    return jax.lax.scan(step, weights, normals)[0]


@flax.struct.dataclass
class LMCLSVI:
    """LMC-LSVI: acts greedily on weights that noisy gradient descent leaves behind.

    From the last stage to the first, J steps w <- w - eta grad L_h(w) + sqrt(2 eta / beta) z on the
    loss L_h(w) = sum (r + V_(h+1)(s') - phi^T w)^2 + ridge |w|^2 of all episodes, from where the
    descent of the last episode ended; then Q_h = phi^T w, kept between 0 and the number of stages
    left. Ishfaq et al., "Provable and practical: efficient exploration in reinforcement learning
    via Langevin Monte Carlo", ICLR 2024, Algorithm 1, from memory. In the limit of many small steps
    w is normal around the ridge regression with covariance Lambda_h^-1 / (2 beta): RLSVI with
    sigma^2 = 1 / (2 beta), without a factorisation of Lambda. Steps of finite size make that
    Lambda^-1 (I - eta Lambda)^-1 / (2 beta), and too few steps forget earlier targets too slowly:
    about the condition number of Lambda are needed.

    The step size is ours: eta = step / (largest row sum of |Lambda_h|), which is stable for every
    step below 1; the theory has 1 / (4 lambda_max). An episode costs J d^2 + d S operations a
    stage. Ties go to the lowest index. Recommends the policy of ridge regression, without noise.

    Args:
      temperature: 1 / beta, zero or more.
      step: in (0, 1).
      steps: J, from 1.
      ridge, features, stages: see `LSVIUCB`.
    """

    temperature: Any = 1.0
    step: Any = 0.25
    steps: int = flax.struct.field(pytree_node=False, default=50)
    ridge: Any = 1.0
    features: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        require(self, "temperature", lambda x: x >= 0, "zero or more")
        require(self, "step", lambda x: (x > 0) & (x < 1), "between 0 and 1")
        whole("steps", self.steps)
        require_ridge(self)

    def init(self, key) -> LangevinState:
        stages = filled(self, "stages")
        with jax.enable_x64(True):
            states, _, d = table(self).shape
            ridge = jnp.asarray(self.ridge).astype(jnp.float64)
            gram = jnp.tile(ridge * jnp.eye(d, dtype=jnp.float64), (stages, 1, 1))
            zeros = jnp.zeros((stages, d), jnp.float64)
            return LangevinState(gram, zeros, jnp.zeros((stages, states, d), jnp.float64), zeros)

    def noise(self, key, num_rounds):
        d = jnp.shape(filled(self, "features"))[-1]
        return tapes.normal(key, (num_rounds, filled(self, "stages"), self.steps, d))

    def act(self, state: LangevinState, observation, noise):
        with jax.enable_x64(True):
            step, temperature = (
                jnp.asarray(x).astype(jnp.float64) for x in (self.step, self.temperature)
            )

            def regress(gram, target, weights, normals):
                eta = step_size(gram, step)
                return descend(gram, target, weights, eta, temperature, normals)

            return self._policy(state, noise.astype(jnp.float64), regress)

    def update(self, state: LangevinState, observation, policy, trajectory):
        with jax.enable_x64(True):
            x = table(self)[trajectory.states[:-1], trajectory.actions]
            rewards = trajectory.rewards.astype(jnp.float64)
            stage = jnp.arange(len(x))
            return LangevinState(
                state.gram + x[:, :, None] * x[:, None, :],
                state.rewards + x * rewards[:, None],
                state.successors.at[stage, trajectory.states[1:]].add(x),
                policy.weights,
            )

    def recommend(self, state: LangevinState):
        with jax.enable_x64(True):

            def regress(gram, target, weights, normals):
                return solve(inverse_root(gram)[0], target)

            return self._policy(state, jnp.zeros((len(state.gram), 0)), regress)

    def _policy(self, state, normals, regress) -> Descended:
        features = table(self)
        left = jnp.arange(len(state.gram), 0, -1).astype(jnp.float64)

        def stage(after, now):
            gram, rewards, successors, weights, normals, left = now
            weights = regress(gram, rewards + times(after, successors), weights, normals)
            values = jnp.clip(times(features, weights), 0, left)
            return jnp.max(values, axis=-1), (values, weights)

        inputs = (*state, normals, left)
        last = jnp.zeros(len(features), jnp.float64)
        values, weights = jax.lax.scan(stage, last, inputs, reverse=True)[1]
        return Descended(greedy(values), weights)
