"""Gamma, beta and binomial draws against scipy's laws, over a grid of parameters.

float32 cannot tell values closer than an ulp apart, which for small shapes hides much probability
near 0 and 1. A draw is therefore taken as the interval of values that round to it, and the
Kolmogorov-Smirnov distance as the least one that any values in these intervals have.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from regrax.core import noise, samplers

SIZE = 100_000
TOO_RARE = 1e-6
SHAPES = (0.05, 0.3, 1.0, 1.5, 7.0, 300.0, 1e4)


def ks_pvalue(draws, law) -> float:
    values, counts = np.unique(np.float32(draws), return_counts=True)
    above = np.cumsum(counts) / len(draws)
    below = above - counts / len(draws)
    tiny = np.finfo(np.float32).tiny  # XLA rounds subnormal numbers to zero
    low = np.where(values <= tiny, -np.inf, np.nextafter(values, np.float32(-np.inf)))
    high = np.where(values < tiny, tiny, np.nextafter(values, np.float32(np.inf)))
    cdf_low, cdf_high = law.cdf(np.float64(low)), law.cdf(np.float64(high))
    distance = max(np.max(cdf_low - below), np.max(above - cdf_high), 0)
    return scipy.stats.kstwo.sf(distance, len(draws))


@jax.jit
def draw_gamma(key, shape):
    return samplers.gamma(samplers.gamma_tape(key, (SIZE,)), shape)


@jax.jit
def draw_beta(key, a, b):
    return samplers.beta(samplers.beta_tape(key, (SIZE,)), a, b)


@jax.jit
def draw_binomial(key, n, p):
    return samplers.binomial(samplers.binomial_tape(key, (SIZE,)), n, p)


@pytest.mark.parametrize("shape", [*SHAPES, 1e6])
def test_gamma_in_law(shape):
    draws = np.float64(draw_gamma(noise.stream(noise.root(11), int(shape * 100)), shape))
    law = scipy.stats.gamma(shape)
    assert ks_pvalue(draws, law) > TOO_RARE
    assert moments_fit(draws, law)


@pytest.mark.parametrize("a", SHAPES)
@pytest.mark.parametrize("b", SHAPES)
def test_beta_in_law(a, b):
    key = noise.stream(noise.stream(noise.root(12), int(a * 100)), int(b * 100))
    draws = np.float64(draw_beta(key, jnp.float32(a), jnp.float32(b)))
    law = scipy.stats.beta(np.float32(a), np.float32(b))
    assert np.all((draws >= 0) & (draws <= 1))
    assert ks_pvalue(draws, law) > TOO_RARE
    assert moments_fit(draws, law)


def moments_fit(draws, law) -> bool:
    """Mean and variance, to five standard errors (a false alarm in 1.7 million each)."""
    mean, variance, kurtosis = law.stats(moments="mvk")
    rounding = 1e-7 * mean
    mean_fits = abs(draws.mean() - mean) <= 5 * np.sqrt(variance / len(draws)) + rounding
    spread = variance * np.sqrt((kurtosis + 2) / len(draws))
    return bool(mean_fits and abs(draws.var() - variance) <= 5 * spread + 2 * rounding**2)


@pytest.mark.parametrize(
    ("n", "p"),
    [(1, 0.3), (10, 0.5), (30, 0.9), (100, 0.1), (19, 0.5), (20, 0.5), (21, 0.49), (100, 0.5)]
    + [(1000, 0.3), (10_000, 1e-3), (10_000, 0.7), (1_000_000, 0.2), (1_000_000, 1e-5)],
)
def test_binomial_in_law(n, p):
    """Chi-square over cells of probability 1/40 or more, and the two tails."""
    p = float(np.float32(p))
    draws = np.asarray(draw_binomial(noise.stream(noise.root(13), n), n, p))
    assert draws.dtype == np.int32 and draws.min() >= 0 and draws.max() <= n
    law = scipy.stats.binom(n, p)
    edges = np.unique(law.ppf(np.linspace(0, 1, 41)[1:-1]))
    cdf = np.concatenate([[0], law.cdf(edges), [1]])
    probabilities = np.diff(cdf)
    counts = np.bincount(np.searchsorted(edges, draws, side="left"), minlength=len(cdf) - 1)
    kept = probabilities * SIZE > 5
    rest = ~kept
    observed = np.append(counts[kept], counts[rest].sum())
    expected = np.append(probabilities[kept], probabilities[rest].sum()) * SIZE
    observed, expected = observed[expected > 0], expected[expected > 0]
    statistic = np.sum((observed - expected) ** 2 / expected)
    assert scipy.stats.chi2.sf(statistic, len(observed) - 1) > TOO_RARE


@pytest.mark.parametrize(("n", "p", "count"), [(0, 0.5, 0), (7, 0.0, 0), (7, 1.0, 7)])
def test_binomial_where_there_is_no_choice(n, p, count):
    assert np.all(draw_binomial(noise.root(0), n, p) == count)


def test_gamma_draws_are_uncorrelated_along_the_tape():
    draws = np.float64(draw_gamma(noise.root(14), 2.0))
    correlation = np.corrcoef(draws[:-1], draws[1:])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(SIZE)


@pytest.mark.parametrize("lanes", [3, 100])  # one rejected lane at a time, or all at once
def test_a_row_is_the_same_in_any_batch(lanes):
    tape = partial(samplers.beta_tape, shape=(lanes,))
    keys = jax.vmap(lambda i: noise.stream(noise.root(15), i))(jnp.arange(500))
    a, b = jnp.linspace(0.1, 3, lanes), jnp.linspace(2, 0.2, lanes)
    batch = jax.jit(jax.vmap(lambda key: samplers.beta(tape(key), a, b)))(keys)
    half = jax.jit(jax.vmap(lambda key: samplers.beta(tape(key), a, b)))(keys[250:266])
    assert np.array_equal(batch[250:266], half)


def test_few_and_many_lanes_have_the_same_law():
    """The two ways to redraw, on shapes that are rejected often."""
    few = jax.jit(
        jax.vmap(lambda key: samplers.gamma(samplers.gamma_tape(key, (10,)), jnp.full(10, 1.0)))
    )
    keys = jax.vmap(lambda i: noise.stream(noise.root(16), i))(jnp.arange(SIZE // 10))
    assert ks_pvalue(np.float64(few(keys)).ravel(), scipy.stats.gamma(1.0)) > TOO_RARE


def test_kept_constants_give_the_same_draws():
    tape = samplers.beta_tape(noise.root(17), (4, 6))
    a, b = jnp.linspace(0.5, 2, 6), jnp.linspace(3, 0.4, 6)
    both = jnp.broadcast_to(jnp.concatenate([a, b]), (4, 12))
    kept = samplers.beta_from(tape, samplers.gamma_shape(both))
    assert np.array_equal(samplers.beta(tape, a, b), kept)


def test_without_the_boost_a_tape_is_shorter_and_exact_above_one():
    tape = samplers.gamma_tape(noise.root(18), (SIZE,), below_one=False)
    assert tape.log_boost is None
    draws = np.float64(samplers.gamma(tape, jnp.float32(1.0)))
    assert ks_pvalue(draws, scipy.stats.gamma(1.0)) > TOO_RARE


@jax.jit
def draw_uniform_sum(key, counts):
    return samplers.uniform_sum(key, counts)


def irwin_hall(x, n):
    """P(sum of n uniforms <= x)."""
    terms = [
        (-1) ** k * math.comb(n, k) * np.maximum(x - k, 0) ** n / math.factorial(n)
        for k in range(n + 1)
    ]
    return np.sum(terms, axis=0)


@pytest.mark.parametrize("n", [1, 2, 5, 33, 250, 1024, 1025, 40_000])
def test_uniform_sum_in_law(n):
    draws = np.sort(np.float64(draw_uniform_sum(noise.stream(noise.root(14), n),
                                                jnp.full(SIZE, n, jnp.int32))))  # fmt: skip
    # From 33 terms on the law is normal to within 0.0276 / n (the next term of Edgeworth's series).
    law = irwin_hall(draws, n) if n < 30 else scipy.stats.norm(n / 2, np.sqrt(n / 12)).cdf(draws)
    slack = 0 if n < 30 else 0.0276 / n
    ranks = np.arange(SIZE + 1) / SIZE
    distance = max(np.max(law - ranks[:-1]), np.max(ranks[1:] - law)) - slack
    assert scipy.stats.kstwo.sf(max(distance, 0), SIZE) > TOO_RARE


def test_uniform_sums_of_slots_are_their_own():
    counts = jnp.tile(jnp.array([0, 3, 2000, 40], jnp.int32), (SIZE // 4, 1))
    sums = np.float64(draw_uniform_sum(noise.root(15), counts))
    assert np.all(sums[:, 0] == 0) and np.all((0 < sums[:, 1]) & (sums[:, 1] < 3))
    correlations = np.corrcoef(sums[:, 1:].T)[np.triu_indices(3, 1)]
    # A correlation of n independent pairs is normal with deviation 1 / sqrt(n).
    assert np.max(np.abs(correlations)) < 5.3 / np.sqrt(SIZE / 4)
