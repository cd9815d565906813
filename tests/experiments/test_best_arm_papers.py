"""The papers on identification and privacy: studies at every scale, two figures run for real,
estimators on data whose truth is known."""

import numpy as np
import pytest
import xarray as xr

from regrax.experiments import best_arm, private_bandits, private_best_arm, private_scaling
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select

PAPERS = {
    module.PAPER.name: module.PAPER for module in (best_arm, private_bandits, private_best_arm)
}
FIGURES = [(paper, figure) for paper in PAPERS.values() for figure in paper.figures]


def dataset(environments, learners, **metrics):
    """A study from metrics [environment, learner, seed]."""
    dims = ("environment", "learner", "checkpoint", "seed")
    coords = {"environment": environments, "learner": learners, "checkpoint": [1]}
    metrics = {name: (dims, np.asarray(x)[:, :, None, :]) for name, x in metrics.items()}
    return xr.Dataset(metrics, coords)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("paper", "figure"), FIGURES, ids=lambda x: x.name)
def test_studies_are_named_apart_and_end_where_they_are_recorded(paper, figure, scale):
    found = figure.studies(scale)
    assert found and len({study.name for study in found}) == len(found)
    assert all(study.checkpoints == (study.horizon,) for study in found)


def test_paper_scale_has_the_runs_that_were_promised():
    success = private_best_arm.PAPER.figures[0].studies("paper")[0]
    assert success.seeds == 40_000 and len(success.environments) == 10
    assert set(success.learners) == set(private_best_arm.PUBLISHED)
    assert all(study.seeds == 200_000 for study in private_scaling.tail_studies("paper"))


@pytest.mark.parametrize("name", ["private_best_arm/audit", "best_arm/karnin"])
def test_a_figure_for_real(name, tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    (outcome,) = reproduce(select([name], PAPERS), options, say=lambda text: None)
    assert outcome.errors == []
    paper, figure = name.split("/")
    assert {result.claim.figure for result in outcome.results} == {figure}
    # Few runs leave it open whether a learner is private; they do not show that it is not.
    refuted = [r.claim.name for r in outcome.results if r.verdict == "NOT REPRODUCED"]
    assert not [name for name in refuted if name.startswith("audit")]
    for suffix in ("png", "svg", "nc", "json"):
        assert (tmp_path / paper / f"{figure}.{suffix}").stat().st_size > 0


def claim(name):
    (found,) = [c for paper in PAPERS.values() for c in paper.claims if c.name == name]
    return found


@pytest.mark.parametrize(("p", "q"), [(0.2, 0.1), (0.05, 0.05)])
def test_log_ratio_of_an_audit(p, q):
    rng, runs = np.random.default_rng(3), 20_000
    chosen = (rng.random((2, 1, runs)) > np.array([q, p])[:, None, None]).astype(int)
    data = dataset(["table", "neighbour"], ["DP-BAI, 0.5"], recommended=chosen)
    found = claim("audit-05").estimate({"audit": data}, 0.999)
    assert found.low < np.log(p / q) < found.high and found.high - found.low < 0.5


def test_slopes_of_an_exponential_are_equal():
    rng, runs = np.random.default_rng(4), 400_000
    budgets = private_scaling.TAIL_BUDGETS
    rates = np.array([0.4 * np.exp(-t / 300) for t in budgets])
    wrong = (rng.random((len(budgets), 1, runs)) < rates[:, None, None]).astype(float)
    data = dataset([f"T = {t}" for t in budgets], [private_scaling.FREE], error=wrong)
    found = private_scaling.slopes(private_scaling.FREE, {"tail": data}, 0.95)
    assert found.low < 1 < found.high and found.value == pytest.approx(1, abs=0.1)


def test_error_over_its_bound():
    runs = 1000
    budgets = private_scaling.TAIL_BUDGETS
    learners = [private_scaling.FREE, "epsilon = 0.1"]
    wrong = np.zeros((len(budgets), 2, runs))
    wrong[0, 1, :500] = 1
    data = dataset([f"T = {t}" for t in budgets], learners, error=wrong)
    found = private_scaling.over_bound({"tail": data}, 0.95)
    # One half where the bound is nearly 1: exp(-500 / (65 (H_BAI + H_pri))).
    assert 0.5 < found.value < 0.52 and found.high < 0.6


def test_an_instance_of_half_the_gap_has_half_of_all_gaps():
    wide, narrow = (np.sort(private_scaling.family(g).means)[::-1] for g in (0.05, 0.025))
    np.testing.assert_allclose(wide[0] - wide, 2 * (narrow[0] - narrow), atol=1e-6)
    assert wide[0] - wide[1] == pytest.approx(0.05, abs=1e-6)


def test_halving_is_compared_as_it_was_named():
    rng = np.random.default_rng(6)
    names = ["Successive Rejects", best_arm.HALVING, best_arm.HALVING_ALL]
    wrong = (rng.random((1, 3, 5000)) < np.array([0.3, 0.5, 0.1])[:, None]).astype(float)
    data = {"karnin-80": dataset(["setup 2"], names, error=wrong)}
    forgets, keeps = (claim(f"halving{x}-setup-2").estimate(data, 0.999) for x in ("", "-all"))
    assert forgets.low < -0.2 < forgets.high and keeps.low < 0.2 < keeps.high


def test_regret_ratios_take_the_worst_instance():
    rng = np.random.default_rng(5)
    regret = rng.normal(100, 1, (4, 3, 200))
    regret[2, 1] *= 2  # AdaP-UCB on C3
    learners = ["DP-SE", "AdaP-UCB", "AdaP-KLUCB"]
    data = {"epsilon 1": dataset(list(private_bandits.INSTANCES), learners, regret=regret)}
    found = claim("adap-ucb-beats-dp-se").estimate(data, 0.95)
    assert found.value == pytest.approx(2, abs=0.02) and found.low < 2 < found.high
