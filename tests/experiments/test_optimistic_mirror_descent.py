"""Optimistic mirror descent: studies at every scale, a figure run for real, bounds, estimators."""

import io
import math
from functools import partial

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize_scalar

from regrax.core import claims, plotting
from regrax.envs import sea_scenarios as sea
from regrax.experiments import optimistic_mirror_descent as paper
from regrax.experiments.optimistic_mirror_descent import (
    bounds,
    dial,
    dynamic,
    growth,
    runs,
    special,
    table,
)
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select

SUMS = ("stochastic_variance", "adversarial_variation", "path_length")


def dataset(values, environments, learners, horizon, checkpoints=None):
    """A study with values [environment, learner, checkpoint, seed] of both regrets, and sums that
    rise from one environment to the next."""
    values = np.asarray(values, float)
    dims = ("environment", "learner", "checkpoint", "seed")
    rising = 1 + np.arange(len(environments), dtype=float)[:, None, None, None]
    metrics = dict.fromkeys(("regret", "dynamic_regret"), values)
    metrics |= {name: rising * np.ones_like(values) for name in SUMS}
    coords = {
        "environment": environments,
        "learner": learners,
        "checkpoint": list(checkpoints or [horizon]),
    }
    return xr.Dataset({k: (dims, x) for k, x in metrics.items()}, coords, {"horizon": horizon})


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("figure", paper.PAPER.figures, ids=lambda figure: figure.name)
def test_studies_are_named_apart_and_small_enough(figure, scale):
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    rounds = sum(
        study.horizon * study.seeds * len(study.environments) * len(study.learners)
        for study in found
    )
    assert rounds <= {"smoke": 1.5e6, "quick": 1.5e8, "paper": 3e9}[scale]
    most = runs.SIZES[scale].seeds * (4 if figure.name == "table" else 1)
    assert all(study.seeds <= most for study in found)


def test_paper_scale_has_its_seeds_but_for_newton_steps_and_where_nothing_is_drawn():
    fewer = {"moves", "sure", "logistic"}
    for figure in paper.PAPER.figures:
        for study in figure.studies("paper"):
            assert study.name in fewer or study.seeds >= 1000, study.name


def test_a_figure_for_real(tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    selections = select(["optimistic_mirror_descent/hard"], {paper.PAPER.name: paper.PAPER})
    (outcome,) = reproduce(selections, options, say=lambda text: None)
    assert outcome.errors == []
    assert (tmp_path / "optimistic_mirror_descent" / "hard.png").stat().st_size > 0
    assert [result.claim.name for result in outcome.results] == [
        "lower-bound",
        "lower-bound-is-met",
    ]
    for result in outcome.results:
        assert result.estimate.low < special.FAIR < result.estimate.high


@pytest.mark.parametrize("figure", paper.PAPER.figures, ids=lambda figure: figure.name)
def test_every_figure_is_drawn_and_every_claim_judged(figure):
    """On invented results of the right shape; nothing is simulated."""
    rng, data = np.random.default_rng(0), {}
    for i, study in enumerate(figure.studies("paper")):
        stops = study.checkpoints or (study.horizon,)
        shape = len(study.environments), len(study.learners), len(stops), 8
        rising = i + np.arange(shape[0])[:, None, None, None] + np.arange(shape[2])[:, None]
        values = rng.uniform(1, 2, shape) + 10 * rising
        names = list(study.environments), list(study.learners)
        data[study.name] = dataset(values, *names, study.horizon, stops)
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in paper.PAPER.claims_of(figure):
        assert math.isfinite(claims.judge(claim, data).estimate.value), claim.name


# ---- bounds --------------------------------------------------------------------------------

UNIT = bounds.Problem(5, 2.0, 2.0, 1.0, 1.0, 0.25, 0.25, 4.0)
STEEP = UNIT._replace(smoothness=3.0, gradient=5.0, convexity=0.5, concavity=0.1)
ODD = UNIT._replace(smoothness=0.05, gradient=0.7, convexity=0.04, concavity=0.4, diameter=1.3)
PROBLEMS = pytest.mark.parametrize("p", [UNIT, STEEP, ODD], ids=["unit", "steep", "odd"])
PAIRS = pytest.mark.parametrize(("variance", "variation"), [(0, 0), (1000, 0), (3.0, 1.6e4)])


def worst(value):
    """The largest value over S >= 0, by searching."""
    found = minimize_scalar(
        lambda log: -value(math.exp(log)), bounds=(-20, 20), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    return max(-found.fun, value(0.0))


@pytest.mark.parametrize(
    ("sums", "value"),
    [((0, 0), 86), ((1000, 0), 533), ((2555, 0.67), 809), ((0, 15996), 1350), ((1000, 1), 543)],
)
def test_the_convex_bound_has_the_values_of_the_specification(sums, value):
    assert bounds.mirror_descent(UNIT, *sums) == pytest.approx(value, abs=0.6)


@PROBLEMS
@PAIRS
def test_convex_bounds_by_the_step_before_the_last(p, variance, variation):
    """What a learner's moves cost and gain is put back, and searched over."""
    d, g, smooth = p.diameter, p.gradient, p.smoothness
    fixed = g**2 + 8 * variance + 4 * variation
    delta, first = 10 * d**2 * smooth**2, smooth + g / d

    def descent(s):
        gained = math.sqrt(delta) / (4 * d) * s
        return (
            2.5 * d * (math.sqrt(4 * g**2 + fixed + 4 * smooth**2 * s) + math.sqrt(delta)) - gained
        )

    def leader(s):
        last = math.sqrt(first**2 + 2 / d**2 * (fixed + 4 * smooth**2 * s)) + 4 * g / d
        return 1.75 * d**2 * last - d**2 * first / 2 - first / 6 * s

    assert worst(descent) <= bounds.mirror_descent(p, variance, variation) * (1 + 1e-9)
    assert worst(leader) <= bounds.regularised_leader(p, variance, variation) * (1 + 1e-9)


@PROBLEMS
@pytest.mark.parametrize(("factor", "late"), [(1.0, 32.0), (2.0, 128.0)])
def test_logarithmic_bounds_cover_every_order_of_the_terms(p, factor, late):
    """Against the sum itself, at a constant distribution and where all moves come early."""
    rounds = np.arange(2, 4001)
    bound = {1.0: bounds.strongly_convex_leader, 2.0: bounds.strongly_convex_descent}[factor]
    moving = [t for t in rounds if t * (t - 1) < late * (p.smoothness / p.convexity) ** 2]
    moving = sum(4 * (p.smoothness * p.diameter) ** 2 / t for t in [*moving, len(moving) + 2])
    for moves in (0, 20, len(rounds)):
        moved = np.where(np.arange(len(rounds)) < moves, p.most_variation, 0)
        terms = 8 * p.most_variance + 4 * moved
        exact = factor / p.convexity * (p.gradient**2 + np.sum(terms / rounds) + moving)
        sums = p.most_variance * 4000, float(moved.sum())
        assert exact <= bound(p, *sums) * (1 + 1e-9)
    still = p._replace(most_variance=0.0, most_variation=0.0)
    assert bound(still, 0.0, 0.0) <= factor / p.convexity * (p.gradient**2 + moving) * (1 + 1e-9)


@PROBLEMS
@PAIRS
def test_the_newton_bound_by_the_step_before_the_last(p, variance, variation):
    d, size, g = p.diameter, p.dimension, p.gradient
    beta = min(1 / (4 * g * d), p.concavity) / 2
    h = 1 + beta * g**2 / 2
    c = (beta * g**2 / 2) / h

    def value(s):
        v = g**2 + 8 * variance + 4 * variation + 4 * p.smoothness**2 * s
        drawn = (1 + c) * 8 * size / beta * math.log(1 + beta * v / (8 * size))
        return d**2 * h / 2 + drawn - h / 4 * s

    assert worst(value) <= bounds.newton(p, variance, variation) * (1 + 1e-9)


@PROBLEMS
@PAIRS
def test_the_dynamic_bound_by_the_step_before_the_last(p, variance, variation):
    steps, horizon, path = 6, 4000, 5.0
    d, g, smooth = p.diameter, p.gradient, p.smoothness
    e = math.sqrt(1 + math.log(steps))
    floor, fixed = 4 * d**2 * smooth**2 + 4 * g**2, g**2 + 8 * variance + 4 * variation

    def value(i, s):
        eta = min(1 / (8 * smooth), d / (g * math.sqrt(8 * horizon)) * 2**i)
        v = fixed + 4 * smooth**2 * s
        hedge = 1.75 * e * d * math.sqrt(floor + v)
        return hedge + (d**2 / 2 + d * path) / eta + eta * v - smooth / (3 * e) * s

    least = min(worst(partial(value, i)) for i in range(steps))
    assert least <= bounds.two_layer(p, variance, variation, path, steps, horizon) * (1 + 1e-9)


def test_constants_of_a_problem():
    p = bounds.problem_of(sea.mixture(0.5))
    assert p[:5] == pytest.approx((5, 2.0, 1 + 0.75 + 0.25, 1.0, 1.0))
    assert (p.most_variance, p.most_variation) == pytest.approx((0.0625, 1.0))
    logistic = bounds.problem_of(sea.logistic_mixture(0.3))
    assert logistic.concavity == pytest.approx(math.exp(-1)) and math.isnan(logistic.most_variance)


# ---- estimators ----------------------------------------------------------------------------


def test_ratios_to_bounds_find_the_worst_cell():
    names = ["dial 0", "dial 1"]
    environments = {name: sea.mixture(float(name[-1])) for name in names}
    values = np.ones((2, 1, 1, 4)) * np.array([3.0, 5.0])[:, None, None, None]
    data = dataset(values, names, [runs.OMD], 100)
    found = runs.cells(data, environments, runs.OMD, lambda env, *sums: 10 * sums[0] + sums[1])
    assert found["dial 0"].bound == 11 and found["dial 1"].bound == 22
    assert runs.largest_ratio(found.values(), 0.95).value == pytest.approx(3 / 11)


def test_tiled_environments_are_the_same():
    env = runs.tiled(sea.alternating(), 5)
    np.testing.assert_array_equal(env.means[:, 0], [1, -1, 1, -1, 1])
    assert env.spread.shape == (5,)


def test_logarithms_and_roots_are_told_apart():
    rng, horizons = np.random.default_rng(0), (1000, 4000, 16_000, 64_000)
    noise = rng.normal(0, 0.01, (1, 2, 4, 50))
    shapes = np.stack([3 * np.log(horizons) + 7, np.sqrt(horizons)])[None, :, :, None]
    data = {"drawn": dataset(shapes + noise, ["i.i.d."], ["log", "root"], 64_000, horizons)}
    log, root = (growth.increments("i.i.d.", name, data, 0.99) for name in ("log", "root"))
    assert log.low < 1 < log.high and log.high - log.low < 0.01
    assert root.low < 2 < root.high
    assert growth.exponent("i.i.d.", "root", data, 0.99).value == pytest.approx(0.5, abs=1e-3)
    assert growth.settled("i.i.d.", "root", data, 0.99).value == pytest.approx(8, rel=1e-3)


def test_paths_are_measured_against_the_order_of_the_theorem():
    names = [f"{c} switches" for c in dynamic.SWITCHES]
    data = {"paths": dataset(np.ones((4, 1, 1, 5)), names, [runs.TWO], 4000)}
    orders = np.array([dynamic._theorem(data["paths"], name) for name in names])
    np.testing.assert_allclose(orders[0], 1 + math.sqrt(2) * 2)  # P = sigma^2 = Sigma^2 = 1
    paths = 1 + np.arange(1.0, 5.0)
    values = (orders * paths**0.3)[:, None, None, None] * np.ones((4, 1, 1, 5))
    data = {"paths": dataset(values, names, [runs.TWO], 4000)}
    assert dynamic.path_exponent("switches", data, 0.95).value == pytest.approx(0.3)


def reference_data(shift, horizon=table.HORIZON):
    """Regrets around the reference table, every mean off by `shift` standard errors."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(20_000)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    found = {}
    for scenario, row in table.REFERENCE.items():
        for learner, printed in row.items():
            digit = 10.0 ** -len(printed.partition(".")[2])
            error = math.sqrt(1 / table.STREAMS + digit**2 / 12)
            values = float(printed) + shift * error + noise
            found[f"{scenario}, {learner}"] = dataset(
                values[None, None, None], [scenario], [learner], horizon
            )
    return found


def test_the_reference_is_met_where_it_is_and_missed_where_it_is_not():
    assert sum(len(row) for row in table.REFERENCE.values()) == 5 * 7 + 8
    for shift, verdict in ((0.5, "REPRODUCED"), (6.0, "NOT REPRODUCED")):
        data = reference_data(shift)
        assert table.furthest(data, 0.99).value == pytest.approx(shift, rel=0.01)
        for claim in table.CLAIMS:
            assert claims.judge(claim, data).verdict == verdict
    elsewhere = claims.judge(table.CLAIMS[0], reference_data(0.5, horizon=400))
    assert elsewhere.verdict == "UNDECIDED" and "not a number" in elsewhere.reason


def test_corruption_is_what_it_is_called():
    env = special._corrupted(100, 16)
    away = env.means[:, 1]
    np.testing.assert_array_equal(away[:4], [1, -1, 1, -1])
    assert np.abs(away).sum() == 16 and np.all(away[16:] == 0)
    moved = np.sum(np.diff(env.means, axis=0) ** 2)
    assert moved <= 4 * float(env.gradient_bound) * 16


def test_the_constant_of_the_lower_bound_by_drawing_sums():
    """E |S| / sqrt(T) of 400 points on the sphere, to five standard errors."""
    points = np.random.default_rng(0).standard_normal((4000, 400, 5))
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    lengths = np.linalg.norm(points.sum(axis=1), axis=1) / math.sqrt(400)
    error = lengths.std() / math.sqrt(len(lengths))
    assert abs(lengths.mean() / 2 - special.FAIR) < 5 * error / 2 + 1e-3  # 1 / T for the limit


def test_names_of_the_dial():
    made = dial._mixtures("linear", ["dial 0", "dial 0.05", "dial 1"])
    assert [env.loss for env in made.values()] == ["linear"] * 3
    np.testing.assert_allclose(made["dial 0.05"].spread, 0.475)
