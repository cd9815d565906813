"""Complexities of best-arm problems and the bounds that use them."""

import math

import numpy as np
import pytest

from regrax.core import complexity as c

MEANS = [0.3, 0.5, 0.1, 0.4]  # gaps .2, 0, .4, .1: sorted .1 (for the best), .1, .2, .4
AUDIBERT = {  # experiments 1 to 4, with H_1 and H_2 of other code, rounded
    1: ([0.5] + 19 * [0.4], 2000, 2000),
    2: ([0.5] + 5 * [0.42] + 14 * [0.38], 1910, 1389),
    3: ([0.5] + [0.5 - 0.37**i for i in (2, 3, 4)], 6137, 5694),
    4: ([0.5, 0.42, 0.4, 0.4, 0.35, 0.35], 601, 400),
}


def test_by_hand():
    np.testing.assert_allclose(c.sorted_gaps(MEANS), [0.1, 0.1, 0.2, 0.4])
    assert c.h1(MEANS) == pytest.approx(100 + 100 + 25 + 6.25)
    assert c.h2(MEANS) == pytest.approx(200)  # of 2/.01, 3/.04, 4/.16
    assert c.h1_linear(MEANS, 3) == pytest.approx(225)
    assert c.h2_linear(MEANS, 3) == pytest.approx(200)
    assert c.h_bai(MEANS, 2) == pytest.approx(200)
    assert c.h_pri(MEANS, 2, 0.5) == pytest.approx(2 * 20)  # of 2/.1, 3/.2, 4/.4
    assert c.h_pri(MEANS, 2, math.inf) == 0


def test_only_the_best_count_where_rewards_are_linear():
    means = [1.0, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert c.h2(means) == pytest.approx(24)
    assert c.h2_linear(means, 3) == pytest.approx(12)
    assert c.h_bai(means, 2) == pytest.approx(16)
    assert c.h_pri(means, 2, 1) == pytest.approx(8)
    assert c.h_bai(means, 1) == pytest.approx(8)  # two arms at least
    assert c.h_bai(means, 5) == c.h2(means)


@pytest.mark.parametrize("number", AUDIBERT)
def test_audibert(number):
    means, h1, h2 = AUDIBERT[number]
    assert round(c.h1(means)) == h1 and round(c.h2(means)) == h2
    assert c.h2(means) <= c.h1(means) * (1 + 1e-9)
    assert c.h1(means) <= math.log(2 * len(means)) * c.h2(means)


def test_two_best_arms_are_never_told_apart():
    assert c.h1([0.5, 0.5, 0.1]) == c.h2([0.5, 0.5, 0.1]) == math.inf
    assert c.successive_rejects_bound([0.5, 0.5, 0.1], 1000) == pytest.approx(3)


def test_bounds_by_hand():
    assert c.uniform_bound(MEANS, 403) == pytest.approx(math.exp(-1) + math.exp(-4) + math.exp(-16))
    # L = 1/2 + 1/2 + 1/3 + 1/4 = 19/12.
    assert c.successive_rejects_bound(MEANS, 1004) == pytest.approx(
        6 * math.exp(-1000 * 12 / 19 / 200)
    )
    assert c.sequential_halving_bound(MEANS, 1600) == pytest.approx(6 * math.exp(-0.5))
    assert c.ucbe_bound(4, 1000, 25.0) == pytest.approx(8000 * math.exp(-2))
    assert c.od_linbai_bound(MEANS, 2, 320) == pytest.approx(11 * math.exp(-0.05))
    # d = 2: H_BAI = 3 / 0.05^2 = 1200 and H_pri = 3 / 0.05 / 0.3 = 200, of the third arm.
    means = [0.5, 0.45, 0.45, 0.43] + 26 * [0.1]
    assert c.dp_bai_bound(means, 2, 500, 0.3, 1) == pytest.approx(math.exp(-500 / 65 / 1400))


def test_od_linbai_pulls():
    assert c.od_linbai_pulls(30, 2, 500) == 497  # R = 1: less min(30, 3)
    assert c.od_linbai_pulls(11, 10, 1010) == (1010 - 11 - 5 - 3 - 2) / 4
    with pytest.raises(ValueError, match="two dimensions"):
        c.od_linbai_pulls(3, 1, 100)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: c.h1([0.5]), "two finite means"),
        (lambda: c.h2([0.5, np.nan]), "two finite means"),
        (lambda: c.h1([[0.5, 0.1]]), "two finite means"),
        (lambda: c.h_pri(MEANS, 2, 0.0), "epsilon is positive"),
        (lambda: c.h_bai(MEANS, 0), "dimension is a whole number"),
        (lambda: c.h2_linear(MEANS, 1.5), "dimension is a whole number"),  # type: ignore
        (lambda: c.dp_bai_bound(MEANS, 2, 10, 1, 0), "num_phases is a whole number"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
