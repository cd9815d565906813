"""A small paper with one claim of every kind, and a command line that leaves JAX as it is."""

import numpy as np
import pytest

import regrax  # noqa: F401  (the package must be whole before its parts)
from regrax.core import plotting, statistics
from regrax.core.claims import Claim
from regrax.core.learners.bandits.thompson import ThompsonGaussian
from regrax.core.study import Study
from regrax.envs.bandits import BernoulliBandit
from regrax.experiments import cli, registry
from regrax.experiments.paper import Figure, Paper

ROUNDS = {"smoke": 20, "quick": 40, "paper": 80}


def studies(scale):
    environments = {"two <arms>": BernoulliBandit(np.array([0.2, 0.8]))}
    return [Study("one", environments, {"TS": ThompsonGaussian()}, ROUNDS[scale], seeds=16)]


def share(data, level):
    """Regret for each of the rounds; it lies between 0 and the gap 0.6."""
    last = data["one"].regret.isel(environment=0, learner=0, checkpoint=-1)
    return statistics.mean(last.values / int(data["one"].checkpoint[-1]), level=level)


def broken_plot(data):
    raise RuntimeError("no picture today")


def broken_estimate(data, level):
    raise KeyError("no such learner")


def plot(data):
    return plotting.regret(data["one"])


CURVE = Figure("curve", "A curve", studies, plot, "What it <b>is</b>.")
CLAIMS = (
    Claim("holds", "Regret a round is below the gap", "Eq. (1)", "curve", "< 0.6", share, (0, 0.6)),
    Claim("fails", "Regret a round is above the gap", "Eq. (2)", "curve", "> 0.6", share, (0.6, 9)),
    Claim("open", "It is above one half of <that>", "Thm 3", "curve", "?", share, (0.14, 1), "u"),
)


@pytest.fixture(scope="session")
def paper():
    return Paper("tiny", "A tiny & <new> paper", "A. Nobody, 2026", "Very small.", (CURVE,), CLAIMS)


@pytest.fixture(scope="session")
def broken_paper():
    figures = (
        Figure("no_plot", "No plot", studies, broken_plot),
        Figure("no_data", "No data", lambda scale: [], broken_plot),
        CURVE,
    )
    claims = (Claim("odd", "It is odd", "p. 1", "curve", "1", broken_estimate, (0, 1)), *CLAIMS)
    return Paper("broken", "A broken paper", "A. Nobody, 2026", "It fails.", figures, claims)


@pytest.fixture
def main(monkeypatch, tmp_path, paper):
    """The command line in an empty folder, knowing the tiny paper alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "PAPERS", {paper.name: paper})
    monkeypatch.setattr(cli, "_keep_compiled", lambda: None)
    return cli.main
