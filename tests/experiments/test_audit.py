"""`regrax audit`: names, exit codes, what is printed and what is kept."""

import json

import numpy as np
import pytest

from regrax.core.privacy_audit import Case, audit
from regrax.experiments import audit as audits
from regrax.experiments.catalogue import UsageError

from ..core.noisy_learners import NoisyComparison, means


def builder(noise):
    """Two arms that are compared once; `noise`: a factor of what there should be."""

    def build(epsilon, delta, runs):
        table = np.full((2, 10), 0.5)
        table[0, 0] = 0
        learner = NoisyComparison(np.float32(epsilon / noise))
        case = Case("two arms", learner, table, 0, 0, 1.0, view=means, epsilon=epsilon)
        return [case]

    return build


@pytest.fixture
def two(monkeypatch):
    """A good learner and a careless one, and no others."""
    learners = {"good-one": builder(1.0), "careless": builder(0.1)}
    monkeypatch.setattr(audits, "BUILDERS", learners)


def test_every_private_learner_has_cases():
    from regrax.core.learners import private

    for name, cases in audits.BUILDERS.items():
        assert name == name.lower() and callable(cases)
    made = {"dpbaibaseline", *(name.lower() for name in private.__all__)}
    names = {name.replace("-", "") for name in audits.BUILDERS}
    assert {name for name in made if not name.endswith("gauss")} <= names


def test_names_are_forgiving_and_typos_are_answered(two):
    assert audits.names() == ["good-one", "careless"]
    assert audits.names(["GoodOne", "good_one", "CARELESS"]) == ["good-one", "careless"]
    with pytest.raises(UsageError, match="no private learner 'carless': did you mean 'careless'"):
        audits.names(["carless"])


def test_the_command_ends_with_1_when_a_claim_is_refuted(main, capsys, two, tmp_path):
    assert main("audit good-one --runs 2000 --epsilon 1".split()) == 0
    out = capsys.readouterr().out
    assert "good-one: not refuted" in out and "white" in out and out.startswith("tables")
    assert main("audit --runs 2e3 --epsilon 1".split()) == 1
    out = capsys.readouterr().out
    assert "good-one: not refuted" in out and "careless: VIOLATED" in out
    rows = audits.load(tmp_path / "results")
    assert [row["learner"] for row in rows] == ["careless"] * 2 + ["good-one"] * 2
    assert [row["verdict"] for row in rows] == ["violated"] * 2 + ["not refuted"] * 2


@pytest.mark.parametrize(
    "words, hint",
    [
        ("audit good", "did you mean 'good-one'?"),
        ("audit good-one --epsilon 0", "epsilon is positive"),
        ("audit good-one --delta 1", "delta lies strictly"),
        ("audit good-one --level 99", "level lies strictly"),
        ("audit good-one --epsilo 1", "did you mean --epsilon?"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(main, capsys, two, words, hint):
    assert main(words.split()) == 2
    assert hint in capsys.readouterr().err


def test_too_few_runs_end_with_1(main, capsys, two):
    assert main("audit good-one --runs 10".split()) == 1
    assert "needs 100 runs" in capsys.readouterr().err


def test_rows_are_plain(two):
    done = audits.perform("careless", 1.0, runs=2000, progress=False)
    rows = audits.audit_rows([done])
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert [row["box"] for row in rows] == ["black", "white"]
    finding = done.findings[0]
    assert rows[0]["lower"] == finding.lower and rows[0]["confidence"] == 0.99
    assert rows[0]["event"] == finding.event and rows[0]["runs"] == 1000


def test_estimates_that_are_no_numbers_are_none():
    case = builder(1e-6)(1.0, 0, 0)[0]  # hardly any noise: an event of probability 1, and 0
    (row, *_) = audits.audit_rows([audit([case], 400, progress=False)])
    assert row["estimate"] is None and row["second"] == 0 and row["verdict"] == "violated"
