"""Online shortest paths: costs of edges change from round to round, and are seen afterwards.

The action is the indicator of a path, or a `Mixture` of paths, whose cost is then the mean one.
Whether it is a path cannot be seen cheaply inside a compiled program and is not checked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise as tapes
from ..core.graphs import Dag
from ..core.losses import LinearLoss, expected
from ..core.protocol import GroupContext, Key, concrete


class PathState(NamedTuple):
    """What was paid on the rounds of every group, and what every edge cost then. The last group, of
    all rounds, is there in any case."""

    row: jax.Array  # [] int32, of the next round in a table
    paid: jax.Array  # [G] float64
    costs: jax.Array  # [G, E] float64


class Paths:
    """Shared by the environments below.

    Metrics: `cost` of what was played; `regret` in hindsight, towards the one path that would have
    cost least over all rounds so far; and with groups `group_regret` of each, towards the path that
    would have cost least over its rounds. Sums are float64. Costs of paths lie in [0, dag.longest]:
    divide those of edges by it for learners that want losses in an interval of length 1.
    """

    dag: Dag

    metric_dims = {"group_regret": ("group",)}

    @property
    def domain(self) -> Dag:
        return self.dag

    @property
    def dearest(self) -> Any:
        """The most that an edge can cost in a round."""
        raise NotImplementedError

    @property
    def cost_norm(self) -> np.float32:
        """The largest L1 norm of the costs of a round, at most; positive."""
        return np.float32(self.dag.dimension * (self.dearest or 1))

    @property
    def cost_range(self) -> np.float32:
        """The most by which two paths differ in cost in a round, at most; positive."""
        edges = min(self.dag.longest, max(float(self.dag.l1_diameter), 1))
        return np.float32(edges * (self.dearest or 1))

    @property
    def num_groups(self) -> int | None:
        """Groups of rounds, with that of all rounds; None where rounds do not belong to groups."""
        raise NotImplementedError

    def init(self, key: Key) -> PathState:
        with jax.enable_x64(True):
            costs = jnp.zeros((self.num_groups or 1, self.dag.dimension), jnp.float64)
            return PathState(jnp.int32(0), costs[:, 0], costs)

    def evaluate(self, state: PathState, recommendation: Any) -> dict[str, jax.Array]:
        with jax.enable_x64(True):
            best = jax.vmap(self.dag.least)(state.costs)
            regret = (state.paid - jnp.sum(best * state.costs, axis=-1)).astype(jnp.float32)
        metrics = {"regret": regret[-1]}
        return metrics if self.num_groups is None else metrics | {"group_regret": regret}

    def _settle(self, state, action, costs, active, row):
        feedback = LinearLoss(costs)
        with jax.enable_x64(True):
            cost = expected(feedback, action)
            counted = active.astype(jnp.float64)
            paid = state.paid + counted * cost.astype(jnp.float64)
            added = counted[:, None] * costs.astype(jnp.float64)
            state = PathState(row, paid, state.costs + added)
            return state, feedback, {"cost": cost.astype(jnp.float32)}


@flax.struct.dataclass
class ShortestPathTable(Paths):
    """An oblivious adversary: edge e costs table[t mod R, e] in round t = 0, 1, ..., whatever was
    played before.

    With `active` a round shows which groups it is for (`GroupContext`); a group of all rounds is
    added, as the last one. For metrics see `Paths`.

    Args:
      dag: the graph. table: costs [R, E]. active: [R, n] bool.

    Raises:
      ValueError: a table that is not [R, E] numbers in [0, 1], or `active` of another shape.
    """

    dag: Dag
    table: Any
    active: Any = None

    def __post_init__(self):
        table, active = concrete(self.table), concrete(self.active)
        if table is None or table.ndim > 2:
            return  # traced, or stacked: checked before
        _check_costs("ShortestPathTable", "table", table, self.dag, "[R, E]")
        object.__setattr__(self, "table", table.astype(np.float32, copy=False))
        if active is None:
            return
        if active.ndim != 2 or len(active) != len(table) or active.dtype != bool:
            raise ValueError(
                f"ShortestPathTable: active says [R, n] bool which groups each of the "
                f"{len(table)} rounds is for, got {active.dtype} of shape {list(active.shape)}"
            )

    @property
    def dearest(self) -> np.float32:
        return np.max(self.table)

    @property
    def num_groups(self) -> int | None:
        return None if self.active is None else np.shape(self.active)[-1] + 1

    def noise(self, key: Key, num_rounds: int) -> tuple:
        return ()

    def observe(self, state, noise) -> Any:
        return () if self.active is None else GroupContext((), self._active(state.row))

    def step(self, state, action, noise):
        row = jnp.where(state.row == np.shape(self.table)[0] - 1, 0, state.row + 1)
        costs = jnp.asarray(self.table)[state.row]
        return self._settle(state, action, costs, self._active(state.row), row)

    def _active(self, row):
        every = jnp.ones(1, bool)
        return every if self.active is None else jnp.append(jnp.asarray(self.active)[row], every)


class PathNoise(NamedTuple):
    """Of one round."""

    costs: jax.Array  # [E] uniform
    looks: jax.Array  # [attributes] uniform: of what kind the round is


@flax.struct.dataclass
class ShortestPath(Paths):
    """Costs drawn around their means, independently in every round and for every edge.

    With law="bernoulli" an edge costs 1 with probability m, its mean, else 0; with law="uniform" it
    costs m + min(m, 1 - m) U, with U uniform on [-1, 1].

    With `attributes` rounds differ: a round has one value of each attribute, drawn independently,
    and is for the groups of its values (`GroupContext`). Of attributes=((0.3, 0.7), (0.5, 0.5))
    the first may be the time of day (rush hour or not) and the second the vehicle (a car or a
    lorry): four groups, and a group of all rounds, the last. Each group has means of its own, and
    those of a round are the averages over its groups. For metrics see `Paths`.

    Args:
      dag: the graph.
      means: of the costs, [E], or with attributes those of each group but the last, [G - 1, E].
      law: "bernoulli" or "uniform".
      attributes: for each attribute the probabilities of its values.

    Raises:
      ValueError: means that are not numbers in [0, 1] of that shape, another law, or probabilities
        that do not add up to 1.
    """

    dag: Dag
    means: Any
    law: str = flax.struct.field(pytree_node=False, default="bernoulli")
    attributes: tuple[tuple[float, ...], ...] = flax.struct.field(pytree_node=False, default=())

    def __post_init__(self):
        if self.law not in ("bernoulli", "uniform"):
            raise ValueError(f'ShortestPath: law is "bernoulli" or "uniform", got {self.law!r}')
        object.__setattr__(self, "attributes", _probabilities(self.attributes))
        means, groups = concrete(self.means), sum(map(len, self.attributes))
        if means is None or means.ndim > (2 if groups else 1):
            return  # traced, or stacked: checked before
        shape = "[G - 1, E]" if groups else "[E]"
        _check_costs("ShortestPath", "means", means, self.dag, shape)
        if groups and len(means) != groups:
            raise ValueError(
                f"ShortestPath: attributes have {groups} values, means are of {len(means)}: give "
                f"[{groups}, {self.dag.dimension}] numbers"
            )
        object.__setattr__(self, "means", means.astype(np.float32, copy=False))

    @property
    def dearest(self) -> np.float32:
        return np.float32(1) if self.law == "bernoulli" else np.minimum(2 * np.max(self.means), 1)

    @property
    def num_groups(self) -> int | None:
        return sum(map(len, self.attributes)) + 1 if self.attributes else None

    def noise(self, key: Key, num_rounds: int) -> PathNoise:
        looks = tapes.uniform(tapes.stream(key, "looks"), (num_rounds, len(self.attributes)))
        costs = tapes.uniform(tapes.stream(key, "costs"), (num_rounds, self.dag.dimension))
        return PathNoise(costs, looks)

    def observe(self, state, noise) -> Any:
        return GroupContext((), self._active(noise)) if self.attributes else ()

    def step(self, state, action, noise):
        active, means = self._active(noise), jnp.asarray(self.means)
        if self.attributes:
            share = active[:-1, None].astype(jnp.float32) / len(self.attributes)
            means = jnp.sum(share * means, axis=0)
        if self.law == "bernoulli":
            costs = (noise.costs < means).astype(jnp.float32)
        else:
            costs = means + jnp.minimum(means, 1 - means) * (2 * noise.costs - 1)
        return self._settle(state, action, costs, active, state.row)

    def _active(self, noise):
        """[G] bool."""
        groups = []
        for look, chances in zip(noise.looks, self.attributes, strict=True):
            ends = np.cumsum(chances, dtype=np.float64)[:-1].astype(np.float32)
            value = jnp.sum(look > ends, dtype=jnp.int32)
            groups.append(jnp.arange(len(chances), dtype=jnp.int32) == value)
        return jnp.concatenate([*groups, jnp.ones(1, bool)])


def _check_costs(name: str, field: str, given: np.ndarray, dag: Dag, shape: str) -> None:
    dimensions = shape.count(",") + 1
    if given.dtype.kind not in "fiub" or given.ndim != dimensions or not given.size:
        raise ValueError(
            f"{name}: {field} is an array of numbers {shape}, got shape {list(given.shape)}"
        )
    if given.shape[-1] != dag.dimension:
        raise ValueError(
            f"{name}: {field} has {given.shape[-1]} entries a row, and {dag} has {dag.dimension}"
        )
    if len(bad := np.argwhere(~((given >= 0) & (given <= 1)))):
        at = ", ".join(map(str, bad[0].tolist()))
        raise ValueError(
            f"{name}: costs of edges lie in [0, 1], scale them: got {field}[{at}] = "
            f"{given[tuple(bad[0])]}"
        )


def _probabilities(attributes: Any) -> tuple[tuple[float, ...], ...]:
    try:
        found = tuple(tuple(float(x) for x in chances) for chances in attributes)
    except TypeError:
        found = ((),)
    for chances in found:
        if not chances or min(chances) < 0 or abs(sum(chances) - 1) > 1e-6:
            raise ValueError(
                f"ShortestPath: attributes are probabilities of the values of each, such as "
                f"((0.3, 0.7), (0.5, 0.5)), got {attributes!r}"
            )
    return found
