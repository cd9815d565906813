"""Linear MDPs: the model, what an episode draws, and exact regret."""

import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as sps
from hypothesis import given, settings

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.mdp import Stochastic, Trajectory, counts_of, greedy
from regrax.envs import mdp_values as exact
from regrax.envs.linear_mdp import EpisodeNoise, LinearMDP, tabular
from regrax.envs.mdp_coverage import exact_tables
from regrax.envs.mdp_instances import deep_sea, periodic_low_rank, random_low_rank, river_swim
from regrax.tests.envs.mdp_conformance import (
    FALSE_ALARM,
    check_mdp,
    plausible_counts,
    play,
    scripted_policies,
)

EPISODES = 3000


def small(reward_noise="coins", sigma: object = 1.0, seed=0, states=4, actions=3, stages=3):
    """Some transitions are impossible, some certain."""
    rng = np.random.default_rng(seed)
    moves = rng.dirichlet(np.full(states, 0.5), (stages, states, actions))
    moves[moves < 0.1] = 0
    moves /= moves.sum(axis=-1, keepdims=True)
    start = np.append(0.0, rng.dirichlet(np.ones(states - 1)))
    return tabular(moves, rng.random((stages, states, actions)), start, reward_noise, sigma)


def expected_return(env, chances):
    """Of a policy, from every first state, [S]: forward sums of occupancies, in float64."""
    moves, rewards, _ = exact_tables(env)
    total = np.zeros(env.num_states)
    here = np.eye(env.num_states)  # [first, now]
    for h in range(env.stages):
        visits = here[:, :, None] * chances[h]
        total += np.sum(visits * rewards[h], axis=(1, 2))
        here = np.tensordot(visits, moves[h], 2)
    return total


def best_return(env):
    """The same of the best policy, found by trying all; the first state decides nothing."""
    shape = env.stages, env.num_states
    every = itertools.product(range(env.num_actions), repeat=shape[0] * shape[1])
    tables = (np.eye(env.num_actions)[np.reshape(actions, shape)] for actions in every)
    return np.max([expected_return(env, table) for table in tables], axis=0)


ENVS = {
    "coins": lambda: periodic_low_rank(5, 3, 2, 4),
    "normal": lambda: small("normal", 0.3),
    "certain": lambda: river_swim(4, 6),
    "normal at two places": lambda: deep_sea(5, windy=True, seed=1),
    "one stage, state and action": lambda: tabular(np.ones((1, 1, 1, 1)), [[[0.5]]], [1.0]),
}
ROUNDS = 30  # of every program here: each environment compiles one


@pytest.mark.parametrize("name", ENVS)
def test_conformance(name):
    check_mdp(ENVS[name](), ROUNDS)


# ---- regret --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENVS)
def test_regret_is_exact(name):
    env = ENVS[name]()
    policies = scripted_policies(env, ROUNDS, seed=1)
    recommended = jax.tree.map(lambda x: x[4], policies)
    played = jax.device_get(play(env, policies, recommended))
    moves, rewards, start = exact_tables(env)
    best = exact.optimal_values(moves, rewards)[1][0]
    returns = np.array([expected_return(env, np.asarray(p)) for p in policies.chances])
    first = played.feedback.states[:, :, 0]
    wanted = (best - returns)[np.arange(ROUNDS), first]
    np.testing.assert_allclose(played.metrics["regret"], wanted, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(
        played.metrics["reward"], played.feedback.rewards.sum(axis=-1), rtol=1e-5, atol=1e-5
    )
    simple = np.sum(start * (best - returns[4]))
    np.testing.assert_allclose(played.reports["simple_regret"], simple, rtol=1e-4)


def test_best_value_is_that_of_the_best_policy():
    env = small(states=3, actions=2, stages=2, seed=3)
    best = exact.optimal_values(*exact_tables(env)[:2])[1][0]
    np.testing.assert_allclose(best, best_return(env), atol=1e-12)


@pytest.mark.parametrize("name", ENVS)
def test_an_optimal_policy_has_no_regret_at_all(name):
    env = ENVS[name]()
    values, _ = exact.optimal_values(*exact_tables(env)[:2])
    policy = Stochastic(greedy(jnp.asarray(values)).probabilities())
    many = jax.tree.map(lambda x: jnp.repeat(x[None], ROUNDS, axis=0), policy)
    played = play(env, many, policy)
    assert np.all(np.asarray(played.metrics["regret"]) == 0)
    assert np.all(np.asarray(played.reports["simple_regret"]) == 0)


def test_equal_actions_are_all_optimal():
    """Values of the two actions differ by rounding only; neither is regretted."""
    moves = np.full((3, 2, 2, 2), 0.5)
    moves[:, :, 1] = [0.3, 0.7]
    means = np.full((3, 2, 2), 0.1) + 0.2 * np.arange(3)[:, None, None]
    env = tabular(moves, means, [0.5, 0.5])
    assert np.all(env.gaps == 0)


def test_a_recommendation_may_be_no_policy():
    assert small().evaluate((), ()) == {}


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 3))
def test_regret_is_the_sum_of_gaps_along_the_way(seed, concentration):
    env = random_low_rank(4, 3, 3, 3, seed, concentration=concentration)
    moves, rewards, start = exact_tables(env)
    chances = np.random.default_rng(seed).dirichlet(np.ones(3), (3, 4))
    visits = exact.occupancy(moves, start, chances)
    lost = start @ exact.optimal_values(moves, rewards)[1][0] - start @ expected_return(
        env, chances
    )
    np.testing.assert_allclose(np.sum(visits * env.gaps), lost, rtol=1e-5, atol=1e-7)
    assert env.gaps.min() >= 0 and np.all(env.gaps.min(axis=-1) == 0)


# ---- episodes ------------------------------------------------------------------------------


@jit
def many_episodes(env, policy, key):
    draws = env.noise(key, EPISODES)
    return jax.vmap(env.play, in_axes=(None, 0))(policy, draws)


def simulate_many(env, chances):
    policy = Stochastic(jnp.asarray(chances, jnp.float32))
    return jax.device_get(many_episodes(env, policy, noise.root(11)))


def test_frequencies():
    env = small()
    chances = np.random.default_rng(5).dirichlet(np.ones(3), (3, 4))
    chances[..., 0][chances[..., 0] < 0.3] = 0
    chances /= chances.sum(axis=-1, keepdims=True)
    episodes = simulate_many(env, chances)
    counts = counts_of(Trajectory(*map(jnp.asarray, episodes)), 4, 3)
    visits = np.asarray(counts.visits)
    moves, rewards, start = exact_tables(env)
    plausible_counts(np.bincount(episodes.states[:, 0], minlength=4), EPISODES, start)
    seen = visits.sum(axis=-1)
    plausible_counts(seen, seen.sum(axis=-1, keepdims=True), np.float32(chances).astype(float))
    plausible_counts(visits, seen[..., None], moves)
    plausible_counts(np.asarray(counts.rewards), seen, rewards)
    occupied = exact.occupancy(moves, start, chances)
    plausible_counts(seen, EPISODES, occupied)


def test_draws_of_an_episode_are_independent():
    """Neither a reward nor the next action says where an action leads: of any two fair coins, half
    of the episodes have both the same."""
    moves = np.full((2, 2, 2, 2), 0.5)
    env = tabular(moves, np.full((2, 2, 2), 0.5), [0.5, 0.5], "coins")
    states, actions, rewards = simulate_many(env, np.full((2, 2, 2), 0.5))
    bits = np.concatenate([states, actions, rewards.astype(int)], axis=1)
    pairs = np.array(list(itertools.combinations(range(bits.shape[1]), 2))).T
    agree = np.sum(bits[:, pairs[0]] == bits[:, pairs[1]], axis=0)
    plausible_counts(agree, EPISODES, np.float64(0.5))


def test_rewards_without_noise():
    env = small("none")
    states, actions, rewards = simulate_many(env, np.full((3, 4, 3), 1 / 3))
    np.testing.assert_array_equal(rewards, env.rewards[np.arange(3), states[:, :-1], actions])


@pytest.mark.parametrize("per_pair", [False, True])
def test_normal_rewards(per_pair):
    sigma = 0.2 + np.arange(36).reshape(3, 4, 3) / 20 if per_pair else 0.3
    env = small("normal", sigma)
    states, actions, rewards = simulate_many(env, np.full((3, 4, 3), 1 / 3))
    at = np.arange(3), states[:, :-1], actions
    deviations = np.broadcast_to(sigma, (3, 4, 3))[at]
    scores = ((rewards - env.rewards[at]) / deviations).astype(np.float64)
    assert sps.kstest(scores.ravel(), "norm").pvalue > FALSE_ALARM
    for h in range(3):
        assert abs(scores[:, h].mean()) * np.sqrt(EPISODES) < sps.norm.isf(FALSE_ALARM)
    squares = np.sum(scores**2)
    assert FALSE_ALARM < sps.chi2.cdf(squares, scores.size) < 1 - FALSE_ALARM


@jit
def one_episode(env, policy, draws):
    return env.play(policy, draws)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_the_extreme_draws_stay_possible(seed):
    """Uniform draws end at 2^-24 and 1 - 2^-24: not even they lead to a state of chance 0."""
    env = small(seed=seed)
    policy = Stochastic(jnp.asarray(np.eye(3)[np.full((3, 4), seed % 3)], jnp.float32))
    for u in (2.0**-24, 1 - 2.0**-24):
        draws = EpisodeNoise(*(jnp.full(shape, u, jnp.float32) for shape in ((), (3,), (3,), (3,))))
        states, actions, rewards = jax.device_get(one_episode(env, policy, draws))
        assert env.start[states[0]] > 0 and np.all(actions == seed % 3)
        assert np.all(env.transitions[np.arange(3), states[:-1], actions, states[1:]] > 0)
        assert np.all((rewards == 0) | (rewards == 1))


def test_a_wrapped_table_is_the_same_mdp():
    """A low-rank MDP and its table: the same episodes, the same regret."""
    env = periodic_low_rank(5, 3, 2, 4)
    moves, rewards, start = exact_tables(env)
    wide = tabular(moves, rewards, start, "coins")
    assert (wide.dimension, env.dimension) == (15, 2)
    policies = scripted_policies(env, ROUNDS)
    recommended = jax.tree.map(lambda x: x[0], policies)
    one, other = (jax.device_get(play(x, policies, recommended)) for x in (env, wide))
    np.testing.assert_array_equal(one.feedback.states, other.feedback.states)
    np.testing.assert_allclose(one.metrics["regret"], other.metrics["regret"], rtol=1e-5)


def test_names():
    env = periodic_low_rank(5, 3, 2, 4)
    assert (env.num_states, env.num_actions, env.dimension, env.stages) == (5, 3, 2, 4)
    assert "5 states, 3 actions, 4 stages, dimension 2" in repr(env)


# ---- bad input -----------------------------------------------------------------------------


def tables(**changes):
    given = {
        "features": np.eye(2).reshape(2, 1, 2),
        "measures": np.full((3, 2, 2), 0.5),
        "weights": np.full((3, 2), 0.5),
        "start": np.array([1.0, 0.0]),
    }
    return LinearMDP(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.eye(2)}, r"features \[S, A, d\].*got \[\[2, 2\]"),
        ({"measures": np.full((3, 2, 3), 0.5)}, r"measures \[H, d, S\]"),
        ({"measures": np.full((3, 3, 2), 0.5)}, r"measures \[H, d, S\]"),
        ({"weights": np.full((2, 2), 0.5)}, r"weights \[H, d\]"),
        ({"weights": np.full((3, 2), np.nan)}, "weights is an array of finite numbers"),
        ({"weights": None}, "weights is an array of finite numbers"),
        ({"features": np.zeros((2, 0, 2))}, "none empty"),
        ({"start": np.array([1.0])}, "2 first states"),
        ({"start": np.array([0.5, 0.4])}, "2 first states"),
        ({"start": np.array([1.5, -0.5])}, "2 first states"),
        ({"measures": np.full((3, 2, 2), 0.4)}, "a sum of 0.8 at stage 0, state 0, action 0"),
        ({"measures": np.tile([1.5, -0.5], (3, 2, 1))}, "a least one of -0.5"),
        ({"weights": np.full((3, 2), 2.0), "reward_noise": "coins"}, "go from 2 to 2"),
        ({"reward_noise": "coin"}, r"reward_noise is one of \['none', 'coins', 'normal'\]"),
        ({"sigma": -1.0}, "sigma is finite, zero or more, got -1.0"),
        ({"sigma": np.inf}, "sigma is finite"),
        ({"sigma": np.ones(3)}, r"an array of them \[3, 2, 1\]"),
        ({"sigma": np.full((3, 2, 1), -1.0)}, "sigma is a number from 0"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        tables(**changes)


@pytest.mark.parametrize("shape", [(3, 2, 1, 3), (2, 1, 2), (3, 2, 2, 2)])
def test_bad_tables(shape):
    moves = np.full(shape, 1 / shape[-1])
    with pytest.raises(ValueError, match=r"tabular takes transitions \[H, S, A, S\]"):
        tabular(moves, np.zeros((3, 2, 1)), [1.0, 0.0])


def test_good_tables_of_the_same_shapes():
    assert tables(reward_noise="coins", sigma=np.ones((3, 2, 1))).dimension == 2
