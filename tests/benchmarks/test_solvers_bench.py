"""The solver benchmark at toy size, and its NumPy program against known counts. No speed here."""

import json

import numpy as np
import pytest

from regrax.benchmarks import numpy_solvers, solvers

OMEGAS = (1, 1.2, 1.4, 1.6, 1.8, 1.95)
RAMP = np.arange(1.0, 101.0)
COUNTS = {  # by the shift: right-hand sides of ones, 1..100, sin(1)..sin(100)
    -0.15: """2927 1950 1252 724 293 392
              2905 1936 1243 720 292 391
              1239 885 607 379 175 359""",
    0.0: """223 145 88 43 89 383
            222 145 88 43 89 382
            131 90 58 41 86 361""",
    0.45: """64 39 25 42 89 379
             64 40 25 43 90 378
             44 30 25 41 84 360""",
}


@pytest.mark.parametrize("shift", COUNTS)
def test_sor_needs_the_sweeps_that_the_authors_code_needs(shift):
    sides = (np.ones(100), RAMP, np.sin(RAMP))
    found = [[numpy_solvers.sor(shift, b, omega) for omega in OMEGAS] for b in sides]
    assert found == [[int(n) for n in line.split()] for line in COUNTS[shift].splitlines()]


def test_the_probabilities_of_tsallis_inf_solve_their_equation():
    rng = np.random.default_rng(0)
    learner = numpy_solvers.Tsallis(10, rng)
    for t in (0, 10, 5000):
        learner.t, learner.scale = t, 60.0
        learner.estimates = rng.uniform(0, 1e5, 20)
        p = learner.probabilities()
        x = learner.estimates / 60 - np.sqrt(t + 1) / np.sqrt(p)  # the same for every arm
        np.testing.assert_allclose(x, x.mean(), atol=1e-6 * (1 + abs(x.mean())))
        assert p.sum() == pytest.approx(1) and p.argmax() == learner.estimates.argmin()


def test_mean_counts_of_the_contextual_experiment_are_the_known_ones():
    """Of 40 trials of 5000 rounds 63.5 (1.6 fixed), 41.8 (optimal), with deviations of 46 and 13 an
    instance; after 500 rounds the learners are at 89, 94 and 64."""
    rounds = 500
    spent = numpy_solvers.contextual("low", rounds, 0)
    means = {name: used.iterations / rounds for name, used in spent.items()}
    assert means["fixed"] == pytest.approx(63.47, abs=6 * 46 / rounds**0.5)
    assert means["instance-optimal"] == pytest.approx(41.84, abs=6 * 13 / rounds**0.5)
    assert means["Tsallis-INF"] == pytest.approx(89.3, rel=0.25)
    assert means["Tsallis-INF-CB"] == pytest.approx(94.1, rel=0.25)
    assert means["ChebCB"] == pytest.approx(63.9, rel=0.25)
    assert all(used.solve > 0 and used.learn > 0 for used in spent.values())


def test_the_heat_equation_takes_the_iterations_that_the_authors_code_takes():
    counts, seconds = numpy_solvers.heat(25, range(10), (1.0, 1.5))
    assert counts.T.tolist() == [[1] * 5 + [2] * 5, [2] * 7 + [3] * 3] and seconds > 0
    later, _ = numpy_solvers.heat(25, range(500, 520, 5), (1.0, 1.5))
    assert later.shape == (4, 2) and later.max() <= 14  # no step takes more than 14 at omega = 1


def test_a_small_run_prints_a_table_and_writes_every_measurement(tmp_path, capsys):
    output = tmp_path / "new" / "bench.json"
    result = solvers.run(
        trials=8, rounds=60, port_rounds=60, port_instances=2, learner_seeds=8, laws=("low",),
        learners=("Tsallis-INF",),
        heat=(8,), heat_steps=20, heat_every=5, output=output,
    )  # fmt: skip
    assert result["problems"] == []  # the counts agree
    assert json.loads(output.read_text())["laws"] == result["laws"]
    assert result["heat"][0]["equal_counts"] > 0.9
    goals = [ratio["goal"] for ratio in result["ratios"]]
    assert goals == [20.0, 500.0, None, 120.0, None, None]
    text = capsys.readouterr().out
    assert "learners alone, low" in text and "LOOK" not in text


def test_the_configuration_refuses_nonsense():
    with pytest.raises(ValueError, match="at least"):
        solvers.Config(trials=1)
    with pytest.raises(ValueError, match="no more port_rounds"):
        solvers.Config(rounds=100)
