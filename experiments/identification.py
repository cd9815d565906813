"""Error probabilities of identification: what figures and claims about them share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..core import plotting
from ..core.identify import phases
from ..core.statistics import Estimate, proportion
from ..core.study import Study
from ..envs.best_arm import BestArm

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Data = Mapping[str, "xr.Dataset"]


def study(
    name: str, environments: Mapping[str, Any], players: Mapping[str, Any], seeds: int
) -> Study:
    """A study of identification: as many rounds as the learners need, recorded at the end."""
    rounds = max(phases(env, *players.values()) for env in environments.values())
    return Study(name, environments, players, rounds, seeds, checkpoints=(rounds,))


def at_budgets(instance: Any, budgets: Iterable[int]) -> dict[str, Any]:
    """One environment a budget, called "T = ..."."""
    return {f"T = {budget}": BestArm(instance, budget) for budget in budgets}


def names_of(dataset: xr.Dataset) -> list[str]:
    """The environments of a data set."""
    return [str(name) for name in dataset.environment.values]


def errors(dataset: xr.Dataset, environment: str, learner: str) -> np.ndarray:
    """Whether each run ended with a wrong arm, [seed] float64."""
    chosen = dataset["error"].sel(environment=environment, learner=learner)
    return np.asarray(chosen.isel(checkpoint=-1), np.float64)


def rate(dataset: xr.Dataset, environment: str, learner: str, level: float = 0.95) -> Estimate:
    """Error probability with its Clopper-Pearson interval."""
    wrong = errors(dataset, environment, learner)
    return proportion(wrong.sum(), len(wrong), level)


def row(estimate: Estimate) -> np.ndarray:
    """Value and ends of the interval, [3]."""
    return np.array(estimate[:3], np.float64)


def curve(
    dataset: xr.Dataset, learner: str, environments: Iterable[str], level: float = 0.95
) -> np.ndarray:
    """Error probability and interval in each of the environments, [3, environment]."""
    return np.stack([row(rate(dataset, name, learner, level)) for name in environments], axis=1)


def draw(
    ax: Axes, x: Sequence[float], values: np.ndarray, label: str, slot: int, flip: bool = False
) -> None:
    """A curve with its band; `flip` draws success rates instead of error probabilities."""
    value, low, high = 1 - values if flip else values
    look = plotting.line_style(slot)
    ax.plot(x, value, marker="o", markersize=3.5, label=label, **look)
    ax.fill_between(x, low, high, alpha=0.2, color=look["color"], linewidth=0)


def mean_difference(
    ours: np.ndarray, theirs: Sequence[float], trials: int, level: float
) -> Estimate:
    """Mean over settings of our error probability less a published one.

    Args:
      ours: whether each run erred, [setting, seed], settings independent given the seed or not.
      theirs: published error probabilities, [setting], each from so many `trials` of its own.

    The interval is normal and carries both sampling errors. Where errors are rare a sample may
    show none, and no variance: rates are then taken as if one more error had been seen.
    """
    from scipy.special import ndtri

    p, per_seed = np.asarray(theirs, np.float64), ours.mean(axis=0)
    settings, runs = ours.shape
    independent = np.sum(_variance(ours.sum(axis=1), runs)) / settings**2
    variance = max(per_seed.var(ddof=1) / runs, float(independent))
    variance += np.sum(_variance(p * trials, trials)) / settings**2
    value, half = per_seed.mean() - p.mean(), ndtri((1 + level) / 2) * np.sqrt(variance)
    return Estimate(float(value), float(value - half), float(value + half), level)


def _variance(errors: np.ndarray, runs: int) -> np.ndarray:
    """Of a rate, from one more error (and one more success) than were seen."""
    rate = (errors + 1) / (runs + 2)
    return rate * (1 - rate) / runs


def excess_distance(
    ours: np.ndarray, theirs: Sequence[float], trials: int, level: float
) -> Estimate:
    """How far published error probabilities lie from ours beyond what sampling explains.

    The root mean square, over the settings, of the true difference; an interval for it from the
    noncentral chi-squared law of sum (ours - theirs)^2 / variance, variance counting both
    samples. Settings are taken as independent; ours nearly are, and add little noise. Arguments as
    in `mean_difference`.
    """
    from scipy.optimize import brentq
    from scipy.stats import chi2, ncx2

    p, settings = np.asarray(theirs, np.float64), len(theirs)
    rates = ours.mean(axis=1)
    runs = ours.shape[1]
    variance = _variance(p * trials, trials) + _variance(rates * runs, runs)
    statistic = float(np.sum((rates - p) ** 2 / variance))
    unit = float(np.sqrt(np.mean(variance)))  # the size of one standard error

    def end(tail: float) -> float:
        """The noncentrality at which so small a statistic has probability `tail`."""
        if chi2.cdf(statistic, settings) <= tail:
            return 0.0
        top = 4 * statistic + 100
        return cast(float, brentq(lambda x: ncx2.cdf(statistic, settings, x) - tail, 1e-9, top))

    def size(noncentrality: float) -> float:
        return unit * float(np.sqrt(noncentrality / settings))

    low, high = end((1 + level) / 2), end((1 - level) / 2)
    return Estimate(size(max(statistic - settings, 0)), size(low), size(high), level)


def stacked(dataset: xr.Dataset, learner: str, environments: Iterable[str]) -> np.ndarray:
    """`errors` in each environment, [environment, seed]."""
    return np.stack([errors(dataset, name, learner) for name in environments])
