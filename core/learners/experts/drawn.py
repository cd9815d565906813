"""Experts one of whom is drawn, for environments that want an arm."""

from __future__ import annotations

from typing import Any

import flax.struct

from ... import noise as tapes
from ...protocol import complete
from .sleeping import without_noise


@flax.struct.dataclass
class Drawn:
    """Plays an arm drawn from the weights that `learner` puts on the arms.

    Its expected regret against rewards fixed beforehand is the regret of `learner`. One uniform a
    round, by inversion in index order. Recommends the arm of the largest weight, the lowest index
    on ties.

    Raises:
      ValueError: a `learner` that plays by chance itself.
    """

    learner: Any

    @property
    def num_arms(self) -> int:
        return self.learner.num_arms

    def completed(self, env, horizon):
        return Drawn(complete(self.learner, env, horizon))

    def init(self, key):
        return self.learner.init(key)

    def noise(self, key, num_rounds):
        without_noise(self, self.learner.noise(key, num_rounds))
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        return tapes.categorical(noise, self.learner.act(state, observation, ()))

    def update(self, state, observation, arm, feedback):
        weights = self.learner.act(state, observation, ())
        return self.learner.update(state, observation, weights, feedback)

    def recommend(self, state):
        return tapes.argmax(self.learner.recommend(state))
