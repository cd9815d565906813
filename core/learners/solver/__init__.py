"""Learners that tune a solver: a parameter a linear system, the number of iterations comes back."""

from .binned import Binned
from .plain import FixedOmega, GoldenSection, InstanceOptimal
from .rewards import FromCosts
from .tsallis import TsallisTuner

__all__ = [
    "Binned",
    "FixedOmega",
    "FromCosts",
    "GoldenSection",
    "InstanceOptimal",
    "TsallisTuner",
]
