"""Linear Markov decision processes with finitely many states, and regret without sampling error."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.mdp import Policy, Trajectory, policy_values
from ..core.noise import categorical, to_normal, uniform
from ..core.protocol import Key, Metrics, concrete
from .mdp_values import optimal_values

REWARD_NOISE = ("none", "coins", "normal")
_EXACT = 1e-9  # how far rows of transitions may be from adding up to one


class EpisodeNoise(NamedTuple):
    """Of one episode: uniform on (0, 1), a number for each draw."""

    start: jax.Array  # []
    policy: jax.Array  # [H]
    moves: jax.Array  # [H]
    rewards: jax.Array  # [H]


@flax.struct.dataclass
class LinearMDP:
    """An episodic linear MDP: P_h(s' | s, a) = <phi(s, a), mu_h(s')>, mean r_h = <phi, theta_h>.

    One round is an episode of H stages: the learner plays a policy (`core.mdp.Policy`) and is told
    the trajectory. `regret` of an episode is V*(s) - V^pi(s) from the state s that it started in,
    computed exactly, as the expected sum of the gaps V* - Q* of the actions that pi plays: an
    optimal policy has regret 0 to the last digit. `reward` is the sum of what was received. Of the
    policy that a learner recommends `simple_regret` is the same, averaged over the first state; of
    a learner that stops exploring `explored` is the number of episodes until then, or so far.

    The model is that of Jin, Yang, Wang and Jordan, "Provably efficient reinforcement learning with
    linear function approximation", COLT 2020, for finitely many states.

    Args:
      features: phi, [S, A, d].
      measures: mu, [H, d, S].
      weights: theta, [H, d].
      start: chances of the first state, [S].
      reward_noise: "none"; "coins", rewards are 0 or 1 with means in [0, 1]; or "normal".
      sigma: standard deviation of normal rewards, a number or [H, S, A].

    Tables are checked in float64; play is in float32. What follows from the arguments:
    `transitions` [H, S, A, S], `rewards` [H, S, A] (means) and `gaps` [H, S, A].

    Raises:
      ValueError: shapes that do not fit together; numbers that are not finite; transitions or
        start that are negative or do not add up to one; means out of range for coins.
    """

    features: Any
    measures: Any
    weights: Any
    start: Any
    reward_noise: str = flax.struct.field(pytree_node=False, default="none")
    sigma: Any = 1.0

    # Derived, users leave them out.
    transitions: Any = flax.struct.field(default=None, repr=False)
    rewards: Any = flax.struct.field(default=None, repr=False)
    cumulative: Any = flax.struct.field(default=None, repr=False)
    gaps: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        if self.gaps is None:
            for name, value in _derived(self).items():
                object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return (
            f"LinearMDP({self.num_states} states, {self.num_actions} actions, {self.stages} "
            f"stages, dimension {self.dimension}, reward_noise={self.reward_noise!r})"
        )

    @property
    def num_states(self) -> int:
        return np.shape(self.features)[-3]

    @property
    def num_actions(self) -> int:
        return np.shape(self.features)[-2]

    @property
    def dimension(self) -> int:
        return np.shape(self.features)[-1]

    @property
    def stages(self) -> int:
        """H, of an episode."""
        return np.shape(self.measures)[-3]

    def init(self, key: Key) -> tuple:
        return ()

    def noise(self, key: Key, num_rounds: int) -> EpisodeNoise:
        stages = self.stages
        draws = uniform(key, (num_rounds, 3 * stages + 1))
        policy, moves, rewards = (draws[:, k * stages + 1 : (k + 1) * stages + 1] for k in range(3))
        return EpisodeNoise(draws[:, 0], policy, moves, rewards)

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, policy: Policy, noise: EpisodeNoise):
        trajectory = self.play(policy, noise)
        values = policy_values(jnp.asarray(self.transitions), jnp.asarray(self.gaps), policy)
        metrics = {
            "regret": values[0, trajectory.states[0]],
            "reward": jnp.sum(trajectory.rewards),
        }
        return state, trajectory, metrics

    def evaluate(self, state, recommendation) -> Metrics:
        if not hasattr(recommendation, "probabilities"):
            return {}
        values = policy_values(
            jnp.asarray(self.transitions), jnp.asarray(self.gaps), recommendation
        )
        metrics = {"simple_regret": jnp.sum(self.start * values[0])}
        explored = getattr(recommendation, "explored", None)
        return metrics if explored is None else metrics | {"explored": explored}

    def play(self, policy: Policy, noise: EpisodeNoise) -> Trajectory:
        """The trajectory of a policy, with the draws of one episode."""
        cumulative, means = jnp.asarray(self.cumulative), jnp.asarray(self.rewards)
        sigma = jnp.broadcast_to(jnp.asarray(self.sigma, jnp.float32), means.shape)

        def stage(state, now):
            h, draw, move, reward = now
            action = policy.act(h, state, draw)
            mean = means[h, state, action]
            if self.reward_noise == "coins":
                received = (reward < mean).astype(jnp.float32)
            elif self.reward_noise == "normal":
                received = mean + sigma[h, state, action] * to_normal(reward)
            else:
                received = mean
            passed = cumulative[h, state, action, :-1] <= move
            after = jnp.sum(passed, dtype=jnp.int32)
            return after, (after, action, received)

        first = categorical(noise.start, jnp.asarray(self.start))
        inputs = jnp.arange(self.stages), noise.policy, noise.moves, noise.rewards
        _, (after, actions, rewards) = jax.lax.scan(stage, first, inputs)
        return Trajectory(jnp.concatenate([first[None], after]), actions, rewards)


def tabular(
    transitions: Any, rewards: Any, start: Any, reward_noise: str = "none", sigma: Any = 1.0
) -> LinearMDP:
    """Any finite MDP as a linear one: phi(s, a) = e_(sA + a), d = SA.

    Args:
      transitions: [H, S, A, S]; rewards: means, [H, S, A].
      start, reward_noise, sigma: see `LinearMDP`.

    Raises:
      ValueError: as there.
    """
    moves, means = np.asarray(transitions, np.float64), np.asarray(rewards, np.float64)
    if moves.ndim != 4 or moves.shape[1] != moves.shape[3] or means.shape != moves.shape[:3]:
        raise ValueError(
            f"tabular takes transitions [H, S, A, S] and rewards [H, S, A], got "
            f"{list(moves.shape)} and {list(means.shape)}"
        )
    stages, states, actions, _ = moves.shape
    features = np.eye(states * actions).reshape(states, actions, -1)
    measures = moves.reshape(stages, -1, states)
    return LinearMDP(features, measures, means.reshape(stages, -1), start, reward_noise, sigma)


def _derived(env: LinearMDP) -> dict[str, Any]:
    features, measures, weights, start = _tables(env)
    transitions = np.einsum("sad,hdt->hsat", features, measures)
    if transitions.min() < -_EXACT or np.abs(transitions.sum(axis=-1) - 1).max() > _EXACT:
        h, s, a = np.unravel_index(
            np.argmax(np.abs(transitions.sum(axis=-1) - 1)), transitions.shape[:3]
        )
        raise ValueError(
            f"LinearMDP: features times measures are chances of the next state, got a least one of "
            f"{transitions.min():.3g}, and a sum of {transitions[h, s, a].sum():.10g} at stage "
            f"{h}, state {s}, action {a}"
        )
    transitions = np.maximum(transitions, 0)
    transitions /= transitions.sum(axis=-1, keepdims=True)
    rewards = np.einsum("sad,hd->hsa", features, weights)
    if env.reward_noise == "coins" and (rewards.min() < -_EXACT or rewards.max() > 1 + _EXACT):
        raise ValueError(
            f"LinearMDP: rewards that are coins have means from 0 to 1, these go from "
            f"{rewards.min():.6g} to {rewards.max():.6g}"
        )
    values, best = optimal_values(transitions, rewards)
    gaps = best[:-1, :, None] - values
    gaps[gaps < 1e-12 * max(1, np.abs(best).max())] = 0  # ties, up to rounding
    return {
        "features": features,
        "measures": measures,
        "weights": weights,
        "start": start.astype(np.float32),
        "sigma": np.float32(env.sigma) if np.ndim(env.sigma) == 0 else _deviations(env, rewards),
        "transitions": transitions.astype(np.float32),
        "rewards": rewards.astype(np.float32),
        "cumulative": _cumulative(transitions),
        "gaps": gaps.astype(np.float32),
    }


def _deviations(env: LinearMDP, rewards: np.ndarray) -> np.ndarray:
    sigma = np.asarray(env.sigma, np.float32)
    if sigma.shape != rewards.shape or not np.all(sigma >= 0) or not np.all(np.isfinite(sigma)):
        raise ValueError(
            f"LinearMDP: sigma is a number from 0, or an array of them "
            f"{list(rewards.shape)} [H, S, A], got shape {list(sigma.shape)}"
        )
    return sigma


def _tables(env: LinearMDP) -> list[np.ndarray]:
    names = ("features", "measures", "weights", "start")
    tables = []
    for name in names:
        table = concrete(getattr(env, name))
        if table is None or table.dtype.kind not in "fiu" or not np.all(np.isfinite(table)):
            raise ValueError(f"LinearMDP: {name} is an array of finite numbers")
        tables.append(table.astype(np.float64))
    features, measures, weights, start = tables
    shapes = [list(table.shape) for table in tables]
    wanted = "features [S, A, d], measures [H, d, S], weights [H, d] and start [S], none empty"
    if [table.ndim for table in tables] != [3, 3, 2, 1] or not all(t.size for t in tables):
        raise ValueError(f"LinearMDP takes {wanted}: got {shapes}")
    states, _, d = features.shape
    if measures.shape[1:] != (d, states) or weights.shape != measures.shape[:2]:
        raise ValueError(f"LinearMDP takes {wanted}: got {shapes}")
    if start.shape != (states,) or start.min() < 0 or abs(start.sum() - 1) > _EXACT:
        raise ValueError(
            f"LinearMDP: start are the chances of {states} first states, got {start!r:.80}"
        )
    if env.reward_noise not in REWARD_NOISE:
        raise ValueError(
            f"LinearMDP: reward_noise is one of {list(REWARD_NOISE)}, got {env.reward_noise!r}"
        )
    if np.ndim(env.sigma) == 0 and not 0 <= float(env.sigma) < np.inf:
        raise ValueError(f"LinearMDP: sigma is finite, zero or more, got {env.sigma!r}")
    return tables


def _cumulative(transitions: np.ndarray) -> np.ndarray:
    """Running sums that never let a state of chance 0 be drawn: 1 from the last possible one on."""
    sums = np.cumsum(transitions, axis=-1)
    left = np.cumsum(transitions[..., ::-1], axis=-1)[..., ::-1] - transitions
    return np.where(left > 0, np.minimum(sums, 1), 1).astype(np.float32)
