"""Mirror descent, FTRL and dual averaging: references, bounds, and what equals what."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from regrax.core.domains import Ball, Simplex
from regrax.core.learners.convex import FTRL, OGD, DualAveraging, MirrorDescent
from regrax.core.learners.experts import Hedge
from regrax.core.losses import LinearLoss

from . import reference_convex as reference
from .games import (
    BALL,
    BOX,
    DOMAINS,
    ROUNDS,
    SIMPLEX,
    STREAMS,
    D,
    T,
    agree,
    every_game,
    linear_regret,
    play,
    tables,
    within,
)

G, LOG = 1.5, math.log(D)
every_stream = pytest.mark.parametrize("stream", STREAMS)


# ---- references ----------------------------------------------------------------------------


@every_game
@pytest.mark.parametrize("rate", ["convex", "horizon", "fixed"])
def test_euclidean_mirror_descent_and_ftrl_agree_with_their_references(rate, domain, stream):
    domain = DOMAINS[domain]
    ours = reference.domain(domain)
    scale = ours.diameter / G
    arguments, step = {
        "convex": ({"rate": "convex", "gradient_bound": G}, lambda t: scale / math.sqrt(t)),
        "horizon": (
            {"rate": "fixed", "gradient_bound": G, "horizon": T},
            lambda t: scale / math.sqrt(T),
        ),
        "fixed": ({"rate": "fixed", "step_size": 0.3}, lambda t: 0.3),
    }[rate]
    agree(MirrorDescent(domain, **arguments), reference.OGD(ours, step), stream)
    slower = math.sqrt(2) if rate == "convex" else 1
    lazy = reference.FTRL(ours, lambda t: step(t) / slower)
    agree(FTRL(domain, **arguments), lazy, stream)


@every_stream
@pytest.mark.parametrize("rate", ["range", "bound", "fixed"])
def test_entropic_mirror_descent_agrees_with_its_reference(rate, stream):
    ours = reference.domain(SIMPLEX)
    arguments, step = {
        "range": ({"loss_range": 2.0, "horizon": T}, math.sqrt(8 * LOG / T) / 2),
        "bound": ({"gradient_bound": G, "horizon": T}, math.sqrt(8 * LOG / T) / (G * 2**0.5)),
        "fixed": ({"step_size": 0.2}, 0.2),
    }[rate]
    learner = MirrorDescent(SIMPLEX, "entropic", **arguments)
    agree(learner, reference.ExponentiatedGradient(ours, step), stream)
    learner = FTRL(SIMPLEX, "entropic", "fixed", **arguments)
    agree(learner, reference.FTRL(ours, lambda t: step, entropic=True), stream)


@every_stream
def test_entropic_ftrl_with_changing_rates_agrees_with_its_reference(stream):
    ours, learner = reference.domain(SIMPLEX), FTRL(SIMPLEX, "entropic", loss_range=2.0)
    rate = lambda t: math.sqrt(8 * LOG / t) / 2  # noqa: E731
    agree(learner, reference.FTRL(ours, rate, entropic=True), stream)


@every_game
@pytest.mark.parametrize("gamma", [None, 2.0])
def test_dual_averaging_agrees_with_its_reference(gamma, domain, stream):
    domain = DOMAINS[domain]
    ours, b = reference.domain(domain), reference.nesterov(T + 1)
    scale = gamma or G / ours.diameter
    learner = DualAveraging(domain, gradient_bound=G, gamma=gamma)
    agree(learner, reference.FTRL(ours, lambda t: 1 / (scale * b[t - 1])), stream)


# ---- bounds --------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", [BALL, BOX], ids=["ball", "box"])
@pytest.mark.parametrize(
    ("build", "factor"),
    [
        (MirrorDescent, math.sqrt(ROUNDS)),
        (FTRL, math.sqrt(2 * ROUNDS)),
        (lambda *x, **y: FTRL(*x, rate="fixed", horizon=ROUNDS, **y), math.sqrt(ROUNDS)),
        (DualAveraging, math.sqrt(2 * ROUNDS - 1) + 1 / (1 + math.sqrt(3))),
    ],
    ids=["mirror", "ftrl", "ftrl-fixed", "dual"],
)
def test_regret_never_exceeds_the_bound(build, factor, domain):
    learner = build(domain, gradient_bound=1.0)
    if isinstance(learner, MirrorDescent):
        learner = learner.replace(horizon=ROUNDS)

    @given(tables)
    @settings(max_examples=60)
    def check(table):
        game = play(learner, LinearLoss(within(table, 1)))
        assert linear_regret(game, domain) <= float(domain.diameter) * factor + 1e-4

    check()


@pytest.mark.parametrize(
    ("learner", "bound"),
    [
        (MirrorDescent(SIMPLEX, "entropic", horizon=ROUNDS), math.sqrt(ROUNDS * LOG / 2)),
        (FTRL(SIMPLEX, "entropic", "fixed", horizon=ROUNDS), math.sqrt(ROUNDS * LOG / 2)),
        (FTRL(SIMPLEX, "entropic"), math.sqrt(2 * ROUNDS * LOG) + math.sqrt(LOG / 8)),
    ],
    ids=["mirror", "ftrl-fixed", "ftrl"],
)
def test_entropic_regret_never_exceeds_the_bound(learner, bound):
    """Gradients whose coordinates are in [-1, 1]: a range of 2."""
    learner = learner.replace(loss_range=2.0)

    @given(tables)
    @settings(max_examples=60)
    def check(table):
        game = play(learner, LinearLoss(table))
        assert linear_regret(game, SIMPLEX) <= 2 * bound + 1e-4

    check()


def test_nesterovs_sequence_is_below_its_bound():
    """b_t <= 1 / (1 + sqrt(3)) + sqrt(2 t - 1), with equality nowhere."""
    b = 1.0
    for t in range(1, 10_000):
        assert b <= 1 / (1 + math.sqrt(3)) + math.sqrt(2 * t - 1)
        b += 1 / b


# ---- identities ----------------------------------------------------------------------------


@pytest.mark.parametrize("anytime", [False, True], ids=["fixed", "anytime"])
def test_the_entropic_ones_are_hedge(anytime):
    """Losses in [0, 1], at Hedge's own rates. Rounding: the exponents are of order sqrt(T)."""
    losses = LinearLoss(np.random.default_rng(3).beta(2, [2, 3, 4], (T, D)).astype(np.float32))
    expected = play(Hedge(D, T, anytime=anytime), losses).points
    ours = [FTRL(SIMPLEX, "entropic", loss_range=1.0)]
    if not anytime:
        ours = [ours[0].replace(rate="fixed", horizon=T)]
        ours.append(MirrorDescent(SIMPLEX, "entropic", loss_range=1.0, horizon=T))
    for learner in ours:
        np.testing.assert_allclose(play(learner, losses).points, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 0.3


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_euclidean_one_is_gradient_descent(domain):
    for rate in ("convex", "fixed"):
        arguments = {"rate": rate, "gradient_bound": G, "horizon": T}
        losses = STREAMS["logistic"][0]
        mirror = play(MirrorDescent(DOMAINS[domain], **arguments), losses).points
        np.testing.assert_array_equal(
            mirror, play(OGD(DOMAINS[domain], **arguments), losses).points
        )


def test_inside_the_domain_ftrl_is_gradient_descent_and_outside_it_is_lazy():
    slopes = STREAMS["linear"][0].coefficients
    wide = Ball(D, 1e3)
    eager = play(OGD(wide, "fixed", step_size=0.1), LinearLoss(slopes)).points
    lazy = play(FTRL(wide, rate="fixed", step_size=0.1), LinearLoss(slopes)).points
    np.testing.assert_allclose(lazy, eager, atol=1e-4)
    eager = play(OGD(BALL, "fixed", step_size=0.1), LinearLoss(slopes)).points
    lazy = play(FTRL(BALL, rate="fixed", step_size=0.1), LinearLoss(slopes)).points
    assert np.abs(lazy - eager).max() > 0.1


def test_shifted_losses_and_long_games_lose_no_digits():
    """10^6 rounds of gradients near 1000 that differ by 0.001 only: the weights are those of the
    differences, to the digits that the gradients have (2^-14 each at 1000)."""
    rows = np.array([[1000.0, 1000.0 + 2.0**-10, 1000.0 - 2.0**-10]], np.float32)
    rounds = 1 << 20
    game = play(
        FTRL(SIMPLEX, "entropic", "fixed", step_size=2.0**-10),
        LinearLoss(np.broadcast_to(rows, (rounds, D))),
    )
    shares = np.exp(-(2.0**-10) * rounds * np.array([0, 2.0**-10, -(2.0**-10)]))
    np.testing.assert_allclose(game.next, shares / shares.sum(), rtol=1e-4)


def test_entropic_steps_that_change_would_be_linear():
    """Why there are none: what n rounds said for one coordinate is unsaid by 3 n rounds for another
    only. A plain loop with steps 1 / sqrt(t) regrets half of all rounds, but for the order of
    sqrt(n) in which it changes its mind; FTRL keeps its bound."""
    n = 1000
    table = np.zeros((4 * n, 2), np.float32)
    table[:n, 1], table[n:, 0] = 1, 1
    logs, lost = np.zeros(2), 0.0
    for t, row in enumerate(np.float64(table), 1):
        shares = np.exp(logs - logs.max())
        lost += row @ shares / shares.sum()
        logs = logs - row / math.sqrt(t)
    assert lost - n > 2 * n - 10 * math.sqrt(n)
    game = play(FTRL(Simplex(2), "entropic", loss_range=1.0), LinearLoss(table))
    bound = math.sqrt(2 * 4 * n * math.log(2)) + math.sqrt(math.log(2) / 8)
    assert linear_regret(game, Simplex(2)) <= bound + 1e-3


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: MirrorDescent(mirror="log"), 'mirror is "euclidean" or "entropic".*log'),
        (lambda: FTRL(regulariser="cubic"), 'regulariser is "quadratic" or "entropic".*cubic'),
        (lambda: MirrorDescent(BALL, "entropic"), "is for points of a Simplex, got Ball"),
        (lambda: FTRL(BOX, "entropic"), "is for points of a Simplex, got Box"),
        (lambda: MirrorDescent(mirror="entropic", rate="convex"), "linear regret.*FTRL"),
        (lambda: FTRL(rate="strongly convex"), 'FTRL: rate is "convex" or "fixed"'),
        (lambda: FTRL(loss_range=0.0), "loss_range is positive"),
        (lambda: DualAveraging(gamma=-1.0), "DualAveraging: gamma is positive, got -1.0"),
        (
            lambda: play(FTRL(Simplex(3), "entropic"), STREAMS["linear"][0]),
            "does not know its gradient_bound",
        ),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
