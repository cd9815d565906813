"""Classification as a bandit: orders, what is counted, noise, and contexts in blocks."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.protocol import Context
from regrax.core.simulate import simulate
from regrax.envs.classification_data import Classification
from regrax.envs.contextual import ClassificationBandit, classification
from regrax.tests.envs.conformance import Scripted, check_environment, key, play, scripted_arms

N, K = 90, 4
LABELS = np.random.default_rng(2).integers(0, K, N)
ROWS = np.column_stack([np.arange(N), LABELS]).astype(np.float32)  # an example says which it is


class Player:
    """A learner without a memory; a subclass adds `act`."""

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def update(self, state, observation, arm, feedback):
        return state

    def recommend(self, state):
        return ()


@flax.struct.dataclass
class Uniform(Player):
    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def act(self, state, observation, noise):
        return (noise * self.num_arms).astype(jnp.int32)


@flax.struct.dataclass
class Oracle(Player):
    """Plays the class that stands in the second feature."""

    def act(self, state, observation, noise):
        return observation.features[1].astype(jnp.int32)


@jit
def _shown(env, seeds):
    def one(seed):
        state = env.init(noise.stream(key(seed), "init"))
        tape = env.noise(noise.stream(key(seed), "noise"), env.rounds)

        def round_(state, draw):
            context = env.observe(state, draw)
            return env.step(state, 0, draw)[0], context

        return jax.lax.scan(round_, state, tape)[1]

    return jax.vmap(one)(seeds)


def shown(env, seeds):
    """Which examples are shown to some seeds, in order: [seeds, rounds]."""
    context = _shown(env, jnp.asarray(seeds, jnp.uint32))
    assert isinstance(context, Context) and context.features.shape[2:] == (env.dimension,)
    rows = np.asarray(context.features)[..., 0].astype(int)
    np.testing.assert_array_equal(context.features, ROWS[rows])
    return rows


@pytest.mark.parametrize("order", ["random", "sorted"])
def test_conformance(order):
    check_environment(ClassificationBandit(ROWS, LABELS, right=0.7, wrong=0.2, order=order))


def test_every_example_is_shown_once_in_an_order_of_the_seed_s_own():
    rows = shown(ClassificationBandit(ROWS, LABELS), range(40))
    np.testing.assert_array_equal(np.sort(rows), np.tile(np.arange(N), (40, 1)))
    assert len(np.unique(rows, axis=0)) == 40
    np.testing.assert_array_equal(shown(ClassificationBandit(ROWS, LABELS), [7, 39]), rows[[7, 39]])


def test_fewer_rounds_are_the_first_of_all():
    env = ClassificationBandit(ROWS, LABELS, rounds=25)
    every = shown(ClassificationBandit(ROWS, LABELS), range(3))
    np.testing.assert_array_equal(shown(env, range(3)), every[:, :25])
    assert env.init(key(0)).order.shape == (25,)  # what was not drawn is not kept
    assert env.most_rounds == 25
    with pytest.raises(
        ValueError, match="ClassificationBandit ends after 25 rounds, horizon is 26"
    ):
        simulate(env, Scripted(), 26, 2, progress=False)


def test_classes_one_after_another():
    """The examples that a seed draws, class by class, each class in the order they were drawn."""
    drawn = shown(ClassificationBandit(ROWS, LABELS, rounds=25), range(3))
    found = shown(ClassificationBandit(ROWS, LABELS, rounds=25, order="sorted"), range(3))
    expected = [np.concatenate([row[LABELS[row] == k] for k in range(K)]) for row in drawn]
    np.testing.assert_array_equal(found, expected)


def test_a_seed_plays_alike_in_any_batch():
    env = ClassificationBandit(ROWS, LABELS, right=0.8, wrong=0.3)
    runs = [simulate(env, Uniform(), N, seeds, progress=False) for seeds in (range(9), [6, 2])]
    for name, x in runs[0].metrics.items():
        np.testing.assert_array_equal(x[:, [6, 2]], runs[1].metrics[name])
        assert x[-1].std() > 0 or name == "best_loss"


def test_mistakes_are_counted():
    played = play(ClassificationBandit(ROWS, LABELS), N)
    rows = shown(ClassificationBandit(ROWS, LABELS), range(3))
    mistakes = scripted_arms(K, N) != LABELS[rows]
    assert played.metrics["mistakes"].dtype == np.int32
    np.testing.assert_array_equal(played.metrics["mistakes"], mistakes)
    np.testing.assert_array_equal(played.metrics["regret"], mistakes)
    np.testing.assert_array_equal(played.metrics["reward"], ~mistakes)
    np.testing.assert_array_equal(played.feedback.reward, ~mistakes)
    assert not played.metrics["best_loss"].any()


def test_rewards_are_drawn_with_the_chances_given():
    rounds, right, wrong = 20_000, 0.8, 0.05
    labels = np.arange(rounds) % K
    env = ClassificationBandit(np.ones((rounds, 1)), labels, right=right, wrong=wrong)
    played = play(env, rounds, 1)
    mistakes = played.metrics["mistakes"][0] == 1
    reward = played.feedback.reward[0].astype(float)
    assert set(np.unique(reward)) == {0, 1}
    np.testing.assert_array_equal(played.metrics["reward"][0], reward)
    np.testing.assert_allclose(played.metrics["regret"][0], mistakes * 0.75, rtol=1e-6)
    # Means of n draws: beyond 5.5 standard errors with probability 4e-8.
    for chance, among in ((right, ~mistakes), (wrong, mistakes)):
        error = np.sqrt(chance * (1 - chance) / among.sum())
        assert among.sum() > 4000 and abs(reward[among].mean() - chance) < 5.5 * error
    # No memory: the rewards of two rounds that follow each other are not correlated.
    rest = reward - np.where(mistakes, wrong, right)
    product = rest[1:] * rest[:-1]
    assert abs(product.mean()) < 5.5 * product.std() / np.sqrt(rounds)


def test_the_best_policy_loses_what_best_loss_says():
    env, seeds = ClassificationBandit(ROWS, LABELS, right=0.7, wrong=0.2), 200
    metrics = simulate(env, Oracle(), N, seeds, progress=False).metrics
    np.testing.assert_array_equal(metrics["mistakes"], 0)
    np.testing.assert_array_equal(metrics["regret"], 0)
    np.testing.assert_allclose(metrics["best_loss"][-1], 0.3 * N, rtol=1e-6)
    lost = N - metrics["reward"][-1]
    assert abs(lost.mean() - 0.3 * N) < 5.5 * np.sqrt(N * 0.7 * 0.3 / seeds)


def test_chances_stack():
    base = ClassificationBandit(ROWS, LABELS)
    members = [
        dataclasses.replace(base, right=right, wrong=wrong) for right, wrong in ((1, 0), (0.9, 0.3))
    ]
    together = simulate(rx.stack(members), Uniform(), N, 3, progress=False).metrics
    for i, member in enumerate(members):
        alone = simulate(member, Uniform(), N, 3, progress=False).metrics
        for name, x in alone.items():
            np.testing.assert_array_equal(together[name][i], x)


def test_random_play_on_digits():
    """One class in ten is right by chance: 0.9 T mistakes."""
    pytest.importorskip("sklearn")
    rounds, seeds = 1797, 100
    env = classification("digits")
    metrics = simulate(env, Uniform(), rounds, seeds, progress=False).metrics
    mistakes = metrics["mistakes"][-1]
    np.testing.assert_array_equal(metrics["regret"][-1], mistakes)
    error = np.sqrt(rounds * 0.9 * 0.1 / seeds)
    assert abs(mistakes.mean() - 0.9 * rounds) < 5.5 * error
    assert 0.5 < mistakes.std() / np.sqrt(rounds * 0.9 * 0.1) < 1.6


def test_the_bandit_of_a_set():
    data = Classification(ROWS, LABELS.astype(np.int32), (*"abcd", "never seen"), "mine")
    env = classification(data, 30, right=0.9, wrong=0.1, order="sorted")
    assert (env.num_arms, env.dimension, env.most_rounds, env.disjoint) == (5, 2, 30, True)
    assert (env.right, env.wrong, env.order) == (np.float32(0.9), np.float32(0.1), "sorted")
    assert repr(env) == (
        "ClassificationBandit(90 examples, 2 features, 5 classes, rounds=30, right=0.9, wrong=0.1, "
        "order='sorted')"
    )
    assert ClassificationBandit(ROWS, LABELS).num_arms == K


def test_the_table_stays_on_its_device():
    """Else it would go there again with every chunk of a run."""
    env = jax.device_put(ClassificationBandit(ROWS, LABELS))
    assert isinstance(env.features, jax.Array) and isinstance(env.labels, jax.Array)


TABLE = ClassificationBandit(ROWS, LABELS)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ClassificationBandit(ROWS[:, 0], LABELS), r"features \[N, d\] and labels \[N\]"),
        (lambda: ClassificationBandit(ROWS[1:], LABELS), r"got \(89, 2\) and \(90,\)"),
        (lambda: ClassificationBandit(ROWS[:0], LABELS[:0]), "neither empty"),
        (lambda: ClassificationBandit([["red"]], [0]), "arrays of numbers"),
        (lambda: ClassificationBandit([[1, np.inf]], [0]), r"finite, got inf at \[0, 1\]"),
        (lambda: ClassificationBandit(ROWS, LABELS + 0.5), "labels are whole numbers, got float64"),
        (lambda: ClassificationBandit(ROWS, LABELS - 1), "from 0 to 2, got -1 to 2"),
        (lambda: ClassificationBandit(ROWS, LABELS, 3), "of 3 classes are .* got 0 to 3"),
        (lambda: ClassificationBandit(ROWS, LABELS, 1), "num_arms is a whole number from 2"),
        (lambda: ClassificationBandit(ROWS, LABELS, rounds=91), "rounds is .* 1 to 90, got 91"),
        (lambda: ClassificationBandit(ROWS, LABELS, rounds=0), "rounds is .* 1 to 90, got 0"),
        (
            lambda: ClassificationBandit(ROWS, LABELS, order="worst"),
            "random or sorted, got 'worst'",
        ),
        (lambda: ClassificationBandit(ROWS, LABELS, right=1.5), "right=1.5, wrong=0.0"),
        (lambda: ClassificationBandit(ROWS, LABELS, right=0.2, wrong=0.3), "0 <= wrong <= right"),
        (lambda: ClassificationBandit(ROWS, LABELS, wrong=-0.1), "0 <= wrong"),
        (lambda: ClassificationBandit(ROWS, LABELS, right=np.nan), "right=nan"),
        (lambda: ClassificationBandit(ROWS, LABELS, right=[1, 0.9]), "chances are numbers"),
        (lambda: dataclasses.replace(TABLE, right=2), "right=2"),
        (lambda: dataclasses.replace(TABLE, rounds=91), "rounds is .* 1 to 90, got 91"),
        (lambda: classification("digit"), "did you mean 'digits'"),
    ],
)
def test_errors_say_what_was_wrong(make, said):
    with pytest.raises(ValueError, match=said):
        make()


# ---- block contexts ------------------------------------------------------------------------


@flax.struct.dataclass
class Dense:
    """A disjoint problem with its contexts written out: x in block k of R^(K d) for arm k."""

    problem: Any

    disjoint = False

    @property
    def num_arms(self):
        return self.problem.num_arms

    @property
    def dimension(self):
        return self.problem.num_arms * self.problem.dimension

    def init(self, key):
        return self.problem.init(key)

    def noise(self, key, num_rounds):
        return self.problem.noise(key, num_rounds)

    def observe(self, state, noise):
        return Context(blocks(self.problem.observe(state, noise).features, self.num_arms))

    def step(self, state, arm, noise):
        return self.problem.step(state, arm, noise)

    def evaluate(self, state, recommendation):
        return self.problem.evaluate(state, recommendation)


def blocks(x, num_arms):
    """Features [d] as one vector an arm, [K, K d]."""
    return jnp.kron(jnp.eye(num_arms, dtype=x.dtype), x[None, :])


@flax.struct.dataclass
class Perceptron:
    """Plays the arm of the largest product with the weights, which it then turns towards that arm's
    features, or away from them. Whole features keep its numbers whole: nothing is rounded."""

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)

    def init(self, key) -> Any:
        shape = (self.num_arms, self.dimension) if self.disjoint else (self.dimension,)
        return jnp.zeros(shape, jnp.float32)

    def noise(self, key, num_rounds):
        return ()

    def act(self, weights, context, noise):
        return jnp.argmax(jnp.sum(weights * context.features, axis=-1)).astype(jnp.int32)

    def update(self, weights, context, arm, feedback):
        step = 2 * feedback.reward - 1
        if self.disjoint:
            return weights.at[arm].add(step * context.features)
        return weights + step * context.features[arm]

    def recommend(self, weights):
        return ()


def test_one_vector_for_all_arms_is_one_block_an_arm():
    np.testing.assert_array_equal(
        blocks(jnp.array([5.0, 7.0]), 3),
        [[5, 7, 0, 0, 0, 0], [0, 0, 5, 7, 0, 0], [0, 0, 0, 0, 5, 7]],
    )
    rng = np.random.default_rng(0)
    features = rng.integers(-3, 4, (N, 5)) + 4 * (LABELS[:, None] == np.arange(5))
    env = ClassificationBandit(features, LABELS)
    stops = range(1, N + 1)
    own = simulate(env, Perceptron(), N, 8, checkpoints=stops, progress=False).metrics
    dense = simulate(Dense(env), Perceptron(), N, 8, checkpoints=stops, progress=False).metrics
    np.testing.assert_array_equal(own["mistakes"], dense["mistakes"])
    assert own["mistakes"][-1].mean() < 0.6 * N  # by chance 0.75 N
