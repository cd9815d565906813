"""Games for the tests of neural exploration."""

import functools

import jax
import numpy as np

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.protocol import complete
from regrax.envs.contextual import ClassificationBandit

KEY = noise.root(3)


@functools.cache
def clusters(num_arms=4, dimension=5, rounds=400):
    """Classes around points of their own, with some overlap."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, num_arms, rounds)
    features = rng.normal(size=(num_arms, dimension))[labels]
    features += 0.5 * rng.normal(size=features.shape)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return ClassificationBandit(features.astype(np.float32), labels, num_arms)


@jit
def _play(learner, env, tapes):
    def one(carry, entry):
        state, world = carry
        seen = env.observe(world, entry[0])
        arm = learner.act(state, seen, entry[1])
        world, feedback, _ = env.step(world, arm, entry[0])
        after = learner.update(state, seen, arm, feedback)
        return (after, world), (state, seen.features, arm, feedback.reward)

    start = learner.init(KEY), env.init(KEY)
    (last, _), rows = jax.lax.scan(one, start, tapes)
    return (*rows, last)


def play(learner, env, rounds):
    """The completed learner; its states before each round [T, ...], the features [T, ...], arms
    and rewards [T], and the state after the last round."""
    learner = complete(learner, env, rounds)
    tapes = env.noise(KEY, rounds), learner.noise(KEY, rounds)
    return learner, *_play(learner, env, tapes)


def at(tree, index):
    return jax.tree.map(lambda x: x[index], tree)


def regrets(learner, seeds, rounds, env=None):
    """Regret [seeds] of a whole game."""
    env = clusters() if env is None else env
    trace = rx.simulate(env, learner, rounds, seeds, checkpoints=[rounds], progress=False)
    return trace.metrics["regret"][..., 0, :]
