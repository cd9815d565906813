"""Small streams of losses, and games of a learner or of its reference against them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.domains import Ball, Box, Simplex
from regrax.core.losses import LinearLoss, LogisticLoss, QuadraticLoss

T, D = 200, 3
KEY = noise.root(3)
BALL, SIMPLEX = Ball(D, 0.9), Simplex(D)
BOX = Box([-0.5, -0.2, 0.1], [0.4, 0.6, 0.7])
DOMAINS = {"ball": BALL, "box": BOX, "simplex": SIMPLEX}


class Game(NamedTuple):
    points: np.ndarray  # [T, d] float64
    gradients: np.ndarray  # [T, d] float64
    values: np.ndarray  # [T] float64
    state: object  # the learner's, at the end
    next: np.ndarray  # [d], what it would play next
    recommended: np.ndarray  # [d]


@jit
def _play(learner, losses):
    def one_round(state, loss):
        point = learner.act(state, (), ())
        after = learner.update(state, (), point, loss)
        return after, (point, loss.gradient(point), loss.value(point))

    state, seen = jax.lax.scan(one_round, learner.init(KEY), losses)
    return *seen, state, learner.act(state, (), ()), learner.recommend(state)


def play(learner, losses):
    """A game against a table of losses, with a leading axis of rounds."""
    points, gradients, values, *rest = jax.device_get(_play(learner, losses))
    return Game(*(np.asarray(x, np.float64) for x in (points, gradients, values)), *rest)


def follow(reference, gradient):
    """The points [T, d] of a reference, told gradient(t, point) after every round."""
    points = []
    for t in range(T):
        points.append(np.array(reference.point(), np.float64))
        reference.update(gradient(t, points[-1]))
    return np.array(points)


def _streams():
    """Name to (losses for the learner, gradient(t, x) for the reference): some centres are outside
    the domains, and projections on a boundary alternate with none."""
    rng = np.random.default_rng(4)
    centres = (rng.normal(0.3, 0.5, (T, D)) * np.linspace(2, 0.2, T)[:, None]).astype(np.float32)
    curvatures = rng.uniform(0.5, 1.5, T).astype(np.float32)
    slopes = (rng.normal(size=(T, D)) + np.sin(np.arange(T) / 9)[:, None]).astype(np.float32)
    features = rng.normal(size=(T, D)).astype(np.float32)
    labels = np.where(features @ [1, -2, 0.5] + rng.normal(size=T) > 0, 1, -1).astype(np.float32)

    def logistic(t, x):
        f = np.float64(features[t])
        return -labels[t] * f / (1 + np.exp(labels[t] * (f @ x)))

    return {
        "quadratic": (
            QuadraticLoss(centres, curvatures),
            lambda t, x: np.float64(curvatures[t]) * (x - centres[t]),
        ),
        "linear": (LinearLoss(slopes), lambda t, x: np.float64(slopes[t])),
        "logistic": (LogisticLoss(features, labels), logistic),
    }


STREAMS = _streams()

# Domains and streams that references are played on; the first four have a norm to project in.
PAIRS = [
    ("ball", "quadratic"),
    ("ball", "logistic"),
    ("box", "linear"),
    ("box", "logistic"),
    ("simplex", "linear"),
    ("simplex", "quadratic"),
]
every_game = pytest.mark.parametrize(("domain", "stream"), PAIRS)
games_in_norms = pytest.mark.parametrize(("domain", "stream"), PAIRS[:4])

# Rounding moves a point by a few units in the last place of numbers of order one in every round,
# and projections bring points no further apart.
TOLERANCE = 4 * T * 2.0**-23


def agree(learner, reference, stream, tolerance=TOLERANCE):
    """Hold a learner to its reference round by round, each told the gradients where it is."""
    losses, gradient = STREAMS[stream]
    game = play(learner, losses)
    expected = follow(reference, gradient)
    np.testing.assert_allclose(game.points, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(game.next, reference.point(), rtol=0, atol=tolerance)
    np.testing.assert_array_equal(game.next, game.recommended)
    assert np.ptp(expected, axis=0).max() > 0.1  # it did move


ROUNDS = 30
tables = hnp.arrays(np.float32, (ROUNDS, D), elements=st.floats(-1, 1, width=32))


def within(table, bound):
    """The rows of a table, those longer than `bound` cut to it."""
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    return (table * np.minimum(1, bound / np.maximum(lengths, 1e-30))).astype(np.float32)


def variation(gradients):
    """v_t = |g_t - g_{t-1}|^2 with g_0 = 0, [T]."""
    steps = np.diff(gradients, axis=0, prepend=np.zeros((1, gradients.shape[1])))
    return np.sum(steps**2, axis=1)


def linear_regret(game, domain):
    """sum <g_t, x_t> less the least that a point of the domain would have had."""
    total = game.gradients.sum(axis=0)
    best = np.asarray(domain.least(jnp.asarray(total, jnp.float32)), np.float64)
    return np.sum(game.gradients * game.points) - total @ best


def quadratic_regret(game, centres, project):
    """Of losses |x - centre|^2 / 2: the best point is the mean of the centres, projected."""
    centres = np.asarray(centres, np.float64)
    best = project(centres.mean(axis=0))
    played = np.sum((game.points - centres) ** 2) / 2
    return played - np.sum((best - centres) ** 2) / 2
