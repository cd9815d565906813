"""Tuning of linear solvers in plain NumPy and SciPy, one system after the other.

Written as the authors' MATLAB program works: every method solves each instance for itself, and
nothing is tabulated or batched. The sweeps call compiled routines only. For SOR on 100 unknowns
these are BLAS's banded triangular solve and symmetric product: a solve with M takes 2.1 us, where
LAPACK's `dtrtrs` on the dense matrix takes 2.4 and SuperLU in natural order 4.9. On the large grids
of the heat equation SuperLU is the fastest, 0.13 ms for 9,801 unknowns against 0.22 (banded BLAS)
and 1.0 (`spsolve_triangular`). Nothing here uses the rest of regrax: it is a yardstick, and an
independent check.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg.blas
import scipy.sparse
from scipy.optimize import lsq_linear
from scipy.sparse.linalg import splu

blas: Any = scipy.linalg.blas

SIDE = 10  # the grid of the SOR experiments is SIDE by SIDE
TOLERANCE, MOST = 1e-8, 10_000
OMEGAS = np.linspace(1, 1.95, 20)
LAWS = {"low": (2.0, 6.0), "high": (0.5, 1.5)}  # c = -0.15 + 0.6 Beta(...)
FIXED = {"low": 1.6, "high": 1.8}  # about the best fixed parameter of each law
INTERVAL = (-0.15, 0.65)  # of shifts, as the learners are told


def adjacency(side: int) -> scipy.sparse.csr_matrix:
    """1 where two points of the side x side grid are neighbours."""
    path = scipy.sparse.diags([1.0, 1.0], offsets=[-1, 1], shape=(side, side))  # pyright: ignore
    return scipy.sparse.csr_matrix(scipy.sparse.kronsum(path, path))


_MATRIX = np.asfortranarray(-adjacency(SIDE).toarray())
_LOWER = np.zeros((SIDE + 1, SIDE * SIDE), order="F")  # row d: the d-th diagonal below the main one
for _d in (1, SIDE):
    _LOWER[_d, : SIDE * SIDE - _d] = np.diag(_MATRIX, -_d)


def sor(shift: float, b: np.ndarray, omega: float) -> int:
    """Sweeps of SOR from zero, in natural order, until |residual| / |b| < 1e-8; float64.

    The system is the unscaled 5-point Laplacian on SIDE x SIDE points plus `shift` times the
    identity. The residual is computed anew after each sweep.
    """
    lower, matrix = _LOWER.copy(order="F"), _MATRIX.copy(order="F")
    lower[0] = (4 + shift) / omega
    np.fill_diagonal(matrix, 4 + shift)
    x, r, norm = np.zeros_like(b), b, blas.dnrm2(b)
    for k in range(1, MOST + 1):
        blas.daxpy(blas.dtbsv(SIDE, lower, r, lower=1), x)
        r = blas.dsymv(-1.0, matrix, x, beta=1.0, y=b)
        if blas.dnrm2(r) / norm < TOLERANCE:
            return k
    return MOST


def instance(law: str, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """A shift, and a normal right-hand side that is drawn again while it is longer than 10."""
    shift = -0.15 + 0.6 * rng.beta(*LAWS[law])
    while True:
        b = rng.standard_normal(SIDE * SIDE)
        if blas.dnrm2(b) <= SIDE:
            return shift, b


def best_omega(shift: float) -> float:
    """The parameter at which the spectral radius of SOR is smallest."""
    beta = 4 * math.cos(math.pi / (SIDE + 1)) / (4 + shift)
    return 1 + (beta / (1 + math.sqrt(1 - beta**2))) ** 2


class Tsallis:
    """Tsallis-INF on scaled counts, power 1/2, rate 2 / sqrt(t)."""

    def __init__(self, rounds: int, rng: np.random.Generator):
        self.rng, self.t, self.scale, self.arm, self.chance = rng, 0, 1.0, 0, 1.0
        self.estimates, self.counts = np.zeros(len(OMEGAS)), np.zeros(rounds)

    def probabilities(self) -> np.ndarray:
        """p_i = 4 / (rate (estimate_i - x))^2 with x such that they add up to one."""
        rate, losses = 2 / math.sqrt(self.t + 1), self.estimates / self.scale
        x = losses.min() - 2 / rate  # right of the root, from where Newton descends to it
        for _ in range(60):
            root = 2 / (rate * (losses - x))
            p = root * root
            excess = p.sum() - 1
            if excess < 1e-12:
                break
            x -= excess / (rate * (p @ root))
        return p / p.sum()

    def predict(self, shift: float) -> float:
        p = self.probabilities()
        self.arm = _draw(p, self.rng)
        self.chance = p[self.arm]
        return OMEGAS[self.arm]

    def update(self, count: int) -> None:
        self.counts[self.t] = count
        self.t += 1
        self.scale = self.counts[: self.t].mean() - 1 or 1.0
        self.estimates[self.arm] += (count - 1) / self.chance


class Binned:
    """One Tsallis-INF for each bin of the shifts: the nearest of five centres."""

    def __init__(self, rounds: int, rng: np.random.Generator, bins: int = 5):
        low, high = INTERVAL
        self.centres = low + (high - low) * (np.arange(bins) + 0.5) / bins
        self.learners, self.bin = [Tsallis(rounds, rng) for _ in range(bins)], 0

    def predict(self, shift: float) -> float:
        self.bin = int(np.argmin(np.abs(self.centres - shift)))
        return self.learners[self.bin].predict(shift)

    def update(self, count: int) -> None:
        self.learners[self.bin].update(count)


class Chebyshev:
    """ChebCB: Chebyshev regression in the shift for every arm, inverse gap weighting.

    The regressions go over the whole history each time, and the buffer of counts begins as zeros,
    so that their smallest is 0 until the last round: both as in the authors' program.
    """

    def __init__(self, rounds: int, rng: np.random.Generator, features: int = 6):
        self.rng, self.m, self.t, self.rate, self.scale = rng, features, 0, 0.0, 0.0
        self.weights = np.zeros((len(OMEGAS), features))
        self.rows = np.zeros((rounds, features))
        self.counts, self.predicted = np.zeros(rounds), np.zeros(rounds)
        self.arms = np.full(rounds, -1)

    def predict(self, shift: float) -> float:
        low, high = INTERVAL
        x = 2 * (shift - low) / (high - low) - 1
        row = self.rows[self.t] = np.cos(np.arange(self.m) * math.acos(min(max(x, -1.0), 1.0)))
        costs = self.weights @ row
        best = int(np.argmin(costs))
        p = 1 / (len(costs) + self.rate * (costs - costs[best]))
        p[best] += 1 - p.sum()
        arm = self.arms[self.t] = _draw(p, self.rng)
        self.predicted[self.t] = costs[arm]
        return OMEGAS[arm]

    def update(self, count: int) -> None:
        self.counts[self.t] = count
        played = self.arms[self.t]
        self.t += 1
        t, m, most = self.t, self.m, self.counts.max()
        spread = most - self.counts.min()
        norm = 2 + 4 * spread / most * (1 + math.log(m))
        renewed, self.scale = self.scale != most * norm, most * norm
        box = np.array([1 / norm, *(2 * spread / self.scale / np.arange(1, m))])
        residual = 0.0
        for arm in range(len(OMEGAS)) if renewed else (played,):
            mine = self.arms[:t] == arm
            if mine.any():
                rows, losses = self.rows[:t][mine], (self.counts[:t][mine] - 1) / self.scale
                fit = np.linalg.lstsq(rows, losses, rcond=None)[0]
                if (np.abs(fit) > box).any():
                    boxed: Any = lsq_linear(rows, losses, (-box, box), method="bvls")
                    fit, residual = boxed.x, 2 * boxed.cost
                self.weights[arm] = fit
        alpha = (math.pi + 2 / math.pi * math.log(2 * m + 1)) / (2 * self.scale * (m + 1)) * spread
        error = np.sum((self.predicted[:t] - self.counts[:t] / self.scale) ** 2)
        self.rate = 2 * t * math.sqrt(len(OMEGAS) * t / (error - residual + 2 * alpha**2 * t))


class Played:
    """One parameter for each shift, and nothing to learn."""

    def __init__(self, choose: Callable[[float], float]):
        self.predict = choose

    def update(self, count: int) -> None:
        pass


class Spent(NamedTuple):
    """What a method needed: iterations of all rounds, and seconds on the clock."""

    iterations: int
    solve: float
    learn: float


def contextual(law: str, rounds: int, seed: int) -> dict[str, Spent]:
    """One trial of the contextual experiment: five methods solve the same `rounds` instances.

    Args:
        law: "low" or "high" variance of the shifts.
        rounds: instances; the learners are made for so many.
        seed: fixes every draw.
    """
    draws, tape = np.random.default_rng(seed).spawn(2)
    players = {
        "fixed": Played(lambda shift: FIXED[law]),
        "Tsallis-INF": Tsallis(rounds, tape),
        "Tsallis-INF-CB": Binned(rounds, tape),
        "ChebCB": Chebyshev(rounds, tape),
        "instance-optimal": Played(best_omega),
    }
    spent = {name: np.zeros(3) for name in players}
    for _ in range(rounds):
        shift, b = instance(law, draws)
        for name, player in players.items():
            start = time.perf_counter()
            omega = player.predict(shift)
            begun = time.perf_counter()
            count = sor(shift, b, omega)
            solved = time.perf_counter()
            player.update(count)
            ended = time.perf_counter()
            spent[name] += count, solved - begun, begun - start + ended - solved
    return {name: Spent(int(n), solve, learn) for name, (n, solve, learn) in spent.items()}


def sor_table(law: str, instances: int, seed: int) -> np.ndarray:
    """Counts of every parameter of the grid on `instances` draws, [instances, 20]."""
    rng = np.random.default_rng(seed)
    drawn = [instance(law, rng) for _ in range(instances)]
    return np.array([[sor(shift, b, omega) for omega in OMEGAS] for shift, b in drawn])


def heat(
    nx: int, steps: Sequence[int], omegas: Iterable[float], carry: float = 1.75
) -> tuple[np.ndarray, float]:
    """Counts of conjugate gradients with SSOR in front, on steps of the heat equation.

    Crank-Nicolson on (nx - 1)^2 points in steps of 1/1000. The solution is carried forward with one
    parameter, off the clock; at each of `steps`, that system is solved with all of `omegas`.

    Returns:
        counts [len(steps), len(omegas)] and the seconds that they took.
    """
    neighbours, dt, counts, seconds = adjacency(nx - 1), 1e-3, [], 0.0
    below, x = scipy.sparse.tril(neighbours).tocsc(), np.arange(1, nx) / nx
    u = _bump(x, 0.5, 0.5, 0.25)
    wanted = set(steps)
    for step in range(max(steps) + 1):
        middle = (step + 0.5) * dt
        wave, turn = math.sin(2 * math.pi * middle), 16 * math.pi * middle
        a = max(0.1 * wave, -10 * wave) * dt / 2 * nx**2
        source = 32 * _bump(x, 0.5 + math.cos(turn) / 4, 0.5 + math.sin(turn) / 4, 0.125)
        b = (1 - 4 * a) * u + a * (neighbours @ u) + dt * source
        if step in wanted:
            start = time.perf_counter()
            counts.append([_ssor_pcg(neighbours, below, a, b, u, omega)[0] for omega in omegas])
            seconds += time.perf_counter() - start
        u = _ssor_pcg(neighbours, below, a, b, u, carry)[1]
    return np.array(counts), seconds


def _ssor_pcg(neighbours, below, a, b, x, omega):
    """Solves ((1 + 4a) I - a neighbours) x = b from x until |residual| <= 1e-8 |b|."""
    diagonal = 1 + 4 * a
    triangle = scipy.sparse.eye(len(b), format="csc") * diagonal - (omega * a) * below
    solve = splu(triangle, permc_spec="NATURAL", diag_pivot_thresh=0).solve
    r = b - diagonal * x + a * (neighbours @ x)
    limit, k, p, rz = TOLERANCE * np.linalg.norm(b), 0, 0.0, 1.0
    while np.linalg.norm(r) > limit and k < MOST:
        z = solve((omega * (2 - omega) * diagonal) * solve(r, "T"))
        before, rz = rz, r @ z
        p = z + (rz / before) * p if k else z
        q = diagonal * p - a * (neighbours @ p)
        step = rz / (p @ q)
        x, r, k = x + step * p, r - step * q, k + 1
    return k, x


def _bump(x, first, second, radius):
    """exp(1 - 1 / (1 - s)) with s the squared distance from the centre over the squared radius."""
    s = ((x[:, None] - first) ** 2 + (x - second) ** 2).ravel() / radius**2
    return np.where(s < 1, np.exp(1 - 1 / np.where(s < 1, 1 - s, 1.0)), 0.0)


def _draw(p, rng):
    return min(int(np.searchsorted(np.cumsum(p), rng.random())), len(p) - 1)
