"""Named instances from the literature, each with its source; and instances that every seed draws
for itself: arms in random order, means from a prior.

"From memory" marks what was written down without the paper at hand.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import samplers
from ..core.noise import stream, uniform
from ..core.protocol import Key, concrete
from .bandits import BernoulliBandit, BetaBandit, FixedMeans

_AUER = {
    1: [0.9, 0.6],
    2: [0.9, 0.8],
    3: [0.55, 0.45],
    11: [0.9] + 9 * [0.6],
    12: [0.9] + 3 * [0.8] + 3 * [0.7] + 3 * [0.6],
    13: [0.9] + 9 * [0.8],
    14: [0.55] + 9 * [0.45],
}


def one_good_arm(num_arms: int, gap: float, base: float = 0.5, best: int = 0) -> BernoulliBandit:
    """One arm (`best`) of mean base + gap, all others of mean base.

    Raises:
      ValueError: fewer than two arms, no such arm, a gap that is not positive.
    """
    if num_arms < 2 or not 0 <= best < num_arms or not gap > 0:
        raise ValueError(
            f"one_good_arm needs two arms at least, the number of one of them and a positive gap: "
            f"got num_arms={num_arms}, best={best}, gap={gap}"
        )
    return BernoulliBandit(np.where(np.arange(num_arms) == best, base + gap, base))


def linear_gaps(num_arms: int, high: float = 0.9, low: float = 0.1) -> BernoulliBandit:
    """Means evenly spaced from `high` (arm 0) down to `low`. No source: a standard ladder.

    Raises:
      ValueError: fewer than two arms, low not below high, or either outside [0, 1].
    """
    if num_arms < 2 or not low < high:
        raise ValueError(
            f"linear_gaps needs two arms at least and low < high: got num_arms={num_arms}, "
            f"low={low}, high={high}"
        )
    return BernoulliBandit(np.linspace(high, low, num_arms))


def auer_2002(number: int) -> BernoulliBandit:
    """Distributions 1 to 3 (two arms) and 11 to 14 (ten arms) of Auer et al. 2002.

    Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem",
    Machine Learning 2002, Section 4. There are seven: the paper skips 4 to 10. From memory,
    checked against later reproductions.

    Raises:
      ValueError: no distribution of that number.
    """
    if number not in _AUER:
        raise ValueError(f"auer_2002 has distributions {sorted(_AUER)}: got {number!r}")
    return BernoulliBandit(_AUER[number])


def garivier_cappe_2011() -> BernoulliBandit:
    """Ten arms of low reward: 0.1, then three each of 0.05, 0.02 and 0.01. Garivier and Cappe,
    "The KL-UCB algorithm for bounded stochastic bandits and beyond", COLT 2011, Figure 2; also
    used by Kaufmann, Korda and Munos for Thompson sampling, ALT 2012. From memory, checked against
    later reproductions."""
    return BernoulliBandit([0.1] + 3 * [0.05] + 3 * [0.02] + 3 * [0.01])


def chapelle_li_2011(num_arms: int = 10, gap: float = 0.1) -> BernoulliBandit:
    """Best arm 1/2, all others 1/2 - gap; the paper has K in {10, 100} and gap in {0.1, 0.02}.
    Chapelle and Li, "An empirical evaluation of Thompson sampling", NIPS 2011, Section 2 (from
    memory)."""
    return one_good_arm(num_arms, gap, base=0.5 - gap)


def worst_gap(
    num_arms: int, horizon: int, scale: float = 1.0, power: float = 0.5
) -> BernoulliBandit:
    """One arm of mean 1/2 + gap, the others 1/2, with gap = scale (K ln T / T)^power, at most 1/2.

    Where a bound in terms of the gap meets the trivial gap T, regret is at its largest: power 1/2
    for bounds of the form K ln T / gap (successive elimination, UCB1: Slivkins, "Introduction to
    Multi-Armed Bandits", 2019, Section 1.3), power 1/3 for explore-first and epsilon-greedy
    (Section 1.2; section numbers from memory).

    Raises:
      ValueError: fewer than two arms or rounds, or scale or power not positive.
    """
    _check_sizes("worst_gap", num_arms, horizon, scale)
    if not power > 0:
        raise ValueError(f"worst_gap needs a positive power: got {power}")
    gap = scale * (num_arms * math.log(horizon) / horizon) ** power
    return one_good_arm(num_arms, min(gap, 0.5))


def lower_bound(num_arms: int, horizon: int, best: int = 0, scale: float = 0.5) -> BernoulliBandit:
    """One arm (`best`) of mean 1/2 + gap, the others 1/2, with gap = scale sqrt(K / T).

    The gap, at most 1/2, is too small to be found in T rounds: the family of the lower bound
    c sqrt(K T). Slivkins, "Introduction to Multi-Armed Bandits", 2019, Section 2.1 and Theorem 2.1;
    Auer, Cesa-Bianchi, Freund and Schapire, "The nonstochastic multiarmed bandit problem", SIAM J.
    Computing 2002, Theorem 5.1 (theorem numbers from memory). The bound holds on average over the
    choice of `best`: use `HiddenBestArm(lower_bound(...))`, or all K members.

    Raises:
      ValueError: fewer than two arms or rounds, scale not positive, or no such arm.
    """
    _check_sizes("lower_bound", num_arms, horizon, scale)
    return one_good_arm(num_arms, min(scale * math.sqrt(num_arms / horizon), 0.5), best=best)


def lower_bound_pair(horizon: int, scale: float = 0.5) -> tuple[BernoulliBandit, BernoulliBandit]:
    """Both two-armed members of `lower_bound`: no learner does well on the one and the other.

    Raises:
      ValueError: fewer than two rounds, or scale not positive.
    """
    first, second = (lower_bound(2, horizon, best, scale) for best in (0, 1))
    return first, second


def _check_sizes(name: str, num_arms: int, horizon: int, scale: float) -> None:
    if num_arms < 2 or horizon < 2 or not scale > 0:
        raise ValueError(
            f"{name} needs two arms and two rounds at least and a positive scale: "
            f"got num_arms={num_arms}, horizon={horizon}, scale={scale}"
        )


# ---- which arm is which --------------------------------------------------------------------


class HiddenState(NamedTuple):
    """Which arm of the bandit each arm shown to the learner is, and the bandit's state."""

    order: jax.Array  # [K] int32
    state: Any


@flax.struct.dataclass
class HiddenBestArm:
    """`bandit` with its arms in an order that each seed draws.

    No learner gains from the numbers of the arms then, by breaking ties downwards for one.

    Metrics are those of the bandit, `pulls` too: in its own order, where arm 0 may be the best.

    Raises:
      ValueError: something that is not a bandit; `FullInformation` and `WithHindsight` go outside.
    """

    bandit: Any

    def __post_init__(self):
        if dataclasses.is_dataclass(self.bandit) and not hasattr(self.bandit, "rewards"):
            raise ValueError(
                f"HiddenBestArm wraps a bandit that tells the reward of the arm played; "
                f"FullInformation and WithHindsight go outside: got {self.bandit!r}"
            )

    @property
    def num_arms(self) -> int:
        return self.bandit.num_arms

    def init(self, key: Key) -> HiddenState:
        order = jnp.argsort(uniform(stream(key, "order"), (self.num_arms,)))
        return HiddenState(order.astype(jnp.int32), self.bandit.init(stream(key, "bandit")))

    def noise(self, key: Key, num_rounds: int):
        return self.bandit.noise(key, num_rounds)

    def observe(self, state, noise):
        return self.bandit.observe(state.state, noise)

    def step(self, state, arm, noise):
        inner, feedback, metrics = self.bandit.step(state.state, state.order[arm], noise)
        return HiddenState(state.order, inner), feedback, metrics

    def rewards(self, state, noise) -> jax.Array:
        """Rewards of all arms, [K], from a row of K draws, both as shown to the learner."""
        place = jnp.argsort(state.order)
        draws = jax.tree.map(lambda x: x[place], noise)
        return self.bandit.rewards(state.state, draws)[state.order]

    def evaluate(self, state, arm):
        return self.bandit.evaluate(state.state, state.order[arm])


# ---- means drawn from a prior --------------------------------------------------------------


class Drawn(NamedTuple):
    """The bandit that a seed drew, and how it stands."""

    bandit: Any
    state: Any


class DrawnMeans:
    """Shared by bandits whose means each seed draws for itself; a subclass adds `draw`.

    Regret averaged over seeds is then the Bayesian regret of the prior.
    """

    bandit: Any

    @property
    def num_arms(self) -> int:
        return self.bandit.num_arms

    def draw(self, key: Key) -> jax.Array:
        """Means of all arms, [K]."""
        raise NotImplementedError

    def init(self, key: Key) -> Drawn:
        means = self.draw(stream(key, "means"))
        bandit = dataclasses.replace(self.bandit, means=means, rest=jnp.zeros_like(means))
        return Drawn(bandit, bandit.init(stream(key, "bandit")))

    def noise(self, key: Key, num_rounds: int):
        return self.bandit.noise(key, num_rounds)

    def observe(self, state, noise):
        return state.bandit.observe(state.state, noise)

    def step(self, state, arm, noise):
        inner, feedback, metrics = state.bandit.step(state.state, arm, noise)
        return Drawn(state.bandit, inner), feedback, metrics

    def rewards(self, state, noise) -> jax.Array:
        return state.bandit.rewards(state.state, noise)

    def evaluate(self, state, arm):
        return state.bandit.evaluate(state.state, arm)


@flax.struct.dataclass
class RandomMeans(DrawnMeans):
    """`bandit` with means that each seed draws, independent and uniform on (low, high).

    The means given to `bandit` only say how many arms there are.

    Raises:
      ValueError: a bandit without means; low not below high; for a bandit with rewards in [0, 1],
        bounds outside of it.
    """

    bandit: Any
    low: Any = 0.0
    high: Any = 1.0

    def __post_init__(self):
        _check_prior(self)
        unit = isinstance(self.bandit, BernoulliBandit | BetaBandit)
        if not _new_numbers(self, "low", "high"):
            return
        bounds = float(self.low), float(self.high)
        inside = not unit or (bounds[0] >= 0 and bounds[1] <= 1)
        if not bounds[0] < bounds[1] or not np.isfinite(bounds).all() or not inside:
            raise ValueError(
                f"RandomMeans draws means between finite bounds low < high"
                f"{', inside [0, 1] for this bandit' if unit else ''}: "
                f"got low={bounds[0]}, high={bounds[1]}"
            )
        _as_float32(self, "low", "high")

    def draw(self, key: Key) -> jax.Array:
        return self.low + (self.high - self.low) * uniform(key, (self.num_arms,))


@flax.struct.dataclass
class BetaMeans(DrawnMeans):
    """`bandit` with means that each seed draws, independent, from Beta(a, b).

    The means given to `bandit` only say how many arms there are; those drawn are kept inside
    [2^-24, 1 - 2^-24].

    Raises:
      ValueError: a bandit without means; a or b not positive.
    """

    bandit: Any
    a: Any = 1.0
    b: Any = 1.0

    def __post_init__(self):
        _check_prior(self)
        if not _new_numbers(self, "a", "b"):
            return
        if not (0 < float(self.a) < np.inf and 0 < float(self.b) < np.inf):
            raise ValueError(f"BetaMeans takes positive a and b: got a={self.a}, b={self.b}")
        _as_float32(self, "a", "b")

    def draw(self, key: Key) -> jax.Array:
        shape = (self.num_arms,)
        means = samplers.beta(
            samplers.beta_tape(key, shape), jnp.asarray(self.a), jnp.asarray(self.b)
        )
        return jnp.clip(means, np.float32(2**-24), np.float32(1 - 2**-24))


def _check_prior(env) -> None:
    if dataclasses.is_dataclass(env.bandit) and not isinstance(env.bandit, FixedMeans):
        name = type(env).__name__
        raise ValueError(
            f"{name} draws the means of a bandit that has one mean an arm, such as "
            f"{name}(BernoulliBandit([0.5] * 10)): got {env.bandit!r}"
        )


def _new_numbers(env, *names: str) -> bool:
    """Whether a person has given one of two numbers, the other being known too."""
    values = [getattr(env, name) for name in names]
    known = [x for x in map(concrete, values) if x is not None and x.ndim == 0]
    new = any(isinstance(x, int | float) and not isinstance(x, bool) for x in values)
    return new and len(known) == len(names)


def _as_float32(env, *names: str) -> None:
    for name in names:
        object.__setattr__(env, name, np.asarray(getattr(env, name), np.float32))
