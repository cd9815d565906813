"""Phase learners played pull by pull."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..noise import argmax
from ..protocol import Pulls, RewardSums, complete


class ByRoundState(NamedTuple):
    inner: Any
    phase: jax.Array  # int32, phases asked for so far
    pulls: Pulls  # what the phase under way asked for
    sums: jax.Array  # [W]
    lows: jax.Array  # [W], what rounding took from the sums
    slot: jax.Array  # int32, the slot being pulled; W when the phase is over
    done: jax.Array  # int32, pulls of that slot so far


@flax.struct.dataclass
class ByRound:
    """A phase learner, one pull a round: the slots of a phase one after another.

    For environments that give one reward at a time, and to check the engine that plays whole
    phases. Rounds that the learner does not ask for pull the arm that it recommends, and what they
    bring is not used.
    """

    learner: Any

    @property
    def num_arms(self) -> int:
        return self.learner.num_arms

    def completed(self, env, horizon):
        return ByRound(complete(self.learner, env, horizon))

    def init(self, key):
        inner = self.learner.init(key)
        dimension = getattr(self.learner, "dimension", None)
        features = () if dimension is None else jnp.zeros((self.num_arms, dimension))
        pulls = jax.eval_shape(self.learner.act, inner, features, ())
        pulls = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), pulls)
        width = pulls.arms.shape[-1]
        zero, sums = jnp.int32(0), jnp.zeros(width, jnp.float32)
        return ByRoundState(inner, zero, pulls, sums, sums, jnp.int32(width), zero)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        state = self._ready(state, observation)
        width = state.sums.shape[-1]
        arm = state.pulls.arms[jnp.minimum(state.slot, width - 1)]
        return jnp.where(state.slot < width, arm, self.learner.recommend(state.inner))

    def update(self, state, observation, arm, feedback):
        state = self._ready(state, observation)
        width = state.sums.shape[-1]
        pulling, at = state.slot < width, jnp.minimum(state.slot, width - 1)
        step = jnp.where(pulling, feedback.reward, 0) + state.lows[at]
        total = state.sums[at] + step
        lows = state.lows.at[at].set(step - (total - state.sums[at]))
        done = state.done + 1
        full = pulling & (done == state.pulls.counts[at])
        after = jnp.where(full, _first(state.pulls.counts, at + 1), state.slot)
        state = state._replace(
            sums=state.sums.at[at].set(total),
            lows=lows,
            slot=after,
            done=jnp.where(full, 0, done),
        )

        def tell(loop):
            return jnp.bool_(False), self._tell(loop[1], observation)

        # A loop that turns once at most: under vmap a `cond` would pay for both branches always.
        over = full & (after == width)
        return jax.lax.while_loop(lambda loop: loop[0], tell, (over, state))[1]

    def recommend(self, state):
        return self.learner.recommend(state.inner)

    def _ready(self, state, observation):
        """`state` with a slot to pull, unless the learner asks for nothing more. Phases in which
        it asks for nothing go by."""

        def ask(state):
            pulls = self.learner.act(state.inner, observation, ())
            empty = jnp.zeros_like(state.sums)
            slot = _first(pulls.counts, 0)
            asked = ByRoundState(
                state.inner, state.phase + 1, pulls, empty, empty, slot, jnp.int32(0)
            )
            told = self._tell(asked, observation)
            nothing = slot == empty.shape[-1]
            return jax.tree.map(lambda a, b: jnp.where(nothing, a, b), told, asked)

        def waiting(state):
            over = state.slot == state.sums.shape[-1]
            return over & (state.phase < self.learner.num_phases())

        return jax.lax.while_loop(waiting, ask, state)

    def _tell(self, state, observation):
        inner = self.learner.update(state.inner, observation, state.pulls, RewardSums(state.sums))
        return state._replace(inner=inner)


def _first(counts, start):
    """The first slot from `start` on that is not empty, or their number."""
    width = counts.shape[-1]
    left = (jnp.arange(width) >= start) & (counts > 0)
    return jnp.where(jnp.any(left), argmax(left), width)
