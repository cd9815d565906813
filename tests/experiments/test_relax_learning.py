"""Tuning SOR: studies that share their tables, figures on invented curves, estimators by hand."""

import io
import math

import jax
import numpy as np
import pytest
import xarray as xr

from regrax.core import claims, plotting
from regrax.core.fingerprint import configuration
from regrax.core.tapes import environment_tape
from regrax.envs.linear_systems import OMEGAS, DiagonalShifts
from regrax.experiments.learning_to_relax import estimates, learning, rates
from regrax.experiments.learning_to_relax import trials as setup
from regrax.experiments.paper import SCALES, Paper, Scale
from regrax.experiments.reproduce import Options, reproduce, select

PAPER = Paper("relax_learning", "t", "r", "s", learning.FIGURES, learning.CLAIMS)
FIGURES = {figure.name: figure for figure in learning.FIGURES}
SEEDS = 60


# ---- invented results ----------------------------------------------------------------------


def course(law, who, rounds):
    """Mean iterations so far of a player, through all numbers of the reference."""
    at = {0: 0.0}
    at |= {t: t * x for t, x in estimates.EARLY[law].get(who, {}).items()}
    total = 5000 * estimates.REFERENCE[law].get(who, (90.0, 1.0))[0]
    if who == setup.CHEB:
        first, dear = estimates.CROSSINGS[law], estimates.REFERENCE[law][setup.LAWS[law].reference]
        at |= {first // 2: 0.75 * first * dear[0], first: first * dear[0]}
    if who in estimates.LATE[law]:
        at[4000] = total - 1000 * estimates.LATE[law][who]
    at[5000] = total
    points = np.array(sorted(at.items()))
    return np.interp(rounds, points[:, 0], points[:, 1])


def invented(study, rng, faulty=1.0):
    """A data set of the study as if the reference were true; `faulty` scales what is learned."""
    rounds = np.array(study.checkpoints)
    parts = []
    for law in study.environments:
        deviates = rng.standard_normal((len(study.learners), SEEDS))
        deviates -= deviates.mean(axis=1, keepdims=True)
        deviates /= deviates.std(axis=1, ddof=1, keepdims=True)

        def runs(who, noise, law=law):
            mean, spread = estimates.REFERENCE[law].get(who, (90.0, 1.0))
            return course(law, who, rounds)[:, None] * (1 + spread / mean * noise)

        one = {
            "iterations": np.stack(
                [faulty * runs(x, z) for x, z in zip(study.learners, deviates, strict=True)]
            ),
            "best_iterations": np.stack([runs(setup.OPTIMAL, deviates[0])] * len(deviates)),
        }
        one["contextual_regret"] = one["iterations"] - one["best_iterations"]
        arms = [round(float(x), 2) for x in next(iter(study.environments.values())).omegas]
        fixed = np.stack([runs(omega, deviates[0]) for omega in arms], axis=-1)
        one["fixed_iterations"] = np.stack([fixed] * len(deviates))
        parts.append(one)
    dims = ("environment", "learner", "checkpoint", "seed")
    variables = {
        name: ((*dims, "arm")[: parts[0][name].ndim + 1], np.stack([x[name] for x in parts]))
        for name in parts[0]
    }
    coords = {
        "environment": list(study.environments), "learner": list(study.learners),
        "checkpoint": rounds,
    }  # fmt: skip
    return xr.Dataset(variables, coords, {"horizon": study.horizon})


def results(figure, scale: Scale = "paper", faulty=1.0):
    rng = np.random.default_rng(0)
    return {s.name: invented(s, rng, faulty) for s in FIGURES[figure].studies(scale)}


def growth_results(power):
    """Regret 3 T^power of both learners."""
    data = results("regret_growth")
    rng = np.random.default_rng(1)
    for law in setup.LAWS:
        fine = data[f"fine, {law}"]
        for t in fine.checkpoint.values:
            cell = data[f"grid of {t}, {law}"]
            least = fine.fixed_iterations.sel(checkpoint=[t]).min("arm").values
            cell["iterations"][:] = least + 3 * t**power * rng.uniform(0.9, 1.1, SEEDS)
    growing = 3 * data["contextual"].checkpoint.values[:, None] ** power
    data["contextual"]["contextual_regret"][:] = growing * rng.uniform(0.9, 1.1, SEEDS)
    return data


# ---- studies -------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
def test_studies_share_their_tables_and_their_runs(scale):
    """The same learner has the same address in every figure, so that it runs once."""
    addresses, tables = {}, set()
    for figure in learning.FIGURES:
        found = figure.studies(scale)
        assert len({study.name for study in found}) == len(found)
        for study in found:
            for law, environment in study.environments.items():
                if not np.array_equal(environment.omegas, OMEGAS):
                    continue
                tables.add((law, study.horizon, study.checkpoints, study.root_seed))
                for who, learner in study.learners.items():
                    parts = environment, learner, study.horizon, study.checkpoints or (), 0
                    addresses.setdefault((law, who), set()).add(configuration(*parts).address)
    assert len(tables) == 2
    assert all(len(found) == 1 for found in addresses.values())
    assert len({next(iter(found)) for found in addresses.values()}) == len(addresses)


def test_checkpoints_that_claims_look_at():
    assert {500, 1000, 2000, 4000, 5000} <= set(setup.checkpoints(5000))
    for size in setup.SIZES.values():
        rounds = setup.checkpoints(size.horizon)
        assert set(size.horizons) <= set(rounds) and rounds[-1] == size.horizon


def test_a_system_is_the_same_at_any_horizon():
    """Regret is measured between runs of different horizons and grids. (What is made of the draws
    may differ in its last float32 digit, as programs of other shapes round differently.)"""
    short, long = (
        environment_tape(DiagonalShifts(omegas=np.array(grid)), np.arange(2), t, 0)
        for grid, t in (([1.5, 1.7], 20), ([1.3, 1.7, 1.8], 40))
    )
    np.testing.assert_allclose(short.b, long.b[:, :20], rtol=1e-6)
    for one, other in zip(jax.tree.leaves(short), jax.tree.leaves(long), strict=True):
        np.testing.assert_allclose(one, other[:, :20], rtol=1e-5, atol=1e-6)


def test_the_grid_of_the_theory():
    """d grows as the cube root of T, and the last parameter is omega* of the hardest system."""
    small, large = (rates.theory_grid(setup.LOW, t) for t in (1000, 64_000))
    assert 4 * (len(small) - 1) < len(large) <= 4 * len(small)
    beta = 4 * math.cos(math.pi / 11) / 3.85
    assert large[-1] == small[-1] <= 1 + (beta / (1 + math.sqrt(1 - beta**2))) ** 2
    np.testing.assert_allclose(np.diff(small), small[0] - 1)


def test_a_figure_for_real(tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    selections = select(["relax_learning/learning_low_variance"], {PAPER.name: PAPER})
    (outcome,) = reproduce(selections, options, say=lambda text: None)
    assert outcome.errors == []
    assert (tmp_path / PAPER.name / "learning_low_variance.png").stat().st_size > 0
    assert {result.verdict for result in outcome.results} == {claims.Verdict.UNDECIDED}
    assert all("not a number" in result.reason for result in outcome.results)


# ---- figures and claims on invented results ------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_and_every_claim_judged(name):
    """Where the reference is the truth, its claims hold; some are left open by 60 seeds."""
    data = growth_results(0.5) if name == "regret_growth" else results(name)
    with plotting.style():
        FIGURES[name].plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in PAPER.claims_of(FIGURES[name]):
        result = claims.judge(claim, data)
        assert math.isfinite(result.estimate.value), claim.name
        assert claim.region[0] <= result.estimate.value <= claim.region[1], claim.name
        if not any(part in claim.name for part in ("spread", "context-pays", "crossing")):
            assert result.verdict == claims.Verdict.REPRODUCED, claim.name


def test_a_learner_that_costs_a_fifth_more_is_found_out():
    data = results("contextual_low_variance", faulty=1.2)
    failed = {
        claim.name
        for claim in PAPER.claims_of(FIGURES["contextual_low_variance"])
        if claims.judge(claim, data).verdict == claims.Verdict.NOT_REPRODUCED
    }
    assert {
        "means-low",
        "chebcb-excess-low",
        "chebcb-speed-up-low",
        "chebcb-crossing-low",
    } <= failed


def test_growth_that_is_too_fast_is_found_out():
    for power, verdict in ((0.5, "REPRODUCED"), (0.9, "NOT REPRODUCED")):
        data = growth_results(power)
        for claim in PAPER.claims_of(FIGURES["regret_growth"]):
            result = claims.judge(claim, data)
            assert result.estimate.value == pytest.approx(power, abs=0.03)
            assert result.verdict == verdict


def test_claims_about_5000_systems_wait_for_them():
    for name in ("contextual_high_variance", "root_finder", "regret_growth"):
        data = results(name, "smoke")
        for claim in PAPER.claims_of(FIGURES[name]):
            assert claims.judge(claim, data).verdict == claims.Verdict.UNDECIDED, claim.name


# ---- estimators ----------------------------------------------------------------------------


def test_distance_by_hand():
    """Standard error of theirs: 2 / sqrt(40), and what rounding to 0.1 hides, 0.1 / sqrt(12)."""
    values = 11.0 + np.array([-1.0, 0.0, 1.0] * 20)
    found = estimates.distance(values, 10.5, 2.0, 0.95)
    error = math.sqrt(4 / 40 + 0.01 / 12)
    assert found.value == pytest.approx(0.5 / error)
    assert found.low < found.value < found.high
    own = estimates.distance(values, 10, None, 0.95)  # a whole number: rounded to 1
    assert own.value == pytest.approx(1 / math.sqrt(values.var(ddof=1) / 40 + 1 / 12))


def test_where_a_curve_falls_below_zero_for_good():
    rounds = np.array([10.0, 20.0, 30.0, 40.0])
    assert estimates._last_zero(rounds, np.array([-1.0, 2.0, 1.0, -3.0])) == 32.5
    assert estimates._last_zero(rounds, np.array([-1.0, -2.0, -1.0, -3.0])) == 10
    assert estimates._last_zero(rounds, np.array([1.0, 2.0, -1.0, 3.0])) == math.inf


@pytest.mark.parametrize("law", ["normal", "gamma"])
def test_the_ratio_of_spreads_covers(law):
    """Of 400 intervals at 95 % of a ratio of 3, 48 may miss: binomial, 1e-6. The pairs share a
    part, and the gamma law has kurtosis 4.5, where intervals by an F law would miss in a sixth."""
    rng, misses, n = np.random.default_rng(0), 0, 150
    for _ in range(400):
        x = rng.standard_normal((3, n)) if law == "normal" else rng.gamma(4.0, size=(3, n))
        found = estimates.spread_ratio(3 * (x[0] + x[1]), x[0] + x[2], 0.95)
        misses += not found.low <= 3 <= found.high
    assert misses <= 48
