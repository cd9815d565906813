"""Phased elimination on G-optimal designs, for fixed arms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from ... import allocation
from ...design import g_optimal
from ...noise import argmax
from ..bandits.arms import Arms, add, fresh
from ..parameters import filled, nonnegative, require
from .ridge import shown_features

_FINEST = 30  # of the phases' accuracies 2^-l; the later ones have the same
_LONGEST = 1e9  # pulls of a phase: more than a horizon leaves time for, and within int32


class PhasedState(NamedTuple):
    active: jax.Array  # [K] bool
    estimates: jax.Array  # [K] float32, mean rewards by the least squares of the last phase
    counts: jax.Array  # [K] int32, pulls of this phase; all 0 when none has begun
    arms: Arms  # as played in this phase
    phase: jax.Array  # int32, the number l of this phase, from 1


def require_own_features(learner: Any) -> None:
    """Raises ValueError: arms that are told apart by models of their own, not by features."""
    if learner.disjoint:
        raise ValueError(
            f"{type(learner).__name__} is for arms with features of their own, [K, d], and one "
            f"model: the environment is disjoint"
        )


@flax.struct.dataclass
class PhasedElimination:
    """Phased elimination with G-optimal exploration, for arms whose features never change.

    Phase l = 1, 2, ... is to estimate to within eps_l = 2^-l. With pi a G-optimal design of the
    active arms it plays each arm a of the support

        ceil(2 d pi(a) sigma^2 eps_l^-2 ln(K l (l + 1) / delta))

    times, in index order, estimates all means by least squares on the phase alone, and drops the
    active arms whose estimate is more than 2 eps_l below the largest.

    Lattimore and Szepesvari, "Bandit algorithms", 2020, Algorithm 12 and Theorem 22.1 (there for
    sigma = 1; numbers from memory). With probability 1 - delta the best arm is never dropped. Where
    means are linear up to errors of size epsilon, its arm is within O(epsilon sqrt(d)) of the best
    per phase: Lattimore, Szepesvari and Weisz, "Learning with good feature representations in
    bandits and in RL with a generative model", ICML 2020. The design is optimal to a relative
    `tolerance` (`design.g_optimal`); its support is small, but not cut to the d (d + 1) / 2 arms of
    the book. Recommends the active arm with the largest estimate; ties go to the lowest index.

    Args:
      sigma: rewards are sigma-subgaussian; taken from an environment that says it.
      delta: chance that the best arm is dropped, 1 / horizon when left blank.
      tolerance: 1e-4 or more.

    Raises:
      ValueError: parameters that are not as said, or features [d] shared by all arms.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    horizon: Any = None
    sigma: Any = None
    delta: Any = None
    tolerance: float = flax.struct.field(pytree_node=False, default=1e-3)

    def __post_init__(self):
        require_own_features(self)
        require(self, "horizon", lambda x: x >= 1, "one round or more")
        require(self, "sigma", nonnegative, "zero or more")
        require(self, "delta", lambda x: (x > 0) & (x < 1), "in (0, 1)")

    def init(self, key):
        num_arms = filled(self, "num_arms")
        zeros = jnp.zeros(num_arms, jnp.float32)
        counts = jnp.zeros(num_arms, jnp.int32)
        return PhasedState(jnp.ones(num_arms, bool), zeros, counts, fresh(num_arms), jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        state = self._begun(state, shown_features(self, observation))
        return argmax(state.counts > state.arms.pulls)

    def update(self, state, observation, arm, feedback):
        features = shown_features(self, observation)
        state = self._begun(state, features)
        state = state._replace(arms=add(state.arms, arm, feedback.reward))
        over = jnp.all(state.arms.pulls >= state.counts)
        return rarely(_end, over, state, self, features)

    def recommend(self, state):
        return argmax(jnp.where(state.active, state.estimates, -jnp.inf))

    def _begun(self, state, features):
        """`state` with a phase under way."""
        return rarely(_begin, jnp.all(state.counts == 0), state, self, features)


def _begin(state, learner, features):
    """The next phase: its design and pulls."""
    num_arms, d = features.shape
    design = g_optimal(features, state.active, tolerance=learner.tolerance)
    phase = state.phase + 1
    number = phase.astype(jnp.float32)
    chance = filled(learner, "horizon") if learner.delta is None else 1 / learner.delta
    level = jnp.log(num_arms * number * (number + 1) * chance)
    amount = 2 * d * (filled(learner, "sigma") / _accuracy(phase)) ** 2 * level
    amount = jnp.minimum(amount, _LONGEST)
    counts = allocation.ceil_rounding(design, amount, jnp.int32(_LONGEST) + num_arms)
    # Arms without features have no design: their means are 0 for certain.
    counts = jnp.where(jnp.any(counts > 0), counts, state.active.astype(jnp.int32))
    return state._replace(counts=counts, arms=fresh(num_arms), phase=phase)


def _end(state, learner, features):
    """What the phase says of the means, and which arms stay."""
    theta = allocation.least_squares(features, state.counts, state.arms.totals)
    estimates = allocation.predictions(features, theta)
    largest = jnp.max(jnp.where(state.active, estimates, -jnp.inf))
    stays = largest - estimates <= 2 * _accuracy(state.phase)
    return state._replace(
        active=state.active & stays, estimates=estimates, counts=jnp.zeros_like(state.counts)
    )


def _accuracy(phase):
    return jnp.exp2(-jnp.minimum(phase, _FINEST).astype(jnp.float32))


def rarely(change: Callable[..., Any], needed: jax.Array, state: Any, *context: Any) -> Any:
    """`change(state, *context)` where the bool `needed` is true, else `state`.

    For long work in few rounds. Under `vmap` a `cond` would do it for all seeds in every round, and
    a loop that turns once at most for all seeds when one needs it; here the seeds that need it take
    turns. All that is traced reaches `change` through its arguments.
    """
    leaves, structure = jax.tree.flatten(context)

    @custom_vmap
    def call(needed, state, leaves):
        def turn(loop):
            return jnp.bool_(False), change(loop[1], *structure.unflatten(leaves))

        return jax.lax.while_loop(lambda loop: loop[0], turn, (needed, state))[1]

    @call.def_vmap
    def take_turns(size, batched, needed, state, leaves):
        def full(x, is_batched):
            return x if is_batched else jnp.broadcast_to(x, (size, *jnp.shape(x)))

        def turn(loop):
            needed, state = loop
            lane = jnp.argmax(needed)
            own = [x[lane] if b else x for x, b in zip(leaves, batched[2], strict=True)]
            new = call(needed[lane], jax.tree.map(lambda x: x[lane], state), own)
            state = jax.tree.map(lambda x, y: x.at[lane].set(y), state, new)
            return needed.at[lane].set(False), state

        start = full(needed, batched[0]), jax.tree.map(full, state, batched[1])
        new = jax.lax.while_loop(lambda loop: jnp.any(loop[0]), turn, start)[1]
        return new, jax.tree.map(lambda _: True, new)

    return call(needed, state, leaves)
