"""Mean losses as functions of exposure, for weighted tallying bandits.

`losses.at(arm, exposure)` is the mean loss, in [0, 1], of an arm that is played at that exposure, a
number in (0, 1] (see `windows`); `losses.settled()` [K] are those at full exposure, 1. Both compute
with JAX; given NumPy as `xp`, in float64. What the losses look like is not restricted in any way,
and a learner is told nothing about it.

The families `constant`, `learning`, `trap` and `u_shape` are a suite of our own: what the paper
used is not public. In all of them arm 0, played for ever, has the smallest loss there is.
"""

from __future__ import annotations

from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np

from ..core.protocol import concrete


class TallyLosses:
    """Shared by the kinds of losses: parameters are float32, one number an arm."""

    @property
    def num_arms(self) -> int:
        raise NotImplementedError

    def at(self, arm: Any, exposure: Any, xp: Any = jnp) -> Any:
        """Mean loss of `arm` at `exposure`; arrays of both that broadcast will do."""
        raise NotImplementedError

    def settled(self, xp: Any = jnp) -> Any:
        """[K], the mean losses at full exposure."""
        return self.at(xp.arange(self.num_arms), xp.ones(self.num_arms), xp)


@flax.struct.dataclass
class CurvedLosses(TallyLosses):
    """levels + slope (1 - u) + bow u (1 - u) + arch sin(pi u) at exposure u, cut off at 0 and 1.

    Raises:
      ValueError: levels that are not a list of numbers in [0, 1], or other parameters that are not
        one finite number or one an arm.
    """

    levels: Any  # [K]
    slope: Any = 0.0  # [K]
    bow: Any = 0.0  # [K]
    arch: Any = 0.0  # [K]
    checked: bool = flax.struct.field(pytree_node=False, default=False, repr=False)

    def __post_init__(self):
        _settle(self, "levels", ("slope", "bow", "arch"), probabilities=("levels",))

    @property
    def num_arms(self) -> int:
        return np.shape(self.levels)[-1]

    def at(self, arm: Any, exposure: Any, xp: Any = jnp) -> Any:
        level, slope, bow, arch = (
            _read(x, arm, xp) for x in (self.levels, self.slope, self.bow, self.arch)
        )
        left = 1 - exposure
        wave = xp.sin(np.pi * left)  # of 1 - u: exactly 0 at full exposure
        return xp.clip(level + slope * left + bow * exposure * left + arch * wave, 0, 1)


@flax.struct.dataclass
class StepLosses(TallyLosses):
    """`early` while the exposure is below `turn`, then `late`, and `full` at full exposure.

    Raises:
      ValueError: losses that are not lists of numbers in [0, 1], one an arm.
    """

    full: Any  # [K]
    early: Any  # [K]
    late: Any  # [K]
    turn: Any = 0.5  # [K]
    checked: bool = flax.struct.field(pytree_node=False, default=False, repr=False)

    def __post_init__(self):
        losses = ("full", "early", "late")
        _settle(self, "full", ("early", "late", "turn"), probabilities=losses)

    @property
    def num_arms(self) -> int:
        return np.shape(self.full)[-1]

    def at(self, arm: Any, exposure: Any, xp: Any = jnp) -> Any:
        full, early, late, turn = (
            _read(x, arm, xp) for x in (self.full, self.early, self.late, self.turn)
        )
        return xp.where(exposure < 1, xp.where(exposure < turn, early, late), full)


@flax.struct.dataclass
class TableLosses(TallyLosses):
    """values[arm, g] at exposure (g + 1) / G, for g = 0, ..., G - 1.

    With between="linear", straight lines between these points, and values[arm, 0] below the first;
    with "nearest" the value of the nearest point, which is all it takes where the window counts G
    plays alike: then values[arm, y - 1] is the loss at a tally of y, exactly.

    Raises:
      ValueError: values that are not a [K, G] table of numbers in [0, 1]; another `between`.
    """

    values: Any  # [K, G]
    between: str = flax.struct.field(pytree_node=False, default="linear")
    checked: bool = flax.struct.field(pytree_node=False, default=False, repr=False)

    def __post_init__(self):
        if self.between not in ("linear", "nearest"):
            raise ValueError(f'TableLosses: between is "linear" or "nearest", got {self.between!r}')
        _settle(self, "values", (), probabilities=("values",), axes=2)

    @property
    def num_arms(self) -> int:
        return np.shape(self.values)[-2]

    def at(self, arm: Any, exposure: Any, xp: Any = jnp) -> Any:
        size = np.shape(self.values)[-1]
        # One index into a flat table: XLA is faster on a CPU with one than with two.
        flat, start = xp.ravel(xp.asarray(self.values)), arm * size - 1
        place = exposure * np.float32(size) if xp is jnp else np.asarray(exposure) * size
        if self.between == "nearest":
            return flat[start + xp.clip(xp.floor(place + 0.5), 1, size).astype(np.int32)]
        below = xp.clip(xp.floor(place), 1, max(size - 1, 1))
        part = xp.clip(place - below, 0, 1)
        here = start + below.astype(np.int32)
        left, right = flat[here], flat[here + (1 if size > 1 else 0)]
        return left + part * (right - left)


# ---- a suite -------------------------------------------------------------------------------


def constant(levels: Any) -> CurvedLosses:
    """Losses that exposure does not change: an ordinary bandit, whatever the window."""
    return CurvedLosses(levels)


def learning(levels: Any, start: float = 0.9) -> CurvedLosses:
    """Losses that fall with practice, on a straight line from `start` to the levels [K]."""
    return CurvedLosses(levels, start - np.asarray(levels, np.float64))


def u_shape(levels: Any) -> CurvedLosses:
    """Losses that are worst at half exposure: level + 2.8 u (1 - u) for arm 0, level + 0.3
    sin(pi u), 1 at most, for the others."""
    first = np.arange(len(np.asarray(levels))) == 0
    return CurvedLosses(levels, bow=np.where(first, 2.8, 0), arch=np.where(first, 0, 0.3))


def trap(num_arms: int) -> StepLosses:
    """Arm 0 costs 0.95 until its exposure is full, then 0.2; all others cost 0.35 below half
    exposure and 0.7 from there on. Whoever tries arms in turn sees arm 0 as the worst."""
    first = np.arange(num_arms) == 0
    return StepLosses(
        full=np.where(first, 0.2, 0.7),
        early=np.where(first, 0.95, 0.35),
        late=np.where(first, 0.95, 0.7),
    )


def tabulated(losses: TallyLosses, memory: int) -> TableLosses:
    """The same losses as a table by tally, for a `UniformWindow(memory)`: exact there, and the
    same program for losses of any kind.

    Raises:
      ValueError: a memory that is not a whole number of at least 1.
    """
    if not (isinstance(memory, int | np.integer) and memory >= 1):
        raise ValueError(f"tabulated takes a whole number of rounds as memory, got {memory!r}")
    exposures = np.arange(1, memory + 1) / memory
    arms = np.arange(losses.num_arms)[:, None]
    return TableLosses(losses.at(arms, exposures, np), between="nearest")


# ---- parameters ----------------------------------------------------------------------------


def _read(parameter: Any, arm: Any, xp: Any) -> Any:
    if xp is np:
        return np.asarray(parameter, np.float64)[arm]
    return jnp.asarray(parameter)[arm]


def by_hand(x: Any) -> bool:
    """Whether a parameter of something already checked was replaced by a person."""
    return isinstance(x, list | float) or (isinstance(x, np.ndarray) and x.dtype == np.float64)


def _settle(losses: Any, first: str, others: tuple[str, ...], probabilities, axes: int = 1) -> None:
    """Check parameters a person gave and store them as float32, one entry an arm."""
    names = (first, *others)
    values = {name: concrete(getattr(losses, name)) for name in names}
    given = {name: array for name, array in values.items() if array is not None}
    if len(given) < len(names):
        return  # put together by JAX
    if losses.checked and not any(by_hand(getattr(losses, name)) for name in names):
        return  # as it was made below, or whatever JAX made of that
    kind, shape = type(losses).__name__, given[first].shape
    letters = "[K]" if axes == 1 else "[K, G]"
    for name, array in given.items():
        if array.dtype.kind not in "fiu" or array.shape not in ((), shape) or len(shape) != axes:
            raise ValueError(
                f"{kind} takes {name} of shape {letters}, numbers for at least one arm and as many "
                f"as {first}: got shape {list(array.shape)}"
            )
        exact = np.broadcast_to(array, shape).astype(np.float64)
        good = (exact >= 0) & (exact <= 1) if name in probabilities else np.isfinite(exact)
        if not np.all(good) or not exact.size:
            what = "numbers in [0, 1]" if name in probabilities else "finite numbers"
            raise ValueError(f"{name} of {kind} are {what}: got {getattr(losses, name)!r}")
        object.__setattr__(losses, name, exact.astype(np.float32))
    object.__setattr__(losses, "checked", True)
