"""Whole histories of play, for references that compute everything anew from them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp.statistics import Statistics
from regrax.core.mdp import Counts, Trajectory
from regrax.core.protocol import complete

KEY = noise.root(11)


class History(NamedTuple):
    """NumPy throughout; row k belongs to episode k."""

    trajectories: Trajectory  # [K, ...]
    policies: Any  # [K, ...]
    states: Any  # [K, ...], of the learner, before the episode
    tape: Any  # [K, ...], of the learner
    regrets: Any  # [K]


def record(env, learner, episodes, seed=0) -> History:
    """`learner`, its blanks filled, in `env`."""
    return record_seeds(env, learner, episodes, [seed])[0]


def record_seeds(env, learner, episodes, seeds) -> list[History]:
    players = env, complete(learner, env, episodes)
    history = jax.device_get(_play(*players, jnp.asarray(seeds, jnp.uint32), episodes=episodes))
    return [jax.tree.map(lambda x, i=i: x[i], history) for i in range(len(seeds))]


def _play_one(env, learner, number, episodes):
    key = noise.stream(KEY, number)
    first = learner.init(noise.stream(key, "learner"))
    tapes = (
        env.noise(noise.stream(key, "environment noise"), episodes),
        learner.noise(noise.stream(key, "learner noise"), episodes),
    )

    def episode(state, row):
        policy = learner.act(state, (), row[1])
        _, trajectory, metrics = env.step((), policy, row[0])
        after = learner.update(state, (), policy, trajectory)
        return after, (trajectory, policy, state, metrics["regret"])

    _, (trajectories, policies, states, regrets) = jax.lax.scan(episode, first, tapes)
    return History(trajectories, policies, states, tapes[1], regrets)


def _play_all(env, learner, numbers, *, episodes):
    return jax.vmap(lambda number: _play_one(env, learner, number, episodes))(numbers)


_play = jit(_play_all, static_argnames="episodes")


class Recorded(NamedTuple):
    """Offline data that are given."""

    counts: Counts

    def draw(self, key):
        return Counts(*map(jnp.asarray, self.counts))


def no_data(env) -> Recorded:
    pairs = env.stages, env.num_states, env.num_actions
    return Recorded(Counts(np.zeros((*pairs, pairs[1]), np.int32), np.zeros(pairs, np.float32)))


def features_of(env) -> np.ndarray:
    """As programs are given them: rounded to float32."""
    return np.asarray(env.features, np.float32).astype(float)


def tuples(trajectories, h):
    """(s, a, r, s') of stage h, in the order of the episodes."""
    states, actions, rewards = (np.asarray(x) for x in trajectories)
    columns = states[:, h], actions[:, h], rewards[:, h].astype(float), states[:, h + 1]
    return list(zip(*columns, strict=True))


def counted(trajectories, env) -> Counts:
    """The counts of trajectories, one transition at a time."""
    pairs = env.stages, env.num_states, env.num_actions
    visits, rewards = np.zeros((*pairs, pairs[1]), np.int32), np.zeros(pairs)
    for h in range(env.stages):
        for s, a, r, after in tuples(trajectories, h):
            visits[h, s, a, after] += 1
            rewards[h, s, a] += r
    return Counts(visits, rewards)


def before(trajectories, k) -> Trajectory:
    """The first k episodes."""
    return Trajectory(*(x[:k] for x in trajectories))


def statistics(state) -> Statistics:
    return state if isinstance(state, Statistics) else state.statistics
