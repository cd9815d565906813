"""Hybrid learning by offline learning on equal shares of offline and online data: H2O, HyGLOW."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ... import noise as tapes
from ...mdp import Counts, Policy, counts_of, greedy
from ...noise import argmax
from ...protocol import concrete
from ..parameters import filled, require
from .hybrid import fitted_values
from .statistics import from_counts, require_ridge, table


class OfflineAlgorithm(Protocol):
    """Finds a policy from data."""

    def policy(self, features: jax.Array, counts: Counts, episodes: jax.Array) -> Policy:
        """Of the features [S, A, d] of a process, counts (float64, not all whole numbers) and the
        number of episodes that they count; called with float64 enabled."""
        ...


@flax.struct.dataclass
class FittedQ:
    """Fitted Q-iteration on linear functions, see `HyQ`.

    Args:
      ridge: positive.
    """

    ridge: Any = 0.01

    def __post_init__(self):
        require_ridge(self)

    def policy(self, features, counts, episodes):
        ridge = jnp.asarray(self.ridge).astype(jnp.float64)
        return greedy(fitted_values(from_counts(features, ridge, counts), features))


@flax.struct.dataclass
class MABO:
    """The values, out of a list, that no clipped density ratio of another list finds wrong.

    Of the values f and the ratios w, with w~ = min(w, gamma n) and alpha = 8 / (gamma n) on data of
    n episodes, it takes

      argmin_f max_w sum_h |E_n[w~_h (f_h - r - max_a' f_(h+1)(s', a'))]| - alpha E_n[w~_h^2],

    the lowest index on ties, and plays greedily for it. MABO.CR of Amortila, Foster, Jiang, Sekhari
    and Xie, "Harnessing density ratios for online reinforcement learning", ICLR 2024. One list
    should hold Q*, the other the ratios of what good policies do to what the data do. The data need
    not cover all that a good policy does: where a ratio is large the clip bounds it.

    Args:
      values: f, [M, H, S, A].
      ratios: w, not negative, [L, H, S, A], as from `density_ratios`.
      gamma: positive; a larger one clips less and charges less.

    Raises:
      ValueError: arrays that do not fit together, ratios below 0, a gamma that is not positive.
    """

    values: Any = flax.struct.field(repr=False)
    ratios: Any = flax.struct.field(repr=False)
    gamma: Any = 1.0

    def __post_init__(self):
        require(self, "gamma", lambda x: x > 0, "positive")
        require(self, "ratios", lambda x: x >= 0, "zero or more")
        values, ratios = concrete(self.values), concrete(self.ratios)
        if values is None or ratios is None:
            return
        if min(values.ndim, ratios.ndim) < 4 or values.shape[-3:] != ratios.shape[-3:]:
            raise ValueError(
                f"MABO takes values [M, H, S, A] and ratios [L, H, S, A], got "
                f"{list(values.shape)} and {list(ratios.shape)}"
            )

    def scores(self, counts: Counts, episodes: jax.Array) -> jax.Array:
        """What the worst ratio says of every f, [M] float64; call it with float64 enabled."""
        values, ratios, gamma = (
            jnp.asarray(x).astype(jnp.float64) for x in (self.values, self.ratios, self.gamma)
        )
        visits, rewards = counts.visits / episodes, counts.rewards / episodes
        here = jnp.sum(visits, axis=-1)
        clipped = jnp.minimum(ratios, gamma * episodes)
        best = jnp.max(values, axis=-1)
        after = jnp.concatenate([best[:, 1:], jnp.zeros_like(best[:, :1])], axis=1)

        def errors(values, after):
            backups = rewards + jnp.sum(visits * after[:, None, None, :], axis=-1)
            wrong = jnp.sum(clipped * (here * values - backups), axis=(-2, -1))  # [L, H]
            return jnp.sum(jnp.abs(wrong), axis=-1)

        squares = jnp.sum(here * clipped**2, axis=(-3, -2, -1))
        charge = 8 / (gamma * episodes) * squares
        return jnp.max(jax.vmap(errors)(values, after) - charge, axis=-1)

    def policy(self, features, counts, episodes):
        chosen = argmax(-self.scores(counts, episodes).astype(jnp.float32))
        return greedy(jnp.asarray(self.values)[chosen])


def density_ratios(occupancies: Any, data: Any) -> np.ndarray:
    """d / mu for every occupancy d, [P, H, S, A], and every distribution mu of data, [N, H, S, A]:
    [P N, H, S, A]. 0 / 0 is 0; where d > 0 = mu it is the largest float32, for `MABO` to clip."""
    above, below = np.asarray(occupancies, np.float64)[:, None], np.asarray(data, np.float64)
    largest = float(np.finfo(np.float32).max)
    missing = np.where(above > 0, largest, 0.0)
    ratios = np.where(below > 0, above / np.where(below > 0, below, 1), missing)
    return np.minimum(ratios, largest).reshape(-1, *below.shape[1:]).astype(np.float32)


class ReductionState(NamedTuple):
    offline: Counts  # float64, of one episode on average
    online: Counts  # float64
    episodes: jax.Array  # int32, online so far


@flax.struct.dataclass
class H2O:
    """The reduction of hybrid to offline learning: equal shares of both kinds of data.

    Before episode t = 1, 2, .. an offline algorithm is run on t offline episodes and the t - 1
    online ones, and what it finds is played. Amortila, Foster, Jiang, Sekhari and Xie, "Harnessing
    density ratios for online reinforcement learning", ICLR 2024, who take the first t of the
    offline episodes and return a mixture of all policies. Here the whole of the offline data weighs
    as much as t episodes do (ours: in expectation the same, the order does not matter, and t may
    exceed their number), and the policy of the next episode is recommended.

    With `FittedQ` this is Hy-Q with equal shares in every episode, as in the batches of its code;
    with `MABO` it is `HyGLOW`. All data are gone through in every episode, as counts: an episode
    costs what the algorithm does, for `FittedQ` d^3 + S A (d^2 + S d) operations a stage.

    Args:
      algorithm: an `OfflineAlgorithm`.
      offline: what has a `draw(key)` that gives `core.mdp.Counts`, as `envs.OfflineData`.
      features: phi, [S, A, d]; taken from the environment.
    """

    algorithm: Any
    offline: Any = flax.struct.field(repr=False)
    features: Any = flax.struct.field(default=None, repr=False)

    def init(self, key) -> ReductionState:
        counts = self.offline.draw(tapes.stream(key, "offline data"))
        with jax.enable_x64(True):
            size = jnp.maximum(jnp.sum(counts.visits[0]), 1).astype(jnp.float64)
            offline = jax.tree.map(lambda x: x.astype(jnp.float64) / size, counts)
            return ReductionState(offline, jax.tree.map(jnp.zeros_like, offline), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state: ReductionState, observation, noise) -> Policy:
        with jax.enable_x64(True):
            online = state.episodes.astype(jnp.float64)
            counts = jax.tree.map(lambda x, y: (online + 1) * x + y, state.offline, state.online)
            return self.algorithm.policy(table(self), counts, 2 * online + 1)

    def update(self, state: ReductionState, observation, policy, trajectory):
        states, actions, _ = jnp.shape(filled(self, "features"))
        with jax.enable_x64(True):
            seen = counts_of(trajectory, states, actions)
            online = jax.tree.map(lambda x, y: x + y.astype(x.dtype), state.online, seen)
            return ReductionState(state.offline, online, state.episodes + 1)

    def recommend(self, state):
        return self.act(state, (), ())


def HyGLOW(values: Any, ratios: Any, offline: Any, gamma: Any = 1.0) -> H2O:
    """HyGLOW: the reduction `H2O` to `MABO`, for classes of values and ratios that are listed; see
    both."""
    return H2O(MABO(values, ratios, gamma), offline)
