"""Closed forms of SOR and SSOR-CG: against eigenvalues of explicit matrices and printed numbers."""

import numpy as np
import pytest
import scipy.sparse

from regrax.envs import solver_theory as theory

from . import reference_solvers as reference

GRID = np.linspace(1.0, 1.95, 13)
SHIFTS = (-0.15, 0.0, 0.45)


def shifted(shift, m=10, region="S"):
    A = reference.laplacian(m, region)
    return A + shift * np.eye(len(A))


def error_map(A, omega):
    """I - (D / omega + L)^-1 A, by a general solver."""
    return np.eye(len(A)) - np.linalg.solve(np.diag(np.diag(A)) / omega + np.tril(A, -1), A)


# ---- SOR -----------------------------------------------------------------------------------


def test_beta_and_best_omega_as_printed():
    beta = theory.square_beta([-0.15, 0, 0.15, 0.45], 10)
    np.testing.assert_allclose(beta, [0.996876, 0.959493, 0.924813, 0.862466], atol=6e-7)
    expected = [1.853594, 1.560388, 1.448831, 1.327919]
    np.testing.assert_allclose(theory.optimal_omega(beta), expected, atol=6e-7)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("region", ["S", "L"])
def test_spectral_radius_against_eigenvalues(shift, region):
    A = shifted(shift, 10, region)
    beta = np.max(np.abs(np.linalg.eigvals(np.eye(len(A)) - A / np.diag(A)[:, None])))
    assert theory.jacobi_radius(scipy.sparse.csr_array(A)) == pytest.approx(beta, abs=1e-10)
    if region == "S":
        assert theory.square_beta(shift, 10) == pytest.approx(beta, abs=1e-10)
    for omega, radius in zip(GRID, theory.sor_radius(GRID, beta), strict=True):
        explicit = np.max(np.abs(np.linalg.eigvals(error_map(A, omega))))
        assert radius == pytest.approx(explicit, abs=1e-4)  # eigenvalues at omega* are defective


def test_best_omega_is_where_the_radius_is_smallest():
    fine = np.linspace(1, 1.999, 20_001)
    for beta in (0.5, 0.9, 0.99):
        best = fine[np.argmin(theory.sor_radius(fine, beta))]
        assert theory.optimal_omega(beta) == pytest.approx(best, abs=1e-4)
    assert theory.sor_radius(fine[:, None], np.array([0.5, 0.9])).shape == (20_001, 2)


def test_residual_map_is_what_a_sweep_does():
    A, b = shifted(0.2), np.random.default_rng(0).normal(size=100)
    x = np.linalg.solve(np.diag(np.diag(A)) / 1.3 + np.tril(A, -1), b)
    np.testing.assert_allclose(theory.residual_map(A, 1.3) @ b, b - A @ x, atol=1e-12)
    C = theory.residual_map(A, 1.3)
    np.testing.assert_allclose(
        theory.power_norms(A, [1.3, 1.3], [1, 5]),
        [np.linalg.svd(C)[1][0], np.linalg.svd(C @ C @ C @ C @ C)[1][0]],
    )


def test_bounds_as_printed():
    """A run of the authors' code on one random right-hand side, with tau = .19 in two digits."""
    beta = theory.square_beta(0.0, 10)
    omegas = [1, 1.2, 1.4, theory.optimal_omega(beta), 1.6, 1.8, 1.9]
    expected = [222.7, 144.4, 85.4, 31.8, 36.1, 82.6, 174.8]
    np.testing.assert_allclose(theory.asymptotic_count(omegas, beta), expected, atol=0.06)
    low, high = (theory.near_asymptotic_bound(omegas, beta, tau) for tau in (0.185, 0.195))
    printed = np.array([278, 181, 109, 42.8, 48, 105, 219])
    assert np.all(low <= printed + 0.5) and np.all(high >= printed - 0.5)


def test_tau_as_printed():
    """tau varies with the right-hand side, and theirs is not known: to 0.03."""
    grid, b = np.arange(1, 1.99, 0.02), np.random.default_rng(0).normal(size=100)
    for shift, printed in {0.0: 0.173, 0.45: 0.226}.items():
        A = shifted(shift)
        counts = np.array([reference.sor_count(A, b, omega) for omega in grid])
        tau = theory.empirical_tau(A, grid, counts)
        assert tau == pytest.approx(printed, abs=0.03)
        beta = theory.jacobi_radius(A)
        assert np.all(counts <= theory.near_asymptotic_bound(grid, beta, tau) + 1e-9)
        alpha = theory.worst_rate(beta, tau, grid.max())
        uniform = 1 + np.log(1e-8) / np.log(alpha)
        assert np.all(theory.near_asymptotic_bound(grid, beta, tau) <= uniform + 1e-9)


def test_tau_leaves_out_what_took_one_sweep():
    A = np.eye(4) * 3
    with pytest.raises(ValueError, match="one above 1 at least"):
        theory.empirical_tau(A, [1.0], [1])
    assert np.isfinite(theory.empirical_tau(A, [1.0, 1.5], [1, 27]))
    with pytest.raises(ValueError, match="shapes"):
        theory.empirical_tau(A, [1.0, 1.5], [3])


@pytest.mark.parametrize("shift", SHIFTS)
def test_energy_norm_shrinks_as_promised(shift):
    A, b = shifted(shift), np.random.default_rng(1).normal(size=100)
    half = np.linalg.cholesky(A).T  # ||e||_A = ||half e||
    omegas = GRID[::3]
    promised = theory.energy_contraction(A, omegas)
    for omega, nu in zip(omegas, promised, strict=True):
        found = np.linalg.norm(half @ error_map(A, omega) @ np.linalg.inv(half), 2)
        assert found <= nu * (1 + 1e-12) and nu < 1
        assert nu < found + 0.02  # and it is not far off
    assert reference.sor_count(A, b, 1.4) <= theory.energy_bound(A, 1.4)


def test_the_published_energy_bound_is_broken_where_ours_is_not():
    A, b = shifted(0.45), np.ones(100)
    D, L = np.diag(1 / np.diag(A)), np.tril(A, -1)
    gap = 1 - np.abs(np.linalg.eigvals(D @ (L + L.T))).max()
    norm = np.abs(np.linalg.eigvals(D @ L @ D @ L.T)).max()
    for omega in (1.1, 1.6, 1.8):
        step = (2 - omega) / (2 * omega)
        printed = np.sqrt(1 - 2 * step * gap / (step**2 + gap / omega + norm - 0.25))
        published = theory.energy_contraction(A, omega, published=True)
        assert published == pytest.approx(printed, rel=1e-9)
        count = reference.sor_count(A, b, omega)
        assert count <= theory.energy_bound(A, omega)
        assert (count <= theory.energy_bound(A, omega, published=True)) == (omega == 1.1)


# ---- the promise ---------------------------------------------------------------------------


def test_semi_lipschitz_by_brute_force():
    """Towards omega_max, U rises by L |move| at most; where that is proved."""
    fine = np.linspace(1, 1.9, 3001)
    cases = [(0.96, 0.17), (0.9, 0.2), (0.5, 0.2), (0.7, 0.05), (0.8, 0.6)]
    for beta, tau in cases:
        if not theory.semi_lipschitz_holds(beta, tau):
            continue
        bound = theory.near_asymptotic_bound(fine, beta, tau)
        rises = np.diff(bound) / np.diff(fine)
        assert rises.max() <= theory.semi_lipschitz(beta, tau, 1.9)
    assert list(theory.semi_lipschitz_holds([0.5, 0.7, 0.5], [0.2, 0.05, 0.05])) == [1, 1, 0]


def test_guarantee_of_theorem_2_1():
    """The paper: beta = .9 and tau = .2 give alpha = .848, and a use after about 73,000 systems."""
    found = theory.tsallis_guarantee(0.9, 0.2, 73_000)
    assert found.alpha == pytest.approx(0.848) and found.largest == pytest.approx(1.3929, abs=1e-4)
    per_round = [
        theory.tsallis_guarantee(0.9, 0.2, T).excess / (T * np.log(1e8)) for T in (72_500, 73_500)
    ]
    assert per_round[0] > 1 > per_round[1]


def test_the_grid_of_the_guarantee_is_the_best_one():
    """With sum_t L_t bounded by log(1 / tolerance) sum_t 1 / log^2 alpha_t, as in the proof."""
    rng = np.random.default_rng(0)
    beta, tau = rng.uniform(0.8, 0.99, 500), rng.uniform(0.15, 0.3, 500)
    found = theory.tsallis_guarantee(beta, tau)
    alphas = theory.worst_rate(beta, tau, found.largest)
    rises = np.log(1e8) / np.log(alphas) ** 2
    width = found.largest - 1
    assert np.all(theory.semi_lipschitz(beta, tau, found.largest) * width <= rises)

    def promised(arms):
        return theory.grid_regret(found.loss_scale, arms, rises, 1.0)

    arms = np.geomspace(found.num_arms / 3, found.num_arms * 3, 201)
    values = [promised(a) for a in arms]
    assert arms[np.argmin(values)] == pytest.approx(found.num_arms, rel=0.02)
    assert promised(found.num_arms) <= found.excess
    assert theory.grid_regret(2.0, 3.0, 5.0, 0.5, horizon=7) == pytest.approx(
        theory.grid_regret(2.0, 3.0, [5.0] * 7, 0.5)
    )


# ---- SSOR-CG -------------------------------------------------------------------------------


def test_condition_number_of_the_preconditioned_matrix():
    """The bound, with the lower triangle first; the order does not matter to eigenvalues here."""
    for region, shift in (("S", 0.0), ("L", 0.5)):
        A = shifted(shift, 10, region)
        D, L = np.diag(np.diag(A)), np.tril(A, -1)
        spectrum = theory.ssor_spectrum(A)
        inverse = np.linalg.inv(A)
        skew = (L @ np.linalg.inv(D) @ L.T - D / 4) @ inverse
        assert spectrum.mu == pytest.approx(np.linalg.eigvals(D @ inverse).real.max())
        assert spectrum.nu == pytest.approx(np.linalg.eigvals(skew).real.max())
        assert spectrum.condition == pytest.approx(np.linalg.cond(A))
        assert -0.25 <= spectrum.nu <= 0
        for omega in (0.9, 1.4, 1.9):
            X = D + omega * L
            P = X @ np.linalg.inv(D) @ X.T / (omega * (2 - omega))
            values = np.linalg.eigvals(np.linalg.solve(P, A)).real
            assert values.max() / values.min() <= theory.ssor_condition(omega, spectrum) + 1e-9


def test_best_ssor_omega_is_the_minimiser():
    spectrum = theory.ssor_spectrum(shifted(0.0))
    fine = np.linspace(0.83, 1.99, 100_001)
    best = fine[np.argmin(theory.ssor_cg_bound(fine, spectrum))]
    assert theory.best_ssor_omega(spectrum) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("region, shift, printed", [("L", 0.0, 0.73), ("S", 0.5, 0.80)])
def test_cg_tau_as_printed(region, shift, printed):
    """Theirs for another random right-hand side, in two digits."""
    A = shifted(shift, 10, region)
    omegas, b = np.linspace(2 * 2**0.5 - 2, 1.9, 25), np.random.default_rng(1).normal(size=len(A))
    counts = [reference.ssor_pcg_count(A, b, omega) for omega in omegas]
    spectrum = theory.ssor_spectrum(A)
    tau = theory.empirical_cg_tau(omegas, counts, spectrum)
    assert tau == pytest.approx(printed, abs=0.1) and tau < 1
    assert np.all(counts <= theory.ssor_cg_bound(omegas, spectrum, tau) + 1e-9)


def test_a_matrix_that_is_too_large_or_not_square():
    for A in (scipy.sparse.eye_array(5000), np.ones((2, 3)), np.ones(4)):
        with pytest.raises(ValueError, match="a square matrix of 4000 unknowns at most"):
            theory.jacobi_radius(A)
