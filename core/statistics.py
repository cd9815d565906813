"""Estimates with confidence intervals, from arrays whose last axis is the seed.

Host side, float64, NumPy and SciPy only. Seeds are the independent units everywhere: whatever is
correlated within one seed (checkpoints of one run, learners that met the same draws) is first
reduced to one number a seed, so no interval assumes more independence than there is. Intervals are
two-sided with equal tails. NaN in the data gives NaN in the estimate, never an error.

The t intervals (`mean`, `paired_difference`, `ratio_of_means`, `growth_exponent`, `log_slope`) are
exact for normal values and approximate otherwise; few seeds of a very skewed quantity want
`quantile`, or `proportion` of an event, which are exact for any law.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Number = float | np.ndarray


class Estimate(NamedTuple):
    """A value and its confidence interval [low, high]: floats, or arrays of one shape for many.

    level: the confidence of the interval, e.g. 0.95; None when whoever made it did not say.
    """

    value: Number
    low: Number
    high: Number
    level: float | None = None

    def map(self, monotone: Callable[[Number], Number]) -> "Estimate":
        """The estimate of monotone(quantity), rising or falling: `.map(lambda x: x / bound)`."""
        ends = monotone(self.low), monotone(self.high)
        return _estimate(monotone(self.value), np.minimum(*ends), np.maximum(*ends), self.level)


def mean(
    values: ArrayLike,
    axis: int = -1,
    level: float = 0.95,
    method: Literal["t", "bootstrap"] = "t",
    *,
    resamples: int | None = None,
    rng_seed: int = 0,
) -> Estimate:
    """Mean over the seeds on `axis`; the other axes are kept, so [checkpoint, seed] gives a band.

    method="t": m +- t(n-1, (1 + level)/2) s / sqrt(n), s with n - 1 degrees (Student 1908).
    method="bootstrap": bias-corrected and accelerated (BCa) intervals, Efron 1987, "Better
    bootstrap confidence intervals", by scipy.stats.bootstrap. Fixed by `rng_seed` and the values of
    the row alone: neither the order of the seeds nor the other rows matter. `resamples` defaults to
    max(2000, 40 / (1 - level)), which leaves 20 resamples or more beyond either end.

    A band is pointwise: every checkpoint has its interval at `level`, not all of them at once. One
    seed gives an infinite interval; equal values give one of width zero, so count rare events with
    `proportion` instead.
    Raises ValueError for no seeds, a level outside (0, 1), an unknown method, too few resamples.
    """
    samples = _seeds_last(values, axis, "mean")
    _check_level(level)
    if method == "t":
        return _t_estimate(samples, level)
    if method != "bootstrap":
        raise ValueError(f"mean: unknown method {method!r}; choose 't' or 'bootstrap'")
    least = int(np.ceil(40 / (1 - level)))
    if resamples is None:
        resamples = max(2000, least)
    elif resamples < least:
        raise ValueError(
            f"mean: {resamples} bootstrap resamples are too few for the tails of an interval at "
            f"level {level:.6g}; give resamples={least} or more, or leave it out"
        )
    rows = samples.reshape(-1, samples.shape[-1])
    ends = np.array([_bca(row, level, resamples, rng_seed) for row in rows]).reshape(-1, 2)
    centre, _ = _centre_and_spread(samples)
    low, high = (end.reshape(centre.shape) for end in ends.T)
    return _estimate(centre, low, high, level)


def proportion(successes: ArrayLike, trials: ArrayLike, level: float = 0.95) -> Estimate:
    """Probability of an event seen `successes` times in `trials` independent trials.

    Both are whole numbers, or arrays of them of any shapes that broadcast.
    Exact interval of Clopper & Pearson 1934: the quantiles (1 - level)/2 of Beta(k, n - k + 1) and
    (1 + level)/2 of Beta(k + 1, n - k), with 0 below k = 0 and 1 above k = n. No trials: [0, 1]
    around a value of NaN.
    Raises ValueError for counts that are negative or not whole, or more successes than trials.
    """
    from scipy.special import betaincinv

    _check_level(level)
    count, total = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (successes, trials)))
    whole = (count == np.floor(count)) & (total == np.floor(total))
    if not np.all(whole & (count >= 0) & (count <= total)):
        raise ValueError(
            f"proportion: need whole numbers 0 <= successes <= trials, got successes={successes} "
            f"and trials={trials}; give counts, not rates"
        )
    tail = (1 - level) / 2
    # The maxima only keep the unused branch of the two ends inside the domain of the inverse.
    failures = total - count
    low = np.where(count > 0, betaincinv(np.maximum(count, 0.5), failures + 1, tail), 0.0)
    high = np.where(failures > 0, betaincinv(count + 1, np.maximum(failures, 0.5), 1 - tail), 1.0)
    value = np.divide(count, total, out=np.full(count.shape, np.nan), where=total > 0)
    return _estimate(value, low, high, level)


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of a - b, seed by seed; a and b are [..., seed] over the same seeds in the same order.

    The t interval of the differences. Under common random numbers the draws that a and b share
    cancel, which makes this far narrower than the difference of two separate means. Raises
    ValueError where the shapes differ.
    """
    first, second = _paired(a, b, "paired_difference")
    _check_level(level)
    return _t_estimate(first - second, level)


def ratio_of_means(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Estimate:
    """mean(a) / mean(b), paired; a and b are [..., seed] over the same seeds in the same order.

    Fieller 1954: the ratios r for which the t interval of mean(a - r b) contains 0. Exact for
    normal values, and equal to the delta method where mean(b) is well away from 0. Where it is not
    (the t interval of mean(b) contains 0) no bounded interval has the coverage, and the whole line
    is returned.
    Raises ValueError where the shapes differ or a mean of b is 0.
    """
    top, bottom = _paired(a, b, "ratio_of_means")
    _check_level(level)
    (mean_a, _), (mean_b, spread_b) = _centre_and_spread(top), _centre_and_spread(bottom)
    if np.any(mean_b == 0):
        raise ValueError(
            "ratio_of_means: the mean of the denominator b is 0, so the ratio has no value; "
            "use paired_difference"
        )
    seeds = top.shape[-1]
    with np.errstate(invalid="ignore", over="ignore"):
        value = mean_a / mean_b
        if seeds == 1:
            return _estimate(value, *_unbounded(value), level)
        # The set {r: mean(a - r b)^2 <= k var(a - r b)} in terms of d = r - value, x = a - value b:
        # (mean(b)^2 - k var(b)) d^2 + 2 k cov(x, b) d - k var(x) <= 0. As x has mean 0, no digits
        # are lost where a and b are nearly proportional.
        k = _t_quantile(seeds, level) ** 2 / seeds
        rest, base = top - value[..., None] * bottom, bottom - mean_b[..., None]
        rest = rest - rest.mean(-1, keepdims=True)
        cross = k * (rest * base).sum(-1) / (seeds - 1)
        lead, own = mean_b**2 - k * spread_b**2, k * (rest**2).sum(-1) / (seeds - 1)
        bounded = lead > 0
        safe = np.where(bounded, lead, 1.0)
        root = np.sqrt(np.maximum(cross**2 + safe * own, 0.0))
        low, high = value - (root + cross) / safe, value + (root - cross) / safe
    everything = _unbounded(value)
    low, high = np.where(bounded, low, everything[0]), np.where(bounded, high, everything[1])
    return _estimate(value, np.minimum(low, value), np.maximum(high, value), level)


def quantile(values: ArrayLike, q: float, level: float = 0.95) -> Estimate:
    """The q-quantile over seeds of values [..., seed]; its interval holds for any distribution.

    value: the order statistic of rank ceil(n q). Interval: the order statistics of ranks l and u, l
    the largest with P(Bin(n, q) < l) <= (1 - level)/2 and u the smallest with P(Bin(n, q) >= u) <=
    (1 - level)/2; infinite on a side where n is too small for such a rank (Thompson 1936; Conover
    1999, section 3.2). Raises ValueError for q outside (0, 1) or no seeds.
    """
    from scipy.special import bdtr, bdtrc

    samples = np.sort(_seeds_last(values, -1, "quantile"), axis=-1)
    _check_level(level)
    if not 0 < q < 1:
        raise ValueError(
            f"quantile: q must lie strictly between 0 and 1, got {q}; no interval of finite length "
            "exists for the extremes"
        )
    seeds, tail = samples.shape[-1], (1 - level) / 2
    ranks = np.arange(1, seeds + 1)
    lower = int(np.sum(bdtr(ranks - 1, seeds, q) <= tail))  # monotone, so the count is the rank l
    upper = seeds + 1 - int(np.sum(bdtrc(ranks - 1, seeds, q) <= tail))
    # 1e-9: ceil must not jump a rank because q * n is a rounding error above a whole number.
    value = samples[..., max(1, int(np.ceil(seeds * q - 1e-9))) - 1]
    low = samples[..., lower - 1] if lower >= 1 else np.full_like(value, -np.inf)
    high = samples[..., upper - 1] if upper <= seeds else np.full_like(value, np.inf)
    broken = np.isnan(samples).any(-1)
    value, low, high = (np.where(broken, np.nan, part) for part in (value, low, high))
    return _estimate(value, low, high, level)


def growth_exponent(
    horizons: ArrayLike,
    values: ArrayLike,
    level: float = 0.95,
    *,
    divide_by: ArrayLike | None = None,
) -> Estimate:
    """The exponent p of mean(values) ~ c T^p: least-squares slope of log(mean over seeds) on log T.

    horizons [horizon], values [horizon, seed]: the same seeds in every row. divide_by [horizon]:
    known factors to take out first, e.g. np.sqrt(np.log(horizons)), so that what is left should be
    a pure power.

    With weights w_h (slope = sum_h w_h y_h) the delta method gives seed s the influence
    sum_h w_h (v_hs - m_h) / m_h, and the interval is slope +- t(n-1) sd(influence) / sqrt(n).
    Summing over horizons BEFORE the variance over seeds accounts for any correlation between the
    rows of one seed. What is covered is the slope that infinitely many seeds would give at THESE
    horizons: the asymptotic exponent only as far as the horizons are large enough.
    Raises ValueError for fewer than two horizons, repeated or non-positive ones, shapes that do not
    match, a mean that is not positive.
    """
    log_horizons, samples = _growth_inputs(horizons, values, "growth_exponent", "horizon")
    _check_level(level)
    means, _ = _centre_and_spread(samples)
    if np.isnan(means).any():
        return Estimate(np.nan, np.nan, np.nan, level)
    if not np.all(means > 0):
        raise ValueError(
            f"growth_exponent: the means must be positive to have a logarithm, got {_brief(means)};"
            " drop the horizons where they are not, or use log_slope"
        )
    factors = np.ones_like(means) if divide_by is None else np.asarray(divide_by, np.float64)
    if factors.shape != means.shape or not np.all(factors > 0):
        raise ValueError(
            f"growth_exponent: divide_by must hold one positive number for each horizon "
            f"({len(means)}), got {_brief(factors)}"
        )
    weights = _slope_weights(log_horizons)
    slope = np.asarray(weights @ np.log(means / factors))
    influence = (weights / means) @ (samples - means[:, None])
    return _t_around(slope, influence, level)


def log_slope(checkpoints: ArrayLike, values: ArrayLike, level: float = 0.95) -> Estimate:
    """The constant a of mean(values) ~ a ln T + b: least-squares slope on the logarithm of T.

    checkpoints [checkpoint], values [checkpoint, seed]. One slope a seed, then the t interval of
    their mean: exact whatever the correlation between the checkpoints of a run. Raises ValueError
    as growth_exponent does, but any sign of values will do.
    """
    log_rounds, samples = _growth_inputs(checkpoints, values, "log_slope", "checkpoint")
    _check_level(level)
    return _t_estimate(_slope_weights(log_rounds) @ samples, level)


def split_level(level: float, parts: int) -> float:
    """1 - (1 - level)/parts: `parts` intervals at it all hold at once with probability `level`.

    The union bound of Bonferroni 1936. Raises ValueError for parts < 1.
    """
    _check_level(level)
    if parts < 1:
        raise ValueError(f"split_level: parts must be at least 1, got {parts}")
    return 1 - (1 - level) / parts


def largest(estimates: Sequence[Estimate]) -> Estimate:
    """The largest of several quantities, e.g. the worst regret over gaps: the max of each part.

    Where every interval covers its quantity, (max low, max high) covers their maximum, so its level
    is 1 - sum(1 - level_i); make the parts at `split_level(level, len(estimates))`. No winner is
    chosen first, so there is no selection bias in the interval.
    """
    return _extreme(estimates, np.max, "largest")


def smallest(estimates: Sequence[Estimate]) -> Estimate:
    """The smallest of several quantities, e.g. the best learner; otherwise as `largest`."""
    return _extreme(estimates, np.min, "smallest")


def _extreme(estimates: Sequence[Estimate], choose: Callable[..., Number], name: str) -> Estimate:
    if not estimates:
        raise ValueError(f"{name}: no estimates given; give at least one")
    levels = [estimate.level for estimate in estimates]
    known = [part for part in levels if part is not None]
    level = 1 - sum(1 - part for part in known) if len(known) == len(levels) else None
    value, low, high = (
        choose(np.array([estimate[part] for estimate in estimates]), axis=0) for part in range(3)
    )
    return _estimate(value, low, high, level)


def _t_estimate(samples: np.ndarray, level: float) -> Estimate:
    return _t_around(_centre_and_spread(samples)[0], samples, level)


def _t_around(value: np.ndarray, influence: np.ndarray, level: float) -> Estimate:
    """value +- t sd(influence) / sqrt(seeds); the mean of influence [..., seed] does not matter."""
    seeds = influence.shape[-1]
    if seeds == 1:
        return _estimate(value, *_unbounded(value), level)
    _, spread = _centre_and_spread(influence)
    with np.errstate(invalid="ignore"):
        half = _t_quantile(seeds, level) * spread / np.sqrt(seeds)
        return _estimate(value, value - half, value + half, level)


def _centre_and_spread(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the last axis; exactly (x, 0) where all values equal x."""
    with np.errstate(invalid="ignore", over="ignore"):
        equal = samples.max(-1) == samples.min(-1)
        centre = np.where(equal, samples[..., 0], samples.mean(-1))
        if samples.shape[-1] == 1:
            return centre, np.full_like(centre, np.inf)
        return centre, np.where(equal, 0.0, samples.std(-1, ddof=1))


def _unbounded(value: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(-inf, inf) for every value, NaN where the value is NaN."""
    return np.where(np.isnan(value), np.nan, -np.inf), np.where(np.isnan(value), np.nan, np.inf)


def _t_quantile(seeds: int, level: float) -> float:
    from scipy.special import stdtrit

    return -float(stdtrit(seeds - 1, (1 - level) / 2))  # the lower tail keeps its digits near 1


def _bca(row: np.ndarray, level: float, resamples: int, rng_seed: int) -> tuple[float, float]:
    if not np.isfinite(row).all():
        return np.nan, np.nan
    if len(row) == 1:
        return -np.inf, np.inf
    if row.max() == row.min():
        return row[0], row[0]
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.sort(row),),
        np.mean,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // len(row)),  # at most 16 MB of resampled values at a time
        vectorized=True,
        confidence_level=level,
        method="BCa",
        rng=np.random.default_rng(rng_seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _growth_inputs(
    points: ArrayLike, values: ArrayLike, name: str, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    at, samples = np.asarray(points, np.float64), _seeds_last(values, -1, name)
    if at.ndim != 1 or samples.ndim != 2 or samples.shape[0] != at.shape[0]:
        raise ValueError(
            f"{name}: values has shape {samples.shape} and {kind}s {at.shape}; "
            f"give values as [{kind}, seed] with one row for each of the {kind}s"
        )
    if len(at) < 2 or len(np.unique(at)) < len(at) or not np.all(at > 0) or np.isinf(at).any():
        raise ValueError(
            f"{name}: a slope needs two or more different, positive, finite {kind}s, "
            f"got {_brief(at)}"
        )
    return np.log(at), samples


def _slope_weights(x: np.ndarray) -> np.ndarray:
    """w with w @ y the least-squares slope of y on x."""
    centred = x - x.mean()
    return centred / (centred @ centred)


def _paired(a: ArrayLike, b: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    first, second = _seeds_last(a, -1, name), _seeds_last(b, -1, name)
    if first.shape != second.shape:
        raise ValueError(
            f"{name}: a has shape {first.shape} and b {second.shape}; "
            "give both over the same seeds, [..., seed]"
        )
    return first, second


def _seeds_last(values: ArrayLike, axis: int, name: str) -> np.ndarray:
    samples = np.asarray(values, np.float64)
    if samples.ndim == 0 or samples.size == 0:
        raise ValueError(
            f"{name}: values has shape {samples.shape}; give an array with at least one seed"
        )
    return np.moveaxis(samples, axis, -1)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(
            f"the level of confidence must lie strictly between 0 and 1, got {level}; "
            "for 95 % give 0.95"
        )


def _brief(values: np.ndarray) -> str:
    return np.array2string(values, precision=4, threshold=8)


def _estimate(value: Number, low: Number, high: Number, level: float | None) -> Estimate:
    """An Estimate whose parts are plain floats where there is one of each."""
    parts = [np.asarray(part, np.float64) for part in (value, low, high)]
    first, second, third = (float(part) if part.ndim == 0 else part for part in parts)
    return Estimate(first, second, third, level)
