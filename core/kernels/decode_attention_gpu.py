"""Decode attention on NVIDIA GPUs from Hopper on, in Pallas (Mosaic GPU): stream-K.

As many thread blocks as the GPU has multiprocessors each take an equal part of the line of tiles
(`stream_k`). One warpgroup fetches keys and values ahead of the other, which works on the tensor
cores. Those want 64 rows: the query heads of a key head are padded to that, which costs no memory
traffic. A block writes what it finished of an output where it belongs, and at most two incomplete
sums into slots of its own, which are merged afterwards, always in the same order.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from . import decode_cache as cache
from . import stream_k
from .attention_partials import Partials, merge_slots
from .decode_cache import Spec, Work

ROWS = 64  # of a product on the tensor cores
MULTIPROCESSORS = 132  # of an H100, H200; used where no GPU is there to ask
_COLUMNS = 64  # of the sums that are written down at once
_SHARED_BYTES = 220 * 1024  # a thread block's memory, less what barriers and sums over rows take


def decode(spec: Spec, work: Work, workers: int | None = None) -> Partials:
    """(m, l, o) as `decode_attention_xla.plain` has it."""
    heads, page, features = cache.sizes(spec.layout, work.k)
    queries, _, group, _ = work.q.shape
    tile, stages = blocks(page, features)
    first, counts = cache.tile_range(work.starts, work.stops, page, tile)
    workers = multiprocessors() if workers is None else workers
    plan = stream_k.schedule(jnp.repeat(counts, heads), workers)

    rows = -(-group // 8) * 8  # that are written down
    outputs = queries * heads
    q = jnp.zeros((outputs, ROWS, features), work.q.dtype)
    q = q.at[:, :group].set(work.q.reshape(outputs, group, features))
    places = outputs + 2 * workers  # outputs, then slots
    m, l, o = plgpu.kernel(  # noqa: E741
        functools.partial(_kernel, spec, heads, page, tile, stages, rows),
        out_type=[
            jax.ShapeDtypeStruct((places, rows), jnp.float32),
            jax.ShapeDtypeStruct((places, rows), jnp.float32),
            jax.ShapeDtypeStruct((places, rows, features), jnp.float32),
        ],
        scratch_types=_scratch(spec.layout, tile, stages, features, q.dtype),
        grid=(workers,),
        grid_names=("worker",),
        num_threads=2,
        thread_name="warpgroup",
        compiler_params=plgpu.CompilerParams(
            approx_math=True, lowering_semantics=plgpu.LoweringSemantics.Lane
        ),
    )(
        *(q, work.k, work.v, work.starts, work.stops, work.pages, first),
        *(plan.offsets, plan.bounds, plan.first, plan.last),
    )
    whole = Partials(*(x[:outputs, :group] for x in (m, l, o)))
    slots = Partials(
        *(x[outputs:, :group].reshape(workers, 2, group, *x.shape[2:]) for x in (m, l, o))
    )
    merged = merge_slots(plan, whole, slots)
    return Partials(*(x.reshape(queries, heads, *x.shape[1:]) for x in merged))


def blocks(page: int, features: int) -> tuple[int, int]:
    """(positions a tile, tiles on their way): 16 or 32 KiB of keys, and as many as there is room
    for beside two blocks of queries and one of sums."""
    tile = 128 if features == 64 and page >= 128 else 64
    room = _SHARED_BYTES - 2 * 2 * ROWS * features - 4 * ROWS * _COLUMNS
    return tile, min(8, room // (2 * 2 * tile * features))


def supports(layout: str, group: int, page: int, features: int, dtype: Any) -> str:
    """Why the kernel cannot do it; "" where it can."""
    if jnp.dtype(dtype) not in (jnp.float16, jnp.bfloat16):
        return f"tensor cores multiply float16 and bfloat16, not {jnp.dtype(dtype)}"
    if features not in (64, 128, 256):
        return f"the kernel takes heads of 64, 128 or 256 numbers, not {features}"
    if group > ROWS:
        return f"the kernel takes {ROWS} query heads a key head, not {group}"
    if page < 64 or page % 8:
        return f"pages of {page} positions: the kernel takes 64 or more, a multiple of 8"
    return ""


def multiprocessors() -> int:
    """Of the GPU at hand."""
    found = [getattr(device, "core_count", None) for device in jax.devices()]
    return next((count for count in found if count), MULTIPROCESSORS)


def _scratch(layout: str, tile: int, stages: int, features: int, dtype: Any) -> dict[str, Any]:
    def swizzled(shape, dtype):
        width = min(128, shape[-1] * jnp.dtype(dtype).itemsize)  # bytes a row of the pattern
        tiling = plgpu.TilingTransform((8, width // jnp.dtype(dtype).itemsize))
        return plgpu.SMEM(shape, dtype, transforms=(tiling, plgpu.SwizzleTransform(width)))

    kept = (stages, features, tile) if layout == "BHDS" else (stages, tile, features)
    return dict(
        q_smem=swizzled((2, ROWS, features), dtype),
        k_smem=swizzled(kept, dtype),
        v_smem=swizzled(kept, dtype),
        m_smem=plgpu.SMEM((ROWS,), jnp.float32),
        l_smem=plgpu.SMEM((ROWS,), jnp.float32),
        o_smem=swizzled((ROWS, _COLUMNS), jnp.float32),
        q_here=plgpu.Barrier(num_barriers=2),
        k_here=plgpu.Barrier(num_barriers=stages),
        v_here=plgpu.Barrier(num_barriers=stages),
        q_free=plgpu.Barrier(num_barriers=2),
        k_free=plgpu.Barrier(num_barriers=stages),
        v_free=plgpu.Barrier(num_barriers=stages),
    )


def _kernel(spec, heads, page, tile, stages, rows, *refs, **scratch):
    q_ref, k_ref, v_ref, starts, stops, pages, first, offsets, bounds, firsts, lasts = refs[:11]
    worker = lax.axis_index("worker")
    begin, end = bounds[worker], bounds[worker + 1]
    lowest, highest = firsts[worker], lasts[worker]
    transposed = spec.layout == "BHDS"

    def over_outputs(work_on):
        """work_on(output, its tiles [a, b) of this worker, how many outputs came before)."""

        def turn(output, before):
            a = jnp.maximum(offsets[output], begin)
            b = jnp.minimum(offsets[output + 1], end)
            pl.when(a < b)(lambda: work_on(output, a, b, before))
            return before + (a < b).astype(jnp.int32)

        lax.fori_loop(lowest, highest + 1, turn, jnp.int32(0))

    def place(output, t):
        n = lax.div(output, jnp.int32(heads))
        number = t - offsets[output] + first[n]
        return n, cache.place(number, page, tile, starts[n], stops[n])

    def fetch():
        def of_output(output, a, b, before):
            slot = lax.rem(before, jnp.int32(2))
            pl.when(before >= 2)(lambda: plgpu.barrier_wait(scratch["q_free"].at[slot]))
            plgpu.copy_gmem_to_smem(
                q_ref.at[output], scratch["q_smem"].at[slot], scratch["q_here"].at[slot]
            )
            head = lax.rem(output, jnp.int32(heads))

            def of_tile(t, _):
                stage = lax.rem(t - begin, jnp.int32(stages))
                n, where = place(output, t)
                at: list[Any] = [pages[n, where.listed], head, pl.ds(where.read, tile)]
                if spec.layout == "BSHD":
                    at = [at[0], at[2], head]
                elif transposed:
                    at.insert(2, slice(None))
                for x, ref in (("k", k_ref), ("v", v_ref)):
                    free = scratch[f"{x}_free"].at[stage]
                    pl.when(t - begin >= stages)(lambda free=free: plgpu.barrier_wait(free))
                    plgpu.copy_gmem_to_smem(
                        ref.at[tuple(at)],
                        scratch[f"{x}_smem"].at[stage],
                        scratch[f"{x}_here"].at[stage],
                    )

            lax.fori_loop(a, b, of_tile, None)

        over_outputs(of_output)

    def write(value, smem, ref):
        smem[...] = value
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(smem.at[pl.ds(0, rows)], ref)
        plgpu.wait_smem_to_gmem(0)

    def compute():
        def of_output(output, a, b, before):
            slot = lax.rem(before, jnp.int32(2))
            plgpu.barrier_wait(scratch["q_here"].at[slot])

            def of_tile(t, sums):
                stage = lax.rem(t - begin, jnp.int32(stages))
                _, where = place(output, t)
                return _add(spec, scratch, slot, stage, sums, where.low, where.high)

            features = scratch["q_smem"].shape[-1]
            by_row = plgpu.Layout.WGMMA.reduce(1)
            empty = (
                plgpu.layout_cast(jnp.full((ROWS,), -jnp.inf, jnp.float32), by_row),
                plgpu.layout_cast(jnp.zeros((ROWS,), jnp.float32), by_row),
                plgpu.layout_cast(jnp.zeros((ROWS, features), jnp.float32), plgpu.Layout.WGMMA),
            )
            m, l, o = lax.fori_loop(a, b, of_tile, empty)  # noqa: E741
            plgpu.barrier_arrive(scratch["q_free"].at[slot])
            whole = (a == offsets[output]) & (b == offsets[output + 1])
            own = offsets.shape[0] - 1 + 2 * worker + (output != lowest).astype(jnp.int32)
            to = jnp.where(whole, output, own)
            m_ref, l_ref, o_ref = refs[11:]
            write(m * math.log(2), scratch["m_smem"], m_ref.at[to])
            write(l, scratch["l_smem"], l_ref.at[to])
            for c in range(0, features, _COLUMNS):
                columns = pl.ds(c, _COLUMNS)
                write(o[:, c : c + _COLUMNS], scratch["o_smem"], o_ref.at[to, :, columns])

        over_outputs(of_output)

    warpgroup = lax.axis_index("warpgroup")
    pl.when(warpgroup == 0)(compute)
    pl.when(warpgroup == 1)(fetch)


def _add(spec, scratch, slot, stage, sums, low, high):
    """One tile more, of which the positions [low, high) count. m is to the base 2 here."""
    m, l, o = sums  # noqa: E741
    k_smem, v_smem = scratch["k_smem"].at[stage], scratch["v_smem"].at[stage]
    transposed = spec.layout == "BHDS"
    tile = k_smem.shape[1 if transposed else 0]

    def products(acc):
        keys = k_smem if transposed else k_smem.transpose((1, 0))
        plgpu.wgmma(acc, scratch["q_smem"].at[slot], keys)
        return acc[...]

    plgpu.barrier_wait(scratch["k_here"].at[stage])
    z = pl.run_scoped(products, plgpu.WGMMAAccumulatorRef((ROWS, tile), jnp.float32))
    plgpu.barrier_arrive(scratch["k_free"].at[stage])
    position = plgpu.broadcasted_iota(jnp.int32, z.shape, 1, layout=plgpu.Layout.WGMMA)
    z = cache.logits(z * spec.scale, spec.soft_cap) * math.log2(math.e)
    z = jnp.where((position >= low) & (position < high), z, -jnp.inf)
    top = jnp.maximum(m, jnp.max(z, axis=1))  # finite: some position of every tile counts
    shrink = jnp.exp2(m - top)
    p = jnp.exp2(z - lax.broadcast_in_dim(top, z.shape, [0]))
    l = l * shrink + jnp.sum(p, axis=1)  # noqa: E741
    o = o * lax.broadcast_in_dim(shrink, o.shape, [0])
    p = p.astype(v_smem.dtype)
    plgpu.barrier_wait(scratch["v_here"].at[stage])

    def values(acc):
        plgpu.wgmma(acc, p, v_smem.transpose((1, 0)) if transposed else v_smem)

    o = pl.run_state(values)(plgpu.WGMMAAccumulatorRef.init(o))
    plgpu.barrier_arrive(scratch["v_free"].at[stage])
    return top, l, o
