"""Numbers about softmax programs as environments: a learner is a program, a seed a measurement.

They are recipes (`core.tables`): `run` has their tables made, and keeps them in the store. Times
that are in the store were measured on the machine that its provenance names.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.kernels.softmax import softmax
from ..core.learners.tallying import Always
from ..core.progress import Progress, bar
from ..core.stopwatch import Timed, once
from ..core.tables import Table
from . import two_pass_programs as programs

INSIDE, OUTSIDE = "softmax(x, scale=c)", "jax.nn.softmax(c x)"
FACTOR = 0.1 / 3  # no power of two


def players(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: Always(i) for i, name in enumerate(names)}


@flax.struct.dataclass
class Measured:
    """Metrics [rows, programs] that were measured beforehand, by the index of the program.

    keys: words of the key from which the seed of each row starts [rows, 2]; without them every seed
    has row 0.
    """

    values: Any  # name -> [rows, programs]
    keys: Any = None

    @property
    def num_arms(self) -> int:
        return np.shape(next(iter(self.values.values())))[-1]

    def init(self, key):
        if self.keys is None:
            return jnp.int32(0)
        return jnp.argmax(jnp.all(jnp.asarray(self.keys) == jax.random.key_data(key), axis=-1))

    def noise(self, key, num_rounds):
        return ()

    def observe(self, state, noise):
        return ()

    def step(self, state, action, noise):
        found = {name: jnp.asarray(a)[state, action] for name, a in self.values.items()}
        return state, (), found

    def evaluate(self, state, recommendation):
        return {}


class _Recipe:
    """What the recipes share."""

    deterministic = False

    def seeds_together(self, horizon: int) -> int:
        return 1 << 10

    def with_table(self, table: Table, keys: np.ndarray | None) -> Measured:
        return Measured(dict(table), keys)

    def init(self, key):
        raise TypeError(f"{type(self).__name__} is a recipe: simulate and run fill it in")

    noise = step = init


@flax.struct.dataclass
class Traffic(_Recipe):
    """`traffic`: entries moved over entries of the vector, the same for every seed."""

    entries: int = flax.struct.field(pytree_node=False)

    deterministic = True
    num_arms = len(programs.NAMES)

    def tabulate(
        self, horizon: int, seeds: np.ndarray, root_seed: int, progress: Progress = None
    ) -> Table:
        moved = programs.traffic(self.entries)
        return {"traffic": np.array([list(moved.values())], np.float32)}


@flax.struct.dataclass
class Clock(_Recipe):
    """`nanoseconds` an entry. A seed is a round in which every program runs once, in an order of
    its own, on a vector of normal entries; `donated` ones are worked on in place."""

    entries: int = flax.struct.field(pytree_node=False)
    donated: bool = flax.struct.field(pytree_node=False)

    num_arms = len(programs.NAMES)

    def tabulate(
        self, horizon: int, seeds: np.ndarray, root_seed: int, progress: Progress = None
    ) -> Table:
        rng = np.random.default_rng(root_seed)
        x = jnp.asarray(rng.standard_normal(self.entries, np.float32))
        give = (lambda: (x + 0,)) if self.donated else (lambda: (x,))
        donate = (0,) if self.donated else ()
        timed = [
            Timed(jax.jit(program, donate_argnums=donate), give)
            for program in programs.PROGRAMS.values()
        ]
        for program in timed:
            once(program)
        found = np.zeros((len(seeds), len(timed)), np.float32)
        title = f"{self.entries:,} entries: {len(seeds)} rounds"
        with bar(progress, found.size, title, "calls") as update:
            for row, seed in enumerate(seeds):
                for i in np.random.default_rng([root_seed, int(seed)]).permutation(len(timed)):
                    found[row, i] = 1e9 * once(timed[i]) / self.entries
                    update(1)
        return {"nanoseconds": found}


@flax.struct.dataclass
class Errors(_Recipe):
    """`error`: the largest relative error of a share above 1e-30, at most 1; `failed`: 1 where a
    share is not finite. Entries are uniform in [-spread, spread], the largest one there twice; a
    seed is a draw.

    `scaled`: of the softmax of c x, the factor inside our softmax or outside JAX's, compiled.
    """

    entries: int = flax.struct.field(pytree_node=False)
    spread: float = flax.struct.field(pytree_node=False)
    scaled: bool = flax.struct.field(pytree_node=False, default=False)

    @property
    def num_arms(self) -> int:
        return len(_SCALED if self.scaled else programs.NAMES)

    def tabulate(
        self, horizon: int, seeds: np.ndarray, root_seed: int, progress: Progress = None
    ) -> Table:
        every = _SCALED if self.scaled else programs.PROGRAMS
        compiled = [jax.jit(program) for program in every.values()]
        shape = len(seeds), len(compiled)
        found = {"error": np.ones(shape, np.float32), "failed": np.zeros(shape, np.float32)}
        for row, seed in enumerate(seeds):
            rng = np.random.default_rng([root_seed, int(seed)])
            x = rng.uniform(-self.spread, self.spread, self.entries).astype(np.float32)
            x[1] = x.max()
            expected = exact(x, FACTOR if self.scaled else 1.0)
            for i, program in enumerate(compiled):
                shares = np.asarray(program(x), np.float64)
                found["failed"][row, i] = not np.all(np.isfinite(shares))
                if not found["failed"][row, i]:
                    found["error"][row, i] = min(1.0, relative_error(shares, expected))
        return found


_SCALED = {
    INSIDE: partial(softmax, scale=np.float32(FACTOR)),
    OUTSIDE: lambda x: jax.nn.softmax(np.float32(FACTOR) * x),
}
SCALED = tuple(_SCALED)


def exact(x: np.ndarray, c: float) -> np.ndarray:
    """The softmax of c x in float64, with c as float32 has it."""
    gaps = np.float64(np.float32(c)) * (x.astype(np.float64) - x.max())
    weights = np.exp(gaps)
    return weights / weights.sum()


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    known = expected > 1e-30
    return float(np.max(np.abs(found[known] / expected[known] - 1)))
