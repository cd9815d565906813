"""Regression with groups that overlap: forecasts of labels, judged on every group by itself."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise as tapes
from ..core.losses import SquaredLoss
from ..core.protocol import GroupContext, Key, concrete
from . import group_accounts
from .group_accounts import METRIC_DIMS, Accounts, check_data, no_rounds
from .grouped_data import GroupedData, published_orders


class GroupwiseState(NamedTuple):
    round: jax.Array  # int32
    order: jax.Array  # [N] int32, or the row of the table of orders, int32; -1: not in the table
    accounts: Accounts


@flax.struct.dataclass
class GroupwiseRegression:
    """The examples of a data set in random order, one a round, each once.

    A round shows the features and the groups of an example. The action is a prediction of its
    label, or a `Mixture` of predictions, whose losses are averaged; then the label is told. For
    metrics see `group_accounts.report`; beside them `loss`, over all rounds.

    Args:
      features: [N, d].
      active: [N, G] bool; which groups an example is in.
      labels: [N], in [0, 1].
      groups: names of the groups, for people.
      orders, keys: a table of orders [R, N], and the key that the seed of each starts from, as
        `InPublishedOrders` makes it; by default every seed draws its own order.

    Raises:
      ValueError: arrays that do not fit together, a group without an example, labels outside
        [0, 1].
    """

    features: Any
    active: Any
    labels: Any
    groups: tuple[str, ...] = flax.struct.field(pytree_node=False, default=())
    orders: Any = None
    keys: Any = None

    metric_dims = METRIC_DIMS

    def __post_init__(self):
        features, active, labels = map(concrete, (self.features, self.active, self.labels))
        if features is None or active is None or labels is None or labels.ndim > 1:
            return  # inside JAX, or a stack
        check_data("GroupwiseRegression", features, active, labels)
        object.__setattr__(self, "features", features.astype(np.float32, copy=False))
        object.__setattr__(self, "active", active)
        object.__setattr__(self, "labels", labels.astype(np.float32, copy=False))
        if self.groups and len(self.groups) != self.num_groups:
            raise ValueError(
                f"GroupwiseRegression: {len(self.groups)} names for {self.num_groups} groups"
            )

    def __repr__(self) -> str:
        return (
            f"GroupwiseRegression({self.most_rounds:,} examples, {self.dimension} features, "
            f"{self.num_groups} groups)"
        )

    @property
    def num_groups(self) -> int:
        return np.shape(self.active)[-1]

    @property
    def dimension(self) -> int:
        return np.shape(self.features)[-1]

    @property
    def most_rounds(self) -> int:
        return np.shape(self.labels)[-1]

    @property
    def feature_bound(self) -> float:
        """The length of the longest vector of features."""
        return float(np.sqrt(np.max(np.sum(np.square(self.features, dtype=np.float64), axis=-1))))

    def init(self, key: Key) -> GroupwiseState:
        if self.orders is None:
            order = random_order(key, self.most_rounds)
        else:
            same = jnp.all(jnp.asarray(self.keys) == jax.random.key_data(key), axis=-1)
            order = jnp.where(jnp.any(same), jnp.argmax(same), -1).astype(jnp.int32)
        return GroupwiseState(jnp.int32(0), order, no_rounds(self.num_groups, self.dimension))

    def noise(self, key: Key, num_rounds: int) -> tuple:
        return ()

    def observe(self, state, noise) -> GroupContext:
        row = self._row(state)
        return GroupContext(jnp.asarray(self.features)[row], jnp.asarray(self.active)[row])

    def step(self, state, action, noise):
        row = self._row(state)
        features, active = jnp.asarray(self.features)[row], jnp.asarray(self.active)[row]
        feedback = SquaredLoss(jnp.asarray(self.labels)[row])
        accounts, loss = group_accounts.settle(state.accounts, features, active, feedback, action)
        if self.orders is not None:
            loss = jnp.where(state.order >= 0, loss, jnp.nan)
        return GroupwiseState(state.round + 1, state.order, accounts), feedback, {"loss": loss}

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        return group_accounts.report(state.accounts)

    def _row(self, state):
        if self.orders is None:
            return state.order[state.round]
        return jnp.asarray(self.orders)[state.order, state.round]


def random_order(key: Key, size: int) -> jax.Array:
    """A uniformly random permutation, [size] int32: the order of 64-bit words. (Of 32 bits, two of
    10^5 would often be equal.)"""
    words = tapes.pairs(tapes.stream(key, "order"), (size,))
    index = jnp.arange(size, dtype=jnp.int32)
    return jax.lax.sort((*words, index), num_keys=2)[2]


@flax.struct.dataclass
class InPublishedOrders:
    """`problem` in the ten orders of Acharya et al. 2024 (`grouped_data.published_orders`): seed i
    goes through the examples in the i-th of them, so that there are seeds 0 to 9 only.
    """

    problem: GroupwiseRegression

    metric_dims = METRIC_DIMS
    deterministic = False

    @property
    def num_groups(self) -> int:
        return self.problem.num_groups

    @property
    def dimension(self) -> int:
        return self.problem.dimension

    @property
    def most_rounds(self) -> int:
        return self.problem.most_rounds

    @property
    def feature_bound(self) -> float:
        return self.problem.feature_bound

    def init(self, key: Key):
        raise TypeError("InPublishedOrders is a recipe: simulate and run fill it in")

    noise = step = init

    def tabulate(self, horizon, seeds, root_seed, progress) -> dict[str, np.ndarray]:
        """Raises ValueError for seeds beyond 9."""
        orders = published_orders(self.most_rounds)
        if np.max(seeds) >= len(orders):
            raise ValueError(
                f"there are {len(orders)} published orders, for seeds 0 to {len(orders) - 1}: got "
                f"seed {np.max(seeds)}; play the problem itself for orders at random"
            )
        return {"orders": orders[seeds].astype(np.int32)}

    def seeds_together(self, horizon: int) -> int:
        return 10

    def with_table(self, table, keys) -> GroupwiseRegression:
        return dataclasses.replace(self.problem, orders=table["orders"], keys=keys)


def regression_on(data: GroupedData) -> GroupwiseRegression:
    """The environment of a `GroupedData`."""
    return GroupwiseRegression(data.features, data.active, data.labels, tuple(data.groups))
