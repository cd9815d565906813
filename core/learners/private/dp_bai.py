"""DP-BAI: fixed-budget best-arm identification under differential privacy, for linear rewards."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from ... import noise as tapes
from ...allocation import occupied
from ...design import max_det
from ...protocol import Pulls, concrete
from ..best_arm.linear import require_features
from ..best_arm.schedule import entry, known_budget
from ..best_arm.selection import keep_best
from ..parameters import filled, require
from . import schedule as phased
from .budgets import check_privacy

_WRITTEN_OUT = 16  # columns


class _WithBasis(NamedTuple):
    arms: jax.Array
    counts: jax.Array
    rank: jax.Array
    alphas: jax.Array


class BasisPulls(_WithBasis, Pulls):  # pyright: ignore[reportGeneralTypeIssues]
    """`Pulls`, with the basis that they are of: its rank, 0 where all active arms are pulled, and
    all arms in terms of it, [K, d]. An action comes back to the learner, which need not find the
    basis twice."""

    __slots__ = ()


class DPBAIState(NamedTuple):
    key: jax.Array
    phase: jax.Array  # int32, phases played
    active: jax.Array  # [K] bool
    means: jax.Array  # [K] float32, private estimates from the last phase


@flax.struct.dataclass
class DPBAI:
    """DP-BAI: epsilon-differentially private elimination of arms in M phases, for rewards in [0, 1]
    whose means are linear in known features.

    Phase p has s_p active arms, whose features span d_p dimensions. If d_p <= sqrt(s_p), it pulls a
    basis of d_p arms of large determinant (`core.design.max_det`), ceil(T' / (M d_p)) times each;
    otherwise all, ceil(T' / (M s_p)) times each. The mean of an arm over the N pulls of this phase
    gets Laplace noise of scale 1 / (epsilon N); an arm that is not pulled has the combination of
    these noisy means that its features are of the basis. The s_(p+1) largest stay, the lowest
    indices on ties; s_(M+1) = 1. One reward enters one mean, and all else follows from the means:
    all that is pulled, and the recommendation, are epsilon-DP with respect to one reward.

    Chen et al., "Fixed-budget differentially private best arm identification", ICLR 2024. The
    policy is the paper's. Reconstructed are the sizes s_p (`variant`), the rounding up and T'
    (`rounding`); see `schedule.phases` and `schedule.removed`. The paper takes the basis of largest
    determinant; here no exchange of one arm enlarges it, which is what its analysis uses.

    Without features (dimension None) they are the unit vectors: every phase pulls all its arms.
    Rewards outside [0, 1] are not rescaled: epsilon is then multiplied by their range.

    Args:
      dimension: d, of the features.
      budget: T, pulls allowed; all but a few for rounding are made.
      epsilon: privacy; infinity adds no noise.
      variant: "V2" or "V1", the two recollections of s_p.
      rounding: "safe" never exceeds the budget; "paper" may where a phase pulls all its arms
        (`schedule.most_pulls`), but is what the paper's figure was drawn with, if memory serves.
      max_det: False for the paper's Baseline, which pulls all active arms in every phase.

    Raises:
      ValueError: fewer than two arms; a budget that is not a whole number or leaves nothing to the
        phases; epsilon that is not positive; an unknown variant or rounding; features that are
        missing where a dimension was given.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    epsilon: Any = 1.0
    variant: phased.Variant = flax.struct.field(pytree_node=False, default="V2")
    rounding: phased.Rounding = flax.struct.field(pytree_node=False, default="safe")
    max_det: bool = flax.struct.field(pytree_node=False, default=True)
    schedule: Any = flax.struct.field(default=None, repr=False)  # [M, d + 1] `schedule.pulls`

    def __post_init__(self):
        check_privacy(self)
        if self.dimension is not None and self.dimension < 1:
            raise ValueError(f"{type(self).__name__}: dimension is 1 or more, got {self.dimension}")
        phased.check_choices(self.variant, self.rounding)
        settled = self.variant, self.rounding, self.max_det
        budget = known_budget(self, lambda k: 1 + phased.removed(k, self._dimension(k), *settled))
        if budget is not None:
            k = filled(self, "num_arms")
            table = phased.pulls(k, self._dimension(k), budget, *settled)
            object.__setattr__(self, "schedule", table)

    def _dimension(self, num_arms):
        return num_arms if self.dimension is None else self.dimension

    def sizes(self) -> tuple[int, ...]:
        """The number of active arms in each phase, and after the last: 1."""
        k = filled(self, "num_arms")
        return phased.phases(k, self._dimension(k), self.variant).sizes

    def num_phases(self) -> int:
        return len(self.sizes()) - 1

    def init(self, key):
        num_arms = filled(self, "num_arms")
        active, means = jnp.ones(num_arms, bool), jnp.zeros(num_arms, jnp.float32)
        return DPBAIState(key, jnp.int32(0), active, means)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        filled(self, "budget")
        arms, taken = occupied(state.active.astype(jnp.int32), self._width())
        taken = taken > 0
        if not self._has_features():
            return Pulls(arms, jnp.where(taken, self._each(state.phase, 0), 0))
        features = require_features(self, observation)
        basis = max_det(features, state.active)
        size = jnp.maximum(entry(self.sizes(), state.phase), 1)
        rank = jnp.where(basis.rank * basis.rank <= size, basis.rank, 0)
        arms = jnp.where(rank > 0, _resize(basis.members, len(arms)), arms)
        taken = jnp.where(rank > 0, jnp.arange(len(arms)) < rank, taken)
        counts = jnp.where(taken, self._each(state.phase, rank), 0)
        return BasisPulls(arms, counts, rank, basis.alphas)

    def update(self, state, observation, pulls, feedback):
        means = self.phase_means(state, pulls, feedback.sums)
        noise = self.noise_scale(state, pulls) * self.unit_noise(state, pulls)
        means = self._of_all_arms(pulls, jnp.where(pulls.counts > 0, means + noise, 0))
        means = jnp.where(state.phase < self.num_phases(), means, state.means)
        if self.num_phases() == 1:  # no need to rank them
            best = tapes.argmax(jnp.where(state.active, means, -jnp.inf))
            active = jnp.arange(len(means)) == best
        else:
            stay = jnp.maximum(entry(self.sizes(), state.phase + 1), 1)
            active = keep_best(means, state.active, stay)
        return DPBAIState(state.key, state.phase + 1, active, means)

    def recommend(self, state):
        return tapes.argmax(jnp.where(state.active, state.means, -jnp.inf))

    # The three parts of a private mean, [W], one a slot of the pulls.

    def phase_means(self, state, pulls, sums):
        """Means of the rewards of this phase."""
        return sums / jnp.maximum(pulls.counts, 1).astype(jnp.float32)

    def noise_scale(self, state, pulls):
        """One reward in [0, 1] changes a mean of N of them by 1 / N at most."""
        return 1 / (self.epsilon * jnp.maximum(pulls.counts, 1).astype(jnp.float32))

    def unit_noise(self, state, pulls):
        """Independent noise of scale 1."""
        return tapes.laplace(tapes.stream(state.key, state.phase), pulls.counts.shape)

    def _has_features(self):
        return self.dimension is not None and self.max_det

    def _width(self):
        """The most arms that a phase may pull."""
        k = filled(self, "num_arms")
        d = self._dimension(k)
        ways = (
            (j, s) for s in self.sizes()[:-1] for j in phased.branches(s, d, self._has_features())
        )
        return max(j or s for j, s in ways)

    def _each(self, phase, column):
        """schedule[phase, column]; 0 after the last phase."""
        table = jnp.asarray(self.schedule)
        row, col = (jax.lax.broadcasted_iota(jnp.int32, table.shape, axis) for axis in (0, 1))
        here = (row == phase) & (col == column)
        return jnp.sum(jnp.where(here, table, 0), dtype=jnp.int32)

    def _of_all_arms(self, pulls, means):
        """Estimates [K] from the private means [W] of the arms that were pulled."""
        num_arms = filled(self, "num_arms")
        own = means
        if len(means) < num_arms:
            own = jnp.zeros(num_arms, jnp.float32).at[pulls.arms].add(means)
        if not isinstance(pulls, BasisPulls):
            return own
        basis = _resize(means, pulls.alphas.shape[-1])
        return jnp.where(pulls.rank > 0, _combine(pulls.alphas, basis), own)


def _combine(shares, x):
    """The product of a matrix and a vector. A few columns are added one by one: a sum over the last
    axis is 20 times slower on a CPU."""
    if len(x) > _WRITTEN_OUT:
        return jnp.sum(shares * x, axis=-1)
    return functools.reduce(jnp.add, [shares[:, j] * x[j] for j in range(len(x))])


def _resize(x, width):
    """A vector cut, or filled up with zeros, to `width`."""
    return jnp.pad(x, (0, max(0, width - len(x))))[:width]


def gaussian_scale(epsilon: float, delta: float) -> float:
    """Standard deviation of normal noise that makes a number (epsilon, delta)-private if one
    person's data change it by 1 at most.

    sqrt(2 ln(1.25 / delta)) / epsilon for epsilon < 1, the classical value; from 1 on, where that
    is not proven, the smallest one (Balle and Wang, "Improving the Gaussian mechanism for
    differential privacy", ICML 2018, Theorem 8).
    """
    if epsilon < 1:
        return math.sqrt(2 * math.log(1.25 / delta)) / epsilon
    if math.isinf(epsilon):
        return 0.0
    low, high = -40.0, 40.0  # of the logarithm; what is too small leaks more than delta
    for _ in range(80):
        middle = (low + high) / 2
        s = math.exp(middle)
        tails = [x - epsilon * s for x in (0.5 / s, -0.5 / s)]
        leak = special.ndtr(tails[0]) - math.exp(epsilon + special.log_ndtr(tails[1]))
        low, high = (middle, high) if leak > delta else (low, middle)
    return math.exp(high)


@flax.struct.dataclass
class DPBAIGauss(DPBAI):
    """DP-BAI with normal instead of Laplace noise: (epsilon, delta)-differentially private.

    The noise on a mean of N rewards has standard deviation `gaussian_scale`(epsilon, delta) / N.
    All else is as in `DPBAI`. Named DP-BAI-Gauss in Chen et al., ICLR 2024; reconstruction: the
    paper's form of the scale was not available.

    Args:
      delta: strictly between 0 and 1.

    Raises:
      ValueError: as `DPBAI`; delta outside (0, 1).
    """

    delta: Any = 1e-5
    scale: Any = flax.struct.field(default=None, repr=False)  # for a sum, from epsilon and delta

    def __post_init__(self):
        super().__post_init__()
        require(self, "delta", lambda x: (x > 0) & (x < 1), "strictly between 0 and 1")
        epsilon, delta = concrete(self.epsilon), concrete(self.delta)
        if epsilon is not None and delta is not None and epsilon.ndim == delta.ndim == 0:
            scale = gaussian_scale(float(epsilon), float(delta))
            object.__setattr__(self, "scale", np.float32(scale))

    def noise_scale(self, state, pulls):
        return self.scale / jnp.maximum(pulls.counts, 1).astype(jnp.float32)

    def unit_noise(self, state, pulls):
        return tapes.normal(tapes.stream(state.key, state.phase), pulls.counts.shape)
