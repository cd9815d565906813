"""Softmax: against NumPy in float64, and at its edges."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core.kernels import softmax

rows = hnp.arrays(np.float32, (3, 7), elements=st.floats(-80, 80, width=32) | st.just(-np.inf))
masks = hnp.arrays(bool, (3, 7))
compiled = jax.jit(lambda x, where=None: softmax(x, where=where))


def reference(x, where):
    found = np.zeros(x.shape)
    for i, (row, counts) in enumerate(zip(x.astype(float), where, strict=True)):
        counts = counts & np.isfinite(row)
        if counts.any():
            weights = np.exp(row[counts] - row[counts].max())
            found[i, counts] = weights / weights.sum()
    return found


@given(rows, masks)
@settings(max_examples=150)
def test_agrees_with_numpy(x, where):
    """To a few units in the last place: one exponential, one sum of seven, one division."""
    np.testing.assert_allclose(compiled(x, where), reference(x, where), rtol=2e-5, atol=1e-30)
    everywhere = np.ones_like(where)
    np.testing.assert_array_equal(compiled(x, everywhere), compiled(x))


@given(rows, masks, st.floats(-1000, 1000, width=32))
@settings(max_examples=50)
def test_adds_up_to_one_wherever_something_counts(x, where, shift):
    found = np.asarray(compiled(x + np.float32(shift), where), float)
    some = (where & np.isfinite(x)).any(axis=1)
    np.testing.assert_allclose(found.sum(axis=1), some, atol=1e-6)
    assert np.all(found[~where] == 0)


def test_large_numbers_do_not_overflow():
    found = softmax(jnp.array([1e30, 1e30, -1e30]))
    np.testing.assert_array_equal(found, [0.5, 0.5, 0])


def test_along_another_axis():
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_allclose(softmax(x, axis=0), softmax(x.T).T, rtol=1e-6)


def test_keeps_float64_where_it_is_enabled():
    with jax.enable_x64(True):
        x = jnp.array([0.1, 0.7, -0.3], jnp.float64)
        found = softmax(x)
    assert found.dtype == np.float64
    expected = np.exp([0.1, 0.7, -0.3]) / np.exp([0.1, 0.7, -0.3]).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-15)
