"""LSVI-UCB: exact regrets, a reference from the whole history, what the theory promises."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core.compiled import jit
from regrax.core.learners.mdp import statistics as least_squares
from regrax.core.learners.mdp.lsvi import LSVIUCB
from regrax.core.mdp import Trajectory
from regrax.core.protocol import complete
from regrax.envs.linear_mdp import tabular
from regrax.envs.mdp_instances import deep_sea, random_low_rank
from regrax.envs.mdp_values import optimal_values

from . import reference_lsvi as reference
from .histories import Recorded, before, counted, features_of, record, record_seeds, tuples

LOW_RANK = random_low_rank(6, 3, 4, 5, seed=1)


@jit
def values_of(learner, states):
    return jax.vmap(learner.values)(states)


def values_in(history, learner):
    """Q before every episode, [K, H, S, A] float64."""
    rounded = np.asarray(learner.features, np.float32)
    with jax.enable_x64(True):
        return jax.device_get(values_of(learner.replace(features=rounded), history.states))


@pytest.mark.parametrize(
    ("size", "episodes", "totals", "first"),
    [
        (4, 60, ("38.767500", "39.762500", "40.760000"), (39, 40, 41)),
        (6, 400, ("145.203333", "154.173", "158.157"), None),
    ],
)
def test_regrets_of_deep_sea_are_exact(size, episodes, totals, first):
    """Of bonuses 0.1, 0.3 and 1 with one-hot features of every stage, ridge 1: nothing is random,
    and two other implementations found these sums, of which the printed digits are meant."""
    learners = rx.stack([LSVIUCB(bonus) for bonus in (0.1, 0.3, 1.0)])
    every = range(1, episodes + 1)
    trace = rx.simulate(deep_sea(size), learners, episodes, 1, checkpoints=every, progress=False)
    sums = trace.metrics["regret"][..., 0]
    for total, expected in zip(sums[:, -1], totals, strict=True):
        digits = len(expected.split(".")[1])
        assert total == pytest.approx(float(expected), abs=0.5 * 10**-digits + 1e-6)
    if first is not None:
        best = np.diff(sums, axis=-1, prepend=0) == 0
        assert [int(np.argmax(row)) for row in best] == list(first)
        assert all(np.all(row[start:]) for row, start in zip(best, first, strict=True))


@pytest.mark.parametrize("bonus", [0.0, 0.25, 2.0])
def test_values_and_play_are_those_of_a_reference(bonus):
    """Which solves every regression anew, from the list of all transitions."""
    learner = complete(LSVIUCB(bonus, ridge=0.5), LOW_RANK, 60)
    history = record(LOW_RANK, learner, 60)
    values = values_in(history, learner)
    for k in (0, 1, 2, 5, 20, 59):
        expected = reference.lsvi_ucb(
            features_of(LOW_RANK), before(history.trajectories, k), 5, 0.5, bonus
        )
        np.testing.assert_allclose(values[k], expected, rtol=1e-9, atol=1e-10)
        np.testing.assert_array_equal(history.policies.actions[k], reference.greedy(values[k]))
        assert history.policies.actions.dtype == np.int32
    assert len(np.unique(history.policies.actions, axis=0)) > 5


def test_one_hot_features_count_visits():
    """phi^T Lambda^-1 phi = 1 / (n + ridge), and a regression is a sum of targets over that."""
    rng = np.random.default_rng(0)
    env = tabular(rng.dirichlet(np.ones(3), (4, 3, 2)), rng.uniform(size=(4, 3, 2)), [1, 0, 0])
    learner = complete(LSVIUCB(0.75, ridge=0.5), env, 80)
    history = record(env, learner, 80)
    k = 60
    visits, rewards = counted(before(history.trajectories, k), env)
    n = visits.sum(axis=-1)
    np.testing.assert_allclose(history.states.widths[k], 1 / (n + 0.5), rtol=1e-12)
    values, after = np.empty((4, 3, 2)), np.zeros(3)
    for h in reversed(range(4)):
        values[h] = (rewards[h] + visits[h] @ after) / (n[h] + 0.5) + 0.75 / np.sqrt(n[h] + 0.5)
        values[h] = np.clip(values[h], 0, 4 - h)
        after = values[h].max(axis=-1)
    np.testing.assert_allclose(values_in(history, learner)[k], values, rtol=1e-9)


def test_values_are_optimistic_at_a_radius_that_is_proved():
    """One-hot features, ridge 1, a mean of n targets from 0 to H - h. Hoeffding bounds its error by
    H sqrt(L / (2 n)), and the ridge takes at most H / (n + 1) away; together no more than
    H (sqrt(L / 2) + 1) / sqrt(n + 1). With L = ln(H S A K / p) for all n up to K at once, Q >= Q*
    fails with probability p at most, a millionth here."""
    rng = np.random.default_rng(1)
    stages, states, episodes, seeds = 2, 3, 3000, 4
    moves = rng.dirichlet(np.ones(states), (stages, states, 2))
    env = tabular(moves, rng.uniform(size=(stages, states, 2)), [0.5, 0.25, 0.25], "coins")
    level = math.log(stages * states * 2 * episodes * seeds / 1e-6)
    learner = complete(LSVIUCB(stages * (math.sqrt(level / 2) + 1)), env, episodes)
    best = optimal_values(env.transitions, env.rewards)[0]
    for history in record_seeds(env, learner, episodes, range(seeds)):
        values = values_in(history, learner)
        assert np.all(values >= best - 1e-9)
        assert np.any(values < np.array([2, 1])[:, None, None])  # the bonus is not all there is


def test_values_are_optimistic_at_the_radius_of_the_theory():
    """beta = d H sqrt(ln(2 d K H / p)), with c = 1: far above what is needed."""
    d, stages, episodes = 4, 5, 40
    beta = d * stages * math.sqrt(math.log(2 * d * episodes * stages / 0.01))
    learner = complete(LSVIUCB(beta), LOW_RANK, episodes)
    history = record(LOW_RANK, learner, episodes)
    best = optimal_values(LOW_RANK.transitions, LOW_RANK.rewards)[0]
    assert np.all(values_in(history, learner) >= best)


def test_a_warm_start_is_the_same_episodes_played_before():
    """Statistics of counts are those of the episodes one after another; from there play goes on."""
    learner = LSVIUCB(0.5, ridge=0.25)
    history = record(LOW_RANK, learner, 40)
    data = Recorded(counted(before(history.trajectories, 30), LOW_RANK))
    warm = record(LOW_RANK, LSVIUCB(0.5, ridge=0.25, offline=data), 2)
    for name in least_squares.Statistics._fields:
        expected = getattr(history.states, name)[30]
        start = getattr(warm.states, name)[0]
        if name == "roots":
            start, expected = (np.swapaxes(x, -1, -2) @ x for x in (start, expected))
        assert start.dtype == np.float64 and np.any(expected != 0)
        # Rewards are told as sums in float32.
        tolerance = 1e-6 if name == "rewards" else 1e-10
        np.testing.assert_allclose(start, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(warm.policies.actions[0], history.policies.actions[30])


def test_counts_may_be_weighted():
    """Weights of pairs in the counts are weights of episodes one after another."""
    history = record(LOW_RANK, LSVIUCB(0.5), 25)
    weights = np.random.default_rng(2).uniform(0.1, 2, (5, 6, 3))
    features, counts = features_of(LOW_RANK), counted(history.trajectories, LOW_RANK)
    with jax.enable_x64(True):
        arrays = jnp.asarray(features), 0.3, counts, jnp.asarray(weights)
        got = jax.device_get(least_squares.from_counts(*arrays))
    for h in range(5):
        seen = tuples(history.trajectories, h)
        own = [weights[h, s, a] for s, a, _, _ in seen]
        matrix, _ = reference.normal_equations(features, seen, np.zeros(6), 0.3, own)
        np.testing.assert_allclose(
            got.roots[h].T @ got.roots[h], np.linalg.inv(matrix), rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(got.widths[h], reference.widths(features, matrix), rtol=1e-9)
        growth = np.linalg.slogdet(matrix)[1] - 4 * math.log(0.3)
        assert got.log_growth[h] == pytest.approx(growth, rel=1e-9)
        values = np.random.default_rng(h).uniform(size=6)
        target = reference.normal_equations(features, seen, values, 0.3, own)[1]
        np.testing.assert_allclose(
            got.rewards[h] + values @ got.successors[h], target, rtol=1e-6, atol=1e-6
        )


def test_rounding_does_not_pile_up():
    """After 100,000 episodes of features that are nearly collinear, with a small ridge, roots,
    widths and determinants are those of a new factorisation."""
    episodes, ridge = 100_000, 0.01
    rng = np.random.default_rng(3)
    features = 0.5 + 0.01 * rng.normal(size=(4, 2, 5))
    features[0, 0] = features[0, 1]
    states, actions = rng.integers(4, size=(episodes, 2)), rng.integers(2, size=(episodes, 1))
    weights = rng.uniform(0.5, 1.5, (episodes, 1))

    @jax.jit
    def run(features, states, actions, weights):
        flat = features.reshape(-1, 5)
        identity = jnp.eye(5, dtype=jnp.float64)
        first = least_squares.Statistics(
            (identity / math.sqrt(ridge))[None],
            jnp.sum(features * features, axis=-1)[None] / ridge,
            jnp.zeros((1, 5), jnp.float64),
            jnp.zeros((1, 4, 5), jnp.float64),
            jnp.zeros(1, jnp.float64),
        )
        assert flat.dtype == jnp.float64

        def episode(state, row):
            states, actions, weights = row
            trajectory = Trajectory(states, actions, jnp.ones(1))
            return least_squares.learn(state, features, trajectory, weights), None

        return jax.lax.scan(episode, first, (states, actions, weights))[0]

    with jax.enable_x64(True):
        end = jax.device_get(run(*map(jnp.asarray, (features, states, actions, weights))))
    x = features[states[:, 0], actions[:, 0]]
    gram = ridge * np.eye(5) + x.T @ (weights * x)
    inverse = np.linalg.inv(gram)
    scale = np.linalg.cond(gram) * np.finfo(float).eps  # to which the inverse itself is known
    assert scale < 1e-8
    error = np.abs(end.roots[0].T @ end.roots[0] - inverse).max() / np.abs(inverse).max()
    assert error < 100 * scale
    np.testing.assert_allclose(end.widths[0], reference.widths(features, gram), rtol=1e-6)
    assert end.log_growth[0] == pytest.approx(
        np.linalg.slogdet(gram)[1] - 5 * math.log(ridge), rel=1e-10
    )


@pytest.mark.parametrize(("d", "spread"), [(1, 1.0), (3, 1e6), (20, 1e3)])
def test_inverse_root(d, spread):
    rng = np.random.default_rng(d)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    matrix = (basis * np.geomspace(1, spread, d)) @ basis.T
    with jax.enable_x64(True):
        got = jax.jit(least_squares.inverse_root)(jnp.asarray(matrix))
        root, log_det = jax.device_get(got)
    np.testing.assert_allclose(root.T @ root @ matrix, np.eye(d), atol=1e-15 * d * spread)
    assert log_det == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-10, abs=1e-10)
    assert np.all(np.triu(root, 1) == 0)


def test_ties_go_to_the_lowest_index():
    """Nothing is known at first, and a bonus above the number of stages makes all values equal."""
    history = record(LOW_RANK, LSVIUCB(1e3), 1)
    assert np.all(history.policies.actions[0] == 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bonus": -0.1}, r"LSVIUCB: bonus is zero or more, got -0\.1"),
        ({"bonus": np.nan}, "bonus is zero or more, got nan"),
        ({"ridge": 0.0}, r"ridge is positive, got 0\.0"),
    ],
)
def test_bad_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        LSVIUCB(**wrong)


def test_blanks_have_to_be_filled():
    with pytest.raises(ValueError, match="LSVIUCB does not know its stages"):
        LSVIUCB().init(None)
    with pytest.raises(ValueError, match="LSVIUCB does not know its features"):
        LSVIUCB(stages=3).init(None)
