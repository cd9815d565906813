"""Learners for online convex optimisation: a point a round, then the gradient there."""

from .adagrad import AdaGrad
from .from_optax import FromOptax
from .ftrl import FTRL, DualAveraging
from .gradient import OGD
from .metagrad import MetaGrad
from .mirror import MirrorDescent
from .newton import OnlineNewton
from .optimistic import OptimisticMirrorDescent
from .optimistic_ftrl import OptimisticFTRL
from .optimistic_newton import OptimisticNewton
from .two_layer import TwoLayer

__all__ = [
    "FTRL",
    "OGD",
    "AdaGrad",
    "DualAveraging",
    "FromOptax",
    "MetaGrad",
    "MirrorDescent",
    "OnlineNewton",
    "OptimisticFTRL",
    "OptimisticMirrorDescent",
    "OptimisticNewton",
    "TwoLayer",
]
