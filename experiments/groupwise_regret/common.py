"""What the figures of groupwise regret share: players, regrets of groups, curves, estimators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from matplotlib.ticker import EngFormatter

from ...core import learners, plotting
from ...core.statistics import (
    Estimate,
    growth_exponent,
    largest,
    mean,
    paired_difference,
    smallest,
    split_level,
)
from ...envs.group_accounts import least_squares
from ...envs.grouped_data import GroupedData, published_orders
from ..growth import Data

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

BASELINE, OURS = "one ridge for all", "groupwise ridge"
PLAYERS: dict[str, Any] = {BASELINE: learners.OnlineRidge(), OURS: learners.Groups()}
ORDERS = 10  # published


def even_checkpoints(horizon: int, points: int = 100) -> tuple[int, ...]:
    """So many rounds at equal distances, the last one the horizon."""
    return tuple(np.unique(np.linspace(horizon / points, horizon, points).astype(int)).tolist())


def regrets(data: xr.Dataset, learner: str, metric: str = "group_regret") -> np.ndarray:
    """[checkpoint, seed, group] in the only environment of a study."""
    chosen = data[metric].isel(environment=0).sel(learner=learner)
    return np.asarray(chosen.transpose("checkpoint", "seed", "group"), np.float64)


def final_regrets(data: xr.Dataset, learner: str) -> np.ndarray:
    """[seed, group] after the last round."""
    return regrets(data, learner)[-1]


# ---- pictures ------------------------------------------------------------------------------


def draw_groups(
    data: xr.Dataset, groups: Sequence[str], players: Sequence[str], share: bool = False
) -> plotting.Figure:
    """A panel for each group: regret against its rounds so far (or their share), with 95 % t
    intervals over seeds."""
    columns = min(len(groups), 4 if len(groups) > 6 else 3)
    drawn = plotting.figure(-(-len(groups) // columns), columns, width=3.3, height=2.5)
    for spare in drawn.axes[len(groups) :]:
        spare.remove()
    for group, (ax, name) in enumerate(zip(drawn.axes, groups, strict=False)):
        draw_group(ax, data, group, players, share)
        ax.set_title(name)
    for ax in drawn.axes[::columns]:
        ax.set_ylabel("regret on the group")
    for ax in drawn.axes[-columns:]:
        ax.set_xlabel("share of the group's rounds" if share else "rounds of the group")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return drawn


def draw_group(
    ax: Axes, data: xr.Dataset, group: int, players: Sequence[str], share: bool = False
) -> None:
    for slot, learner in enumerate(players):
        rounds = regrets(data, learner, "group_rounds")[..., group].mean(axis=1)
        value, low, high = (np.asarray(x) for x in mean(regrets(data, learner)[..., group])[:3])
        x, look = rounds / rounds[-1] if share else rounds, plotting.line_style(slot)
        ax.plot(x, value, label=learner, **look)
        ax.fill_between(x, low, high, alpha=0.25, color=look["color"], linewidth=0)
    ax.axhline(0, color="0.6", linewidth=0.8)
    if not share:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))


# ---- published tables ----------------------------------------------------------------------

Row = tuple[float, float, float, float, float]  # baseline and deviation, ours and it, hindsight


def published_regrets(data: xr.Dataset, learner: str, examples: GroupedData) -> np.ndarray:
    """As the authors count them, [order, group]: they leave the last round of a group out of the
    best loss in hindsight, though not out of the learner's."""
    losses = regrets(data, learner, "group_loss")[-1]
    return losses - hindsight_but_one(examples)[: len(losses)]


def hindsight_but_one(examples: GroupedData) -> np.ndarray:
    """Least sum of squares on every group but for its last round, in the ten orders, [10, G]."""
    rows = np.column_stack([examples.features, examples.labels])
    active, orders = examples.active, published_orders(len(rows))
    moments = np.einsum("ng,ni,nj->gij", active.astype(float), rows, rows, optimize=True)
    ends = np.stack(
        [[order[active[order, g]][-1] for g in range(active.shape[1])] for order in orders]
    )
    last = rows[ends]  # [10, G, d + 1]
    with jax.enable_x64(True):
        left = least_squares(jax.numpy.asarray(moments - last[..., :, None] * last[..., None, :]))
        return np.asarray(left)


def table_distance(
    study: str,
    examples: Callable[[], GroupedData],
    rows: Mapping[str, Row],
    what: str,
    data: Data,
    level: float,
) -> Estimate:
    """Largest distance of our entries from the published ones; the orders are theirs, so that no
    sampling comes in. NaN where other numbers of rounds or orders were run.

    what: "regret", "deviation", "hindsight", or "regret in deviations": in published standard
    deviations over orders.
    """
    dataset, known = data[study], examples()
    shape = int(dataset.attrs["horizon"]), int(dataset.sizes["seed"])
    if shape != (len(known.labels), ORDERS):
        return Estimate(np.nan, np.nan, np.nan, level)
    table = np.array([rows[name] for name in known.groups])
    if what == "hindsight":
        away = hindsight_but_one(known).mean(axis=0) - table[:, 4]
    else:
        found = [published_regrets(dataset, name, known) for name in (BASELINE, OURS)]
        first, reduce = (1, np.std) if what == "deviation" else (0, np.mean)
        away = np.stack([reduce(x, axis=0) for x in found], 1) - table[:, [first, first + 2]]
        if what == "regret in deviations":
            away = away / table[:, [1, 3]]
    worst = float(np.abs(away).max())
    return Estimate(worst, worst, worst, level)


# ---- estimators ----------------------------------------------------------------------------


def least_gain(
    study: str, better: str, worse: str, groups: Sequence[int], data: Data, level: float
) -> Estimate:
    """The smallest, over the groups, of the mean regret of `worse` less that of `better`."""
    first, second = final_regrets(data[study], worse), final_regrets(data[study], better)
    split = split_level(level, len(groups))
    return smallest([paired_difference(first[:, g], second[:, g], split) for g in groups])


def over_root(study: str, learner: str, data: Data, level: float) -> Estimate:
    """The largest, over groups, of mean regret / sqrt(mean rounds of the group) at the end."""
    dataset = data[study]
    rounds = regrets(dataset, learner, "group_rounds")[-1].mean(axis=0)
    values = final_regrets(dataset, learner) / np.sqrt(rounds)
    split = split_level(level, values.shape[1])
    return largest([mean(values[:, g], level=split) for g in range(values.shape[1])])


def group_exponents(study: str, learner: str, data: Data, level: float) -> list[Estimate]:
    """The power of its rounds with which the mean regret of each group grows over the last eighth
    to whole of the run. -infinity where it is surely not positive at the end: there is nothing to
    bound. NaN where it is positive there and was not before: that is no power."""
    dataset = data[study]
    values, rounds = regrets(dataset, learner), regrets(dataset, learner, "group_rounds")
    split = split_level(level, values.shape[2])
    late = dataset.checkpoint.values >= dataset.checkpoint.values[-1] / 8
    found = []
    for group in range(values.shape[2]):
        times, own = rounds[late, :, group].mean(axis=1), values[late, :, group]
        if mean(own[-1], level=split).high <= 0:
            found.append(Estimate(-np.inf, -np.inf, -np.inf, split))
        elif np.any(own.mean(axis=1) <= 0):
            found.append(Estimate(np.nan, np.nan, np.nan, split))
        else:
            found.append(growth_exponent(times, own, split))
    return found


def largest_exponent(study: str, learner: str, data: Data, level: float) -> Estimate:
    return largest(group_exponents(study, learner, data, level))
