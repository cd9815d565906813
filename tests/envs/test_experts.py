"""Prediction with expert advice: metrics by hand and by brute force, instances, checks."""

from __future__ import annotations

import math

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.domains import Simplex
from regrax.core.learners.convex import OGD, MirrorDescent
from regrax.core.learners.experts import AdaNormalHedge, Hedge
from regrax.core.losses import LinearLoss
from regrax.core.protocol import GroupContext
from regrax.core.simulate import NonFiniteMetric, simulate, stack
from regrax.envs import expert_instances as instances
from regrax.envs.experts import LossTable, StochasticExperts

from . import reference_expert_regret as reference

KEY = noise.root(0)


@jit
def play(env, weights):
    """What is reported after every round, with the sums of what `step` adds, and what was seen."""

    def one_round(state, row):
        now, draw = row
        state, totals = state
        seen = env.observe(state, draw)
        state, feedback, metrics = env.step(state, now, draw)
        totals = {name: totals[name] + x for name, x in metrics.items()}
        return (state, totals), (env.evaluate(state, now) | totals, feedback, seen)

    start = env.init(KEY), {"loss": jnp.float32(0), "dynamic_regret": jnp.float32(0)}
    tape = env.noise(KEY, len(weights))
    return jax.lax.scan(one_round, start, (weights, tape))[1]


def test_by_hand():
    """Always half and half: the play loses 1/2, 1/2, 1, 0 while expert 0 loses 0, 0, 1, 0 and
    expert 1 loses 1, 1, 1, 0."""
    env = LossTable([[0, 1], [0, 1], [1, 1], [0, 0]], num_switches=1)
    reports, feedback, seen = play(env, jnp.full((4, 2), 0.5))
    np.testing.assert_array_equal(reports["loss"], [0.5, 1, 2, 2])
    np.testing.assert_array_equal(reports["expert_regret"][-1], [1, -1])
    for name in ("regret", "dynamic_regret", "adaptive_regret", "shifting_regret"):
        np.testing.assert_array_equal(reports[name], [0.5, 1, 1, 1])
    np.testing.assert_array_equal(feedback.coefficients, env.table)
    assert seen == () and isinstance(feedback, LinearLoss)


def test_switches_and_intervals_by_hand():
    """The good expert changes after two rounds; played is always expert 0."""
    table = [[0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [0, 1]]
    corner = jnp.tile(jnp.array([1.0, 0.0]), (6, 1))
    regrets = {}
    for switches in (0, 1, 2):
        reports, *_ = play(LossTable(table, num_switches=switches), corner)
        regrets[switches] = reports["shifting_regret"]
        np.testing.assert_array_equal(reports["dynamic_regret"], [0, 0, 1, 2, 3, 3])
        np.testing.assert_array_equal(reports["adaptive_regret"], [0, 0, 1, 2, 3, 3])
        np.testing.assert_array_equal(reports["regret"], [0, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(regrets[0], [0, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(regrets[1], [0, 0, 1, 2, 3, 2])
    np.testing.assert_array_equal(regrets[2], [0, 0, 1, 2, 3, 3])
    assert "shifting_regret" not in play(LossTable(table), corner)[0]


def test_sleep_by_hand():
    """Each expert is judged over the rounds it was awake in; 1 gets all the weight that it may."""
    table, awake = [[0, 0.5], [0.25, 1], [0.5, 0]], [[1, 1], [1, 0], [0, 1]]
    env = LossTable(table, np.array(awake, bool))
    weights = jnp.array([[0.0, 1], [1, 0], [0, 1]])
    reports, _, seen = play(env, weights)
    np.testing.assert_array_equal(reports["loss"], [0.5, 0.75, 0.75])
    np.testing.assert_array_equal(reports["expert_regret"], [[0.5, 0], [0.5, 0], [0.5, 0]])
    np.testing.assert_array_equal(reports["dynamic_regret"], [0.5, 0.5, 0.5])
    assert isinstance(seen, GroupContext) and seen.features == ()
    np.testing.assert_array_equal(seen.active, np.array(awake, bool))


small = hnp.arrays(np.float32, (6, 3), elements=st.floats(0, 1, width=32))


@given(small, small, hnp.arrays(np.bool_, (6, 3)))
@settings(max_examples=60)
def test_metrics_agree_with_brute_force(table, shares, awake):
    """All intervals, and all sequences of three experts in six rounds; rounding of six rounds."""
    awake[:, 0] |= ~awake.any(axis=1)
    everybody = np.ones((6, 3), bool)
    for here, env in (
        (everybody, LossTable(table, num_switches=2)),
        (awake, LossTable(table, awake, num_switches=2)),
    ):
        weights = np.where(here, shares + np.float32(0.01), 0).astype(np.float64)
        weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        reports, *_ = play(env, weights)
        now = reference.rounds(weights, table, here)
        expected = {
            "loss": np.sum(weights.astype(np.float64) * table),
            "expert_regret": now.sum(axis=0),
            "regret": reference.regret(now),
            "dynamic_regret": reference.dynamic(weights, table, here),
            "adaptive_regret": max(reference.adaptive(now), 0),
            "shifting_regret": reference.shifting(now, 2),
        }
        assert reports.keys() == expected.keys()
        for name, exact in expected.items():
            np.testing.assert_allclose(reports[name][-1], exact, rtol=0, atol=6 * 3 * 2.0**-23)


@given(small, small)
@settings(max_examples=60)
def test_regrets_are_ordered(table, shares):
    """With more switches there is no less to regret, nor over the best interval, as the whole game
    is one; and nothing beats the best expert of every round, whom five switches can follow."""
    weights = (shares + np.float32(0.01)) / np.sum(shares + 0.01, axis=1, keepdims=True)
    weights = weights.astype(np.float32)
    by_switches = [
        play(LossTable(table, num_switches=m), weights)[0]["shifting_regret"][-1] for m in (0, 2, 5)
    ]
    reports = jax.tree.map(lambda x: x[-1], play(LossTable(table), weights)[0])
    assert by_switches[0] == reports["regret"]
    rising = [*by_switches[:2], reports["adaptive_regret"], reports["dynamic_regret"]]
    assert rising[0] <= rising[1] + 1e-6 and rising[0] <= rising[2] + 1e-6
    assert rising[1] <= rising[3] + 1e-6 and rising[2] <= rising[3] + 1e-6
    assert abs(by_switches[2] - reports["dynamic_regret"]) < 1e-5


def test_long_games_lose_no_digits():
    """The table is read again and again, 10^5 rounds in all, against float64."""
    table = np.random.default_rng(0).random((97, 3), np.float32)
    awake = np.random.default_rng(1).random((97, 3)) < 0.6
    awake[:, 1] = True
    env = LossTable(table, awake, num_switches=3)
    trace = simulate(env, AdaNormalHedge(), 10**5, 1, checkpoints=[10**5], progress=False)
    learner = AdaNormalHedge(3)

    @jax.jit
    def weights_of(table, awake):
        def one_round(state, row):
            seen = GroupContext((), row[1])
            weights = learner.act(state, seen, ())
            return learner.update(state, seen, weights, LinearLoss(row[0])), weights

        return jax.lax.scan(one_round, learner.init(KEY), (table, awake))[1]

    rows = np.arange(10**5) % 97
    weights = np.asarray(weights_of(table[rows], awake[rows]), np.float64)
    weights /= weights.sum(axis=1, keepdims=True)
    now = reference.rounds(weights, table[rows], awake[rows])
    metrics = {name: x[-1, 0] for name, x in trace.metrics.items()}
    atol = 10**5 * 2.0**-24  # rounding of the losses of the play, added up at worst
    np.testing.assert_allclose(metrics["expert_regret"], now.sum(axis=0), rtol=1e-6, atol=atol)
    np.testing.assert_allclose(metrics["loss"], np.sum(weights * table[rows]), rtol=1e-7, atol=atol)
    prefix = np.concatenate([np.zeros((1, 3)), now.cumsum(axis=0)])
    exact = np.max(prefix - np.minimum.accumulate(prefix, axis=0))
    np.testing.assert_allclose(metrics["adaptive_regret"], exact, rtol=1e-6, atol=atol)
    short = play(env, np.asarray(weights[:3000], np.float32))[0]["shifting_regret"][-1]
    exact = reference.shifting_long(now[:3000], 3)
    np.testing.assert_allclose(short, exact, rtol=1e-6, atol=3000 * 2.0**-24)


def test_losses_follow_their_law():
    """Ones with the means that were asked for, in no relation to one another."""
    env, n = StochasticExperts([0.2, 0.5, 0.9]), 40_000
    _, feedback, seen = play(env, jnp.full((n, 3), 1 / 3))
    losses = np.asarray(feedback.coefficients, np.float64)
    assert seen == () and set(np.unique(losses)) == {0, 1}
    means = np.asarray(env.means, np.float64)
    deviation = np.sqrt(means * (1 - means))
    assert np.all(np.abs(losses.mean(axis=0) - means) < 6 * deviation / np.sqrt(n))
    correlation = np.corrcoef(losses.T)[np.triu_indices(3, 1)]
    assert np.all(np.abs(correlation) < 6 / np.sqrt(n))
    after = np.corrcoef(losses[:-1, 1], losses[1:, 1])[0, 1]
    assert abs(after) < 6 / np.sqrt(n)


def test_stochastic_metrics_are_those_of_the_losses_as_they_fell():
    env = StochasticExperts([0.2, 0.5, 0.9], num_switches=2)
    weights = np.random.default_rng(0).dirichlet([1, 1, 1], 60).astype(np.float32)
    reports, feedback, _ = play(env, weights)
    again, *_ = play(LossTable(feedback.coefficients, num_switches=2), weights)
    for name, x in reports.items():
        np.testing.assert_array_equal(x, again[name])


def test_seeds_are_independent_games_and_learners_meet_the_same_losses():
    env = StochasticExperts([0.2, 0.5, 0.9])
    runs = [
        simulate(env, learner, 200, range(4), checkpoints=[200], progress=False).metrics
        for learner in (Hedge(), AdaNormalHedge())
    ]
    lost = [x["loss"][-1][:, None] - x["expert_regret"][-1] for x in runs]
    np.testing.assert_allclose(lost[0], lost[1], atol=1e-3)
    assert len(np.unique(np.round(lost[0][:, 1]))) > 1


def test_environments_stack_and_name_their_axes():
    tables = [np.eye(2), 1 - np.eye(2), np.full((2, 2), 0.5)]
    one = simulate(LossTable(tables[1]), Hedge(), 20, 2, checkpoints=[5, 20], progress=False)
    all_ = stack([LossTable(table) for table in tables])
    many = simulate(all_, Hedge(), 20, 2, checkpoints=[5, 20], progress=False)
    for name, x in one.metrics.items():
        np.testing.assert_allclose(many.metrics[name][1], x, rtol=1e-6)
    assert LossTable(tables[0]).metric_dims == {"expert_regret": ("expert",)}
    assert LossTable(tables[0]).domain == Simplex(2)


@flax.struct.dataclass
class Playing:
    """Plays the same, whatever happens."""

    action: object
    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return jnp.asarray(self.action)

    def update(self, state, observation, action, feedback):
        return ()

    def recommend(self, state):
        return jnp.asarray(self.action)


@pytest.mark.parametrize("action", [[0.5, 0.6], [0.5, 0.4], [0.0, 0.0], [0.0, 1.0]])
def test_what_are_no_weights_is_found_out(action):
    """Too much, too little, or on an expert that is asleep."""
    env = LossTable([[0.5, 0.5], [0.5, 0.5]], np.array([[True, True], [True, False]]))
    played = Playing(np.array(action, np.float32))
    with pytest.raises(NonFiniteMetric, match="after round"):
        simulate(env, played, 4, 2, progress=False)


@pytest.mark.parametrize("action", [1, [0.5, 0.25, 0.25]])
def test_arms_are_refused(action):
    with pytest.raises(ValueError, match="LossTable takes weights on its 2 experts.*FullInform"):
        simulate(LossTable(np.eye(2)), Playing(np.array(action)), 4, 2, progress=False)


def test_the_leader_killer_kills_the_leader():
    """Follow-the-leader, in NumPy, loses every round but the first; even weights regret 1/4."""
    for horizon in (50, 51):
        table = np.asarray(instances.leader_killer(horizon).table, np.float64)
        totals, lost = np.zeros(2), 0.0
        for t, losses in enumerate(table):
            leader = np.argmin(totals)
            assert t == 0 or totals[0] != totals[1]
            lost += losses[leader]
            totals += losses
        assert lost == horizon - 0.5
        assert table.mean(axis=1).sum() - totals.min() == 0.25
    wide = instances.leader_killer(5, num_arms=4).table
    np.testing.assert_array_equal(wide[:, 2:], 1)


def test_experts_take_turns():
    table = instances.taking_turns(3, 2).table
    np.testing.assert_array_equal(np.argmin(table, axis=1), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(table.sum(axis=1), np.full(6, 2))


def test_the_late_expert_is_best_in_the_end():
    table = instances.hidden_late(3, 10, 4).table
    np.testing.assert_array_equal(table.sum(axis=0), [5, 5, 4])
    assert np.all(table[:4, 2] == 1) and np.all(table[4:, 2] == 0)


def test_sleep_is_at_random():
    n = 20_000
    env = instances.sleeping_at_random(3, n, availability=0.4, seed=1)
    means = np.array([0.25, 0.5, 0.75])
    assert np.all(np.abs(env.table.mean(axis=0) - means) < 6 * 0.5 / math.sqrt(n))
    nobody = 0.6**3
    chance = 0.4 + nobody / 3
    assert np.all(np.abs(env.awake.mean(axis=0) - chance) < 6 * 0.5 / math.sqrt(n))
    assert env.awake.any(axis=1).all()
    again = instances.sleeping_at_random(3, n, availability=0.4, seed=1)
    np.testing.assert_array_equal(env.awake, again.awake)
    other = instances.sleeping_at_random(3, n, availability=0.4, seed=2)
    assert np.any(env.awake != other.awake)
    assert instances.sleeping_at_random(2, 50, availability=0).awake.sum(axis=1).max() == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LossTable([0.5, 0.6]), r"shape \[rounds, K\]"),
        (lambda: LossTable(np.zeros((0, 3))), "at least one"),
        (lambda: LossTable([["a", "b"]]), r"shape \[rounds, K\]"),
        (lambda: LossTable([[0.5, 0.5], [0.5, 1.5]]), r"table\[1, 1\] = 1.5"),
        (lambda: LossTable([[0.5, np.nan]]), r"table\[0, 1\] = nan"),
        (lambda: LossTable([[0.5, np.inf]]), r"table\[0, 1\] = inf"),
        (lambda: LossTable(np.eye(2), np.eye(3, dtype=bool)), r"awake.*\[2, 2\].*\[3, 3\]"),
        (lambda: LossTable(np.eye(2), np.eye(2)), "True or False.*float64"),
        (lambda: LossTable(np.eye(2), np.array([[True, False], [False, False]])), "row 1"),
        (lambda: LossTable(np.eye(2), num_switches=0.5), "num_switches is a whole number from 0"),
        (lambda: StochasticExperts([]), r"\[K\] numbers"),
        (lambda: StochasticExperts(0.5), r"\[K\] numbers"),
        (lambda: StochasticExperts([0.5, -0.1]), r"means\[1\] = -0.1"),
        (lambda: StochasticExperts([0.5], num_switches=-1), "num_switches"),
        (lambda: instances.leader_killer(0), "horizon"),
        (lambda: instances.leader_killer(5, 1), "num_arms"),
        (lambda: instances.taking_turns(3, 0), "segment"),
        (lambda: instances.hidden_late(3, 10, 11), "onset"),
        (lambda: instances.sleeping_at_random(3, 10, 1.5), "availability"),
    ],
)
def test_bad_parameters_are_refused_when_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_learners_of_points_play_experts_too():
    """What they need to know is there: entropic mirror descent is Hedge."""
    env = instances.taking_turns(3, 20)
    traces = [
        simulate(env, learner, 100, 8, checkpoints=[100], progress=False)
        for learner in (Hedge(), MirrorDescent(mirror="entropic", rate="fixed"), OGD())
    ]
    losses = [trace.metrics["loss"][-1] for trace in traces]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert np.all(traces[2].metrics["regret"] <= 1.5 * math.sqrt(2 * 3 * 100))
