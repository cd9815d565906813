"""Oracle-efficient groupwise regret (Acharya et al. 2024): one forecaster, many groups at once.

The paper's four synthetic sets, medical costs and adult income in the authors' own ten orders
(`published`, `people`), the same law with a fresh data set for every seed (`fresh`), and what the
paper leaves out: other subroutines, no always-on group, many groups, shortest paths (`beyond`).
"""

from ..paper import Paper
from . import beyond, fresh, people, published

PAPER = Paper(
    "groupwise_regret",
    "Oracle Efficient Algorithms for Groupwise Regret",
    "Krishna Acharya, Eshwar Ram Arunachaleswaran, Sampath Kannan, Aaron Roth and Juba Ziani, ICLR "
    "2024 (arXiv 2310.04652)",
    "All experiments: synthetic groups, medical costs, adult income, to the digits of the authors' "
    "tables; then fresh data sets, so that intervals mean something, and ablations that the paper "
    "does not have.",
    (*published.FIGURES, *people.FIGURES, *fresh.FIGURES, *beyond.FIGURES),
    (*published.CLAIMS, *people.CLAIMS, *fresh.CLAIMS, *beyond.CLAIMS),
)
