"""Best-arm identification with a fixed budget: the experiments that introduced the methods.

Audibert, Bubeck and Munos 2010 (Successive Rejects, UCB-E), Karnin, Koren and Somekh 2013
(Sequential Halving), Yang and Tan 2022 (OD-LinBAI), and the hard linear problem of Soare, Lazaric
and Munos 2014. Arms come in an order that each run draws: learners break ties by index, and with
the best arm first that would favour it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .. import envs
from ..core import learners, plotting
from ..core.claims import Claim
from ..core.complexity import h1, successive_rejects_bound
from ..core.statistics import Estimate, paired_difference, smallest, split_level
from ..core.study import Study
from . import best_arm_linear as linear
from .identification import Data, curve, errors, names_of, rate, row, study
from .paper import Figure, Paper, Scale

RUNS: dict[Scale, int] = {"smoke": 200, "quick": 2000, "paper": 20_000}
PULLED: dict[Scale, int] = {"smoke": 50, "quick": 400, "paper": 4000}  # pull by pull: slower

# ---- Audibert, Bubeck and Munos ------------------------------------------------------------

EXPERIMENTS = tuple(range(1, 8))
CONSTANTS = (1, 2, 4)
HALVING, HALVING_ALL = "Sequential Halving", "Sequential Halving, all rewards"
PHASED = {
    "uniform": learners.UniformAllocation(),
    "Successive Rejects": learners.SuccessiveRejects(),
    HALVING: learners.SequentialHalving(),
    HALVING_ALL: learners.SequentialHalving(accumulate=True),
}


def _audibert_studies(scale: Scale) -> list[Study]:
    studies = []
    for number in EXPERIMENTS:
        arms = envs.audibert_2010(number)
        env = envs.BestArm(envs.ShuffledArms(arms), envs.audibert_2010_budget(number))
        oracle: dict[str, Any] = {
            f"UCB-E, c = {c}": learners.UCBE(hardness=h1(arms.means), c=float(c)) for c in CONSTANTS
        }
        oracle["adaptive UCB-E"] = learners.AdaptiveUCBE()
        environments = {f"{number}": env}
        studies += [
            study(f"phases-{number}", environments, PHASED, RUNS[scale]),
            study(f"pulls-{number}", environments, oracle, PULLED[scale]),
        ]
    return studies


def _audibert_rate(data: Data, number: int, learner: str, level: float = 0.95) -> Estimate:
    kind = "phases" if learner in PHASED else "pulls"
    return rate(data[f"{kind}-{number}"], f"{number}", learner, level)


def _plot_audibert(data: Data):
    drawn = plotting.figure(1, 1, width=9.5, height=4.2)
    ax = drawn.axes[0]
    names = [*PHASED, *(str(x) for x in data["pulls-1"].learner.values)]
    for slot, name in enumerate(names):
        found = [row(_audibert_rate(data, number, name)) for number in EXPERIMENTS]
        value, low, high = np.array(found).T
        place = np.array(EXPERIMENTS) + (slot - (len(names) - 1) / 2) * 0.1
        colour = plotting.COLOURS[slot % len(plotting.COLOURS)]
        ax.bar(place, value, 0.09, color=colour, label=name, alpha=1 if slot < 7 else 0.5)
        ax.errorbar(place, value, yerr=[value - low, high - value], fmt="none", ecolor="0.2",
                    elinewidth=0.8)  # fmt: skip
    ax.set(xlabel="experiment", ylabel="error probability", xticks=EXPERIMENTS)
    ax.legend(fontsize="small", ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return drawn


def _rejects_beat_uniform(data: Data, level: float) -> Estimate:
    """Error of uniform allocation less that of Successive Rejects, where it is smallest."""
    split = split_level(level, len(EXPERIMENTS))
    gains = [
        paired_difference(
            errors(data[f"phases-{i}"], f"{i}", "uniform"),
            errors(data[f"phases-{i}"], f"{i}", "Successive Rejects"),
            split,
        )
        for i in EXPERIMENTS
    ]
    return smallest(gains)._replace(level=level)


def _rejects_over_bound(data: Data, level: float) -> Estimate:
    """Largest ratio of the error of Successive Rejects to its upper bound."""
    split, ratios = split_level(level, len(EXPERIMENTS)), []
    for i in EXPERIMENTS:
        arms, budget = envs.audibert_2010(i), envs.audibert_2010_budget(i)
        found = row(_audibert_rate(data, i, "Successive Rejects", split))
        ratios.append(found / successive_rejects_bound(arms.means, budget))
    value, low, high = np.array(ratios).max(axis=0)
    return Estimate(float(value), float(low), float(high), level)


def _oracle_gain(data: Data, level: float) -> Estimate:
    """Error of Successive Rejects less that of UCB-E with the best of its constants, where it is
    smallest. The intervals of both are combined at their worst ends; a constant is chosen on half
    of the runs and measured on the others."""
    split, gains = split_level(level, 2 * len(EXPERIMENTS)), []
    for i in EXPERIMENTS:
        dataset = data[f"pulls-{i}"]
        runs = dataset.sizes["seed"]
        half = dataset.isel(seed=slice(0, runs // 2)), dataset.isel(seed=slice(runs // 2, runs))
        names = [f"UCB-E, c = {c}" for c in CONSTANTS]
        best = min(names, key=lambda name: errors(half[0], f"{i}", name).mean())
        ours = row(rate(half[1], f"{i}", best, split))
        theirs = row(_audibert_rate(data, i, "Successive Rejects", split))
        ends = theirs[1] - ours[2], theirs[2] - ours[1]
        gains.append(Estimate(float(theirs[0] - ours[0]), float(ends[0]), float(ends[1]), level))
    return smallest(gains)._replace(level=level)


# ---- Karnin, Koren and Somekh --------------------------------------------------------------

SETUPS = tuple(range(1, 7))
SIZES: dict[Scale, tuple[int, ...]] = {"smoke": (20,), "quick": (20, 80), "paper": (20, 40, 80)}


def _karnin_studies(scale: Scale) -> list[Study]:
    return [
        study(
            f"karnin-{size}",
            {
                f"setup {i}": envs.BestArm(
                    envs.ShuffledArms(envs.karnin_2013(i, size)), envs.karnin_2013_budget(i, size)
                )
                for i in SETUPS
            },
            PHASED,
            RUNS[scale] // 4,
        )
        for size in SIZES[scale]
    ]


def _plot_karnin(data: Data):
    names = sorted(data, key=lambda name: int(name.split("-")[1]))
    drawn = plotting.figure(1, len(names), width=4.6, height=3.8)
    for ax, name in zip(drawn.axes, names, strict=True):
        dataset = data[name]
        for slot, learner in enumerate(PHASED):
            value, low, high = curve(dataset, learner, names_of(dataset))
            place = np.array(SETUPS) + (slot - 1.5) * 0.2
            ax.bar(place, value, 0.19, color=plotting.COLOURS[slot], label=learner)
            ax.errorbar(place, value, yerr=[value - low, high - value], fmt="none", ecolor="0.2",
                        elinewidth=0.8)  # fmt: skip
        ax.set(title=f"{name.split('-')[1]} arms", xlabel="setup", xticks=SETUPS)
    drawn.axes[0].set_ylabel("error probability")
    drawn.axes[0].legend(fontsize="small")
    return drawn


def _halving_gain(number: int, halving: str, data: Data, level: float) -> Estimate:
    """Error of Successive Rejects less that of Sequential Halving, with the most arms there are."""
    dataset = data[max(data, key=lambda name: int(name.split("-")[1]))]
    rejects = errors(dataset, f"setup {number}", "Successive Rejects")
    return paired_difference(rejects, errors(dataset, f"setup {number}", halving), level)


# ---- the papers ----------------------------------------------------------------------------

FIGURES = (
    Figure(
        "audibert", "Audibert, Bubeck and Munos", _audibert_studies, _plot_audibert,
        "Their seven experiments, arms in random order. UCB-E knows the complexity H_1; the "
        "adaptive one estimates it. Bars: 95 % Clopper-Pearson intervals."
    ),
    Figure(
        "karnin", "Karnin, Koren and Somekh", _karnin_studies, _plot_karnin,
        "Their six setups (reconstruction: the budgets of a public repetition fit these means), "
        "arms in random order. Sequential Halving forgets the rewards of earlier rounds, as it "
        "was published, or keeps all."
    ),
    Figure(
        "circle", "Yang and Tan: arms on a circle", linear.circle_studies, linear.plot_circle,
        "Two dimensions, arms at angles 0, 3 pi / 4 and around pi / 4; crosses are the published "
        "error probabilities. Learners that need more pulls than there are do not run."
    ),
    Figure(
        "soare", "Soare, Lazaric and Munos: two arms that are hard to tell apart",
        linear.soare_studies, linear.plot_soare,
        "Unit vectors and one arm close to the best. The last phase of OD-LinBAI pulls only two "
        "nearly parallel arms, and its error stays; Peace pulls what tells them apart."
    ),
)  # fmt: skip

_ABOVE = (0.0, math.inf)
CLAIMS = (
    Claim(
        "rejects-beat-uniform",
        "Successive Rejects errs less than uniform allocation, in all seven",
        "Audibert, Bubeck and Munos 2010, Section 6", "audibert", "differences above 0",
        _rejects_beat_uniform, _ABOVE,
    ),
    Claim(
        "rejects-bound",
        "The error of Successive Rejects is at most K (K - 1) / 2 exp(-(T - K) / (logbar K H_2))",
        "Audibert, Bubeck and Munos 2010, Theorem 2", "audibert", "ratio at most 1",
        _rejects_over_bound, (-math.inf, 1.0),
    ),
    Claim(
        "oracle-gain",
        "UCB-E with the best of three constants errs at most 0.02 more than Successive Rejects",
        "Audibert, Bubeck and Munos 2010, Section 6", "audibert", "difference above -0.02",
        _oracle_gain, (-0.02, math.inf),
    ),
    *(
        Claim(
            f"halving{suffix}-setup-{i}",
            f"In setup {i}, with 80 arms, {name} errs less than Successive Rejects",
            "Karnin, Koren and Somekh 2013, Section 5", "karnin", "difference above 0",
            partial(_halving_gain, i, name), _ABOVE,
        )
        for suffix, name in (("", HALVING), ("-all", HALVING_ALL))
        for i in SETUPS
    ),
    *(
        Claim(
            f"circle-{learner.lower().replace(', ', '-').replace(' ', '-')}",
            f"{learner}: our error probability is the published one, on average over settings",
            "Yang and Tan 2022, first experiment", "circle", "difference 0",
            partial(linear.to_published, learner), (-0.02, 0.02),
        )
        for learner in linear.PUBLISHED[25]
    ),
    Claim(
        "design-gain", "OD-LinBAI errs less than all others, at every K and both budgets",
        "Yang and Tan 2022, first experiment", "circle", "differences above 0",
        linear.design_gain, _ABOVE,
    ),
    *(
        Claim(
            f"soare-{learner.lower()}",
            f"{learner} on Soare's problem: our error is that of the saved data, on average",
            "saved data of public code (Xiong et al. 2024)", "soare", "difference 0",
            partial(linear.to_saved, learner), (-0.02, 0.02),
        )
        for learner in linear.SOARE
    ),
    Claim(
        "plateau", "There the error of OD-LinBAI does not fall between 2010 and 5010 pulls",
        "saved data of public code (Xiong et al. 2024)", "soare", "difference 0",
        linear.plateau, (-0.02, 0.02),
    ),
)  # fmt: skip

PAPER = Paper(
    "best_arm",
    "Best-arm identification with a fixed budget",
    "Audibert, Bubeck, Munos, COLT 2010; Karnin, Koren, Somekh, ICML 2013; Yang, Tan, NeurIPS "
    "2022; Soare, Lazaric, Munos, NIPS 2014, with data of Xiong et al., AISTATS 2024",
    "The experiments that introduced Successive Rejects, UCB-E, Sequential Halving and OD-LinBAI, "
    "with their peers, against published error probabilities where there are any.",
    FIGURES,
    CLAIMS,
)
