"""Adversarial losses in linear MDPs: rates of the log barrier, the magnitude-reduced estimator and
plain estimators with bandit feedback (`growth`), constants (`constants`), and OPPO (`mixtures`).

The text of the papers was not at hand: what is from memory is marked in the learners.
"""

from ..paper import Paper
from . import constants, growth, mixtures

PAPER = Paper(
    "adversarial_linear",
    "Refined Regret for Adversarial MDPs with Linear Function Approximation",
    "Yan Dai, Haipeng Luo, Chen-Yu Wei and Julian Zimmert, ICML 2023 (arXiv 2301.12942); with Qi "
    "Cai, Zhuoran Yang, Chi Jin and Zhaoran Wang, Provably Efficient Exploration in Policy "
    "Optimization, ICML 2020",
    "How regret grows with the number of episodes, with a simulator and bandit feedback: two "
    "algorithms of order sqrt(K) and the one of order K^(2/3) before them, where their constants "
    "come from, and OPPO with full information.",
    (*growth.FIGURES, *constants.FIGURES, *mixtures.FIGURES),
    (*growth.CLAIMS, *mixtures.CLAIMS),
)
