"""The laws that rewards come from: one reward, or the sum of many at once.

Of independent rewards only the sum matters to a learner that pulls an arm n times in a row, and
it can be drawn in a time that hardly depends on n: a binomial, a normal, a sum of uniforms.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from ..core.names import did_you_mean
from ..core.noise import normal, to_normal, to_uniform
from ..core.protocol import Key
from ..core.samplers import binomial, binomial_tape, uniform_sum

Law = Literal["bernoulli", "uniform", "gaussian"]
LAWS: tuple[Law, ...] = get_args(Law)


def check_law(name: str) -> None:
    """Raises ValueError unless there is a law of that name."""
    if name not in LAWS:
        raise ValueError(f"no law of rewards is called {name!r}: {did_you_mean(name, LAWS)}")


def one(law: Law, word: jax.Array, mean: jax.Array, scale: Any) -> jax.Array:
    """One reward of the given mean from 32 random bits: Bernoulli(mean), uniform on
    [0, 2 mean], or normal with standard deviation `scale`."""
    u = to_uniform(word)
    if law == "bernoulli":
        return (u < mean).astype(jnp.float32)
    return 2 * mean * u if law == "uniform" else mean + scale * to_normal(u)


def total(law: Law, key: Key, mean: jax.Array, scale: Any, counts: jax.Array) -> jax.Array:
    """Sums of `counts` independent rewards of the given means, all [W]; counts up to 2^24."""
    if law == "bernoulli":
        tape = binomial_tape(key, counts.shape)
        return binomial(tape, counts, mean).astype(jnp.float32)
    if law == "uniform":
        return 2 * mean * uniform_sum(key, counts)
    n = counts.astype(jnp.float32)
    return n * mean + scale * jnp.sqrt(n) * normal(key, counts.shape)
