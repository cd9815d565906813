"""Regret as a function of the horizon: what figures and claims about growth rates share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core import plotting
from ..core.statistics import Estimate, growth_exponent, mean

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Data = Mapping[str, "xr.Dataset"]


class Growth(NamedTuple):
    """Final metrics over a range of horizons."""

    horizons: np.ndarray  # [H]
    values: np.ndarray  # [H, seed]


def final(dataset: xr.Dataset, environment: str, learner: str, metric="regret") -> np.ndarray:
    """A metric at the end of the run, [seed]."""
    chosen = dataset[metric].sel(environment=environment, learner=learner)
    return np.asarray(chosen.isel(checkpoint=-1), np.float64)


def studies(data: Data, prefix: str) -> list[xr.Dataset]:
    """The studies whose name starts so, by horizon."""
    found = [data[name] for name in data if name.startswith(prefix)]
    if not found:
        raise ValueError(f"no study called {prefix}... among {sorted(data)}")
    return sorted(found, key=lambda dataset: int(dataset.attrs["horizon"]))


def growth(data: Data, prefix: str, learner: str, environment: str, metric="regret") -> Growth:
    """Final metric in one environment at every horizon."""
    found = studies(data, prefix)
    horizons = np.array([int(dataset.attrs["horizon"]) for dataset in found])
    return Growth(horizons, np.stack([final(d, environment, learner, metric) for d in found]))


def worst_growth(data: Data, prefix: str, learner: str) -> Growth:
    """Final regret in the worst environment at every horizon, which half of the seeds choose and
    the other half measure, so that the choice does not bias what is measured."""
    found = studies(data, prefix)
    horizons = np.array([int(dataset.attrs["horizon"]) for dataset in found])
    rows = []
    for dataset in found:
        regrets = [final(dataset, str(name), learner) for name in dataset.environment.values]
        worst = max(regrets, key=lambda values: float(values[::2].mean()))
        rows.append(worst[1::2])
    return Growth(horizons, np.stack(rows))


def exponent(
    of: Callable[[Data], Growth], log_power: float = 0.0
) -> Callable[[Data, float], Estimate]:
    """An estimator for claims: p of regret ~ T^p (ln T)^log_power."""

    def estimate(data: Data, level: float) -> Estimate:
        horizons, values = of(data)
        return growth_exponent(horizons, values, level, divide_by=np.log(horizons) ** log_power)

    return estimate


def plot(ax: Axes, curves: Mapping[str, Growth], guides: Mapping[str, Callable], title: str):
    """Mean and 95 % t interval against the horizon, both axes logarithmic; `guides` are the rates
    of the theory, drawn through the last point of the first curve."""
    for slot, (name, curve) in enumerate(curves.items()):
        value, low, high = mean(curve.values)[:3]
        floor = np.maximum(low, np.asarray(value) / 10)  # a logarithmic axis has no zero
        look = plotting.line_style(slot)
        ax.plot(curve.horizons, value, marker="o", markersize=4, label=name, **look)
        ax.fill_between(curve.horizons, floor, high, alpha=0.2, color=look["color"], linewidth=0)
    first = next(iter(curves.values()))
    rounds = np.geomspace(first.horizons[0], first.horizons[-1], 50)
    for (name, rate), dots in zip(guides.items(), (":", "-."), strict=False):
        scale = first.values[-1].mean() / rate(rounds[-1])
        ax.plot(rounds, scale * rate(rounds), dots, color="0.4", linewidth=1.2, label=name)
    ax.set(xscale="log", yscale="log", xlabel="horizon T (rounds)", title=title)
    ax.legend(fontsize="small")
