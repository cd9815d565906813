"""Contextual learners whose models of the rewards are linear in the features."""

from .logistic import Logistic
from .regcb import RegCB
from .ridge import Ridge
from .thompson import LinTS
from .ucb import OFUL, LinUCB

__all__ = ["OFUL", "LinTS", "LinUCB", "Logistic", "RegCB", "Ridge"]
