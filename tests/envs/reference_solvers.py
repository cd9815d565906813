"""Plain solvers on an explicit matrix, dense and in float64, and the counts that they must give.

Every matrix may be dense or sparse. Unknowns are taken in the order of the matrix; another order is
a permutation of the matrix and of the right-hand side, as `red_black` makes one.
"""

import numpy as np
from scipy.linalg import solve_triangular

MOST = 10_000

# ---- matrices ------------------------------------------------------------------------------


def points(m, region="S"):
    """Row and column [n, 2] of the interior points of an m x m grid, down its columns.

    "S" is the square. "L" is the square without its bottom left quadrant: with x to the right and
    y upwards, both in (-1, 1), a point is kept where x > 0 or y > 0.
    """
    i, j = (index.T.ravel() for index in np.indices((m, m)))
    x, y = 2 * j - (m - 1), (m - 1) - 2 * i
    kept = np.ones(m * m, bool) if region == "S" else (x > 0) | (y > 0)
    return np.stack([i[kept], j[kept]], axis=-1)


def laplacian(m, region="S"):
    """The 5-point Laplacian: 4 on the diagonal, -1 for every neighbour, [n, n]."""
    at = points(m, region)
    distance = np.abs(at[:, None] - at[None]).sum(axis=-1)
    return 4.0 * (distance == 0) - (distance == 1)


def red_black(m, region="S"):
    """The order [n] of unknowns in which points of even i + j come first."""
    return np.argsort(points(m, region).sum(axis=-1) % 2, kind="stable")


# ---- solvers -------------------------------------------------------------------------------


def dense(A):
    return np.asarray(A.toarray() if hasattr(A, "toarray") else A, np.float64)


def sor_count(A, b, omega, tolerance=1e-8, most=MOST):
    """Sweeps of SOR from zero until ||b - Ax|| < tolerance ||b||, one at least."""
    A = dense(A)
    M = np.diag(np.diag(A)) / omega + np.tril(A, -1)
    x, r, start = np.zeros(len(b)), np.array(b, np.float64), np.linalg.norm(b)
    for k in range(1, most + 1):
        x += solve_triangular(M, r, lower=True, check_finite=False)
        r = b - A @ x
        if np.linalg.norm(r) < tolerance * start:
            return k
    return most


def ssor_count(A, b, omega, tolerance=1e-8, most=MOST):
    """Steps of stationary SSOR from zero until ||b - Ax|| <= tolerance, one at least."""
    A = dense(A)
    D = np.diag(A)
    M = np.diag(D) / omega + np.tril(A, -1)
    x, r = np.zeros(len(b)), np.array(b, np.float64)
    for k in range(1, most + 1):
        y = solve_triangular(M, r, lower=True, check_finite=False)
        x += (2 - omega) / omega * solve_triangular(M.T, D * y, check_finite=False)
        r = b - A @ x
        if np.linalg.norm(r) <= tolerance:
            return k
    return most


def pcg(A, b, solve, x0=None, tolerance=1e-8, most=MOST):
    """Conjugate gradients until the residual, by its recurrence, is at most tolerance ||b||.

    Returns the number of updates (0 where x0 is good enough) and the solution."""
    A = dense(A)
    x = np.zeros(len(b)) if x0 is None else np.array(x0, np.float64)
    r, bound, p, rho = b - A @ x, tolerance * np.linalg.norm(b), np.zeros(len(b)), 1.0
    for k in range(most):
        if np.linalg.norm(r) <= bound:
            return k, x
        z = solve(r)
        rho, before = r @ z, rho
        p = z + rho / before * p
        q = A @ p
        step = rho / (p @ q)
        x += step * p
        r = r - step * q
    return most, x


def cg(A, b, x0=None, tolerance=1e-8, most=MOST):
    return pcg(A, b, lambda r: r, x0, tolerance, most)


def ssor_pcg(A, b, omega, x0=None, tolerance=1e-8, most=MOST):
    """Preconditioned by z = omega (2 - omega) X^-1 D X^-T r, with X = D + omega L."""
    A = dense(A)
    D = np.diag(A)
    X = np.diag(D) + omega * np.tril(A, -1)

    def solve(r):
        y = D * solve_triangular(X.T, r, check_finite=False)
        return omega * (2 - omega) * solve_triangular(X, y, lower=True, check_finite=False)

    return pcg(A, b, solve, x0, tolerance, most)


def cg_count(A, b, x0=None, **options):
    return cg(A, b, x0, **options)[0]


def ssor_pcg_count(A, b, omega, x0=None, **options):
    return ssor_pcg(A, b, omega, x0, **options)[0]


# ---- the heat equation ---------------------------------------------------------------------


def bump(x, y, centre, radius):
    s = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2
    return np.exp(1 - 1 / (1 - np.where(s < 1, s, 0))) * (s < 1)


def kappa(t):
    return max(0.1 * np.sin(2 * np.pi * t), -10 * np.sin(2 * np.pi * t))


def heat_counts(nx, steps, omega=None, dt=1e-3):
    """Iterations [steps] of SSOR-PCG (CG without omega) along its own solution of u_t = kappa u_xx
    + f on the unit square, by Crank-Nicolson, each step started from the last."""
    m = nx - 1
    adjacency = 4 * np.eye(m * m) - laplacian(m)
    y, x = ((points(m) + 1) / nx).T  # the first coordinate runs slowest
    u, counts = bump(x, y, (0.5, 0.5), 0.25), []
    for step in range(steps):
        middle = step * dt + dt / 2
        a = 0.5 * kappa(middle) * dt * nx**2
        A = (1 + 4 * a) * np.eye(m * m) - a * adjacency
        angle = 16 * np.pi * middle
        f = 32 * bump(x, y, (0.5 + np.cos(angle) / 4, 0.5 + np.sin(angle) / 4), 0.125)
        b = 2 * u - A @ u + dt * f
        k, u = cg(A, b, u) if omega is None else ssor_pcg(A, b, omega, u)
        counts.append(k)
    return np.array(counts)


# ---- counts that are known -----------------------------------------------------------------
# From the MATLAB code of the authors, run under Octave: m = 10, the Laplacian + c I, tolerance
# 1e-8, start at zero.

OMEGAS = (1.0, 1.2, 1.4, 1.6, 1.8, 1.95)
_k = np.arange(1.0, 101.0)
RIGHT_HAND_SIDES = {"ones": np.ones(100), "ramp": _k, "sine": np.sin(_k)}

SOR_COUNTS = {  # (c, right-hand side): a count for each of OMEGAS
    (-0.15, "ones"): (2927, 1950, 1252, 724, 293, 392),
    (-0.15, "ramp"): (2905, 1936, 1243, 720, 292, 391),
    (-0.15, "sine"): (1239, 885, 607, 379, 175, 359),
    (0.0, "ones"): (223, 145, 88, 43, 89, 383),
    (0.0, "ramp"): (222, 145, 88, 43, 89, 382),
    (0.0, "sine"): (131, 90, 58, 41, 86, 361),
    (0.45, "ones"): (64, 39, 25, 42, 89, 379),
    (0.45, "ramp"): (64, 40, 25, 43, 90, 378),
    (0.45, "sine"): (44, 30, 25, 41, 84, 360),
}
SSOR_PCG_COUNTS = {
    (0.0, "ones"): (13, 12, 13, 13, 15, 17),
    (0.0, "ramp"): (15, 14, 13, 14, 17, 20),
    (0.0, "sine"): (14, 12, 12, 13, 16, 19),
    (-0.15, "ones"): (16, 14, 15, 16, 18, 21),
    (-0.15, "ramp"): (18, 17, 17, 18, 21, 25),
    (-0.15, "sine"): (18, 16, 16, 17, 20, 22),
    (0.45, "ones"): (11, 9, 9, 12, 14, 15),
    (0.45, "ramp"): (12, 10, 9, 12, 15, 17),
}
# Here 19 and 24 are right too: the last digit of b, or the order of a sum, decides. With 40 digits
# the first is 19.
SSOR_PCG_UNSETTLED = {(0.0, "ramp", 1.95), (-0.15, "ramp", 1.95)}
CG_COUNTS = {
    (0.0, "ones"): 15,
    (0.0, "ramp"): 27,
    (0.0, "sine"): 30,
    (-0.15, "ones"): 15,
    (-0.15, "ramp"): 30,
    (-0.15, "sine"): 35,
    (0.45, "ones"): 15,
    (0.45, "ramp"): 23,
}

# (region, m, c), b = ones: a count for each of REGION_OMEGAS.
REGION_OMEGAS = (1.0, 1.2, 1.4, 1.6, 1.8, 1.9)
REGION_COUNTS = {
    ("S", 10, 0.0): (13, 12, 13, 13, 15, 16),
    ("S", 30, 0.0): (32, 27, 23, 21, 22, 26),
    ("S", 30, 0.5): (13, 11, 9, 11, 17, 21),
    ("L", 30, 0.0): (31, 26, 22, 20, 22, 28),
}

# nx = 25: omega (None is CG) to the totals over the first 500 and the first 1000 steps.
HEAT_TOTALS = {
    None: (2191, 17_038),
    1.0: (989, 6528),
    1.4: (1795, 5858),
    1.5: (1840, 6432),
    1.75: (2028, 8918),
    1.95: (2172, 12_562),
}
HEAT_FIRST = {
    None: (2, 2, 2, 3, 3, 3, 3, 3, 3, 3),
    1.0: (1, 1, 1, 1, 1, 2, 2, 2, 2, 2),
    1.5: (2, 2, 2, 2, 2, 2, 2, 3, 3, 3),
}
