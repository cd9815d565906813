"""The synthetic sets, in the ten orders of the authors: figures and tables to their digits."""

from __future__ import annotations

from functools import cache, partial

from ...core.claims import Claim
from ...core.study import Study
from ...envs.grouped_data import GroupedData, shapes_and_colours
from ...envs.groupwise import InPublishedOrders, regression_on
from ..growth import Data
from ..paper import Figure, Scale
from .common import (
    BASELINE,
    ORDERS,
    OURS,
    PLAYERS,
    Row,
    draw_groups,
    even_checkpoints,
    least_gain,
    table_distance,
)

KINDS = {
    "mean": "the mean of the labels of its two groups",
    "min": "the smaller of the labels of its two groups",
    "max": "the larger of the labels of its two groups",
    "perm": "the label of the group that comes first in a fixed order",
}
GROUPS = ("circle", "square", "triangle", "green", "red", "always_on")
ROUNDS: dict[Scale, int] = {"smoke": 400, "quick": 100_000, "paper": 100_000}
TABLES: dict[str, dict[str, Row]] = {
    "mean": {
        "circle": (15.25, 0.22, 0.73, 0.09, 23.57),
        "square": (15.43, 0.13, 0.63, 0.06, 14.12),
        "triangle": (12.13, 0.10, 0.76, 0.04, 9.43),
        "green": (10.02, 0.15, -14.13, 0.19, 38.81),
        "red": (14.75, 0.16, -1.80, 0.17, 26.37),
        "always_on": (0.76, 0.06, -39.93, 0.10, 89.18),
    },
    "perm": {
        "circle": (28.84, 0.45, -38.66, 0.21, 77.14),
        "square": (92.10, 0.64, -0.33, 0.32, 54.87),
        "triangle": (12.03, 0.20, -15.11, 0.08, 30.67),
        "green": (75.89, 0.89, 1.27, 0.07, 28.95),
        "red": (112.49, 0.88, 0.05, 0.27, 78.32),
        "always_on": (1.26, 0.09, -185.81, 0.25, 294.39),
    },
}
PRINTED = 0.0055  # half a unit of the last digit, and a tenth of that for sums in float32


@cache
def examples(kind: str, rounds: int = ROUNDS["paper"]) -> GroupedData:
    return shapes_and_colours(kind, rounds)


def _studies(kind: str, scale: Scale) -> list[Study]:
    rounds = ROUNDS[scale]
    problem = InPublishedOrders(regression_on(examples(kind, rounds)))
    checkpoints = even_checkpoints(rounds)
    return [Study(kind, {kind: problem}, PLAYERS, rounds, ORDERS, checkpoints)]


def _plot(kind: str, data: Data):
    return draw_groups(data[kind], GROUPS, list(PLAYERS))


FIGURES = tuple(
    Figure(
        f"synthetic-{kind}",
        f"Shapes and colours, label by {kind}",
        partial(_studies, kind),
        partial(_plot, kind),
        f"A point's label is {text}; 100,000 rounds, the ten orders of the authors. Regret is "
        "against least squares on the group's rounds so far; bands are 95 % t intervals over "
        "orders, narrow because all orders are of one data set.",
    )
    for kind, text in KINDS.items()
)

_TABLE = "tables of the authors' code, final round, ten orders"
_WHAT = {
    "regret": "mean regrets of both learners on all groups are the published ones",
    "deviation": "their standard deviations over the orders are",
    "hindsight": "the best losses in hindsight are",
}
_WHAT_ELSE = "mean regrets are within one published deviation over orders (in deviations)"

CLAIMS = (
    *(
        Claim(
            f"table-{kind}-{what}",
            f"Label by {kind}: {text} (largest distance)",
            _TABLE, f"synthetic-{kind}", "0.01 printed",
            partial(table_distance, kind, partial(examples, kind), rows, what),
            (0.0, PRINTED),
        )
        for kind, rows in TABLES.items()
        for what, text in _WHAT.items()
    ),
    *(
        Claim(
            f"table-{kind}-deviations",
            f"Label by {kind}: {_WHAT_ELSE}",
            _TABLE, f"synthetic-{kind}", "at most 1; region ours",
            partial(table_distance, kind, partial(examples, kind), rows, "regret in deviations"),
            (0.0, 1.0),
        )
        for kind, rows in TABLES.items()
    ),
    *(
        Claim(
            f"better-{kind}",
            f"Label by {kind}: groupwise ridge has less regret than one ridge on every group",
            "Figures of the synthetic sets", f"synthetic-{kind}", "difference above 0",
            partial(least_gain, kind, OURS, BASELINE, range(len(GROUPS))),
            (0.0, float("inf")),
        )
        for kind in KINDS
    ),
)  # fmt: skip
