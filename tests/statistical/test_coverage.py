"""How often the intervals of core/statistics.py cover, and how often claims are judged wrongly.

Every simulation has a fixed seed, and its threshold comes from the number of its replications: the
binomial tail beyond it has probability below FALSE_ALARM when the stated level is the true one.
Where the level is exact both tails are tested, so an interval that is too wide fails as well.
"""

import math

import numpy as np
import pytest
import scipy.stats as sps

from regrax.core import claims as rc
from regrax.core import statistics as rs
from regrax.core.claims import Verdict

FALSE_ALARM = 1e-7


def most(replications, probability):
    """The most misses that `probability` explains."""
    return sps.binom.isf(FALSE_ALARM, replications, probability)


def least(replications, probability):
    return sps.binom.ppf(FALSE_ALARM, replications, probability)


def misses(estimate, truth):
    return int(np.sum((estimate.low > truth) | (estimate.high < truth)))


def assert_exact(missed, replications, probability):
    assert least(replications, probability) <= missed <= most(replications, probability)


# --- intervals that are exact ----------------------------------------------------------------


@pytest.mark.parametrize("level, num_seeds", [(0.9, 2), (0.9, 7), (0.99, 30)])
def test_mean_of_normal_values(level, num_seeds):
    x = np.random.default_rng(1).normal(3, 2, (20_000, num_seeds))
    assert_exact(misses(rs.mean(x, level=level), 3), 20_000, 1 - level)


def test_paired_difference_with_common_random_numbers():
    rng = np.random.default_rng(2)
    shared = rng.normal(size=(20_000, 10))
    a, b = 5 + shared + 0.1 * rng.normal(size=shared.shape), 4 + shared
    estimate = rs.paired_difference(a, b, 0.9)
    assert_exact(misses(estimate, 1), 20_000, 0.1)
    assert np.mean(estimate.high - estimate.low) < 0.2  # separate means would need 1.6


def test_ratio_of_correlated_normal_means():
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(20_000, 8))
    a, b = 2 + shared + rng.normal(size=shared.shape), 1 + shared
    estimate = rs.ratio_of_means(a, b, 0.9)  # b is often not clearly positive
    assert np.isinf(estimate.low).mean() > 0.1
    # Where Fieller's set is unbounded the whole line stands for it, which covers more.
    assert misses(estimate, 2) <= most(20_000, 0.1)
    estimate = rs.ratio_of_means(a + 18, b + 9, 0.9)
    assert_exact(misses(estimate, 2), 20_000, 0.1)


def test_log_slope_of_random_walks():
    rng, rounds = np.random.default_rng(4), np.array([10, 30, 100, 300, 1000])
    walks = 7 * np.log(rounds)[:, None] + rng.normal(size=(2000, 5, 6)).cumsum(1)
    missed = sum(misses(rs.log_slope(rounds, walk, 0.9), 7) for walk in walks)
    assert_exact(missed, 2000, 0.1)


@pytest.mark.parametrize("q, num_seeds", [(0.5, 11), (0.9, 80)])
def test_quantile_of_a_skewed_law(q, num_seeds):
    x = np.random.default_rng(5).exponential(size=(20_000, num_seeds)) ** 3
    ranks = rs.quantile(np.arange(1.0, num_seeds + 1), q, 0.9)
    below = sps.binom(num_seeds, q)  # values below the true quantile
    miss = below.cdf(ranks.low - 1) + below.sf(ranks.high - 1)
    assert 0.02 < miss <= 0.1
    assert_exact(misses(rs.quantile(x, q, 0.9), sps.expon.ppf(q) ** 3), 20_000, miss)


@pytest.mark.parametrize("trials", [1, 10, 60])
def test_proportion_covers_at_every_probability(trials):
    """Not simulated: coverage at p is a sum of binomial probabilities, never below the level."""
    counts, p = np.arange(trials + 1), np.linspace(0, 1, 401)[:, None]
    estimate = rs.proportion(counts, trials, 0.9)
    covered = (estimate.low <= p) & (p <= estimate.high)
    assert np.min(np.sum(covered * sps.binom.pmf(counts, trials, p), axis=1)) >= 0.9 - 1e-12


# --- intervals that are exact in the limit ---------------------------------------------------


def test_mean_of_skewed_values_with_many_seeds():
    x = np.random.default_rng(6).gamma(0.5, size=(5000, 400))
    assert misses(rs.mean(x, level=0.95), 0.5) <= most(5000, 0.05)


def test_bootstrap_mean_of_skewed_values():
    x = np.random.default_rng(7).exponential(size=(300, 60))
    assert misses(rs.mean(x, level=0.9, method="bootstrap"), 1) <= most(300, 0.1)


@pytest.mark.parametrize("share", [0.0, 0.8, 1.0])
def test_growth_exponent_whatever_the_correlation_between_horizons(share):
    """Log-normal values of mean T^0.6: `share` of the variance is a seed's own, at all horizons."""
    rng, horizons = np.random.default_rng(8), np.array([100, 300, 1000, 3000])
    runs, seeds, spread = 2000, 200, 0.5
    common, own = rng.normal(size=(runs, 1, seeds)), rng.normal(size=(runs, 4, seeds))
    # Later horizons fluctuate more, so what is shared does not simply cancel.
    scale = spread * np.array([0.5, 0.7, 1.0, 1.4])[:, None]
    logs = scale * (math.sqrt(share) * common + math.sqrt(1 - share) * own) - scale**2 / 2
    values = horizons[:, None] ** 0.6 * np.exp(logs)
    missed = sum(misses(rs.growth_exponent(horizons, v, 0.9), 0.6) for v in values)
    assert_exact(missed, runs, 0.1)

    # The same with the rows taken for independent: what the test must be able to tell apart.
    x = np.log(horizons) - np.log(horizons).mean()
    weights = x / (x @ x)
    means, errors = values.mean(-1), values.std(-1, ddof=1) / math.sqrt(seeds)
    half = sps.t.ppf(0.95, seeds - 1) * np.sqrt(((weights * errors / means) ** 2).sum(-1))
    naive = int(np.sum(np.abs(np.log(means) @ weights - 0.6) > half))
    assert (naive < least(runs, 0.1)) == (share > 0)


def test_largest_of_several_means():
    x = np.random.default_rng(9).normal(size=(5000, 6, 10))  # all means equal: the hardest case
    each = rs.split_level(0.9, 6)
    worst = rs.largest([rs.mean(x[:, arm], level=each) for arm in range(6)])
    assert misses(worst, 0) <= most(5000, 0.1)
    # Choosing the largest first and taking its own interval is what `largest` is there to avoid.
    chosen = np.take_along_axis(x, x.mean(-1).argmax(1)[:, None, None], 1)[:, 0]
    assert misses(rs.mean(chosen, level=0.9), 0) > most(5000, 0.1)


# --- claims under repeated looks -------------------------------------------------------------

ALPHA, LOOKS = 0.2, [2, 4, 8, 16, 32, 64, 128, 256]


class Values:
    """As much of a dataset as `judge` needs; a thousand times lighter to cut to size."""

    def __init__(self, values):
        self.values, self.sizes = values, {"seed": len(values)}


def wrong_verdicts(region, truth, wrong, replications=1000):
    """How many of the replications ever get the verdict `wrong`, looking until decided."""
    claim = rc.Claim(
        "c", "s", "t", "f", "p", lambda data, level: rs.mean(data["x"].values, level=level), region
    )
    x = np.random.default_rng(10).normal(truth, 1, (replications, LOOKS[-1]))
    count = 0
    for row in x:
        run = lambda seeds, row=row: {"f": {"x": Values(row[:seeds])}}  # noqa: E731
        settled = rc.settle(run, [claim], LOOKS[0], LOOKS[-1], alpha=ALPHA)
        count += settled.results[0].verdict == wrong
    return count, x


def test_a_true_claim_is_rarely_refuted_however_often_one_looks():
    # The sharpest case: the region is the truth alone, so every miss is a wrong verdict.
    count, x = wrong_verdicts((0.0, 0.0), 0.0, Verdict.NOT_REPRODUCED)
    spent = sum(rc.spend(ALPHA, seeds) for seeds in LOOKS)
    assert spent <= ALPHA
    assert 0 < count <= most(len(x), spent)
    # Looking as often at the full level: far more than alpha, so the correction is needed.
    missed = np.zeros(len(x), bool)
    for seeds in LOOKS:
        band = rs.mean(x[:, :seeds], level=1 - ALPHA)
        missed |= (band.low > 0) | (band.high < 0)
    assert missed.sum() > most(len(x), ALPHA)


@pytest.mark.parametrize(
    "region, truth, wrong",
    [
        ((-math.inf, 0.0), -1e-9, Verdict.NOT_REPRODUCED),  # just inside
        ((-math.inf, 0.0), 1e-9, Verdict.REPRODUCED),  # just outside
        ((-0.3, 0.3), 0.3 + 1e-9, Verdict.REPRODUCED),
    ],
)
def test_claims_next_to_the_border_are_rarely_judged_wrongly(region, truth, wrong):
    count, x = wrong_verdicts(region, truth, wrong, replications=500)
    assert count <= most(len(x), ALPHA / 2)  # only one end of the interval can err


def test_claims_away_from_the_border_are_decided_rightly():
    right, x = wrong_verdicts((-math.inf, 1.0), 0.0, Verdict.REPRODUCED, replications=300)
    assert right >= len(x) - most(len(x), 0.01)
    right, x = wrong_verdicts((-math.inf, 0.0), 1.0, Verdict.NOT_REPRODUCED, replications=300)
    assert right >= len(x) - most(len(x), 0.01)


def test_a_family_of_true_claims_is_rarely_refuted_in_any_member():
    rng, refuted, runs = np.random.default_rng(11), 0, 200
    for _ in range(runs):
        x = rng.normal(size=(5, LOOKS[-1]))

        def member(arm):
            def estimate(data, level):
                return rs.mean(data["x"].values[:, arm], level=level)

            return rc.Claim(f"c{arm}", "s", "t", "f", "p", estimate, (0.0, 0.0))

        run = lambda seeds, x=x: {"f": {"x": Values(x[:, :seeds].T)}}  # noqa: E731
        settled = rc.settle(run, [member(arm) for arm in range(5)], 2, LOOKS[-1], alpha=ALPHA)
        refuted += any(r.verdict == Verdict.NOT_REPRODUCED for r in settled.results)
    assert 0 < refuted <= most(runs, ALPHA)
