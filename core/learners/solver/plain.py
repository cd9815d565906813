"""Yardsticks for learners that tune a solver: a fixed parameter, the best one of every system by
the theory of SOR, and a line search that then commits."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..parameters import filled, require


@flax.struct.dataclass
class FixedOmega:
    """Solves every system with the same omega, which is its action (not an index into a grid): for
    environments that solve as they go. omega = 1 is Gauss-Seidel.

    Args:
      omega: in (0, 2), where SOR converges for positive definite matrices. Played in float32.
    """

    omega: Any

    def __post_init__(self):
        require(self, "omega", lambda x: (x > 0) & (x < 2), "between 0 and 2")

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return jnp.asarray(self.omega, jnp.float32)

    def update(self, state, observation, action, feedback):
        return ()

    def recommend(self, state):
        return jnp.asarray(self.omega, jnp.float32)


@flax.struct.dataclass
class InstanceOptimal:
    """Solves every system A + cI with its own asymptotically best omega, which is its action.

    omega(c) = 1 + (beta / (1 + sqrt(1 - beta^2)))^2, beta = spread / (diagonal + c): Young's theory
    of SOR for consistently ordered matrices, where beta is the spectral radius of the Jacobi
    iteration; beta < 1 as A + cI is positive definite. The number of iterations of a given
    right-hand side may be a little less at another omega. In float32: for beta up to 0.997, omega
    is off by less than 1e-5. The context c is the observation. Recommends omega(0).

    Args:
      diagonal: the diagonal of A, where it is constant; for the 5-point Laplacian 4.
      spread: what the rest of A adds to its eigenvalues at most; on an m x m grid
        4 cos(pi / (m + 1)). Both are taken from an environment of diagonal shifts.
    """

    diagonal: Any = None
    spread: Any = None

    def __post_init__(self):
        require(self, "diagonal", lambda x: x > 0, "positive")
        require(self, "spread", lambda x: x > 0, "positive")

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        total = filled(self, "diagonal") + jnp.asarray(observation, jnp.float32)
        spread = filled(self, "spread")
        # 1 - beta^2 by factors: near 1 the square would lose its last digits once more.
        root = jnp.sqrt(jnp.maximum((total - spread) * (total + spread), 0))
        return 1 + jnp.square(spread / (total + root))

    def update(self, state, observation, action, feedback):
        return ()

    def recommend(self, state):
        return self.act(state, np.float32(0), ())


_FIBONACCI = np.array([0, 1, *(0 for _ in range(44))], np.int32)
for _n in range(2, len(_FIBONACCI)):
    _FIBONACCI[_n] = _FIBONACCI[_n - 1] + _FIBONACCI[_n - 2]


class SearchState(NamedTuple):
    level: jax.Array  # int32 n: F_n - 1 arms are left, some beyond the grid; 3 where it is one
    offset: jax.Array  # int32, arms below those that are left
    sums: jax.Array  # [2] int32: iterations at the lower and at the upper probe, so far
    upper: jax.Array  # int32, 1 while the upper probe is measured
    opening: jax.Array  # bool: the very first probe, with nothing to compare it with
    tries: jax.Array  # int32, systems that the probe has been measured on


@flax.struct.dataclass
class GoldenSection:
    """Searches the grid for the parameter with fewest iterations, as if they fell and then rose,
    measuring a probe by its sum over `repeats` systems; then plays what it found for good.

    Golden-section search in its form for finite grids, whose sections are ratios of Fibonacci
    numbers: Kiefer, "Sequential minimax search for a maximum", Proceedings of the American
    Mathematical Society 4, 1953. Arms are numbered along the grid; arms beyond its end are worse
    than any. A grid of 20 takes 6 probes. Ties keep the lower part. This is no bandit algorithm:
    what it measured once it believes for good. Recommends the arm that it plays next.

    Args:
      repeats: systems to a probe, one or more; 2^31 iterations to a probe at most.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    repeats: Any = 25

    def __post_init__(self):
        require(self, "repeats", lambda x: x >= 1, "one or more")

    def init(self, key):
        level = max(3, int(np.searchsorted(_FIBONACCI[2:] - 1, filled(self, "num_arms"))) + 2)
        zero = jnp.int32(0)
        sums = jnp.zeros(2, jnp.int32)
        return SearchState(jnp.int32(level), zero, sums, zero, jnp.bool_(True), zero)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        probe = jnp.asarray(_FIBONACCI)[state.level - 2 + state.upper]
        return state.offset + jnp.where(state.level > 3, probe, 1) - 1

    def update(self, state, observation, arm, feedback):
        sums = state.sums.at[state.upper].add(feedback.iterations)
        measured = state._replace(sums=sums, tries=state.tries + 1)
        second = measured._replace(upper=jnp.int32(1), opening=jnp.bool_(False), tries=jnp.int32(0))
        after = _choose(state.opening, second, self._narrow(measured))
        after = _choose(measured.tries < self.repeats, measured, after)
        return _choose(state.level > 3, after, state)

    def recommend(self, state):
        return self.act(state, (), ())

    def _narrow(self, state):
        """The part that a comparison of both probes keeps."""
        fibonacci, (low, high), zero = jnp.asarray(_FIBONACCI), state.sums, jnp.int32(0)
        right = high < low
        level = state.level - 1
        offset = state.offset + jnp.where(right, fibonacci[level - 1], 0)
        # The upper probe may now lie beyond the grid. It has lost then, and the lower one of the
        # part that is left is on the grid, as it lies below one that is.
        beyond = right & (offset + fibonacci[level - 1] > filled(self, "num_arms"))
        known = jnp.minimum(low, high)
        upwards = right & ~beyond
        sums = jnp.where(upwards, jnp.stack([known, zero]), jnp.stack([zero, known]))
        level = level - beyond.astype(jnp.int32)
        return state._replace(
            level=level, offset=offset, sums=sums, upper=upwards.astype(jnp.int32), tries=zero
        )


def _choose(condition, yes, no):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
