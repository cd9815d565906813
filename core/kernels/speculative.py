"""Speculative sampling: tokens of a target law p, made from drafts of a cheaper law q.

Each function verifies the drafts of one position, [k] token numbers, and returns a token whose law
is p exactly, whatever q is, with the place of the draft that it is, or -1. How often a draft is
taken is what speed comes from; `kseq_acceptance` and `greedy_acceptance` say it in closed form, and
`alpha_star` what no verifier can pass. Positions are batched with `jax.vmap`, keys included.

p and q are laws over V tokens, [V] floats, zero or more; they are divided by their sums first. With
one draft, both verifiers are the usual one: take it with probability min(1, p / q), else draw from
max(p - q, 0) (Leviathan, Kalman and Matias, ICML 2023; Chen et al. 2023; from memory).

Draws are by inversion of uniforms of 23 bits: a token of which the law that is drawn from has less
than 2^-23 may never come up. Sums over V are sequential in float32 there: with 10^5 tokens and more
the law is p to about 10^-5. Vocabularies sharded over devices: gather p and q of the position first
(they are small beside the model), as the draws go through a running sum.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .. import noise
from ..protocol import Key
from . import platforms

_HALVINGS = 60  # of [1, k]: to the last bit of a float64, and then nothing moves


@jax.jit
def kseq(p: jax.Array, q: jax.Array, drafts: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
    """Verify k drafts that were drawn from q independently: (token, place of the draft or -1).

    Draft by draft, takes x with probability min(1, p(x) / (rho q(x))), with rho from `kseq_rho`;
    where none is taken, draws from what is left of p. Sun, Suresh, Ro, Beirami, Jain and Yu,
    "SpecTr: fast speculative decoding via optimal transport", NeurIPS 2023 (arXiv 2310.15141). It
    takes a draft with at least 1 - (1 - 1/k)^k times the chance of the best verifier.

    Raises:
      ValueError: p, q and drafts that do not fit together.
    """
    p, q = laws("kseq", p, q)
    k = _drafts("kseq", drafts)
    uniforms = noise.uniform(key, (k + 1,))
    rho = kseq_rho(p, q, k)
    # u < p / (rho q), without the division: a draft with q = 0 never comes up.
    taken = uniforms[:k] * rho * q[drafts] < p[drafts]
    first = noise.argmax(taken)
    fresh = noise.categorical(uniforms[k], kseq_residual(p, q, k, rho))
    some = jnp.any(taken)
    return jnp.where(some, drafts[first], fresh), jnp.where(some, first, -1)


@partial(jax.jit, static_argnames="k")
def kseq_rho(p: jax.Array, q: jax.Array, k: int) -> jax.Array:
    """The least rho in [1, k] with 1 - (1 - b)^k <= rho b, where b = sum of min(q, p / rho), up to
    rounding: for such rho what `kseq` leaves of p is not negative. []"""
    p, q = laws("kseq_rho", p, q)

    def halve(_, ends):
        low, high = ends
        rho = (low + high) / 2
        beta = _beta(p, q, rho)
        valid = _some_of(beta, k) <= rho * beta
        return jnp.where(valid, low, rho), jnp.where(valid, rho, high)

    ends = jnp.ones((), p.dtype), jnp.full((), k, p.dtype)
    return jax.lax.fori_loop(0, _HALVINGS, halve, ends)[1]


@partial(jax.jit, static_argnames="k")
def kseq_residual(p: jax.Array, q: jax.Array, k: int, rho: jax.Array) -> jax.Array:
    """The law of the token, [V], where none of k drafts is taken; not divided by its sum, which is
    the chance of that."""
    p, q = laws("kseq_residual", p, q)
    beta = _beta(p, q, rho)
    share = jnp.where(beta > 0, _some_of(beta, k) / jnp.where(beta > 0, beta, 1), 0)
    return _drawable(p - jnp.minimum(q, p / rho) * share, p)


@partial(jax.jit, static_argnames="k")
def kseq_acceptance(p: jax.Array, q: jax.Array, k: int) -> jax.Array:
    """The chance that `kseq` takes one of k drafts, []."""
    p, q = laws("kseq_acceptance", p, q)
    return _some_of(_beta(p, q, kseq_rho(p, q, k)), k)


@partial(jax.jit, static_argnames="n")
def greedy_drafts(q: jax.Array, n: int, key: Key) -> jax.Array:
    """The n - 1 likeliest tokens of q (the lowest number on ties), then one drawn from q without
    them: [n] int32, all different.

    Raises:
      ValueError: more drafts than tokens, or none.
    """
    _, q = laws("greedy_drafts", q, q)
    if not 1 <= n <= len(q):
        raise ValueError(f"greedy_drafts: n is from 1 to the {len(q)} tokens, got {n}")
    top = jax.lax.top_k(q, n - 1)[1].astype(jnp.int32)
    last = noise.categorical(noise.uniform(key), _without(q, top)[0])
    return jnp.append(top, last)


@jax.jit
def greedy_verify(
    p: jax.Array, q: jax.Array, drafts: jax.Array, key: Key
) -> tuple[jax.Array, jax.Array]:
    """Verify the drafts of `greedy_drafts`: (token, place of the draft or -1).

    The last draft x is taken with probability min(1, p(x) / r(x)), r being q without the others,
    divided by its sum; else draws from p on the others and max(p - r, 0) on the rest, and a token
    among the others is a draft that was taken. Hu, Zheng, Viswanathan, Chen, Rossi, Wu, Manocha and
    Huang, "Towards optimal multi-draft speculative decoding", ICLR 2025 (arXiv 2502.18779; names
    from memory). No verifier takes these drafts more often.

    Raises:
      ValueError: p, q and drafts that do not fit together.
    """
    p, q = laws("greedy_verify", p, q)
    _drafts("greedy_verify", drafts)
    top, last = drafts[:-1], drafts[-1]
    rest, inside = _without(q, top)
    rest = rest / jnp.sum(rest)
    uniforms = noise.uniform(key, (2,))
    taken = uniforms[0] * rest[last] < p[last]
    left = _drawable(jnp.where(inside, p, p - rest), p)
    fresh = noise.categorical(uniforms[1], left)
    among = top == fresh
    place = jnp.where(jnp.any(among), noise.argmax(among), -1) if len(top) else jnp.int32(-1)
    place = jnp.where(taken, len(drafts) - 1, place)
    return jnp.where(taken, last, fresh), place


@partial(jax.jit, static_argnames="n")
def greedy_acceptance(p: jax.Array, q: jax.Array, n: int) -> jax.Array:
    """The chance that `greedy_verify` takes one of n drafts, []: p of the n - 1 likeliest tokens of
    q, and the sum of min(p, r) over the rest. It can be less than `alpha_star(p, q, n)`."""
    p, q = laws("greedy_acceptance", p, q)
    rest, inside = _without(q, jax.lax.top_k(q, n - 1)[1])
    return jnp.sum(jnp.where(inside, p, jnp.minimum(p, rest / jnp.sum(rest))))


def implementation(
    shape: tuple[int, ...], dtype: Any, platform: str | None = None
) -> tuple[str, str]:
    """(name, why) of what computes it on a platform; the same everywhere."""
    platforms.known(platform)
    return "xla", "some sums over the vocabulary and one running sum: no row-sized product"


def _beta(p, q, rho):
    return jnp.sum(jnp.minimum(q, p / rho))


def _some_of(beta, k):
    """1 - (1 - beta)^k."""
    return -jnp.expm1(k * jnp.log1p(-jnp.minimum(beta, 1)))


def _drawable(left, p):
    """`left` without what rounding made negative; p where nothing is left, as all was taken."""
    left = jnp.maximum(left, 0)
    return jnp.where(jnp.sum(left) > 0, left, p)


def _without(q, top):
    """q outside of some tokens, and which these are [V]. Where q has nothing else: all others."""
    inside = jnp.zeros(q.shape, bool).at[top].set(True)
    rest = jnp.where(inside, 0, q)
    others = jnp.where(inside, 0, jnp.ones_like(q))
    return jnp.where(jnp.sum(rest) > 0, rest, others), inside


def laws(name, p, q):
    """Both divided by their sums, in the wider of their dtypes and float32 at least."""
    p, q = jnp.asarray(p), jnp.asarray(q)
    floats = all(jnp.issubdtype(x.dtype, jnp.floating) for x in (p, q))
    if p.ndim != 1 or p.shape != q.shape or not p.size or not floats:
        raise ValueError(
            f"{name}: p and q are laws over the same tokens, floats [V] each, got {p.dtype} "
            f"{list(p.shape)} and {q.dtype} {list(q.shape)}; batch with jax.vmap"
        )
    dtype = jnp.promote_types(jnp.promote_types(p.dtype, q.dtype), jnp.float32)
    p, q = p.astype(dtype), q.astype(dtype)
    return p / jnp.sum(p), q / jnp.sum(q)


def _drafts(name, drafts):
    shape, dtype = jnp.shape(drafts), jnp.asarray(drafts).dtype
    if len(shape) != 1 or not shape[0] or not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(
            f"{name}: drafts are token numbers [k], at least one, got {dtype} {list(shape)}"
        )
    return shape[0]
