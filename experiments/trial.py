"""`regrax run`: some learners in one environment, from names to a curve, a table and a data set."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import plotting
from ..core.claims import show
from ..core.names import did_you_mean
from ..core.statistics import mean, paired_difference
from ..core.store import Store
from ..core.study import Study, run
from . import catalogue, records
from .catalogue import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from ..core.fingerprint import Configuration

METRICS = ("regret", "hindsight_regret", "dynamic_regret")  # shown by default, the first there is


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    dataset: xr.Dataset
    text: str  # table, speed, and where the files are
    png: Path
    svg: Path
    nc: Path


def study(
    environment: str,
    learners: tuple[str, ...],
    horizon: int,
    seeds: int,
    settings: tuple[str, ...] = (),
    root_seed: int = 0,
) -> Study:
    """The study that names and `name=value` settings ask for.

    Args:
      environment: a class or a named instance of `catalogue.environments`.
      learners: classes of `catalogue.learners`, each also as LABEL=CLASS.
      settings: see `catalogue.split_settings`.

    Raises:
      UsageError: a name, field or value that does not fit.
    """
    labelled = [_labelled(text) for text in learners]
    labels = tuple(label for label, _ in labelled)
    if not labels:
        raise UsageError("no learners: name at least one, --learners UCB1")
    for label in labels:
        if labels.count(label) > 1:
            raise UsageError(f"two learners are called {label!r}: name them, first={label} ...")
    own, others = catalogue.split_settings(settings, environment, labels)
    options = catalogue.environments()
    env = catalogue.build(environment, options, "environment", own, horizon=horizon)
    known = catalogue.learners()
    made = {
        label: catalogue.build(name, known, "learner", others[label], label)
        for label, name in labelled
    }
    return Study(environment, {environment: env}, made, horizon, seeds, root_seed=root_seed)


def perform(asked: Study, output: Path, metric: str | None = None, level: float = 0.95) -> Trial:
    """Run a study of one environment, draw its curve, and write everything below `output`/runs.

    Raises:
      UsageError: a metric that there is not; and what `core.study.run` raises.
    """
    store = _Counting(output / "store")
    dataset = run(asked, store=store)
    metric = _metric(dataset, metric)
    stem = output / "runs" / _file_name(asked, dataset)
    png, svg = plotting.save(plotting.regret(dataset, metric, level=level), stem)
    nc = stem.with_name(f"{stem.name}.nc")
    with records.replacing(nc) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")
    text = "\n\n".join(
        [table(dataset, metric, level), _speed(dataset, store), f"{png}\n{svg}\n{nc}"]
    )
    return Trial(dataset, text, png, svg, nc)


def table(dataset: xr.Dataset, metric: str = "regret", level: float = 0.95) -> str:
    """Every learner's mean at the last checkpoint with its t interval, the smallest first, and the
    difference to that first learner, paired over seeds, with the interval of the difference."""
    last = dataset[metric].isel(environment=0, checkpoint=-1).transpose("learner", "seed")
    values = {str(name): row for name, row in zip(last.learner.values, last.values, strict=True)}
    order = sorted(values, key=lambda name: float(values[name].mean()))
    best = order[0]
    single = last.sizes["seed"] < 2
    against = f"minus {best}" if len(order) > 1 else ""
    rows: list[tuple[str, ...]] = [("learner", metric.replace("_", " "), against)]
    for name in order:
        behind = "" if name == best else _show(paired_difference(values[name], values[best], level))
        rows.append((name, _show(mean(values[name], level=level)), behind))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    about = f"{dataset.environment.values[0]}, {int(dataset.checkpoint[-1]):,} rounds, " + (
        "1 seed" if single else f"{last.sizes['seed']:,} seeds, {level * 100:.4g} % intervals"
    )
    return "\n".join([about, "", *lines])


class _Counting(Store):
    """A store that knows how much of a run was new."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.pulls = self.wall = self.compiling = 0.0

    def save(
        self, configuration: Configuration, block: xr.Dataset, provenance: Mapping[str, Any]
    ) -> Path:
        path = super().save(configuration, block, provenance)
        if "pulls" in provenance:  # a table that an environment needs has none
            self.pulls += float(provenance["pulls"])
            self.wall += float(provenance["wall_seconds"])
            self.compiling += float(provenance["compile_seconds"])
        return path


def _speed(dataset: xr.Dataset, store: _Counting) -> str:
    device = dataset.attrs.get("device", "?")
    if not store.pulls:
        then = f"{float(dataset.attrs.get('pulls_per_second', math.nan)):.3g}"
        return f"taken from {store.path} ({then} pulls per second on {device} when it was run)"
    rate = store.pulls / max(store.wall, 1e-9)
    text = f"{rate:.3g} pulls per second on {device}: {store.pulls:.3g} pulls in {store.wall:.2f} s"
    text += f", and {store.compiling:.2f} s to compile"
    stored = float(dataset.attrs.get("pulls", store.pulls)) - store.pulls
    return text + (f"; {stored:.3g} pulls were taken from {store.path}" if stored > 0.5 else "")


def _metric(dataset: xr.Dataset, asked: str | None) -> str:
    there = [
        str(name)
        for name, array in dataset.data_vars.items()
        if array.dims == ("environment", "learner", "checkpoint", "seed")
    ]
    if asked is not None and asked not in there:
        raise UsageError(f"no metric {asked!r} here: {did_you_mean(asked, there)}")
    chosen = asked or next((name for name in (*METRICS, *there) if name in there), None)
    if chosen is None:
        raise UsageError("this environment reports no metric with one number a seed")
    return chosen


def _file_name(asked: Study, dataset: xr.Dataset) -> str:
    return f"{asked.name}-{asked.horizon}-{str(dataset.attrs['fingerprint'])[:8]}"


def _labelled(text: str) -> tuple[str, str]:
    label, equals, name = text.rpartition("=")
    if equals and not re.fullmatch(r"[\w-]+", label):
        raise UsageError(f"a label is letters, digits, '-' and '_', as in mine=UCB1: got {text!r}")
    return (label, name) if equals else (text, text)


def _show(estimate: Any) -> str:
    return (
        show(estimate) if math.isfinite(estimate.high - estimate.low) else f"{estimate.value:.6g}"
    )
