"""Learning to relax: what is known of SOR and SSOR-CG beforehand, beside what they take.

Figures 1 to 4 of the paper. What holds by definition is drawn; claims are about what could fail.
`source` says where a number comes from if not from the paper.
"""

from __future__ import annotations

from functools import partial

from ...core.claims import Claim
from ..paper import Figure
from . import cg_bounds as cg
from . import sor_bounds as sor
from . import spectra as spectra

REPEAT = "an independent re-implementation"
FIGURES = (
    Figure(
        "bound_comparison", "SOR takes about what its asymptotics say", spectra.fixed_studies,
        sor.plot_bounds,
        "100 unknowns, c = 0. U is made from the one right-hand side drawn in grey and holds for "
        "it by definition; the blue band is all others. The energy bound holds for every matrix."
    ),
    Figure(
        "asymptocity", "How tau is found", spectra.fixed_studies, sor.plot_asymptocity,
        "C maps a residual to the next; k is the number of iterations but one. tau is the smallest "
        "number that lifts the dashed curve over the other. Dotted: omega*, where C has a double "
        "eigenvalue and the powers of C are slowest to obey it."
    ),
    Figure(
        "comparators", "One parameter for all systems, or one for each", spectra.drawn_studies,
        sor.plot_comparators,
        "Means over systems with random shifts, and t intervals. U: with each system's own tau, "
        "made from every fifth parameter and omega*(c). Dashed: means of each system's least."
    ),
    Figure(
        "degenerate", "A right-hand side that misleads", spectra.degenerate_studies,
        sor.plot_degenerate,
        "An eigenvector of the residual's map at omega = 1.4 with eigenvalue -0.4, in closed form "
        "(the eigenvalue has ten; the paper's is whichever LAPACK gave), beside random right-hand "
        "sides. Dotted: omega*."
    ),
    Figure(
        "tau_beta", "The constants of the theory over the shift", spectra.shift_studies,
        sor.plot_tau_beta,
        "Means and ranges over right-hand sides, the same at each of 13 shifts (paper: one, 97 "
        "shifts; `quick` has 6). U is semi-Lipschitz where "
        "one of the two lines is passed. With omega* itself among the parameters, tau is larger."
    ),
    Figure(
        "ssor_cg_bounds", "SSOR-CG and its bound", cg.studies, cg.plot,
        "Bound with the smallest factor tau that holds for the right-hand side in grey; blue: mean "
        "and range of all. Dotted: where the bound is least."
    ),
)  # fmt: skip

CLAIMS = (
    Claim(
        "u-bounds-other-right-hand-sides",
        "U with the tau of one right-hand side bounds the counts of another, at every omega",
        "Figure 1, left; share that is enough is ours", "bound_comparison", "all",
        sor.bound_transfers, (0.95, 1.0),
    ),
    Claim(
        "u-nearer-than-energy", "U is nearer to the counts than the energy bound, at most omegas",
        "Figure 1, left", "bound_comparison", "most", sor.nearer_than_energy, (0.5, 1.0),
    ),
    Claim(
        "u-nearer-everywhere", "U is nearer to the counts than the energy bound, at every omega",
        "our reading of Figure 1, left", "bound_comparison", "ratio of the distances below 1",
        sor.over_energy, (0.0, 1.0),
    ),
    Claim(
        "u-tight", "U is at most one and a half times the mean count, at every omega",
        f"our reading of Figure 1, left; 1.38 by {REPEAT}", "bound_comparison", "about 1.4",
        sor.looseness, (1.0, 1.5),
    ),
    Claim(
        "omega-star-near-best", "omega* costs a tenth more than the best omega at most (c = 0)",
        "Figure 1, left; the tenth is ours", "bound_comparison", "ratio at most 1.1",
        sor.cost_of_star, (1.0, 1.1),
    ),
    Claim(
        "tau-at-zero", "tau is about 0.19 where c = 0 and omega* is among the parameters",
        f"{REPEAT}, one b; plus or minus 0.03, ours", "asymptocity", "0.19",
        sor.tau_at_zero, (0.16, 0.22),
    ),
    *(
        Claim(
            f"best-fixed-{law.replace(' ', '-')}", f"Best omega for all systems, {law}",
            f"{REPEAT}, three times 40 systems; widened by 0.02, ours", "comparators",
            f"{low} to {high}", partial(sor.best_omega, law),
            (round(low - 0.02, 2), round(high + 0.02, 2)),
        )
        for law, low, high in zip(spectra.LAWS, (1.63, 1.76), (1.66, 1.82), strict=True)
    ),
    Claim(
        "comparator-means", "Means of the best fixed omega and of the best omega of each system "
        "are those of the reference (in its standard errors)", f"{REPEAT}, three times 40 systems",
        "comparators", "at most 4", sor.furthest_mean, (0.0, 4.0), "s.e.",
    ),
    Claim(
        "minimiser-of-u", "The minimiser of the mean of U costs a tenth more than the best omega "
        "at most, on other systems", "Figure 1, centre; the tenth is ours", "comparators",
        "ratio at most 1.1", sor.cost_of_bound, (1.0, 1.1),
    ),
    Claim(
        "u-between-parameters", "U from every fifth omega and omega* bounds the counts at all "
        "others, for most systems", "the assumption before Theorem 2.1; the share is ours",
        "comparators", "all", sor.bound_between, (0.5, 1.0),
    ),
    Claim(
        "eigenvector-21", "An eigenvector of eigenvalue -0.4 takes the 21 iterations that "
        "0.4^k < 1e-8 says", "Figure 2, left", "degenerate", "21",
        sor.eigenvector_count, (21, 21), "iterations",
    ),
    Claim(
        "eigenvector-best", "For it the best omega is 1.4, far from omega* = 1.56",
        "Figure 2, left", "degenerate", "1.4", sor.eigenvector_best, (1.39, 1.41),
    ),
    Claim(
        "random-b-on-plot", "Means of random right-hand sides at 1, 1.56 and 1.9 are those of the "
        "picture, within a tenth", "read off the authors' picture; the tenth is ours",
        "degenerate", "190, 37, 177", sor.furthest_on_plot, (0.0, 0.1),
    ),
    Claim(
        "tau-over-shifts", "tau on steps of 0.02 is that of the reference at its shifts",
        f"Figure 3, by {REPEAT}, one b; the distance is ours", "tau_beta",
        "off by 0.03 at most", sor.furthest_tau, (0.0, 0.03),
    ),
    Claim(
        "tau-usually-above", "tau on steps of 0.02 is above 1 / e^2 at most shifts",
        "Figure 3: usually", "tau_beta", "usually", sor.usual_tau, (0.5, 1.0),
    ),
    Claim(
        "tau-with-omega-star", "With omega* among the parameters, tau is above 1 / e^2 at every "
        "shift", "our addition to Figure 3", "tau_beta", "at least 0.135", sor.least_tau,
        (sor.PROVED, 1.0),
    ),
    Claim(
        "cg-tau", "The bound on SSOR-CG needs a factor of about 3/4 or more: it is not vacuous",
        "Figure 4; 0.7 is our reading of about", "ssor_cg_bounds", "3/4 or more",
        cg.least_tau, (0.7, 1.0),
    ),
    Claim(
        "cg-minimiser", "The minimiser of the bound costs a tenth more than the best omega at "
        "most, on every region", "Figure 4; the tenth is ours", "ssor_cg_bounds",
        "ratio at most 1.1", cg.cost_of_minimiser, (1.0, 1.1),
    ),
    Claim(
        "cg-counts", "Fewest iterations of SSOR-CG and those of CG alone are the reference's, "
        "within a tenth", f"Figure 4, by {REPEAT}, one b; the tenth is ours", "ssor_cg_bounds",
        "table of 16", cg.furthest_from_reference, (0.0, 0.1),
    ),
)  # fmt: skip
