"""softmax, log_softmax and logsumexp: all lengths, types, masks and scales, against float64."""

import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core.kernels import softmax_xla
from regrax.core.kernels.log_softmax import log_softmax
from regrax.core.kernels.logsumexp import logsumexp
from regrax.core.kernels.rows import Scale
from regrax.core.kernels.softmax import implementation, softmax

from . import reference_softmax as reference


def softmax_in_place(x, *arguments, **options):
    return softmax(x, *arguments, donate=True, **options)


FAMILY = {
    "softmax": (softmax, reference.softmax),
    "softmax in place": (softmax_in_place, reference.softmax),
    "log_softmax": (log_softmax, reference.log_softmax),
    "logsumexp": (logsumexp, reference.logsumexp),
}
every = pytest.mark.parametrize("name", FAMILY)
LENGTHS = (1, 7, 1023, 1024, 4099)
SMALL = {"LANES": 48, "DEPTH": 4, "LONG": 300, "LONG_SUMS": 300, "LARGE": 0, "FEW": 0}


@pytest.fixture
def small_lanes(monkeypatch):
    """Long rows begin at 300 entries, and are taken 192 at a time."""
    for name, value in SMALL.items():
        monkeypatch.setattr(softmax_xla, name, value)
    for module in ("row_sums", "softmax"):  # the second is also the name of a function
        module = importlib.import_module(f"regrax.core.kernels.{module}")
        monkeypatch.setattr(module, "ROWS", 100)
    jax.clear_caches()
    yield
    jax.clear_caches()


def some(rows, n, seed=0, spread=5.0, holes=0.0):
    rng = np.random.default_rng(seed)
    x = (spread * rng.normal(size=(rows, n))).astype(np.float32)
    x[rng.uniform(size=x.shape) < holes] = -np.inf
    return x


def close(found, expected, rtol=3e-6, atol=3e-6):
    """Infinities exactly where they are expected, and zeros where there is nothing else."""
    found = np.asarray(found, np.float64)
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    assert np.all(np.abs(found[expected == 0]) < 1e-30)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@every
@pytest.mark.parametrize("n", LENGTHS)
def test_all_lengths(name, n):
    function, expected = FAMILY[name]
    x = some(3, n)
    close(jax.jit(function)(x), expected(x))


@every
def test_loops_over_blocks(name, small_lanes):
    """Lengths that leave a rest, rows that leave one, several blocks, rows together."""
    function, expected = FAMILY[name]
    for rows, n in ((5, 777), (2, 768), (3, 1537)):
        x = some(rows, n, seed=n, holes=0.1)
        close(jax.jit(function)(x), expected(x))


@every
def test_loops_with_masks_scales_and_empty_rows(name, small_lanes):
    function, expected = FAMILY[name]
    x = some(5, 1100, holes=0.2)
    x[1] = -np.inf
    where = np.random.default_rng(1).uniform(size=x.shape) < 0.5
    where[2] = False
    scale = np.array([[0.5], [2.0], [1.0], [3.0], [0.125]], np.float32)
    call = jax.jit(lambda x, where, scale: function(x, where=where, scale=scale))
    close(call(x, where, scale), expected(x, where, scale))
    fixed = jax.jit(lambda x, where: function(x, where=where, scale=0.5))
    close(fixed(x, where), expected(x, where, 0.5))
    finite = some(5, 1100)
    signs = scale * np.array([[1], [-1], [1], [-1], [-1]], np.float32)
    close(call(finite, where, signs), expected(finite, where, signs))


@given(
    x=hnp.arrays(np.float32, (2, 6), elements=st.floats(-50, 50, width=32) | st.just(-np.inf)),
    where=hnp.arrays(bool, (2, 6)),
    scale=st.floats(0, 4, width=32),
)
@settings(max_examples=60)
def test_masks_and_scales_of_short_rows(x, where, scale):
    """To the rounding of numbers up to 200."""
    for function, expected in FAMILY.values():
        found = COMPILED[function](x, where, scale)
        close(found, expected(x, where, float(scale)), rtol=1e-5, atol=2e-5)


COMPILED = {
    function: jax.jit(lambda x, where, scale, f=function: f(x, where=where, scale=scale))
    for function, _ in FAMILY.values()
}


def test_a_scale_of_zero_leaves_out_what_is_minus_infinite():
    x = np.array([[0.0, 5.0, -np.inf, -1000.0]], np.float32)
    for scale in (0.0, jnp.float32(0)):
        np.testing.assert_allclose(softmax(x, scale=scale), [[1 / 3, 1 / 3, 0, 1 / 3]], rtol=1e-6)
        np.testing.assert_allclose(logsumexp(x, scale=scale), [np.log(3)], rtol=1e-6)


@pytest.mark.parametrize("power", [10, 11, 12])
@pytest.mark.parametrize("known", [True, False])
def test_a_scale_inside_never_overflows(power, known):
    """`jit(lambda x: jax.nn.softmax(c * x))` is NaN for many of these: the product is rounded in
    the maximum, and fused with the difference elsewhere. Here differences come first, exact for
    neighbours, so shares are right to a few digits."""
    c = 0.1 / 3
    call, slope = KNOWN if known else TRACED
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = (10.0**power * rng.normal(size=(2, 513))).astype(np.float32)
        x[:, 1] = x.max(axis=1)
        expected = reference.softmax(x, scale=c)
        np.testing.assert_allclose(call(x, c), expected, rtol=1e-4, atol=1e-30)
        np.testing.assert_allclose(slope(x, c), c * expected, rtol=1e-4, atol=1e-30)


KNOWN = (
    jax.jit(lambda x, c: softmax(x, scale=0.1 / 3)),
    jax.jit(jax.grad(lambda x, c: jnp.sum(logsumexp(x, scale=0.1 / 3)))),
)
TRACED = (
    jax.jit(lambda x, c: softmax(x, scale=c)),
    jax.jit(jax.grad(lambda x, c: jnp.sum(logsumexp(x, scale=c)))),
)


@every
@pytest.mark.parametrize(
    ("dtype", "digits"), [(np.float16, 2e-3), (jnp.bfloat16, 1.6e-2), (np.float64, 1e-14)]
)
@pytest.mark.parametrize("n", [50, 3000])
def test_other_types(name, dtype, digits, n):
    """Half precision is rounded once, at the end; the result is as good as its type."""
    function, expected = FAMILY[name]
    with jax.enable_x64(dtype == np.float64):
        x = jnp.asarray(some(2, n, spread=2.0), dtype)
        found = jax.jit(function)(x)
        assert found.dtype == x.dtype
        tiny = 1e-7 if dtype == np.float16 else 1e-30  # below are float16's subnormal numbers
        close(found, expected(x), rtol=digits, atol=tiny)


def test_sums_of_half_precision_do_not_stall():
    """2^17 equal entries: float16 cannot count beyond 2048, nor hold their number."""
    x = jnp.zeros(2**17, jnp.float16)
    np.testing.assert_allclose(float(logsumexp(x)), np.log(2.0**17), rtol=1e-3)
    slope = jax.grad(lambda x: log_softmax(x)[0].astype(jnp.float32))(x)
    assert np.all(np.isfinite(slope)) and slope[0] == 1


def test_whole_numbers_become_floats():
    np.testing.assert_allclose(softmax(np.array([0, 1])), [0.26894142, 0.73105858], rtol=1e-6)


@every
def test_infinite_and_missing_entries(name):
    function = FAMILY[name][0]
    x = jnp.array([[0, np.inf, 1], [0, np.nan, 1], [0, 1, 2]], jnp.float32)
    found = np.asarray(function(x)).reshape(3, -1)
    assert np.all(np.isnan(found[:2])) and np.all(np.isfinite(found[2]))


@every
def test_no_entries_at_all(name):
    function, expected = FAMILY[name]
    x = np.zeros((2, 0), np.float32)
    np.testing.assert_array_equal(function(x), expected(x))
    empty = np.full((2, 1500), -np.inf, np.float32)
    np.testing.assert_array_equal(function(empty), expected(empty))


@every
def test_other_axes(name):
    function, expected = FAMILY[name]
    x = some(4, 6).reshape(2, 3, 4)
    turned = np.moveaxis(x, 1, -1).reshape(-1, 3)
    found = np.asarray(function(x, axis=1))
    wanted = np.asarray(expected(turned))
    if name == "logsumexp":
        close(found, wanted.reshape(2, 4))
        assert function(x, axis=1, keepdims=True).shape == (2, 1, 4)
    else:
        close(found, np.moveaxis(wanted.reshape(2, 4, 3), -1, 1))


# ---- derivatives ---------------------------------------------------------------------------


def plain(name, x, c):
    """The same by formulas that JAX differentiates as they stand."""
    z = c * x
    top = jax.lax.stop_gradient(jnp.max(z, axis=-1, keepdims=True))
    logsum = top + jnp.log(jnp.sum(jnp.exp(z - top), axis=-1, keepdims=True))
    found = {"softmax": jnp.exp(z - logsum), "log_softmax": z - logsum, "logsumexp": logsum}
    return found[name.split()[0]]


@every
@pytest.mark.parametrize("n", [6, 1100])
def test_derivatives(name, n):
    """Of the first two orders, in both modes, in float64."""
    function = FAMILY[name][0]
    with jax.enable_x64(True):
        x, v, weights = (jnp.asarray(some(2, n, seed=i), jnp.float64) for i in range(3))
        c = jnp.float64(0.3)

        def ours(x, c):
            return jnp.sum(weights * (function(x, scale=c) ** 2).reshape(2, -1))

        def theirs(x, c):
            return jnp.sum(weights * plain(name, x, c) ** 2)

        for of in (
            lambda f: jax.value_and_grad(f, (0, 1)),
            lambda f: lambda x, c: jax.jvp(f, (x, c), (v, 0.7)),
            lambda f: lambda x, c: jax.jvp(jax.grad(f, (0, 1)), (x, c), (v, 0.7)),
        ):
            found, expected = jax.jit(of(ours))(x, c), jax.jit(of(theirs))(x, c)
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@every
def test_derivatives_where_nothing_counts_are_zero(name):
    function = FAMILY[name][0]
    x = jnp.array([[0.0, -np.inf, 2.0, 1.0], [-np.inf] * 4], jnp.float32)
    where = jnp.array([[True, True, True, False], [True] * 4])

    def of(x, c):
        found = function(x, where=where, scale=c)
        return jnp.sum(jnp.where(jnp.isfinite(found), found, 0) ** 2)

    dx, dc = jax.jit(jax.grad(of, (0, 1)))(x, 0.7)
    assert np.all(np.isfinite(dx)) and np.isfinite(dc)
    np.testing.assert_array_equal(np.asarray(dx)[[0, 0, 1], [1, 3, 0]], 0)


@every
def test_vmap_is_more_rows(name, small_lanes):
    """Also of a derivative, also where only some arguments are mapped."""
    function, expected = FAMILY[name]
    x = some(6, 800).reshape(2, 3, 800)
    flat = expected(x.reshape(6, 800)).reshape(2, 3, -1)
    close(np.asarray(jax.jit(jax.vmap(function))(x)).reshape(flat.shape), flat)
    close(np.asarray(jax.jit(jax.vmap(jax.vmap(function)))(x)).reshape(flat.shape), flat)
    found = jax.jit(jax.vmap(lambda c: function(x[0], scale=c)))(jnp.array([0.5, 2.0]))
    for c, part in zip((0.5, 2.0), found, strict=True):
        close(part, expected(x[0], scale=c))
    slope = jax.grad(lambda x: jnp.sum(function(x)[..., :1] ** 2))
    found, expected = jax.jit(jax.vmap(slope))(x)[1], jax.jit(slope)(x[1])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# ---- memory and choices --------------------------------------------------------------------


def _memory(function, shape, donated):
    donate = (0,) if donated else ()
    lowered = jax.jit(function, donate_argnums=donate).lower(
        jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    return lowered.compile().memory_analysis()


@pytest.mark.parametrize("shape", [(1, 2**23), (2**23,), (2, 2, 2**22), (64, 2**16)])
@pytest.mark.parametrize("function", [softmax_in_place, log_softmax])
def test_a_donated_input_is_worked_on_in_place(function, shape):
    """The result takes the memory of x, and beside it there is less than a fifth of x."""
    found = _memory(function, shape, donated=True)
    size = 4 * math.prod(shape)
    assert found.alias_size_in_bytes == size
    assert found.temp_size_in_bytes < size / 5
    if function is softmax_in_place:  # XLA's plan for the plain function does hold a second array
        assert _memory(jax.nn.softmax, shape, donated=True).temp_size_in_bytes >= size


@pytest.mark.parametrize("shape", [(1, 2**23), (512, 2**14), (4095, 1024)])
def test_a_fresh_result_is_made_as_the_library_makes_it(shape):
    """The same kernels, by the bytes that they move, and once more a read of x in a branch that is
    taken where there is a NaN; no memory beside the result."""
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    ours, theirs = (jax.jit(f).lower(x).compile() for f in (softmax, jax.nn.softmax))
    moved, allowed = (c.cost_analysis()["bytes accessed"] for c in (ours, theirs))
    assert moved <= 1.01 * (allowed + 4 * x.size)
    assert ours.memory_analysis().temp_size_in_bytes < 4 * x.size / 50


@pytest.mark.parametrize("program", [jax.jit(softmax_in_place, donate_argnums=0), softmax_in_place])
@pytest.mark.parametrize("shape", [(1, 2**16), (3, 5)])
def test_a_donated_input_is_gone(program, shape):
    x = jnp.asarray(some(*shape))
    expected, where = reference.softmax(np.array(x)), x.unsafe_buffer_pointer()
    y = program(x)
    assert x.is_deleted() and y.unsafe_buffer_pointer() == where
    close(y, expected)


def test_what_is_not_ours_to_give_is_kept():
    """Arrays of NumPy's, and what a caller's program or derivative still needs."""
    x = some(2, 2000)
    kept = x.copy()
    softmax(x, donate=True)
    np.testing.assert_array_equal(x, kept)
    array = jnp.asarray(x)
    for program in (
        jax.jit(lambda x: (softmax(x, donate=True), 2 * x)[1]),
        jax.grad(lambda x: jnp.sum(softmax(x, donate=True, scale=2.0) ** 2)),
        lambda x: jax.vmap(softmax_in_place)(x),
    ):
        program(array)
        np.testing.assert_array_equal(array, kept)


@every
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_short_rows_are_one_kernel(name, dtype):
    """XLA's fusion for CPUs, which reads once and writes once, must not be broken by our edges."""
    x = jax.ShapeDtypeStruct((4096, 4096), dtype)
    compiled = jax.jit(FAMILY[name][0]).lower(x).compile()
    moved = compiled.cost_analysis()["bytes accessed"] / (x.size * x.dtype.itemsize)
    assert moved <= (1.01 if name == "logsumexp" else 2.01)
    assert compiled.memory_analysis().temp_size_in_bytes < 1e6


def test_what_is_chosen():
    def names(n, dtype=np.float32, rows=64, masked=False, platforms=("cpu", "cuda", "tpu")):
        return [implementation((rows, n), dtype, p, masked)[0] for p in platforms]

    assert names(10) == ["xla"] * 3
    assert names(1000) == ["xla-fresh", "xla", "xla"]
    assert names(4096) == ["xla-fresh", "xla", "mosaic-tpu-kept"]
    assert names(4096, rows=4096) == ["xla", "xla", "mosaic-tpu-kept"]
    assert names(32768) == ["xla-fresh", "mosaic-gpu-kept", "mosaic-tpu-kept"]
    assert names(2**21) == ["xla-fresh", "mosaic-gpu-two-pass", "mosaic-tpu-two-pass"]
    assert names(2**21, masked=True) == ["xla-fresh", "xla", "xla"]
    assert names(2**21, np.float64) == ["xla-fresh", "xla", "xla"]
    assert names(2**21, jnp.bfloat16)[0] == "xla"
    assert names(50257, rows=8)[1] == "xla"  # rows that start anywhere
    in_place = [implementation((1, n), np.float32, "cpu", donate=True)[0] for n in (99, 2**24)]
    assert in_place == ["xla", "two-pass"]
    for platform in (None, "cpu", "gpu", "rocm"):
        name, why = implementation((2, 100), np.float32, platform)
        assert name == "xla" and why
    with pytest.raises(ValueError, match="did you mean 'cuda'"):
        implementation((2, 100), np.float32, "cude")


@pytest.mark.slow
@pytest.mark.parametrize("n", [2**22, 2**26])
def test_the_longest_rows(n):
    """Sums of 2^26 numbers lose no more than those of a few: blocks are summed, then merged."""
    x = some(1, n)
    expected = reference.logsumexp(x)
    np.testing.assert_allclose(jax.jit(logsumexp)(x), expected, rtol=2e-7)
    pairs = jax.jit(softmax_xla.sums_in_lanes, static_argnums=(1, 2))(x, None, Scale())
    exact = np.exp(expected - x.max().astype(float))
    np.testing.assert_allclose(pairs.total[:, 0], exact, rtol=3e-6)
    found = np.asarray(jax.jit(softmax_in_place)(x))[0, :1000]
    np.testing.assert_allclose(found, np.exp(x[0, :1000] - expected), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": 1.0}, "with an axis"),
        ({"x": np.ones(3, complex)}, "real numbers"),
        ({"x": np.ones(3, bool)}, "real numbers"),
        ({"x": np.ones(3), "axis": 1}, "no axis 1"),
        ({"x": np.ones(3), "axis": np.ones(3, bool)}, "where=mask"),
        ({"x": np.ones(3), "axis": None}, "one whole number"),
        ({"x": np.ones(3), "where": np.ones(3)}, "mask of bool"),
        ({"x": np.ones(3), "where": np.ones((2, 3), bool)}, r"the shape \[3\] of x"),
        ({"x": np.ones((2, 3)), "scale": np.ones(3)}, r"one a row of shape \[2, 1\]"),
        ({"x": np.ones((2, 3)), "scale": 1j}, "real number"),
    ],
)
@every
def test_what_does_not_fit_is_an_error_in_words(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        FAMILY[name][0](**arguments)
