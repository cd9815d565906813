"""Regret and questions with one threshold for all episodes."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ...core import plotting
from ...core.claims import Claim
from ...core.learners.mdp.preference import PRLSVI, PbTS
from ...core.statistics import (
    Estimate,
    growth_exponent,
    largest,
    mean,
    ratio_of_means,
    split_level,
)
from ...core.study import Study
from ...envs.linear_mdp import LinearMDP
from ..growth import Data, final
from ..paper import Figure, Scale
from .instances import (
    ENVIRONMENTS,
    OURS,
    PR,
    SETTING,
    SIGMA,
    SOURCE,
    SPREAD,
    TS,
    instances,
    named,
)

ALWAYS, NEVER = "always asks", "never asks"
FEW, STOPS = 0.05, {PR: 0.4, TS: 0.8}  # thresholds that claims are about
EPSILONS: dict[Scale, tuple[float, ...]] = {
    "smoke": (FEW, *STOPS.values(), 4.0),
    "quick": (0.0125, FEW, 0.2, *STOPS.values(), 4.0),
    "paper": (0.0125, 0.025, FEW, 0.1, 0.2, 0.4, 0.8, 1.6, 4.0),
}
_EPISODES: dict[Scale, int] = {"smoke": 64, "quick": 2048, "paper": 8192}
_SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 32, "paper": 200}


def studies(scale: Scale) -> list[Study]:
    episodes, players = _EPISODES[scale], {}
    for epsilon in EPSILONS[scale]:
        players[named(PR, epsilon)] = PRLSVI(epsilon, sigma_reward=SIGMA)
        players[named(TS, epsilon)] = PbTS(epsilon, sigma_reward=SPREAD)
    players[ALWAYS] = PRLSVI(sigma_reward=SIGMA, queries="always")
    players[NEVER] = PRLSVI(sigma_reward=SIGMA, queries="never")
    stops = tuple(episodes >> k for k in (4, 3, 2, 1, 0))
    return [Study("thresholds", instances(), players, episodes, _SEEDS[scale], stops)]


def by_threshold(
    learner: str, environment: str, data: Data, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds, rising, and a metric at the end [threshold, seed]."""
    dataset, start = data["thresholds"], named(learner, 0)[:-1]
    names = [str(name) for name in dataset.learner.values]
    grid = sorted(float(name.removeprefix(start)) for name in names if name.startswith(start))
    rows = [final(dataset, environment, named(learner, x), metric) for x in grid]
    return np.array(grid), np.stack(rows)


def _plot(data: Data):
    dataset = data["thresholds"]
    drawn = plotting.figure(1, len(ENVIRONMENTS), width=5.0, height=4.0)
    for ax, name in zip(drawn.axes, ENVIRONMENTS, strict=True):
        for slot, learner in enumerate((PR, TS)):
            grid, regret = by_threshold(learner, name, data, "regret")
            questions = by_threshold(learner, name, data, "queries")[1].mean(axis=-1)
            value, low, high = (np.asarray(x) for x in mean(regret)[:3])
            reach = [np.minimum(value - low, 0.9 * value), high - value]  # zero has no logarithm
            look = plotting.line_style(slot)
            ax.errorbar(questions, value, yerr=reach, marker="o", ms=4, label=learner, **look)
            for x, asked, at in zip(grid, questions, value, strict=True):
                ax.annotate(f"{x:g}", (asked, at), (3, 3), textcoords="offset points", fontsize=6)
        for other, dots in ((ALWAYS, "--"), (NEVER, "-.")):
            level = final(dataset, name, other).mean()
            ax.axhline(level, ls=dots, color="0.4", lw=1, label=other)
        ax.set_xscale("symlog", linthresh=1)
        ax.set(yscale="log", title=name, xlabel="questions", xlim=(0, None))
    drawn.axes[0].set_ylabel("regret (rewards)")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return drawn


# ---- claims --------------------------------------------------------------------------------


def question_bound(epsilon: float, sigma: float, ridge: float, size: int, longest: float) -> float:
    """How often PR-LSVI can ask at all, whatever it is told.

    A pair that it asks about has 2 sigma |x| / sqrt(pi) > epsilon in the norm of S^-1, so that
    ln det S grows by ln(1 + pi epsilon^2 / (4 sigma^2)) or more; and after N questions it has grown
    by size ln(1 + N longest / (size ridge)) at most. The largest N that fits both.

    Args:
      epsilon, sigma: positive, sigma that of the rewards. ridge: of S.
      size: H d. longest: the largest |x|^2.
    """
    step = math.log1p(math.pi * (epsilon / sigma) ** 2 / 4)
    asked = 1e12  # above the answer; then down to it
    for _ in range(200):
        asked = size * math.log1p(asked * longest / (size * ridge)) / step
    return asked


def longest_difference(mdp: LinearMDP) -> float:
    """No two trajectories differ by more in |x|^2, x the difference of their features."""
    flat = np.reshape(mdp.features, (-1, mdp.dimension))
    return mdp.stages * float(((flat[:, None] - flat[None]) ** 2).sum(axis=-1).max())


def _over_bound(data: Data, level: float) -> Estimate:
    """Questions of PR-LSVI over `question_bound`, where that is largest."""
    shares = []
    for name, env in instances().items():
        longest, size = longest_difference(env.mdp), env.stages * env.dimension
        for epsilon, asked in zip(*by_threshold(PR, name, data, "queries"), strict=True):
            shares.append(asked / question_bound(epsilon, SIGMA, 1.0, size, longest))
    split = split_level(level, len(shares))
    return largest([mean(row, level=split) for row in shares])._replace(level=level)


def _few(metric: str, environment: str, data: Data, level: float) -> Estimate:
    """A metric of PR-LSVI with the threshold `FEW`, over that of always asking."""
    dataset = data["thresholds"]
    some = final(dataset, environment, named(PR, FEW), metric)
    return ratio_of_means(some, final(dataset, environment, ALWAYS, metric), level)


def _growth(learner: str, environment: str, data: Data, level: float) -> Estimate:
    """The exponent of regret in the number of episodes, within one run."""
    found = data["thresholds"].regret.sel(environment=environment, learner=learner)
    values = found.transpose("checkpoint", "seed").values.astype(float)
    return growth_exponent(found.checkpoint.values.astype(float), values, level)


def _silent(data: Data, level: float) -> Estimate:
    """Questions with the largest threshold."""
    rows = [
        by_threshold(learner, name, data, "queries")[1][-1]
        for learner in (PR, TS)
        for name in ENVIRONMENTS
    ]
    return mean(np.mean(rows, axis=0), level=level)


FIGURES = (
    Figure(
        "thresholds", "Regret and questions", studies, _plot,
        f"The threshold stands at every point; 8,192 duels at paper scale, a link of steepness 5, "
        f"sigma_reward 0.5 (PbTS: 1). Where the threshold is too large questions end early, or "
        f"never begin, and regret stays linear. {SETTING}",
    ),
)  # fmt: skip
CLAIMS = (
    Claim(
        "question-bound", "PR-LSVI asks no more than the growth of ln det S allows",
        "the argument behind the paper's bound, constants ours", "thresholds",
        "questions / bound at most 1", _over_bound, (0.0, 1.0),
    ),
    Claim(
        "too-large", "A threshold above what the first pairs can reach asks nothing, for ever",
        "2 sigma |x| / sqrt(pi ridge) is below 4 for all pairs", "thresholds", "0", _silent,
        (0.0, 0.0), "questions",
    ),
    *(
        Claim(
            f"always-{name}", f"{name}: always asking, regret grows no faster than sqrt(T)",
            SOURCE, "thresholds", "exponent at most 1/2 (and logs)",
            partial(_growth, ALWAYS, name), (-math.inf, 0.5),
        )
        for name in ENVIRONMENTS
    ),
    *(
        Claim(
            f"stops-{learner.lower()}-{name}", f"{name}: with a threshold of {epsilon:g} for all "
            f"T, the regret of {learner} is linear", OURS, "thresholds", "exponent 1",
            partial(_growth, named(learner, epsilon), name), (0.8, 1.1),
        )
        for name in ENVIRONMENTS
        for learner, epsilon in STOPS.items()
    ),
    *(
        Claim(
            f"few-{metric}-{name}", f"{name}: with a threshold of {FEW:g}, PR-LSVI has at most "
            f"{most:g} times the {what} of always asking in 8,192 duels", OURS, "thresholds",
            f"ratio at most {most:g}", partial(_few, metric, name), (0.0, most),
        )
        for name in ENVIRONMENTS
        for metric, what, most in (("regret", "regret", 1.5), ("queries", "questions", 0.25))
    ),
)  # fmt: skip
