"""The structure of a directed acyclic graph, from its edges: on the host, once a graph.

Nodes are anything that can be hashed. `pairs` and `check` are for edges as they were given, all
other functions for edges that passed: every edge is on a path from source to target, so that in
topological order the source is the first node and the target the last.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

Edges = tuple[tuple[Any, Any], ...]  # (tail, head)


class Slots(NamedTuple):
    """The first, second, ... outgoing edges of the nodes of one level.

    A node with fewer edges than others of its level has edge E there, one that nobody takes.
    `heads` says where the edges lead among the nodes of the levels `nearest` to `farthest`.
    """

    edges: np.ndarray  # [slots, nodes] int32
    heads: np.ndarray  # [slots, nodes] int32
    nearest: int
    farthest: int


class Levels(NamedTuple):
    """Nodes by level, which is the number of edges of the longest way from there to the target. So
    the target comes first, and the source last."""

    slots: tuple[Slots, ...]  # of levels 1, 2, ...
    heads: np.ndarray  # [E + 1] int32: which node an edge leads to; edge E, to the target


@functools.lru_cache
def levels(edges: Edges) -> Levels:
    sequence, leaving = order(edges), outgoing(edges)
    level = {sequence[-1]: 0}
    for node in reversed(sequence[:-1]):
        level[node] = 1 + max(level[edges[i][1]] for i in leaving[node])
    nodes = sorted(sequence, key=lambda node: level[node])
    place = {node: i for i, node in enumerate(nodes)}
    heads = [place[head] for _, head in edges]
    num_levels = level[sequence[0]] + 1
    first = np.searchsorted([level[node] for node in nodes], np.arange(num_levels + 1))
    slots = []
    for k in range(1, num_levels):
        members = [leaving[node] for node in nodes[first[k] : first[k + 1]]]
        table = np.full((max(map(len, members)), len(members)), len(edges), np.int32)
        for i, member in enumerate(members):
            table[: len(member), i] = member
        reached = [level[edges[i][1]] for member in members for i in member]
        start = first[min(reached)]
        places = np.array([*heads, start], np.int32)[table] - start
        slots.append(Slots(table, places.astype(np.int32), min(reached), max(reached)))
    return Levels(tuple(slots), np.array([*heads, 0], np.int32))


@functools.lru_cache
def most_apart(edges: Edges) -> int:
    """The largest number of edges that are in one of two paths only.

    apart[a, b] is that number for the rests of two paths that stand at the nodes a and b. The one
    that stands earlier in topological order moves next, so that no edge they share is missed:
    before either takes it, both stand at its tail.
    """
    sequence, leaving = order(edges), outgoing(edges)
    place = {node: i for i, node in enumerate(sequence)}
    apart = np.zeros((len(sequence), len(sequence)), np.int64)
    for a in reversed(range(len(sequence) - 1)):
        heads = [place[edges[i][1]] for i in leaving[sequence[a]]]
        apart[a, a + 1 :] = apart[a + 1 :, a] = 1 + np.max(apart[heads, a + 1 :], axis=0)
        together = [apart[head, head] for head in heads]
        parting = [2 + np.max(apart[head, heads[:i]]) for i, head in enumerate(heads) if i]
        apart[a, a] = max(together + parting)
    return int(apart[0, 0])


def outgoing(edges: Edges) -> dict[Any, list[int]]:
    """The edges that leave each node, by their numbers, lowest first."""
    leaving: dict[Any, list[int]] = {}
    for i, (tail, head) in enumerate(edges):
        leaving.setdefault(tail, []).append(i)
        leaving.setdefault(head, [])
    return leaving


def order(edges: Edges) -> list[Any]:
    """Nodes in topological order; those on a circle, and those beyond one, are missing."""
    leaving = outgoing(edges)
    waiting = dict.fromkeys(leaving, 0)
    for _, head in edges:
        waiting[head] += 1
    sequence = [node for node, count in waiting.items() if not count]
    for node in sequence:  # grows on the way
        for i in leaving[node]:
            head = edges[i][1]
            waiting[head] -= 1
            if not waiting[head]:
                sequence.append(head)
    return sequence


def pairs(edges: Any) -> Edges:
    """Edges as a tuple of pairs.

    Raises:
      ValueError: something else than pairs of hashable nodes, or none.
    """
    try:
        found = tuple(tuple(edge) for edge in edges)
        hash(found)
    except TypeError:
        found = ()
    if not found or any(len(pair) != 2 for pair in found):
        raise ValueError(
            f'Dag: edges are pairs (tail, head) of nodes, such as [("a", "b"), ("b", "c")], at '
            f"least one, got {edges!r:.200}"
        )
    return found


@functools.lru_cache  # of graphs that pass: JAX makes them anew from their parts all the time
def check(edges: Edges, source: Any, target: Any) -> None:
    """Raises ValueError where edges are not those of a graph as described above, saying which."""
    sequence, leaving = order(edges), outgoing(edges)
    if len(sequence) < len(leaving):
        raise ValueError(f"Dag: edges lead round in a circle, {_circle(edges, sequence)}")
    for node, name in ((source, "source"), (target, "target")):
        if node not in leaving:
            raise ValueError(f"Dag: the {name} {node!r} is on no edge")
    reached, reaching = {source}, {target}
    for node in sequence:
        if node in reached:
            reached.update(edges[i][1] for i in leaving[node])
    for node in reversed(sequence):
        if any(edges[i][1] in reaching for i in leaving[node]):
            reaching.add(node)
    if target not in reached or source == target:
        raise ValueError(f"Dag: no path leads from the source {source!r} to the target {target!r}")
    for i, (tail, head) in enumerate(edges):
        if tail not in reached or head not in reaching:
            raise ValueError(
                f"Dag: edge {i}, {tail!r} to {head!r}, is on no path from the source {source!r} to "
                f"the target {target!r}: leave it out"
            )


def _circle(edges: Edges, sequence: list[Any]) -> str:
    """A circle among the nodes that are missing in topological order. Each of them has an edge from
    another one, so that going backwards meets a node again."""
    done = set(sequence)
    before = {head: tail for tail, head in edges if tail not in done}
    walk = [next(iter(before))]
    while walk.count(walk[-1]) == 1:
        walk.append(before[walk[-1]])
    return " to ".join(repr(node) for node in reversed(walk[walk.index(walk[-1]) :]))
