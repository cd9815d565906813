"""Online Newton steps, plain and optimistic: projections, references, and bounds."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from regrax.core.compiled import jit
from regrax.core.domains import Ball, Box
from regrax.core.learners.convex import OnlineNewton, OptimisticNewton
from regrax.core.learners.convex.matrix_norm import step
from regrax.core.losses import LinearLoss, QuadraticLoss

from . import reference_convex as reference
from .games import (
    BALL,
    BOX,
    DOMAINS,
    KEY,
    ROUNDS,
    SIMPLEX,
    STREAMS,
    D,
    agree,
    games_in_norms,
    play,
    quadratic_regret,
    tables,
    within,
)

G, ALPHA = 1.5, 0.4
both = pytest.mark.parametrize("domain", [BALL, BOX], ids=["ball", "box"])


def half_curvature(domain, bound, alpha):
    return min(1 / (4 * bound * float(domain.diameter)), alpha) / 2


# ---- projections ---------------------------------------------------------------------------


def problems(condition, number=60):
    """Matrices with eigenvalues between 1 and `condition`, and points near and far."""
    rng = np.random.default_rng(6)
    turn = np.linalg.qr(rng.normal(size=(number, D, D)))[0]
    values = condition ** rng.uniform(0, 1, (number, 1, D))
    matrices = turn * values @ np.swapaxes(turn, 1, 2)
    points = rng.normal(size=(number, D)) * 10 ** rng.uniform(-1, 2, (number, 1))
    return (matrices + np.swapaxes(matrices, 1, 2)) / 2, points


@jit
def project_all(domain, matrices, points):
    project = lambda H, y: step(domain, H, y, jnp.zeros_like(y))  # noqa: E731
    return jax.vmap(project)(matrices, points)


@both
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e8])
def test_projections_are_exact(domain, condition):
    """As many digits as the condition leaves of float64."""
    matrices, points = problems(condition)
    with jax.enable_x64(True):
        found = np.asarray(project_all(domain, matrices, points))
    assert found.dtype == np.float64
    other = reference.norm_project(domain)
    expected = np.array([other(y, H) for H, y in zip(matrices, points, strict=True)])
    moved = np.abs(expected - points).max(axis=1) > 1e-9
    assert 10 < moved.sum() < len(points)  # some are inside
    np.testing.assert_allclose(found, expected, atol=1e-12 * max(condition, 100))
    np.testing.assert_allclose(found[~moved], points[~moved], atol=1e-14 * condition)


def test_a_projection_meets_its_conditions():
    """Where H (x - y) = -m x with m >= 0 on the sphere, no point of the ball is nearer to y. An
    inverse at a condition of 10^8 has eight digits of its sixteen."""
    matrices, points = problems(1e8)
    with jax.enable_x64(True):
        x = np.asarray(project_all(BALL, matrices, points))
    on = np.linalg.norm(points, axis=1) > BALL.radius
    np.testing.assert_allclose(np.linalg.norm(x[on], axis=1), np.float64(BALL.radius), rtol=1e-8)
    force = np.einsum("nij,nj->ni", matrices, points - x)[on]
    level = np.sum(force * x[on], axis=1, keepdims=True) / np.sum(x[on] ** 2, axis=1, keepdims=True)
    scale = np.einsum("nij,nj->ni", np.abs(matrices), np.abs(points))[on].max(axis=1)
    assert np.all(level >= 0)
    assert np.all(np.abs(force - level * x[on]).max(axis=1) <= 1e-8 * scale)


def test_a_single_dimension_is_clipped():
    with jax.enable_x64(True):
        H, y, none = jnp.full((1, 1), 3.0), jnp.array([5.0]), jnp.zeros(1)
        assert step(Ball(1, 0.5), H, y, none)[0] == pytest.approx(0.5, abs=1e-12)
        assert step(Box([-1.0], [2.0]), H, -y, none)[0] == pytest.approx(-1, abs=1e-12)
        assert step(Box([-1.0], [2.0]), H, none + 0.3, none)[0] == pytest.approx(0.3, abs=1e-12)


# ---- learners ------------------------------------------------------------------------------


@games_in_norms
def test_online_newton_agrees_with_its_reference(domain, stream):
    domain = DOMAINS[domain]
    learner = OnlineNewton(domain, gradient_bound=G, exp_concavity=ALPHA)
    other = reference.OnlineNewton(domain, half_curvature(domain, G, ALPHA))
    agree(learner, other, stream)


@games_in_norms
def test_optimistic_newton_agrees_with_its_reference(domain, stream):
    domain = DOMAINS[domain]
    learner = OptimisticNewton(domain, gradient_bound=G, exp_concavity=ALPHA)
    other = reference.OptimisticNewton(domain, half_curvature(domain, G, ALPHA), G)
    agree(learner, other, stream)


def test_strong_convexity_stands_in_for_exp_concavity():
    losses = STREAMS["quadratic"][0]
    given = OnlineNewton(BALL, gradient_bound=2.0, exp_concavity=0.1)
    implied = OnlineNewton(BALL, gradient_bound=2.0, strong_convexity=0.4)
    np.testing.assert_allclose(play(implied, losses).points, play(given, losses).points, atol=1e-6)


def bent_regret(game, domain, bend):
    """The largest sum <g_t, x_t - u> - bend / 2 <g_t, x_t - u>^2 over points u of a fine net."""
    rng = np.random.default_rng(1)
    net = np.vstack([rng.uniform(-1, 1, (400, D)), -game.gradients.sum(axis=0)[None]])
    project = reference.domain(domain).project
    gaps = [
        np.sum(game.gradients * (game.points - project(u)), axis=1)
        for u in np.vstack([net, 9 * net])
    ]
    return max(np.sum(gap - bend / 2 * gap**2) for gap in gaps)


@both
@pytest.mark.parametrize("alpha", [0.01, 10.0])
def test_online_newton_never_exceeds_its_bound(alpha, domain):
    learner = OnlineNewton(domain, gradient_bound=1.0, exp_concavity=alpha)
    gamma, diameter = half_curvature(domain, 1, alpha), float(domain.diameter)
    worst = 1 + D * math.log(1 + (gamma * diameter) ** 2 * ROUNDS / D)

    @given(tables)
    @settings(max_examples=60)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        matrix = np.eye(D) + (gamma * diameter) ** 2 * game.gradients.T @ game.gradients
        bound = 1 + np.linalg.slogdet(matrix)[1]
        assert bound <= worst + 1e-9
        assert bent_regret(game, domain, gamma) <= bound / (2 * gamma) + 1e-4

    check()


@both
@pytest.mark.parametrize("alpha", [0.01, 10.0])
def test_optimistic_newton_never_exceeds_its_bound(alpha, domain):
    learner = OptimisticNewton(domain, gradient_bound=1.0, exp_concavity=alpha)
    beta, diameter = half_curvature(domain, 1, alpha), float(domain.diameter)

    @given(tables)
    @settings(max_examples=60)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        assert bent_regret(game, domain, beta) <= optimistic_bound(game, beta, diameter, 1) + 1e-4

    check()


def optimistic_bound(game, beta, diameter, bound):
    half = beta * bound**2 / 2
    total, matrix, last = diameter**2 * (1 + half) / 2, (1 + half) * np.eye(D), np.zeros(D)
    for g in game.gradients:
        change = g - last
        total += (0.5 + half / (1 + half)) * change @ np.linalg.solve(matrix, change)
        matrix, last = matrix + beta / 2 * np.outer(g, g), g
    return total


@given(tables)
@settings(max_examples=60)
def test_regret_of_quadratic_losses_never_exceeds_the_bounds(table):
    """Losses |x - z|^2 / 2 with |z| <= 1 and |x| <= 0.9: G = 1.9, lambda = 1, alpha = 1 / G^2."""
    centres, project = within(table, 1), reference.domain(BALL).project
    losses = QuadraticLoss(centres, np.ones(ROUNDS, np.float32))
    beta = half_curvature(BALL, 1.9, 1 / 1.9**2)
    game = play(OnlineNewton(BALL, gradient_bound=1.9, strong_convexity=1.0), losses)
    bound = 1 + D * math.log(1 + (beta * 1.8 * 1.9) ** 2 * ROUNDS / D)
    assert quadratic_regret(game, centres, project) <= bound / (2 * beta) + 1e-4
    game = play(OptimisticNewton(BALL, gradient_bound=1.9, strong_convexity=1.0), losses)
    bound = optimistic_bound(game, beta, 1.8, 1.9)
    assert quadratic_regret(game, centres, project) <= bound + 1e-4


def test_many_rounds_do_not_drift():
    """10^5 rounds of gradients that mostly lie in one plane: the matrix is the sum of what was
    seen, and the last step is the one that this sum gives."""
    rounds = 100_000
    rng = np.random.default_rng(2)
    table = (rng.normal(size=(rounds, D)) * [1, 1, 1e-3]).astype(np.float32)
    learner = OnlineNewton(BALL, gradient_bound=5.0, exp_concavity=1.0)

    @jax.jit
    def run(losses):
        def one_round(state, loss):
            return learner.update(state, (), learner.act(state, (), ()), loss), ()

        first, last = jax.tree.map(lambda x: x[:-1], losses), jax.tree.map(lambda x: x[-1], losses)
        before = jax.lax.scan(one_round, learner.init(KEY), first)[0]
        return before, one_round(before, last)[0]

    before, after = jax.device_get(run(LinearLoss(table)))
    gamma, exact = half_curvature(BALL, 5, 1), np.float64(table)
    expected = np.eye(D) / (gamma * 1.8) ** 2 + exact.T @ exact
    np.testing.assert_allclose(after.matrix, expected, rtol=1e-10, atol=1e-8)
    assert np.linalg.cond(expected) > 50
    goal = before.point - np.linalg.solve(expected, exact[-1]) / gamma
    goal = reference.norm_ball(goal, expected, np.float64(np.float32(0.9)))
    np.testing.assert_allclose(after.point, goal, atol=1e-7)


@pytest.mark.parametrize("learner", [OnlineNewton, OptimisticNewton])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"domain": SIMPLEX}, "onto a Ball or a Box.*Simplex.*MirrorDescent"),
        ({"exp_concavity": -1.0}, "exp_concavity is positive, got -1.0"),
        ({"strong_convexity": 0.0}, "strong_convexity is positive, got 0.0"),
        ({"domain": BALL, "gradient_bound": 1.0}, "give exp_concavity=... or strong_convexity="),
        ({"domain": BALL, "exp_concavity": 1.0}, "does not know its gradient_bound"),
    ],
)
def test_errors_say_what_was_wrong(learner, arguments, said):
    with pytest.raises(ValueError, match=said):
        play(learner(**arguments), STREAMS["linear"][0])


def test_states_are_64_bit_and_points_are_not():
    game = play(OnlineNewton(BALL, G, 1.0), STREAMS["linear"][0])
    assert game.state.matrix.dtype == np.float64 and game.next.dtype == np.float32
    assert set(DOMAINS) == {"ball", "box", "simplex"}
