"""Least-squares value iteration: which exploration finds reward that is far away, and at what rate.

Not one paper but the ground that results on linear MDPs stand on: `curves` for four problems,
`deep_sea` for depth, `growth` for episodes and dimension, `optimism` for the theory's bonus.
"""

from ..paper import Paper
from . import curves, deep_sea, growth, optimism

PAPER = Paper(
    "lsvi",
    "Exploration by Least-Squares Value Iteration",
    "After Jin, Yang, Wang and Jordan, COLT 2020 (LSVI-UCB); He, Zhao, Zhou and Gu, ICML 2023 "
    "(LSVI-UCB++); Osband, Van Roy and Wen, ICML 2016 (RLSVI); Ishfaq et al., ICML 2021 (LSVI-PHE) "
    "and ICLR 2024 (LMC-LSVI); Zhou, Gu and Szepesvari, COLT 2021 (lower bound)",
    "Optimism by a bonus beside optimism by noise in linear MDPs: regret with every setting, depth "
    "that is mastered, growth in episodes and dimension, and what the theory's bonus does.",
    (*curves.FIGURES, *deep_sea.FIGURES, *growth.FIGURES, *optimism.FIGURES),
    (*curves.CLAIMS, *deep_sea.CLAIMS, *growth.CLAIMS, *optimism.CLAIMS),
)
