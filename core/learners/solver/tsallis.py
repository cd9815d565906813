"""Tsallis-INF on numbers of iterations, whose scale it learns as it goes."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ... import noise as tapes
from ..bandits.exponential import SMALLEST, settle
from ..bandits.tsallis import tsallis_weights
from ..parameters import filled

_STEPS = 20  # of the published Newton iteration


class TunerState(NamedTuple):
    losses: jax.Array  # [K] estimated sums of iterations - 1; if exact, less a number common to all
    weights: jax.Array  # [K] of the next round; if exact, its probabilities
    scale: jax.Array  # [] mean of iterations - 1, and 1 before the first round
    rounds: jax.Array  # int32, rounds played


def probabilities(losses: jax.Array, scale: jax.Array, rounds: jax.Array) -> jax.Array:
    """The p that minimises <p, losses / scale> - (4 / eta) sum_i sqrt(p_i), eta = 2 / sqrt(rounds).

    Args:
      losses: [K]; a number common to all arms changes nothing.
      scale: what a loss is counted in; where it is 0 no arm has lost anything yet.
      rounds: the round that is about to be played, from 1.

    Returns:
      [K], divided by their sum, which the root finder leaves within 1e-6 of 1 from any state.
    """
    unit = jnp.where(scale > 0, scale, 1) * jnp.sqrt(rounds.astype(losses.dtype))
    weights = tsallis_weights((losses - jnp.min(losses)) / unit)
    return weights / jnp.sum(weights)


def published_weights(losses: jax.Array, scale: jax.Array, rounds: jax.Array) -> jax.Array:
    """What 20 evaluations of Newton's method from x = -1 leave of the same p; see `TsallisTuner`.

    p_i = 4 / (eta (losses_i / scale - x))^2 should add up to one left of the pole at the least
    loss. From a start left of the root the first step jumps over the pole. Nothing is guarded:
    sums far from 1, zeros and NaN come out.
    """
    eta = 2 / jnp.sqrt(rounds.astype(losses.dtype))
    lost = losses / scale

    def weigh(x):
        return 4 / jnp.square(eta * (lost - x))

    def step(_, x):
        p = weigh(x)
        return x - (jnp.sum(p) - 1) / (eta * jnp.sum(p * jnp.sqrt(p)))

    return weigh(jax.lax.fori_loop(0, _STEPS - 1, step, -jnp.ones((), losses.dtype)))


@flax.struct.dataclass
class TsallisTuner:
    """Tsallis-INF for costs of unknown scale: the iterations that a solver takes.

    A round costs iterations - 1 (0 at least), and the arm that was played is charged that cost over
    its probability. In round t, p minimises <p, L / K_t> - (4 / eta_t) sum_i sqrt(p_i) with L the
    sums of the charges, eta_t = 2 / sqrt(t), and K_t the mean cost of the rounds before, 1 in the
    first; K_t changes, so p is worked out anew from L in every round. Khodak, Chow, Balcan and
    Talwalkar, "Learning to relax: setting solver parameters across a sequence of linear system
    instances", ICLR 2024, Section 2, with the anytime rate and the scale of the authors' code.

    newton="exact": finds p from any state. Charges are summed in float32, less what all arms have
    in common: over 5,000 rounds of costs up to 2,900 that was measured to put no probability off by
    more than 1e-6. (A game is unstable in itself, in any precision: a difference of 1e-10 in one
    charge was seen to grow to order 1 within a thousand rounds.)
    newton="published": the root finder of the authors' code (public, MATLAB), faults included. It
    starts from x = -1 in every round, takes 20 steps, and once the best arm has lost enough, after
    a hundred rounds or so, misses the root in most rounds (measured: nine of ten). Arms are still
    drawn in proportion to its weights but charged by the weights as they are, which then add up to
    numbers like 1e13: an arm that was played is charged next to nothing, and learning all but
    stops. Where the weights do not add up to a positive, finite number the round is uniform, and
    what it is charged is infinite or undefined; so it is for good after a first solve of one
    iteration, whose K is 0. Computed and stored in float64. (Of weights that add up to infinity the
    authors' sampler may make something else.)

    One uniform a round, by inversion in index order. Recommends the arm of the least estimated
    loss, the lowest index on ties.

    Raises:
      ValueError: another `newton`.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    newton: str = flax.struct.field(pytree_node=False, default="exact")

    def __post_init__(self):
        if self.newton not in ("exact", "published"):
            raise ValueError(f'TsallisTuner: newton is "exact" or "published", got {self.newton!r}')

    def init(self, key):
        num_arms: Any = filled(self, "num_arms")
        with jax.enable_x64(self._published):
            zeros = jnp.zeros(num_arms, float)
            return TunerState(zeros, zeros + 1 / num_arms, jnp.ones((), float), jnp.int32(0))

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        weights = state.weights
        if self._published:
            with jax.enable_x64(True):
                total = jnp.sum(weights)
                valid = (total > 0) & jnp.isfinite(total)
                weights = jnp.where(valid, weights / total, 1).astype(jnp.float32)
        return tapes.categorical(noise, weights)

    def update(self, state, observation, arm, feedback):
        with jax.enable_x64(self._published):
            cost = jnp.maximum(feedback.iterations - 1, 0).astype(state.losses.dtype)
            t, weight = state.rounds + 1, state.weights[arm]
            scale = state.scale + (cost - state.scale) / t.astype(cost.dtype)
            weight = weight if self._published else jnp.maximum(weight, SMALLEST)
            losses = state.losses.at[arm].add(cost / weight)
            if self._published:
                return TunerState(losses, published_weights(losses, scale, t + 1), scale, t)
            weights = probabilities(losses, scale, t + 1)
            return TunerState(settle(losses, jnp.min(losses)), weights, scale, t)

    def recommend(self, state):
        with jax.enable_x64(self._published):
            return tapes.argmax(-jnp.where(jnp.isnan(state.losses), jnp.inf, state.losses))

    @property
    def _published(self):
        return self.newton == "published"
