"""Small models and data for tests of offline learners, by NumPy."""

from typing import NamedTuple

import numpy as np

from regrax.core.mdp import Counts

from .reference_offline import history_of


class Model(NamedTuple):
    transitions: np.ndarray  # [H, S, A, S]
    rewards: np.ndarray  # [H, S, A]
    start: np.ndarray  # [S]
    features: np.ndarray  # [S, A, d]


def linear_model(seed=0, stages=3, states=4, actions=3, d=3) -> Model:
    rng = np.random.default_rng(seed)
    phi = rng.dirichlet(np.ones(d), (states, actions))
    mu = rng.dirichlet(np.ones(states), (stages, d))
    theta = rng.uniform(size=(stages, d))
    transitions = np.einsum("sad,hdt->hsat", phi, mu)
    rewards = np.einsum("sad,hd->hsa", phi, theta)
    return Model(transitions, rewards, rng.dirichlet(np.ones(states)), phi)


def one_hot(model: Model) -> Model:
    states, actions = model.features.shape[:2]
    return model._replace(features=np.eye(states * actions).reshape(states, actions, -1))


def play(model: Model, episodes: int, seed: int = 1, coins: bool = True):
    """Trajectories of random actions: states [N, H + 1], actions [N, H], rewards [N, H]."""
    rng = np.random.default_rng(seed)
    stages, count, actions = model.rewards.shape
    states, played = np.zeros((episodes, stages + 1), int), np.zeros((episodes, stages), int)
    rewards = np.zeros((episodes, stages))
    for n in range(episodes):
        s = rng.choice(count, p=model.start)
        for h in range(stages):
            a = rng.integers(actions)
            mean = model.rewards[h, s, a]
            states[n, h], played[n, h] = s, a
            rewards[n, h] = float(rng.uniform() < mean) if coins else mean
            s = rng.choice(count, p=model.transitions[h, s, a])
        states[n, stages] = s
    return states, played, rewards


def counts_of(model: Model, trajectories) -> Counts:
    stages, states, actions = model.rewards.shape
    visits = np.zeros((stages, states, actions, states), np.int32)
    sums = np.zeros((stages, states, actions), np.float32)
    for h, s, a, r, t in history_of(trajectories):
        visits[h, s, a, t] += 1
        sums[h, s, a] += r
    return Counts(visits, sums)


class Given(NamedTuple):
    """Offline data that are always the same."""

    counts: Counts

    def draw(self, key):
        return self.counts
