"""Learning algorithms, grouped by what they learn from."""

from . import bandits, experts
from .bandits import *  # noqa: F403
from .experts import Hedge

__all__ = ["Hedge", "bandits", "experts"]
__all__ += bandits.__all__
