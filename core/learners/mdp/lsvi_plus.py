"""Least-squares value iteration with weights by variance and few changes of policy: LSVI-UCB++."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...mdp import Counts, greedy, times
from ..parameters import filled, nonnegative, require
from .statistics import Statistics, from_counts, learn, solve, table


class Radii(NamedTuple):
    """Of the confidence sets of regressions: of optimistic and pessimistic values, of squares."""

    optimistic: Any
    pessimistic: Any
    squared: Any


def radii(dimension: int, stages: int, episodes: Any, delta: Any, ridge: Any) -> Radii:
    """What the theory of LSVI-UCB++ has: with L = ln(d H K / (delta ridge)),
      H sqrt(d ridge) + sqrt(d) L, H sqrt(d ridge) + sqrt(d^3) H L,
      H^2 sqrt(d ridge) + sqrt(d^3) H^2 L.
    From H = d = 10 and K = 100 on the first is above H, and says nothing without a scale.
    """
    level = jnp.log(dimension * stages * episodes / (delta * ridge))
    bias, power = jnp.sqrt(dimension * ridge), dimension**1.5
    return Radii(
        stages * bias + math.sqrt(dimension) * level,
        stages * bias + power * stages * level,
        stages**2 * bias + power * stages**2 * level,
    )


class PlusState(NamedTuple):
    statistics: Statistics  # of weighted regressions
    optimistic: jax.Array  # [H, S, A] float64
    pessimistic: jax.Array  # [H, S, A] float64
    planned: jax.Array  # [H] float64, log_growth of the statistics that the values are made of
    switches: jax.Array  # int32, how often the values were made anew


@flax.struct.dataclass
class LSVIUCBPlusPlus:
    """LSVI-UCB++: regressions weighted by variances, and values that seldom change.

    He, Zhao, Zhou and Gu, "Nearly minimax optimal reinforcement learning for linear Markov decision
    processes", ICML 2023, in the form that Tan, Fan and Wei, "Hybrid reinforcement learning breaks
    sample size barriers in linear MDPs", 2024, give it. Mean rewards r are known. With u(s, a) the
    norm of phi in Sigma_h^-1, and the regression w_h of V_(h+1)(s') on phi (w'_h: that of the
    pessimistic values),

      Q_h = min(r + phi^T w_h + beta u, Q_h so far, H),
      Q'_h = max(r + phi^T w'_h - beta' u, Q'_h so far, 0)

    are made anew in an episode that begins with det Sigma_h at least twice what it was when they
    were last made, for some h: O(d H ln K) times. Play is greedy in Q, which is H at first, Q' is
    0. Regressions weigh an episode by 1 / max(sigma, sqrt(H), 2 d^3 H^2 sqrt(u))^2, where

      sigma^2 = clip(phi^T w''_h, 0, H^2) - clip(phi^T w_h, 0, H)^2 + E + D + H,
      E = min(beta'' u, H^2) + min(2 H beta' u, H^2),
      D = min(4 d^3 H^2 (phi^T (w_h - w'_h) + 2 beta' u), d^3 H^3),

    w''_h is the regression of V_(h+1)(s')^2 (from memory), and the radii beta are those of `radii`.
    The variance is kept from falling below 0 (ours). At sizes that can be run the theory's
    constants leave nothing to learn from, hence two scales (ours): `bonus_scale` multiplies the
    three radii; `correction_scale` what is there for the analysis, E, D and the bound by u, so that
    0 leaves the estimated variance plus H. Both are 1 in the theory. Ties go to the lowest index.
    Recommends the policy of the next episode.

    Costs d^2 + S (A + d) operations a stage and episode, d^2 + S A d more where values are made.

    With `offline` data this is HYRULE, see there.

    Args:
      bonus_scale, correction_scale: zero or more.
      delta: chance that the theory leaves for failure, in (0, 1).
      ridge: positive; 1 / H^2 when left out.
      features, rewards, stages, horizon: phi [S, A, d], r [H, S, A], H and K, the number of
        episodes; taken from the environment.
      offline: what has a `draw(key)` that gives `core.mdp.Counts`, as `envs.OfflineData`.
    """

    bonus_scale: Any = 0.01
    correction_scale: Any = 0.0
    delta: Any = 0.01
    ridge: Any = None
    features: Any = flax.struct.field(default=None, repr=False)
    rewards: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    offline: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        require(self, "bonus_scale", nonnegative, "zero or more")
        require(self, "correction_scale", nonnegative, "zero or more")
        require(self, "delta", lambda x: (x > 0) & (x < 1), "a probability between 0 and 1")
        require(self, "ridge", lambda x: x > 0, "positive")
        require(self, "horizon", lambda x: x >= 1, "one episode or more")

    def init(self, key) -> PlusState:
        stages, offline = filled(self, "stages"), self.offline
        with jax.enable_x64(True):
            features = table(self)
            states, actions, _ = features.shape
            pairs = stages, states, actions
            counts = Counts(jnp.zeros((*pairs, states), jnp.int32), jnp.zeros(pairs))
        if offline is not None:
            counts = offline.draw(tapes.stream(key, "offline data"))
        with jax.enable_x64(True):
            weights = jnp.full(pairs, 1 / stages**2, jnp.float64)
            state = self._fresh(counts, weights)
            everywhere = jnp.tile(features.reshape(states * actions, -1), (stages, 1, 1))
            weights = self._weights(state, everywhere).reshape(pairs)
            return self._fresh(counts, weights)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state: PlusState, observation, noise):
        with jax.enable_x64(True):
            return greedy(state.optimistic)

    def update(self, state: PlusState, observation, policy, trajectory):
        with jax.enable_x64(True):
            features = table(self)
            x = features[trajectory.states[:-1], trajectory.actions]
            weights = self._weights(state, x[:, None])[:, 0]
            statistics = learn(state.statistics, features, trajectory, weights)
            return self._planned(state._replace(statistics=statistics))

    def recommend(self, state):
        return self.act(state, (), ())

    # ---- inside ----------------------------------------------------------------------------

    def _radii(self) -> Radii:
        """Scaled, float64."""
        d, stages = jnp.shape(self.features)[-1], filled(self, "stages")
        numbers = filled(self, "horizon"), self.delta, self._ridge()
        scale = jnp.asarray(self.bonus_scale).astype(jnp.float64)
        theory = radii(d, stages, *(jnp.asarray(x).astype(jnp.float64) for x in numbers))
        return Radii(*(scale * x for x in theory))

    def _ridge(self):
        return filled(self, "stages") ** -2 if self.ridge is None else self.ridge

    def _fresh(self, counts, weights) -> PlusState:
        """Before the first episode: of offline data with weights [H, S, A]."""
        ridge = jnp.asarray(self._ridge()).astype(jnp.float64)
        statistics = from_counts(table(self), ridge, counts, weights)
        low = jnp.zeros(weights.shape, jnp.float64)
        high, planned = low + filled(self, "stages"), jnp.zeros_like(statistics.log_growth)
        return self._planned(PlusState(statistics, high, low, planned, jnp.int32(0)))

    def _planned(self, state: PlusState) -> PlusState:
        """With values made anew, if a determinant has doubled."""
        doubled = jnp.any(state.statistics.log_growth - state.planned >= math.log(2))

        # A loop that turns once at most: a `cond` would pay for every episode under `vmap`.
        def turn(loop):
            return jnp.bool_(False), self._plan(loop[1])

        return jax.lax.while_loop(lambda loop: loop[0], turn, (doubled, state))[1]

    def _plan(self, state: PlusState) -> PlusState:
        features, stages, statistics = table(self), filled(self, "stages"), state.statistics
        rewards = jnp.asarray(filled(self, "rewards")).astype(jnp.float64)
        beta, radius, _ = self._radii()

        def stage(after, now):
            high, low = after
            root, successors, widths, rewards, optimistic, pessimistic = now
            upper = rewards + times(features, solve(root, times(high, successors)))
            lower = rewards + times(features, solve(root, times(low, successors)))
            norms = jnp.sqrt(widths)
            upper = jnp.minimum(jnp.minimum(upper + beta * norms, optimistic), stages)
            lower = jnp.maximum(jnp.maximum(lower - radius * norms, pessimistic), 0)
            return (jnp.max(upper, axis=-1), jnp.max(lower, axis=-1)), (upper, lower)

        inputs = (
            statistics.roots, statistics.successors, statistics.widths, rewards,
            state.optimistic, state.pessimistic,
        )  # fmt: skip
        last = jnp.zeros(len(features), jnp.float64)
        upper, lower = jax.lax.scan(stage, (last, last), inputs, reverse=True)[1]
        return PlusState(statistics, upper, lower, statistics.log_growth, state.switches + 1)

    def _weights(self, state: PlusState, x: jax.Array) -> jax.Array:
        """What an episode with features x counts in the regressions; [H, N, d] to [H, N]."""
        stages, statistics, d = filled(self, "stages"), state.statistics, x.shape[-1]
        _, radius, squared = self._radii()
        scale = jnp.asarray(self.correction_scale).astype(jnp.float64)

        def stage(root, successors, high, low, x):
            images = times(x, root.T)
            # Regressions at x are averages of values of next states, with these weights.
            average = times(times(images, root), successors.T)
            norm = jnp.sqrt(jnp.sum(images * images, axis=-1))
            mean, lowest = times(average, high), times(average, low)
            square = jnp.clip(times(average, high * high), 0, stages**2)
            variance = jnp.maximum(square - jnp.clip(mean, 0, stages) ** 2, 0)
            error = jnp.minimum(squared * norm, stages**2)
            error += jnp.minimum(2 * stages * radius * norm, stages**2)
            gap = 4 * d**3 * stages**2 * (mean - lowest + 2 * radius * norm)
            error += jnp.minimum(gap, d**3 * stages**3)
            floor = scale * 2 * d**3 * stages**2 * jnp.sqrt(norm)
            least = jnp.maximum(floor * floor, stages)
            return 1 / jnp.maximum(variance + scale * error + stages, least)

        high, low = _later(state.optimistic), _later(state.pessimistic)
        return jax.vmap(stage)(statistics.roots, statistics.successors, high, low, x)


def _later(values: jax.Array) -> jax.Array:
    """V_(h+1) of values [H, S, A], for every h: [H, S]."""
    best = jnp.max(values, axis=-1)
    return jnp.concatenate([best[1:], jnp.zeros_like(best[:1])])


def HYRULE(offline: Any, **parameters: Any) -> LSVIUCBPlusPlus:
    """HYRULE: LSVI-UCB++ whose regressions hold offline data from the beginning.

    Tan, Fan and Wei, "Hybrid reinforcement learning breaks sample size barriers in linear MDPs",
    2024: Sigma_h starts from the weighted offline features, offline transitions stay in the
    regressions, and nobody has to know which part of the space the data cover. The values of the
    first episode are made of these data, if they double a determinant.

    How offline data are weighted is our reading: as an episode with those features would be, by
    values that come from all offline data with the weight 1 / H^2, which is safe as no variance is
    above it. Without data this is LSVI-UCB++, number by number.

    Args:
      offline: what has a `draw(key)` that gives `core.mdp.Counts`, as `envs.OfflineData`.
      parameters: of `LSVIUCBPlusPlus`.
    """
    return LSVIUCBPlusPlus(offline=offline, **parameters)
