"""Markov decision processes with preferences between trajectories in place of rewards."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise as tapes
from ..core.mdp import Trajectory
from ..core.preferences import Duel, DuelFeedback, feature_difference
from ..core.protocol import Key, Metrics, concrete
from .linear_mdp import EpisodeNoise, LinearMDP

FEEDBACK = ("preferences", "rewards")


class DuelNoise(NamedTuple):
    """Of one duel."""

    first: EpisodeNoise
    second: EpisodeNoise
    preference: jax.Array  # [] uniform on (0, 1)


@flax.struct.dataclass
class PreferenceMDP:
    """Duels in a linear MDP: two policies play an episode each, and a learner may ask which of the
    two trajectories is better.

    The action is a `core.preferences.Duel`. Both episodes are played with draws of their own; then
    the duel's rule says whether to ask. If so, the learner is told a coin that shows 1, "the
    second", with probability 1 / (1 + exp(-steepness (r(second) - r(first)))), where r adds up mean
    rewards. Rewards are not told. The coin is drawn whether it is shown or not.

    `regret` of a duel is 2 V* - V^first - V^second, exact as that of `LinearMDP`; `queries` counts
    the answers. Of the policy that a learner recommends `simple_regret` is that of `LinearMDP`.

    The setting is that of Wu and Sun, "Making RL with preference-based feedback efficient via
    randomization", ICLR 2024, with the logistic link (Bradley and Terry 1952).

    Args:
      mdp: a `LinearMDP`.
      steepness: of the link, positive: how sure a preference is where rewards differ by 1.
      feedback: "preferences"; or "rewards": the rewards of both trajectories are told and no rule
        is asked, to see what it costs to have preferences only.

    Raises:
      ValueError: something that is not a `LinearMDP`, a steepness or feedback out of range.
    """

    mdp: Any
    steepness: Any = 5.0
    feedback: str = flax.struct.field(pytree_node=False, default="preferences")

    def __post_init__(self):
        if dataclasses.is_dataclass(self.mdp) and not isinstance(self.mdp, LinearMDP):
            raise ValueError(
                f"PreferenceMDP wraps a LinearMDP, such as envs.river_swim(), got {self.mdp!r:.80}"
            )
        steepness = concrete(self.steepness)
        if steepness is not None and not ((0 < steepness) & (steepness < np.inf)).all():
            raise ValueError(f"PreferenceMDP: steepness is positive, got {self.steepness!r}")
        if self.feedback not in FEEDBACK:
            raise ValueError(
                f"PreferenceMDP: feedback is one of {list(FEEDBACK)}, got {self.feedback!r}"
            )

    # What learners may know; mean rewards are not among it.

    @property
    def features(self) -> Any:
        return self.mdp.features

    @property
    def stages(self) -> int:
        return self.mdp.stages

    @property
    def num_states(self) -> int:
        return self.mdp.num_states

    @property
    def num_actions(self) -> int:
        return self.mdp.num_actions

    @property
    def dimension(self) -> int:
        return self.mdp.dimension

    @property
    def start(self) -> Any:
        return self.mdp.start

    def init(self, key: Key) -> Any:
        return self.mdp.init(key)

    def noise(self, key: Key, num_rounds: int) -> DuelNoise:
        return DuelNoise(
            self.mdp.noise(tapes.stream(key, "first"), num_rounds),
            self.mdp.noise(tapes.stream(key, "second"), num_rounds),
            tapes.uniform(tapes.stream(key, "preference"), (num_rounds,)),
        )

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, duel: Duel, noise: DuelNoise):
        state, first, one = self.mdp.step(state, duel.first, noise.first)
        state, second, other = self.mdp.step(state, duel.second, noise.second)
        if self.feedback == "rewards":
            told = DuelFeedback(first, second, jnp.bool_(False), jnp.float32(0.5))
        else:
            told = self._preference(duel, first, second, noise.preference)
        metrics = {name: one[name] + other[name] for name in one}
        return state, told, metrics | {"queries": told.asked.astype(jnp.int32)}

    def evaluate(self, state, recommendation) -> Metrics:
        return self.mdp.evaluate(state, recommendation)

    def _preference(self, duel, first: Trajectory, second: Trajectory, draw) -> DuelFeedback:
        features = jnp.asarray(self.features)
        asked = duel.rule.asks(feature_difference(features, first, second))
        difference = self._mean_reward(second) - self._mean_reward(first)
        preferred = (draw < jax.nn.sigmoid(self.steepness * difference)).astype(jnp.float32)
        silence = jnp.zeros_like(first.rewards)
        first, second = first._replace(rewards=silence), second._replace(rewards=silence)
        return DuelFeedback(first, second, asked, jnp.where(asked, preferred, jnp.float32(0.5)))

    def _mean_reward(self, trajectory: Trajectory) -> jax.Array:
        """Mean rewards along a trajectory, [] their sum."""
        stage = jnp.arange(self.stages)
        means = jnp.asarray(self.mdp.rewards)
        return jnp.sum(means[stage, trajectory.states[:-1], trajectory.actions])
