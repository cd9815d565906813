"""Best-arm identification with a fixed budget."""

from .bayesgap import BayesGap
from .halving import SequentialHalving
from .linear import GSE, ODLinBAI
from .peace import Peace
from .rejects import SuccessiveRejects
from .ucbe import UCBE, AdaptiveUCBE
from .uniform import UniformAllocation

__all__ = [
    "GSE",
    "AdaptiveUCBE",
    "BayesGap",
    "ODLinBAI",
    "Peace",
    "SequentialHalving",
    "SuccessiveRejects",
    "UCBE",
    "UniformAllocation",
]
