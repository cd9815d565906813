"""Linear contextual bandits: rates in rounds and dimension, small losses, misspecification.

Not one paper but the ground that neural contextual bandits stand on: `growth` for LinUCB, OFUL,
LinTS and SquareCB, `losses` for FastCB, `misspecified` for sparse parameters.
"""

from ..paper import Paper
from . import growth, losses, misspecified

PAPER = Paper(
    "linear_contextual_bandits",
    "Linear Contextual Bandits",
    "After Abbasi-Yadkori, Pal and Szepesvari, NeurIPS 2011; Agrawal and Goyal, ICML 2013; Foster "
    "and Rakhlin, ICML 2020; Foster and Krishnamurthy, NeurIPS 2021; Dong and Yang, ICML 2023",
    "How regret grows with rounds and dimension, with the loss of the best policy, and what is "
    "left of it where rewards are not quite linear.",
    (*growth.FIGURES, *losses.FIGURES, *misspecified.FIGURES),
    (*growth.CLAIMS, *losses.CLAIMS, *misspecified.CLAIMS),
)
