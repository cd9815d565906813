"""The heat equation by the clock: iterations that were counted times seconds measured here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from ...core import plotting
from ...core.simulate import simulate
from ...envs import pcg
from ...envs.grids import square
from ...envs.heat import coupling
from ..growth import Data
from .heat_runs import LEARNERS, OMEGAS, Run, by_size, checkpoints, looks_of, runs
from .heat_table import beside_cg

HARD = 0.75  # the time at which kappa is largest
SECONDS = 0.3  # that a measurement may take, after one call that compiles
CG, DIRECT = "CG", "direct solver"


def clock(run: Callable[[], Any]) -> float:
    """Seconds of a call: the least of several, as what else the machine does only adds to it."""
    run()
    times: list[float] = []
    while sum(times) < SECONDS:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def solver_seconds(nx: int) -> dict[str, float]:
    """Seconds an iteration of CG ("CG") and of SSOR-PCG ("SSOR-PCG"), one system at a time, and of
    a sparse LU solve of one step ("direct solver"), with the matrix at the largest kappa."""
    import scipy.sparse.linalg as sparse

    grid, rng = square(nx - 1), np.random.default_rng(nx)
    a = np.float64(coupling(nx, HARD))
    b = rng.standard_normal(grid.size)
    found, methods = {}, ((CG, pcg.cg, ()), ("SSOR-PCG", pcg.ssor_pcg, (np.float64(1.5),)))
    with jax.enable_x64(True):
        for name, method, parameter in methods:
            solve = jax.jit(partial(method, grid))
            args = jax.device_put((1 + 4 * a, a, b, *parameter))
            iterations = int(solve(*args)[0])
            found[name] = clock(lambda s=solve, x=args: jax.block_until_ready(s(*x))) / iterations
    matrix = grid.matrix(1 + 4 * a, a).tocsc()
    return found | {DIRECT: clock(lambda: sparse.spsolve(matrix, b))}


def learner_seconds(steps: int) -> dict[str, float]:
    """Seconds a step that learners take beside the solve, from look-ups of invented counts in the
    smallest batch that is simulated: rather too much than too little."""
    rng = np.random.default_rng(0)
    counts = rng.integers(5, 60, (1, steps, len(OMEGAS))).astype(np.int16)
    contexts = rng.uniform(0, 10, (1, steps)).astype(np.float32)
    table = beside_cg(counts, contexts, counts[0, :, 0], np.array([0, 10], np.float32))
    return {
        name: simulate(
            table, learner, steps, 1, checkpoints=checkpoints(steps), progress=False
        ).wall_seconds / steps
        for name, learner in LEARNERS.items()
    }  # fmt: skip


def times(run: Run, solver: Mapping[str, float], learner: Mapping[str, float]) -> dict[str, float]:
    """Seconds of all steps by each method, [method]."""
    each = solver["SSOR-PCG"]
    found = {
        CG: run.cg[-1] * solver[CG],
        "SSOR-PCG, ω = 1": run.at(1.0) * each,
        "SSOR-PCG, best fixed ω": run.fixed[-1].min() * each,
        DIRECT: run.steps * solver[DIRECT],
    }
    for name in LEARNERS:
        found[name] = run.of(name)[-1].mean() * each + run.steps * learner[name]
    return {name: float(seconds) for name, seconds in found.items()}


def plot_clock(data: Data):
    found = runs(data)
    learner = learner_seconds(max(run.steps for run in found))
    rows = [times(run, solver_seconds(run.nx), learner) for run in found]
    drawn = plotting.figure(width=7.2, height=4.4)
    (ax,) = drawn.axes
    unknowns = [(run.nx - 1) ** 2 for run in found]
    for name, look in looks_of(rows[0]).items():
        relative = [row[name] / row[CG] for row in rows]
        ax.plot(unknowns, relative, marker="o", markersize=4, label=name, **look)
    ax.set(xscale="log", yscale="log", ylabel="time / time of CG")
    by_size(ax, found)
    drawn.legend(loc="outside right upper")
    drawn.supxlabel(
        "iterations of the study x seconds measured on this machine when the figure was drawn",
        fontsize=8, color="#555555", x=0.01, ha="left",
    )  # fmt: skip
    return drawn
