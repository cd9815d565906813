"""Directed acyclic graphs and their paths: what online shortest path problems are played on.

A graph is described on the host, once; `shortest_path` is written for JAX, for one vector of costs,
and is vectorised over seeds by `vmap`. Paths are indicator vectors over the edges.
"""

from __future__ import annotations

from collections.abc import Hashable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from . import dag_structure as structure

_MOST_PATHS = 100_000  # that `all_paths` writes out


@flax.struct.dataclass
class Dag:
    """A directed acyclic graph, of which the paths from `source` to `target` are of interest.

    A domain to play from (`core.domains`), though not a convex one: its points are the paths.

    Args:
      edges: pairs (tail, head) of nodes; nodes are strings, numbers or tuples of them. Two nodes
        may be joined by several edges. Edge i is entry i of costs and of paths.

    Raises:
      ValueError: a circle, an edge that is on no path from source to target, or no path at all.
    """

    edges: tuple[tuple[Hashable, Hashable], ...] = flax.struct.field(pytree_node=False)
    source: Hashable = flax.struct.field(pytree_node=False)
    target: Hashable = flax.struct.field(pytree_node=False)

    def __post_init__(self):
        object.__setattr__(self, "edges", structure.pairs(self.edges))
        structure.check(self.edges, self.source, self.target)

    def __repr__(self) -> str:
        return f"Dag({self.dimension} edges, {self.source!r} to {self.target!r})"

    @property
    def dimension(self) -> int:
        """Number of edges."""
        return len(self.edges)

    @property
    def longest(self) -> int:
        """Number of edges of the longest path."""
        return len(structure.levels(self.edges).slots)

    @property
    def l1_diameter(self) -> np.float32:
        """How many edges two paths have at most that are not in both."""
        return np.float32(structure.most_apart(self.edges))

    @property
    def diameter(self) -> np.float32:
        return np.sqrt(self.l1_diameter)

    def start(self) -> jax.Array:
        """The path that is shortest when every edge costs nothing."""
        return self.least(jnp.zeros(self.dimension, jnp.float32))

    def least(self, coefficients: jax.Array) -> jax.Array:
        """The cheapest path, see `shortest_path`."""
        return shortest_path(self, coefficients)


def layered(width: int, layers: int) -> Dag:
    """From "source" through `layers` layers of `width` nodes (layer, i) to "target"; each node is
    joined with every node of the next layer. width^layers paths of layers + 1 edges.

    Raises:
      ValueError: a width or a number of layers below 1.
    """
    _check_sizes("layered", width=width, layers=layers)
    rows = [["source"], *([(k, i) for i in range(width)] for k in range(layers)), ["target"]]
    joins = zip(rows[:-1], rows[1:], strict=True)
    edges = [(tail, head) for here, there in joins for tail in here for head in there]
    return Dag(tuple(edges), "source", "target")


def grid(rows: int, columns: int) -> Dag:
    """Nodes (row, column), joined with the one to the right and the one below: from (0, 0) to
    (rows - 1, columns - 1) by shortest ways.

    Raises:
      ValueError: no rows, no columns, or a single node.
    """
    _check_sizes("grid", rows=rows, columns=columns)
    edges = []
    for i, j in np.ndindex(rows, columns):
        edges += [((i, j), (i, j + 1))] if j + 1 < columns else []
        edges += [((i, j), (i + 1, j))] if i + 1 < rows else []
    return Dag(tuple(edges), (0, 0), (rows - 1, columns - 1))


def parallel(paths: int, length: int = 1) -> Dag:
    """`paths` paths of `length` edges that have no edge in common: of one edge each, experts.

    Raises:
      ValueError: no path, or no edge.
    """
    _check_sizes("parallel", paths=paths, length=length)
    edges = []
    for i in range(paths):
        stops = ["source", *((i, k) for k in range(1, length)), "target"]
        edges += zip(stops[:-1], stops[1:], strict=True)
    return Dag(tuple(edges), "source", "target")


def _check_sizes(name: str, **sizes: int) -> None:
    for size, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}: {size} is a whole number from 1, got {value!r}")
    if tuple(sizes) == ("rows", "columns") and sum(sizes.values()) == 2:
        raise ValueError("grid: a single node has no paths: give more rows or columns")


# ---- paths ---------------------------------------------------------------------------------


def shortest_path(dag: Dag, costs: jax.Array) -> jax.Array:
    """The indicator [E] of the path whose edges cost least together, in the dtype of `costs` [E].

    Costs are finite and may be negative. Ties: from the source on, the path takes the edge of the
    lowest index among those that begin a cheapest rest of the way.

    Dynamic programming from the target: nodes that are equally far from it (counted in edges of the
    longest way) are done at once, one edge of each at a time.
    """
    levels, nothing = structure.levels(dag.edges), len(dag.edges)
    even = all(np.all(slots.edges < nothing) for slots in levels.slots)
    padded = costs if even else jnp.append(costs, jnp.asarray(jnp.inf, costs.dtype))
    rests, firsts = [jnp.zeros_like(costs, shape=1)], [jnp.full(1, nothing, jnp.int32)]
    for slots in levels.slots:
        known = jnp.concatenate(rests[slots.nearest : slots.farthest + 1])
        best = _take(padded, slots.edges[0]) + _take(known, slots.heads[0])
        first = jnp.asarray(slots.edges[0])
        for edges, heads in zip(slots.edges[1:], slots.heads[1:], strict=True):
            cost = _take(padded, edges) + _take(known, heads)
            cheaper = cost < best
            best, first = jnp.where(cheaper, cost, best), jnp.where(cheaper, edges, first)
        # Without the barrier XLA would compute a level again in each use of the next one.
        best, first = jax.lax.optimization_barrier((best, first))
        rests.append(best)
        firsts.append(first)
    first, heads = jnp.concatenate(firsts), jnp.asarray(levels.heads)

    def follow(node, _):
        edge = first.at[node].get(mode="promise_in_bounds")
        return heads.at[edge].get(mode="promise_in_bounds"), edge

    last = jnp.int32(first.shape[0] - 1)
    _, path = jax.lax.scan(follow, last, length=len(levels.slots))
    indicator = jnp.zeros_like(costs, shape=nothing + 1)
    return indicator.at[path].set(1, mode="promise_in_bounds")[:nothing]


def path_cost(path: jax.Array, costs: jax.Array) -> jax.Array:
    """What the edges of a path (an indicator [E]) cost together."""
    return jnp.sum(path * costs)


def count_paths(dag: Dag) -> int:
    """How many paths there are from source to target."""
    outgoing, counts = structure.outgoing(dag.edges), {dag.target: 1}
    for node in reversed(structure.order(dag.edges)[:-1]):
        counts[node] = sum(counts[dag.edges[edge][1]] for edge in outgoing[node])
    return counts[dag.source]


def all_paths(dag: Dag) -> np.ndarray:
    """The indicators of all paths, [paths, E] float32, on the host: for small graphs.

    Raises:
      ValueError: more than 100,000 paths.
    """
    if (count := count_paths(dag)) > _MOST_PATHS:
        raise ValueError(f"all_paths writes out up to {_MOST_PATHS:,} paths, {dag} has {count:,}")
    outgoing, one = structure.outgoing(dag.edges), np.eye(dag.dimension, dtype=np.float32)
    rests = {dag.target: np.zeros((1, dag.dimension), np.float32)}
    for node in reversed(structure.order(dag.edges)[:-1]):
        ways = [(edge, rests[dag.edges[edge][1]]) for edge in outgoing[node]]
        rests[node] = np.concatenate([one[edge] + rest for edge, rest in ways])
    return rests[dag.source]


def _take(x: jax.Array, places: np.ndarray) -> jax.Array:
    """x[places]: as a slice or one entry where possible, which is several times faster on a CPU."""
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if step == 0 and np.all(places == places[0]):
        return jnp.broadcast_to(x[int(places[0])], places.shape)
    if step > 0 and np.all(np.diff(places) == step):
        return jax.lax.slice_in_dim(x, int(places[0]), int(places[-1]) + 1, step)
    return x.at[places].get(mode="promise_in_bounds")
