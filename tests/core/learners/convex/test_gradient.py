"""Online gradient descent: against its reference, and its regret bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from regrax.core.learners.convex import OGD
from regrax.core.losses import LinearLoss, QuadraticLoss

from . import reference_convex as reference
from .games import (
    BALL,
    BOX,
    DOMAINS,
    ROUNDS,
    STREAMS,
    T,
    agree,
    every_game,
    linear_regret,
    play,
    quadratic_regret,
    tables,
    within,
)

G, LAMBDA = 1.5, 0.8
RATES = {
    "convex": (OGD(gradient_bound=G), lambda D, t: D / (G * math.sqrt(t))),
    "strongly convex": (
        OGD(rate="strongly convex", strong_convexity=LAMBDA),
        lambda D, t: 1 / (LAMBDA * t),
    ),
    "horizon": (
        OGD(rate="fixed", gradient_bound=G, horizon=T),
        lambda D, t: D / (G * math.sqrt(T)),
    ),
    "fixed": (OGD(rate="fixed", step_size=0.3), lambda D, t: 0.3),
}


@every_game
@pytest.mark.parametrize("rate", RATES)
def test_agrees_with_its_reference(rate, domain, stream):
    learner, step = RATES[rate]
    domain = DOMAINS[domain]
    ours = reference.domain(domain)
    other = reference.OGD(ours, lambda t: step(ours.diameter, t))
    agree(learner.replace(domain=domain), other, stream)


@pytest.mark.parametrize("domain", [BALL, BOX], ids=["ball", "box"])
@pytest.mark.parametrize(
    ("rate", "factor"), [("convex", 1.5), ("fixed", 1.0)], ids=["convex", "fixed"]
)
def test_regret_never_exceeds_the_bound(rate, factor, domain):
    learner = OGD(domain, rate, gradient_bound=1.0, horizon=ROUNDS)

    @given(tables)
    @settings(max_examples=80)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        bound = factor * float(domain.diameter) * math.sqrt(ROUNDS)
        assert linear_regret(game, domain) <= bound + 1e-4

    check()


@given(tables)
@settings(max_examples=80)
def test_strongly_convex_regret_never_exceeds_the_bound(table):
    """Losses |x - z|^2 / 2 with |z| <= 1 and |x| <= 0.9: G = 1.9, lambda = 1."""
    learner, centres = OGD(BALL, "strongly convex", strong_convexity=1.0), within(table, 1)
    game = play(learner, QuadraticLoss(centres, np.ones(ROUNDS, np.float32)))
    regret = quadratic_regret(game, centres, reference.domain(BALL).project)
    assert regret <= 1.9**2 / 2 * (1 + math.log(ROUNDS)) + 1e-4


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: OGD(rate="fast"), 'OGD: rate is "convex" or "strongly convex" or "fixed".*fast'),
        (lambda: OGD(gradient_bound=0.0), "OGD: gradient_bound is positive, got 0.0"),
        (lambda: OGD(rate="fixed", step_size=-1.0), "step_size is positive"),
        (lambda: OGD(rate="fixed", horizon=0), "horizon is one or more"),
        (lambda: OGD().init(None), "OGD does not know its domain"),
        (lambda: OGD(0.9).init(None), "a set to play from, such as Ball.*got 0.9"),
        (lambda: play(OGD(BALL), STREAMS["linear"][0]), "does not know its gradient_bound"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()


def test_an_unused_constant_is_not_asked_for():
    """An environment may say that its losses are not strongly convex, lambda = 0."""
    learner = OGD(BALL, gradient_bound=1.0, strong_convexity=0.0)
    assert np.all(np.isfinite(play(learner, STREAMS["linear"][0]).points))
