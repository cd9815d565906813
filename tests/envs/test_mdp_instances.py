"""Named linear MDPs: their factorisations, and exact values to the digits in print."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from regrax.envs import mdp_hard_instances as hard
from regrax.envs import mdp_instances as instances
from regrax.envs import mdp_values as exact
from regrax.envs.mdp_coverage import exact_tables

FRACTION: Any = 2.5  # where a whole number is wanted
TEXT: Any = "0.1"
EVERY = {
    "random": lambda: instances.random_low_rank(7, 3, 4, 5, seed=2),
    "anchors": lambda: instances.random_low_rank(7, 3, 4, 5, anchors=True, concentration=0.1),
    "periodic": lambda: instances.periodic_low_rank(10, 4, 3, 5),
    "river": lambda: instances.river_swim(),
    "chain": lambda: instances.chain(),
    "deep sea": lambda: instances.deep_sea(6),
    "windy": lambda: instances.deep_sea(6, windy=True, seed=1),
    "tree": lambda: instances.depth_two_tree(),
    "lock": lambda: hard.combination_lock(10, 4),
    "drawn lock": lambda: hard.combination_lock(10, 4, swap=0.2, anti=0.3, seed=1),
    "hard": lambda: hard.hard_instance(5, 10, 1000),
    "drawn hard": lambda: hard.hard_instance(4, 6, 1000, seed=1),
    "many actions": lambda: hard.many_actions(),
    "drawn many actions": lambda: hard.many_actions(10, 300, seed=1),
}


def values(env, policy=None):
    """V_0 [S]: of a policy [H, S, A], or the best, in float64."""
    moves, rewards, _ = exact_tables(env)
    if policy is None:
        return exact.optimal_values(moves, rewards)[1][0]
    return exact.policy_values(moves, rewards, policy)[0]


def uniform(env):
    return values(env, exact.uniform_policy(env.stages, env.num_states, env.num_actions))


def constant(env, action):
    """V_0 of always playing one action."""
    shape = env.stages, env.num_states
    return values(env, np.eye(env.num_actions)[np.full(shape, action)])


def in_print(value, text):
    """Equal in all the digits of a printed number."""
    digits = len(text.partition(".")[2])
    assert f"{value:.{digits}f}" == f"{float(text):.{digits}f}", (value, text)


@pytest.mark.parametrize("name", EVERY)
def test_factorisation(name):
    """phi mu is a distribution, and what is played is its float32."""
    env = EVERY[name]()
    moves = np.einsum("sad,hdt->hsat", env.features, env.measures)
    assert moves.min() > -1e-12 and np.abs(moves.sum(axis=-1) - 1).max() < 1e-12
    assert np.abs(moves - env.transitions).max() < 1e-7
    rewards = np.einsum("sad,hd->hsa", env.features, env.weights)
    assert np.abs(rewards - env.rewards).max() < 1e-7
    lengths = np.linalg.norm(env.features, axis=-1)
    assert lengths.max() < 1 + 1e-12
    # What the model asks of measures and weights; measures are positive in all but two of them.
    assert np.linalg.norm(env.weights, axis=-1).max() <= np.sqrt(env.dimension) + 1e-12
    assert np.linalg.norm(env.measures.sum(axis=-1), axis=-1).max() <= (
        np.sqrt(env.dimension) * (1 + 1e-12) if "many" not in name else np.sqrt(2 * env.dimension)
    )


# ---- low rank ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "best", "mean", "at_random", "least", "cover"),
    [
        ((10, 4, 3, 5), "3.31948516", "3.47068894", "2.72543847", "0.07382", "6.545"),
        ((20, 5, 6, 10), "5.44554136", "5.51121819", "4.30552273", "0.00652", "8.237"),
    ],
)
def test_periodic_low_rank(sizes, best, mean, at_random, least, cover):
    env = instances.periodic_low_rank(*sizes)
    in_print(values(env)[0], best)
    in_print(values(env).mean(), mean)
    in_print(uniform(env)[0], at_random)
    flat = env.features.reshape(-1, env.dimension)
    in_print(np.linalg.eigvalsh(flat.T @ flat / len(flat))[0], least)
    moves, _, start = exact_tables(env)
    in_print(exact.coverability(moves, start), cover)


def test_periodic_low_rank_by_hand():
    """The first entries of all three tables."""
    env = instances.periodic_low_rank(10, 4, 3, 5)
    cubes = np.array([1 + 1 * 2 * 7 % 11, 1 + 1 * 3 * 7 % 11, 1 + 1 * 4 * 7 % 11]) ** 3.0
    np.testing.assert_allclose(env.features[0, 0], cubes / cubes.sum(), rtol=1e-15)
    cubes = np.array([(1 + (2 * 3 * 5 + (t + 1) * 5 * 3) % 13) ** 3 for t in range(10)])
    np.testing.assert_allclose(env.measures[1, 2], cubes / cubes.sum(), rtol=1e-15)
    np.testing.assert_allclose(env.weights[1], [9 / 9, 8 / 9, 7 / 9], rtol=1e-15)


@settings(max_examples=30)
@given(
    st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4),
    st.integers(0, 2**32 - 1), st.floats(0.02, 5),
)  # fmt: skip
def test_random_low_rank(states, actions, d, stages, seed, concentration):
    env = instances.random_low_rank(states, actions, d, stages, seed, concentration=concentration)
    assert env.features.shape == (states, actions, d) and env.stages == stages
    for table in (env.features, env.measures, env.weights):
        assert table.min() >= 0
        np.testing.assert_allclose(table.sum(axis=-1), 1, rtol=1e-12)
    again = instances.random_low_rank(states, actions, d, stages, seed, concentration=concentration)
    np.testing.assert_array_equal(env.features, again.features)
    np.testing.assert_array_equal(env.measures, again.measures)
    moves, _, start = exact_tables(env)
    assert exact.coverability(moves, start) <= min(d, states) * actions + 1e-9
    assert np.all(np.linalg.matrix_rank(moves.reshape(stages, -1, states)) <= d)


def test_anchors():
    env = instances.random_low_rank(4, 3, 5, 2, anchors=True)
    np.testing.assert_array_equal(env.features.reshape(-1, 5)[:5], np.eye(5))
    plain = instances.random_low_rank(4, 3, 5, 2)
    np.testing.assert_array_equal(env.measures, plain.measures)
    assert np.abs(plain.features.reshape(-1, 5)[:5] - np.eye(5)).max() > 0.1


def test_seeds_differ():
    one, other = (instances.random_low_rank(4, 3, 5, 2, seed=s).features for s in (0, 1))
    assert np.abs(one - other).max() > 0.1


# ---- walks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "best", "left", "at_random", "first_left"),
    [
        ((4, 10), "2.109179", ".05", ".079105", "1.620636"),
        ((6, 20), "3.469198", ".10", ".038355", "3.012598"),
        ((6, 24), "5.517169", ".12", ".047365", "4.984054"),
        ((6, 50), "21.911335", ".25", ".106430", "21.253605"),
    ],
)
def test_river_swim(sizes, best, left, at_random, first_left):
    env = instances.river_swim(*sizes)
    in_print(values(env)[0], best)
    in_print(constant(env, 0)[0], left)
    in_print(uniform(env)[0], at_random)
    moves, rewards, _ = exact_tables(env)
    in_print(exact.optimal_values(moves, rewards)[0][0, 0, 0], first_left)


def test_coverability_of_river_swim():
    moves, _, start = exact_tables(instances.river_swim(6, 20))
    in_print(exact.coverability(moves, start), "8.8276")


@pytest.mark.parametrize(("length", "stages", "best"), [(6, 10, "3.717067"), (10, 20, "8.126213")])
def test_chain(length, stages, best):
    in_print(values(instances.chain(length, stages=stages))[0], best)


def test_chain_without_failures():
    """Five steps to the last of six states, then 1 a stage."""
    np.testing.assert_allclose(values(instances.chain(6, 0.0, 10))[0], 0.05 + 5, rtol=1e-12)
    np.testing.assert_allclose(constant(instances.chain(6, 0.0, 10), 0)[0], 0.5, rtol=1e-12)
    flipped = constant(instances.chain(6, 1.0, 10), 0)[0]
    np.testing.assert_allclose(flipped, 5.05, rtol=1e-12)


@pytest.mark.parametrize(
    ("size", "at_random", "windy", "code"),
    [
        (6, ".010625", ".395227", ".391878"),
        (10, "-.004023", ".380907", ".377420"),
        (20, "-.004999", ".370938", ".367354"),
        (30, None, ".367749", ".364133"),
    ],
)
@pytest.mark.parametrize("seed", [None, 42])
def test_deep_sea(size, at_random, windy, code, seed):
    env, storm = (instances.deep_sea(size, wind, seed) for wind in (False, True))
    np.testing.assert_allclose(values(env)[0], 0.99, rtol=1e-12)
    if at_random is not None:
        in_print(uniform(env)[0], at_random)
    in_print(values(storm)[0], windy)
    in_print((1 - 1 / size) ** (size - 1) - 0.01, code)
    moves, _, start = exact_tables(env)
    np.testing.assert_allclose(exact.coverability(moves, start), 2 * size, rtol=1e-12)
    if seed is None:
        right = constant(storm, 1)[0]
        in_print(right, code)  # to go right whatever happens is not optimal
        assert values(storm)[0] > right + 0.003


def test_deep_sea_cell_by_cell():
    n = 5
    env = instances.deep_sea(n, windy=True, seed=3)
    plain = instances.deep_sea(n, windy=True)
    flips = 0
    for row in range(n):
        for column in range(n):
            right = 1 if plain.rewards[row, column, 1] == env.rewards[row, column, 1] else 0
            flips += right == 0
            moves, rewards = env.transitions[row, column], env.rewards[row, column]
            assert moves[1 - right, max(column - 1, 0)] == 1 and rewards[1 - right] == 0
            if column < n - 1:
                np.testing.assert_allclose(moves[right, [column, column + 1]], [1 / n, 1 - 1 / n])
            else:
                assert moves[right, column] == 1
            reward = -0.01 / n + (column == n - 1)
            np.testing.assert_allclose(rewards[right], reward, rtol=1e-6)
            noisy = row == n - 1 and column in (0, n - 1)
            assert np.all(env.sigma[row, column] == noisy)
    assert 0 < flips < n * n
    assert env.reward_noise == "normal" and instances.deep_sea(n).reward_noise == "none"


def test_tree():
    env = instances.depth_two_tree()
    np.testing.assert_allclose(values(env)[0], 0.5)
    np.testing.assert_allclose(uniform(env)[0], 0.5 - 0.175)
    for path, gap in enumerate((0.1, 0.0, 0.3, 0.3)):
        plan = np.repeat([[path // 2], [path % 2]], 3, axis=1)
        np.testing.assert_allclose(values(env, np.eye(2)[plan])[0], 0.5 - gap)


# ---- hard ones -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "actions", "at_random", "cover"),
    [(5, 4, ".050928", 8), (10, 4, ".050001", 8), (20, 10, ".050000", 20)],
)
def test_combination_lock(stages, actions, at_random, cover):
    env = hard.combination_lock(stages, actions)
    np.testing.assert_allclose(values(env), [1, 1, 0], rtol=1e-12)
    in_print(uniform(env)[0], at_random)
    in_print(uniform(env)[1], at_random)
    moves, _, start = exact_tables(env)
    np.testing.assert_allclose(exact.coverability(moves, start), cover, rtol=1e-12)
    right = actions**-stages
    np.testing.assert_allclose(uniform(env)[0], right + 0.05 * (1 - right), rtol=1e-12)


def test_the_right_actions_of_the_lock():
    env = hard.combination_lock(7, 5)
    for h in range(7):
        for state, right in ((0, (3 * h + 1) % 5), (1, (5 * h + 2) % 5)):
            np.testing.assert_array_equal(env.transitions[h, state, right], [0.5, 0.5, 0])
            wrong = np.delete(np.arange(5), right)
            assert np.all(env.transitions[h, state, wrong, 2] == 1)
            assert np.all(env.rewards[h, state, wrong] == np.float32(0.05))
            assert env.rewards[h, state, right] == (h == 6)
    assert np.all(env.transitions[:, 2, :, 2] == 1) and np.all(env.rewards[:, 2] == 0)


def test_a_lock_that_was_drawn():
    env = hard.combination_lock(30, 4, swap=0.2, anti=0.0, seed=5)
    np.testing.assert_allclose(values(env), [1, 1, 0], rtol=1e-12)
    stay = env.transitions[:, [0, 1], :, [0, 1]].max(axis=-1)
    np.testing.assert_allclose(stay, 0.8, rtol=1e-6)
    right = env.transitions[:, :2, :, 2].argmin(axis=-1)
    assert set(right.ravel()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("sizes", "lean", "best", "at_random"),
    [
        ((4, 6, 1000), ".002282", "2.07363911", "2.00938786"),
        ((5, 10, 1000), ".001768", "3.66992593", "3.48678440"),
        ((8, 10, 10000), ".000559", "3.58898486", "3.48678440"),
    ],
)
def test_hard_instance(sizes, lean, best, at_random):
    d, stages, _ = sizes
    env = hard.hard_instance(*sizes)
    in_print(values(env)[0], best)
    in_print(uniform(env)[0], at_random)
    np.testing.assert_allclose(np.linalg.norm(env.features, axis=-1), 1, rtol=1e-12)
    assert abs(np.linalg.norm(env.measures.sum(axis=-1), axis=-1).max() - 1.42) < 0.01
    highest = env.transitions[0, 0, -1, -1] - 1 / stages
    in_print(highest / (d - 1), lean)
    in_print(values(hard.hard_instance(*sizes, seed=3))[0], best)
    # A closed form: the goal is reached at stage h, and H - 1 - h stages are left.
    h, p = np.arange(stages), 1 / stages + highest
    np.testing.assert_allclose(
        values(env)[0], np.sum((1 - p) ** h * p * (stages - 1 - h)), rtol=1e-6
    )


def test_the_best_actions_of_the_hard_instance():
    env = hard.hard_instance(4, 6, 1000)
    assert np.all(env.transitions[:, 0, :, -1].argmax(axis=-1) == 7)
    drawn = hard.hard_instance(4, 60, 1000, seed=0)
    best = drawn.transitions[:, 0, :, -1].argmax(axis=-1)
    assert set(best) == set(range(8))
    # Action j has the signs of its digits: the sum of them is what counts.
    signs = hard.digits(8, 3)
    np.testing.assert_array_equal(signs[[0, 1, 4]], [[-1, -1, -1], [-1, -1, 1], [1, -1, -1]])
    lean = np.sqrt(1 / 6000) / (4 * np.sqrt(2))
    np.testing.assert_allclose(
        env.transitions[2, 1, :, -1], 1 / 6 + lean * signs.sum(axis=1), rtol=1e-6
    )


def test_many_actions():
    env = hard.many_actions(20, 100)
    assert (env.dimension, env.num_actions, env.reward_noise) == (10, 100, "coins")
    np.testing.assert_allclose(values(env), 19.8, rtol=1e-12)
    for state in (0, 1):
        for action in (0, 1, 57, 99):
            good = (state == 0) == (action == 0)
            np.testing.assert_allclose(
                env.rewards[:, state, action], 0.99 if good else 0.01, rtol=1e-6
            )
            after = np.arange(20) % 2 if good else 1 - np.arange(20) % 2
            assert np.all(env.transitions[np.arange(20), state, action, after] == 1)
    assert len(np.unique(env.features[0], axis=0)) == 100  # learners can tell them apart
    np.testing.assert_allclose(values(hard.many_actions(20, 30, seed=4)), 19.8, rtol=1e-12)


# ---- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: instances.random_low_rank(0, 2, 2, 2), "num_states is a whole number from 1"),
        (lambda: instances.random_low_rank(2, 2, 2, 2, seed=-1), "seed is a whole number from 0"),
        (lambda: instances.random_low_rank(2, 2, 2, 2, concentration=0), "concentration is posi"),
        (lambda: instances.random_low_rank(2, 2, 5, 2, anchors=True), "5 anchors .* there are 4"),
        (lambda: instances.random_low_rank(2, 2, 2, 2, reward_noise="x"), "reward_noise is one of"),
        (lambda: instances.periodic_low_rank(2, 2, FRACTION, 2), "dimension is a whole number"),
        (lambda: instances.river_swim(1), "num_states is a whole number from 2"),
        (lambda: instances.chain(1), "length is a whole number from 2"),
        (lambda: instances.chain(3, 1.5), "chain: fail is a number from 0 to 1, got 1.5"),
        (lambda: instances.chain(3, TEXT), "chain: fail is a number"),
        (lambda: instances.deep_sea(1), "size is a whole number from 2"),
        (lambda: instances.depth_two_tree([0, 1, 2, 3]), "four numbers from 0 to 1/2"),
        (lambda: instances.depth_two_tree([0.1] * 4), "the least of them 0"),
        (lambda: instances.depth_two_tree([0.0]), "four numbers"),
        (lambda: hard.combination_lock(5, 1), "num_actions is a whole number from 2"),
        (lambda: hard.combination_lock(5, 4, swap=-1), "swap is a number from 0 to 1, got -1"),
        (lambda: hard.combination_lock(5, 4, anti=np.nan), "anti is a number from 0 to 1"),
        (lambda: hard.hard_instance(1, 5, 10), "dimension is a whole number from 2 to 15"),
        (lambda: hard.hard_instance(15, 5, 1), "1 episodes are too few for 5 stages"),
        (lambda: hard.hard_instance(4, 1, 100), "stages is a whole number from 2"),
        (lambda: hard.many_actions(5, 1), "num_actions is a whole number from 2"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
