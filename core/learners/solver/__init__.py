"""Learners that tune a solver: a parameter a linear system, the number of iterations comes back."""

from .bayes import GPTuner
from .binned import Binned
from .chebyshev import ChebCB
from .neural import NeuralTuner
from .plain import FixedOmega, GoldenSection, InstanceOptimal
from .rewards import FromCosts
from .tsallis import TsallisTuner

__all__ = [
    "Binned",
    "ChebCB",
    "FixedOmega",
    "FromCosts",
    "GPTuner",
    "GoldenSection",
    "InstanceOptimal",
    "NeuralTuner",
    "TsallisTuner",
]
