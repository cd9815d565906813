"""Contextual bandits with online neural regression (Deb et al. 2024): NeuSquareCB, NeuFastCB.

Classification sets as bandits (`sets`), with every cell of every grid (`players`); and the
perturbation on and off, online against replayed training, regret against L* (`ablations`). The
paper's text and code were not at hand: what is from memory is marked in docs/contextual_bandits.md.
"""

from ..paper import Paper
from . import ablations, sets

PAPER = Paper(
    "online_neural_regression",
    "Contextual Bandits with Online Neural Regression",
    "Rohan Deb, Yikun Ban, Shiliang Zuo, Jingrui He and Arindam Banerjee, ICLR 2024 (arXiv "
    "2312.07145)",
    "Its six classification sets, letter and digits beside them, with all grids; then what a "
    "reviewer asked for, the perturbation on and off, and online against replayed training.",
    (*sets.FIGURES, *ablations.FIGURES),
    (*sets.CLAIMS, *ablations.CLAIMS),
)
