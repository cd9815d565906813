"""Bootstrapped networks: what each keeps, how it is trained on that, and who chooses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.neural import OnlineNetwork, ReplayNetwork
from regrax.core.learners.neural.bootstrap import Bootstrapped
from regrax.core.protocol import Context, complete

from . import problems
from . import reference_exploration as reference
from .problems import KEY

ROUNDS, MEMBERS = 36, 3
NETWORK = ReplayNetwork(of="rewards", hidden=(8,), early=4, late=8, turn=20, steps=50)
SHORT = Bootstrapped(dataclasses.replace(NETWORK, learning_rate=0.1), members=MEMBERS, keep=0.6)


@functools.cache
def game():
    return problems.play(SHORT, problems.clusters(), ROUNDS)


def test_a_member_trains_on_the_rounds_it_kept():
    """Against gradient descent on dense vectors, from the weights before each training."""
    learner, states, contexts, arms, rewards, last = game()
    num_arms, kept = learner.num_arms, [[] for _ in range(MEMBERS)]
    for t in range(ROUNDS):
        state = problems.at(states, t)
        after = problems.at(states, t + 1) if t + 1 < ROUNDS else last
        for j in range(MEMBERS):
            count = int(after.kept[j])
            if count > len(kept[j]):
                kept[j].append(t)
            assert len(kept[j]) == count
            order = np.asarray(after.history.order[j])[:count]
            assert sorted(order) == kept[j]
            before, now = (reference.dense(problems.at(s.weights, j)) for s in (state, after))
            if t % (4 if t < 20 else 8) == 0 and count:
                xs = [reference.spread(contexts[i], int(arms[i]), num_arms) for i in order]
                before = reference.fit(before, xs, np.float64(rewards)[order], 50, 0.1, 1e-3)
            # 50 steps in float32, each within 1e-7 of weights of order one and a contraction.
            flat = reference.flat(now), reference.flat(before)
            np.testing.assert_allclose(*flat, rtol=0, atol=2e-5)
    assert all(0 < len(rows) < ROUNDS for rows in kept)


def test_who_kept_nothing_is_not_trained():
    learner = dataclasses.replace(SHORT, keep=1e-7)
    _, states, *_, last = problems.play(learner, problems.clusters(), ROUNDS)
    assert not np.any(last.kept) and int(last.rounds) == ROUNDS
    for before, after in zip(*map(jax.tree.leaves, (states.weights, last.weights)), strict=True):
        np.testing.assert_array_equal(before[0], after)


def test_members_start_apart():
    first = reference.flat(reference.dense(problems.at(game()[1].weights, (0, 0))))
    second = reference.flat(reference.dense(problems.at(game()[1].weights, (0, 1))))
    assert np.mean(first == second) < 0.01


@functools.cache
def coins():
    """Who kept which round, [seeds, T, q], of members with next to nothing to train."""
    network = ReplayNetwork(
        of="rewards", hidden=(1,), num_arms=4, dimension=1, disjoint=True, horizon=500,
        early=1000, late=1000, steps=1,
    )  # fmt: skip
    learner = Bootstrapped(network)

    @jit
    def play(learner, seeds):
        def one(state, _):
            seen, feedback = Context(jnp.ones(1)), rx.BanditFeedback(jnp.float32(1))
            after = learner.update(state, seen, jnp.int32(0), feedback)
            return after, after.kept - state.kept

        def game(seed):
            return jax.lax.scan(one, learner.init(noise.stream(KEY, seed)), length=500)[1]

        return jax.vmap(game)(seeds)

    return np.asarray(play(learner, jnp.arange(40)))


def test_rounds_are_kept_with_their_chance_and_independently():
    kept = coins()  # 200,000 coins
    assert stats.binomtest(int(kept.sum()), kept.size, 0.8).pvalue > 1e-6
    for together in (
        kept[:, :, 1:] * kept[:, :, :-1],  # neighbouring members
        kept[:, 1::2] * kept[:, :-1:2],  # neighbouring rounds
        kept[1::2] * kept[:-1:2],  # seeds
    ):
        # Pairs share members, so the variance of a sum of n is at most thrice that of n coins.
        share, deviation = together.mean(), np.sqrt(3 * 0.64 * 0.36 / together.size)
        assert abs(share - 0.64) < 5 * deviation


def test_a_member_drawn_at_random_chooses():
    learner, states, contexts, arms, *_ = game()
    drawn = np.asarray(learner.noise(KEY, ROUNDS))

    @jit
    def act(learner, state, features, u):
        return learner.act(state, Context(features), u)

    choices = set()
    for t in range(20, ROUNDS):
        state = problems.at(states, t)
        layers = [reference.dense(problems.at(state.weights, j)) for j in range(MEMBERS)]
        seen = [reference.spread(contexts[t], a, learner.num_arms) for a in range(4)]
        best = [int(np.argmax([reference.forward(net, x)[1] for x in seen])) for net in layers]
        assert arms[t] == best[int(drawn[t] * MEMBERS)]
        for j in range(MEMBERS):
            low, high = (j + 1e-3) / MEMBERS, (j + 1 - 1e-3) / MEMBERS
            for u in (low, high):
                assert act(learner, state, contexts[t], jnp.float32(u)) == best[j]
        choices.add(len(set(best)))
    assert max(choices) > 1  # members do disagree
    uniform = np.bincount((np.asarray(learner.noise(KEY, 100_000)) * 10).astype(int))
    assert stats.chisquare(uniform).pvalue > 1e-6


@functools.cache
def regrets(first):
    return problems.regrets(SHORT, range(first, first + 8), 60)


def test_a_seed_is_the_same_in_any_batch():
    np.testing.assert_array_equal(regrets(0)[5:], regrets(5)[:3])
    assert len(np.unique(regrets(0))) > 4


def test_a_stack_is_its_members():
    """A batch of 16 then: each learner in it plays as alone."""
    grid = rx.stack([dataclasses.replace(SHORT, keep=0.1), SHORT])
    both = problems.regrets(grid, range(8), 60)
    np.testing.assert_array_equal(both[1], regrets(0))
    assert np.any(both[0] != both[1])


@pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])
def test_a_round_leaves_shapes_and_dtypes_as_they_were(disjoint, strict_promotion):
    network = dataclasses.replace(NETWORK, num_arms=4, dimension=5, disjoint=disjoint, horizon=50)
    learner = Bootstrapped(network)
    seen = Context(jnp.zeros((5,) if disjoint else (4, 5)))

    def one_round():
        state = learner.init(KEY)
        arm = learner.act(state, seen, learner.noise(KEY, 7)[0])
        return state, learner.update(state, seen, arm, rx.BanditFeedback(jnp.float32(0.5))), arm

    state, after, arm = jax.eval_shape(one_round)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert arm.shape == () and arm.dtype == jnp.int32
    assert learner.recommend(state) == () and learner.num_arms == 4


def test_the_history_is_stored_once():
    network = ReplayNetwork(10, 64, True, of="rewards", horizon=1797)
    state = jax.eval_shape(Bootstrapped(network).init, KEY)
    sizes = {k: v.size for k, v in state.history._asdict().items()}
    assert sizes == {
        "features": 1797 * 64, "blocks": 1797, "targets": 1797, "order": 1797 * 10
    }  # fmt: skip


def test_blanks_are_filled_and_must_fit():
    with pytest.raises(ValueError, match="does not know its"):
        Bootstrapped().init(KEY)
    with pytest.raises(ValueError, match=r"ReplayNetwork\(num_arms=9\) met .* with 4 arms"):
        complete(Bootstrapped(ReplayNetwork(num_arms=9)), problems.clusters(), 10)
    learner = complete(Bootstrapped(), problems.clusters(), 10)
    assert (learner.regressor.horizon, learner.num_arms) == (10, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"regressor": OnlineNetwork()}, "regressor is a ReplayNetwork, got OnlineNetwork"),
        ({"members": 0}, "members is a whole number from one, got 0"),
        ({"members": 2.0}, "members is a whole number from one, got 2.0"),
        ({"keep": 0.0}, "keep is a chance in"),
        ({"keep": 1.5}, "keep is a chance in"),
    ],
)
def test_errors_say_what_was_wrong(fields, message):
    with pytest.raises(ValueError, match="Bootstrapped: " + message):
        Bootstrapped(**fields)


@pytest.mark.slow
def test_explores_the_digits():
    """Random play has a regret of 1,617."""
    digits = pytest.importorskip("regrax.envs.contextual").classification("digits")
    assert np.mean(problems.regrets(Bootstrapped(), 8, 1797, digits)) < 900
