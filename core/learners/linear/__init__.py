"""Contextual learners whose models of the rewards are linear in the features."""

from .elimination import PhasedElimination
from .logistic import Logistic
from .regcb import RegCB
from .ridge import Ridge
from .sparse import SparseElimination
from .thompson import LinTS
from .ucb import OFUL, LinUCB

__all__ = [
    "OFUL",
    "LinTS",
    "LinUCB",
    "Logistic",
    "PhasedElimination",
    "RegCB",
    "Ridge",
    "SparseElimination",
]
