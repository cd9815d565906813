"""Weighted tallying bandits: the loss of an arm depends on how much it was played lately.

Malik, Igoe, Li and Singh, "Weighted tallying bandits: overcoming intractability via repeated
exposure optimality", ICML 2023 (arXiv 2305.02955), and for windows that count all plays alike
Malik, Li and Singh, "Complete policy regret bounds for tallying bandits", COLT 2022.
Reconstruction: from the abstract; the paper's own notation, constants and experiments were not
available.

After a play of arm x at exposure u (`windows`) its mean loss is losses.at(x, u) (`tally_losses`).
Rewards are 1 - loss, so learners for rewards play these games as they are. With h_x(y) the mean
loss at tally y and W the largest tally, a game has repeated exposure optimality when some arm x*,
once played for ever, costs no more than any arm at any tally: h_{x*}(W) <= h_x(y).

Regret. R_T = sum_t h_{a_t}(y_t) - T h_{x*}(W), in mean losses. The complete policy regret compares
with the best fixed sequence of T arms instead, which costs between T h_{x*}(W) and that plus m - 1,
so it lies in [R_T - (m - 1), R_T]: `policy_regret_bracket`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.noise import uniform
from ..core.protocol import BanditFeedback, Key

Number = TypeVar("Number", float, np.ndarray)


class TallyState(NamedTuple):
    window: Any  # memory of actions
    pulls: jax.Array  # [K] int32


@flax.struct.dataclass
class WeightedTallyingBandit:
    """A bandit whose mean losses are `losses` of the exposure that `window` remembers.

    law="bernoulli": losses are 0 or 1. law="uniform": uniform on the widest interval around the
    mean within [0, 1]. Reports `regret` (R_T above, against the arm that is best once settled),
    `pulls`, and `simple_regret`: what the recommended arm costs a round, played for ever, above
    that. Whether exposure optimality holds is not checked here (`repeated_exposure_optimal` does);
    where it fails, regret may become negative.

    Raises:
      ValueError: an unknown law.
    """

    losses: Any
    window: Any
    law: str = flax.struct.field(pytree_node=False, default="bernoulli")

    def __post_init__(self):
        if self.law not in ("bernoulli", "uniform"):
            raise ValueError(
                f'WeightedTallyingBandit: law is "bernoulli" or "uniform", got {self.law!r}'
            )

    @property
    def num_arms(self) -> int:
        return self.losses.num_arms

    @property
    def memory(self) -> int:
        """m: a loss depends on the last m plays."""
        return self.window.memory

    @property
    def burn_in(self) -> int:
        """A bound on the memory that a learner may be told: here the memory itself."""
        return self.window.memory

    @property
    def best_arm(self) -> int:
        """x*: the arm that costs least when played for ever, the lowest index on ties."""
        return int(np.argmin(self.losses.settled(np)))

    def init(self, key: Key) -> TallyState:
        pulls = jnp.zeros(self.num_arms, jnp.int32)
        return TallyState(self.window.init(self.num_arms), pulls)

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        """One uniform a round, for the arm played: see `bandits`."""
        return uniform(key, (num_rounds,))

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, arm, noise):
        window, exposure = self.window.play(state.window, arm)
        loss = self.losses.at(arm, exposure)
        regret = loss - jnp.min(self.losses.settled())
        feedback = BanditFeedback(self._reward(loss, noise))
        return TallyState(window, state.pulls.at[arm].add(1)), feedback, {"regret": regret}

    def rewards(self, state, noise) -> jax.Array:
        """What each arm would bring if it were the one played now, [K], from a row of K draws."""

        def one(arm, draw):
            return self._reward(self.losses.at(arm, self.window.play(state.window, arm)[1]), draw)

        return jax.vmap(one)(jnp.arange(self.num_arms), noise)

    def evaluate(self, state, arm) -> dict[str, jax.Array]:
        settled = self.losses.settled()
        return {"pulls": state.pulls, "simple_regret": settled[arm] - jnp.min(settled)}

    def _reward(self, loss, noise):
        if self.law == "bernoulli":
            return (noise >= loss).astype(jnp.float32)
        return 1 - loss - jnp.minimum(loss, 1 - loss) * (2 * noise - 1)


def policy_regret_bracket(regret: Number, memory: int) -> tuple[Number, Number]:
    """Where the complete policy regret lies, given `regret` R_T of a game with exposure
    optimality: [R_T - (memory - 1), R_T]."""
    return regret - (memory - 1), regret
