"""The tallying benchmark at toy size: the programs play the same game. No speed is asserted."""

import json

import numpy as np
import pytest

from regrax.benchmarks import numpy_tallying, tallying


def test_numpy_agrees_with_a_plain_loop_on_sure_losses():
    """Losses of 0 and 1: nothing is random, so one loop over lists says what has to come out."""
    losses, horizon, burn_in = np.array([[1, 0, 1.0], [0, 1, 0], [1, 1, 1]]), 400, 4
    level = np.log(2 * 3 * horizon * np.log2(horizon))
    active, size, arms = [0, 1, 2], 1, []
    while len(arms) < horizon:
        means = {}
        for arm in active:
            plays = horizon if len(active) == 1 else burn_in + size
            arms += [arm] * plays
            means[arm] = 1 - losses[arm, -1]  # settled once the burn-in is over
        radius = np.sqrt(level / (2 * size))
        active = [a for a in active if means[a] + radius >= max(means.values()) - radius]
        size *= 2
    arms = arms[:horizon]
    tallies = [arms[max(0, t - 2) : t + 1].count(arm) for t, arm in enumerate(arms)]
    regret = sum(losses[a, y - 1] for a, y in zip(arms, tallies, strict=True))
    found = numpy_tallying.simulate(losses, horizon, 5, burn_in)
    np.testing.assert_allclose(found, regret)


def test_a_small_run_prints_a_table_and_writes_every_measurement(tmp_path, capsys):
    output = tmp_path / "new" / "bench.json"
    result = tallying.run(seeds=400, horizon=500, repeats=1, games=("trap",), output=output)
    assert result["problems"] == []  # regrets agree
    assert json.loads(output.read_text())["rows"] == result["rows"]
    assert [ratio["goal"] for ratio in result["ratios"]] == [20.0, None]
    text = capsys.readouterr().out
    assert "visit by visit / NumPy over seeds" in text and "LOOK" not in text


def test_the_configuration_refuses_nonsense():
    with pytest.raises(ValueError, match="at least"):
        tallying.Config(repeats=0)
