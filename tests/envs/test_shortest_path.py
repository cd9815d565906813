"""Online shortest paths: accounts against brute force in float64, laws against numbers, groups."""

from __future__ import annotations

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import graphs, noise
from regrax.core.learners.combinatorial import FTPL
from regrax.core.learners.experts import AdaNormalHedge
from regrax.core.learners.groups import Groups
from regrax.core.protocol import Mixture
from regrax.core.simulate import simulate, stack
from regrax.envs.shortest_path import ShortestPath, ShortestPathTable

DAG = graphs.grid(3, 3)
PATHS = graphs.all_paths(DAG)
EDGES = DAG.dimension
RNG = np.random.default_rng(0)
TABLE = RNG.random((50, EDGES), np.float32)
ACTIVE = RNG.random((50, 2)) < [0.3, 0.6]
MEANS = RNG.random((4, EDGES), np.float32)
ATTRIBUTES = ((0.25, 0.75), (0.4, 0.6))
KEY = noise.root(3)


@flax.struct.dataclass
class Calendar:
    """Plays path t mod P in round t, or half of that one and half of the next."""

    paths: Any  # [P, E]
    mixed: bool = flax.struct.field(pytree_node=False, default=False)

    def init(self, key):
        return jnp.int32(0)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        paths, last = jnp.asarray(self.paths), len(self.paths)
        if not self.mixed:
            return paths[state % last]
        both = jnp.stack([state % last, (state + 1) % last])
        return Mixture(jnp.full(2, 0.5), paths[both])

    def update(self, state, observation, action, feedback):
        return state + 1

    def recommend(self, state):
        return ()


def regrets(costs, active, paid):
    """Of every group, from the costs [T, E], memberships [T, G] and what was paid [T]."""
    sums = active.astype(np.float64).T @ costs.astype(np.float64)
    return active.T @ paid - np.min(PATHS.astype(np.float64) @ sums.T, axis=0)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_table_agrees_with_numpy(mixed):
    """Over 130 rounds of a table of 50, at every round: cost, and regret on every group."""
    horizon, every = 130, np.arange(130)
    env = ShortestPathTable(DAG, TABLE, ACTIVE)
    learner = Calendar(PATHS, mixed)
    trace = simulate(env, learner, horizon, 2, checkpoints=every + 1, progress=False)
    played = PATHS[every % len(PATHS)].astype(np.float64)
    if mixed:
        played = (played + PATHS[(every + 1) % len(PATHS)]) / 2
    costs, active = TABLE[every % 50], np.c_[ACTIVE, np.ones(50, bool)][every % 50]
    paid = np.sum(played * costs, axis=1)
    rounding = EDGES * 2.0**-24 * np.cumsum(paid)  # of float32 sums over a path, and of reports
    found = trace.metrics
    assert found["group_regret"].shape == (horizon, 2, 3)
    for t in every:
        expected = regrets(costs[: t + 1], active[: t + 1], paid[: t + 1])
        for seed in range(2):
            close = {"rtol": 1e-6, "atol": rounding[t]}
            np.testing.assert_allclose(found["group_regret"][t, seed], expected, **close)
            np.testing.assert_allclose(found["regret"][t, seed], expected[-1], **close)
            np.testing.assert_allclose(found["cost"][t, seed], paid[: t + 1].sum(), **close)


def test_without_groups_a_round_shows_nothing():
    env = ShortestPathTable(DAG, TABLE)
    state = env.init(KEY)
    assert env.observe(state, ()) == () and env.num_groups is None
    trace = simulate(env, Calendar(PATHS), 70, 1, checkpoints=[70], progress=False)
    assert set(trace.metrics) == {"cost", "regret"}
    with pytest.raises(ValueError, match="num_groups"):
        simulate(env, Groups(FTPL(), AdaNormalHedge()), 10, 1, progress=False)


def test_regret_survives_very_many_rounds():
    """Sums near 10^9, where neighbouring float32 numbers are 64 apart."""
    env = ShortestPathTable(DAG, TABLE)
    costs = 1e9 + RNG.random((1, EDGES))
    paid = 4e9 + 123.456
    with jax.enable_x64(True):
        state = env.init(KEY)._replace(
            paid=jnp.asarray([paid], jnp.float64), costs=jnp.asarray(costs, jnp.float64)
        )
        regret = jax.jit(lambda state: env.evaluate(state, ())["regret"])(state)
    expected = paid - np.min(PATHS.astype(np.float64) @ costs[0])
    # The sums themselves are good to 2^-53 of 4 10^9, a few 10^-6.
    np.testing.assert_allclose(regret, expected, atol=1e-5)


def played(env, rounds, seed=0):
    """Costs [rounds, E], and memberships [rounds, G] where there are groups."""

    @jax.jit
    def run(env):
        state = env.init(KEY)
        tape = env.noise(noise.stream(KEY, seed), rounds)

        def one(draw):
            seen = env.observe(state, draw)
            feedback = env.step(state, jnp.asarray(PATHS[0]), draw)[1]
            return feedback.coefficients, seen.active if env.attributes else ()

        return jax.vmap(one)(tape)

    return jax.device_get(run(env))


@pytest.mark.parametrize("law", ["bernoulli", "uniform"])
def test_costs_follow_their_law(law):
    """10^5 rounds; means, and squares, to within five standard deviations (of at most 1/2)."""
    rounds = 100_000
    means = np.append(MEANS[0, :-2], [0.0, 1.0]).astype(np.float32)
    costs = played(ShortestPath(DAG, means, law=law), rounds)[0].astype(np.float64)
    assert np.all(costs[:, -2:] == [0, 1]) and costs.min() >= 0 and costs.max() <= 1
    allowed = 5 * 0.5 / math.sqrt(rounds)
    np.testing.assert_allclose(costs.mean(axis=0), means, atol=allowed)
    half_width = np.minimum(means, 1 - means)
    variance = means * (1 - means) if law == "bernoulli" else half_width**2 / 3
    squares = variance + means.astype(np.float64) ** 2
    np.testing.assert_allclose((costs**2).mean(axis=0), squares, atol=allowed)
    if law == "bernoulli":
        assert set(np.unique(costs)) == {0, 1}
    else:
        assert np.all(np.abs(costs - means) <= half_width + 1e-6)


def test_rounds_have_one_value_of_each_attribute_and_its_means():
    """10^5 rounds; five standard deviations."""
    rounds = 100_000
    costs, active = played(ShortestPath(DAG, MEANS, "uniform", ATTRIBUTES), rounds)
    assert active.shape == (rounds, 5) and active.dtype == bool
    assert np.all(active[:, :2].sum(axis=1) == 1) and np.all(active[:, 2:4].sum(axis=1) == 1)
    assert np.all(active[:, 4])
    shares = np.array([0.25, 0.75, 0.4, 0.6])
    np.testing.assert_allclose(active[:, :4].mean(axis=0), shares, atol=5 * 0.5 / math.sqrt(rounds))
    for i in range(2):
        for j in range(2):
            both = active[:, i] & active[:, 2 + j]
            share = shares[i] * shares[2 + j]
            assert abs(both.mean() - share) < 5 * 0.5 / math.sqrt(rounds)  # independent
            expected = (MEANS[i].astype(np.float64) + MEANS[2 + j]) / 2
            allowed = 5 * 0.5 / math.sqrt(both.sum())
            np.testing.assert_allclose(costs[both].mean(axis=0), expected, atol=allowed)


@flax.struct.dataclass
class Logged(ShortestPath):
    """`ShortestPath` that reports the accounts of every group."""

    def evaluate(self, state, recommendation):
        with jax.enable_x64(True):
            sums = {"paid": state.paid.astype(jnp.float32)}
            sums["costs"] = state.costs.astype(jnp.float32)
        return super().evaluate(state, recommendation) | sums


def test_drawn_groups_keep_accounts_of_their_own():
    """From the accounts themselves, which the test above has seen to be of the right rounds: costs
    are 0 or 1, so that sums over 400 rounds are exact."""
    env = Logged(DAG, MEANS, "bernoulli", ATTRIBUTES)
    trace = simulate(env, Calendar(PATHS), 400, 3, checkpoints=[400], progress=False)
    paid, costs = (trace.metrics[name][0].astype(np.float64) for name in ("paid", "costs"))
    np.testing.assert_array_equal(paid[:, 0] + paid[:, 1], paid[:, 4])
    np.testing.assert_array_equal(paid[:, 2] + paid[:, 3], trace.metrics["cost"][0])
    np.testing.assert_array_equal(costs[:, 0] + costs[:, 1], costs[:, 4])
    least = np.min(costs @ PATHS.T.astype(np.float64), axis=-1)
    np.testing.assert_array_equal(trace.metrics["group_regret"][0], paid - least)


def test_a_copy_for_every_group_pays_where_groups_want_different_paths():
    """Two kinds of round, in random order, with best paths that cost nothing, have no edge in
    common and cost 1 in the other kind. What a path costs in both kinds together is at least 1, so
    one leader, who does not know which kind is next, pays T / 2 at least in expectation. A copy for
    each kind loses no more on it than its theorem says, and AdaNormalHedge's theorem on top."""
    horizon, seeds = 8000, 4
    first, second = PATHS[0], PATHS[-1]
    assert first @ second == 0 and first.sum() == second.sum() == 4
    kind = np.random.default_rng(5).random(horizon) < 0.5
    table = np.where(kind[:, None], 1 - first, 1 - second) / 4
    env = ShortestPathTable(DAG, table, np.stack([kind, ~kind], axis=1))
    spread, norm, apart = 1.0, 12 / 4, 8  # R, A and D
    epsilon = math.sqrt(apart / (spread * norm * horizon))
    learner, ends = FTPL(), {"checkpoints": [horizon], "progress": False}
    one = simulate(env, learner, horizon, seeds, **ends).metrics["group_regret"][0]
    each = simulate(env, Groups(learner, AdaNormalHedge()), horizon, seeds, **ends)
    each = each.metrics["group_regret"][0]
    assert np.all(one[:, :2].sum(axis=1) > 0.4 * horizon)  # 0.5 T, at a deviation of sqrt(T) / 2
    rounds = max(kind.sum(), horizon - kind.sum())
    copy = epsilon * spread * norm * rounds + apart / epsilon
    experts = math.sqrt(3 * rounds * math.log(3 * (1 + 1.5 * (1 + math.log(1 + rounds)))))
    assert 2 * (copy + experts) < 0.4 * horizon
    assert np.all(each[:, :2] < copy + experts)


@pytest.mark.parametrize(
    "env",
    [
        ShortestPathTable(DAG, TABLE),
        ShortestPathTable(DAG, TABLE, ACTIVE),
        ShortestPath(DAG, MEANS[0], "uniform"),
        ShortestPath(DAG, MEANS, attributes=ATTRIBUTES),
    ],
    ids=["table", "table with groups", "drawn", "drawn with groups"],
)
def test_conformance(env):
    """Parameters are NumPy arrays that survive JAX; a round keeps shapes and dtypes; a stack plays
    as its members do; a seed is the same in any batch."""
    leaves, structure = jax.tree.flatten(env)
    assert leaves and all(isinstance(x, np.ndarray) for x in leaves)
    again = jax.tree.leaves(jax.tree.unflatten(structure, leaves))
    for x, y in zip(leaves, again, strict=True):
        assert x.dtype == y.dtype and np.array_equal(x, y)

    state = jax.eval_shape(env.init, KEY)
    draw = jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], env.noise(KEY, 4)))
    path = jax.ShapeDtypeStruct((EDGES,), jnp.float32)
    after, feedback, metrics = jax.eval_shape(env.step, state, path, draw)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert feedback.coefficients.shape == (EDGES,) and metrics["cost"].shape == ()
    tape = jax.eval_shape(lambda: env.noise(KEY, 4))
    assert all(x.shape[0] == 4 for x in jax.tree.leaves(tape))

    half = jax.tree.map(lambda x: x if x.dtype == bool else x / 2, env)
    ends = {"checkpoints": [60], "progress": False}
    alone = [simulate(one, FTPL(epsilon=0.1), 60, range(3, 6), **ends) for one in (env, half)]
    both = simulate(stack([env, half]), FTPL(epsilon=0.1), 60, 9, **ends)
    for i, one in enumerate(alone):
        for name, x in one.metrics.items():
            np.testing.assert_allclose(both.metrics[name][i][:, 3:6], x, rtol=1e-5, atol=1e-5)


def test_what_learners_are_told():
    env = ShortestPath(DAG, MEANS, attributes=ATTRIBUTES)
    assert env.domain == DAG and env.num_groups == 5
    assert env.cost_norm == 12 and env.cost_range == 4
    assert ShortestPath(graphs.parallel(3), [0.1] * 3).cost_range == 1
    fork = graphs.Dag([("s", "a"), ("a", "b"), ("b", "t"), ("b", "t")], "s", "t")
    assert ShortestPath(fork, [0.1] * 4).cost_range == 2  # l1 distance of its two paths
    assert ShortestPathTable(DAG, TABLE, ACTIVE).num_groups == 3
    quarter = np.full(12, 0.25)
    for env in (ShortestPathTable(DAG, quarter[None]), ShortestPath(DAG, quarter / 2, "uniform")):
        assert env.cost_norm == 3 and env.cost_range == 1
    assert ShortestPathTable(DAG, 0 * TABLE).cost_norm > 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ShortestPath(DAG, 0.5), r"means is an array of numbers \[E\], got shape \[\]"),
        (lambda: ShortestPath(DAG, [0.5, 0.5]), "2 entries a row, and Dag.* has 12"),
        (lambda: ShortestPath(DAG, np.full(12, -0.1)), r"lie in \[0, 1\].*means\[0\] = -0.1"),
        (lambda: ShortestPath(DAG, np.full(12, 0.5), "normal"), "law is"),
        (lambda: ShortestPath(DAG, MEANS[0], attributes=((1.0,),)), r"\[G - 1, E\]"),
        (lambda: ShortestPath(DAG, MEANS, attributes=((0.5, 0.5),)), "2 values, means are of 4"),
        (lambda: ShortestPath(DAG, MEANS, attributes=((0.5, 0.6), (0.5, 0.5))), "probabilities"),
        (lambda: ShortestPath(DAG, MEANS, attributes=(0.5, 0.5)), "probabilities"),
        (lambda: ShortestPath(DAG, MEANS, attributes=((1.5, -0.5), (1, 0))), "probabilities"),
        (lambda: ShortestPathTable(DAG, TABLE[0]), r"table is an array of numbers \[R, E\]"),
        (lambda: ShortestPathTable(DAG, TABLE[:0]), r"got shape \[0, 12\]"),
        (lambda: ShortestPathTable(DAG, TABLE + 1), r"table\[0, 0\] = 1\."),
        (lambda: ShortestPathTable(DAG, np.full((3, 12), np.nan)), r"table\[0, 0\] = nan"),
        (lambda: ShortestPathTable(DAG, TABLE, ACTIVE[:9]), r"\[R, n\] bool.*50 rounds"),
        (lambda: ShortestPathTable(DAG, TABLE, ACTIVE * 1), r"got int64 of shape \[50, 2\]"),
    ],
)
def test_bad_parameters_are_refused_when_made(make, said):
    with pytest.raises(ValueError, match=said):
        make()
