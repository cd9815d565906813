"""The benchmark of the kernels at toy size: results agree. No speed is asserted."""

import json

import numpy as np
import pytest

from regrax.benchmarks import kernels, kernels_attention
from regrax.core import stopwatch

TOY = (kernels_attention.Shape(2, 96, 2, 3, 16), kernels_attention.Shape(3, 64, 1, 1, 8, True))


def test_everything_is_measured_and_agrees(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels_attention, "SHAPES", (*TOY, kernels_attention.GOAL))
    monkeypatch.setattr(kernels_attention, "LEAST", 1e-4)
    output = tmp_path / "new" / "raw.json"
    result = kernels.run(entries=4096, rows=(2, 64), repeats=2, cache=2**20, output=output)
    assert json.loads(output.read_text())["problems"] == result["problems"] == []
    rows = result["softmax"]["rows"]
    assert [row["shape"] for row in rows[::4]] == [[2, 2048], [64, 64]]
    assert set(rows[0]["seconds"]) == {"ours", "theirs", "ours, donated", "theirs, donated"}
    assert all(len(times) == 2 for times in rows[0]["seconds"].values())
    text = kernels.as_text(result)
    assert "2 x 2,048" in text and "3 x 64 x 1 x 8, ragged" in text
    rows = result["attention"]["rows"]  # the shape of the goal is larger than `cache` allows
    assert [row["shape"] for row in rows[::4]] == [str(shape) for shape in TOY]
    assert [row["program"].split()[-1] for row in rows[1:4]] == list(kernels_attention.LAYOUTS)
    assert rows[0]["ratio"] == (1, 1, 1) and all(len(row["seconds"]) == 2 for row in rows)


def test_wrong_attention_is_a_problem(monkeypatch):
    ours = kernels_attention.decode_attention
    monkeypatch.setattr(
        kernels_attention, "decode_attention", lambda *a, **options: 1.001 * ours(*a, **options)
    )
    monkeypatch.setattr(kernels_attention, "LEAST", 1e-4)
    rows = kernels_attention.measure(TOY[:1], 1)
    assert len(kernels_attention.problems(rows)) == len(kernels_attention.LAYOUTS)
    nan = [{**rows[0], "apart": np.nan}]
    assert len(kernels_attention.problems(nan)) == 1


def test_a_different_result_is_a_problem(monkeypatch):
    wrong = kernels.PAIRS[0]._replace(ours=lambda x, y: 1.001 * kernels.softmax(x))
    monkeypatch.setattr(kernels, "PAIRS", (wrong,))
    config = kernels.Config(entries=64, rows=(2,), repeats=1, attention=False)
    assert kernels.main(config) == 1


def test_what_cannot_be_measured_is_an_error_in_words():
    for options in ({"dtype": "int8"}, {"repeats": 0}, {"rows": ()}, {"entries": 3}):
        with pytest.raises(ValueError):
            kernels.Config(**options)


def test_programs_are_timed_in_turn_and_ratios_formed_in_rounds():
    seen = []
    programs = {
        name: stopwatch.Timed(lambda x, name=name: seen.append((name, x)), lambda: (1,))
        for name in "abc"
    }
    times = stopwatch.in_turn(programs, 5)
    assert [len(times[name]) for name in "abc"] == [5, 5, 5]
    rounds = [sorted(name for name, _ in seen[i : i + 3]) for i in range(0, 18, 3)]
    assert rounds == [["a", "b", "c"]] * 6 and all(x == 1 for _, x in seen)
    orders = {tuple(name for name, _ in seen[i : i + 3]) for i in range(3, 18, 3)}
    assert len(orders) > 1
