"""Learners that play in visits: an arm many times in a row, the first plays of it thrown away.

Where the reward of an arm depends on how much it was played lately, only a long visit shows what
the arm is worth. Such a learner chooses at the start of a visit and learns at its end, from one
number: the mean reward of the plays that were kept. Here is what they share.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...protocol import complete
from ..parameters import filled

FOREVER = 1 << 30  # plays of a visit that does not end


class Visit(NamedTuple):
    """An action of many plays of one arm, in a row."""

    arm: jax.Array  # int32
    thrown: jax.Array  # int32, plays at the start whose rewards are not told
    kept: jax.Array  # int32, plays after those


class VisitFeedback(NamedTuple):
    """What a visit brought."""

    mean: jax.Array  # of the rewards of the plays that were kept
    whole: jax.Array  # bool, whether all plays were made, rather than cut short by the end


class Visiting(NamedTuple):
    """A learner in the middle of a visit."""

    inner: Any  # what the learner knows, unchanged during a visit
    arm: jax.Array  # int32, the arm visited
    played: jax.Array  # int32, plays of this visit so far
    total: jax.Array  # float32, sum of the rewards kept
    low: jax.Array  # float32, what rounding took from the total


class Visits:
    """Makes a bandit learner of a subclass's five methods.

    begin(key): what is known before the first visit. choose(inner, observation, noise): the arm of
    the visit that starts now; asked in every round, heeded at the start of a visit. lengths(inner,
    arm): int32, plays of the visit to throw away, and plays to keep (at least 1). learn(inner,
    observation, arm, mean): what is known after a visit. best(inner): the arm to recommend.

    `ByVisit` plays the same learner visit by visit, in an environment that takes visits.
    """

    def begin(self, key) -> Any:
        raise NotImplementedError

    def choose(self, inner, observation, noise) -> jax.Array:
        raise NotImplementedError

    def lengths(self, inner, arm) -> tuple[jax.Array, jax.Array]:
        raise NotImplementedError

    def learn(self, inner, observation, arm, mean) -> Any:
        raise NotImplementedError

    def best(self, inner) -> jax.Array:
        raise NotImplementedError

    def num_visits(self) -> int:
        """The most visits, the last one cut short, that `horizon` rounds can take."""
        raise NotImplementedError

    def init(self, key):
        zero = jnp.float32(0)
        return Visiting(self.begin(key), jnp.int32(0), jnp.int32(0), zero, zero)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        chosen = self.choose(state.inner, observation, noise)
        return jnp.where(state.played == 0, chosen, state.arm)

    def update(self, state, observation, arm, feedback):
        thrown, kept = self.lengths(state.inner, arm)
        played = state.played + 1
        reward = jnp.where(played > thrown, feedback.reward, 0)
        step = reward + state.low
        total = state.total + step
        low = step - (total - state.total)
        over = played >= thrown + kept
        after = self.learn(state.inner, observation, arm, total / kept.astype(jnp.float32))
        return Visiting(
            jax.tree.map(lambda new, old: jnp.where(over, new, old), after, state.inner),
            arm,
            jnp.where(over, 0, played),
            jnp.where(over, 0, total),
            jnp.where(over, 0, low),
        )

    def recommend(self, state):
        return self.best(state.inner)


def rounds(number: Any) -> jax.Array:
    """A number of rounds, given as a number of any kind, as int32, at most `FOREVER` / 2."""
    return jnp.minimum(jnp.asarray(number), FOREVER // 2).astype(jnp.int32)


@flax.struct.dataclass
class ByVisit:
    """A learner of visits, one visit to a round of `simulate`: for `TallyingInVisits`.

    It chooses and learns as it would round by round; only the time in between is skipped. Blanks of
    the learner are filled in, its horizon with the number of rounds of the game. As its horizon,
    `simulate` is given a number of visits that suffices: `num_visits(env)`.

    Args:
      learner: one of those that play in visits: `TallyingElimination`, `Batched`,
        `ExposedExploreThenCommit`.
      rounds: of the game; taken from the environment.
      burn_in: for a learner that was told none; taken from the environment.

    Raises:
      ValueError: a learner that does not play in visits.
    """

    learner: Any
    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    rounds: Any = None
    burn_in: Any = None

    def __post_init__(self):
        if dataclasses.is_dataclass(self.learner) and not isinstance(self.learner, Visits):
            raise ValueError(f"ByVisit takes a learner that plays in visits: got {self.learner!r}")

    def init(self, key):
        return self.whole().begin(key)

    def noise(self, key, num_rounds):
        return self.whole().noise(key, num_rounds)

    def act(self, state, observation, noise):
        learner = self.whole()
        arm = learner.choose(state, observation, noise)
        return Visit(arm, *learner.lengths(state, arm))

    def update(self, state, observation, action, feedback):
        after = self.whole().learn(state, observation, action.arm, feedback.mean)
        return jax.tree.map(lambda new, old: jnp.where(feedback.whole, new, old), after, state)

    def recommend(self, state):
        return self.whole().best(state)

    def num_visits(self, env: Any) -> int:
        """The most visits, the last one cut short, that a game in visits can take."""
        return complete(self, env, 1).whole().num_visits()

    def whole(self) -> Any:
        """The learner without blanks."""
        known = {"num_arms": filled(self, "num_arms"), "horizon": filled(self, "rounds")}
        if self.burn_in is not None:
            known["burn_in"] = self.burn_in
        names = [field.name for field in dataclasses.fields(self.learner)]
        blanks = {
            name: value
            for name, value in known.items()
            if name in names and getattr(self.learner, name) is None
        }
        return dataclasses.replace(self.learner, **blanks)
