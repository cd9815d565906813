"""Learners in Markov decision processes with linear structure: one round is one episode."""

from .adversarial import DilatedPO, LogBarrierPO, PlainPO, ReducedPO
from .duelling import Duelling
from .hybrid import HyQ
from .langevin import LMCLSVI
from .lsvi import LSVIUCB
from .lsvi_plus import HYRULE, LSVIUCBPlusPlus
from .oppo import OPPO
from .pedel import FTPedel
from .pevi import LinPEVI, LinPEVIADV
from .preference import PRLSVI, PbTS
from .randomised import LSVIPHE, RLSVI
from .rappel import RAPPEL
from .reduction import H2O, MABO, FittedQ, HyGLOW
from .ucbvi import UCBVI

__all__ = [
    "H2O",
    "HYRULE",
    "LMCLSVI",
    "LSVIPHE",
    "LSVIUCB",
    "MABO",
    "OPPO",
    "PRLSVI",
    "RAPPEL",
    "RLSVI",
    "UCBVI",
    "DilatedPO",
    "Duelling",
    "FTPedel",
    "FittedQ",
    "HyGLOW",
    "HyQ",
    "LSVIUCBPlusPlus",
    "LinPEVI",
    "LinPEVIADV",
    "LogBarrierPO",
    "PbTS",
    "PlainPO",
    "ReducedPO",
]
