"""The regret theory of Slivkins, "Introduction to Multi-Armed Bandits", 2019, put to the test.

The book proves how regret grows and shows no experiments; the figures here are ours. Where the
book writes O(.), a claim about an exponent asks for the exponent to within 0.05, the logarithm
taken out; where a cited paper gives the constant, the claim is the inequality itself. Sections are
those of the book; theorem numbers of it are from memory.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

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


def _all(arms: tuple[int, ...], horizons: tuple[int, ...]) -> Horizons:
    return dict.fromkeys(arms, horizons)


_SMOKE, _QUICK, _PAPER = (200, 600, 1800), (1000, 4000, 16_000), (10_000, 100_000, 1_000_000)
SIZES: dict[Scale, Size] = {
    "smoke": Size(16, *(_all((2, 10), _SMOKE) for _ in range(3)), _SMOKE),
    "quick": Size(200, *(_all((2, 10), _QUICK) for _ in range(3)), _QUICK),
    "paper": Size(
        1000,
        {2: _PAPER, 10: _PAPER, 100: (10_000, 100_000)},
        {2: (1000, 10_000, 100_000), 10: (1000, 10_000, 100_000), 100: (1000, 10_000)},
        {2: (100_000,), 10: (100_000,), 100: (10_000,)},
        _PAPER,
    ),
}


def _studies(name, scale, horizons: Horizons, environments, players) -> list[Study]:
    """One study for each number of arms and horizon; they differ in what the horizon tunes."""
    return [
        Study(
            f"{name}-K{arms}-T{horizon}",
            environments(arms, horizon),
            players(arms, horizon) if callable(players) else players,
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


def _adaptive_gaps(arms: int, horizon: int) -> dict:
    rate = math.sqrt(arms * math.log(horizon) / horizon)
    return _gaps(rate, arms, (1, 2, 4))


def _worst_gap_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    return [
        *_studies("uniform", scale, size.horizons, _uniform_gaps, UNIFORM),
        *_studies("adaptive", scale, size.horizons, _adaptive_gaps, ADAPTIVE),
        *_studies("thompson", scale, size.thompson, _adaptive_gaps, THOMPSON),
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
                look = {"color": plotting.COLOURS[j], "linestyle": ("-", "--")[i]}
                label = f"{learner}, gap {gap}"
                ax.plot(curve.horizons, value, marker="o", markersize=4, label=label, **look)
                ax.fill_between(curve.horizons, low, high, alpha=0.2, color=look["color"], lw=0)
        ax.set(xscale="log", xlabel="horizon T (rounds)", title=f"K = {arms}")
        ax.set_ylim(bottom=0)
    drawn.axes[0].set_ylabel("regret at T")
    drawn.axes[0].legend(fontsize="small")
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
    drawn.axes[0].legend(fontsize="small")
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

CHANGES = 5


def _change_studies(scale: Scale) -> list[Study]:
    def environments(arms, horizon):
        return {"five changes": envs.abrupt(arms, CHANGES, horizon)}

    def players(arms, horizon):
        # Garivier and Moulines 2011: windows of 2 sqrt(T ln T / changes), and the like.
        window = int(2 * math.sqrt(horizon * math.log(horizon) / CHANGES))
        discount = 1 - math.sqrt(CHANGES / horizon) / 4
        return {
            "UCB1": learners.UCB1(),
            "Thompson sampling": learners.ThompsonBeta(),
            "sliding-window UCB": learners.SlidingWindowUCB(window=window),
            "discounted UCB": learners.DiscountedUCB(discount=discount),
            "Exp3.S": learners.Exp3S(num_changes=CHANGES),
        }

    return _studies("changes", scale, {5: SIZES[scale].changes}, environments, players)


FORGETFUL = ("sliding-window UCB", "discounted UCB", "Exp3.S")


def _tracking(data: Data, learner: str) -> Growth:
    return growth(data, "changes-", learner, "five changes", "dynamic_regret")


def _plot_changes(data: Data):
    drawn = plotting.figure(1, 1, width=6.4, height=4.4)
    names = ("UCB1", "Thompson sampling", *FORGETFUL)
    curves = {name: _tracking(data, name) for name in names}
    guides = {"T": lambda t: t, r"$\sqrt{T \log T}$": lambda t: np.sqrt(t * np.log(t))}
    plot(drawn.axes[0], curves, guides, "K = 5, the best arm changes five times")
    drawn.axes[0].set_ylabel("dynamic regret at T")
    return drawn


def _gain(learner: str, data: Data, level: float) -> Estimate:
    """UCB1's dynamic regret less the learner's, as a share of the horizon, at the last horizon."""
    (horizons, stubborn), (_, other) = _tracking(data, "UCB1"), _tracking(data, learner)
    return paired_difference(stubborn[-1] / horizons[-1], other[-1] / horizons[-1], level)


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
        "Five arms; the good one (0.6, the others 0.4) changes five times in T rounds. Dynamic "
        "regret: against the best arm of each round."
    ),
)  # fmt: skip


def _ratio_claim(name, statement, source, figure, bound, estimate) -> Claim:
    return Claim(name, statement, source, figure, bound, estimate, (-math.inf, 1.0))


CLAIMS = (
    Claim(
        "explore-first-exponent", "At the worst gap, explore-first regret grows as T^(2/3) (K = 10)",
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
        _ruined, (0.9, 1.0), "a round",
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
        "ucb1-ignores-change", "UCB1 pays linearly for ignoring change", "Section 1.5, Chapter 5",
        "changes", "1", exponent(lambda data: _tracking(data, "UCB1")), _near(1.0),
    ),
    *(
        Claim(
            f"{learner.lower().replace(' ', '-').replace('.', '')}-gains",
            f"Where the best arm changes, {learner} has less dynamic regret than UCB1",
            source, "changes", "above 0", partial(_gain, learner), (0.0, math.inf), "a round",
        )
        for learner, source in zip(
            FORGETFUL,
            ("Garivier and Moulines 2011", "Garivier and Moulines 2011", "Auer et al. 2002, Sec. 8"),
            strict=True,
        )
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
