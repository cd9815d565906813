"""Cases for the audit of every private learner: pairs of tables that suit what it compares."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .learners.private.adaptive import AdaCUCB, AdaPKLUCB, AdaPUCB
from .learners.private.dp_bai import DPBAI, DPBAIGauss, gaussian_scale
from .learners.private.dp_od import DPOD
from .learners.private.elimination import DPSE
from .learners.private.top_two import AdaPTT, AdaPTTStar
from .learners.private.tree import DPUCB
from .privacy_audit import Case
from .privacy_cases_linear import least_squares, phases
from .privacy_tables import concentrated, means, table, telling_gap, with_entry

Builder = Callable[[float, float, int], list[Case]]


def dp_bai(epsilon: float, delta: float, runs: int, **settings: Any) -> list[Case]:
    """Cases for DP-BAI; `settings`: fields of the learner."""

    def make(silent=False, **options):
        given = np.float32(math.inf if silent else epsilon)
        return DPBAI(epsilon=given, **options, **settings)

    return phases(make, (epsilon, 0.0), scale=1 / epsilon, gaps=_gaps(epsilon, runs))


def baseline(epsilon: float, delta: float, runs: int) -> list[Case]:
    """Cases for DP-BAI that pulls all arms in every phase."""
    return dp_bai(epsilon, delta, runs, max_det=False)


def dp_bai_gauss(epsilon: float, delta: float, runs: int) -> list[Case]:
    """Cases for DP-BAI with normal noise."""
    scale = gaussian_scale(epsilon, delta)

    def make(silent=False, **options):
        given = np.float32(math.inf if silent else epsilon)
        return DPBAIGauss(epsilon=given, delta=delta, **options)

    near, gap = (telling_gap(x / scale, runs, "normal", delta) for x in (2, 1))
    return phases(make, (epsilon, delta), scale=scale, gaps=(near, gap))


def dp_od(epsilon: float, delta: float, runs: int) -> list[Case]:
    """Cases for DP-OD with as little noise as its claim allows, c = 1."""

    def make(silent=False, **options):
        return DPOD(epsilon=np.float32(math.inf if silent else epsilon), c=1.0, **options)

    return least_squares(make, (epsilon, 0.0), scale=1 / epsilon, gaps=_gaps(epsilon, runs))


def _gaps(epsilon: float, runs: int) -> tuple[float, float]:
    return telling_gap(2 * epsilon, runs), telling_gap(epsilon, runs)


# ---- learners that play two arms against each other ----------------------------------------


def episodes(make: Callable[..., Any]) -> Builder:
    """Cases for AdaP-UCB and AdaP-KLUCB. With optimism of several ln t noise scales, and indices
    cut at one, means are only compared in long batches, so that is where the entry is."""

    def build(epsilon: float, delta: float, runs: int) -> list[Case]:
        gap = telling_gap(epsilon, runs)
        return _episodes(make, {"epsilon": np.float32(epsilon)}, 1 / epsilon, gap, (epsilon, 0.0))

    return build


def concentrated_episodes(epsilon: float, delta: float, runs: int) -> list[Case]:
    """The same for AdaC-UCB, at the rho that implies (epsilon, delta)-privacy."""
    rho = concentrated(epsilon, delta)
    scale = 1 / math.sqrt(2 * rho)
    gap = telling_gap(1 / scale, runs, "normal", delta)
    return _episodes(AdaCUCB, {"rho": np.float32(rho)}, scale, gap, (epsilon, delta))


def _episodes(make, privacy, scale, gap, claim) -> list[Case]:
    batch = 2 ** math.ceil(math.log2(max(40 * scale, 16)))
    learner = make(num_arms=2, budget=7 * batch, **privacy)
    last = learner.num_phases()
    late = tuple(range(last - 5, last + 1))

    def case(name, behind, index, stops=late, claim=claim):
        rows = [[(batch, 0.5), (batch, 0.5 - behind / batch), (batch, 0.5)], [(7 * batch, 0.5)]]
        rewards = with_entry(table(rows), 0, index)
        return Case(
            name, learner, rewards, 0, index, 1.0, watch=(1,), stops=stops, view=means,
            epsilon=claim[0], delta=claim[1],
        )  # fmt: skip

    return [
        case("first pull", 0.0, 0, stops=(1, 2, 3, 4, 6, 8)),
        case("long batch, level", 0.0, batch),
        case("long batch, behind", gap, batch),
        case("beyond all pulls", 0.0, 7 * batch - 1, claim=(0.0, 0.0)),
    ]


def elimination(epsilon: float, delta: float, runs: int) -> list[Case]:
    """Cases for DP-SE: an arm is dropped when it is a certain gap behind, so it is put further
    behind by the telling gap, in the first epoch, in the second, and in both."""
    settings = {"num_arms": 2, "epsilon": np.float32(epsilon), "delta": np.float32(0.5)}
    epochs = DPSE(budget=2**30, **settings).schedule
    first, second = (int(x) for x in epochs.pulls[:2, 2])
    needed = [float(x) for x in epochs.gaps[:2, 2]]
    budget = 2 * first + 4 * second
    learner = DPSE(budget=budget, **settings)
    far, scale = telling_gap(epsilon, runs), 1 / epsilon

    # If the first epoch is not forgotten, its rewards count in the test after the second.
    both = (first + second) * needed[1] + 2 * scale * (first + second) / second
    kept = both - (first * needed[0] + 2 * scale) - second * needed[1]

    def case(name, behind, index=0, claim=epsilon):
        """`behind`: how far the sum of arm 0 is beyond the gap in the first two epochs; None where
        it is level with the other arm."""
        levels = [
            0.9 if extra is None else 0.9 - gap - extra / pulls
            for extra, gap, pulls in zip(behind, needed, (first, second), strict=True)
        ]
        rows = [[(first, levels[0]), (second, levels[1]), (budget, 0.9)], [(budget, 0.9)]]
        rewards = with_entry(table(rows), 0, index)
        return Case(
            name, learner, rewards, 0, index, 1.0, watch=(1,), view=means, epsilon=claim
        )  # fmt: skip

    return [
        case("first epoch, at the gap", (0.0, None)),
        case("first epoch, beyond it", (far, None)),
        case("first epoch, felt in both", (2 * scale, kept)),
        case("second epoch", (None, far), index=first),
        case("beyond all pulls", (None, None), index=budget - 1, claim=0.0),
    ]


def top_two(make: Callable[..., Any]) -> Builder:
    """Cases for AdaP-TT: two arms compete for the place of the challenger."""

    def build(epsilon: float, delta: float, runs: int) -> list[Case]:
        batch = 2 ** math.ceil(math.log2(max(8 / epsilon, 8)))
        budget = 9 * batch
        learner = make(num_arms=3, budget=budget, epsilon=np.float32(epsilon), delta=0.01)
        last = learner.num_phases()
        gap = telling_gap(epsilon, runs)
        stops = tuple(sorted({1, 4, *range(max(last - 14, 6), last - 1, 3), last}))

        def case(name, behind, index, claim=epsilon):
            level = 0.4 - behind / batch
            rows = [
                [(batch, 0.4), (batch, level), (batch, 0.4)],
                [(budget, 0.4)],
                [(budget, 0.65)],
            ]
            rewards = with_entry(table(rows), 0, index)
            return Case(
                name, learner, rewards, 0, index, 1.0, watch=(1, 2), stops=stops, view=means,
                epsilon=claim,
            )  # fmt: skip

        return [
            case("first pull", 0.0, 0),
            case("long batch, level", 0.0, batch),
            case("long batch, behind", min(gap, 0.4 * batch), batch),
            case("beyond all pulls", 0.0, budget - 1, claim=0.0),
        ]

    return build


def tree(epsilon: float, delta: float, runs: int) -> list[Case]:
    """Cases for DP-UCB. The first reward of a single arm is in the first node of each level of the
    tree, and the bounds after 1, 2, 4, ... pulls show one of them each; of two arms, its own bound
    decides when it is pulled again."""
    length = 128
    alone = DPUCB(num_arms=1, horizon=length, epsilon=np.float32(epsilon))
    both = DPUCB(num_arms=2, horizon=2 * length, epsilon=np.float32(epsilon))
    powers = tuple(2**level for level in range(8))

    def bounds(state):
        return state.bounds

    options: dict[str, Any] = {"view": bounds, "epsilon": epsilon}
    rows, one = np.full((2, 2 * length), 0.5), np.full((1, length), 0.5)
    behind = rows - np.array([[0.5], [0.0]])
    pair: dict[str, Any] = {"watch": (1,), "rounds": 2 * length, **options}
    rewards = with_entry(one, 0, 0)
    return [
        Case("one arm", alone, rewards, 0, 0, 1.0, rounds=length, stops=powers, **options),
        Case("two arms, level", both, with_entry(rows, 0, 0), 0, 0, 1.0, **pair),
        Case("two arms, behind", both, with_entry(behind, 0, 0), 0, 0, 1.0, **pair),
        Case("late pull", both, with_entry(rows, 0, 63), 0, 63, 1.0, **pair),
        Case(
            "beyond all pulls", both, with_entry(rows, 0, 255), 0, 255, 1.0,
            **{**pair, "epsilon": 0.0},
        ),
    ]  # fmt: skip


BUILDERS: dict[str, Builder] = {
    "dp-bai": dp_bai,
    "dp-bai-baseline": baseline,
    "dp-bai-gauss": dp_bai_gauss,
    "dp-od": dp_od,
    "dp-ucb": tree,
    "adap-ucb": episodes(AdaPUCB),
    "adap-klucb": episodes(AdaPKLUCB),
    "adac-ucb": concentrated_episodes,
    "dp-se": elimination,
    "adap-tt": top_two(AdaPTT),
    "adap-tt-star": top_two(AdaPTTStar),
}
