"""What the theorems say of corruption, of random orders, and of what no learner can do better."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ...core import plotting
from ...core.claims import Claim
from ...core.statistics import Estimate, largest, mean, smallest, split_level
from ...core.study import Study
from ...envs import sea_scenarios as sea
from ...envs.convex import SEA
from ...envs.sea_hindsight import furthest
from ..growth import Data, final
from ..paper import Figure, Scale
from .bounds import mirror_descent, problem_of
from .dial import SACHS
from .runs import CONVEX, CURVED, OFTL_SC, OMD, SIZES, Cell, band, largest_ratio, limit, study

# ---- corruption ----------------------------------------------------------------------------

SHARES = (0.0, 0.004, 0.016, 0.064, 0.25)  # of the rounds


def _corrupted(horizon: int, rounds: int) -> SEA:
    """I.i.d. losses; in the first rounds e2 is added and taken off by turns, which makes the most
    of a corruption of `rounds` in all."""
    early = np.arange(horizon) < rounds
    sign = np.where(early, 1.0 - 2 * (np.arange(horizon) % 2), 0.0)
    means = 0.5 * np.eye(5)[0] + sign[:, None] * np.eye(5)[1]
    return SEA(sea.BALL, means, 0.5)


def _corruptions(horizon: int) -> dict[str, SEA]:
    amounts = [round(share * horizon) for share in SHARES]
    return {f"C = {c}": _corrupted(horizon, c) for c in amounts}


def corruption_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    environments = _corruptions(size.horizon)
    return [study("corrupted", environments, CONVEX, size.horizon, size.seeds)]


def corruption_cells(kind: str, data: Data) -> dict[str, Cell]:
    """Of OOMD, with 4 G C for the sum of Sigma_t^2, or as switches, with 2^2 for each of C."""
    dataset = data["corrupted"]
    horizon, found = int(dataset.attrs["horizon"]), {}
    for name, env in _corruptions(horizon).items():
        p, amount = problem_of(env), float(name.removeprefix("C = "))
        each = 4 * p.gradient if kind == "corrupted" else p.most_variation
        bound = mirror_descent(p, 0.25 * horizon, each * amount)
        found[name] = Cell(final(dataset, name, OMD), bound)
    return found


def over_corruption(kind: str, data: Data, level: float) -> Estimate:
    return largest_ratio(corruption_cells(kind, data).values(), level)


def plot_corruption(data: Data):
    drawn = plotting.figure(1, 1, width=6.6, height=4.0)
    (ax,) = drawn.axes
    found = corruption_cells("corrupted", data)
    amounts = [float(name.removeprefix("C = ")) for name in found]
    for slot, learner in enumerate(CONVEX):
        band(ax, amounts, [final(data["corrupted"], x, learner) for x in found], learner, slot)
        if learner == OMD:
            limit(ax, amounts, [cell.bound for cell in found.values()], "OOMD, bound", slot)
    ax.set(xlabel="C (sum of the largest gradients of the corruption)", ylabel="regret (losses)")
    ax.set(xscale="symlog", yscale="log")
    drawn.legend(loc="outside right upper")
    return drawn


# ---- random order --------------------------------------------------------------------------

PASSES = (1, 2, 4, 8)
ORDERED = {**CONVEX, OFTL_SC: CURVED[OFTL_SC]}


def order_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    points = min(size.horizon, 8000) // max(PASSES)
    environments = {p: sea.random_order(points, p) for p in PASSES}
    return [
        study(f"{p} passes", {f"{p} passes": env}, ORDERED, env.most_rounds, size.seeds)
        for p, env in environments.items()
    ]


def _order_cells(kind: str, data: Data) -> dict[str, Cell]:
    """`kind`: the sum of sigma_t^2, over T s^2 log(2 e^2); that of Sigma_t^2, over 12 G^2 for each
    pass; or the regret of OOMD, over what these make of its bound."""
    points, found = int(data["1 passes"].attrs["horizon"]), {}
    for passes in PASSES:
        name, env = f"{passes} passes", sea.random_order(points, passes)
        centre = env.points.astype(float).mean(axis=0)
        spread = float(np.sum(np.var(env.points.astype(float), axis=0)))
        p, first = problem_of(env), furthest(env.domain, centre) ** 2  # |grad F_1|^2 at most
        variance = env.most_rounds * spread * math.log(2 * math.e**2)
        variation = passes * 12 * p.gradient**2 if passes > 1 else 8 * p.gradient**2
        of = {
            "variance": ("stochastic_variance", variance),
            "variation": ("adversarial_variation", variation),
            "regret": ("regret", mirror_descent(p, variance, variation)),
        }
        metric, bound = of[kind]
        values = final(data[name], name, OMD, metric)
        found[name] = Cell(values + first if kind == "variation" else values, bound)
    return found


def over_order(kind: str, data: Data, level: float) -> Estimate:
    return largest_ratio(_order_cells(kind, data).values(), level)


def plot_order(data: Data):
    drawn = plotting.figure(1, 2, width=4.8, height=4.0)
    left, right = drawn.axes
    for slot, learner in enumerate(ORDERED):
        values = [final(data[f"{p} passes"], f"{p} passes", learner) for p in PASSES]
        band(left, PASSES, values, learner, slot)
    limit(left, PASSES, [cell.bound for cell in _order_cells("regret", data).values()],
          "OOMD, bound", 1)  # fmt: skip
    left.set(xscale="log", yscale="log", xlabel="passes", ylabel="regret (losses)")
    labels = {"variance": r"$\sigma^2_{1:T}$", "variation": r"$\Sigma^2_{1:T}$"}
    for slot, (kind, label) in enumerate(labels.items()):
        found = _order_cells(kind, data)
        band(right, PASSES, [cell.values for cell in found.values()], label, slot)
        limit(right, PASSES, [cell.bound for cell in found.values()], f"{label}, bound", slot)
    right.set(xscale="log", yscale="log", xlabel="passes", ylabel="squared gradients")
    for ax in drawn.axes:
        ax.set_xticks(PASSES, [str(p) for p in PASSES])
        ax.minorticks_off()
        ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return drawn


# ---- nobody does better --------------------------------------------------------------------


def hard_studies(scale: Scale) -> list[Study]:
    size = SIZES[scale]
    hard = {"fair": sea.iid(mean=0.0, loss="linear")}
    return [study("hard", hard, CONVEX, size.horizon, size.seeds, _early(size.horizon))]


def _early(horizon: int) -> tuple[int, ...]:
    return tuple(horizon // k for k in (64, 16, 4, 1))


def _hard(learner: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Rounds, and regrets over D sigma sqrt(T) [round, seed]."""
    found = data["hard"].regret.sel(environment="fair", learner=learner)
    found = found.transpose("checkpoint", "seed")
    rounds = found.checkpoint.values.astype(float)
    return rounds, found.values / (2 * 0.5 * np.sqrt(rounds))[:, None]


def _of_fair(choose: Any, data: Data, level: float) -> Estimate:
    split = split_level(level, len(CONVEX))
    found = [mean(_hard(learner, data)[1][-1], level=split) for learner in CONVEX]
    return choose(found)._replace(level=level)


# E |S| of a sum of T uniform points on the sphere of R^5 is sqrt(T) sqrt(2 / 5) Gamma(3) /
# Gamma(5 / 2) but for lower orders; the regret is half of D sigma times that.
FAIR = 0.5 * math.sqrt(2 / 5) * math.gamma(3) / math.gamma(2.5)


def plot_hard(data: Data):
    drawn = plotting.figure(1, 1, width=6.6, height=4.0)
    (ax,) = drawn.axes
    for slot, learner in enumerate(CONVEX):
        rounds, values = _hard(learner, data)
        band(ax, rounds * 1.03**slot, values, learner, slot)
    ax.axhline(FAIR, color="0.5", lw=1, ls="--", label="for every learner")
    ax.set(
        xscale="log", ylim=(0, None), xlabel="rounds T", ylabel=r"regret / (D $\sigma \sqrt{T}$)"
    )
    drawn.legend(loc="outside right upper")
    return drawn


# ---- claims --------------------------------------------------------------------------------

FIGURES = (
    Figure(
        "corruption", "Corrupted i.i.d. losses", corruption_studies, plot_corruption,
        "i.i.d. quadratic losses, T = 16,000 at paper scale; to the first C of them e2 is added "
        "and taken off by turns. Regret counts the corruption. Dotted: the theorem with 4 G C for "
        "the sum of Sigma_t^2."
    ),
    Figure(
        "order", "Random order, one pass and several", order_studies, plot_order,
        "1,000 points at paper scale, .2 e1 plus a vector of length .8, in a new random order each "
        "pass. Right: the exact conditional variances and moves of the mean, with the bounds of "
        "Sachs et al."
    ),
    Figure(
        "hard", "What no learner does better", hard_studies, plot_hard,
        "Linear losses whose coefficients are uniform on a sphere around 0: whatever is played, "
        "the expected regret is the same, D / 2 times the expected length of their sum."
    ),
)  # fmt: skip


def _order_claim(kind: str, statement: str, value: str) -> Claim:
    return Claim(
        f"random-order-{kind}", statement, f"{SACHS}, random order", "order", value,
        partial(over_order, kind), (-math.inf, 1.0),
    )  # fmt: skip


CLAIMS = (
    Claim(
        "corrupted",
        "With a corruption of C, the regret of OOMD is at most 5 sqrt(10) D^2 L + 5/2 sqrt(5) D G "
        "+ 5 sqrt(2) D sigma sqrt(T) + 10 D sqrt(G C)",
        f"{SACHS}, corrupted; constants derived here", "corruption", "regret / bound at most 1",
        partial(over_corruption, "corrupted"), (-math.inf, 1.0),
    ),
    Claim(
        "switches",
        "Taken as c switches of the mean, the last part of that bound is 5 D Sigma_max sqrt(c)",
        f"{SACHS}, switches; constants derived here", "corruption", "regret / bound at most 1",
        partial(over_corruption, "switches"), (-math.inf, 1.0),
    ),
    _order_claim(
        "variance", "In random order the sum of sigma_t^2 is at most T s^2 log(2 e^2)",
        "sum / bound at most 1",
    ),
    _order_claim(
        "variation", "In random order the sum of Sigma_t^2 is at most 8 G^2 in one pass, and in P "
        "passes 12 G^2 P (4 G^2 for each start)", "sum / bound at most 1",
    ),
    _order_claim(
        "regret", "In random order the regret of OOMD is what the convex theorem makes of both",
        "regret / bound at most 1",
    ),
    Claim(
        "lower-bound", "On fair linear losses no learner has a smaller regret than of the order "
        "D sigma sqrt(T)", f"{SACHS}, lower bound; the constant .476 derived here", "hard",
        f"{FAIR:.3f}", partial(_of_fair, smallest), (FAIR - 0.04, math.inf),
    ),
    Claim(
        "lower-bound-is-met", "Nor a larger one there", "our own, by symmetry", "hard",
        f"{FAIR:.3f}", partial(_of_fair, largest), (-math.inf, FAIR + 0.04),
    ),
)  # fmt: skip
