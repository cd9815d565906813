"""Any bandit learner, slowed down to one decision a batch of rounds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import flax.struct
import jax.numpy as jnp

from ...protocol import BanditFeedback
from ..parameters import filled, nonnegative, require
from .visits import Visits, rounds


@flax.struct.dataclass
class Batched(Visits):
    """Plays the arm that `learner` chooses for `batch` rounds, then tells it their mean reward.

    Arora, Dekel and Tewari, "Online bandit learning against an adaptive adversary: from regret to
    policy regret", ICML 2012, Algorithm 1: against an adversary of bounded memory, batches make
    regret of policy regret. Left blank, `batch` is T^(1/3) at horizon T, rounded, the choice behind
    the T^(2/3) of their Theorem 2 for an inner regret of order sqrt(T). Blanks of the inner learner
    are filled in, its horizon with the T / batch of decisions it will make; so batched Exp3 has the
    rate sqrt(2 ln K * batch / (T K)). It draws from its noise once a batch; a last batch that is
    cut short it is not told of.

    Args:
      learner: a bandit learner.
      batch: rounds to a decision, one or more.
      burn_in: how many rewards at the start of each batch are left out of the mean; none in the
        paper.
    """

    learner: Any
    batch: Any = None
    burn_in: Any = 0
    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None

    def __post_init__(self):
        if isinstance(self.learner, type) or (
            dataclasses.is_dataclass(self.learner) and not hasattr(self.learner, "act")
        ):
            raise ValueError(f"Batched takes a learner, such as Exp3(): got {self.learner!r}")
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "batch", lambda x: x >= 1, "one round or more")
        require(self, "burn_in", nonnegative, "zero or more")

    def num_visits(self) -> int:
        return math.ceil(float(filled(self, "horizon")) / float(self._batch()))

    def noise(self, key, num_rounds):
        return self._inner().noise(key, num_rounds)

    def begin(self, key):
        return self._inner().init(key)

    def choose(self, inner, observation, noise):
        return self._inner().act(inner, observation, noise)

    def lengths(self, inner, arm):
        batch = jnp.maximum(rounds(self._batch()), 1)
        thrown = jnp.minimum(rounds(self.burn_in), batch - 1)
        return thrown, batch - thrown

    def learn(self, inner, observation, arm, mean):
        return self._inner().update(inner, observation, arm, BanditFeedback(mean))

    def best(self, inner):
        return self._inner().recommend(inner)

    def _batch(self):
        if self.batch is not None:
            return self.batch
        return jnp.round(jnp.cbrt(jnp.asarray(filled(self, "horizon"), jnp.float32)))

    def _inner(self):
        known = {field.name for field in dataclasses.fields(self.learner)}
        blanks: dict[str, Any] = {"num_arms": filled(self, "num_arms")}
        if "horizon" in known and self.learner.horizon is None:
            blanks["horizon"] = filled(self, "horizon") / self._batch()
        return dataclasses.replace(self.learner, **blanks)
