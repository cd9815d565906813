"""Decode attention on a CPU: against float64, over layouts, pages, lengths, parts, devices."""

import functools
import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from regrax.core.kernels import decode_attention_xla as xla
from regrax.core.kernels.attention_partials import Partials, combine, merge_attention_partials
from regrax.core.kernels.decode_attention import decode_attention, implementation
from regrax.core.kernels.decode_cache import LAYOUTS, Spec, Work

from . import reference_attention as reference

B, S, H, D = 4, 40, 2, 8
LENGTHS = np.array([0, 1, S, 17], np.int32)
PAGE = 8
layouts = pytest.mark.parametrize("layout", list(LAYOUTS))
groups = pytest.mark.parametrize("group", [1, 3])


def arrays(group=1, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(B, H * group, D)).astype(dtype)
    k, v = (rng.normal(size=(B, S, H, D)).astype(dtype) for _ in range(2))
    return q, k, v


def in_pages(x, layout, seed=0):
    """Keys [B, S, H, D] as pages in a random order, with some that nobody uses, and the table."""
    pages = x.reshape(-1, PAGE, H, D)
    order = np.random.default_rng(seed).permutation(len(pages) + 3)
    cache = np.full((len(order), PAGE, H, D), np.nan, x.dtype)
    cache[order[: len(pages)]] = pages
    return reference.to_layout(cache, layout), order[: len(pages)].reshape(B, -1).astype(np.int32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks a context: 16 positions of two heads of eight numbers."""
    monkeypatch.setattr(xla, "_BLOCK_BYTES", 4 * H * D * 16)


def close(found, expected, rtol=2e-5):
    np.testing.assert_allclose(np.asarray(found, float), expected, rtol=rtol, atol=rtol)


# ---- what it computes ------------------------------------------------------------------------


@layouts
@groups
@pytest.mark.parametrize("paged", [False, True])
def test_agrees_with_float64(layout, group, paged):
    q, k, v = arrays(group)
    expected = reference.decode(q, k, v, LENGTHS, scale=0.7, soft_cap=1.5)
    options = dict(scale=0.7, soft_cap=1.5, layout=layout)
    if paged:
        (k, table), (v, _) = in_pages(k, layout), in_pages(v, layout)
        options["block_tables"] = table
    else:
        k, v = reference.to_layout(k, layout), reference.to_layout(v, layout)
    partials = decode_attention(q, k, v, LENGTHS, return_partials=True, **options)
    for found, wanted in zip(partials, expected, strict=True):
        assert found.dtype == np.float32
        close(found, wanted)
    close(decode_attention(q, k, v, LENGTHS, **options), reference.output(expected))


@pytest.mark.parametrize(("bytes_", "tile"), [(1, 1), (4 * H * D * 13, 8), (2**30, S)])
@groups
def test_whatever_the_blocks(bytes_, tile, group, monkeypatch):
    """One position, blocks that do not divide the context, all of it."""
    monkeypatch.setattr(xla, "_BLOCK_BYTES", bytes_)
    assert xla.block(H, S, D, 1) == (tile, 1)
    q, k, v = arrays(group)
    starts = np.array([0, 0, 9, 16], np.int32)
    grouped = q.reshape(B, H, group, D)
    pages = np.arange(B, dtype=np.int32)[:, None]
    work = Work(*map(jnp.asarray, (grouped, k, v, starts, LENGTHS, pages)))
    found = xla.blocked(Spec("BSHD", D**-0.5, None, False), work)
    expected = reference.decode(q, k, v, LENGTHS, starts)
    for one, wanted in zip(found, expected, strict=True):
        close(np.asarray(one).reshape(wanted.shape), wanted)


lengths = st.lists(st.integers(0, S + 5), min_size=B, max_size=B)


@functools.cache
def compiled(window, layout):
    return jax.jit(
        lambda q, k, v, lengths, starts: decode_attention(
            q, k, v, lengths, kv_starts=starts, window=window, layout=layout
        )
    )


@given(lengths, lengths, st.sampled_from([None, 1, 6, 100]))
@settings(max_examples=40, deadline=None)
def test_ragged_lengths_starts_and_windows(stops, starts, window):
    q, k, v = arrays()
    stops, starts = np.array(stops, np.int32), np.array(starts, np.int32)
    found = compiled(window, "BSHD")(q, k, v, stops, starts)
    expected = reference.decode(q, k, v, stops, starts, window=window)
    close(found, reference.output(expected))


@layouts
@groups
def test_what_stands_elsewhere_does_not_matter(layout, group):
    q, k, v = arrays(group)
    clean = decode_attention(q, k, v, LENGTHS, kv_starts=3)
    elsewhere = (np.arange(S) >= LENGTHS[:, None]) | (np.arange(S) < 3)
    k[elsewhere], v[elsewhere] = np.nan, np.inf
    k, v = reference.to_layout(k, layout), reference.to_layout(v, layout)
    found = decode_attention(q, k, v, LENGTHS, kv_starts=3, layout=layout)
    close(found, clean)
    assert np.all(found[0] == 0) and np.all(found[1] == 0)


@pytest.mark.parametrize(("dtype", "rtol"), [(jnp.float16, 2e-3), (jnp.bfloat16, 2e-2)])
def test_half_precision_is_summed_in_float32(dtype, rtol):
    """Errors are those of rounding the result: half a unit, plus what the float32 sums add."""
    q, k, v = (np.asarray(jnp.asarray(x, dtype)).astype(np.float32) for x in arrays(3))
    expected = reference.decode(q, k, v, LENGTHS)
    q, k, v = (jnp.asarray(x, dtype) for x in (q, k, v))
    for found, wanted in zip(
        decode_attention(q, k, v, LENGTHS, return_partials=True), expected, strict=True
    ):
        assert found.dtype == np.float32
        close(found, wanted)
    found = decode_attention(q, k, v, LENGTHS)
    assert found.dtype == dtype
    close(found, reference.output(expected), rtol)


def test_float64_where_it_is_enabled():
    q, k, v = arrays(3, dtype=np.float64)
    with jax.enable_x64(True):
        found = decode_attention(q, k, v, LENGTHS)
    assert found.dtype == np.float64
    close(found, reference.output(reference.decode(q, k, v, LENGTHS)), 1e-13)


def test_large_products_do_not_overflow():
    q, k, v = arrays()
    expected = reference.output(reference.decode(q * 1e4, k, v, LENGTHS))
    found = decode_attention(q * np.float32(1e4), k, v, LENGTHS)
    close(found, expected, 1e-2)  # products of 1e4 are known to 1e-3 in float32


# ---- parts of a context ----------------------------------------------------------------------

cuts = st.lists(st.integers(0, S), min_size=3, max_size=3)


@given(cuts)
@settings(max_examples=30, deadline=None)
def test_unequal_parts_add_up_to_the_whole(places):
    q, k, v = arrays()
    bounds = [0, *sorted(places), S]
    parts = [
        reference.decode(q, k, v, np.minimum(LENGTHS, b), np.minimum(a, LENGTHS))
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    m, l, o = (np.stack(x).astype(np.float32) for x in zip(*parts, strict=True))  # noqa: E741
    whole = reference.decode(q, k, v, LENGTHS)
    close(merge_attention_partials(m, l, o), reference.output(whole))
    merged = merge_attention_partials(m, l, o, return_partials=True)
    for found, wanted in zip(merged, whole, strict=True):
        close(found, wanted)


numbers = st.floats(-50, 50, allow_subnormal=False) | st.just(-np.inf)
triples = st.tuples(numbers, st.floats(0.1, 10), st.floats(-10, 10))


@given(triples, triples, triples)
@settings(max_examples=60, deadline=None)
def test_combining_is_associative_and_commutative(a, b, c):
    def of(triple):
        m, l, o = triple  # noqa: E741
        some = np.isfinite(m)
        return Partials(jnp.float64(m), jnp.float64(l * some), jnp.array([o * some], jnp.float64))

    def same(x, y):
        np.testing.assert_array_equal(x.m, y.m)
        np.testing.assert_allclose(x.l, y.l, rtol=1e-13)
        np.testing.assert_allclose(x.o, y.o, rtol=1e-12, atol=1e-12)

    with jax.enable_x64(True):
        a, b, c = of(a), of(b), of(c)
        nothing = Partials(jnp.float64(-jnp.inf), jnp.float64(0), jnp.zeros(1, jnp.float64))
        same(combine(combine(a, b), c), combine(a, combine(b, c)))
        same(combine(a, b), combine(b, a))
        same(combine(a, nothing), a)
        same(combine(nothing, nothing), nothing)


@pytest.mark.slow
def test_shards_of_a_context_on_eight_devices():
    """A window across the shards, lengths that end within one; also its gradient, and heads."""
    program = """
        import jax, jax.numpy as jnp, numpy as np
        from functools import partial
        from jax.sharding import Mesh, PartitionSpec as P
        from regrax.core.kernels.attention_partials import merge_attention_partials
        from regrax.core.kernels.decode_attention import decode_attention

        mesh = Mesh(np.array(jax.devices()), ("context",))
        assert mesh.size == 8
        rng = np.random.default_rng(0)
        q = rng.normal(size=(3, 4, 8)).astype(np.float32)
        k, v = (rng.normal(size=(3, 64, 2, 8)).astype(np.float32) for _ in range(2))
        lengths = jnp.array([0, 33, 64])
        window = 20

        @jax.jit
        @partial(jax.shard_map, mesh=mesh, in_specs=(P(), P(None, "context"), P(None, "context")),
                 out_specs=P())
        def sharded(q, k, v):
            first = jax.lax.axis_index("context") * k.shape[1]
            here = jnp.clip(lengths - first, 0, k.shape[1])
            starts = jnp.clip(lengths - window - first, 0, k.shape[1])
            found = decode_attention(q, k, v, here, kv_starts=starts, return_partials=True)
            return merge_attention_partials(*found, axis_name="context")

        def whole(q, k, v):
            return decode_attention(q, k, v, lengths, window=window)

        np.testing.assert_allclose(sharded(q, k, v), whole(q, k, v), rtol=2e-5, atol=2e-6)
        for i in range(3):
            grads = [jax.grad(lambda *x: jnp.sum(jnp.sin(f(*x))), i)(q, k, v)
                     for f in (sharded, whole)]
            np.testing.assert_allclose(*grads, rtol=2e-4, atol=2e-5)

        heads = jax.jit(jax.shard_map(
            whole, mesh=Mesh(np.array(jax.devices())[:2], ("heads",)),
            in_specs=(P(None, "heads"), P(None, None, "heads"), P(None, None, "heads")),
            out_specs=P(None, "heads"),
        ))
        np.testing.assert_allclose(heads(q, k, v), whole(q, k, v), rtol=2e-5, atol=2e-6)
    """
    flags = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, env=flags, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


# ---- transformations -------------------------------------------------------------------------

MAPPED = {
    "queries": dict(q=0),
    "keys": dict(k=0),
    "lengths": dict(lengths=0),
    "all": dict(q=0, k=0, v=0, lengths=0),
}


@pytest.mark.parametrize("mapped", MAPPED.values(), ids=MAPPED)
@pytest.mark.parametrize("paged", [False, True])
def test_vmap_is_a_loop(mapped, paged):
    q, k, v = arrays(3)
    table = None
    if paged:
        (k, table), (v, _) = in_pages(k, "BHSD"), in_pages(v, "BHSD")
    else:
        k, v = reference.to_layout(k, "BHSD"), reference.to_layout(v, "BHSD")
    given_ = dict(q=q, k=k, v=v, lengths=LENGTHS)
    more = {"lengths": np.stack([LENGTHS, LENGTHS[::-1], LENGTHS // 2])}
    more |= {x: np.stack([given_[x], given_[x] * 2, -given_[x]]) for x in "qkv"}

    def f(q, k, v, lengths):
        return decode_attention(q, k, v, lengths, layout="BHSD", block_tables=table, window=30)

    arguments = [more[name] if name in mapped else given_[name] for name in given_]
    axes = tuple(mapped.get(name) for name in given_)
    found = jax.vmap(f, axes)(*arguments)
    for i in range(3):
        one = [x[i] if axis == 0 else x for x, axis in zip(arguments, axes, strict=True)]
        close(found[i], f(*one))


def test_vmap_over_vmap():
    q, k, v = arrays()
    ends = np.stack([LENGTHS, LENGTHS // 2])
    both = jax.vmap(jax.vmap(decode_attention, (None, None, None, 0)), (0, None, None, None))
    found = both(np.stack([q, 2 * q, 3 * q]), k, v, ends)
    close(found[2, 1], decode_attention(3 * q, k, v, ends[1]))


def formula(q, k, v, lengths, scale, soft_cap):
    """The definition once more, in jnp, for gradients; [B, Hq, D] and k, v [B, S, H, D]."""
    k, v = (jnp.repeat(x, q.shape[1] // k.shape[2], axis=2) for x in (k, v))
    z = soft_cap * jnp.tanh(jnp.einsum("bhd,bshd->bhs", q, k) * scale / soft_cap)
    seen = jnp.arange(k.shape[1]) < lengths[:, None]
    weights = jax.nn.softmax(z, axis=-1, where=seen[:, None])
    weights = jnp.where(seen[:, None], weights, 0)
    return jnp.einsum("bhs,bshd->bhd", weights, v)


@groups
def test_gradients(group):
    q, k, v = arrays(group, dtype=np.float64)
    with jax.enable_x64(True):
        ends = jnp.maximum(LENGTHS, 1)

        def ours(q, k, v):
            return jnp.sin(decode_attention(q, k, v, ends, scale=0.7, soft_cap=2.0)).sum()

        def theirs(q, k, v):
            return jnp.sin(formula(q, k, v, ends, 0.7, 2.0)).sum()

        found = jax.grad(ours, (0, 1, 2))(q, k, v)
        for one, wanted in zip(found, jax.grad(theirs, (0, 1, 2))(q, k, v), strict=True):
            close(one, wanted, 1e-11)
        empty = jax.grad(lambda q: decode_attention(q, k, v, 0).sum())(q)
        assert np.all(empty == 0)

        def as_shards(q, k, v):
            halves = [
                decode_attention(q, k, v, b, kv_starts=a, return_partials=True)
                for a, b in ((0, 11), (11, S))
            ]
            return merge_attention_partials(*map(jnp.stack, zip(*halves, strict=True)))

        check_grads(as_shards, (q, k, v), order=1, modes=["rev"])


# ---- memory, choices and errors --------------------------------------------------------------


@layouts
@groups
def test_keys_and_values_are_not_copied(layout, group, monkeypatch):
    """Of 32 MiB of keys, the compiled program holds blocks of 2 MiB: K and V each, and what it
    makes of them. `jax.nn` is measured with the same ruler: it copies all of both."""
    monkeypatch.setattr(xla, "_BLOCK_BYTES", 2**21)
    heads, features, positions = 8, 64, 2**14
    sizes = {"S": positions, "H": heads, "D": features}
    keys = jax.ShapeDtypeStruct((1, *(sizes[axis] for axis in layout[1:])), jnp.float32)
    q = jax.ShapeDtypeStruct((1, heads * group, features), jnp.float32)
    ends = jax.ShapeDtypeStruct((1,), jnp.int32)
    bytes_ = 4 * heads * features * positions

    def ours(q, k, v, ends):
        return decode_attention(q, k, v, ends, layout=layout)

    def temp(f, *shapes):
        return jax.jit(f).lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    assert temp(ours, q, keys, keys, ends) < bytes_ / 3
    if layout == "BSHD" and group == 1:
        assert temp(
            lambda q, k, v: jax.nn.dot_product_attention(q[:, None], k, v), q, keys, keys
        ) > 1.9 * bytes_  # fmt: skip


def test_it_says_what_runs_where():
    keys = (2, 4096, 8, 128)
    assert implementation(keys, jnp.float32, "cpu")[0] == "blocked XLA"
    assert implementation(keys, jnp.bfloat16, "cuda")[0] == "Pallas, Mosaic GPU"
    assert implementation(keys, jnp.float32, "tpu")[0] == "Pallas, Mosaic TPU"
    name, why = implementation(keys, jnp.float32, "cuda")
    assert name == "plain XLA" and "float32" in why
    name, why = implementation((2, 4096, 8, 64), jnp.float32, "tpu")
    assert name == "plain XLA" and "BHDS" in why
    assert implementation((2, 8, 64, 4096), jnp.float32, "tpu", layout="BHDS")[0] != name
    assert implementation(keys, jnp.float32, "rocm")[0] == "plain XLA"
    with pytest.raises(ValueError, match="cuda"):
        implementation(keys, jnp.float32, "cudo")


BAD = {
    "layout": (dict(layout="BSDH"), "did you mean 'BSHD'"),
    "axes": (dict(q=np.zeros((B, H, 1, D), np.float32)), r"q is an array of floats \[B, Hq, D\]"),
    "whole numbers": (dict(k=np.zeros((B, S, H, D), int)), "k is an array of floats"),
    "two shapes": (dict(v=np.zeros((B, S, H, 4), np.float32)), "k and v have one shape"),
    "no positions": (dict(k=np.zeros((B, 0, H, D)), v=np.zeros((B, 0, H, D))), "no axis is empty"),
    "heads": (dict(q=np.zeros((B, 3, D), np.float32)), "a multiple of 2 heads"),
    "features": (dict(q=np.zeros((B, H, 4), np.float32)), "2 heads of 8 numbers"),
    "sequences": (dict(q=np.zeros((3, H, D), np.float32)), "3 queries, 4 sequences"),
    "lengths": (dict(kv_lengths=np.array([1, 2])), "one for each of 4 sequences"),
    "fractions": (dict(kv_lengths=np.full(B, 1.5)), "kv_lengths is a whole number"),
    "below zero": (dict(kv_starts=np.array([0, 0, -1, 0])), "kv_starts are not negative, got -1"),
    "scale": (dict(scale=np.inf), "scale is a finite number"),
    "cap": (dict(soft_cap=0.0), "soft_cap is positive"),
    "window": (dict(window=0), "window counts positions, at least 1"),
    "table": (dict(block_tables=np.zeros((3, 2), int)), r"block_tables are page numbers \[4, L\]"),
    "page": (dict(block_tables=np.full((B, 2), 9)), "there are 4 pages, block_tables name 9 to 9"),
}


@pytest.mark.parametrize(("wrong", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_told_in_words(wrong, message):
    q, k, v = arrays()
    good = dict(q=q, k=k, v=v, kv_lengths=LENGTHS) | wrong
    with pytest.raises(ValueError, match=message):
        decode_attention(**good)


def test_partials_that_do_not_belong_together():
    m, o = np.zeros((2, 3)), np.zeros((2, 3, 4))
    with pytest.raises(ValueError, match="one more axis at the end"):
        merge_attention_partials(m, m, m)
    with pytest.raises(ValueError, match="there is no axis 2 of parts"):
        merge_attention_partials(m, m, o, axis=2)
