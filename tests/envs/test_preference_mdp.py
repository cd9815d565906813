"""Duels in a linear MDP: what is told, what is hidden, and regret against float64 values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp.preference import PRLSVI
from regrax.core.mdp import Deterministic, Stochastic
from regrax.core.preferences import AlwaysAsk, AskIfUnsure, Duel, NeverAsk
from regrax.core.protocol import complete
from regrax.core.simulate import simulate, stack
from regrax.envs.bandits import BernoulliBandit
from regrax.envs.mdp_instances import periodic_low_rank, river_swim
from regrax.envs.mdp_values import best_policy, optimal_values, policy_values
from regrax.envs.preference_mdp import PreferenceMDP

KEY = noise.root(11)
MDP = periodic_low_rank(6, 3, 3, 4)
ENV = PreferenceMDP(MDP, steepness=5.0)
H, S, A = MDP.rewards.shape
TRANSITIONS = np.einsum("sad,hdt->hsat", MDP.features, MDP.measures)
REWARDS = np.einsum("sad,hd->hsa", MDP.features, MDP.weights)


@jit
def _play(env, duel, tape):
    return jax.vmap(lambda row: env.step((), duel, row)[1:])(tape)


def play(env, duel, rounds, key=KEY):
    """Feedback and metrics of the same duel, again and again, and the tape."""
    tape = env.noise(key, rounds)
    return *jax.device_get(_play(env, duel, tape)), tape


def drawn_policy(seed, stochastic=False):
    rng = np.random.default_rng(seed)
    if stochastic:
        return Stochastic(rng.dirichlet(np.ones(A), (H, S)).astype(np.float32))
    return Deterministic(rng.integers(0, A, (H, S)).astype(np.int32), A)


@functools.cache
def many():
    """A duel of two policies that differ, asked about in 40,000 rounds."""
    return play(ENV, Duel(drawn_policy(0), drawn_policy(1), AlwaysAsk()), 40_000)


# ---- regret --------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.booleans())
def test_regret_is_that_of_float64_values(seed, stochastic):
    duel = Duel(drawn_policy(seed), drawn_policy(seed + 1, stochastic), NeverAsk())
    told, metrics, _ = play(ENV, duel, 8)
    best = optimal_values(TRANSITIONS, REWARDS)[1][0]
    expected = sum(
        (best - policy_values(TRANSITIONS, REWARDS, np.asarray(policy.probabilities()))[0])[start]
        for policy, start in (
            (duel.first, told.first.states[:, 0]),
            (duel.second, told.second.states[:, 0]),
        )
    )
    np.testing.assert_allclose(metrics["regret"], expected, rtol=0, atol=2e-6)


def test_the_best_policy_has_no_regret():
    best = Stochastic(best_policy(optimal_values(TRANSITIONS, REWARDS)[0]).astype(np.float32))
    _, metrics, _ = play(ENV, Duel(best, best, NeverAsk()), 8)
    np.testing.assert_array_equal(metrics["regret"], 0)
    assert ENV.evaluate((), best)["simple_regret"] == 0
    other = drawn_policy(3)
    assert ENV.evaluate((), other)["simple_regret"] == MDP.evaluate((), other)["simple_regret"] > 0
    assert ENV.evaluate((), ()) == {}


# ---- preferences ---------------------------------------------------------------------------


def mean_rewards(trajectory):
    stage = np.arange(H)
    return REWARDS[stage, trajectory.states[:, :-1], trajectory.actions].sum(axis=-1)


def test_preferences_are_coins_with_the_link_of_the_difference():
    """In every tenth of the chances, and altogether: five standard errors."""
    told, metrics, _ = many()
    difference = mean_rewards(told.second) - mean_rewards(told.first)
    chances = 1 / (1 + np.exp(-5.0 * difference))
    assert set(np.unique(told.preference)) == {0, 1} and told.asked.all()
    assert chances.min() < 0.05 and chances.max() > 0.9
    order = np.argsort(chances)
    for part in (order, *np.array_split(order, 10)):
        error = np.sqrt(np.sum(chances[part] * (1 - chances[part])))
        assert abs(np.sum(told.preference[part] - chances[part])) < 5 * error
    np.testing.assert_array_equal(metrics["queries"], 1)
    assert metrics["queries"].dtype == np.int32


def test_rewards_are_not_told():
    told, metrics, tape = many()
    assert not told.first.rewards.any() and not told.second.rewards.any()
    duel = Duel(drawn_policy(0), drawn_policy(1), AlwaysAsk())
    policy = jax.tree.map(jnp.asarray, duel.first)
    alone = jax.vmap(lambda row: MDP.play(policy, row))(tape.first)
    np.testing.assert_array_equal(told.first.states, alone.states)
    both, rewarded, _ = play(PreferenceMDP(MDP, feedback="rewards"), duel, 40_000)
    np.testing.assert_array_equal(both.first.rewards, alone.rewards)
    np.testing.assert_array_equal(both.second.states, told.second.states)
    total = both.first.rewards.sum(axis=-1) + both.second.rewards.sum(axis=-1)
    for found in (metrics, rewarded):
        np.testing.assert_allclose(found["reward"], total, rtol=1e-6)
    assert not both.asked.any() and not rewarded["queries"].any()
    np.testing.assert_array_equal(both.preference, 0.5)


def test_the_two_episodes_are_independent():
    """The same policy in both: how often the second states agree is what chance makes of it."""
    policy = drawn_policy(4)
    told, _, _ = play(ENV, Duel(policy, policy, NeverAsk()), 40_000)
    states = told.first.states[:, 1], told.second.states[:, 1]
    law = TRANSITIONS[0, 0, policy.actions[0, 0]]
    for found in states:
        counts = np.bincount(found, minlength=S) / len(found)
        np.testing.assert_allclose(counts, law, atol=5 / np.sqrt(4 * len(found)))
    agree = np.mean(states[0] == states[1])
    assert abs(agree - np.sum(law**2)) < 5 / np.sqrt(4 * len(states[0]))


# ---- what is not asked ---------------------------------------------------------------------


def test_an_answer_that_was_not_asked_for_is_hidden():
    told, metrics, _ = play(ENV, Duel(drawn_policy(0), drawn_policy(1), NeverAsk()), 100)
    np.testing.assert_array_equal(told.preference, 0.5)
    assert not told.asked.any() and not metrics["queries"].any()


def test_the_rule_is_asked_about_the_difference_of_the_features():
    """A threshold between the differences: asked exactly where the pair differs by more."""
    with jax.enable_x64(True):
        root = jnp.eye(H * MDP.dimension, dtype=jnp.float64)
    duel = Duel(drawn_policy(0), drawn_policy(1), AskIfUnsure(root, 1.0, 1.1))
    told, metrics, _ = play(ENV, duel, 500)
    along = [MDP.features[x.states[:, :-1], x.actions] for x in (told.first, told.second)]
    norms = np.linalg.norm((along[1] - along[0]).reshape(500, -1), axis=-1)
    expected = 2 * norms / np.sqrt(np.pi) > 1.1
    assert 50 < expected.sum() < 450
    np.testing.assert_array_equal(told.asked, expected)
    np.testing.assert_array_equal(metrics["queries"], expected)
    np.testing.assert_array_equal(told.preference == 0.5, ~expected)


def test_a_learner_knows_nothing_of_a_coin_that_it_did_not_see():
    """The state after a round is the same to the last bit, whatever the tape has for the coin; and
    is not, where the learner asked."""
    learner = complete(PRLSVI(epsilon=0.0), ENV, 10)
    state, tape = learner.init(KEY), ENV.noise(KEY, 1)
    draw = jax.tree.map(lambda x: x[0], learner.noise(KEY, 1))
    row = jax.tree.map(lambda x: x[0], tape)

    @jit
    def after(learner, coin, rule):
        duel = learner.act(state, (), draw)._replace(rule=rule)
        _, told, _ = ENV.step((), duel, row._replace(preference=coin))
        return learner.update(state, (), duel, told)

    for rule, same in ((NeverAsk(), True), (AlwaysAsk(), False)):
        ends = [jax.tree.leaves(after(learner, jnp.float32(x), rule)) for x in (1e-6, 1 - 1e-6)]
        equal = [np.array_equal(a, b) for a, b in zip(*ends, strict=True)]
        assert all(equal) is same


# ---- the contract --------------------------------------------------------------------------


def test_learners_are_told_what_they_may_know():
    swim = river_swim(4, 10)
    env = PreferenceMDP(swim, 2.0)
    for name in ("features", "stages", "num_states", "num_actions", "dimension", "start"):
        np.testing.assert_array_equal(getattr(env, name), getattr(swim, name))
    assert not hasattr(env, "rewards") and not hasattr(env, "transitions")
    learner = complete(PRLSVI(), env, 77)
    assert (learner.steepness, learner.stages, learner.horizon) == (2.0, 10, 77)


def test_a_stack_of_links_is_each_of_them():
    """For a learner that believes in one; left to itself it takes that of the first."""
    members = [PreferenceMDP(MDP, k) for k in (0.5, 5.0)]
    options = {"horizon": 30, "seeds": range(4), "checkpoints": [30], "progress": False}
    learner = PRLSVI(epsilon=0.05, power=0.25, steepness=3.0)
    together = simulate(stack(members), learner, **options).metrics
    for i, member in enumerate(members):
        alone = simulate(member, learner, **options).metrics
        for name, x in alone.items():
            np.testing.assert_allclose(together[name][i], x, rtol=1e-5, atol=1e-5)


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="PreferenceMDP wraps a LinearMDP, such as"):
        PreferenceMDP(BernoulliBandit(np.array([0.1, 0.2])))
    with pytest.raises(ValueError, match="steepness is positive, got 0"):
        PreferenceMDP(MDP, 0.0)
    with pytest.raises(ValueError, match="steepness is positive, got inf"):
        PreferenceMDP(MDP, np.inf)
    with pytest.raises(ValueError, match=r"one of \['preferences', 'rewards'\], got 'both'"):
        PreferenceMDP(MDP, feedback="both")
