"""Decode attention beside `jax.nn.dot_product_attention`: part of `regrax bench kernels`.

In every round all programs of a shape run once, in a new random order; a ratio is that of two times
of one round. Where it is far from that of the least times, the machine was busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.kernels.decode_attention import decode_attention, implementation
from ..core.stopwatch import Timed, in_turn, ratios

BASELINE = "jax.nn.dot_product_attention"


class Shape(NamedTuple):
    """Queries [batch, heads x group, features] over `context` keys of `heads` heads."""

    batch: int
    context: int
    heads: int
    group: int
    features: int
    ragged: bool = False  # lengths uniform from nothing to all, else all

    def __str__(self) -> str:
        context = f"{self.context // 1024}k" if self.context >= 1024 else f"{self.context}"
        text = f"{self.batch} x {context} x {self.heads} x {self.features}"
        text += f", {self.group} queries a key" if self.group > 1 else ""
        return text + (", ragged" if self.ragged else "")

    @property
    def numbers(self) -> int:
        """Of keys and values."""
        return 2 * self.batch * self.context * self.heads * self.features


GOAL = Shape(1, 65536, 8, 1, 64)
SHAPES = (
    *(GOAL._replace(context=1024 * k) for k in (1, 4, 16, 64, 256)),
    Shape(4, 2048, 8, 4, 128),
    Shape(8, 8192, 8, 4, 128),
    Shape(1, 32768, 8, 4, 128),
    Shape(8, 8192, 8, 1, 64, ragged=True),
)
LAYOUTS = ("BSHD", "BHSD", "BHDS")
GOALS = {"BSHD": 4.0, "BHSD": 7.0}  # times as quick at the shape GOAL, float32; elsewhere 1
LEAST = 0.01  # seconds that a time is taken over
DIGITS = {"float32": 1e-5, "bfloat16": 3e-2, "float16": 5e-3}  # of the largest output


def measure(
    shapes: Sequence[Shape], repeats: int, dtype: str = "float32", seed: int = 0
) -> list[dict[str, Any]]:
    """Times of every program on every shape, one row each.

    Returns:
      Rows with "shape", "dtype", "program", "seconds" (of each round), "ratio" (how many times as
      quick as the first program of the shape: median of the rounds, quartiles), "quickest" (the
      same of the least times), "gigabytes_per_second" (of keys and values that count, at the least
      time), "apart" (the largest difference from the first program's output, over its largest
      entry), "goal" and "why" (what runs).
    """
    return [row for shape in shapes for row in _rows(shape, repeats, dtype, seed)]


def problems(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Programs whose results differ by more than rounding."""
    return [
        f"{row['program']} at {row['shape']} is {row['apart']:.1e} from JAX's, more than "
        f"{DIGITS[row['dtype']]}"
        for row in rows
        if not row["apart"] <= DIGITS[row["dtype"]]
    ]


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """A table, with a mark where a ratio is below its goal."""
    dtype = rows[0]["dtype"] if rows else "nothing"
    lines = [
        f"decode attention, {dtype}: how many times as quick as {BASELINE} (median of rounds, "
        "quartiles; of least times)",
        f"{'batch x context x heads x features':<38}{'program':<32}{'ratio':>22}{'quickest':>10}"
        f"{'ms':>9}{'GB/s':>7}",
    ]
    for row in rows:
        middle, low, high = row["ratio"]
        short = "!" if middle < row["goal"] else ""
        lines.append(
            f"{row['shape']:<38}{row['program']:<32}"
            f"{f'{short}{middle:.2f} ({low:.2f}-{high:.2f})':>22}{row['quickest']:>10.2f}"
            f"{1e3 * min(row['seconds']):>9.2f}{row['gigabytes_per_second']:>7.1f}"
        )
    goals = ", ".join(f"{goal:g} in {layout}" for layout, goal in GOALS.items())
    return "\n".join([*lines, f"goals at {GOAL}, float32: {goals}; 1 elsewhere"])


def _rows(shape: Shape, repeats: int, dtype: str, seed: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    programs = dict(_programs(shape, dtype, seed, rng))
    outputs = {name: np.asarray(run(), np.float32) for name, run in programs.items()}  # compiles
    calls = {name: _calls(run) for name, run in programs.items()}
    timed = {name: Timed(_repeated(run, calls[name])) for name, run in programs.items()}
    seconds = {name: t / calls[name] for name, t in in_turn(timed, repeats, seed).items()}
    first = seconds[BASELINE]
    share = _lengths(shape, seed).sum() / (shape.batch * shape.context)
    read = share * shape.numbers * jnp.dtype(dtype).itemsize
    for name, times in seconds.items():
        layout = name.split()[-1]
        off = np.max(np.abs(outputs[name] - outputs[BASELINE]))
        goal = GOALS.get(layout, 1.0) if (shape, dtype) == (GOAL, "float32") else 1.0
        yield {
            "shape": str(shape),
            "dtype": dtype,
            "program": name,
            "seconds": times.tolist(),
            "ratio": ratios(first, times),
            "quickest": float(first.min() / times.min()),
            "gigabytes_per_second": float(read / times.min() / 1e9),
            "apart": float(off / np.max(np.abs(outputs[BASELINE]))),
            "goal": 0.0 if name == BASELINE else goal,
            "why": "XLA" if name == BASELINE else _why(shape, dtype, layout),
        }


def _programs(
    shape: Shape, dtype: str, seed: int, rng: np.random.Generator
) -> Iterator[tuple[str, Callable[[], jax.Array]]]:
    """Each with its arguments, which are in memory before it is timed."""
    batch, context, heads, group, features, ragged = shape
    q = jnp.asarray(rng.normal(size=(batch, heads * group, features)), dtype)
    kept = [rng.standard_normal((batch, context, heads, features), np.float32) for _ in range(2)]
    lengths = jnp.asarray(_lengths(shape, seed))

    def theirs(q, k, v, lengths):
        options = {"key_value_seq_lengths": lengths} if ragged else {}
        return jax.nn.dot_product_attention(q[:, None], k, v, **options)[:, 0]

    def program(f, *arguments):
        compiled = jax.jit(f)
        return lambda: compiled(*arguments).block_until_ready()

    k, v = (jnp.asarray(x, dtype) for x in kept)
    yield BASELINE, program(theirs, q, k, v, lengths)
    for layout in LAYOUTS:
        axes = ["BSHD".index(axis) for axis in layout]
        k, v = (jnp.asarray(np.ascontiguousarray(x.transpose(axes)), dtype) for x in kept)

        def ours(q, k, v, lengths, layout=layout):
            return decode_attention(q, k, v, lengths, layout=layout)

        yield f"regrax {layout}", program(ours, q, k, v, lengths)


def _lengths(shape: Shape, seed: int) -> np.ndarray:
    if not shape.ragged:
        return np.full(shape.batch, shape.context, np.int32)
    return np.random.default_rng(seed).integers(1, shape.context + 1, shape.batch, np.int32)


def _why(shape: Shape, dtype: str, layout: str) -> str:
    sizes = dict(
        zip("BSHD", (shape.batch, shape.context, shape.heads, shape.features), strict=True)
    )
    keys = tuple(sizes[axis] for axis in layout)
    heads = shape.heads * shape.group
    name, why = implementation(keys, dtype, jax.default_backend(), heads=heads, layout=layout)
    return f"{name}: {why}"


def _calls(run: Callable[[], Any]) -> int:
    """How often to call it for a time of `LEAST` seconds."""
    start = time.perf_counter()
    run()
    return max(1, int(LEAST / max(time.perf_counter() - start, 1e-9)))


def _repeated(run: Callable[[], Any], calls: int) -> Callable[[], Any]:
    def repeated():
        for _ in range(calls):
            run()

    return repeated
