"""The two papers on contextual bandits: studies, pictures and claims, a figure of each for real."""

import io
import math

import numpy as np
import pytest
import xarray as xr

from regrax.core import plotting
from regrax.core.claims import judge
from regrax.core.study import Study
from regrax.envs.contextual import ClassificationBandit
from regrax.experiments import linear_contextual_bandits as linear
from regrax.experiments import online_neural_regression as neural
from regrax.experiments.linear_contextual_bandits import growth, losses, misspecified
from regrax.experiments.online_neural_regression import ablations, players, sets
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select

METRICS = ("regret", "best_loss", "simple_regret")
PAPERS = {"linear": linear.PAPER, "neural": neural.PAPER}
EVERY = pytest.mark.parametrize(
    ("paper", "figure"),
    [(paper, figure) for paper in PAPERS.values() for figure in paper.figures],
    ids=lambda x: x.name,
)


@pytest.fixture(autouse=True)
def any_set(monkeypatch):
    """Every data set is there, and small."""

    def bandit(name, rounds):
        rng = np.random.default_rng(len(name))
        features = rng.normal(size=(rounds, 4)).astype(np.float32)
        return ClassificationBandit(features, rng.integers(0, 3, rounds), 3, rounds)

    for module in (sets, ablations):
        monkeypatch.setattr(module, "bandit", bandit)


def invented(study: Study, values) -> xr.Dataset:
    """Results of a study, values [environment, learner, checkpoint, seed] of every metric."""
    stops = list(study.checkpoints or (study.horizon,))
    names = list(study.environments), list(study.learners)
    shape = len(names[0]), len(names[1]), len(stops), values.shape[-1]
    dims = ("environment", "learner", "checkpoint", "seed")
    coords = dict(zip(dims, (*names, stops), strict=False))
    full = np.broadcast_to(values, shape)
    return xr.Dataset({m: (dims, full) for m in METRICS}, coords, {"horizon": study.horizon})


@EVERY
@pytest.mark.parametrize("scale", SCALES)
def test_studies_are_named_apart_and_small_enough(paper, figure, scale):
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    rounds = sum(s.horizon * s.seeds * len(s.environments) * len(s.learners) for s in found)
    assert rounds <= {"smoke": 5e5, "quick": 2e8, "paper": 5e8}[scale]


@EVERY
def test_every_figure_is_drawn_and_every_claim_judged(paper, figure):
    """On invented results of the right shape; nothing is simulated."""
    rng, data = np.random.default_rng(0), {}
    for i, study in enumerate(figure.studies("paper")):
        shape = len(study.environments), len(study.learners), len(study.checkpoints or [0]), 8
        rising = i + np.arange(shape[0])[:, None, None, None] + np.arange(shape[2])[:, None]
        data[study.name] = invented(study, rng.uniform(1, 2, shape) + 10 * rising)
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in paper.claims_of(figure):
        assert math.isfinite(judge(claim, data).estimate.value), claim.name


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("linear", "small-loss"),
        ("neural", "small-loss"),
        pytest.param("linear", "misspecified", marks=pytest.mark.slow),
        pytest.param("neural", "digits", marks=pytest.mark.slow),
    ],
)
def test_a_figure_for_real(name, figure, tmp_path):
    paper = PAPERS[name]
    options = Options("smoke", output=tmp_path, progress=False)
    chosen = select([f"{paper.name}/{figure}"], {paper.name: paper})
    (outcome,) = reproduce(chosen, options, say=lambda text: None)
    assert outcome.errors == []
    assert (tmp_path / paper.name / f"{figure}.png").stat().st_size > 0
    assert len(outcome.results) == len([c for c in paper.claims if c.figure == figure])


# ---- estimators ----------------------------------------------------------------------------


def compared(regrets, grid=None):
    """The studies of the first set, with these final regrets [algorithm, seed]; and in all cells of
    the grid those of `grid`, [algorithm], if they are others."""
    cells, chosen, _ = sets._studies(sets.SETS[0], "smoke")
    means = np.mean(regrets, axis=1) if grid is None else grid
    order = [players.ALGORITHMS.index(name.split()[0]) for name in cells.learners]
    values = np.asarray(means, float)[order][None, :, None, None] * np.ones(2)
    finals = np.asarray(regrets, float)[None, :, None, :]
    return {sets.GRID: invented(cells, values), sets.COMPARED: invented(chosen, finals)}


def verdict(name, data):
    claim = next(c for c in neural.PAPER.claims if c.name == name)
    return judge(claim, data)


def test_first_or_tied_is_a_ratio_to_the_best_other():
    """Regrets in the order of `ALGORITHMS`, equal for all seeds."""
    assert players.ALGORITHMS[:2] == (players.FAST, players.SQUARE)
    rows = np.array([100.0, 98.0, 150.0, 97.0, 120.0])[:, None] * np.ones(8)
    found = verdict("mushroom-first", compared(rows))
    assert found.estimate.value == pytest.approx(100 / 97)
    assert found.verdict.name == "REPRODUCED"
    assert verdict("mushroom-fast", compared(rows)).verdict.name == "NOT_REPRODUCED"
    assert verdict("mushroom-square", compared(rows)).estimate.value == pytest.approx(98 / 97)
    assert verdict("mushroom-kl", compared(rows)).estimate.value == pytest.approx(100 / 98)


def test_the_rival_is_chosen_by_other_seeds_than_those_that_measure():
    """In the grid NeuralTS looks best; with the fresh seeds it is bad, and is the rival still."""
    rows = 100 * np.ones((5, 8))
    rows[3] = 400
    data = compared(rows, grid=[100, 100, 100, 1, 100])
    assert verdict("mushroom-fast", data).estimate.value == pytest.approx(100 / 400)


def test_perturbations_are_judged_on_the_worst_and_the_best_set():
    data, ratios = {}, (0.9, 1.0, 1.2, 1.0)
    studies = ablations._everywhere(ablations._online(), "paper")
    for ratio, study in zip(ratios, studies, strict=True):
        names = list(study.learners)
        rows = np.array([100 * ratio if "sampled" in name else 100 for name in names])
        data[study.name] = invented(study, rows[None, :, None, None] * np.ones(6))
    harm = verdict("neufastcb-perturbation-harmless", data)
    help_ = verdict("neufastcb-perturbation-helps", data)
    assert (harm.estimate.value, help_.estimate.value) == (pytest.approx(1.2), pytest.approx(0.9))
    assert harm.verdict.name == "NOT_REPRODUCED" and help_.verdict.name == "REPRODUCED"


def test_small_losses_are_read_off_the_environments():
    (study,) = ablations._small_loss_studies("paper")
    root = 50 * np.sqrt(np.arange(6.0))[:, None, None, None] + 10 * np.ones((6, 2, 1, 8))
    data = {"small-loss": invented(study, root)}
    loss = np.array(ablations.LOSSES)[:, None, None, None] * 1e4 * np.ones((6, 2, 1, 8))
    data["small-loss"]["best_loss"] = (data["small-loss"].regret.dims, loss)
    np.testing.assert_allclose(ablations._losses(data), np.array(ablations.LOSSES) * 1e4)
    assert verdict("small-loss", data).estimate.value == pytest.approx(10 / (10 + 50 * 5**0.5))
    assert verdict("small-loss-gain", data).estimate.value == pytest.approx(1)
    exact = np.sqrt(loss)
    data["small-loss"]["regret"] = (data["small-loss"].regret.dims, exact + 1e-9)
    assert verdict("small-loss-rate", data).estimate.value == pytest.approx(0.5, abs=1e-6)


def test_growth_of_linear_learners_is_read_off_rounds_and_dimensions():
    (rounds,) = growth._round_studies("paper")
    times = np.array(rounds.checkpoints, float)
    data = {"rounds": invented(rounds, (3 * times**0.4)[:, None] * np.ones(6))}
    found = growth._round_exponent("coins", growth.UCB, data, 0.95)
    assert found.value == pytest.approx(0.4)
    studies = growth._dimension_studies("paper")
    data = {s.name: invented(s, d**1.2 * np.ones((1, 6)))
            for s, d in zip(studies, growth.DIMENSIONS["paper"], strict=True)}  # fmt: skip
    assert growth._dimension_exponent(growth.TS, data, 0.95).value == pytest.approx(1.2)


def test_the_other_linear_estimators():
    (study,) = losses._studies("paper")
    rows = np.sqrt(np.array(losses.LOSSES) + 0.01)[:, None, None, None] * np.ones(6)
    data = {"losses": invented(study, rows)}
    assert losses._gain(losses.FAST, data, 0.95).value == pytest.approx((0.01 / 0.41) ** 0.5)
    data = {}
    for study in misspecified._studies("paper"):
        d = int(study.name.partition("d=")[2])
        data[study.name] = invented(study, 0.1 * d**0.5 * np.ones((1, 6)))
    assert misspecified._exponent(data, 0.95).value == pytest.approx(0.5)
    assert misspecified._worst(misspecified.SPARSE, data, 0.95).value == pytest.approx(7)


def test_the_chosen_cells_are_cells_of_the_grid():
    names = set(players.grid())
    for one in sets.SETS:
        for algorithm, cell in one.cells.items():
            assert players.name_of(algorithm, cell) in names
