"""Balls, boxes and the simplex: projections by their defining inequality, and by other means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core.domains import Ball, Box, Simplex

D = 5
LOW, HIGH = np.array([-1, 0, 0.5, -2, -0.1]), np.array([1, 2, 0.75, -1, 0.1])
DOMAINS = {
    "ball": Ball(D, 1.5),
    "box": Box(LOW, HIGH),
    "simplex": Simplex(D),
}
points = hnp.arrays(np.float32, D, elements=st.floats(-3, 3, width=32))
project = jax.jit(lambda domain, x: domain.project(x))
least = jax.jit(lambda domain, c: domain.least(c))


def inside(name, x):
    """How far outside the set a point is."""
    if name == "ball":
        return max(0.0, float(np.linalg.norm(x)) - 1.5)
    if name == "box":
        return float(np.max(np.maximum(LOW - x, x - HIGH), initial=0))
    return max(abs(float(x.sum()) - 1), -float(x.min()))


def member(name, raw):
    """Some point of the set."""
    if name == "ball":
        return 1.5 * raw / max(1.5, float(np.linalg.norm(raw)))
    if name == "box":
        return LOW + (HIGH - LOW) * (raw + 3) / 6
    weights = np.exp(raw - raw.max())
    return weights / weights.sum()


@pytest.mark.parametrize("name", DOMAINS)
def test_projections_are_nearest_points(name):
    """p is the nearest point to x exactly when <x - p, u - p> <= 0 for every u of the set."""
    domain = DOMAINS[name]

    @given(points, points)
    @settings(max_examples=150)
    def check(x, raw):
        p = np.asarray(project(domain, x), float)
        assert inside(name, p) < 1e-6
        u = member(name, raw.astype(float))
        assert (x - p) @ (u - p) < 3e-5  # |x - p| |u - p| of order 50 times float32
        np.testing.assert_allclose(project(domain, p.astype(np.float32)), p, atol=1e-6)

    check()


@pytest.mark.parametrize("name", DOMAINS)
def test_linear_functions_are_least_there(name):
    domain = DOMAINS[name]

    @given(points, points)
    @settings(max_examples=100)
    def check(c, raw):
        x = np.asarray(least(domain, c), float)
        assert inside(name, x) < 1e-6
        assert c @ x <= c @ member(name, raw.astype(float)) + 1e-5

    check()


@pytest.mark.parametrize("name", DOMAINS)
def test_the_diameter_is_the_largest_distance(name):
    domain, rng = DOMAINS[name], np.random.default_rng(0)
    some = [np.asarray(least(domain, c)) for c in rng.normal(size=(300, D)).astype(np.float32)]
    some += [-np.asarray(some[0])] if name == "ball" else []
    furthest = max(np.linalg.norm(a - b) for a in some for b in some)
    assert furthest == pytest.approx(float(domain.diameter), rel=1e-5)


def test_starting_points():
    np.testing.assert_array_equal(DOMAINS["ball"].start(), np.zeros(D))
    np.testing.assert_array_equal(DOMAINS["box"].start(), np.float32([0, 0, 0.5, -1, 0]))
    np.testing.assert_allclose(DOMAINS["simplex"].start(), 1 / D)


def test_the_simplex_by_sorting_and_by_pairs():
    """Beyond 64 coordinates the projection sorts; both against the textbook in float64."""
    rng = np.random.default_rng(1)
    for size in (1, 2, 64, 65, 200):
        x = rng.normal(size=size).astype(np.float32)
        ordered = np.sort(x.astype(float))[::-1]
        sums = np.cumsum(ordered) - 1
        last = np.flatnonzero(ordered - sums / np.arange(1, size + 1) > 0)[-1]
        expected = np.maximum(x - sums[last] / (last + 1), 0)
        np.testing.assert_allclose(Simplex(size).project(jnp.asarray(x)), expected, atol=2e-6)


def test_ties_on_the_simplex():
    np.testing.assert_allclose(Simplex(4).project(jnp.zeros(4)), 0.25)
    np.testing.assert_array_equal(Simplex(3).least(jnp.zeros(3)), [1, 0, 0])
    np.testing.assert_array_equal(Ball(3).least(jnp.zeros(3)), [0, 0, 0])


def test_sizes_are_parameters():
    """A sweep over radii is one program."""
    balls = jax.tree.map(lambda *x: np.stack(x), Ball(2, 1.0), Ball(2, 2.0))
    found = jax.vmap(lambda ball: ball.project(jnp.array([3.0, 4.0])))(balls)
    np.testing.assert_allclose(found, [[0.6, 0.8], [1.2, 1.6]], rtol=1e-6)
    np.testing.assert_allclose(balls.diameter, [2, 4])


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Ball(0), "Ball: dimension is a whole number from 1, got 0"),
        (lambda: Ball(2, -1.0), "Ball: radius is positive, got -1.0"),
        (lambda: Simplex(2.5), "Simplex: dimension is a whole number from 1, got 2.5"),
        (lambda: Box([0, 0], [1]), r"Box: low and high are \[d\] each"),
        (lambda: Box([0, 1], [1, 1]), "Box: low < high"),
        (lambda: Box([0, -np.inf], [1, 1]), "both finite"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()
