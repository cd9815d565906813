"""Regret curves and their kin, in one house style, from the data sets that `run` returns.

Every function takes a data set over (environment, learner, checkpoint, seed) and returns a
matplotlib Figure; nothing goes through pyplot, so nothing is shown, left open or changed globally.
With `ax` given, it draws there instead and returns the figure that `ax` belongs to.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import textwrap
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.ticker import EngFormatter

from .names import did_you_mean
from .statistics import mean

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from .identify import Identification

# Okabe & Ito's palette for all kinds of colour vision, without its yellow, which is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
STYLE: Any = {  # rc parameters
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
    "font.size": 9.5,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.title_fontsize": 8.5,
    "lines.linewidth": 1.7,
    "lines.markersize": 5,
    "mathtext.fontset": "dejavusans",
    "svg.hashsalt": "regrax",  # the same data give the same bytes
    "svg.fonttype": "path",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}
LABELS = {
    "regret": "regret",
    "hindsight_regret": "regret against the best arm in hindsight",
    "dynamic_regret": "dynamic regret",
    "expected_regret": "regret of the mean losses",
    "shifting_regret": "regret against sequences with few switches",
    "adaptive_regret": "largest regret over an interval",
    "simple_regret": "simple regret of the recommended arm",
    "reward": "total reward",
    "loss": "total loss",
    "cost": "total cost",
}
Log = Literal["", "x", "y", "xy"]


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that a notebook shows even where pyplot was never imported."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        with style(), io.BytesIO() as buffer:
            self.savefig(buffer, format="png", dpi=2 * self.dpi)
            width, height = (round(inches * self.dpi) for inches in self.get_size_inches())
            return buffer.getvalue(), {"width": width, "height": height}


def style() -> contextlib.AbstractContextManager[None]:
    """The house style, for the length of a `with` block."""
    return matplotlib.rc_context(STYLE)


def figure(rows: int = 1, columns: int = 1, *, width: float = 6.0, height: float = 3.7) -> Figure:
    """An empty figure in the house style; width and height of ONE panel, in inches."""
    with style():
        new = Figure(figsize=(width * columns, height * rows), layout="constrained")
        new.subplots(rows, columns, squeeze=False)
    return new


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of the index-th learner; 28 differ, each group of seven in its dashes."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
    }


def regret(
    dataset: xr.Dataset,
    metric: str = "regret",
    environment: str | Sequence[str] | None = None,
    level: float = 0.95,
    log: Log | bool | None = "x",
    ax: Axes | None = None,
) -> matplotlib.figure.Figure:
    """Mean of a metric over seeds against rounds, a curve with its band for every learner.

    Args:
      metric: a variable over (environment, learner, checkpoint, seed).
      environment: one name or several; by default every environment that has the metric, a panel
        each. Learners without the metric are left out with a note.
      level: of the bands, which are pointwise t intervals; one seed has none.
      log: which axes are logarithmic: "", "x", "y" or "xy" (True is "xy", False and None are "").

    Raises:
      ValueError: no such metric or environment, or nothing but NaN; the text says what there is.
    """
    panels, note = _panels(dataset, metric, environment, ax)
    scale = _log(log)
    with style():
        drawn, axes = _axes(len(panels), ax)
        order = _slots(dataset)
        for where, (name, array) in zip(axes, panels, strict=True):
            for learner, values in _by_learner(array, level).items():
                _curve(where, array.checkpoint.values, values, learner, line_style(order[learner]))
            _decorate(where, name if ax is None else "", scale)
            where.set_ylabel(LABELS.get(metric, metric.replace("_", " ")))
            where.set_xlabel("rounds")
        kind = "bands" if dataset.sizes["checkpoint"] > 1 else "lines"
        _legend(drawn, axes, _caption(dataset, level, note, kind), own=ax is None)
    return drawn


def final(
    dataset: xr.Dataset,
    metric: str = "regret",
    environment: str | Sequence[str] | None = None,
    level: float = 0.95,
    log: bool = False,
    ax: Axes | None = None,
) -> matplotlib.figure.Figure:
    """Mean of a metric at the last checkpoint, a dot with its t interval for every learner, the
    smallest on top. Arguments and errors as for `regret`; `log`: a logarithmic axis."""
    panels, note = _panels(dataset, metric, environment, ax)
    with style():
        rows = max(len(array.learner) for _, array in panels)
        drawn, axes = _axes(len(panels), ax, height=1.3 + 0.28 * rows)
        order = _slots(dataset)
        for where, (name, array) in zip(axes, panels, strict=True):
            ends = _by_learner(array.isel(checkpoint=[-1]), level)
            names = sorted(ends, key=lambda learner: -float(ends[learner][0][0]))
            for y, learner in enumerate(names):
                value, low, high = (float(part[0]) for part in ends[learner])
                colour = line_style(order[learner])["color"]
                if math.isfinite(high - low):
                    where.plot([low, high], [y, y], color=colour, solid_capstyle="butt", lw=3.5)
                where.plot([value], [y], "o", color=colour)
                where.annotate(
                    _short(value), (value, y), (0, 5), textcoords="offset points", ha="center",
                    va="bottom", fontsize=8, color="#444444",
                )  # fmt: skip
            where.set_yticks(range(len(names)), names)
            where.set_ylim(-0.6, len(names) - 0.2)
            where.margins(x=0.08)
            _decorate(where, name if ax is None else "", "x" if log else "")
            if not log:
                where.set_xlim(left=min(0.0, where.get_xlim()[0]))
            rounds = f"{int(array.checkpoint[-1]):,}"
            label = LABELS.get(metric, metric.replace("_", " "))
            where.set_xlabel(f"{label} after {rounds} rounds")
        _note(drawn, axes, _caption(dataset, level, note, "lines"), own=ax is None)
    return drawn


def pulls(
    dataset: xr.Dataset,
    environment: str | Sequence[str] | None = None,
    ax: Axes | None = None,
) -> matplotlib.figure.Figure:
    """Share of the rounds that each learner gave to each arm, up to the last checkpoint, as a mean
    over seeds. Raises ValueError as `regret` does."""
    panels, note = _panels(dataset, "pulls", environment, ax, ("arm",))
    with style():
        rows = max(len(array.learner) for _, array in panels)
        drawn, axes = _axes(len(panels), ax, height=1.5 + 0.3 * rows)
        for where, (name, array) in zip(axes, panels, strict=True):
            counts = array.isel(checkpoint=-1).mean("seed").transpose("learner", "arm").values
            arms = int(np.max(np.nonzero(counts.any(axis=0))[0], initial=0)) + 1  # others: padding
            share = counts[:, :arms] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            picture = where.imshow(share, cmap="cividis", vmin=0, vmax=1, aspect="auto")
            where.set_yticks(range(len(array.learner)), [str(x) for x in array.learner.values])
            if arms <= 12:
                where.set_xticks(range(arms))
                for (y, x), part in np.ndenumerate(share):
                    colour = "black" if part > 0.55 else "white"
                    where.text(x, y, f"{part:.0%}", ha="center", va="center", fontsize=8, c=colour)
            where.grid(False)
            where.set_xlabel("arm")
            where.set_title(name if ax is None else "")
        bar = drawn.colorbar(picture, ax=list(axes), format=lambda x, _: f"{x:.0%}")
        bar.set_label(f"share of {int(dataset.checkpoint[-1]):,} rounds")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        _note(drawn, axes, _caption(dataset, None, note), own=ax is None)
    return drawn


def errors(
    found: Mapping[str, Sequence[Identification]],
    level: float = 0.95,
    log: bool = True,
    ax: Axes | None = None,
) -> matplotlib.figure.Figure:
    """Error probability against the budget, a curve for each name, from what `identify` found at
    several budgets: {"uniform": [identify(...), ...], ...}.

    Bands are pointwise Clopper-Pearson intervals at `level`. On a logarithmic axis a point without
    a single error shows as its band alone.

    Raises:
      ValueError: nothing to draw.
    """
    if not found or not all(found.values()):
        raise ValueError(f"errors draws at least one result a name: got {dict(found)!r}")
    with style():
        drawn, axes = _axes(1, ax)
        for slot, (name, results) in enumerate(found.items()):
            rows = sorted((x.budget, *x.error(level)[:3]) for x in results)
            budgets, value, low, high = np.array(rows, float).T
            if log:
                value = np.where(value > 0, value, np.nan)
                low = np.maximum(low, high / 1e3)
            _curve(axes[0], budgets, (value, low, high), name, line_style(slot))
        axes[0].set(xlabel="budget (pulls)", ylabel="error probability")
        _decorate(axes[0], "", "y" if log else "")
        runs = sorted({x.runs for results in found.values() for x in results})
        count = f"{runs[0]:,}" if len(runs) == 1 else f"{runs[0]:,} to {runs[-1]:,}"
        kind = f"bands: {level * 100:.4g} % Clopper-Pearson intervals, pointwise"
        _legend(drawn, axes, f"{count} runs; {kind}", own=ax is None)
    return drawn


def save(drawn: matplotlib.figure.Figure, stem: str | Path) -> tuple[Path, Path]:
    """Write `stem`.png and `stem`.svg, each whole or not at all; returns both paths.

    Raises:
      OSError: they cannot be written.
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        path = stem.with_name(f"{stem.name}.{suffix}")
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with style():
                drawn.savefig(temporary, format=suffix, metadata=metadata)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        paths.append(path)
    return paths[0], paths[1]


# ---- what to draw --------------------------------------------------------------------------


def _panels(
    dataset: xr.Dataset,
    metric: str,
    environment: str | Sequence[str] | None,
    ax: Any,
    own: tuple[str, ...] = (),
) -> tuple[list[tuple[str, xr.DataArray]], str]:
    """(environment, its [learner, checkpoint, seed, ...] without NaN learners) a panel, a note."""
    if metric not in dataset:
        raise ValueError(
            f"no metric {metric!r} in this data set: {did_you_mean(metric, _names(dataset))}"
        )
    needed = ("environment", "learner", "checkpoint", "seed", *own)
    if sorted(map(str, dataset[metric].dims)) != sorted(needed):
        raise ValueError(f"{metric!r} has dimensions {dataset[metric].dims}, not {needed}")
    known = [str(name) for name in dataset.environment.values]
    asked = [environment] if isinstance(environment, str) else list(environment or known)
    for name in asked:
        if name not in known:
            raise ValueError(
                f"no environment {name!r} in this data set: {did_you_mean(name, known)}"
            )
    panels, left_out = [], []
    for name in asked:
        array = (
            dataset[metric].sel(environment=name).transpose("learner", "checkpoint", "seed", ...)
        )
        empty = array.isnull().all([dim for dim in array.dims if dim != "learner"]).values
        if empty.any():
            missing = ", ".join(str(x) for x in array.learner.values[empty])
            left_out.append(f"{name}" if empty.all() else f"{missing} in {name}")
        if not empty.all():
            panels.append((name, array.isel(learner=~empty)))
    if not panels:
        there = {n for name in asked for n in _names(dataset.sel(environment=[name]), filled=True)}
        raise ValueError(
            f"{metric!r} is not defined (all NaN) in {', '.join(asked)}: "
            f"there is {', '.join(sorted(there)) or 'no metric at all'}"
        )
    if ax is not None and len(panels) > 1:
        raise ValueError(
            f"one ax for {len(panels)} environments: give environment=, one of {asked}"
        )
    return panels, f"no {metric.replace('_', ' ')} for {'; '.join(left_out)}" if left_out else ""


def _names(dataset: xr.Dataset, filled: bool = False) -> list[str]:
    return [
        str(name)
        for name, array in dataset.data_vars.items()
        if "seed" in array.dims and not (filled and bool(array.isnull().all()))
    ]


def _slots(dataset: xr.Dataset) -> Mapping[str, int]:
    """A learner's place in the colour cycle: the same in every panel of a study."""
    return {str(name): i for i, name in enumerate(dataset.learner.values)}


def _by_learner(array: xr.DataArray, level: float) -> dict[str, tuple[np.ndarray, ...]]:
    """Learner to (mean, low, high), each [checkpoint]."""
    return {
        str(name): tuple(np.asarray(part) for part in mean(values, level=level)[:3])
        for name, values in zip(array.learner.values, array.values, strict=True)
    }


# ---- how it looks --------------------------------------------------------------------------


def _axes(count: int, ax: Axes | None, height: float = 3.7) -> tuple[Any, list[Any]]:
    """The figure and `count` axes, at most three beside each other; unused ones are taken away."""
    if ax is not None:
        return ax.get_figure(root=True), [ax]
    columns = min(count, 3 if count != 4 else 2)
    rows = -(-count // columns)
    drawn = figure(rows, columns, width=6.8 if count == 1 else 4.2, height=height)
    for spare in drawn.axes[count:]:
        spare.remove()
    return drawn, drawn.axes[:count]


def _curve(ax: Any, rounds: np.ndarray, values: tuple, label: str, look: dict[str, Any]) -> None:
    centre, low, high = values
    banded = np.isfinite(high - low).any()
    if len(rounds) == 1:
        error = [[centre[0] - low[0]], [high[0] - centre[0]]] if banded else None
        ax.errorbar(
            rounds, centre, yerr=error, fmt="o", capsize=3, label=label, color=look["color"]
        )
        return
    ax.plot(rounds, centre, label=label, **look)
    if banded:
        ax.fill_between(rounds, low, high, color=look["color"], alpha=0.2, linewidth=0)


def _decorate(ax: Any, title: str, scale: str) -> None:
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        if name in scale:
            getattr(ax, f"set_{name}scale")("log")
        elif not axis.get_major_formatter().__class__.__name__.startswith(("Fixed", "Func")):
            axis.set_major_formatter(EngFormatter(sep=""))
    if title:
        ax.set_title("\n".join(textwrap.wrap(title, 40)))


def _legend(drawn: Any, axes: Sequence[Any], caption: str, own: bool) -> None:
    """One legend beside the panels, or inside somebody else's axes. With one panel its order is
    that of the last values, as the curves end."""
    entries: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if len(axes) == 1:
        entries = dict(sorted(entries.items(), key=lambda entry: -_last_value(entry[1])))
    if not own:
        axes[0].legend(entries.values(), entries.keys(), title=caption, alignment="left")
        return
    drawn.legend(entries.values(), entries.keys(), loc="outside right upper", handlelength=2.6)
    _note(drawn, axes, caption, own)


def _last_value(handle: Any) -> float:
    line = handle if hasattr(handle, "get_ydata") else handle.lines[0]  # errorbar: a container
    return float(np.nan_to_num(np.asarray(line.get_ydata(), float)[-1]))


def _note(drawn: Any, axes: Sequence[Any], caption: str, own: bool) -> None:
    if own:
        wide = int(drawn.get_figwidth() * 15)
        text = "\n".join(itertools.chain(*(textwrap.wrap(x, wide) for x in caption.split("\n"))))
        drawn.supxlabel(text, fontsize=8, color="#555555", x=0.01, ha="left")
    else:
        axes[0].set_title(caption, fontsize=8, fontweight="normal", color="#555555", loc="right")


def _caption(dataset: xr.Dataset, level: float | None, note: str, kind: str = "bands") -> str:
    seeds = int(dataset.sizes["seed"])
    text = f"mean of {seeds:,} seeds" if seeds > 1 else "one seed"
    if level is not None:
        pointwise = ", pointwise" if kind == "bands" else ""
        text += (
            f"; {kind}: {level * 100:.4g} % t intervals{pointwise}" if seeds > 1 else f", no {kind}"
        )
    return f"{text}\n{note}" if note else text


def _log(log: Log | bool | None) -> str:
    scale = {True: "xy", False: "", None: ""}.get(log, log) if not isinstance(log, str) else log
    if scale not in ("", "x", "y", "xy"):
        raise ValueError(f"log says which axes are logarithmic: '', 'x', 'y' or 'xy', got {log!r}")
    return scale


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
