"""The stochastically extended adversary: its law, its metrics and its named scenarios."""

import math

import jax
import numpy as np
import pytest

import regrax as rx
from regrax.core.domains import Ball, Box, Simplex
from regrax.core.protocol import Mixture
from regrax.envs import sea_scenarios as sea
from regrax.envs.convex import SEA

from .convex_reference import Repeats, least, play, points_of

D, ROWS, ROUNDS = 3, 7, 25
BALL, BOX, SIMPLEX = Ball(D, 0.8), Box([-1.0, -0.5, 0.1], [1.0, 0.2, 0.6]), Simplex(D)
DOMAINS = {"ball": BALL, "box": BOX, "simplex": SIMPLEX}
MEANS = np.random.default_rng(1).normal(0, 0.7, (ROWS, D))  # some lie outside of the domains
SPREAD = np.linspace(0, 0.6, ROWS)


def environment(domain, loss):
    return SEA(domain, MEANS, SPREAD, loss, curvature=1.5)


class Reference:
    """Losses, their means and their minimisers round by round, in float64."""

    def __init__(self, env, centres):
        rows = np.arange(len(centres)) % len(env.means)
        self.env, self.c = env, float(env.curvature)
        self.linear = env.loss == "linear"
        self.centres = np.asarray(centres, float)
        self.means, self.spread = env.means[rows].astype(float), env.spread[rows].astype(float)

    def loss(self, x, centre):
        """Of points and centres [..., d], of means without what the spread adds."""
        if self.linear:
            return np.sum(x * centre, axis=-1)
        return self.c / 2 * np.sum((x - centre) ** 2, axis=-1)

    def least(self, centres):
        """The least one point could have paid, and the point."""

        def slope(x):
            grad = centres if self.linear else self.c * (x - centres)
            return grad.sum(axis=0)

        return least(self.env.domain, lambda x: self.loss(x, centres).sum(), slope)

    def metrics(self, points, t):
        points, centres, means = (x[:t].astype(float) for x in (points, self.centres, self.means))
        scale = 1 if self.linear else self.c**2
        best = np.array([self.least(mean[None])[1] for mean in means])
        meant = self.loss(points, means).sum()
        return {
            "regret": self.loss(points, centres).sum() - self.least(centres)[0],
            "expected_regret": meant - self.least(means)[0],
            "dynamic_regret": meant - self.loss(best, means).sum(),
            "path_length": np.linalg.norm(np.diff(best, axis=0), axis=1).sum(),
            "stochastic_variance": scale * (self.spread[:t] ** 2).sum(),
            "adversarial_variation": scale * (np.diff(means, axis=0) ** 2).sum(),
        }


def centres_of(env, feedback):
    return feedback.coefficients if env.loss == "linear" else feedback.centre


@pytest.mark.parametrize("loss", ["quadratic", "linear"])
@pytest.mark.parametrize("name", DOMAINS)
def test_metrics_agree_with_numpy_and_scipy(name, loss):
    """Before and after the table of means is read again, from row 7 on."""
    env, points = environment(DOMAINS[name], loss), points_of(DOMAINS[name], ROUNDS)
    played = play(env, points)
    reference = Reference(env, centres_of(env, played.feedback))
    np.testing.assert_allclose(
        played.metrics["loss"], reference.loss(points, reference.centres), rtol=2e-6, atol=1e-6
    )
    for t in (1, 2, 6, 7, 8, ROUNDS):
        # SLSQP finds values to about 1e-12 and points to about the root of that.
        for metric, exact in reference.metrics(points, t).items():
            assert played.reports[metric][t] == pytest.approx(exact, abs=2e-5), (metric, t)
    assert all(report[0] == 0 for report in played.reports.values())


@pytest.mark.parametrize("loss", ["quadratic", "linear"])
def test_losses_are_around_their_means(loss):
    env = environment(BALL, loss)
    played = play(env, points_of(BALL, ROUNDS))
    rows = np.arange(ROUNDS) % ROWS
    away = centres_of(env, played.feedback) - MEANS[rows]
    np.testing.assert_allclose(np.linalg.norm(away, axis=1), SPREAD[rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_directions_are_uniform_on_the_sphere(dimension):
    """Lengths are 1; moments of a coordinate u, with E u^2 = 1/d and E u^4 = 3 / (d (d + 2)), and
    of products of two lie within five standard errors."""
    env = SEA(Ball(dimension), np.zeros((1, dimension)))
    draws = 200_000
    tape = np.asarray(jax.jit(env.noise, static_argnums=1)(rx.noise.root(3), draws), float)
    np.testing.assert_allclose(np.linalg.norm(tape, axis=1), 1, atol=1e-6)
    square, fourth = 1 / dimension, 3 / (dimension * (dimension + 2))
    error = 5 / math.sqrt(draws)
    assert np.all(np.abs(tape.mean(axis=0)) < error * math.sqrt(square))
    spread = np.abs((tape**2).mean(axis=0) - square)
    assert np.all(spread <= error * math.sqrt(fourth - square**2) + 1e-7)
    for i in range(dimension):
        for j in range(i):  # E u_i^2 u_j^2 = 1 / (d (d + 2))
            product = math.sqrt(fourth / 3)
            assert abs((tape[:, i] * tape[:, j]).mean()) < error * product
    if dimension == 2:  # the angle itself, by the distance of Kolmogorov and Smirnov
        angle = np.sort(np.arctan2(tape[:, 1], tape[:, 0])) / (2 * np.pi) + 0.5
        assert np.max(np.abs(angle - np.arange(draws) / draws)) < 2.23 / math.sqrt(draws)  # 1e-4


def test_a_mixture_pays_its_mean():
    env = environment(BALL, "quadratic")
    points = points_of(BALL, 4 * ROUNDS).reshape(ROUNDS, 4, D)
    weights = np.random.default_rng(2).dirichlet(np.ones(4), ROUNDS).astype(np.float32)
    mixed = play(env, Mixture(weights, points))
    alone = [play(env, points[:, i]) for i in range(4)]
    paid = sum(weights[:, i] * one.metrics["loss"] for i, one in enumerate(alone))
    np.testing.assert_allclose(mixed.metrics["loss"], paid, rtol=1e-6)
    regrets = np.array([one.reports["expected_regret"][1] for one in alone])
    assert mixed.reports["expected_regret"][1] == pytest.approx(weights[0] @ regrets, rel=1e-5)


def test_small_regrets_survive_large_losses():
    """Losses of 5 10^4 in 16,000 rounds. Without noise the centres are known exactly, so NumPy can
    sum the same losses in float64."""
    rounds = 16_000
    means = np.random.default_rng(3).normal(0, 1.5, (rounds, D)).astype(np.float32)
    points = means[:50] / 10
    env, learner = SEA(Ball(D, 2.0), means, spread=0.0), Repeats(tuple(map(tuple, points.tolist())))
    trace = rx.simulate(env, learner, rounds, 2, checkpoints=[rounds], progress=False)
    z, x = means.astype(float), np.tile(points.astype(float), (rounds // 50, 1))
    best = z.mean(axis=0)  # well inside the ball
    loss = 0.5 * ((x - z) ** 2).sum()
    exact = loss - 0.5 * ((best - z) ** 2).sum()
    assert loss > 3e4
    np.testing.assert_allclose(trace.metrics["loss"][-1], loss, rtol=1e-7)
    for name in ("regret", "expected_regret"):
        np.testing.assert_allclose(trace.metrics[name][-1], exact, rtol=1e-6)


def test_seeds_are_independent_of_the_batch_and_environments_stack():
    means = sea.drift(40).means
    problems = [SEA(Ball(5), (1 + i) / 2 * means, 0.2 * i) for i in range(3)]
    learner = Repeats(((0.1, 0.2, 0.0, 0.0, 0.3), (0.0,) * 5))
    together = rx.simulate(rx.stack(problems), learner, 90, 5, checkpoints=[33, 90], progress=False)
    for i, env in enumerate(problems):
        alone = rx.simulate(env, learner, 90, range(3, 5), checkpoints=[33, 90], progress=False)
        for name, x in alone.metrics.items():
            np.testing.assert_allclose(
                together.metrics[name][i][:, 3:], x, rtol=1e-6, atol=1e-5, err_msg=name
            )


@pytest.mark.parametrize(
    "env",
    [sea.drift(20), sea.random_order(20), sea.logistic_mixture(0.5)],
    ids=lambda env: type(env).__name__,
)
def test_environments_are_pytrees_of_numbers(env):
    leaves, structure = jax.tree.flatten(env)
    assert all(isinstance(x, np.ndarray | np.generic | float) for x in leaves)
    rebuilt = jax.tree.unflatten(structure, leaves)
    for x, y in zip(leaves, jax.tree.leaves(rebuilt), strict=True):
        np.testing.assert_array_equal(x, y)
    shapes = jax.tree.map(np.shape, env)  # what JAX puts in is not for an environment to check
    assert jax.tree.structure(shapes, is_leaf=lambda x: isinstance(x, tuple)) == structure
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, env, rebuilt)))


@pytest.mark.parametrize("loss", ["quadratic", "linear"])
@pytest.mark.parametrize("name", DOMAINS)
def test_the_gradient_bound_is_met_and_never_exceeded(name, loss):
    env, sphere = environment(DOMAINS[name], loss), points_of(Ball(D), 4000)
    edge = {
        "ball": 0.8 * sphere / np.linalg.norm(sphere, axis=1, keepdims=True),
        "box": np.stack(np.meshgrid(*zip(BOX.low, BOX.high, strict=True)), axis=-1).reshape(-1, D),
        "simplex": np.eye(D),
    }
    points = np.concatenate([edge[name], points_of(DOMAINS[name], 500)]).astype(float)
    lengths = []
    for mean, spread in zip(env.means.astype(float), env.spread, strict=True):
        gradient = np.tile(mean, (len(points), 1)) if loss == "linear" else points - mean
        lengths.append(np.linalg.norm(gradient, axis=1) + spread)  # noise may point the same way
    reached = np.max(lengths) * (1 if loss == "linear" else 1.5)
    assert reached <= env.gradient_bound * (1 + 1e-6)
    assert reached == pytest.approx(float(env.gradient_bound), rel=0.01)


def test_constants_of_the_losses():
    env = environment(BALL, "quadratic")
    assert (env.smoothness, env.strong_convexity, env.dimension) == (1.5, 1.5, D)
    assert env.exp_concavity == pytest.approx(1.5 / float(env.gradient_bound) ** 2)
    first = (1.5 * (0.8 + np.linalg.norm(MEANS[0]))) ** 2
    assert env.first_variation == pytest.approx(first, rel=1e-6)
    linear = environment(BALL, "linear")
    assert (linear.smoothness, linear.strong_convexity, linear.exp_concavity) == (0, None, None)
    assert linear.first_variation == pytest.approx(np.sum(MEANS[0] ** 2), rel=1e-6)


T = 4000
COLUMNS = {  # sums of sigma_t^2 and of Sigma_t^2 from t = 2 on, worked out by hand
    "the same loss": (sea.iid(spread=0), 0, 0),
    "i.i.d.": (sea.iid(), T / 4, 0),
    "corrupted": (sea.corrupted(T), T / 4, 1),
    "alternating": (sea.alternating(), 0, 4 * (T - 1)),
    "drift": (sea.drift(T), T / 4, (T - 1) * (1.6 * math.sin(math.pi / T)) ** 2),
    "switching": (sea.switching(T), T / 4, 3 * 1.6**2),
    "half and half": (sea.mixture(0.5), T / 16, T - 1),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_variances_and_variations_of_the_scenarios(name):
    env, variance, variation = COLUMNS[name]
    trace = rx.simulate(env, Repeats(((0.0,) * 5,)), T, 2, checkpoints=[T], progress=False)
    found = trace.metrics
    np.testing.assert_allclose(found["stochastic_variance"][-1], variance, rtol=1e-6)
    np.testing.assert_allclose(found["adversarial_variation"][-1], variation, rtol=1e-5)
    path = {"drift": 2 * math.pi * 0.8 * (T - 1) / T, "switching": 4.8}.get(name)
    if path is not None:
        np.testing.assert_allclose(found["path_length"][-1], path, rtol=1e-5)


def test_shapes_of_the_scenarios():
    early = sea.corrupted(100, size=2.0).means[:, 1]
    np.testing.assert_array_equal(early, [2.0] * 10 + [0.0] * 90)
    np.testing.assert_array_equal(sea.corrupted(100, rounds=0).means[:, 1], np.zeros(100))
    signs = np.sign(sea.switching(12, switches=2).means[:, 0])
    np.testing.assert_array_equal(signs, [1] * 4 + [-1] * 4 + [1] * 4)
    np.testing.assert_array_equal(sea.mixture(1.0).means, sea.alternating().means)
    np.testing.assert_array_equal(sea.mixture(0.0).means[0], sea.iid().means[0])
    assert sea.mixture(1.0).spread[0] == 0 and sea.mixture(0.0).spread[0] == 0.5
    simplex = sea.alternating(domain=Simplex(3), loss="linear")
    np.testing.assert_array_equal(simplex.means, [[1, 0, 0], [-1, 0, 0]])


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: SEA(BALL, MEANS[0]), r"means are finite numbers \[rows, d\]"),
        (lambda: SEA(BALL, np.full((2, D), np.nan)), "finite numbers"),
        (lambda: SEA(Ball(4), MEANS), "3 columns, as many as the domain has dimensions.*Ball"),
        (lambda: SEA(BALL, MEANS, -0.1), "spread is one radius.*-0.1"),
        (lambda: SEA(BALL, MEANS, [0.1, 0.2]), "each of the 7 rows"),
        (lambda: SEA(BALL, MEANS, loss="cubic"), "quadratic.*linear.*cubic"),
        (lambda: SEA(BALL, MEANS, curvature=0.0), "curvature is positive"),
        (lambda: sea.mixture(1.5), "dial goes from 0.*1.5"),
        (lambda: sea.drift(10, domain=Ball(1)), "2 dimensions at least"),
        (lambda: sea.switching(0), "horizon is a whole number"),
    ],
)
def test_bad_parameters_are_refused_when_made(build, said):
    with pytest.raises(ValueError, match=said):
        build()
