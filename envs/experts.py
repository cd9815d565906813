"""Prediction with expert advice: losses of K experts a round, from a table or by chance.

The action is weights on the experts, its loss their mean loss; then the losses of all are shown.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise as tapes
from ..core.checks import whole
from ..core.domains import Simplex
from ..core.losses import LinearLoss
from ..core.protocol import GroupContext, Key, concrete
from . import expert_regrets
from .expert_regrets import METRIC_DIMS, Regrets


class Experts:
    """Shared by the environments below: who the experts are, what a play is, and the metrics.

    `loss`, and regret, all in hindsight on the losses as they fell: `expert_regret` towards each
    expert over the rounds in which it was awake, `regret` the largest of these;
    `dynamic_regret` against the best expert of every round; `adaptive_regret`, the largest over any
    interval of rounds towards any one expert; with `num_switches`, `shifting_regret` against the
    best sequence of experts that changes at most so many times. Sums carry 48 bits. Weights that do
    not add up to 1 over those awake are a mistake: the loss is NaN then, which `simulate` reports.
    """

    num_switches: int | None

    metric_dims = METRIC_DIMS

    @property
    def num_arms(self) -> int:
        raise NotImplementedError

    @property
    def domain(self) -> Simplex:
        return Simplex(self.num_arms)

    @property
    def gradient_bound(self) -> np.float32:
        """The longest vector of losses that can be."""
        return np.sqrt(np.float32(self.num_arms))

    @property
    def loss_range(self) -> float:
        """The most by which the losses of two experts can differ."""
        return 1.0

    def _settle(self, regrets, weights, losses, active):
        if getattr(weights, "shape", None) != (self.num_arms,):
            raise ValueError(
                f"{type(self).__name__} takes weights on its {self.num_arms} experts, [K], as "
                f"Hedge plays them: got {weights!r}; a learner of arms plays FullInformation"
            )
        return expert_regrets.settle(regrets, weights, losses, active)


class LossTableState(NamedTuple):
    row: jax.Array  # [] int32, of the next round
    regrets: Regrets


@flax.struct.dataclass
class LossTable(Experts):
    """An oblivious adversary: expert k loses table[t mod R, k] in round t = 0, 1, ..., whatever was
    played before.

    With `awake` a round shows who is (`GroupContext`). For metrics see `Experts`.

    Raises:
      ValueError: a table that is not [R, K] numbers in [0, 1]; `awake` of another shape, or with a
        row in which everybody sleeps; a number of switches that is not whole.
    """

    table: Any  # [R, K]
    awake: Any = None  # [R, K] bool
    num_switches: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        _check_switches(self)
        table, active = concrete(self.table), concrete(self.awake)
        if table is None or table.ndim > 2:
            return  # traced, or stacked: checked before
        _check_losses("LossTable", table, self.table)
        object.__setattr__(self, "table", table.astype(np.float32, copy=False))
        if active is not None:
            _check_awake(active, table)
            object.__setattr__(self, "awake", active.astype(bool, copy=False))

    @property
    def num_arms(self) -> int:
        return np.shape(self.table)[-1]

    def init(self, key: Key) -> LossTableState:
        return LossTableState(
            jnp.int32(0), expert_regrets.nothing(self.num_arms, self.num_switches)
        )

    def noise(self, key: Key, num_rounds: int) -> tuple:
        return ()

    def observe(self, state, noise) -> Any:
        return () if self.awake is None else GroupContext((), jnp.asarray(self.awake)[state.row])

    def step(self, state, weights, noise):
        losses = jnp.asarray(self.table)[state.row]
        active = None if self.awake is None else jnp.asarray(self.awake)[state.row]
        regrets, metrics = self._settle(state.regrets, weights, losses, active)
        row = jnp.where(state.row == np.shape(self.table)[0] - 1, 0, state.row + 1)
        return LossTableState(row, regrets), LinearLoss(losses), metrics

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        return expert_regrets.report(state.regrets)


@flax.struct.dataclass
class StochasticExperts(Experts):
    """Expert k loses 1 with probability means[k], else 0: every round, every expert independently.

    For metrics see `Experts`: regret is that on the losses as they fell.

    Raises:
      ValueError: means that are not a non-empty list of numbers in [0, 1]; a number of switches
        that is not whole.
    """

    means: Any  # [K]
    num_switches: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        _check_switches(self)
        means = concrete(self.means)
        if means is None or means.ndim > 1:
            return  # traced, or stacked: checked before
        if means.dtype.kind not in "fiub" or means.ndim != 1 or not means.size:
            raise ValueError(f"StochasticExperts: means are [K] numbers, got {self.means!r}")
        if len(bad := np.flatnonzero(~((means >= 0) & (means <= 1)))):
            raise ValueError(
                f"StochasticExperts: means are probabilities, in [0, 1]: got means[{bad[0]}] = "
                f"{means[bad[0]]}"
            )
        object.__setattr__(self, "means", means.astype(np.float32))

    @property
    def num_arms(self) -> int:
        return np.shape(self.means)[-1]

    def init(self, key: Key) -> Regrets:
        return expert_regrets.nothing(self.num_arms, self.num_switches)

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        return tapes.uniform(key, (num_rounds, self.num_arms))

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, weights, noise):
        losses = (noise < jnp.asarray(self.means)).astype(jnp.float32)
        regrets, metrics = self._settle(state, weights, losses, None)
        return regrets, LinearLoss(losses), metrics

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        return expert_regrets.report(state)


def _check_switches(env: Any) -> None:
    if env.num_switches is not None:
        object.__setattr__(env, "num_switches", whole("num_switches", env.num_switches, 0))


def _check_losses(name: str, given: np.ndarray, table: Any) -> None:
    if given.dtype.kind not in "fiub" or given.ndim != 2 or not given.size:
        raise ValueError(
            f"{name} takes a table of losses of shape [rounds, K], at least one of each: got "
            f"shape {list(given.shape)}, {table!r}"
        )
    bad = np.argwhere(~((given >= 0) & (given <= 1)))
    if len(bad):
        row, expert = bad[0].tolist()
        raise ValueError(
            f"losses of a {name} lie in [0, 1]: got table[{row}, {expert}] = {given[row, expert]}"
        )


def _check_awake(active: np.ndarray, table: np.ndarray) -> None:
    if active.shape != table.shape or active.dtype != bool:
        raise ValueError(
            f"LossTable: awake says True or False for each entry of the table, of shape "
            f"{list(table.shape)}: got {active.dtype} of shape {list(active.shape)}"
        )
    asleep = np.flatnonzero(~active.any(axis=1))
    if len(asleep):
        raise ValueError(
            f"LossTable: somebody is awake in every round, and nobody in row {asleep[0]} of awake"
        )
