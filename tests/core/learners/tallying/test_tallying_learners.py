"""Learners for weighted tallying bandits: arm by arm against plain references, and what their
theory promises."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regrax as rx
from regrax.core import noise
from regrax.core.learners import tallying
from regrax.core.protocol import BanditFeedback, complete
from regrax.envs import tally_losses as families
from regrax.envs.tallying import WeightedTallyingBandit
from regrax.envs.windows import GeometricWindow, UniformWindow

from . import reference

K, T = 4, 3000
MEANS = np.array([0.3, 0.85, 0.5, 0.8])


def table(seeds=6, num_rounds=T):
    """Rewards [S, T, K] in (0, 1) whose sums never tie."""
    rng = np.random.default_rng(1)
    spread = rng.uniform(-0.15, 0.15, (seeds, num_rounds, K))
    return (MEANS + spread).astype(np.float32)


@jax.jit
def _play(learner, rewards, tape):
    def one_round(state, row):
        rewards, draw = row
        arm = learner.act(state, (), draw)
        return learner.update(state, (), arm, BanditFeedback(rewards[arm])), arm

    def one(rewards):
        return jax.lax.scan(one_round, learner.init(noise.root(0)), (rewards, tape))

    return jax.vmap(one)(rewards)


def play(learner, rewards):
    """Arms [S, T] on reward tables, and the last states; all seeds have the same noise."""
    tape = learner.noise(noise.root(3), rewards.shape[1])
    state, arms = _play(learner, rewards, tape)
    return np.asarray(arms), state, jax.device_get(tape)


CASES = {
    "elimination": (
        tallying.TallyingElimination(K, T, 20),
        partial(reference.TallyingElimination, K, T, 20),
    ),
    "elimination, no burn-in": (
        tallying.TallyingElimination(K, T, 0),
        partial(reference.TallyingElimination, K, T, 0),
    ),
    "elimination, merged": (
        tallying.TallyingElimination(K, T, 15, merge=True),
        partial(reference.TallyingElimination, K, T, 15, merge=True),
    ),
    "elimination, fast": (
        tallying.TallyingElimination(K, T, 3, delta=0.1, growth=4),
        partial(reference.TallyingElimination, K, T, 3, delta=0.1, growth=4),
    ),
    "round robin": (
        tallying.RoundRobinElimination(K, T),
        partial(reference.RoundRobinElimination, K, T),
    ),
    "explore, commit": (
        tallying.ExposedExploreThenCommit(K, T, 20),
        partial(reference.ExposedExploreThenCommit, K, T, 20),
    ),
    "explore, commit at once": (
        tallying.ExposedExploreThenCommit(K, T, 0, pulls_per_arm=7),
        partial(reference.ExposedExploreThenCommit, K, T, 0, 7),
    ),
    "levels": (
        tallying.LevelElimination(K, T, 3, delta=0.5),
        partial(reference.LevelElimination, K, T, 3, delta=0.5),
    ),
    "batched": (
        tallying.Batched(rx.learners.Exp3(), num_arms=K, horizon=T),
        partial(reference.BatchedExp3, K, T, 14),
    ),
    "batched, burn-in": (
        tallying.Batched(rx.learners.Exp3(), 30, 10, K, T),
        partial(reference.BatchedExp3, K, T, 30, 10),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_plays_what_the_reference_plays(name):
    learner, build = CASES[name]
    rewards = table()
    arms, _, tape = play(learner, rewards)
    sure = 0
    for row, played in zip(rewards.astype(np.float64), arms, strict=True):
        other, chosen = build(), np.empty(T, int)
        for t in range(T):
            chosen[t] = other.act() if isinstance(tape, tuple) else other.act(float(tape[t]))
            other.update(chosen[t], row[t, chosen[t]])
        if other.margin > 1e-5:  # no comparison that rounding could have decided
            np.testing.assert_array_equal(played, chosen)
            sure += 1
    assert sure >= 3
    assert len(np.unique(arms[:, -1])) < K or "batched" in name  # something was learned


def test_something_was_dropped():
    """The comparisons above go through eliminations, down to a single arm or few."""
    _, state, _ = play(CASES["elimination, fast"][0], table())
    active = np.asarray(state.inner.active)
    assert (active.sum(axis=1) < K).all() and active[:, 1].all() and not active[:, 0].any()
    _, state, _ = play(CASES["levels"][0], table())
    assert not np.asarray(state.alive).all()


def test_batched_ucb1_tells_means_of_batches():
    """A batch of 1 changes nothing; a batch of 3 is UCB1 on the means of three rewards."""
    rewards = table(2, 300)
    plain = play(rx.learners.UCB1(K), rewards)[0]
    ones = play(tallying.Batched(rx.learners.UCB1(), 1, 0, K, 300), rewards)[0]
    np.testing.assert_array_equal(ones, plain)
    threes = play(tallying.Batched(rx.learners.UCB1(), 3, 0, K, 300), rewards)[0]
    means = rewards.reshape(2, 100, 3, K).mean(axis=2)
    np.testing.assert_array_equal(threes, np.repeat(play(rx.learners.UCB1(K), means)[0], 3, axis=1))


# ---- what theory promises ------------------------------------------------------------------


def visited_exposures(env, learner, horizon, seeds):
    """(arms, exposures, whether the reward is kept) [S, T] of a game played round by round."""
    learner = complete(learner, env, horizon)
    return jax.device_get(_visited_exposures(env, learner, jnp.zeros(horizon), jnp.arange(seeds)))


@jax.jit
def _visited_exposures(env, learner, rounds, seeds):

    def one(seed):
        key = noise.stream(noise.root(0), seed)
        tape = env.noise(key, len(rounds))

        def one_round(states, draw):
            window, state = states
            arm = learner.act(state, (), ())
            window, exposure = env.window.play(window, arm)
            thrown, _ = learner.lengths(state.inner, arm)
            kept = state.played >= thrown
            reward = (draw >= env.losses.at(arm, exposure)).astype(jnp.float32)
            state = learner.update(state, (), arm, BanditFeedback(reward))
            return (window, state), (arm, exposure, kept)

        first = env.window.init(env.num_arms), learner.init(key)
        return jax.lax.scan(one_round, first, tape)[1]

    return jax.vmap(one)(seeds)


@settings(max_examples=8)
@given(st.integers(0, 12), st.booleans(), st.floats(0.3, 1.0))
def test_rewards_that_are_kept_are_those_of_full_exposure(extra, merge, decay):
    """burn_in >= memory - 1, whatever the weights: each reward kept has mean 1 - h(W) exactly."""
    memory = 6
    env = WeightedTallyingBandit(families.trap(3), GeometricWindow(memory, decay))
    learner = tallying.TallyingElimination(burn_in=memory - 1 + extra, merge=merge)
    _, exposures, kept = visited_exposures(env, learner, 400, 3)
    assert kept.any() and (exposures[kept] == 1).all()


def test_too_short_a_burn_in_keeps_other_rewards():
    env = WeightedTallyingBandit(families.trap(3), UniformWindow(6))
    _, exposures, kept = visited_exposures(env, tallying.TallyingElimination(burn_in=4), 400, 3)
    assert (exposures[kept] < 1).any()


def regret(env, learner, horizon=4000, seeds=32):
    trace = rx.simulate(env, learner, horizon, seeds, checkpoints=[horizon], progress=False)
    return trace.metrics["regret"][0], trace


def test_memory_is_all_that_matters_to_elimination():
    """Losses that exposure changes, with a burn-in, and the same losses settled: the draws being
    equal, elimination drops the same arms at the same time."""
    levels = np.linspace(0.2, 0.6, K)
    runs = {}
    for name, losses in {
        "constant": families.constant(levels),
        "learning": families.learning(levels),
        "bent": families.CurvedLosses(levels, bow=0.5),
    }.items():
        env = WeightedTallyingBandit(families.tabulated(losses, 5), UniformWindow(5))
        runs[name] = regret(env, tallying.TallyingElimination(delta=0.1))
    for name in ("learning", "bent"):
        pulls = (runs[x][1].metrics["pulls"] for x in ("constant", name))
        np.testing.assert_array_equal(*pulls)
        assert (runs[name][0] > runs["constant"][0] + 1).all()


def test_round_robin_drops_the_best_arm_and_elimination_keeps_it():
    env = WeightedTallyingBandit(families.tabulated(families.trap(K), 10), UniformWindow(10))
    fooled, trace = regret(env, tallying.RoundRobinElimination())
    assert (trace.metrics["simple_regret"] > 0.4).all()
    kept, trace = regret(env, tallying.TallyingElimination(delta=0.05))
    assert (trace.metrics["simple_regret"] == 0).all() and (kept < fooled + 4000).all()


def test_the_oracle_pays_the_way_to_full_exposure_only():
    env = WeightedTallyingBandit(families.tabulated(families.trap(K), 10), UniformWindow(10))
    for arm, cost in ((env.best_arm, 9 * 0.75), (2, 4 * 0.15 + 3996 * 0.5)):
        values, trace = regret(env, tallying.Always(arm), seeds=8)
        np.testing.assert_allclose(values, cost, rtol=1e-5)
        assert (trace.metrics["simple_regret"] == (0.5 if arm else 0)).all()


def test_levels_find_the_plan_that_no_single_arm_matches():
    """Two arms, each cheap at tally 1 and dear at 2: turns cost 0.1, any arm for ever 0.8."""
    losses = families.TableLosses([[0.1, 0.8], [0.1, 0.8]], between="nearest")
    env = WeightedTallyingBandit(losses, UniformWindow(2))
    turns, _ = regret(env, tallying.LevelElimination(delta=0.1))
    single, _ = regret(env, tallying.TallyingElimination(delta=0.1))
    assert turns.mean() < -0.8 * 0.7 * 4000 < single.mean()


def test_exp3_is_exponential_weights_on_estimated_losses_at_the_rate_of_the_theory():
    """p ~ exp(-eta * losses), eta = sqrt(2 ln K / (T K)), on rewards of 1 - loss."""
    rewards = table(2, 500)
    arms, _, tape = play(rx.learners.Exp3(K, 500), rewards)
    for row, played in zip(rewards.astype(np.float64), arms, strict=True):
        other = reference.BatchedExp3(K, 500, 1)
        for t, arm in enumerate(played):
            assert other.act(float(tape[t])) == arm or other.margin < 1e-4
            other.arm = arm
            other.update(arm, row[t, arm])


# ---- blanks, errors, and the protocol ------------------------------------------------------

EVERY = [
    tallying.Always(),
    tallying.Batched(rx.learners.ThompsonBeta()),
    tallying.ExposedExploreThenCommit(),
    tallying.LevelElimination(),
    tallying.RoundRobinElimination(),
    tallying.TallyingElimination(merge=True),
]
ENV = WeightedTallyingBandit(families.trap(3), UniformWindow(4))


@pytest.mark.parametrize("learner", EVERY, ids=lambda x: type(x).__name__)
def test_a_round_leaves_shapes_and_dtypes_as_they_were(learner):
    learner = complete(learner, ENV, 100)

    def one_round(state, tape):
        row = jax.tree.map(lambda x: x[0], tape)
        arm = learner.act(state, (), row)
        after = learner.update(state, (), arm, BanditFeedback(jnp.float32(0.5)))
        return after, (arm, learner.recommend(after))

    with jax.numpy_dtype_promotion("strict"):
        state = jax.eval_shape(lambda: learner.init(noise.root(0)))
        tape = jax.eval_shape(lambda: learner.noise(noise.root(0), 7))
        after, arms = jax.eval_shape(one_round, state, tape)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert all(x.shape == () and x.dtype == jnp.int32 for x in arms)


def test_blanks_are_filled_from_the_game():
    learner = complete(tallying.TallyingElimination(), ENV, 100)
    assert (learner.num_arms, learner.horizon, learner.burn_in) == (3, 100, 4)
    assert complete(tallying.LevelElimination(), ENV, 100).memory == 4
    plain = complete(tallying.TallyingElimination(), rx.envs.BernoulliBandit([0.5, 0.6]), 100)
    with pytest.raises(ValueError, match="does not know its burn_in"):
        plain.update(plain.init(noise.root(0)), (), jnp.int32(0), BanditFeedback(jnp.float32(1)))


def test_burn_ins_stack_into_one_program():
    learners = [tallying.TallyingElimination(burn_in=m) for m in (4, 8, 12)]
    trace = rx.simulate(ENV, rx.stack(learners), 300, 4, checkpoints=[300], progress=False)
    alone = rx.simulate(ENV, learners[1], 300, 4, checkpoints=[300], progress=False)
    np.testing.assert_array_equal(trace.metrics["pulls"][1], alone.metrics["pulls"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tallying.TallyingElimination(burn_in=-1), "burn_in is zero or more"),
        (lambda: tallying.TallyingElimination(growth=1), "growth is two or more"),
        (lambda: tallying.TallyingElimination(delta=0.0), "delta is a positive probability"),
        (lambda: tallying.RoundRobinElimination(horizon=0), "horizon is one round or more"),
        (lambda: tallying.ExposedExploreThenCommit(pulls_per_arm=0), "pulls_per_arm is one"),
        (lambda: tallying.Batched(rx.learners.UCB1), "takes a learner"),
        (lambda: tallying.Batched(rx.learners.UCB1(), batch=0), "batch is one round"),
        (lambda: tallying.LevelElimination(memory=0), "memory is a whole number"),
        (lambda: tallying.Always(-1), "arm is a whole number"),
        (lambda: complete(tallying.Always(3), ENV, 10), "one of 3 arms"),
    ],
)
def test_bad_parameters_are_refused_when_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
