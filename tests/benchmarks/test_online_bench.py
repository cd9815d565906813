"""The benchmark of online learning at toy size: the programs agree. No speed is asserted."""

import json

import numpy as np
import pytest

from regrax.benchmarks import numpy_groups, numpy_oco, online


def test_numpy_s_mirror_descent_agrees_with_a_plain_loop():
    """Without noise nothing is random: one seed, written down once more."""
    x, inner, last, variation, paid = (0.0,) * 5
    for _ in range(50):
        step = 2 / np.sqrt(40 + 4 * 1.5**2 + variation)
        x = np.clip(inner - step * last, -1, 1)
        gradient = x - 0.5
        paid += 0.5 * gradient**2
        variation += (gradient - last) ** 2
        inner = np.clip(inner - step * gradient, -1, 1)
        last = gradient
    found = numpy_oco.simulate(3, 50, 5, 0.5, 0.0)  # the best fixed point loses nothing
    np.testing.assert_allclose(found, paid, rtol=1e-9)


def test_numpy_s_groups_agree_with_each_other_where_there_is_one_group():
    rng = np.random.default_rng(0)
    features, labels = rng.uniform(size=(200, 3)), rng.uniform(size=200)
    active = np.ones((200, 1), bool)
    together = numpy_groups.learn(features, active, labels)
    np.testing.assert_allclose(together, numpy_groups.learn_alone(features, labels))
    regrets = numpy_groups.group_regrets(together, features, active, labels, 4)
    theta = np.linalg.lstsq(features, labels, rcond=None)[0]
    expected = together.sum() - np.sum((features @ theta - labels) ** 2)
    assert regrets[-1, 0] == pytest.approx(expected)


def test_a_small_run_prints_a_table_and_writes_every_measurement(tmp_path, capsys):
    output = tmp_path / "new" / "bench.json"
    result = online.run(
        rounds=300, seeds=2, groups=(6, 12), group_rounds=100, oco_rounds=200, oco_seeds=64,
        numpy_rounds=200, repeats=1, output=output,
    )  # fmt: skip
    assert result["problems"] == []  # regrets agree
    assert json.loads(output.read_text())["groups"] == result["groups"]
    text = capsys.readouterr().out
    assert "goal 20 on two cores" in text and "LOOK" not in text


def test_the_configuration_refuses_nonsense():
    for wrong in ({"repeats": 0}, {"seeds": 11}, {"groups": (3,)}, {"rounds": 50}):
        with pytest.raises(ValueError, match="at least"):
            online.Config(**wrong)
