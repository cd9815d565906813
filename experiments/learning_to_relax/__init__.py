"""Learning to relax (Khodak et al. 2024): the parameter of a solver, learnt from iteration counts.

Figures 1, 3 and 4 are about bounds on the number of iterations (`bounds`), 2 and 5 about learning
on shifted systems (`learning`), 2 and 6 about the heat equation (`heat`). The authors publish their
program and no numbers; numbers that we compare with are either in the text of the paper or come
from an independent re-implementation of that program, and each claim says which.
"""

from ..paper import Paper
from . import bounds, heat, learning

PAPER = Paper(
    "learning_to_relax",
    "Learning to Relax: Setting Solver Parameters Across a Sequence of Linear System Instances",
    "Mikhail Khodak, Edmond Chow, Maria-Florina Balcan and Ameet Talwalkar, ICLR 2024 (arXiv "
    "2310.02246)",
    "All figures: bounds on the iterations of SOR and of conjugate gradients, learning omega on "
    "shifted systems and in the heat equation; what the published root finder of Tsallis-INF "
    "costs; and learners that the paper does not have.",
    (*bounds.FIGURES, *learning.FIGURES, *heat.FIGURES),
    (*bounds.CLAIMS, *learning.CLAIMS, *heat.CLAIMS),
)
