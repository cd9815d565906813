"""The rewards of all arms, drawn in every round: for learners that see them, or for regret
against the best arm in hindsight."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..core.exact import Pair, minus, plus, single, value
from ..core.protocol import BanditFeedback, FullFeedback, Key


class HindsightState(NamedTuple):
    """A bandit's state, and what its arms would have earned."""

    state: Any
    earned: Pair  # [], by the arms that were played
    totals: Pair  # [K], by playing one arm throughout


class AllArms:
    """Shared by the wrappers below; a subclass adds `feedback`.

    The tape has K independent draws a round, one for each arm: with the same seed the rewards
    differ from those of the bandit alone, their law does not.

    `hindsight_regret` is what the best arm would have earned over the rounds so far, less what was
    earned, on the rewards as they fell; it may be negative. The bandit's own metrics stay.
    """

    bandit: Any

    def __post_init__(self):
        if dataclasses.is_dataclass(self.bandit) and not hasattr(self.bandit, "rewards"):
            name = type(self).__name__
            raise ValueError(
                f"{name} wraps a bandit that can tell the rewards of all arms, such as "
                f"{name}(BernoulliBandit([0.5, 0.6])): got {self.bandit!r}"
            )

    @property
    def num_arms(self) -> int:
        return self.bandit.num_arms

    def init(self, key: Key) -> HindsightState:
        none, zeros = jnp.float32(0), jnp.zeros(self.num_arms, jnp.float32)
        return HindsightState(self.bandit.init(key), Pair(none, none), Pair(zeros, zeros))

    def noise(self, key: Key, num_rounds: int):
        """Draws with leading axes [num_rounds, K]."""
        tape = self.bandit.noise(key, num_rounds * self.num_arms)
        shape = num_rounds, self.num_arms
        return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tape)

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, arm, noise):
        if getattr(arm, "ndim", 0):
            raise ValueError(
                f"{type(self).__name__} takes an arm, and got weights {arm!r}: "
                f"Drawn(learner) plays an arm drawn from the weights of `learner`"
            )
        rewards = self.bandit.rewards(state.state, noise)
        draw = jax.tree.map(lambda x: x[arm], noise)
        inner, _, metrics = self.bandit.step(state.state, arm, draw)
        totals = plus(state.totals, single(rewards))
        earned = plus(state.earned, single(rewards[arm]))
        return HindsightState(inner, earned, totals), self.feedback(rewards, arm), metrics

    def feedback(self, rewards, arm) -> Any:
        """What the learner is told."""
        raise NotImplementedError

    def evaluate(self, state, arm) -> dict[str, jax.Array]:
        ahead = minus(state.totals, state.earned)
        metrics = self.bandit.evaluate(state.state, arm)
        return metrics | {"hindsight_regret": jnp.max(value(ahead))}


@flax.struct.dataclass
class WithHindsight(AllArms):
    """`bandit`, with `hindsight_regret` beside its metrics; the learner sees what it saw before.

    Raises:
      ValueError: something that is not a bandit.
    """

    bandit: Any

    def feedback(self, rewards, arm) -> BanditFeedback:
        return BanditFeedback(rewards[arm])


@flax.struct.dataclass
class FullInformation(AllArms):
    """`bandit`, with the rewards of all arms shown after every round (experts).

    Raises:
      ValueError: something that is not a bandit.
    """

    bandit: Any

    def feedback(self, rewards, arm) -> FullFeedback:
        return FullFeedback(rewards)
