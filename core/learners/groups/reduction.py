"""Small regret on every group of rounds at once, from learners of single groups."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ... import noise as tapes
from ...losses import LinearLoss
from ...protocol import Mixture, complete
from ..experts import AdaNormalHedge
from ..parameters import filled, require
from .ridge import OnlineRidge


class GroupsState(NamedTuple):
    experts: Any
    subroutines: Any  # leaves [G, ...]


@flax.struct.dataclass
class Groups:
    """A copy of `subroutine` for every group, fed its group's rounds only; the copies are sleeping
    experts, awake when their group is, and `experts` mixes those that are awake.

    Acharya, Arunachaleswaran, Kannan, Roth and Ziani, "Oracle efficient algorithms for groupwise
    regret", ICLR 2024, Algorithm 1. The regret on a group is at most the regret of its copy on the
    group's rounds plus that of `experts` to a sleeping expert. The action is a `Mixture`: the
    loss is the expected one of a copy drawn by its weight, not that of the mean prediction. A round
    costs one call of the subroutine a group.

    Args:
      subroutine: any learner; it sees the observation of the round.
      experts: a learner of weights over sleeping experts.
      num_groups: taken from the environment.
      loss_range: losses are divided by it before `experts` see them, who expect them to differ by 1
        at most; left blank, the environment's `cost_range`, or else 1.
      ignored: indices of groups that the learner is to know nothing of, as if never active.

    Raises:
      ValueError: another number of groups than the environment's, an index that is no group's, a
        range that is not positive.
    """

    subroutine: Any = OnlineRidge()
    experts: Any = AdaNormalHedge()
    num_groups: int | None = flax.struct.field(pytree_node=False, default=None)
    loss_range: Any = None
    ignored: tuple[int, ...] = flax.struct.field(pytree_node=False, default=())

    def __post_init__(self):
        require(self, "loss_range", lambda x: x > 0, "positive")

    def completed(self, env, horizon):
        groups = getattr(env, "num_groups", None) if self.num_groups is None else self.num_groups
        if groups is None:
            raise ValueError(
                f"Groups needs rounds that belong to groups, and {type(env).__name__} has no "
                f"num_groups: play a problem such as envs.GroupwiseRegression"
            )
        if self.num_groups not in (None, getattr(env, "num_groups", self.num_groups)):
            raise ValueError(
                f"Groups(num_groups={self.num_groups}) met {type(env).__name__} with "
                f"{env.num_groups} groups: leave num_groups out"
            )
        if bad := [i for i in self.ignored if not 0 <= i < groups]:
            raise ValueError(f"Groups: ignored has {bad[0]}, and groups are 0 to {groups - 1}")
        return dataclasses.replace(
            self,
            subroutine=complete(self.subroutine, env, horizon),
            experts=complete(self.experts, SimpleNamespace(num_arms=groups), horizon),
            num_groups=groups,
            loss_range=getattr(env, "cost_range", 1.0)
            if self.loss_range is None
            else self.loss_range,
        )

    def init(self, key):
        copies = self._keys(tapes.stream(key, "subroutines"))
        return GroupsState(
            self.experts.init(tapes.stream(key, "experts")), jax.vmap(self.subroutine.init)(copies)
        )

    def noise(self, key, num_rounds):
        """Of the copies, leaves [rounds, G, ...], and of `experts`."""
        copies = self._keys(tapes.stream(key, "subroutines"))
        draw = jax.vmap(lambda one: self.subroutine.noise(one, num_rounds), out_axes=1)
        return draw(copies), self.experts.noise(tapes.stream(key, "experts"), num_rounds)

    def act(self, state, observation, noise):
        observation = self._known(observation)
        play = jax.vmap(self.subroutine.act, in_axes=(0, None, 0))
        points = play(state.subroutines, observation, noise[0])
        return Mixture(self.experts.act(state.experts, observation, noise[1]), points)

    def update(self, state, observation, action, feedback):
        observation = self._known(observation)
        scale = 1.0 if self.loss_range is None else self.loss_range
        losses = jax.vmap(feedback.value)(action.points) / scale
        experts = self.experts.update(
            state.experts, observation, action.weights, LinearLoss(losses)
        )
        learn = jax.vmap(self.subroutine.update, in_axes=(0, None, 0, None))
        learnt = learn(state.subroutines, observation, action.points, feedback)
        active = observation.active

        def keep(new, old):
            return jnp.where(active.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        with jax.enable_x64(True):  # states may be float64
            return GroupsState(experts, jax.tree.map(keep, learnt, state.subroutines))

    def recommend(self, state):
        """What every copy recommends, [G, ...]."""
        return jax.vmap(self.subroutine.recommend)(state.subroutines)

    def _known(self, observation):
        if not self.ignored:
            return observation
        known = np.isin(np.arange(filled(self, "num_groups")), self.ignored, invert=True)
        return observation._replace(active=observation.active & known)

    def _keys(self, key):
        numbers = jnp.arange(filled(self, "num_groups"), dtype=jnp.uint32)
        return jax.vmap(lambda number: tapes.stream(key, number))(numbers)
