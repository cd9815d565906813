"""Contextual bandits whose contexts are drawn and whose mean rewards are a known function of them.

A round shows features [K, d], drawn afresh for every arm; one model is shared by all arms. What the
function has of parameters each seed draws for itself, before play. The tape holds one draw of a
reward a round, for whichever arm is played.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import whole
from ..core.lanes import dot
from ..core.names import did_you_mean
from ..core.noise import normal, stream, to_normal, uniform
from ..core.protocol import BanditFeedback, Context, Key, concrete

Law = Literal["sphere", "ball", "gaussian"]
Function = Literal["squared", "quadratic", "cosine"]
REACH = 0.5  # of the arms of `SmallLossContexts` along the direction that tells them apart


class Draws(NamedTuple):
    """Of one round."""

    points: jax.Array  # [K, n]
    reward: jax.Array  # [] uniform


class SmallLossDraws(NamedTuple):
    """Of one round."""

    points: jax.Array  # [K, d - 1] normal
    best: jax.Array  # [] uniform: which arm is best
    reward: jax.Array  # [] uniform


def draw_points(law: Law, key: Key, shape: tuple[int, ...]) -> jax.Array:
    """Independent points of R^n, n = shape[-1]: uniform on the unit sphere, uniform in the unit
    ball, or of n independent standard normals."""
    x = normal(stream(key, "directions"), shape)
    if law == "gaussian":
        return x
    x = x / length(x)[..., None]
    if law == "sphere":
        return x
    radius = uniform(stream(key, "radii"), shape[:-1]) ** np.float32(1 / shape[-1])
    return radius[..., None] * x


class SyntheticContexts:
    """Shared by the environments below, whose state is what a seed drew; a subclass adds `init`,
    `noise` and `means`, and overrides `features` or `reward` where they differ.

    Metrics: `regret`, the largest mean of the round less that of the arm played, and `reward`.
    """

    num_arms: int

    disjoint = False

    def observe(self, state, noise) -> Context:
        return Context(self.features(state, noise))

    def step(self, state, arm, noise):
        means = self.means(state, noise)
        reward = self.reward(means[arm], noise.reward)
        metrics = {"regret": jnp.max(means) - means[arm], "reward": reward}
        return state, BanditFeedback(reward), metrics

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        return {}

    def features(self, state, noise) -> jax.Array:
        """What the round shows, [K, d]."""
        return noise.points

    def means(self, state, noise) -> jax.Array:
        """Expected rewards of all arms, [K]."""
        raise NotImplementedError

    def reward(self, mean, u) -> jax.Array:
        """1 with probability `mean`, else 0, from a uniform."""
        return (u < mean).astype(jnp.float32)


# ---- linear and logistic -------------------------------------------------------------------


@flax.struct.dataclass
class LinearContexts(SyntheticContexts):
    """Rewards scale * <x, theta> + N(0, sigma^2), x the features of the arm.

    Args:
      theta: [d]; by default each seed draws it, uniform on the unit sphere.
      contexts: law of the features: "sphere", "ball" or "gaussian", see `draw_points`.

    Raises:
      ValueError: fewer than two arms, no dimension, an unknown law, theta of another shape, a scale
        or a sigma that is not a number, zero or more.
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    dimension: int = flax.struct.field(pytree_node=False)
    theta: Any = None
    scale: Any = 1.0
    sigma: Any = 1.0
    contexts: Law = flax.struct.field(pytree_node=False, default="sphere")

    def __post_init__(self):
        check_sizes(self)
        _check_choice(self, "contexts", Law)
        check_array(self, "theta", (self.dimension,))
        check_number(self, "scale", lambda x: x >= 0, "zero or more")
        check_number(self, "sigma", lambda x: x >= 0, "zero or more")

    def init(self, key: Key) -> jax.Array:
        return _theta(self, key, self.dimension)

    def noise(self, key: Key, num_rounds: int) -> Draws:
        return _draws(self.contexts, key, num_rounds, self.num_arms, self.dimension)

    def means(self, state, noise):
        return self.scale * inner(noise.points, state)

    def reward(self, mean, u):
        return mean + self.sigma * to_normal(u)


@flax.struct.dataclass
class LogisticContexts(SyntheticContexts):
    """Rewards 1 with probability 1 / (1 + exp(-scale * <x, theta>)), else 0.

    Arguments and errors as for `LinearContexts`.
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    dimension: int = flax.struct.field(pytree_node=False)
    theta: Any = None
    scale: Any = 1.0
    contexts: Law = flax.struct.field(pytree_node=False, default="sphere")

    def __post_init__(self):
        check_sizes(self)
        _check_choice(self, "contexts", Law)
        check_array(self, "theta", (self.dimension,))
        check_number(self, "scale", lambda x: x >= 0, "zero or more")

    def init(self, key: Key) -> jax.Array:
        return _theta(self, key, self.dimension)

    def noise(self, key: Key, num_rounds: int) -> Draws:
        return _draws(self.contexts, key, num_rounds, self.num_arms, self.dimension)

    def means(self, state, noise):
        return jax.nn.sigmoid(self.scale * inner(noise.points, state))


@flax.struct.dataclass
class BernoulliLinearContexts(SyntheticContexts):
    """Rewards 1 with probability (1 + scale * <z, theta>) / 2, else 0: linear, and in [0, 1].

    The features are x = (1, z) / sqrt(2): with the constant the mean is <x, w> for
    w = (1, scale * theta) / sqrt(2), and x and w lie in the unit ball.

    Args:
      dimension: of the features, d; z has d - 1 coordinates.
      theta: [d - 1], of length 1 at most; by default each seed draws it, uniform on the unit
        sphere.
      scale: in [0, 1].
      contexts: law of z: "sphere" or "ball".

    Raises:
      ValueError: fewer than two arms or dimensions, another law, theta of another shape or longer
        than 1, a scale outside [0, 1].
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    dimension: int = flax.struct.field(pytree_node=False)
    theta: Any = None
    scale: Any = 1.0
    contexts: Literal["sphere", "ball"] = flax.struct.field(pytree_node=False, default="sphere")

    def __post_init__(self):
        check_sizes(self, least_dimension=2)
        _check_choice(self, "contexts", Literal["sphere", "ball"])
        theta = check_array(self, "theta", (self.dimension - 1,))
        if theta is not None and np.linalg.norm(theta.astype(np.float64)) > 1 + 1e-6:
            raise ValueError(
                f"BernoulliLinearContexts: theta has length 1 at most, so that means are "
                f"probabilities, got {np.linalg.norm(theta)}"
            )
        check_number(self, "scale", lambda x: (x >= 0) & (x <= 1), "in [0, 1]")

    def init(self, key: Key) -> jax.Array:
        return _theta(self, key, self.dimension - 1)

    def noise(self, key: Key, num_rounds: int) -> Draws:
        return _draws(self.contexts, key, num_rounds, self.num_arms, self.dimension - 1)

    def features(self, state, noise):
        return with_constant(noise.points)

    def means(self, state, noise):
        return (1 + self.scale * inner(noise.points, state)) / 2


@flax.struct.dataclass
class SmallLossContexts(SyntheticContexts):
    """A best policy of small loss: losses 1 - reward are 1 with probability `best_loss` for one arm
    of the round, drawn at random, and `best_loss + gap` for all others, else 0.

    For learners whose regret grows with L*, the loss of the best policy (FastCB): here L* is
    T * best_loss, and what is shown does not depend on either. With e a direction that each seed
    draws, z = e / 2 + sqrt(3/4) u for the best arm and -e / 2 + sqrt(3/4) u for the others, u
    uniform on the unit sphere orthogonal to e, drawn for every arm: points of the unit sphere at
    two latitudes, random also where best_loss is 0. The features are x = (1, z) / sqrt(2). The mean
    reward is linear in them; and as it takes two values at two latitudes, it is any other
    increasing function of a linear one too: linear and logistic regression are both realisable
    (logistic regression with best_loss > 0 and best_loss + gap < 1, or in the limit). No source.

    Metrics: `regret`, `reward`, and `best_loss`, the mean loss of the round's best arm: it adds up
    to L*.

    Args:
      dimension: of the features, d, 3 or more; e has d - 1 coordinates.
      best_loss: in [0, 1/2].
      gap: positive, with best_loss + gap at most 1.

    Raises:
      ValueError: fewer than two arms or three dimensions; losses that are not as said.
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    dimension: int = flax.struct.field(pytree_node=False)
    best_loss: Any = 0.05
    gap: Any = 0.3

    def __post_init__(self):
        check_sizes(self, least_dimension=3)
        check_number(self, "best_loss", lambda x: (x >= 0) & (x <= 0.5), "in [0, 1/2]")
        check_number(self, "gap", lambda x: (x > 0) & (x <= 1), "in (0, 1]")
        best, gap = concrete(self.best_loss), concrete(self.gap)
        if best is not None and gap is not None and np.any(best + gap > 1 + 1e-6):
            raise ValueError(
                f"SmallLossContexts: losses are probabilities, best_loss + gap is 1 at most, got "
                f"best_loss={self.best_loss}, gap={self.gap}"
            )

    def init(self, key: Key) -> jax.Array:
        return draw_points("sphere", stream(key, "theta"), (self.dimension - 1,))

    def noise(self, key: Key, num_rounds: int) -> SmallLossDraws:
        points = normal(stream(key, "contexts"), (num_rounds, self.num_arms, self.dimension - 1))
        best = uniform(stream(key, "best"), (num_rounds,))
        return SmallLossDraws(points, best, uniform(stream(key, "rewards"), (num_rounds,)))

    def features(self, state, noise):
        height = jnp.where(self._is_best(noise), REACH, -REACH)[:, None]
        aside = noise.points - inner(noise.points, state)[:, None] * state
        aside = aside / length(aside)[:, None]
        return with_constant(height * state + np.float32(np.sqrt(1 - REACH**2)) * aside)

    def means(self, state, noise):
        loss = self.best_loss + jnp.where(self._is_best(noise), 0, self.gap)
        return jnp.maximum(1 - loss, 0)

    def step(self, state, arm, noise):
        state, feedback, metrics = super().step(state, arm, noise)
        return state, feedback, metrics | {"best_loss": jnp.asarray(self.best_loss, jnp.float32)}

    def _is_best(self, noise):
        # The uniform is a midpoint of 2^-23: its product with K may still round up to K.
        arm = jnp.minimum((noise.best * self.num_arms).astype(jnp.int32), self.num_arms - 1)
        return jnp.arange(self.num_arms) == arm


# ---- not linear ----------------------------------------------------------------------------


@flax.struct.dataclass
class NonlinearContexts(SyntheticContexts):
    """The synthetic problems of NeuralUCB: contexts uniform in the unit ball of R^d, rewards
    h(x) + N(0, sigma^2).

    function: "squared", h = 10 <x, a>^2; "quadratic", h = x^T A^T A x; "cosine", h = cos(3 <x, a>).
    Each seed draws a uniform in the unit ball, A of d^2 standard normals. Rewards are not in
    [0, 1]. Zhou, Li and Gu, "Neural contextual bandits with UCB-based exploration", ICML 2020,
    Section 7: h1, h2, h3, with K = 4, d = 20 and sigma = 1 (numbers from memory).

    Raises:
      ValueError: an unknown function, fewer than two arms, no dimension, a sigma that is not a
        number, zero or more.
    """

    function: Function = flax.struct.field(pytree_node=False, default="squared")
    num_arms: int = flax.struct.field(pytree_node=False, default=4)
    dimension: int = flax.struct.field(pytree_node=False, default=20)
    sigma: Any = 1.0

    def __post_init__(self):
        _check_choice(self, "function", Function)
        check_sizes(self)
        check_number(self, "sigma", lambda x: x >= 0, "zero or more")

    def init(self, key: Key) -> jax.Array:
        if self.function == "quadratic":
            return normal(stream(key, "matrix"), (self.dimension, self.dimension))
        return draw_points("ball", stream(key, "theta"), (self.dimension,))

    def noise(self, key: Key, num_rounds: int) -> Draws:
        return _draws("ball", key, num_rounds, self.num_arms, self.dimension)

    def means(self, state, noise):
        if self.function == "quadratic":
            image = _products(noise.points, state)
            return inner(image, image)
        product = inner(noise.points, state)
        return 10 * product**2 if self.function == "squared" else jnp.cos(3 * product)

    def reward(self, mean, u):
        return mean + self.sigma * to_normal(u)


class Waves(NamedTuple):
    """Of random Fourier features, as a seed drew them."""

    directions: jax.Array  # [m, n] normal
    phases: jax.Array  # [m] in (0, 2 pi)
    theta: jax.Array  # [m]


@flax.struct.dataclass
class FourierContexts(SyntheticContexts):
    """Rewards 1 with probability (1 + <phi(x), theta>) / 2, else 0, phi random Fourier features.

    phi_j(x) = cos(frequency <w_j, x> + b_j) / sqrt(m): each seed draws w_j of standard normals, b_j
    uniform on (0, 2 pi) and theta uniform on the unit sphere of R^m. Contexts x are uniform on the
    unit sphere of R^n. Cosines because |phi| <= 1 whatever x is, so that means are probabilities,
    and because `frequency` says how far from linear they are: over contexts, a linear function
    explains some f^2 / (exp(f^2) - 1) of the variance of a wave of frequency f, 0.58 at f = 1, 0.07
    at 2 (exactly so where <w_j, x> is normal). Rahimi and Recht, "Random features for large-scale
    kernel machines", NIPS 2007, for the features; the problem has no source.

    Args:
      num_inputs: n.
      num_features: m; means have a standard deviation of some 1 / sqrt(8 m).
      lifted: show (1, phi(x)) / sqrt(2), in which the mean is linear, instead of x: what a learner
        could do that knew the features.

    Raises:
      ValueError: fewer than two arms, no input or feature, a frequency that is not positive.
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    num_inputs: int = flax.struct.field(pytree_node=False)
    num_features: int = flax.struct.field(pytree_node=False, default=8)
    frequency: Any = 2.0
    lifted: bool = flax.struct.field(pytree_node=False, default=False)

    def __post_init__(self):
        whole("num_arms", self.num_arms, 2)
        whole("num_inputs", self.num_inputs)
        whole("num_features", self.num_features)
        check_number(self, "frequency", lambda x: x > 0, "positive")

    @property
    def dimension(self) -> int:
        return self.num_features + 1 if self.lifted else self.num_inputs

    def init(self, key: Key) -> Waves:
        directions = normal(stream(key, "directions"), (self.num_features, self.num_inputs))
        phases = np.float32(2 * np.pi) * uniform(stream(key, "phases"), (self.num_features,))
        theta = draw_points("sphere", stream(key, "theta"), (self.num_features,))
        return Waves(directions, phases, theta)

    def noise(self, key: Key, num_rounds: int) -> Draws:
        return _draws("sphere", key, num_rounds, self.num_arms, self.num_inputs)

    def features(self, state, noise):
        return with_constant(self._phi(state, noise)) if self.lifted else noise.points

    def means(self, state, noise):
        return (1 + inner(self._phi(state, noise), state.theta)) / 2

    def _phi(self, waves, noise):
        angles = self.frequency * _products(noise.points, waves.directions)
        return jnp.cos(angles + waves.phases) * np.float32(1 / np.sqrt(self.num_features))


# ---- draws and checks ----------------------------------------------------------------------


def inner(x: jax.Array, y: jax.Array) -> jax.Array:
    """Inner products over the last axis. (How a `jnp.sum` rounds depends on the other seeds.)"""
    return dot(jnp.moveaxis(x, -1, 0), jnp.moveaxis(y, -1, 0))


def length(x: jax.Array) -> jax.Array:
    """Of vectors on the last axis, float32; squares are added in float64, for the same reason."""
    with jax.enable_x64(True):
        x = x.astype(jnp.float64)
        return jnp.sqrt(inner(x, x)).astype(jnp.float32)


def with_constant(points: jax.Array) -> jax.Array:
    """(1, z) / sqrt(2) of every point z of the unit ball: again in the unit ball."""
    ones = jnp.ones((*points.shape[:-1], 1), jnp.float32)
    return jnp.concatenate([ones, points], axis=-1) * np.float32(np.sqrt(0.5))


def _products(x: jax.Array, y: jax.Array) -> jax.Array:
    """Inner products of rows, in full float32 on a GPU too."""
    return jnp.einsum("kn,mn->km", x, y, precision=jax.lax.Precision.HIGHEST)


def _theta(env: Any, key: Key, size: int) -> jax.Array:
    """The parameter that was given, or one uniform on the unit sphere."""
    if env.theta is None:
        return draw_points("sphere", stream(key, "theta"), (size,))
    return given(env, "theta", (size,))


def given(env: Any, name: str, shape: tuple[int, ...]) -> jax.Array:
    """An array parameter, as it is inside a run.

    Raises:
      ValueError: another shape (outside of a run it may be a stack's, with an axis more).
    """
    value = jnp.asarray(getattr(env, name), jnp.float32)
    if value.shape != shape:
        raise ValueError(
            f"{type(env).__name__}: {name} is {list(shape)}, got shape {list(value.shape)}"
        )
    return value


def _draws(law: Law, key: Key, num_rounds: int, num_arms: int, size: int) -> Draws:
    points = draw_points(law, stream(key, "contexts"), (num_rounds, num_arms, size))
    return Draws(points, uniform(stream(key, "rewards"), (num_rounds,)))


def check_sizes(env: Any, least_dimension: int = 1) -> None:
    """Raises ValueError: fewer than two arms, or too few dimensions."""
    whole("num_arms", env.num_arms, 2)
    whole("dimension", env.dimension, least_dimension)


def check_number(env: Any, name: str, holds: Callable[[np.ndarray], Any], what: str) -> None:
    """Check a number that a person gives, and make it float32; one that is float32 was checked
    before, or is made by JAX.

    Raises:
      ValueError: not a finite number of which `holds` is true.
    """
    value = concrete(getattr(env, name))
    if value is None or value.dtype in (np.float32, bool):
        return
    fits = value.dtype.kind in "fiu" and np.all(np.isfinite(value) & holds(value))
    if not fits:
        raise ValueError(f"{type(env).__name__}: {name} is {what}, got {getattr(env, name)!r}")
    object.__setattr__(env, name, value.astype(np.float32))


def check_array(env: Any, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Check an array that a person gives, and make it float32; its values, or None for what is not
    such an array: a stack's have an axis more.

    Raises:
      ValueError: another shape, or entries that are not finite numbers.
    """
    given = getattr(env, name)
    value = concrete(given) if isinstance(given, list | np.ndarray) else None
    if value is None or value.ndim > len(shape):
        return None
    if value.dtype.kind not in "fiu" or value.shape != shape or not np.all(np.isfinite(value)):
        raise ValueError(
            f"{type(env).__name__}: {name} is {list(shape)} of finite numbers, got {given!r}"
        )
    object.__setattr__(env, name, value.astype(np.float32, copy=False))
    return value


def _check_choice(env, name, options):
    given = getattr(env, name)
    if given not in get_args(options):
        raise ValueError(
            f"{type(env).__name__}: {name} is one of {', '.join(get_args(options))}, got "
            f"{given!r}: {did_you_mean(str(given), get_args(options))}"
        )
