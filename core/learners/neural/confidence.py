"""Exploration by the gradient of a network: NeuralUCB and NeuralTS."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...protocol import Context, complete
from ..parameters import nonnegative, require
from .networks import Weights, block, disjoint, gradients, size
from .replay import ReplayNetwork

COVARIANCES = ("diagonal", "full")


class ConfidenceState(NamedTuple):
    inner: Any  # of the regressor
    precision: Any  # U: leaves as the weights; or the inverse of the full matrix, [p, p]


@flax.struct.dataclass
class NeuralUCB:
    """NeuralUCB: plays the largest output f + sqrt(regularisation exploration g^T U^{-1} g), where
    g is the gradient of the arm's output in the weights.

    U starts as regularisation * I and gains g g^T of the arm that was played, by the weights before
    they are trained again: its diagonal only, as in all experiments of the literature, or the whole
    matrix. Zhou, Li and Gu, "Neural contextual bandits with UCB-based exploration", ICML 2020,
    Algorithm 1, in the form of the authors' code: there is no 1 / m, and the factor is constant.
    Ties go to the lowest index.

    Args:
      regressor: predicts the rewards; a `ReplayNetwork` or `OnlineNetwork`.
      regularisation, exploration: lambda and nu.
      covariance: "diagonal", or "full", of p^2 numbers: for networks of a few hundred weights.
    """

    regressor: Any = ReplayNetwork(of="rewards")
    regularisation: Any = 0.1
    exploration: Any = 0.001
    covariance: str = flax.struct.field(pytree_node=False, default="diagonal")

    def __post_init__(self):
        _check(self)

    @property
    def num_arms(self) -> int | None:
        return self.regressor.num_arms

    def completed(self, env, horizon):
        return dataclasses.replace(self, regressor=complete(self.regressor, env, horizon))

    def init(self, key):
        inner = self.regressor.init(key)
        regularisation = jnp.asarray(self.regularisation, jnp.float32)
        if self.covariance == "full":
            inverse = jnp.eye(size(inner.weights), dtype=jnp.float32) / regularisation
            return ConfidenceState(inner, inverse)
        full = jax.tree.map(lambda w: jnp.full_like(w, regularisation), inner.weights)
        return ConfidenceState(inner, full)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        means, widths = self.scores(state, observation)
        return tapes.argmax(means + widths)

    def update(self, state, observation, arm, feedback):
        return _after(self, state, observation, arm, feedback.reward)

    def recommend(self, state):
        return ()

    def scores(self, state: ConfidenceState, context: Context) -> tuple[jax.Array, jax.Array]:
        """Predicted rewards of all arms, and the widths of their intervals (standard deviations,
        for `NeuralTS`), [K] each."""
        return _scores(self, state, context)


@flax.struct.dataclass
class NeuralTS(NeuralUCB):
    """NeuralTS: plays the largest of independent normal draws, one an arm, with mean the output and
    variance regularisation * exploration * g^T U^{-1} g.

    Zhang, Zhou, Li and Gu, "Neural Thompson sampling", ICLR 2021, Algorithm 1, in the form of the
    authors' code. For U and the arguments see `NeuralUCB`. One normal an arm and round.
    """

    def noise(self, key, num_rounds):
        if self.num_arms is None:
            raise ValueError("NeuralTS does not know its num_arms: run it with simulate")
        return tapes.normal(key, (num_rounds, self.num_arms))

    def act(self, state, observation, noise):
        means, deviations = self.scores(state, observation)
        return tapes.argmax(means + deviations * noise)


def _check(learner: Any) -> None:
    name = type(learner).__name__
    if learner.covariance not in COVARIANCES:
        raise ValueError(f"{name}: covariance is 'diagonal' or 'full', got {learner.covariance!r}")
    if not hasattr(learner.regressor, "hidden"):
        raise ValueError(
            f"{name} explores by the gradient of a network: regressor is a ReplayNetwork or an "
            f"OnlineNetwork, got {learner.regressor!r}"
        )
    require(learner, "regularisation", lambda x: x > 0, "positive")
    require(learner, "exploration", nonnegative, "zero or more")


def _scores(learner, state, context):
    means = learner.regressor.predict(state.inner, context)
    slopes = gradients(state.inner.weights, context)
    if learner.covariance == "full":
        g = _flat(slopes, context, state.inner.weights)
        squares = jnp.sum(g * (g @ state.precision), axis=1)
    else:
        squares = _diagonal(slopes, state.precision, context)
    return means, jnp.sqrt(learner.regularisation * learner.exploration * squares)


def _diagonal(slopes, precision, context):
    """sum_j g_j^2 / U_j of every arm."""

    def one(g, own):
        parts = jax.tree.map(lambda a, u: jnp.sum(a * a / u), g, own)
        return sum(jax.tree.leaves(parts))

    axes: Any = Weights(1, None) if disjoint(context) else None  # pyright: ignore[reportArgumentType]
    own = precision if disjoint(context) else block(precision, 0)
    return jax.vmap(one, (0, axes))(slopes, own)


def _flat(slopes, context, weights):
    """The whole gradients, zeros in other blocks included, [K, p]."""
    num_arms = slopes.blocks.shape[0]
    hot = jnp.eye(num_arms) if disjoint(context) else jnp.ones((num_arms, 1))
    whole = Weights(slopes.blocks[:, :, None, :] * hot[:, None, :, None], slopes.shared)
    return jnp.concatenate([x.reshape(num_arms, -1) for x in jax.tree.leaves(whole)], axis=1)


def _after(learner, state, context, arm, reward):
    slopes = gradients(state.inner.weights, context)
    if learner.covariance == "full":
        g = _flat(slopes, context, state.inner.weights)[arm]
        direction = state.precision @ g
        shrink = direction[:, None] * direction[None, :] / (1 + g @ direction)
        precision = state.precision - shrink
    else:
        index = arm if disjoint(context) else jnp.zeros_like(arm)
        squares = jax.tree.map(lambda g: jnp.square(g[arm]), slopes)
        blocks = state.precision.blocks.at[:, index].add(squares.blocks)
        shared = jax.tree.map(jnp.add, state.precision.shared, squares.shared)
        precision = Weights(blocks, shared)
    inner = learner.regressor.update(state.inner, context, arm, reward)
    return ConfidenceState(inner, precision)
