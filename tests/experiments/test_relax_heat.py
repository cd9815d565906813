"""The heat equation: figures run for real at the smallest scale, estimators on invented runs."""

import math

import numpy as np
import pytest
import xarray as xr

from regrax.core import claims, plotting
from regrax.core.claims import Verdict
from regrax.core.study import run as results_of
from regrax.envs.linear_systems import OMEGAS
from regrax.experiments.learning_to_relax import heat as heat
from regrax.experiments.learning_to_relax import heat_clock as clock
from regrax.experiments.learning_to_relax import heat_runs as setup
from regrax.experiments.learning_to_relax.heat_table import HeatBesideCG
from regrax.experiments.paper import Paper
from regrax.experiments.reproduce import Options, reproduce, select

PAPER = Paper("heat", "Heat", "nobody", "", heat.FIGURES, heat.CLAIMS)
BY_NAME = {claim.name: claim for claim in heat.CLAIMS}
REPRODUCED, NOT, OPEN = Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.UNDECIDED


def invented(nx, fixed, learned, least=20_000, cg=400_000, steps=5000, omega=None):
    """A study: totals with every parameter [20], and of learners as (mean, deviation), all of them
    spent evenly over the steps. `omega` [window] is what all of them play; 1 by default."""
    rounds = np.array(setup.checkpoints(steps))
    share = rounds / steps
    z = np.random.default_rng(nx).standard_normal((len(setup.LEARNERS), 64))
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, ddof=1, keepdims=True)
    totals = np.stack([m + s * row for (m, s), row in zip(learned.values(), z, strict=True)])
    omega = np.ones(len(rounds)) if omega is None else omega
    shape = (1, *totals.shape[:1], len(rounds), totals.shape[1])

    def spread(x, *own):
        """[checkpoint, ...] for every learner and seed."""
        x = np.asarray(x, float)
        x = x.reshape(1, 1, len(rounds), 1, *x.shape[1:])
        return np.broadcast_to(x, (*shape, *own))

    dims = ("environment", "learner", "checkpoint", "seed")
    data = {
        "iterations": (dims, (totals[:, None, :] * share[:, None])[None]),
        "omega": (dims, spread(setup.WINDOW * np.cumsum(omega))),
        "omega_squared": (dims, spread(setup.WINDOW * np.cumsum(omega**2))),
        "fixed_iterations": ((*dims, "arm"), spread(np.outer(share, fixed), len(OMEGAS))),
        "least_iterations": (dims, spread(least * share)),
        "cg_iterations": (dims, spread(cg * share)),
    }
    coords = {"environment": ["heat"], "learner": list(learned), "checkpoint": rounds}
    return {f"heat-nx{nx}": xr.Dataset(data, coords, {"horizon": steps})}


def bowl(best, least=60_000.0):
    """Totals of fixed parameters, least at `best`."""
    return least * (1 + 2 * np.abs(OMEGAS - best))


def known(nx):
    """Every total as the other program has it."""
    totals = heat.TOTALS[nx]
    pairs = sorted((x, total) for x, total in totals.items() if isinstance(x, float))
    fixed = np.interp(OMEGAS, *np.array(pairs).T)
    return invented(
        nx, fixed, heat.LEARNED.get(nx, dict.fromkeys(setup.LEARNERS, (90_000, 500))),
        totals.get(heat.LEAST, 80_000), totals["CG"],
    )  # fmt: skip


def verdict(name, data):
    return claims.judge(BY_NAME[name], data, 0.05 / len(heat.CLAIMS)).verdict


def learned(tsallis, binned, cheb, deviation=100.0):
    return dict(zip(setup.LEARNERS, ((x, deviation) for x in (tsallis, binned, cheb)), strict=True))


# ---- for real ------------------------------------------------------------------------------


def test_every_figure_for_real(tmp_path, monkeypatch):
    """Runs of 75 steps are drawn; no claim can be decided on them."""
    monkeypatch.setattr(clock, "SECONDS", 0.01)
    options = Options("smoke", output=tmp_path, progress=False)
    outcomes = reproduce(select(["heat"], {"heat": PAPER}), options, say=lambda text: None)
    assert [error for outcome in outcomes for error in outcome.errors] == []
    assert all((tmp_path / "heat" / f"{f.name}.png").stat().st_size > 0 for f in heat.FIGURES)
    results = [result for outcome in outcomes for result in outcome.results]
    assert len(results) == len(heat.CLAIMS)
    assert all(r.verdict == OPEN and "not a number" in r.reason for r in results)

    study = setup.study(25, "smoke")
    stored = results_of(study, store=tmp_path / "store", progress=False)
    (found,) = setup.runs({study.name: stored})
    table = HeatBesideCG(25, 75).tabulate(75)
    at = np.array(setup.checkpoints(75)) - 1
    counts = table["counts"][0].astype(int)
    np.testing.assert_array_equal(found.fixed, counts.cumsum(axis=0)[at])
    np.testing.assert_array_equal(found.least, counts.min(axis=1).cumsum()[at])
    np.testing.assert_array_equal(found.cg, table["cg"][0].astype(int).cumsum()[at])
    assert table["cg"][0, :10].tolist() == [2, 2, 2, 3, 3, 3, 3, 3, 3, 3]
    assert np.all(found.of(setup.CHEB)[-1] >= found.least[-1])


def test_scales():
    paper, quick = (setup.studies(scale) for scale in ("paper", "quick"))
    assert [study.horizon for study in paper] == [5000] * 4 and paper[0].seeds == 200
    assert {study.name: study.horizon for study in quick} == {"heat-nx25": 5000, "heat-nx50": 1000}
    for scale in setup.SIZES:
        (actions,) = setup.actions_study(scale)
        assert (actions.checkpoints or (0,))[-1] == actions.horizon  # the last window is whole


# ---- estimators ----------------------------------------------------------------------------


@pytest.mark.parametrize("nx", heat.TOTALS)
def test_totals_of_the_other_program(nx):
    data = known(nx)
    assert verdict(f"heat-totals-{nx}", data) == REPRODUCED
    for metric in ("cg_iterations", "fixed_iterations"):
        off = {name: part.assign({metric: part[metric] * 1.002}) for name, part in data.items()}
        assert verdict(f"heat-totals-{nx}", off) == NOT
    other = next(x for x in heat.TOTALS if x != nx)
    assert verdict(f"heat-totals-{other}", data) == OPEN


@pytest.mark.parametrize("learner", setup.LEARNERS)
def test_means_of_the_other_program(learner):
    name = f"heat-mean-{learner.lower()}"
    data = known(25) | known(100)
    assert verdict(name, data) == REPRODUCED
    mean, deviation = heat.LEARNED[100][learner]
    for away, expected in ((1, REPRODUCED), (9, NOT)):
        moved = heat.LEARNED[100] | {learner: (mean + away * deviation / 20**0.5, deviation)}
        estimate = heat.learned_distance(
            learner, known(25) | invented(100, bowl(1.75), moved), 0.99
        )
        assert estimate.value == pytest.approx(away, abs=1e-6)
        assert verdict(name, known(25) | invented(100, bowl(1.75), moved)) == expected


def test_speed_ups():
    fixed = bowl(1.85)
    players = learned(fixed[0] / 2.4, 1.0, fixed[0] / 2.0)
    data = invented(200, fixed, players)
    assert heat.speed_up(setup.TSALLIS, 200, data, 0.99).value == pytest.approx(2.4)
    assert verdict("heat-speed-up-tsallis-inf", data) == REPRODUCED
    assert verdict("heat-speed-up-chebcb", data) == NOT
    assert verdict("heat-speed-up-chebcb", known(100)) == OPEN


def test_rankings():
    """Best fixed 60,000 at omega = 1.75; 1.5 costs 90,000, 1 costs 150,000, CG 400,000."""
    good = invented(100, bowl(1.75), learned(70_000, 65_000, 20_600))
    bad = invented(100, bowl(1.75), learned(95_000, 65_000, 61_000))
    worse = invented(100, bowl(1.75), learned(155_000, 65_000, 20_600))
    for name in ("beats-best-fixed", "beats-cg", "beats-middle", "near-least"):
        assert verdict(f"heat-{name}", good) == REPRODUCED
    for name in ("beats-best-fixed", "beats-middle", "near-least"):
        assert verdict(f"heat-{name}", bad) == NOT
        assert (
            verdict(f"heat-{name}", good | invented(200, bowl(1.85), learned(110_000, 0, 61_000)))
            == NOT
        )
    assert verdict("heat-beats-cg", bad) == REPRODUCED
    assert verdict("heat-beats-cg", worse) == NOT
    small = invented(25, bowl(1.4), learned(95_000, 65_000, 61_000))
    assert verdict("heat-beats-middle", small) == OPEN


def test_the_best_fixed_parameter():
    players = learned(1, 1, 1)
    sizes = {nx: invented(nx, bowl(best), players) for nx, best in ((25, 1.4), (50, 1.6))}
    assert verdict("heat-best-grows", sizes[25]) == OPEN
    assert verdict("heat-best-grows", sizes[25] | sizes[50]) == REPRODUCED
    assert verdict("heat-best-grows", sizes[50] | invented(100, bowl(1.6), players)) == NOT
    short = invented(100, bowl(1.75), players, steps=75)
    assert heat.least_growth(sizes[25] | sizes[50] | short, 0.99)[:3] == pytest.approx((0.2,) * 3)
    assert heat.tie_of_middle(sizes[25], 0.99).value == pytest.approx(1.2)
    assert verdict("heat-middle-ties", sizes[25]) == NOT
    assert verdict("heat-middle-ties", invented(50, bowl(1.5), players)) == REPRODUCED
    assert verdict("heat-middle-ties", short) == OPEN


@pytest.mark.parametrize("steps", [1000, 5000])
def test_actions(steps):
    """1.1 in the half of each period in which kappa is small, 1.6 in the other."""
    omega = np.tile(np.repeat([1.1, 1.6], 20), steps // 1000)
    players = learned(1, 1, 1)
    data = invented(50, bowl(1.5), players, steps=steps, omega=omega)
    assert heat.follows(setup.CHEB, data, 0.99).value == pytest.approx(0.5)
    assert verdict("heat-actions-follow", data) == REPRODUCED
    backwards = invented(50, bowl(1.5), players, steps=steps, omega=omega[::-1])
    assert verdict("heat-actions-follow", backwards) == NOT
    (run,) = setup.runs(data)
    value, spread = heat.played(run, setup.CHEB)
    np.testing.assert_allclose(value, omega)
    np.testing.assert_allclose(spread, 0, atol=1e-5)


def test_spread_of_actions():
    """Two seeds that play 1 and 2: mean 1.5, deviation 1/2."""
    data = invented(50, bowl(1.5), learned(1, 1, 1), steps=50)
    part = data["heat-nx50"].isel(seed=[0, 1])
    twice = xr.DataArray([1.0, 2.0], dims="seed")
    part = part.assign(omega=part.omega * twice, omega_squared=part.omega_squared * twice**2)
    (run,) = setup.runs({"heat-nx50": part})
    value, spread = heat.played(run, setup.TSALLIS)
    np.testing.assert_allclose(value, 1.5)
    np.testing.assert_allclose(spread, 0.5)


def test_times_by_hand():
    (run,) = setup.runs(invented(50, bowl(1.5), learned(70_000, 65_000, 50_000)))
    solver = {"CG": 1e-3, "SSOR-PCG": 2e-3, "direct solver": 0.1}
    found = clock.times(run, solver, dict.fromkeys(setup.LEARNERS, 1e-2))
    expected = {
        "CG": 400, "SSOR-PCG, ω = 1": 240, "SSOR-PCG, best fixed ω": 120, "direct solver": 500,
        setup.TSALLIS: 190, setup.BINNED: 180, setup.CHEB: 150,
    }  # fmt: skip
    assert found == pytest.approx(expected)


def test_pictures_of_all_sizes(monkeypatch):
    """With the clock stopped; a run that was cut short is scaled up."""
    monkeypatch.setattr(
        clock, "solver_seconds", lambda nx: dict.fromkeys(("CG", "SSOR-PCG", "direct solver"), 1e-3)
    )
    monkeypatch.setattr(clock, "learner_seconds", lambda steps: dict.fromkeys(setup.LEARNERS, 1e-4))
    short = invented(50, bowl(1.5, 12_000.0), learned(14_000, 13_000, 12_500), 4_000, 80_000, 1000)
    data = known(25) | short | known(100) | known(200)
    with plotting.style():
        left, right = heat.plot_iterations(data).axes
        clock.plot_clock(data)
    (line,) = (line for line in left.lines if line.get_label() == "CG")
    np.testing.assert_allclose(
        np.asarray(line.get_ydata(), float), [85_422, 400_000, 325_008, 655_331]
    )
    (line,) = (line for line in right.lines if line.get_label() == heat.LEAST)
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), 1)
    assert [text.get_text() for text in left.get_xticklabels()][1] == "2,401\nnx = 50"
    assert not math.isnan(right.get_ylim()[1])
