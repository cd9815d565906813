"""Decode steps of attention whose schedules are counted, and contexts whose cuts are: two
environments in which nobody learns. A seed is a batch, or a context."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ..core import noise
from ..core.kernels import stream_k
from ..core.kernels.attention_partials import merge_attention_partials
from ..core.kernels.decode_attention import decode_attention

MULTIPROCESSORS = 108  # of an A100
TILE = 256  # keys that keep one busy at 64 numbers a head


@flax.struct.dataclass
class DecodeBatches:
    """One new token for each of several sequences with contexts of different lengths.

    An output is one sequence and key head; workers take tiles of `tile` keys, one in a unit of
    time, and start together. Only this is counted, none of the time that launches, merges or memory
    take.

    Attributes:
      context: the length of the longest context there can be.
      shortest: lengths are uniform between this share of it and all of it, one a sequence.
      heads: key heads of a sequence. outputs: sequences times heads.
      most: outputs that there is room for. workers, tile: see above.

    Metrics: makespans of stream-K (`lean`), of one worker an output (`per_head`) and of
    FlashDecoding's fixed number of parts (`fixed`); `tiles` in all and `splits`; incomplete sums
    that are written and read again, `lean_slots` and `fixed_slots`.
    """

    context: Any = 65536
    shortest: Any = 1.0
    heads: Any = 32
    outputs: Any = 32
    most: int = flax.struct.field(pytree_node=False, default=432)
    workers: int = flax.struct.field(pytree_node=False, default=MULTIPROCESSORS)
    tile: int = flax.struct.field(pytree_node=False, default=TILE)

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds, self.most))

    def observe(self, state, noise):
        return ()

    def tile_counts(self, uniforms: jax.Array) -> jax.Array:
        """Of every output [most], 0 for those that there are not."""
        index = jnp.arange(self.most)
        share = self.shortest + (1 - self.shortest) * uniforms[index // self.heads]
        lengths = jnp.ceil(share * self.context).astype(jnp.int32)
        return jnp.where(index < self.outputs, -(-lengths // self.tile), 0)

    def step(self, state, action, noise):
        tiles, workers = self.tile_counts(noise), self.workers
        outputs = jnp.asarray(self.outputs, jnp.int32)
        splits = stream_k.wave_splits(outputs, workers, jnp.max(tiles), workers)
        jobs = max(self.most, int(0.8 * workers + 1) * workers)  # split only below 80 %
        parts = stream_k.fixed_split_jobs(tiles, splits, jobs)
        plan = stream_k.schedule(tiles, workers)
        metrics = {
            "lean": stream_k.stream_k_makespan(tiles, workers),
            "per_head": stream_k.per_head_makespan(tiles, workers),
            "fixed": stream_k.greedy_makespan(parts, workers),
            "tiles": jnp.sum(tiles),
            "splits": splits,
            "lean_slots": jnp.sum(plan.owners < self.most),
            "fixed_slots": jnp.where(splits > 1, splits * outputs, 0),
        }
        return state, (), {name: jnp.asarray(x, jnp.int32) for name, x in metrics.items()}

    def evaluate(self, state, recommendation):
        return {}


@flax.struct.dataclass
class CutContexts:
    """Attention of one query over a context that is cut at random, with standard normal q, k, v.

    Attributes:
      scale: of the products; the larger, the fewer keys count.
      keys, features, parts: sizes.

    Metrics: the largest error of an output over the largest output, against float64: of the context
    as a whole (`whole_error`), cut into equal parts (`equal_error`) and cut at uniform random
    places, parts of one key and of none included (`unequal_error`).
    """

    scale: Any = 0.125
    keys: int = flax.struct.field(pytree_node=False, default=4096)
    features: int = flax.struct.field(pytree_node=False, default=64)
    parts: int = flax.struct.field(pytree_node=False, default=8)

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        rows = 2 * self.keys + 1
        normals = noise.normal(noise.stream(key, "arrays"), (num_rounds, rows, self.features))
        return normals, noise.uniform(noise.stream(key, "cuts"), (num_rounds, self.parts - 1))

    def observe(self, state, noise):
        return ()

    def step(self, state, action, noise):
        normals, cuts = noise
        q = (normals[:1] * (self.scale * self.features**0.5))[None]  # [1, 1, D], for scale D^-1/2
        k, v = (x[None, None] for x in jnp.split(normals[1:], 2))  # [1, 1, S, D]
        equal = jnp.arange(self.parts + 1) * self.keys // self.parts
        inner = jnp.sort(jnp.floor(cuts * (self.keys + 1)).astype(jnp.int32))
        unequal = jnp.concatenate([equal[:1], inner, equal[-1:]])
        exact = _exact(q, k, v)

        def cut(bounds):
            def part(start, stop):
                options: dict[str, Any] = dict(layout="BHSD", return_partials=True)
                return decode_attention(q, k, v, stop, kv_starts=start, **options)

            return merge_attention_partials(*jax.vmap(part)(bounds[:-1], bounds[1:]))

        found = {
            "whole_error": cut(equal[jnp.array([0, -1])]),
            "equal_error": cut(equal),
            "unequal_error": cut(unequal),
        }
        return state, (), {name: _distance(x, exact) for name, x in found.items()}

    def evaluate(self, state, recommendation):
        return {}


def _exact(q, k, v):
    with jax.enable_x64(True):
        q, k, v = (x.astype(jnp.float64) for x in (q[0, 0], k[0, 0], v[0, 0]))
        z = jnp.sum(k * q, axis=1) * q.shape[0] ** -0.5
        p = jnp.exp(z - jnp.max(z))
        return jnp.sum(p[:, None] * v, axis=0) / jnp.sum(p)


def _distance(found, exact):
    with jax.enable_x64(True):
        off = jnp.max(jnp.abs(found[0, 0].astype(jnp.float64) - exact))
        return (off / jnp.max(jnp.abs(exact))).astype(jnp.float32)
