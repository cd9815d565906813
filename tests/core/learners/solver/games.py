"""Games on a toy sequence of linear systems, with arms that the learner or the test chooses."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from regrax.core import noise
from regrax.core.protocol import Iterations

from . import systems

INTERVAL = np.asarray(systems.INTERVAL, np.float32)
OMEGAS = np.asarray(systems.OMEGAS, np.float32)


def sequences(num_games, num_rounds):
    """Contexts [games, rounds] of either law, and counts of all arms, with 7% of noise, at most
    2,000."""
    rng = np.random.default_rng(11)
    shape = num_games // 2, num_rounds
    draws = np.concatenate([rng.beta(2, 6, shape), rng.beta(0.5, 1.5, shape)])
    contexts = (-0.15 + 0.6 * draws).astype(np.float32)
    counts = systems.counts(contexts) * np.exp(0.07 * rng.normal(size=(*contexts.shape, 1)))
    return contexts, np.clip(np.round(counts), 1, 2000).astype(np.int32)


def player(watch):
    """play(learner, contexts, counts, forced): arms [games, rounds] and what `watch(learner, state,
    context)` said before every round. Where `forced` is not negative it is the arm."""

    @jax.jit
    @jax.vmap
    def games(learner, contexts, counts, forced, number):
        key = noise.stream(noise.root(6), number)

        def one_round(state, row):
            context, counts, forced, draw = row
            seen = watch(learner, state, context)
            arm = jnp.where(forced < 0, learner.act(state, context, draw), forced)
            after = learner.update(state, context, arm, Iterations(counts[arm]))
            return after, (arm, seen)

        tape = learner.noise(key, len(contexts))
        return jax.lax.scan(one_round, learner.init(key), (contexts, counts, forced, tape))

    def play(learner, contexts, counts, forced=None):
        numbers = np.arange(len(contexts), dtype=np.uint32)
        forced = np.full(contexts.shape, -1, np.int32) if forced is None else forced
        learners = jax.tree.map(lambda x: np.stack([x] * len(numbers)), learner)
        state, (arms, seen) = games(learners, contexts, counts, forced, numbers)
        return np.asarray(arms), jax.tree.map(np.asarray, seen), state

    return play


def chances(learner, state, context):
    """The probabilities of the next round, as the learner hands them to the sampler."""
    with mock.patch.object(noise, "categorical", lambda u, weights: weights):
        return learner.act(state, context, jnp.float32(0.5))


def late_costs(arms, counts):
    """Mean costs of the last third, one a game: of the arms, of the best fixed arm of the game, and
    of the best arm of every round."""
    last = -(arms.shape[1] // 3)
    costs = counts[:, last:]
    played = np.take_along_axis(costs, arms[:, last:, None], axis=2)[..., 0]
    return played.mean(axis=1), costs.mean(axis=1).min(axis=1), costs.min(axis=2).mean(axis=1)


def below(values, bound):
    """Whether paired games show a mean below the bound, at a level of 1e-6 (Student's t)."""
    apart = values - bound
    score = apart.mean() / (apart.std(ddof=1) / np.sqrt(len(apart)))
    return score < stats.t.ppf(1e-6, len(apart) - 1)
