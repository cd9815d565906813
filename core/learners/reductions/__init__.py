"""Contextual bandits by reduction to online regression: any regressor, and a rule that plays."""

from .greedy import Greedy
from .inverse_gap import (
    FastCB,
    SquareCB,
    fast_theory_gamma,
    inverse_gap,
    small_loss_inverse_gap,
    square_theory_gamma,
)
from .regressor import Regressor

__all__ = [
    "FastCB",
    "Greedy",
    "Regressor",
    "SquareCB",
    "fast_theory_gamma",
    "inverse_gap",
    "small_loss_inverse_gap",
    "square_theory_gamma",
]
