"""ChebCB: a polynomial of the context for every parameter, and inverse-gap weighting."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from ... import noise as tapes
from ...lanes import first_max, one_hot, over_lanes
from ..parameters import filled, require
from .box import RIDGE, box_fit, rotate_in

_BLOCK = 64  # lanes at a time on a CPU: one that takes many steps keeps few others waiting


class ChebState(NamedTuple):
    factors: jax.Array  # [K, m, m + 1] float64: triangular factor of each arm's least squares
    rests: jax.Array  # [K] float64: squares that no polynomial explains
    fits: jax.Array  # [K, m] float64: coefficients, in iterations
    most: jax.Array  # [] int32, the largest number of iterations so far
    least: jax.Array  # [] int32, the smallest
    predicted: jax.Array  # [] float64, sum of squares of what was predicted of the arms played
    crossed: jax.Array  # [] float64, sum of prediction times iterations
    squared: jax.Array  # [] float64, sum of squares of iterations
    rate: jax.Array  # [] float64, eta of the next round
    features: jax.Array  # [m] float64, sum over the rounds
    rounds: jax.Array  # [] int32, rounds played


def position(context: jax.Array, interval: Any, dtype: Any = jnp.float32) -> jax.Array:
    """Where in [-1, 1] a context lies, of the interval [a, b]; the nearest end from outside it.

    Raises:
      ValueError: the context is not one number.
    """
    if not hasattr(context, "dtype") or jnp.shape(context) != ():
        raise ValueError(
            f"a contextual learner needs a context that is one number: got {context!r}; play a "
            f"problem that shows one, or a learner without context, such as TsallisTuner"
        )
    low, high = (jnp.asarray(interval[j]).astype(dtype) for j in (0, 1))
    context = jnp.asarray(context).astype(dtype)
    return jnp.clip(2 * (context - low) / (high - low) - 1, -1, 1)


def check_interval(learner: Any) -> None:
    """Check the `interval` field of a learner, and make it an array.

    Raises:
      ValueError: not two finite numbers a < b.
    """

    def holds(x):
        return x.shape[-1:] == (2,) and np.all(x[..., 0] < x[..., 1])

    require(learner, "interval", holds, "a pair a < b")
    if isinstance(learner.interval, list | tuple):  # would be two leaves
        object.__setattr__(learner, "interval", np.asarray(learner.interval, np.float32))


def inverse_gap(costs: jax.Array, rate: jax.Array) -> jax.Array:
    """Probabilities 1 / (K + rate (costs_i - least)) [K]; the first of the cheapest arms has the
    rest. Foster and Rakhlin, "Beyond UCB", ICML 2020, after Abe and Long, ICML 1999."""
    leader = one_hot(first_max(-costs)[1], len(costs))
    shares = jnp.where(leader, 0, 1 / (len(costs) + rate * (costs - jnp.min(costs))))
    return jnp.where(leader, 1 - jnp.sum(shares), shares)


@flax.struct.dataclass
class ChebCB:
    """ChebCB: Chebyshev regression in the context, arm by arm, and inverse-gap weighting.

    Khodak, Chow, Balcan and Talwalkar, "Learning to relax: setting solver parameters across a
    sequence of linear system instances", ICLR 2024, Section 2.3, with the constants of the authors'
    code (public, MATLAB). Of every arm the iterations - 1 are fitted by a polynomial of the context
    in the basis of Chebyshev polynomials P_0, ..., P_degree on the interval: least squares, or,
    where that leaves the box |theta_0| <= Kmax, |theta_j| <= 2 R / j, least squares in the box. The
    arm that was played is fitted anew, and all arms when the box has grown. With m = degree + 1,
    N = 2 + 4 (R / Kmax) (1 + ln m) and predictions y in units of N Kmax, arm i is played with
    probability 1 / (K + eta (y_i - least)), the first of the cheapest with the rest; after t rounds
      eta = 2 t sqrt(K t / (S - box + 2 alpha^2 t)),
      alpha = (pi + (2 / pi) ln(2 m + 1)) R / (2 (m + 1)) in the same units,
    where S sums the squares of prediction - iterations, predictions in the units of their round,
    and `box` are the squares that the last fit of the round that needed the box leaves, 0 without.
    Kmax is the largest number of iterations so far. quirk=True: R = Kmax, as in the authors' code,
    which takes the least of a buffer with zeros in it until the last round; quirk=False: R is the
    largest less the smallest number so far.

    What an arm has met is kept as a triangular factor (see `box`), in float64 on a 32-bit machine
    state too. Where an arm has met too little for one best fit, it is the one of least norm, but
    for the order of 1e-6; in the box, where the authors' solver takes another one, this is a choice
    of ours. The context is the observation. One uniform a round, by inversion in index order.
    Recommends the arm that has been played and whose fit, averaged over the contexts so far, is
    least, the lowest index on ties.

    Args:
      interval: [2], the ends a < b of the contexts; left blank, the environment's. Contexts beyond
        count as the nearest end.

    Raises:
      ValueError: a negative degree, an interval that is none, a context that is not one number.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    interval: Any = None
    degree: int = flax.struct.field(pytree_node=False, default=5)
    quirk: bool = flax.struct.field(pytree_node=False, default=True)

    def __post_init__(self):
        if not isinstance(self.degree, int) or self.degree < 0:
            raise ValueError(f"ChebCB: degree is a whole number, zero or more, got {self.degree!r}")
        check_interval(self)

    def init(self, key):
        m, num_arms = self.degree + 1, filled(self, "num_arms")
        with jax.enable_x64(True):
            zero = jnp.zeros((), jnp.float64)
            return ChebState(
                factors=jnp.tile(RIDGE * jnp.eye(m, m + 1, dtype=jnp.float64), (num_arms, 1, 1)),
                rests=jnp.zeros(num_arms, jnp.float64),
                fits=jnp.zeros((num_arms, m), jnp.float64),
                most=jnp.int32(0),
                least=jnp.int32(np.iinfo(np.int32).max),
                predicted=zero,
                crossed=zero,
                squared=zero,
                rate=zero,
                features=jnp.zeros(m, jnp.float64),
                rounds=jnp.int32(0),
            )

    def noise(self, key, num_rounds):
        return tapes.uniform(key, (num_rounds,))

    def act(self, state, observation, noise):
        with jax.enable_x64(True):
            features, (_, unit) = self._features(observation), self._units(state)
            costs = jnp.sum(state.fits * features, axis=1) / unit
            chances = inverse_gap(costs, state.rate).astype(jnp.float32)
        return tapes.categorical(noise, chances)

    def update(self, state, observation, arm, feedback):
        with jax.enable_x64(True):
            features, (before, unit) = self._features(observation), self._units(state)
            prediction = jnp.sum(state.fits[arm] * features) / unit
            count = feedback.iterations.astype(jnp.float64)
            state = state._replace(
                most=jnp.maximum(state.most, feedback.iterations),
                least=jnp.minimum(state.least, feedback.iterations),
                predicted=state.predicted + prediction * prediction,
                crossed=state.crossed + prediction * count,
                squared=state.squared + count * count,
                features=state.features + features,
                rounds=state.rounds + 1,
            )
            bounds, unit = self._units(state)
            row = jnp.append(features, count - 1)
            state, box = _learn(state, arm, row, bounds, jnp.any(bounds > before))
            return state._replace(rate=self._rate(state, unit, bounds, box))

    def recommend(self, state):
        with jax.enable_x64(True):
            costs = jnp.sum(state.fits * state.features, axis=1)
            costs = jnp.where(state.factors[:, 0, 0] > RIDGE, costs, jnp.inf)
            return first_max(-costs)[1]

    def _features(self, context):
        x = position(context, filled(self, "interval"), jnp.float64)
        features = [jnp.ones_like(x), x]
        for _ in range(2, self.degree + 1):
            features.append(2 * x * features[-1] - features[-2])
        return jnp.stack(features[: self.degree + 1])

    def _units(self, state):
        """Bounds of the coefficients [m], in iterations, and the iterations of one unit."""
        j, most = np.arange(self.degree + 1), state.most.astype(jnp.float64)
        spread = self._spread(state, most)
        bounds = jnp.where(j == 0, most, 2 * spread / np.maximum(j, 1))
        most = jnp.maximum(most, 1)
        return bounds, 2 * most + 4 * spread * (1 + math.log(self.degree + 1))

    def _spread(self, state, most):
        if self.quirk:
            return most
        return jnp.maximum(most - state.least.astype(jnp.float64), 0)

    def _rate(self, state, unit, bounds, box):
        m, rounds = self.degree + 1, state.rounds.astype(jnp.float64)
        spread = self._spread(state, state.most.astype(jnp.float64))
        alpha = (math.pi + 2 / math.pi * math.log(2 * m + 1)) * spread / (2 * unit * (m + 1))
        squares = state.predicted + (state.squared / unit - 2 * state.crossed) / unit
        error = squares - box / (unit * unit) + 2 * alpha * alpha * rounds
        arms = filled(self, "num_arms") * rounds
        return 2 * rounds * jnp.sqrt(arms / jnp.maximum(error, 1e-12 * rounds))


def _learn(state, arm, row, bounds, grown):
    """The state after one more row of data, and the squares of the last fit in the box."""
    factor, rest, fit, box = over_lanes(_lane, _BLOCK)(
        state.factors[arm], state.rests[arm], state.fits[arm], row, bounds
    )
    factors, rests = state.factors.at[arm].set(factor), state.rests.at[arm].set(rest)
    fits = state.fits.at[arm].set(fit)
    fits, box = _refit(grown, fits, box, factors, rests, bounds)
    return state._replace(factors=factors, rests=rests, fits=fits), box


def _lane(factor, rest, fit, row, bounds):
    with jax.enable_x64(True):  # again: JAX may batch this when the caller has returned
        factor, left = rotate_in(factor, row)
        rest = rest + left * left
        fit, squares, outside = box_fit(factor, bounds, fit)
        return factor, rest, fit, jnp.where(outside, rest + squares, 0)


@custom_vmap
def _refit_some(grown, fits, boxes, factors, rests, bounds):
    """Fit all arms of the seeds whose box has grown, [S, ...], one seed after the other. It has
    grown in few rounds, but under `vmap` a condition would cost every round of every seed as much
    as the rare one: K fits instead of one."""

    def refit(carry):
        waiting, fits, boxes = carry
        seed = first_max(waiting.astype(jnp.int32))[1]
        lanes = jnp.moveaxis(factors[seed], 0, -1)
        bound = jnp.broadcast_to(bounds[seed][:, None], lanes[:, 0].shape)
        new, squares, outside = box_fit(lanes, bound, fits[seed].T)
        arms = jnp.arange(len(outside), dtype=jnp.int32)
        last = jnp.max(jnp.where(outside, arms, -1))
        box = jnp.sum(jnp.where(arms == last, rests[seed] + squares, 0))
        return waiting.at[seed].set(False), fits.at[seed].set(new.T), boxes.at[seed].set(box)

    with jax.enable_x64(True):
        return jax.lax.while_loop(lambda carry: jnp.any(carry[0]), refit, (grown, fits, boxes))[1:]


@_refit_some.def_vmap
def _merged(size, batched, *arguments):
    def merge(x, is_batched):
        x = x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
        return x.reshape(-1, *x.shape[2:])

    result = _refit_some(*map(merge, arguments, batched))
    return tuple(y.reshape(size, -1, *y.shape[1:]) for y in result), (True, True)


def _refit(*arguments):
    fits, box = _refit_some(*(jnp.asarray(x)[None] for x in arguments))
    return fits[0], box[0]
