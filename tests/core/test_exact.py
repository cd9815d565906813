"""Pairs of float32 against float64, under jit: what XLA makes of them is what counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import exact
from regrax.core.exact import Pair


def numbers(seed, shape, spread=20):
    """float32 of both signs, within 2^spread of each other; some are opposites of others."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(1, 2, shape) * 2 ** rng.uniform(0, spread, shape) * rng.choice([-1, 1], shape)
    x = x.astype(np.float32)
    x[::7] = -np.roll(x, 1, axis=0)[::7] * np.float32(1 + 2**-22)
    return x


def pairs(seed, shape, spread=20) -> Pair:
    high = numbers(seed, shape, spread)
    units = np.random.default_rng(seed + 1).uniform(-0.5, 0.5, shape)
    return Pair(high, (units * np.spacing(np.abs(high))).astype(np.float32))


def double(x: Pair) -> np.ndarray:
    return np.asarray(x.high, np.float64) + np.asarray(x.low, np.float64)


def settled(x: Pair) -> bool:
    """Whether `high` is the number rounded."""
    return np.array_equal(np.float32(double(x)), x.high)


def test_two_sum_makes_no_error():
    a, b = numbers(0, 10_000), np.random.default_rng(3).permutation(numbers(0, 10_000))
    total = jax.jit(exact.two_sum)(a, b)
    np.testing.assert_array_equal(double(total), a.astype(np.float64) + b)
    assert settled(total)


@pytest.mark.parametrize("sign", [1, -1])
def test_plus_and_minus_keep_46_bits(sign):
    a, b = pairs(0, 10_000), pairs(10, 10_000)
    b = Pair(*(np.where(np.arange(10_000) % 5, y, -sign * x) for x, y in zip(a, b, strict=True)))
    total = jax.jit(exact.plus if sign > 0 else exact.minus)(a, b)
    error = double(total) - (double(a) + sign * double(b))
    assert np.all(np.abs(error) <= 2.0**-46 * (np.abs(double(a)) + np.abs(double(b))))
    assert settled(total) and np.all(np.asarray(total.high)[::5] == 0)


def test_times_keeps_45_bits():
    rng = np.random.default_rng(0)
    counts = (2 ** rng.uniform(0, 31, 10_000)).astype(np.int64).astype(np.int32)
    counts[:3] = 0, 1, 2**31 - 1
    x = pairs(5, 10_000)
    product = jax.jit(exact.times)(counts, x)
    expected = counts * double(x)
    assert np.all(np.abs(double(product) - expected) <= 2.0**-45 * np.abs(expected))
    assert settled(product)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_sums_are_those_of_float64_in_any_batch(count):
    x = pairs(count, (5, count, 2))
    add_up = jax.jit(exact.add_up)
    together = jax.jit(jax.vmap(exact.add_up))(x)
    error = double(together) - double(x).sum(axis=1)
    assert np.all(np.abs(error) <= 2.0**-42 * np.abs(double(x)).sum(axis=1))
    for i in range(5):
        alone = add_up(Pair(x.high[i], x.low[i]))
        np.testing.assert_array_equal(alone, Pair(together.high[i], together.low[i]))


def test_weighted_is_the_sum_of_the_products():
    counts, x = np.arange(12, dtype=np.int32).reshape(3, 4), pairs(2, (3, 4))
    total = double(jax.jit(exact.weighted)(counts, x))
    assert total == pytest.approx(np.sum(counts * double(x)), rel=1e-12)


@pytest.mark.parametrize("start", [0, 1e6])
def test_ten_million_equal_numbers_lose_nothing(start):
    """Every rounding error has the same sign for millions of rounds. float32 alone stops at 2^21,
    and with the errors merely collected the sum is off by a thousandth."""

    def add(_, x):
        return exact.plus(x, exact.single(jnp.float32(0.1)))

    total = jax.jit(lambda x: jax.lax.fori_loop(0, 10**7, add, x))(exact.single(jnp.float32(start)))
    expected = start + 10**7 * float(np.float32(0.1))
    assert double(total) == pytest.approx(expected, rel=1e-8)
    assert float(exact.value(total)) == np.float32(double(total))
