"""Fixed losses in random order: orders, conditional moments and regret against NumPy."""

import itertools
import math

import jax
import numpy as np
import pytest

import regrax as rx
from regrax.core.domains import Ball, Box
from regrax.envs import sea_scenarios as sea
from regrax.envs.sea_random_order import RandomOrder

from .convex_reference import Repeats, least, play, points_of

D, N, PASSES = 3, 8, 3
BALL, BOX = Ball(D, 0.8), Box([-1.0, -0.5, 0.1], [1.0, 0.2, 0.6])
POINTS = np.random.default_rng(1).normal(0, 0.7, (N, D)).astype(np.float32)


@pytest.mark.parametrize("loss", ["quadratic", "linear"])
@pytest.mark.parametrize("domain", [BALL, BOX], ids=["ball", "box"])
def test_histories_agree_with_numpy_and_scipy(domain, loss):
    env = RandomOrder(domain, POINTS, PASSES, loss, curvature=1.5)
    x = points_of(domain, PASSES * N).astype(float)
    played = play(env, x.astype(np.float32))
    linear = loss == "linear"
    z = np.asarray(played.feedback.coefficients if linear else played.feedback.centre, float)
    for each in z.reshape(PASSES, N, D):  # every point once a pass
        np.testing.assert_array_equal(np.sort(each, axis=0), np.sort(POINTS, axis=0))
    scale = 1 if linear else 1.5**2
    left = [z[t : t - t % N + N] for t in range(PASSES * N)]  # what the pass had left in round t
    means = np.array([rest.mean(axis=0) for rest in left])
    variances = scale * np.array([rest.var(axis=0).sum() for rest in left])
    moved = scale * np.sum(np.diff(means, axis=0, prepend=means[:1]) ** 2, axis=1)
    for t in range(1, PASSES * N + 1):
        report = {name: values[t] for name, values in played.reports.items()}
        assert report["stochastic_variance"] == pytest.approx(variances[:t].sum(), rel=1e-5)
        assert report["adversarial_variation"] == pytest.approx(moved[:t].sum(), rel=1e-5, abs=1e-9)
    paid = np.sum(x * z, axis=1) if linear else 0.75 * np.sum((x - z) ** 2, axis=1)
    np.testing.assert_allclose(played.metrics["loss"], paid, rtol=1e-5, atol=1e-6)
    for t in (1, N, N + 3, PASSES * N):

        def total(u, t=t):
            return (z[:t] @ u).sum() if linear else 0.75 * np.sum((u - z[:t]) ** 2)

        def slope(u, t=t):
            return z[:t].sum(axis=0) if linear else 1.5 * (u - z[:t]).sum(axis=0)

        exact = paid[:t].sum() - least(domain, total, slope)[0]
        assert played.reports["regret"][t] == pytest.approx(exact, abs=2e-5)


def test_passes_and_seeds_have_orders_of_their_own():
    x = points_of(BALL, PASSES * N)
    orders = [play(RandomOrder(BALL, POINTS, PASSES), x, seed).feedback.centre for seed in range(4)]
    passes = [part.tobytes() for order in orders for part in order.reshape(PASSES, N, D)]
    assert len(set(passes)) == 4 * PASSES  # by chance with probability 66 / 8!


def test_orders_are_uniform():
    """All orders of four points equally often: chi squared with 23 degrees, exceeded by chance
    with probability 1e-4 at 59.2."""
    env, draws = RandomOrder(BALL, POINTS[:4]), 24_000
    keys = jax.vmap(lambda i: rx.noise.stream(rx.noise.root(1), i))(np.arange(draws, dtype="u4"))
    orders = np.asarray(jax.jit(jax.vmap(lambda key: env.init(key).order))(keys))
    codes = orders @ [64, 16, 4, 1]
    counts = [np.sum(codes == np.dot(o, [64, 16, 4, 1])) for o in itertools.permutations(range(4))]
    expected = draws / 24
    assert sum(counts) == draws
    assert np.sum((np.array(counts) - expected) ** 2) / expected < 59.2


def test_the_scenario_has_the_variance_of_its_points():
    """On average sigma_t^2 is (1 - 1/k) S^2 with k points left, S^2 the variance with n - 1: in all
    (n - H_n) S^2; Sigma_t^2 is S^2 / (k (k + 1)), in all S^2 (1 - 1/n). Five
    standard errors over 400 orders."""
    n = 300
    env = sea.random_order(points=n)
    assert env.most_rounds == n
    np.testing.assert_allclose(np.linalg.norm(env.points - 0.2 * np.eye(5)[0], axis=1), 0.8, 1e-5)
    own = env.points.astype(float).var(axis=0, ddof=1).sum()

    trace = rx.simulate(env, Repeats(((0.0,) * 5,)), n, 400, checkpoints=[n], progress=False)
    expected = {
        "stochastic_variance": own * (n - sum(1 / k for k in range(1, n + 1))),
        "adversarial_variation": own * (1 - 1 / n),
    }
    for name, value in expected.items():
        found = trace.metrics[name][-1]
        assert abs(found.mean() - value) < 5 * found.std() / math.sqrt(400), name


def test_constants_of_the_losses():
    env = RandomOrder(BALL, POINTS, curvature=1.5)
    points = np.concatenate([points_of(BALL, 4000), -BALL.radius * POINTS / lengths(POINTS)])
    furthest = max(lengths(points - z).max() for z in POINTS)
    assert env.gradient_bound == pytest.approx(1.5 * furthest, rel=1e-5)
    assert (env.smoothness, env.strong_convexity, env.dimension) == (1.5, 1.5, D)
    linear = RandomOrder(BALL, POINTS, loss="linear")
    assert linear.gradient_bound == pytest.approx(lengths(POINTS).max())
    assert (linear.smoothness, linear.strong_convexity) == (0, None)


def lengths(x):
    return np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: RandomOrder(BALL, POINTS[0]), r"points are finite numbers \[rows, d\]"),
        (lambda: RandomOrder(BALL, POINTS, passes=0), "passes is a whole number from 1, got 0"),
        (lambda: RandomOrder(BALL, POINTS, passes=1.5), "passes is a whole number"),
        (lambda: RandomOrder(Ball(2), POINTS), "3 columns"),
        (lambda: RandomOrder(BALL, POINTS, loss="log"), "quadratic.*linear.*log"),
        (lambda: RandomOrder(BALL, POINTS, curvature=-1.0), "curvature is positive"),
        (
            lambda: rx.simulate(RandomOrder(BALL, POINTS), Repeats(((0.0,) * D,)), 9, 1),
            "ends after 8 rounds, horizon is 9",
        ),
    ],
)
def test_bad_parameters_are_refused(build, said):
    with pytest.raises(ValueError, match=said):
        build()
