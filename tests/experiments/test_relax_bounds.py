"""Bounds on SOR and SSOR-CG: smoke studies run and drawn, estimators on counts that are known."""

import io
import math

import numpy as np
import pytest
import xarray as xr

from regrax.core import claims, plotting
from regrax.core.store import Store
from regrax.core.study import run
from regrax.core.tapes import environment_tape
from regrax.envs import solver_theory as theory
from regrax.envs.grids import square
from regrax.envs.linear_systems import DiagonalShifts
from regrax.experiments.learning_to_relax import bounds as paper
from regrax.experiments.learning_to_relax import cg_bounds as cg
from regrax.experiments.learning_to_relax import sor_bounds as sor
from regrax.experiments.learning_to_relax import spectra as spectra
from regrax.experiments.paper import SCALES

CLAIM = {claim.name: claim for claim in paper.CLAIMS}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Results of every figure at the smallest scale."""
    store = Store(tmp_path_factory.mktemp("store"))
    return {
        figure.name: {s.name: run(s, store=store, progress=False) for s in figure.studies("smoke")}
        for figure in paper.FIGURES
    }


def known(name, counts, environment=None):
    """A study of one round with these counts [seed, omega]."""
    values = np.asarray(counts, float)[None, None, None]
    dims = ("environment", "learner", "checkpoint", "seed", "arm")
    coords = {"environment": [environment or name], "learner": ["none"], "checkpoint": [1]}
    return {name: xr.Dataset({"fixed_iterations": (dims, values)}, coords)}


@pytest.mark.parametrize("figure", paper.FIGURES, ids=lambda figure: figure.name)
def test_a_figure_for_real(smoke, figure):
    data = smoke[figure.name]
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in (claim for claim in paper.CLAIMS if claim.figure == figure.name):
        assert math.isfinite(claims.judge(claim, data).estimate.value), claim.name


@pytest.mark.parametrize("scale", SCALES)
def test_grids_and_studies(scale):
    for figure in paper.FIGURES:
        names = [study.name for study in figure.studies(scale)]
        assert names and len(set(names)) == len(names)
    size = spectra.SIZES[scale]
    assert sor.STAR in spectra.omegas("fixed", size.fixed[0])
    assert np.isclose(spectra.omegas("degenerate", size.degenerate[0]), 1.4).any()
    if scale != "smoke":
        assert set(spectra.LISTED) <= set(spectra.SHIFTS[scale])
        assert {name for name, *_ in cg.REFERENCE} == {
            study.name for study in cg.studies(scale) if not study.name.endswith(cg.PLAIN)
        }


def test_norms_by_blocks_are_those_of_the_whole_matrix():
    for shift, omega, power in ((0.0, 1.5, 20), (0.45, 1.0, 1), (-0.15, 1.8, 90)):
        A = square(10).matrix(4 + float(np.float32(shift)), 1.0)
        (whole,) = theory.power_norms(A, [omega], [power])
        assert spectra._norm(shift, omega, power) == pytest.approx(whole, rel=1e-7)


def test_tau_is_that_of_the_definition(smoke):
    grid, counts = sor._fixed(smoke["bound_comparison"])
    row = counts[0].astype(int)
    tau = theory.empirical_tau(square(10).matrix(4.0, 1.0), grid, row, sor.BETA)
    assert spectra.quotients(0.0, grid, counts[0]).max() == pytest.approx(tau, rel=1e-9)
    bound, own = sor._first_bound(smoke["bound_comparison"])
    assert own == pytest.approx(tau, rel=1e-9) and np.all(counts[0] < bound)


def test_drawn_shifts_are_those_of_the_systems(smoke):
    """omega*(c) of what is said to be the context takes the `best_iterations` of the run."""
    law, dataset = "low variance", smoke["comparators"]["low variance"]
    shifts = spectra.contexts_of(dataset, law)[:2]
    problem = DiagonalShifts()
    b = np.asarray(environment_tape(problem, np.arange(2), 1, 0).b)[:, 0].astype(float)
    best = dataset.best_iterations.values.reshape(-1)
    for shift, row, count in zip(shifts, b, best[:2], strict=True):
        star = float(theory.optimal_omega(spectra.beta_of(shift)))
        C = theory.residual_map(square(10).matrix(4 + shift, 1.0), star)
        sizes, residual = [], row
        for _ in range(int(count)):
            residual = C @ residual
            sizes.append(np.linalg.norm(residual) / np.linalg.norm(row))
        assert sizes[-1] < 1e-8 <= sizes[-2]


def test_the_eigenvector():
    b = spectra.eigenvector()
    C = theory.residual_map(square(10).matrix(4.0, 1.0), 1.4)
    np.testing.assert_allclose(C @ b, -0.4 * b, atol=1e-13 * np.abs(b).max())
    assert math.ceil(math.log(1e-8) / math.log(0.4)) == 21
    counts = dict(
        zip(spectra.omegas("degenerate", 10), spectra.eigenvector_counts(10), strict=True)
    )
    assert counts[1.4] == 21 == min(counts.values())


def test_u_of_one_right_hand_side_against_others():
    """All others below U, then half of them above it at one omega."""
    grid = spectra.omegas("fixed", 10)
    first = np.ceil(theory.asymptotic_count(grid, sor.BETA))
    counts = np.tile(first, (1001, 1))
    result = claims.judge(CLAIM["u-bounds-other-right-hand-sides"], known("fixed", counts))
    assert result.verdict == "REPRODUCED"
    counts[1::2, 3] *= 10
    result = claims.judge(CLAIM["u-bounds-other-right-hand-sides"], known("fixed", counts))
    assert result.verdict == "NOT REPRODUCED" and result.estimate.value == 0.5


def test_u_and_the_energy_bound_against_means():
    """Counts as far below U as half of what is between the bounds: a third of the distance."""
    grid = spectra.omegas("fixed", 10)
    first = np.ceil(theory.asymptotic_count(grid, sor.BETA))
    bound, _ = sor._first_bound(known("fixed", [first]))
    energy = sor._energy(grid)
    counts = np.vstack([first, np.tile(bound - 0.5 * np.abs(energy - bound), (9, 1))])
    assert np.any(energy > bound)
    found = sor._over_energy(known("fixed", counts), 0.99)
    np.testing.assert_allclose(np.asarray(found.value)[energy > bound], 1 / 3)
    loose = sor.looseness(known("fixed", np.vstack([first, np.tile(bound / 2, (9, 1))])), 0.99)
    assert loose.value == pytest.approx(2)


def test_the_best_parameter_with_its_interval():
    rng, law = np.random.default_rng(0), "low variance"
    grid = spectra.omegas("drawn", 96)
    means = 60 + 1000 * (grid - 1.65) ** 2
    noise = 40 * rng.standard_normal((2000, 1)) + rng.standard_normal((2000, 96))
    found = sor.best_omega(law, known(law, means + noise), 0.999)
    assert found.low <= 1.65 <= found.high and found.high - found.low < 0.08
    alone = sor.best_omega(law, known(law, means + 0 * noise), 0.999)
    assert tuple(alone[:3]) == (1.65, 1.65, 1.65)


def test_what_a_parameter_costs_more_than_the_best():
    counts = np.array([[10.0, 20.0, 5.0], [12.0, 22.0, 7.0]])
    assert sor._cost_of(counts, 1, 0.95).value == pytest.approx(21 / 6)
    assert sor._cost_of(counts, 2, 0.95).value == 1


@pytest.mark.parametrize(("mean", "verdict"), [(22.0, "REPRODUCED"), (26.0, "NOT REPRODUCED")])
def test_distances_from_a_reference(mean, verdict):
    rng = np.random.default_rng(0)
    estimate = cg.away(mean + rng.normal(0, 1, 500), 22, 0.999)
    assert claims.compare(estimate, CLAIM["cg-counts"].region) == verdict
    assert estimate.value == pytest.approx(abs(mean / 22 - 1), abs=0.01)


def test_tau_at_most_shifts():
    """Three shifts of four above 1 / e^2, by counts that make tau what is wanted."""
    data = {"shifts": xr.Dataset()}
    taus = {0.0: np.full(5, 0.2), 0.1: np.full(5, 0.2), 0.2: np.full(5, 0.2), 0.3: np.full(5, 0.1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectra, "shift_taus", lambda dataset, with_best: taus)
        assert sor.usual_tau(data, 0.99).value == 0.75
        assert sor.least_tau(data, 0.99).value == pytest.approx(0.1)


def test_the_factor_of_the_bound_on_cg():
    """Counts at 0.8 of the bound, over 1, need the factor 0.8."""
    grid = cg.omegas(10)
    bound = theory.ssor_cg_bound(grid, cg.spectrum("square", 100, 0.0))
    other = theory.ssor_cg_bound(grid, cg.spectrum("square", 100, 0.5))
    rows = [np.tile(1 + 0.8 * (x - 1), (4, 1)) for x in (bound, other)]
    parts = [known("x", row, f"{c}")["x"] for row, c in zip(rows, cg.SHIFTS, strict=True)]
    both = xr.concat(parts, "environment")
    assert cg.least_tau({"square 100": both}, 0.99).value == pytest.approx(0.8)
    at_best = cg.cost_of_minimiser({"square 100": both}, 0.99).value
    assert 1 <= at_best < 1.05
