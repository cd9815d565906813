"""Inverse-gap weighting of an online regression's predictions: SquareCB and FastCB."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...protocol import complete
from ..linear import Logistic, Ridge
from ..parameters import nonnegative, require
from ..solver.chebyshev import inverse_gap


def small_loss_inverse_gap(losses: jax.Array, gamma: Any) -> jax.Array:
    """Probabilities least / (K least + gamma (losses_a - least)) [K]; the first of the best arms
    has the rest. Where the least loss is 0, uniform over the arms with loss 0.

    Foster and Krishnamurthy, "Efficient first-order contextual bandits: prediction, allocation, and
    triangular discrimination", NeurIPS 2021 (formula from memory).

    Args:
      losses: [K], none negative.
      gamma: [], zero or more.
    """
    least = jnp.min(losses)
    leader = jnp.arange(len(losses)) == tapes.argmax(-losses)
    scale = len(losses) * least + gamma * (losses - least)
    shares = jnp.where(leader, 0, least / jnp.where(scale > 0, scale, 1))
    perfect = (losses == 0).astype(losses.dtype)
    return jnp.where(
        least > 0,
        jnp.where(leader, 1 - jnp.sum(shares), shares),
        perfect / jnp.maximum(jnp.sum(perfect), 1),
    )


def square_theory_gamma(
    num_arms: int, horizon: int, regression_regret: float, delta: float = 0.05
) -> float:
    """The gamma of SquareCB's theorem: sqrt(K T / (regression_regret + ln(2 / delta))).

    Foster and Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression
    oracles", ICML 2020, Theorem 1 (numbers from memory). `regression_regret` bounds the regret in
    squared losses over the horizon T.
    """
    return math.sqrt(num_arms * horizon / (regression_regret + math.log(2 / delta)))


def fast_theory_gamma(num_arms: int, best_loss: float, regression_regret: float) -> float:
    """The gamma of FastCB's theorem: max(sqrt(K L / (3 regression_regret)), 10 K).

    Foster and Krishnamurthy 2021, Theorem 1 (numbers from memory). `best_loss` is the loss L of the
    best policy over the horizon, `regression_regret` bounds the regret in logarithmic losses.
    """
    return max(math.sqrt(num_arms * best_loss / (3 * regression_regret)), 10.0 * num_arms)


class InverseGapState(NamedTuple):
    inner: Any  # of the regressor
    rounds: jax.Array  # int32, rounds played


@flax.struct.dataclass
class SquareCB:
    """SquareCB: plays an arm whose predicted loss is y above the least, with probability
    1 / (K + gamma_t y); the first of the best arms has the rest.

    Foster and Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression
    oracles", ICML 2020, Algorithm 1, after Abe and Long, ICML 1999. Here gamma_t = scale * t^power,
    with t rounds played so far: where power > 0 the first round is uniform. power = 0 and
    `square_theory_gamma` is the theorem's constant. The defaults are those of Vowpal Wabbit.
    Losses are 1 - reward. One uniform a round, by inversion in index order. It commits to no arm
    without a context: recommends nothing.

    Args:
      regressor: of rewards: `Ridge`, `Logistic`, a network; see `regressor.Regressor`.
      scale: positive or 0, which is uniform play.
      power: zero or more.
    """

    regressor: Any = Ridge(of="losses")
    scale: Any = 10.0
    power: Any = 0.5

    def __post_init__(self):
        require(self, "scale", nonnegative, "zero or more")
        require(self, "power", nonnegative, "zero or more")

    @property
    def num_arms(self) -> int | None:
        return self.regressor.num_arms

    def completed(self, env, horizon):
        return dataclasses.replace(self, regressor=complete(self.regressor, env, horizon))

    def init(self, key):
        return InverseGapState(self.regressor.init(key), jnp.int32(0))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        losses = 1 - self.regressor.predict(state.inner, observation)
        return tapes.categorical(noise, self._chances(losses, self._gamma(state)))

    def update(self, state, observation, arm, feedback):
        inner = self.regressor.update(state.inner, observation, arm, feedback.reward)
        return InverseGapState(inner, state.rounds + 1)

    def recommend(self, state):
        return ()

    def _gamma(self, state):
        rounds = state.rounds.astype(jnp.float32)
        return self.scale * rounds ** jnp.asarray(self.power, jnp.float32)  # 0^0 is 1

    def _chances(self, losses, gamma):
        return inverse_gap(losses, gamma)


@flax.struct.dataclass
class FastCB(SquareCB):
    """FastCB: plays an arm whose predicted loss is y, the least being z, with probability
    z / (K z + gamma_t (y - z)); the first of the best arms has the rest.

    Where some arm is predicted to lose little it explores little: with regression in logarithmic
    losses, the regret is of the order of the square root of the best policy's loss, not of T.
    Foster and Krishnamurthy, "Efficient first-order contextual bandits: prediction, allocation, and
    triangular discrimination", NeurIPS 2021, Algorithm 1 (from memory). Predicted losses are
    clipped to [0, 1]; arms predicted to lose nothing share all the probability. For the rest, and
    for arguments, see `SquareCB`; the theorem's constant is `fast_theory_gamma`.
    """

    regressor: Any = Logistic()

    def _chances(self, losses, gamma):
        return small_loss_inverse_gap(jnp.clip(losses, 0, 1), gamma)
