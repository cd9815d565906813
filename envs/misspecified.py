"""Fixed arms whose mean rewards are linear in features only up to an error: the misspecified linear
bandit, with a sparse parameter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import whole
from ..core.noise import normal, stream, uniform
from ..core.protocol import BanditFeedback, Context, Key, concrete
from .synthetic_contexts import check_array, check_number, check_sizes, draw_points, given, inner


class MisspecifiedState(NamedTuple):
    features: jax.Array  # [K, d]
    means: jax.Array  # [K]


@flax.struct.dataclass
class MisspecifiedLinear:
    """K arms of mean reward <phi_a, theta> + xi_a with |xi_a| <= epsilon, rewards with normal noise
    of standard deviation sigma; theta has s entries that are not zero.

    What is not given each seed draws: phi_a uniform on the unit sphere; the s places of theta
    uniform among all, its entries there uniform on the unit sphere of R^s; xi_a uniform on
    [-epsilon, epsilon]. Every round shows the features of all arms.

    Setting of Dong and Yang, "Does sparsity help in learning misspecified linear bandits?",
    ICML 2023, who have theory only; these laws are ours.

    Metrics: `regret`, the largest mean less that of the arm played, errors included, and `reward`;
    `simple_regret`, the same of the arm that is recommended.

    Args:
      sparsity: s; learners may ask for it, as for epsilon and sigma.
      hidden: instead of the drawn errors, -<phi_a, theta> for arms with |<phi_a, theta>| <=
        epsilon, whose rewards then have mean 0 and tell nothing, and 0 for the others.
      features: [K, d], theta: [d], errors: [K], if not drawn.

    Raises:
      ValueError: sizes that are not whole numbers, a sparsity that is not from 1 to d, epsilon or
        sigma below zero; arrays of other shapes, theta with more than s entries that are not zero,
        errors larger than epsilon, or given with `hidden`.
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    dimension: int = flax.struct.field(pytree_node=False)
    sparsity: int = flax.struct.field(pytree_node=False, default=1)
    epsilon: Any = 0.1
    sigma: Any = 1.0
    hidden: bool = flax.struct.field(pytree_node=False, default=False)
    features: Any = None
    theta: Any = None
    errors: Any = None

    disjoint = False

    def __post_init__(self):
        check_sizes(self)
        whole("sparsity", self.sparsity, 1, self.dimension)
        check_number(self, "epsilon", lambda x: x >= 0, "zero or more")
        check_number(self, "sigma", lambda x: x >= 0, "zero or more")
        check_array(self, "features", (self.num_arms, self.dimension))
        theta = check_array(self, "theta", (self.dimension,))
        if theta is not None and np.count_nonzero(theta) > self.sparsity:
            raise ValueError(
                f"MisspecifiedLinear: theta has {np.count_nonzero(theta)} entries that are not "
                f"zero, sparsity={self.sparsity} allows for no more"
            )
        errors, epsilon = check_array(self, "errors", (self.num_arms,)), concrete(self.epsilon)
        if self.errors is not None and self.hidden:
            raise ValueError("MisspecifiedLinear: errors are given, or hidden=True sets them")
        if errors is None or epsilon is None or epsilon.ndim:
            return
        if np.max(np.abs(errors)) > np.abs(epsilon) * (1 + 1e-6):
            raise ValueError(
                f"MisspecifiedLinear: errors are epsilon={epsilon:g} at most, got "
                f"{np.max(np.abs(errors)):g}"
            )

    def init(self, key: Key) -> MisspecifiedState:
        features, theta = self._features(key), self._theta(key)
        exact = inner(features, theta)
        return MisspecifiedState(features, exact + self._errors(key, exact))

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        return normal(key, (num_rounds,))

    def observe(self, state, noise) -> Context:
        return Context(state.features)

    def step(self, state, arm, noise):
        reward = state.means[arm] + self.sigma * noise
        regret = jnp.max(state.means) - state.means[arm]
        return state, BanditFeedback(reward), {"regret": regret, "reward": reward}

    def evaluate(self, state, arm) -> dict[str, jax.Array]:
        return {"simple_regret": jnp.max(state.means) - state.means[arm]}

    def _features(self, key):
        shape = self.num_arms, self.dimension
        if self.features is None:
            return draw_points("sphere", stream(key, "features"), shape)
        return given(self, "features", shape)

    def _theta(self, key):
        if self.theta is not None:
            return given(self, "theta", (self.dimension,))
        key = stream(key, "theta")
        order = jnp.argsort(uniform(stream(key, "places"), (self.dimension,)))
        entries = draw_points("sphere", stream(key, "entries"), (self.sparsity,))
        return jnp.zeros(self.dimension, jnp.float32).at[order[: self.sparsity]].set(entries)

    def _errors(self, key, exact):
        if self.hidden:
            return jnp.where(jnp.abs(exact) <= self.epsilon, -exact, 0)
        if self.errors is not None:
            return given(self, "errors", (self.num_arms,))
        return self.epsilon * (2 * uniform(stream(key, "errors"), (self.num_arms,)) - 1)


def hidden_direction(dimension: int, epsilon: float, sigma: float = 1.0) -> MisspecifiedLinear:
    """An orthonormal basis of equal arms, and the one arm that matters: where methods that do not
    know of sparsity err by epsilon sqrt(d).

    theta = c e_1 with c = 0.9 epsilon sqrt(d). The arms b_1 .. b_d are orthonormal, each with first
    coordinate 1 / sqrt(d), so that <b_i, theta> = 0.9 epsilon; their errors are -epsilon, their
    means -epsilon / 10. The last arm is e_1, with mean c and no error. It is sum_i b_i / sqrt(d):
    even weights on the basis are a G-optimal design, under which e_1 is as well explored as any
    arm, and least squares put it at -epsilon sqrt(d) / 10, below all others. Taking one of those
    costs (0.9 sqrt(d) + 0.1) epsilon. A construction of ours, after the lower bound of Lattimore,
    Szepesvari and Weisz, "Learning with good feature representations in bandits and in RL with a
    generative model", ICML 2020.

    Raises:
      ValueError: fewer than two dimensions, or epsilon not positive, or so large that c is above 1.
    """
    d = whole("dimension", dimension, 2)
    size = 0.9 * epsilon * np.sqrt(d)
    if not 0 < size <= 1:
        raise ValueError(
            f"hidden_direction: epsilon is positive, and theta has length 1 at most: it is "
            f"0.9 epsilon sqrt(d) = {size:g} with dimension={d}, epsilon={epsilon}"
        )
    first = np.eye(d)[0]
    mirror = first - 1 / np.sqrt(d)  # Householder's: swaps e_1 and (1, ..., 1) / sqrt(d)
    basis = np.eye(d) - 2 * np.outer(mirror, mirror) / (mirror @ mirror)
    features, errors = np.concatenate([basis, first[None]]), np.append(np.full(d, -epsilon), 0)
    return MisspecifiedLinear(
        d + 1, d, 1, epsilon, sigma, features=features, theta=size * first, errors=errors
    )
