"""Counting the iterations of SOR, SSOR and conjugate gradients on any sparse matrix.

For tuning on systems of one's own: `tabulate_systems` solves each system with each parameter, and
learners then play the table of counts. On the host, in float64, unknowns in the order of the
matrix. A sweep over a triangle is a solve with its SuperLU factors: they have no entry that the
triangle has not.
"""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.io
from scipy import sparse
from scipy.sparse.linalg import splu

from ..core.checks import whole
from ..core.progress import Progress, bar
from .solver_table import SolverTable, check_omegas

Method = Literal["sor", "ssor", "cg", "ssor_pcg"]
Start = Literal["zero", "previous"]


class Solve(NamedTuple):
    """A solve: its number of iterations, and where it ended.

    solved: False where it was given up, and then `iterations` is the cap: it was reached, or the
    residual overflowed, or a search direction of CG showed that the matrix is not definite."""

    iterations: int
    x: np.ndarray  # [n]
    solved: bool


# ---- solvers -------------------------------------------------------------------------------


def sor(A: Any, b: Any, omega: float, x0: Any = None, *, tolerance=1e-8, most=10_000) -> Solve:
    """x += (D / omega + L)^-1 (b - A x) until ||b - A x|| < tolerance ||b||, one sweep at least.

    Args:
      A: [n, n], sparse or dense, symmetric with a positive diagonal. D is its diagonal, L what
        lies below. SOR converges for every omega in (0, 2) if A is positive definite.
      b: right-hand side, [n].
      omega: relaxation parameter, in (0, 2).
      x0: where to start, [n]; zero if not given.
      tolerance: see above. most: the cap on iterations.

    Raises:
      ValueError: an argument that is not as said.
    """
    return _solve("sor", _checked(A, b), omega, x0, _limits(tolerance, most))


def ssor(A: Any, b: Any, omega: float, x0: Any = None, *, tolerance=1e-8, most=10_000) -> Solve:
    """A sweep of SOR and one in the reverse order, until ||b - A x|| <= tolerance, once at least.

    The tolerance is absolute, as Khodak et al. (2024, section 3) have it. Arguments and errors as
    in `sor`; a double sweep is one iteration."""
    return _solve("ssor", _checked(A, b), omega, x0, _limits(tolerance, most))


def cg(A: Any, b: Any, x0: Any = None, *, tolerance=1e-8, most=10_000) -> Solve:
    """Conjugate gradients until the residual is at most tolerance ||b||; no step if x0 is there.

    The residual is that of the recurrence. Arguments and errors as in `sor`."""
    return _solve("cg", _checked(A, b), None, x0, _limits(tolerance, most))


def ssor_pcg(A: Any, b: Any, omega: float, x0: Any = None, *, tolerance=1e-8, most=10_000) -> Solve:
    """`cg` preconditioned by SSOR: z = omega (2 - omega) X^-1 D X^-T r with X = D + omega L.

    The upper triangle comes first, as in the authors' code; Khodak et al. (2024) write it with the
    lower one first, which is the same with the unknowns in reverse order."""
    return _solve("ssor_pcg", _checked(A, b), omega, x0, _limits(tolerance, most))


def _solve(method: Method, system: _System, omega, x0, limits) -> Solve:
    if omega is not None:
        _check_omegas([omega])
    x = np.zeros(len(system.b)) if x0 is None else np.array(x0, np.float64)
    if x.shape != system.b.shape or not np.all(np.isfinite(x)):
        raise ValueError(
            f"a solve starts at finite numbers [{len(system.b)}]: got shape {list(x.shape)}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what diverges is counted as the cap
        return _METHODS[method](system, omega, x, *limits)


def _sor(system: _System, omega, x, tolerance, most) -> Solve:
    factors, bound = _factors(system, 1 / omega, 1.0), tolerance * np.linalg.norm(system.b)
    return _iterate(system, x, factors.solve, lambda size: size < bound or size == 0, most)


def _ssor(system: _System, omega, x, tolerance, most) -> Solve:
    factors, D = _factors(system, 1 / omega, 1.0), (2 - omega) / omega * system.diagonal

    def update(residual):
        return factors.solve(D * factors.solve(residual), "T")

    return _iterate(system, x, update, lambda size: size <= tolerance, most)


def _iterate(system: _System, x, update: Callable, done: Callable, most) -> Solve:
    r = system.b - system.A @ x
    for k in range(1, most + 1):
        x += update(r)
        r = system.b - system.A @ x
        size = np.linalg.norm(r)
        if done(size):
            return Solve(k, x, True)
        if not np.isfinite(size):
            break
    return Solve(most, x, False)


def _cg(system: _System, omega, x, tolerance, most) -> Solve:
    return _conjugate(system, x, lambda residual: residual, tolerance, most)


def _ssor_pcg(system: _System, omega, x, tolerance, most) -> Solve:
    factors, D = _factors(system, 1.0, omega), omega * (2 - omega) * system.diagonal

    def precondition(residual):
        return factors.solve(D * factors.solve(residual, "T"))

    return _conjugate(system, x, precondition, tolerance, most)


def _conjugate(system: _System, x, precondition: Callable, tolerance, most) -> Solve:
    r, bound = system.b - system.A @ x, tolerance * np.linalg.norm(system.b)
    p, rho = np.zeros_like(r), 1.0
    for k in range(most):
        if np.linalg.norm(r) <= bound:
            return Solve(k, x, True)
        z = precondition(r)
        rho, before = r @ z, rho
        p = z + (rho / before) * p
        q = system.A @ p
        curvature = p @ q
        if not 0 < curvature < np.inf:
            return Solve(most, x, False)
        x += (rho / curvature) * p
        r = r - (rho / curvature) * q
    return Solve(most, x, bool(np.linalg.norm(r) <= bound))


_METHODS: dict[str, Callable] = {"sor": _sor, "ssor": _ssor, "cg": _cg, "ssor_pcg": _ssor_pcg}


def _factors(system: _System, diagonal: float, lower: float) -> Any:
    """SuperLU factors of diagonal D + lower L: natural order and pivots on the diagonal."""
    triangle = sparse.tril(system.A, -1) * lower + sparse.diags_array(system.diagonal * diagonal)
    return splu(
        sparse.csc_array(triangle),
        permc_spec="NATURAL",
        diag_pivot_thresh=0.0,
        relax=1,  # no supernodes: they would only fill in zeros
        panel_size=1,
    )


# ---- tables --------------------------------------------------------------------------------


def tabulate_systems(
    systems: Iterable[Any],
    omegas: Any,
    method: Method = "sor",
    contexts: Any = None,
    progress: Progress = None,
    *,
    start: Start = "zero",
    tolerance: float = 1e-8,
    most: int = 10_000,
) -> SolverTable:
    """Solve every system with every parameter and count the iterations.

    Args:
      systems: (A, b) or (A, b, context), one after the other: T of them, as in `sor`. They are
        taken one at a time, so a generator may make them as it goes.
      omegas: parameters to try, [d], in (0, 2). None for "cg", which has no parameter.
      method: "sor", "ssor", "cg" or "ssor_pcg"; each is the function of that name.
      contexts: what a learner may see of each system beforehand, [T], if not in `systems`.
      progress: True for a bar, False for none, None for one on a terminal; or a function to call
        with the number of solves newly done.
      start: "zero", or "previous": every parameter starts from its own solution of the system
        before (from zero after a solve that was given up).
      tolerance, most: as in the solvers.

    Returns:
      An environment in which learners play these systems, T rounds long; its `counts` are int32
      [1, T, d] (the one column of "cg" is called omega = 1). A solve that is given up
      counts as `most`, and one warning says how many there were.

    Raises:
      ValueError: an argument that is not as said; a system that is not, with its number.
    """
    limits, columns = _limits(tolerance, most), _columns(method, omegas)
    if start not in ("zero", "previous"):
        raise ValueError(f'start is "zero" or "previous", got {start!r}')
    if contexts is not None:
        contexts = np.asarray(contexts, np.float32)
        if contexts.ndim != 1 or not np.all(np.isfinite(contexts)):
            raise ValueError(f"contexts are finite numbers [T], got {contexts!r}")
    counts, seen, given_up = [], [], 0
    starts: list[np.ndarray | None] = [None] * len(columns)
    total = operator.length_hint(systems) * len(columns)
    with bar(progress, total, f"{method} table", "solves") as update:
        for t, given in enumerate(systems):
            try:
                A, b, context = _unpacked(given, contexts, t)
                system, row = _checked(A, b), []
                for i, omega in enumerate(columns):
                    solve = _solve(method, system, omega, starts[i], limits)
                    row.append(solve.iterations)
                    given_up += not solve.solved
                    starts[i] = solve.x if start == "previous" and solve.solved else None
            except ValueError as error:
                raise ValueError(f"system {t}: {error}") from None
            counts.append(row)
            seen.append(context)
            update(len(columns))
    without = sum(context is None for context in seen)
    if not counts or (contexts is not None and len(contexts) != len(counts)):
        expected = "one or more" if contexts is None else f"{len(contexts)}, one for each context,"
        raise ValueError(f"tabulate_systems takes {expected} systems: got {len(counts)}")
    if 0 < without < len(seen):
        raise ValueError(f"{without} of {len(seen)} systems have no context: give all or none")
    if given_up:
        warnings.warn(
            f"{given_up} of {len(counts) * len(columns)} solves were given up and count as "
            f"{most:,} iterations: a matrix that is not positive definite, a parameter that is "
            f"too slow for it, or a tolerance out of reach",
            stacklevel=2,
        )
    parameters = np.array([1.0 if omega is None else omega for omega in columns])
    shown = np.zeros(len(seen), np.float32) if without else np.array(seen, np.float32)
    return SolverTable(np.array(counts, np.int32), shown, parameters)


def _unpacked(given: Any, contexts: np.ndarray | None, t: int) -> tuple[Any, Any, float | None]:
    """A, b and the context, None if there is none."""
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ValueError(f"a system is (A, b) or (A, b, context), got {type(given).__name__}")
    if len(given) == 2:
        if contexts is not None and t >= len(contexts):
            raise ValueError(f"has no context: `contexts` has {len(contexts)}")
        return given[0], given[1], None if contexts is None else contexts[t]
    if contexts is not None:
        raise ValueError("contexts come with the systems or in `contexts`, not in both")
    if np.ndim(given[2]) or not np.isfinite(given[2]):
        raise ValueError(f"a context is one finite number, got {given[2]!r}")
    return given[0], given[1], given[2]


def _columns(method: Method, omegas: Any) -> list[float | None]:
    if method not in _METHODS:
        raise ValueError(f"method is one of {', '.join(_METHODS)}: got {method!r}")
    if method == "cg":
        if omegas is not None:
            raise ValueError(f"cg has no parameter: give omegas=None, got {omegas!r}")
        return [None]
    return [float(x) for x in check_omegas("tabulate_systems", _check_omegas(omegas))]


# ---- matrices ------------------------------------------------------------------------------


class _System(NamedTuple):
    A: Any  # csr, float64
    diagonal: np.ndarray
    b: np.ndarray


def read_matrix(path: str | os.PathLike) -> Any:
    """A matrix from a Matrix Market file (.mtx, also .mtx.gz), as a `scipy.sparse` array, float64.

    The file is read as numbers and nothing else; a symmetric one is filled in from its triangle.

    Raises:
      OSError: a file that cannot be opened.
      ValueError: one that is not Matrix Market, or whose matrix is not as `sor` needs it.
    """
    name = os.fspath(path)
    with open(name, "rb"):  # the reader below has other errors for a file that is not there
        pass
    try:
        rows, columns, entries, layout, field, _ = scipy.io.mminfo(name)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{name} is not a Matrix Market file: {error}") from None
    problem = None
    if field in ("complex", "pattern"):
        problem = f"a {field} matrix, and solvers take real numbers"
    elif rows != columns:
        problem = f"a {rows} x {columns} matrix: it has to be square"
    elif layout == "coordinate" and entries < rows:
        problem = f"{entries} entries, too few for a diagonal of {rows}"
    elif not name.endswith((".gz", ".bz2")) and entries > os.path.getsize(name):
        problem = f"fewer than the {entries} entries that it announces"
    if problem:
        raise ValueError(f"{name} holds {problem}")
    try:
        return _matrix(scipy.io.mmread(name))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} cannot be used: {error}") from None


def _checked(A: Any, b: Any) -> _System:
    matrix, values = _matrix(A), np.asarray(b)
    if values.dtype.kind not in "fiub" or values.shape != matrix.shape[:1]:
        raise ValueError(
            f"b is real numbers [{matrix.shape[0]}], one for each row of A: got shape "
            f"{list(values.shape)} of {values.dtype}"
        )
    if not np.all(np.isfinite(values)):
        raise ValueError("b holds numbers that are not finite")
    return _System(matrix, matrix.diagonal(), values.astype(np.float64))


def _matrix(A: Any) -> Any:
    """A as csr in float64."""
    given = A if sparse.issparse(A) else np.asarray(A)
    if given.dtype.kind not in "fiub":
        raise ValueError(f"solvers take a matrix of real numbers, got one of {given.dtype}")
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not given.shape[0]:
        raise ValueError(f"solvers take a square matrix, got shape {list(given.shape)}")
    matrix = sparse.csr_array(given, dtype=np.float64)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()  # it may share its memory with the one that was given
        matrix.sum_duplicates()
    if not np.all(np.isfinite(matrix.data)):
        raise ValueError("the matrix has entries that are not finite")
    diagonal = matrix.diagonal()
    bad = np.flatnonzero(diagonal <= 0)
    if len(bad):
        raise ValueError(
            f"the matrix is not positive definite: {diagonal[bad[0]]:g} on the diagonal in row "
            f"{bad[0]} (from 0)"
        )
    skew = abs(matrix - matrix.T).max()
    if skew > 1e-10 * abs(matrix).max():
        raise ValueError(f"the matrix is not symmetric: mirrored entries differ by {skew:g}")
    return matrix


def _check_omegas(omegas: Any) -> np.ndarray:
    values = np.asarray(omegas)
    fits = values.dtype.kind in "fiu" and values.ndim == 1 and values.size
    if not fits or not np.all((values > 0) & (values < 2)):
        raise ValueError(f"omegas are one or more numbers between 0 and 2, got {omegas!r}")
    return values


def _limits(tolerance: float, most: int) -> tuple[float, int]:
    if not 0 < tolerance < np.inf:
        raise ValueError(f"tolerance is a positive number, got {tolerance!r}")
    return float(tolerance), whole("most", most)
