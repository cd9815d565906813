"""Weighted tallying: studies at every scale, figures run for real, estimators on known data."""

import io
import math

import numpy as np
import pytest
import xarray as xr

from regrax.core import claims, plotting
from regrax.experiments import tallying_bounds as bounds
from regrax.experiments import tallying_rates as rates
from regrax.experiments import weighted_tallying as paper
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select
from regrax.experiments.tallying_games import SIZES, rounds_of


def dataset(values, environments, learners, horizon=100, metric="regret"):
    """A study with final values [environment, learner, seed]."""
    values = np.asarray(values, float)[:, :, None, :]
    dims = ("environment", "learner", "checkpoint", "seed")
    coords = {"environment": environments, "learner": learners, "checkpoint": [horizon]}
    return xr.Dataset({metric: (dims, values)}, coords, {"horizon": horizon})


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("figure", paper.PAPER.figures, ids=lambda figure: figure.name)
def test_studies_are_named_apart_and_small_enough(figure, scale):
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    assert all(rounds_of(study.name) <= 2**24 for study in found)
    assert all(study.seeds <= SIZES[scale].seeds for study in found)


def test_paper_scale_covers_the_grid():
    studies = rates.sweep_studies("paper")
    cells = {tuple(int(x[1:]) for x in study.name.split("-")[1:]) for study in studies}
    assert cells == {
        (m, k, t) for m in (5, 20, 100) for k in (2, 10, 50) for t in (10**4, 10**5, 10**6)
    }
    assert {name for study in studies for name in study.learners} == {
        "M = 1m", "M = 5m", "M = 20m",
    }  # fmt: skip


def test_every_figure_says_what_it_is_not():
    assert all("reconstruction" in figure.caption.lower() for figure in paper.PAPER.figures)
    assert "cannot be" in paper.PAPER.summary


def test_a_figure_for_real(tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    selections = select(["weighted_tallying/sweep"], {paper.PAPER.name: paper.PAPER})
    (outcome,) = reproduce(selections, options, say=lambda text: None)
    assert outcome.errors == []
    assert (tmp_path / "weighted_tallying" / "sweep.png").stat().st_size > 0
    (result,) = outcome.results
    assert result.verdict == claims.Verdict.REPRODUCED


@pytest.mark.parametrize("figure", paper.PAPER.figures, ids=lambda figure: figure.name)
def test_every_figure_is_drawn_and_every_claim_judged(figure):
    """On invented results of the right shape; nothing is simulated."""
    rng, data = np.random.default_rng(0), {}
    for i, study in enumerate(figure.studies("paper")):
        shape = len(study.environments), len(study.learners), 8
        names = list(study.environments), list(study.learners)
        rising = i + np.arange(shape[1])[:, None]  # what costs more, comes later
        data[study.name] = dataset(rng.uniform(1, 2, shape) + 10 * rising, *names)
        data[study.name]["simple_regret"] = 0 * data[study.name].regret
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in paper.PAPER.claims_of(figure):
        assert math.isfinite(claims.judge(claim, data).estimate.value), claim.name


def reference_data(shift, horizon=50_000):
    """Regrets around the reference table, every mean off by `shift` standard errors."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(20_000)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    found = {}
    for learner, row in paper.REFERENCE["uniform"].items():
        error = 100 / math.sqrt(paper.TRIALS.get(learner, 20))
        values = [[reference + shift * error + 100 * noise] for reference in row]
        names = [f"{name}, uniform" for name in paper.FAMILIES]
        found[f"{learner}-T{horizon}"] = dataset(values, names, [learner])
    return found


def test_the_reference_is_met_where_it_is_and_missed_where_it_is_not():
    furthest, typical = (claim for claim in paper.CLAIMS if claim.name.startswith("reference"))
    for shift, verdict in ((0.5, "REPRODUCED"), (6.0, "NOT REPRODUCED")):
        data = reference_data(shift)
        estimate = furthest.estimate(data, 0.99)
        assert estimate.value == pytest.approx(shift, rel=0.01)
        for claim in (furthest, typical):
            assert claims.judge(claim, data).verdict == verdict
    elsewhere = claims.judge(furthest, reference_data(0.5, horizon=2000))
    assert elsewhere.verdict == "UNDECIDED" and "not a number" in elsewhere.reason


def test_what_more_burn_in_costs():
    """Regret 100 + 36 M: linear, over (K - 1) / 2 = 4.5 in 8 epochs."""
    rng = np.random.default_rng(0)
    names = [f"M = {k * rates.MEMORY}" for k in rates.SEVERAL]
    values = [[100 + 36 * k * rates.MEMORY + rng.normal(0, 1, 200) for k in rates.SEVERAL]]
    data = {"bound-T100": dataset(values, ["trap"], names)}
    exponent = rates.cost_exponent(rates.cost_of_bound, data, 0.999)
    assert exponent.low < 1 < exponent.high and exponent.high - exponent.low < 0.01
    epochs = rates.epochs_burned(data, 0.999)
    assert epochs.low < 8 < epochs.high and epochs.high - epochs.low < 0.01


def test_the_number_of_epochs_by_hand():
    """Bounds are apart at the gap of 1/2 once two radii, each 1/4, fit: n = 8 L = 158.6 at
    T = 10^6, between 2^7 and 2^8."""
    confidence = math.log(20 * 10**6 * math.log2(10**6))
    assert 8 * confidence == pytest.approx(158.5, abs=1)
    assert rates.epochs_expected(10**6) == (8, 9)


def test_the_worst_gap_is_chosen_by_other_seeds():
    values = [[[5.0, 1.0, 5.0, 1.0]], [[2.0, 9.0, 2.0, 9.0]]]
    data = {f"growth-K10-T{t}": dataset(values, ["a", "b"], ["elimination"]) for t in (100, 400)}
    horizons, rows = rates._by_horizon(10, "elimination", data)
    np.testing.assert_array_equal(horizons, [100, 400])
    np.testing.assert_array_equal(rows, np.ones((2, 2)))


def test_ratios_to_the_bounds():
    assert rates.upper_bound(2, 4, 0) == pytest.approx(33 * math.sqrt(8 * math.log(32)) + 3)
    more = rates.upper_bound(2, 4, 10) - rates.upper_bound(2, 4, 0)
    assert more == pytest.approx(10 * (2 * 3 + 1))
    least = 0.5 * (4 * 3 - 1)  # m = 4, K = 5
    data = {
        "hidden-m4-K5-T80": dataset([[[2 * least] * 4, [3 * least] * 4]], ["hidden"], ["a", "b"])
    }
    assert bounds.least_ratio(data, 0.95).value == pytest.approx(2)
    late = dataset([[[1.0] * 4], [[200.0] * 4]], ["settled", "late"], ["a"])
    assert bounds.least_sum({"late-visits-M20-T1000": late}, 0.95).value == pytest.approx(0.9)


def test_the_worst_family_of_each():
    values = np.zeros((4, 2, 50))
    values[:, 0] = [[1.0], [5.0], [2.0], [1.0]]
    values[:, 1] = [[0.0], [1.0], [1.0], [7.0]]
    names = [f"{name}, uniform" for name in paper.FAMILIES]
    data = {"rounds-T100": dataset(values, names, ["elimination", "UCB1"])}
    assert paper._worst_gain("UCB1", data, 0.95).value == pytest.approx(2)
    assert paper._gain("constant, uniform", "UCB1", data, 0.95).value == pytest.approx(-1)
