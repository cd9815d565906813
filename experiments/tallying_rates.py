"""Weighted tallying: how regret grows with the burn-in, the memory, the arms and the horizon."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..core import plotting
from ..core.learners import tallying as tally
from ..core.statistics import Estimate, growth_exponent, largest, mean, split_level
from ..core.study import Study
from ..envs import tally_losses
from ..envs.tallying import WeightedTallyingBandit
from .growth import Data, final
from .paper import Scale
from .tallying_games import (
    ARMS,
    COMMIT,
    MEMORY,
    SE,
    SIZES,
    family,
    game,
    in_visits,
    labelled,
    rounds_of,
)

SEVERAL = (1, 2, 5, 10, 20)  # M / m
LONG = 1_000_000  # rounds in which the additive cost is measured

# ---- the additive cost ---------------------------------------------------------------------


def cost_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    horizon, seeds = LONG, size.seeds
    trap = {"trap": game(family("trap", ARMS), MEMORY)}
    burned = {f"M = {k * MEMORY}": tally.TallyingElimination(burn_in=k * MEMORY) for k in SEVERAL}
    found = [in_visits("bound", trap, horizon, burned, seeds)]
    arms = {"smoke": (2, 5), "quick": (2, 10, 50)}.get(scale, (2, 5, 10, 20, 50))
    memories = {"smoke": (5, 10), "quick": (5, 25, 100)}.get(scale, (5, 20, 50, 100))
    both = {f"M = {k * MEMORY}": tally.TallyingElimination(burn_in=k * MEMORY) for k in (1, 5)}
    for number in arms:
        env = {"trap": game(family("trap", number), MEMORY)}
        found.append(in_visits(f"arms{number}", env, horizon, both, seeds))
    for memory in memories:
        env = {"trap": game(family("trap", ARMS), memory)}
        player = {SE: tally.TallyingElimination(burn_in=memory)}
        found.append(in_visits(f"memory{memory}", env, horizon, player, seeds))
    return found


def epochs_burned(data: Data, level: float) -> Estimate:
    """What one play more of burn-in costs, over what it costs in an epoch with all arms, (K - 1)
    times the gap of 1/2: in how many epochs an arm of the trap is visited."""
    amounts, values = cost_of_bound(data)
    return mean(values[-1] / amounts[-1] / ((ARMS - 1) * 0.5), level=level)


def epochs_expected(horizon: int) -> tuple[float, float]:
    """Epochs that the radius asks for at the gap of the trap: after the last but one it is too
    wide by less than a factor of sqrt(2), so chance may end it there."""
    confidence = math.log(2 * ARMS * horizon * math.log2(horizon))
    enough = math.ceil(math.log2(2 * confidence / 0.5**2))  # 2 radii at 2^s plays fit into the gap
    return float(enough), float(enough + 1)


class Cost(NamedTuple):
    """What more of something costs, beyond the least of it that was tried."""

    amounts: np.ndarray  # [n], beyond the least
    values: np.ndarray  # [n, seed]


def cost_of_bound(data: Data) -> Cost:
    (dataset,) = (d for name, d in data.items() if name.startswith("bound-"))
    runs = np.stack([final(dataset, "trap", f"M = {k * MEMORY}") for k in SEVERAL])
    return Cost((np.array(SEVERAL[1:]) - 1) * MEMORY, runs[1:] - runs[0])


def cost_of_arms(data: Data) -> Cost:
    """What 80 plays of burn-in more cost, by the number of arms that are not the best."""
    rows = {
        int(name[4:].split("-")[0]) - 1: final(d, "trap", f"M = {5 * MEMORY}")
        - final(d, "trap", f"M = {MEMORY}")
        for name, d in data.items()
        if name.startswith("arms")
    }
    amounts = np.array(sorted(rows))
    return Cost(amounts, np.stack([rows[x] for x in amounts]))


def cost_of_memory(data: Data) -> Cost:
    rows = {
        int(name[6:].split("-")[0]): final(d, "trap", SE)
        for name, d in data.items()
        if name.startswith("memory")
    }
    least, *others = sorted(rows)
    return Cost(np.array(others) - least, np.stack([rows[x] - rows[least] for x in others]))


COSTS = {
    "burn-in M beyond m": cost_of_bound,
    "arms K - 1 (80 more of burn-in)": cost_of_arms,
    "memory m beyond 5, M = m": cost_of_memory,
}


def plot_cost(data: Data):
    drawn = plotting.figure(1, 3, width=4.0, height=3.8)
    for ax, (name, of) in zip(drawn.axes, COSTS.items(), strict=True):
        amounts, values = of(data)
        value, low, high = (np.asarray(x) for x in mean(values)[:3])
        ax.plot(amounts, value, "o-", color=plotting.COLOURS[0])
        ax.fill_between(amounts, np.maximum(low, value / 10), high, alpha=0.2, linewidth=0)
        ax.plot(amounts, value[-1] * amounts / amounts[-1], ":", color="0.4", label="linear")
        ax.set(xscale="log", yscale="log", xlabel=name)
        ax.legend()
    drawn.axes[0].set_ylabel("additional regret")
    return labelled(drawn)


def cost_exponent(of, data: Data, level: float) -> Estimate:
    amounts, values = of(data)
    return growth_exponent(amounts, values, level)


# ---- growth with T and K -------------------------------------------------------------------

GAPS = (1.0, 2.0, 4.0, 8.0)  # multiples of sqrt(K ln(T) / T)
SHORT = 5  # the memory here: small, so that the additive cost does not hide the rest


def _gaps(arms: int, horizon: int) -> dict[str, WeightedTallyingBandit]:
    """One good arm, losses that fall with practice."""
    rate = math.sqrt(arms * math.log(horizon) / horizon)
    gaps = sorted({min(0.5, round(k * rate, 6)) for k in GAPS})
    good = np.arange(arms) == 0
    return {
        f"gap {gap:.3g}": game(tally_losses.learning(np.where(good, 0.3, 0.3 + gap)), SHORT)
        for gap in gaps
    }


def growth_studies(scale: Scale) -> list[Study]:
    size, found = SIZES[scale], []
    players = {
        SE: tally.TallyingElimination(burn_in=SHORT),
        COMMIT: tally.ExposedExploreThenCommit(burn_in=SHORT),
    }
    for arms in size.arms:
        for horizon in size.horizons:
            games = _gaps(arms, horizon)
            found.append(in_visits(f"growth-K{arms}", games, horizon, players, size.seeds))
    return found


def _worst(dataset: Any, learner: str) -> np.ndarray:
    """Regrets at the worst gap, which every other seed chooses and the others measure."""
    regrets = [final(dataset, str(name), learner) for name in dataset.environment.values]
    return max(regrets, key=lambda values: float(values[::2].mean()))[1::2]


def _by_horizon(arms: int, learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    rows = {
        rounds_of(name): _worst(d, learner)
        for name, d in data.items()
        if name.startswith(f"growth-K{arms}-")
    }
    horizons = np.array(sorted(rows))
    return horizons, np.stack([rows[t] for t in horizons])


def _by_arms(learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """At the largest horizon."""
    last = max(rounds_of(name) for name in data)
    rows = {
        int(name.split("-K")[1].split("-")[0]): _worst(d, learner)
        for name, d in data.items()
        if rounds_of(name) == last
    }
    arms = np.array(sorted(rows))
    return arms, np.stack([rows[k] for k in arms])


def plot_growth(data: Data):
    drawn = plotting.figure(1, 2, width=4.8, height=4.2)
    left, right = drawn.axes
    all_arms = sorted({int(name.split("-K")[1].split("-")[0]) for name in data})
    for slot, arms in enumerate(all_arms):
        for learner, dash in ((SE, "-"), (COMMIT, "--")):
            horizons, values = _by_horizon(arms, learner, data)
            value, low, high = (np.asarray(x) for x in mean(values)[:3])
            look: dict[str, Any] = {"color": plotting.COLOURS[slot], "linestyle": dash}
            left.plot(
                horizons, value, marker="o", markersize=4, label=f"{learner}, K = {arms}", **look
            )
            left.fill_between(
                horizons, np.maximum(low, value / 10), high, alpha=0.15, color=look["color"], lw=0
            )
    horizons, values = _by_horizon(all_arms[-1], SE, data)
    guide = np.sqrt(horizons * np.log(horizons))
    left.plot(
        horizons,
        values[-1].mean() * guide / guide[-1],
        ":",
        color="0.4",
        label=r"$\sqrt{T \log T}$",
    )
    left.set(
        xscale="log", yscale="log", xlabel="horizon T (rounds)", ylabel="regret at T, worst gap"
    )
    left.legend(fontsize="small")
    arms, values = _by_arms(SE, data)
    value, low, high = (np.asarray(x) for x in mean(values)[:3])
    right.errorbar(arms, value, [value - low, high - value], marker="o", capsize=2)
    guide = np.sqrt(arms) * (arms - 1) / arms
    right.plot(arms, value[-1] * guide / guide[-1], ":", color="0.4", label=r"$\sqrt{K}\,(K-1)/K$")
    right.set(xscale="log", yscale="log", xlabel="arms K", title=f"{SE}, T = {max(horizons):,}")
    right.legend(fontsize="small")
    return labelled(drawn)


def horizon_exponent(data: Data, level: float) -> Estimate:
    horizons, values = _by_horizon(ARMS, SE, data)
    return growth_exponent(horizons, values, level, divide_by=np.sqrt(np.log(horizons)))


def arms_exponent(data: Data, level: float) -> Estimate:
    """Of K, with the share (K - 1) / K of plays that can go wrong taken out."""
    arms, values = _by_arms(SE, data)
    return growth_exponent(arms, values, level, divide_by=(arms - 1) / arms)


# ---- the sweep, under an upper bound ---------------------------------------------------------


def sweep_studies(scale: Scale) -> list[Study]:
    size, found = SIZES[scale], []
    for memory in size.memories:
        for arms in size.arms:
            for horizon in size.horizons[:3]:
                players = {
                    f"M = {k}m": tally.TallyingElimination(burn_in=k * memory) for k in (1, 5, 20)
                }
                games = {f: game(family(f, arms), memory) for f in ("learning", "trap")}
                name = f"sweep-m{memory}-K{arms}"
                found.append(in_visits(name, games, horizon, players, max(16, size.seeds // 5)))
    return found


def upper_bound(arms: int, horizon: int, burn_in: int) -> float:
    """A bound on elimination's expected regret when burn_in >= m - 1 (ours, from the usual proof).

    With L = ln(2 K T log2 T), and but for a chance of 1 / T, all means are within their radii
    sqrt(L / (2 n)) throughout. An arm visited in epoch s + 1 then has a gap of 4 radii of epoch s
    at most, and its 2 n_s plays cost 8 sqrt(L n_s / 2) at most. K_s arms are left after epoch s,
    with K_s <= K and K_s n_s <= T, so that the sum of K_s sqrt(n_s) over s is that of two
    geometric series that meet at n = T / K: 5.83 sqrt(K T) at most, which makes 33 sqrt(L K T).
    Burn-ins cost 1 a play at most, in log2(T) + 1 epochs and once more at the end; epoch 0 costs K.
    """
    log = math.log2(horizon)
    confidence = math.log(2 * arms * horizon * log)
    burned = burn_in * (arms * (log + 1) + 1)
    return 33 * math.sqrt(confidence * arms * horizon) + burned + arms + 1


def _sweep_cells(data: Data):
    for name, dataset in data.items():
        memory, arms = (int(part[1:]) for part in name.split("-")[1:3])
        for environment in dataset.environment.values:
            for learner in dataset.learner.values:
                burn_in = memory * int(str(learner)[4:-1])
                values = final(dataset, str(environment), str(learner))
                yield memory, arms, rounds_of(name), burn_in, str(environment), values


def plot_sweep(data: Data):
    cells = list(_sweep_cells(data))
    all_arms = sorted({arms for _, arms, *_ in cells})
    memories = sorted({memory for memory, *_ in cells})
    drawn = plotting.figure(1, len(all_arms), width=4.2, height=4.2)
    for ax, arms in zip(drawn.axes, all_arms, strict=True):
        for slot, memory in enumerate(memories):
            for k, dash in ((1, "-"), (5, "--"), (20, ":")):
                rows = sorted(
                    (horizon, values.mean())
                    for m, a, horizon, burn_in, environment, values in cells
                    if (m, a, burn_in, environment) == (memory, arms, k * memory, "trap")
                )
                label = f"m = {memory}, M = {k}m"
                ax.plot(*zip(*rows, strict=True), dash, color=plotting.COLOURS[slot], label=label)
        ax.set(xscale="log", yscale="log", xlabel="horizon T (rounds)", title=f"trap, K = {arms}")
    drawn.axes[0].set_ylabel("regret at T")
    drawn.axes[-1].legend(fontsize="x-small")
    return labelled(drawn)


def over_upper_bound(data: Data, level: float) -> Estimate:
    cells = list(_sweep_cells(data))
    split = split_level(level, len(cells))
    ratios = [
        mean(values / upper_bound(arms, horizon, burn_in), level=split)
        for _, arms, horizon, burn_in, _, values in cells
    ]
    return largest(ratios)._replace(level=level)
