"""Logistic losses of one coordinate: sigma^2 and Sigma^2 by brute force, comparators by SciPy."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core.domains import Ball, Box, Simplex
from regrax.core.tapes import environment_tape
from regrax.envs import sea_scenarios as sea
from regrax.envs.sea_logistic import LogisticSEA

from .convex_reference import Repeats, least, play, points_of

D, ROUNDS, SCALE = 3, 40, 2.5
BALL, BOX, SIMPLEX = Ball(D, 0.8), Box([-1.0, -0.5, 0.1], [1.0, 0.2, 0.6]), Simplex(D)
DOMAINS = {"ball": BALL, "box": BOX, "simplex": SIMPLEX}
CHANCES = np.array([[0.2, 0.5, 0.9], [0.7, 0.1, 1.0], [0.0, 0.4, 0.6], [0.2, 0.5, 0.5]])


def outcomes(chances):
    """Every loss that can fall: its probability, coordinate and label."""
    for j, p in enumerate(chances):
        yield p / len(chances), j, 1
        yield (1 - p) / len(chances), j, -1


def gradient(x, j, label):
    g = np.zeros(len(x))
    g[j] = -label * SCALE / (1 + math.exp(label * SCALE * x[j]))
    return g


def moments(x, chances):
    """The mean of the gradient, and its variance, by adding up over all outcomes."""
    mean = sum(p * gradient(x, j, y) for p, j, y in outcomes(chances))
    spread = sum(p * np.sum((gradient(x, j, y) - mean) ** 2) for p, j, y in outcomes(chances))
    return mean, spread


def corners(domain):
    """The two ends of every coordinate."""
    low = {"ball": [-0.8] * D, "box": BOX.low, "simplex": [0] * D}[domain]
    high = {"ball": [0.8] * D, "box": BOX.high, "simplex": [1] * D}[domain]
    return list(zip(low, high, strict=True))


@pytest.mark.parametrize("name", DOMAINS)
def test_variance_and_variation_by_brute_force(name):
    """The largest over a grid that has the corners of the box: equal on a box, no less on what
    lies inside of it."""
    env = LogisticSEA(DOMAINS[name], CHANCES, SCALE)
    reports = play(env, points_of(DOMAINS[name], len(CHANCES) + 2)).reports
    variances, variations = (
        np.diff(reports[x].astype(float)) for x in ("stochastic_variance", "adversarial_variation")
    )
    grid = list(itertools.product(*(np.linspace(*ends, 5) for ends in corners(name))))
    inside = [x for x in map(np.array, grid) if is_in(DOMAINS[name], x)]
    for t in range(len(CHANCES) + 2):
        now, before = CHANCES[t % len(CHANCES)], CHANCES[t % len(CHANCES) - 1]
        exact = max(moments(np.array(x), now)[1] for x in grid)
        assert variances[t] == pytest.approx(exact, rel=1e-5)
        assert max(moments(x, now)[1] for x in inside) <= variances[t] * (1 + 1e-5)
        steps = [np.sum((moments(x, now)[0] - moments(x, before)[0]) ** 2) for x in inside]
        np.testing.assert_allclose(steps, steps[0], rtol=1e-9)  # the same at every point
        assert variations[t] == pytest.approx(steps[0] if t else 0, rel=1e-4, abs=1e-7)
    first = max(np.sum(moments(np.array(x), CHANCES[0])[0] ** 2) for x in grid)
    assert env.first_variation == pytest.approx(first, rel=1e-6)


def is_in(domain, x):
    nearest = np.asarray(domain.project(jnp.asarray(x, jnp.float32)))
    return np.allclose(nearest, x, atol=1e-6)


@pytest.mark.parametrize("name", DOMAINS)
def test_regret_agrees_with_scipy(name):
    domain = DOMAINS[name]
    env, x = LogisticSEA(domain, CHANCES, SCALE), points_of(domain, ROUNDS)
    played = play(env, x)
    features, labels = played.feedback.features.astype(float), played.feedback.label.astype(float)
    assert np.all(np.sort(features, axis=1) == [0, 0, SCALE])

    def paid(u, t):
        return np.log1p(np.exp(-labels[:t] * np.sum(features[:t] * u, axis=-1)))

    losses = paid(x.astype(float), ROUNDS)
    np.testing.assert_allclose(played.metrics["loss"], losses, rtol=1e-6)
    for t in (1, 2, 5, 20, ROUNDS):

        def slope(u, t=t):
            signed = labels[:t, None] * features[:t]
            return -np.sum(signed / (1 + np.exp(signed @ u))[:, None], axis=0)

        best = least(domain, lambda u, t=t: paid(u, t).sum(), slope)[0]
        assert played.reports["regret"][t] == pytest.approx(losses[:t].sum() - best, abs=2e-5)
    assert played.reports["regret"][0] == 0


def test_labels_and_coordinates_follow_their_chances():
    """Each of the 2 d outcomes of a row within five standard errors of its probability."""
    env, rounds = LogisticSEA(BALL, CHANCES, SCALE), 100_000
    feedback = play(env, np.zeros((rounds, D), np.float32), seed=1).feedback
    rows, seen = np.arange(rounds) % len(CHANCES), np.argmax(feedback.features, axis=1)
    assert set(feedback.label.tolist()) == {-1.0, 1.0}
    for r, chances in enumerate(CHANCES):
        for p, j, y in outcomes(chances):
            share = np.mean((seen == j)[rows == r] & (feedback.label == y)[rows == r])
            assert abs(share - p) <= 5 * math.sqrt(p * (1 - p) / (rounds / len(CHANCES)))


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("sure", [False, True])
def test_constants_of_the_losses(name, sure):
    """Over many points; `sure`: only some labels can fall."""
    chances = np.array([[1.0, 0.0, 0.3]]) if sure else CHANCES
    env = LogisticSEA(DOMAINS[name], chances, SCALE)
    low, high = np.array(corners(name)).T
    spike = [np.eye(D)[j] * end[j] for j in range(D) for end in (low, high)]
    both = [np.where(np.arange(D) == j, end, np.clip(0, low, high)) for j in range(D)
            for end in (low, high)]  # fmt: skip
    points = [x for x in [*spike, *both, np.zeros(D), *points_of(DOMAINS[name], 500)]
              if is_in(DOMAINS[name], x)]  # fmt: skip
    gradients, concave, bends = [], [], []
    for x in points:
        for p, j, y in (out for row in chances for out in outcomes(row)):
            if p > 0:
                margin = y * SCALE * x[j]
                gradients.append(SCALE / (1 + math.exp(margin)))
                concave.append(math.exp(margin))  # f'' / f'^2
        s = 1 / (1 + np.exp(-SCALE * x))
        bends.append(SCALE**2 / D * s * (1 - s))
    assert env.gradient_bound == pytest.approx(np.max(gradients), rel=1e-5)
    assert env.exp_concavity == pytest.approx(np.min(concave), rel=1e-5)
    assert env.smoothness == pytest.approx(np.max(bends), rel=1e-5)
    assert env.strong_convexity == pytest.approx(np.min(bends), rel=1e-5)


@pytest.mark.parametrize("domain", [Ball(5), Box([-0.3] * 5, [0.8] * 5)], ids=["ball", "box"])
def test_small_regrets_survive_many_rounds(domain):
    """Rounds are few kinds, so NumPy can count them: regret to 1e-3 out of losses of 10^4."""
    env, rounds, point = (
        sea.logistic_mixture(0.4, domain=domain),
        16_000,
        (0.3, 0.1, 0.0, 0.2, -0.1),
    )
    played = rx.simulate(env, Repeats((point,)), rounds, 3, checkpoints=[rounds], progress=False)
    x = np.array(point, np.float32).astype(float)
    for seed in range(3):
        tape = environment_tape(env, np.array([seed]), rounds, root_seed=0)
        tape = jax.tree.map(lambda x: np.asarray(x)[0], tape)
        j = np.minimum((tape.coordinate * np.float32(5)).astype(int), 4)
        y = np.where(tape.label < env.chances[np.arange(rounds) % 2, j], 1, -1)
        seen = np.array([[np.sum((j == k) & (y == s)) for s in (-1, 1)] for k in range(5)])

        def paid(u, seen=seen):
            return np.sum(seen[:, 0] * np.logaddexp(0, u) + seen[:, 1] * np.logaddexp(0, -u))

        def slope(u, seen=seen):
            return seen[:, 0] / (1 + np.exp(-u)) - seen[:, 1] / (1 + np.exp(u))

        assert paid(x) > 1e4
        exact = paid(x) - least(domain, paid, slope)[0]
        assert played.metrics["regret"][-1, seed] == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: LogisticSEA(BALL, [0.5] * D), r"chances are finite numbers \[rows, d\]"),
        (lambda: LogisticSEA(BALL, [[0.5, 1.1, 0.2]]), r"chances lie in \[0, 1\]"),
        (lambda: LogisticSEA(BALL, CHANCES, 0.0), "scale is positive"),
        (lambda: LogisticSEA(Ball(2), CHANCES), "3 columns"),
        (lambda: sea.logistic_mixture(-0.1), "dial goes from 0"),
    ],
)
def test_bad_parameters_are_refused_when_made(build, said):
    with pytest.raises(ValueError, match=said):
        build()
