"""Offline data of a linear MDP, drawn anew for every seed or recorded.

A learner's `offline` is one of the classes here. Before its first episode it draws `Counts`, all
that least squares needs to know of any number of episodes. Named sets are in `offline_mdp_sets`;
what a set covers is computed by `mdp_coverage` from its `distribution()`.
"""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import whole
from ..core.mdp import Counts, Deterministic, Policy, Stochastic, Trajectory, counts_of
from ..core.noise import stream
from ..core.protocol import Key, concrete
from .linear_mdp import LinearMDP
from .mdp_coverage import exact_tables
from .mdp_values import occupancy

_BLOCK = 256  # episodes that are drawn at a time
_EXACT = 1e-6  # how far chances may be from adding up to one


@flax.struct.dataclass
class OfflineData:
    """Episodes of one policy; with `visited`, of stages that have nothing to do with each other.

    A set with `visited` has `episodes` transitions of each stage h: a state drawn with chances
    visited[h], an action of the policy there, and where that leads, whatever other stages drew.

    Args:
      env: what the data come from.
      policy: the chances of actions, [H, S, A].
      episodes: how many; they are drawn when a run starts, in time H * episodes.
      visited: chances of states, [H, S].

    Raises:
      ValueError: chances of another shape, negative, or that do not add up to one; no episode.
    """

    env: LinearMDP
    policy: Any = flax.struct.field(repr=False)
    episodes: int = flax.struct.field(pytree_node=False)
    visited: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        whole("episodes", self.episodes)
        _check_chances(self, "policy", "[H, S, A]")
        _check_chances(self, "visited", "[H, S]")

    def draw(self, key: Key) -> Counts:
        """What a seed has been given, a function of the key alone."""
        shape = self.env.stages, self.env.num_states, self.env.num_actions
        total = Counts(jnp.zeros((*shape, shape[1]), jnp.int32), jnp.zeros(shape))

        def add(total, number):
            return jax.tree.map(jnp.add, total, self._counts(key, number)), None

        return jax.lax.scan(add, total, self._blocks())[0]

    def trajectories(self, key: Key) -> Trajectory:
        """The episodes that `draw` counts, [N, ...].

        Raises:
          ValueError: stages were drawn each for itself.
        """
        if self.visited is not None:
            raise ValueError(
                "these offline data have no episodes, their stages are drawn each for itself: "
                "draw(key) gives their counts"
            )
        policy = Stochastic(jnp.asarray(self.policy))
        played = jax.lax.map(lambda n: _played(self.env, policy, stream(key, n)), self._blocks())
        return jax.tree.map(lambda x: x.reshape(-1, x.shape[-1])[: self.episodes], played)

    def distribution(self) -> np.ndarray:
        """The expected share of every pair (s, a) of a stage, [H, S, A], exact in float64."""
        transitions, _, start = exact_tables(self.env)
        policy = _normal(self.policy)
        if self.visited is not None:
            return _normal(self.visited)[..., None] * policy
        return occupancy(transitions, start, policy)

    def _blocks(self) -> jax.Array:
        return jnp.arange(-(-self.episodes // _BLOCK))

    def _counts(self, key, number) -> Counts:
        env, key, policy = self.env, stream(key, number), jnp.asarray(self.policy)
        wanted = number * _BLOCK + jnp.arange(_BLOCK) < self.episodes

        def count(played):
            # A state that is not there is not counted: JAX drops what is out of bounds.
            states = jnp.where(wanted[:, None], played.states, env.num_states)
            return counts_of(played._replace(states=states), env.num_states, env.num_actions)

        if self.visited is None:
            return count(_played(env, Stochastic(policy), key))

        def stage(h, start, chances):
            played = _played(_alone(env, h, start), Stochastic(chances[None]), stream(key, h))
            return jax.tree.map(lambda x: x[0], count(played))

        return jax.vmap(stage)(jnp.arange(env.stages), jnp.asarray(self.visited), policy)


@flax.struct.dataclass
class PlannedData:
    """Episodes each of which has a deterministic policy of its own; few, as all are drawn at once.

    Args:
      env: what the data come from.
      plans: actions, [N, H, S] int32.

    Raises:
      ValueError: no such array, or actions that there are not.
    """

    env: LinearMDP
    plans: Any = flax.struct.field(repr=False)

    def __post_init__(self):
        plans = concrete(self.plans)
        if plans is None or plans.dtype == np.int32:  # made by JAX, or checked before
            return
        shape = self.env.stages, self.env.num_states
        actions = self.env.num_actions
        fits = plans.ndim == 3 and len(plans) and plans.shape[1:] == shape
        fits = fits and plans.dtype.kind in "iu" and plans.min() >= 0 and plans.max() < actions
        if not fits:
            raise ValueError(
                f"PlannedData: plans are numbers of {actions} actions, [N, {shape[0]}, "
                f"{shape[1]}], got {plans.dtype} {list(plans.shape)}"
            )
        object.__setattr__(self, "plans", plans.astype(np.int32))

    @property
    def episodes(self) -> int:
        return np.shape(self.plans)[-3]

    def draw(self, key: Key) -> Counts:
        """What a seed has been given, a function of the key alone."""
        return counts_of(self.trajectories(key), self.env.num_states, self.env.num_actions)

    def trajectories(self, key: Key) -> Trajectory:
        """The episodes that `draw` counts, [N, ...]."""
        policies = Deterministic(jnp.asarray(self.plans), self.env.num_actions)
        return jax.vmap(self.env.play)(policies, self.env.noise(key, self.episodes))

    def distribution(self) -> np.ndarray:
        """The expected share of every pair (s, a) of a stage, [H, S, A], exact in float64."""
        transitions, _, start = exact_tables(self.env)
        plans, counts = np.unique(np.asarray(self.plans), axis=0, return_counts=True)
        visits = [occupancy(transitions, start, np.eye(self.env.num_actions)[p]) for p in plans]
        return np.average(visits, axis=0, weights=counts)


@flax.struct.dataclass
class RecordedData:
    """The same data in every seed; `offline_mdp_sets.recorded` makes it from trajectories."""

    counts: Counts = flax.struct.field(repr=False)

    def draw(self, key: Key) -> Counts:
        return Counts(*map(jnp.asarray, self.counts))

    def distribution(self) -> np.ndarray:
        """The share of every pair (s, a) of a stage in the data, [H, S, A]."""
        visits = np.asarray(self.counts.visits, np.float64).sum(axis=-1)
        return visits / visits.sum(axis=(1, 2), keepdims=True)


# ---- draws and checks ----------------------------------------------------------------------


def _played(env: LinearMDP, policy: Policy, key: Key) -> Trajectory:
    return jax.vmap(env.play, in_axes=(None, 0))(policy, env.noise(key, _BLOCK))


def _alone(env: LinearMDP, h: jax.Array, start: jax.Array) -> LinearMDP:
    """Stage h as an environment of one stage."""
    sigma = jnp.broadcast_to(jnp.asarray(env.sigma, jnp.float32), np.shape(env.rewards))
    tables = {
        name: jnp.asarray(getattr(env, name))
        for name in ("measures", "weights", "transitions", "rewards", "cumulative", "gaps")
    }
    cut = {
        name: jax.lax.dynamic_slice_in_dim(table, h, 1)
        for name, table in (*tables.items(), ("sigma", sigma))
    }
    return env.replace(start=start, **cut)  # pyright: ignore[reportAttributeAccessIssue]


def _normal(chances: Any) -> np.ndarray:
    chances = np.asarray(chances, np.float64)
    return chances / chances.sum(axis=-1, keepdims=True)


def _check_chances(data: OfflineData, name: str, axes: str) -> None:
    value = concrete(getattr(data, name))
    if value is None or value.dtype == np.float32:  # made by JAX, or checked before
        return
    env = data.env
    shape = (env.stages, env.num_states, env.num_actions)[: axes.count(",") + 1]
    if (
        value.shape != shape
        or not np.all(value >= 0)
        or not np.all(np.abs(value.sum(axis=-1) - 1) < _EXACT)
    ):
        raise ValueError(
            f"OfflineData: {name} are chances {axes}, {list(shape)}, that add up to one over the "
            f"last axis, got shape {list(value.shape)}"
        )
    object.__setattr__(data, name, value.astype(np.float32))
