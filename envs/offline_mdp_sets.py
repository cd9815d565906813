"""Offline data by name: of experts, of anyone, of no one; and recorded data of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import whole
from ..core.mdp import Counts, Policy, Trajectory, counts_of
from .linear_mdp import LinearMDP
from .mdp_instances import chance
from .mdp_values import uniform_policy
from .offline_mdp import OfflineData, PlannedData, RecordedData


def collected(env: LinearMDP, episodes: int, policy: Policy | Any) -> OfflineData:
    """Episodes of any policy: of a learner, or a table of chances [H, S, A].

    Raises:
      ValueError: see `OfflineData`.
    """
    return OfflineData(env, _table(policy), episodes)


def uniform_data(env: LinearMDP, episodes: int) -> OfflineData:
    """Episodes in which every action has the same chance.

    Raises:
      ValueError: no episode.
    """
    return OfflineData(env, _uniform(env), episodes)


def expert_data(
    env: LinearMDP, episodes: int, exploration: float = 0.0, uniform_at: int | None = None
) -> OfflineData:
    """Episodes of the optimal policy (of equal actions the lowest), which with chance `exploration`
    plays an action at random; at the stage `uniform_at` it always does.

    The first set of Song et al. 2023 for `combination_lock` has exploration 1 / H and, half-way, an
    action at random: uniform_at = H // 2 (stages from 0).

    Raises:
      ValueError: no episode, exploration outside [0, 1], no such stage.
    """
    exploration = chance("expert_data", "exploration", exploration)
    policy = (1 - exploration) * _best(env) + exploration * _uniform(env)
    if uniform_at is not None:
        policy[whole("uniform_at", uniform_at, 0, env.stages - 1)] = 1 / env.num_actions
    return OfflineData(env, policy, episodes)


def occupancy_data(
    env: LinearMDP, episodes: int, policy: Policy | Any | None = None
) -> OfflineData:
    """Transitions from where a policy is at every stage, with any action: the stages are drawn each
    for itself, a state as the policy visits it, then an action uniformly.

    The second set of Song et al. 2023 for `combination_lock`, where the policy is optimal.

    Args:
      policy: of a learner, or a table [H, S, A]; the optimal one (the lowest action on ties) when
        left out.

    Raises:
      ValueError: see `OfflineData`.
    """
    played = collected(env, episodes, _best(env) if policy is None else policy)
    return OfflineData(env, _uniform(env), episodes, played.distribution().sum(axis=-1))


def partial_data(env: LinearMDP, episodes: int, hidden: Any) -> OfflineData:
    """Episodes that play the actions that are not hidden, all with the same chance: partial
    coverage.

    Args:
      hidden: numbers of actions that never come up; or where which action does not, bool [S, A] or
        [H, S, A].

    Raises:
      ValueError: no episode; no such actions or another shape; nothing left to play somewhere.
    """
    shape = env.stages, env.num_states, env.num_actions
    mask = np.asarray(hidden)
    if mask.ndim == 1 and mask.dtype.kind in "iu" and np.all((mask >= 0) & (mask < shape[2])):
        mask = np.isin(np.arange(shape[2]), mask)
    elif mask.dtype != bool or mask.shape not in (shape, shape[1:]):
        raise ValueError(
            f"partial_data: hidden are numbers of {shape[2]} actions, or bool {list(shape[1:])} or "
            f"{list(shape)}, got {hidden!r:.80}"
        )
    left = np.broadcast_to(~mask, shape).astype(np.float64)
    count = left.sum(axis=-1, keepdims=True)
    if not count.all():
        h, s, _ = np.argwhere(count == 0)[0]
        raise ValueError(f"partial_data: all actions are hidden at stage {h}, state {s}")
    return OfflineData(env, left / count, episodes)


def leaf_data(env: LinearMDP, visits: Sequence[int]) -> PlannedData:
    """visits[i] episodes of path i of a `depth_two_tree`.

    Raises:
      ValueError: another environment; not four counts from 0 on, not all 0.
    """
    if (env.stages, env.num_states, env.num_actions) != (2, 3, 2):
        raise ValueError(f"leaf_data is for a depth_two_tree, got {env!r}")
    counts = np.asarray(visits)
    fits = counts.shape == (4,) and counts.dtype.kind in "iu" and counts.min() >= 0
    if not fits or not counts.any():
        raise ValueError(f"leaf_data: visits are four counts, not all 0, got {visits!r}")
    path = np.repeat(np.arange(4), counts)
    plans = np.stack([path // 2, path % 2], axis=-1)
    return PlannedData(env, np.repeat(plans[:, :, None], 3, axis=-1).astype(np.int64))


def recorded(sizes: LinearMDP | tuple[int, int], trajectories: Trajectory | Any) -> RecordedData:
    """Data of one's own: the same in every seed.

    Args:
      sizes: the environment, or the numbers of states and actions.
      trajectories: states [N, H + 1], actions [N, H], rewards [N, H].

    Raises:
      ValueError: shapes that do not fit together, states or actions that there are not, rewards
        that are not finite.
    """
    known = isinstance(sizes, LinearMDP)
    stages = sizes.stages if known else None
    numbers = (sizes.num_states, sizes.num_actions) if known else sizes
    states, actions, rewards = (np.asarray(x) for x in trajectories)
    shapes = [list(x.shape) for x in (states, actions, rewards)]
    fits = actions.ndim == 2 and all(shapes[1]) and shapes[2] == shapes[1]
    fits = fits and shapes[0] == [shapes[1][0], shapes[1][1] + 1]
    if not fits or (known and shapes[1][1] != stages):
        raise ValueError(
            f"recorded: trajectories are states [N, H + 1], actions [N, H] and rewards [N, H]"
            f"{f' with H = {stages}' if known else ''}, got {shapes}"
        )
    for name, given, count in zip(("states", "actions"), (states, actions), numbers, strict=True):
        if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= count:
            raise ValueError(
                f"recorded: {name} are whole numbers from 0 to {count - 1}, got {given.dtype} "
                f"from {given.min()} to {given.max()}"
            )
    if rewards.dtype.kind not in "fiu" or not np.all(np.isfinite(rewards)):
        raise ValueError("recorded: rewards are finite numbers")
    episodes = Trajectory(*map(jnp.asarray, (states, actions, rewards.astype(np.float32))))
    return RecordedData(Counts(*jax.device_get(counts_of(episodes, *numbers))))


def _uniform(env: LinearMDP) -> np.ndarray:
    return uniform_policy(env.stages, env.num_states, env.num_actions)


def _best(env: LinearMDP) -> np.ndarray:
    return np.eye(env.num_actions)[np.argmin(np.asarray(env.gaps), axis=-1)]


def _table(policy: Policy | Any) -> np.ndarray:
    chances = policy.probabilities() if hasattr(policy, "probabilities") else policy
    return np.asarray(chances, np.float64)
