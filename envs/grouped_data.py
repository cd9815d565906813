"""Regression data with groups that overlap: the sets that groupwise regret was measured on.

Acharya, Arunachaleswaran, Kannan, Roth and Ziani, "Oracle efficient algorithms for groupwise
regret", ICLR 2024. Everything is made on the host in float64, in the order of draws of the authors'
published experiments, so that results can be held against their tables digit by digit.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import datasets

_SHAPES, _COLOURS = ("circle", "square", "triangle"), ("green", "red")
_SHAPE_SHARES, _COLOUR_SHARES = (0.5, 0.3, 0.2), (0.6, 0.4)
_DIMENSION, _NOISE = 20, 0.16
_SHUFFLES = (473, 503, 623, 550, 692, 989, 617, 458, 301, 205)


class GroupedData(NamedTuple):
    """N examples in n groups; the last group, "always_on", holds all of them."""

    features: np.ndarray  # [N, d] float64
    active: np.ndarray  # [N, n] bool: which groups an example is in
    labels: np.ndarray  # [N] float64 in [0, 1]
    groups: tuple[str, ...]  # [n] names


def shapes_and_colours(kind: str, rounds: int = 100_000, seed: int = 21) -> GroupedData:
    """Points with a shape and a colour, each group with a linear model of its own.

    Features are uniform on [0, 1]^20, and weights of the groups are too; a group's label is
    <weights, features> with normal noise of deviation 0.16. A point is a circle, square or triangle
    with chances .5, .3, .2, and green or red with .6, .4. Its label combines those of its two
    groups: their "mean", "min" or "max", or with "perm" that of the group that comes first in a
    random order of the five. Labels are then scaled to [0, 1] over the whole set. The groups'
    indicators are features too (d = 25).

    Draws are those of NumPy's legacy generator and Python's `random`, both started from `seed`, in
    the order of the authors' code: seed 21 with 100,000 rounds is their data set.

    Raises:
      ValueError: another kind, or fewer than two rounds (labels could not be scaled).
    """
    if kind not in ("mean", "min", "max", "perm"):
        raise ValueError(f"shapes_and_colours: kind is mean, min, max or perm, got {kind!r}")
    if isinstance(rounds, bool) or rounds != int(rounds) or rounds < 2:
        raise ValueError(f"shapes_and_colours: rounds is a whole number from 2, got {rounds!r}")
    rounds, groups = int(rounds), (*_SHAPES, *_COLOURS)
    numbers, choices = np.random.RandomState(seed), random.Random(seed)
    points = numbers.uniform(0, 1, (rounds, _DIMENSION))
    shape = np.array(choices.choices(range(3), _SHAPE_SHARES, k=rounds))
    colour = np.array(choices.choices(range(2), _COLOUR_SHARES, k=rounds))
    weights = numbers.uniform(0, 1, (_DIMENSION, len(groups)))
    labels = points @ weights + numbers.normal(scale=_NOISE, size=(rounds, len(groups)))
    order = numbers.permutation(len(groups))

    every = np.arange(rounds)
    first, second = labels[every, shape], labels[every, 3 + colour]
    if kind == "perm":
        place = np.argsort(order)  # of each group in the order
        label = np.where(place[shape] < place[3 + colour], first, second)
    elif kind == "mean":
        label = (first + second) / 2
    else:
        label = np.minimum(first, second) if kind == "min" else np.maximum(first, second)
    inside = np.zeros((rounds, len(groups)), bool)
    inside[every, shape] = inside[every, 3 + colour] = True
    return _grouped(np.hstack([points, inside]), inside, min_max(label), groups)


def medical_costs_groups(path: str | Path | None = None, verify: bool = True) -> GroupedData:
    """Medical charges (`datasets.medical_costs`) in groups by age, bmi, smoking, sex: [1338, 18].

    Ages are young to 35, middle to 50, and old; bodies underweight below a bmi of 18.5, healthy
    below 25, overweight below 30, and obese. Features are age, bmi and children on [0, 1], sex,
    smoker and region one-hot, and the groups by age and bmi; the label is charges on [0, 1].

    Raises:
      DataSetError: see `datasets.load`.
    """
    table = datasets.medical_costs(path, verify)
    bmi = table["bmi"]
    weight = {
        "underweight": bmi < 18.5,
        "healthyweight": (bmi >= 18.5) & (bmi < 25),
        "overweight": (bmi >= 25) & (bmi < 30),
        "obese": bmi >= 30,
    }
    shown = _by_age(table["age"]) | weight
    groups = shown | {
        "smoker": table["smoker"] == "yes",
        "non-smoker": table["smoker"] == "no",
        "male": table["sex"] == "male",
        "female": table["sex"] == "female",
    }
    numbers, texts = ("age", "bmi", "children"), ("sex", "smoker", "region")
    return _from_table(table, numbers, texts, "charges", shown, groups)


def adult_income_groups(path: str | Path | None = None, verify: bool = True) -> GroupedData:
    """Incomes (`datasets.adult_income`) in groups by age, schooling, sex and race: [49531, 96].

    Ages are young to 35, middle to 50, and old; schooling ends with high school up to an
    education-num of 9. Features are the numbers on [0, 1], workclass, marital status, relationship,
    country, occupation, race and sex one-hot, and the groups by age and schooling; the column
    `education` says what education-num does and is left out. The label is income on [0, 1].

    Raises:
      DataSetError: see `datasets.load`.
    """
    table = datasets.adult_income(path, verify)
    schooling = {
        "HighSchool&less": table["education-num"] <= 9,
        "College&more": table["education-num"] > 9,
    }
    shown = _by_age(table["age"]) | schooling
    races = ("White", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other", "Black")
    groups = shown | {name: table["sex"] == name for name in ("Male", "Female")}
    groups = groups | {name: table["race"] == name for name in races}
    numbers = ("hours-per-week", "age", "capital-gain", "capital-loss", "education-num")
    texts = ("workclass", "marital-status", "relationship", "native-country", "occupation")
    return _from_table(table, numbers, (*texts, "race", "sex"), "income", shown, groups)


def published_orders(num_rows: int) -> np.ndarray:
    """The ten orders in which the authors go through N rows, [10, N] int.

    Theirs are the shuffles of pandas, `sample(frac=1, random_state=s)` for ten numbers s: the
    permutation that NumPy's legacy generator draws first when it is started from s.
    """
    return np.stack([np.random.RandomState(s).permutation(num_rows) for s in _SHUFFLES])


def min_max(column: np.ndarray) -> np.ndarray:
    """A column [N] scaled to [0, 1]; zeros where all its entries are equal."""
    low, high = np.min(column), np.max(column)
    return (column - low) / (high - low if high > low else 1)


def one_hot(column: np.ndarray) -> np.ndarray:
    """A text column [N] as indicators of its values in alphabetical order, [N, values]; an empty
    entry is none of them."""
    values = np.unique(column[column != ""])
    return (column[:, None] == values).astype(np.float64)


def _by_age(age: np.ndarray) -> dict[str, np.ndarray]:
    return {"young": age <= 35, "middle": (age > 35) & (age <= 50), "old": age > 50}


def _from_table(table, numbers, texts, label, shown, groups) -> GroupedData:
    features = [min_max(table[name])[:, None] for name in numbers]
    features += [one_hot(table[name]) for name in texts]
    features += [indicator[:, None] for indicator in shown.values()]
    inside = np.stack(list(groups.values()), axis=1)
    return _grouped(np.hstack(features), inside, min_max(table[label]), tuple(groups))


def _grouped(features, inside, labels, groups) -> GroupedData:
    active = np.hstack([inside, np.ones((len(inside), 1), bool)])
    return GroupedData(features, active, labels, (*groups, "always_on"))
