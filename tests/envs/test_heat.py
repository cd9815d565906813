"""The heat equation: against a sparse direct solver, and counts that are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import spsolve

import regrax as rx
from regrax.core import noise
from regrax.envs import grids, heat
from regrax.envs.heat import HeatEquation, HeatTable

from .reference_solvers import HEAT_FIRST, HEAT_TOTALS, bump, kappa

STEPS = 500


@partial(jax.jit, static_argnames="steps")
def play(env, omegas, steps):
    """Iterations and contexts of runs with fixed parameters, [runs, steps]."""

    def run(omega):
        def round_(state, _):
            seen = env.observe(state, ())
            state, feedback, metrics = env.step(state, omega, ())
            return state, (feedback.iterations, seen, metrics)

        return jax.lax.scan(round_, env.init(noise.root(0)), None, length=steps)[1]

    return jax.vmap(run)(omegas)


@pytest.fixture(scope="module")
def live():
    """omega to the counts at nx = 25 of the first steps, solved one after the other."""
    omegas = np.array([omega for omega in HEAT_TOTALS if omega], np.float32)
    pcg = np.asarray(play(HeatEquation(25), omegas, STEPS)[0])
    cg = np.asarray(play(HeatEquation(25, method="cg"), omegas[:1], STEPS)[0])
    return dict(zip(HEAT_TOTALS, (cg[0], *pcg), strict=True))


@pytest.fixture(scope="module")
def table():
    """The table of the same steps, from four windows of which the last is not full."""
    done = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heat, "_BYTES", 8 * 24**2 * 128)
        table = HeatTable(25, 2 * STEPS).tabulate(STEPS, progress=done.append)
    assert len(done) == 4 * 21 and sum(done) == STEPS * 21
    return table


def test_iterations_are_those_of_the_authors(live):
    assert {omega: counts.sum() for omega, counts in live.items()} == {
        omega: totals[0] for omega, totals in HEAT_TOTALS.items()
    }
    for omega, first in HEAT_FIRST.items():
        np.testing.assert_array_equal(live[omega][:10], first)


def test_the_table_has_the_counts_of_the_live_problem(live, table):
    assert {name: x.dtype for name, x in table.items()} == {
        "counts": np.int16, "contexts": np.float32, "cg": np.int16,
    }  # fmt: skip
    for omega, counts in live.items():
        column = table["cg"]
        if omega is not None:
            column = table["counts"][..., round((omega - 1) / 0.05)]
        # The live one starts from what its own last solve left: 1 in 500 may be off by one.
        difference = column[0] - counts
        assert np.abs(difference).max() <= 1 and np.count_nonzero(difference) <= STEPS // 500
    t = np.arange(STEPS) * 1e-3
    np.testing.assert_allclose(table["contexts"][0], np.vectorize(kappa)(t), rtol=1e-6, atol=1e-7)


def test_systems_and_their_solutions_by_a_sparse_direct_solver():
    nx, steps = 8, 600
    x, y = ((k + 1) / nx for k in grids.square(nx - 1).points[::-1])
    u = bump(x, y, (0.5, 0.5), 0.25)
    windows = list(heat.systems(nx, steps, 250))
    assert [len(window.a) for window in windows] == [250, 250, 100]
    a, b, starts = (np.concatenate([getattr(w, name) for w in windows]) for name in "abu")
    for step in range(steps):
        middle = (step + 0.5) * 1e-3
        factor = 0.5 * kappa(middle) * 1e-3 * nx**2
        right = grids.square(nx - 1).matrix(1 - 4 * factor, -factor) @ u
        around = 0.5 + np.cos(16 * np.pi * middle) / 4, 0.5 + np.sin(16 * np.pi * middle) / 4
        right = right + 1e-3 * 32 * bump(x, y, around, 0.125)
        np.testing.assert_allclose(a[step], factor, rtol=1e-10)
        np.testing.assert_allclose(starts[step], u, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(b[step], right, rtol=1e-9, atol=1e-12)
        u = np.asarray(spsolve(grids.square(nx - 1).matrix(1 + 4 * factor, factor).tocsc(), right))
    assert np.abs(u).max() > 0.01


def test_coefficients_at_points_done_by_hand():
    t = np.array([0.0, 0.25, 1 / 12, 0.75, 7 / 12, 3.75])
    np.testing.assert_allclose(heat.kappa(t), [0, 0.1, 0.05, 10, 5, 10], atol=1e-12)
    # From 3/4 - dt/2 on a step has kappa = 10 in its middle.
    np.testing.assert_allclose(heat.coupling(100, 0.7495), 0.5 * 10 * 1e-3 * 100**2)
    # At time 0 the source is at (3/4, 1/2), at 1/32 at (1/2, 3/4). Points are [x, y], 1/16 apart:
    # one step from the centre s = 1/4, two steps s = 1.
    first, second = heat.forcing(16, np.array([0, 1 / 32]))
    near = 32 * np.exp(1 - 1 / (1 - 0.25))
    np.testing.assert_allclose(first[[11, 11, 12, 11, 13], [7, 8, 7, 9, 7]], [32, near, near, 0, 0])
    np.testing.assert_allclose(second[[7, 8, 7], [11, 11, 13]], [32, near, 0], atol=1e-10)
    # The start has its centre in the middle and the radius 1/4: two steps are s = 1/4.
    np.testing.assert_allclose(
        heat.start(16)[[7, 9, 7, 11], [7, 7, 5, 7]], [1, near / 32, near / 32, 0]
    )


def test_simulated_live_and_from_the_table(table):
    problem, recipe = HeatEquation(25), HeatTable(25, STEPS)
    learner = rx.learners.FixedOmega(1.5)  # which is the same in float32 and float64
    live = rx.simulate(problem, learner, 40, 2, progress=False)
    total = table["counts"][0, :40, 10].sum()
    np.testing.assert_array_equal(live.metrics["iterations"][-1], [total] * 2)
    np.testing.assert_allclose(live.metrics["omega_squared"][-1], 40 * 1.5**2)
    env = recipe.with_table(table, None)
    assert env.num_arms == recipe.num_arms == problem.num_arms == 20
    np.testing.assert_array_equal(env.interval, [0, 10])
    state, feedback, _ = env.step(env.init(noise.root(0)), jnp.int32(10), ())
    assert feedback.iterations == live.metrics["iterations"][0, 0] and state.round == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: HeatEquation(2), "nx is a whole number from 3"),
        (lambda: HeatTable(2), "nx is a whole number from 3"),
        (lambda: HeatTable(25, 0), "steps is a whole number from 1"),
        (lambda: HeatEquation(25, omegas=[1, 2]), "omegas are increasing numbers"),
        (lambda: HeatTable(25, omegas=[1.5, 1.2]), "omegas are increasing numbers"),
        (lambda: HeatEquation(25, method="sor"), "method is one of"),
        (lambda: HeatTable(25, 100).tabulate(101), "steps=101"),
    ],
)
def test_errors_say_what_to_do(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_recipe_is_not_played():
    with pytest.raises(TypeError, match="recipe"):
        HeatTable(25).init(noise.root(0))
