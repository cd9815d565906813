"""Cross-entropy: losses and gradients in float64, masks, and what memory a gradient takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core.kernels import softmax_xla
from regrax.core.kernels.cross_entropy import implementation, softmax_cross_entropy

from . import reference_softmax as reference


def _with_gradient(logits, labels, where=None):
    losses = softmax_cross_entropy(logits, labels, where)
    return jnp.sum(losses), losses


WITH_GRADIENT = jax.jit(jax.grad(_with_gradient, has_aux=True))


def some(rows, classes, seed=0):
    rng = np.random.default_rng(seed)
    logits = (4 * rng.normal(size=(rows, classes))).astype(np.float32)
    return logits, rng.integers(0, classes, rows)


def agree(logits, labels, where=None, rtol=3e-6, atol=3e-6):
    slopes, losses = WITH_GRADIENT(logits, labels, where)
    expected, slope = reference.cross_entropy(np.asarray(logits, float), labels, where)
    np.testing.assert_allclose(np.asarray(losses, float), expected, rtol=rtol, atol=atol)
    np.testing.assert_allclose(np.asarray(slopes, float), slope, rtol=rtol, atol=atol)


@pytest.mark.parametrize("classes", [1, 2, 50, 1024, 3001])
def test_losses_and_gradients(classes):
    agree(*some(4, classes))


def test_in_the_loop_over_blocks(monkeypatch):
    for name, value in {"LANES": 48, "LONG_SUMS": 300, "LARGE": 0}.items():
        monkeypatch.setattr(softmax_xla, name, value)
    jax.clear_caches()
    agree(*some(5, 1777))
    jax.clear_caches()


@given(
    logits=hnp.arrays(np.float32, (3, 5), elements=st.floats(-60, 60, width=32)),
    where=hnp.arrays(bool, (3, 5)),
    labels=hnp.arrays(np.int32, 3, elements=st.integers(0, 4)),
)
@settings(max_examples=50)
def test_masked_classes(logits, where, labels):
    """A row whose class does not count costs nothing."""
    agree(logits, labels, where, rtol=1e-5, atol=1e-5)


def test_large_logits_are_no_worse():
    """The gradient does not come from a rounded logarithm, which would be off by 2^-8 here."""
    logits, labels = some(3, 40)
    agree(logits + 1e5, labels, rtol=1e-5)
    slopes, _ = WITH_GRADIENT(1e11 * logits, labels, None)
    assert np.all(np.isfinite(slopes))


def test_impossible_classes_and_unknown_labels():
    logits = jnp.array([[0.0, -np.inf], [0.0, -np.inf], [1.0, 2.0], [1.0, 2.0]])
    slopes, losses = WITH_GRADIENT(logits, jnp.array([0, 1, 2, -1]), None)
    assert losses[0] == 0 and losses[1] == np.inf and np.all(np.isnan(losses[2:]))
    np.testing.assert_array_equal(slopes[:2], [[0, 0], [1, -1]])
    assert np.all(np.isnan(slopes[2:]))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision(dtype):
    logits, labels = some(4, 2000)
    logits = jnp.asarray(logits, dtype)
    slopes, losses = WITH_GRADIENT(logits, labels, None)
    assert losses.dtype == np.float32 and slopes.dtype == dtype
    expected, slope = reference.cross_entropy(np.asarray(logits, float), labels)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(slopes, float), slope, rtol=1e-2, atol=1e-6)


def test_float64():
    with jax.enable_x64(True):
        logits, labels = some(3, 1500)
        agree(jnp.asarray(logits, jnp.float64), jnp.asarray(labels), rtol=1e-13, atol=1e-14)


def test_weights_of_rows_and_vmap():
    logits, labels = some(6, 1200)
    weights = np.arange(6.0, dtype=np.float32)
    slope = jax.grad(lambda x: jnp.sum(weights * softmax_cross_entropy(x, labels)))(logits)
    _, expected = reference.cross_entropy(logits.astype(float), labels)
    np.testing.assert_allclose(slope, weights[:, None] * expected, rtol=1e-5, atol=1e-5)
    alone = jax.vmap(jax.value_and_grad(softmax_cross_entropy))(logits, labels)
    np.testing.assert_allclose(alone[0], softmax_cross_entropy(logits, labels), rtol=1e-6)
    np.testing.assert_allclose(alone[1], expected, rtol=1e-5, atol=1e-6)
    cube = softmax_cross_entropy(logits.reshape(2, 3, -1), labels.reshape(2, 3))
    np.testing.assert_allclose(cube.reshape(6), alone[0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", [(64, 128_256), (2048, 4096)])
def test_a_gradient_is_the_only_array_of_its_size(shape, dtype):
    """Beside logits and gradient, loss and gradient together take less than a tenth of either."""
    struct = jax.ShapeDtypeStruct
    both = jax.jit(jax.value_and_grad(lambda x, y: jnp.sum(softmax_cross_entropy(x, y))))
    compiled = both.lower(struct(shape, dtype), struct(shape[:1], jnp.int32)).compile()
    size = shape[0] * shape[1] * jnp.dtype(dtype).itemsize
    memory = compiled.memory_analysis()
    assert size <= memory.output_size_in_bytes < size + 1024
    assert memory.temp_size_in_bytes < size / 10


def test_what_is_chosen():
    names = [implementation((64, 128_256), jnp.float32, p)[0] for p in ("cpu", "cuda", "tpu")]
    assert names == ["lanes", "mosaic-gpu", "mosaic-tpu"]


@pytest.mark.parametrize(
    ("logits", "labels"),
    [((2, 3), np.zeros(3, int)), ((2, 3), np.zeros(2)), ((3,), np.zeros(1, int))],
)
def test_what_does_not_fit_is_an_error_in_words(logits, labels):
    with pytest.raises(ValueError, match="one a row of logits"):
        softmax_cross_entropy(np.ones(logits), labels)
