"""What a learner releases when the rewards are fixed: many runs on one reward table.

The n-th pull of arm i reads table[i, n], so the only randomness is the learner's own. This is the
setting of event-level privacy: two tables that differ in one entry are neighbours, and privacy says
how far apart the laws of what is released on them may be (`core.privacy_audit`).

A run is reduced on the device to a few words: everything released up to some phases as one number
each (a hash), the recommendation, and, for whoever may look inside, what the learner holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from . import noise
from .compiled import canonical, jit
from .devices import devices
from .protocol import BanditFeedback, Pulls, RewardSums

View = Callable[[Any], Any]  # the state after a phase -> what it holds of every arm, [K]
_BATCH, _LANES = 1 << 14, 8


class Transcripts(NamedTuple):
    """R runs, watched after S of the phases.

    `released` is a number for everything released up to and including a phase: equal transcripts
    have equal numbers. Different ones may share a number, with a chance of 2^-32 a pair; an event
    in these numbers is an event of the transcript all the same.
    """

    released: np.ndarray  # [R, S] uint32: arms and counts of all phases so far, in order
    watched: np.ndarray  # [R, S] uint32: the same of the pulls of the watched arm alone
    recommendation: np.ndarray  # [R] int32
    values: np.ndarray  # [R, S, V] float32: the view of V arms; 0 where it is not finite
    read: np.ndarray  # [R] bool: whether the watched arm was pulled more than `index` times


class Prefixes(NamedTuple):
    """Running sums of a reward table, in units of 2^-bits: every sum of pulls is exact, so changing
    one entry changes the sums that hold it and no other bit."""

    sums: np.ndarray  # [K, N + 1] int32
    unit: np.float32


def prefixes(table: Any) -> Prefixes:
    """The running sums of a table [K, N], its entries rounded to multiples of 2^-20, or of the
    smallest power of two for which whole rows fit into 31 bits.

    Raises:
      ValueError: not a table of finite numbers, or rows too long to be added exactly.
    """
    given = np.asarray(table)
    if given.ndim != 2 or not given.size or given.dtype.kind not in "fiub":
        raise ValueError(
            f"a reward table is [arms, pulls] of numbers, got shape {list(given.shape)} of "
            f"{given.dtype}"
        )
    exact = given.astype(np.float64)
    if not np.all(np.isfinite(exact)):
        raise ValueError("a reward table holds finite numbers; this one does not")
    largest = max(float(np.abs(exact).sum(axis=1).max()), 1.0)
    bits = min(20, int(np.floor(np.log2((2**31 - 1 - exact.shape[1]) / largest))))
    if bits < 8:
        raise ValueError(
            f"the rows of this table add up to {largest:.3g}, too much to keep eight bits after "
            f"the point: take fewer pulls, or smaller rewards"
        )
    sums = np.cumsum(np.rint(exact * 2.0**bits), axis=1)
    padded = np.pad(sums, [(0, 0), (1, 0)])
    return Prefixes(padded.astype(np.int32), np.float32(2.0**-bits))


def transcripts(
    learner: Any,
    table: Any,
    runs: range,
    key: jax.Array,
    *,
    arm: int = 0,
    index: int = 0,
    watch: tuple[int, ...] = (),
    features: Any = (),
    rounds: int | None = None,
    stops: tuple[int, ...] | None = None,
    view: View | None = None,
    batch: int | None = None,
) -> Iterator[Transcripts]:
    """Play `learner` on a reward table, and give what it released, a batch of runs at a time.

    Args:
      learner: of phases (`Pulls`) or of single pulls, with its blanks filled.
      table: [K, N], see `prefixes`.
      runs: numbers of the runs; run i depends on `key` and i alone, in any batch.
      arm, index: the entry that is watched.
      watch: arms whose values are taken from the view, beside `arm`.
      features: what the learner observes, [K, d]; () for arms without features.
      rounds: phases, or pulls, to play; a phase learner knows how many it has.
      stops: numbers of phases after which to look, ascending; see `default_stops`.
      view: what the learner holds, from its state; nothing is taken when left out.
      batch: runs at a time, about; see `batch_size`.

    Raises:
      ValueError: a learner that does not say how long it plays; one that pulls an arm more often
        than the table is long; an entry outside the table.
    """
    sums = prefixes(table)
    shape = np.shape(table)
    check_entry(shape, arm, index)
    rounds = num_rounds(learner, rounds)
    stops = default_stops(rounds) if stops is None else stops
    if not stops or list(stops) != sorted(set(stops)) or not 1 <= stops[0] <= stops[-1] <= rounds:
        raise ValueError(f"stops are ascending numbers of phases from 1 to {rounds}, got {stops}")
    arms = np.array([arm, *watch], np.int32)
    features = () if isinstance(features, tuple) else jnp.asarray(features, jnp.float32)
    mesh = Mesh(np.array(devices()), ("runs",))
    size = batch_size(shape[0], len(runs)) if batch is None else batch
    size += -size % (mesh.size * _LANES)
    players = canonical((learner, sums, features, arms))
    players = jax.device_put(players, NamedSharding(mesh, P()))
    play = partial(_play, rounds=rounds, stops=tuple(stops), view=view, mesh=mesh)
    for first in range(0, len(runs), size):
        numbers = np.asarray(runs[first : first + size], np.uint32)
        count = len(numbers)
        numbers = np.pad(numbers, (0, size - count), mode="edge")
        numbers = jax.device_put(numbers, NamedSharding(mesh, P("runs")))
        found, pulls = jax.device_get(play(*players, np.int32(index), key, numbers))
        if pulls.max() > shape[1]:
            raise ValueError(
                f"{type(learner).__name__} pulled an arm {pulls.max()} times, and the table holds "
                f"{shape[1]} rewards of each: give a longer table"
            )
        yield Transcripts._make(x[:count] for x in found)


def pulls_of_phases(
    learner: Any, table: Any, key: jax.Array, features: Any = (), rounds: int | None = None
) -> np.ndarray:
    """What one run pulls, [phase, arm] int32: to see which entries a learner reads, and when."""
    features = () if isinstance(features, tuple) else jnp.asarray(features, jnp.float32)
    rounds = num_rounds(learner, rounds)
    return np.asarray(_pulls(learner, prefixes(table), features, key, rounds=rounds))


def num_rounds(learner: Any, rounds: int | None = None) -> int:
    """The phases of a phase learner; of another, the number of pulls that was given."""
    if hasattr(learner, "num_phases"):
        phases = int(learner.num_phases())
        return phases if rounds is None else min(phases, rounds)
    if rounds is None:
        raise ValueError(
            f"{type(learner).__name__} plays pull by pull and does not say how often: give rounds="
        )
    return rounds


def default_stops(rounds: int, most: int = 6) -> tuple[int, ...]:
    """After the first phases, then ever further apart, and after the last."""
    return tuple(sorted({round(x) for x in np.geomspace(1, rounds, min(rounds, most))}))


def check_entry(shape: tuple[int, ...], arm: int, index: int) -> None:
    """Raise ValueError for an entry outside a table of this shape."""
    if not (0 <= arm < shape[0] and 0 <= index < shape[1]):
        raise ValueError(
            f"the table has {shape[0]} arms and {shape[1]} pulls of each: "
            f"there is no entry ({arm}, {index})"
        )


def batch_size(num_arms: int, runs: int) -> int:
    """Runs at a time that suit so many in all: a run of many arms takes more memory."""
    return min(max(_BATCH * 32 // max(num_arms, 32), 256), runs)


# ---- the program ---------------------------------------------------------------------------


@partial(jit, static_argnames=("rounds", "stops", "view", "mesh"))
def _play(learner, sums, features, arms, index, key, numbers, *, rounds, stops, view, mesh):
    def local(learner, sums, features, arms, index, key, numbers):
        one = partial(
            _one, learner, sums, features, arms, index, rounds=rounds, stops=stops, view=view
        )
        return jax.vmap(lambda number: one(noise.stream(key, number)))(numbers)

    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(P(), P(), P(), P(), P(), P(), P("runs")),
        out_specs=P("runs"),
        check_vma=False,
    )(learner, sums, features, arms, index, key, numbers)


@partial(jit, static_argnames="rounds")
def _pulls(learner, sums, features, key, *, rounds):
    def body(players, tape):
        players, pulls = _phase(learner, sums, features, players, tape)
        counts = jnp.zeros(sums.sums.shape[0], jnp.int32).at[pulls.arms].add(pulls.counts)
        return players, counts

    players = learner.init(noise.stream(key, "learner")), _none_used(sums)
    tape = learner.noise(noise.stream(key, "noise"), rounds)
    return jax.lax.scan(body, players, tape, length=rounds)[1]


def _one(learner, sums, features, arms, index, key, *, rounds, stops, view):
    """One run: the fields of `Transcripts`, and how often the busiest arm was pulled."""
    state = learner.init(noise.stream(key, "learner"))
    tape = learner.noise(noise.stream(key, "noise"), rounds)
    empty = jnp.uint32(1)
    width = 0 if view is None else arms.shape[0]
    shape = len(stops)
    kept = (
        jnp.zeros(shape, jnp.uint32),
        jnp.zeros(shape, jnp.uint32),
        jnp.zeros((shape, width), jnp.float32),
    )
    at = jnp.asarray(stops, jnp.int32)

    def body(carry, step):
        number, tape = step
        players, released, watched, kept = carry
        players, pulls = _phase(learner, sums, features, players, tape)
        released = _mix(released * np.uint32(31) + _digest(pulls))
        own = jnp.sum(jnp.where(pulls.arms == arms[0], pulls.counts, 0))
        watched = _mix(watched * np.uint32(31) + own.astype(jnp.uint32))
        values = jnp.zeros(width, jnp.float32)
        if view is not None:
            values = jnp.asarray(view(players[0]), jnp.float32)[arms]
            values = jnp.where(jnp.isfinite(values), values, 0)
        here = at == number + 1
        new = released, watched, values
        kept = tuple(
            jnp.where(here.reshape(-1, *([1] * x.ndim)), x, old)
            for x, old in zip(new, kept, strict=True)
        )
        return (players, released, watched, kept), None

    steps = jnp.arange(rounds, dtype=jnp.int32), tape
    carry = (state, _none_used(sums)), empty, empty, kept
    ((state, used), _, _, kept), _ = jax.lax.scan(body, carry, steps)
    best = jnp.asarray(learner.recommend(state), jnp.int32)
    found = kept[0], kept[1], best, kept[2], used[arms[0]] > index
    return found, jnp.max(used)


def _none_used(sums):
    return jnp.zeros(sums.sums.shape[0], jnp.int32)


def _phase(learner, sums, features, players, tape):
    """One phase, or one pull: the new state and pulls so far, and what was asked for."""
    state, used = players
    action = learner.act(state, features, tape)
    single = not hasattr(action, "counts")
    pulls = action
    if single:
        pulls = Pulls(jnp.asarray(action, jnp.int32)[None], jnp.ones(1, jnp.int32))
    arms, counts = pulls.arms, pulls.counts
    before = used[arms]
    table = jnp.asarray(sums.sums)
    last = table.shape[1] - 1
    high = table[arms, jnp.minimum(before + counts, last)]
    low = table[arms, jnp.minimum(before, last)]
    reward = (high - low).astype(jnp.float32) * sums.unit
    feedback = BanditFeedback(reward[0]) if single else RewardSums(reward)
    state = learner.update(state, features, action, feedback)
    return (state, used.at[arms].add(counts)), pulls


def _digest(pulls):
    """One number for the non-empty slots of a phase, in order."""
    there = pulls.counts > 0
    place = jnp.cumsum(there).astype(jnp.uint32)
    words = pulls.arms.astype(jnp.uint32) * np.uint32(0x9E3779B1)
    words += pulls.counts.astype(jnp.uint32) * np.uint32(0x85EBCA77)
    words += place * np.uint32(0xC2B2AE3D)
    return jnp.sum(jnp.where(there, _mix(words), np.uint32(0)), dtype=jnp.uint32)


def _mix(x):
    """A bijection of 32-bit words that spreads every bit (the "lowbias32" of Wellons 2018)."""
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)
