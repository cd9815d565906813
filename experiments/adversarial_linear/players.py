"""Which losses, which learners, and the constants that a small grid has chosen for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...core.learners.mdp.adversarial import DilatedPO, LogBarrierPO, PlainPO, ReducedPO
from ...envs import adversarial_mdp_instances as instances
from ...envs.adversarial_mdp import AdversarialMDP
from ...envs.mdp_instances import random_low_rank
from ..paper import Scale

BARRIER, REDUCED, PLAIN = "log barrier", "magnitude-reduced", "plain"
FAST = "plain at the rate of the reduced"
LEARNERS = (BARRIER, REDUCED, PLAIN)


class Cell(NamedTuple):
    """One setting of one algorithm, in multiples of what its theory has."""

    rate: float
    bonus: float

    def __str__(self) -> str:
        return f"{self.rate:g} / {self.bonus:g}"


# Exponential weights need a gamma that keeps eta times an estimate above -1: of a rate, the least
# ridge that does. The log barrier bears any.
MAKE: dict[str, Callable[[Cell], DilatedPO]] = {
    BARRIER: lambda c: LogBarrierPO(c.rate, 1.0, c.bonus),
    REDUCED: lambda c: ReducedPO(c.rate, c.rate**2, c.bonus),
    PLAIN: lambda c: PlainPO(c.rate, c.rate, c.bonus),
    FAST: lambda c: PlainPO(c.rate, c.rate**2, c.bonus, schedule="root"),
}
CELLS = [Cell(rate, bonus) for rate in (2.0, 4.0, 8.0, 16.0, 32.0) for bonus in (0.01, 0.1)]
# Of least regret in the grid: the geometric mean over sequences of the worst over sizes.
CHOSEN = {BARRIER: Cell(16.0, 0.01), REDUCED: Cell(4.0, 0.01), PLAIN: Cell(16.0, 0.01)}
CHOSEN[FAST] = CHOSEN[REDUCED]


def grid(part: int = 1) -> dict[str, Any]:
    """Every cell, or every so-manieth, by the name of algorithm and cell."""
    return {f"{name} {cell}": MAKE[name](cell) for name in LEARNERS for cell in CELLS[::part]}


def chosen(*names: str) -> dict[str, Any]:
    return {name: MAKE[name](CHOSEN[name]) for name in names}


# ---- losses --------------------------------------------------------------------------------

STAGES = 2
_MDP = random_low_rank(4, 3, 3, STAGES, anchors=True, concentration=0.3)
SEQUENCES: dict[str, Callable[[float], AdversarialMDP]] = {
    "stochastic": lambda size: instances.stochastic_losses(_MDP, 0.8 * size, 0.1),
    "switching": lambda size: instances.switching_losses(_MDP, 0.5 * size, 0.1),
    "alternating": lambda size: instances.alternating_losses(_MDP, 0.5 * size, 0.25),
    "opposed": lambda size: instances.opposed_actions(2, STAGES, 0.5 * size),
}
WHAT = {
    "stochastic": "losses around a mean",
    "switching": "good and bad times, each twice as long as the one before",
    "alternating": "two tables that take turns",
    "opposed": "a safe action and pairs of opposed ones",
}
SIZES: dict[Scale, tuple[float, ...]] = {
    "smoke": (1.0, 0.5), "quick": (1.0, 0.5, 0.25, 0.125), "paper": (1.0, 0.5, 0.25, 0.125, 0.0625),
}  # fmt: skip


def family(sequence: str, sizes: tuple[float, ...]) -> dict[str, AdversarialMDP]:
    """The same losses, what sets policies apart being larger or smaller."""
    return {f"{sequence}, size {size:g}": SEQUENCES[sequence](size) for size in sizes}
