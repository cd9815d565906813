"""Shortest paths against brute force over all paths, and what graphs know of themselves."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core import graphs
from regrax.core.graphs import Dag


def walks(dag, node=None):
    """All paths from a node as lists of edges: in the order in which, edge by edge, lower indices
    come first."""
    node = dag.source if node is None else node
    if node == dag.target:
        return [[]]
    edges = [i for i, (tail, _) in enumerate(dag.edges) if tail == node]
    return [[i, *rest] for i in edges for rest in walks(dag, dag.edges[i][1])]


def indicators(dag):
    return np.array([np.isin(np.arange(dag.dimension), path) for path in walks(dag)], np.float64)


def random_dag(seed):
    """Joins of random nodes, some of them twice, in an order of edges that says nothing; those on
    no path from the first to the last node are left out."""
    rng = np.random.default_rng(seed)
    joins = [tuple(sorted(rng.choice(8, 2, replace=False).tolist())) for _ in range(18)] + [(0, 7)]
    forward, backward = {0}, {7}
    for _ in range(8):
        forward |= {b for a, b in joins if a in forward}
        backward |= {a for a, b in joins if b in backward}
    return Dag([(a, b) for a, b in joins if a in forward and b in backward], 0, 7)


SHORTCUT = Dag(
    [("s", "a"), ("s", "b"), ("a", "b"), ("a", "t"), ("b", "t"), ("s", "t"), ("s", "t")], "s", "t"
)
DAGS = {
    "shortcut": SHORTCUT,
    "layered": graphs.layered(2, 3),
    "grid": graphs.grid(3, 4),
    "parallel": graphs.parallel(3, 2),
    "experts": graphs.parallel(5),
    "one edge": Dag([("s", "t")], "s", "t"),
    "one path": graphs.layered(1, 3),
    **{f"random {seed}": random_dag(seed) for seed in range(4)},
}
every_dag = pytest.mark.parametrize("dag", DAGS.values(), ids=DAGS.keys())
cheapest = jax.jit(jax.vmap(graphs.shortest_path, in_axes=(None, 0)))


@every_dag
def test_shortest_paths_agree_with_brute_force(dag):
    """With small whole costs, of both signs: many ties, and no rounding."""
    paths = indicators(dag)

    @given(hnp.arrays(np.float32, (16, dag.dimension), elements=st.integers(-3, 3)))
    @settings(max_examples=40, deadline=None)
    def check(costs):
        best = np.argmin(costs.astype(np.float64) @ paths.T, axis=1)  # the first of equal ones
        found = cheapest(dag, costs)
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, paths[best])

    check()


@every_dag
def test_all_paths_and_their_number(dag):
    paths = indicators(dag)
    np.testing.assert_array_equal(graphs.all_paths(dag), paths)
    assert graphs.count_paths(dag) == len(paths)


@every_dag
def test_how_long_and_how_far_apart_paths_are(dag):
    paths = indicators(dag)
    assert dag.longest == paths.sum(axis=1).max()
    apart = np.abs(paths[:, None] - paths).sum(axis=-1).max()
    assert dag.l1_diameter == apart
    assert dag.diameter == np.float32(math.sqrt(apart))


def test_known_numbers_of_paths():
    assert graphs.count_paths(graphs.layered(3, 5)) == 3**5
    assert graphs.count_paths(graphs.parallel(7, 3)) == 7
    assert graphs.count_paths(graphs.grid(30, 30)) == math.comb(58, 29)
    assert graphs.grid(4, 5).dimension == 4 * 4 + 5 * 3
    assert graphs.layered(3, 4).dimension == 3 + 3 * 9 + 3


def test_a_large_grid_agrees_with_a_table_filled_by_hand():
    n, dag = 12, graphs.grid(12, 12)
    costs = np.random.default_rng(0).normal(size=dag.dimension)
    price = dict(zip(dag.edges, costs, strict=True))
    total = np.full((n, n), np.inf)
    total[0, 0] = 0
    for i, j in itertools.product(range(n), range(n)):
        for before in ((i - 1, j), (i, j - 1)):
            if min(before) >= 0:
                total[i, j] = min(total[i, j], total[before] + price[before, (i, j)])
    path = np.asarray(jax.jit(dag.least)(costs.astype(np.float32)), np.float64)
    heads = [edge[1] for edge, on in zip(dag.edges, path, strict=True) if on]
    assert len(heads) == 2 * n - 2 and len(set(heads)) == len(heads)
    # The two best paths may change places where rounding is larger than what lies between them.
    slack = 2 * 2 * n * np.abs(costs).max() * 2 * n * 2.0**-24
    assert path @ costs <= total[-1, -1] + slack
    assert graphs.path_cost(path, costs) == pytest.approx(path @ costs, rel=1e-5)


def test_float64_stays_float64():
    costs = np.array([1, 1 - 1e-12, 1])
    with jax.enable_x64(True):
        path = jax.jit(graphs.parallel(3).least)(jnp.asarray(costs, jnp.float64))
    assert path.dtype == np.float64
    np.testing.assert_array_equal(path, [0, 1, 0])


@pytest.mark.usefixtures("strict_promotion")
def test_dtypes_are_not_mixed():
    for dag in (SHORTCUT, DAGS["grid"]):
        jax.eval_shape(dag.least, jnp.zeros(dag.dimension, jnp.float32))


def test_a_graph_is_a_static_description():
    dag, same = graphs.grid(3, 3), graphs.grid(3, 3)
    assert dag == same and hash(dag) == hash(same) and dag != graphs.grid(3, 4)
    assert jax.tree.leaves(dag) == []
    traced = []

    @jax.jit
    def start(dag):
        traced.append(dag)
        return dag.start()

    np.testing.assert_array_equal(start(dag), start(same))
    assert len(traced) == 1
    assert repr(dag) == "Dag(12 edges, (0, 0) to (2, 2))"
    assert Dag([["s", "t"]], "s", "t").edges == (("s", "t"),)


def test_play_starts_on_the_path_of_the_lowest_edges():
    np.testing.assert_array_equal(graphs.parallel(3).start(), [1, 0, 0])
    np.testing.assert_array_equal(SHORTCUT.start(), indicators(SHORTCUT)[0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Dag([], "s", "t"), r"pairs \(tail, head\).*at least one"),
        (lambda: Dag([("s", "a", "t")], "s", "t"), "pairs"),
        (lambda: Dag([("s", ["t"])], "s", "t"), "pairs"),
        (lambda: Dag(7, "s", "t"), "pairs"),
        (
            lambda: Dag([("s", "a"), ("a", "b"), ("b", "a"), ("b", "t")], "s", "t"),
            "circle, ('a' to 'b' to 'a'|'b' to 'a' to 'b')",
        ),
        (lambda: Dag([("s", "s"), ("s", "t")], "s", "t"), "circle, 's' to 's'"),
        (lambda: Dag([("s", "a")], "s", "t"), "target 't' is on no edge"),
        (lambda: Dag([("s", "t")], "x", "t"), "source 'x' is on no edge"),
        (lambda: Dag([("t", "s")], "s", "t"), "no path leads from the source 's' to the target"),
        (lambda: Dag([("s", "t")], "s", "s"), "no path leads"),
        (lambda: Dag([("s", "t"), ("s", "a")], "s", "t"), "edge 1, 's' to 'a', is on no path"),
        (lambda: Dag([("a", "t"), ("s", "t")], "s", "t"), "edge 0, 'a' to 't', is on no path"),
        (lambda: graphs.layered(0, 2), "width is a whole number from 1, got 0"),
        (lambda: graphs.layered(2, 1.5), "layers is a whole number from 1, got 1.5"),
        (lambda: graphs.grid(1, 1), "single node"),
        (lambda: graphs.parallel(True), "paths is a whole number"),
        (lambda: graphs.all_paths(graphs.layered(4, 9)), "has 262,144"),
    ],
)
def test_bad_graphs_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
