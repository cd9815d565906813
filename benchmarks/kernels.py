"""Speed of the kernels beside JAX's own functions, in one run.

    regrax bench kernels
    python -m regrax.benchmarks.kernels --entries 4194304 --repeats 5

softmax, log_softmax, logsumexp and cross-entropy with its gradient, over rows of several lengths,
each beside its counterpart in `jax.nn`; softmaxes also with a donated input. Then attention of one
new token over caches of several shapes. Programs run in shuffled rounds, ratios are medians of the
rounds, and what was computed is compared. On a CPU fresh memory costs more than arithmetic: with
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in the environment large results of any program are quicker.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.kernels.cross_entropy import softmax_cross_entropy
from ..core.kernels.log_softmax import log_softmax
from ..core.kernels.logsumexp import implementation as of_sums
from ..core.kernels.logsumexp import logsumexp
from ..core.kernels.softmax import implementation as of_softmax
from ..core.kernels.softmax import softmax
from ..core.stopwatch import Timed, in_turn, ratios
from . import kernels_attention
from .harness import machine

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
SLACK = 0.95  # of the speed of JAX's function, for a call that is not donated
DONATED = 2.0  # times as quick as JAX's function without donation, for rows of a million and more
LONG = 2**20


@dataclass(frozen=True)
class Config:
    """Speed of softmaxes and of attention: regrax beside `jax.nn`."""

    entries: int = 2**24
    """Entries of the arrays; the largest for which there are goals is 2^26."""
    rows: tuple[int, ...] = (1, 16, 128, 4_096, 16_384)
    """Over how many rows they are spread, each in turn."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    repeats: int = 11
    """Rounds in which every program runs once, in a shuffled order."""
    softmax: bool = True
    """Whether to measure the softmaxes."""
    attention: bool = True
    """Whether to measure decode attention."""
    cache: int = 2**29
    """Bytes of keys and values of the largest shape of attention that is measured; all have less
    than 2^31."""
    seed: int = 0
    """Of the inputs and of the order."""
    output: Path | None = None
    """Where to write every raw measurement, as JSON."""

    def __post_init__(self):
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.repeats < 1 or not self.rows or min(self.rows) < 1:
            raise ValueError(f"at least one repeat and one row are needed, got {self}")
        if self.entries < max(self.rows):
            raise ValueError(f"{self.entries} entries are fewer than the {max(self.rows)} rows")


class Pair(NamedTuple):
    """A function of ours and its counterpart, of (x [R, n], labels [R])."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    donated: Callable[..., Any] | None  # ours, for an argument that is
    chosen: Callable[..., tuple[str, str]]


def _their_loss(x: jax.Array, labels: jax.Array) -> jax.Array:
    own = jnp.take_along_axis(x, labels[:, None], axis=-1)[:, 0]
    return jnp.sum((jax.nn.logsumexp(x, axis=-1) - own).astype(jnp.float32))


PAIRS = (
    Pair(
        "softmax", lambda x, y: softmax(x), lambda x, y: jax.nn.softmax(x),
        lambda x, y: softmax(x, donate=True), of_softmax,
    ),
    Pair(
        "log_softmax", lambda x, y: log_softmax(x), lambda x, y: jax.nn.log_softmax(x),
        lambda x, y: log_softmax(x), of_sums,
    ),
    Pair(
        "logsumexp", lambda x, y: logsumexp(x), lambda x, y: jax.nn.logsumexp(x, axis=-1), None,
        of_sums,
    ),
    Pair(
        "cross-entropy, gradient",
        jax.value_and_grad(lambda x, y: jnp.sum(softmax_cross_entropy(x, y))),
        jax.value_and_grad(_their_loss), None, of_sums,
    ),
)  # fmt: skip


def run(**options: Any) -> dict[str, Any]:
    """Measures, prints the table and returns everything as plain data; `options`: see `Config`."""
    return execute(Config(**options))


def execute(config: Config) -> dict[str, Any]:
    """`run` for a ready-made configuration."""
    about = machine()
    result: dict[str, Any] = {
        "config": {**asdict(config), "output": None},
        "machine": about,
        "device": jax.devices()[0].device_kind,
        "tunables": os.environ.get("GLIBC_TUNABLES", ""),
        "softmax": measure(config) if config.softmax else None,
        "attention": _attention(config) if config.attention else None,
    }
    parts = [part for part in (result["softmax"], result["attention"]) if part]
    result["problems"] = [problem for part in parts for problem in part["problems"]]
    print(as_text(result))
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        config.output.write_text(json.dumps(result, indent=1) + "\n")
    return result


def measure(config: Config) -> dict[str, Any]:
    """The part on softmaxes: a row for every function and shape."""
    rows, problems = [], []
    for count in config.rows:
        shape = count, config.entries // count
        for pair in PAIRS:
            row = _row(config, pair, shape)
            rows.append(row)
            if row["apart"] > row["digits"]:
                problems.append(
                    f"{pair.name} of {list(shape)} is {row['apart']:.1e} from JAX's, more than "
                    f"{row['digits']:.0e}"
                )
    return {"rows": rows, "problems": problems}


def _row(config: Config, pair: Pair, shape: tuple[int, int]) -> dict[str, Any]:
    dtype, rng = DTYPES[config.dtype], np.random.default_rng(config.seed)
    x = jnp.asarray(3 * rng.standard_normal(shape, np.float32), dtype)
    labels = jnp.asarray(rng.integers(0, shape[1], shape[0]), jnp.int32)
    plain = {name: jax.jit(getattr(pair, name)) for name in ("ours", "theirs")}
    programs = {name: Timed(f, lambda: (x, labels)) for name, f in plain.items()}
    if pair.donated is not None:
        for name, f in (("ours", pair.donated), ("theirs", pair.theirs)):
            donated = jax.jit(f, donate_argnums=0)
            programs[f"{name}, donated"] = Timed(donated, lambda: (x + 0, labels))
    memory = {
        name: f.lower(x, labels).compile().memory_analysis().temp_size_in_bytes  # pyright: ignore
        for name, f in plain.items()
    }
    seconds = in_turn(programs, config.repeats, config.seed)
    digits = 2e-5 if config.dtype == "float32" else 5e-2
    return {
        "function": pair.name,
        "shape": list(shape),
        "chosen": pair.chosen(shape, dtype)[0],
        "seconds": {name: times.tolist() for name, times in seconds.items()},
        "ratios": {
            name: ratios(seconds["theirs"], times)
            for name, times in seconds.items()
            if name != "theirs"
        },
        "temporary_bytes": memory,
        "apart": _apart(plain["ours"](x, labels), plain["theirs"](x, labels)),
        "digits": digits,
        "goals": _goals(pair, shape),
    }


def _goals(pair: Pair, shape: tuple[int, int]) -> dict[str, float]:
    if pair.name != "softmax":
        return {}
    return {"ours": SLACK} | ({"ours, donated": DONATED} if shape[1] >= LONG else {})


def _apart(ours: Any, theirs: Any) -> float:
    """The largest difference, in units of the largest result."""
    found = 0.0
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
        found = max(found, float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b))))
    return found


def _attention(config: Config) -> dict[str, Any]:
    """The part on decode attention."""
    size = jnp.dtype(config.dtype).itemsize
    shapes = [shape for shape in kernels_attention.SHAPES if size * shape.numbers <= config.cache]
    rows = kernels_attention.measure(shapes, config.repeats, config.dtype, config.seed)
    return {"rows": rows, "problems": kernels_attention.problems(rows)}


def as_text(result: dict[str, Any]) -> str:
    """What is printed at the end."""
    about, config = result["machine"], result["config"]
    load = "unknown" if about["load"] is None else f"{about['load'][0]:.1f}"
    lines = [
        "",
        f"{about['processor']}, {about['cores']} cores, load {load} at the start; "
        f"{result['device']}; jax {about['jax_version']}; "
        f"{result['tunables'] or 'GLIBC_TUNABLES not set'}",
    ]
    if result["softmax"]:
        lines += _table(result["softmax"]["rows"], config)
    if result["attention"]:
        lines += ["", kernels_attention.as_text(result["attention"]["rows"])]
    return "\n".join([*lines, *(f"LOOK: {problem}" for problem in result["problems"]), ""])


def _table(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[str]:
    lines = [
        f"{config['entries']:,} entries of {config['dtype']}; how many times as quick as JAX's "
        f"function without donation: medians of {config['repeats']} shuffled rounds (quartiles)",
        f"{'':<26}{'rows x length':>18}{'ours':>20}{'ours, donated':>20}{'JAX, donated':>20}"
        f"{'ms':>9}{'extra MB':>10}  chosen",
    ]
    for row in rows:
        cells = "".join(
            f"{_cell(row, name):>20}" for name in ("ours", "ours, donated", "theirs, donated")
        )
        shape = " x ".join(f"{size:,}" for size in row["shape"])
        milliseconds = 1e3 * float(np.median(row["seconds"]["ours"]))
        lines.append(
            f"{row['function']:<26}{shape:>18}{cells}{milliseconds:>9.2f}"
            f"{row['temporary_bytes']['ours'] / 1e6:>10.1f}  {row['chosen']}"
        )
    return [*lines, f"goals for softmax: {SLACK} at least, {DONATED:g} donated from {LONG:,} on"]


def _cell(row: dict[str, Any], name: str) -> str:
    if name not in row["ratios"]:
        return ""
    middle, low, high = row["ratios"][name]
    short = "!" if middle < row["goals"].get(name, 0) else ""
    return f"{short}{middle:.2f} ({low:.2f}-{high:.2f})"


def main(config: Config | None = None) -> int:
    """Runs the benchmark, by default as the command line asks; 1 where results differ."""
    if config is None:
        import tyro

        config = tyro.cli(Config, prog="regrax bench kernels", description=__doc__)
    return 1 if execute(config)["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
