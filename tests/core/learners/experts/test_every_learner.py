"""What every learner with expert advice must do, whatever its weights."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regrax.envs.expert_instances as instances
from regrax.core import simulate as engine
from regrax.core.exact import value
from regrax.core.learners.experts import AdaHedge, AdaNormalHedge, Hedge, Sleeping, Squint
from regrax.core.losses import LinearLoss
from regrax.core.protocol import FullFeedback, GroupContext, complete
from regrax.core.simulate import simulate, stack
from regrax.envs.experts import LossTable

from .games import KEY, masks, play, regrets, tables

AWAKE = {
    "Hedge": Hedge(horizon=40),
    "anytime": Hedge(anytime=True),
    "AdaHedge": AdaHedge(),
}
SLEEPING = {
    "AdaNormalHedge": AdaNormalHedge(),
    "Squint": Squint(),
    "Sleeping(Hedge)": Sleeping(Hedge(horizon=40)),
    "Sleeping(AdaHedge)": Sleeping(AdaHedge()),
}
LEARNERS = AWAKE | SLEEPING
every_learner = pytest.mark.parametrize("name", LEARNERS)
every_sleeper = pytest.mark.parametrize("name", SLEEPING)


def of(name, num_arms=3):
    return complete(LEARNERS[name], LossTable(np.zeros((1, num_arms))), 40)


# Rounding of 40 rounds of 3 experts in regrets, and with them in the logarithms of weights.
CLOSE = {"rtol": 0, "atol": 40 * 3 * 2.0**-23}


@every_learner
def test_experts_may_be_renamed(name):
    """Losses are multiples of 1/64, whose sums are exact, and so are ties."""

    @given(tables, st.permutations(range(3)))
    @settings(max_examples=60)
    def check(table, order):
        table = np.round(64 * table) / np.float32(64)
        order = np.array(order)
        weights, _ = play(of(name), table)
        renamed, _ = play(of(name), table[:, order])
        np.testing.assert_allclose(renamed, np.asarray(weights)[:, order], **CLOSE)

    check()


@every_learner
def test_equal_experts_have_equal_weights(name):
    table = np.random.default_rng(4).random((40, 3), np.float32)
    table[:, 2] = table[:, 0]
    weights, _ = play(of(name), table)
    np.testing.assert_allclose(weights[:, 2], weights[:, 0], rtol=1e-6)
    assert np.any(np.abs(weights[:, 1] - weights[:, 0]) > 0.05)
    equal, _ = play(of(name), np.repeat(table[:, :1], 3, axis=1))
    np.testing.assert_array_equal(equal, np.full((40, 3), np.float32(1 / 3)))


@every_learner
def test_weights_are_weights(name):
    @given(tables)
    @settings(max_examples=60)
    def check(table):
        weights, _ = play(of(name), table)
        assert np.all(np.isfinite(weights)) and np.min(weights) >= 0
        np.testing.assert_allclose(np.sum(weights, axis=1), 1, rtol=0, atol=4 * 2.0**-23)

    check()


@every_sleeper
def test_those_asleep_have_no_weight_and_no_say(name):
    """Their losses may be anything, and are often not there."""

    @given(tables, masks)
    @settings(max_examples=60)
    def check(table, awake):
        weights, _ = play(of(name), table, awake)
        somebody = awake.any(axis=1)
        assert np.all(weights[somebody][~awake[somebody]] == 0)
        np.testing.assert_array_equal(weights[~somebody], np.float32(1 / 3))
        np.testing.assert_allclose(np.sum(weights, axis=1), 1, rtol=0, atol=4 * 2.0**-23)
        missing, _ = play(of(name), np.where(awake, table, np.float32(np.nan)), awake)
        np.testing.assert_array_equal(missing, weights)

    check()


@every_learner
def test_it_recommends_the_weights_of_the_next_round(name):
    learner = of(name)
    table = np.random.default_rng(4).random((40, 3), np.float32)
    weights, state = play(learner, table)
    recommended = learner.recommend(state)
    np.testing.assert_array_equal(recommended, learner.act(state, (), ()))
    assert np.argmax(recommended) == np.argmin(table.sum(axis=0))
    assert not np.allclose(recommended, weights[-1], atol=1e-4)


@pytest.mark.parametrize("name", ["AdaNormalHedge", "Squint"])
def test_a_round_of_equal_losses_changes_nothing(name):
    """Not by rounding either: weights on three experts do not add up to exactly 1."""
    table = np.random.default_rng(4).random((40, 3), np.float32)
    _, state = play(of(name), table)
    for loss in np.random.default_rng(5).random(20, np.float32):
        after = of(name).update(state, (), of(name).recommend(state), LinearLoss(jnp.full(3, loss)))
        jax.tree.map(np.testing.assert_array_equal, after, state)
    shown = GroupContext((), jnp.array([True, False, True]))
    weights = of(name).act(state, shown, ())
    after = of(name).update(state, shown, weights, LinearLoss(jnp.array([0.7, 0.1, 0.7])))
    jax.tree.map(np.testing.assert_array_equal, after, state)


@every_learner
def test_losses_may_be_rewards_with_a_minus(name):
    """Only differences between the experts of a round count."""
    table = np.random.default_rng(4).integers(0, 65, (40, 3)).astype(np.float32) / 64
    weights, _ = play(of(name), table)
    learner = of(name)
    state = learner.init(KEY)
    for t in range(40):
        own = learner.act(state, (), ())
        np.testing.assert_allclose(own, weights[t], **CLOSE)
        state = learner.update(state, (), own, FullFeedback(jnp.asarray(1 - table[t])))


@every_learner
def test_a_round_leaves_shapes_and_dtypes_as_they_were(name):
    learner = of(name)
    observations = [(), GroupContext((), jnp.array([True, False, True]))]
    for observation in observations if name in SLEEPING else observations[:1]:

        def one_round(state, observation=observation):
            weights = learner.act(state, observation, ())
            losses = LinearLoss(jnp.zeros(3, jnp.float32))
            return learner.update(state, observation, weights, losses), weights

        with jax.numpy_dtype_promotion("strict"):
            state = jax.eval_shape(lambda: learner.init(KEY))
            after, weights = jax.eval_shape(one_round, state)
        assert weights.shape == (3,) and weights.dtype == jnp.float32
        assert jax.tree.structure(after) == jax.tree.structure(state)
        for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
            assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
    assert learner.noise(KEY, 8) == ()


LONG = 100_000
ROUND = np.arange(LONG)[:, None]
LONG_TABLES = {
    "chance": np.random.default_rng(0).random((LONG, 3), np.float32),
    "one is always worse": np.tile(np.float32([0, 0.3, 1]), (LONG, 1)),
    "late": np.where(ROUND < LONG / 2, np.float32([1, 0, 0.5]), np.float32([0, 1, 0.5])),
    "all or nothing": ((ROUND + np.arange(3)) % 3 == 0).astype(np.float32),
}


@pytest.mark.parametrize("kind", LONG_TABLES)
@every_learner
def test_long_games_lose_no_digits(name, kind):
    """Weights stay weights, and the sums that they follow from are what was played: each round is
    rounded, by 2^-24 of an expert's share, and the sum of 10^5 of them no more."""
    table = LONG_TABLES[kind]
    weights, state = play(of(name), table)
    assert np.all(np.isfinite(weights)) and np.min(weights) >= 0
    np.testing.assert_allclose(np.sum(weights, axis=1), 1, rtol=0, atol=4 * 2.0**-23)
    allowed = LONG * 5 * 2.0**-24
    if hasattr(state, "regrets"):
        rounds = regrets(weights, table)
        sizes = rounds**2 if hasattr(state, "squares") else np.abs(rounds)
        for pair, total in zip(state, (rounds, sizes), strict=True):
            np.testing.assert_allclose(value(pair), total.sum(axis=0), rtol=1e-7, atol=allowed)
    elif hasattr(state, "lows"):
        lost = np.asarray(state.weights.losses, np.float64)
        exact = table.astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(lost - lost[0], exact - exact[0], rtol=0, atol=allowed)
    else:
        lost = np.asarray(state.losses.high, np.float64) + np.asarray(state.losses.low, np.float64)
        exact = table.astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(lost, exact, rtol=0, atol=1e-6)


LOG = math.log(4)
BOUNDS = {
    "Hedge": math.sqrt(1000 * LOG / 2),
    "anytime": math.sqrt(2000 * LOG) + math.sqrt(LOG / 8),
    "AdaHedge": math.sqrt(1000 * LOG) + 4 / 3 * LOG + 2,
    "AdaNormalHedge": math.sqrt(3000 * (LOG + math.log(1 + 1.5 * (1 + math.log(1001))))),
    "Squint": math.sqrt(2000) * (1 + math.sqrt(2 * (LOG + math.log(0.5 + math.log(1001)))))
    + 5 * math.log(1 + 4 * (1 + 2 * math.log(1001))),
}
TURNS = instances.taking_turns(4, 50)
INSTANCES = {
    "leader_killer": instances.leader_killer(1000, 4),
    "taking_turns": LossTable(np.tile(TURNS.table, (5, 1))),
    "hidden_late": instances.hidden_late(4, 1000, 300),
}


@every_learner
def test_regret_on_the_named_instances_within_one_program(name):
    """The bounds that the learners' own tests hold them to, with 1,000 rounds and 4 experts, and
    lengths, squares and variances as large as can be. Tables are data: one program plays all."""
    learner = {"Hedge": Hedge(), "Sleeping(Hedge)": Sleeping(Hedge())}.get(name, LEARNERS[name])
    bound = BOUNDS[name.removeprefix("Sleeping(").removesuffix(")")]
    programs = None
    for env in INSTANCES.values():
        trace = simulate(env, learner, 1000, 1, checkpoints=[1000], progress=False)
        assert trace.metrics["regret"][-1, 0] <= bound + 1e-2
        programs = programs or engine._advance._cache_size()
        assert engine._advance._cache_size() == programs


def test_rates_may_be_stacked():
    rates, easy = [0.0, 0.5, 5.0], LossTable(np.tile([[0.25, 0.5, 0.75]], (4, 1)))
    learners = stack([Hedge(learning_rate=rate) for rate in rates])
    together = simulate(easy, learners, 50, 2, checkpoints=[50], progress=False)
    for i, rate in enumerate(rates):
        alone = simulate(easy, Hedge(learning_rate=rate), 50, 2, checkpoints=[50], progress=False)
        np.testing.assert_allclose(
            together.metrics["regret"][i], alone.metrics["regret"], rtol=1e-6
        )
