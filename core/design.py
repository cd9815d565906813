"""Which arms to pull when rewards are linear in features: a basis of arms of large determinant, and
the G-optimal design.

Every function is pure, of one seed, of K arms with features [K, d] of which those that are
`active` count; vmapped over seeds it runs in vector code. Features may be repeated, zero, or span
less than d dimensions.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .lanes import dot, first_max, loop, one_hot, over_lanes, pick, while_any

RANK_TOLERANCE = 1e-5  # a residual below this part of the largest norm is rounding (float32)
SWAP_TOLERANCE = 1e-4
_EXCHANGES = 4096  # of a design; what is left of the gap then is left
_DEPENDENT = 1e-3  # a product of features this close to others counts as a combination of them


class Basis(NamedTuple):
    """Arms that span the active ones, and every active arm in terms of them.

    x_i = sum_j alphas[i, j] x_{members[j]} for active i, with |alphas| <= 1 + 1e-4. The slots from
    `rank` on are empty: member 0, alphas 0. So are the alphas of arms that are not active.
    """

    members: jax.Array  # [d] int32, distinct active arms in the first `rank` slots
    rank: jax.Array  # [] int32, dimension of the span of the active features
    alphas: jax.Array  # [K, d]


def max_det(features: jax.Array, active: jax.Array) -> Basis:
    """A basis of arms whose determinant no exchange of one member for another arm enlarges.

    Starts greedily, each member the arm with the largest residual norm, the lowest index on ties,
    and exchanges while some |alpha| is above 1: an exchange multiplies |det| by it. By Cramer's
    rule |alphas| <= 1 is all that is used of the collection of largest determinant ("Max-Det") in
    Chen et al., "Fixed-budget differentially private best arm identification", ICLR 2024. That
    collection is a fixed point of the exchanges, but not always the one that is reached.

    Args:
      features: [K, d] float32, or coordinates in any basis: the result does not depend on it but
        for the norms that the start looks at.
      active: [K] bool.

    The rank counts directions whose residual is above 1e-5 of the largest norm. Alphas are off by
    some 1e-6 times the condition of the members.
    """
    return over_lanes(_max_det)(features, active)


def _max_det(features, active):
    num_arms, d, lanes = features.shape
    residual = jnp.moveaxis(jnp.where(active[:, None], features, 0), 1, 0)  # [d, K, B]
    largest = jnp.max(dot(residual, residual), axis=0)

    def grow(j, carry):
        residual, alphas, members, rank = carry
        norm, arm = first_max(dot(residual, residual))
        exists = norm > RANK_TOLERANCE**2 * largest
        hot = one_hot(arm, num_arms) & exists
        direction = pick(residual, hot, 1) / jnp.where(exists, norm, 1)  # over its squared norm
        share = jnp.where(hot, 1, dot(residual, direction))
        share = jnp.where(exists, share, 0)
        leaving = residual - (direction * jnp.where(exists, norm, 0))[:, None] * share
        residual = jnp.where(hot, 0, leaving)  # exactly, so that members have alphas 0 and 1
        alphas = alphas - pick(alphas, hot, 1)[:, None] * share
        alphas = alphas.at[j].set(share)
        members = members.at[j].set(jnp.where(exists, arm, 0))
        return residual, alphas, members, rank + exists.astype(jnp.int32)

    nothing = jnp.zeros((d, lanes), jnp.int32), jnp.zeros(lanes, jnp.int32)
    start = residual, jnp.zeros_like(residual), *nothing
    _, alphas, members, rank = loop(d, grow, start)

    def swap(state):
        alphas, members, largest, slot, arm, swaps = state
        out, into = one_hot(slot, d), one_hot(arm, num_arms)
        column = pick(alphas, into, 1)  # [d, B]
        row = pick(alphas, out[:, None]) / pick(column, out)
        alphas = jnp.where(out[:, None], row, alphas - column[:, None] * row)
        alphas = jnp.where(into, out[:, None].astype(alphas.dtype), alphas)
        members = jnp.where(out, arm, members)
        return alphas, members, *_largest_alpha(alphas), swaps + 1

    def going(state):  # the cap is never met: each swap enlarges the determinant
        return (state[2] > 1 + SWAP_TOLERANCE) & (state[5] < 32 * d)

    start = alphas, members, *_largest_alpha(alphas), jnp.zeros(lanes, jnp.int32)
    alphas, members, *_ = while_any(going, swap, start)
    return Basis(members, rank, jnp.moveaxis(alphas, 0, 1))


def _largest_alpha(alphas):
    """Its size, slot and arm."""
    d, num_arms, lanes = alphas.shape
    largest, index = first_max(jnp.abs(alphas).reshape(d * num_arms, lanes))
    return largest, index // num_arms, index % num_arms


def g_optimal(
    features: jax.Array,
    active: jax.Array,
    *,
    tolerance: float = 1e-3,
    max_support: int | None = None,
) -> jax.Array:
    """Weights of the active arms, [K], that nearly minimise the largest squared norm of an active
    x_i in the inverse of V = sum_i weights_i x_i x_i^T, and nearly maximise det V.

    On a span of dimension r the minimum is r (Kiefer and Wolfowitz, 1960). Weight goes from the
    arm of the support whose norm is smallest to the arm whose norm is largest, by exact line search
    (Bohning, "A vertex-exchange-method in D-optimal design theory", Metrika 33, 1986), until the
    maximum is r (1 + tolerance) or less. The start is even weights on a `max_det` basis.

    Args:
      features: [K, d] float32; the result hardly depends on the basis they are given in.
      active: [K] bool.
      tolerance: 1e-4 or more.
      max_support: prune the support to so many arms, d (d + 1) / 2 or more, without a change of V
        (Caratheodory's theorem; to a relative 1e-3, in float32).

    Raises:
      ValueError: a tolerance below what float32 can tell, or too small a support.
    """
    d = features.shape[-1]
    if tolerance < 1e-4:
        raise ValueError(f"the tolerance of a design is 1e-4 or more, got {tolerance}")
    if max_support is not None and max_support < d * (d + 1) // 2:
        raise ValueError(
            f"a design on {d} features is supported on {d * (d + 1) // 2} arms: max_support cannot "
            f"be lower, got {max_support}"
        )
    return over_lanes(partial(_g_optimal, tolerance, max_support))(features, active)


def _g_optimal(tolerance, max_support, features, active):
    basis = _max_det(features, active)
    # In terms of the members V is diagonal at first, and well conditioned ever after.
    x = jnp.moveaxis(basis.alphas, 1, 0)  # [d, K, B]
    d, num_arms, _ = x.shape
    rank = basis.rank.astype(jnp.float32)
    slots = jnp.arange(d, dtype=jnp.int32)[:, None] < basis.rank
    chosen = one_hot(basis.members, num_arms) & slots  # [K, d, B]
    weights = jnp.any(chosen, axis=1).astype(jnp.float32) / jnp.maximum(rank, 1)
    inverse = jnp.where(jnp.eye(d, dtype=bool)[:, :, None] & slots, rank, 0)
    norms = dot(x, x) * rank

    def going(state):
        return (jnp.max(state[2], axis=0) > rank * (1 + tolerance)) & (state[3] < _EXCHANGES)

    start = weights, inverse, norms, jnp.zeros_like(basis.rank)
    weights = while_any(going, partial(_exchange, x), start)[0]
    return weights if max_support is None else _prune(x, weights, max_support)


def _exchange(x, state):
    weights, inverse, norms, steps = state
    num_arms = norms.shape[0]
    up, gains = first_max(norms)
    down, gives = first_max(jnp.where(weights > 0, -norms, -jnp.inf))
    gains, gives = one_hot(gains, num_arms), one_hot(gives, num_arms)
    down, held = -down, pick(weights, gives)
    p = jnp.sum(inverse * pick(x, gains, 1), axis=1)
    products = dot(x, p)
    both = pick(products, gives)
    # det V grows by 1 + s (up - down) - s^2 (up down - both^2).
    best = (up - down) / jnp.maximum(2 * (up * down - both * both), 1e-30)
    step = jnp.minimum(best, held)
    weights = jnp.where(gains, weights + step, weights)
    weights = jnp.where(gives, jnp.where(best < held, held - step, 0), weights)
    # The inverse with one arm's share more, then with the other's share less.
    u = step / (1 + step * up)
    q = jnp.sum(inverse * pick(x, gives, 1), axis=1) - u * both * p
    v = step / (1 - step * (down - u * both * both))
    inverse = inverse - u * p[:, None] * p + v * q[:, None] * q
    norms = norms - u * products**2 + v * dot(x, q) ** 2
    return weights, inverse, norms, steps + 1


def _prune(x, weights, max_support):
    """Arms whose x x^T are dependent give weight to each other until one has none."""
    d, num_arms, lanes = x.shape
    if num_arms <= max_support:
        return weights
    first, second = np.triu_indices(d)
    table = x[first] * x[second]  # [D, K, B], a column an arm; reduced as arms come in

    def going(state):
        _, _, weights, seen = state
        in_support = weights > 0
        return (jnp.sum(in_support, axis=0, dtype=jnp.int32) > max_support) & jnp.any(
            in_support & ~seen, axis=0
        )

    def step(state):
        table, basic, weights, seen = state
        _, arm = first_max(((weights > 0) & ~seen).astype(jnp.float32))
        hot = one_hot(arm, num_arms)
        column = pick(table, hot, 1)  # [D, B]
        is_basic = basic >= 0
        size, free_row = first_max(jnp.where(is_basic, 0, jnp.abs(column)))
        enters = size > _DEPENDENT
        # Otherwise x x^T of the arm is the combination `column` of those of the basic arms. One
        # direction of trade does not raise the total weight: along it until a weight is zero.
        column_in = jnp.where(is_basic, column, 0)
        sign = jnp.where(jnp.sum(column_in, axis=0) >= 1, jnp.float32(1), jnp.float32(-1))
        holds = jnp.einsum("rkb,kb->rb", _rows(basic, num_arms), weights)
        loses = jnp.where(is_basic, sign * column_in, 0)
        ratio = jnp.where(loses > 0, holds / jnp.where(loses > 0, loses, 1), jnp.inf)
        least, worst_row = first_max(-ratio)
        own = pick(weights, hot)
        arm_out = (sign < 0) & (own <= -least)
        amount = jnp.where(enters, 0, jnp.where(sign < 0, jnp.minimum(own, -least), -least))
        row = jnp.where(enters, free_row, worst_row)
        pivots = enters | ~arm_out
        leaving = one_hot(worst_row, basic.shape[0]) & ~enters & ~arm_out
        change = jnp.einsum("rkb,rb->kb", _rows(basic, num_arms), amount * loses)
        gone = jnp.einsum("rkb,rb->kb", _rows(basic, num_arms), leaving.astype(jnp.float32))
        weights = jnp.maximum(weights - change, 0) + jnp.where(hot, sign * amount, 0)
        weights = jnp.where((gone > 0) | (hot & arm_out & ~enters), 0, weights)
        at = one_hot(row, basic.shape[0]) & pivots  # [D, B]
        scaled = pick(table, at[:, None]) / jnp.where(pivots, pick(column, at), 1)
        table = jnp.where(at[:, None], scaled, table - column[:, None] * scaled)
        return table, jnp.where(at, arm, basic), weights, seen | hot

    basic = jnp.full((table.shape[0], lanes), -1, jnp.int32)
    start = table, basic, weights, jnp.zeros(weights.shape, bool)
    weights = while_any(going, step, start)[2]
    return weights / jnp.sum(weights, axis=0)


def _rows(basic, num_arms):
    """[D, K, B], 1 where a row's basic arm is."""
    return jnp.moveaxis(one_hot(basic, num_arms), 0, 1).astype(jnp.float32)
