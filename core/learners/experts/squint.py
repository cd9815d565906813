"""Squint: a mixture over learning rates, for regret that adapts to variance and to quantiles."""

from __future__ import annotations

from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ...exact import Pair, plus, single, value
from ..elementwise import flat
from ..parameters import filled
from .weights import awake, normalised, regrets_of_round


class SquintState(NamedTuple):
    regrets: Pair  # [K] sums of the regrets of single rounds, over the rounds spent awake
    squares: Pair  # [K] sums of their squares


@flax.struct.dataclass
class Squint:
    """Squint: weights proportional to the integral of exp(rate R - rate^2 V) over rates in
    [0, 1/2], where R sums what was regretted towards an expert in each round that it was awake in,
    V the squares of that.

    Koolen and van Erven, "Second-order quantile methods for experts and combinatorial games", COLT
    2015, Section 4.3: the improper prior of density 1 / rate, and an even prior over experts. For
    losses in an interval of length 1, awake or not; only differences between experts count. The
    mean over experts of the integral of (exp(rate R - rate^2 V) - 1) / rate never exceeds 0, hence
    (Theorem 4) regret of at most sqrt(2 V) (1 + sqrt(2 ln(K (1/2 + ln(T + 1))))) +
    5 ln(1 + K (1 + 2 ln(T + 1))).

    Those asleep get no weight, and their losses are not looked at. Even weights over all experts
    where nobody is awake. Recommends the weights of a round with all awake. No noise. Weights are
    worked out from their logarithms, and R and V carry 48 bits: nothing overflows or wears off,
    however long the game.
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        zeros = jnp.zeros(filled(self, "num_arms"), jnp.float32)
        return SquintState(single(zeros), single(zeros))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        logs = log_integral(value(state.regrets), value(state.squares))
        return normalised(logs, awake(observation))

    def update(self, state, observation, weights, feedback):
        losses = feedback.gradient(weights)
        regrets = regrets_of_round(weights, losses, awake(observation))
        return SquintState(
            plus(state.regrets, single(regrets)), plus(state.squares, single(regrets * regrets))
        )

    def recommend(self, state):
        return self.act(state, (), ())


_NODES, _SHARES = (x.astype(np.float32) / 4 for x in np.polynomial.legendre.leggauss(5))


@flat
def log_integral(regret: jax.Array, squares: jax.Array) -> jax.Array:
    """ln of the integral of exp(x R - x^2 V) over 0 <= x <= 1/2, elementwise; V >= 0.

    x -> 1/2 - x turns R into V - R and takes out exp(R / 2 - V / 4), so that only R <= V / 2 is
    left: the integrand is largest at the near end, or inside. With a = -R / (2 sqrt(V)) and
    b = a + sqrt(V) / 2 the integral is

      sqrt(pi / 4 V) (erfcx(a) - exp(R / 2 - V / 4) erfcx(b)),  erfcx(a) = 2 exp(a^2) - erfcx(-a).

    Where that cancels, for small R and V, five nodes of Gauss and Legendre are as good as exact.
    """
    far = regret > squares / 2
    lift = jnp.where(far, (2 * regret - squares) / 4, 0)
    near = jnp.where(far, squares - regret, regret)

    smooth = (squares < 4) & (near > -2)
    # Elsewhere the numbers are not used, and are kept from overflowing.
    r, v = jnp.where(smooth, near, 0), jnp.where(smooth, squares, 0)
    nodes = jnp.zeros_like(r)
    for node, share in zip(_NODES + np.float32(0.25), _SHARES, strict=True):
        nodes = nodes + share * jnp.exp(node * (r - node * v))

    r, v = jnp.where(smooth, -2, near), jnp.where(smooth, 1, jnp.maximum(squares, 1e-30))
    root = jnp.sqrt(v)
    start = -r / (2 * root)
    top = jnp.where(r > 0, start * start, 0)
    first = erfcx(jnp.abs(start))
    first = jnp.where(r > 0, 2 - jnp.exp(-top) * first, first)
    last = jnp.exp(r / 2 - v / 4 - top) * erfcx(start + root / 2)
    closed = np.float32(np.sqrt(np.pi) / 2) / root * (first - last)

    return lift + jnp.where(smooth, 0, top) + jnp.log(jnp.where(smooth, nodes, closed))


# erfcx(x) (1 + 0.4 x) as a polynomial in z = 2 / (1 + 0.4 x) - 1: Chebyshev interpolation, ours.
_ERFCX = (
    0.42161273, 0.32186077, 0.1815657, 0.068499767, 0.011343547, -0.0033531553, -0.001921382,
    0.00016544152, 0.00026648832, -1.0746237e-05, -2.9168583e-05,
)  # fmt: skip


def erfcx(x: jax.Array) -> jax.Array:
    """exp(x^2) (1 - erf(x)) for x >= 0, to a relative 4e-7."""
    t = 1 / (1 + np.float32(0.4) * x)
    z = 2 * t - 1
    ratio = jnp.full_like(z, _ERFCX[-1])
    for coefficient in _ERFCX[-2::-1]:
        ratio = ratio * z + np.float32(coefficient)
    return t * ratio
