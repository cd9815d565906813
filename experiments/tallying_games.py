"""What the figures of weighted tallying share: sizes, the suite's games, studies of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import NullFormatter

from ..core.learners import tallying as tally
from ..core.study import Study
from ..envs import tally_losses
from ..envs.tally_visits import TallyingInVisits
from ..envs.tallying import WeightedTallyingBandit
from ..envs.windows import UniformWindow
from .paper import Scale

LABEL = "reconstruction: the paper's own settings were not available"


class Size(NamedTuple):
    """How large each figure is at one scale."""

    seeds: int
    horizon: int  # of the reference table
    geometric: bool  # whether the reference table includes decaying weights
    memories: tuple[int, ...]
    arms: tuple[int, ...]
    horizons: tuple[int, ...]
    bounds: tuple[int, ...]  # M in the second hard family


SIZES: dict[Scale, Size] = {
    "smoke": Size(16, 2000, False, (5,), (2, 10), (2000, 8000), (10,)),
    "quick": Size(200, 50_000, False, (5, 20), (2, 10), (10_000, 100_000, 1_000_000), (20, 100)),
    "paper": Size(
        1000, 50_000, True, (5, 20, 100), (2, 10, 50),
        (10_000, 100_000, 1_000_000, 10_000_000), (20, 100, 400),
    ),
}  # fmt: skip
ARMS, MEMORY = 10, 20  # of the suite
FAMILIES = ("constant", "learning", "trap", "u-shape")
SE, ROBIN, COMMIT, BATCHED = "elimination", "round robin", "explore, commit", "batched Exp3"


def levels(arms: int) -> np.ndarray:
    """Settled losses of the suite."""
    return np.linspace(0.2, 0.6, arms)


def family(name: str, arms: int) -> tally_losses.TallyLosses:
    """One of the suite's families."""
    if name == "trap":
        return tally_losses.trap(arms)
    shape = {
        "constant": tally_losses.constant,
        "learning": tally_losses.learning,
        "u-shape": tally_losses.u_shape,
    }
    return shape[name](levels(arms))


def game(losses: tally_losses.TallyLosses, memory: int) -> WeightedTallyingBandit:
    """A game whose window counts all plays alike; one program for losses of any kind."""
    return WeightedTallyingBandit(tally_losses.tabulated(losses, memory), UniformWindow(memory))


def in_visits(
    name: str, games: dict[str, Any], horizon: int, players: dict[str, Any], seeds: int
) -> Study:
    """A study visit by visit, long enough for all its learners; T is in its name."""
    environments = {key: TallyingInVisits(env, horizon) for key, env in games.items()}
    chosen = {key: tally.ByVisit(player) for key, player in players.items()}
    visits = max(
        player.num_visits(env) for player in chosen.values() for env in environments.values()
    )
    return Study(f"{name}-T{horizon}", environments, chosen, visits, seeds, checkpoints=(visits,))


def in_rounds(
    name: str, games: dict[str, Any], horizon: int, players: dict[str, Any], seeds: int
) -> Study:
    """A study round by round."""
    return Study(f"{name}-T{horizon}", games, players, horizon, seeds, checkpoints=(horizon,))


def rounds_of(name: str) -> int:
    """The horizon of a study of the above."""
    return int(name.rpartition("-T")[2])


def labelled(drawn: Any) -> Any:
    """The figure, with a line on it that says what it is not."""
    for ax in drawn.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if axis.get_scale() == "log":
                axis.set_minor_formatter(NullFormatter())  # they would run into each other
    drawn.supxlabel(LABEL, fontsize=8, color="#555555", x=0.01, ha="left")
    return drawn
