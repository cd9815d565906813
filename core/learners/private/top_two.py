"""AdaP-TT and AdaP-TT*: private top-two identification with a fixed confidence."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...lanes import first_max, one_hot, over_lanes, pick, while_any
from ...noise import argmax, laplace, stream
from ...protocol import Pulls
from ..best_arm.schedule import known_budget
from ..parameters import filled
from . import stopping
from .budgets import check_privacy, most, number, require_probability

Sampling = Literal["paper", "code"]
Threshold = Literal["proved", "short"]


class TopTwoState(NamedTuple):
    key: jax.Array
    pulls: jax.Array  # [K] int32
    doublings: jax.Array  # [K] int32; arm a's mean was renewed at 2^doublings pulls
    sums: jax.Array  # [K] rewards since then
    means: jax.Array  # [K] private means of the last batches
    leads: jax.Array  # [K] int32, pulls while the arm led
    phase: jax.Array  # int32, phases played
    stopped: jax.Array  # bool


class TopTwo:
    """Shared by AdaP-TT and AdaP-TT*.

    Every arm once. Whenever the pulls of an arm have doubled, its mean becomes that of the pulls
    since the last time, n of them, plus Laplace(1 / (epsilon n)); k counts these times. Then the
    leader is the arm with the largest mean + sqrt(k / n) + k / (epsilon n); the challenger of a
    leader b is the arm a with the least cost

        gain(max(mean_b - mean_a, 0)) / (1 / N_b + 1 / N_a),    N: all pulls so far;

    and the leader is pulled where its pulls as leader are at most half of the rounds it has led
    (this one too), the challenger otherwise. When a mean is renewed and the largest mean is further
    ahead of every other one than the stopping rule asks, pulling ends.

    With these rules (`sampling="paper"`) the index of an arm does not grow while it is not pulled.
    An arm that noise put far behind waits until the other costs have caught up, for a time with
    heavy tails when epsilon is small; where arms other than the best have equal means the costs
    between them stay small, and it may wait for ever. `sampling="code"` does as the authors' public
    code: the index is mean + sqrt(ln t / (2 n)) + ln t / (epsilon n) with t the pulls that are in
    means, and the challenger's gap is not cut at 0 but has 1 / (1 + sqrt(t)) added. (That code
    draws leader or challenger by a coin, and its stopping times leave out the pulls since the last
    renewals.)

    Ties: the lowest index. Recommends the arm with the largest mean. A reward enters one mean at
    most and all else follows from the means: the run is epsilon-DP for rewards in [0, 1].

    A phase learner of width K: between two renewals nothing depends on rewards, so `act` works out
    the pulls up to the next one, and they are made at once. In the stopping time, the pulls since
    an arm's last renewal count as well. If the budget ends first, `stopped` stays false.
    """

    num_arms: int | None
    budget: Any
    epsilon: Any
    sampling: Sampling
    schedule: Any

    def num_phases(self) -> int:
        """Every phase but the first and the one that the budget cuts doubles the pulls of one arm;
        for the number of doublings see `Episodes.num_phases`."""
        num_arms = filled(self, "num_arms")
        doublings = num_arms * math.log2(max(most(self.budget) / num_arms, 1))
        return math.floor(doublings + 1e-6) + 2

    def init(self, key):
        num_arms = filled(self, "num_arms")
        filled(self, "budget")
        zeros, empty = jnp.zeros(num_arms, jnp.int32), jnp.zeros(num_arms, jnp.float32)
        no = jnp.zeros((), bool)
        return TopTwoState(key, zeros, zeros, empty, empty, zeros, jnp.int32(0), no)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        pulls = state.pulls
        arms = jnp.arange(pulls.shape[-1], dtype=jnp.int32)
        leader = self._leader(state)
        gains = self._gains(state, leader)
        room = jnp.asarray(self.budget).astype(jnp.int32) - jnp.sum(pulls)
        room = jnp.where(state.stopped | (state.phase == 0), 0, room)
        limits = _limits(state.doublings)
        after = _until_renewal(pulls, limits, gains, leader, state.leads[leader], room)
        counts = jnp.where(state.phase == 0, 1, after - pulls)
        return Pulls(arms, counts)

    def update(self, state, observation, pulls, feedback):
        first = state.phase == 0
        arms = jnp.arange(pulls.counts.shape[-1], dtype=jnp.int32)
        count = state.pulls + pulls.counts
        sums = state.sums + feedback.sums
        full = _limits(state.doublings)
        renewed = (pulls.counts > 0) & (first | (count == full))
        batch = jnp.where(first, 1, full // 2).astype(jnp.float32)
        error = laplace(stream(state.key, state.phase), batch.shape) / self.epsilon
        means = jnp.where(renewed, (sums + error) / batch, state.means)
        doublings = state.doublings + (renewed & ~first).astype(jnp.int32)
        led = (arms == self._leader(state)) & ~first
        stops = self._settled(means, doublings) & jnp.any(renewed)
        return TopTwoState(
            state.key,
            count,
            doublings,
            jnp.where(renewed, 0, sums),
            means,
            state.leads + jnp.where(led, jnp.sum(pulls.counts), 0),
            state.phase + 1,
            state.stopped | stops,
        )

    def recommend(self, state):
        return argmax(state.means)

    def stopped(self, state):
        """Whether the stopping rule has ended the run; only then is the choice right with
        probability 1 - delta."""
        return state.stopped

    def _leader(self, state):
        if self.sampling == "paper":
            level = (state.doublings + 1).astype(jnp.float32) / _batches(state.doublings)
            return argmax(state.means + jnp.sqrt(level) + level / self.epsilon)
        level = jnp.log(_in_means(state)) / _batches(state.doublings)
        return argmax(state.means + jnp.sqrt(level / 2) + level / self.epsilon)

    def _gains(self, state, leader):
        """[K] what the leader's means less an arm's count for; of the leader itself infinite."""
        gap = state.means[leader] - state.means
        if self.sampling == "paper":
            gap = jnp.maximum(gap, 0)
        else:
            gap = gap + 1 / (1 + jnp.sqrt(_in_means(state)))
        return jnp.where(jnp.arange(gap.shape[-1]) == leader, jnp.inf, self._gain(gap))

    def _settled(self, means, doublings):
        best = argmax(means)
        needed = jnp.asarray(self.schedule)[doublings[best]][doublings]
        ahead = means[best] - means >= needed
        return jnp.all(ahead | (jnp.arange(means.shape[-1]) == best))

    def _gain(self, gap):
        """What gaps count for, up to a factor common to all arms; of negative ones with a minus."""
        raise NotImplementedError


def _limits(doublings):
    """Pulls at which a mean is renewed; the 31st doubling is over any budget."""
    doubled = jnp.left_shift(jnp.int32(2), jnp.minimum(doublings, 29))
    return jnp.where(doublings < 30, doubled, jnp.int32(2**31 - 1))


def _batches(doublings):
    return jnp.exp2(jnp.maximum(doublings - 1, 0).astype(jnp.float32))


def _in_means(state):
    """Pulls up to the last renewal of each arm."""
    return jnp.sum(jnp.exp2(state.doublings.astype(jnp.float32)))


@over_lanes
def _until_renewal(pulls, limits, gains, leader, leads, room):
    """Pulls [K, B] of the arms when the first of them reaches its limit, or no room is left.

    Of l rounds that an arm has led the first, the second and then every second one are its own:
    its pulls are at most l / 2 in these and no others.
    """
    arms = pulls.shape[0]
    first = one_hot(leader, arms)
    mine = first.astype(jnp.int32)

    def round_(state):
        pulls, leads, room = state
        own = _own(leads).astype(jnp.int32)
        pulls, leads, room = pulls + mine * own, leads + own, room - own
        going = (going_on((pulls, leads, room)) & ~_own(leads)).astype(jnp.int32)
        # The costs over the leader's pulls, which are the same for all challengers.
        count = pulls.astype(jnp.float32)
        costs = gains * (count / (count + pick(count, first)))
        second = one_hot(first_max(-costs)[1], arms).astype(jnp.int32)
        return pulls + second * going, leads + going, room - going

    def going_on(state):
        return (state[2] > 0) & ~jnp.any(state[0] >= limits, axis=0)

    return while_any(going_on, round_, (pulls, leads, room))[0]


def _own(leads):
    """Whether the round after `leads` rounds of leading is the leader's own."""
    return (leads == 0) | (leads % 2 == 1)


@flax.struct.dataclass
class AdaPTT(TopTwo):
    """AdaP-TT: epsilon-differentially private best-arm identification with confidence 1 - delta.

    See `TopTwo`, with gain(gap) = gap^2. With s = 1/2, w the pulls in the last batches of the best
    arm and another one, and k their numbers, the rule stops when for all others

        gap^2 / (2 s^2 sum 1 / w) >= 2 c + sum ln(2 K zeta(2) k^2 / delta)^2 / (epsilon^2 s^2 w),

    sums over the two arms, c = 2 C(ln((K - 1) 2 zeta(2)^2 k^2 k'^2 / delta) / 2) + 2 sum ln(4 +
    ln w) and C Kaufmann and Koolen's function for Gaussian arms, minimised numerically from above.

    Azize, Jourdan, Al Marjani and Basu, "On the complexity of differentially private best-arm
    identification with fixed confidence", NeurIPS 2023, Algorithm 1. Reconstruction: details of
    the challenger and the threshold were not available word for word; the threshold here is
    checked: it is passed by a worse arm with probability delta at most. With epsilon = infinity
    it is a top-two rule that forgets, without privacy.

    Args:
      budget: pulls that may be made.
      epsilon: privacy; infinity adds no noise.
      delta: allowed probability of a wrong choice.
      sampling: "paper" or "code"; see `TopTwo`.
      threshold: "proved", as above, or "short", with s = 1 and ln(1 / delta) + sum ln(1 + ln w) +
        sum ln(1 / delta)^2 / (epsilon^2 w), as in the public code; nothing is proved of it.

    Raises:
      ValueError: fewer than two arms; a budget that is not a whole number from num_arms to
        2^31 - 1; epsilon that is not positive; delta outside (0, 1); another sampling or threshold.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    epsilon: Any = 1.0
    delta: Any = 0.01
    sampling: Sampling = flax.struct.field(pytree_node=False, default="paper")
    threshold: Threshold = flax.struct.field(pytree_node=False, default="proved")
    schedule: Any = flax.struct.field(default=None, repr=False)  # [J, J], by doublings of both arms

    def __post_init__(self):
        if self.threshold not in ("proved", "short"):
            raise ValueError(f"AdaPTT: threshold is 'proved' or 'short', got {self.threshold!r}")
        _set_schedule(self, stopping.short if self.threshold == "short" else stopping.squared)

    def _gain(self, gap):
        return gap * jnp.abs(gap)


@flax.struct.dataclass
class AdaPTTStar(TopTwo):
    """AdaP-TT*: AdaP-TT with costs that suit strong privacy.

    See `TopTwo`, with gain(gap) = gap min(3 epsilon, gap). Stops as `AdaPTT` where the gap is below
    3 epsilon. Where it is not, the terms of the threshold add up before they are squared: with the
    symbols of `AdaPTT` the rule asks for
    gap >= sqrt(2 s^2 c sum 1 / w) + sum ln(2 K zeta(2) k^2 / delta) / (epsilon w).

    Azize, Jourdan, Al Marjani and Basu, "Differentially private best-arm identification", 2024
    (arXiv:2406.06408). Reconstruction: the threshold for large gaps was not available; this one is
    derived here, and is passed by a worse arm with probability delta at most.

    Args and Raises: as in `AdaPTT`.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    budget: Any = None
    epsilon: Any = 1.0
    delta: Any = 0.01
    sampling: Sampling = flax.struct.field(pytree_node=False, default="paper")
    schedule: Any = flax.struct.field(default=None, repr=False)  # [J, J], by doublings of both arms

    def __post_init__(self):
        _set_schedule(self, stopping.star)

    def _gain(self, gap):
        return gap * jnp.minimum(3 * jnp.asarray(self.epsilon), jnp.abs(gap))


def _set_schedule(learner, compute):
    if learner.sampling not in ("paper", "code"):
        name = type(learner).__name__
        raise ValueError(f"{name}: sampling is 'paper' or 'code', got {learner.sampling!r}")
    known_budget(learner, lambda num_arms: num_arms)
    check_privacy(learner)
    require_probability(learner, "delta")
    epsilon, delta = number(learner.epsilon), number(learner.delta)
    if learner.num_arms is not None and epsilon is not None and delta is not None:
        gaps = compute(learner.num_arms, epsilon, delta)
        object.__setattr__(learner, "schedule", gaps)
