"""Peace: elimination by designs that tell the remaining arms apart."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import allocation
from ...design import Basis, max_det
from ...noise import argmax
from ...protocol import Pulls
from ...xy_design import XYDesign, xy_optimal
from ..parameters import filled
from .linear import check_dimension, estimate, require_features
from .schedule import set_schedule


class PeaceState(NamedTuple):
    estimates: jax.Array  # [K] float32, mean rewards by the least squares of the last epoch
    active: jax.Array  # [K] bool
    weights: jax.Array  # [K], the design of the next epoch; from the second epoch on
    rho: jax.Array  # what it achieves
    epochs: jax.Array  # int32, how many there are
    phase: jax.Array  # int32, epochs played


def _most_epochs(num_arms: int, d: int) -> int:
    """No difference is longer than twice the longest arm, whose squared norm is at most the
    dimension of the span under the best design: rho is 4 d at most."""
    return max(1, math.ceil(math.log2(4 * min(num_arms, d))))


@flax.struct.dataclass
class Peace:
    """Peace: ceil(log2 rho) epochs on XY-optimal designs; after each, as many of the arms with the
    largest estimates stay as keeps rho below half of what it was.

    Rewards, budget T. rho(S) is the minimum over designs w of the largest ||x_i - x_j||^2, i and j
    in S, in the inverse of sum_k w_k x_k x_k^T, k any arm: arms already given up are still pulled
    when that helps to compare the others. There are E = ceil(log2 rho([K])) epochs, or one, of
    floor(T / E) pulls each, the last one with the rest. An epoch pulls an optimal design of the
    active arms, rounded efficiently, estimates by least squares on the epoch alone, and keeps the
    longest prefix S' of the active arms, ordered by their estimates, with
    rho(S') <= rho(S) / 2; of two arms one. With one arm left it stops, and leaves the rest of the
    budget.

    Katz-Samuels, Jain, Karnin and Jamieson, "An empirical process approach to the union bound",
    NeurIPS 2020, in the form that Xiong et al., "A/B testing and best-arm identification for linear
    bandits with robustness to non-stationarity", AISTATS 2024, compare with: rho stands for the
    paper's Gaussian width. Designs are optimal to a relative `tolerance`, and so are the
    comparisons of rho; there, 1,000 Frank-Wolfe steps. Ties go to the lowest index.

    Args:
      tolerance: 1e-3 or more.

    Raises:
      ValueError: fewer than two arms, or fewer pulls than there may be epochs,
        ceil(log2(4 min(K, d))).
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    tolerance: float = flax.struct.field(pytree_node=False, default=0.02)
    schedule: Any = flax.struct.field(default=None, repr=False)  # [1], the budget

    def __post_init__(self):
        check_dimension(self)
        d = self.dimension
        if d is not None:
            set_schedule(self, lambda k: _most_epochs(k, d), lambda k, t: [t])

    @property
    def width(self) -> int:
        return filled(self, "num_arms")

    def num_phases(self) -> int:
        return _most_epochs(filled(self, "num_arms"), filled(self, "dimension"))

    def init(self, key):
        num_arms = filled(self, "num_arms")
        zeros, zero = jnp.zeros(num_arms, jnp.float32), jnp.int32(0)
        return PeaceState(
            zeros, jnp.ones(num_arms, bool), zeros, jnp.float32(0), jnp.int32(1), zero
        )

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        features = require_features(self, observation)
        filled(self, "budget")
        state, _ = self._begun(state, features)
        budget = jnp.asarray(self.schedule, jnp.int32)[0]
        each, last = budget // state.epochs, state.epochs - 1
        length = jnp.where(state.phase < last, each, budget - each * last)
        over = (state.phase > last) | (jnp.sum(state.active) < 2)
        counts = allocation.efficient_rounding(state.weights, jnp.where(over, 0, length))
        return Pulls(*allocation.occupied(counts, self.width))

    def update(self, state, observation, pulls, feedback):
        features = require_features(self, observation)
        begun, basis = self._begun(state, features)
        estimates = estimate(features, pulls, feedback.sums)
        last = begun.epochs - 1
        over = (begun.phase > last) | (jnp.sum(begun.active) < 2)
        eliminates = ~over & (begun.phase < last)
        active, design = self._eliminate(begun, basis, estimates, eliminates)
        return PeaceState(
            jnp.where(over, begun.estimates, estimates),
            jnp.where(eliminates, active, begun.active),
            jnp.where(eliminates, design.weights, begun.weights),
            jnp.where(eliminates, design.rho, begun.rho),
            begun.epochs,
            begun.phase + 1,
        )

    def recommend(self, state):
        return argmax(jnp.where(state.active, state.estimates, -jnp.inf))

    def _begun(self, state, features):
        """The state with the design of the coming epoch, and the basis it is worked out in."""
        everything = jnp.ones(features.shape[0], bool)
        basis, first = max_det(features, everything), state.phase == 0
        design = self._design(basis, everything, first)
        # Rounding must not make one epoch more of a power of two.
        epochs = jnp.ceil(jnp.log2(jnp.maximum(design.bound, 1)) - 1e-3).astype(jnp.int32)
        begun = state._replace(
            weights=jnp.where(first, design.weights, state.weights),
            rho=jnp.where(first, design.rho, state.rho),
            epochs=jnp.where(first, jnp.clip(epochs, 1, self.num_phases()), state.epochs),
        )
        return begun, basis

    def _design(self, basis: Basis, among, needed, limit=None) -> XYDesign:
        return xy_optimal(basis.alphas, basis.rank, among, needed, limit, tolerance=self.tolerance)

    def _eliminate(self, state, basis, estimates, needed):
        """The longest prefix with rho at most half, by bisection, and its design."""
        place = _places(estimates, state.active)
        limit = state.rho / 2 * (1 + self.tolerance)

        steps = math.ceil(math.log2(len(estimates)))

        def step(k, carry):
            low, high, _ = carry
            last = k == steps  # the prefix is known: solve for its design
            middle = jnp.where(last, low, (low + high) // 2)
            undecided = ~last & (high - low > 1)
            design = self._design(
                basis,
                place < middle,
                needed & (undecided | (last & (low > 1))),
                jnp.where(last, jnp.nan, limit),
            )
            fits = design.rho <= limit
            low = jnp.where(undecided & fits, middle, low)
            return low, jnp.where(undecided & ~fits, middle, high), design

        nothing = XYDesign(state.weights, state.rho, state.rho)
        start = jnp.int32(1), jnp.sum(state.active, dtype=jnp.int32), nothing
        low, _, design = jax.lax.fori_loop(0, steps + 1, step, start)
        return place < low, design


def _places(values, active):
    """How many active arms come before each, by larger value and then by index; K if not active."""
    values = jnp.where(active, values, -jnp.inf)
    index = jnp.arange(len(values))
    ahead = (values[:, None] > values) | ((values[:, None] == values) & (index[:, None] < index))
    places = jnp.sum(ahead & active[:, None], axis=0, dtype=jnp.int32)
    return jnp.where(active, places, len(values))
