"""Learning in context: studies, pictures and claims; a figure for real; estimators by hand."""

import io
import math

import numpy as np
import pytest
import xarray as xr

from regrax.core import plotting
from regrax.core.claims import judge
from regrax.core.study import Study
from regrax.experiments import in_context as paper
from regrax.experiments.in_context import online, steps, training
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select

FIGURES = pytest.mark.parametrize("figure", paper.PAPER.figures, ids=lambda figure: figure.name)
METRICS = ("loss", "excess", "regret", "cosine", "slope_distance", "distance")
LISTS = {"test_loss": ("law", len(training.LAWS)), "descent_loss": ("law", len(training.LAWS)),
         "group_loss": ("group", 6)}  # fmt: skip


def invented(study: Study, values) -> xr.Dataset:
    """Results of a study, values [environment, learner, checkpoint, seed] of every metric."""
    stops = list(study.checkpoints or (study.horizon,))
    names = list(study.environments), list(study.learners)
    shape = len(names[0]), len(names[1]), len(stops), values.shape[-1]
    dims = ("environment", "learner", "checkpoint", "seed")
    coords = dict(zip(dims, (*names, stops), strict=False))
    full = np.broadcast_to(values, shape)
    variables = {m: (dims, full) for m in METRICS}
    for name, (axis, size) in LISTS.items():
        variables[name] = ((*dims, axis), np.repeat(full[..., None], size, axis=-1))
    return xr.Dataset(variables, coords, {"horizon": study.horizon})


def claim(name):
    return next(c for c in paper.PAPER.claims if c.name == name)


@FIGURES
@pytest.mark.parametrize("scale", SCALES)
def test_studies_are_named_apart_and_of_the_size_that_is_said(figure, scale):
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    if figure.name == "training" and scale == "paper":
        (study,) = found
        assert (study.horizon, study.environments["tasks"].batch) == (5000, 2048)
    if scale == "smoke":
        assert all(study.horizon <= 30 and study.seeds == 8 for study in found)


@FIGURES
def test_every_figure_is_drawn_and_every_claim_judged(figure):
    """On invented results of the right shape; nothing is simulated."""
    rng, data = np.random.default_rng(0), {}
    for study in figure.studies("smoke"):
        shape = len(study.environments), len(study.learners), len(study.checkpoints or [0]), 8
        data[study.name] = invented(study, rng.uniform(1, 2, shape))
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for one in paper.PAPER.claims_of(figure):
        assert math.isfinite(judge(one, data).estimate.value), one.name


@pytest.mark.parametrize(
    "name", ["layers", "softmax", pytest.param("training", marks=pytest.mark.slow),
             pytest.param("stream", marks=pytest.mark.slow)]
)  # fmt: skip
def test_a_figure_for_real(name, tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    chosen = select([f"in_context/{name}"], {paper.PAPER.name: paper.PAPER})
    (outcome,) = reproduce(chosen, options, say=lambda text: None)
    assert outcome.errors == []
    assert (tmp_path / "in_context" / f"{name}.png").stat().st_size > 0
    assert len(outcome.results) == len([c for c in paper.PAPER.claims if c.figure == name])
    verdicts = {result.claim.name: result.verdict.name for result in outcome.results}
    if name == "layers":  # equality is there with the first task
        assert verdicts["layers-are-steps"] == "REPRODUCED"


# ---- estimators ----------------------------------------------------------------------------


def losses_at(value_of):
    """The study of rates, with these losses of a task by the rate over the best one."""
    (study,) = steps._rate_studies("smoke")
    rows = [value_of(float(name.split()[1])) for name in study.learners]
    return {"rates": invented(study, study.horizon * np.array(rows)[:, None, None] * np.ones(8))}


def test_rates_are_held_against_the_closed_form():
    def exact(f):
        return steps.theory.one_step_loss(f * steps.BEST, 10, 10)

    data = losses_at(exact)
    assert judge(claim("best-rate"), data).estimate.value == pytest.approx(1)
    assert judge(claim("all-rates"), data).estimate.value == pytest.approx(0, abs=1e-12)
    assert judge(claim("layer-is-step"), data).estimate.value == 0
    assert judge(claim("best-is-best"), data).verdict.name == "REPRODUCED"
    off = losses_at(lambda f: exact(f) * (1.1 if f == 0.5 else 1))
    assert judge(claim("all-rates"), off).estimate.value == pytest.approx(0.1)
    flat = losses_at(lambda f: 1 - 0.1 * f)
    assert judge(claim("best-is-best"), flat).verdict.name == "NOT_REPRODUCED"


def test_layers_are_held_against_known_losses():
    (study,) = steps._layer_studies("smoke")
    rows = [steps.LAYERS[name.partition(", ")[2]][2] for name in study.learners]
    data = {"layers": invented(study, study.horizon * np.array(rows)[:, None, None] * np.ones(8))}
    for name in ("loss-two-steps", "loss-two-layers-of-gdpp"):
        assert judge(claim(name), data).estimate.value == pytest.approx(1)
    assert judge(claim("turning-gains"), data).estimate.value == pytest.approx(0.1413 - 0.0922)


def test_training_is_held_against_descent_on_the_same_tasks():
    (study,) = training._studies("smoke")
    data = {"training": invented(study, np.ones((1, 2, 1, 8)))}
    data["training"]["test_loss"][..., 3] *= 1.07
    assert judge(claim("trained-loss"), data).estimate.value == pytest.approx(1)
    assert judge(claim("trained-elsewhere"), data).estimate.value == pytest.approx(1.07)
    assert judge(claim("trained-twice"), data).estimate.value == pytest.approx(1 / 0.1105)


def test_the_closed_form_of_the_stream_is_the_sum_over_rounds():
    wide = steps.theory.spread(10, 1.0, online.SIGMA)
    rounds = 10 / 12 * (1 + sum(wide / (n + wide) for n in range(1, 50)))
    assert online.closed_form(50) == pytest.approx(rounds)
    stream, alone = online._stream_studies("smoke")
    data = {
        study.name: invented(study, online.closed_form(study.horizon) * np.ones((1, 1, 1, 8)))
        for study in (stream, alone)
    }
    assert judge(claim("online-closed-form"), data).verdict.name == "REPRODUCED"
    assert judge(claim("online-layers"), data).estimate.value == 0
