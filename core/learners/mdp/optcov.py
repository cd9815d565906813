"""OptCov: play so that the features of what is to be judged become known, by a design.

After N episodes a target t [d] of stage h, such as the expected features of a policy, is known up
to |t|^2 in the norm of (N L_h + prior_h)^-1, L_h being the average of phi phi^T over the episodes.
The covariates L that make the largest of these smallest are found by conditional gradients: each
step, or each episode, plays the policy of the largest reward

    g_h(s, a) = sum_m p_m <phi(s, a), (N L_h + prior_h)^-1 t_(h, m)>^2,    p = soft-max of the norms

Wagenmaker and Pacchiano, "Leveraging offline data in online reinforcement learning", ICML 2023; as
written out in Tan, Fan and Wei, "Hybrid reinforcement learning breaks sample size barriers in
linear MDPs", NeurIPS 2024, Algorithm 3. Where the model is known a step plans exactly; else a
minimiser of regret plays for the reward g.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...mdp import Stochastic, greedy, occupancy, optimal_values, times
from .statistics import Statistics, inverse_root, value_iteration

_STEPS = 2000  # of conditional gradients; ours
_SHARPNESS = 10.0  # of their soft-max, times the square root of the step; ours

# ---- one step ------------------------------------------------------------------------------


def target_norms(roots: jax.Array, targets: jax.Array) -> jax.Array:
    """|t|^2 in the norm of Lambda_h^-1, [H, M].

    Args:
      roots: [H, d, d], root^T root = Lambda^-1; targets: [H, M, d].
    """
    images = jax.vmap(lambda root, t: times(t, root.T))(roots, targets)
    return jnp.sum(images * images, axis=-1)


def soft_max(norms: jax.Array, episodes: jax.Array) -> jax.Array:
    """Weights that add up to one, of the largest norms after so many episodes.

    OptCov's batch i has 4^i episodes and the sharpness 2^(2 i / 5) on norms that are 4^i times
    these; so here it is N^(6/5). A norm of -inf has no weight.
    """
    exponent = jnp.where(norms > -jnp.inf, episodes.astype(norms.dtype) ** 1.2 * norms, -jnp.inf)
    return jax.nn.softmax(exponent.reshape(-1)).reshape(norms.shape)


def design_rewards(
    roots: jax.Array, features: jax.Array, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """g, [H, S, A]: how fast a visit lowers the weighted sum of the norms of the targets.

    Args:
      roots: [H, d, d]; features: [S, A, d]; targets: [H, M, d]; weights: [H, M].
    """

    def stage(root, targets, weights):
        directions = times(times(targets, root.T), root)  # Lambda^-1 t, [M, d]
        matrix = times((weights[:, None] * directions).T, directions)
        return jnp.sum(times(features, matrix) * features, axis=-1)

    return jax.vmap(stage)(roots, targets, weights)


def exploring_values(
    state: Statistics, features: jax.Array, rewards: jax.Array, bonus: Any
) -> jax.Array:
    """Q [H, S, A] of LSVI-UCB for known rewards, and what has been seen of the transitions.

    Rewards are scaled to a largest of 1, so that `bonus` has the meaning that it has there.
    """
    largest = jnp.max(rewards)
    rewards = rewards / jnp.where(largest > 0, largest, 1)
    bonuses = rewards + jnp.asarray(bonus).astype(features.dtype) * jnp.sqrt(state.widths)
    unrewarded = state._replace(rewards=jnp.zeros_like(state.rewards))

    def backup(weights, bonus, left):
        return jnp.clip(times(features, weights) + bonus, 0, left)

    return value_iteration(unrewarded, features, backup, bonuses)


def planned_values(transitions: Any, rewards: jax.Array) -> jax.Array:
    """Q [H, S, A] of the known model for rewards g, scaled to a largest of 1."""
    largest = jnp.max(rewards)
    moves = jnp.asarray(transitions).astype(rewards.dtype)
    return optimal_values(moves, rewards / jnp.where(largest > 0, largest, 1))


def batch(episodes: jax.Array) -> jax.Array:
    """For how many episodes a policy of the design is played, int32: about sqrt(N), N being how
    many there were. OptCov's batch i has 2^i policies in 4^i episodes."""
    return 1 + jnp.floor(jnp.sqrt(episodes.astype(jnp.float32))).astype(jnp.int32)


# ---- known models --------------------------------------------------------------------------


@partial(jax.jit, static_argnames="steps")
def _least_norm(transitions, start, features, targets, prior, episodes, *, steps):
    """min over mixtures of policies of max_m sum_h |t_(h, m)|^2, nearly; everything is float64."""

    def covariates(policy):
        def stage(chances):
            flat = features.reshape(-1, features.shape[-1])
            return times(flat.T, chances.reshape(-1, 1) * flat)

        return jax.vmap(stage)(occupancy(transitions, start, policy))

    def root(gram):
        return inverse_root(gram)[0]

    def step(carry, number):
        average, least = carry
        roots = jax.vmap(root)(episodes * average + prior)
        norms = jnp.sum(target_norms(roots, targets), axis=0)
        largest = jnp.max(norms)
        weights = jax.nn.softmax(_SHARPNESS * jnp.sqrt(number) * norms / largest)
        weights = jnp.broadcast_to(weights, targets.shape[:2])
        rewards = design_rewards(roots, features, targets, weights)
        fresh = covariates(greedy(planned_values(transitions, rewards)))
        average = average + (fresh - average) * 2 / (number + 2)
        return (average, jnp.minimum(least, largest)), None

    shape = transitions.shape[:3]
    uniform = Stochastic(jnp.full(shape, 1 / shape[-1], features.dtype))
    carry = covariates(uniform), jnp.asarray(jnp.inf, features.dtype)
    numbers = jnp.arange(1, steps + 1).astype(features.dtype)
    return jax.lax.scan(step, carry, numbers)[0][1]


def least_norm(
    transitions: Any,
    start: Any,
    features: Any,
    targets: Any,
    prior: Any,
    episodes: float,
    steps: int = _STEPS,
) -> float:
    """How well the worst target can be known after so many episodes of a known model.

    The minimum, over mixtures of all policies, of max over m of sum over h of |t_(h, m)|^2 in the
    norm of (N L_h + prior_h)^-1: that of a mixture that was found, so never less than the true one.

    Args:
      transitions: [H, S, A, S]; start: [S]; features: phi, [S, A, d].
      targets: t, [H, M, d]; zeros where a stage does not count.
      prior: [H, d, d], positive definite: offline data, and something of the identity.
      episodes: N, zero or more, need not be whole.
      steps: of conditional gradients. The error falls as 1 / steps.
    """
    with jax.enable_x64(True):
        tables = (jnp.asarray(x, jnp.float64) for x in (transitions, start, features))
        rest = (jnp.asarray(x, jnp.float64) for x in (targets, prior, episodes))
        return float(_least_norm(*tables, *rest, steps=steps))


def episodes_needed(
    transitions: Any,
    start: Any,
    features: Any,
    targets: Any,
    prior: Any,
    steps: int = _STEPS,
    precision: float = 1e-4,
) -> float:
    """The fewest online episodes, not rounded, after which every target has a norm of at most 1.

    With targets E_pi phi(s_h, a_h) sqrt(b) / max(V* - V^pi, epsilon) of all policies, zeros at the
    other stages, and the offline data as the prior, this is T_o2o^h(epsilon; b) of Wagenmaker and
    Pacchiano 2023 (definition from memory): what is needed to know with some certainty which
    policies are epsilon-optimal.

    Args:
      precision: of the answer, relative; it is too large by so much and by what `steps` leave.
      Others: see `least_norm`.

    Raises:
      ValueError: targets that no policy makes known.
    """

    def norm(episodes):
        return least_norm(transitions, start, features, targets, prior, episodes, steps)

    if norm(0.0) <= 1:
        return 0.0
    low, high = 0.0, 1.0
    while norm(high) > 1:
        low, high = high, 4 * high
        if high > 1e12:
            raise ValueError(
                "episodes_needed: some target stays unknown after 10^12 episodes: no policy goes "
                "where it would be learned"
            )
    while high - low > precision * high:
        middle = (low + high) / 2
        low, high = (middle, high) if norm(middle) > 1 else (low, middle)
    return high


def tree_episodes(gaps: Any, visits: Any, epsilon: float, budget: float = 1.0) -> float:
    """`episodes_needed` in closed form, where every policy is a path and no two share features.

    sum over paths i of max(0, b / max(gap_i, epsilon)^2 - n_i), not rounded. Derived: path i has
    the norm 1 / (online + offline visits).

    Args:
      gaps: V* - V of every path; visits: n, offline episodes of every path.
      epsilon: positive; budget: b, visits that a path with gap 1 needs.

    Raises:
      ValueError: gaps and visits that are not alike, an epsilon that is not positive.
    """
    gaps, visits = np.asarray(gaps, np.float64), np.asarray(visits, np.float64)
    if gaps.shape != visits.shape or not epsilon > 0:
        raise ValueError(
            f"tree_episodes takes gaps and visits of the same paths and a positive epsilon, got "
            f"shapes {list(gaps.shape)} and {list(visits.shape)}, epsilon {epsilon!r}"
        )
    return float(np.maximum(0, budget / np.maximum(gaps, epsilon) ** 2 - visits).sum())
