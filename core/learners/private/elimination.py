"""DP-SE: successive elimination on private means."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...noise import argmax, laplace, stream
from ...protocol import Pulls
from ..best_arm.schedule import known_budget
from ..parameters import filled
from .budgets import check_privacy, number, require_probability

# An epoch e that starts with two arms or more takes over 2 * 32 * 4^e * ln(16) pulls when the
# failure probability is below one: 2.9e9 for e = 12, more than an int32 holds. The twelfth epoch is
# therefore never completed, and whatever comes next to eleven is the last phase.
_EPOCHS = 12


class Epochs(NamedTuple):
    """Lengths and tests of the epochs, by epoch (from 1) and number of arms left."""

    pulls: Any  # [E, K + 1] int32, of each arm
    gaps: Any  # [E, K + 1] float32; an arm whose mean is further behind is dropped


class DPSEState(NamedTuple):
    key: jax.Array
    active: jax.Array  # [K] bool
    means: jax.Array  # [K] private means of the largest batches so far
    batches: jax.Array  # [K] int32, their sizes
    spent: jax.Array  # int32, pulls so far
    epoch: jax.Array  # int32, completed epochs


@flax.struct.dataclass
class DPSE:
    """DP-SE: epsilon-differentially private successive elimination.

    Epoch e = 1, 2, ... pulls each of the s arms left R times, R the integer above
    max(32 ln(8 s e^2 / b) / D^2, 8 ln(4 s e^2 / b) / (epsilon D)) with D = 2^-e. An arm is dropped
    when its mean is more than 2 (h + c) below the largest one, where
    h = sqrt(ln(8 s e^2 / b) / (2 R)) and c = ln(4 s e^2 / b) / (epsilon R).

    Sajed and Sheffet, "An optimal private stochastic-MAB algorithm based on optimal private
    stopping rule", ICML 2019, Algorithm 2: b = 1 / T and the last arm is played to the end, for
    regret over T pulls. With `identify` it stops at one arm, which is the best one with probability
    1 - delta; b = delta. Public code for this version (Azize et al., 2023) divides by the pulls of
    all epochs so far, and its choice may fall on an arm that was dropped; here each epoch has
    means of its own, as in the paper, and the choice is among the arms left.

    Rewards are in [0, 1]. A mean is that of one epoch plus Laplace(1 / (epsilon R)); a reward
    enters one mean, and all else follows from the means, so the whole run is epsilon-DP.

    When the budget ends inside an epoch, the arms left share what there is, in turn, and none is
    dropped. Recommends the arm left with the largest mean, of the largest batch it had; the lowest
    index on ties. A phase learner of width K: it asks for whole epochs.

    Args:
      budget: pulls that may be made, T.
      epsilon: privacy; infinity adds no noise.
      delta: b; 1 / budget when left out.
      identify: stop at one arm instead of playing it.

    Raises:
      ValueError: fewer than two arms; a budget that is not a whole number from num_arms to
        2^31 - 1; epsilon that is not positive; delta outside (0, 1); `identify` without a delta.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    epsilon: Any = 1.0
    delta: Any = None
    identify: bool = flax.struct.field(pytree_node=False, default=False)
    schedule: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        budget = known_budget(self, lambda num_arms: num_arms)
        check_privacy(self)
        require_probability(self, "delta")
        if self.identify and self.delta is None:
            raise ValueError("DPSE: identify=True needs delta, the probability of a wrong choice")
        epsilon, delta = number(self.epsilon), number(self.delta)
        if budget is not None and self.delta is None:
            delta = 1 / budget
        if self.num_arms is not None and epsilon is not None and delta is not None:
            object.__setattr__(self, "schedule", _epochs(self.num_arms, epsilon, delta))

    def num_phases(self) -> int:
        """Completed epochs that start with two arms or more, and one phase after them."""
        filled(self, "num_arms")
        budget = number(self.budget)
        if budget is None or np.ndim(self.schedule.pulls) != 2:
            return _EPOCHS
        taken = 2 * np.cumsum(self.schedule.pulls[:, 2].astype(np.int64))
        return int(np.sum(taken <= budget)) + 1

    def init(self, key):
        num_arms = filled(self, "num_arms")
        filled(self, "budget")
        zeros, zero = jnp.zeros(num_arms, jnp.int32), jnp.int32(0)
        active, means = jnp.ones(num_arms, bool), jnp.zeros(num_arms, jnp.float32)
        return DPSEState(key, active, means, zeros, zero, zero)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        counts, _, _ = self._epoch(state)
        return Pulls(jnp.arange(counts.shape[-1], dtype=jnp.int32), counts)

    def update(self, state, observation, pulls, feedback):
        counts = pulls.counts
        _, whole, gap = self._epoch(state)
        error = laplace(stream(state.key, state.epoch), counts.shape) / self.epsilon
        fresh = (feedback.sums + error) / jnp.maximum(counts, 1).astype(jnp.float32)
        # An epoch that the budget cut short may be smaller than the one before.
        taken = (counts > 0) & (counts >= state.batches)
        means = jnp.where(taken, fresh, state.means)
        largest = jnp.max(jnp.where(state.active, means, -jnp.inf))
        stays = largest - means <= gap
        return DPSEState(
            state.key,
            state.active & (stays | ~whole),
            means,
            jnp.where(taken, counts, state.batches),
            state.spent + jnp.sum(counts),
            state.epoch + 1,
        )

    def recommend(self, state):
        return argmax(jnp.where(state.active, state.means, -jnp.inf))

    def stopped(self, state):
        """Whether one arm is left; only then is the choice right with probability 1 - delta."""
        return jnp.sum(state.active) == 1

    def _epoch(self, state):
        """Pulls [K] of the next phase, whether it is a whole epoch, and its test."""
        schedule = self.schedule
        row = jnp.minimum(state.epoch, schedule.pulls.shape[0] - 1)
        left = jnp.sum(state.active, dtype=jnp.int32)
        length = jnp.asarray(schedule.pulls)[row, left]
        gap = jnp.asarray(schedule.gaps)[row, left]
        room = jnp.asarray(self.budget).astype(jnp.int32) - state.spent
        share, extra = room // left, room % left
        alone = left == 1
        whole = ~alone & (length <= share)
        place = jnp.cumsum(state.active, dtype=jnp.int32) - 1  # in the turn of the arms left
        each = jnp.where(whole, length, share + (place < extra).astype(jnp.int32))
        if self.identify:
            each = jnp.where(alone, 0, each)
        return jnp.where(state.active, each, 0), whole, gap


@lru_cache
def _epochs(num_arms: int, epsilon: float, delta: float) -> Epochs:
    epoch = np.arange(1, _EPOCHS + 1)[:, None]
    left = np.maximum(np.arange(num_arms + 1), 1)
    spread = np.log(8 * left * epoch**2 / delta)
    tail = np.log(4 * left * epoch**2 / delta) / epsilon
    length = np.floor(np.maximum(32 * 4.0**epoch * spread, 8 * 2.0**epoch * tail)) + 1
    gaps = 2 * (np.sqrt(spread / (2 * length)) + tail / length)
    pulls = np.minimum(length, 2**31 - 1).astype(np.int32)
    return Epochs(pulls, gaps.astype(np.float32))
