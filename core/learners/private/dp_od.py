"""DP-OD: the linear learner OD-LinBAI with private least squares."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...design import max_det
from ...lanes import dot, inverse, loop, one_hot, over_lanes, pick
from ..best_arm.linear import ODLinBAI, require_features
from ..best_arm.schedule import entry
from ..best_arm.selection import keep_best
from ..parameters import filled, require
from .budgets import check_privacy


class DPODState(NamedTuple):
    key: jax.Array
    phase: jax.Array  # int32, phases played
    active: jax.Array  # [K] bool
    means: jax.Array  # [K] float32, private estimates from the last phase


@flax.struct.dataclass
class DPOD(ODLinBAI):
    """DP-OD: epsilon-differentially private OD-LinBAI, for rewards in [0, 1].

    Phases, designs and pulls are those of `ODLinBAI`. The estimates of a phase are
    <a_i, V^-1 (sum of a X + Z)>, V and the sum taken over its pulls, with independent Laplace noise
    Z_1, Z_2, ... of scale c max_i ||a_i||_1 / epsilon over the active arms i. The sum is all that
    is seen of the rewards, and one of them changes it by ||a_i||_1 at most in the 1-norm: c = 1 is
    enough for epsilon-DP. Coordinates of the a_i are those that the features are given in where the
    active arms span all d dimensions; else they are taken in an orthonormal basis of the span.

    Chen et al., "Fixed-budget differentially private best arm identification", ICLR 2024, compare
    with a private OD-LinBAI after Shariff and Sheffet, "Differentially private contextual linear
    bandits", NeurIPS 2018. Reconstruction: how they add noise was not available. Of several scales
    and a spherical law, this one with c = 2 is closest to their curves; c = 1 is not close to them.

    Args:
      epsilon: privacy; infinity adds no noise, which is OD-LinBAI.
      c: factor of the noise scale; below 1 the privacy is epsilon / c only.

    Raises:
      ValueError: as `ODLinBAI`; epsilon or c that is not positive.
    """

    epsilon: Any = 1.0
    c: Any = 2.0

    def __post_init__(self):
        super().__post_init__()
        check_privacy(self)
        require(self, "c", lambda x: x > 0, "positive")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        active, means = jnp.ones(num_arms, bool), jnp.zeros(num_arms, jnp.float32)
        return DPODState(key, jnp.int32(0), active, means)

    def update(self, state, observation, pulls, feedback):
        features, d = require_features(self, observation), filled(self, "dimension")
        basis = max_det(features, state.active)
        frame, coordinates = over_lanes(_frame)(features, *basis)
        noise = self.noise_scale(state, coordinates) * self.unit_noise(state)
        fit = basis.alphas, basis.rank, frame, pulls.arms, pulls.counts, feedback.sums, noise
        means = over_lanes(_estimates)(*fit)
        left = [-(-d // 2**r) for r in range(1, self.num_phases() + 1)]
        active = keep_best(means, state.active, jnp.maximum(entry(left, state.phase), 1))
        means = jnp.where(state.phase < self.num_phases(), means, state.means)
        return DPODState(state.key, state.phase + 1, active, means)

    def recommend(self, state):
        return tapes.argmax(jnp.where(state.active, state.means, -jnp.inf))

    def noise_scale(self, state, coordinates):
        """What one reward in [0, 1] can change, times c / epsilon. The coordinates, [K, d], of arms
        that are not active are 0."""
        return self.c * jnp.max(jnp.sum(jnp.abs(coordinates), axis=-1)) / self.epsilon

    def unit_noise(self, state):
        """Independent noise of scale 1, one a coordinate."""
        return tapes.laplace(tapes.stream(state.key, state.phase), (filled(self, "dimension"),))


# One seed a lane. In terms of a `max_det` basis b_1, b_2, ... all is well conditioned: arm i is
# sum_j alphas[i, j] b_j, and what is looked for is <b_j, theta>.


def _frame(features, members, rank, alphas):
    """Coordinates of the members, [d, d, B], one in a row, and of all active arms, [K, d, B]."""
    num_arms, d, _ = features.shape
    slots = jnp.arange(d)[:, None] < rank
    rows = [pick(features, one_hot(members[j], num_arms)[:, None]) for j in range(d)]
    rows = jnp.where(slots[:, None], jnp.stack(rows), 0)

    def orthonormal(j, directions):  # Gram and Schmidt, twice is enough
        x = rows[j]
        for _ in range(2):
            x = x - jnp.sum(directions * jnp.sum(directions * x, axis=1)[:, None], axis=0)
        norm = jnp.sum(x * x, axis=0)
        return directions.at[j].set(x * jax.lax.rsqrt(jnp.where(norm > 0, norm, 1)))

    directions = loop(d, orthonormal, jnp.zeros_like(rows))
    inside = jnp.sum(rows[:, None] * directions, axis=2)
    frame = jnp.where(rank == d, rows, inside)
    return frame, jnp.sum(alphas[:, :, None] * frame, axis=1)


def _estimates(alphas, rank, frame, arms, counts, sums, noise):
    """[K, B] least squares with `noise` [d, B] added to the sum of coordinates times rewards; 0
    where an arm is not active."""
    num_arms, d, _ = alphas.shape
    beyond = jnp.where(jnp.arange(d)[:, None] < rank, 0.0, 1.0)
    beyond = jnp.where(jnp.eye(d, dtype=bool)[:, :, None], beyond, 0.0)
    # frame^T y = z has y = (frame frame^T)^-1 frame z: noise in terms of the members.
    gram = jnp.sum(frame[:, None] * frame, axis=2) + beyond
    noise = jnp.sum(inverse(gram) * jnp.sum(frame * noise, axis=1), axis=1)
    pulled = [pick(alphas, one_hot(arms[w], num_arms)[:, None]) for w in range(len(arms))]
    pulled = jnp.stack(pulled)  # [W, d, B]
    weighted = pulled * counts.astype(jnp.float32)[:, None]
    v = jnp.sum(weighted[:, :, None] * pulled[:, None], axis=0) + beyond
    right = jnp.sum(pulled * sums[:, None], axis=0) + noise
    return dot(jnp.moveaxis(alphas, 1, 0), jnp.sum(inverse(v) * right, axis=1))
