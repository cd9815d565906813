"""The first paper: studies at every scale, one figure run for real, estimators on known data."""

import math

import numpy as np
import pytest
import xarray as xr

from regrax.experiments import growth
from regrax.experiments import introduction_to_bandits as book
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select


def dataset(horizon, values):
    """A study with final regrets [environment, learner, seed]."""
    values = np.asarray(values, float)[:, :, None, :]
    coords = {
        "environment": [f"e{i}" for i in range(values.shape[0])],
        "learner": [f"l{i}" for i in range(values.shape[1])],
        "checkpoint": [horizon],
    }
    dims = ("environment", "learner", "checkpoint", "seed")
    return xr.Dataset({"regret": (dims, values)}, coords, {"horizon": horizon})


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("figure", book.PAPER.figures, ids=lambda figure: figure.name)
def test_studies_are_named_apart_and_use_the_seeds_of_their_scale(figure, scale):
    if scale == "paper" and figure.name == "adversary":
        pytest.skip("builds tables of 10^6 rounds")
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    assert {study.seeds for study in found} == {book.SIZES[scale].seeds}


def test_paper_scale_is_as_large_as_promised():
    size = book.SIZES["paper"]
    assert size.seeds >= 1000 and set(size.horizons) == {2, 10, 100}
    assert max(max(row) for row in size.horizons.values()) == 10**6


def test_a_figure_for_real(tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    selections = select(["introduction_to_bandits/fixed_gap"], {book.PAPER.name: book.PAPER})
    (outcome,) = reproduce(selections, options, say=lambda text: None)
    assert outcome.errors == []
    assert {result.claim.figure for result in outcome.results} == {"fixed_gap"}
    bounds = [r for r in outcome.results if r.claim.name.endswith("-bound")]
    assert len(bounds) == 2 and all(r.verdict == "REPRODUCED" for r in bounds)
    for suffix in ("png", "svg", "nc", "json"):
        assert (tmp_path / "introduction_to_bandits" / f"fixed_gap.{suffix}").stat().st_size > 0


def test_exponent_takes_the_logarithm_out():
    rng = np.random.default_rng(0)
    data = {
        f"s-T{t}": dataset(t, t**0.7 * math.log(t) ** 0.5 * rng.uniform(0.9, 1.1, (1, 1, 400)))
        for t in (1000, 10_000, 100_000)
    }
    estimator = growth.exponent(lambda data: growth.growth(data, "s-", "l0", "e0"), 0.5)
    estimate = estimator(data, 0.999999)
    assert estimate.low < 0.7 < estimate.high and estimate.high - estimate.low < 0.05


def test_the_worst_environment_is_chosen_by_other_seeds():
    """Seeds 0, 2, ... choose; 1, 3, ... measure: here they disagree on purpose."""
    values = [[[5.0, 1.0, 5.0, 1.0]], [[2.0, 9.0, 2.0, 9.0]]]
    curve = growth.worst_growth({"s": dataset(10, values)}, "s", "l0")
    assert np.array_equal(curve.values, [[1.0, 1.0]])


def test_studies_come_by_horizon_and_unknown_ones_are_named():
    data = {f"s-{t}": dataset(t, np.ones((1, 1, 2))) for t in (100, 20)}
    assert [d.attrs["horizon"] for d in growth.studies(data, "s-")] == [20, 100]
    with pytest.raises(ValueError, match=r"no study called x\.\.\. among"):
        growth.studies(data, "x")


def test_bounds_against_hand_computed_values():
    assert book._ucb1_bound(2, 0.5, 1000) == pytest.approx(16 * math.log(1000) + 2.1449341)
    assert book._elimination_bound(3, 0.5, 100) == pytest.approx(128 * math.log(100) + 3)
