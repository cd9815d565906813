"""How much an arm was played lately: a weighted count of its plays in the last m rounds.

A play j rounds ago (0 for the one just made) counts weights[j]. The tally of the arm just played,
over the sum W of all weights, is its exposure: a share in (0, 1] that is 1 when every play of the
window that counts was of this arm, and below 1 otherwise. `play` keeps to that to the last bit, so
that a loss may jump at full exposure. Before the first round nothing was played.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.protocol import concrete

BELOW_ONE = np.float32(1 - 2**-24)  # the largest exposure that is not full


class Window(Protocol):
    """What an environment needs of a memory of actions."""

    @property
    def memory(self) -> int:
        """m: plays in a row of an arm after which its exposure is full."""
        ...

    def host_weights(self) -> np.ndarray:
        """weights[j] of a play j rounds ago, [m] float64."""
        ...

    def weighting(self) -> tuple[jax.Array, jax.Array]:
        """The same for JAX, [m] float32, and their sum."""
        ...

    def init(self, num_arms: int) -> Any: ...
    def play(self, state: Any, arm: jax.Array) -> tuple[Any, jax.Array]:
        """The memory after a play of `arm`, and the exposure of that arm, the play included."""
        ...


class UniformState(NamedTuple):
    ring: jax.Array  # [m + 1] int32, arms of the last rounds; num_arms where none was played
    plays: jax.Array  # [K] int32, plays within the window
    at: jax.Array  # int32, where the ring is written next


@flax.struct.dataclass
class UniformWindow:
    """All plays of the last `memory` rounds count alike. O(1) a round; tallies are exact.

    Raises:
      ValueError: a memory that is not a whole number from 1 to 2^22.
    """

    memory: int = flax.struct.field(pytree_node=False)

    def __post_init__(self):
        _check_memory(self)

    def host_weights(self) -> np.ndarray:
        return np.ones(self.memory)

    def weighting(self) -> tuple[jax.Array, jax.Array]:
        return jnp.ones(self.memory, jnp.float32), jnp.float32(self.memory)

    def init(self, num_arms: int) -> UniformState:
        ring = jnp.full(self.memory + 1, num_arms, jnp.int32)
        return UniformState(ring, jnp.zeros(num_arms, jnp.int32), jnp.int32(0))

    def play(self, state: UniformState, arm: jax.Array) -> tuple[UniformState, jax.Array]:
        ring, gone, after = _turn(state.ring, state.at, arm)
        plays = state.plays.at[gone].add(-1, mode="drop").at[arm].add(1)
        share = plays[arm].astype(jnp.float32) / np.float32(self.memory)
        return UniformState(ring, plays, after), share


class GeometricState(NamedTuple):
    ring: jax.Array  # [m + 1] int32, as above
    tallies: jax.Array  # [K] as of `touched`; they have decayed since
    touched: jax.Array  # [K] int32, round in which the tally was last brought up to date
    latest: jax.Array  # [K] int32, round of the arm's last play
    rounds: jax.Array  # int32, rounds played
    arm: jax.Array  # int32, the arm played last
    streak: jax.Array  # int32, how often in a row


@flax.struct.dataclass
class GeometricWindow:
    """A play j rounds ago counts decay^j, for j below `memory`. O(1) a round.

    Only the arm just played and the one that leaves the window are brought up to date. The tally of
    an arm without a play in the window is exactly 0, that of an arm after `memory` plays in a row
    exactly the whole; in between, roundings fade with the decay and amount to 2^-23 / (1 - decay)
    of the whole at most (nothing at all for decay 1).

    Raises:
      ValueError: a memory that is not a whole number from 1 to 2^22; a decay outside (0, 1].
    """

    memory: int = flax.struct.field(pytree_node=False)
    decay: Any = 0.9
    powers: Any = flax.struct.field(default=None, repr=False)  # [m + 1], made from the decay
    total: Any = flax.struct.field(default=None, repr=False)  # W, made from the decay

    def __post_init__(self):
        _check_memory(self)
        decay = concrete(self.decay)
        if decay is None or (self.powers is not None and not isinstance(self.decay, float)):
            return  # put together by JAX, or as it was made below
        if decay.shape != () or decay.dtype.kind not in "fiu" or not 0 < decay <= 1:
            raise ValueError(f"a GeometricWindow decays by a number in (0, 1], got {self.decay!r}")
        powers = float(decay) ** np.arange(self.memory + 1)
        object.__setattr__(self, "decay", np.asarray(decay, np.float32))
        object.__setattr__(self, "powers", powers.astype(np.float32))
        object.__setattr__(self, "total", np.asarray(powers[:-1].sum(), np.float32))

    def host_weights(self) -> np.ndarray:
        return np.asarray(self.powers, np.float64)[:-1]

    def weighting(self) -> tuple[jax.Array, jax.Array]:
        return jnp.asarray(self.powers)[:-1], jnp.asarray(self.total)

    def init(self, num_arms: int) -> GeometricState:
        never = jnp.full(num_arms, -1, jnp.int32)
        return GeometricState(
            jnp.full(self.memory + 1, num_arms, jnp.int32),
            jnp.zeros(num_arms, jnp.float32),
            never,
            never,
            jnp.int32(0),
            jnp.int32(num_arms),
            jnp.int32(0),
        )

    def play(self, state: GeometricState, arm: jax.Array) -> tuple[GeometricState, jax.Array]:
        powers, now = jnp.asarray(self.powers), state.rounds
        ring, gone, _ = _turn(state.ring, now % (self.memory + 1), arm)

        def decayed(tallies, touched, one):
            since = jnp.minimum(now - touched[one], self.memory)
            return tallies[one] * powers[since]

        rest = jnp.maximum(decayed(state.tallies, state.touched, gone) - powers[-1], 0)
        rest = jnp.where(state.latest[gone] == now - self.memory, 0, rest)
        tallies = state.tallies.at[gone].set(rest, mode="drop")
        touched = state.touched.at[gone].set(now, mode="drop")
        streak = jnp.where(arm == state.arm, state.streak + 1, 1)
        full = streak >= self.memory
        tally = jnp.where(full, jnp.asarray(self.total), decayed(tallies, touched, arm) + 1)
        after = GeometricState(
            ring,
            tallies.at[arm].set(tally),
            touched.at[arm].set(now),
            state.latest.at[arm].set(now),
            now + 1,
            arm,
            streak,
        )
        return after, exposure(tally / jnp.asarray(self.total), full)


@flax.struct.dataclass
class WeightedWindow:
    """A play j rounds ago counts weights[j], whatever they are. O(m) a round.

    Raises:
      ValueError: weights that are not a list of finite numbers, none negative, the first positive.
    """

    weights: Any  # [m]
    shares: Any = flax.struct.field(default=None, repr=False)  # [m] weights over their sum

    def __post_init__(self):
        weights = concrete(self.weights)
        if weights is None or (self.shares is not None and not _new(self.weights)):
            return  # put together by JAX, or as it was made below
        _check_weights("WeightedWindow", weights, self.weights)
        exact = weights.astype(np.float64)
        object.__setattr__(self, "weights", exact.astype(np.float32))
        object.__setattr__(self, "shares", (exact / exact.sum()).astype(np.float32))

    @property
    def memory(self) -> int:
        return np.shape(self.weights)[-1]

    def host_weights(self) -> np.ndarray:
        return np.asarray(self.weights, np.float64)

    def weighting(self) -> tuple[jax.Array, jax.Array]:
        return jnp.asarray(self.shares), jnp.float32(1)

    def init(self, num_arms: int) -> jax.Array:
        """[m] int32, the arms of the last rounds, the latest first."""
        return jnp.full(self.memory, num_arms, jnp.int32)

    def play(self, state: jax.Array, arm: jax.Array) -> tuple[jax.Array, jax.Array]:
        shares = jnp.asarray(self.shares)
        state = jnp.concatenate([jnp.reshape(arm, 1), state[:-1]])
        same = state == arm
        # Only whether all that count were of this arm says for sure that the exposure is full.
        full = jnp.all(same | (shares == 0))
        return state, exposure(jnp.sum(jnp.where(same, shares, 0)), full)


def window(weights: Any) -> UniformWindow | GeometricWindow | WeightedWindow:
    """The window that counts a play j rounds ago weights[j] (up to a common factor), in the
    cheapest form there is for such weights.

    Raises:
      ValueError: weights that are not a list of finite numbers, none negative, the first positive.
    """
    array = np.asarray(weights)
    _check_weights("window", array, weights)
    exact = array.astype(np.float64)
    if np.all(exact == exact[0]):
        return UniformWindow(len(exact))
    ratios = exact[1:] / exact[0]
    decay = float(ratios[0])
    # Beyond 0.999 the roundings of the O(1) form would show.
    if 0 < decay <= 0.999 and np.allclose(ratios, decay ** np.arange(1, len(exact)), 1e-12, 0):
        return GeometricWindow(len(exact), decay)
    return WeightedWindow(exact)


# ---- shared --------------------------------------------------------------------------------


def _turn(ring, at, arm):
    """Write `arm` and read what leaves: the ring with it, the arm that left, the next place.

    The ring has one place more than the window, so that what leaves is read after the write: read
    before it, XLA copies the ring in every round.
    """
    ring = ring.at[at].set(arm)
    after = jnp.where(at + 1 < ring.shape[-1], at + 1, 0)
    return ring, ring[after], after


def exposure(share, full):
    """1 at full exposure, and nowhere else."""
    return jnp.where(full, 1, jnp.minimum(share, BELOW_ONE))


def _new(weights: Any) -> bool:
    return isinstance(weights, list) or getattr(weights, "dtype", None) == np.float64


def _check_memory(window: Any) -> None:
    memory = window.memory
    if not (isinstance(memory, int | np.integer) and 1 <= memory <= 2**22):
        raise ValueError(
            f"the memory of a {type(window).__name__} is a whole number of rounds, 1 to 2^22, "
            f"got {memory!r}"
        )


def _check_weights(name: str, weights: np.ndarray, given: Any) -> None:
    good = weights.dtype.kind in "fiu" and weights.ndim == 1 and weights.size
    if not good or not np.all(np.isfinite(weights) & (weights >= 0)) or weights[0] == 0:
        raise ValueError(
            f"{name} takes the weight of a play by its age, [m], finite and not negative, the "
            f"first (of the play just made) positive: got {given!r}"
        )
