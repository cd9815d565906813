"""Optimistic policy optimisation in linear mixture MDPs: OPPO."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...kernels.softmax import softmax
from ...mdp import Stochastic, times
from ..parameters import filled, nonnegative, require
from .statistics import require_ridge


class OPPOState(NamedTuple):
    """Of H regressions, one a stage, and what the policy was told; everything is float64."""

    roots: jax.Array  # [H, d, d], root^T root = Lambda^-1
    solutions: jax.Array  # [H, d], Lambda^-1 sum x y
    sums: jax.Array  # [H, S, A], of Q over all episodes


@flax.struct.dataclass
class OPPO:
    """OPPO: exponential weights in every state, on optimistic values of the policy that was played.

    For P_h(s' | s, a) = <psi(s, a, s'), theta_h> with psi known, and rewards that may change from
    episode to episode and are told in full once one is over. The policy of an episode is
    proportional to that of the one before times exp(alpha Q). Q is that of the policy under the
    rewards of the episode: with V the values of the next stage, phi_V(s, a) = sum_s' psi(s, a, s')
    V(s') and w_h the ridge regression of V(s') on phi_V over all episodes before, each with the V
    it had then, Q_h = r_h + phi_V^T w_h + bonus * |phi_V| in the norm of Lambda_h^-1, between 0 and
    the number of stages left (Cai, Yang, Jin and Wang, "Provably efficient exploration in policy
    optimization", ICML 2020, Algorithm 1, from memory). Here rewards are 1 - losses.

    alpha = rate * sqrt(2 ln A / (H^2 K)), the theory's at rate = 1. The theory has ridge = 1 and
    bonus = c d H sqrt(ln(d H K / p)); regret is then of order sqrt(d^2 H^4 K), up to logarithms.

    An episode costs H d (d + S^2 A) operations, however many there were. No noise of its own.

    Args:
      bonus, rate: zero or more. With rate = 0 every policy is uniform.
      ridge: positive.
      kernels: psi, [d, S, A, S]; taken from the environment.
      stages: H; likewise.
      horizon: K, number of episodes.

    Raises:
      ValueError: a parameter out of range; an environment without kernels or losses.
    """

    bonus: Any = 1.0
    rate: Any = 1.0
    ridge: Any = 1.0
    kernels: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None

    def __post_init__(self):
        require(self, "bonus", nonnegative, "zero or more")
        require(self, "rate", nonnegative, "zero or more")
        require_ridge(self)
        require(self, "horizon", lambda x: x >= 1, "one or more")

    def init(self, key) -> OPPOState:
        if self.kernels is None:
            raise ValueError(
                "OPPO learns which mixture of known kernels the transitions are, and was given "
                "none: play envs.linear_mixture, or give kernels=..."
            )
        d, states, actions, _ = jnp.shape(self.kernels)
        stages = filled(self, "stages")
        with jax.enable_x64(True):
            root = jax.lax.rsqrt(jnp.asarray(self.ridge).astype(jnp.float64))
            return OPPOState(
                jnp.tile(root * jnp.eye(d, dtype=jnp.float64), (stages, 1, 1)),
                jnp.zeros((stages, d), jnp.float64),
                jnp.zeros((stages, states, actions), jnp.float64),
            )

    def noise(self, key, num_rounds):
        return ()

    def act(self, state: OPPOState, observation, noise):
        with jax.enable_x64(True):
            horizon = jnp.asarray(filled(self, "horizon")).astype(jnp.float64)
            stages, _, actions = state.sums.shape
            rate = jnp.asarray(self.rate).astype(jnp.float64)
            alpha = rate * math.sqrt(2 * math.log(actions)) / (stages * jnp.sqrt(horizon))
            return Stochastic(softmax(alpha * state.sums).astype(jnp.float32))

    def update(self, state: OPPOState, observation, policy, feedback):
        if getattr(feedback, "losses", None) is None:
            raise ValueError(
                "OPPO is told the losses of all states and actions: play envs.AdversarialMDP"
            )
        with jax.enable_x64(True):
            chances = policy.probabilities().astype(jnp.float64)
            chances = chances / jnp.sum(chances, axis=-1, keepdims=True)
            rewards = 1 - feedback.losses.astype(jnp.float64)
            values, after, images = self._values(state, chances, rewards)
            states, actions = feedback.trajectory.states, feedback.trajectory.actions
            stage = jnp.arange(len(actions))
            x, y = images[stage, states[:-1], actions], after[stage, states[1:]]
            roots, solutions = jax.vmap(_learn)(state.roots, state.solutions, x, y)
            return OPPOState(roots, solutions, state.sums + values)

    def recommend(self, state):
        """The policy of the next episode."""
        return self.act(state, (), ())

    def _values(self, state, chances, rewards):
        """Q [H, S, A], V of the next stage [H, S], and phi_V [H, S, A, d]."""
        kernels = jnp.moveaxis(jnp.asarray(self.kernels).astype(jnp.float64), 0, -2)
        bonus = jnp.asarray(self.bonus).astype(jnp.float64)
        left = jnp.arange(len(rewards), 0, -1).astype(jnp.float64)

        def stage(after, now):
            root, solution, chances, rewards, left = now
            images = times(kernels, after)
            norms = jnp.sqrt(jnp.sum(times(images, root.T) ** 2, axis=-1))
            values = jnp.clip(rewards + times(images, solution) + bonus * norms, 0, left)
            return jnp.sum(chances * values, axis=-1), (values, after, images)

        inputs = state.roots, state.solutions, chances, rewards, left
        last = jnp.zeros(rewards.shape[1], jnp.float64)
        return jax.lax.scan(stage, last, inputs, reverse=True)[1]


def _learn(root, solution, x, y):
    """A regression after x was seen to bring y: as in `linear.Ridge`."""
    image = times(root, x)
    direction = times(image, root)  # Lambda^-1 x
    growth = 1 + jnp.sum(image * image)
    gain = direction / (growth + jnp.sqrt(growth))
    step = direction * (y - jnp.sum(solution * x)) / growth
    return root - image[:, None] * gain, solution + step
