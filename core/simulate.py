"""Run a learner in an environment: one XLA program, a scan over rounds under a vmap over seeds.

The program advances a carry (states, running totals, what was recorded) from one round to a later
one; the host calls it in chunks, so that there is a progress bar and Ctrl-C works. Noise comes in
blocks of `BLOCK` rounds that start at multiples of it, so neither the chunks nor the checkpoints
touch the draws. Memory is set by seeds and checkpoints, never by the horizon.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from . import noise
from .checks import checkpoint_rounds, seed_indices, whole
from .compiled import canonical, classes, jit
from .devices import devices
from .progress import Progress, bar
from .protocol import complete, meeting
from .tables import prepared
from .tapes import BLOCK, block_rounds, one_round

_TOGETHER = 256  # seeds at a time where rounds are phases: few rounds of much work each
LANES = 8  # seeds per device come in multiples of this, so every batch compiles to the same loops


@dataclasses.dataclass(frozen=True)
class Stacked:
    """Several environments, or learners, of one class, run as one vmapped program."""

    members: tuple[Any, ...]


def stack(members: Iterable[Any]) -> Stacked:
    """Stack environments or learners that differ in array parameters only.

    `simulate` runs the stack as one program and gives its metrics an extra leading axis.

    Raises:
      ValueError: an empty stack, or members of different classes or static fields.
    """
    members = tuple(members)
    if not members:
        raise ValueError("stack needs at least one member, got none")
    first = jax.tree.structure(members[0]), classes(members[0])
    for i, member in enumerate(members):
        if (jax.tree.structure(member), classes(member)) != first:
            raise ValueError(
                f"only members of one class with equal static fields can be stacked: "
                f"member 0 is {members[0]!r}, member {i} is {member!r}"
            )
    return Stacked(members)


@dataclasses.dataclass(frozen=True)
class Trace:
    """What a simulation recorded.

    Attributes:
      checkpoints: rounds after which metrics were recorded, int64 [C].
      seeds: seed indices, int64 [S].
      metrics: name to array [(environments,) (learners,) C, S, ...]; the first two axes are there
        for stacks only.
      compile_seconds, wall_seconds: tracing and compiling; running, without compiling.
      device: platform and number of devices.
    """

    checkpoints: np.ndarray
    seeds: np.ndarray
    metrics: dict[str, np.ndarray]
    compile_seconds: float
    wall_seconds: float
    device: str
    runs: int  # simulated histories: seeds x stacked environments x stacked learners

    @property
    def pulls_per_second(self) -> float:
        """Rounds simulated per second of running, over all seeds and stacks."""
        return self.runs * float(self.checkpoints[-1]) / max(self.wall_seconds, 1e-9)


class NonFiniteMetric(ValueError):
    """A metric became NaN or infinite; the message names where."""


def simulate(
    env: Any,
    learner: Any,
    horizon: int,
    seeds: int | range | Sequence[int] = 1000,
    *,
    checkpoints: Sequence[int] | None = None,
    root_seed: int = 0,
    progress: Progress = None,
) -> Trace:
    """Play `learner` in `env` for `horizon` rounds, once a seed, and record metrics.

    Args:
      env, learner: see `core.protocol`; either may be a `stack`. A learner's blanks (`num_arms`,
        `horizon`) are filled from the environment and the arguments.
      horizon: number of rounds T, 1 to 2^31 - 1.
      seeds: how many, or which. Seed i draws the same numbers in any batch, on any number of
        devices; the environment's draws depend on the seed alone, so learners are paired.
      checkpoints: rounds in [1, horizon] after which to record; log-spaced when left out.
      root_seed: the one key everything is folded from.
      progress: None shows a bar on a terminal when the run is long; False never; a callable is
        called with the number of rounds x runs done since its last call.

    Raises:
      ValueError: a horizon, seeds or checkpoints out of range; a learner that does not fit.
      NonFiniteMetric: a metric became NaN or infinite.
    """
    horizon = whole("horizon", horizon)
    stops = checkpoint_rounds(checkpoints, horizon)
    trace = _run(env, learner, horizon, seed_indices(seeds), stops, root_seed, progress)
    _check_finite(env, learner, horizon, root_seed, trace)
    return trace


def _run(env, learner, horizon, seeds, stops, root_seed, progress) -> Trace:
    environments = env.members if isinstance(env, Stacked) else (env,)
    environments = [prepared(one, horizon, seeds, root_seed, progress) for one in environments]
    learners = learner.members if isinstance(learner, Stacked) else (learner,)
    learners = [complete(member, environments[0], horizon) for member in learners]
    players = _merge(env, environments), _merge(learner, learners)
    sizes = tuple(len(x.members) if isinstance(x, Stacked) else None for x in (env, learner))
    runs = len(environments) * len(learners) * len(seeds)
    mesh = Mesh(np.array(devices()), ("seeds",))
    together = _TOGETHER if hasattr(learners[0], "num_phases") else None
    lanes = LANES if together is None or len(seeds) <= together * mesh.size else together
    numbers = _pad(seeds, mesh.size * lanes).astype(np.uint32)
    numbers = jax.device_put(numbers, NamedSharding(mesh, P("seeds")))
    players = canonical(players)
    players = jax.device_put(players, NamedSharding(mesh, P()))  # once, not for every chunk
    root = noise.root(root_seed)
    program = (*players, numbers, root, stops.astype(np.int32))
    title = f"{type(learners[0]).__name__} on {type(environments[0]).__name__}"
    title = f"{title}, {int(stops[-1]):,} rounds x {runs:,} runs"

    start = time.perf_counter()
    if together is not None:
        run = partial(_whole, *program, sizes=sizes, mesh=mesh, together=together)
        jax.block_until_ready(run(0))  # no round is played: this compiles
        compiled = time.perf_counter()
        with bar(progress, int(stops[-1]) * runs, title) as update:
            totals, values = jax.device_get(run(int(stops[-1])))
            update(int(stops[-1]) * runs)
    else:
        step = partial(_advance, *program, sizes=sizes, mesh=mesh)
        carry = _init(*players, numbers, root, num_stops=len(stops), sizes=sizes, mesh=mesh)
        carry = jax.block_until_ready(step(carry, 0, 0, 0))  # no round is played: this compiles
        compiled = time.perf_counter()
        with bar(progress, int(stops[-1]) * runs, title) as update:
            totals, values = jax.device_get(_in_chunks(step, carry, stops, runs, update))
    records = {name: _digits(x) for name, x in totals.items()} | values
    wall = time.perf_counter() - compiled
    stacks = sum(size is not None for size in sizes)
    metrics = {name: np.moveaxis(x[: len(seeds)], 0, stacks + 1) for name, x in records.items()}
    device = f"{mesh.devices.flat[0].platform} x {mesh.size}"
    return Trace(stops, seeds, metrics, compiled - start, wall, device, runs)


def _in_chunks(step, carry, stops, runs, update):
    """Play all rounds, so many at a time that there is something to see; the records."""
    last, done, chunk = int(stops[-1]), 0, max(1, (1 << 20) // (runs * BLOCK))
    while done < last:
        until = min((done // BLOCK + chunk) * BLOCK, last)
        index = int(np.searchsorted(stops, done, side="right"))
        before = time.perf_counter()
        carry = jax.block_until_ready(step(carry, done, index, until))
        if time.perf_counter() - before < 0.25:
            chunk *= 2
        update((until - done) * runs)
        done = until
        if not _all_finite(carry[-1]):
            break  # the caller says where
    return carry[-1]


# ---- the program ---------------------------------------------------------------------------
#
# Axes: s seeds, e stacked environments, l stacked learners; the last two only where there is a
# stack. States have all of them in this order; noise has those of its player.


def _lift(f, axes, sizes):
    """vmap `f`, written for one run, over the axes that each of its arguments has."""
    for axis in "les":  # innermost first
        if sizes[axis] is not None:
            lead = tuple(0 if axis in own else None for own in axes)
            f = jax.vmap(f, in_axes=lead, axis_size=sizes[axis])
    return f


def _over_seeds(f, mesh, num_carries):
    """Run `f(env, learner, numbers, *carries)` on every device with its share of the seeds."""
    specs = (P(), P(), P("seeds"), *(P("seeds") for _ in range(num_carries)))
    return jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=P("seeds"), check_vma=False)


@partial(jit, static_argnames=("num_stops", "sizes", "mesh"))
def _init(env, learner, numbers, root, *, num_stops, sizes, mesh):
    """The carry of a fresh run."""
    return _over_seeds(_starting(root, num_stops, sizes), mesh, 0)(env, learner, numbers)


@partial(jit, static_argnames=("sizes", "mesh"), donate_argnums=(5,))
def _advance(env, learner, numbers, root, stops, carry, begin, index, until, *, sizes, mesh):
    """The carry of runs at round `begin`, played to round `until`."""
    play = _playing(root, stops, begin, index, until, sizes)
    return _over_seeds(play, mesh, 1)(env, learner, numbers, carry)


@partial(jit, static_argnames=("sizes", "mesh", "together"))
def _whole(env, learner, numbers, root, stops, until, *, sizes, mesh, together):
    """The records of runs from their beginning, in one go: for rounds that are phases. A CPU takes
    the seeds `together` so many at a time, whose states then never leave its cache."""

    def play(env, learner, numbers):
        carry = _starting(root, len(stops), sizes)(env, learner, numbers)
        return _playing(root, stops, 0, 0, until, sizes)(env, learner, numbers, carry)[-1]

    def unless_empty(env, learner, numbers):
        shapes = jax.eval_shape(play, env, learner, numbers)
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return jax.lax.cond(until > 0, lambda: play(env, learner, numbers), lambda: nothing)

    def local(env, learner, numbers):
        if len(numbers) <= together or mesh.devices.flat[0].platform != "cpu":
            return unless_empty(env, learner, numbers)
        blocks = numbers.reshape(-1, together)
        done = jax.lax.map(lambda block: unless_empty(env, learner, block), blocks)
        return jax.tree.map(lambda x: x.reshape(len(numbers), *x.shape[2:]), done)

    return _over_seeds(local, mesh, 0)(env, learner, numbers)


def _starting(root, num_stops, sizes):
    """The function of a device that makes the carry of a fresh run: states, with the totals among
    them, and empty records."""

    def one(env, learner, number):
        key = noise.stream(root, number)
        states = (
            env.init(noise.stream(key, "environment")),
            learner.init(noise.stream(key, "learner")),
        )
        totals = jax.tree.map(_zero_total, _metrics_shape(env, learner, states))
        states = (*states, totals)
        row = jax.eval_shape(partial(_record, env, learner), states)
        records = jax.tree.map(lambda x: jnp.zeros((num_stops, *x.shape), x.dtype), row)
        return states, records

    def local(env, learner, numbers):
        own = {"s": len(numbers), "e": sizes[0], "l": sizes[1]}
        return _lift(one, ("e", "l", "s"), own)(env, learner, numbers)

    return local


def _playing(root, stops, begin, index, until, sizes):
    """The function of a device that plays every run from round `begin` to round `until`, recording
    at stops[index], ..."""

    def local(env, learner, numbers, carry):
        own = {"s": len(numbers), "e": sizes[0], "l": sizes[1]}
        keys = jax.vmap(lambda number: noise.stream(root, number))(numbers)
        play = _lift(_round, ("e", "l", "sel", "se", "sl"), own)
        record = _lift(_record, ("e", "l", "sel"), own)
        env_tape = _tape(env, "environment noise", "e", own, keys)
        learner_tape = _tape(learner, "learner noise", "l", own, keys)
        # The environment's blocks never depend on the learner: all learners meet the same draws.
        longer = _block(env, sizes[0])
        blocks = longer, min(longer, _block(learner, sizes[1]))

        def while_before(end, body, loop):
            return jax.lax.while_loop(lambda loop: loop[0] < end, body, loop)

        def play_long_block(loop):
            block = loop[0] // blocks[0]
            end = jnp.minimum((block + 1) * blocks[0], until)
            row = env_tape(block, blocks[0])
            return while_before(end, partial(play_block, row, end), loop)

        def play_block(env_row, end, loop):
            block = loop[0] // blocks[1]
            end = jnp.minimum((block + 1) * blocks[1], end)
            learner_row = learner_tape(block, blocks[1])

            def play_round(t, states):
                return play(env, learner, states, env_row(t), learner_row(t))

            def play_to_stop(loop):
                t, index, states, records = loop
                stop = jnp.minimum(stops[index], end)
                states = jax.lax.fori_loop(t, stop, play_round, states)
                hit = stop == stops[index]
                records = jax.lax.cond(
                    hit,
                    lambda: write(records, index, record(env, learner, states)),
                    lambda: records,
                )
                return stop, index + hit, states, records

            return while_before(end, play_to_stop, loop)

        def write(records, index, row):
            at = (*([slice(None)] * sum(size is not None for size in own.values())), index)
            return jax.tree.map(lambda x, new: x.at[at].set(new), records, row)

        loop = jnp.int32(begin), jnp.int32(index), *carry
        return while_before(until, play_long_block, loop)[2:]

    return local


def _tape(player, name, axis, sizes, keys):
    """Function (block, rounds) -> function t -> the noise of round t, of all runs."""
    keys = jax.vmap(lambda key: noise.stream(key, name))(keys)
    lead = 1 + (sizes[axis] is not None)

    def block_of(block, rounds):
        def draw(player, key):
            return player.noise(noise.stream(key, block), rounds)

        tape = _lift(draw, (axis, "s"), sizes | {a: None for a in "el" if a != axis})(player, keys)
        return lambda t: jax.tree.map(
            lambda x: jax.lax.dynamic_index_in_dim(x, t - block * rounds, lead, keepdims=False),
            tape,
        )

    return block_of


def _block(player, stacked: int | None) -> int:
    return block_rounds(player if stacked is None else jax.tree.map(lambda x: x[0], player))


def _round(env, learner, states, env_noise, learner_noise):
    """One round of one run."""
    env_state, learner_state, totals = states
    observation = env.observe(env_state, env_noise)
    action = learner.act(learner_state, observation, learner_noise)
    # Without the barrier XLA recomputes the choice inside every fusion that uses it.
    action = jax.lax.optimization_barrier(action)
    env_state, feedback, metrics = env.step(env_state, action, env_noise)
    learner_state = learner.update(learner_state, observation, action, feedback)
    totals = {name: _add(totals[name], x) for name, x in metrics.items()}
    return env_state, learner_state, totals


def _record(env, learner, states):
    """One row of metrics: the totals, and what the environment evaluates."""
    env_state, learner_state, totals = states
    values = env.evaluate(env_state, learner.recommend(learner_state))
    twice = sorted(totals.keys() & values.keys())
    if twice:
        raise ValueError(f"{type(env).__name__} reports {twice} from both step and evaluate")
    return totals, values


def _metrics_shape(env, learner, states):
    def play(env_noise, learner_noise):
        observation = env.observe(states[0], env_noise)
        action = learner.act(states[1], observation, learner_noise)
        return env.step(states[0], action, env_noise)[2]

    with meeting(learner, env):
        return jax.eval_shape(play, one_round(env), one_round(learner))


@jax.jit
def _all_finite(records):
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(records)]))


# ---- totals that do not lose digits --------------------------------------------------------


def _zero_total(shape):
    if jnp.issubdtype(shape.dtype, jnp.integer):
        return jnp.zeros(shape.shape, shape.dtype)
    return jnp.zeros((*shape.shape, 2), shape.dtype)


def _add(total, x):
    """Add to a total kept as an unevaluated sum of two floats: Knuth's two-sum for the rounding
    error, then both parts renormalised, or errors of one sign would pile up in the small part.
    Integers are added as they are."""
    if jnp.issubdtype(total.dtype, jnp.integer):
        return total + x
    high, low = total[..., 0], total[..., 1]
    s = high + x
    part = s - high
    low = low + ((high - (s - part)) + (x - part))
    new = s + low
    return jnp.stack([new, low - (new - s)], axis=-1)


# ---- host side -----------------------------------------------------------------------------


def _digits(x: np.ndarray) -> np.ndarray:
    """A recorded total as one float64 number."""
    return x if np.issubdtype(x.dtype, np.integer) else x.astype(np.float64).sum(axis=-1)


def _merge(given: Any, members: Sequence[Any]) -> Any:
    """One player, or the members of a stack with their parameters stacked."""
    if not isinstance(given, Stacked):
        return members[0]
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *members)


def _pad(seeds: np.ndarray, multiple: int) -> np.ndarray:
    return np.concatenate([seeds, np.repeat(seeds[-1:], -len(seeds) % multiple)])


def _check_finite(env, learner, horizon, root_seed, trace) -> None:
    lead = isinstance(env, Stacked) + isinstance(learner, Stacked)
    for name, x in trace.metrics.items():
        if np.isfinite(x).all():
            continue
        bad = np.argwhere(~np.isfinite(x))
        at = bad[np.argmin(bad[:, lead])]
        env = env.members[at[0]] if isinstance(env, Stacked) else env
        learner = learner.members[at[lead - 1]] if isinstance(learner, Stacked) else learner
        seed = int(trace.seeds[at[lead + 1]])
        checkpoints = np.append(0, trace.checkpoints)
        before, after = checkpoints[at[lead]], checkpoints[at[lead] + 1]
        play = partial(_run, env, learner, horizon, np.array([seed]))
        round_ = _first_bad_round(play, root_seed, name, int(before), int(after))
        raise NonFiniteMetric(
            f"{name!r} is {x[tuple(at)]} after round {round_} of seed {seed}: "
            f"learner {learner!r} in environment {env!r}"
        )


def _first_bad_round(play, root_seed, name, before, after) -> int:
    """Play the seed again with ever closer checkpoints, until the round is known."""
    while after - before > 1:
        stops = np.unique(np.linspace(before + 1, after, 1000).astype(np.int64))
        x = play(stops, root_seed, False).metrics[name].reshape(len(stops), -1)
        first = int(np.argmin(np.isfinite(x).all(axis=1)))
        before, after = (int(stops[first - 1]) if first else before), int(stops[first])
    return after
