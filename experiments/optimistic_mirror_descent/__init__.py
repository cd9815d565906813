"""Optimistic mirror descent between stochastic and adversarial losses: figures and claims.

Neither paper has experiments: what is judged are its theorems, in scenarios of their lists.
`bounds` has the theorems with constants, each with its derivation; `table` holds our numbers
against those of an independent program; `dial` goes from stochastic to adversarial; `growth` lets
the rounds grow; `special` has corruption, random orders and a lower bound; `dynamic` is about a
best point that moves.
"""

from ..paper import Paper
from . import dial, dynamic, growth, special, table

PAPER = Paper(
    "optimistic_mirror_descent",
    "Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial Online Convex "
    "Optimization",
    "Sijia Chen, Yu-Jie Zhang, Wei-Wei Tu, Peng Zhao and Lijun Zhang, Journal of Machine Learning "
    "Research 25(178), 2024; and Sarah Sachs, Hedi Hadiji, Tim van Erven and Cristobal Guzman, "
    "Between Stochastic and Adversarial Online Convex Optimization: Improved Regret Bounds via "
    "Smoothness, NeurIPS 2022",
    "The theorems of both papers, which have no experiments: bounds in the summed variances and "
    "variations, with constants derived here, rates in T, special cases, dynamic regret. Scenarios "
    "and sizes are ours.",
    (*table.FIGURES, *dial.FIGURES, *growth.FIGURES, *special.FIGURES, *dynamic.FIGURES),
    (*table.CLAIMS, *dial.CLAIMS, *growth.CLAIMS, *special.CLAIMS, *dynamic.CLAIMS),
)
