"""core/claims.py: verdicts, error allowances, the loop that settles, and what is shown of it."""

import json
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from regrax.core import claims as rc
from regrax.core import statistics as rs
from regrax.core.claims import Verdict

INF = math.inf


def study(values):
    return xr.Dataset({"regret": ("seed", np.asarray(values, float))})


def mean_regret(data, level):
    return rs.mean(data["main"]["regret"], level=level)


def claim(region=(0.0, 1.0), estimate=mean_regret, name="small", figure="f", **more):
    return rc.Claim(
        name=name,
        statement="The mean regret is small",
        source="Theorem 1",
        figure=figure,
        paper_value="at most 1",
        estimate=estimate,
        region=region,
        **more,
    )


def spread(num_seeds, centre=0.5, scale=1.0):
    """Values with exactly the mean `centre`, and half of them on either side of it."""
    return study(centre + scale * (np.arange(num_seeds) % 2 - 0.5))


# --- spending --------------------------------------------------------------------------------


def test_allowances_of_one_look_a_doubling_sum_to_alpha():
    total = sum(rc.spend(0.05, 2**j) for j in range(1, 10_000))
    assert 0.0499 < total < 0.05
    assert rc.spend(0.05, 2) == pytest.approx(0.05 * 6 / math.pi**2)
    assert rc.spend(0.05, 1000) == pytest.approx(0.05 * 6 / math.pi**2 / 100)


@given(st.integers(2, 10**12), st.floats(1e-6, 0.5))
def test_allowance_depends_on_the_doubling_alone(seeds, alpha):
    j = max(1, math.ceil(math.log2(seeds) - 1e-12))
    assert rc.spend(alpha, seeds) == pytest.approx(alpha * 6 / (math.pi * j) ** 2)
    assert rc.spend(alpha, 2 * seeds) < rc.spend(alpha, seeds)  # the next look is another j


@pytest.mark.parametrize("alpha, seeds", [(0, 10), (1, 10), (5, 10), (math.nan, 10), (0.05, 0)])
def test_spend_rejects_nonsense(alpha, seeds):
    with pytest.raises(ValueError, match="alpha must lie|at least one seed"):
        rc.spend(alpha, seeds)


# --- verdicts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "interval, region, verdict",
    [
        ((0.2, 0.8), (0, 1), Verdict.REPRODUCED),
        ((0.0, 1.0), (0, 1), Verdict.REPRODUCED),
        ((0.2, 0.8), (-INF, 1), Verdict.REPRODUCED),
        ((0.0, 0.0), (0, 0), Verdict.REPRODUCED),
        ((1.1, 1.2), (0, 1), Verdict.NOT_REPRODUCED),
        ((-2.0, -1.0), (0, INF), Verdict.NOT_REPRODUCED),
        ((0.5, 1.5), (0, 1), Verdict.UNDECIDED),
        ((1.0, 1.5), (0, 1), Verdict.UNDECIDED),
        ((-1.0, 2.0), (0, 1), Verdict.UNDECIDED),
        ((-INF, INF), (0, INF), Verdict.UNDECIDED),
        ((math.nan, 0.5), (0, 1), Verdict.UNDECIDED),
    ],
)
def test_compare(interval, region, verdict):
    low, high = interval
    middle = 0.0 if math.isinf(low) else (low + high) / 2
    assert rc.compare(rs.Estimate(middle, low, high), region) is verdict


def test_judge_uses_the_level_of_its_look():
    data = {"main": spread(1000)}
    result = rc.judge(claim(), data, alpha=0.1)
    assert result.level == 1 - rc.spend(0.1, 1000)
    assert result.seeds == 1000 and result.reason == ""
    assert result.estimate == rs.mean(data["main"]["regret"], level=result.level)
    assert result.verdict is Verdict.REPRODUCED


def test_seeds_are_the_fewest_of_the_studies():
    data = {"main": spread(1000), "other": spread(40)}
    assert rc.judge(claim(), data).seeds == 40


def test_nan_is_undecided_and_says_why():
    result = rc.judge(claim(), {"main": study([0.5, math.nan, 0.5])})
    assert result.verdict is Verdict.UNDECIDED
    assert result.reason == "the estimate is not a number (value, low, high)"


def test_one_seed_is_undecided_whatever_the_estimator_says():
    exact = claim(estimate=lambda data, level: rs.Estimate(0.5, 0.5, 0.5, level))
    result = rc.judge(exact, {"main": spread(1)})
    assert result.verdict is Verdict.UNDECIDED and "at least two" in result.reason


def test_a_failing_estimator_names_its_claim():
    def broken(data, level):
        return data["absent"]

    with pytest.raises(rc.ClaimError, match="claim 'small'.*KeyError: 'absent'") as caught:
        rc.judge(claim(estimate=broken), {"main": spread(10)})
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    "returned, text",
    [
        (0.5, "must return one Estimate of one number, got 0.5"),
        ((0.5, 0.4, 0.6), "must return one Estimate"),
        (rs.Estimate(np.ones(2), np.ones(2), np.ones(2)), "of one number"),
        (rs.Estimate(0.5, 0.4, 0.6, 0.95), "asked for level 0.99.* and gave 0.95; pass `level` on"),
        (rs.Estimate(0.5, 0.6, 0.4), "upside down"),
    ],
)
def test_estimates_that_cannot_be_judged(returned, text):
    with pytest.raises(rc.ClaimError, match=text):
        rc.judge(claim(estimate=lambda data, level: returned), {"main": spread(10)})


def test_estimates_without_a_level_or_at_a_split_one_are_fine():
    def worst(data, level):
        each = rs.split_level(level, 3)
        return rs.largest([rs.mean(data["main"]["regret"], level=each)] * 3)

    data = {"main": spread(4096)}
    assert rc.judge(claim(estimate=worst), data).verdict is Verdict.REPRODUCED
    plain = claim(estimate=lambda data, level: rs.Estimate(np.float64(0.5), 0, 1))
    assert rc.judge(plain, data).estimate == (0.5, 0.0, 1.0, None)


def test_data_that_cannot_be_judged():
    with pytest.raises(ValueError, match="claim 'small'.*run figure 'f'"):
        rc.judge(claim(), {})
    with pytest.raises(ValueError, match=r"no `seed` dimension in the studies \['main'\]"):
        rc.judge(claim(), {"main": xr.Dataset({"regret": ("run", [1.0, 2.0])})})


@pytest.mark.parametrize("region", [(1.0, 0.0), (math.nan, 1.0), (0.0, math.nan), (-INF, INF)])
def test_claims_that_nothing_or_everything_would_satisfy(region):
    with pytest.raises(ValueError, match="claim 'small'.*region"):
        claim(region=region)


def test_a_family_shares_alpha():
    two = [claim(name="a"), claim(name="b", figure="g")]
    data = {"f": {"main": spread(64)}, "g": {"main": spread(16)}}
    levels = [r.level for r in rc.judge_all(two, data, 0.1)]
    assert levels == [1 - rc.spend(0.05, 64), 1 - rc.spend(0.05, 16)]
    assert rc.judge_all(two, data, 0.1, family=False)[0].level == 1 - rc.spend(0.1, 64)
    assert rc.judge_all(two[:1], data, 0.1, family=5)[0].level == 1 - rc.spend(0.02, 64)
    assert rc.judge_all([], {}) == []
    with pytest.raises(ValueError, match="family=1 is smaller than the 2 claims"):
        rc.judge_all(two, data, family=1)
    with pytest.raises(ValueError, match=r"share a name: \['a'\]"):
        rc.judge_all([two[0], two[0]], data)
    with pytest.raises(ValueError, match=r"claim 'b' needs figure 'g'.*\['f'\] only"):
        rc.judge_all(two, {"f": data["f"]})


# --- settle ----------------------------------------------------------------------------------


def settle(claims, first=16, most=10**6, data=spread, **more):
    asked = []

    def run(seeds):
        asked.append(seeds)
        return {"f": {"main": data(seeds)}}

    return rc.settle(run, claims, first, most, **more), asked


def test_settle_doubles_until_decided_and_leaves_decided_claims_alone():
    calls = []

    def counted(data, level):
        calls.append(data["main"].sizes["seed"])
        return mean_regret(data, level)

    easy = claim((-5.0, 5.0), counted, "easy")
    hard = claim((0.45, INF), name="hard")
    far = claim((9.0, INF), name="far")
    looks = []
    settled, asked = settle([easy, hard, far], on_look=looks.append)
    assert [r.claim.name for r in settled.results] == ["easy", "hard", "far"]
    assert [str(r.verdict) for r in settled.results] == ["REPRODUCED"] * 2 + ["NOT REPRODUCED"]
    assert asked == [16 * 2**i for i in range(len(asked))] and len(asked) > 3
    assert calls == [16]
    assert settled.history == tuple(looks)
    assert [look.seeds for look in looks] == asked
    assert [len(look.results) for look in looks] == [3] + [1] * (len(asked) - 1)
    assert settled.results[1] is looks[-1].results[0]
    assert settled.results[0] is looks[0].results[0]
    assert settled.stopped == "every claim is decided"
    # The family and the look both count: three claims, and j of this number of seeds.
    assert settled.results[1].level == pytest.approx(1 - rc.spend(0.05 / 3, asked[-1]), abs=1e-15)


def test_settle_takes_only_the_figures_of_open_claims():
    made = []

    class OnAccess(dict):
        def __init__(self, seeds):
            self.seeds = seeds

        def __missing__(self, figure):
            made.append((figure, self.seeds))
            self[figure] = {"main": spread(self.seeds)}
            return self[figure]

    two = [claim((-5.0, 5.0), name="a", figure="f"), claim((0.5, 9.0), name="b", figure="g")]
    rc.settle(OnAccess, two, 64, 256)
    assert made == [("f", 64), ("g", 64), ("g", 128), ("g", 256)]


@pytest.mark.parametrize(
    "first, most, looks",
    [
        (16, 16, [16]),
        (16, 100, [16, 32, 64, 100]),
        (20, 64, [20, 40]),  # 40 and 64 lie in one doubling, whose allowance is spent
        (24, 90, [24, 48, 90]),
        (33, 64, [33]),
        (2, 5, [2, 4, 5]),
    ],
)
def test_settle_never_looks_twice_in_one_doubling(first, most, looks):
    edge = claim((0.5, 9.0))  # the mean is exactly on the border: never decided
    settled, asked = settle([edge], first, most)
    assert asked == looks
    spent = [rc.spend(0.05, look.seeds) for look in settled.history]
    assert len(set(spent)) == len(spent) and sum(spent) <= 0.05
    assert settled.results[0].verdict is Verdict.UNDECIDED
    assert settled.stopped == f"1 undecided at {looks[-1]} seeds, at most {most} allowed"


def test_settle_starts_no_run_after_its_time():
    ticks = iter([0.0, 5.0, 11.0])
    settled, asked = settle([claim((0.5, 9.0))], max_seconds=10, clock=lambda: next(ticks))
    assert asked == [16, 32]
    assert settled.stopped == "1 undecided when the 10 seconds were over"


def test_settle_gives_up_on_a_run_that_adds_no_seeds():
    settled, asked = settle([claim((0.5, 9.0))], data=lambda seeds: spread(min(seeds, 30)))
    assert asked == [16, 32, 64]
    assert [r.seeds for look in settled.history for r in look.results] == [16, 30]
    assert "too few new ones" in settled.stopped


def test_settle_rejects_budgets_without_a_look():
    for first, most in [(1, 10), (0, 10), (20, 10)]:
        with pytest.raises(ValueError, match="2 <= first_seeds <= max_seeds"):
            settle([claim()], first, most)
    assert settle([])[0] == rc.Settled((), (), "every claim is decided")


# --- what is shown ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts, shown",
    [
        ((0.66666, 0.6542, 0.6791), "0.667 [0.654, 0.679]"),
        ((1234.5678, 1200.0, 1270.0), "1235 [1200, 1270]"),
        ((12.0, 12.0, 12.0), "12 [12, 12]"),
        ((0.5, -INF, INF), "0.5 [-inf, inf]"),
        ((math.nan, math.nan, math.nan), "nan [nan, nan]"),
        ((123456789.0, 123456780.0, 123456798.0), "123456789 [123456780, 123456798]"),
        ((1.5e-9, 1.4e-9, 1.6e-9), "1.5e-09 [1.4e-09, 1.6e-09]"),
        ((0.0, -0.5, 0.5), "0.00 [-0.50, 0.50]"),
    ],
)
def test_show_gives_two_digits_of_the_width(parts, shown):
    assert rc.show(rs.Estimate(*parts)) == shown
    assert rc.show(rs.Estimate(*parts), "rounds") == shown + " rounds"


def some_results():
    long = claim(name="long", unit="pulls")
    object.__setattr__(long, "statement", "Successive elimination " + "never ever " * 20 + "errs")
    data = {"f": {"main": spread(64)}}
    bad = claim(name="bad", estimate=lambda data, level: rs.Estimate(math.nan, 0, INF))
    return rc.judge_all([claim((-INF, 9.0)), long, bad], data)


@pytest.mark.parametrize("width", [60, 80, 100, 200, 1000])
def test_table_fits_its_width(width):
    text = rc.table(some_results(), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split() == ["claim", "source", "paper", "ours", "verdict"]
    assert set(lines[1]) == {"-", " "}
    assert "bad: the estimate is not a number (value)" in " ".join(text.split())
    assert "2 REPRODUCED, 0 NOT REPRODUCED, 1 UNDECIDED" in text
    for word in ("elimination", "Theorem", "pulls", "errs"):
        assert word in text
    if width == 1000:
        assert len(lines) == 2 + 3 + 3


def test_table_takes_the_terminal_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    assert max(map(len, rc.table(some_results()).splitlines())) <= 70
    assert rc.table([]).startswith("claim")


def test_rows_are_strict_json():
    rows = rc.to_rows(some_results())
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0]["region_low"] is None and rows[0]["region_high"] == 9.0
    assert rows[2]["value"] is None and rows[2]["high"] is None and rows[2]["low"] == 0.0
    assert rows[0]["verdict"] == "REPRODUCED" and type(rows[0]["verdict"]) is str
    assert rows[1]["seeds"] == 64 and rows[1]["unit"] == "pulls"
    assert rows[1]["ours"].endswith("] pulls")
