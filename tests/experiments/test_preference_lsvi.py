"""Regret, questions and the price of preferences: studies, pictures and claims."""

import io
import math

import numpy as np
import pytest
import xarray as xr

from regrax.core import plotting
from regrax.core.claims import judge
from regrax.core.study import Study
from regrax.experiments.paper import SCALES
from regrax.experiments.preference_lsvi import PAPER, price, rates, thresholds
from regrax.experiments.preference_lsvi.instances import (
    ENVIRONMENTS,
    PR,
    SIGMA,
    SPREAD,
    TS,
    instances,
    named,
)
from regrax.experiments.reproduce import Options, reproduce, select

EVERY = pytest.mark.parametrize("figure", PAPER.figures, ids=lambda figure: figure.name)


def invented(study: Study, **metrics) -> xr.Dataset:
    """Results of a study; every metric [environment, learner, checkpoint, seed], or less."""
    stops = list(study.checkpoints or (study.horizon,))
    names = list(study.environments), list(study.learners)
    dims = ("environment", "learner", "checkpoint", "seed")
    seeds = max(np.shape(values)[-1] for values in metrics.values())
    shape = len(names[0]), len(names[1]), len(stops), seeds
    full = {name: (dims, np.broadcast_to(values, shape)) for name, values in metrics.items()}
    coords = dict(zip(dims, (*names, stops), strict=False))
    return xr.Dataset(full, coords, {"horizon": study.horizon})


def verdict(name, data):
    return judge(next(claim for claim in PAPER.claims if claim.name == name), data)


@EVERY
@pytest.mark.parametrize("scale", SCALES)
def test_studies_are_named_apart_and_small_enough(figure, scale):
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    rounds = sum(s.horizon * s.seeds * len(s.environments) * len(s.learners) for s in found)
    assert rounds <= {"smoke": 2e4, "quick": 2e6, "paper": 8e7}[scale]
    assert scale != "paper" or all(study.seeds >= 100 for study in found)


@EVERY
@pytest.mark.parametrize("scale", SCALES)
def test_every_figure_is_drawn_and_every_claim_judged(figure, scale):
    """On invented results of the right shape; nothing is simulated."""
    rng, data = np.random.default_rng(0), {}
    for i, study in enumerate(figure.studies(scale)):
        shape = len(study.environments), len(study.learners), len(study.checkpoints or [0]), 8
        rising = i + np.arange(shape[2])[:, None]
        regret = rng.uniform(1, 2, shape) + 10 * rising
        data[study.name] = invented(study, regret=regret, queries=np.rint(regret))
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in PAPER.claims_of(figure):
        assert math.isfinite(judge(claim, data).estimate.value), claim.name


@pytest.mark.slow
def test_a_figure_for_real(tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    chosen = select(["preference_lsvi/price"], {PAPER.name: PAPER})
    (outcome,) = reproduce(chosen, options, say=lambda text: None)
    assert outcome.errors == []
    assert (tmp_path / PAPER.name / "price.png").stat().st_size > 0
    assert len(outcome.results) == len(price.CLAIMS)


def test_every_caption_says_what_was_measured():
    assert "no experiments" in PAPER.summary
    assert all("10 states" in figure.caption for figure in PAPER.figures)


# ---- estimators ----------------------------------------------------------------------------


def test_growth_is_read_off_horizons():
    """Regret T^0.6 and questions T^0.45 of everyone, with a quarter as the power."""
    data = {}
    for study in rates.studies("paper"):
        noise = np.random.default_rng(study.horizon).uniform(0.99, 1.01, 8)
        regret, questions = (noise * 7 * study.horizon**p for p in (0.6, 0.45))
        data[study.name] = invented(study, regret=regret, queries=questions)
    for learner in ("pr-lsvi", "pbts"):
        for environment in ENVIRONMENTS:
            found = verdict(f"regret-{learner}-0.25-{environment}", data)
            assert found.estimate.value == pytest.approx(0.6, abs=0.01)
            assert found.verdict == "REPRODUCED"
            asked = verdict(f"questions-{learner}-0.25-{environment}", data)
            assert asked.estimate.value == pytest.approx(0.45, abs=0.01)
    assert verdict("regret-pr-lsvi-0.5-random", data).verdict == "NOT REPRODUCED"
    assert verdict("questions-pr-lsvi-0.375-random", data).verdict == "NOT REPRODUCED"


def over_thresholds(questions, regret):
    """Of a learner with this threshold, and of always and of never asking."""
    (study,) = thresholds.studies("paper")
    rows = [], []
    for name in study.learners:
        epsilon = {thresholds.ALWAYS: 0.0, thresholds.NEVER: math.inf}.get(name)
        epsilon = float(name.split(", ")[1]) if epsilon is None else epsilon
        for row, of in zip(rows, (questions, regret), strict=True):
            row.append(of(epsilon))
    asked, lost = (np.array(row, float)[None, :, None, None] * np.ones(6) for row in rows)
    grown = lost * (np.array(study.checkpoints)[:, None] / study.horizon) ** 0.9
    return {"thresholds": invented(study, regret=grown, queries=asked)}


def test_thresholds_are_read_off_names():
    data = over_thresholds(lambda x: 8000 - 100 * min(x, 80), lambda x: 100 + min(x, 80))
    grid, regret = thresholds.by_threshold(TS, "random", data, "regret")
    np.testing.assert_array_equal(grid, thresholds.EPSILONS["paper"])
    np.testing.assert_allclose(regret[:, 0], 100 + grid)
    assert verdict("few-regret-random", data).estimate.value == pytest.approx(100.05 / 100)
    assert verdict("few-queries-random", data).estimate.value == pytest.approx(7995 / 8000)
    assert verdict("stops-pbts-periodic", data).estimate.value == pytest.approx(0.9)
    assert verdict("always-periodic", data).verdict == "NOT REPRODUCED"
    assert verdict("too-large", data).estimate.value == pytest.approx(8000 - 400)
    assert verdict("too-large", over_thresholds(lambda x: 0, lambda x: 1)).verdict == "REPRODUCED"


def test_the_bound_on_questions():
    """It solves its equation, falls with the threshold, and is what the claim divides by."""
    for epsilon in (0.01, 0.1, 1.0):
        bound = thresholds.question_bound(epsilon, 0.3, 0.5, 15, 4.0)
        step = math.log1p(math.pi * (epsilon / 0.3) ** 2 / 4)
        if bound > 0:
            assert bound * step == pytest.approx(15 * math.log1p(bound * 4 / (15 * 0.5)))
    assert thresholds.question_bound(0.1, 0.3, 0.5, 15, 4.0) > 200
    assert thresholds.question_bound(50.0, 0.3, 0.5, 15, 4.0) == pytest.approx(0, abs=1e-6)
    longest = max(thresholds.longest_difference(env.mdp) for env in instances().values())
    grid = thresholds.EPSILONS["paper"]
    bounds = {x: thresholds.question_bound(x, SIGMA, 1.0, 15, longest) for x in grid}
    data = over_thresholds(lambda x: bounds.get(x, 0.0), lambda x: 1)
    assert verdict("question-bound", data).estimate.value >= 1


def test_the_longest_difference():
    """Against all pairs of trajectories that there are, wherever they lead: stage by stage."""
    mdp = instances()["random"].mdp
    flat = mdp.features.reshape(-1, 3)
    widest = max(np.sum((x - y) ** 2) for x in flat for y in flat)
    assert thresholds.longest_difference(mdp) == pytest.approx(5 * widest)


def test_the_largest_threshold_is_out_of_reach_of_all_pairs():
    for env in instances().values():
        longest = math.sqrt(thresholds.longest_difference(env.mdp))
        assert 2 * SPREAD * longest / math.sqrt(math.pi) < thresholds.EPSILONS["paper"][-1]


def test_the_best_cell_is_chosen_by_other_seeds_than_those_that_measure():
    """The first cell looks best to the seeds that choose, and measures 40."""
    askers, told = price.studies("paper")
    cells = np.full((len(askers.learners), 8), 30.0)
    cells[0] = [1, 40] * 4
    data = {"preferences": invented(askers, regret=cells[None, :, None])}
    rewards = np.full((len(told.learners), 8), 10.0)
    data["rewards"] = invented(told, regret=rewards[None, :, None])
    assert verdict("price-gentle", data).estimate.value == pytest.approx(4)
    assert verdict("price-equal", data).verdict == "NOT REPRODUCED"
    assert verdict("price-steep", data).verdict == "REPRODUCED"


def test_claims_are_about_learners_that_there_are():
    (study,) = thresholds.studies("smoke")
    assert {named(PR, thresholds.FEW), thresholds.ALWAYS, thresholds.NEVER} <= set(study.learners)
    for learner, epsilon in thresholds.STOPS.items():
        assert named(learner, epsilon) in study.learners
