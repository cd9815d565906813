"""The grids of the comparison, and which cell of each was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...core import learners

FAST, SQUARE, UCB, TS, EPSILON = (
    "NeuFastCB",
    "NeuSquareCB",
    "NeuralUCB",
    "NeuralTS",
    "NeuralEpsilon",
)
OURS, RIVALS = (FAST, SQUARE), (UCB, TS, EPSILON)
ALGORITHMS = (*OURS, *RIVALS)
RATES = (0.1, 0.01, 0.005, 0.001)  # the first is ours: the largest of the others nearly always won


class Cell(NamedTuple):
    """One setting of one algorithm."""

    learning_rate: float
    first: float  # gamma / sqrt(t); lambda; or epsilon
    second: float = 0.0  # nu

    def __str__(self) -> str:
        numbers = self if self.second else self[:2]
        return " / ".join(f"{x:g}" for x in numbers)


def _network(rate: float) -> Any:
    return learners.ReplayNetwork(of="rewards", learning_rate=rate)


MAKE: dict[str, Callable[[Cell], Any]] = {
    FAST: lambda c: learners.NeuFastCB(scale=c.first, learning_rate=c.learning_rate),
    SQUARE: lambda c: learners.NeuSquareCB(scale=c.first, learning_rate=c.learning_rate),
    UCB: lambda c: learners.NeuralUCB(_network(c.learning_rate), c.first, c.second),
    TS: lambda c: learners.NeuralTS(_network(c.learning_rate), c.first, c.second),
    EPSILON: lambda c: learners.Greedy(_network(c.learning_rate), c.first),
}
_SCALES = (10.0, 100.0, 1000.0)
# Lambda and nu: corners and centre of {1, 0.1, 0.01} x {0.1, 0.01, 0.001}, with the larger steps.
_PAIRS = [(1.0, 0.1), (1.0, 0.001), (0.1, 0.01), (0.01, 0.1), (0.01, 0.001)]
_CONFIDENCE = [
    *(Cell(rate, *pair) for rate in RATES[:2] for pair in _PAIRS),
    *(Cell(rate, 0.1, 0.01) for rate in RATES[2:]),
]
_CELLS: dict[str, list[Cell]] = {
    FAST: [Cell(rate, scale) for rate in RATES for scale in _SCALES],
    SQUARE: [Cell(rate, scale) for rate in RATES for scale in _SCALES],
    UCB: _CONFIDENCE,
    TS: _CONFIDENCE,
    EPSILON: [Cell(rate, epsilon) for rate in RATES for epsilon in (0.1, 0.05, 0.01)],
}
WHAT = {
    FAST: "step / gamma0", SQUARE: "step / gamma0", UCB: "step / lambda / nu",
    TS: "step / lambda / nu", EPSILON: "step / epsilon",
}  # fmt: skip


def grid(part: int = 1) -> dict[str, Any]:
    """Every cell, or every so-manieth of each algorithm, by the name of algorithm and cell."""
    return {
        name_of(algorithm, cell): MAKE[algorithm](cell)
        for algorithm, cells in _CELLS.items()
        for cell in cells[::part]
    }


def name_of(algorithm: str, cell: Cell) -> str:
    return f"{algorithm} {cell}"


def chosen(cells: Mapping[str, Cell]) -> dict[str, Any]:
    """The algorithms, each with its chosen cell."""
    return {algorithm: MAKE[algorithm](cells[algorithm]) for algorithm in ALGORITHMS}
