"""FTPedel: elimination of policies with offline data, until what is left is good enough."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...mdp import Stochastic, greedy, occupancy, times
from ...noise import argmax
from ...protocol import concrete
from ..parameters import filled, nonnegative, require
from .optcov import (
    batch,
    design_rewards,
    exploring_values,
    planned_values,
    soft_max,
    target_norms,
)
from .statistics import Statistics, learn, require_ridge, solve, start, table

_MOST = 4096  # policies of `deterministic_policies`
_EXACT = 1e-5  # how far chances may be from adding up to one


class Elimination(NamedTuple):
    """What a plan decides."""

    active: jax.Array  # [P] bool
    values: jax.Array  # [P] float32, estimates of V^pi
    phase: jax.Array  # [] int32, l, from 1
    stopped: jax.Array  # [] bool
    chances: jax.Array  # [H, S, A], the policy that it plays
    until: jax.Array  # [] int32, the number of episodes after which it plans anew


class PedelState(NamedTuple):
    regressions: Statistics
    episodes: jax.Array  # [] int32, online so far; stands still once it has stopped
    plan: Elimination


@flax.struct.dataclass
class Verified(Stochastic):
    """A recommended policy, and how long it took to verify it."""

    explored: jax.Array  # [] int32, episodes until the learner stopped, or until now
    verified: jax.Array  # [] bool, it has stopped


class Estimates(NamedTuple):
    """Of P policies; float64."""

    features: jax.Array  # [H, P, d], of E phi(s_h, a_h)
    errors: jax.Array  # [P], of V^pi: a bound on the squared standard error
    values: jax.Array  # [P]


@flax.struct.dataclass
class FTPedel:
    """FTPedel: tells the best of many policies from the others, with as few online episodes as the
    offline data leave to do, and knows when it has.

    Estimates E_pi phi(s_h, a_h) of every policy by regressions of the features of the next state,
    and V^pi as its product with the regression of rewards. In phase l = 1, 2, .. with e_l = 2^-l it
    plays, as `optcov` says, policies that lower the largest squared error of those still active,
    until it is at most e_l^2 / b_l; then it drops those whose estimate is more than 2 e_l below the
    largest. It stops after phase ceil(log2(4 / epsilon)), or when one is left, and plays the active
    one of the largest estimate ever after: the lowest index on ties. That one is
    epsilon-optimal within the class with probability 1 - delta, as far as `scale` = 1 is right.

    Wagenmaker and Pacchiano, "Leveraging offline data in online reinforcement learning", ICML 2023,
    from memory. Our reading: the error of V^pi is sum_h c_h |E_pi phi|^2 in the norm of
    Lambda_h^-1, with c_h = (H - h)^2 / 4 (h from 0) the largest variance of what stage h brings, or
    1/4 for its reward alone if the model is known; b_l = scale * 2 ln(2 P l (l + 1) / delta), which
    is Hoeffding's inequality as if estimates of features did not depend on the rewards, and no bias
    came of `ridge` (their b is of order d H^5); one design for all stages, where theirs goes stage
    by stage; all data are used in all phases; a policy of the design is played for
    about sqrt(N) episodes, N being how many there were: OptCov's 4^i episodes have 2^i policies.

    Rewards of a stage are between 0 and 1. What it knows can be seen in what it recommends:
    `Verified`.

    Args:
      policies: chances of actions, [P, H, S, A]; such as `deterministic_policies`.
      epsilon: in (0, 4).
      delta: in (0, 1).
      scale: of b_l, positive.
      bonus: of LSVI-UCB, which plays for the design where the model is not known; zero or more.
      ridge: lambda, positive.
      known_model: plan designs exactly, and use exact E_pi phi, by the environment's `transitions`;
        rewards are still to be learned.
      offline: what has a `draw(key)` that gives `core.mdp.Counts`; none when left out.
      features, stages, start, transitions: taken from the environment. The chances of the first
        state, `start`, count as known.
    """

    policies: Any = flax.struct.field(repr=False)
    epsilon: Any = 0.1
    delta: Any = 0.05
    scale: Any = 1.0
    bonus: Any = 1.0
    ridge: Any = 1.0
    known_model: bool = flax.struct.field(pytree_node=False, default=False)
    offline: Any = flax.struct.field(default=None, repr=False)
    features: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)
    start: Any = flax.struct.field(default=None, repr=False)
    transitions: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        require(self, "epsilon", lambda x: (x > 0) & (x < 4), "in (0, 4)")
        require(self, "delta", lambda x: (x > 0) & (x < 1), "in (0, 1)")
        require(self, "scale", lambda x: x > 0, "positive")
        require(self, "bonus", nonnegative, "zero or more")
        require_ridge(self)
        _check_policies(self)

    def init(self, key) -> PedelState:
        regressions = start(self, key)
        number, shape = jnp.shape(self.policies)[0], jnp.shape(self.policies)[1:]
        zero, nothing = jnp.int32(0), jnp.zeros(shape, jnp.float32)
        active, values = jnp.ones(number, bool), jnp.zeros(number, jnp.float32)
        plan = Elimination(active, values, jnp.int32(1), jnp.bool_(False), nothing, zero)
        return PedelState(regressions, zero, _planned(self, regressions, zero, plan))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return Stochastic(state.plan.chances)

    def update(self, state, observation, policy, trajectory):
        with jax.enable_x64(True):
            regressions = learn(state.regressions, table(self), trajectory)
        episodes = state.episodes + 1 - state.plan.stopped.astype(jnp.int32)

        def turn(loop):
            return jnp.bool_(False), _planned(self, regressions, episodes, loop[1])

        due = ~state.plan.stopped & (episodes >= state.plan.until)
        plan = jax.lax.while_loop(lambda loop: loop[0], turn, (due, state.plan))[1]
        return PedelState(regressions, episodes, plan)

    def recommend(self, state):
        """The active policy of the largest estimate."""
        best = _best(state.plan.values, state.plan.active)
        chances = jnp.asarray(self.policies)[best].astype(jnp.float32)
        return Verified(chances, state.episodes, state.plan.stopped)

    def estimates(self, state: Statistics) -> Estimates:
        """Of all policies; call it with float64 enabled."""
        features, policies = table(self), jnp.asarray(self.policies).astype(jnp.float64)
        if self.known_model:
            expected = self._expected(features, policies)
        else:
            expected = self._estimated(state, features, policies)
        norms = target_norms(state.roots, expected)
        weights = jax.vmap(solve)(state.roots, state.rewards)
        values = jax.vmap(times)(expected, weights)
        errors = jnp.sum(self._spreads()[:, None] * norms, axis=0)
        return Estimates(expected, errors, jnp.sum(values, axis=0))

    def _spreads(self):
        """c_h, [H] float64."""
        stages = filled(self, "stages")
        left = np.ones(stages) if self.known_model else np.arange(stages, 0, -1)
        return jnp.asarray(left**2 / 4, jnp.float64)

    def _expected(self, features, policies):
        """E_pi phi(s_h, a_h), [H, P, d]."""
        moves = jnp.asarray(filled(self, "transitions")).astype(jnp.float64)
        first = jnp.asarray(filled(self, "start")).astype(jnp.float64)
        flat = features.reshape(-1, features.shape[-1])

        def of(chances):
            visits = occupancy(moves, first, Stochastic(chances))
            return times(visits.reshape(len(visits), -1), flat)

        return jnp.moveaxis(jax.vmap(of)(policies), 0, 1)

    def _estimated(self, state, features, policies):
        """The same, by regressions: stage h + 1 from what followed on phi at stage h."""
        first = jnp.asarray(filled(self, "start")).astype(jnp.float64)
        flat = features.reshape(-1, features.shape[-1])
        number = len(policies)

        def stage(mass, now):
            chances, root, successors = now
            visits = (mass[:, :, None] * chances).reshape(number, -1)
            expected = times(visits, flat)
            after = times(times(times(expected, root.T), root), successors.T)
            return after, expected

        inputs = jnp.moveaxis(policies, 1, 0), state.roots, state.successors
        mass = jnp.tile(first, (number, 1))
        return jax.lax.scan(stage, mass, inputs)[1]


def _planned(
    learner: FTPedel, regressions: Statistics, episodes: jax.Array, plan: Elimination
) -> Elimination:
    """All phases ended that are over, and the next policy."""
    with jax.enable_x64(True):
        features, found = table(learner), learner.estimates(regressions)
        values = found.values.astype(jnp.float32)
        active, phase, stopped = _eliminate(learner, plan, found.errors, values)
        weights = soft_max(jnp.where(active, found.errors, -jnp.inf), episodes)
        weights = learner._spreads()[:, None] * weights
        rewards = design_rewards(regressions.roots, features, found.features, weights)
        if learner.known_model:
            explore = planned_values(filled(learner, "transitions"), rewards)
        else:
            explore = exploring_values(regressions, features, rewards, learner.bonus)
        chosen = jnp.asarray(learner.policies)[_best(values, active)].astype(jnp.float32)
        chances = jnp.where(stopped, chosen, greedy(explore).probabilities())
    return Elimination(active, values, phase, stopped, chances, episodes + batch(episodes))


def _eliminate(learner, plan, errors, values):
    """What is active, the phase, and whether it stops, after every phase that is over."""
    number = len(values)
    last = jnp.ceil(jnp.log2(4 / jnp.asarray(learner.epsilon).astype(jnp.float32)))
    delta, scale = (jnp.asarray(x).astype(jnp.float32) for x in (learner.delta, learner.scale))

    def over(loop):
        active, phase, stopped = loop
        at = phase.astype(jnp.float32)
        level = 2 * jnp.log(2 * number * at * (at + 1) / delta)
        largest = jnp.max(jnp.where(active, errors, -jnp.inf))
        return ~stopped & (largest <= jnp.exp2(-2 * at) / (scale * level))

    def end(loop):
        active, phase, _ = loop
        best = jnp.max(jnp.where(active, values, -jnp.inf))
        active = active & (best - values <= 2 * jnp.exp2(-phase.astype(jnp.float32)))
        stopped = (phase >= last) | (jnp.sum(active, dtype=jnp.int32) == 1)
        return active, phase + 1, stopped

    alone = jnp.sum(plan.active, dtype=jnp.int32) == 1  # of one policy, from the first
    return jax.lax.while_loop(over, end, (plan.active, plan.phase, plan.stopped | alone))


def _best(values, active):
    return argmax(jnp.where(active, values, -jnp.inf))


def deterministic_policies(transitions: Any, start: Any) -> np.ndarray:
    """One of each kind of deterministic policies, [P, H, S, A] float32: no two of them do the same
    wherever they come. A policy plays action 0 where it never comes.

    Args:
      transitions: [H, S, A, S]; start: [S]. All that matters is what is not 0; ones everywhere
        give all A^(H S) policies.

    Raises:
      ValueError: shapes that do not fit together, or more than 4096 policies.
    """
    moves, first = np.asarray(transitions) != 0, np.asarray(start) != 0
    if moves.ndim != 4 or moves.shape[1] != moves.shape[3] or first.shape != moves.shape[1:2]:
        raise ValueError(
            f"deterministic_policies takes transitions [H, S, A, S] and start [S], got "
            f"{list(moves.shape)} and {list(first.shape)}"
        )
    stages, states, actions, _ = moves.shape
    plans = [(np.zeros((stages, states), int), first)]  # and where each may be
    for h in range(stages):
        count = sum(actions ** int(here.sum()) for _, here in plans)
        if count > _MOST:
            raise ValueError(
                f"deterministic_policies: there are {count} or more of them, at most {_MOST} are "
                f"listed: give FTPedel some, as an array [P, H, S, A]"
            )
        plans = [extended for plan in plans for extended in _extended(*plan, moves[h], h)]
    return np.eye(actions, dtype=np.float32)[np.array([plan for plan, _ in plans])]


def _extended(plan, here, moves, h):
    """A plan with all choices at stage h, and where each may be after it."""
    cells = np.flatnonzero(here)
    for choice in itertools.product(range(moves.shape[1]), repeat=len(cells)):
        new = plan.copy()
        new[h, cells] = choice
        yield new, moves[cells, choice].any(axis=0)


def _check_policies(learner: FTPedel) -> None:
    policies = concrete(learner.policies)
    if policies is None:
        return
    fits = policies.dtype.kind in "fiu" and policies.ndim == 4 and policies.size
    if not fits or policies.min() < 0 or np.abs(policies.sum(axis=-1) - 1).max() > _EXACT:
        raise ValueError(
            f"FTPedel: policies are chances of actions [P, H, S, A] that add up to one over the "
            f"last axis, got {policies.dtype} {list(policies.shape)}"
        )
