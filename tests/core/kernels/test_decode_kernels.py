"""Decode attention on accelerators, without one: TPU kernels interpreted, both kinds lowered, and
the schedule of the GPU kernel worked through by hand, with the functions that it uses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from regrax.core.kernels import decode_attention_tpu as tpu
from regrax.core.kernels import decode_attention_xla as xla
from regrax.core.kernels import stream_k
from regrax.core.kernels.attention_partials import Partials, divided, merge_slots
from regrax.core.kernels.decode_attention import decode_attention
from regrax.core.kernels.decode_cache import Spec, Work, place, sizes, tile_range

N = 3


def made(layout, group, paged, heads, features, page, dtype=np.float32):
    rng = np.random.default_rng(0)
    pages, table = (7, 3) if paged else (N, 1)
    sizes = {"S": page, "H": heads, "D": features}
    shape = (pages, *(sizes[axis] for axis in layout[1:]))
    k, v = (jnp.asarray(rng.normal(size=shape), dtype) for _ in range(2))
    q = jnp.asarray(rng.normal(size=(N, heads, group, features)), dtype)
    most = table * page
    starts = jnp.array([0, 0, most // 3], jnp.int32)
    stops = jnp.array([most, 0, most - 5], jnp.int32)
    listed = rng.integers(0, pages, (N, table)) if paged else np.arange(N)[:, None]
    work = Work(q, k, v, starts, stops, jnp.asarray(listed, jnp.int32))
    return Spec(layout, features**-0.5, 3.0, paged), work


def agree(found, expected, rtol=1e-4):
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=rtol, atol=rtol)


CASES = {
    "BSHD": ("BSHD", 1, False, 8, 128, 40),
    "BSHD pages": ("BSHD", 2, True, 8, 128, 16),
    "BHSD": ("BHSD", 4, False, 2, 128, 208),
    "BHSD pages": ("BHSD", 1, True, 2, 128, 32),
    "BHDS": ("BHDS", 2, False, 2, 64, 256),
    "BHDS pages": ("BHDS", 1, True, 1, 64, 128),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tpu_kernel_interpreted(case, monkeypatch):
    """The smallest blocks, so that contexts take several and some last one sticks out."""
    monkeypatch.setattr(tpu, "_BLOCK_BYTES", 1)
    spec, work = made(*case)
    agree(tpu.decode(spec, work, interpret=True), xla.plain(spec, work))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tpu_kernel_has_no_races_and_stays_in_bounds(case, monkeypatch):
    from jax._src.pallas.mosaic.interpret import interpret_pallas_call

    monkeypatch.setattr(tpu, "_BLOCK_BYTES", 1)
    spec, work = made(*case)
    found = tpu.decode(spec, work, interpret=pltpu.InterpretParams(detect_races=True))
    agree(found, xla.plain(spec, work))
    assert not interpret_pallas_call.races.races_found


@pytest.mark.parametrize("position_last", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
def test_one_tile_of_the_tpu_kernel(position_last, heads):
    """`add` over two tiles is attention over both; heads lying together see their own keys only."""
    if position_last and heads > 1:
        pytest.skip("heads lie together in BSHD only")
    rng = np.random.default_rng(1)
    q, (k, v) = rng.normal(size=(4, 8)), rng.normal(size=(2, 12 * heads, 8))
    spec = Spec("BHDS" if position_last else "BSHD", 0.5, None, False)
    sums = jnp.full((4, 1), -jnp.inf), jnp.zeros((4, 1)), jnp.zeros((4, 8))
    turned = (lambda x: x.T) if position_last else (lambda x: x)
    for first in (0, 6):
        part = slice(first * heads, (first + 6) * heads)
        counts = functools.partial(tpu._counts, first, 2, 11, 4, heads)
        sums = tpu.add(spec, counts, jnp.array(q), *(turned(x[part]) for x in (k, v)), *sums)
    for row in range(4):
        own = np.arange(12) * heads + row // (4 // heads)
        keys, values = k[own][2:11], v[own][2:11]
        z = keys @ q[row] * 0.5
        weights = np.exp(z - z.max())
        np.testing.assert_allclose(sums[0][row, 0], z.max(), rtol=1e-5)
        np.testing.assert_allclose(sums[2][row] / sums[1][row], weights @ values / weights.sum(),
                                   rtol=1e-4, atol=1e-5)  # fmt: skip


# ---- lowering --------------------------------------------------------------------------------

DEVICES = {"tpu": ("TPU v5 lite", 1), "cuda": ("NVIDIA H200", None)}
CALLS = {"tpu": "tpu_custom_call", "cuda": "mosaic_gpu"}


def lowered(platform, layout, features, dtype, heads=8, **options):
    kind, cores = DEVICES[platform]
    device = jax.sharding.AbstractDevice(
        device_kind=kind, num_cores=cores, platform="gpu" if platform == "cuda" else platform
    )
    mesh = jax.sharding.AbstractMesh(
        (1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,), abstract_device=device
    )
    sizes = {"S": 512, "H": heads, "D": features}
    keys = jax.ShapeDtypeStruct((2, *(sizes[axis] for axis in layout[1:])), dtype)
    q = jax.ShapeDtypeStruct((2, 2 * heads, features), dtype)
    ends = jax.ShapeDtypeStruct((2,), jnp.int32)
    with jax.sharding.use_abstract_mesh(mesh):
        f = jax.jit(functools.partial(decode_attention, layout=layout, **options))
        return f.trace(q, keys, keys, ends).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(
    ("platform", "layout", "features", "dtype"),
    [
        ("tpu", "BSHD", 128, jnp.bfloat16),
        ("tpu", "BHSD", 256, jnp.float32),
        ("tpu", "BHDS", 64, jnp.float32),
        ("cuda", "BSHD", 128, jnp.bfloat16),
        pytest.param("cuda", "BHSD", 64, jnp.float16, marks=pytest.mark.slow),
        pytest.param("cuda", "BHDS", 256, jnp.bfloat16, marks=pytest.mark.slow),
    ],
)
def test_kernels_are_lowered(platform, layout, features, dtype):
    text = lowered(platform, layout, features, dtype, window=100)
    assert CALLS[platform] in text


@pytest.mark.parametrize(("platform", "features"), [("tpu", 64), ("cuda", 128)])
def test_what_no_kernel_takes_is_left_to_xla(platform, features):
    assert CALLS[platform] not in lowered(platform, "BSHD", features, jnp.float32)


# ---- the GPU kernel's schedule ---------------------------------------------------------------


def by_hand(spec, work, tile, workers, order):
    """What the workers of the GPU kernel write down, one after another in `order`, with NaN where
    nothing is written; then merged."""
    heads, page, _ = sizes(spec.layout, work.k)
    first, counts = tile_range(work.starts, work.stops, page, tile)
    plan = stream_k.schedule(jnp.repeat(counts, heads), workers)
    outputs, group, features = N * heads, *work.q.shape[2:]
    shape = (outputs + 2 * workers, group)
    rows = [np.full(shape, np.nan), np.full(shape, np.nan), np.full((*shape, features), np.nan)]
    offsets, bounds = np.asarray(plan.offsets), np.asarray(plan.bounds)
    for worker in order:
        begin, end = bounds[worker], bounds[worker + 1]
        for output in range(plan.first[worker], plan.last[worker] + 1):
            a, b = max(offsets[output], begin), min(offsets[output + 1], end)
            if a >= b:
                continue
            n, head = divmod(output, heads)
            sums = None
            for t in range(a, b):
                number = t - offsets[output] + first[n]
                at = place(number, page, tile, work.starts[n], work.stops[n])
                listed, read, low, high = (int(x) for x in at)
                keys, values = (
                    np.asarray(x[work.pages[n, listed], read : read + tile, head], float)
                    for x in (work.k, work.v)
                )
                assert keys.shape[0] == tile and high > low
                z = np.asarray(work.q[n, head], float) @ keys.T * spec.scale
                z = spec.soft_cap * np.tanh(z / spec.soft_cap)
                inside = (np.arange(tile) >= low) & (np.arange(tile) < high)
                z = np.where(inside, z, -np.inf)
                here = z.max(1), np.exp(z - z.max(1, keepdims=True))
                here = here[0], here[1].sum(1), here[1] @ values
                sums = here if sums is None else added(sums, here)
            whole = a == offsets[output] and b == offsets[output + 1]
            to = output if whole else outputs + 2 * worker + (output != plan.first[worker])
            for row, value in zip(rows, sums, strict=True):
                assert np.all(np.isnan(row[to])), "written twice"
                row[to] = value
    whole = Partials(*(x[:outputs] for x in rows))
    slots = Partials(*(x[outputs:].reshape(workers, 2, *x.shape[1:]) for x in rows))
    merged = merge_slots(plan, *jax.tree.map(jnp.float32, (whole, slots)))
    return Partials(*(x.reshape(N, heads, *x.shape[1:]) for x in merged))


def added(a, b):
    m = np.maximum(a[0], b[0])
    left, right = np.exp(a[0] - m), np.exp(b[0] - m)
    return m, a[1] * left + b[1] * right, a[2] * left[:, None] + b[2] * right[:, None]


@pytest.mark.parametrize("workers", [1, 2, 5, 13, 40])
@pytest.mark.parametrize("paged", [False, True])
def test_workers_of_the_gpu_kernel_add_up(workers, paged):
    """Tiles that do not divide the page, a sequence without positions, more workers than tiles; in
    any order, to the last bit."""
    spec, work = made("BSHD", 2, paged, heads=2, features=8, page=52)
    forwards = by_hand(spec, work, 8, workers, range(workers))
    agree(forwards, xla.plain(spec, work))
    backwards = by_hand(spec, work, 8, workers, reversed(range(workers)))
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- with the device -------------------------------------------------------------------------


def on_the_device(layout, features, group, paged, dtype):
    """A ragged batch with an empty sequence, against the plain formula in float32 on the same
    numbers; weights and result are rounded to the dtype."""
    rng = np.random.default_rng(0)
    sequences, heads, page, listed = 5, 8, 256 if paged else 1024, 4 if paged else 1
    sizes = {"S": page, "H": heads, "D": features}
    shape = (sequences * listed, *(sizes[axis] for axis in layout[1:]))
    k, v = (jnp.asarray(rng.normal(size=shape), dtype) for _ in range(2))
    q = jnp.asarray(rng.normal(size=(sequences, heads * group, features)), dtype)
    lengths = jnp.array([1024, 0, 1, 700, 1023], jnp.int32)
    pages = rng.permutation(sequences * listed).reshape(sequences, listed)
    options = dict(block_tables=jnp.asarray(pages, jnp.int32)) if paged else {}
    call = functools.partial(decode_attention, layout=layout, soft_cap=20.0, window=900)
    found = jax.jit(functools.partial(call, **options))(q, k, v, lengths)
    work = Work(
        q.reshape(sequences, heads, group, features).astype(jnp.float32),
        k.astype(jnp.float32), v.astype(jnp.float32),
        jnp.maximum(lengths - 900, 0), lengths, jnp.asarray(pages, jnp.int32),
    )  # fmt: skip
    expected = divided(xla.plain(Spec(layout, features**-0.5, 20.0, paged), work))
    digits = {jnp.float32: 1e-4, jnp.bfloat16: 2e-2, jnp.float16: 3e-3}[dtype]
    expected = np.asarray(expected, float).reshape(q.shape)
    np.testing.assert_allclose(np.asarray(found, float), expected, rtol=digits, atol=digits)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("layout", ["BSHD", "BHSD", "BHDS"])
@pytest.mark.parametrize(("features", "group"), [(64, 1), (128, 4), (256, 8)])
def test_on_a_gpu(layout, features, group, paged, dtype):
    on_the_device(layout, features, group, paged, dtype)


@pytest.mark.tpu
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize(
    ("layout", "features", "group"), [("BSHD", 128, 1), ("BHSD", 256, 8), ("BHDS", 64, 4)]
)
def test_on_a_tpu(layout, features, group, paged, dtype):
    on_the_device(layout, features, group, paged, dtype)
