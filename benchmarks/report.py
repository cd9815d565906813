"""The table and the ratios of `regrax bench bandits`, as text and as data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .harness import Measurement, Row, pool, standard_errors_apart

FAR = 4.0  # standard errors of a difference in mean regret that mean: another algorithm
TITLES = {"ucb1": "UCB1", "thompson": "Thompson sampling", "exp3": "Exp3"}
References = Mapping[tuple[str, int], Measurement]

# What a ratio divides, and the goal for two cores by algorithm.
RATIOS: tuple[tuple[str, str, str, dict[str, float]], ...] = (
    ("regrax / C", "regrax", "c", {"ucb1": 1.2, "thompson": 0.5, "exp3": 0.5}),
    ("regrax / fastest library", "regrax", "library", {"ucb1": 700.0}),
    ("regrax / fastest JAX peer", "regrax", "jax", {"ucb1": 8.0, "thompson": 10.0}),
    ("regrax / NumPy", "regrax", "numpy", {}),
    ("plain learner / regrax", "plain", "regrax", dict.fromkeys(TITLES, 0.5)),
)


def apart(row: Row, references: References) -> float | None:
    """Standard errors between a row's mean regret and the reference; None where they may differ."""
    if not row.measurements or row.algorithm in row.program.variants:
        return None
    return standard_errors_apart(pool(row.measurements), references[row.algorithm, row.horizon])


def problems(rows: Sequence[Row], references: References) -> list[str]:
    """Rows that failed, or whose regret says that they do other work than the rest."""
    found = []
    for row in rows:
        name = f"{row.program.name}, {row.algorithm}, {row.seeds or 'single'} seeds"
        distance = apart(row, references)
        if row.failure:
            found.append(f"{name}: {row.failure}")
        elif distance is not None and abs(distance) > FAR:
            found.append(f"{name}: mean regret {distance:+.1f} standard errors off")
    return found


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every ratio of medians by algorithm and batch size; libraries count at every batch size."""
    found = []
    for algorithm in dict.fromkeys(row.algorithm for row in rows):
        here = [row for row in rows if row.algorithm == algorithm]
        for name, above, below, goals in RATIOS:
            for seeds in dict.fromkeys(row.seeds for row in here if row.seeds):
                top, bottom = (_fastest(here, kind, seeds) for kind in (above, below))
                if top is None or bottom is None:
                    continue
                found.append(
                    {
                        "algorithm": algorithm,
                        "ratio": name,
                        "seeds": seeds,
                        "value": top[0] / bottom[0],
                        "beside": bottom[1],
                        "goal": goals.get(algorithm),
                    }
                )
    return found


def _fastest(rows: Sequence[Row], kind: str, seeds: int) -> tuple[float, str] | None:
    rates = [
        (row.rate, row.program.name)
        for row in rows
        if row.program.kind == kind and row.seeds in (seeds, None) and row.rate is not None
    ]
    return max(rates, default=None)


def as_data(rows: Sequence[Row], references: References) -> dict[str, Any]:
    """Rows with every raw measurement, references, ratios and problems, ready for JSON."""
    return {
        "rows": [
            {
                "program": row.program.name,
                "kind": row.program.kind,
                "threads": row.program.threads,
                "algorithm": row.algorithm,
                "seeds": row.seeds,
                "horizon": row.horizon,
                "pulls_per_second": row.rate,
                "compile_seconds": row.compile_seconds,
                "standard_errors_apart": apart(row, references),
                "variant": row.program.variants.get(row.algorithm),
                "failure": row.failure,
                "measurements": [asdict(measurement) for measurement in row.measurements],
            }
            for row in rows
        ],
        "references": [
            {"algorithm": algorithm, "horizon": horizon, **asdict(measurement)}
            for (algorithm, horizon), measurement in references.items()
        ],
        "ratios": ratios(rows),
        "problems": problems(rows, references),
    }


def as_text(
    about: Mapping[str, Any],
    missing: Mapping[str, str],
    rows: Sequence[Row],
    references: References,
) -> str:
    """What is printed at the end."""
    load = "unknown" if about["load"] is None else f"{about['load'][0]:.1f}"
    lines = [
        "",
        f"{about['processor']}, {about['cores']} cores, load {load} at the start; "
        f"jax {about['jax_version']}, numpy {about['numpy_version']}",
        "10 Bernoulli arms, means 0.10 to 0.55; million pulls per second, median over repeats",
    ]
    for algorithm in dict.fromkeys(row.algorithm for row in rows):
        here = [row for row in rows if row.algorithm == algorithm]
        lines += ["", f"{TITLES[algorithm]}", *_table(here, references)]
    found_ratios = ratios(rows)
    lines += ["", "Ratios", *_ratio_table(found_ratios)] if found_ratios else []
    lines += [f"not installed: {name}: {reason}" for name, reason in missing.items()]
    lines += [f"note: {note}" for note in _overheads(rows)]
    found = problems(rows, references)
    if not found:
        lines += ["", f"All mean regrets agree with NumPy's within {FAR:g} standard errors."]
    return "\n".join([*lines, *(f"LOOK: {problem}" for problem in found), ""])


def _overheads(rows: Sequence[Row]) -> list[str]:
    """Where a call takes a quarter longer than the time it reports, compiling apart."""
    found = []
    for row in rows:
        pooled = pool(row.measurements) if row.measurements else None
        if pooled is None or pooled.call_seconds is None:
            continue
        ratio = pooled.call_seconds / pooled.seconds
        if ratio > 1.25:
            name = f"{row.program.name}, {row.algorithm}, {row.seeds} seeds"
            found.append(f"{name}: the whole call takes {ratio:.2f} times what it reports as run")
    return found


_HEAD = (
    f"{'program':<24}{'threads':>8}{'seeds':>8}{'rounds':>9}{'M pulls/s':>11}"
    f"{'lowest':>9}{'highest':>9}{'of C':>8}{'compile s':>11}{'regret':>16}  check"
)


def _table(rows: Sequence[Row], references: References) -> list[str]:
    lines = [_HEAD]
    for row in sorted(rows, key=lambda row: (row.seeds is None, row.seeds or 0)):
        name = f"{row.program.name:<24}{row.program.threads:>8}"
        place = f"{f'{row.seeds:,}' if row.seeds else '1 by 1':>8}{row.horizon:>9,}"
        if not row.measurements:
            lines.append(f"{name}{place}  failed: {row.failure}")
            continue
        lines.append(f"{name}{place}{_speeds(row, rows)}{_check(row, references)}")
    return lines


def _speeds(row: Row, rows: Sequence[Row]) -> str:
    largest = max((other.seeds for other in rows if other.seeds), default=0)
    c = _fastest(rows, "c", row.seeds or largest)
    rates = [measurement.rate for measurement in row.measurements]
    spread = "".join(f"{_digits(rate / 1e6):>{9}}" for rate in (min(rates), max(rates)))
    of_c = _part((row.rate or 0) / c[0]) if c else "-"
    compiled = f"{row.compile_seconds:.1f}" if row.compile_seconds else "-"
    return f"{_digits((row.rate or 0) / 1e6):>11}{spread}{of_c:>8}{compiled:>11}"


def _check(row: Row, references: References) -> str:
    pooled = pool(row.measurements)
    regret = f"{pooled.mean:.1f} ± {(pooled.variance / pooled.runs) ** 0.5:.1f}"
    distance = apart(row, references)
    if distance is None:
        verdict = f"not compared: {row.program.variants.get(row.algorithm)}"
    else:
        verdict = "same" if abs(distance) <= FAR else f"OFF by {distance:+.1f} s.e."
    return f"{regret:>16}  {verdict}"


def _ratio_table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    sizes = list(dict.fromkeys(ratio["seeds"] for ratio in found))
    head = "".join(f"{f'{size:,} seeds':>15}" for size in sizes)
    lines = [f"{'':<38}{head}   goal (2 cores)"]
    for algorithm, name in dict.fromkeys((r["algorithm"], r["ratio"]) for r in found):
        group = [r for r in found if (r["algorithm"], r["ratio"]) == (algorithm, name)]
        by_size = {r["seeds"]: _digits(r["value"]) for r in group}
        values = "".join(f"{by_size.get(size, '-'):>15}" for size in sizes)
        goal = "" if group[0]["goal"] is None else f"{group[0]['goal']:g}"
        beside = f" ({group[0]['beside']})" if "fastest" in name else ""
        lines.append(f"{TITLES[algorithm][:8] + ' ' + name:<38}{values}   {goal}{beside}".rstrip())
    return lines


def _part(value: float) -> str:
    return _digits(value) if value >= 0.1 else f"1/{1 / value:,.0f}"


def _digits(value: float) -> str:
    """Three significant digits, never in exponential notation."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"
