"""Elimination on a net of sparse parameters, for misspecified linear bandits."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...noise import argmax
from ..bandits.arms import Arms, add, fresh
from ..parameters import filled, nonnegative, require
from .elimination import rarely, require_own_features
from .ridge import shown_features

_LARGEST = 100_000  # points of a net
_LONGEST = 1e9  # pulls of a query: more than a horizon leaves time for, and within int32


@lru_cache
def net(dimension: int, sparsity: int, radius: float) -> np.ndarray:
    """Points, [N, d] float32, such that every vector of the unit ball of R^d with `sparsity`
    entries that are not zero, or fewer, is within `radius` of one of them.

    The points are such vectors themselves. For each choice of s places: the centres of the cells,
    no longer than 2 radius / sqrt(s), of a grid on the cube [-1, 1]^s, where the cell meets the
    unit ball; centres outside of it are moved to the nearest point of it. For s = 1 these are
    ceil(1 / radius) points a place, a minimal net.

    Raises:
      ValueError: a sparsity that is not from 1 to d, a radius outside (0, 1], or more than 100,000
        points.
    """
    d, s = dimension, sparsity
    if not (1 <= s <= d and 0 < radius <= 1):
        raise ValueError(
            f"a net of s-sparse vectors has s from 1 to d and a radius in (0, 1]: got sparsity={s},"
            f" dimension={d}, radius={radius}"
        )
    cells = math.ceil(math.sqrt(s) / radius - 1e-6)  # on a side; a radius is as in float32
    block = _ball_cells(cells, s) if cells**s <= 100 * _LARGEST else None
    if block is None or math.comb(d, s) * len(block) > _LARGEST:
        raise ValueError(
            f"a net of {s}-sparse vectors in {d} dimensions to within {radius} has more than "
            f"{_LARGEST:,} points, and each is tried: take a larger radius (epsilon), fewer "
            f"dimensions or a lower sparsity"
        )
    points = np.zeros((math.comb(d, s), len(block), d), np.float32)
    for part, places in zip(points, itertools.combinations(range(d), s), strict=True):
        part[:, places] = block
    points = np.unique(points.reshape(-1, d), axis=0)  # supports share what is zero elsewhere
    points.flags.writeable = False
    return points


def _ball_cells(cells: int, s: int) -> np.ndarray:
    """Centres [n, s] of the cells that meet the unit ball, moved into it."""
    side = 2 / cells
    axis = (np.arange(cells) - (cells - 1) / 2) * side
    centres = np.stack(np.meshgrid(*[axis] * s, indexing="ij"), axis=-1).reshape(-1, s)
    nearest = np.maximum(np.abs(centres) - side / 2, 0)
    centres = centres[np.sum(nearest**2, axis=1) <= 1]
    return centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1)


class SparseState(NamedTuple):
    survivors: jax.Array  # [N] bool
    tops: jax.Array  # [N] float32, the largest <phi_a, theta> of a point theta over arms
    arms: jax.Array  # [N] int32, whose it is; the lowest on ties
    point: jax.Array  # int32, of this query; N before the first
    mean: Arms  # of one: the rewards of this query
    queries: jax.Array  # int32, completed
    best_mean: jax.Array  # [] float32, the largest mean reward of a query so far
    best_arm: jax.Array  # int32, whose it was; the one that was returned when `stopped`
    stopped: jax.Array  # bool


@flax.struct.dataclass
class SparseElimination:
    """Elimination on a net of s-sparse parameters, for arms of fixed features of length 1 at most
    and mean rewards within epsilon of <phi_a, theta*>, theta* s-sparse in the unit ball.

    The survivors are first all points of an epsilon-net of such parameters (`net`). A query takes
    the pair of a survivor theta and an arm a with the largest <phi_a, theta>, and the mean r of

        n = ceil(2 sigma^2 epsilon^-2 ln(2 N / delta))

    rewards of a, N the size of the net, one at least. If r >= <phi_a, theta> - c epsilon it returns
    a, and plays it ever after; else it drops all points with |<phi_a, theta> - r| > c epsilon;
    c = 2 without noise (sigma = 0), else 3. The point next to theta* is never dropped and every
    query that returns nothing drops one, so it ends after N queries at most, with an arm within
    2 c epsilon of the best one: for certain, or with probability 1 - delta. That is
    O(epsilon^-s d^s) queries, where O(epsilon sqrt(d)) is the best that methods without sparsity
    reach in poly(d) queries.

    Reconstruction after Dong and Yang, "Does sparsity help in learning misspecified linear
    bandits?", ICML 2023: rate and error are theirs, the algorithm was not at hand; the proof of the
    above takes the lines of this text. Recommends the arm that it returned, before that the arm of
    the query with the largest mean, arm 0 before the first. Ties go to the lowest index. If no
    point is left, means were not as said: it returns the arm that it recommends.

    Args:
      sparsity, epsilon, sigma: taken from an environment that says them; rewards are
        sigma-subgaussian. Sparsity and epsilon are static: they make the net.
      delta: chance of an error.

    Raises:
      ValueError: what `net` raises, parameters that are not as said, or features [d] shared by all
        arms.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    sparsity: int | None = flax.struct.field(pytree_node=False, default=None)
    epsilon: float | None = flax.struct.field(pytree_node=False, default=None)
    sigma: Any = None
    delta: Any = 0.05
    net: Any = flax.struct.field(default=None, repr=False)  # [N, d]

    def __post_init__(self):
        require_own_features(self)
        require(self, "sigma", nonnegative, "zero or more")
        require(self, "delta", lambda x: (x > 0) & (x < 1), "in (0, 1)")
        if self.epsilon is not None:
            require(self, "epsilon", lambda x: (x > 0) & (x <= 1), "in (0, 1]")
            # As an environment has it: given or taken from there, it is the same program.
            object.__setattr__(self, "epsilon", float(np.float32(self.epsilon)))
        sizes = self.dimension, self.sparsity, self.epsilon
        ours = self.net is None or isinstance(self.net, np.ndarray) and self.net.ndim == 2
        if ours and None not in sizes:
            object.__setattr__(self, "net", net(*sizes))

    def init(self, key):
        for name in ("num_arms", "dimension", "sparsity", "epsilon"):
            filled(self, name)
        size, zero = len(filled(self, "net")), jnp.int32(0)
        return SparseState(
            survivors=jnp.ones(size, bool),
            tops=jnp.zeros(size, jnp.float32),
            arms=jnp.zeros(size, jnp.int32),
            point=jnp.int32(size),
            mean=fresh(1),
            queries=zero,
            best_mean=jnp.float32(-jnp.inf),
            best_arm=zero,
            stopped=jnp.bool_(False),
        )

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        state = self._started(state, shown_features(self, observation))
        return jnp.where(state.stopped, state.best_arm, state.arms[state.point])

    def update(self, state, observation, arm, feedback):
        features = shown_features(self, observation)
        state = self._started(state, features)
        state = state._replace(mean=add(state.mean, jnp.int32(0), feedback.reward))
        over = ~state.stopped & (state.mean.pulls[0] >= self._pulls())
        return rarely(_answered, over, state, self, features)

    def recommend(self, state):
        return state.best_arm

    def _pulls(self):
        """n, of a query."""
        ratio = filled(self, "sigma") / np.float32(filled(self, "epsilon"))
        log = jnp.log(2 * len(filled(self, "net")) / jnp.asarray(self.delta, jnp.float32))
        return jnp.ceil(jnp.clip(2 * ratio**2 * log, 1, _LONGEST)).astype(jnp.int32)

    def _started(self, state, features):
        """`state` with a query under way."""
        return rarely(_start, state.point == len(state.tops), state, self, features)


def _start(state, learner, features):
    """What every point promises, and the first query."""

    def more(arm, carry):
        tops, arms = carry
        values = _values(learner.net, features[arm])
        return jnp.maximum(tops, values), jnp.where(values > tops, arm, arms)

    nothing = jnp.full_like(state.tops, -jnp.inf), state.arms
    tops, arms = jax.lax.fori_loop(0, len(features), more, nothing)
    return state._replace(tops=tops, arms=arms, point=argmax(tops))


def _answered(state, learner, features):
    """What a query says of the points, and the next one."""
    arm, top, mean = state.arms[state.point], state.tops[state.point], state.mean.means[0]
    slack = np.float32(filled(learner, "epsilon")) * jnp.where(filled(learner, "sigma") > 0, 3, 2)
    right = mean >= top - slack
    agree = jnp.abs(_values(learner.net, features[arm]) - mean) <= slack
    survivors = state.survivors & (agree | right)
    survivors = survivors & (right | (jnp.arange(len(survivors)) != state.point))
    better = right | (mean > state.best_mean)
    return state._replace(
        survivors=survivors,
        point=argmax(jnp.where(survivors, state.tops, -jnp.inf)),
        mean=fresh(1),
        queries=state.queries + 1,
        best_mean=jnp.where(better, mean, state.best_mean),
        best_arm=jnp.where(better, arm, state.best_arm),
        stopped=right | ~jnp.any(survivors),
    )


def _values(points, features):
    """<phi, theta> of an arm and every point theta, in full float32 on a GPU too."""
    return jnp.matmul(points, features, precision=jax.lax.Precision.HIGHEST)
