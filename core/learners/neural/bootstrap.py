"""Exploration by disagreement: networks that were trained on random parts of the history."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ...protocol import Key, complete
from ..parameters import require
from .networks import Weights, outputs, played
from .regression import as_rewards, target
from .replay import History, ReplayNetwork, ReplayState


class BootstrapState(NamedTuple):
    weights: Weights  # leaves [q, ...]
    history: History  # of all members, but for its order: [q, T], first the rounds that one keeps
    kept: jax.Array  # [q] int32, how many those are
    rounds: jax.Array  # [] int32
    orders: Key  # [q]
    coins: Key


@flax.struct.dataclass
class Bootstrapped:
    """Networks of which each learns from a random part of the rounds; one, drawn anew every round,
    chooses the arm that it thinks best.

    A member keeps a round with probability `keep`, independently of the others, and trains on what
    it kept only, in the same rounds as the others and from first weights of its own. The baseline
    BootstrapNN of Zhang, Zhou, Li and Gu, "Neural Thompson sampling", ICLR 2021 (in the manner of
    Osband, Blundell, Pritzel and Van Roy, "Deep exploration via bootstrapped DQN", NeurIPS 2016),
    with the training of `regressor`: the authors' code takes 100 steps a round on the whole
    history instead. A member that kept nothing so far is not trained. One uniform a round; ties go
    to the lowest index.

    The history is stored once, and an order of it for every member.

    Args:
      regressor: what a member is; a `ReplayNetwork`.
      members: q.
      keep: chance that a member keeps a round.

    Raises:
      ValueError: a regressor that is not a `ReplayNetwork`, members below one, a chance not in
        (0, 1].
    """

    regressor: Any = ReplayNetwork(of="rewards")
    members: int = flax.struct.field(pytree_node=False, default=10)
    keep: Any = 0.8

    def __post_init__(self):
        if type(self.regressor) is not object and not isinstance(self.regressor, ReplayNetwork):
            raise ValueError(f"Bootstrapped: regressor is a ReplayNetwork, got {self.regressor!r}")
        if not isinstance(self.members, int) or isinstance(self.members, bool) or self.members < 1:
            raise ValueError(
                f"Bootstrapped: members is a whole number from one, got {self.members!r}"
            )
        require(self, "keep", lambda x: (x > 0) & (x <= 1), "a chance in (0, 1]")

    @property
    def num_arms(self) -> int | None:
        return self.regressor.num_arms

    def completed(self, env, horizon):
        return dataclasses.replace(self, regressor=complete(self.regressor, env, horizon))

    def init(self, key):
        numbers = jnp.arange(self.members, dtype=jnp.int32)
        keys = jax.vmap(lambda i: tapes.stream(tapes.stream(key, "members"), i))(numbers)
        weights = jax.vmap(lambda k: self.regressor.init(k).weights)(keys)
        single = self.regressor.init(key)
        order = jnp.broadcast_to(single.history.order, (self.members, len(single.history.order)))
        orders = jax.vmap(lambda k: tapes.stream(k, "order"))(keys)
        return BootstrapState(
            weights, single.history._replace(order=order), jnp.zeros_like(numbers), single.rounds,
            orders, tapes.stream(key, "kept"),
        )  # fmt: skip

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        member = jnp.minimum((noise * self.members).astype(jnp.int32), self.members - 1)
        weights = jax.tree.map(lambda w: w[member], state.weights)
        return tapes.argmax(as_rewards(self.regressor, outputs(weights, observation)))

    def update(self, state, observation, arm, feedback):
        features, index = played(observation, arm)
        history, now = state.history, state.rounds
        members = jnp.arange(self.members, dtype=jnp.int32)
        history = History(
            features=history.features.at[now].set(features),
            blocks=history.blocks.at[now].set(index),
            targets=history.targets.at[now].set(target(self.regressor, feedback.reward)),
            # A round that is not kept is overwritten by the next that is.
            order=history.order.at[members, state.kept].set(now),
        )
        coins = tapes.uniform(tapes.stream(state.coins, now), (self.members,))
        kept = state.kept + (coins < self.keep).astype(jnp.int32)
        every = jnp.where(now < self.regressor.turn, self.regressor.early, self.regressor.late)
        state = state._replace(history=history, kept=kept, rounds=now + 1)

        def train(loop):
            return jnp.bool_(False), *self._trained(state, *loop)

        # Turns once at most, as that of `ReplayNetwork`.
        start = now % every == 0, state.weights, history.order
        _, weights, order = jax.lax.while_loop(lambda loop: loop[0], train, start)
        return state._replace(weights=weights, history=history._replace(order=order))

    def recommend(self, state):
        return ()

    def _trained(self, state, due, weights, order):
        """Weights and orders after a training. `due` is true: what does not depend on what the loop
        carries XLA would do in every round."""

        def member(weights, order, kept, key):
            key = tapes.stream(key, jnp.where(due, state.rounds, 0))
            before = ReplayState(weights, state.history._replace(order=order), kept, key)
            after = self.regressor._trained(before)
            new = jax.tree.map(lambda a, b: jnp.where(kept > 0, a, b), after.weights, weights)
            return new, after.history.order

        return jax.vmap(member)(weights, order, state.kept, state.orders)
