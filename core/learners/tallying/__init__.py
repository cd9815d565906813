"""Learners for weighted tallying bandits: rewards depend on how much an arm was played lately."""

from .batched import Batched
from .elimination import RoundRobinElimination, TallyingElimination
from .explore import Always, ExposedExploreThenCommit
from .levels import LevelElimination
from .visits import ByVisit

__all__ = [
    "Always",
    "Batched",
    "ByVisit",
    "ExposedExploreThenCommit",
    "LevelElimination",
    "RoundRobinElimination",
    "TallyingElimination",
]
