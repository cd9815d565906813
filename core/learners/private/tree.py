"""DP-UCB: UCB1 on sums released by the tree mechanism."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...noise import argmax, laplace, stream
from ..bandits.arms import Arms, add, fresh
from ..parameters import filled, require
from .budgets import check_privacy, require_probability

_LEVELS = 32  # of a tree over up to 2^32 - 1 pulls


class DPUCBState(NamedTuple):
    key: jax.Array
    arms: Arms  # the rewards as they were: they only leave this state with noise
    prefixes: jax.Array  # [K, 32] noise of the sum when the arm's pulls last were an odd times 2^l
    bounds: jax.Array  # [K]
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class DPUCB:
    """DP-UCB: epsilon-differentially private UCB with the tree mechanism, for a known horizon T.

    Plays the largest (S + Y) / N + sqrt(2 ln(2 / d) / N) + sqrt(8) L^(3/2) ln(2 / d) / (epsilon N),
    where S is the sum of an arm's N rewards, in [0, 1], L the number of binary digits of T, and
    d = failure / (K T). Every arm once first, in index order; ties go to the lowest index.

    Y is the noise of the tree mechanism (Dwork, Naor, Pitassi and Rothblum, STOC 2010; Chan, Shi
    and Song, 2011): a binary tree stands over the pulls of each arm, every node has its own
    Laplace(L / epsilon), and N pulls are covered by one node for every binary digit 1 of N. A
    reward lies in at most L nodes, so all sums ever released together are epsilon-DP.

    Mishra and Thakurta, "(Nearly) optimal differentially private stochastic multi-arm bandits",
    UAI 2015; Tossou and Dimitrakakis, AAAI 2016. Reconstruction: where the sources say log T this
    takes L, with which privacy holds exactly (the natural logarithm would be too little noise), and
    how they split the failure probability over arms and rounds was not available.

    Recommends the arm with most pulls, the lowest index on ties.

    Args:
      epsilon: privacy; infinity adds no noise.
      failure: probability with which any of the bounds may fail.

    Raises:
      ValueError: a horizon below one round; epsilon that is not positive; failure outside (0, 1).
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    epsilon: Any = 1.0
    failure: Any = 0.1

    def __post_init__(self):
        require(self, "horizon", lambda x: (x >= 1) & (x < 2**31), "one round or more")
        check_privacy(self)
        require_probability(self, "failure")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        prefixes = jnp.zeros((num_arms, _LEVELS), jnp.float32)
        bounds = jnp.full(num_arms, jnp.inf, jnp.float32)
        return DPUCBState(key, fresh(num_arms), prefixes, bounds, jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return argmax(state.bounds)

    def update(self, state, observation, arm, feedback):
        arms = add(state.arms, arm, feedback.reward)
        count = arms.pulls[arm]
        # The pull completes one new node of the cover, at the level of the lowest digit 1 of N; the
        # rest of the cover is that of N without this digit. Only multiples of lower powers of two
        # lie between the two, so the noise of the rest is still where it was put then.
        level, rest = _lowest_digit(count), count & (count - 1)
        below = jnp.where(rest > 0, state.prefixes[arm, _lowest_digit(rest)], 0)
        levels = self._levels()
        # The round names the node: no other one is completed in it.
        node = laplace(stream(state.key, state.rounds)) * (levels / self.epsilon)
        noise = below + node
        pulls = count.astype(jnp.float32)
        horizon = jnp.asarray(filled(self, "horizon"), jnp.float32)
        log = jnp.log(2 * filled(self, "num_arms") / jnp.asarray(self.failure)) + jnp.log(horizon)
        error = jnp.sqrt(8 * levels) * levels * log / self.epsilon
        bound = (arms.totals[arm] + noise + error) / pulls + jnp.sqrt(2 * log / pulls)
        return DPUCBState(
            state.key,
            arms,
            state.prefixes.at[arm, level].set(noise),
            state.bounds.at[arm].set(bound),
            state.rounds + 1,
        )

    def recommend(self, state):
        return argmax(state.arms.pulls)

    def _levels(self):
        horizon = jnp.asarray(filled(self, "horizon"), jnp.float32)
        return jnp.frexp(horizon)[1].astype(jnp.float32)


def _lowest_digit(count):
    """The l with count = (odd number) 2^l, for count > 0; 0 for 0."""
    return jnp.maximum(31 - jax.lax.clz(count & -count), 0)
