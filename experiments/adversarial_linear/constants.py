"""Which constants: every cell of a small grid on all losses, with other seeds than those that are
compared."""

from __future__ import annotations

import numpy as np

from ...core import plotting
from ...core.study import Study
from ..growth import Data, final
from ..paper import Figure, Scale
from .players import CELLS, CHOSEN, LEARNERS, SEQUENCES, family, grid

EPISODES: dict[Scale, int] = {"smoke": 64, "quick": 512, "paper": 4096}
SEEDS: dict[Scale, int] = {"smoke": 2, "quick": 8, "paper": 16}
SIZES = (1.0, 0.5, 0.25)  # the worst are among these
PART: dict[Scale, int] = {"smoke": 5, "quick": 2, "paper": 1}  # of the grid, every so-manieth cell


def _studies(scale: Scale) -> list[Study]:
    k, seeds, cells = EPISODES[scale], SEEDS[scale], grid(PART[scale])
    sizes = SIZES if scale == "paper" else SIZES[:2]
    return [
        Study(sequence, family(sequence, sizes), cells, k, seeds, (k,), root_seed=1)
        for sequence in SEQUENCES
    ]


def worst(data: Data, sequence: str, learner: str) -> float:
    """Mean regret in the size where it is largest."""
    dataset = data[sequence]
    return max(float(final(dataset, str(e), learner).mean()) for e in dataset.environment.values)


def overall(data: Data, learner: str) -> float:
    """The geometric mean over sequences of the worst regrets: by this the cells were chosen."""
    return float(np.exp(np.mean([np.log(worst(data, name, learner)) for name in SEQUENCES])))


def _plot(data: Data):
    drawn = plotting.figure(1, len(LEARNERS), width=4.0, height=4.0)
    there = {str(name) for name in data[next(iter(SEQUENCES))].learner.values}
    for ax, name in zip(drawn.axes, LEARNERS, strict=True):
        for slot, bonus in enumerate(sorted({cell.bonus for cell in CELLS})):
            cells = [c for c in CELLS if c.bonus == bonus and f"{name} {c}" in there]
            if cells:
                values = [overall(data, f"{name} {cell}") for cell in cells]
                look = plotting.line_style(slot)
                rates = [cell.rate for cell in cells]
                ax.plot(rates, values, marker="o", ms=4, label=f"bonus {bonus:g}", **look)
        ax.set(xscale="log", ylim=(0, None), xlabel="rate", title=f"{name}: {CHOSEN[name]}")
        rates = sorted({cell.rate for cell in CELLS})
        ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
        ax.minorticks_off()
        ax.legend(fontsize="small")
    drawn.axes[0].set_ylabel("regret (losses)")
    return drawn


FIGURES = (
    Figure(
        "constants", "Constants of rate and bonus", _studies, _plot,
        "Mean regret in the worst of the sizes, geometric mean over the four sequences of losses; "
        "rate and bonus in multiples of the theory's. gamma is the least that the theory has for "
        "a rate where weights are exponential. The cell in the title has the least; other seeds "
        "than in the other figures.",
    ),
)  # fmt: skip
