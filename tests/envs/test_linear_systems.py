"""Live solves and tables of them: the same numbers, kept in a store, with errors that help."""

import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core import tables
from regrax.core.tapes import environment_tape
from regrax.envs import grids
from regrax.envs.linear_systems import _shifts

from . import reference_solvers as reference

OMEGAS = (1.2, 1.5, 1.8)
SMALL = rx.envs.DiagonalShifts(OMEGAS, grid=grids.square(5))
T, SEEDS = 12, 6
EVERY = range(1, T + 1)


def play(env, learner, seeds=SEEDS, horizon=T, **options):
    stops = range(1, horizon + 1)
    return rx.simulate(env, learner, horizon, seeds, checkpoints=stops, **options).metrics


@pytest.fixture(scope="module")
def table():
    """The table that `simulate` would make for the small problem."""
    return tables.prepared(rx.envs.Tabulated(SMALL), T, np.arange(SEEDS), 0, False)


@pytest.fixture(scope="module")
def systems():
    """Shifts [seed, T] and right-hand sides [seed, T, n] of the small problem."""
    tape = environment_tape(SMALL, np.arange(SEEDS), T, 0)
    return np.asarray(_shifts(SMALL, tape), np.float64), np.asarray(tape.b, np.float64)


def test_a_table_holds_the_counts_of_plain_solves(table, systems):
    shift, b = systems
    for seed, t in ((0, 0), (3, 5), (5, 11)):
        matrix = SMALL.grid.matrix(4 + shift[seed, t], 1.0)
        counts = [reference.sor_count(matrix, b[seed, t], omega) for omega in OMEGAS]
        np.testing.assert_array_equal(table.counts[seed, t], counts)
        best = float(SMALL.best_omega(shift[seed, t]))
        assert table.best[seed, t] == reference.sor_count(matrix, b[seed, t], best)
    np.testing.assert_array_equal(table.contexts, shift.astype(np.float32))


def test_live_and_table_give_the_same_numbers(table):
    player = rx.learners.Binned(rx.learners.TsallisTuner(), bins=3)
    live, looked_up = play(SMALL, player), play(table, player)
    for name in ("iterations", "omega", "omega_squared"):
        np.testing.assert_array_equal(live[name], looked_up[name])
    recipe = play(rx.envs.Tabulated(SMALL), player)
    for name, values in looked_up.items():
        np.testing.assert_array_equal(recipe[name], values)


def test_metrics_add_up_what_the_table_holds(table):
    found = play(table, rx.learners.Always(1))
    counts = np.cumsum(table.counts.astype(int), axis=1).swapaxes(0, 1)  # [T, seed, arm]
    best = np.cumsum(table.best.astype(int), axis=1).T
    np.testing.assert_array_equal(found["fixed_iterations"], counts)
    np.testing.assert_array_equal(found["iterations"], counts[..., 1])
    np.testing.assert_array_equal(found["regret"], counts[..., 1] - counts.min(axis=-1))
    np.testing.assert_array_equal(found["best_iterations"], best)
    np.testing.assert_array_equal(found["contextual_regret"], counts[..., 1] - best)
    least = np.cumsum(table.counts.min(axis=-1).astype(int), axis=1).T
    np.testing.assert_array_equal(found["least_iterations"], least)
    omegas = np.float64(np.float32(OMEGAS[1])) * np.arange(1, T + 1)
    np.testing.assert_allclose(found["omega"][:, 0], omegas, rtol=1e-6)


def test_a_seed_finds_its_row_whatever_the_batch(table):
    together = play(table, rx.learners.Always(0))["iterations"]
    alone = play(table, rx.learners.Always(0), [4, 1])["iterations"]
    np.testing.assert_array_equal(alone, together[:, [4, 1]])


def test_a_seed_without_a_row_is_named(table):
    with pytest.raises(rx.NonFiniteMetric, match="round 1 of seed 6.*SolverTable\\(6 rows"):
        play(table, rx.learners.Always(0), [2, 6])


def test_a_table_ends():
    counts = np.array([[3, 1], [2, 5]])
    env = rx.envs.SolverTable(counts, omegas=[1.0, 1.5])
    with pytest.raises(ValueError, match="SolverTable ends after 2 rounds, horizon is 3"):
        rx.simulate(env, rx.learners.Always(0), 3, 2)


def test_run_keeps_the_table_and_takes_it_again(tmp_path, monkeypatch):
    calls = []
    tabulate = rx.envs.Tabulated.tabulate

    def counted(self, horizon, seeds, root_seed, progress=None):
        calls.append(list(seeds))
        return tabulate(self, horizon, seeds, root_seed, progress)

    monkeypatch.setattr(rx.envs.Tabulated, "tabulate", counted)
    monkeypatch.setattr(rx.envs.Tabulated, "seeds_together", lambda self, horizon: 2)
    env, players = {"small": rx.envs.Tabulated(SMALL)}, {"0": rx.learners.Always(0)}

    def results(players, seeds, store=tmp_path):
        study = rx.Study("tuning", env, players, T, seeds, checkpoints=(T,))
        return rx.run(study, store=store, progress=False)

    first = results(players, 4)
    assert calls == [[0, 1], [2, 3]]
    players |= {"1": rx.learners.Always(1)}
    both = results(players, 6)  # another learner and more seeds: two rows are new
    assert calls == [[0, 1], [2, 3], [4, 5]]
    assert both.fixed_iterations.dims[-1] == "arm"
    np.testing.assert_array_equal(first.iterations[0, 0], both.iterations[0, 0, :, :4])
    np.testing.assert_array_equal(both.iterations, results(players, 6, None).iterations)
    damaged = next(tmp_path.glob("Tabulated-_Rows-*/*.nc"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    players |= {"2": rx.learners.Always(2)}
    with pytest.warns(UserWarning, match="is not used"):
        results(players, 6)


def test_shifts_follow_their_law():
    for a, b in ((2.0, 6.0), (0.5, 1.5)):
        env = rx.envs.DiagonalShifts(OMEGAS, a=a, b=b, grid=grids.square(2))
        shift = np.asarray(_shifts(env, environment_tape(env, np.arange(64), 256, 1)))
        share = (shift.ravel().astype(np.float64) + 0.15) / 0.6
        assert stats.kstest(share, stats.beta(a, b).cdf).pvalue > 1e-6


@pytest.mark.parametrize("method", ["red-black sor", "ssor_pcg", "cg"])
def test_other_methods_in_one_round(method):
    env = rx.envs.DiagonalShifts(OMEGAS, grid=grids.square(3), method=method)
    table = tables.prepared(rx.envs.Tabulated(env), 2, np.arange(2), 0, False)
    tape = environment_tape(env, np.arange(2), 2, 0)
    shift, b = np.asarray(_shifts(env, tape), np.float64), np.asarray(tape.b, np.float64)
    matrix, right = env.grid.matrix(4 + shift[1, 1], 1.0).toarray(), b[1, 1]
    if method == "cg":
        expected = [reference.cg_count(matrix, right)] * 3
    elif method == "ssor_pcg":
        expected = [reference.ssor_pcg_count(matrix, right, omega) for omega in OMEGAS]
    else:
        order = reference.red_black(3)
        matrix, right = matrix[np.ix_(order, order)], right[order]
        expected = [reference.sor_count(matrix, right, omega) for omega in OMEGAS]
        assert table.best is not None
    np.testing.assert_array_equal(table.counts[1, 1], expected)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"omegas": [1.0, 2.0]}, "omegas are increasing numbers in \\(0, 2\\)"),
        ({"omegas": []}, "omegas are increasing"),
        ({"omegas": [1.5, 1.2]}, "omegas are increasing"),
        ({"a": 0.0}, "needs a > 0 and b > 0, got 0.0, 6.0"),
        ({"low": -0.17}, "positive definite for c > -0.1620.*got low = -0.17"),
        ({"low": 0.2, "high": 0.1}, "low is not above high"),
        ({"method": "jacobi"}, "method is one of .*got 'jacobi'"),
    ],
)
def test_bad_problems_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        rx.envs.DiagonalShifts(**fields)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"counts": [[1.5, 2.0]]}, "counts are integers \\[rows, rounds, parameters\\], got float"),
        ({"counts": [1, 2]}, "counts are integers .* shape \\[2"),
        ({"counts": [[1, -2]]}, "counts are not negative"),
        ({"counts": [[2**30, 1], [2**30, 1]]}, "less than 2\\^31"),
        ({"counts": [[1, 2, 3]]}, "3 columns of counts, 2 omegas"),
        ({"counts": [[1, 2]], "omegas": None}, "give the parameters of the columns"),
        ({"counts": [[1, 2]], "contexts": [0.0, 1.0]}, "contexts are finite numbers \\[1, 1\\]"),
        ({"counts": [[1, 2]], "best": [np.nan]}, "best are finite numbers"),
    ],
)
def test_bad_tables_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        rx.envs.SolverTable(**{"omegas": [1.0, 1.5]} | fields)


def test_a_table_is_played_by_index():
    env = rx.envs.SolverTable([[3, 1], [2, 5]], omegas=[1.0, 1.5])
    with pytest.raises(ValueError, match="an action is the index of a parameter"):
        rx.simulate(env, rx.learners.FixedOmega(1.5), 2, 2)
    found = rx.simulate(env, rx.learners.Always(1), 2, 3).metrics
    np.testing.assert_array_equal(found["iterations"][-1], [6, 6, 6])
    np.testing.assert_array_equal(found["regret"][-1], [1, 1, 1])


def test_a_recipe_cannot_be_played_by_hand():
    with pytest.raises(TypeError, match="Tabulated is a recipe"):
        rx.envs.Tabulated(SMALL).init(None)
