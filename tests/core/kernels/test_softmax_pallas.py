"""The kernels for GPUs and TPUs, on a machine that has neither.

Those for TPUs run in interpret mode, and in the TPU interpreter with race detection, where memory
is NaN before it is written and an index out of bounds raises. Those for GPUs cannot be interpreted:
their arithmetic is `absorb`, tested with the pairs, and what they leave out at the end of a row is
tested here. Both are lowered for their device.
"""

import contextlib
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from regrax.core.kernels import platforms, row_sums, softmax_tpu, softmax_xla
from regrax.core.kernels.cross_entropy import softmax_cross_entropy
from regrax.core.kernels.log_softmax import log_softmax
from regrax.core.kernels.logsumexp import logsumexp
from regrax.core.kernels.monoids import MaxSum, absorb, fold_max_sum, no_max_sum
from regrax.core.kernels.rows import Scale
from regrax.core.kernels.softmax import softmax

from . import reference_softmax as reference

softmax_gpu = pytest.importorskip("regrax.core.kernels.softmax_gpu", exc_type=ImportError)
NO_SCALE = Scale()
KINDS = {"tpu": ("TPU v5 lite", 1), "cuda": ("NVIDIA H200", None)}


def some(rows, n, dtype=np.float32, seed=0):
    x = 4 * np.random.default_rng(seed).normal(size=(rows, n)).astype(np.float32)
    x[0, n // 2 :] = -np.inf
    if rows > 2:
        x[1] = -np.inf
    return jnp.asarray(x, dtype)


def factors(rows, signs=False):
    size = np.linspace(0.25, 2, rows).astype(np.float32)[:, None]
    sign = np.where(np.arange(rows) % 2, -1, 1).astype(np.float32)[:, None] if signs else None
    return Scale(None if sign is None else jnp.asarray(sign), jnp.asarray(size))


def logs(pairs, size):
    size = 1 if size is None else np.asarray(size)
    with np.errstate(divide="ignore"):
        return np.asarray(size * pairs.top + np.log(pairs.total), float)[:, 0]


def check(x, scale, interpret, digits=1e-5):
    """Both kernels for TPUs on x, where a negative factor meets no entry of -inf."""
    if scale.sign is not None:
        x = jnp.where(jnp.isneginf(x), 0, x)
    c = None if scale.size is None else np.asarray(scale.size, float)
    c = c if scale.sign is None else c * np.asarray(scale.sign)
    wide = np.asarray(x, np.float64)
    found = logs(softmax_tpu.sums(x, scale, interpret), scale.size)
    np.testing.assert_allclose(found, reference.logsumexp(wide, scale=c), rtol=1e-5, atol=1e-5)
    found = softmax_tpu.softmax(x, scale, interpret)
    assert found.dtype == x.dtype
    expected = reference.softmax(wide, scale=c)
    np.testing.assert_allclose(np.asarray(found, float), expected, rtol=digits, atol=1e-30)


@pytest.mark.parametrize(
    ("rows", "n"), [(1, 128), (1, 50_176), (3, 1000), (8, 2048), (9, 5000), (20, 300)]
)
@pytest.mark.parametrize("scale", ["none", "size", "signs"])
def test_tpu_kernels_interpreted(rows, n, scale):
    scale = NO_SCALE if scale == "none" else factors(rows, scale == "signs")
    check(some(rows, n), scale, interpret=True)


def test_tpu_kernels_in_half_precision():
    check(some(20, 4500, jnp.bfloat16), NO_SCALE, interpret=True, digits=1e-2)


@pytest.fixture
def tpu():
    """The TPU interpreter; whatever happened in it is forgotten afterwards."""
    yield pltpu.InterpretParams(detect_races=True, uninitialized_memory="nan")
    pltpu.reset_tpu_interpret_mode_state()


@pytest.mark.parametrize(("rows", "n"), [(8, 1024), (5, 4300), (9, 640), (1, 40_960)])
def test_tpu_kernels_in_the_tpu_interpreter(rows, n, tpu):
    """No race, no access out of bounds, nothing read that was not written."""
    check(some(rows, n), factors(rows), tpu)
    from jax._src.pallas.mosaic.interpret import interpret_pallas_call

    races = interpret_pallas_call.races
    assert races is None or not races.races_found


def test_the_end_of_a_row_counts_once():
    """Tiles of 128 over rows of 300: the third starts at 172, and gives 44 entries. Tiles beyond
    the row, which fill up a step of the kernel, give none."""
    lanes, n = 128, 300
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    lane = jnp.arange(lanes)
    tiles = []
    for index in range(6):
        start = min(index * lanes, n - lanes)
        tiles.append(softmax_gpu.counted(jnp.asarray(x[start : start + lanes]), lane, start, index))
    seen = np.concatenate(tiles)
    np.testing.assert_array_equal(np.sort(seen[np.isfinite(seen)]), np.sort(x))
    pairs = absorb(no_max_sum((lanes,)), tiles)
    found = fold_max_sum(MaxSum(*(a[None] for a in pairs)), 1)
    assert float(found.total[0]) == pytest.approx(np.exp(x - x.max()).sum(), rel=1e-6)


# ---- lowering ------------------------------------------------------------------------------


@contextlib.contextmanager
def devices(platform):
    kind, cores = KINDS[platform]
    device = AbstractDevice(
        device_kind=kind, num_cores=cores, platform="gpu" if platform == "cuda" else platform
    )
    mesh = AbstractMesh((1,), ("i",), axis_types=(AxisType.Auto,), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        yield


def lowered(function, platform, *shapes):
    with devices(platform):
        return jax.jit(function).trace(*shapes).lower(lowering_platforms=(platform,)).as_text()


def kernels_in(text):
    return text.count("@tpu_custom_call") + text.count("mosaic_gpu")


def struct(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


@pytest.mark.parametrize("platform", KINDS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("n", [32_768, 128_256, 2**20])
def test_a_softmax_becomes_one_kernel(platform, dtype, n):
    assert kernels_in(lowered(softmax, platform, struct(64, n, dtype=dtype))) >= 1


@pytest.mark.parametrize("platform", KINDS)
@pytest.mark.parametrize("function", [log_softmax, logsumexp])
def test_the_others_read_once(platform, function):
    assert kernels_in(lowered(function, platform, struct(64, 50_176))) >= 1


@pytest.mark.parametrize("platform", KINDS)
def test_loss_and_gradient(platform):
    def both(x, y):
        return jax.value_and_grad(lambda x: jnp.sum(softmax_cross_entropy(x, y)))(x)

    labels = struct(64, dtype=jnp.int32)
    assert kernels_in(lowered(both, platform, struct(64, 128_256), labels)) >= 1


@pytest.mark.parametrize("platform", KINDS)
def test_a_scale_and_vmap_and_a_gradient(platform):
    def function(x, c):
        return jax.grad(lambda x: jnp.sum(jax.vmap(lambda r: softmax(r, scale=c))(x) ** 2))(x)

    assert kernels_in(lowered(function, platform, struct(3, 4, 40_960), struct())) >= 1


@pytest.mark.parametrize("platform", KINDS)
def test_what_has_no_kernel_goes_through_xla(platform):
    masked = lowered(
        lambda x, m: softmax(x, where=m), platform, struct(8, 40_960), struct(8, 40_960, dtype=bool)
    )
    assert kernels_in(masked) == 0
    assert kernels_in(lowered(softmax, platform, struct(8, 100))) == 0
    assert kernels_in(lowered(lambda x: softmax(x, axis=0), platform, struct(40_960, 8))) == 0


def test_rows_that_start_anywhere_have_no_gpu_kernel():
    assert kernels_in(lowered(softmax, "cuda", struct(8, 50_257))) == 0
    assert kernels_in(lowered(softmax, "tpu", struct(8, 50_257))) >= 1


def test_without_absl_a_gpu_goes_through_xla(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "absl-py" in platforms.mosaic_gpu_missing()
    name, why = row_sums.sums_implementation((8, 2**20), jnp.float32, "cuda")
    assert name == "xla" and "pip install absl-py" in why
    assert row_sums.sums_implementation((8, 2**20), jnp.float32, "tpu")[0] == "mosaic-tpu"


@pytest.mark.parametrize(
    ("capability", "missing"), [("8.0", True), ("9.0", False), ("10.0", False)]
)
def test_an_old_gpu_goes_through_xla(monkeypatch, capability, missing):
    gpu = types.SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    why = platforms.mosaic_gpu_missing()
    assert (f"this GPU has compute capability {capability}" in why) == missing
    name, _ = row_sums.sums_implementation((8, 2**20), jnp.float32, "cuda")
    assert name == ("xla" if missing else "mosaic-gpu")


def test_nothing_is_imported_for_a_cpu():
    """A program for a CPU does not pay for Pallas."""
    code = (
        "import sys, jax.numpy as jnp\n"
        "from regrax.core.kernels.softmax import softmax\n"
        "softmax(jnp.zeros((1, 2**14)))\n"
        "print([name for name in sys.modules if name.startswith('jax.experimental.pallas')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", found.stderr


# ---- with the device -----------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    ("rows", "n"), [(64, 16_392), (7, 32_768), (5, 50_264), (300, 65_536), (2, 2**20), (1, 2**24)]
)
def test_on_a_gpu(rows, n, dtype):
    x, c = some(rows, n, dtype), 0.75
    wide = np.asarray(x, np.float64)
    digits = {jnp.float32: 1e-5, jnp.bfloat16: 1e-2, jnp.float16: 2e-3}[dtype]
    for scale in (None, c):
        found = np.asarray(jax.jit(lambda x, s=scale: softmax(x, scale=s))(x), float)
        expected = reference.softmax(wide, scale=scale)
        np.testing.assert_allclose(found, expected, rtol=digits, atol=1e-7)
        found = np.asarray(jax.jit(lambda x, s=scale: logsumexp(x, scale=s))(x), float)
        expected = reference.logsumexp(wide, scale=scale)
        np.testing.assert_allclose(found, expected, rtol=max(digits, 1e-5), atol=1e-4)


@pytest.mark.tpu
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("rows", "n"), [(64, 1024), (7, 32_768), (3, 50_257), (1, 2**22)])
def test_on_a_tpu(rows, n, dtype):
    x = some(rows, n, dtype)
    digits = 1e-5 if dtype == jnp.float32 else 1e-2
    found = np.asarray(jax.jit(softmax)(x), float)
    expected = reference.softmax(np.asarray(x, np.float64))
    np.testing.assert_allclose(found, expected, rtol=digits, atol=1e-7)
    pairs = softmax_xla.sums(x, None, NO_SCALE)
    np.testing.assert_allclose(
        logs(jax.jit(lambda x: row_sums.row_sums(x, None, NO_SCALE, 1))(x), None),
        logs(pairs, None), rtol=1e-5, atol=1e-5,
    )  # fmt: skip
