"""Weighted tallying bandits visit by visit: many plays of one arm at a time.

Nothing happens while a learner stays with an arm but that its exposure rises to 1, in m rounds at
most; what comes after that is a binomial number of rewards of one mean. So a round of `simulate` is
a visit here, whatever its length: O(m^2) work instead of its plays. Equal in law to
`WeightedTallyingBandit`, not draw by draw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import samplers
from ..core.learners.tallying.visits import Visit, VisitFeedback
from ..core.noise import uniform
from ..core.protocol import Key, concrete
from .tallying import WeightedTallyingBandit
from .windows import exposure

_MOST = 1 << 24  # rounds: what the binomial sampler takes


class VisitState(NamedTuple):
    history: jax.Array  # [m] int32, the arms of the last rounds, the latest first
    left: jax.Array  # int32, rounds to come
    pulls: jax.Array  # [K] int32


class VisitNoise(NamedTuple):
    coins: jax.Array  # [m] uniforms, for the plays on the way to full exposure
    rest: samplers.BinomialTape  # for those after


@flax.struct.dataclass
class TallyingInVisits:
    """`game` for `rounds` rounds in all, of which every action takes several: see `ByVisit`.

    A visit that would last longer than the game is cut short; all after that are empty. Metrics
    are those of the game: after enough visits (`ByVisit.num_visits`), of all its rounds. Their
    checkpoints count visits.

    Raises:
      ValueError: losses that are not 0 or 1; a number of rounds that is not whole, or not in
        1 to 2^24.
    """

    game: WeightedTallyingBandit
    rounds: Any

    def __post_init__(self):
        if isinstance(self.game, WeightedTallyingBandit) and self.game.law != "bernoulli":
            raise ValueError(
                f'TallyingInVisits adds up coins: it takes games with law="bernoulli", '
                f"got {self.game.law!r}"
            )
        rounds = concrete(self.rounds)
        if rounds is None or not isinstance(self.rounds, int | float):
            return
        if rounds % 1 or not 1 <= rounds <= _MOST:
            raise ValueError(
                f"TallyingInVisits takes a whole number of rounds, 1 to 2^24, got {self.rounds!r}"
            )
        object.__setattr__(self, "rounds", np.asarray(rounds, np.int32))

    @property
    def num_arms(self) -> int:
        return self.game.num_arms

    @property
    def memory(self) -> int:
        return self.game.memory

    @property
    def burn_in(self) -> int:
        return self.game.burn_in

    def init(self, key: Key) -> VisitState:
        return VisitState(
            jnp.full(self.memory, self.num_arms, jnp.int32),
            jnp.asarray(self.rounds, jnp.int32),
            jnp.zeros(self.num_arms, jnp.int32),
        )

    def noise(self, key: Key, num_rounds: int) -> VisitNoise:
        return VisitNoise(
            uniform(key, (num_rounds, self.memory)), samplers.binomial_tape(key, (num_rounds,))
        )

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state: VisitState, action: Visit, noise: VisitNoise):
        arm, memory = action.arm, self.memory
        thrown = jnp.minimum(action.thrown, state.left)
        kept = jnp.minimum(action.kept, state.left - thrown)
        plays, order = thrown + kept, jnp.arange(memory)

        losses = self.game.losses.at(arm, self._exposures(state.history, arm))
        settled = self.game.losses.settled()
        later = jnp.maximum(plays - memory, 0)  # plays after the first m, at full exposure
        here = order < plays
        regret = jnp.sum(jnp.where(here, losses - jnp.min(settled), 0))
        regret += later.astype(jnp.float32) * (settled[arm] - jnp.min(settled))

        first = jnp.sum(here & (order >= thrown) & (noise.coins >= losses), dtype=jnp.int32)
        rest = samplers.binomial(noise.rest, jnp.minimum(later, kept), 1 - settled[arm])
        mean = (first + rest).astype(jnp.float32) / jnp.maximum(kept, 1).astype(jnp.float32)
        # Compared before anything is added up: endless visits are near the largest integer.
        whole = (thrown == action.thrown) & (kept == action.kept)

        before = state.history[jnp.maximum(order - plays, 0)]
        after = VisitState(
            jnp.where(here, arm, before),
            state.left - plays,
            state.pulls.at[arm].add(plays),
        )
        return after, VisitFeedback(mean, whole), {"regret": regret}

    def evaluate(self, state, arm) -> dict[str, jax.Array]:
        return self.game.evaluate(state, arm)

    def _exposures(self, history, arm):
        """Exposures of the first m plays of a visit, [m]."""
        weights, total = self.game.window.weighting()
        # Of the plays before the visit, the k-th latest has age j + 1 + k when the j-th is made.
        order, memory = np.arange(self.memory), self.memory
        age = order[:, None] + 1 + order
        older = jnp.where(age < memory, weights[np.minimum(age, memory - 1)], 0)  # [k, j]
        counts = (older > 0).astype(jnp.float32)
        # Weights of those of this arm, and how many they are, as one product of matrices.
        both = jnp.concatenate([older, counts], axis=1)
        found = jnp.matmul((history == arm).astype(jnp.float32), both, precision="highest")
        full = found[memory:] == jnp.sum(counts, axis=0)
        return exposure((jnp.cumsum(weights) + found[:memory]) / total, full)
