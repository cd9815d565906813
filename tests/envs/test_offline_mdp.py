"""Offline data: what is drawn, and how often, against exact occupancies."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp import LSVIUCB
from regrax.core.mdp import Counts, Deterministic, counts_of
from regrax.core.simulate import simulate
from regrax.envs import mdp_coverage as coverage
from regrax.envs import mdp_values as exact
from regrax.envs import offline_mdp_sets as sets
from regrax.envs.mdp_hard_instances import combination_lock
from regrax.envs.mdp_instances import (
    deep_sea,
    depth_two_tree,
    random_low_rank,
    river_swim,
)
from regrax.envs.offline_mdp import OfflineData, PlannedData, RecordedData
from regrax.tests.envs.mdp_conformance import plausible_counts

EPISODES = 600  # two blocks and a part of one
LOCK = combination_lock(8, 3, swap=0.3)
LOW_RANK = random_low_rank(4, 3, 2, 3, seed=5, anchors=True)
HIDDEN = np.random.default_rng(0).random((3, 4, 3)) < 0.3
HIDDEN[..., 1] = False
SETS = {
    "uniform": lambda: sets.uniform_data(LOW_RANK, EPISODES),
    "expert": lambda: sets.expert_data(LOCK, EPISODES, 1 / 8, 4),
    "one block": lambda: sets.expert_data(LOCK, 256),
    "occupancy": lambda: sets.occupancy_data(LOCK, EPISODES),
    "partial": lambda: sets.partial_data(LOW_RANK, EPISODES, HIDDEN),
    "windy, by stage": lambda: sets.occupancy_data(deep_sea(3, windy=True), EPISODES),
    "leaves": lambda: sets.leaf_data(depth_two_tree(), [100, 0, 50, 0]),
}
WRONG: Any = 2.5


@jit
def draw(data, seed):
    return data.draw(noise.stream(noise.root(3), seed))


@jit
def draw_many(data, seeds):
    return jax.vmap(lambda seed: data.draw(noise.stream(noise.root(3), seed)))(seeds)


@jit
def episodes_of(data, seed):
    return data.trajectories(noise.stream(noise.root(3), seed))


@pytest.fixture(scope="module", params=SETS)
def played(request):
    data = SETS[request.param]()
    return data, jax.device_get(draw(data, np.uint32(7)))


def test_shapes(played):
    data, counts = played
    shape = data.env.stages, data.env.num_states, data.env.num_actions
    assert counts.visits.shape == (*shape, shape[1]) and counts.visits.dtype == np.int32
    assert counts.rewards.shape == shape and counts.rewards.dtype == np.float32
    np.testing.assert_array_equal(counts.visits.sum(axis=(1, 2, 3)), data.episodes)
    np.testing.assert_allclose(data.distribution().sum(axis=(1, 2)), 1, rtol=1e-12)


def test_frequencies(played):
    data, counts = played
    moves, rewards, _ = coverage.exact_tables(data.env)
    seen = counts.visits.sum(axis=-1)
    if isinstance(data, PlannedData):
        np.testing.assert_array_equal(seen, data.distribution() * data.episodes)
    else:
        plausible_counts(seen, data.episodes, data.distribution())
    plausible_counts(counts.visits, seen[..., None], moves)
    if data.env.reward_noise == "coins":
        plausible_counts(counts.rewards, seen, rewards)
    else:  # normal at two places, certain elsewhere
        at_most = 6 * np.broadcast_to(data.env.sigma, seen.shape) * np.sqrt(seen) + 1e-3
        assert np.all(np.abs(counts.rewards - seen * rewards) < at_most)
        assert np.any(np.abs(counts.rewards - seen * rewards) > 1)


def test_counts_are_those_of_the_episodes(played):
    data, counts = played
    if getattr(data, "visited", None) is not None:
        with pytest.raises(ValueError, match="these offline data have no episodes"):
            data.trajectories(noise.root(0))
        return
    episodes = episodes_of(data, np.uint32(7))
    assert episodes.actions.shape == (data.episodes, data.env.stages)
    again = counts_of(episodes, data.env.num_states, data.env.num_actions)
    np.testing.assert_array_equal(again.visits, counts.visits)
    np.testing.assert_allclose(again.rewards, counts.rewards, rtol=1e-5, atol=1e-4)


def test_a_seed_has_its_data_whatever_the_batch():
    data = SETS["windy, by stage"]()
    counts = jax.device_get(draw(data, np.uint32(7)))
    many = jax.device_get(draw_many(data, np.array([2, 7], np.uint32)))
    np.testing.assert_array_equal(many.visits[1], counts.visits)
    np.testing.assert_array_equal(many.rewards[1], counts.rewards)
    assert np.any(many.visits[0] != counts.visits)


# ---- sets ----------------------------------------------------------------------------------


def test_experts_of_the_lock():
    """Alive after h stages: each was right, or right by chance."""
    exploration = 0.25
    visits = sets.expert_data(LOCK, 1, exploration, 4).distribution()
    right = np.full(8, 1 - exploration + exploration / 3)
    right[4] = 1 / 3
    alive = visits[:, :2].sum(axis=(1, 2))
    np.testing.assert_allclose(alive, np.cumprod(np.append(1, right))[:-1], rtol=1e-6)
    alone = sets.expert_data(LOCK, 1).distribution()
    np.testing.assert_allclose(alone[:, :2].sum(axis=(1, 2)), 1, rtol=1e-7)
    assert coverage.concentrability(alone, alone) == 1
    assert np.all((alone > 0).sum(axis=-1) <= 1)  # one action a state
    np.testing.assert_allclose(
        coverage.concentrability(alone, visits), 1 / np.prod(right), rtol=1e-6
    )


def test_where_experts_are():
    """Any action where the expert is: a factor of A, at all stages."""
    expert = sets.expert_data(LOCK, 1).distribution()
    visits = sets.occupancy_data(LOCK, 1).distribution()
    np.testing.assert_allclose(visits, expert.sum(axis=-1)[..., None].repeat(3, -1) / 3, rtol=1e-6)
    np.testing.assert_allclose(coverage.concentrability(expert, visits), 3, rtol=1e-6)
    moves, _, start = coverage.exact_tables(LOCK)
    assert coverage.all_policy_concentrability(moves, start, visits) == np.inf  # none from `dead`


def test_where_another_policy_is():
    env = river_swim(4, 6)
    left = Deterministic(jnp.zeros((6, 4), jnp.int32), 2)
    visits = sets.occupancy_data(env, 5, left).distribution()
    np.testing.assert_array_equal(visits[:, 0], 0.5)
    always = sets.collected(env, 5, left)
    np.testing.assert_array_equal(always.distribution()[:, 0, 0], 1)
    table = np.asarray(left.probabilities())
    np.testing.assert_array_equal(sets.collected(env, 5, table).policy, always.policy)


@pytest.mark.parametrize("hidden", [[0, 2], HIDDEN, HIDDEN[0]])
def test_hidden_actions(hidden):
    data = sets.partial_data(LOW_RANK, EPISODES, hidden)
    never = np.isin(np.arange(3), hidden) if isinstance(hidden, list) else hidden
    never = np.broadcast_to(never, (3, 4, 3))
    assert np.all(data.distribution()[never] == 0)
    played = np.asarray(data.policy) > 0
    np.testing.assert_array_equal(played, ~never)
    assert np.all(np.asarray(draw(data, np.uint32(0)).visits)[never] == 0)
    moves, _, start = coverage.exact_tables(LOW_RANK)
    visits = data.distribution()
    assert coverage.all_policy_concentrability(moves, start, visits) == np.inf
    assert coverage.partial_coverage(LOW_RANK.features, visits) < np.inf
    anyone = exact.occupancy(moves, start, exact.uniform_policy(3, 4, 3))
    assert coverage.concentrability(anyone, visits) == np.inf


def test_leaves():
    data = sets.leaf_data(depth_two_tree(), [100, 0, 50, 7])
    counts = draw(data, np.uint32(1))
    seen = np.asarray(counts.visits).sum(axis=-1)
    np.testing.assert_array_equal(seen[1, 1:].ravel(), [100, 0, 50, 7])
    np.testing.assert_array_equal(seen[0, 0], [100, 57])
    np.testing.assert_allclose(data.distribution()[1, 1:].ravel() * 157, [100, 0, 50, 7])
    assert np.all(np.asarray(counts.rewards)[0] == 0)


def test_recorded_data():
    env = LOW_RANK
    episodes = jax.device_get(episodes_of(sets.uniform_data(env, EPISODES), np.uint32(7)))
    data = sets.recorded(env, episodes)
    one, other = (jax.device_get(draw(data, np.uint32(seed))) for seed in (0, 1))
    wanted = jax.device_get(counts_of(episodes, 4, 3))
    for counts in (one, other):
        jax.tree.map(np.testing.assert_array_equal, counts, wanted)
    np.testing.assert_allclose(
        data.distribution(), wanted.visits.sum(axis=-1) / EPISODES, rtol=1e-12
    )
    by_hand = sets.recorded((3, 2), ([[0, 1, 2], [0, 0, 2]], [[1, 0], [0, 1]], [[0, 1], [2, 3.5]]))
    assert by_hand.counts.rewards[1, 0, 1] == 3.5 and by_hand.counts.visits[1, 0, 1, 2] == 1
    assert by_hand.counts.visits.sum() == 4


# ---- as a part of a learner ----------------------------------------------------------------


def test_a_learner_that_has_data_need_not_explore():
    """2,000 episodes of each path tell gaps of 0.1 from 0: no regret from the first episode on."""
    env = depth_two_tree()
    warm = LSVIUCB(bonus=0.0, ridge=0.01, offline=sets.leaf_data(env, [2000] * 4))
    cold = LSVIUCB(bonus=0.0, ridge=0.01)
    regret = [
        simulate(env, learner, 10, 20, progress=False).metrics["regret"][-1].mean()
        for learner in (warm, cold)
    ]
    assert regret[0] == 0 and regret[1] > 0.2


def test_data_stack():
    """Sets of equal sizes that differ in policies are one program, with the draws of each."""
    pair = [sets.expert_data(LOCK, EPISODES, exploration) for exploration in (0.0, 0.5)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *pair)
    together = jit(jax.vmap(lambda data: data.draw(noise.stream(noise.root(3), 7))))(stacked)
    for i, data in enumerate(pair):
        alone = jax.device_get(draw(data, np.uint32(7)))
        jax.tree.map(lambda x, y, i=i: np.testing.assert_array_equal(x[i], y), together, alone)


# ---- bad input -----------------------------------------------------------------------------

GOOD = ([[0, 1, 2]], [[1, 0]], [[0.0, 1.0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sets.uniform_data(LOCK, 0), "episodes is a whole number from 1"),
        (lambda: sets.uniform_data(LOCK, WRONG), "episodes is a whole number"),
        (lambda: sets.expert_data(LOCK, 5, 1.5), "exploration is a number from 0 to 1, got 1.5"),
        (lambda: sets.expert_data(LOCK, 5, 0, 8), "uniform_at is a whole number from 0 to 7"),
        (
            lambda: sets.collected(LOCK, 5, np.ones((8, 3, 2)) / 2),
            r"chances \[H, S, A\], \[8, 3, 3",
        ),
        (lambda: sets.collected(LOCK, 5, np.ones((8, 3, 3))), "that add up to one"),
        (
            lambda: OfflineData(LOCK, LOCK_UNIFORM, 5, np.ones((8, 3))),
            r"visited are chances \[H, S",
        ),
        (lambda: sets.partial_data(LOCK, 5, [3]), "hidden are numbers of 3 actions"),
        (lambda: sets.partial_data(LOCK, 5, np.zeros((3, 2), bool)), r"or bool \[3, 3\] or"),
        (lambda: sets.partial_data(LOCK, 5, [0, 1, 2]), "all actions are hidden at stage 0, sta"),
        (lambda: sets.leaf_data(LOCK, [1, 1, 1, 1]), "leaf_data is for a depth_two_tree"),
        (lambda: sets.leaf_data(depth_two_tree(), [1, 1]), "four counts, not all 0"),
        (lambda: sets.leaf_data(depth_two_tree(), [0, 0, 0, 0]), "four counts, not all 0"),
        (
            lambda: PlannedData(LOCK, np.zeros((4, 8, 2), int)),
            r"\[N, 8, 3\], got int64 \[4, 8, 2\]",
        ),
        (lambda: PlannedData(LOCK, np.full((4, 8, 3), 3)), "plans are numbers of 3 actions"),
        (lambda: sets.recorded((3, 2), GOOD[:2] + ([0.0, 1.0],)), r"actions \[N, H\] and rewards"),
        (lambda: sets.recorded(LOCK, GOOD), "with H = 8, got"),
        (lambda: sets.recorded((2, 2), GOOD), "states are whole numbers from 0 to 1, got int64 fr"),
        (lambda: sets.recorded((3, 1), GOOD), "actions are whole numbers from 0 to 0"),
        (lambda: sets.recorded((3, 2), GOOD[:2] + ([[0.0, np.nan]],)), "rewards are finite"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


LOCK_UNIFORM = np.full((8, 3, 3), 1 / 3)


def test_good_input_of_the_same_kind():
    assert OfflineData(LOCK, LOCK_UNIFORM, 5, np.full((8, 3), 1 / 3)).episodes == 5
    assert PlannedData(LOCK, np.zeros((4, 8, 3), int)).episodes == 4
    assert isinstance(sets.recorded((3, 2), GOOD), RecordedData)
    assert isinstance(sets.recorded((3, 2), GOOD).counts, Counts)
