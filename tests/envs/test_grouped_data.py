"""Data with groups: draws against a generator written out once more, counts that were published."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from regrax.envs import grouped_data
from regrax.envs.datasets import DataSetError

SHARED = Path(__file__).parents[3] / "shared/data"
MEDICAL = SHARED / "medical_costs/insurance.csv"
ADULT = SHARED / "adult_income/adult_reconstruction.csv"
SEEDS = [473, 503, 623, 550, 692, 989, 617, 458, 301, 205]


def drawn(rounds, seed):
    """Features, memberships, the labels that the five groups would give, and the order of "perm":
    the global generators of NumPy and Python, and one draw at a time where shapes are chosen."""
    kept = np.random.get_state(), random.getstate()
    try:
        np.random.seed(seed)
        random.seed(seed)
        x = np.random.rand(rounds, 20)
        inside = np.zeros((rounds, 5))
        for shares, first in (([0.5, 0.8, 1.0], 0), ([0.6, 1.0], 3)):
            for t in range(rounds):
                u = random.random()
                inside[t, first + sum(u >= share for share in shares)] = 1
        weights = np.random.rand(20, 5)
        labels = x @ weights + 0.16 * np.random.standard_normal((rounds, 5))
        return x, inside, labels, np.random.permutation(5)
    finally:
        np.random.set_state(kept[0])
        random.setstate(kept[1])


def scaled(column):
    return np.interp(column, [column.min(), column.max()], [0, 1])


@pytest.mark.parametrize(
    ("rounds", "seed", "order", "counts"),
    [
        (100_000, 21, [3, 1, 4, 2, 0], [49857, 30044, 20099, 59985, 40015]),  # as published
        (5_000, 21, [2, 4, 1, 3, 0], [2553, 1485, 962, 2980, 2020]),
        (300, 4, None, None),
    ],
)
def test_shapes_and_colours_are_drawn_in_the_published_order(rounds, seed, order, counts):
    x, inside, labels, priorities = drawn(rounds, seed)
    if order is not None:
        np.testing.assert_array_equal(priorities, order)
        np.testing.assert_array_equal(inside.sum(axis=0), counts)
    ours = np.where(inside == 1, labels, np.nan)
    by_priority = ours[:, priorities]
    expected = {
        "mean": np.nanmean(ours, axis=1),
        "min": np.nanmin(ours, axis=1),
        "max": np.nanmax(ours, axis=1),
        "perm": by_priority[np.arange(rounds), np.argmax(inside[:, priorities], axis=1)],
    }
    for kind, label in expected.items():
        data = grouped_data.shapes_and_colours(kind, rounds, seed)
        np.testing.assert_array_equal(data.features, np.hstack([x, inside]))
        np.testing.assert_array_equal(data.active[:, :5], inside == 1)
        assert data.active.dtype == bool and data.active[:, 5].all()
        np.testing.assert_allclose(data.labels, scaled(label), rtol=0, atol=1e-14)
    assert data.groups == ("circle", "square", "triangle", "green", "red", "always_on")


def test_the_published_data_set_is_the_default():
    data = grouped_data.shapes_and_colours("perm")
    np.testing.assert_array_equal(
        data.active.sum(axis=0), [49857, 30044, 20099, 59985, 40015, 100_000]
    )
    assert data.labels.min() == 0 and data.labels.max() == 1


@pytest.mark.parametrize("num_rows", [1, 7, 1338, 100_000])
def test_orders_are_the_shuffles_of_pandas(num_rows):
    rows = pd.Series(np.arange(num_rows))
    expected = [rows.sample(frac=1, random_state=seed).to_numpy() for seed in SEEDS]
    np.testing.assert_array_equal(grouped_data.published_orders(num_rows), expected)


@pytest.mark.skipif(not MEDICAL.exists(), reason="shared/data/medical_costs is not here")
def test_medical_costs_have_the_published_groups():
    data = grouped_data.medical_costs_groups(MEDICAL)
    counts = [574, 408, 356, 20, 225, 386, 707, 274, 1064, 676, 662, 1338]
    np.testing.assert_array_equal(data.active.sum(axis=0), counts)
    assert data.groups[3:8] == ("underweight", "healthyweight", "overweight", "obese", "smoker")
    assert data.features.shape == (1338, 18) and data.features.dtype == np.float64
    table = pd.read_csv(MEDICAL)
    numeric = table[["age", "bmi", "children"]].apply(scaled)
    dummies = pd.get_dummies(table[["sex", "smoker", "region"]]).astype(float)
    expected = np.hstack([numeric, dummies, data.active[:, :7]])
    np.testing.assert_allclose(data.features, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(data.labels, scaled(table["charges"]), rtol=0, atol=1e-14)


@pytest.mark.skipif(not ADULT.exists(), reason="shared/data/adult_income is not here")
def test_adult_incomes_have_the_published_groups():
    data = grouped_data.adult_income_groups(ADULT)
    counts = [22792, 16881, 9858, 22584, 26947, 33174, 16357, 42441, 1519, 471, 406, 4694, 49531]
    np.testing.assert_array_equal(data.active.sum(axis=0), counts)
    assert data.features.shape == (49531, 96)


ADULTS = """\
age,income,workclass,education,education-num,marital-status,occupation,relationship,race,sex,\
capital-gain,capital-loss,hours-per-week,native-country
35,10000,Private,HS-grad,9,Divorced,Sales,Unmarried,White,Female,0,0,20,US
36,20000,?,Bachelors,13,Divorced,Sales,Husband,Black,Male,500,0,40,
51,50000,Private,Some-college,10,Never-married,Craft,Husband,Other,Male,1000,0,60,Peru
50,30000,Private,HS-grad,9,Divorced,Craft,Husband,Asian-Pac-Islander,Male,0,0,40,US
80,0,Private,HS-grad,9,Divorced,Craft,Unmarried,Amer-Indian-Eskimo,Female,0,0,40,US
"""


def test_adult_incomes_are_made_from_the_columns_of_the_paper(tmp_path):
    (tmp_path / "adults.csv").write_text(ADULTS)
    data = grouped_data.adult_income_groups(tmp_path / "adults.csv", verify=False)
    active = {name: data.active[:, i].tolist() for i, name in enumerate(data.groups)}
    assert {name: np.flatnonzero(members).tolist() for name, members in active.items()} == {
        "young": [0],
        "middle": [1, 3],
        "old": [2, 4],
        "HighSchool&less": [0, 3, 4],
        "College&more": [1, 2],
        "Male": [1, 2, 3],
        "Female": [0, 4],
        "White": [0],
        "Asian-Pac-Islander": [3],
        "Amer-Indian-Eskimo": [4],
        "Other": [2],
        "Black": [1],
        "always_on": [0, 1, 2, 3, 4],
    }
    table = pd.read_csv(tmp_path / "adults.csv")
    numeric = table[
        ["hours-per-week", "age", "capital-gain", "capital-loss", "education-num"]
    ].apply(lambda x: (x - x.min()) / max(x.max() - x.min(), 1))
    texts = ["workclass", "marital-status", "relationship", "native-country", "occupation"]
    dummies = pd.get_dummies(table[[*texts, "race", "sex"]]).astype(float)
    expected = np.hstack([numeric, dummies, data.active[:, :5]])
    np.testing.assert_allclose(data.features, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(data.labels, [0.2, 0.4, 1, 0.6, 0], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: grouped_data.shapes_and_colours("median"), "mean, min, max or perm"),
        (lambda: grouped_data.shapes_and_colours("mean", 1), "whole number from 2, got 1"),
        (lambda: grouped_data.shapes_and_colours("mean", 10.5), "got 10.5"),
        (lambda: grouped_data.medical_costs_groups("absent.csv"), "cannot read absent.csv"),
        (lambda: grouped_data.adult_income_groups("absent.csv"), "cannot read absent.csv"),
    ],
)
def test_errors_say_what_was_wrong(make, said):
    with pytest.raises((ValueError, DataSetError), match=said):
        make()
