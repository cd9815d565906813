"""Bounds on SOR beside its counts: sizes, studies, and the spectral numbers of their systems.

One system a seed, solved with every omega of a grid: seeds are right-hand sides (and, where the
shift is random, shifts). Nobody learns; the counts of all fixed parameters are what is wanted.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from scipy import sparse

from ...core.learners.tallying import Always
from ...core.study import Study
from ...core.tapes import environment_tape
from ...envs import solver_theory as theory
from ...envs.grids import square
from ...envs.linear_systems import DiagonalShifts, Tabulated
from ...envs.sor import sor
from ..growth import final
from ..paper import Scale

if TYPE_CHECKING:
    import xarray as xr

SIDE = 10
BETA = float(theory.square_beta(0.0, SIDE))
LAWS = {"low variance": (2.0, 6.0), "high variance": (0.5, 1.5)}  # of the shift
LISTED = (-0.15, -0.1, 0.0, 0.15, 0.3, 0.45)  # shifts with a reference for tau
SHIFTS: dict[Scale, tuple[float, ...]] = {
    "smoke": (-0.15, 0.45),
    "quick": LISTED,
    "paper": tuple(np.round(np.linspace(-0.15, 0.45, 13), 2).tolist()),
}
NOBODY = {"none": Always(0)}
_MOST_CALIBRATED = 40  # systems whose tau is computed: a matrix power for every omega


class Size(NamedTuple):
    """(parameters, seeds) of each figure."""

    fixed: tuple[int, int]
    drawn: tuple[int, int]
    degenerate: tuple[int, int]
    shifts: tuple[int, int]


SIZES: dict[Scale, Size] = {
    "smoke": Size((10, 4), (10, 4), (10, 4), (10, 4)),
    "quick": Size((101, 100), (96, 800), (91, 40), (49, 12)),
    "paper": Size((101, 1000), (96, 8000), (901, 40), (49, 100)),
}
_LAST = {"fixed": 1.99, "drawn": 1.95, "degenerate": 1.9, "shifts": 1.96}


def omegas(kind: str, count: int) -> np.ndarray:
    """The grid of parameters of a figure [count]: evenly spaced from 1, and omega* in "fixed"."""
    star = kind == "fixed"
    even = np.round(np.linspace(1, _LAST[kind], count - star), 3)
    return np.sort(np.append(even, theory.optimal_omega(BETA))) if star else even


def system(name: str, problem: DiagonalShifts, seeds: int) -> Study:
    """A study of one system a seed."""
    return one_round(name, {name: problem}, seeds)


def one_round(name: str, problems: dict[str, DiagonalShifts], seeds: int) -> Study:
    tables = {key: Tabulated(problem) for key, problem in problems.items()}
    return Study(name, tables, NOBODY, 1, seeds, checkpoints=(1,))


def fixed_studies(scale: Scale) -> list[Study]:
    count, seeds = SIZES[scale].fixed
    return [system("fixed", DiagonalShifts(omegas("fixed", count), low=0.0, high=0.0), seeds)]


def drawn_studies(scale: Scale) -> list[Study]:
    count, seeds = SIZES[scale].drawn
    return [system(law, _drawn(law, count), seeds) for law in LAWS]


def degenerate_studies(scale: Scale) -> list[Study]:
    count, seeds = SIZES[scale].degenerate
    grid = omegas("degenerate", count)
    return [system("degenerate", DiagonalShifts(grid, low=0.0, high=0.0), seeds)]


def shift_studies(scale: Scale) -> list[Study]:
    count, seeds = SIZES[scale].shifts
    grid = omegas("shifts", count)
    problems = {f"{c}": DiagonalShifts(grid, low=c, high=c) for c in SHIFTS[scale]}
    return [one_round("shifts", problems, seeds)]


def _drawn(law: str, count: int) -> DiagonalShifts:
    a, b = LAWS[law]
    return DiagonalShifts(omegas("drawn", count), a=a, b=b)


def counts_of(dataset: xr.Dataset, environment: str) -> np.ndarray:
    """Iterations with every parameter [seed, omega]."""
    return final(dataset, environment, "none", "fixed_iterations")


def contexts_of(dataset: xr.Dataset, law: str) -> np.ndarray:
    """The shifts that the seeds met [seed]."""
    seeds, root_seed = tuple(dataset.seed.values.tolist()), dataset.attrs.get("root_seed", 0)
    return _contexts(law, dataset.sizes["arm"], seeds, int(root_seed))


@lru_cache(maxsize=8)
def _contexts(law: str, count: int, seeds: tuple[int, ...], root_seed: int) -> np.ndarray:
    problem = _drawn(law, count)
    tape = environment_tape(problem, np.array(seeds), 1, root_seed)
    return np.asarray(jax.jit(jax.vmap(jax.vmap(problem.shift)))(tape), np.float64)[:, 0]


# ---- tau -----------------------------------------------------------------------------------


def calibrating(seeds: int) -> int:
    """How many of the first seeds make tau; the others are left to check it."""
    return min(_MOST_CALIBRATED, max(2, seeds // 20))


def beta_of(shift: float) -> float:
    return float(theory.square_beta(np.float32(shift), SIDE))


def quotients(shift: float, grid: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(||C^k||^(1/k) - rho) / (1 - rho) at k = count - 1, for each omega [omega]; the largest is
    tau. A count of 1 says nothing: 0."""
    powers = np.maximum(counts.astype(int) - 1, 1)
    norms = np.array([_norm(shift, *pair) for pair in zip(grid, powers, strict=True)])
    rho = theory.sor_radius(grid, beta_of(shift))
    return np.where(counts > 1, (norms ** (1 / powers) - rho) / (1 - rho), 0)


@lru_cache(maxsize=1 << 17)
def _norm(shift: float, omega: float, power: int) -> float:
    """||C^power||_2. The grid may be turned over its diagonal, so C falls into two blocks: that of
    symmetric and that of antisymmetric vectors. They are so small that no BLAS splits them over
    threads, which costs a hundred times more on a busy machine."""
    blocks = _residual_blocks(shift, omega)
    return max(float(np.linalg.norm(np.linalg.matrix_power(C, power), 2)) for C in blocks)


@lru_cache(maxsize=256)
def _residual_blocks(shift: float, omega: float) -> list[np.ndarray]:
    found, diagonal = [], 4 + float(np.float32(shift))
    for lower in _lower_blocks():
        one = diagonal * np.eye(len(lower))
        M, A = one / omega + lower, one + lower + lower.T
        found.append(np.eye(len(lower)) - np.linalg.solve(M.T, A).T)
    return found


@lru_cache
def _lower_blocks() -> tuple[np.ndarray, np.ndarray]:
    """What is below the diagonal of A, on symmetric and on antisymmetric vectors."""
    rows, columns = square(SIDE).points
    lower = sparse.csr_array(sparse.tril(square(SIDE).matrix(0.0, 1.0)))
    turned = sparse.csr_array(sparse.eye_array(SIDE**2))[columns + SIDE * rows]
    one = sparse.csc_array(sparse.eye_array(SIDE**2))
    both = [one[:, rows <= columns], one[:, rows < columns]]
    bases = [(both[0] + turned @ both[0]).toarray(), (both[1] - turned @ both[1]).toarray()]
    bases = [sparse.csc_array(basis / np.linalg.norm(basis, axis=0)) for basis in bases]
    symmetric, antisymmetric = ((basis.T @ lower @ basis).toarray() for basis in bases)
    return symmetric, antisymmetric


class Bounded(NamedTuple):
    """Systems with their own tau, each made from every fifth parameter of the grid and omega*."""

    counts: np.ndarray  # [system, omega]
    bounds: np.ndarray  # U [system, omega]
    least: np.ndarray  # U at omega* [system]


def bounded(dataset: xr.Dataset, law: str) -> Bounded:
    """The first systems of a law, as many as `calibrating` says."""
    counts = counts_of(dataset, law)[: calibrating(dataset.sizes["seed"])]
    best = final(dataset, law, "none", "best_iterations")
    grid, bounds, least = omegas("drawn", counts.shape[1]), [], []
    shifts = contexts_of(dataset, law)
    for shift, row, at_best in zip(shifts, counts, best, strict=False):
        beta = beta_of(shift)
        star = float(theory.optimal_omega(beta))
        some, theirs = np.append(grid[::5], star), np.append(row[::5], at_best)
        tau = quotients(float(shift), some, theirs).max()
        bounds.append(theory.near_asymptotic_bound(grid, beta, tau))
        least.append(theory.near_asymptotic_bound(star, beta, tau))
    return Bounded(counts, np.array(bounds), np.array(least))


def shift_taus(dataset: xr.Dataset, with_best: bool) -> dict[float, np.ndarray]:
    """tau at every shift [seed], on the grid alone or with omega* beside it."""
    found = {}
    for name in dataset.environment.values:
        shift, rows = float(name), counts_of(dataset, str(name))
        grid = omegas("shifts", rows.shape[1])
        if with_best:
            best = final(dataset, str(name), "none", "best_iterations")
            grid = np.append(grid, float(theory.optimal_omega(beta_of(shift))))
            rows = np.column_stack([rows, best])
        found[shift] = np.array([quotients(shift, grid, row).max() for row in rows])
    return found


# ---- a right-hand side that misleads -------------------------------------------------------

DEGENERATE = 1.4


@lru_cache
def eigenvector() -> np.ndarray:
    """b [n] with C b = -0.4 b at omega = 1.4 and c = 0; |-0.4| = omega - 1 is the least modulus.

    The eigenvalue has ten eigenvectors, from the Jacobi iteration's of eigenvalue 0: sin(k pi x)
    sin((11 - k) pi y), with points i + j = s scaled by 0.4^(s / 2) and signs, on every other point.
    Here k = 5. The error of x = 0 is that vector, b the matrix times it.
    """
    i, j = square(SIDE).points
    mode = np.sin(5 * np.pi * (i + 1) / 11) * np.sin(6 * np.pi * (j + 1) / 11)
    decay = (DEGENERATE - 1) ** ((i + j) / 2) * (-1.0) ** ((i + j) // 2)
    A = square(SIDE).matrix(4.0, 1.0)
    return A @ np.where((i + j) % 2 == 0, decay * mode, 0)


@lru_cache
def eigenvector_counts(count: int) -> np.ndarray:
    """Iterations of SOR on that right-hand side, for each omega of the figure [count]."""
    one: Any = partial(sor, square(SIDE), 4.0, 1.0)  # type: ignore[arg-type]
    solve = jax.vmap(one, (None, 0))
    with jax.enable_x64(True):
        return np.asarray(jax.jit(solve)(eigenvector(), omegas("degenerate", count)))
