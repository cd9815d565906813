"""Elimination in phases where rewards are linear in features: OD-LinBAI and GSE."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import allocation
from ...design import g_optimal
from ...noise import argmax
from ...protocol import Pulls
from ..parameters import filled
from .schedule import entry, set_schedule
from .selection import keep_best


class LinearState(NamedTuple):
    estimates: jax.Array  # [K] float32, mean rewards by the least squares of the last phase
    active: jax.Array  # [K] bool
    phase: jax.Array  # int32, phases played


def fresh(num_arms: int) -> LinearState:
    """No phase played yet."""
    return LinearState(jnp.zeros(num_arms), jnp.ones(num_arms, bool), jnp.int32(0))


def estimate(features: jax.Array, pulls: Pulls, sums: jax.Array) -> jax.Array:
    """[K] mean rewards by least squares on one phase. On arms that are not in the span of those
    that were pulled it says nothing."""
    theta = allocation.least_squares(features[pulls.arms], pulls.counts, sums)
    return allocation.predictions(features, theta)


def leader(state: LinearState) -> jax.Array:
    return argmax(jnp.where(state.active, state.estimates, -jnp.inf))


def require_features(learner: Any, observation: Any) -> jax.Array:
    """The features [K, d] that the environment shows.

    Raises:
      ValueError: it shows none, or of another shape.
    """
    expected = (filled(learner, "num_arms"), filled(learner, "dimension"))
    given = getattr(observation, "shape", None)
    if given != expected:
        raise ValueError(
            f"{type(learner).__name__} learns from features [K, d] = {list(expected)}, the "
            f"environment shows {'none' if given is None else list(given)}"
        )
    return observation


def check_dimension(learner: Any) -> None:
    """Raises ValueError: a dimension that is not a positive whole number."""
    d = learner.dimension
    if d is not None and (not isinstance(d, int) or d < 1):
        raise ValueError(f"{type(learner).__name__}: dimension is a whole number from 1, got {d!r}")


def _sizes(num_arms: int, d: int) -> list[int]:
    """The most arms that each phase of OD-LinBAI pulls, and 1: those that stay after the last."""
    phases = max(1, math.ceil(math.log2(d)))
    return [min(num_arms, d * (d + 1) // 2)] + [-(-d // 2**r) for r in range(1, phases + 1)]


@flax.struct.dataclass
class ODLinBAI:
    """OD-LinBAI: ceil(log2 d) phases on G-optimal designs; after phase r the ceil(d / 2^r) largest
    estimates stay.

    Rewards, budget T, R = ceil(log2 d) phases (one when d = 1). Each is worth
    m = (T - min(K, d (d + 1) / 2) - sum_{r < R} ceil(d / 2^r)) / R: it pulls ceil(pi_i m) times
    every arm of the support of a G-optimal design pi of the active arms, in the first phase one of
    d (d + 1) / 2 arms at most, so the budget is never exceeded. Estimates are least squares on the
    phase alone.

    Yang and Tan, "Minimax optimal fixed-budget best arm identification in linear bandits", NeurIPS
    2022, Algorithm 1. The design is optimal to `tolerance` (relative, `design.g_optimal`), which
    the paper leaves open; without the bound on its support the ceilings overrun small budgets. Ties
    go to the lowest index. Recommends the active arm with the largest estimate.

    Args:
      tolerance: 1e-4 or more.

    Raises:
      ValueError: fewer than two arms, or a budget that leaves nothing for m.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    tolerance: float = flax.struct.field(pytree_node=False, default=1e-3)
    schedule: Any = flax.struct.field(default=None, repr=False)  # [1], R m

    def __post_init__(self):
        check_dimension(self)
        if self.dimension is not None:
            set_schedule(self, lambda k: self._reserve(k) + 1, lambda k, t: [t - self._reserve(k)])

    def _reserve(self, num_arms):
        return sum(_sizes(num_arms, filled(self, "dimension"))[:-1])

    @property
    def width(self) -> int:
        d = filled(self, "dimension")
        return min(filled(self, "num_arms"), d * (d + 1) // 2)

    def num_phases(self) -> int:
        return len(_sizes(filled(self, "num_arms"), filled(self, "dimension"))) - 1

    def init(self, key):
        return fresh(filled(self, "num_arms"))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        features = require_features(self, observation)
        filled(self, "budget")
        num_arms, d = features.shape
        phases, sizes = self.num_phases(), _sizes(num_arms, d)
        prune = d * (d + 1) // 2
        design = g_optimal(features, state.active, tolerance=self.tolerance, max_support=prune)
        worth = jnp.asarray(self.schedule, jnp.int32)[0]
        # The ceilings add less than an arm each: whole numbers below m + size.
        limit = (worth + phases - 1) // phases - 1 + entry(sizes[:-1], state.phase)
        amount = worth.astype(jnp.float32) / phases
        counts = allocation.ceil_rounding(design, amount, limit)
        counts = jnp.where(state.phase < phases, counts, 0)
        return Pulls(*allocation.occupied(counts, self.width))

    def update(self, state, observation, pulls, feedback):
        features = require_features(self, observation)
        estimates = estimate(features, pulls, feedback.sums)
        over = state.phase >= self.num_phases()
        stay = jnp.maximum(entry(_sizes(*features.shape)[1:], state.phase), 1)
        active = jnp.where(over, state.active, keep_best(estimates, state.active, stay))
        estimates = jnp.where(over, state.estimates, estimates)
        return LinearState(estimates, active, state.phase + 1)

    def recommend(self, state):
        return leader(state)


def _stages(num_arms: int, eta: int) -> int:
    """ceil(log_eta K), in whole numbers."""
    stages = 0
    while eta**stages < num_arms:
        stages += 1
    return stages


def _stage_lengths(num_arms: int, budget: int, eta: int) -> list[int]:
    stages = _stages(num_arms, eta)
    late = budget % stages
    return [budget // stages] * (stages - late) + [budget // stages + 1] * late


def _stage_sizes(num_arms: int, eta: int) -> list[int]:
    """How many arms are active in each stage, and after the last one; those past 1 arm are idle."""
    sizes = [num_arms]
    while sizes[-1] > 1:
        sizes.append(max(sizes[-1] // eta, 1))
    return sizes


@flax.struct.dataclass
class GSE:
    """Generalised successive elimination on G-optimal designs: ceil(log_eta K) stages of equal
    length, after each the floor(s / eta) arms with the largest estimates stay of s, one at least.

    Rewards, budget T. A stage has floor(T / stages) pulls, the last T mod stages ones have one
    more. They follow a G-optimal design of the active arms (Frank-Wolfe in the paper; here
    `design.g_optimal`, to `tolerance`), rounded efficiently so that the stage has exactly its
    length; estimates are least squares on the stage alone. Because of the floor one arm may be left
    before the last stage: later stages make no pulls.

    Azizi, Kveton and Ghavamzadeh, "Fixed-budget best-arm identification in structured bandits",
    IJCAI 2022. Where a stage is shorter than the dimension some arms cannot be estimated, and are
    kept or dropped by an arbitrary solution. Ties go to the lowest index. Recommends the active
    arm with the largest estimate.

    Args:
      eta: 2 or more.
      tolerance: 1e-4 or more.

    Raises:
      ValueError: fewer than two arms, or fewer pulls than stages.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    eta: int = flax.struct.field(pytree_node=False, default=2)
    tolerance: float = flax.struct.field(pytree_node=False, default=1e-3)
    schedule: Any = flax.struct.field(default=None, repr=False)  # [stages] pulls

    def __post_init__(self):
        check_dimension(self)
        if not isinstance(self.eta, int) or self.eta < 2:
            raise ValueError(f"GSE: eta is a whole number from 2, got {self.eta!r}")
        set_schedule(
            self, lambda k: _stages(k, self.eta), lambda k, t: _stage_lengths(k, t, self.eta)
        )

    @property
    def width(self) -> int:
        return filled(self, "num_arms")

    def num_phases(self) -> int:
        return len(_stage_sizes(filled(self, "num_arms"), self.eta)) - 1

    def init(self, key):
        return fresh(filled(self, "num_arms"))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        features = require_features(self, observation)
        filled(self, "budget")
        design = g_optimal(features, state.active, tolerance=self.tolerance)
        length = jnp.where(state.phase < self.num_phases(), entry(self.schedule, state.phase), 0)
        counts = allocation.efficient_rounding(design, length)
        return Pulls(*allocation.occupied(counts, self.width))

    def update(self, state, observation, pulls, feedback):
        estimates = estimate(require_features(self, observation), pulls, feedback.sums)
        over = state.phase >= self.num_phases()
        sizes = _stage_sizes(filled(self, "num_arms"), self.eta)
        stay = jnp.maximum(entry(sizes[1:], state.phase), 1)
        active = jnp.where(over, state.active, keep_best(estimates, state.active, stay))
        estimates = jnp.where(over, state.estimates, estimates)
        return LinearState(estimates, active, state.phase + 1)

    def recommend(self, state):
        return leader(state)
