"""RAPPEL: explore until every feature is known, offline data being a start; then learn offline."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...mdp import Counts, Deterministic, counts_of, greedy
from ...protocol import concrete
from ...samplers import BinomialTape, binomial_tape
from ..parameters import filled, nonnegative, require
from .optcov import batch, design_rewards, exploring_values, planned_values, soft_max
from .pedel import Verified
from .pevi import require_variance_weights, weighted_policy
from .statistics import Statistics, from_counts, learn, table


class Exploration(NamedTuple):
    """What a plan decides."""

    stopped: jax.Array  # [] bool
    actions: jax.Array  # [H, S] int32, the policy that it plays
    until: jax.Array  # [] int32, the number of episodes after which it plans anew


class RappelState(NamedTuple):
    regressions: Statistics
    counts: Counts  # of offline data and of what it played, until it stopped
    halves: BinomialTape  # how the counts are to be split
    episodes: jax.Array  # [] int32, online so far; stands still once it has stopped
    plan: Exploration


@flax.struct.dataclass
class RAPPEL:
    """RAPPEL, hybrid reinforcement learning from online to offline.

    It plays as `optcov` says until phi(s, a) is below tau, squared and in the norm of
    (ridge * I + sum phi phi^T)^-1 over all data of stage h, for all h, s and a; then it plays what
    LinPEVI-ADV+ makes of these data, for good (Tan, Fan and Wei, "Hybrid reinforcement learning
    breaks sample size barriers in linear MDPs", NeurIPS 2024, Algorithm 1). Our reading: one design
    for all stages; a policy of it is played for about sqrt(N) episodes, N being how many there
    were. Recommends what LinPEVI-ADV+ makes of the data so far, as `Verified`. Ties go to the
    lowest index.

    Args:
      tau: positive.
      pairs: which (h, s, a) are to be known, bool [H, S, A]; all when left out. With one-hot
        features a pair that no policy reaches is never known.
      exploration: bonus of LSVI-UCB, which plays for the design where the model is not known; zero
        or more.
      known_model: plan designs exactly, by the environment's `transitions`.
      offline: what has a `draw(key)` that gives `core.mdp.Counts`; none when left out.
      bonus, first_bonus, ridge, least, margin: see `LinPEVIADV`.
      features, stages, transitions: taken from the environment.
    """

    tau: Any = 0.1
    pairs: Any = flax.struct.field(default=None, repr=False)
    exploration: Any = 1.0
    known_model: bool = flax.struct.field(pytree_node=False, default=False)
    offline: Any = flax.struct.field(default=None, repr=False)
    bonus: Any = 1.0
    first_bonus: Any = 1.0
    ridge: Any = None
    least: Any = 1.0
    margin: Any = 0.0
    features: Any = flax.struct.field(default=None, repr=False)
    stages: int | None = flax.struct.field(pytree_node=False, default=None)
    transitions: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        require(self, "tau", lambda x: x > 0, "positive")
        require(self, "exploration", nonnegative, "zero or more")
        require_variance_weights(self)
        pairs = concrete(self.pairs)
        if pairs is not None and (pairs.dtype != bool or pairs.ndim != 3 or not pairs.any()):
            raise ValueError(
                f"RAPPEL: pairs is bool [H, S, A], not all False, got {pairs.dtype} "
                f"{list(pairs.shape)}"
            )

    def init(self, key) -> RappelState:
        states, actions = jnp.shape(filled(self, "features"))[:2]
        stages = filled(self, "stages")
        counts = Counts(
            jnp.zeros((stages, states, actions, states), jnp.int32),
            jnp.zeros((stages, states, actions), jnp.float32),
        )
        if self.offline is not None:
            counts = self.offline.draw(tapes.stream(key, "offline data"))
        with jax.enable_x64(True):
            ridge = jnp.asarray(1 / stages**2 if self.ridge is None else self.ridge)
            regressions = from_counts(table(self), ridge.astype(jnp.float64), counts)
        halves = binomial_tape(tapes.stream(key, "halves"), counts.visits.shape)
        episodes = jnp.int32(0)
        plan = self._planned(regressions, counts, halves, episodes)
        return RappelState(regressions, counts, halves, episodes, plan)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return Deterministic(state.plan.actions, jnp.shape(self.features)[1])

    def update(self, state, observation, policy, trajectory):
        with jax.enable_x64(True):
            regressions = learn(state.regressions, table(self), trajectory)
        going = ~state.plan.stopped
        new = counts_of(trajectory, *jnp.shape(self.features)[:2])
        counts = jax.tree.map(lambda x, y: x + going * y, state.counts, new)
        episodes = state.episodes + going.astype(jnp.int32)

        def turn(loop):
            return jnp.bool_(False), self._planned(regressions, counts, state.halves, episodes)

        due = going & ((episodes >= state.plan.until) | self._known(regressions))
        plan = jax.lax.while_loop(lambda loop: loop[0], turn, (due, state.plan))[1]
        return RappelState(regressions, counts, state.halves, episodes, plan)

    def recommend(self, state):
        """What LinPEVI-ADV+ makes of the data so far."""
        chances = weighted_policy(self, state.counts, state.halves).probabilities()
        return Verified(chances, state.episodes, state.plan.stopped)

    def _norms(self, regressions):
        pairs = True if self.pairs is None else jnp.asarray(self.pairs)
        return jnp.where(pairs, regressions.widths, -jnp.inf)

    def _known(self, regressions):
        with jax.enable_x64(True):
            tau = jnp.asarray(self.tau).astype(jnp.float64)
            return jnp.max(self._norms(regressions)) <= tau

    def _planned(self, regressions, counts, halves, episodes) -> Exploration:
        """Whether it stops, and the next policy."""
        with jax.enable_x64(True):
            features, norms = table(self), self._norms(regressions)
            weights = soft_max(norms, episodes).reshape(len(norms), -1)
            targets = features.reshape(-1, features.shape[-1])
            targets = jnp.broadcast_to(targets, (len(norms), *targets.shape))
            rewards = design_rewards(regressions.roots, features, targets, weights)
            if self.known_model:
                explore = planned_values(filled(self, "transitions"), rewards)
            else:
                explore = exploring_values(regressions, features, rewards, self.exploration)
            actions = greedy(explore).actions
        stopped = self._known(regressions)

        def turn(loop):
            return jnp.bool_(False), weighted_policy(self, counts, halves).actions

        actions = jax.lax.while_loop(lambda loop: loop[0], turn, (stopped, actions))[1]
        return Exploration(stopped, actions, episodes + batch(episodes))
