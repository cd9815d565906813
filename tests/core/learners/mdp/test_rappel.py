"""RAPPEL: explores until all is known to tau, then plays what LinPEVI-ADV+ makes of the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp import pevi
from regrax.core.learners.mdp.rappel import RAPPEL
from regrax.core.mdp import Counts, counts_of
from regrax.core.protocol import complete
from regrax.envs.mdp_instances import depth_two_tree

from .offline_models import Given

KEY, TAU, EPISODES = noise.root(11), 0.02, 320
PAIRS = np.repeat(np.array([[1, 0, 0], [0, 1, 1]], bool)[:, :, None], 2, axis=-1)  # reachable
ENV = depth_two_tree((0.2, 0.0, 0.4, 0.4))


def offline(visits):
    """Episodes of the four paths of the tree, half of which bring 1."""
    n = np.asarray(visits).reshape(2, 2)
    counts = np.zeros((2, 3, 2, 3), np.int32)
    counts[0, 0, [0, 1], [1, 2]] = n.sum(axis=1)
    counts[1, 1:, :, 0] = n
    rewards = np.zeros((2, 3, 2), np.float32)
    rewards[1, 1:] = n / 2
    return Given(Counts(counts, rewards))


@jit
def run(env, learner, key):
    """All states, from the first, and all trajectories."""
    state = learner.init(noise.stream(key, "learner"))
    draws = env.noise(noise.stream(key, "environment"), EPISODES)

    def episode(state, draw):
        policy = learner.act(state, (), ())
        _, trajectory, _ = env.step((), policy, draw)
        new = learner.update(state, (), policy, trajectory)
        return new, (new, trajectory)

    last, (states, trajectories) = jax.lax.scan(episode, state, draws)
    states = jax.tree.map(lambda x, y: jnp.concatenate([x[None], y]), state, states)
    return states, trajectories, learner.recommend(last)


def learner(visits, known_model=False):
    data = offline(visits)
    return complete(RAPPEL(TAU, PAIRS, known_model=known_model, offline=data), ENV, EPISODES)


@pytest.mark.parametrize("known_model", [False, True])
@pytest.mark.parametrize("visits", [(0, 0, 0, 0), (200, 200, 0, 20), (60, 60, 60, 60)])
def test_explores_what_the_data_lack_and_no_more(visits, known_model):
    """A path is known after 1 / tau - ridge = 49.75 visits; a policy is played up to sqrt(N)
    episodes too long, once a path."""
    player = learner(visits, known_model)
    states, trajectories, recommended = run(ENV, player, KEY)
    stopped = np.asarray(states.plan.stopped)
    explored = int(states.episodes[-1])
    lacking = np.maximum(50 - np.array(visits), 0)
    assert stopped[-1] and explored == int(np.argmax(stopped))
    assert lacking.sum() <= explored <= lacking.sum() + 4 * np.sqrt(max(explored, 1))
    assert int(recommended.explored) == explored and bool(recommended.verified)

    widths = np.where(PAIRS, states.regressions.widths, 0).max(axis=(1, 2, 3))
    assert widths[explored] <= TAU < widths[explored - 1] or explored == 0

    # Its counts are the offline ones and those of its exploration.
    played = jax.tree.map(lambda x: x[:explored], trajectories)
    fresh = counts_of(played, 3, 2) if explored else offline((0, 0, 0, 0)).counts
    total = jax.tree.map(np.add, fresh, offline(visits).counts)
    counts = jax.tree.map(lambda x: x[-1], states.counts)
    np.testing.assert_array_equal(counts.visits, total.visits)
    np.testing.assert_allclose(counts.rewards, total.rewards, rtol=1e-6)

    # And what it plays then is LinPEVI-ADV+ on all of them.
    halves = jax.tree.map(lambda x: x[-1], states.halves)
    expected = jit(pevi.weighted_policy)(player, counts, halves)
    for at in (explored, EPISODES):
        np.testing.assert_array_equal(states.plan.actions[at], expected.actions)
    np.testing.assert_array_equal(recommended.chances, expected.probabilities())


def test_what_is_not_known_is_not_verified():
    player = learner((0, 0, 0, 0)).replace(tau=1e-6)
    states, _, recommended = run(ENV, player, KEY)
    assert not bool(recommended.verified) and int(recommended.explored) == EPISODES
    reached = np.asarray(states.counts.visits[-1]).sum(axis=-1)[1, 1:]
    assert reached.min() >= EPISODES / 4 - 4 * np.sqrt(EPISODES)  # all paths alike


def test_no_data_are_empty_data():
    empty = learner((0, 0, 0, 0))
    init = jit(lambda learner: learner.init(KEY))
    same = jax.tree.map(np.array_equal, init(empty), init(empty.replace(offline=None)))
    assert jax.tree.all(same)


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="tau is positive, got 0"):
        RAPPEL(0.0)
    with pytest.raises(ValueError, match="exploration is zero or more"):
        RAPPEL(exploration=-1.0)
    with pytest.raises(ValueError, match=r"pairs is bool \[H, S, A\], not all False"):
        RAPPEL(pairs=np.zeros((1, 2, 2), bool))
    with pytest.raises(ValueError, match="least is positive"):
        RAPPEL(least=0.0)
