"""Nets of sparse vectors, and elimination on them: against NumPy, and the guarantee."""

import math
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.linear.sparse import SparseElimination, net
from regrax.core.protocol import complete
from regrax.envs.misspecified import MisspecifiedLinear, hidden_direction

from . import reference_elimination as reference

# ---- nets ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(0, 3), st.floats(0.12, 1.0))
def test_a_net_covers_the_sparse_vectors(sparsity, more, radius):
    d = sparsity + more
    points = net(d, sparsity, radius)
    assert points.dtype == np.float32 and points.shape[1] == d
    assert np.all(np.count_nonzero(points, axis=1) <= sparsity)
    assert np.all(np.linalg.norm(points.astype(float), axis=1) <= 1 + 1e-6)
    assert len(np.unique(points, axis=0)) == len(points)
    assert len(points) <= math.comb(d, sparsity) * (1 + 2 / radius) ** sparsity
    rng = np.random.default_rng(0)
    worst = reference.worst_distance(points.astype(float), sparsity, 300, rng)
    assert worst <= radius * (1 + 1e-5)
    assert worst >= radius / 4  # it is not much finer than asked for


def test_nets_of_single_coordinates():
    np.testing.assert_allclose(np.sort(net(1, 1, 0.25).ravel()), [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(net(1, 1, 1.0), [[0.0]])
    assert len(net(50, 1, 0.1)) == 50 * 10
    assert len(net(7, 1, 1 / 3)) == 7 * 3 - 6  # zero, in the middle of three, is shared
    assert net(50, 1, 0.1) is net(50, 1, 0.1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((4, 5, 0.1), "s from 1 to d and a radius .*sparsity=5, dimension=4"),
        ((4, 0, 0.1), "s from 1 to d"),
        ((4, 2, 0.0), r"radius in \(0, 1\].*radius=0.0"),
        ((4, 2, 1.5), r"radius in \(0, 1\].*radius=1.5"),
        ((50, 3, 0.1), "3-sparse vectors in 50 dimensions to within 0.1 has more than 100,000"),
        ((12, 12, 0.001), "more than 100,000"),
    ],
)
def test_errors_of_nets_say_what_was_wrong(arguments, said):
    with pytest.raises(ValueError, match=said):
        net(*arguments)


# ---- play ----------------------------------------------------------------------------------


@partial(jit, static_argnames=("rounds", "seeds"))
def play(env, learner, *, rounds, seeds):
    """Environments' states, arms and rewards [seeds, rounds], and learners' last states."""

    def one(number):
        key = noise.stream(noise.root(7), number)
        state = env.init(noise.stream(key, "environment"))
        tape = env.noise(noise.stream(key, "noise"), rounds)

        def step(inner, draw):
            seen = env.observe(state, draw)
            arm = learner.act(inner, seen, ())
            feedback = env.step(state, arm, draw)[1]
            return learner.update(inner, seen, arm, feedback), (arm, feedback.reward)

        last, (arms, rewards) = jax.lax.scan(step, learner.init(key), tape)
        return state, arms, rewards, last, env.evaluate(state, learner.recommend(last))

    return jax.vmap(one)(jax.numpy.arange(seeds, dtype="uint32"))


def played(env, learner, rounds, seeds):
    learner = complete(learner, env, rounds)
    return learner, *jax.device_get(play(env, learner, rounds=rounds, seeds=seeds))


@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_agrees_with_numpy(sigma):
    """With errors five times what the learner is told there are many queries, and some end with
    no point left."""
    env = MisspecifiedLinear(12, 5, 2, epsilon=1.0, sigma=sigma)
    rounds, seeds = (60, 40) if sigma == 0 else (300, 40)
    learner, states, arms, rewards, last, _ = played(
        env, SparseElimination(epsilon=0.2), rounds, seeds
    )
    queries, exhausted = [], 0
    for seed in range(seeds):
        # Products in float32, as the learner has them: ties between arms would part otherwise.
        other = reference.OnNet(
            states.features[seed], np.asarray(learner.net), learner.epsilon, sigma, 0.05
        )
        for t in range(rounds):
            assert arms[seed, t] == other.play(), (seed, t)
            other.tell(float(rewards[seed, t]))
        assert (last.queries[seed], last.stopped[seed]) == (other.queries, other.stopped)
        assert last.best_arm[seed] == other.best[1]
        if not (other.stopped and other.best[0] >= other.top - other.slack):
            np.testing.assert_array_equal(np.flatnonzero(last.survivors[seed]), other.left)
            exhausted += other.stopped
        queries.append(other.queries)
    assert max(queries) >= 4 and exhausted


ROUNDS = len(net(4, 2, 0.2)) + 1


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["signs", "uniform", "hidden", "against"]))
def test_without_noise_it_ends_within_4_epsilon_after_so_many_queries(seed, kind):
    """Whatever the errors are: random signs, uniform, ones that hide theta, ones that shrink all
    large means. Lengths of features and theta are 1 at most."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(15, 4))
    x *= (rng.random((15, 1)) ** 0.25) / np.linalg.norm(x, axis=1, keepdims=True)
    theta = np.zeros(4)
    places = rng.choice(4, 2, replace=False)
    theta[places] = rng.normal(size=2)
    theta /= max(1, np.linalg.norm(theta))
    exact = x @ theta
    errors = {
        "signs": rng.choice([-0.2, 0.2], 15),
        "uniform": rng.uniform(-0.2, 0.2, 15),
        "hidden": np.clip(-exact, -0.2, 0.2),
        "against": np.where(exact > np.median(exact), -0.2, 0.2),
    }[kind]
    env = MisspecifiedLinear(15, 4, 2, 0.2, sigma=0.0, features=x, theta=theta, errors=errors)
    learner, _, arms, _, last, metrics = played(env, SparseElimination(), ROUNDS, 1)
    assert last.stopped[0] and last.queries[0] <= len(learner.net)
    assert metrics["simple_regret"][0] <= 4 * 0.2 + 1e-5
    assert np.all(arms[0, last.queries[0] :] == last.best_arm[0])


def test_with_noise_it_ends_within_6_epsilon():
    """With probability 1 - delta at least. Averages of n rewards, worked out here: 7 points on
    each of 6 axes have one in common."""
    epsilon, sigma, delta, seeds = 0.15, 0.3, 0.2, 300
    env = MisspecifiedLinear(40, 6, 1, epsilon, sigma, hidden=True)
    n = math.ceil(2 * sigma**2 / epsilon**2 * math.log(2 * (6 * 7 - 5) / delta))
    rounds = 20 * n
    _, _, arms, _, last, metrics = played(env, SparseElimination(delta=delta), rounds, seeds)
    assert np.all(last.stopped)
    good = metrics["simple_regret"] <= 6 * epsilon
    assert good.sum() >= stats.binom(seeds, 1 - delta).ppf(1e-6)
    # The arm changes at multiples of n only, and no more once it has stopped.
    changes = np.diff(arms, axis=1) != 0
    turns = np.flatnonzero(changes.any(axis=0)) + 1
    assert len(turns) and np.all(turns % n == 0)
    for seed in range(seeds):
        assert not changes[seed, n * last.queries[seed] - 1 :].any()


def test_finds_the_hidden_direction():
    env = hidden_direction(30, 0.1, sigma=0.1)
    options = {"checkpoints": [2000], "progress": False}
    trace = rx.simulate(env, SparseElimination(), 2000, 8, **options)
    np.testing.assert_array_equal(trace.metrics["simple_regret"], np.zeros((1, 8)))


def test_a_seed_is_the_same_in_any_batch_and_stack():
    env = MisspecifiedLinear(10, 5, 2, epsilon=0.2, sigma=0.1)
    learners = [SparseElimination(delta=delta) for delta in (0.3, 0.01)]
    options = {"checkpoints": [50, 1000], "progress": False}
    stacked = rx.simulate(env, rx.stack(learners), 1000, 20, **options).metrics
    alone = rx.simulate(env, learners[1], 1000, [3, 11], **options).metrics
    for name, x in alone.items():
        np.testing.assert_array_equal(stacked[name][1][:, [3, 11]], x)
    assert np.any(stacked["regret"][0] != stacked["regret"][1])


def test_the_net_is_made_once_and_goes_with_its_sizes():
    env = MisspecifiedLinear(10, 5, 2, epsilon=0.2)
    learner = complete(SparseElimination(), env, 100)
    assert (learner.dimension, learner.sparsity) == (5, 2)
    assert learner.epsilon == pytest.approx(0.2) and learner.sigma == 1
    again = complete(SparseElimination(epsilon=0.2), env, 100)
    assert again.net is learner.net is net(5, 2, learner.epsilon)
    rebuilt = jax.tree.unflatten(*jax.tree.flatten(learner)[::-1])
    np.testing.assert_array_equal(rebuilt.net, learner.net)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: SparseElimination(epsilon=0.0), r"epsilon is in \(0, 1\], got 0.0"),
        (lambda: SparseElimination(sigma=-1.0), "sigma is zero or more, got -1.0"),
        (lambda: SparseElimination(delta=1.0), r"delta is in \(0, 1\), got 1.0"),
        (lambda: SparseElimination(disjoint=True), "features of their own.*disjoint"),
        (lambda: SparseElimination(num_arms=3).init(noise.root(0)), "does not know its dimension"),
        (
            lambda: complete(SparseElimination(), MisspecifiedLinear(9, 12, 4), 10),
            "4-sparse vectors in 12 dimensions to within 0.1.*more than 100,000",
        ),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
