"""Trees of two decisions, data of which only the amount differs, and episodes that were needed."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ...core.learners import LSVIUCB
from ...core.learners.mdp.pedel import deterministic_policies
from ...core.mdp import Counts
from ...core.samplers import binomial, binomial_tape
from ...envs.linear_mdp import LinearMDP, tabular
from ...envs.offline_mdp import OfflineData

# ---- trees ---------------------------------------------------------------------------------


def tree(means: Any) -> LinearMDP:
    """Action i leads from the root to child i, action j there brings 1 with chance means[i, j].

    With two actions this is `depth_two_tree`. State 0 is the root, state 1 + i is child i.
    """
    means = np.asarray(means, np.float64)
    actions = len(means)
    moves, rewards = (
        np.zeros((2, actions + 1, actions, actions + 1)),
        np.zeros((2, actions + 1, actions)),
    )
    moves[0, 0, np.arange(actions), 1 + np.arange(actions)] = 1
    moves[0, 1:, :, 0] = moves[1, :, :, 0] = 1  # where an episode cannot be, or ends
    rewards[1, 1:] = means
    return tabular(moves, rewards, np.eye(actions + 1)[0], "coins")


def paths(env: LinearMDP) -> np.ndarray:
    """The policies of a tree, one a path, [A^2, 2, S, A]."""
    return deterministic_policies(env.transitions, env.start)


@flax.struct.dataclass
class TreeData:
    """visits[i, j] episodes of every path of a tree; rewards are drawn anew for every seed.

    What differs between two such sets are numbers only, so that all run as one program.
    """

    means: Any  # [A, A]
    visits: Any  # [A, A]

    def draw(self, key) -> Counts:
        visits = jnp.asarray(self.visits, jnp.int32)
        actions = len(visits)
        sums = binomial(binomial_tape(key, visits.shape), visits, jnp.asarray(self.means))
        counts = jnp.zeros((2, actions + 1, actions, actions + 1), jnp.int32)
        each = jnp.arange(actions)
        counts = counts.at[0, 0, each, 1 + each].set(visits.sum(axis=1, dtype=jnp.int32))
        counts = counts.at[1, 1:, :, 0].set(visits)
        rewards = jnp.zeros((2, actions + 1, actions))
        return Counts(counts, rewards.at[1, 1:].set(sums.astype(jnp.float32)))


@flax.struct.dataclass
class Prefix:
    """The first episodes of a data set: more of them hold the fewer, and all run as one program."""

    data: OfflineData
    episodes: Any

    def draw(self, key) -> Counts:
        env = self.data.env
        states, actions, rewards = self.data.trajectories(key)
        taken = jnp.arange(len(actions)) < self.episodes
        shape = env.stages, env.num_states, env.num_actions
        at = jnp.broadcast_to(jnp.arange(env.stages), actions.shape), states[:, :-1], actions
        visits = jnp.zeros((*shape, env.num_states), jnp.int32)
        visits = visits.at[(*at, states[:, 1:])].add(taken[:, None].astype(jnp.int32))
        return Counts(visits, jnp.zeros(shape).at[at].add(taken[:, None] * rewards))


@flax.struct.dataclass
class Estimating(LSVIUCB):
    """LSVI-UCB that recommends what it estimates to be best, without the bonus that it plays by."""

    def recommend(self, state):
        with jax.enable_x64(True):
            plain = self.replace(bonus=0.0)  # pyright: ignore[reportAttributeAccessIssue]
        return plain.act(state, (), ())


# ---- results -------------------------------------------------------------------------------


def values_of(dataset: xr.Dataset, learner: str, metric: str = "simple_regret") -> np.ndarray:
    """[checkpoint, seed], of a study with one environment."""
    found = dataset[metric].isel(environment=0).sel(learner=learner)
    return found.transpose("checkpoint", "seed").values.astype(float)


def needed(dataset: xr.Dataset, learner: str, epsilon: float) -> np.ndarray:
    """The first checkpoint from which on the recommended policy is epsilon-optimal, [seed]; the
    last one where it is not even then."""
    checkpoints = np.append(dataset.checkpoint.values, dataset.checkpoint.values[-1]).astype(float)
    bad = values_of(dataset, learner) > epsilon
    after = len(bad) - np.argmax(bad[::-1], axis=0)  # one beyond the last bad checkpoint
    return checkpoints[np.where(bad.any(axis=0), after, 0)]


def verified(dataset: xr.Dataset, learner: str) -> np.ndarray:
    """Episodes that a learner explored until it stopped, [seed]; the horizon where it did not."""
    return values_of(dataset, learner, "explored")[-1]


def looks(last: int, per_decade: int = 12) -> tuple[int, ...]:
    """Episodes at which to look, log-spaced, both ends included."""
    count = max(2, round(np.log10(last) * per_decade) + 1)
    return tuple(np.unique(np.rint(np.geomspace(1, last, count)).astype(int)).tolist())
