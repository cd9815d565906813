"""`regrax bench bandits` at toy sizes: the programs do the same work, and failures are told apart.

No speed is asserted: that is for a person on a quiet machine.
"""

import json
import math
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

import regrax as rx
from regrax.benchmarks import (
    bandits,
    environments,
    harness,
    numpy_bandits,
    peers,
    report,
)
from regrax.benchmarks.harness import Measurement, Program, Row, Unavailable, Worker

MEANS = bandits.MEANS
ALGORITHMS = ("ucb1", "thompson", "exp3")
needs_c = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler"
)


@pytest.fixture(scope="module")
def reference():
    """Mean regret of NumPy's programs over 400 runs of 1,000 rounds, by algorithm."""
    return {name: bandits.measure_numpy(name, 400, 1_000, 1) for name in ALGORITHMS}


@pytest.fixture(scope="module")
def c_program(tmp_path_factory):
    directory = tmp_path_factory.mktemp("c")
    return environments.compile_c(bandits.HERE / "programs" / "bandits.c", directory)[0]


def call_c(program, *words):
    done = subprocess.run([program, *map(str, words), *map(str, MEANS)], capture_output=True)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    return Measurement(out["seconds"], 1, int(words[1]), out["mean"], out["variance"])


# The programs


@pytest.mark.parametrize("name", ALGORITHMS)
def test_numpy_pulls_every_round_once_and_repeats_itself(name):
    pulls = numpy_bandits.simulate(name, MEANS, 137, 23, root_seed=5)
    assert pulls.shape == (23, 10)
    assert (pulls.sum(axis=1) == 137).all() and (pulls >= 0).all()
    again = numpy_bandits.simulate(name, MEANS, 137, 23, root_seed=5)
    np.testing.assert_array_equal(pulls, again)


def test_numpy_ucb1_follows_the_index_on_sure_rewards():
    """With means 0 and 1 nothing is random: compare with the formula written out, arm by arm."""
    means, horizon = (0.0, 1.0, 0.0), 200
    pulls, sums = np.ones(3), np.array([0.0, 1.0, 0.0])
    for t in range(4, horizon + 1):
        arm = int(np.argmax(sums / pulls + np.sqrt(2 * math.log(t) / pulls)))
        pulls[arm] += 1
        sums[arm] += means[arm]
    got = numpy_bandits.simulate("ucb1", means, horizon, 4)
    np.testing.assert_array_equal(got, np.tile(pulls, (4, 1)))


def test_numpy_refuses_more_arms_than_a_byte_counts():
    with pytest.raises(ValueError, match="255"):
        numpy_bandits.simulate("ucb1", [0.5] * 256, 10, 2)


@needs_c
@pytest.mark.parametrize("name", [*ALGORITHMS, "exp3_cached"])
def test_c_agrees_with_numpy(name, c_program, reference):
    got = call_c(c_program, name, 400, 1_000, 2, 7)
    assert abs(harness.standard_errors_apart(got, reference[name.split("_")[0]])) < 4


@needs_c
def test_c_does_not_depend_on_the_number_of_threads(c_program):
    one, three = (call_c(c_program, "ucb1", 50, 300, threads, 3) for threads in (1, 3))
    assert (one.mean, one.variance) == (three.mean, three.variance)


@needs_c
@pytest.mark.parametrize("words", [[], ["ucb2", 1, 1, 1, 0, 0.5], ["ucb1", 0, 1, 1, 0, 0.5]])
def test_c_refuses_a_wrong_call(words, c_program):
    done = subprocess.run([c_program, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 2 and "usage" in done.stderr


@pytest.fixture(scope="module")
def textbook_jax():
    """The textbook JAX program as the benchmark runs it: in a process with JAX as it comes."""
    with bandits.contextlib.ExitStack() as stack:
        yield bandits.jax_program(stack)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_textbook_jax_agrees_with_numpy(name, textbook_jax):
    got = textbook_jax.measure(name, 200, 100, 1)
    assert abs(harness.standard_errors_apart(got, bandits.measure_numpy(name, 300, 100, 2))) < 4
    assert got.compile_seconds > 0
    assert textbook_jax.measure(name, 200, 100, 2).compile_seconds == 0


def test_a_library_is_driven_run_by_run(monkeypatch):
    """A stand-in for a library: plays the arms in turn and notes what it is told."""
    told = []

    def adapter(algorithm, arms, horizon, seed):
        turn = iter(range(horizon))
        return lambda: next(turn) % arms, lambda arm, reward: told.append((seed, arm, reward))

    monkeypatch.setitem(peers.ADAPTERS, "stand-in", adapter)
    request = {"algorithm": "ucb1", "means": [0.0, 1.0], "horizon": 10, "root_seed": 4}
    got = peers.answer("stand-in", {**request, "seconds": 1e-9})
    assert got["regrets"] == [5.0] and got["pulls"] == 10
    assert told == [(4, t % 2, float(t % 2)) for t in range(10)]


def test_rewards_do_not_share_a_policys_random_stream(monkeypatch):
    """A policy with a `random.Random(seed)` must not see the uniforms its rewards come from."""
    rewards = []

    def adapter(algorithm, arms, horizon, seed):
        own = random.Random(seed).random
        return lambda: int(own() < 0.5), lambda arm, reward: rewards.append((arm, reward))

    monkeypatch.setitem(peers.ADAPTERS, "stand-in", adapter)
    request = {"algorithm": "ucb1", "means": [0.5, 0.5], "horizon": 1_000, "root_seed": 0}
    peers.answer("stand-in", {**request, "seconds": 1e-9})
    arms, got = np.array(rewards).T
    assert abs(np.corrcoef(arms, got)[0, 1]) < 0.15


# The harness


def test_pooling_is_the_mean_and_variance_of_all_runs():
    draws = np.random.default_rng(0).normal(5, 2, 30)
    parts = [
        Measurement(1.0, 10, len(x), x.mean(), x.var(ddof=1)) for x in np.split(draws, [7, 11])
    ]
    pooled = harness.pool(parts)
    assert (pooled.runs, pooled.seconds, pooled.pulls) == (30, 3.0, 30)
    np.testing.assert_allclose([pooled.mean, pooled.variance], [draws.mean(), draws.var(ddof=1)])


def worker(code):
    return Worker([sys.executable, "-c", code])


def test_a_worker_answers_line_by_line():
    echo = worker("import sys\nfor line in sys.stdin: print(line.strip(), flush=True)")
    assert [echo.ask({"n": n}) for n in (1, 2)] == [{"n": 1}, {"n": 2}]
    echo.close()


def test_a_worker_that_dies_says_why():
    with pytest.raises(Unavailable, match="ImportError: no such thing"):
        worker("raise ImportError('no such thing')").ask({})


def test_a_worker_that_hangs_is_ended():
    with pytest.raises(Unavailable, match="no answer"):
        worker("import time; time.sleep(60)").ask({}, timeout=0.5)


def test_what_is_missing_is_told_and_not_raised(monkeypatch, tmp_path):
    with pytest.raises(Unavailable, match="needs Python"):
        environments.find_python(newest=(3, 1), oldest=(3, 0))

    def no_network(command, timeout):
        raise Unavailable("ERROR: no matching distribution")

    monkeypatch.setattr(environments, "_check", no_network)
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    with bandits.contextlib.ExitStack() as stack:
        config = bandits.Config(programs=("c",), peers_dir=tmp_path)
        programs, missing = bandits.prepare(config, stack)
    assert programs == []
    assert "no C compiler" in missing["c"] and "no matching" in missing["river"]
    assert "no release" in missing["jax-bandits"]


# The whole, and its report


def test_a_small_run_prints_a_table_and_writes_every_measurement(tmp_path, capsys):
    programs = ("numpy", "c") if shutil.which("cc") else ("numpy",)
    output = tmp_path / "new" / "bench.json"
    result = bandits.run(
        seeds=(20, 40),
        horizon=150,
        repeats=2,
        peers=False,
        output=output,
        programs=programs,
        shortest=0.0,
        reference_seeds=100,
    )
    assert result["problems"] == []
    assert json.loads(output.read_text())["rows"] == result["rows"]
    assert all(len(row["measurements"]) == 2 for row in result["rows"])
    text = capsys.readouterr().out
    assert "Thompson sampling" in text and "NumPy over seeds" in text and "same" in text


def test_a_program_that_fails_does_not_take_the_others_along():
    def broken(algorithm, seeds, horizon, root_seed):
        raise RuntimeError("out of luck\nand more")

    config = bandits.Config(seeds=(10,), horizon=100, repeats=1, algorithms=("ucb1",))
    good = Program("NumPy", "numpy", 1, bandits.measure_numpy)
    rows = bandits.plan(config, [Program("broken", "c", 1, broken), good])
    bandits.measure_interleaved(config, rows)
    assert rows[0].failure == "RuntimeError: out of luck" and rows[0].rate is None
    assert rows[1].rate is not None and rows[1].rate > 0


def row(kind, seeds, rate, mean=10.0, **program):
    measured = Measurement(1.0, rate, 100, mean, 4.0)
    return Row(Program(kind, kind, 1, None, **program), "ucb1", seeds, 1_000, 0, [measured])


def test_other_work_is_flagged_and_a_known_variant_is_not():
    references = {("ucb1", 1_000): Measurement(1.0, 1, 1_000, 10.0, 4.0)}
    rows = [row("c", 10, 8), row("numpy", 10, 4, mean=12.0)]
    rows.append(row("library", None, 1, mean=99.0, variants={"ucb1": "another UCB1"}))
    assert len(report.problems(rows, references)) == 1
    about = {"processor": "p", "cores": 2, "load": None, "jax_version": "", "numpy_version": ""}
    text = report.as_text(about, {"obp": "no network"}, rows, references)
    assert "OFF by +9.5 s.e." in text and "another UCB1" in text
    assert "not installed: obp: no network" in text


def test_ratios_divide_medians_and_take_the_fastest_peer():
    rows = [row("regrax", 10, 24), row("c", 10, 8), row("library", None, 2), row("jax", 10, 3)]
    rows += [row("library", None, 4), row("regrax", 20, 30)]
    found = {(r["ratio"], r["seeds"]): r["value"] for r in report.ratios(rows)}
    assert found["regrax / C", 10] == 3.0
    assert found["regrax / fastest library", 10] == 6.0
    assert found["regrax / fastest library", 20] == 7.5
    assert found["regrax / fastest JAX peer", 10] == 8.0
    assert ("regrax / C", 20) not in found


def test_a_slow_program_gets_fewer_rounds():
    assert [bandits._longest(10_000, rounds) for rounds in (2e4, 9_999, 1_000, 3)] == [
        10_000,
        1_000,
        1_000,
        100,
    ]


def test_the_configuration_refuses_nonsense():
    with pytest.raises(ValueError, match="positive"):
        bandits.Config(repeats=0)


@pytest.mark.skipif(not hasattr(rx, "learners"), reason="regrax has no public learners yet")
@pytest.mark.parametrize("kind", ["regrax", "plain"])
def test_regrax_and_plain_learners_do_the_same_work(kind):
    result = bandits.run(
        seeds=(200,),
        horizon=100,
        repeats=1,
        peers=False,
        programs=(kind,),
        shortest=0.0,
        reference_seeds=400,
    )
    assert result["problems"] == []
    assert [row["kind"] for row in result["rows"]] == [kind] * 3
    assert max(row["compile_seconds"] for row in result["rows"]) > 0
