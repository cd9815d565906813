"""Problems for the tests of contextual learners: tables of contexts and rewards."""

from types import SimpleNamespace

import jax
import numpy as np

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.protocol import BanditFeedback, Context, complete
from regrax.envs.contextual import ClassificationBandit

KEY = noise.root(3)
K, D = 4, 5


def table(rounds, disjoint, seed=0, num_arms=K, dimension=D):
    """Contexts [T, d] or [T, K, d] of length 1, and rewards [T, K] in [0, 1]."""
    rng = np.random.default_rng(seed)
    shape = (dimension,) if disjoint else (num_arms, dimension)
    contexts = rng.normal(size=(rounds, *shape))
    contexts /= np.linalg.norm(contexts, axis=-1, keepdims=True)
    weights = rng.normal(size=(num_arms, dimension))
    means = 0.5 + 0.5 * (contexts @ weights.T if disjoint else contexts @ weights[0])
    rewards = np.clip(means + 0.2 * rng.normal(size=(rounds, num_arms)), 0, 1)
    return contexts.astype(np.float32), rewards.astype(np.float32)


def blocks(contexts, num_arms=K):
    """Contexts [T, d] of arms with models of their own, written out: [T, K, K d]."""
    return np.stack([np.kron(np.eye(num_arms, dtype=np.float32), x) for x in contexts])


def fitted(learner, disjoint, dimension=D):
    env = SimpleNamespace(num_arms=K, dimension=dimension, disjoint=disjoint)
    return complete(learner, env, 1000)


@jit
def play(learner, contexts, rewards):
    """The arms [T], the tape and the states [T, ...] before each round."""
    tape = learner.noise(KEY, len(contexts))

    def one(state, row):
        context, reward, entry = row
        arm = learner.act(state, Context(context), entry)
        after = learner.update(state, Context(context), arm, BanditFeedback(reward[arm]))
        return after, (arm, state)

    _, (arms, states) = jax.lax.scan(one, learner.init(KEY), (contexts, rewards, tape))
    return arms, tape, states


def clusters(rounds=400):
    """Four classes around points of their own, with some overlap."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, K, rounds)
    features = rng.normal(size=(K, D))[labels] + 0.7 * rng.normal(size=(rounds, D))
    return ClassificationBandit(features / np.linalg.norm(features, axis=1, keepdims=True), labels)
