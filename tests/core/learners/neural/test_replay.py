"""Training on the history, against the published algorithm in float64, one step at a time."""

import dataclasses
import functools
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.neural import ReplayNetwork
from regrax.core.learners.reductions import Greedy
from regrax.core.protocol import Context, complete

from . import reference_neural as reference
from .reference_neural import KEY, D, K

T = 240
BASE = ReplayNetwork(
    hidden=(8,), learning_rate=0.05, turn=100, early=5, late=30, steps=150, tolerance=0.01
)
CASES = {
    "square, disjoint": (BASE, True),
    "square, shared, two layers": (
        dataclasses.replace(BASE, hidden=(6, 4), of="rewards", tolerance=0.006),
        False,
    ),
    "kl, disjoint": (
        dataclasses.replace(BASE, loss="kl", learning_rate=0.2, tolerance=0.015),
        True,
    ),
    "kl, shared, rewards": (
        dataclasses.replace(BASE, loss="kl", of="rewards", learning_rate=0.2, tolerance=0.02),
        False,
    ),
    "weight decay, disjoint": (
        dataclasses.replace(BASE, weight_decay=0.02, tolerance=0.015),
        True,
    ),
    "weight decay, shared, two layers": (
        dataclasses.replace(BASE, hidden=(6, 4), weight_decay=0.02, tolerance=0.015),
        False,
    ),
}
every_case = pytest.mark.parametrize("case", CASES)


@functools.cache
def run(case):
    """The learner, what it met and played, and its states."""
    network, disjoint = CASES[case]
    learner = reference.fitted(Greedy(network, epsilon=0.2), disjoint, T)
    contexts, rewards = reference.table(T, disjoint)
    arms, tape, states = reference.play(learner, contexts, rewards)
    return learner, contexts, rewards, np.asarray(arms), np.asarray(tape), jax.device_get(states)


@functools.cache
def replayed(case):
    """The reference on the same rounds: itself, and its weights before each round and after all."""
    learner, contexts, rewards, arms, _, states = run(case)
    network, first = learner.regressor, reference.at(states, 0)
    other = reference.Replay(network, reference.layers(first.weights))
    key = jax.random.wrap_key_data(jax.random.key_data(first.key))

    def words(rounds):
        return np.asarray(noise.bits(noise.stream(key, rounds), (network.steps,)))

    path = [other.network]
    for t, (context, arm) in enumerate(zip(contexts, arms, strict=True)):
        reward = float(rewards[t, arm])
        y = 1 - reward if network.of == "losses" else reward
        other.learn(reference.inputs(context)[arm], y, words)
        path.append(other.network)
    return other, path


@every_case
def test_weights_are_those_of_the_reference(case):
    """After every training of a run. Each step rounds a weight once, and its gradient's error is
    small against the weight: errors add up to one rounding a step at most, unless the training
    amplified them. It does not: the network is small and the steps are."""
    _, _, _, _, _, states = run(case)
    other, path = replayed(case)
    steps = sum(taken for _, taken, _ in other.trainings)
    tolerance = steps * reference.HALF_ULP * np.abs(path).max()
    weights = [reference.flat(reference.layers(reference.at(states.weights, t)))
               for t in range(T + 1)]  # fmt: skip
    np.testing.assert_allclose(weights, path, rtol=0, atol=tolerance)
    assert np.abs(path[-1] - path[0]).max() > 100 * tolerance
    # Both ends of a training came up: after a good pass, and when there were enough steps.
    ends = [early for _, _, early in other.trainings]
    assert min(sum(ends), len(ends) - sum(ends)) >= 3


@every_case
def test_predictions_and_arms_are_those_of_the_reference(case):
    learner, contexts, _, arms, tape, states = run(case)
    other, path = replayed(case)
    network = learner.regressor
    ours = jit(jax.vmap(lambda s, x: network.predict(s, Context(x))))(
        reference.at(states, slice(0, T)), contexts
    )
    steps = sum(taken for _, taken, _ in other.trainings)
    explored = 0
    for t, context in enumerate(contexts):
        dense = reference.unflat(path[t], other.shapes)
        rows = reference.inputs(context)
        z = np.array([reference.output(dense, x) for x in rows])
        z = reference.sigmoid(z) if network.loss == "kl" else z
        expected = 1 - z if network.of == "losses" else z
        # An error of every weight as in the test above, times the slopes of the output.
        slopes = max(np.abs(reference.gradient(dense, x)).sum() for x in rows)
        tolerance = (steps * np.abs(path).max() * slopes + 8) * reference.HALF_ULP
        np.testing.assert_allclose(ours[t], expected, rtol=0, atol=tolerance)
        if tape[t, 0] < 0.2:
            explored += 1
        else:
            assert expected[arms[t]] > expected.max() - 2 * tolerance
    assert 20 < explored < 80
    assert len(set(arms)) == K


@every_case
def test_trains_exactly_when_the_schedule_says(case):
    _, _, _, _, _, states = run(case)
    after = [np.asarray(x) for x in jax.tree.leaves(states.weights)]
    changed = [any(np.any(x[t + 1] != x[t]) for x in after) for t in range(T)]
    expected = [t % 5 == 0 if t < 100 else t % 30 == 0 for t in range(T)]
    assert changed == expected
    other, _ = replayed(case)
    assert [t for t, _, _ in other.trainings] == list(np.flatnonzero(expected))


@every_case
def test_the_history_holds_what_was_played(case):
    learner, contexts, rewards, arms, _, states = run(case)
    disjoint = CASES[case][1]
    rounds = np.arange(T)
    for t in (0, 1, 137, T):
        state = reference.at(states, t)
        assert state.rounds == t
        history = state.history
        shown = contexts if disjoint else contexts[rounds, arms]
        played = rewards[rounds, arms]
        y = 1 - played if learner.regressor.of == "losses" else played
        blocks = arms if disjoint else np.zeros(T)
        for kept, all_of in zip(history[:3], (shown, blocks, y), strict=True):
            np.testing.assert_array_equal(kept[:t], all_of[:t])
            assert np.all(kept[t:] == 0)
    other, _ = replayed(case)
    trained = other.trainings[-1][0]
    assert trained < T - 1  # later rounds are appended in their order
    order = np.asarray(states.history.order[-1])
    np.testing.assert_array_equal(order, other.order)


@jit
def orders(network, keys, features):
    """The orders [N, T + 1, T] of runs with other keys, all rounds alike."""

    def one(key):
        def step(state, x):
            state = network.update(state, Context(x), jnp.int32(0), jnp.float32(0.5))
            return state, state.history.order

        first = network.init(key)
        return jnp.concatenate([first.history.order[None], jax.lax.scan(step, first, features)[1]])

    return jax.lax.map(one, keys)


def streams(number, name="orders"):
    return jax.vmap(lambda i: noise.stream(noise.stream(KEY, name), i))(jnp.arange(number))


@settings(max_examples=12)
@given(seed=st.integers(0, 2**31 - 1), steps=st.sampled_from([3, 40]))
def test_the_order_is_always_a_permutation(seed, steps):
    """Of the rounds so far, and then of the rest, which are in their places; also where trainings
    are shorter than a pass."""
    network = dataclasses.replace(BASE, hidden=(2,), turn=9, early=2, late=4, steps=steps)
    network = reference.fitted(network, True, 25)
    paths = orders(network, streams(1, seed), jnp.ones((25, D)))[0]
    for t, order in enumerate(np.asarray(paths)):
        np.testing.assert_array_equal(np.sort(order[:t]), np.arange(t))
        np.testing.assert_array_equal(order[t:], np.arange(t, 25))


def counts(codes, cells):
    return np.bincount(codes, minlength=cells)


def is_uniform(observed, alarms=1e-6):
    """No chi-square test at this level says that the cells are not equally likely."""
    return stats.chisquare(observed).pvalue > alarms


def test_orders_are_uniform_and_independent():
    """Of the pairs of orders after the third and the fourth round all 6 * 24 are as likely."""
    network = dataclasses.replace(BASE, hidden=(1,), early=1, steps=4, learning_rate=0.0)
    network = reference.fitted(network, True, 4)
    paths = np.asarray(orders(network, streams(30_000), jnp.ones((4, D))))
    third, fourth = paths[:, 3, :3] @ [9, 3, 1], paths[:, 4] @ [64, 16, 4, 1]
    third, fourth = (np.unique(x, return_inverse=True)[1] for x in (third, fourth))
    assert (third.max(), fourth.max()) == (5, 23)
    assert is_uniform(counts(24 * third + fourth, 144))
    # The test does tell: orders of consecutive trainings of one run against themselves.
    assert not is_uniform(counts(24 * third + third, 144))


def test_a_training_shorter_than_a_pass_takes_a_uniform_sample():
    """Two steps in six rounds: 30 ordered pairs."""
    network = dataclasses.replace(BASE, hidden=(1,), early=1, steps=2, learning_rate=0.0)
    network = reference.fitted(network, True, 6)
    paths = np.asarray(orders(network, streams(30_000), jnp.ones((6, D))))
    pairs = np.unique(paths[:, 6, :2] @ [6, 1], return_inverse=True)[1]
    assert pairs.max() == 29
    assert is_uniform(counts(pairs, 30))


def test_steps_of_no_length_change_nothing():
    network = reference.fitted(dataclasses.replace(BASE, learning_rate=0.0), True, T)
    contexts, rewards = reference.table(T, True)
    _, _, states = reference.play(Greedy(network), contexts, rewards)
    for path in jax.tree.leaves(states.weights):
        np.testing.assert_array_equal(path[-1], path[0])


@pytest.mark.parametrize("decay", [1.0, 9.0])
def test_weights_decay_to_nothing_and_no_further(decay):
    """A training of 2000 steps leaves 0.9^2000 of the weights of arms that were not played, and
    even less: zero in float32. Those of the arm that was end where the reference's do."""
    network = dataclasses.replace(BASE, learning_rate=0.1, weight_decay=decay, steps=2000)
    network = reference.fitted(dataclasses.replace(network, tolerance=0.0), True, 30)
    state = network.init(KEY)
    other = reference.Replay(network, reference.layers(state.weights))
    x = np.full(D, 1 / math.sqrt(D), np.float32)

    @jit
    def update(network, state):
        return network.update(state, Context(x), jnp.int32(1), jnp.float32(0.25))

    for _ in range(6):  # two trainings
        state = update(network, state)
        other.learn(reference.inputs(x)[1], 0.75, lambda n: np.zeros(2000, int))
    assert np.all(state.weights.blocks[:, [0, 2]] == 0)
    ours = reference.flat(reference.layers(state.weights))
    # The decay pulls towards a point: what a step rounds off is forgotten after 1 / 0.1 of them.
    np.testing.assert_allclose(ours, other.network, rtol=0, atol=40 * reference.HALF_ULP)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), decay=st.floats(1e-6, 9), rounds=st.integers(1, 12))
def test_decay_without_a_slope_is_a_power(seed, decay, rounds):
    """Weights of arms that the history does not know shrink by the same factor in every step."""
    network = dataclasses.replace(BASE, learning_rate=0.1, weight_decay=decay, tolerance=0.0)
    network = reference.fitted(network, True, 12)
    start, end = decayed(network, noise.stream(KEY, seed), jnp.int32(rounds))
    steps = 150 * (1 + (rounds - 1) // 5)
    rate = float(np.float32(0.1)) * float(np.float32(decay))
    factor = np.exp(steps * np.log1p(-rate))
    # The exponent is rounded relatively, and so is the result.
    error = (4 - 4 * steps * np.log1p(-rate)) * reference.HALF_ULP
    np.testing.assert_allclose(end, factor * np.asarray(start, float), rtol=error, atol=1e-37)


@jit
def decayed(network, key, rounds):
    """Weights of an arm that is never played, first and after some rounds."""
    state = network.init(key)

    def step(_, state):
        return network.update(state, Context(jnp.ones(D)), jnp.int32(0), jnp.float32(0.5))

    after = jax.lax.fori_loop(0, rounds, step, state)
    return state.weights.blocks[:, 2], after.weights.blocks[:, 2]


def test_a_horizon_that_is_too_small_is_an_error():
    env = SimpleNamespace(num_arms=K, dimension=D, disjoint=True)
    assert complete(BASE, env, 77).horizon == 77
    assert complete(dataclasses.replace(BASE, horizon=90), env, 77).horizon == 90
    message = r"ReplayNetwork\(horizon=50\) has no room for 77 rounds: leave horizon out"
    with pytest.raises(ValueError, match=message):
        complete(Greedy(dataclasses.replace(BASE, horizon=50)), env, 77)
    with pytest.raises(ValueError, match="ReplayNetwork does not know its horizon"):
        ReplayNetwork(K, D, True).init(KEY)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden": ()}, r"hidden holds the widths of layers, as \(100,\), got \(\)"),
        ({"hidden": (8, 0)}, "hidden holds the widths"),
        ({"hidden": 100}, "hidden holds the widths"),
        ({"loss": "log"}, "loss is one of 'square', 'kl', got 'log'"),
        ({"of": "costs"}, "of is one of 'losses', 'rewards', got 'costs'"),
        ({"learning_rate": -0.1}, "learning_rate is zero or more, got -0.1"),
        ({"tolerance": math.nan}, "tolerance is zero or more"),
        ({"weight_decay": -1.0}, "weight_decay is zero or more"),
        (
            {"learning_rate": 0.1, "weight_decay": 10.0},
            r"learning_rate \* weight_decay is less than 1, got 1:",
        ),
        ({"early": 0}, "early is a whole number from one, got 0"),
        ({"late": 2.5}, "late is a whole number from one, got 2.5"),
        ({"steps": 0}, "steps is a whole number from one, got 0"),
        ({"steps": 2.0}, "steps is a whole number from one, got 2.0"),
    ],
    ids=str,
)
def test_errors_say_what_was_wrong(wrong, message):
    with pytest.raises(ValueError, match=f"ReplayNetwork: {message}"):
        ReplayNetwork(**wrong)
    assert ReplayNetwork(hidden=[8, 4]).hidden == (8, 4)
