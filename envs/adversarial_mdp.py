"""Linear Markov decision processes with losses that an oblivious adversary chose; exact regret."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise as tapes
from ..core.mdp import Policy, Stochastic, optimal_values, policy_values, times
from ..core.protocol import Key, Metrics, concrete
from .linear_mdp import EpisodeNoise, LinearMDP

SCHEDULES = ("cyclic", "doubling", "drawn")
_ROUNDING = 1e-6  # how far losses in float32 may be outside [0, 1]


class LossTrajectory(NamedTuple):
    """What happened in an episode. State h + 1 is what action h led to."""

    states: jax.Array  # [H + 1] int32
    actions: jax.Array  # [H] int32
    losses: jax.Array  # [H]


class LossFeedback(NamedTuple):
    """A learner with bandit feedback reads the trajectory only, one with full information all."""

    trajectory: LossTrajectory
    losses: jax.Array  # [H, S, A], of every state and action in this episode


class LossNoise(NamedTuple):
    """Of one episode: uniform on (0, 1), a number for each draw."""

    episode: EpisodeNoise
    table: jax.Array  # []
    coins: jax.Array  # [H, d]


class LossState(NamedTuple):
    """Which losses there were so far, as whole numbers, and what was suffered of them."""

    episode: jax.Array  # [] int32, of the next round
    counts: jax.Array  # [J] int32, how often each table came
    coins: jax.Array  # [H, d] int32, heads less tails
    suffered: jax.Array  # [] float64, sum of V^pi


@flax.struct.dataclass
class AdversarialMDP:
    """An episodic linear MDP with losses l_k,h(s, a) = <phi(s, a), theta_k,h> that change from
    episode to episode, whatever was played before.

    One round is an episode. The learner plays a policy (`core.mdp.Policy`) and is told
    `LossFeedback`. theta_k is one of J tables of `weights`, in the order of the schedule:
    "cyclic", the tables take turns of `period` episodes; "doubling", so do they, and every turn is
    twice as long as the one before; "drawn", each episode draws a table. With a `spread`, coins of
    the episode add it to every entry of theta_k, or take it off.

    `regret` is regret in hindsight: the sum of V^(pi_k) under the losses of episode k, less that of
    the policy that is best for the sum of all losses so far; it may be negative. Values are
    computed exactly, in float64, and the sum of all losses is kept as whole numbers, so nothing is
    lost over many episodes. `best_loss` is the second of the two sums; `loss`, what was received.

    Args:
      mdp: transitions, features and first states; its rewards do not count.
      weights: theta, [J, H, d].
      schedule: "cyclic", "doubling" or "drawn".
      period: of the first turn, in episodes; whole, from 1.
      chances: of the tables, [J], where they are drawn; the same for all when left out.
      spread: zero or more.
      kernels: psi, [m, S, A, S], where transitions are mixtures of m known ones, for learners that
        know them.

    What follows from the arguments: `losses` [J, H, S, A], without the coins.

    Raises:
      ValueError: shapes that do not fit together, an unknown schedule, parameters out of range,
        losses that may be outside [0, 1].
    """

    mdp: LinearMDP
    weights: Any
    schedule: str = flax.struct.field(pytree_node=False, default="cyclic")
    period: Any = 1
    chances: Any = None
    spread: Any = 0.0
    kernels: Any = flax.struct.field(default=None, repr=False)

    losses: Any = flax.struct.field(default=None, repr=False)  # derived: users leave it out

    def __post_init__(self):
        if self.losses is None:
            for name, value in _derived(self).items():
                object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return (
            f"AdversarialMDP({self.num_states} states, {self.num_actions} actions, {self.stages} "
            f"stages, dimension {self.dimension}, {self._num_tables} tables, {self.schedule})"
        )

    @property
    def num_states(self) -> int:
        return self.mdp.num_states

    @property
    def num_actions(self) -> int:
        return self.mdp.num_actions

    @property
    def dimension(self) -> int:
        return self.mdp.dimension

    @property
    def stages(self) -> int:
        """H, of an episode."""
        return self.mdp.stages

    @property
    def features(self) -> Any:
        return self.mdp.features

    @property
    def transitions(self) -> Any:
        return self.mdp.transitions

    @property
    def start(self) -> Any:
        return self.mdp.start

    def init(self, key: Key) -> LossState:
        counts = jnp.zeros(self._num_tables, jnp.int32)
        coins = jnp.zeros((self.stages, self.dimension), jnp.int32)
        with jax.enable_x64(True):
            return LossState(jnp.int32(0), counts, coins, jnp.float64(0))

    def noise(self, key: Key, num_rounds: int) -> LossNoise:
        episode = self.mdp.noise(tapes.stream(key, "episode"), num_rounds)
        table = tapes.uniform(tapes.stream(key, "table"), (num_rounds,))
        shape = num_rounds, self.stages, self.dimension
        return LossNoise(episode, table, tapes.uniform(tapes.stream(key, "coins"), shape))

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state: LossState, policy: Policy, noise: LossNoise):
        states, actions, _ = self.mdp.play(policy, noise.episode)
        row = self._row(state.episode, noise.table)
        counts = state.counts.at[row].add(1)
        coins = jnp.where(noise.coins < 0.5, jnp.int32(1), jnp.int32(-1))
        with jax.enable_x64(True):
            losses = self._sum(jnp.asarray(self.losses)[row].astype(jnp.float64), coins)
            suffered = state.suffered + self._value(policy, losses)
        losses = losses.astype(jnp.float32)
        received = losses[jnp.arange(self.stages), states[:-1], actions]
        state = LossState(state.episode + 1, counts, state.coins + coins, suffered)
        feedback = LossFeedback(LossTrajectory(states, actions, received), losses)
        return state, feedback, {"loss": jnp.sum(received)}

    def evaluate(self, state: LossState, recommendation) -> Metrics:
        with jax.enable_x64(True):
            tables = jnp.asarray(self.losses).astype(jnp.float64)
            losses = self._sum(times(state.counts.astype(jnp.float64), tables), state.coins)
            values = optimal_values(*self._known(-losses))
            start = jnp.asarray(self.start).astype(jnp.float64)
            best = -jnp.sum(start * jnp.max(values[0], axis=-1))
            found = {"regret": state.suffered - best, "best_loss": best}
            return {name: x.astype(jnp.float32) for name, x in found.items()}

    @property
    def _num_tables(self) -> int:
        return np.shape(self.weights)[-3]

    def _row(self, episode, draw):
        if self.schedule == "drawn":
            return tapes.categorical(draw, jnp.asarray(self.chances, jnp.float32))
        turn = episode // jnp.asarray(self.period, jnp.int32)
        if self.schedule == "doubling":
            turn = 31 - jax.lax.clz(turn + 1)  # lengths 1, 2, 4, ...: the logarithm, rounded down
        return turn % self._num_tables

    def _sum(self, tables, coins):
        """Losses of tables and coins, or of sums of both; [H, S, A] float64."""
        features = jnp.asarray(self.features).astype(jnp.float64)
        spread = jnp.asarray(self.spread).astype(jnp.float64)
        return tables + spread * jnp.moveaxis(times(features, coins.T.astype(jnp.float64)), -1, 0)

    def _known(self, values):
        return jnp.asarray(self.transitions).astype(jnp.float64), values

    def _value(self, policy, losses):
        """V^pi from the start; chances that add up to one but for rounding are made to do so."""
        chances = policy.probabilities().astype(jnp.float64)
        chances = chances / jnp.sum(chances, axis=-1, keepdims=True)
        values = policy_values(*self._known(losses), Stochastic(chances))
        return jnp.sum(jnp.asarray(self.start).astype(jnp.float64) * values[0])


def _derived(env: AdversarialMDP) -> dict[str, Any]:
    weights = _weights(env)
    features = np.asarray(env.features, np.float64)
    losses = np.einsum("sad,jhd->jhsa", features, weights)
    derived: dict[str, Any] = {"weights": weights, "losses": losses.astype(np.float32)}
    if env.schedule not in SCHEDULES:
        raise ValueError(
            f"AdversarialMDP: schedule is one of {list(SCHEDULES)}, got {env.schedule!r}"
        )
    period = concrete(env.period)
    if period is None or period.ndim or period < 1 or period != int(period):
        raise ValueError(
            f"AdversarialMDP: period is a whole number of episodes from 1, got {env.period!r}"
        )
    derived["period"] = np.int32(period)
    if env.schedule == "drawn":
        derived["chances"] = _chances(env, len(weights))
    spread = concrete(env.spread)
    if spread is None or spread.ndim or not 0 <= spread < np.inf:
        raise ValueError(f"AdversarialMDP: spread is zero or more, got {env.spread!r}")
    derived["spread"] = np.float32(spread)
    margin = spread * np.abs(features).sum(axis=-1)
    low, high = (losses - margin).min(), (losses + margin).max()
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f"AdversarialMDP: losses, features times weights and coins, lie in [0, 1], these go "
            f"from {low:.6g} to {high:.6g}"
        )
    if env.kernels is not None:
        derived["kernels"] = _kernels(env)
    return derived


def _weights(env: AdversarialMDP) -> np.ndarray:
    weights, wanted = concrete(env.weights), (env.stages, env.dimension)
    if weights is None or weights.ndim != 3 or not len(weights) or weights.shape[1:] != wanted:
        raise ValueError(
            f"AdversarialMDP takes weights [J, {wanted[0]}, {wanted[1]}], a table for each of J "
            f"losses, got shape {list(np.shape(env.weights))}"
        )
    if weights.dtype.kind not in "fiu" or not np.all(np.isfinite(weights)):
        raise ValueError("AdversarialMDP: weights is an array of finite numbers")
    return weights.astype(np.float64)


def _chances(env: AdversarialMDP, tables: int) -> np.ndarray:
    if env.chances is None:
        return np.full(tables, 1 / tables, np.float32)
    chances = np.asarray(env.chances, np.float64)
    if chances.shape != (tables,) or not np.all(chances >= 0) or abs(chances.sum() - 1) > _ROUNDING:
        raise ValueError(
            f"AdversarialMDP: chances of {tables} tables are {tables} numbers that add up to one, "
            f"got {env.chances!r:.80}"
        )
    return chances.astype(np.float32)


def _kernels(env: AdversarialMDP) -> np.ndarray:
    kernels = np.asarray(env.kernels, np.float64)
    wanted = np.shape(env.transitions)[1:]
    if kernels.ndim != 4 or kernels.shape[1:] != wanted or not np.all(np.isfinite(kernels)):
        raise ValueError(
            f"AdversarialMDP takes kernels [m, S, A, S] with [S, A, S] = {list(wanted)}, got shape "
            f"{list(kernels.shape)}"
        )
    return kernels.astype(np.float32)
