"""The table of the heat equation with CG without a preconditioner beside it.

In a file of its own: stored results are kept as long as the code they come from is the same.
"""

from __future__ import annotations

from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np

from ...envs.heat import HeatTable
from ...envs.linear_systems import OMEGAS
from ...envs.solver_table import SolverTable


@flax.struct.dataclass
class BesideCG(SolverTable):
    """Also says what CG without a preconditioner would have taken so far, `cg_iterations`."""

    cg: Any = None  # sums over the rounds before each, int32 [T + 1]

    def evaluate(self, state, recommendation):
        sums = super().evaluate(state, recommendation)
        return sums | {"cg_iterations": jnp.asarray(self.cg)[state.round]}


@flax.struct.dataclass
class HeatBesideCG(HeatTable):
    """The table of the heat equation with the counts of CG, which it has in any case."""

    def with_table(self, table, keys=None):
        found = super().with_table(table, keys)
        return beside_cg(found.counts, found.contexts, table["cg"][0], self.interval)


def beside_cg(counts, contexts, cg, interval) -> BesideCG:
    """From counts [1, T, 20] on the paper's grid, contexts [1, T] and counts of CG [T]."""
    sums = np.concatenate([[0], np.cumsum(cg, dtype=np.int32)]).astype(np.int32)
    return BesideCG(counts, contexts, OMEGAS, range=interval, cg=sums)
