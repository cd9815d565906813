"""Ridge regression of an arm's reward on its features, in float64: the model of linear learners."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...protocol import Context
from ..parameters import filled, require


class RidgeState(NamedTuple):
    """Of B models: one for every arm, or one for all. The matrix of a model is
    A = regularisation * I + sum x x^T, over the features x that it was told the reward of."""

    roots: jax.Array  # [B, d, d] float64, root^T root = A^-1
    solutions: jax.Array  # [B, d] float64, A^-1 sum x y
    log_growth: jax.Array  # [] float64, sum over models of ln det A - ln det(regularisation I)


def shown_features(model: Any, context: Context) -> jax.Array:
    """The features of a context, in float32: [d] where the model is disjoint, else [K, d].

    Raises:
      ValueError: the round shows none, or of another shape.
    """
    num_arms, d = filled(model, "num_arms"), filled(model, "dimension")
    expected = (d,) if filled(model, "disjoint") else (num_arms, d)
    features = getattr(context, "features", None)
    if getattr(features, "shape", None) != expected:
        given = getattr(features, "shape", None)
        raise ValueError(
            f"{type(model).__name__} learns from features {list(expected)}, the round shows "
            f"{'none' if given is None else list(given)}: play a contextual bandit, with the same "
            f"num_arms, dimension and disjoint"
        )
    return jnp.asarray(features, jnp.float32)


def times(a: jax.Array, b: jax.Array) -> jax.Array:
    """The product over the last axis of `a` and the first of `b`. (`jnp.einsum` and `@` say a type
    for the result, and lose float64 where JAX batches them after the caller has returned, as it
    does a `scan` inside a `vmap`.)"""
    return jax.lax.dot_general(a, b, (((a.ndim - 1,), (0,)), ((), ())))


@flax.struct.dataclass
class Ridge:
    """Predicts x^T theta, with theta the ridge regression on what was told so far: a `Regressor`.

    An update costs d^2 operations, however many rounds there were. It is that of Sherman and
    Morrison (1950), made on a square root of the inverse, so that rounding never makes a width
    negative (Potter's form of a Kalman filter's update; Bierman, "Factorization methods for
    discrete sequential estimation", 1977, from memory). Predictions and widths are rounded to
    float32: arms that are equal stay equal, whatever the order of summation was.

    Args:
      num_arms, dimension, disjoint: K, d and whether each arm has a model of its own; taken from
        the environment.
      of: "rewards": a regression on rewards, so that what is unknown is predicted to bring 0; or
        "losses": on losses 1 - reward, so that it is predicted to bring 1.
      regularisation: the weight of |theta|^2, positive.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    of: str = flax.struct.field(pytree_node=False, default="rewards")
    regularisation: Any = 1.0

    def __post_init__(self):
        if self.of not in ("rewards", "losses"):
            raise ValueError(f'Ridge: of is "rewards" or "losses", got {self.of!r}')
        require(self, "regularisation", lambda x: x > 0, "positive")

    def init(self, key):
        d, num_arms = filled(self, "dimension"), filled(self, "num_arms")
        models = num_arms if filled(self, "disjoint") else 1
        with jax.enable_x64(True):
            scale = jax.lax.rsqrt(jnp.asarray(self.regularisation, jnp.float64))
            roots = jnp.tile(scale * jnp.eye(d, dtype=jnp.float64), (models, 1, 1))
            return RidgeState(roots, jnp.zeros((models, d), jnp.float64), jnp.float64(0))

    def predict(self, state: RidgeState, context: Context) -> jax.Array:
        """Rewards of all arms, [K] float32."""
        features = shown_features(self, context)
        with jax.enable_x64(True):
            values = jnp.sum(state.solutions * features.astype(jnp.float64), axis=-1)
            values = values.astype(jnp.float32)
        return values if self.of == "rewards" else 1 - values

    def squared_widths(self, state: RidgeState, context: Context) -> jax.Array:
        """x^T A^-1 x of all arms, [K] float32."""
        features = shown_features(self, context)
        with jax.enable_x64(True):
            x = features.astype(jnp.float64)
            images = times(state.roots, x) if self.disjoint else times(x, state.roots[0].T)
            return jnp.sum(images * images, axis=-1).astype(jnp.float32)

    def update(self, state: RidgeState, context: Context, arm: jax.Array, reward: jax.Array):
        """The state after `arm` brought `reward`."""
        features = shown_features(self, context)
        with jax.enable_x64(True):
            model, x = (arm, features) if self.disjoint else (0, features[arm])
            x, y = x.astype(jnp.float64), reward.astype(jnp.float64)
            y = y if self.of == "rewards" else 1 - y
            root, solution = state.roots[model], state.solutions[model]
            image = times(root, x)
            direction = times(image, root)  # A^-1 x
            growth = 1 + jnp.sum(image * image)  # det A grows by this factor
            gain = direction / (growth + jnp.sqrt(growth))
            step = direction * (y - jnp.sum(solution * x)) / growth
            return RidgeState(
                state.roots.at[model].set(root - image[:, None] * gain),
                state.solutions.at[model].set(solution + step),
                state.log_growth + jnp.log(growth),
            )


def ridge_of(learner: Any, of: str = "rewards") -> Ridge:
    """The regression inside a linear learner, from the learner's fields."""
    return Ridge(
        num_arms=learner.num_arms,
        dimension=learner.dimension,
        disjoint=learner.disjoint,
        of=of,
        regularisation=learner.regularisation,
    )
