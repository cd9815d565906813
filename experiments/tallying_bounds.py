"""Weighted tallying: what no learner can avoid, on the hard games of `envs.tally_theory`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import learners, plotting
from ..core.learners import tallying as tally
from ..core.statistics import Estimate, mean, smallest, split_level
from ..core.study import Study
from ..envs import tally_theory
from ..envs.instances import HiddenBestArm
from .growth import Data, final
from .paper import Scale
from .tallying_games import (
    ARMS,
    BATCHED,
    COMMIT,
    ROBIN,
    SE,
    SIZES,
    in_rounds,
    in_visits,
    labelled,
    rounds_of,
)

GAP = 0.5
LONG = 40  # rounds, in m K: enough to find the arm


def _everybody(memory: int) -> dict[str, Any]:
    return {
        SE: tally.TallyingElimination(burn_in=memory),
        COMMIT: tally.ExposedExploreThenCommit(burn_in=memory, pulls_per_arm=40),
        BATCHED: tally.Batched(learners.Exp3(), batch=2 * memory),
        "UCB1": learners.UCB1(),
        ROBIN: tally.RoundRobinElimination(),
    }


def hidden_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    pairs = {(arms, 20) for arms in size.arms} | {(ARMS, memory) for memory in size.memories}
    return [
        in_rounds(
            f"hidden-m{memory}-K{arms}",
            {"hidden": HiddenBestArm(tally_theory.hidden_arm(arms, memory, gap=GAP))},
            LONG * arms * memory,
            _everybody(memory),
            size.seeds,
        )
        for arms, memory in sorted(pairs)
    ]


def _hidden_cells(data: Data):
    for name, dataset in data.items():
        memory, arms = (int(part[1:]) for part in name.split("-")[1:3])
        least = tally_theory.hidden_arm_cost(arms, memory, GAP)
        for learner in dataset.learner.values:
            values = final(dataset, "hidden", str(learner))
            yield memory * arms, str(learner), least, values


def plot_hidden(data: Data):
    drawn = plotting.figure(1, 1, width=6.4, height=4.2)
    (ax,) = drawn.axes
    cells = list(_hidden_cells(data))
    for slot, learner in enumerate(_everybody(1)):
        rows = sorted((mk, values.mean()) for mk, name, _, values in cells if name == learner)
        ax.plot(
            *zip(*rows, strict=True), "osD^v"[slot], color=plotting.COLOURS[slot], label=learner
        )
    rows = sorted({(mk, least) for mk, _, least, _ in cells})
    ax.plot(*zip(*rows, strict=True), ":", color="0.2", label="lower bound")
    ax.set(xscale="log", yscale="log", xlabel="m K", ylabel=f"regret at T = {LONG} m K")
    ax.legend(fontsize="small")
    return labelled(drawn)


def least_ratio(data: Data, level: float) -> Estimate:
    cells = list(_hidden_cells(data))
    split = split_level(level, len(cells))
    return smallest([mean(values / least, level=split) for *_, least, values in cells])._replace(
        level=level
    )


def late_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    horizon, found = (1000 if scale == "smoke" else 20_000), []
    for bound in size.bounds:
        settled, late = tally_theory.settled_or_late(bound)
        games = {"settled": settled, "late": late}
        visitors = {
            "elimination, M": tally.TallyingElimination(burn_in=bound),
            "elimination, M / 4": tally.TallyingElimination(burn_in=bound // 4),
            COMMIT: tally.ExposedExploreThenCommit(burn_in=bound, pulls_per_arm=20),
        }
        walkers = {"UCB1": learners.UCB1(), "Exp3": learners.Exp3()}
        found.append(in_visits(f"late-visits-M{bound}", games, horizon, visitors, size.seeds))
        found.append(in_rounds(f"late-rounds-M{bound}", games, horizon, walkers, size.seeds))
    return found


def _late_cells(data: Data):
    """(M, learner, regret in the settled game / (0.1 M), in the late one / (T / 2))."""
    for name, dataset in data.items():
        bound, horizon = int(name.split("-M")[1].split("-")[0]), rounds_of(name)
        for learner in dataset.learner.values:
            settled, late = (final(dataset, g, str(learner)) for g in ("settled", "late"))
            yield bound, str(learner), settled / (0.1 * bound), late / (horizon / 2)


def plot_late(data: Data):
    drawn = plotting.figure(1, 1, width=6.4, height=4.2)
    (ax,) = drawn.axes
    cells = list(_late_cells(data))
    bounds = sorted({bound for bound, *_ in cells})
    for slot, learner in enumerate(dict.fromkeys(learner for _, learner, *_ in cells)):
        for bound, marker in zip(bounds, "osD^", strict=False):
            ((x, y),) = ((a.mean(), b.mean()) for m, n, a, b in cells if (m, n) == (bound, learner))
            label = learner if bound == bounds[0] else None
            ax.plot(x, y, marker, color=plotting.COLOURS[slot], label=label)
    line = np.geomspace(1e-3, 0.999, 100)
    ax.plot(line, 1 - line, ":", color="0.2", label="no learner is below")
    ax.set(xscale="symlog", xlabel="regret where m = 1, over 0.1 M")
    ax.set(ylabel="regret where m = M, over T / 2", title=f"M = {', '.join(map(str, bounds))}")
    ax.legend(fontsize="small")
    return labelled(drawn)


def least_sum(data: Data, level: float) -> Estimate:
    cells = list(_late_cells(data))
    split = split_level(level, len(cells))
    sums = [mean(settled + late, level=split) for *_, settled, late in cells]
    return smallest(sums)._replace(level=level)
