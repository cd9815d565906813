"""Contextual bandits made of classification sets: arms are classes, one example a round."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import whole
from ..core.noise import uniform
from ..core.protocol import BanditFeedback, Context, Key, concrete
from . import classification_data
from .classification_data import Classification
from .groupwise import random_order

ORDERS = ("random", "sorted")


class ClassificationState(NamedTuple):
    round: jax.Array  # [] int32
    order: jax.Array  # [rounds] int32: which example is shown when


@flax.struct.dataclass
class ClassificationBandit:
    """The examples of a classification set in random order, one a round, each at most once.

    A round shows the features of an example to all arms alike (`Context`, disjoint); arm k says
    that it is of class k. The reward is 1 with probability `right` if so, else with probability
    `wrong`, and 0 otherwise: with 1 and 0, the default, there is no noise.

    `regret` is in means, right - wrong for every mistake; `mistakes` counts them; `reward` is what
    was received. `best_loss`, 1 - right a round, is the loss (one less the reward) expected of the
    policy that knows every class: the L* of small-loss bounds.

    Args:
      features: [N, d].
      labels: [N], whole numbers from 0 to num_arms - 1.
      num_arms: K; by default one more than the largest label.
      rounds: how many examples a seed draws; by default all.
      right, wrong: 0 <= wrong <= right <= 1.
      order: "random", or "sorted": what was drawn is shown class after class, in random order
        within each, as an oblivious adversary might.

    The order of a seed does not depend on the batch it runs in. It is drawn over all N at once,
    though only `rounds` of it are kept: of a large set take fewer rows for thousands of seeds.

    Raises:
      ValueError: arrays that do not fit together or are not such numbers, chances out of range,
        another order, more rounds than examples.
    """

    features: Any
    labels: Any
    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    rounds: int | None = flax.struct.field(pytree_node=False, default=None)
    right: Any = 1.0
    wrong: Any = 0.0
    order: str = flax.struct.field(pytree_node=False, default="random")

    # Derived, users leave it out. What JAX puts together from leaves of any kind is not checked.
    checked: Any = flax.struct.field(pytree_node=False, default=None, repr=False)

    disjoint = True

    def __post_init__(self):
        fresh = self.checked != (self.num_arms, self.rounds, self.order)
        fields = _table(self) if fresh else {}
        if fresh or {type(self.right), type(self.wrong)} & {int, float}:
            fields |= _chances(self.right, self.wrong)
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        noise = f", right={self.right!s}, wrong={self.wrong!s}"
        return (
            f"ClassificationBandit({np.shape(self.labels)[-1]:,} examples, {self.dimension} "
            f"features, {self.num_arms} classes, rounds={self.rounds}{noise}, order={self.order!r})"
        )

    @property
    def dimension(self) -> int:
        return np.shape(self.features)[-1]

    @property
    def most_rounds(self) -> int | None:
        return self.rounds

    def init(self, key: Key) -> ClassificationState:
        order = random_order(key, np.shape(self.labels)[-1])[: self.rounds]
        if self.order == "sorted":
            order = order[jnp.argsort(jnp.asarray(self.labels)[order], stable=True)]
        return ClassificationState(jnp.int32(0), order)

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        return uniform(key, (num_rounds,))

    def observe(self, state, noise) -> Context:
        return Context(jnp.asarray(self.features)[state.order[state.round]])

    def step(self, state, arm, noise):
        mistake = arm != jnp.asarray(self.labels)[state.order[state.round]]
        right, wrong = jnp.asarray(self.right), jnp.asarray(self.wrong)
        reward = (noise < jnp.where(mistake, wrong, right)).astype(jnp.float32)
        metrics = {
            "regret": jnp.where(mistake, right - wrong, 0),
            "mistakes": mistake.astype(jnp.int32),
            "reward": reward,
            "best_loss": 1 - right,
        }
        return ClassificationState(state.round + 1, state.order), BanditFeedback(reward), metrics

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        return {}


def classification(
    data: Classification | str,
    rounds: int | None = None,
    right: float = 1.0,
    wrong: float = 0.0,
    order: str = "random",
) -> ClassificationBandit:
    """The bandit of a classification set: a `Classification`, or the name of one.

    For arguments see `ClassificationBandit`.

    Raises:
      ValueError: as there; no set of that name.
      DataSetError: the set cannot be had (`classification_data.load`).
    """
    if isinstance(data, str):
        data = classification_data.load(data)
    return ClassificationBandit(
        data.features, data.labels, len(data.classes), rounds, right, wrong, order
    )


def _table(bandit: ClassificationBandit) -> dict[str, Any]:
    """The fields of a table that is in order, with the blanks filled in."""
    features, labels = concrete(bandit.features), concrete(bandit.labels)
    if features is None or labels is None or features.dtype.kind not in "fiub":
        raise ValueError("ClassificationBandit takes arrays of numbers, features [N, d]")
    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.size:
        raise ValueError(
            f"ClassificationBandit takes features [N, d] and labels [N], neither empty: got "
            f"{features.shape} and {labels.shape}"
        )
    for row, column in np.argwhere(~np.isfinite(features))[:1]:
        raise ValueError(
            f"ClassificationBandit: features are finite, got {features[row, column]} at "
            f"[{row}, {column}]"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"ClassificationBandit: labels are whole numbers, got {labels.dtype}")
    num_arms = max(2, labels.max() + 1) if bandit.num_arms is None else bandit.num_arms
    num_arms = whole("num_arms", num_arms, low=2)
    if labels.min() < 0 or labels.max() >= num_arms:
        raise ValueError(
            f"ClassificationBandit: labels of {num_arms} classes are numbers from 0 to "
            f"{num_arms - 1}, got {labels.min()} to {labels.max()}"
        )
    if bandit.order not in ORDERS:
        raise ValueError(
            f"ClassificationBandit: order is {' or '.join(ORDERS)}, got {bandit.order!r}"
        )
    most = len(labels)
    rounds = whole("rounds", most if bandit.rounds is None else bandit.rounds, high=most)
    return {
        "features": features.astype(np.float32, copy=False),
        "labels": labels.astype(np.int32, copy=False),
        "num_arms": num_arms,
        "rounds": rounds,
        "checked": (num_arms, rounds, bandit.order),
    }


def _chances(right: Any, wrong: Any) -> dict[str, Any]:
    try:
        ordered = 0 <= float(wrong) <= float(right) <= 1
    except (TypeError, ValueError):
        ordered = False
    if not ordered:
        raise ValueError(
            f"ClassificationBandit: chances are numbers with 0 <= wrong <= right <= 1, got "
            f"right={right!r}, wrong={wrong!r}"
        )
    return {"right": np.float32(right), "wrong": np.float32(wrong)}
