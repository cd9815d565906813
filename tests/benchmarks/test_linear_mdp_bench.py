"""The benchmark of linear MDPs at toy size. No speed is asserted."""

import json

import pytest

from regrax.benchmarks import linear_mdp
from regrax.benchmarks.harness import Unavailable


class Answering:
    """A rlberry that takes no time to speak of."""

    def ask(self, request):
        return {"seconds": 0.01 * request["episodes"], "reward": 1.5}

    def close(self):
        pass


def test_a_small_run_prints_a_table_and_writes_every_measurement(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(linear_mdp, "_peer", lambda config: (Answering(), ""))
    monkeypatch.setattr(linear_mdp, "SHAPES", ((3, 4, 20),))
    monkeypatch.setattr(linear_mdp, "FLAT", float("inf"))  # no speed is asserted
    output = tmp_path / "new" / "bench.json"
    result = linear_mdp.run(seeds=4, lengths=(16, 32), repeats=2, output=output)
    assert json.loads(output.read_text())["programs"] == json.loads(json.dumps(result["programs"]))
    for row in result["programs"]:
        if row["name"] in linear_mdp.COMPARED:
            assert row["ratio"] == pytest.approx(1e4 / row["microseconds"])
        else:
            assert "ratio" not in row
        assert 0 < row["reward"] < 4
    text = capsys.readouterr().out
    assert "10,000" in text and "32 episodes" in text and "LOOK" not in text

    monkeypatch.setattr(linear_mdp, "FLAT", 0.0)
    assert "costs" in linear_mdp._problems(result)[0]
    result |= {"failure": "no network today", "problems": ["too slow"]}
    text = linear_mdp.as_text(result)
    assert "rlberry: left out, no network today" in text and "LOOK: too slow" in text


def test_without_an_environment_there_is_no_peer(monkeypatch):
    def offline(*_):
        raise Unavailable("no network today")

    monkeypatch.setattr(linear_mdp, "make_environment", offline)
    assert linear_mdp._peer(linear_mdp.Config()) == (None, "no network today")
    assert linear_mdp._peer(linear_mdp.Config(peer=False)) == (None, "not asked for")


def test_the_configuration_refuses_nonsense():
    for wrong in ({"repeats": 0}, {"seeds": 0}, {"lengths": (0,)}):
        with pytest.raises(ValueError, match="at least"):
            linear_mdp.run(**wrong)
