"""AdaGrad: against its reference, its regret bounds, and its projection."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from regrax.core.learners.convex import AdaGrad
from regrax.core.losses import LinearLoss

from . import reference_convex as reference
from .games import (
    BALL,
    BOX,
    DOMAINS,
    ROUNDS,
    SIMPLEX,
    D,
    agree,
    every_game,
    games_in_norms,
    linear_regret,
    play,
    tables,
    within,
)

WIDTHS = {"ball": np.full(D, 1.8), "box": np.float64(BOX.high) - np.float64(BOX.low)}


@games_in_norms
@pytest.mark.parametrize("step", [None, 0.4])
def test_the_diagonal_one_agrees_with_its_reference(step, domain, stream):
    steps = WIDTHS[domain] / math.sqrt(2) if step is None else step
    domain = DOMAINS[domain]
    agree(AdaGrad(domain, step_size=step), reference.AdaGrad(domain, steps), stream)


@every_game
@pytest.mark.parametrize("step", [None, 0.4])
def test_the_scalar_one_agrees_with_its_reference(step, domain, stream):
    domain = DOMAINS[domain]
    eta = reference.domain(domain).diameter / math.sqrt(2) if step is None else step
    other = reference.AdaGrad(domain, eta, diagonal=False)
    agree(AdaGrad(domain, "scalar", step_size=step), other, stream)


@pytest.mark.parametrize("name", ["ball", "box"])
@pytest.mark.parametrize("step", [None, 0.2])
def test_regret_of_the_diagonal_one_never_exceeds_the_bound(name, step):
    learner = AdaGrad(DOMAINS[name], step_size=step)
    eta = WIDTHS[name] / math.sqrt(2) if step is None else np.full(D, step)

    @given(tables)
    @settings(max_examples=80)
    def check(table):
        scaled = table * np.float32([1, 0.1, 10])
        game = play(learner, LinearLoss(scaled))
        roots = np.sqrt(np.sum(game.gradients**2, axis=0))
        bound = np.sum((WIDTHS[name] ** 2 / (2 * eta) + eta) * roots)
        assert linear_regret(game, DOMAINS[name]) <= bound * (1 + 1e-4) + 1e-4

    check()


@pytest.mark.parametrize("name", DOMAINS)
def test_regret_of_the_scalar_one_never_exceeds_the_bound(name):
    domain = DOMAINS[name]
    learner, diameter = AdaGrad(domain, "scalar"), reference.domain(domain).diameter

    @given(tables)
    @settings(max_examples=80)
    def check(table):
        game = play(learner, LinearLoss(table))
        bound = math.sqrt(2) * diameter * math.sqrt(np.sum(game.gradients**2))
        assert linear_regret(game, domain) <= bound + 1e-4

    check()


@given(tables)
@settings(max_examples=60)
def test_the_scale_of_the_gradients_does_not_matter(table):
    """A power of two for each coordinate leaves every digit as it was, but where squares leave
    float32's range."""
    table = np.where(np.abs(table) < 1e-6, 0, table)
    for domain, scale in ((BOX, [8, 0.25, 1024]), (BALL, [16, 16, 16])):
        before = play(AdaGrad(domain), LinearLoss(table)).points
        after = play(AdaGrad(domain), LinearLoss(table * np.float32(scale))).points
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-5)


def test_coordinates_without_gradients_stay():
    table = within(np.random.default_rng(5).normal(size=(ROUNDS, D)).astype(np.float32), 1)
    table[:, 1] = 0
    for domain in (BALL, BOX):
        points = play(AdaGrad(domain), LinearLoss(10 * table)).points
        np.testing.assert_array_equal(points[:, 1], points[0, 1])
        assert np.all(np.isfinite(points)) and np.ptp(points[:, 0]) > 0.1
    still = play(AdaGrad(BALL), LinearLoss(np.zeros((ROUNDS, D), np.float32))).points
    np.testing.assert_array_equal(still, np.zeros((ROUNDS, D)))


def test_points_of_very_unequal_weights_are_on_the_sphere():
    """Squares over eight decades, and steps that leave the ball by far: Newton's method ends."""
    rng = np.random.default_rng(8)
    table = (rng.normal(size=(ROUNDS, D)) * [1e-4, 1, 1e4]).astype(np.float32)
    game = play(AdaGrad(BALL, step_size=100.0), LinearLoss(table))
    lengths = np.linalg.norm(game.points[1:], axis=1)
    np.testing.assert_allclose(lengths, 0.9, rtol=1e-5)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: AdaGrad(scaling="full"), 'scaling is "diagonal" or "scalar", got .full'),
        (lambda: AdaGrad(SIMPLEX), 'for a Box or a Ball, got Simplex.*scaling="scalar"'),
        (lambda: AdaGrad(step_size=0.0), "step_size is positive"),
        (lambda: AdaGrad().init(None), "AdaGrad does not know its domain"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
