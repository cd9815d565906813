"""Stochastic bandits: the reward of an arm is drawn afresh each round from a law of its own.

The tape holds ONE draw a round, for whichever arm is played. Only that arm's reward is ever seen,
so this is equal in law to a draw for every arm and K times cheaper; wrap a bandit in
`WithHindsight` or `FullInformation` where the rewards of the other arms matter too.

Regret here is the pseudo-regret: sum over arms of pulls times gap, the gap being the largest mean
less the arm's. Counts are integers and the sum is formed in about 46 bits (`core.exact`), so after
any number of rounds it is the float64 value rounded to float32.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import samplers
from ..core.exact import Pair, minus, single, value, weighted
from ..core.noise import normal, uniform
from ..core.protocol import BanditFeedback, Key, concrete


class BanditState(NamedTuple):
    """What a bandit with fixed means remembers."""

    pulls: jax.Array  # [K] int32


class FixedMeans:
    """Shared by bandits whose arms keep their means; a subclass adds `noise` and `reward`.

    Means are float32 arrays. What that rounds off a float64 mean is kept in `rest`, which users
    leave out: regret then has the gaps that were asked for, where 0.51 - 0.5 in float32 is off by
    a millionth.
    """

    means: Any
    rest: Any

    @property
    def num_arms(self) -> int:
        return np.shape(self.means)[-1]

    def init(self, key: Key) -> BanditState:
        return BanditState(jnp.zeros(self.num_arms, jnp.int32))

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, arm, noise):
        feedback = BanditFeedback(self.reward(noise, arm))
        return BanditState(state.pulls.at[arm].add(1)), feedback, {}

    def reward(self, noise, arm: Any = ...) -> jax.Array:
        """Reward of `arm` from its draw; without an arm, of every arm from a draw each, [K]."""
        raise NotImplementedError

    def rewards(self, state, noise) -> jax.Array:
        """Rewards of all arms, [K], from a row of K draws."""
        return self.reward(noise)

    def evaluate(self, state, arm) -> dict[str, jax.Array]:
        gap = gaps(self.means, self.rest)
        return {
            "regret": value(weighted(state.pulls, gap)),
            "pulls": state.pulls,
            "simple_regret": value(gap)[arm],
        }


@flax.struct.dataclass
class BernoulliBandit(FixedMeans):
    """Rewards 1 with probability means[arm], else 0.

    A probability is met to within 2^-24, half the resolution of the uniforms.

    Raises:
      ValueError: means that are not a non-empty list of numbers in [0, 1].
    """

    means: Any  # [K]
    rest: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        if handmade(self):
            set_means(self, "probabilities in [0, 1]", lambda x: (x >= 0) & (x <= 1))

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        return uniform(key, (num_rounds,))

    def reward(self, noise, arm: Any = ...) -> jax.Array:
        return (noise < jnp.asarray(self.means)[arm]).astype(jnp.float32)


@flax.struct.dataclass
class GaussianBandit(FixedMeans):
    """Normal rewards with the given means and standard deviations (`scales`, one or K of them).

    Raises:
      ValueError: means that are not a non-empty list of finite numbers; scales that are not
        positive, or not as many as the means.
    """

    means: Any  # [K]
    scales: Any = 1.0  # [K]
    rest: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        if handmade(self):
            set_means(self, "finite numbers", np.isfinite)
            set_positive(self, "scales")

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        return normal(key, (num_rounds,))

    def reward(self, noise, arm: Any = ...) -> jax.Array:
        return jnp.asarray(self.means)[arm] + jnp.asarray(self.scales)[arm] * noise


@flax.struct.dataclass
class BetaBandit(FixedMeans):
    """Rewards in [0, 1] from Beta(m c, (1 - m) c), of mean m and variance m (1 - m) / (c + 1).

    The `concentration` c, one or K of them: uniform rewards have m = 1/2, c = 2; towards 0 the law
    becomes Bernoulli(m), towards infinity a constant.

    Raises:
      ValueError: means that are not a non-empty list of numbers strictly between 0 and 1;
        concentrations that are not positive, or not as many as the means.
    """

    means: Any  # [K]
    concentration: Any = 2.0  # [K]
    rest: Any = flax.struct.field(default=None, repr=False)

    def __post_init__(self):
        if handmade(self):
            set_means(self, "strictly between 0 and 1", lambda x: (x > 0) & (x < 1))
            set_positive(self, "concentration")

    def noise(self, key: Key, num_rounds: int) -> samplers.GammaTape:
        return samplers.beta_tape(key, (num_rounds, 1))

    def reward(self, noise, arm: Any = ...) -> jax.Array:
        mean = jnp.asarray(self.means)[arm, None]
        concentration = jnp.asarray(self.concentration)[arm, None]
        a, b = mean * concentration, (1 - mean) * concentration
        return samplers.beta(noise, a, b)[..., 0]


# ---- parameters ----------------------------------------------------------------------------


def handmade(bandit: Any) -> bool:
    """Whether a person makes this object, or one like it with a field replaced. False when JAX
    puts a pytree together, from leaves of any kind: those are taken as they come."""
    if bandit.rest is None:
        return True
    if not _is_float32(bandit.rest):
        return False
    settled = [
        isinstance(x, np.ndarray) and x.ndim and x.shape == bandit.rest.shape[: x.ndim]
        for x in (getattr(bandit, field.name) for field in dataclasses.fields(bandit))
    ]
    return not (_is_float32(bandit.means) and all(settled))


def set_means(bandit: Any, what: str, allowed: Any, axes: str = "K") -> None:
    """Check the means and store them as float32, with what that rounds off in `rest`."""
    given, name = concrete(bandit.means), type(bandit).__name__
    if given is None:  # traced: no values to look at, nothing rounded off
        if hasattr(bandit.means, "shape"):
            object.__setattr__(bandit, "rest", np.zeros(bandit.means.shape, np.float32))
        return
    if bandit.rest is not None and _is_float32(bandit.means) and given.shape == bandit.rest.shape:
        return  # checked before
    if given.dtype.kind not in "fiub" or given.ndim != len(axes.split(", ")) or not given.size:
        raise ValueError(
            f"{name} takes means of shape [{axes}], numbers for at least one arm: "
            f"got shape {list(given.shape)}, {bandit.means!r}"
        )
    exact = given.astype(np.float64)
    with np.errstate(over="ignore"):
        means = exact.astype(np.float32)
    bad = np.argwhere(~(allowed(exact) & allowed(means)))
    if len(bad):
        at = bad[0].tolist()
        raise ValueError(
            f"the means of a {name} are {what}: got means[{', '.join(map(str, at))}] = "
            f"{given[tuple(at)]}"
        )
    object.__setattr__(bandit, "means", means)
    object.__setattr__(bandit, "rest", (exact - means).astype(np.float32))


def set_positive(bandit: Any, name: str) -> None:
    """Check a positive parameter and store it as float32, one entry an arm."""
    given = concrete(getattr(bandit, name))
    if given is None:
        return
    owner, shape = type(bandit).__name__, np.shape(bandit.means)
    if given.dtype.kind not in "fiub" or given.shape not in ((), shape):
        raise ValueError(
            f"{owner} takes one number as {name}, or one an arm, shape {list(shape)}: "
            f"got shape {list(given.shape)}, {getattr(bandit, name)!r}"
        )
    with np.errstate(over="ignore", under="ignore"):
        x = np.broadcast_to(given, shape).astype(np.float32)
    if not np.all((x > 0) & np.isfinite(x)):
        raise ValueError(f"{name} of a {owner} are positive and finite: got {given.tolist()}")
    object.__setattr__(bandit, name, x)


def _is_float32(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.float32


# ---- gaps ----------------------------------------------------------------------------------


def gaps(means: Any, rest: Any) -> Pair:
    """The largest mean less each mean, over the last axis, for means + rest."""
    exact = Pair(jnp.asarray(means), jnp.asarray(rest))
    gap = minus(single(jnp.max(exact.high, axis=-1, keepdims=True)), exact)
    # Means that are equal in float32 may differ in `rest`: the smallest gap is zero by definition.
    return minus(gap, single(jnp.min(gap.high, axis=-1, keepdims=True)))
