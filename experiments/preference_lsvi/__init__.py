"""PR-LSVI (Wu and Sun 2023): what regret costs in questions, and what preferences cost.

The paper has no experiments; its statements are about orders of growth. They are tested on small
linear MDPs of ours with a steep logistic link: there a preference tells a lot, and exponents can be
seen within thousands of episodes. The constants (sigma, thresholds, ridge) are ours too.
"""

from ..paper import Paper
from . import price, rates, thresholds

PAPER = Paper(
    "preference_lsvi",
    "Making RL with Preference-based Feedback Efficient via Randomization",
    "Runzhe Wu and Wen Sun, ICLR 2024 (arXiv 2310.14554)",
    "Regret of order T^(1-b) for T^(2b) questions with PR-LSVI and Thompson sampling, and what "
    "preferences cost beside rewards. The paper has no experiments: instances, constants and the "
    "sequential estimate in place of the maximum likelihood are ours.",
    (*thresholds.FIGURES, *rates.FIGURES, *price.FIGURES),
    (*thresholds.CLAIMS, *rates.CLAIMS, *price.CLAIMS),
)
