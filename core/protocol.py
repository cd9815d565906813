"""What passes between an environment and a learner.

An environment and a learner are frozen pytrees (`flax.struct.dataclass`): array fields are
parameters, static fields are shapes and choices, and every method is a pure function of ONE round
of ONE seed. `simulate` vectorises them over seeds, over stacked learners and stacked environments.

All randomness comes from noise tapes. `noise(key, num_rounds)` draws a block of rounds at once,
outside the sequential loop; `observe`, `step`, `act` and `update` are deterministic in their
arguments. A tape entry is drawn whether or not it is used, so two learners that meet the same
environment under the same seed meet the same draws.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import numpy as np
from jax.core import Tracer

Key = jax.Array
Noise = Any
Metrics = dict[str, jax.Array]
L = TypeVar("L")


class BanditFeedback(NamedTuple):
    """Reward of the arm that was played."""

    reward: jax.Array  # []


class FullFeedback(NamedTuple):
    """Rewards of all arms, played or not."""

    rewards: jax.Array  # [K]

    def gradient(self, weights: Any) -> jax.Array:
        """Of the expected loss (less reward) of playing arms with these chances: [K]."""
        return -self.rewards


class GroupContext(NamedTuple):
    """What a round shows before it is played: features, and which groups (or experts) it is for."""

    features: Any  # [d], or () where there are none
    active: jax.Array  # [G] bool


class Context(NamedTuple):
    """What a round of a contextual bandit shows before it is played: the features of every arm.

    [K, d] where arms have features of their own and a model is shared by all; or [d] where all arms
    show the same and each has a model of its own ("disjoint"). The second is the first with the
    features in block a of R^(K d), zeros elsewhere, for arm a: those are never written out.
    """

    features: jax.Array


class Mixture(NamedTuple):
    """A randomised action: `points[i]` with probability `weights[i]`. Losses are expectations."""

    weights: jax.Array  # [M]
    points: jax.Array  # [M, ...]


class Pulls(NamedTuple):
    """An action of many pulls at once: slot j pulls `arms[j]` `counts[j]` times.

    A slot with count 0 is empty; an arm is in at most one slot that is not.
    """

    arms: jax.Array  # [W] int32
    counts: jax.Array  # [W] int32


class RewardSums(NamedTuple):
    """What `Pulls` brought: the sum of the rewards of each slot, 0 for an empty one."""

    sums: jax.Array  # [W]


class Iterations(NamedTuple):
    """What a solve cost with the parameter that was played."""

    iterations: jax.Array  # [] int32


class Environment(Protocol):
    """A decision problem. `metrics` of `step` add up over rounds; `evaluate` is asked at
    checkpoints only, for whatever does not add up."""

    def init(self, key: Key) -> Any: ...
    def noise(self, key: Key, num_rounds: int) -> Noise: ...
    def observe(self, state: Any, noise: Noise) -> Any: ...
    def step(self, state: Any, action: Any, noise: Noise) -> tuple[Any, Any, Metrics]: ...
    def evaluate(self, state: Any, recommendation: Any) -> Metrics: ...


class Learner(Protocol):
    """A learning algorithm. `recommend` is what it would commit to if play ended now."""

    def init(self, key: Key) -> Any: ...
    def noise(self, key: Key, num_rounds: int) -> Noise: ...
    def act(self, state: Any, observation: Any, noise: Noise) -> Any: ...
    def update(self, state: Any, observation: Any, action: Any, feedback: Any) -> Any: ...
    def recommend(self, state: Any) -> Any: ...


class PhaseLearner(Learner, Protocol):
    """A learner whose rounds are phases: it acts by `Pulls` and is told `RewardSums`."""

    def num_phases(self) -> int:
        """Phases after which it asks for nothing more: every count is 0."""
        ...


def concrete(x: Any) -> np.ndarray | None:
    """`x` as a NumPy array, or None when it has no value to check: a tracer, a placeholder that
    JAX puts into a pytree while it takes one apart, or a blank."""
    if x is None or type(x) is object or isinstance(x, Tracer | jax.ShapeDtypeStruct):
        return None
    try:
        array = np.asarray(x)
    except TypeError:
        return None
    return None if array.dtype == object else array


@contextlib.contextmanager
def meeting(learner: Any, env: Any) -> Iterator[None]:
    """Around the first trace of a round: what goes wrong there is said in the names of the two.

    Raises:
      ValueError: the learner does not fit the environment; the error that told so is its cause.
    """
    try:
        yield
    except (TypeError, AttributeError, IndexError) as error:
        name, problem = type(learner).__name__, type(env).__name__
        raise ValueError(
            f"{name} does not fit {problem}, or one of them has a mistake: their first round ends "
            f"with {type(error).__name__}: {error}. What each shows, plays and is told stands in "
            f"its docstring"
        ) from error


def complete(learner: L, env: Any, horizon: int) -> L:
    """Fill a learner's blanks from the problem: a field that is None and is named like an
    attribute of the environment (`num_arms`), or `horizon`, takes that value. A learner that holds
    another one says itself how it is filled, by a method `completed(env, horizon)`.

    Raises:
      ValueError: a blank `num_arms` that the environment does not know, or one that was set by
        hand to something else than the environment's; a learner of phases in an environment
        without a budget; a contextual learner where no contexts are shown; a horizon beyond the
        rounds that the environment has, or that a learner was told to keep.
    """
    if not dataclasses.is_dataclass(learner) or isinstance(learner, type):
        raise ValueError(f"a learner is a dataclass instance, got {learner!r}")
    _check_phases(learner, env)
    _check_rounds(env, horizon)
    completed = getattr(learner, "completed", None)
    if completed is not None:
        return completed(env, horizon)
    blanks = {}
    for field in dataclasses.fields(learner):
        value = getattr(learner, field.name)
        if field.name == "num_arms":
            blanks |= _agree(learner, env, value)
        elif field.name == "horizon":
            blanks |= _rounds_to_keep(learner, field, value, horizon)
        elif value is None and getattr(env, field.name, None) is not None:
            blanks[field.name] = getattr(env, field.name)
    if getattr(learner, "disjoint", True) is None and "disjoint" not in blanks:
        raise ValueError(
            f"{type(learner).__name__} learns from contexts, and {type(env).__name__} shows none: "
            f"play a contextual bandit, such as envs.classification('digits')"
        )
    return dataclasses.replace(learner, **blanks) if blanks else learner


def _rounds_to_keep(learner, field, value, horizon) -> dict[str, Any]:
    """The horizon, as a number; or, where it is a static field, as the size of a memory."""
    static = not field.metadata.get("pytree_node", True)
    if value is None:
        return {"horizon": int(horizon) if static else np.float32(horizon)}
    if static and value < horizon:
        raise ValueError(
            f"{type(learner).__name__}(horizon={value}) has no room for {horizon} rounds: leave "
            f"horizon out and it is taken from the run"
        )
    return {}


def _check_phases(learner: Any, env: Any) -> None:
    budgets = getattr(env, "budget", None), getattr(learner, "budget", None)
    if hasattr(learner, "num_phases") and budgets == (None, None):
        name, problem = type(learner).__name__, type(env).__name__
        raise ValueError(
            f"{name} plays in phases of many pulls, for which {problem} has no budget: put it into "
            f"a problem with one, as envs.BestArm, or give it one and play pull by pull, "
            f"ByRound({name}(budget=...))"
        )


def _check_rounds(env: Any, horizon: int) -> None:
    most = getattr(env, "most_rounds", None)
    if most is not None and horizon > most:
        raise ValueError(f"{type(env).__name__} ends after {most} rounds, horizon is {horizon}")


def _agree(learner: Any, env: Any, value: int | None) -> dict[str, Any]:
    given, name = getattr(env, "num_arms", None), type(learner).__name__
    if value is None and given is None:
        raise ValueError(
            f"{name} needs to know the number of arms, and {type(env).__name__} does not say: "
            f"give it by hand, {name}(num_arms=...)"
        )
    if value is not None and given is not None and value != given:
        raise ValueError(
            f"{name}(num_arms={value}) met {type(env).__name__} with {given} arms: "
            f"leave num_arms out and it is taken from the environment"
        )
    return {"num_arms": given} if value is None else {}
