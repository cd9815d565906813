"""MetaGrad: against its reference, and its bound for any gradients."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

from regrax.core.learners.convex import MetaGrad
from regrax.core.losses import LinearLoss
from regrax.core.protocol import complete

from . import reference_convex as reference
from .games import (
    BALL,
    BOX,
    DOMAINS,
    SIMPLEX,
    D,
    T,
    agree,
    games_in_norms,
    play,
    tables,
    within,
)

G = 2.0
both = pytest.mark.parametrize("domain", [BALL, BOX], ids=["ball", "box"])


@games_in_norms
def test_agrees_with_its_reference(domain, stream):
    domain = DOMAINS[domain]
    learner = complete(MetaGrad(gradient_bound=G), SimpleNamespace(domain=domain), T)
    assert learner.num_rates == 1 + math.ceil(math.log2(T) / 2) == 5
    agree(learner, reference.MetaGrad(domain, G, 5), stream)


@both
def test_regret_never_exceeds_the_bound(domain):
    N, diameter = 4, float(domain.diameter)
    learner = MetaGrad(domain, gradient_bound=1.0, num_rates=N)
    i = np.arange(N)
    eta, prior = 2.0**-i / (5 * diameter), (1 + 1 / N) / ((i + 1) * (i + 2))
    np.testing.assert_allclose(prior.sum(), 1)
    net = np.random.default_rng(1).uniform(-1, 1, (300, D))
    net = np.array([reference.domain(domain).project(u) for u in np.vstack([net, 9 * net])])

    @given(tables)
    @settings(max_examples=60)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        scatter = game.gradients.T @ game.gradients
        spread = [np.linalg.slogdet(np.eye(D) + 2 * (e * diameter) ** 2 * scatter)[1] for e in eta]
        cost = (np.log(1 / prior) + 0.5 + np.array(spread) / 2) / eta
        gaps = np.sum(game.gradients[:, None] * (game.points[:, None] - net), axis=2)
        bounds = np.sum(gaps**2, axis=0)[:, None] * eta + cost
        assert np.all(np.sum(gaps, axis=0) <= bounds.min(axis=1) + 1e-4)

    check()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: MetaGrad(SIMPLEX), "MetaGrad projects in the norm of a matrix.*Simplex"),
        (lambda: MetaGrad(gradient_bound=0.0), "gradient_bound is positive"),
        (lambda: MetaGrad(num_rates=0), "num_rates is a whole number from 1, got 0"),
        (lambda: MetaGrad(BALL).init(None), "does not know its num_rates"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
