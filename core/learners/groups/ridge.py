"""Online least squares: forecasters of a label from features, in float64.

Both keep the inverse P of I * regularisation + sum x x^T and the solution theta, and take a round
in by one rank-one step (Sherman and Morrison 1950): d^2 operations, however many rounds there were.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..parameters import filled, require


class RidgeState(NamedTuple):
    inverse: jax.Array  # [d, d] float64
    solution: jax.Array  # [d] float64


def start(dimension: int, regularisation: Any) -> RidgeState:
    """Before the first round: P = I / regularisation, theta = 0."""
    with jax.enable_x64(True):
        scale = jnp.asarray(regularisation, jnp.float64)
        solution = jnp.zeros(dimension, jnp.float64)
        return RidgeState(jnp.eye(dimension, dtype=jnp.float64) / scale, solution)


def take_in(state: RidgeState, features: jax.Array, label: jax.Array) -> RidgeState:
    """The state after a round: P - k k^T / (1 + x^T k) and theta + k (y - theta^T x) / (1 + x^T k)
    with k = P x."""
    with jax.enable_x64(True):
        x, direction = _direction(state, features)
        step = direction / (1 + jnp.sum(direction * x))
        error = label.astype(jnp.float64) - jnp.sum(state.solution * x)
        # An entry of P and its mirror are made of the same factors: P stays symmetric.
        outer = direction[:, None] * direction[None, :] / (1 + jnp.sum(direction * x))
        return RidgeState(state.inverse - outer, state.solution + step * error)


def _direction(state, features):
    """Features in float64, and P times them."""
    x = features.astype(jnp.float64)
    return x, jnp.einsum("ij,j->i", state.inverse, x)


@flax.struct.dataclass
class OnlineRidge:
    """Predicts theta^T x, with theta the ridge regression on the rounds so far.

    For squared losses of linear predictions. The round's own features are not used to shrink the
    prediction, as the forecaster of Vovk, Azoury and Warmuth does. The regret to any theta is at
    most regularisation |theta|^2 + L d ln(1 + T X^2 / (d regularisation)), where |x| <= X and L
    bounds the squared errors of its predictions (Azoury and Warmuth, "Relative loss bounds for
    on-line density estimation with the exponential family of distributions", 2001, Theorem 4.6;
    number from memory).

    Args:
      dimension: number of features d; taken from the environment.
      regularisation: the weight of |theta|^2, positive.
    """

    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    regularisation: Any = 1.0

    def __post_init__(self):
        require(self, "regularisation", lambda x: x > 0, "positive")

    def init(self, key):
        return start(filled(self, "dimension"), self.regularisation)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        with jax.enable_x64(True):
            x = observation.features.astype(jnp.float64)
            return jnp.sum(state.solution * x).astype(jnp.float32)

    def update(self, state, observation, prediction, feedback):
        return take_in(state, observation.features, feedback.label)

    def recommend(self, state):
        with jax.enable_x64(True):
            return state.solution.astype(jnp.float32)


@flax.struct.dataclass
class VovkAzouryWarmuth(OnlineRidge):
    """Predicts theta^T x, with theta the ridge regression on the rounds so far and on this round
    with label 0: what `OnlineRidge` predicts, over 1 + x^T P x.

    For labels in [-Y, Y] the regret to any theta is at most regularisation |theta|^2 +
    Y^2 sum_i ln(1 + lambda_i / regularisation), with lambda_i the eigenvalues of sum x x^T,
    whatever the sizes of the features are (Vovk, "Competitive on-line statistics", 2001, Theorem 1;
    Azoury and Warmuth 2001; Cesa-Bianchi and Lugosi, "Prediction, learning, and games", 2006,
    Theorem 11.8; numbers from memory).

    Arguments as for `OnlineRidge`.
    """

    def act(self, state, observation, noise):
        with jax.enable_x64(True):
            x, direction = _direction(state, observation.features)
            shrink = 1 + jnp.sum(direction * x)
            return (jnp.sum(state.solution * x) / shrink).astype(jnp.float32)
