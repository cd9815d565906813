"""Counts on sparse matrices: against dense solvers, the published counts, and every error."""

import gzip
import warnings

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import regrax as rx
from regrax.envs import sparse_systems as systems

from . import reference_solvers as reference


def random_spd(n, seed, density=0.2):
    """A sparse symmetric matrix that dominates its diagonal only just."""
    rng = np.random.default_rng(seed)
    half = np.tril(rng.normal(size=(n, n)) * (rng.random((n, n)) < density), -1)
    off = half + half.T
    diagonal = np.abs(off).sum(axis=1) * rng.uniform(1.0, 1.5, n) + rng.uniform(0.05, 1, n)
    return sp.csr_array(off + np.diag(diagonal)), rng.normal(size=n)


LAPLACIAN = reference.laplacian(10)
SYSTEM = random_spd(20, 0)

# ---- counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-0.15, 0.0, 0.45])
def test_published_counts(shift):
    A = sp.csr_array(LAPLACIAN + shift * np.eye(100))
    names = [name for c, name in reference.SSOR_PCG_COUNTS if c == shift]
    given = [(A, reference.RIGHT_HAND_SIDES[name]) for name in names]
    found = systems.tabulate_systems(given, reference.OMEGAS, "sor").counts[0]
    assert [tuple(row) for row in found] == [reference.SOR_COUNTS[shift, name] for name in names]
    found = systems.tabulate_systems(given, reference.OMEGAS, "ssor_pcg").counts[0]
    for row, name in zip(found, names, strict=True):
        wanted = reference.SSOR_PCG_COUNTS[shift, name]
        for count, omega, want in zip(row, reference.OMEGAS, wanted, strict=True):
            assert abs(count - want) <= ((shift, name, omega) in reference.SSOR_PCG_UNSETTLED)
    found = systems.tabulate_systems(given, None, "cg").counts[0, :, 0]
    assert found.tolist() == [reference.CG_COUNTS[shift, name] for name in names]


@pytest.mark.parametrize("case", [case for case in reference.REGION_COUNTS if case[1] == 30])
def test_published_counts_on_larger_regions(case):
    region, m, shift = case
    dense = reference.laplacian(m, region)
    b = np.ones(len(dense))
    A = sp.csr_array(dense + shift * np.eye(len(b)))
    found = systems.tabulate_systems([(A, b)], reference.REGION_OMEGAS, "ssor_pcg")
    assert tuple(found.counts[0, 0]) == reference.REGION_COUNTS[case]


def test_stationary_ssor_on_average():
    """Means over 40 random right-hand sides of another code: to five standard errors of both."""
    rng, printed = np.random.default_rng(0), {1.0: 112.7, 1.4: 56.2, 1.8: 86.5}
    given = [(sp.csr_array(LAPLACIAN), b) for b in rng.normal(size=(40, 100))]
    counts = systems.tabulate_systems(given, list(printed), "ssor").counts[0]
    error = counts.std(axis=0, ddof=1) * np.sqrt(2 / 40)
    assert np.all(np.abs(counts.mean(axis=0) - list(printed.values())) < 5 * error + 0.05)


@settings(max_examples=15)
@given(n=st.integers(1, 25), seed=st.integers(0, 10**6), omega=st.sampled_from([0.6, 1.0, 1.7]))
def test_counts_and_solutions_of_random_matrices(n, seed, omega):
    """One iteration off is allowed: the residual may end up at the threshold to the last digit."""
    A, b = random_spd(n, seed)
    x0 = np.random.default_rng(seed + 1).normal(size=n)
    solution = np.linalg.solve(A.toarray(), b)
    cases = [
        (systems.sor(A, b, omega), reference.sor_count(A, b, omega)),
        (systems.ssor(A, b, omega), reference.ssor_count(A, b, omega)),
        (systems.cg(A, b, x0), reference.cg_count(A, b, x0)),
        (systems.ssor_pcg(A, b, omega, x0), reference.ssor_pcg_count(A, b, omega, x0)),
    ]
    for found, count in cases:
        assert found.solved and abs(found.iterations - count) <= 1
        np.testing.assert_allclose(found.x, solution, atol=1e-5 * (1 + np.abs(solution).max()))


def test_a_nearly_solved_system():
    """CG takes no step where none is needed; a sweep is always done."""
    A, b = SYSTEM
    solution = np.linalg.solve(A.toarray(), b)
    assert systems.cg(A, b, solution).iterations == 0
    assert systems.ssor_pcg(A, b, 1.2, solution).iterations == 0
    assert systems.sor(A, b, 1.2, solution).iterations == 1
    for solve in (systems.cg(A, 0 * b), systems.sor(A, 0 * b, 1.2)):
        assert solve.solved and not np.any(solve.x)


def test_what_is_given_stays_as_it_was():
    """Entries twice over, integers, 64-bit indices, a dense matrix: one system, one count."""
    A, b = LAPLACIAN, np.arange(1.0, 101.0)
    row, column = np.nonzero(A)
    pair = (np.append(row, row), np.append(column, column))
    twice = sp.coo_array((np.tile(A[row, column] / 2, 2), pair), shape=A.shape)
    unsorted = sp.csr_array(A)
    unsorted.indices, unsorted.indptr = (
        x.astype(np.int64) for x in (unsorted.indices, unsorted.indptr)
    )
    before = b.copy()
    for same in (A, A.astype(int), twice, sp.csc_array(A), sp.csr_matrix(A), unsorted):
        assert systems.sor(same, b, 1.4).iterations == 88
        assert systems.ssor_pcg(same, b, 1.4).iterations == 13
    assert twice.nnz == 2 * len(row) and np.array_equal(b, before)


# ---- tables --------------------------------------------------------------------------------


def test_a_table_from_a_generator():
    seen = []
    stream = ((*random_spd(15, seed), 0.1 * seed) for seed in range(4))
    table = systems.tabulate_systems(stream, [0.8, 1.2], progress=seen.append)
    assert table.counts.dtype == np.int32 and table.contexts.dtype == np.float32
    np.testing.assert_allclose(table.contexts[0], [0, 0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_array_equal(table.omegas, [0.8, 1.2])
    expected = [
        [reference.sor_count(*random_spd(15, seed), omega) for omega in (0.8, 1.2)]
        for seed in range(4)
    ]
    np.testing.assert_array_equal(table.counts[0], expected)
    assert seen == [2] * 4
    assert isinstance(table, rx.envs.SolverTable)
    listed = systems.tabulate_systems([SYSTEM] * 2, [1.0], contexts=[3, 4])
    assert listed.contexts.tolist() == [[3, 4]]
    plain = systems.tabulate_systems([SYSTEM], None, "cg")
    assert plain.contexts.tolist() == [[0]] and plain.counts.shape == (1, 1, 1)
    assert plain.omegas.tolist() == [1]


@pytest.mark.parametrize("method", ["sor", "ssor_pcg"])
def test_warm_starts(method):
    """Each parameter goes on from its own last solution."""
    A, b = SYSTEM
    stream = [(A, b + 0.001 * t * np.sin(np.arange(20))) for t in range(4)]
    cold = systems.tabulate_systems(stream, [0.9, 1.3], method).counts[0]
    warm = systems.tabulate_systems(stream, [0.9, 1.3], method, start="previous").counts[0]
    np.testing.assert_array_equal(cold[0], warm[0])
    assert np.all(warm[1:] < cold[1:])
    for column, omega in enumerate([0.9, 1.3]):
        x = None
        for t, (matrix, right) in enumerate(stream):
            if method == "ssor_pcg":
                count, x = reference.ssor_pcg(matrix, right, omega, x)
            else:
                solve = systems.sor(matrix, right, omega, x)
                count, x = solve.iterations, solve.x
            assert warm[t, column] == count


def test_solves_that_are_given_up_are_counted_and_told():
    """An indefinite matrix, seen by CG at once, and a definite one that gets no time."""
    A, b = np.array([[1.0, 3.0], [3.0, 1.0]]), np.array([1.0, -1.0])
    with pytest.warns(UserWarning, match="3 of 3 solves were given up and count as 10,000") as told:
        table = systems.tabulate_systems([(A, b)] * 3, None, "cg")
    assert len(told) == 1 and table.counts.ravel().tolist() == [10_000] * 3
    with pytest.warns(UserWarning, match="2 of 2 solves.*count as 500"):  # overflows: not all 500
        table = systems.tabulate_systems([(A, b + 0.1)], [1.0, 1.5], "sor", most=500)
    assert table.counts.tolist() == [[[500, 500]]]
    stream = [(A, b + 0.1), SYSTEM[0:2]]
    with pytest.warns(UserWarning, match="1 of 2 solves"):
        table = systems.tabulate_systems(stream, [1.0], start="previous")
    assert table.counts[0, 1, 0] == reference.sor_count(*SYSTEM, 1.0)  # started from zero
    assert not systems.sor(*SYSTEM, 1.0, most=2).solved
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        systems.tabulate_systems([SYSTEM], [1.0])


# ---- files ---------------------------------------------------------------------------------


def test_matrix_market_round_trip(tmp_path):
    A, b = SYSTEM
    path = tmp_path / "system.mtx"
    for symmetry in ("general", "symmetric"):
        scipy.io.mmwrite(path, A, symmetry=symmetry, precision=17)
        found = systems.read_matrix(path)
        np.testing.assert_array_equal(found.toarray(), A.toarray())
        assert systems.sor(found, b, 1.3).iterations == reference.sor_count(A, b, 1.3)
    packed = tmp_path / "system.mtx.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(systems.read_matrix(str(packed)).toarray(), A.toarray())


HEADER = "%%MatrixMarket matrix coordinate real general\n"
FILES = {
    "not a Matrix Market file": "hello\n",
    "not a Matrix Market file: ": "",
    "a 2 x 3 matrix: it has to be square": HEADER + "2 3 2\n1 1 1\n2 2 1\n",
    "a complex matrix, and solvers take real numbers": HEADER.replace("real", "complex")
    + "1 1 1\n1 1 1 0\n",
    "a pattern matrix, and solvers take real numbers": HEADER.replace("real", "pattern")
    + "1 1 1\n1 1\n",
    "1 entries, too few for a diagonal of 2": HEADER + "2 2 1\n1 1 1\n",
    "fewer than the 1000000000000 entries": HEADER + "9 9 1000000000000\n1 1 1\n",
    "cannot be used: Truncated": HEADER + "2 2 2\n1 1 1\n",
    "cannot be used: .*Invalid floating-point": HEADER + "2 2 2\n1 1 1\n2 2 __import__('os')\n",
    "cannot be used: .*out of bounds": HEADER + "2 2 2\n1 1 1\n3 3 1\n",
    "not symmetric: mirrored entries differ by 3": HEADER + "2 2 3\n1 1 1\n2 2 1\n1 2 3\n",
    "not positive definite: 0 on the diagonal in row 1": HEADER + "2 2 3\n1 1 1\n1 2 3\n2 1 3\n",
    "not positive definite: -1 on the diagonal in row 0": HEADER + "2 2 2\n1 1 -1\n2 2 3\n",
    "entries that are not finite": HEADER + "2 2 2\n1 1 nan\n2 2 3\n",
}


@pytest.mark.parametrize("message", FILES)
def test_files_that_cannot_be_used(tmp_path, message):
    path = tmp_path / "bad.mtx"
    path.write_text(FILES[message])
    with pytest.raises(ValueError, match=message) as error:
        systems.read_matrix(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        systems.read_matrix(tmp_path / "none.mtx")


# ---- errors --------------------------------------------------------------------------------

A2, B2 = np.array([[2.0, 1.0], [1.0, 2.0]]), np.ones(2)


@pytest.mark.parametrize(
    "message, A, b, omega",
    [
        ("a square matrix, got shape \\[2, 3\\]", np.ones((2, 3)), B2, 1.0),
        ("a square matrix, got shape \\[0, 0\\]", np.ones((0, 0)), np.ones(0), 1.0),
        ("real numbers, got one of complex128", A2 * 1j, B2, 1.0),
        ("not symmetric", np.array([[2.0, 1], [0, 2]]), B2, 1.0),
        ("0 on the diagonal in row 1", np.array([[2.0, 1], [1, 0]]), B2, 1.0),
        ("not finite", A2 * np.inf, B2, 1.0),
        ("b is real numbers \\[2\\].*got shape \\[3\\]", A2, np.ones(3), 1.0),
        ("b is real numbers", A2, B2 * 1j, 1.0),
        ("b holds numbers that are not finite", A2, B2 * np.nan, 1.0),
        ("between 0 and 2, got \\[2.0\\]", A2, B2, 2.0),
        ("between 0 and 2, got \\[nan\\]", A2, B2, np.nan),
    ],
)
def test_systems_that_cannot_be_solved(message, A, b, omega):
    with pytest.raises(ValueError, match=message):
        systems.sor(A, b, omega)


@pytest.mark.parametrize(
    "message, given, options",
    [
        ("system 1: a square matrix|system 1: solvers", [(A2, B2), (np.ones((2, 3)), B2)], {}),
        ("system 0: a system is \\(A, b\\)", [A2], {}),
        ("system 0: a context is one finite number", [(A2, B2, np.nan)], {}),
        ("system 0: contexts come with", [(A2, B2, 1.0)], {"contexts": [1.0]}),
        ("system 1: has no context", [(A2, B2)] * 2, {"contexts": [1.0]}),
        ("takes 2, one for each context, systems: got 1", [(A2, B2)], {"contexts": [1.0, 2]}),
        ("takes one or more systems: got 0", [], {}),
        ("1 of 2 systems have no context", [(A2, B2, 1.0), (A2, B2)], {}),
        ("contexts are finite numbers", [(A2, B2)], {"contexts": [np.nan]}),
        ("method is one of sor, ssor, cg, ssor_pcg: got 'jacobi'", [], {"method": "jacobi"}),
        ("cg has no parameter", [(A2, B2)], {"method": "cg"}),
        ("one or more numbers between 0 and 2", [(A2, B2)], {"omegas": []}),
        ("one or more numbers between 0 and 2", [(A2, B2)], {"omegas": None}),
        ('start is "zero" or "previous"', [(A2, B2)], {"start": "warm"}),
        ("system 1: a solve starts at", [(A2, B2), SYSTEM], {"start": "previous"}),
        ("tolerance is a positive number", [(A2, B2)], {"tolerance": 0.0}),
        ("most is a whole number from 1", [(A2, B2)], {"most": 0}),
    ],
)
def test_tables_that_cannot_be_made(message, given, options):
    with pytest.raises(ValueError, match=message):
        systems.tabulate_systems(given, **{"omegas": [1.0], **options})
