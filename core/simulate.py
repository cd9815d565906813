"""Run a learner in an environment: one XLA program, a scan over rounds under a vmap over seeds.

The program advances a carry (states, running totals, what was recorded) from one round to a later
one; the host calls it in chunks, so that there is a progress bar and Ctrl-C works. Noise comes in
blocks of `BLOCK` rounds that start at multiples of it, so neither the chunks nor the checkpoints
touch the draws. Memory is set by seeds and checkpoints, never by the horizon.
"""

from __future__ import annotations

import dataclasses
import math
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
from .devices import devices
from .progress import Progress, bar
from .protocol import complete

BLOCK = 128  # rounds of noise drawn at once, at most: enough to vectorise
_TAPE = 4096  # bytes of noise a seed, about: fewer rounds at once where a round takes many draws
_LANES = 8  # seeds per device come in multiples of this, so every batch compiles to the same loops

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
    first = jax.tree.structure(members[0])
    for i, member in enumerate(members):
        if jax.tree.structure(member) != first:
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
    learners = learner.members if isinstance(learner, Stacked) else (learner,)
    stacked = _stack_leaves(environments), _stack_leaves(
        [complete(member, environments[0], horizon) for member in learners]
    )
    mesh = Mesh(np.array(devices()), ("seeds",))
    padded = _pad(seeds, mesh.size * _LANES)
    sharding = NamedSharding(mesh, P("seeds"))
    numbers = jax.device_put(padded.astype(np.uint32), sharding)
    root = noise.root(root_seed)
    sizes = len(environments), len(learners)
    runs = sizes[0] * sizes[1] * len(seeds)
    static = {"sizes": sizes, "mesh": mesh}

    start = time.perf_counter()
    carry = _init(*stacked, numbers, root, num_stops=len(stops), **static)
    step = partial(_advance, *stacked, numbers, root, stops.astype(np.int32), **static)
    carry = jax.block_until_ready(step(carry, 0, 0, 0))  # no round is played: this compiles
    compiled = time.perf_counter()

    title = f"{type(learners[0]).__name__} on {type(environments[0]).__name__}"
    last, done, chunk = int(stops[-1]), 0, max(1, (1 << 20) // (runs * BLOCK))
    with bar(progress, last * runs, f"{title}, {last:,} rounds x {runs:,} runs") as update:
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
    totals, values = jax.device_get(carry[-1])
    records = {name: _digits(x) for name, x in totals.items()} | values
    wall = time.perf_counter() - compiled
    drop = tuple(i for i, x in enumerate((env, learner)) if not isinstance(x, Stacked))
    metrics = {name: _arrange(x, drop, len(seeds)) for name, x in records.items()}
    device = f"{mesh.devices.flat[0].platform} x {mesh.size}"
    return Trace(stops, seeds, metrics, compiled - start, wall, device, runs)


# ---- the program ---------------------------------------------------------------------------


@partial(jax.jit, static_argnames=("num_stops", "sizes", "mesh"))
def _init(env, learner, numbers, root, *, num_stops, sizes, mesh):
    """Carry of a fresh run: per seed, environment and learner."""

    def one(number, env, learner):
        key = noise.stream(root, number)
        states = (
            env.init(noise.stream(key, "environment")),
            learner.init(noise.stream(key, "learner")),
        )
        totals = jax.tree.map(_zero_total, _metrics_shape(env, learner, key, states))
        states = (*states, totals)
        row = jax.eval_shape(partial(_record, env, learner), *states)
        records = jax.tree.map(lambda x: jnp.zeros((num_stops, *x.shape), x.dtype), row)
        return states, records

    return _over_runs(one, sizes, mesh)(numbers, env, learner)


@partial(jax.jit, static_argnames=("sizes", "mesh"), donate_argnums=(5,))
def _advance(env, learner, numbers, root, stops, carry, begin, index, until, *, sizes, mesh):
    """Play every run from round `begin` to round `until`, recording at stops[index], ..."""

    def one(number, env, learner, carry):
        key = noise.stream(root, number)
        tapes = noise.stream(key, "environment noise"), noise.stream(key, "learner noise")
        # The environment's blocks never depend on the learner: all learners meet the same draws.
        blocks = (long := _block(env)), min(_block(learner), long)

        def play_long_block(loop):
            block = loop[0] // blocks[0]
            end = jnp.minimum((block + 1) * blocks[0], until)
            tape = env.noise(noise.stream(tapes[0], block), blocks[0]), block * blocks[0]
            return jax.lax.while_loop(
                lambda loop: loop[0] < end, lambda loop: play_block(loop, tape, end), loop
            )

        def play_block(loop, env_tape, end):
            block = loop[0] // blocks[1]
            end = jnp.minimum((block + 1) * blocks[1], end)
            tape = learner.noise(noise.stream(tapes[1], block), blocks[1]), block * blocks[1]

            def play_round(i, states):
                env_noise, learner_noise = (_row(x, i - start) for x, start in (env_tape, tape))
                return _round(env, learner, states, env_noise, learner_noise)

            def play_to_stop(loop):
                t, index, states, records = loop
                stop = jnp.minimum(stops[index], end)
                states = jax.lax.fori_loop(t, stop, play_round, states)
                hit = stop == stops[index]
                records = jax.lax.cond(
                    hit,
                    lambda: _write(records, index, _record(env, learner, *states)),
                    lambda: records,
                )
                return stop, index + hit, states, records

            return jax.lax.while_loop(lambda loop: loop[0] < end, play_to_stop, loop)

        loop = jnp.int32(begin), jnp.int32(index), *carry
        return jax.lax.while_loop(lambda loop: loop[0] < until, play_long_block, loop)[2:]

    return _over_runs(one, sizes, mesh)(numbers, env, learner, carry)


def _round(env, learner, states, env_noise, learner_noise):
    env_state, learner_state, totals = states
    observation = env.observe(env_state, env_noise)
    action = learner.act(learner_state, observation, learner_noise)
    # Without the barrier XLA recomputes the choice inside every fusion that uses it.
    action = jax.lax.optimization_barrier(action)
    env_state, feedback, metrics = env.step(env_state, action, env_noise)
    learner_state = learner.update(learner_state, observation, action, feedback)
    totals = {name: _add(totals[name], x) for name, x in metrics.items()}
    return env_state, learner_state, totals


def _record(env, learner, env_state, learner_state, totals):
    """One row of metrics: the totals, and what the environment evaluates."""
    values = env.evaluate(env_state, learner.recommend(learner_state))
    twice = sorted(totals.keys() & values.keys())
    if twice:
        raise ValueError(f"{type(env).__name__} reports {twice} from both step and evaluate")
    return totals, values


def _metrics_shape(env, learner, key, states):
    def one_round():
        env_noise, learner_noise = _row(env.noise(key, 1), 0), _row(learner.noise(key, 1), 0)
        observation = env.observe(states[0], env_noise)
        action = learner.act(states[1], observation, learner_noise)
        return env.step(states[0], action, env_noise)[2]

    return jax.eval_shape(one_round)


def _over_runs(one, sizes, mesh):
    """vmap `one(number, env, learner[, carry])` over learners, environments and seeds, the seeds
    sharded over the mesh. Results, and the carry, have leading axes [seed, env, learner]."""

    def local(numbers, env, learner, *carry):
        axes = (0,) * len(carry)
        f = jax.vmap(one, in_axes=(None, None, 0, *axes), axis_size=sizes[1])
        f = jax.vmap(f, in_axes=(None, 0, None, *axes), axis_size=sizes[0])
        f = jax.vmap(f, in_axes=(0, None, None, *axes))
        return f(numbers, env, learner, *carry)

    def sharded(numbers, env, learner, *carry):
        specs = (P("seeds"), P(), P(), *(P("seeds") for _ in carry))
        f = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P("seeds"), check_vma=False)
        return f(numbers, env, learner, *carry)

    return sharded


@jax.jit
def _all_finite(records):
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(records)]))


def _block(player) -> int:
    """How many rounds of a player's noise to draw at once: a power of two from 8 to BLOCK."""
    shape = jax.eval_shape(lambda: player.noise(noise.root(0), 1))
    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shape))
    return 2 ** max(3, min(int(math.log2(_TAPE / max(size, 1))), int(math.log2(BLOCK))))


def _row(tape, i):
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, 0, keepdims=False), tape)


def _write(records, index, row):
    return jax.tree.map(lambda x, r: x.at[index].set(r), records, row)


# ---- totals that do not lose digits --------------------------------------------------------


def _zero_total(shape):
    if jnp.issubdtype(shape.dtype, jnp.integer):
        return jnp.zeros(shape.shape, shape.dtype)
    return jnp.zeros((2, *shape.shape), shape.dtype)


def _add(total, x):
    """Add to a total kept as (sum, compensation): Neumaier's summation in its branch-free form
    (Knuth's two-sum). Integers are added as they are."""
    if jnp.issubdtype(total.dtype, jnp.integer):
        return total + x
    high, low = total[0], total[1]
    s = high + x
    part = s - high
    return jnp.stack([s, low + ((high - (s - part)) + (x - part))])


# ---- host side -----------------------------------------------------------------------------


def _digits(x: np.ndarray) -> np.ndarray:
    """A recorded total as one float64 number."""
    if np.issubdtype(x.dtype, np.integer):
        return x
    return x[:, :, :, :, 0].astype(np.float64) + x[:, :, :, :, 1]


def _arrange(x: np.ndarray, drop: tuple[int, ...], num_seeds: int) -> np.ndarray:
    """[S, E, L, C, ...] as it lies on the devices to [(E,) (L,) C, S, ...]."""
    return np.squeeze(np.moveaxis(x[:num_seeds], 0, 3), drop)


def _stack_leaves(members: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *members)


def _pad(seeds: np.ndarray, multiple: int) -> np.ndarray:
    return np.concatenate([seeds, np.repeat(seeds[-1:], -len(seeds) % multiple)])


def _check_finite(env, learner, horizon, root_seed, trace) -> None:
    lead = isinstance(env, Stacked) + isinstance(learner, Stacked)
    for name, x in trace.metrics.items():
        bad = np.argwhere(~np.isfinite(x))
        if not len(bad):
            continue
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
