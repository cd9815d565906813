"""core/statistics.py against closed forms, SciPy and statsmodels; properties of its intervals."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.stats as sps
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core import statistics as rs

LEVELS = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.9997])
SAMPLES = hnp.arrays(
    np.float64, st.integers(2, 30), elements=st.floats(-1e6, 1e6, allow_subnormal=False, width=32)
)
RNG = np.random.default_rng(20190415)


def near(estimate, other, rel=1e-9, scale=0.0):
    np.testing.assert_allclose(estimate[:3], other[:3], rtol=rel, atol=rel * scale)


# --- mean ------------------------------------------------------------------------------------


def test_mean_is_the_t_interval_of_scipy():
    x = RNG.gamma(0.5, size=37)
    for level in (0.8, 0.95, 1 - 3e-4, 1 - 1e-9):
        expected = sps.ttest_1samp(x, 0).confidence_interval(level)
        # SciPy goes through (1 + level)/2, which has lost digits at the last level.
        near(rs.mean(x, level=level), (x.mean(), expected.low, expected.high), rel=1e-8)


def test_mean_by_hand():
    # 1, 2, 3: mean 2, s = 1, t(2, 0.975) = 4.302653
    half = 4.302652729911275 / np.sqrt(3)
    estimate = rs.mean([1, 2, 3])
    near(estimate, (2, 2 - half, 2 + half))
    assert estimate.level == 0.95
    assert all(type(part) is float for part in estimate)


def test_mean_of_an_array_is_the_mean_of_each_row_whatever_the_axis():
    x = RNG.normal(size=(3, 4, 11))
    band = rs.mean(x)
    assert np.shape(band.value) == np.shape(band.low) == np.shape(band.high) == (3, 4)
    near(rs.mean(np.moveaxis(x, -1, 0), axis=0), band, rel=1e-12)
    for i in range(3):
        near(rs.mean(x[i, 2]), [part[i, 2] for part in band[:3]], rel=1e-12)


def test_mean_in_float64_of_float32_values():
    x = np.full(1_000_000, 0.1, np.float32)
    x[0] = 0.2
    assert rs.mean(x).value == pytest.approx(x.astype(np.float64).mean(), rel=1e-14)


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_degenerate_means(method):
    assert rs.mean([3.0], method=method) == (3.0, -np.inf, np.inf, 0.95)
    assert rs.mean(np.full(1000, 0.1), method=method) == (0.1, 0.1, 0.1, 0.95)
    value, low, high, _ = rs.mean([[1.0, np.nan, 2.0], [1.0, 1.0, 1.0]], method=method)
    assert np.isnan([value[0], low[0], high[0]]).all() and (value[1], low[1], high[1]) == (1, 1, 1)
    assert np.isnan(rs.mean([np.nan], method=method)[:3]).all()
    assert np.isnan(rs.mean([np.inf, 1.0, 2.0], method=method)[1:3]).all()


def test_bootstrap_is_scipys_bca_of_each_row():
    x = RNG.exponential(size=(2, 25))
    band = rs.mean(x, method="bootstrap", rng_seed=3)
    for row in range(2):
        own = sps.bootstrap(
            (np.sort(x[row]),), np.mean, n_resamples=2000, rng=np.random.default_rng(3)
        ).confidence_interval
        near([part[row] for part in band[:3]], (x[row].mean(), own.low, own.high))
    # The interval of skewed values is skewed the same way; t intervals never are.
    assert np.all(band.high - band.value > band.value - band.low)


def test_bootstrap_asks_for_enough_resamples():
    with pytest.raises(ValueError, match="give resamples=40000 or more"):
        rs.mean([1.0, 2.0], level=0.999, method="bootstrap", resamples=9999)


@settings(max_examples=20, deadline=None)
@given(SAMPLES, st.randoms(use_true_random=False))
def test_bootstrap_does_not_depend_on_the_order_of_seeds(x, random):
    order = random.sample(range(len(x)), len(x))
    near(
        rs.mean(x, level=0.5, method="bootstrap"),
        rs.mean(x[order], level=0.5, method="bootstrap"),
        scale=np.abs(x).max(),
    )


# --- proportion ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.9, 0.95, 0.9997])
def test_proportion_is_clopper_pearson(level):
    proportion_confint = pytest.importorskip("statsmodels.stats.proportion").proportion_confint
    k, n = np.meshgrid(np.arange(0, 8), np.array([7, 20, 1000]))
    ours = rs.proportion(k, n, level)
    for i, j in np.ndindex(k.shape):
        low, high = proportion_confint(k[i, j], n[i, j], 1 - level, method="beta")
        near([part[i, j] for part in ours[:3]], (k[i, j] / n[i, j], low, high), rel=1e-6)
        own = sps.binomtest(int(k[i, j]), int(n[i, j])).proportion_ci(level)
        near([part[i, j] for part in ours[:3]], (k[i, j] / n[i, j], *own), rel=1e-6)


def test_proportion_in_closed_form_at_the_ends():
    # No success in n: the upper end solves (1 - p)^n = tail. All: the mirror image.
    for n in (1, 50, 10**7):
        for level in (0.9, 0.9997):
            end = -np.expm1(np.log((1 - level) / 2) / n)
            near(rs.proportion(0, n, level), (0, 0, end), rel=1e-12)
            near(rs.proportion(n, n, level), (1, 1 - end, 1), rel=1e-12)
            # One success: the lower end solves 1 - (1 - p)^n = tail.
            low = -np.expm1(np.log1p(-(1 - level) / 2) / n)
            assert rs.proportion(1, n, level).low == pytest.approx(low, rel=1e-12)
    value, low, high, _ = rs.proportion(0, 0)
    assert np.isnan(value) and (low, high) == (0, 1)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 60) | st.sampled_from([10**4, 10**7]), LEVELS)
def test_proportion_properties(k, n, level):
    k = min(k, n)
    value, low, high, _ = rs.proportion(k, n, level)
    assert 0 <= low <= value <= high <= 1
    mirror = rs.proportion(n - k, n, level)
    np.testing.assert_allclose((1 - mirror.high, 1 - mirror.low), (low, high), atol=1e-12)
    # At the ends of the interval exactly `tail` of the probability lies beyond what was seen.
    if k > 0:
        assert sps.binom.sf(k - 1, n, low) == pytest.approx((1 - level) / 2, rel=1e-6)
    if k < n:
        assert sps.binom.cdf(k, n, high) == pytest.approx((1 - level) / 2, rel=1e-6)


# --- paired statistics -----------------------------------------------------------------------


def test_paired_difference_is_scipys_paired_t_interval():
    shared = RNG.normal(size=40)
    a, b = shared + RNG.normal(size=40) / 10, shared
    expected = sps.ttest_rel(a, b).confidence_interval(0.9)
    estimate = rs.paired_difference(a, b, 0.9)
    near(estimate, (np.mean(a - b), expected.low, expected.high))
    unpaired = sps.ttest_ind(a, b).confidence_interval(0.9)
    assert estimate.high - estimate.low < 0.2 * (unpaired.high - unpaired.low)


def test_ratio_ends_are_where_the_t_interval_of_a_minus_rb_touches_zero():
    a, b = RNG.gamma(2, size=15), RNG.gamma(3, size=15) + 1
    estimate = rs.ratio_of_means(a, b, 0.9)
    assert estimate.value == pytest.approx(a.mean() / b.mean())
    assert rs.mean(a - estimate.low * b, level=0.9).low == pytest.approx(0, abs=1e-12)
    assert rs.mean(a - estimate.high * b, level=0.9).high == pytest.approx(0, abs=1e-12)


def test_ratio_special_cases():
    b = RNG.gamma(5, size=20)
    near(rs.ratio_of_means(3 * b, b), (3, 3, 3), rel=1e-12)
    a = RNG.normal(size=20)
    near(rs.ratio_of_means(a, np.full(20, 4.0)), np.divide(rs.mean(a)[:3], 4), rel=1e-12)
    unclear = RNG.normal(size=20)
    assert rs.ratio_of_means(b, unclear)[1:3] == (-np.inf, np.inf)
    assert rs.ratio_of_means([2.0], [4.0])[:3] == (0.5, -np.inf, np.inf)
    assert np.isnan(rs.ratio_of_means([np.nan, 1.0], [1.0, 2.0])[:3]).all()
    with pytest.raises(ValueError, match="denominator b is 0"):
        rs.ratio_of_means([1, 2], [-1, 1])


def test_ratio_of_arrays_is_the_ratio_of_rows():
    a, b = RNG.gamma(2, size=(4, 9)), RNG.gamma(3, size=(4, 9))
    b[1] -= b[1].mean() - 0.01  # an unbounded row among bounded ones
    both = rs.ratio_of_means(a, b)
    for row in range(4):
        near(rs.ratio_of_means(a[row], b[row]), [part[row] for part in both[:3]])
    assert np.isinf(both.low).tolist() == [False, True, False, False]


# --- quantile --------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("size", [1, 6, 25, 400])
def test_quantile_interval_by_the_binomial_law(q, size):
    ranks = np.arange(1.0, size + 1)  # the values are their own ranks
    value, low, high, _ = rs.quantile(RNG.permutation(ranks), q, 0.9)
    assert value == np.quantile(ranks, q, method="inverted_cdf")
    tail = (1 - 0.9) / 2
    seen = sps.binom(size, q)
    if np.isfinite(low):
        assert seen.cdf(low - 1) <= tail < seen.cdf(low)
    else:
        assert seen.cdf(0) > tail
    if np.isfinite(high):
        assert seen.sf(high - 1) <= tail < seen.sf(high - 2)
    else:
        assert seen.sf(size - 1) > tail


def test_quantile_known_interval_and_rows():
    # The median of 10 values at 95 %: the classic ranks 2 and 9 (actual level 97.9 %).
    x = np.stack([np.arange(1.0, 11), np.full(10, 3.0), np.r_[np.nan, np.ones(9)]])
    value, low, high, _ = rs.quantile(x, 0.5)
    np.testing.assert_array_equal(value, [5, 3, np.nan])
    np.testing.assert_array_equal(low, [2, 3, np.nan])
    np.testing.assert_array_equal(high, [9, 3, np.nan])


# --- growth ----------------------------------------------------------------------------------


def test_growth_of_a_pure_power_is_exact():
    horizons = np.array([10, 100, 1000, 5000])
    rows = 7 * horizons[:, None] ** 0.6 * np.ones(5)
    near(rs.growth_exponent(horizons, rows), (0.6, 0.6, 0.6), rel=1e-12)
    with_log = rows * np.sqrt(np.log(horizons))[:, None]
    factor = np.sqrt(np.log(horizons))
    near(rs.growth_exponent(horizons, with_log, divide_by=factor), (0.6, 0.6, 0.6), rel=1e-12)


def test_growth_matches_polyfit_and_its_jackknife():
    horizons = np.array([100, 300, 1000, 3000])
    values = horizons[:, None] ** 0.5 * RNG.gamma(4, size=(4, 400)) * RNG.gamma(4, size=400)
    estimate = rs.growth_exponent(horizons, values)

    def slope(v):
        return np.polyfit(np.log(horizons), np.log(v.mean(1)), 1)[0]

    assert estimate.value == pytest.approx(slope(values), rel=1e-10)
    left_out = np.array([slope(np.delete(values, s, axis=1)) for s in range(400)])
    jackknife = np.sqrt(399 / 400 * np.sum((left_out - left_out.mean()) ** 2))
    half = (estimate.high - estimate.low) / 2
    assert half == pytest.approx(sps.t.ppf(0.975, 399) * jackknife, rel=0.02)


def test_what_a_seed_has_in_common_at_all_horizons_cancels_in_the_exponent():
    horizons = np.array([10, 100, 1000])
    values = np.outer(horizons**0.5, RNG.gamma(2, size=50))
    estimate = rs.growth_exponent(horizons, values)
    near(estimate, (0.5, 0.5, 0.5), rel=1e-12)


def test_log_slope_is_the_t_interval_of_the_slopes_of_the_seeds():
    rounds = np.array([1, 10, 50, 2000])
    values = 3 * np.log(rounds)[:, None] + RNG.normal(size=(4, 12)).cumsum(0) - 20
    slopes = [np.polyfit(np.log(rounds), values[:, s], 1)[0] for s in range(12)]
    near(rs.log_slope(rounds, values, 0.9), rs.mean(slopes, level=0.9))


def test_growth_with_one_seed_or_nan():
    near(rs.growth_exponent([1, 10], [[1.0], [10.0]]), (1, -np.inf, np.inf), rel=1e-12)
    assert np.isnan(rs.growth_exponent([1, 10], [[1.0, np.nan], [2, 3]])[:3]).all()
    assert np.isnan(rs.log_slope([1, 10], [[1.0, np.nan], [2, 3]])[:3]).all()


@pytest.mark.parametrize("fit", [rs.growth_exponent, rs.log_slope])
@pytest.mark.parametrize(
    "points, values, text",
    [
        ([10], [[1.0, 2.0]], "two or more different"),
        ([10, 10], [[1.0, 2.0]] * 2, "two or more different"),
        ([0, 10], [[1.0, 2.0]] * 2, "positive"),
        ([10, np.nan], [[1.0, 2.0]] * 2, "positive"),
        ([10, 20, 30], [[1.0, 2.0]] * 2, r"shape \(2, 2\).*one row for each"),
        ([10, 20], [1.0, 2.0], "seed"),
    ],
)
def test_growth_errors_say_what_was_given(fit, points, values, text):
    with pytest.raises(ValueError, match=text):
        fit(points, values)


def test_growth_exponent_needs_positive_means_and_factors():
    with pytest.raises(ValueError, match="means must be positive.*use log_slope"):
        rs.growth_exponent([1, 10], [[0.0, 0.0], [1.0, 2.0]])
    for factor in ([1.0], [1.0, 0.0], 2.0):
        with pytest.raises(ValueError, match="divide_by must hold one positive number"):
            rs.growth_exponent([1, 10], [[1.0, 2.0]] * 2, divide_by=factor)


# --- several at once -------------------------------------------------------------------------


def test_largest_and_smallest():
    parts = [rs.Estimate(1.0, 0.5, 4.0, 0.98), rs.Estimate(2.0, 1.5, 2.5, 0.99)]
    assert rs.largest(parts)[:3] == (2.0, 1.5, 4.0)
    assert rs.smallest(parts)[:3] == (1.0, 0.5, 2.5)
    assert rs.largest(parts).level == pytest.approx(0.97)
    assert rs.largest([parts[0]._replace(level=None), parts[1]]).level is None
    assert rs.split_level(0.95, 5) == pytest.approx(0.99)
    with pytest.raises(ValueError, match="at least one"):
        rs.largest([])
    with pytest.raises(ValueError, match="parts"):
        rs.split_level(0.95, 0)


def test_map_keeps_the_ends_in_order():
    estimate = rs.Estimate(2.0, 1.0, 4.0, 0.9)
    assert estimate.map(lambda x: x / 2) == (1.0, 0.5, 2.0, 0.9)
    assert estimate.map(lambda x: 1 / x) == (0.5, 0.25, 1.0, 0.9)


# --- properties of every interval ------------------------------------------------------------


INTERVALS = {
    "mean": lambda x, level: rs.mean(x, level=level),
    "difference": lambda x, level: rs.paired_difference(x, x[::-1] / 2, level),
    "ratio": lambda x, level: rs.ratio_of_means(x, np.abs(x) + 1, level),
    "quantile": lambda x, level: rs.quantile(x, 0.3, level),
    "exponent": lambda x, level: rs.growth_exponent(
        [2, 7, 90], np.abs([x, x + 5, 3 * x]) + 1, level
    ),
    "log slope": lambda x, level: rs.log_slope([2, 7, 90], [x, -x, 3 * x], level),
}


@pytest.mark.parametrize("name", INTERVALS)
@settings(max_examples=40, deadline=None)
@given(x=SAMPLES, random=st.randoms(use_true_random=False))
def test_intervals_contain_the_value_and_nest_and_ignore_order(name, x, random):
    interval = INTERVALS[name]
    narrow, wide = interval(x, 0.8), interval(x, 0.99)
    assert wide.low <= narrow.low <= narrow.value <= narrow.high <= wide.high
    if name != "difference":  # pairing by position is what order means there
        shuffled = interval(x[random.sample(range(len(x)), len(x))], 0.8)
        near(shuffled, narrow, rel=1e-7, scale=1 + np.abs(x).max())


@settings(max_examples=40, deadline=None)
@given(x=SAMPLES, factor=st.sampled_from([0.25, 1.0, 1024.0, -2.0]), shift=st.integers(-8, 8))
def test_means_differences_and_slopes_are_equivariant(x, factor, shift):
    size = 1 + np.abs(x).max()
    for name in ("mean", "difference", "log slope"):
        near(
            INTERVALS[name](factor * x, 0.9),
            INTERVALS[name](x, 0.9).map(lambda y: factor * y),
            scale=abs(factor) * size * 10,
        )
    moved, plain = rs.mean(x + shift, level=0.9), rs.mean(x, level=0.9)
    near(moved, plain.map(lambda y: y + shift), rel=1e-7, scale=size)
    if factor > 0:
        near(rs.quantile(factor * x, 0.3), rs.quantile(x, 0.3).map(lambda y: factor * y))
        rows = np.abs([x, x + 5, 3 * x]) + 1
        near(
            rs.growth_exponent([2, 7, 90], factor * rows),
            rs.growth_exponent([2, 7, 90], rows),
            scale=1,
        )


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: rs.mean([1, 2], level=95), "level of confidence.*got 95; for 95 % give 0.95"),
        (lambda: rs.mean([1, 2], level=1.0), "level of confidence"),
        (lambda: rs.mean([]), "at least one seed"),
        (lambda: rs.mean(3.0), "at least one seed"),
        (lambda: rs.mean([1, 2], method="normal"), "choose 't' or 'bootstrap'"),
        (lambda: rs.proportion(3, 2), "successes=3 and trials=2"),
        (lambda: rs.proportion(0.5, 2), "counts, not rates"),
        (lambda: rs.proportion(-1, 2), "successes"),
        (lambda: rs.paired_difference([1, 2], [1, 2, 3]), r"\(2,\) and b \(3,\)"),
        (lambda: rs.ratio_of_means([1, 2], [[1, 2]]), "same seeds"),
        (lambda: rs.quantile([1, 2], 1.0), "strictly between 0 and 1, got 1.0"),
    ],
)
def test_errors_say_what_to_do(call, text):
    with pytest.raises(ValueError, match=text):
        call()
