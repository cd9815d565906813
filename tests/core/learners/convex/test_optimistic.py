"""Optimistic mirror descent and FTRL: against their references, their bounds for any gradients,
and what they are without optimism."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from regrax.core.learners.convex import OGD, OptimisticFTRL, OptimisticMirrorDescent
from regrax.core.losses import LinearLoss, QuadraticLoss

from . import reference_convex as reference
from .games import (
    BALL,
    BOX,
    DOMAINS,
    ROUNDS,
    STREAMS,
    D,
    agree,
    every_game,
    linear_regret,
    play,
    quadratic_regret,
    tables,
    variation,
    within,
)

G, L, LAMBDA = 1.5, 0.6, 0.8
MIRROR = {
    "convex": (
        OptimisticMirrorDescent(gradient_bound=G, smoothness=L),
        lambda D: reference.variation_step(D, G, L),
    ),
    "strongly convex": (
        OptimisticMirrorDescent(rate="strongly convex", strong_convexity=LAMBDA),
        lambda D: lambda t, _: 2 / (LAMBDA * t),
    ),
    "fixed": (
        OptimisticMirrorDescent(rate="fixed", step_size=0.3),
        lambda D: lambda t, _: 0.3,
    ),
}
LEADER = {
    "convex": (
        OptimisticFTRL(gradient_bound=G, smoothness=L),
        lambda domain: reference.OptimisticFTRL(domain, G, L),
    ),
    "strongly convex": (
        OptimisticFTRL(rate="strongly convex", strong_convexity=LAMBDA),
        lambda domain: reference.OptimisticFTL(domain, LAMBDA),
    ),
}


@every_game
@pytest.mark.parametrize("rate", MIRROR)
def test_mirror_descent_agrees_with_its_reference(rate, domain, stream):
    learner, step = MIRROR[rate]
    domain = DOMAINS[domain]
    ours = reference.domain(domain)
    other = reference.OptimisticMirrorDescent(ours, step(ours.diameter))
    agree(learner.replace(domain=domain), other, stream)


@every_game
@pytest.mark.parametrize("rate", LEADER)
def test_ftrl_agrees_with_its_reference(rate, domain, stream):
    learner, other = LEADER[rate]
    domain = DOMAINS[domain]
    agree(learner.replace(domain=domain), other(reference.domain(domain)), stream)


both = pytest.mark.parametrize("domain", [BALL, BOX], ids=["ball", "box"])


@both
@pytest.mark.parametrize("smoothness", [0.0, 0.6])
def test_mirror_descent_regret_never_exceeds_the_bound(smoothness, domain):
    learner = OptimisticMirrorDescent(domain, gradient_bound=1.0, smoothness=smoothness)
    diameter = float(domain.diameter)
    delta = 10 * (diameter * smoothness) ** 2

    @given(tables)
    @settings(max_examples=80)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        v = variation(game.gradients)
        bound = diameter / 2 * math.sqrt(delta + 4 + v[:-1].sum())
        bound += diameter * (math.sqrt(delta + v.sum()) - math.sqrt(delta))
        assert linear_regret(game, domain) <= bound + 1e-4

    check()


def steps(game):
    """|x_t - x_{t-1}|^2 from t = 2 on."""
    return np.sum(np.diff(game.points, axis=0) ** 2, axis=1)


@both
def test_mirror_descent_gains_where_it_moves(domain):
    """The form that the SEA bound is derived from: v_t counts twice, and every movement is paid
    back, 1 / (4 eta_{t-1}) |x_t - x_{t-1}|^2."""
    learner = OptimisticMirrorDescent(domain, gradient_bound=1.0, smoothness=0.6)
    diameter = float(domain.diameter)
    delta = 10 * (diameter * 0.6) ** 2

    @given(tables)
    @settings(max_examples=80)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        v = variation(game.gradients)
        roots = np.sqrt(delta + 4 + np.append(0, np.cumsum(v)))  # D / eta_t
        bound = diameter / 2 * roots[-2]
        bound += 2 * diameter * (math.sqrt(delta + v.sum()) - math.sqrt(delta))
        bound -= np.sum(roots[: len(v) - 1] * steps(game)) / (4 * diameter)
        assert linear_regret(game, domain) <= bound + 1e-4

    check()


@both
@pytest.mark.parametrize("smoothness", [0.0, 0.6])
def test_ftrl_regret_never_exceeds_the_bound(smoothness, domain):
    learner = OptimisticFTRL(domain, gradient_bound=1.0, smoothness=smoothness)
    diameter = float(domain.diameter)

    @given(tables)
    @settings(max_examples=80)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        pace = [smoothness * diameter**2 + diameter]  # D^2 / eta_t
        for v in variation(game.gradients):
            pace.append(pace[-1] + diameter**2 * v / pace[-1])
        assert linear_regret(game, domain) <= pace[-2] + (pace[-1] - pace[0]) / 4 + 1e-4

    check()


@both
def test_ftrl_worst_case_is_the_papers(domain):
    """With nu = 2 D G, that is L = G / D: 3 sqrt(2) D G sqrt(T) + 4 D G for any gradients."""
    diameter = float(domain.diameter)
    learner = OptimisticFTRL(domain, gradient_bound=1.0, smoothness=1 / diameter)

    @given(tables)
    @settings(max_examples=80)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        bound = diameter * (3 * math.sqrt(2 * ROUNDS) + 4)
        assert linear_regret(game, domain) <= bound + 1e-4

    check()


def test_the_paces_worst_case_is_below_the_papers():
    """The bound for any gradients that the docstring has, at |g_t - g_{t-1}| = 2 G throughout, is
    below 3 sqrt(2) D G sqrt(T) + 4 D G at every T: it grows as 5/2 sqrt(2) D G sqrt(T)."""
    pace = [2.0]  # in units of D G
    for t in range(1, 100_000):
        pace.append(pace[-1] + 4 / pace[-1])
        assert pace[-2] + (pace[-1] - pace[0]) / 4 <= 3 * math.sqrt(2 * t) + 4
    assert pace[-1] == pytest.approx(math.sqrt(8 * len(pace)), rel=1e-3)


@given(tables)
@settings(max_examples=80)
def test_strongly_convex_mirror_descent_never_exceeds_its_bound(table):
    centres = within(table, 1)
    learner = OptimisticMirrorDescent(BALL, "strongly convex", strong_convexity=1.0)
    game = play(learner, QuadraticLoss(centres, np.ones(ROUNDS, np.float32)))
    v, t = variation(game.gradients), np.arange(1, ROUNDS + 1)
    bound = 1.8**2 / 4 + np.sum(v * (1 / t + 2 / t**2))
    assert quadratic_regret(game, centres, reference.domain(BALL).project) <= bound + 1e-4


@given(tables)
@settings(max_examples=80)
def test_strongly_convex_ftrl_never_exceeds_its_bound(table):
    centres = within(table, 1)
    learner = OptimisticFTRL(BALL, "strongly convex", strong_convexity=1.0)
    game = play(learner, QuadraticLoss(centres, np.ones(ROUNDS, np.float32)))
    bound = np.sum(variation(game.gradients) / np.arange(1, ROUNDS + 1)) / 2
    assert quadratic_regret(game, centres, reference.domain(BALL).project) <= bound + 1e-4


def test_without_optimism_it_is_gradient_descent():
    """Gradients that come in threes of 0, g, 0: where the last gradient was 0, x_t = xh_t, and xh_t
    moves as plain gradient descent does."""
    table = np.zeros((ROUNDS, D), np.float32)
    table[1::3] = np.random.default_rng(0).normal(size=(10, D))
    losses = LinearLoss(table)
    plain = play(OGD(BOX, "fixed", step_size=0.2), losses).points
    guessing = play(OptimisticMirrorDescent(BOX, "fixed", step_size=0.2), losses).points
    guessed_nothing = np.arange(ROUNDS) % 3 != 2
    np.testing.assert_array_equal(plain[guessed_nothing], guessing[guessed_nothing])
    assert np.abs(plain - guessing)[~guessed_nothing].max() > 0.05


def test_inside_the_domain_mirror_descent_looks_ahead_by_one_step():
    """Where nothing is projected, x_t = x_{t-1} - eta (2 g_{t-1} - g_{t-2}): one sequence does."""
    table = 0.01 * np.random.default_rng(0).normal(size=(ROUNDS, D)).astype(np.float32)
    points = play(OptimisticMirrorDescent(BALL, "fixed", step_size=0.5), LinearLoss(table)).points
    moves = 2 * table[1:-1] - table[:-2]
    np.testing.assert_allclose(points[2:], points[1:-1] - 0.5 * moves, atol=1e-6)


@pytest.mark.parametrize("learner", [OptimisticMirrorDescent, OptimisticFTRL])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rate": "slow"}, 'rate is "convex" or "strongly convex".*slow'),
        ({"smoothness": -1.0}, "smoothness is zero or more, got -1.0"),
        ({"rate": "strongly convex", "strong_convexity": 0.0}, "strong_convexity is positive"),
        ({"domain": BALL, "gradient_bound": 1.0}, "does not know its smoothness"),
    ],
)
def test_errors_say_what_was_wrong(learner, arguments, said):
    with pytest.raises(ValueError, match=said):
        play(learner(**arguments), STREAMS["linear"][0])
