"""Adversarial losses in linear MDPs: studies at every scale, a figure run for real, estimators."""

import io
import math

import numpy as np
import pytest
import xarray as xr

from regrax.core import plotting
from regrax.core.claims import judge
from regrax.experiments import adversarial_linear as paper
from regrax.experiments.adversarial_linear import constants, growth, mixtures, players
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select

PAPER = paper.PAPER
EVERY = pytest.mark.parametrize("figure", PAPER.figures, ids=lambda figure: figure.name)


def invented(study, regret):
    """Results of a study: regret(environment, learner), with little noise over seeds."""
    names = list(study.environments), list(study.learners)
    rng, seeds = np.random.default_rng(len(study.name)), 8
    values = [
        [regret(e, k) * rng.uniform(0.99, 1.01, (1, seeds)) for k in names[1]] for e in names[0]
    ]
    dims = ("environment", "learner", "checkpoint", "seed")
    coords = dict(zip(dims, (*names, [study.horizon]), strict=False))
    return xr.Dataset({"regret": (dims, np.array(values))}, coords, {"horizon": study.horizon})


def verdict(name, data):
    return judge(next(claim for claim in PAPER.claims if claim.name == name), data)


@EVERY
@pytest.mark.parametrize("scale", SCALES)
def test_studies_are_named_apart_and_small_enough(figure, scale):
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    episodes = sum(s.horizon * s.seeds * len(s.environments) * len(s.learners) for s in found)
    assert episodes <= {"smoke": 3e4, "quick": 8e6, "paper": 2.5e8}[scale]


def test_paper_scale_has_its_seeds_and_the_grid_has_others():
    for figure in PAPER.figures:
        for study in figure.studies("paper"):
            grid = figure.name == "constants"
            assert (study.root_seed == 1) == grid and (grid or study.seeds == 200)


@EVERY
def test_every_figure_is_drawn_and_every_claim_judged(figure):
    for scale in ("smoke", "paper"):
        data = {
            study.name: invented(study, lambda e, k, n=study.horizon: math.sqrt(n) * len(k))
            for study in figure.studies(scale)
        }
        with plotting.style():
            figure.plot(data).savefig(io.BytesIO(), dpi=20)
        for claim in PAPER.claims_of(figure):
            assert math.isfinite(judge(claim, data).estimate.value), claim.name


@pytest.mark.parametrize(
    "name",
    [
        "oppo",
        *(pytest.param(x.name, marks=pytest.mark.slow) for x in PAPER.figures[:-1]),
    ],
)
def test_a_figure_for_real(name, tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    (outcome,) = reproduce(
        select([f"{PAPER.name}/{name}"], {PAPER.name: PAPER}), options, say=lambda text: None
    )
    assert outcome.errors == []
    assert (tmp_path / PAPER.name / f"{name}.png").stat().st_size > 0
    assert len(outcome.results) == len([c for c in PAPER.claims if c.figure == name])


def test_rates_are_those_of_the_worst_size():
    """The worst size moves with K; a logarithm does not count."""
    powers = {players.BARRIER: 0.5, players.REDUCED: 0.45, players.PLAIN: 0.6}

    def regret(k):
        def of(environment, learner):
            size = float(environment.rpartition(" ")[2])
            scale = 1 / (1 + abs(math.log(size * k**0.25 / 4)))
            return scale * math.log(k) * k ** powers[learner]

        return of

    found = growth._studies("stochastic", "paper")
    data = {study.name: invented(study, regret(study.horizon)) for study in found}
    tops = {np.argmax(data[s.name].regret.mean("seed").values[:, 0, 0]) for s in found}
    assert len(tops) > 1
    barrier = verdict("stochastic-barrier-rate", data).estimate.value
    plain, steeper = verdict("stochastic-plain-rate", data), verdict("stochastic-steeper", data)
    assert barrier == pytest.approx(0.5, abs=0.1) and plain.estimate.value < 0.7
    assert steeper.estimate.value == pytest.approx(0.15, abs=0.02)
    assert steeper.verdict.name == "REPRODUCED"


def test_ratios_are_of_the_largest_horizon():
    last = growth.SCALES["paper"].horizons[-1]
    regrets = {players.BARRIER: 2, players.REDUCED: 3, players.PLAIN: 4, players.FAST: 2.5}
    data = {
        study.name: invented(study, lambda e, k, n=study.horizon: regrets[k] * (n == last) + 1)
        for study in growth._studies("opposed", "paper")
    }
    for name, value in (
        ("barrier-plain", 3 / 5),
        ("reduced-plain", 4 / 5),
        ("reduced-fast", 4 / 3.5),
    ):
        assert verdict(f"opposed-{name}", data).estimate.value == pytest.approx(value, rel=0.02)
    assert verdict("opposed-reduced-fast", data).verdict.name == "NOT_REPRODUCED"


def test_the_rate_of_oppo_is_read_off_the_horizons():
    data = {
        study.name: invented(study, lambda e, k, n=study.horizon: math.log(n) * n**0.4)
        for study in mixtures._studies("paper")
    }
    assert verdict("oppo-theory-drawn", data).estimate.value == pytest.approx(0.4, abs=0.01)


def test_cells_are_chosen_by_the_worst_size_of_every_sequence():
    data = {
        study.name: invented(study, lambda e, k: 4.0 if e.endswith("0.25") else 1.0)
        for study in constants._studies("paper")
    }
    assert constants.overall(data, "plain 16 / 0.01") == pytest.approx(4, rel=0.02)
    for name in players.LEARNERS:
        assert f"{name} {players.CHOSEN[name]}" in players.grid()


def test_exponential_weights_have_the_gamma_that_their_theory_needs():
    """eta H |phi^T G phi'| <= 1 for plain estimates, eta H |phi|_G <= 1 for reduced ones."""
    for cell in players.CELLS:
        plain, reduced = players.MAKE[players.PLAIN](cell), players.MAKE[players.REDUCED](cell)
        assert plain.rate <= plain.ridge and reduced.rate <= reduced.ridge**0.5
