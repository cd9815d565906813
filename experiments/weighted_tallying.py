"""Weighted tallying bandits (Malik et al. 2023): what playing an arm long enough costs.

The paper's experiments could not be had: no loss shapes, sizes, baselines or figures. So none of
its figures is reproduced here. What is certain, its abstract, states rates; they are tested on a
suite of our own (`envs.tally_losses`) with our reading of the algorithm, and every figure says so.
The numbers in `REFERENCE` come from a NumPy program that was written apart from this package.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from matplotlib.ticker import NullFormatter

from ..core import learners, plotting
from ..core.claims import Claim
from ..core.learners import tallying as tally
from ..core.statistics import (
    Estimate,
    largest,
    mean,
    paired_difference,
    proportion,
    split_level,
)
from ..core.study import Study
from ..envs.tallying import WeightedTallyingBandit
from ..envs.windows import GeometricWindow
from . import tallying_bounds as bounds
from . import tallying_rates as rates
from .growth import Data, final
from .paper import Figure, Paper, Scale
from .tallying_games import (
    ARMS,
    BATCHED,
    COMMIT,
    FAMILIES,
    LABEL,
    MEMORY,
    ROBIN,
    SE,
    SIZES,
    family,
    game,
    in_rounds,
    in_visits,
    labelled,
)

# ---- the reference table -------------------------------------------------------------------

DECAY = 0.9
NO_BURN_IN = "no burn-in"
HORIZON = 50_000
REFERENCE: dict[str, dict[str, tuple[int, int, int, int]]] = {  # at that horizon, by family
    "uniform": {
        SE: (4455, 5018, 2497, 4968),
        "elimination, M = 5m": (6026, 6582, 5448, 6532),
        "elimination, M = 20m": (9614, 10093, 16960, 10055),
        NO_BURN_IN: (4067, 4658, 2365, 4635),
        ROBIN: (2861, 32500, 7566, 17393),
        "UCB1": (900, 2361, 12944, 3185),
        "Exp3": (875, 7432, 7629, 15562),
        BATCHED: (4264, 10190, 18035, 9951),
        COMMIT: (728, 782, 1404, 780),
    },
    "decaying": {
        SE: (4455, 4824, 2606, 4899),
        "UCB1": (900, 1865, 15092, 3131),
        "Exp3": (875, 6916, 7713, 14322),
        BATCHED: (4264, 8197, 17648, 9444),
    },
}
TRIALS = {ROBIN: 10}  # 20 for all others

VISITORS = {
    SE: tally.TallyingElimination(burn_in=MEMORY),
    "elimination, M = 5m": tally.TallyingElimination(burn_in=5 * MEMORY),
    "elimination, M = 20m": tally.TallyingElimination(burn_in=20 * MEMORY),
    NO_BURN_IN: tally.TallyingElimination(burn_in=0),
    COMMIT: tally.ExposedExploreThenCommit(burn_in=MEMORY),
}
BATCHERS = {BATCHED: tally.Batched(learners.Exp3())}
WALKERS = {
    ROBIN: tally.RoundRobinElimination(),
    "UCB1": learners.UCB1(),
    "Exp3": learners.Exp3(),
}


def _reference_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    games = {f"{name}, uniform": game(family(name, ARMS), MEMORY) for name in FAMILIES}
    found = [
        in_visits("visits", games, size.horizon, VISITORS, size.seeds),
        in_visits("batched", games, size.horizon, BATCHERS, size.seeds),
        in_rounds("rounds", games, size.horizon, WALKERS, size.seeds),
    ]
    if size.geometric:
        games = {
            f"{name}, decaying": WeightedTallyingBandit(
                family(name, ARMS), GeometricWindow(MEMORY, DECAY)
            )
            for name in FAMILIES
        }
        some = [
            {name: player for name, player in group.items() if name in REFERENCE["decaying"]}
            for group in (VISITORS, BATCHERS, WALKERS)
        ]
        found += [
            in_visits("decaying-visits", games, size.horizon, some[0], size.seeds),
            in_visits("decaying-batched", games, size.horizon, some[1], size.seeds),
            in_rounds("decaying-rounds", games, size.horizon, some[2], size.seeds),
        ]
    return found


def cell(data: Data, environment: str, learner: str, metric: str = "regret") -> np.ndarray:
    """A metric at the end, [seed], of whichever study has the learner in the environment."""
    for dataset in data.values():
        if environment in dataset.environment.values and learner in dataset.learner.values:
            return final(dataset, environment, learner, metric)
    raise ValueError(f"no study has {learner!r} in {environment!r}")


def _cells(data: Data) -> list[tuple[str, str, np.ndarray, int]]:
    """(environment, learner, our regrets, reference) of every cell that was run."""
    known = {str(name) for dataset in data.values() for name in dataset.environment.values}
    return [
        (f"{name}, {weights}", learner, cell(data, f"{name}, {weights}", learner), row[i])
        for weights, table in REFERENCE.items()
        for learner, row in table.items()
        for i, name in enumerate(FAMILIES)
        if f"{name}, {weights}" in known
    ]


def _distances(data: Data, level: float) -> list[Estimate]:
    """How far our mean is from each number of the reference, in standard errors of that number:
    of a mean over its trials, of the spread that ours show, rounded to a whole number."""
    cells = _cells(data)
    if not all(name.endswith(f"-T{HORIZON}") for name in data):
        return [Estimate(math.nan, math.nan, math.nan, level)]  # there is nothing to compare with
    split, found = split_level(level, len(cells)), []
    for _, learner, values, reference in cells:
        error = math.sqrt(values.var(ddof=1) / TRIALS.get(learner, 20) + 1 / 12)
        value, low, high = (float(x) for x in mean(values, level=split)[:3])
        away = abs(value - reference)
        reach = max(high - value, value - low)
        found.append(Estimate(away / error, max(0, away - reach) / error, (away + reach) / error))
    return [estimate._replace(level=split) for estimate in found]


def _furthest(data: Data, level: float) -> Estimate:
    return largest(_distances(data, level))._replace(level=level)


def _typical(data: Data, level: float) -> Estimate:
    """Root mean square of the distances; by Minkowski's inequality it moves by no more than that
    of what the distances move by."""
    parts = np.array([estimate[:3] for estimate in _distances(data, level)], float)
    value = math.sqrt(np.mean(parts[:, 0] ** 2))
    reach = math.sqrt(np.mean((parts[:, 2] - parts[:, 0]) ** 2))
    return Estimate(value, max(0.0, value - reach), value + reach, level)


def _plot_reference(data: Data):
    cells = _cells(data)
    names = list(dict.fromkeys(environment for environment, *_ in cells))
    drawn = plotting.figure(-(-len(names) // 4), 4, width=3.4, height=3.6)
    for ax, name in zip(drawn.axes, names, strict=True):
        rows = [(learner, values, ref) for where, learner, values, ref in cells if where == name]
        for place, (learner, values, reference) in enumerate(rows):
            value, low, high = (float(x) for x in mean(values)[:3])
            ax.errorbar(
                value, place, xerr=[[value - low], [high - value]], fmt="o", capsize=2,
                color=plotting.COLOURS[0], label="regrax" if not place else None,
            )  # fmt: skip
            error = values.std(ddof=1) / math.sqrt(TRIALS.get(learner, 20))
            ax.errorbar(
                reference, place + 0.25, xerr=2 * error, fmt="x", capsize=2,
                color=plotting.COLOURS[1], label="NumPy, 2 s.e." if not place else None,
            )  # fmt: skip
        ax.set_yticks(range(len(rows)), [learner for learner, *_ in rows])
        ax.set(xscale="log", xlabel="regret at T", title=name)
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.invert_yaxis()
    drawn.axes[0].legend(fontsize="small")
    return labelled(drawn)


def _gain(environment: str, learner: str, data: Data, level: float) -> Estimate:
    """Regret of a learner less that of elimination with burn-in, on common seeds."""
    return paired_difference(cell(data, environment, learner), cell(data, environment, SE), level)


def _worst_gain(learner: str, data: Data, level: float) -> Estimate:
    """A learner's regret in its worst family less elimination's in its own worst."""
    split = split_level(level, 2 * len(FAMILIES))

    def worst(name):
        return largest([mean(cell(data, f"{f}, uniform", name), level=split) for f in FAMILIES])

    other, own = worst(learner), worst(SE)
    return Estimate(
        float(other.value) - float(own.value), float(other.low) - float(own.high),
        float(other.high) - float(own.low), level,
    )  # fmt: skip


def _misses(learner: str, data: Data, level: float) -> Estimate:
    """The chance of recommending another arm than the best one of the trap."""
    missed = cell(data, "trap, uniform", learner, "simple_regret") > 1e-6
    return proportion(int(missed.sum()), len(missed), level)


# ---- the paper -----------------------------------------------------------------------------

FIGURES = (
    Figure(
        "reference", "Ten arms, memory 20: nine learners, four families of losses",
        _reference_studies, _plot_reference,
        f"Final regret at T = 50,000 (quick, paper) beside an independent NumPy program with 20 "
        f"runs (10 for round robin). Bars: 95 % intervals; two standard errors. "
        f"{LABEL.capitalize()}."
    ),
    Figure(
        "additive_cost", "Linear in the burn-in, the arms and the memory",
        rates.cost_studies, rates.plot_cost,
        f"Successive elimination in the trap family: what more burn-in, more arms, more memory "
        f"cost beyond the least that was tried. {LABEL.capitalize()}."
    ),
    Figure(
        "growth", "The square root of K T", rates.growth_studies, rates.plot_growth,
        f"One good arm, losses that fall with practice, memory 5: regret at the gap where it is "
        f"largest, chosen by half of the seeds and measured by the others. {LABEL.capitalize()}."
    ),
    Figure(
        "sweep", "Memory, bound on it, arms and horizon", rates.sweep_studies, rates.plot_sweep,
        f"Successive elimination over the whole grid; the learning family is in the data and not "
        f"drawn. {LABEL.capitalize()}."
    ),
    Figure(
        "hidden_arm", "No learner pays less than of the order m K",
        bounds.hidden_studies, bounds.plot_hidden,
        f"One arm, in a random place, is better once it was played m times in a row; nothing shows "
        f"before. {LABEL.capitalize()}."
    ),
    Figure(
        "late_arm", "Nor can the bound M be had for nothing",
        bounds.late_studies, bounds.plot_late,
        f"Two games that look alike until an arm was played M times in a row: who does well in the "
        f"one that changes then has paid of the order M in the other, where m = 1. "
        f"{LABEL.capitalize()}."
    ),
)  # fmt: skip

RIVALS = (ROBIN, "UCB1", "Exp3", BATCHED)


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-").replace(",", "")


def _linear(name: str, what: str, of) -> Claim:
    return Claim(
        f"linear-in-{name}", f"The additive cost of elimination is linear in {what}",
        "abstract: O~((m + M) K)", "additive_cost", "exponent 1",
        partial(rates.cost_exponent, of), (0.9, 1.1),
    )  # fmt: skip


CLAIMS = (
    Claim(
        "reference-furthest", "No mean is far from the independent program's (in standard errors)",
        "our reference table, by another program", "reference", "at most 4",
        _furthest, (0.0, 4.0), "s.e.",
    ),
    Claim(
        "reference-typical", "Root mean square of these distances is what chance makes of it",
        "our reference table, by another program", "reference", "1",
        _typical, (0.0, 1.6), "s.e.",
    ),
    Claim(
        "round-robin-misled", "In the trap family, round-robin elimination drops the best arm",
        "our reading: without burn-in, exposure optimality is no help", "reference",
        "probability 1", partial(_misses, ROBIN), (0.95, 1.0),
    ),
    Claim(
        "elimination-keeps", "There, elimination with burn-in keeps it",
        "abstract: regret O~(sqrt(K T) + (m + M) K)", "reference",
        "probability 0", partial(_misses, SE), (0.0, 0.05),
    ),
    *(
        Claim(
            f"beats-{_slug(rival)}-in-the-trap",
            f"In the trap family, elimination with burn-in has less regret than {rival}",
            "our expectation from the abstract", "reference", "difference above 0",
            partial(_gain, "trap, uniform", rival), (0.0, math.inf),
        )
        for rival in RIVALS
    ),
    *(
        Claim(
            f"worst-family-{_slug(rival)}",
            f"In its worst family, elimination has less regret than {rival} in its own",
            "our expectation from the abstract", "reference", "difference above 0",
            partial(_worst_gain, rival), (0.0, math.inf),
        )
        for rival in RIVALS
    ),
    _linear("burn-in", "the burn-in M", rates.cost_of_bound),
    _linear("arms", "the number of arms that are not the best", rates.cost_of_arms),
    _linear("memory", "the memory m, where M = m", rates.cost_of_memory),
    Claim(
        "slope-in-burn-in",
        "A play more of burn-in costs the gaps of all arms once in each epoch, log2(2 L / gap^2) "
        "of them", "our reading of O~(M K); trap, K = 10", "additive_cost",
        "8 to 9 epochs", rates.epochs_burned, rates.epochs_expected(rates.LONG), "epochs",
    ),
    Claim(
        "root-of-horizon", "At the worst gap, regret grows as sqrt(T log T) (K = 10)",
        "abstract: O~(sqrt(K T))", "growth", "1/2", rates.horizon_exponent, (0.45, 0.55),
    ),
    Claim(
        "root-of-arms", "At the worst gap, regret grows as sqrt(K) (K - 1) / K",
        "abstract: O~(sqrt(K T))", "growth", "1/2", rates.arms_exponent, (0.4, 0.6),
    ),
    Claim(
        "upper-bound",
        "Regret is at most 33 sqrt(L K T) + M (K log2(2 T) + 1) + K + 1 over the whole grid",
        "our constants for O~(sqrt(K T) + (m + M) K)", "sweep", "regret / bound at most 1",
        rates.over_upper_bound, (-math.inf, 1.0),
    ),
    Claim(
        "lower-bound-hidden",
        "No learner has regret below gap (m (K + 1) / 2 - 1) where an arm is hidden",
        "abstract: Omega~(m K); our instance", "hidden_arm", "regret / bound at least 1",
        bounds.least_ratio, (1.0, math.inf),
    ),
    Claim(
        "lower-bound-late",
        "Regret / (0.1 M) where m = 1 and regret / (T / 2) where m = M add up to 1 or more",
        "abstract: Omega~(M); our instance", "late_arm", "at least 1",
        bounds.least_sum, (1.0, math.inf),
    ),
)  # fmt: skip

PAPER = Paper(
    "weighted_tallying",
    "Weighted Tallying Bandits: Overcoming Intractability via Repeated Exposure Optimality",
    "Dhruv Malik, Conor Igoe, Yuanzhi Li and Aarti Singh, ICML 2023 (arXiv 2305.02955)",
    "The rates of the abstract: sqrt(K T) plus a cost linear in (m + M) K for successive "
    "elimination with burn-in, and the lower bound m K + M. The paper's figures are not reproduced "
    "and cannot be: their loss shapes, sizes, baselines and numbers were not available, nor the "
    "constants of the algorithm. Games, constants and hard instances are our reconstruction.",
    FIGURES,
    CLAIMS,
)
