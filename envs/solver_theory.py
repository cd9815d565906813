"""What is known of SOR and SSOR-CG in closed form: on the host, float64, without JAX.

From Khodak, Chow, Balcan and Talwalkar, "Learning to Relax" (ICLR 2024), whose equations stand on
Young's and Axelsson's. A = D + L + L^T is symmetric and positive definite, D its diagonal and L
what lies below. omega may be an array wherever it is an argument, and so may beta.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from scipy import sparse

_LARGEST = 4000  # unknowns, for what needs all entries of a matrix

# ---- SOR by its spectrum -------------------------------------------------------------------
# For consistently ordered matrices, such as the 5-point Laplacian + c I on any region.


def square_beta(shift: Any, size: int, diagonal: float = 4.0) -> np.ndarray:
    """beta of the 5-point Laplacian on a size x size grid, neighbours -1, plus shift I."""
    return 4 * np.cos(np.pi / (size + 1)) / (diagonal + np.asarray(shift, np.float64))


def jacobi_radius(A: Any) -> float:
    """beta: the spectral radius of I - D^-1 A, from eigenvalues."""
    A = _dense(A)
    scale = 1 / np.sqrt(np.diag(A))
    return float(np.max(np.abs(1 - scipy.linalg.eigvalsh(scale[:, None] * A * scale))))


def optimal_omega(beta: Any) -> np.ndarray:
    """omega*: where the spectral radius of SOR is smallest, for beta in [0, 1)."""
    beta = np.asarray(beta, np.float64)
    return 1 + (beta / (1 + np.sqrt(1 - beta**2))) ** 2


def sor_radius(omega: Any, beta: Any) -> np.ndarray:
    """rho: the spectral radius of SOR, for omega in (0, 2) and beta in [0, 1)."""
    omega, beta = np.asarray(omega, np.float64), np.asarray(beta, np.float64)
    root = np.sqrt(np.maximum(omega**2 * beta**2 - 4 * (omega - 1), 0))
    return np.where(omega < optimal_omega(beta), (omega * beta + root) ** 2 / 4, omega - 1)


def asymptotic_count(omega: Any, beta: Any, tolerance: float = 1e-8) -> np.ndarray:
    """log tolerance / log rho: what SOR would take if every sweep shrank the residual by rho."""
    return np.log(tolerance) / np.log(sor_radius(omega, beta))


def near_asymptotic_bound(omega: Any, beta: Any, tau: Any, tolerance: float = 1e-8) -> np.ndarray:
    """U: SOR takes fewer sweeps than this if ||C^k|| <= (rho + tau (1 - rho))^k at its last sweep
    but one, k + 1, where C maps a residual to the next (`residual_map`)."""
    rho = sor_radius(omega, beta)
    return 1 + np.log(tolerance) / np.log(rho + np.asarray(tau) * (1 - rho))


def energy_bound(
    A: Any, omega: Any, tolerance: float = 1e-8, published: bool = False
) -> np.ndarray:
    """Sweeps that are enough by the contraction of SOR in the norm of A, which holds for any
    symmetric positive definite A; often many times what is needed. See `energy_contraction`."""
    extremes = scipy.linalg.eigvalsh(_dense(A))
    condition = extremes[-1] / extremes[0]
    rate = np.log(energy_contraction(A, omega, published))
    return 1 + np.log(tolerance / (2 * np.sqrt(condition))) / rate


def energy_contraction(A: Any, omega: Any, published: bool = False) -> np.ndarray:
    """nu: a sweep of SOR shrinks the error in the norm of A at least by this factor.

    The best such factor is sqrt(1 - 2 s / lambda), with s = 1 / omega - 1 / 2 and lambda the
    largest eigenvalue of A^-1 (A / omega + (s^2 - 1/4) D + L D^-1 L^T). All after A / omega is at
    most a multiple of D, and D lies between multiples of A. The published formula takes the same
    side of D whatever the sign of its multiple: where that is negative, for omega towards 2, it is
    not a bound (`published=True` gives it, for comparison), and the other side is taken here.
    """
    A, omega = _dense(A), np.asarray(omega, np.float64)
    scale = 1 / np.sqrt(np.diag(A))
    scaled = scale[:, None] * A * scale
    lower, values = np.tril(scaled, -1), scipy.linalg.eigvalsh(scaled)
    step = 1 / omega - 0.5
    multiple = step**2 - 0.25 + scipy.linalg.eigvalsh(lower @ lower.T)[-1]
    other_side = (multiple < 0) & (not published)
    largest = 1 / omega + multiple / np.where(other_side, values[-1], values[0])
    return np.sqrt(1 - 2 * step / largest)


# ---- the constant tau, measured ------------------------------------------------------------


def residual_map(A: Any, omega: float) -> np.ndarray:
    """C = I - A (D / omega + L)^-1, [n, n]: the residual of SOR after k sweeps is C^k b."""
    A = _dense(A)
    M = np.diag(np.diag(A)) / omega + np.tril(A, -1)
    return np.eye(len(A)) - scipy.linalg.solve_triangular(M.T, A).T  # A is symmetric


def power_norms(A: Any, omegas: Any, powers: Any) -> np.ndarray:
    """||C^k||_2 for each omega [d] with its power k [d], by repeated squaring."""
    A, omegas, powers = _dense(A), np.ravel(omegas), np.asarray(powers)
    norms = [
        np.linalg.norm(np.linalg.matrix_power(residual_map(A, omega), int(k)), 2)
        for omega, k in zip(omegas, np.broadcast_to(powers, omegas.shape), strict=True)
    ]
    return np.array(norms)


def empirical_tau(A: Any, omegas: Any, counts: Any, beta: float | None = None) -> float:
    """The smallest tau with which U bounds these counts' last powers of C, for every omega.

    Args:
      omegas: parameters of SOR, [d]. counts: what it took with each, [d]; those of 1 say nothing.
      beta: see `jacobi_radius`, which it is computed by if not given.

    Raises:
      ValueError: shapes that differ, or no count above 1.
    """
    omegas, counts = np.asarray(omegas, np.float64), np.asarray(counts)
    if omegas.shape != counts.shape or omegas.ndim != 1 or not np.any(counts > 1):
        raise ValueError(
            f"empirical_tau takes omegas [d] with their counts [d], one above 1 at least: got "
            f"shapes {list(omegas.shape)} and {list(counts.shape)}"
        )
    omegas, powers = omegas[counts > 1], counts[counts > 1] - 1
    rho = sor_radius(omegas, jacobi_radius(A) if beta is None else beta)
    return float(np.max((power_norms(A, omegas, powers) ** (1 / powers) - rho) / (1 - rho)))


# ---- what the bandit can be promised -------------------------------------------------------


def worst_rate(beta: Any, tau: Any, largest: Any) -> np.ndarray:
    """alpha: U <= 1 + log tolerance / log alpha for all omega in [1, largest]."""
    tau = np.asarray(tau, np.float64)
    return tau + (1 - tau) * np.maximum(np.square(beta), np.asarray(largest) - 1)


def semi_lipschitz(beta: Any, tau: Any, largest: Any, tolerance: float = 1e-8) -> np.ndarray:
    """L: moving omega towards `largest` by h raises U by L h at most, within [1, largest].

    `largest` is omega* or above. It is a theorem where tau >= e^-2 or beta^2 >= 4 e^-2 (1 - e^-2)
    (`semi_lipschitz_holds`)."""
    alpha = worst_rate(beta, tau, largest)
    return (1 - np.asarray(tau)) * -np.log(tolerance) / (alpha * np.log(alpha) ** 2)


def semi_lipschitz_holds(beta: Any, tau: Any) -> np.ndarray:
    """Where the constant of `semi_lipschitz` is proved."""
    e = np.exp(-2)
    return (np.asarray(tau) >= e) | (np.square(beta) >= 4 * e * (1 - e))


class Guarantee(NamedTuple):
    """How to set Tsallis-INF on SOR, and what it is then promised (Theorem 2.1).

    largest: omega_max, the largest omega* of the sequence; the grid is 1 + (omega_max - 1) i / d,
    i = 1, ..., d. alpha: the worst rate of the sequence. loss_scale: K, above every U - 1.
    num_arms: d, a real number, to be rounded up. learning_rate: eta. excess: the expected total
    count is below the total of U at the best fixed omega in [1, omega_max] by this at most.
    """

    largest: float
    alpha: float
    loss_scale: float
    num_arms: float
    learning_rate: float
    excess: float


def tsallis_guarantee(
    beta: Any, tau: Any, horizon: int | None = None, tolerance: float = 1e-8
) -> Guarantee:
    """The constants of Theorem 2.1 for a sequence of systems with these beta and tau.

    Args:
      beta, tau: [T], or numbers for systems that are all alike. horizon: T, if not their length.
    """
    beta, tau = np.atleast_1d(np.asarray(beta, np.float64), np.asarray(tau, np.float64))
    rounds = max(len(beta), len(tau)) if horizon is None else horizon
    largest = float(np.max(optimal_omega(beta)))
    alphas = worst_rate(beta, tau, largest)
    alpha, digits = float(np.max(alphas)), -np.log(tolerance)
    decay = np.log(alpha) ** 2
    mean = np.mean(1 / np.log(alphas) ** 2)
    return Guarantee(
        largest,
        alpha,
        float(digits / np.sqrt(decay)),
        float((rounds * mean**2 * decay / 2) ** (1 / 3)),
        float(1 / np.sqrt(rounds)),
        float(3 * digits * (2 * rounds**2 / decay**2) ** (1 / 3)),
    )


def grid_regret(
    loss_scale: float, num_arms: float, lipschitz: Any, width: float, horizon: int | None = None
) -> float:
    """2 K sqrt(2 d T) + width / d sum_t L_t: Tsallis-INF on d points of an interval against the
    best point of the interval. lipschitz: L_t [T], or one number and a horizon."""
    total = np.sum(lipschitz) if horizon is None else horizon * np.mean(lipschitz)
    rounds = np.size(lipschitz) if horizon is None else horizon
    return float(2 * loss_scale * np.sqrt(2 * num_arms * rounds) + width / num_arms * total)


# ---- conjugate gradients preconditioned by SSOR --------------------------------------------


class SsorSpectrum(NamedTuple):
    """What the bound on SSOR-CG needs to know of a matrix."""

    mu: float  # largest eigenvalue of D A^-1
    nu: float  # largest eigenvalue of (L D^-1 L^T - D / 4) A^-1
    condition: float  # of A, in the 2-norm


def ssor_spectrum(A: Any) -> SsorSpectrum:
    A = _dense(A)
    D, L = np.diag(np.diag(A)), np.tril(A, -1)
    skew = (L / np.diag(A)) @ L.T - D / 4
    last = {"subset_by_index": (len(A) - 1, len(A) - 1), "eigvals_only": True}
    mu, nu = (float(scipy.linalg.eigh(matrix, A, **last)[0]) for matrix in (D, skew))
    extremes = scipy.linalg.eigvalsh(A)
    return SsorSpectrum(mu, nu, float(extremes[-1] / extremes[0]))


def ssor_condition(omega: Any, spectrum: SsorSpectrum) -> np.ndarray:
    """An upper bound on the condition number of the preconditioned matrix (Axelsson)."""
    omega = np.asarray(omega, np.float64)
    mu, nu, _ = spectrum
    return 1 / (2 - omega) + mu * (2 - omega) / (4 * omega) + nu * omega / (2 - omega)


def ssor_cg_bound(
    omega: Any, spectrum: SsorSpectrum, tau: float = 1.0, tolerance: float = 1e-8
) -> np.ndarray:
    """U^CG: iterations of SSOR-CG. With tau = 1 it always holds; `empirical_cg_tau` is smaller."""
    root = np.sqrt(spectrum.condition)
    digits = np.log(root / tolerance + np.sqrt(spectrum.condition / tolerance**2 - 1))
    rate = 1 - 2 / (1 + np.sqrt(ssor_condition(omega, spectrum)))
    return 1 + tau * digits / -np.log(rate)


def best_ssor_omega(spectrum: SsorSpectrum) -> float:
    """Where U^CG is smallest."""
    return float(2 / (1 + np.sqrt(2 * (1 + 2 * spectrum.nu) / spectrum.mu)))


def empirical_cg_tau(
    omegas: Any, counts: Any, spectrum: SsorSpectrum, tolerance: float = 1e-8
) -> float:
    """The smallest tau with which U^CG bounds all these counts [d] at their omegas [d]."""
    above = ssor_cg_bound(omegas, spectrum, 1.0, tolerance) - 1
    return float(np.max((np.asarray(counts) - 1) / above))


def _dense(A: Any) -> np.ndarray:
    matrix: Any = A
    if np.ndim(matrix) == 2 or sparse.issparse(matrix):
        n = matrix.shape[0]
        if n == matrix.shape[1] and 0 < n <= _LARGEST:
            return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, np.float64)
    raise ValueError(
        f"a square matrix of {_LARGEST} unknowns at most is needed, since it is made dense: got "
        f"shape {list(np.shape(matrix))}"
    )
