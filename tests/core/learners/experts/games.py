"""Play of expert learners on a table of losses, and what it comes to in float64."""

from __future__ import annotations

import jax
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.losses import LinearLoss
from regrax.core.protocol import GroupContext

KEY = noise.root(3)

tables = hnp.arrays(np.float32, (40, 3), elements=st.floats(0, 1, width=32))
masks = hnp.arrays(np.bool_, (40, 3))

K, T = 4, 300
GENERATOR = np.random.default_rng(2)
ASLEEP = GENERATOR.random((T, K)) < 0.5
ASLEEP[7] = False  # nobody is awake
# Losses, and who is awake.
TABLES = {
    "beta": (GENERATOR.beta([2, 1, 2, 3], 2, (T, K)), None),
    "coins": (GENERATOR.integers(0, 2, (T, K)), None),
    "sleep": (GENERATOR.beta([2, 1, 2, 3], 2, (T, K)), ASLEEP),
    "one leads": (np.where(np.arange(K) == 1, 0.0, GENERATOR.random((T, K))), None),
}


@jit
def play(learner, table, awake=None):
    """Weights [T, K] before every round, and the last state."""

    def one_round(state, row):
        losses, here = row
        observation = () if here is None else GroupContext((), here)
        weights = learner.act(state, observation, ())
        return learner.update(state, observation, weights, LinearLoss(losses)), weights

    state, weights = jax.lax.scan(one_round, learner.init(KEY), (table, awake))
    return weights, state


def regrets(weights, table, awake=None):
    """Of every round towards every expert, [T, K], 0 where it is asleep; weights are made to add up
    to 1, as the learner means them to."""
    weights, table = np.asarray(weights, np.float64), np.asarray(table, np.float64)
    weights = weights / weights.sum(axis=1, keepdims=True)
    rounds = np.sum(weights * table, axis=1, keepdims=True) - table
    return rounds if awake is None else np.where(awake, rounds, 0.0)
