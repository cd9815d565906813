"""The regret theory of Slivkins, "Introduction to Multi-Armed Bandits", 2019, put to the test.

The book proves how regret grows and shows no experiments; the figures here are ours. Where the
book writes O(.), a claim about an exponent asks for the exponent to within 0.05, the logarithm
taken out; where a cited paper gives the constant, the claim is the inequality itself. Sections are
those of the book; theorem numbers of it are from memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import envs
from ..core import learners, plotting
from ..core.claims import Claim
from ..core.statistics import (
    Estimate,
    largest,
    mean,
    paired_difference,
    ratio_of_means,
    smallest,
    split_level,
)
from ..core.study import Study
from .growth import Data, Growth, exponent, final, growth, plot, studies, worst_growth
from .paper import Figure, Paper, Scale

Horizons = dict[int, tuple[int, ...]]  # by the number of arms


class Size(NamedTuple):
    """How large each figure is at one scale."""

    seeds: int
    horizons: Horizons
    thompson: Horizons  # ten times slower than the others, more so with more arms
    lower_bound: Horizons
    changes: tuple[int, ...]


def _small(seeds: int, horizons: tuple[int, ...]) -> Size:
    """The same horizons everywhere, few arms."""
    both: Horizons = {2: horizons, 10: horizons}
    return Size(seeds, both, both, both, horizons)


_SMOKE, _QUICK, _PAPER = (200, 600, 1800), (1000, 4000, 16_000), (10_000, 100_000, 1_000_000)
SIZES: dict[Scale, Size] = {
    "smoke": _small(16, _SMOKE),
    "quick": _small(200, _QUICK),
    "paper": Size(
        1000,
        {2: _PAPER, 10: _PAPER, 100: (10_000, 100_000)},
        {2: (1000, 10_000, 100_000), 10: (1000, 10_000, 100_000), 100: (1000, 10_000)},
        {2: (100_000,), 10: (100_000,), 100: (10_000,)},
        (1000, 10_000, 100_000),
    ),
}


def _studies(
    name: str, scale: Scale, horizons: Horizons, environments: Callable, players: Any
) -> list[Study]:
    """One study for each number of arms and horizon; they differ in what the horizon tunes."""
    return [
        Study(
            f"{name}-K{arms}-T{horizon}",
            environments(arms, horizon),
            players if isinstance(players, dict) else players(arms, horizon),
            horizon,
            SIZES[scale].seeds,
            checkpoints=(horizon,),
        )
        for arms, row in horizons.items()
        for horizon in row
    ]


# ---- Chapter 1: the worst gap --------------------------------------------------------------

UNIFORM = {
    "explore-first": learners.ExploreThenCommit(),
    "epsilon-greedy": learners.DecayingEpsilonGreedy(),
}
ADAPTIVE = {
    "successive elimination": learners.SuccessiveElimination(),
    "UCB1": learners.UCB1(),
}
THOMPSON = {"Thompson sampling": learners.ThompsonBeta()}


def _gaps(rate: float, arms: int, scales: tuple[float, ...]) -> dict:
    """Bandits with one good arm, whose gap is one of the multiples of a rate, 1/2 at most."""
    gaps = sorted({min(0.5, round(scale * rate, 6)) for scale in scales})
    return {f"gap {gap:.3g}": envs.one_good_arm(arms, gap) for gap in gaps}


def _uniform_gaps(arms: int, horizon: int) -> dict:
    return _gaps((arms / horizon) ** (1 / 3), arms, (1, math.inf))


def _adaptive_gaps(arms: int, horizon: int, scales=(1, 2, 4)) -> dict:
    return _gaps(math.sqrt(arms * math.log(horizon) / horizon), arms, scales)


def _thompson_gaps(arms: int, horizon: int) -> dict:
    return _adaptive_gaps(arms, horizon, (0.25, 0.5, 1, 2))


def _worst_gap_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    return [
        *_studies("uniform", scale, size.horizons, _uniform_gaps, UNIFORM),
        *_studies("adaptive", scale, size.horizons, _adaptive_gaps, ADAPTIVE),
        *_studies("thompson", scale, size.thompson, _thompson_gaps, THOMPSON),
    ]


def _arms(data: Data, name: str) -> list[int]:
    return sorted({int(key.split("-K")[1].split("-")[0]) for key in data if key.startswith(name)})


def _plot_worst_gap(data: Data):
    all_arms = _arms(data, "uniform")
    drawn = plotting.figure(1, len(all_arms), width=4.6, height=4.4)
    for ax, arms in zip(drawn.axes, all_arms, strict=True):
        groups = (("uniform", UNIFORM), ("adaptive", ADAPTIVE), ("thompson", THOMPSON))
        curves = {
            learner: worst_growth(data, f"{group}-K{arms}-", learner)
            for group, members in groups
            for learner in members
        }
        guides = {
            r"$T^{2/3} (\log T)^{1/3}$": lambda t: t ** (2 / 3) * np.log(t) ** (1 / 3),
            r"$\sqrt{T \log T}$": lambda t: np.sqrt(t * np.log(t)),
        }
        plot(ax, curves, guides, f"K = {arms}")
    drawn.axes[0].set_ylabel("regret at T, worst of the gaps tried")
    return drawn


def _worst_exponent(group: str, learner: str, log_power: float):
    return exponent(lambda data: worst_growth(data, f"{group}-K10-", learner), log_power)


def _near(exponent: float) -> tuple[float, float]:
    return exponent - 0.05, exponent + 0.05


# ---- Chapter 1: fixed gaps -----------------------------------------------------------------

GAPS = (0.1, 0.2, 0.4)


def _fixed_gap_studies(scale: Scale) -> list[Study]:
    def environments(arms, horizon):
        return {f"gap {gap}": envs.one_good_arm(arms, gap) for gap in GAPS}

    return _studies("fixed", scale, SIZES[scale].horizons, environments, ADAPTIVE)


def _plot_fixed_gap(data: Data):
    all_arms = _arms(data, "fixed")
    drawn = plotting.figure(1, len(all_arms), width=4.6, height=4.4)
    for ax, arms in zip(drawn.axes, all_arms, strict=True):
        for i, learner in enumerate(ADAPTIVE):
            for j, gap in enumerate(GAPS):
                curve = growth(data, f"fixed-K{arms}-", learner, f"gap {gap}")
                value, low, high = mean(curve.values)[:3]
                look: dict[str, Any] = {"color": plotting.COLOURS[j], "linestyle": ("-", "--")[i]}
                label = f"{learner}, gap {gap}"
                ax.plot(curve.horizons, value, label=label, **look)
                ax.fill_between(curve.horizons, low, high, alpha=0.2, color=look["color"], lw=0)
        ax.set(xscale="log", xlabel="horizon T (rounds)", title=f"K = {arms}")
        ax.set_ylim(bottom=0)
    drawn.axes[0].set_ylabel("regret at T")
    drawn.axes[0].legend(fontsize="small", handlelength=3)
    return drawn


def _ucb1_bound(arms: int, gap: float, horizon: int) -> float:
    """Auer, Cesa-Bianchi and Fischer 2002, Theorem 1."""
    return (arms - 1) * (8 * math.log(horizon) / gap + (1 + math.pi**2 / 3) * gap)


def _elimination_bound(arms: int, gap: float, horizon: int) -> float:
    """From the proof in Section 1.3: while an arm is active, gap <= 4 sqrt(2 ln T / n); one more
    play is under way, and the clean event fails with probability at most 2 / T."""
    return (arms - 1) * (32 * math.log(horizon) / gap + gap) + 2


def _over_bound(learner: str, bound, data: Data, level: float) -> Estimate:
    """The largest ratio of regret to a bound over all arms, gaps and horizons of the figure."""
    cases = [
        final(dataset, f"gap {gap}", learner) / bound(arms, gap, int(dataset.attrs["horizon"]))
        for arms in _arms(data, "fixed")
        for dataset in studies(data, f"fixed-K{arms}-")
        for gap in GAPS
    ]
    split = split_level(level, len(cases))
    return largest([mean(values, level=split) for values in cases])._replace(level=level)


def _log_growth(learner: str, data: Data, level: float) -> Estimate:
    """Regret gained over the last factor of the horizon, over that of the factor before."""
    _, values = growth(data, "fixed-K10-", learner, "gap 0.4")
    return ratio_of_means(values[-1] - values[-2], values[-2] - values[-3], level)


def _inverse_gap(learner: str, data: Data, level: float) -> Estimate:
    """Regret at the last horizon at gap 0.2 over that at gap 0.4."""
    small, large = (growth(data, "fixed-K10-", learner, f"gap {gap}")[1][-1] for gap in (0.2, 0.4))
    return ratio_of_means(small, large, level)


# ---- Chapter 2: lower bounds ---------------------------------------------------------------

EVERYBODY = {
    **UNIFORM,
    **ADAPTIVE,
    **THOMPSON,
    "MOSS": learners.MOSS(),
    "Tsallis-INF": learners.TsallisINF(),
    "Exp3": learners.Exp3(),
}


def _lower_bound_studies(scale: Scale) -> list[Study]:
    def environments(arms, horizon):
        return {"best arm at random": envs.HiddenBestArm(envs.lower_bound(arms, horizon, 0, 0.25))}

    return _studies("lower", scale, SIZES[scale].lower_bound, environments, EVERYBODY)


def _normalised(data: Data) -> dict[str, dict[str, np.ndarray]]:
    """Regret over sqrt(K T), by study and learner."""
    found = {}
    for arms in _arms(data, "lower"):
        for dataset in studies(data, f"lower-K{arms}-"):
            horizon = int(dataset.attrs["horizon"])
            found[f"K = {arms}, T = {horizon:,}"] = {
                learner: final(dataset, "best arm at random", learner) / math.sqrt(arms * horizon)
                for learner in EVERYBODY
            }
    return found


def _plot_lower_bound(data: Data):
    cases = _normalised(data)
    drawn = plotting.figure(1, 1, width=7.5, height=4.2)
    ax = drawn.axes[0]
    for slot, learner in enumerate(EVERYBODY):
        value, low, high = mean(np.stack([case[learner] for case in cases.values()]))[:3]
        at = np.arange(len(cases)) + 0.08 * (slot - len(EVERYBODY) / 2)
        bars = np.abs(np.stack([np.asarray(value) - low, np.asarray(high) - value]))
        look = {"color": plotting.line_style(slot)["color"], "marker": "osD^vPX*"[slot]}
        ax.errorbar(at, value, bars, linestyle="none", capsize=2, label=learner, **look)
    ax.axhline(1 / 20, color="0.3", linestyle=":", label="1/20")
    ax.set_xticks(range(len(cases)), list(cases), rotation=30 if len(cases) > 3 else 0)
    ax.set_ylabel(r"regret at T / $\sqrt{KT}$")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize="small", ncols=2)
    return drawn


def _best_of_all(data: Data, level: float) -> Estimate:
    values = [row for case in _normalised(data).values() for row in case.values()]
    split = split_level(level, len(values))
    return smallest([mean(row, level=split) for row in values])._replace(level=level)


# ---- Chapters 5 and 6: adversaries ---------------------------------------------------------

RIVALS = {"UCB1": learners.UCB1(), "Exp3": learners.Exp3()}
RUIN, CONSTRAINED = "built against UCB1", "stochastically constrained"


def _adversary_studies(scale: Scale) -> list[Study]:
    def environments(arms, horizon):
        return {
            RUIN: envs.against(learners.UCB1(), arms, horizon),
            CONSTRAINED: envs.HiddenBestArm(envs.stochastically_constrained(arms, 0.1, horizon)),
        }

    horizons = {arms: row for arms, row in SIZES[scale].horizons.items() if arms <= 10}
    return _studies("adversary", scale, horizons, environments, RIVALS)


def _plot_adversary(data: Data):
    drawn = plotting.figure(1, 2, width=4.8, height=4.2)
    for ax, environment in zip(drawn.axes, (RUIN, CONSTRAINED), strict=True):
        curves = {
            f"{learner}, K = {arms}": growth(data, f"adversary-K{arms}-", learner, environment)
            for learner in RIVALS
            for arms in _arms(data, "adversary")
        }
        for slot, (name, curve) in enumerate(curves.items()):
            value, low, high = mean(curve.values / curve.horizons[:, None])[:3]
            look = plotting.line_style(slot)
            ax.plot(curve.horizons, value, marker="o", markersize=4, label=name, **look)
            ax.fill_between(curve.horizons, low, high, alpha=0.2, color=look["color"], lw=0)
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set(xscale="log", xlabel="horizon T (rounds)", title=environment)
    drawn.axes[0].set_ylabel("regret a round")
    drawn.axes[0].legend(fontsize="small", loc="center left", bbox_to_anchor=(0.02, 0.25))
    return drawn


def _exp3_over_bound(data: Data, level: float) -> Estimate:
    """Largest ratio of Exp3's regret to sqrt(2 T K ln K): Bubeck and Cesa-Bianchi 2012, Thm 3.1."""
    cases = []
    for arms in _arms(data, "adversary"):
        for environment in (RUIN, CONSTRAINED):
            horizons, values = growth(data, f"adversary-K{arms}-", "Exp3", environment)
            cases += list(values / np.sqrt(2 * horizons * arms * np.log(arms))[:, None])
    split = split_level(level, len(cases))
    return largest([mean(values, level=split) for values in cases])._replace(level=level)


def _ruined(data: Data, level: float) -> Estimate:
    """UCB1's regret a round on the table built against it, K = 10, at the last horizon."""
    horizons, values = growth(data, "adversary-K10-", "UCB1", RUIN)
    return mean(values[-1] / horizons[-1], level=level)


# ---- when the world changes ----------------------------------------------------------------

SEGMENT = 1000  # rounds between changes, however long the game
FORGETFUL = ("sliding-window UCB", "discounted UCB", "Exp3.S")
SWITCHING = "Garivier and Moulines 2011"


def _trackers(window: float, discount: float, num_changes: int, exploration: float) -> dict:
    return {
        "UCB1": learners.UCB1(),
        "Thompson sampling": learners.ThompsonBeta(),
        "sliding-window UCB": learners.SlidingWindowUCB(
            window=int(window), exploration=exploration
        ),
        "discounted UCB": learners.DiscountedUCB(discount=discount, exploration=exploration),
        "Exp3.S": learners.Exp3S(num_changes=num_changes),
    }


def _change_studies(scale: Scale) -> list[Study]:
    # The paper's first experiment and its parameters (from memory).
    horizon = 10_000
    window, discount = 4 * math.sqrt(horizon * math.log(horizon)), 1 - 1 / (4 * math.sqrt(horizon))
    switching = Study(
        "switching",
        {SWITCHING: envs.garivier_moulines()},
        _trackers(window, discount, 2, 0.5),
        horizon,
        SIZES[scale].seeds,
        checkpoints=tuple(range(250, horizon + 1, 250)),
    )

    def environments(arms, horizon):
        segments = np.arange(max(2, horizon // SEGMENT))
        means = np.where(segments[:, None] % arms == np.arange(arms), 0.9, 0.1)
        return {"frequent": envs.PiecewiseStationaryBandit(means, segments * SEGMENT)}

    def players(arms, horizon):
        changes = max(1, horizon // SEGMENT - 1)
        window = 2 * math.sqrt(SEGMENT * math.log(horizon))
        return _trackers(window, 1 - 1 / (4 * math.sqrt(SEGMENT)), changes, 0.6)

    def rotating(arms, horizon):
        return {"rotating": envs.abrupt(arms, arms, horizon)}

    def tuned(arms, horizon):
        window = 2 * math.sqrt(horizon * math.log(horizon) / arms)
        return _trackers(window, 1 - math.sqrt(arms / horizon) / 4, arms, 0.6)

    changes = SIZES[scale].changes
    return [
        switching,
        *_studies("frequent", scale, {2: changes}, environments, players),
        *_studies("rotating", scale, {5: changes[-1:]}, rotating, tuned),
    ]


def _plot_changes(data: Data):
    drawn = plotting.figure(1, 3, width=4.8, height=4.4)
    left, middle, right = drawn.axes
    plotting.regret(data["switching"], "dynamic_regret", log=False, ax=left)
    left.set(title="three arms, two changes", ylabel="dynamic regret")
    for slot, learner in enumerate(data["switching"].learner.values):
        horizons, values = growth(data, "frequent-", learner, "frequent", "dynamic_regret")
        value, low, high = mean(values / horizons[:, None])[:3]
        look = plotting.line_style(slot)
        middle.plot(horizons, value, marker="o", markersize=4, label=learner, **look)
        middle.fill_between(horizons, low, high, alpha=0.2, color=look["color"], linewidth=0)
    middle.set(xscale="log", xlabel="horizon T (rounds)", ylabel="dynamic regret a round at T")
    middle.set(title=f"two arms change places every {SEGMENT:,} rounds")
    middle.set_ylim(bottom=0)
    plotting.final(studies(data, "rotating-")[0], "dynamic_regret", ax=right)
    right.set(title="each of five arms is the best once", xlabel="dynamic regret at T")
    return drawn


def _stubborn_growth(data: Data) -> Growth:
    return growth(data, "frequent-", "UCB1", "frequent", "dynamic_regret")


def _gain(study: str, environment: str, learner: str, data: Data, level: float) -> Estimate:
    """UCB1's dynamic regret less the learner's."""
    stubborn, other = (
        final(studies(data, study)[0], environment, name, "dynamic_regret")
        for name in ("UCB1", learner)
    )
    return paired_difference(stubborn, other, level)


# ---- the paper -----------------------------------------------------------------------------

FIGURES = (
    Figure(
        "worst_gap", "Regret at the worst gap", _worst_gap_studies, _plot_worst_gap,
        "One arm of mean 1/2 + gap among arms of mean 1/2, Bernoulli rewards: final regret at the "
        "gap where it is largest, by horizon. Half of the seeds choose the gap, the others measure."
    ),
    Figure(
        "fixed_gap", "Regret at fixed gaps", _fixed_gap_studies, _plot_fixed_gap,
        "The same bandits with gaps that do not shrink with the horizon: straight lines over "
        "log T, the steeper the smaller the gap. Solid: successive elimination; dashed: UCB1."
    ),
    Figure(
        "lower_bound", "Nobody beats the lower bound", _lower_bound_studies, _plot_lower_bound,
        "One arm drawn at random is better by sqrt(K / T) / 4: too little to be found in time. "
        "Bars: 95 % intervals of the mean."
    ),
    Figure(
        "adversary", "Adversarial rewards", _adversary_studies, _plot_adversary,
        "Regret a round against the best arm in hindsight, on the reward table that ruins UCB1 and "
        "on the stochastically constrained adversary of Zimmert and Seldin (2021)."
    ),
    Figure(
        "changes", "The price of ignoring change", _change_studies, _plot_changes,
        "Dynamic regret: against the best arm of each round. Left: the first experiment of "
        "Garivier and Moulines (2011). Middle: means 0.9 and 0.1 that keep changing places. Right: "
        "each of five arms (0.6, the others 0.4) is the best for a sixth of the game or more."
    ),
)  # fmt: skip


def _ratio_claim(name, statement, source, figure, bound, estimate) -> Claim:
    return Claim(name, statement, source, figure, bound, estimate, (-math.inf, 1.0))


CLAIMS = (
    Claim(
        "explore-first-exponent",
        "At the worst gap, explore-first regret grows as T^(2/3) (log T)^(1/3) (K = 10)",
        "Section 1.2, Theorem 1.5", "worst_gap", "2/3",
        _worst_exponent("uniform", "explore-first", 1 / 3), _near(2 / 3),
    ),
    Claim(
        "epsilon-greedy-exponent", "So does that of epsilon-greedy (K = 10)",
        "Section 1.2, Theorem 1.6", "worst_gap", "2/3",
        _worst_exponent("uniform", "epsilon-greedy", 1 / 3), _near(2 / 3),
    ),
    Claim(
        "elimination-exponent",
        "At the worst gap, successive elimination grows as sqrt(T log T) (K = 10)",
        "Section 1.3", "worst_gap", "1/2",
        _worst_exponent("adaptive", "successive elimination", 1 / 2), _near(1 / 2),
    ),
    Claim(
        "ucb1-exponent", "At the worst gap, UCB1 grows as sqrt(T log T) (K = 10)",
        "Section 1.3", "worst_gap", "1/2",
        _worst_exponent("adaptive", "UCB1", 1 / 2), _near(1 / 2),
    ),
    Claim(
        "thompson-envelope", "Thompson sampling stays within sqrt(T log T) (K = 10)",
        "Chapter 3", "worst_gap", "at most 1/2",
        _worst_exponent("thompson", "Thompson sampling", 1 / 2), (-math.inf, 0.55),
    ),
    _ratio_claim(
        "ucb1-bound", "UCB1 regret is at most sum_a (8 ln T / gap + (1 + pi^2/3) gap), everywhere",
        "Section 1.3; Auer et al. 2002, Theorem 1", "fixed_gap", "regret / bound at most 1",
        partial(_over_bound, "UCB1", _ucb1_bound),
    ),
    _ratio_claim(
        "elimination-bound",
        "Successive elimination regret is at most sum_a (32 ln T / gap + gap) + 2, everywhere",
        "Section 1.3, proof for successive elimination", "fixed_gap", "regret / bound at most 1",
        partial(_over_bound, "successive elimination", _elimination_bound),
    ),
    Claim(
        "ucb1-logarithmic", "At a fixed gap, UCB1 gains as much regret in each factor of T",
        "Section 1.3: O(log T / gap)", "fixed_gap", "1",
        partial(_log_growth, "UCB1"), (0.8, 1.25),
    ),
    Claim(
        "elimination-logarithmic",
        "At a fixed gap, successive elimination gains as much regret in each factor of T",
        "Section 1.3: O(log T / gap)", "fixed_gap", "1",
        partial(_log_growth, "successive elimination"), (0.8, 1.25),
    ),
    Claim(
        "ucb1-inverse-gap", "Half the gap, twice the regret of UCB1 (0.2 against 0.4)",
        "Section 1.3: O(log T / gap)", "fixed_gap", "2",
        partial(_inverse_gap, "UCB1"), (1.6, 2.5),
    ),
    Claim(
        "elimination-inverse-gap",
        "Half the gap, twice the regret of successive elimination (0.2 against 0.4)",
        "Section 1.3: O(log T / gap)", "fixed_gap", "2",
        partial(_inverse_gap, "successive elimination"), (1.6, 2.5),
    ),
    Claim(
        "lower-bound", "No algorithm has regret below sqrt(K T) / 20 on the lower-bound family",
        "Section 2.1, Theorem 2.1; Auer et al. 2002, Theorem 5.1", "lower_bound",
        "at least 0.05", _best_of_all, (0.05, math.inf), "sqrt(KT)",
    ),
    _ratio_claim(
        "exp3-bound", "Exp3 regret is at most sqrt(2 T K ln K) on adversarial rewards",
        "Chapter 6; Bubeck and Cesa-Bianchi 2012, Theorem 3.1", "adversary",
        "regret / bound at most 1", _exp3_over_bound,
    ),
    Claim(
        "ucb1-ruined", "A reward table exists on which UCB1 loses 1 - 1/K a round or more (K = 10)",
        "Chapter 5, any deterministic algorithm", "adversary", "at least 0.9",
        _ruined, (0.9 - 1e-6, 1.0), "a round",  # the value is 0.9 exactly: room for rounding
    ),
    Claim(
        "ucb1-constrained",
        "UCB1 regret is linear on the stochastically constrained adversary (K = 10)",
        "Zimmert and Seldin 2021, Section 6 (from memory)", "adversary", "1",
        exponent(lambda data: growth(data, "adversary-K10-", "UCB1", CONSTRAINED)), _near(1.0),
    ),
    Claim(
        "exp3-constrained", "There Exp3 stays within sqrt(T) (K = 10)",
        "Chapter 6", "adversary", "at most 1/2",
        exponent(lambda data: growth(data, "adversary-K10-", "Exp3", CONSTRAINED)),
        (-math.inf, 0.55),
    ),
    Claim(
        "ucb1-ignores-change", "Where the best arm keeps changing, UCB1 pays in every round alike",
        "our reading of Section 1.5 and Chapter 5", "changes", "exponent 1",
        exponent(_stubborn_growth), _near(1.0),
    ),
    *(
        Claim(
            f"{learner.lower().replace(' ', '-').replace('.', '')}-gains",
            f"With two changes in 10,000 rounds, {learner} has less dynamic regret than UCB1",
            f"{SWITCHING}, Section 5 (from memory)", "changes", "difference above 0",
            partial(_gain, "switching", SWITCHING, learner), (0.0, math.inf),
        )
        for learner in FORGETFUL
    ),
    Claim(
        "rotation-rewards-forgetting",
        "Where each of five arms is the best once, sliding-window UCB has less dynamic regret too",
        "our expectation from the above", "changes", "difference above 0",
        partial(_gain, "rotating-", "rotating", "sliding-window UCB"), (0.0, math.inf),
    ),
)  # fmt: skip

PAPER = Paper(
    "introduction_to_bandits",
    "Introduction to Multi-Armed Bandits",
    "Aleksandrs Slivkins, Foundations and Trends in Machine Learning 12, 2019 (arXiv 1904.07272)",
    "How regret grows with the horizon: explore-first, epsilon-greedy, successive elimination, "
    "UCB1, Thompson sampling and Exp3 against the book's upper and lower bounds.",
    FIGURES,
    CLAIMS,
)
