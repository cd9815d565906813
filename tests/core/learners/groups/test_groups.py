"""The groupwise reduction: against its reference, identities, and the bound for every copy."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.domains import Ball
from regrax.core.learners.convex.gradient import OGD
from regrax.core.learners.experts import AdaNormalHedge, Hedge, Sleeping
from regrax.core.learners.groups import Groups, LinearPredictor, OnlineRidge
from regrax.core.losses import SquaredLoss
from regrax.core.protocol import GroupContext, Mixture
from regrax.envs.groupwise import GroupwiseRegression

from . import reference_groups as reference

KEY = noise.root(1)
T, D, G = 400, 4, 5


def data(seed=0, rounds=T):
    """Groups that overlap, some rounds in none of them, each with a law of its own."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(0, 1, (rounds, D)).astype(np.float32)
    active = rng.random((rounds, G)) < [0.5, 0.3, 0.2, 0.1, 0.6]
    weights = rng.uniform(0, 1, (D, G)) / D
    labels = np.where(active, features @ weights, 0).sum(1) / np.maximum(active.sum(1), 1)
    labels = np.clip(labels + 0.1 * rng.normal(size=rounds), 0, 1).astype(np.float32)
    return features, active, labels


def game(learner, features, active, labels):
    """What was played: weights [T, G] and points [T, G]."""

    def one(state, row):
        x, on, y = row
        seen = GroupContext(x, on)
        action = learner.act(state, seen, ((), ()))
        return learner.update(state, seen, action, SquaredLoss(y)), action

    return jax.lax.scan(one, learner.init(KEY), (features, active, labels))[1]


play = jit(game)
RIDGES = Groups(OnlineRidge(D), AdaNormalHedge(G), G)
FALLING = Groups(LinearPredictor(OGD(Ball(D, 1.0), gradient_bound=4.0)), AdaNormalHedge(G), G)


@pytest.mark.parametrize(
    ("learner", "make"),
    [
        (RIDGES, lambda: reference.Ridge(D)),
        (FALLING, lambda: reference.GradientDescent(D, 1.0, 4.0)),
    ],
    ids=["ridge", "gradient descent"],
)
def test_agrees_with_its_reference(learner, make):
    features, active, labels = data()
    action = play(learner, features, active, labels)
    ours, losses, weights = reference.play(
        features.astype(float), active, labels.astype(float), make
    )
    # Predictions to float32; the weights' exponents reach ln of 1e7 and carry that error on.
    np.testing.assert_allclose(action.weights, weights, rtol=0, atol=3e-4)
    our_losses = np.sum(
        np.asarray(action.weights, float)
        * (np.asarray(action.points, float) - labels[:, None]) ** 2,
        axis=1,
    )
    np.testing.assert_allclose(our_losses, ours, rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        (np.asarray(action.points, float) - labels[:, None]) ** 2, losses, rtol=0, atol=1e-5
    )


def test_weights_are_on_active_groups_alone():
    features, active, labels = data()
    weights = np.asarray(play(RIDGES, features, active, labels).weights)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    some = active.any(1)
    assert np.all(weights[some][~active[some]] == 0)
    np.testing.assert_allclose(weights[~some], 1 / G)
    assert (~some).sum() > 10


def test_disjoint_groups_are_separate_learners():
    """One active group a round: the loss is that of its own ridge, exactly."""
    features, _, labels = data()
    member = np.random.default_rng(3).integers(0, G, T)
    active = member[:, None] == np.arange(G)
    action = play(RIDGES, features, active, labels)
    played = np.asarray(action.points)[np.arange(T), member]
    np.testing.assert_array_equal(np.asarray(action.weights), active)
    for group in range(G):
        own = member == group
        other, expected = reference.Ridge(D), []
        for x, y in zip(features[own].astype(float), labels[own].astype(float), strict=True):
            expected.append(other.predict(x))
            other.learn(x, y)
        np.testing.assert_allclose(played[own], expected, rtol=0, atol=2e-7)


def test_one_group_that_is_always_on_is_its_subroutine():
    features, _, labels = data()
    env = GroupwiseRegression(features, np.ones((T, 1), bool), labels)
    ours, alone = (
        rx.simulate(env, learner, T, 8, progress=False).metrics["group_regret"]
        for learner in (Groups(), OnlineRidge())
    )
    np.testing.assert_array_equal(ours, alone)


@pytest.mark.parametrize("seed", range(5))
def test_no_copy_is_regretted_more_than_the_bound(seed):
    """R_i <= sqrt(3 C_i ln(G B)), B = 1 + 3/2 (1 + mean of ln(1 + C)), for losses in [0, 1]."""
    features, active, labels = data(seed)
    action = play(RIDGES, features, active, labels)
    weights, points = (np.asarray(x, float) for x in action)
    losses = (points - labels[:, None]) ** 2
    assert losses.max() <= 1
    regrets = active * ((weights * losses).sum(1)[:, None] - losses)
    total, spread = regrets.sum(0), np.abs(regrets).sum(0)
    surplus = 1 + 1.5 * (1 + np.log1p(spread).mean())
    assert np.all(total <= np.sqrt(3 * spread * math.log(G * surplus)) + 1e-4)


def test_other_experts_may_mix():
    features, active, labels = data()
    learner = Groups(OnlineRidge(D), Sleeping(Hedge(G, learning_rate=1.0)), G)
    weights = np.asarray(play(learner, features, active, labels).weights)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert np.all(weights[active.any(1)][~active[active.any(1)]] == 0)


def test_losses_are_scaled_to_what_experts_expect():
    """Weights with losses over 2 are those with all squared errors halved."""
    features, active, labels = data()
    halved = dataclasses.replace(RIDGES, loss_range=2.0)
    weights = np.asarray(play(halved, features, active, labels).weights)
    regret, spread = np.zeros(G), np.zeros(G)
    points = np.asarray(play(RIDGES, features, active, labels).points, float)
    losses = (points - labels[:, None]) ** 2 / 2
    for t in range(T):
        v = active[t] * [reference.weight(r, c) for r, c in zip(regret, spread, strict=True)]
        if v.sum() > 0:
            np.testing.assert_allclose(weights[t], v / v.sum(), rtol=0, atol=3e-4)
        gained = active[t] * (weights[t] @ losses[t] - losses[t])
        regret, spread = regret + gained, spread + np.abs(gained)


def test_what_is_left_blank_is_filled_in():
    features, active, labels = data()
    env = GroupwiseRegression(features, active, labels)
    filled = rx.core.protocol.complete(Groups(LinearPredictor(OGD(), 2.0)), env, T)
    assert filled.num_groups == G and filled.experts.num_arms == G
    inner = filled.subroutine.learner
    assert inner.domain == Ball(D, 2.0)
    reach = np.sqrt((features.astype(float) ** 2).sum(1)).max()
    assert inner.gradient_bound == pytest.approx(2 * reach * (2 * reach + 1))


def test_a_round_costs_one_call_a_group():
    """The program is the same for any number of groups, its arrays a number times as large."""

    def operations(groups):
        learner = Groups(OnlineRidge(D), AdaNormalHedge(groups), groups)
        state = learner.init(KEY)
        seen = GroupContext(jnp.ones(D), jnp.ones(groups, bool))
        action = Mixture(jnp.ones(groups) / groups, jnp.ones(groups))
        step = jax.jit(lambda s: learner.update(s, seen, action, SquaredLoss(jnp.float32(0.5))))
        cost = step.lower(state).compile().cost_analysis()
        return dict(cost)["flops"]

    few, many = operations(20), operations(200)
    assert many / few == pytest.approx(10, rel=0.1)


def test_errors_say_what_was_wrong():
    features, active, labels = data()
    env = GroupwiseRegression(features, active, labels)
    with pytest.raises(ValueError, match="Groups.num_groups=3. met GroupwiseRegression with 5"):
        rx.simulate(env, dataclasses.replace(Groups(), num_groups=3), 10, 8)
    with pytest.raises(ValueError, match="Groups needs rounds that belong to groups"):
        rx.simulate(rx.envs.BernoulliBandit([0.1, 0.2]), Groups(), 10, 8)
    with pytest.raises(ValueError, match="LinearPredictor: radius is positive"):
        LinearPredictor(OGD(), radius=-1.0)
