"""Private learners with one mistake each, of the kinds that happen.

`MUTANTS` says of each which pairs of tables show the mistake, and in which box an audit can see it.
Where it cannot, `why` says why not.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax.numpy as jnp

from regrax.core import noise
from regrax.core.learners.private.dp_bai import DPBAI
from regrax.core.learners.private.dp_od import DPOD
from regrax.core.learners.private.tree import DPUCB
from regrax.core.protocol import RewardSums


@flax.struct.dataclass
class HalfScale(DPBAI):
    """Noise of half the scale: 2 epsilon."""

    def noise_scale(self, state, pulls):
        return 0.5 * super().noise_scale(state, pulls)


@flax.struct.dataclass
class BudgetScale(DPBAI):
    """Noise 1 / (epsilon T), for means over far fewer pulls than T."""

    def noise_scale(self, state, pulls):
        return jnp.full(pulls.counts.shape, 1 / (self.epsilon * self.budget))


@flax.struct.dataclass
class SharedByArms(DPBAI):
    """One noise for all arms of a phase: it cancels in comparisons."""

    def unit_noise(self, state, pulls):
        draws = super().unit_noise(state, pulls)
        return jnp.broadcast_to(draws[0], draws.shape)


@flax.struct.dataclass
class SharedByPhases(DPBAI):
    """The same noise for an arm in every phase."""

    def unit_noise(self, state, pulls):
        return super().unit_noise(state._replace(phase=jnp.int32(0)), pulls)


@flax.struct.dataclass
class SilentAllArms(DPBAI):
    """No noise in phases that pull all arms."""

    def noise_scale(self, state, pulls):
        everyone = jnp.sum(pulls.counts > 0) == jnp.sum(state.active)
        return jnp.where(everyone, 0, super().noise_scale(state, pulls))


@flax.struct.dataclass
class FinalPhaseOnly(DPBAI):
    """Noise in the last phase only."""

    def noise_scale(self, state, pulls):
        last = state.phase == self.num_phases() - 1
        return jnp.where(last, super().noise_scale(state, pulls), 0)


@flax.struct.dataclass
class ClippedByRaw(DPBAI):
    """Private means are kept within one scale of the raw means."""

    def unit_noise(self, state, pulls):
        return jnp.clip(super().unit_noise(state, pulls), -1, 1)


@flax.struct.dataclass
class RawElimination(DPBAI):
    """The last choice is private; which arms are pulled until then goes by the raw means."""

    def update(self, state, observation, pulls, feedback):
        private = super().update(state, observation, pulls, feedback)
        raw = self.replace(epsilon=jnp.float32(jnp.inf))  # type: ignore[attr-defined]
        raw = super(RawElimination, raw).update(state, observation, pulls, feedback)
        last = private.phase == self.num_phases()
        return private._replace(active=jnp.where(last, private.active, raw.active))


class Kept(NamedTuple):
    inner: Any
    totals: Any  # [K]
    counts: Any  # [K]

    @property
    def means(self):
        return self.inner.means


@flax.struct.dataclass
class Cumulative:
    """The learner is told, for each arm, the mean of ALL its rewards so far as if it were that of
    the phase; so a reward enters the means of several phases, each with the noise of its own."""

    learner: Any

    def __getattr__(self, name):
        if name.startswith("__") or name == "learner":
            raise AttributeError(name)
        return getattr(self.learner, name)

    def init(self, key):
        zeros = jnp.zeros(self.learner.num_arms)
        return Kept(self.learner.init(key), zeros, zeros)

    def noise(self, key, num_rounds):
        return self.learner.noise(key, num_rounds)

    def act(self, state, observation, noise):
        return self.learner.act(state.inner, observation, noise)

    def update(self, state, observation, pulls, feedback):
        counts = pulls.counts.astype(jnp.float32)
        totals = state.totals.at[pulls.arms].add(feedback.sums)
        pulled = state.counts.at[pulls.arms].add(counts)
        sums = counts * totals[pulls.arms] / jnp.maximum(pulled[pulls.arms], 1)
        inner = self.learner.update(state.inner, observation, pulls, RewardSums(sums))
        return Kept(inner, totals, pulled)

    def recommend(self, state):
        return self.learner.recommend(state.inner)


@flax.struct.dataclass
class LowFactor(DPOD):
    """Noise of half the scale that DP-OD needs: c = 1/2."""

    def noise_scale(self, state, features):
        return 0.5 * super().noise_scale(state, features)


@flax.struct.dataclass
class LargestCoordinate(DPOD):
    """Noise for the largest coordinate of a feature, not for the sum of all that change."""

    def noise_scale(self, state, features):
        largest = jnp.max(jnp.where(state.active[:, None], jnp.abs(features), 0))
        return self.c * largest / self.epsilon


@flax.struct.dataclass
class NaturalTree(DPUCB):
    """The tree of T pulls has ln T levels: there are more."""

    def _levels(self):
        return jnp.log(jnp.asarray(self.horizon, jnp.float32))


@flax.struct.dataclass
class FreshSums(DPUCB):
    """Noise for every sum anew, of the scale 1 / epsilon that would do for one sum alone."""

    def update(self, state, observation, arm, feedback):
        state = super().update(state, observation, arm, feedback)
        alone = noise.laplace(noise.stream(state.key, state.rounds)) / self.epsilon
        bound = (state.arms.totals[arm] + alone) / state.arms.pulls[arm].astype(jnp.float32)
        return state._replace(bounds=state.bounds.at[arm].set(bound))


@dataclasses.dataclass(frozen=True)
class Mutant:
    """`break_`: the learner with the mistake, from the correct one. `cases`: of `learner`'s audit,
    those that matter. black, white: whether an audit at `epsilon` finds it with so many runs."""

    name: str
    learner: str
    break_: Callable[[Any], Any]
    cases: tuple[str, ...]
    black: bool = True
    white: bool = True
    epsilon: float = 1.0
    runs: int = 40_000
    why: str = ""


def as_(mutant: type) -> Callable[[Any], Any]:
    """The same parameters in another class."""

    def convert(learner):
        names = [field.name for field in dataclasses.fields(learner) if field.init]
        return mutant(**{name: getattr(learner, name) for name in names})

    return convert


_ONE, _BOTH = ("one phase, near",), ("felt in both phases",)
_FIRST, _AHEAD = ("first of two, level",), ("in both phases ahead",)

MUTANTS = (
    Mutant("half scale", "dp-bai", as_(HalfScale), _ONE),
    Mutant("scale of the budget", "dp-bai", as_(BudgetScale), _ONE),
    Mutant("noise shared by arms", "dp-bai", as_(SharedByArms), _FIRST),
    Mutant(
        "noise shared by phases",
        "dp-bai",
        as_(SharedByPhases),
        _BOTH + _AHEAD,
        black=False,
        why="an arm that is compared and dropped takes its noise along, and that hides the "
        "comparison from whoever sees arms alone; values of both phases together hide nothing",
    ),
    Mutant("cumulative means", "dp-bai", Cumulative, _BOTH, runs=200_000),
    Mutant("all arms without noise", "dp-bai", as_(SilentAllArms), _FIRST),
    Mutant("noise in the last phase only", "dp-bai", as_(FinalPhaseOnly), _FIRST),
    Mutant("clipped by raw means", "dp-bai", as_(ClippedByRaw), _ONE),
    Mutant("raw elimination", "dp-bai", as_(RawElimination), _FIRST),
    Mutant("DP-OD with c = 1/2", "dp-od", as_(LowFactor), _ONE),
    Mutant(
        "DP-OD by the largest coordinate",
        "dp-od",
        as_(LargestCoordinate),
        ("two coordinates",),
        black=False,
        why="which arm is ahead shows one of the two coordinates that a reward changes, and each "
        "by itself keeps the claim",
    ),
    Mutant("nothing forgotten", "dp-se", Cumulative, ("first epoch, felt in both",), runs=200_000),
    Mutant("episodes not forgotten", "adap-ucb", Cumulative, ("first pull",), runs=200_000),
    Mutant(
        "tree of ln T levels",
        "dp-ucb",
        as_(NaturalTree),
        ("one arm", "two arms, level"),
        black=False,
        epsilon=2.0,
        runs=200_000,
        why="what is too much is spread over the eight sums that an entry is in, and which of two "
        "arms is pulled says little of each",
    ),
    Mutant("sums without a tree", "dp-ucb", as_(FreshSums), ("two arms, level",)),
)
