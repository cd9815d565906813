"""Decode attention against `jax.nn.dot_product_attention`: paired runs in shuffled order.

In every round all programs of a shape run once, in a new random order; a ratio is that of two times
of one round. `quickest` is the ratio of the least times of all rounds, `paired` the median of the
rounds' ratios: where they differ much, the machine was busy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.kernels.decode_attention import decode_attention, implementation

BASELINE = "jax.nn.dot_product_attention"


class Shape(NamedTuple):
    """Float32 queries [batch, heads x group, features] over `context` keys of `heads` heads."""

    batch: int
    context: int
    heads: int
    group: int
    features: int
    ragged: bool = False  # lengths uniform from nothing to all, else all

    def __str__(self) -> str:
        context = f"{self.context // 1024}k"
        text = f"{self.batch} x {context} x {self.heads} x {self.features}"
        text += f", {self.group} queries a key" if self.group > 1 else ""
        return text + (", ragged" if self.ragged else "")


SHAPES = (
    *(Shape(1, 1024 * k, 8, 1, 64) for k in (1, 4, 16, 64, 256)),
    Shape(4, 2048, 8, 4, 128),
    Shape(8, 8192, 8, 4, 128),
    Shape(1, 32768, 8, 4, 128),
    Shape(8, 8192, 8, 1, 64, ragged=True),
)
LAYOUTS = ("BSHD", "BHSD", "BHDS")


class Config(NamedTuple):
    """What to measure: rounds, shapes, and the least seconds that a time is taken over."""

    repeats: int = 11
    shapes: Sequence[Shape] = SHAPES
    layouts: Sequence[str] = LAYOUTS
    least: float = 0.01
    seed: int = 0


def measure(config: Config | None = None) -> list[dict[str, Any]]:
    """Times of every program on every shape, one row each.

    Returns:
      Rows with "task" (the shape), "program", "seconds" (of each round), "quickest" and "paired"
      (how many times faster than the first program of the task), "gigabytes_per_second" (of keys
      and values that count, at the least time), "error" (the largest difference from the first
      program's output, over its largest entry) and "why" (what runs).
    """
    config = Config() if config is None else config
    return [row for shape in config.shapes for row in _rows(shape, config)]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = ["| shape | program | ms | quickest | paired | GB/s |", "|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['task']} | {row['program']} | {1e3 * min(row['seconds']):.2f} | "
            f"{row['quickest']:.2f} | {row['paired']:.2f} | {row['gigabytes_per_second']:.1f} |"
        )
    return "\n".join(lines)


def _rows(shape: Shape, config: Config) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(config.seed)
    programs = dict(_programs(shape, config, rng))
    outputs = {name: np.asarray(run()) for name, run in programs.items()}  # compiles
    calls = {name: _calls(run, config.least) for name, run in programs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(config.repeats):
        for name in rng.permutation(list(programs)):
            start = time.perf_counter()
            for _ in range(calls[name]):
                programs[name]()
            seconds[name].append((time.perf_counter() - start) / calls[name])
    first = seconds[BASELINE]
    read = 2 * 4 * shape.heads * shape.features * int(_lengths(shape, config.seed).sum())
    for name, times in seconds.items():
        layout = name.split()[-1]
        why = "XLA" if name == BASELINE else _why(shape, layout)
        off = np.max(np.abs(outputs[name] - outputs[BASELINE]))
        yield {
            "task": str(shape),
            "program": name,
            "seconds": times,
            "quickest": min(first) / min(times),
            "paired": statistics.median(a / b for a, b in zip(first, times, strict=True)),
            "gigabytes_per_second": read / min(times) / 1e9,
            "error": float(off / np.max(np.abs(outputs[BASELINE]))),
            "why": why,
        }


def _programs(
    shape: Shape, config: Config, rng: np.random.Generator
) -> Iterator[tuple[str, Callable[[], jax.Array]]]:
    """Each with its arguments, which are in memory before it is timed."""
    batch, context, heads, group, features, ragged = shape
    q = jnp.asarray(rng.normal(size=(batch, heads * group, features)).astype(np.float32))
    kept = [rng.standard_normal((batch, context, heads, features), np.float32) for _ in range(2)]
    lengths = jnp.asarray(_lengths(shape, config.seed))

    def theirs(q, k, v, lengths):
        options = {"key_value_seq_lengths": lengths} if ragged else {}
        return jax.nn.dot_product_attention(q[:, None], k, v, **options)[:, 0]

    def program(f, *arguments):
        compiled = jax.jit(f)
        return lambda: compiled(*arguments).block_until_ready()

    k, v = map(jnp.asarray, kept)
    yield BASELINE, program(theirs, q, k, v, lengths)
    for layout in config.layouts:
        axes = ["BSHD".index(axis) for axis in layout]
        k, v = (jnp.asarray(np.ascontiguousarray(x.transpose(axes))) for x in kept)

        def ours(q, k, v, lengths, layout=layout):
            return decode_attention(q, k, v, lengths, layout=layout)

        yield f"regrax {layout}", program(ours, q, k, v, lengths)


def _lengths(shape: Shape, seed: int) -> np.ndarray:
    if not shape.ragged:
        return np.full(shape.batch, shape.context, np.int32)
    return np.random.default_rng(seed).integers(1, shape.context + 1, shape.batch, np.int32)


def _why(shape: Shape, layout: str) -> str:
    sizes = dict(
        zip("BSHD", (shape.batch, shape.context, shape.heads, shape.features), strict=True)
    )
    keys = tuple(sizes[axis] for axis in layout)
    heads = shape.heads * shape.group
    name, why = implementation(keys, np.float32, jax.default_backend(), heads=heads, layout=layout)
    return f"{name}: {why}"


def _calls(run: Callable[[], Any], least: float) -> int:
    """How often to call it for a time of `least` seconds."""
    start = time.perf_counter()
    run()
    return max(1, int(least / max(time.perf_counter() - start, 1e-9)))


def main() -> None:
    """`python -m regrax.benchmarks.kernels_attention`: everything, as a table."""
    print(table(measure()))


if __name__ == "__main__":
    main()
