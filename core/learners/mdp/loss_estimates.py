"""Estimates of Q from one episode with losses, by importance weighting of features, and dilated
bonuses for what the estimates do not show. Everything is float64: call with it enabled.

Shapes are H stages, S states, A actions, d features. `chances` [H, S, A] is the policy that was
played, `inverses` [H, d, d] are (gamma I + Sigma_h)^-1 with Sigma_h the second moment of the
features under it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ...mdp import times


def moments(features: jax.Array, visits: jax.Array) -> jax.Array:
    """Sigma_h = E phi phi^T, [H, d, d].

    Args:
      features: [S, A, d].
      visits: the chances that stage h finds the process in s and plays a, [H, S, A].
    """
    flat = features.reshape(-1, features.shape[-1])
    outer = flat[:, :, None] * flat[:, None, :]
    return times(visits.reshape(len(visits), -1), outer)


def inverse(matrices: jax.Array) -> jax.Array:
    """Of positive definite matrices [..., d, d], by Gauss-Jordan steps, which need no pivots there.

    As vector code over a batch it is several times faster on a CPU than a factorisation a matrix.
    """
    d = matrices.shape[-1]

    def step(k, x):
        row = jax.lax.dynamic_index_in_dim(x, k, -2, keepdims=True)
        column = jax.lax.dynamic_index_in_dim(x, k, -1, keepdims=True)
        pivot = jax.lax.dynamic_index_in_dim(row, k, -1, keepdims=True)
        here = jnp.arange(d) == k
        swept = x - column * row / pivot
        swept = jnp.where(here[:, None], row / pivot, swept)
        swept = jnp.where(here, -column / pivot, swept)
        return jnp.where(here[:, None] & here, 1 / pivot, swept)

    return jax.lax.fori_loop(0, d, step, matrices)


def products(features: jax.Array, inverses: jax.Array, vectors: jax.Array) -> jax.Array:
    """phi(s, a)^T G_h v_h, [H, S, A], of vectors [H, d]."""
    images = jnp.sum(inverses * vectors[:, None, :], axis=-1)  # G is symmetric
    return jnp.moveaxis(times(features, images.T), -1, 0)


def squared_norms(features: jax.Array, inverses: jax.Array) -> jax.Array:
    """phi(s, a)^T G_h phi(s, a), [H, S, A]."""
    flat = features.reshape(-1, features.shape[-1])
    outer = flat[:, :, None] * flat[:, None, :]
    shape = len(inverses), *features.shape[:-1]
    return times(inverses.reshape(len(inverses), -1), outer.reshape(len(flat), -1).T).reshape(shape)


def losses_to_go(losses: jax.Array) -> jax.Array:
    """From every stage to the last, [H]."""
    return jnp.cumsum(losses[::-1])[::-1]


def plain(shares: jax.Array, to_go: jax.Array) -> jax.Array:
    """phi^T G_h phi_h L_h, [H, S, A]: with gamma = 0 its expectation is Q, and it may be as low as
    -H / gamma.

    Args:
      shares: phi(s, a)^T G_h phi_h of the features phi_h of the episode, [H, S, A].
      to_go: L_h, [H].
    """
    return shares * to_go[:, None, None]


def magnitude_reduced(shares: jax.Array, to_go: jax.Array, means: jax.Array) -> jax.Array:
    """The plain estimate, less H times the negative part of a share, plus its expectation: the
    same expectation, and never below `means`, which are -H |phi|_G or more (Dai, Luo, Wei and
    Zimmert, "Refined regret for adversarial MDPs with linear function approximation", ICML 2023,
    from memory). Loss-to-go is in [0, H].

    Args:
      means: H E min(phi^T G_h phi', 0) over the features phi' of stage h, [H, S, A].
    """
    return plain(shares, to_go) - len(to_go) * jnp.minimum(shares, 0) + means


def negative_means(features: jax.Array, inverses: jax.Array, visits: jax.Array) -> jax.Array:
    """E min(phi(s, a)^T G_h phi', 0), [H, S, A], over phi' of a state and action of stage h."""
    flat = features.reshape(-1, features.shape[-1])

    def stage(inverse, visits):
        shares = times(times(flat, inverse), flat.T)
        return jnp.sum(jnp.minimum(shares, 0) * visits.reshape(-1), axis=-1)

    return jax.vmap(stage)(inverses, visits).reshape(visits.shape)


def dilated(transitions: jax.Array, chances: jax.Array, bonuses: jax.Array) -> jax.Array:
    """B_h = b_h + (1 + 1 / H) E B_(h+1), [H, S, A], over the next state and action (Luo, Wei and
    Lee, "Policy optimization in adversarial MDPs: improved exploration via dilated bonuses",
    NeurIPS 2021, from memory).

    Args:
      transitions: [H, S, A, S]; bonuses: b, [H, S, A].
    """
    factor = 1 + 1 / len(bonuses)

    def stage(after, now):
        chances, bonus, move = now
        total = bonus + factor * times(move, after)
        return jnp.sum(chances * total, axis=-1), total

    last = jnp.zeros(bonuses.shape[1], bonuses.dtype)
    return jax.lax.scan(stage, last, (chances, bonuses, transitions), reverse=True)[1]
