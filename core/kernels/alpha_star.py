"""How often speculative sampling can take a draft at best."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from .speculative import laws

_NODES, _END = 200, 4.0  # of the quadrature: t from 10^-18 to 10^18, to some 10^-14


@partial(jax.jit, static_argnames=("n", "replace"))
def alpha_star(p: jax.Array, q: jax.Array, n: int, replace: bool = True) -> jax.Array:
    """The largest chance, over all verifiers, that one of n drafts is the token taken, [].

    A verifier turns drafts from q into a token of law p: the best of them is an optimal transport,
    whose dual is 1 + min over sets H of tokens of p(H) - Q(H), with Q(H) the chance that all drafts
    lie in H. The least H is the first of the tokens in the order of p / q (Hu et al., "Towards
    optimal multi-draft speculative decoding", ICLR 2025, arXiv 2502.18779), so that a sort and a
    running sum find it.

    Args:
      p, q: laws over V tokens, [V] floats, zero or more; they are divided by their sums first.
      n: number of drafts.
      replace: drafts are drawn independently; or one after the other from the tokens not yet drawn,
        of which there are n or more with q > 0. Then Q(H) is an integral (ours: tokens arrive at
        rates q, and the drafts are the first n), which takes 200 n V operations.

    Computed in float64, returned in the dtype of p and q. A large vocabulary that is sharded is
    gathered first: p and q of a position are small.

    Raises:
      ValueError: p and q that do not fit together, n less than 1 or more than the tokens there are.
    """
    p, q = laws("alpha_star", p, q)
    if n < 1 or (n > len(q) and not replace):
        raise ValueError(f"alpha_star: n is from 1 to the {len(q)} tokens, got {n}")
    with jax.enable_x64(True):
        wide = [x.astype(jnp.float64) for x in (p, q)]
        wide = [x / jnp.sum(x) for x in wide]
        ratio = jnp.where(wide[1] > 0, wide[0] / jnp.where(wide[1] > 0, wide[1], 1), jnp.inf)
        low, high = (x[jnp.argsort(ratio)] for x in wide)
        if replace or n == 1:
            inside = jnp.cumsum(high) ** n
        else:
            inside = 1 - _some_outside(high, n)
        gap = jnp.minimum(jnp.min(jnp.cumsum(low) - inside), 0)
        return jnp.maximum(1 + gap, 0).astype(p.dtype)


def _some_outside(q, n):
    """For every i, the chance that of n draws without replacement some are not among the first i+1
    tokens, [V].

    Tokens arrive independently, x at a rate q(x). One from outside comes before the n-th from the
    inside with the chance, over the time t of the first from outside, that fewer than n from the
    inside are there: rate * integral of exp(-rate t) P(fewer than n) dt, rate = q(outside). As t =
    exp(pi / 2 sinh(s)) the integral is a sum over even s (Takahasi and Mori 1974), for all sets at
    once.
    """
    s, width = np.linspace(-_END, _END, _NODES, retstep=True)
    times = np.exp(np.pi / 2 * np.sinh(s))
    weights = jnp.asarray(width * np.pi / 2 * np.cosh(s) * times)
    times = jnp.asarray(times)
    outside = jnp.append(jnp.flip(jnp.cumsum(jnp.flip(q[1:]))), 0.0)  # 0 after the last q > 0

    def admit(chances, token):
        """chances [n, nodes]: that 0, 1, ..., n - 1 have come by each time."""
        rate, rest = token
        waits, came = jnp.exp(-rate * times), -jnp.expm1(-rate * times)
        moved = jnp.concatenate([jnp.zeros_like(chances[:1]), chances[:-1]])
        chances = chances * waits + moved * came
        few = jnp.sum(chances, axis=0)
        return chances, jnp.sum(weights * rest * jnp.exp(-rest * times) * few)

    start = jnp.zeros((n, _NODES), q.dtype).at[0].set(1)
    return jax.lax.scan(admit, start, (q, outside))[1]
