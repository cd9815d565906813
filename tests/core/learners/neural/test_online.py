"""Perturbed online gradient descent, against dense vectors and explicit signs in float64."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.neural import OnlineNetwork, networks, online
from regrax.core.learners.reductions import FastCB, Greedy, SquareCB
from regrax.core.protocol import Context

from . import reference_neural as reference
from .reference_neural import KEY, D, K

T, M = 250, 8
P = K * D * M + M + M + 1  # weights of a disjoint network with M hidden units
BASE = OnlineNetwork(hidden=(M,), learning_rate=0.1)
SAMPLED = dataclasses.replace(BASE, perturbation="sampled", strength=0.3)
EXPECTED = dataclasses.replace(BASE, perturbation="expected", strength=0.6)
CASES = {
    "none": (BASE, True),
    "none, kl, shared": (dataclasses.replace(BASE, loss="kl", of="rewards"), False),
    "none, two layers": (dataclasses.replace(BASE, hidden=(6, 4)), True),
    "sampled": (SAMPLED, True),
    "sampled, kl, one sample": (dataclasses.replace(SAMPLED, loss="kl", samples=1), True),
    "sampled, signs of arms, rewards": (
        dataclasses.replace(SAMPLED, shared=False, of="rewards", samples=2),
        True,
    ),
    "sampled, signs of arms, shared features, two layers": (
        dataclasses.replace(SAMPLED, shared=False, hidden=(6, 4)),
        False,
    ),
    "expected": (EXPECTED, True),
    "expected, kl, shared": (dataclasses.replace(EXPECTED, loss="kl"), False),
    "schedule": (dataclasses.replace(BASE, curvature=1.0), True),
    "balls, sampled, schedule": (
        dataclasses.replace(SAMPLED, radius=0.2, output_radius=0.1, curvature=0.8),
        True,
    ),
    "balls, two layers": (
        dataclasses.replace(BASE, hidden=(6, 4), radius=0.1, output_radius=0.2),
        False,
    ),
}
every_case = pytest.mark.parametrize("case", CASES)


@jit
def words(key, leaves, samples):
    """Random words of T rounds and of K arms for every leaf, as the learner draws them."""

    def one(round_, arm):
        own = noise.stream(noise.stream(key, round_), arm)
        return [noise.bits(noise.stream(own, i), (-(-samples.size * x.size // 32),))
                for i, x in enumerate(leaves)]  # fmt: skip

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(jnp.arange(T), jnp.arange(K))


def signs(key, like, samples):
    """Signs [T, K, S, p] of the dense network: one bit each, 32 to a word, leaf by leaf."""
    leaves, structure = jax.tree.flatten(jax.device_get(like))
    drawn = []
    for leaf, own in zip(leaves, words(key, leaves, jnp.zeros(samples)), strict=True):
        bits = np.unpackbits(np.asarray(own, "<u4").view(np.uint8), axis=-1, bitorder="little")
        ones = bits[..., : samples * leaf.size].astype(bool)
        drawn.append(np.where(ones, -1.0, 1.0).reshape(T, K, samples, *leaf.shape))
    places = jax.tree.map(lambda x: np.zeros(x.shape), like)
    for number, leaf in enumerate(jax.tree.leaves(places)):
        leaf += 1000 * number + np.arange(leaf.size).reshape(leaf.shape)
    dense, own = (
        reference.flat(reference.layers(places)).astype(int),
        np.concatenate([x.ravel() for x in jax.tree.leaves(places)]).astype(int),
    )
    whole = np.concatenate([x.reshape(T, K, samples, -1) for x in drawn], axis=-1)
    return whole[..., np.searchsorted(own, dense)]


@functools.cache
def run(case):
    """What was met and played, the states, and the predictions before each round."""
    network, disjoint = CASES[case]
    network = reference.fitted(network, disjoint)
    contexts, rewards = reference.table(T, disjoint)
    arms, _, states = reference.play(Greedy(network, epsilon=0.3), contexts, rewards)
    predicted = predictions(network, reference.at(states, slice(0, T)), contexts)
    return network, contexts, rewards, np.asarray(arms), states, np.asarray(predicted)


@jit
def predictions(network, states, contexts):
    return jax.vmap(lambda s, x: network.predict(s, Context(x)))(states, contexts)


@every_case
def test_agrees_with_the_reference(case):
    """Weights and predictions in every round. A step rounds a weight once or twice, and once more
    for a ball; errors add up to that much at most, unless the descent amplified them."""
    network, contexts, rewards, arms, states, predicted = run(case)
    first = reference.at(states, 0)
    strength = 0.0 if network.strength is None else float(np.float32(network.strength))
    other = reference.Online(network, reference.layers(first.weights), strength)
    key = jax.random.wrap_key_data(jax.random.key_data(first.key))
    drawn = np.zeros((T, K, 1, len(other.network)))
    if network.perturbation == "sampled":
        drawn = signs(key, first.weights, network.samples)
        drawn = np.repeat(drawn[:, :1], K, axis=1) if network.shared else drawn
    for t, (context, arm) in enumerate(zip(contexts, arms, strict=True)):
        rows = reference.inputs(context)
        z = np.array([other.outputs(*pair).mean() for pair in zip(rows, drawn[t], strict=True)])
        expected = reference.sigmoid(z) if network.loss == "kl" else z
        expected = 1 - expected if network.of == "losses" else expected
        tolerance = 3 * (t + 1) * reference.HALF_ULP * max(1, np.abs(other.network).max())
        dense = reference.unflat(other.network, other.shapes)
        # An error in every weight, times how much an output depends on them and on the signs.
        slopes = max(np.abs(reference.gradient(dense, x)).sum() for x in rows)
        slopes += other.strength * len(other.network)
        np.testing.assert_allclose(predicted[t], expected, rtol=0, atol=slopes * tolerance)
        ours = reference.flat(reference.layers(reference.at(states.weights, t)))
        np.testing.assert_allclose(ours, other.network, rtol=0, atol=tolerance)
        reward = float(rewards[t, arm])
        y = 1 - reward if network.of == "losses" else reward
        other.learn(rows[arm], y, drawn[t, arm])
    assert np.abs(other.network - other.start).max() > 100 * tolerance
    assert len(set(arms)) == K


def distances(case):
    """Of the weights from their start, layer by layer, [T + 1]."""
    states = run(case)[4]
    paths = [states.weights.blocks]
    paths += [states.weights.shared[name]["kernel"] for name in sorted(states.weights.shared)[1:]]
    return [np.linalg.norm((np.asarray(x, float) - np.asarray(x[0], float)).reshape(T + 1, -1),
                           axis=1) for x in paths]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "radii"),
    [("balls, sampled, schedule", (0.2, 0.1)), ("balls, two layers", (0.1, 0.1, 0.2))],
)
def test_weights_stay_in_their_balls_and_reach_the_border(case, radii):
    for path, radius in zip(distances(case), radii, strict=True):
        # Weights of order 1 / sqrt(m) are rounded to float32 after the projection.
        assert np.all(path <= radius + 20 * reference.HALF_ULP)
        assert np.mean(path > 0.999 * radius) > 0.1


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), radius=st.floats(0, 2), output_radius=st.floats(0, 2))
def test_no_step_leaves_a_ball(seed, radius, output_radius):
    """However long the step: here it is a hundred times as long as the weights."""
    network = dataclasses.replace(
        BASE, radius=np.float32(radius), output_radius=np.float32(output_radius), learning_rate=1e3
    )
    first, after = one_step(reference.fitted(network, True), noise.stream(KEY, seed))
    first, after = (reference.layers(x) for x in (first, after))
    for a, b, r in zip(first, after, (radius, output_radius), strict=True):
        assert np.linalg.norm(b[0] - a[0]) <= r + 100 * reference.HALF_ULP


@jit
def one_step(network, key):
    state = network.init(key)
    after = network.update(state, Context(jnp.ones(D)), jnp.int32(1), jnp.float32(0))
    return state.weights, after.weights


N = 20_000


@jit
def many_steps(network, keys):
    """Predictions [N, K], and the steps [N, p] from one state, by other signs. The weights are far
    from their start."""
    state = network.init(KEY)
    moved = [x + 0.1 * noise.normal(noise.stream(KEY, i), x.shape)
             for i, x in enumerate(jax.tree.leaves(state.weights))]  # fmt: skip
    weights = jax.tree.unflatten(jax.tree.structure(state.weights), moved)
    context = Context(jnp.linspace(-1, 1, D))

    def one(key):
        now = state._replace(weights=weights, key=key)
        after = network.update(now, context, jnp.int32(1), jnp.float32(0.2)).weights
        steps = jax.tree.map(lambda a, b: (a - b).reshape(-1), weights, after)
        return network.predict(now, context), jnp.concatenate(jax.tree.leaves(steps))

    return jax.vmap(one)(keys)


@pytest.mark.parametrize("samples", [1, 3])
def test_the_mean_over_signs_is_the_step_of_the_expected_loss(samples):
    """For squared losses; and a prediction's is the plain output. Each coordinate within the
    normal deviation that a false alarm in a million among all has."""
    sampled = dataclasses.replace(SAMPLED, samples=samples, learning_rate=0.01)
    expected = dataclasses.replace(sampled, perturbation="expected")
    keys = jax.vmap(lambda i: noise.stream(KEY, i))(jnp.arange(N))
    (guesses, steps), (exact_guess, exact) = (
        map(np.asarray, many_steps(reference.fitted(x, True), keys[:number]))
        for x, number in ((sampled, N), (expected, 1))
    )
    bound = stats.norm.isf(1e-6 / 2 / (P + K))
    for drawn, mean in ((guesses, exact_guess[0]), (steps, exact[0])):
        error = drawn.std(axis=0) / math.sqrt(N)
        assert np.all(error > 0)
        assert np.all(np.abs(drawn.mean(axis=0) - mean) < bound * error)
    # It does tell: without the pull to the start most coordinates are elsewhere.
    plain = dataclasses.replace(sampled, perturbation="none", strength=None)
    plain = np.asarray(many_steps(reference.fitted(plain, True), keys[:1])[1])[0]
    assert np.any(np.abs(steps.mean(axis=0) - plain) > 2 * bound * error)


def test_signs_are_fair_and_independent():
    """Of rounds, arms, samples and weights; by the correlations of 200 of them over 20000 keys."""
    like = reference.fitted(BASE, True).init(KEY).weights

    @jax.jit
    def draw(keys):
        def one(key):
            drawn = [
                online._signs(noise.stream(noise.stream(key, r), a), like, 3)
                for r, a in ((0, 0), (0, 1), (1, 0))
            ]
            rows = [x.reshape(3, -1) for tree in drawn for x in jax.tree.leaves(tree)]
            return jnp.concatenate(rows, axis=1).reshape(-1)[:: P // 15]

        return jax.vmap(one)(keys)

    drawn = np.asarray(draw(jax.vmap(lambda i: noise.stream(KEY, i))(jnp.arange(N))), float)
    count = drawn.shape[1]
    assert count > 100 and np.all(np.abs(drawn) == 1)
    products = drawn.T @ drawn / math.sqrt(N)
    pairs = products[np.triu_indices(count, 1)]
    assert np.abs(pairs).max() < stats.norm.isf(1e-6 / 2 / len(pairs))
    means = drawn.sum(axis=0) / math.sqrt(N)
    assert np.abs(means).max() < stats.norm.isf(1e-6 / 2 / count)


def chances(reduction, shared):
    """Of playing the arms, after 50 rounds, with a perturbation and with the plain outputs."""
    network = dataclasses.replace(SAMPLED, shared=shared, loss="square")
    network = reference.fitted(network, True)
    contexts, rewards = reference.table(51, True)
    _, _, states = reference.play(Greedy(network, epsilon=0.5), contexts, rewards)
    state, context = reference.at(states, 50), Context(contexts[50])
    perturbed = 1 - network.predict(state, context)
    plain = 1 - (1 - networks.outputs(state.weights, context))
    assert np.abs(perturbed - plain).max() > 1e-3
    return [np.asarray(reduction(network)._chances(x, 50.0)) for x in (perturbed, plain)]


def test_signs_for_all_arms_cancel_in_gaps_and_only_there():
    """SquareCB plays by gaps between predictions: a shift of all is none. FastCB does not, and
    signs that an arm has of its own shift gaps."""
    # Predictions are rounded a few times, and chances by their gaps times gamma = 50.
    tolerance = 50 * 4 * reference.HALF_ULP
    np.testing.assert_allclose(*chances(SquareCB, True), rtol=0, atol=tolerance)
    for reduction, shared in ((SquareCB, False), (FastCB, True), (FastCB, False)):
        a, b = chances(reduction, shared)
        assert np.abs(a - b).max() > 50 * tolerance


def test_steps_that_must_diverge_are_an_error():
    """On digits, p = 64201 and m = 100, c = 0.3 and three samples diverge and 0.03 do not."""
    message = r"learning_rate c\^2 p / \(samples sqrt\(m\)\) is 2 or more: it is 19.3, with c = 0.3"
    with pytest.raises(ValueError, match=message):
        OnlineNetwork(10, 64, True, perturbation="sampled", strength=0.3)
    OnlineNetwork(10, 64, True, perturbation="sampled", strength=0.03)
    OnlineNetwork(10, 64, True, perturbation="expected", strength=0.3)
    OnlineNetwork(10, 64, True, perturbation="sampled")
    OnlineNetwork(10, 64, True, perturbation="sampled", strength=0.3, curvature=1000.0)
    OnlineNetwork(10, 64, True, perturbation="sampled", strength=0.3, loss="kl")
    with pytest.raises(ValueError, match="steps diverge.* with c = 0.01 and p = 64,201"):
        OnlineNetwork(10, 64, True, perturbation="sampled", learning_rate=10.0)
    unknown = OnlineNetwork(perturbation="sampled", strength=0.3)
    with pytest.raises(ValueError, match="steps diverge"):  # as soon as the network's size is known
        dataclasses.replace(unknown, num_arms=10, dimension=64, disjoint=True)


def test_where_the_error_begins_steps_do_diverge():
    """Above the bound weights of squared losses grow without end, and well below they do not; those
    of divergences, whose slopes are at most 1, grow nowhere."""
    scale = math.sqrt(2 / (0.1 * P / math.sqrt(M)))  # of one sample
    calm = dataclasses.replace(SAMPLED, samples=1, strength=0.5 * scale)
    with pytest.raises(ValueError, match="steps diverge"):
        reference.fitted(dataclasses.replace(calm, strength=1.01 * scale), True)
    contexts, rewards = reference.table(200, True)
    for loss, factor, grows in (
        ("square", 0.5, False),
        ("square", 1.5, True),
        ("kl", 1.5, False),
    ):
        network = reference.fitted(dataclasses.replace(calm, loss=loss), True)
        object.__setattr__(network, "strength", factor * scale)  # unchecked
        weights = reference.play(Greedy(network, epsilon=1.0), contexts, rewards)[2].weights
        assert (np.abs(weights.blocks[-1]).max() < 10) != grows


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"perturbation": "normal"}, "perturbation is one of 'none', 'sampled', 'expected'"),
        ({"samples": 0}, "samples is a whole number from one, got 0"),
        ({"learning_rate": -0.1}, "learning_rate is zero or more, got -0.1"),
        ({"strength": -0.1}, "strength is zero or more"),
        ({"radius": -1.0}, "radius is zero or more"),
        ({"output_radius": math.inf}, "output_radius is zero or more"),
        ({"curvature": 0.0}, "curvature is positive, got 0.0"),
        ({"hidden": (8.0,)}, "hidden holds the widths"),
        ({"loss": "log"}, "loss is one of 'square', 'kl', got 'log'"),
    ],
    ids=str,
)
def test_errors_say_what_was_wrong(wrong, message):
    with pytest.raises(ValueError, match=f"OnlineNetwork: {message}"):
        OnlineNetwork(**wrong)
    with pytest.raises(ValueError, match="OnlineNetwork does not know its dimension"):
        OnlineNetwork(num_arms=3, disjoint=True).init(KEY)
