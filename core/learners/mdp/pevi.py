"""Offline learners: pessimistic value iteration, plain (LinPEVI) and by variance (LinPEVI-ADV+).

They compute a policy from their `offline` data before the first episode and play it ever after.
"""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...mdp import Counts, Deterministic, greedy, times
from ...samplers import BinomialTape, binomial, binomial_tape
from ..parameters import filled, nonnegative, require
from .statistics import Statistics, from_counts, require_ridge, solve, table, value_iteration


def pessimistic_values(state: Statistics, features: jax.Array, penalty: Any) -> jax.Array:
    """Q [H, S, A] of value iteration on phi^T w - penalty * |phi| in the norm of Lambda_h^-1, kept
    between 0 and the number of stages left; float64."""
    penalties = jnp.asarray(penalty).astype(jnp.float64) * jnp.sqrt(state.widths)

    def backup(weights, penalty, left):
        return jnp.clip(times(features, weights) - penalty, 0, left)

    return value_iteration(state, features, backup, penalties)


def split_counts(counts: Counts, tape: BinomialTape) -> tuple[Counts, Counts]:
    """Every transition goes to the first half or the second with the same chance.

    Counts do not say which transition brought which reward: sums of rewards are shared out in
    proportion, so that both halves have the same mean rewards.

    Args:
      tape: of the shape of the visits, [H, S, A, S].
    """
    first = binomial(tape, counts.visits, jnp.float32(0.5))
    share = first.sum(axis=-1) / jnp.maximum(counts.visits.sum(axis=-1), 1)
    rewards = counts.rewards * share.astype(counts.rewards.dtype)
    return Counts(first, rewards), Counts(counts.visits - first, counts.rewards - rewards)


def value_variances(
    state: Statistics, values: jax.Array, features: jax.Array, margin: Any, least: Any
) -> jax.Array:
    """Of V_(h+1) at the next state, [H, S, A], by regressions of its square and of itself.

    max(least, phi^T w_2 - (phi^T w_1)^2 - margin), the first kept in [0, H^2] and phi^T w_1 in
    [0, H].

    Args:
      values: Q, [H, S, A]; V is its largest over actions.
    """
    stages = len(values)
    best = jnp.max(values, axis=-1)
    after = jnp.concatenate([best[1:], jnp.zeros_like(best[:1])])

    def stage(root, successors, after):
        weights = [solve(root, times(x, successors)) for x in (after * after, after)]
        square, mean = (times(features, w) for w in weights)
        return jnp.clip(square, 0, stages**2) - jnp.clip(mean, 0, stages) ** 2

    found = jax.vmap(stage)(state.roots, state.successors, after)
    return jnp.maximum(found - margin, least)


def offline_counts(learner: Any, key: jax.Array) -> Counts:
    """What a learner has been given.

    Raises:
      ValueError: nothing.
    """
    if learner.offline is None:
        raise ValueError(
            f"{type(learner).__name__} learns from offline data: give offline=..., such as "
            f"envs.uniform_data(env, 1000)"
        )
    return learner.offline.draw(tapes.stream(key, "offline data"))


@flax.struct.dataclass
class LinPEVI:
    """Pessimistic value iteration: what the data hardly show is taken to be bad.

    As `LSVIUCB` with the bonus taken off instead of added: Q_h = phi^T w_h - bonus * |phi| in the
    norm of Lambda_h^-1, kept between 0 and the number of stages left (Jin, Yang and Wang, "Is
    pessimism provably efficient for offline RL?", ICML 2021, Algorithm 2, from memory; theory:
    ridge = 1 and bonus = c d H sqrt(log)). Then Q_h is at most Q*_h, and the policy is as good as
    twice the expected sum of the penalties along an optimal one, with high probability. It never
    learns from what it plays. Ties go to the lowest index.

    Args:
      offline: what has a `draw(key)` that gives `core.mdp.Counts`, as `envs.OfflineData`.
      bonus: beta, zero or more.
      ridge: lambda, positive.
      features, stages: phi [S, A, d] and H; taken from the environment.
    """

    offline: Any = flax.struct.field(default=None, repr=False)
    bonus: Any = 1.0
    ridge: Any = 1.0
    features: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        require(self, "bonus", nonnegative, "zero or more")
        require_ridge(self)

    def init(self, key):
        """The policy that it plays."""
        counts = offline_counts(self, key)
        filled(self, "stages")
        with jax.enable_x64(True):
            return greedy(self.values(counts))

    def values(self, counts: Counts) -> jax.Array:
        """Q, [H, S, A] float64; call it with float64 enabled."""
        features = table(self)
        state = from_counts(features, jnp.asarray(self.ridge).astype(jnp.float64), counts)
        return pessimistic_values(state, features, self.bonus)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state

    def update(self, state, observation, policy, trajectory):
        return state

    def recommend(self, state):
        return state


@flax.struct.dataclass
class LinPEVIADV:
    """LinPEVI-ADV+: pessimistic value iteration that trusts transitions of small variance more.

    On one half of the data LinPEVI, with `first_bonus`, gives values V'; regressions of V'^2 and V'
    at the next state give its variance s^2 at every (h, s, a), at least `least`. On the other half
    w_h solves the regression with weights 1 / s^2, Sigma_h = ridge * I + sum phi phi^T / s^2, and
    Q_h = phi^T w_h - bonus * |phi| in the norm of Sigma_h^-1, kept between 0 and the number of
    stages left (Xiong et al., "Nearly minimax optimal offline reinforcement learning with linear
    function approximation", ICLR 2023, as written out in Tan, Fan and Wei, NeurIPS 2024; theory:
    ridge = 1 / H^2, least = 1, bonus of order sqrt(d), margin of order d H^3 / sqrt(N kappa)). How
    the data are split: `split_counts`. Ties go to the lowest index.

    Args:
      bonus, first_bonus: zero or more.
      ridge: lambda, positive; 1 / H^2 when left blank.
      least: the smallest variance, positive. Values are between 0 and H: at H = 2 no variance is
        above 1, and all weights are equal unless this is smaller.
      margin: taken off variances, zero or more; ours is 0.
      offline, features, stages: see `LinPEVI`.
    """

    offline: Any = flax.struct.field(default=None, repr=False)
    bonus: Any = 1.0
    first_bonus: Any = 1.0
    ridge: Any = None
    least: Any = 1.0
    margin: Any = 0.0
    features: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        require_variance_weights(self)

    def init(self, key):
        """The policy that it plays."""
        counts = offline_counts(self, key)
        tape = binomial_tape(tapes.stream(key, "halves"), counts.visits.shape)
        return weighted_policy(self, counts, tape)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state

    def update(self, state, observation, policy, trajectory):
        return state

    def recommend(self, state):
        return state


def require_variance_weights(learner: Any) -> None:
    """Check the parameters that `weighted_policy` uses."""
    for name in ("bonus", "first_bonus", "margin"):
        require(learner, name, nonnegative, "zero or more")
    require_ridge(learner)
    require(learner, "least", lambda x: x > 0, "positive")


def weighted_policy(learner: Any, counts: Counts, tape: BinomialTape) -> Deterministic:
    """The policy of `LinPEVIADV` from any data.

    Args:
      learner: `features`, `stages`, `bonus`, `first_bonus`, `ridge`, `least` and `margin` are used.
      tape: of the shape of the visits; see `split_counts`.
    """
    stages = filled(learner, "stages")
    ridge = 1 / stages**2 if learner.ridge is None else learner.ridge
    first, second = split_counts(counts, tape)
    with jax.enable_x64(True):
        features = table(learner)
        numbers = ridge, learner.least, learner.margin
        ridge, least, margin = (jnp.asarray(x).astype(jnp.float64) for x in numbers)
        state = from_counts(features, ridge, first)
        values = pessimistic_values(state, features, learner.first_bonus)
        variances = value_variances(state, values, features, margin, least)
        state = from_counts(features, ridge, second, 1 / variances)
        return greedy(pessimistic_values(state, features, learner.bonus))
