"""Medical costs and adult income, in the ten orders of the authors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

from ...core import plotting
from ...core.claims import Claim
from ...core.study import Study
from ...envs.grouped_data import GroupedData, adult_income_groups, medical_costs_groups
from ...envs.groupwise import InPublishedOrders, regression_on
from ..growth import Data
from ..paper import Figure, Scale
from .common import (
    BASELINE,
    ORDERS,
    OURS,
    PLAYERS,
    Row,
    draw_group,
    draw_groups,
    even_checkpoints,
    least_gain,
    table_distance,
)

_NONE = float("nan")  # deviations were not published for these


def _row(baseline: float, ours: float, hindsight: float) -> Row:
    return baseline, _NONE, ours, _NONE, hindsight


class People(NamedTuple):
    examples: Callable[[], GroupedData]
    groups: tuple[str, ...]
    rows: dict[str, Row]
    distance: float  # that still counts as the published number
    printed: str


MEDICAL = People(
    cache(medical_costs_groups),
    ("young", "middle", "old", "underweight", "healthyweight", "overweight", "obese", "smoker",
     "non-smoker", "male", "female", "always_on"),
    {
        "young": _row(0.547, -1.583, 5.404),
        "middle": _row(0.376, -0.972, 3.336),
        "old": _row(0.437, -0.643, 3.131),
        "underweight": _row(0.157, 0.112, 0.027),
        "healthyweight": _row(1.588, 0.364, 1.004),
        "overweight": _row(1.547, 0.431, 1.837),
        "obese": _row(3.420, 1.246, 3.651),
        "smoker": _row(5.065, 1.474, 0.900),
        "non-smoker": _row(1.699, 0.732, 5.567),
        "male": _row(0.647, -1.749, 6.112),
        "female": _row(0.593, -1.569, 5.879),
        "always_on": _row(1.129, -3.429, 12.102),
    },
    0.01,
    "0.001 printed; an independent re-implementation came within 0.01",
)  # fmt: skip
ADULT = People(
    cache(adult_income_groups),
    ("young", "middle", "old", "HighSchool&less", "College&more", "Male", "Female", "White",
     "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other", "Black", "always_on"),
    {
        "young": _row(37.40, 14.01, 421.9),
        "middle": _row(20.11, 14.93, 608.1),
        "old": _row(22.99, 14.81, 414.6),
        "HighSchool&less": _row(33.02, 14.38, 499.6),
        "College&more": _row(28.67, 10.55, 963.9),
        "Male": _row(20.95, -2.17, 1171.1),
        "Female": _row(18.82, 5.19, 314.3),
        "White": _row(14.67, -17.42, 1325.5),
        "Asian-Pac-Islander": _row(5.82, 4.66, 55.1),
        "Amer-Indian-Eskimo": _row(3.55, 3.48, 9.0),
        "Other": _row(3.28, 3.21, 7.5),
        "Black": _row(6.16, 2.79, 94.6),
        "always_on": _row(18.25, -18.51, 1506.9),
    },
    0.06,  # hindsight is printed to one decimal
    "0.01 printed, hindsight 0.1",
)  # fmt: skip
SMOKE = 200  # rounds
AT_RANDOM = ", orders at random"
SEEDS: dict[str, dict[Scale, int]] = {  # of orders at random
    "medical": {"smoke": 8, "quick": 200, "paper": 1000},
    "adult": {"smoke": 8, "quick": 16, "paper": 100},
}


def _studies(name: str, people: People, scale: Scale) -> list[Study]:
    known = people.examples()
    rounds = SMOKE if scale == "smoke" else len(known.labels)
    problem, looks = regression_on(known), even_checkpoints(rounds)
    return [
        Study(name, {name: InPublishedOrders(problem)}, PLAYERS, rounds, ORDERS, looks),
        Study(f"{name}{AT_RANDOM}", {name: problem}, PLAYERS, rounds, SEEDS[name][scale], looks),
    ]


def _introduction_studies(scale: Scale) -> list[Study]:
    return _studies("medical", MEDICAL, scale)[:1]


def _plot(name: str, people: People, data: Data):
    return draw_groups(data[name], people.groups, list(PLAYERS))


INTRODUCTION = (("young", "middle", "old", "male", "female"), ("smoker", "non-smoker"))


def _plot_introduction(data: Data):
    names = sum(INTRODUCTION, ())
    drawn = plotting.figure(2, 4, width=3.0, height=2.5)
    drawn.axes[-1].remove()
    for ax, name in zip(drawn.axes, names, strict=True):
        draw_group(ax, data["medical"], MEDICAL.groups.index(name), list(PLAYERS), share=True)
        ax.set_title(name)
        ax.set_xlabel("share of the group's rounds")
    for ax in drawn.axes[::4]:
        ax.set_ylabel("regret on the group")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawn


_BANDS = (
    "Regret is against least squares on the group's rounds so far; bands are 95 % t intervals over "
    "the ten orders of the authors. The data are fetched on first use, or read from the folder "
    "REGRAX_DATA."
)
FIGURES = (
    Figure(
        "medical", "Medical costs", partial(_studies, "medical", MEDICAL),
        partial(_plot, "medical", MEDICAL), f"1,338 insured in twelve groups. {_BANDS}",
    ),
    Figure(
        "medical-introduction", "Medical costs, by age and sex, and by smoking",
        _introduction_studies, _plot_introduction,
        f"The figures of the paper's introduction: regret by the share of a group's rounds. "
        f"{_BANDS}",
    ),
    Figure(
        "adult", "Adult income", partial(_studies, "adult", ADULT),
        partial(_plot, "adult", ADULT), f"49,531 adults in thirteen groups. {_BANDS}",
    ),
)  # fmt: skip


def _claims(name: str, title: str, people: People) -> tuple[Claim, ...]:
    table = partial(table_distance, name, people.examples, people.rows)
    everybody = range(len(people.groups))
    return (
        Claim(
            f"{name}-table", f"{title}: mean regrets of both learners on all groups are the "
            "published ones (largest distance)", "tables of the authors' code, ten orders", name,
            people.printed, partial(table, "regret"), (0.0, people.distance),
        ),
        Claim(
            f"{name}-hindsight", f"{title}: the best losses in hindsight are the published ones "
            "(largest distance)", "tables of the authors' code, ten orders", name,
            people.printed, partial(table, "hindsight"), (0.0, people.distance),
        ),
        Claim(
            f"{name}-better", f"{title}: groupwise ridge has less mean regret than one ridge on "
            "every group, over orders at random", f"Figures of {title.lower()}", name,
            "difference above 0",
            partial(least_gain, f"{name}{AT_RANDOM}", OURS, BASELINE, everybody),
            (0.0, float("inf")),
        ),
    )  # fmt: skip


CLAIMS = (
    *_claims("medical", "Medical costs", MEDICAL),
    *_claims("adult", "Adult income", ADULT),
)
