"""The two pairs that add up exponentials: monoids, and the numbers they stand for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core.kernels import monoids
from regrax.core.kernels.monoids import ExtSum, MaxSum

LENGTH = 12
CUTS = [(0, 5), (3, 3), (1, 11), (4, 12)]  # one length each: everything is compiled once
ENTRIES = st.floats(-5000, 5000, width=32) | st.just(-np.inf)
ROWS = hnp.arrays(np.float32, LENGTH, elements=ENTRIES)
ABSORB = jax.jit(monoids.absorb)
EXT_EXP = jax.jit(monoids.ext_exp)


def log_of_max_sum(pair):
    return float(pair.top) + np.log(float(pair.total)) if pair.total > 0 else -np.inf


def log_of_ext_sum(pair):
    if pair.mantissa == 0:
        return -np.inf
    return np.log(float(pair.mantissa)) + float(pair.exponent) * np.log(2)


def log_of(x):
    x = np.asarray(x, np.float64)
    top = x.max(initial=-np.inf)
    return top if top == -np.inf else top + np.log(np.exp(x - top).sum())


KINDS = {
    "MaxSum": (monoids.max_sum, monoids.merge_max_sum, monoids.no_max_sum, log_of_max_sum),
    "ExtSum": (
        lambda x: monoids.fold_ext_sum(monoids.ext_exp(x)), monoids.merge_ext_sum,
        monoids.no_ext_sum, log_of_ext_sum,
    ),
}  # fmt: skip


@functools.cache
def groupings(kind, cut):
    """x -> the sums of its three parts, in three groupings, and the sum of all at once."""
    of, merge, none, _ = KINDS[kind]

    def sums(x):
        i, j = cut
        a, b, c = (of(part) if part.size else none(()) for part in (x[:i], x[i:j], x[j:]))
        return merge(merge(a, b), c), merge(a, merge(b, c)), merge(c, merge(a, b)), of(x)

    return jax.jit(sums)


@pytest.mark.parametrize("kind", KINDS)
@given(x=ROWS, cut=st.sampled_from(CUTS))
@settings(max_examples=60)
def test_any_cut_and_any_grouping_give_the_same_sum(kind, x, cut):
    """Parts as unequal as one likes, empty ones too; the sum of 12 terms to 12 roundings, and the
    exponent of ExtSum to the last digit of x."""
    log, expected = KINDS[kind][-1], log_of(x)
    for found in groupings(kind, cut)(x):
        np.testing.assert_allclose(log(found), expected, rtol=1e-7, atol=4e-6 + 12 * 1.2e-7)


@functools.cache
def with_nothing(kind):
    of, merge, none, _ = KINDS[kind]
    return jax.jit(lambda x: (of(x), merge(of(x), none(())), merge(none(()), of(x))))


@pytest.mark.parametrize("kind", KINDS)
@given(x=ENTRIES)
@settings(max_examples=30)
def test_the_neutral_element_changes_nothing(kind, x):
    one, after, before = with_nothing(kind)(np.array([x], np.float32))
    np.testing.assert_array_equal(after, one)
    np.testing.assert_array_equal(before, one)


@given(
    x=hnp.arrays(np.float32, (5, 4, 3), elements=ENTRIES),
    size=st.sampled_from([None, 0.25, 3.0]),
)
@settings(max_examples=40)
def test_places_take_in_tiles_as_they_would_alone(x, size):
    start = monoids.max_sum(jnp.asarray(x[:1]), 0, size)
    found = MaxSum(*map(np.asarray, ABSORB(start, list(x[1:]), size)))
    c = 1.0 if size is None else size
    for place in np.ndindex(4, 3):
        expected = log_of(c * x[(slice(None), *place)].astype(float))
        with np.errstate(divide="ignore"):
            alone = c * float(found.top[place]) + np.log(float(found.total[place]))
        np.testing.assert_allclose(alone, expected, rtol=1e-6, atol=1e-5)


@given(x=hnp.arrays(np.float32, 20, elements=st.floats(-1e4, 1e4, width=32)))
@settings(max_examples=40)
def test_a_mantissa_stays_near_one_and_is_right(x):
    """Within 1e-6 for |x| up to 10^4, where exp itself has long over- or underflown."""
    pair = ExtSum(*map(np.asarray, EXT_EXP(x)))
    assert np.all((pair.mantissa > 0.7) & (pair.mantissa < 1.42))
    assert np.all(pair.exponent == np.round(pair.exponent))
    ln2 = np.log(np.longdouble(2))
    expected = np.exp(x.astype(np.longdouble) - pair.exponent.astype(np.longdouble) * ln2)
    np.testing.assert_allclose(pair.mantissa.astype(float), expected.astype(float), rtol=1e-6)


def test_ratios_of_extended_numbers_are_a_softmax():
    x = np.random.default_rng(0).uniform(-1e4, 1e4, 5000).astype(np.float32)
    x[7], x[8] = -np.inf, x.max()
    pairs = monoids.ext_exp(x)
    found = monoids.ext_ratio(pairs, monoids.fold_ext_sum(pairs))
    wide = np.exp(x.astype(float) - x.max())
    np.testing.assert_allclose(found, wide / wide.sum(), rtol=3e-6, atol=1e-37)
    nothing = monoids.no_ext_sum((3,))
    np.testing.assert_array_equal(monoids.ext_ratio(nothing, monoids.fold_ext_sum(nothing)), 0)


def test_powers_of_two_by_the_bits():
    n = np.array([0, -1, -7, -126, -127, -200, -1e30], np.float32)
    np.testing.assert_array_equal(monoids.power_of_two(n), [1, 0.5, 2**-7, 2.0**-126, 0, 0, 0])
    with jax.enable_x64(True):
        wide = jnp.array([0.0, -1, -1022, -1023], jnp.float64)
        np.testing.assert_array_equal(monoids.power_of_two(wide), [1, 0.5, 2.0**-1022, 0])


def test_extended_numbers_in_float64():
    with jax.enable_x64(True):
        x = jnp.array([700.0, -4000.0, 12345.678, -np.inf], jnp.float64)
        pair = monoids.ext_exp(x)
        assert pair.mantissa.dtype == np.float64
        total = monoids.fold_ext_sum(pair)
        np.testing.assert_allclose(log_of_ext_sum(total), log_of(x), rtol=1e-15)


def test_infinite_entries():
    """inf in any part makes the whole NaN, -inf alone is nothing."""
    big, small = (monoids.max_sum(jnp.array([0.0, x])) for x in (np.inf, -np.inf))
    for found in (big, monoids.merge_max_sum(big, small), monoids.merge_max_sum(small, big)):
        assert np.isnan(found.total)
    nothing = monoids.max_sum(jnp.full(3, -jnp.inf))
    np.testing.assert_array_equal(nothing, monoids.no_max_sum(()))
    taken = monoids.absorb(monoids.no_max_sum((2,)), [jnp.array([np.inf, -np.inf])])
    np.testing.assert_array_equal(taken.total, [np.nan, 0])


def test_nan_is_not_lost():
    assert np.isnan(monoids.max_sum(jnp.array([0.0, np.nan])).total)
    assert np.isnan(monoids.ext_exp(jnp.array([np.nan])).mantissa[0])
    merged = monoids.merge_max_sum(monoids.max_sum(jnp.array([np.nan])), monoids.no_max_sum(()))
    assert np.isnan(merged.total)
    assert isinstance(merged, MaxSum) and isinstance(monoids.no_ext_sum(()), ExtSum)
