"""EE-Net against dense vectors and plain NumPy, and on the digits of scikit-learn."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.neural import OnlineNetwork, ReplayNetwork, ee_net
from regrax.core.learners.neural.ee_net import EENet, Exploration, arm_gradients, pooled
from regrax.core.learners.neural.networks import random_weights
from regrax.core.protocol import Context, complete

from . import problems
from . import reference_exploration as reference
from .problems import KEY

ROUNDS, TURN = 36, 20
NETWORK = ReplayNetwork(of="rewards", early=4, late=8, turn=TURN, steps=50, learning_rate=0.1)
SHORT = EENet(NETWORK, pool=5, steps=60, turn=TURN, weight=0.5, late_weight=0.05)


# The gradient of the first network, and its means.


@pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])
@pytest.mark.parametrize(
    ("num_arms", "dimension", "hidden", "pool"),
    [
        (3, 7, (9,), 5),  # blocks of more than a pool: p = 208 or 82
        (4, 2, (20, 15), 50),  # pools of several units
        (3, 4, (20, 15), 1),  # every weight
        (2, 5, (9, 15, 20), 1000),  # the first layer in one pool
        (3, 3, (5,), 7),  # p = 56, a whole number of pools, where arms are disjoint
    ],
)
def test_means_are_those_of_the_dense_gradient(disjoint, num_arms, dimension, hidden, pool):
    blocks = num_arms if disjoint else 1
    rng = np.random.default_rng(pool)
    features = rng.normal(size=(dimension,) if disjoint else (num_arms, dimension))
    features = features.astype(np.float32)

    @jax.jit
    def means(features):
        weights = random_weights(KEY, hidden, blocks, dimension)
        rows = arm_gradients(weights, Context(features), pool)
        return weights, jax.vmap(lambda row: pooled(row, blocks, pool))(rows)

    weights, ours = means(features)
    layers = reference.dense(weights)
    alive = np.zeros(len(layers), bool)
    for arm in range(num_arms):
        slopes = reference.gradient(layers, reference.spread(features, arm, blocks))
        alive |= [np.any(weight != 0) for weight, _ in slopes]
        g = reference.flat(slopes)
        expected = reference.means(g, pool)
        # A pool is a difference of sums of up to d features, each of them and a slope rounded once.
        atol = 1e-6 * max(1, np.abs(g).max()) * max(1, np.abs(features).sum())
        np.testing.assert_allclose(ours[arm], expected, rtol=0, atol=atol)
        assert len(expected) == len(g) // pool + 1
    assert np.all(alive)  # no layer is off for all arms


# The second network.


@functools.cache
def first_weights(length):
    return jax.jit(lambda key: ee_net._random_weights(key, Exploration(), (length,)))(KEY)


@pytest.mark.parametrize(("length", "windows"), [(1285, 24), (199, 2), (17, 1)])
def test_convolution_is_that_of_its_reference(length, windows):
    params = first_weights(length)
    assert params["params"]["layer0"]["kernel"].shape == (min(100, length), 1, 1)
    assert params["params"]["layer1"]["kernel"].shape == (windows, 100)
    x = np.random.default_rng(0).normal(size=length).astype(np.float32)
    expected, _ = reference.Exploration(params).output_and_gradient(np.float64(x))
    # Sums of 100 products, three times over.
    assert float(jax.jit(Exploration().apply)(params, x)) == pytest.approx(expected, abs=3e-6)


def test_first_weights_are_uniform_on_what_pytorch_takes():
    params = first_weights(1285)["params"]
    for name, inputs in (("layer0", 100), ("layer1", 24), ("layer2", 100)):
        drawn = np.concatenate([np.ravel(x) for x in params[name].values()]) * np.sqrt(inputs)
        assert np.all(np.abs(drawn) < 1) and len(np.unique(drawn)) > 0.99 * len(drawn)
        # The mean of n squares of uniforms on (-1, 1), of mean 1/3 and deviation 0.2981.
        assert abs(np.mean(drawn**2) - 1 / 3) < 5 * 0.2981 / np.sqrt(len(drawn))


@pytest.mark.parametrize(
    ("count", "steps", "tolerance", "taken"),
    [(10, 64, 0.0, 64), (40, 33, 0.0, 33), (7, 500, 0.02, None)],
)
def test_training_is_adam_with_decay_in_the_gradient(count, steps, tolerance, taken):
    """In float64: the same steps, to rounding."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(40, 220))
    targets = 1 + 0.3 * np.tanh(inputs[:, 0])
    params = first_weights(220)
    other = reference.Exploration(params)
    number = reference.fit_by_adam(
        other, inputs[:count], targets[:count], steps, 1e-3, 1e-2, tolerance
    )
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)
        rows = (jnp.asarray(inputs), jnp.asarray(targets)), jnp.int32(count)

        @jax.jit
        def train(weights):
            rates = 1e-3, 1e-2, tolerance
            return ee_net._train(Exploration().apply, weights, rows, steps, rates)

        ours = reference.Exploration(train(wide)).weights
    for mine, expected in zip(ours, other.weights, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-9)
    if taken is None:  # stopped by the tolerance, after a whole pass
        assert number < steps and number % count == 0
    else:
        assert number == taken


def test_rows_are_shuffled_without_repeats():
    count, most = 30, 12

    @jax.jit
    @jax.vmap
    def drawn(seed):
        key = noise.stream(KEY, seed)
        rows, number = ee_net._shuffled(key, jnp.arange(50), jnp.int32(count), most)
        return rows, number

    rows, numbers = map(np.asarray, drawn(jnp.arange(2000)))
    assert rows.shape == (2000, most) and np.all(numbers == most) and rows.max() < count
    assert all(len(set(row)) == most for row in rows)
    # Every row in every place with chance 1 / 30, of 2,000 draws: 5.5 deviations, 360 of them.
    shares = np.stack([np.bincount(rows[:, place], minlength=count) for place in range(most)])
    deviation = np.sqrt(2000 / count * (1 - 1 / count))
    assert np.abs(shares - 2000 / count).max() < 5.5 * deviation + 1
    few, number = ee_net._shuffled(KEY, jnp.arange(50), jnp.int32(5), most)
    assert sorted(np.asarray(few)[:5]) == list(range(5)) and number == 5


# A game, round by round.


@functools.cache
def game():
    """With the third network, that learns but does not yet decide."""
    learner = dataclasses.replace(SHORT, decision=True)
    return problems.play(learner, problems.clusters(), ROUNDS)


def test_a_game_is_that_of_its_reference():
    """Each round from our networks of that round: what is played, remembered and trained."""
    learner, states, contexts, arms, rewards, last = game()
    num_arms = learner.num_arms
    rows, targets, wrong, trainings = [], [], [], 0
    for t in range(ROUNDS):
        state = problems.at(states, t)
        layers = reference.dense(state.inner.weights)
        seen = [reference.spread(contexts[t], arm, num_arms) for arm in range(num_arms)]
        first = np.array([reference.forward(layers, x)[1] for x in seen])
        slopes = [reference.flat(reference.gradient(layers, x)) for x in seen]
        inputs = [reference.means(g, learner.pool) for g in slopes]
        second = reference.Exploration(state.exploration)
        explored = np.array([second.output_and_gradient(g)[0] for g in inputs])
        scores = first + (0.5 if t <= TURN else 0.05) * (explored - 1)
        arm = int(arms[t])
        assert scores[arm] >= scores.max() - 1e-5
        rows.append(inputs[arm])
        targets.append(rewards[t] - first[arm] + 1)
        if t < TURN and rewards[t] == 0:
            order = [0 if a == arm else a for a in range(1, num_arms)]
            rows += [inputs[a] for a in order]
            targets += [1.2] * len(order)
        after = problems.at(states, t + 1) if t + 1 < ROUNDS else last
        assert int(after.memory.count) == len(rows)
        expected = reference.Exploration(state.exploration)
        if t % (4 if t < TURN else 8) == 0:
            trainings += 1
            words = np.asarray(noise.bits(noise.stream(state.key, t + 1), (capacity(learner),)))
            order = np.argsort(words[: len(rows)], kind="stable")[: learner.steps]
            xs, ys = ([x[i] for i in order] for x in (rows, targets))
            reference.fit_by_adam(expected, xs, ys, learner.steps, 1e-3, 1e-4, 2e-3)
            turned = reference.Exploration(state.exploration)
            reference.fit_by_adam(turned, xs[::-1], ys[::-1], learner.steps, 1e-3, 1e-4, 2e-3)
            wrong.append(agreement(after.exploration, turned))
        assert agreement(after.exploration, expected) > 0.99
    assert trainings == 5 + 2 and len(rows) > ROUNDS
    assert max(wrong[1:]) < 0.9  # the same rows in another order would have been noticed
    memory = problems.at(last.memory._replace(count=()), slice(len(rows)))
    expand = jax.vmap(lambda row: pooled(row, num_arms, learner.pool))
    np.testing.assert_allclose(memory.targets, targets, rtol=0, atol=1e-5)
    np.testing.assert_allclose(expand(memory.gradients), rows, rtol=0, atol=1e-5)


def agreement(params, expected):
    """Share of the weights that are within a tenth of a step, 1e-3, of the reference. Where a slope
    is all rounding (a unit that is off) Adam, which divides by its size, goes where that goes."""
    ours = type(expected)(params).weights
    return np.mean(np.abs(flat_list(ours) - flat_list(expected.weights)) < 1e-4)


def flat_list(arrays):
    return np.concatenate([np.ravel(x) for x in arrays])


def capacity(learner):
    num_arms, horizon = learner.num_arms, learner.regressor.horizon
    return horizon + (num_arms - 1) * min(horizon, learner.turn + 1)


@jit
def arm_of(learner, state, context):
    return learner.act(state, Context(context), ()), learner.scores(state, Context(context))


def test_weight_of_exploration_falls_after_its_turn():
    """So heavy before and so light after that one network alone decides, and they differ."""
    learner, states, contexts, *_ = game()
    learner = dataclasses.replace(learner, weight=1e6, late_weight=0.0)
    differ = 0
    for t in range(0, ROUNDS, 3):
        state = problems.at(states, t)
        for now, which in ((0, 1), (TURN, 1), (TURN + 1, 0), (TURN + 5, 0)):
            moved = state._replace(inner=state.inner._replace(rounds=jnp.int32(now)))
            arm, scores = arm_of(learner, moved, contexts[t])
            assert arm == np.argmax(scores[which])
        differ += np.argmax(scores[0]) != np.argmax(scores[1])
    assert differ > 0


@pytest.mark.parametrize("turn", [4, 12])
def test_other_arms_are_remembered_before_the_turn_and_nothing_is_lost(turn):
    """With no reward at all every round has extra rows; the memory holds the most there can be."""
    learner = dataclasses.replace(SHORT, turn=turn)
    learner, num_arms, rounds = complete(learner, problems.clusters(), 12), 4, 12
    state = jax.eval_shape(learner.init, KEY)
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state.memory)

    @jax.jit
    def remember(memory, arms, rewards):
        def one(memory, entry):
            now, arm, reward = entry
            named = now * num_arms + jnp.arange(num_arms)  # a row says whose it is
            like = jax.tree.map(lambda x: x[:num_arms], memory.gradients)
            rows = jax.tree.map(lambda x: (x.T * 0 + named).T.astype(x.dtype), like)
            return learner._stored(memory, rows, arm, reward, 0.25 * reward, now), ()

        return jax.lax.scan(one, memory, (jnp.arange(rounds), arms, rewards))[0]

    arms = np.random.default_rng(turn).integers(0, num_arms, rounds)
    for rewards in (np.zeros(rounds), np.arange(rounds) % 3 / 2):
        memory = remember(empty, jnp.asarray(arms), jnp.asarray(rewards, jnp.float32))
        names, targets = [], []
        for t, (arm, reward) in enumerate(zip(arms, rewards, strict=True)):
            names.append({num_arms * t + arm})
            targets.append(reward - 0.25 * reward + 1)
            if t < turn and reward == 0:
                others = {num_arms * t + a for a in range(num_arms) if a != arm}
                names += [others] * (num_arms - 1)
                targets += [1.2] * (num_arms - 1)
        count = int(memory.count)
        assert count == len(names) <= capacity(learner) == len(memory.targets)
        np.testing.assert_allclose(memory.targets[:count], targets, rtol=1e-6)
        for leaf in memory.gradients:
            rows = np.asarray(leaf[:count]).reshape(count, -1)[:, 0].astype(int)
            assert all(row in wanted for row, wanted in zip(rows, names, strict=True))
            assert len(set(rows)) == count


def test_the_third_network_decides_late_only():
    learner, states, contexts, arms, _, last = game()
    for t in range(ROUNDS):
        _, scores = arm_of(learner, problems.at(states, t), contexts[t])
        played = np.stack(scores)[:, arms[t]]
        np.testing.assert_allclose(last.outputs[t], played, rtol=0, atol=1e-6)
    differ = 0
    state = problems.at(states, ROUNDS - 1)
    # Turned around, so that it does not agree with the first network.
    params = dict(state.decider["params"])
    params["layer1"] = jax.tree.map(jnp.negative, params["layer1"])
    state = state._replace(decider={"params": params})
    for now in (500, 501):
        moved = state._replace(inner=state.inner._replace(rounds=jnp.int32(now)))
        for context in contexts[:10]:
            arm, (first, second) = arm_of(learner, moved, context)
            decider = reference.Decider(state.decider)
            decided = [
                decider.output_and_gradient(np.float64(pair))[0]
                for pair in zip(first, second, strict=True)
            ]
            linear = np.argmax(first + learner.late_weight * (second - 1))
            assert arm == (np.argmax(decided) if now > 500 else linear)
            differ += np.argmax(decided) != linear
    assert differ > 0


def test_the_third_network_learns_rewards():
    learner, states, _, _, rewards, _ = game()
    t = 12  # a round of training
    state, after = (problems.at(states, i) for i in (t, t + 1))
    key = noise.stream(noise.stream(state.key, t + 1), "decision")
    words = np.asarray(noise.bits(key, (ROUNDS,)))[: t + 1]
    order = np.argsort(words, kind="stable")
    expected = reference.Decider(state.decider)
    xs, ys = np.float64(after.outputs)[order], np.float64(rewards)[order]
    reference.fit_by_adam(expected, xs, ys, 1000, 1e-3, 0.0, 1e-3)
    assert agreement(state.decider, expected) < 0.5 and agreement(after.decider, expected) > 0.95

    # Also where the first network learns losses, and so remembers losses.
    losing = dataclasses.replace(learner.regressor, of="losses")
    learner = dataclasses.replace(learner, regressor=losing)
    history = after.inner.history
    history = history._replace(targets=1 - history.targets)
    losses = after._replace(inner=after.inner._replace(history=history))

    @jax.jit
    def train(state, networks):
        return learner._trained(state, jnp.bool_(True), networks)[1]

    decider = train(losses, (state.exploration, state.decider))
    assert agreement(decider, expected) > 0.95


# As a learner of the suite.


@functools.cache
def regrets(first):
    return problems.regrets(SHORT, range(first, first + 8), 60)


def test_a_seed_is_the_same_in_any_batch():
    np.testing.assert_array_equal(regrets(0)[5:], regrets(5)[:3])
    assert len(np.unique(regrets(0))) > 4


def test_a_stack_is_its_members():
    """A batch of 16 then: each learner in it plays as alone."""
    grid = rx.stack([dataclasses.replace(SHORT, weight=5.0), SHORT])
    both = problems.regrets(grid, range(8), 60)
    np.testing.assert_array_equal(both[1], regrets(0))
    assert np.any(both[0] != both[1])


@pytest.mark.parametrize("decision", [False, True])
@pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])
def test_a_round_leaves_shapes_and_dtypes_as_they_were(disjoint, decision):
    network = dataclasses.replace(NETWORK, num_arms=4, dimension=5, disjoint=disjoint, horizon=50)
    learner = EENet(network, decision=decision)
    seen = Context(jnp.zeros((5,) if disjoint else (4, 5)))

    def one_round():
        state = learner.init(KEY)
        arm = learner.act(state, seen, learner.noise(KEY, 7))
        return state, learner.update(state, seen, arm, rx.BanditFeedback(jnp.float32(0.5))), arm

    state, after, arm = jax.eval_shape(one_round)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert arm.shape == () and arm.dtype == jnp.int32
    assert learner.recommend(state) == () and learner.num_arms == 4


@pytest.mark.parametrize(
    ("num_arms", "dimension", "horizon", "rows", "megabytes"),
    [(10, 64, 1797, 10_806, 9), (26, 16, 10_000, 35_025, 20), (10, 784, 10_000, 19_009, 110)],
    ids=["digits", "letter", "mnist"],
)
def test_memory_is_what_is_stated(num_arms, dimension, horizon, rows, megabytes):
    network = ReplayNetwork(num_arms, dimension, True, of="rewards", horizon=horizon)
    state = jax.eval_shape(EENet(network).init, KEY)
    p_shared = 100 + 100 + 1
    size = sum(x.size for x in jax.tree.leaves(state.memory.gradients))
    each = dimension + 100 + -(-p_shared // 50) + 2  # the block, and at most two pools cut in two
    assert rows * (dimension + 100) < size <= rows * each
    everything = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    assert everything < megabytes * 1e6


def test_blanks_are_filled_and_must_fit():
    with pytest.raises(ValueError, match="does not know its num_arms"):
        EENet().init(KEY)
    with pytest.raises(ValueError, match=r"ReplayNetwork\(num_arms=9\) met .* with 4 arms"):
        complete(EENet(ReplayNetwork(num_arms=9)), problems.clusters(), 10)
    learner = complete(EENet(), problems.clusters(), 10)
    assert (learner.regressor.horizon, learner.num_arms) == (10, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"regressor": OnlineNetwork()}, "regressor is a ReplayNetwork.*got OnlineNetwork"),
        ({"pool": 0}, "pool is a whole number from 1, got 0"),
        ({"steps": 1.5}, "steps is a whole number from 1, got 1.5"),
        ({"turn": -1}, "turn is a whole number from 0, got -1"),
        ({"turn": True}, "turn is a whole number from 0, got True"),
        ({"learning_rate": -1.0}, "learning_rate is zero or more"),
        ({"weight_decay": np.nan}, "weight_decay is zero or more"),
        ({"bonus": np.inf}, "bonus is a number"),
    ],
)
def test_errors_say_what_was_wrong(fields, message):
    with pytest.raises(ValueError, match="EENet: " + message):
        EENet(**fields)


@pytest.mark.slow
def test_regret_on_digits_is_that_of_the_authors_code():
    """Their code had 688 with one seed; random play has 1,617."""
    digits = pytest.importorskip("regrax.envs.contextual").classification("digits")
    ours = problems.regrets(EENet(), 8, 1797, digits)
    assert np.mean(ours) < 1000
    # One more draw from a normal law, by its t-statistic with 7 degrees: p < 1e-4 beyond 7.06.
    assert abs(np.mean(ours) - 688) < 7.06 * np.std(ours, ddof=1) * np.sqrt(1 + 1 / 8)
