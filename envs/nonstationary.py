"""Bandits whose means change at rounds fixed in advance, by segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.exact import add_up, minus, times, value, weighted
from ..core.noise import uniform
from ..core.protocol import BanditFeedback, Key, concrete
from .bandits import gaps, handmade, set_means


class SegmentState(NamedTuple):
    """What a piecewise-stationary bandit remembers."""

    round: jax.Array  # [] int32, rounds played
    segment: jax.Array  # [] int32, of the round played last
    pulls: jax.Array  # [S * K] int32: XLA is twice as fast on a CPU with one index as with two


@flax.struct.dataclass
class PiecewiseStationaryBandit:
    """Bernoulli rewards with mean means[s, arm] from round starts[s] on; rounds count from 0.

    The last segment has no end. Reports `dynamic_regret`, against the best arm of every segment,
    and `regret`, against the one arm that would have been best over the rounds so far; both in
    expectation given the arms played. `pulls` are over all segments; `simple_regret` is in the
    segment of the last round.

    Raises:
      ValueError: means that are not an [S, K] table of numbers in [0, 1]; starts that are not S
        increasing whole numbers from 0.
    """

    means: Any  # [S, K]
    starts: Any  # [S] int32
    rest: Any = flax.struct.field(default=None, repr=False)  # see FixedMeans

    def __post_init__(self):
        if not handmade(self):
            return
        set_means(self, "probabilities in [0, 1]", lambda x: (x >= 0) & (x <= 1), "S, K")
        starts = concrete(self.starts)
        if starts is None:
            return
        segments = np.shape(self.means)[:1]
        whole = starts.dtype.kind in "iu" or starts.dtype.kind == "f" and np.all(starts % 1 == 0)
        fits = whole and starts.shape == segments and starts[0] == 0 and np.all(np.diff(starts) > 0)
        if not fits or starts[-1] >= 2**31:
            raise ValueError(
                f"starts are the first rounds of the {segments[0]} segments, increasing whole "
                f"numbers that begin with 0: got {self.starts!r}"
            )
        object.__setattr__(self, "starts", starts.astype(np.int32))

    @property
    def num_arms(self) -> int:
        return np.shape(self.means)[-1]

    def init(self, key: Key) -> SegmentState:
        pulls = jnp.zeros(np.size(self.means), jnp.int32)
        return SegmentState(jnp.int32(0), jnp.int32(0), pulls)

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        """One uniform a round, for the arm played: see `bandits`."""
        return uniform(key, (num_rounds,))

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, arm, noise):
        segment = self._segment(state)
        played = segment * self.num_arms + arm
        reward = (noise < jnp.ravel(self.means)[played]).astype(jnp.float32)
        pulls = state.pulls.at[played].add(1)
        return SegmentState(state.round + 1, segment, pulls), BanditFeedback(reward), {}

    def rewards(self, state, noise) -> jax.Array:
        """Rewards of all arms, [K], from a row of K draws."""
        return (noise < jnp.asarray(self.means)[self._segment(state)]).astype(jnp.float32)

    def _segment(self, state) -> jax.Array:
        """Segment of the round about to be played."""
        starts = jnp.asarray(self.starts)
        following = jnp.minimum(state.segment + 1, starts.shape[-1] - 1)
        return jnp.where(starts[following] == state.round, following, state.segment)

    def evaluate(self, state, arm) -> dict[str, jax.Array]:
        gap = gaps(self.means, self.rest)
        pulls = state.pulls.reshape(np.shape(self.means))
        dynamic = weighted(pulls, gap)
        rounds = jnp.sum(pulls, axis=1, keepdims=True)
        fixed = add_up(times(rounds, gap))  # [K], dynamic regret of playing one arm throughout
        return {
            "regret": jnp.max(value(minus(dynamic, fixed))),
            "dynamic_regret": value(dynamic),
            "pulls": jnp.sum(pulls, axis=0),
            "simple_regret": value(gap)[state.segment, arm],
        }


def abrupt(
    num_arms: int, num_changes: int, horizon: int, low: float = 0.4, high: float = 0.6
) -> PiecewiseStationaryBandit:
    """Segments of equal length, in which one arm after the other is the only good one.

    Arm s mod K has mean `high` in segment s, the others `low`: a learner that does not forget
    meets a new best arm after every change.

    Raises:
      ValueError: fewer than two arms, less than one change, or fewer rounds than segments.
    """
    if num_arms < 2 or num_changes < 1 or horizon <= num_changes:
        raise ValueError(
            f"abrupt needs two arms, one change and a round a segment at least: got "
            f"num_arms={num_arms}, num_changes={num_changes}, horizon={horizon}"
        )
    segments = np.arange(num_changes + 1)
    means = np.where(segments[:, None] % num_arms == np.arange(num_arms), high, low)
    return PiecewiseStationaryBandit(means, segments * horizon // len(segments))


def stochastically_constrained(
    num_arms: int, gap: float, horizon: int, growth: float = 1.6
) -> PiecewiseStationaryBandit:
    """The stochastically constrained adversary of Zimmert and Seldin 2021.

    Zimmert and Seldin, "Tsallis-INF: an optimal algorithm for stochastic and adversarial bandits",
    JMLR 2021, Section 6. Arm 0 is always the best, by `gap`; the level of all arms jumps up and
    down. In losses, as the paper writes them, the means of (arm 0, any other arm) alternate between
    (0, gap) and (1 - gap, 1), in phases of growing length; in rewards, as here, between
    (1, 1 - gap) and (gap, 0). Our reading, from memory: the phase of low losses comes first, and
    phase i, from 0, lasts floor(growth^i) rounds.

    Raises:
      ValueError: fewer than two arms, a gap outside (0, 1), no round, growth below 1.
    """
    if num_arms < 2 or not 0 < gap < 1 or horizon < 1 or not growth >= 1:
        raise ValueError(
            f"stochastically_constrained needs two arms, a gap in (0, 1), a round and growth of at "
            f"least 1: got num_arms={num_arms}, gap={gap}, horizon={horizon}, growth={growth}"
        )
    starts: list[int] = [0]
    while (start := starts[-1] + int(growth ** (len(starts) - 1))) < horizon:
        starts.append(start)
    easy, hard = np.full((2, num_arms), [[1 - gap], [0.0]])
    easy[0], hard[0] = 1, gap
    means = [hard if s % 2 else easy for s in range(len(starts))]
    return PiecewiseStationaryBandit(means, starts)


def garivier_moulines(scale: int = 1) -> PiecewiseStationaryBandit:
    """Three arms over 10^4 rounds: means 0.5, 0.3 and 0.4, the last at 0.9 in rounds 3,000 to
    5,000. Garivier and Moulines, "On upper-confidence bound policies for switching bandit
    problems", ALT 2011, first experiment (from memory). `scale` stretches time.

    Raises:
      ValueError: a scale that is not a whole number of at least 1.
    """
    if scale < 1 or scale != int(scale):
        raise ValueError(f"garivier_moulines stretches time by a whole number: got scale={scale}")
    means = [[0.5, 0.3, 0.4], [0.5, 0.3, 0.9], [0.5, 0.3, 0.4]]
    starts: Sequence[int] = [0, 3000 * scale, 5000 * scale]
    return PiecewiseStationaryBandit(means, starts)
