"""The two-layer method: against its reference, and its dynamic regret for any gradients."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

from regrax.core.domains import Ball
from regrax.core.learners.convex import OptimisticMirrorDescent, TwoLayer
from regrax.core.losses import LinearLoss
from regrax.core.protocol import complete

from . import reference_convex as reference
from .games import (
    BALL,
    BOX,
    DOMAINS,
    ROUNDS,
    STREAMS,
    D,
    T,
    agree,
    every_game,
    play,
    tables,
    within,
)

G, L = 1.5, 0.05


def ready(domain, bound=G, smoothness=L, horizon=T, **more):
    env = SimpleNamespace(domain=domain, gradient_bound=bound, smoothness=smoothness)
    return complete(TwoLayer(**more), env, horizon)


@every_game
def test_agrees_with_its_reference(domain, stream):
    """The weights are exponential in sums of up to 200 numbers of order one, times a rate of at
    most 1: they have as many digits as the points."""
    domain = DOMAINS[domain]
    learner = ready(domain)
    assert learner.num_steps >= 4
    agree(learner, reference.TwoLayer(reference.domain(domain), G, L, T), stream)


def test_the_number_of_steps_is_the_papers():
    """ceil(log2(G^2 T / (8 D^2 L^2)) / 2) + 1; at G = D = 2, L = 1 and T = 4000: 4.48 becomes 6."""
    learner = ready(Ball(5), 2.0, 1.0, 4000)
    assert learner.num_steps == 6
    steps = np.asarray(learner._bases().step_size)
    least = math.sqrt(4 / (8 * 4 * 4000))
    np.testing.assert_allclose(steps, [*(least * 2.0 ** np.arange(5)), 1 / 8], rtol=1e-6)
    assert ready(Ball(5), 2.0, 1.0, 1).num_steps == 1
    assert ready(Ball(5), 2.0, 1.0, 4000, num_steps=3).num_steps == 3


def test_one_step_is_mirror_descent():
    learner = ready(BOX, num_steps=1)
    step = np.asarray(learner._bases().step_size)[0]
    alone = OptimisticMirrorDescent(BOX, "fixed", step_size=step)
    losses = STREAMS["logistic"][0]
    np.testing.assert_allclose(play(learner, losses).points, play(alone, losses).points, atol=1e-6)


@pytest.mark.parametrize("domain", [BALL, BOX], ids=["ball", "box"])
def test_dynamic_regret_never_exceeds_the_bound(domain):
    """Against the best point of every stretch of 1, 3, 10 and 30 rounds, and every base learner."""
    learner = ready(domain, 1.0, 0.05, ROUNDS)
    diameter, N = float(domain.diameter), learner.num_steps
    least = lambda g: np.asarray(domain.least(np.float32(g)), np.float64)  # noqa: E731

    @given(tables)
    @settings(max_examples=60)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        other = reference.TwoLayer(reference.domain(domain), 1.0, 0.05, ROUNDS)
        for g in game.gradients:
            other.update(g)
        total = other.total
        root = math.sqrt(4 * (diameter * 0.05) ** 2 + 4 + total)
        meta = 1.25 * diameter * math.sqrt(1 + math.log(N)) * root - sum(other.moving)
        played = np.sum(game.gradients * game.points)
        for length in (1, 3, 10, ROUNDS):
            u = [
                least(game.gradients[t - t % length : t - t % length + length].sum(axis=0))
                for t in range(ROUNDS)
            ]
            path = np.sum(np.linalg.norm(np.diff(u, axis=0), axis=1))
            base = min(
                (diameter**2 / 2 + diameter * path) / eta + eta * total for eta in other.steps
            )
            assert played - np.sum(game.gradients * u) <= meta + base + 1e-4

    check()


def test_it_follows_a_point_that_moves():
    """A best point that changes sides once: there in ten rounds, for which the smallest step alone,
    1.8 / sqrt(8 T) = 0.045, needs 1.7 / 0.045 = 38."""
    table = np.zeros((T, D), np.float32)
    table[:, 0] = np.where(np.arange(T) < T // 2, 1, -1)
    slow = OptimisticMirrorDescent(BALL, "fixed", step_size=1.8 / math.sqrt(8 * T))
    late = {
        name: int(np.argmax(play(learner, LinearLoss(table)).points[T // 2 :, 0] > 0.8))
        for name, learner in {"many": ready(BALL, 1.0, 0.05, T), "one": slow}.items()
    }
    assert late["many"] <= 10 and 36 <= late["one"] <= 40


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: TwoLayer(smoothness=0.0), "TwoLayer: smoothness is positive, got 0.0"),
        (lambda: TwoLayer(num_steps=0), "num_steps is a whole number from 1, got 0"),
        (lambda: TwoLayer(gradient_bound=-1.0), "gradient_bound is positive"),
        (lambda: ready(BALL, bound=None), "TwoLayer does not know its gradient_bound"),
        (lambda: ready(None), "TwoLayer does not know its domain"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
