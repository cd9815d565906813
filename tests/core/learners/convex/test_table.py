"""Two streams without noise whose regrets are known: to every digit that was written down.

The losses are |x - z_t|^2 / 2 on the unit ball of R^5 for 4000 rounds, with D = G = 2 and
L = lambda = 1: of a point z that stays, and of one that changes sides in every round. The numbers
are the deterministic rows of the table in the paper's specification (made by a program of its own).
"""

from __future__ import annotations

import numpy as np
import pytest

from regrax.core.domains import Ball
from regrax.core.learners.convex import (
    OGD,
    OptimisticFTRL,
    OptimisticMirrorDescent,
    OptimisticNewton,
)
from regrax.core.losses import QuadraticLoss

from . import reference_convex as reference
from .games import play, quadratic_regret

ROUNDS, D, G, L, LAMBDA = 4000, 5, 2.0, 1.0, 1.0
BALL = Ball(D)
OURS = reference.domain(BALL)
SIDE = np.eye(D, dtype=np.float32)[0]
STREAMS = {
    "iid0": np.tile(SIDE / 2, (ROUNDS, 1)),
    "adv": SIDE * np.where(np.arange(ROUNDS) % 2, -1, 1)[:, None].astype(np.float32),
}
BETA = min(1 / (4 * G * 2), LAMBDA / G**2) / 2
CASES = {
    "OGD": (
        OGD(BALL, gradient_bound=G),
        lambda: reference.OGD(OURS, lambda t: 1 / np.sqrt(t)),
        ("0.12", "66.6"),
    ),
    "OOMD": (
        OptimisticMirrorDescent(BALL, gradient_bound=G, smoothness=L),
        lambda: reference.OptimisticMirrorDescent(OURS, reference.variation_step(2, G, L)),
        ("0.23", "181"),
    ),
    "OFTRL": (
        OptimisticFTRL(BALL, gradient_bound=G, smoothness=L),
        lambda: reference.OptimisticFTRL(OURS, G, L),
        ("0.24", "65.6"),
    ),
    "OGD-sc": (
        OGD(BALL, "strongly convex", strong_convexity=LAMBDA),
        lambda: reference.OGD(OURS, lambda t: 1 / t),
        ("0.12", "5.40"),
    ),
    "OOMD-sc": (
        OptimisticMirrorDescent(BALL, "strongly convex", strong_convexity=LAMBDA),
        lambda: reference.OptimisticMirrorDescent(OURS, lambda t, _: 2 / t),
        ("0.40", "30.4"),
    ),
    "OFTL-sc": (
        OptimisticFTRL(BALL, "strongly convex", strong_convexity=LAMBDA),
        lambda: reference.OptimisticFTL(OURS, LAMBDA),
        ("0.28", "16.2"),
    ),
    "OONS": (
        OptimisticNewton(BALL, gradient_bound=G, strong_convexity=LAMBDA),
        lambda: reference.OptimisticNewton(BALL, BETA, G),
        ("16.3", "331"),
    ),
}


def printed(x, as_in):
    """`x` with as many decimals; 0.125 is printed as 0.12."""
    decimals = len(as_in.partition(".")[2])
    return f"{x:.{decimals}f}"


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", CASES)
def test_regrets_are_the_known_ones(name, stream):
    learner, other, known = CASES[name]
    centres, known = STREAMS[stream], known[list(STREAMS).index(stream)]
    losses = QuadraticLoss(centres, np.ones(ROUNDS, np.float32))
    regret = quadratic_regret(play(learner, losses), centres, OURS.project)
    assert printed(round(regret, 5), known) == known
    other, points = other(), []
    for z in centres:
        points.append(other.point())
        other.update(points[-1] - z)
    game = type("Game", (), {"points": np.array(points)})
    assert printed(round(quadratic_regret(game, centres, OURS.project), 5), known) == known
