"""Oblivious adversaries: tables of rewards fixed before play begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise
from ..core.exact import Pair, add_up, minus, plus, single, times, value
from ..core.protocol import BanditFeedback, Key, complete, concrete

_ROWS = 32  # what the arms have earned is kept for every so many rows of the table


class TableState(NamedTuple):
    """Where in the table play stands, and what it has earned."""

    row: jax.Array  # [] int32, of the next round
    cycles: jax.Array  # [] int32, times the table was read to its end
    earned: Pair  # []
    pulls: jax.Array  # [K] int32


@flax.struct.dataclass
class AdversarialBandit:
    """Arm a pays table[t mod T', a] in round t = 0, 1, ..., whatever was played before; its loss
    is one less that.

    `regret` is regret in hindsight: what the best arm would have earned over the rounds so far,
    less what was earned; it may be negative. What an arm would have earned depends on the round
    alone and is looked up when asked for, so play costs the same with many arms. Sums carry 48
    bits.

    Raises:
      ValueError: a table that is not [T', K] numbers in [0, 1], or has 2^31 entries or more.
    """

    table: Any  # [T', K]
    prefix: Any = flax.struct.field(default=None, repr=False)  # derived: users leave it out

    def __post_init__(self):
        given = concrete(self.table)
        if given is None or not (self.prefix is None or isinstance(self.prefix, np.ndarray)):
            return  # traced, or put together by JAX
        ours = isinstance(self.table, np.ndarray) and given.dtype == np.float32
        if fresh := self.prefix is None or not ours:
            _check_table(given, self.table)
        elif given.ndim != 2:
            return  # a stack of environments
        object.__setattr__(self, "table", given.astype(np.float32, copy=fresh))
        object.__setattr__(self, "prefix", _prefix(self.table))

    @property
    def num_arms(self) -> int:
        return np.shape(self.table)[-1]

    def init(self, key: Key) -> TableState:
        start, nothing = jnp.int32(0), jnp.float32(0)
        pulls = jnp.zeros(self.num_arms, jnp.int32)
        return TableState(start, start, Pair(nothing, nothing), pulls)

    def noise(self, key: Key, num_rounds: int) -> tuple:
        return ()

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, arm, noise):
        reward = jnp.ravel(self.table)[state.row * self.num_arms + arm]
        last = state.row == np.shape(self.table)[0] - 1
        state = TableState(
            jnp.where(last, 0, state.row + 1),
            state.cycles + last,
            plus(state.earned, single(reward)),
            state.pulls.at[arm].add(1),
        )
        return state, BanditFeedback(reward), {}

    def rewards(self, state, noise) -> jax.Array:
        """Rewards of all arms, [K]."""
        return jnp.asarray(self.table)[state.row]

    def evaluate(self, state, arm) -> dict[str, jax.Array]:
        block = state.row // _ROWS
        rows = block * _ROWS + jnp.arange(_ROWS)
        latest = jnp.asarray(self.table).at[rows].get(mode="fill", fill_value=0)
        latest = add_up(single(jnp.where((rows < state.row)[:, None], latest, 0)))
        high, low = jnp.asarray(self.prefix)
        arms = plus(times(state.cycles, Pair(high[-1], low[-1])), Pair(high[block], low[block]))
        ahead = minus(plus(arms, latest), state.earned)
        return {"regret": jnp.max(value(ahead)), "pulls": state.pulls}


def _check_table(given: np.ndarray, table: Any) -> None:
    if given.dtype.kind not in "fiub" or given.ndim != 2 or not given.size:
        raise ValueError(
            f"AdversarialBandit takes a table of rewards of shape [rounds, K], at least one of "
            f"each: got shape {list(given.shape)}, {table!r}"
        )
    if given.size >= 2**31:
        raise ValueError(
            f"AdversarialBandit takes tables of fewer than 2^31 rewards: got shape "
            f"{list(given.shape)}; a shorter table is read again from the start"
        )
    bad = np.argwhere(~((given >= 0) & (given <= 1)))
    if len(bad):
        row, arm = bad[0].tolist()
        raise ValueError(
            f"rewards of an AdversarialBandit lie in [0, 1] (of losses, give 1 - loss): "
            f"got table[{row}, {arm}] = {given[row, arm]}"
        )


def _prefix(table: np.ndarray) -> np.ndarray:
    """What each arm has earned before rows 0, 32, ... and over the whole table, as pairs:
    [2, blocks + 1, K]."""
    first = np.arange(0, len(table), _ROWS)
    sums = np.add.reduceat(table, first, axis=0, dtype=np.float64)
    exact = np.cumsum(np.concatenate([np.zeros((1, table.shape[1])), sums]), axis=0)
    high = exact.astype(np.float32)
    return np.stack([high, (exact - high).astype(np.float32)])


def alternating(num_arms: int, period: int = 1) -> AdversarialBandit:
    """Arms take turns at paying nothing, `period` rounds each; all others pay 1.

    Every arm averages 1 - 1/K. With period 1 a deterministic learner that goes round the arms in
    order, as UCB1 and follow-the-leader do while all means are equal, lands on the arm that pays
    nothing in every round: regret (1 - 1/K) T.

    Raises:
      ValueError: fewer than two arms, or a period below 1.
    """
    if num_arms < 2 or period < 1 or period != int(period):
        raise ValueError(
            f"alternating needs two arms and a period of one round at least: got "
            f"num_arms={num_arms}, period={period}"
        )
    return AdversarialBandit(np.repeat(1 - np.eye(num_arms), int(period), axis=0))


def against(learner: Any, num_arms: int, horizon: int) -> AdversarialBandit:
    """The table that ruins one deterministic learner: 0 for the arm it will play in a round, 1 for
    all others.

    The learner earns nothing, while some arm was played at most T/K times and so pays T - T/K at
    least: no deterministic algorithm has sublinear regret against an oblivious adversary (Slivkins,
    "Introduction to Multi-Armed Bandits", 2019, Chapter 5: number from memory, our wording). Found
    by letting the learner play against zero rewards; memory is horizon x num_arms floats.

    Raises:
      ValueError: a learner that uses noise, or a random initial state; fewer than two arms.
    """
    if num_arms < 2 or horizon < 1:
        raise ValueError(
            f"against needs two arms and one round at least: got num_arms={num_arms}, "
            f"horizon={horizon}"
        )
    learner = complete(learner, SimpleNamespace(num_arms=num_arms), horizon)
    root = noise.root(0)
    first, second = (jax.tree.leaves(learner.init(noise.stream(root, i))) for i in (0, 1))
    random_start = not all(np.array_equal(x, y) for x, y in zip(first, second, strict=True))
    if random_start or jax.tree.leaves(jax.eval_shape(lambda: learner.noise(root, 1))):
        raise ValueError(
            f"only a deterministic learner plays the same arms in every run, and this one draws "
            f"noise or starts at random: {learner!r}"
        )
    arms = np.asarray(_arms_without_reward(learner, root, int(horizon)))
    return AdversarialBandit(np.arange(num_arms) != arms[:, None])


def _arms_without_reward(learner: Any, key: Key, horizon: int) -> jax.Array:
    @jax.jit
    def play(learner):
        def play_round(state, _):
            arm = jax.lax.optimization_barrier(learner.act(state, (), ()))
            return learner.update(state, (), arm, BanditFeedback(jnp.float32(0))), arm

        return jax.lax.scan(play_round, learner.init(key), length=horizon)[1]

    return play(learner)
