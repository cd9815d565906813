"""The stochastically extended adversary: distributions that an adversary chooses round by round.

In round t it picks a distribution of losses f_t; F_t is their mean. How random and how adversarial
it is are two numbers:

    sigma_t^2 = max_x E |grad f_t(x) - grad F_t(x)|^2        (`stochastic_variance`, summed)
    Sigma_t^2 = max_x |grad F_t(x) - grad F_(t-1)(x)|^2      (`adversarial_variation`, summed)

Sachs, Hadiji, van Erven and Guzman, "Between stochastic and adversarial online convex optimization:
improved regret bounds via smoothness", NeurIPS 2022; Chen, Zhang, Tu, Zhao and Zhang, "Optimistic
online mirror descent for bridging stochastic and adversarial online convex optimization", JMLR 25,
2024. Both are exact here. Sachs et al. sum Sigma_t^2 from t = 1 with F_0 = 0; the theorems of Chen
et al. need it from t = 2 only, and so does the metric: `first_variation` is what t = 1 would add.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise
from ..core.losses import expected
from ..core.protocol import Key, concrete
from . import sea_hindsight as hindsight
from .sea_hindsight import CentredLosses, Kind, Sums, check_rows, given, wide


class SEAState(NamedTuple):
    """Where in the table play stands, and what it has cost."""

    row: jax.Array  # [] int32, of the next round
    cycles: jax.Array  # [] int32, times the table was read to its end
    sums: Sums
    gap: jax.Array  # [] float64: sum of F_t(x_t), less what the spread adds to all points alike


@flax.struct.dataclass
class SEA(CentredLosses):
    """Losses around means that move: z_t = means[t mod R] + spread[t mod R] e_t in round t = 0, 1,
    ..., with e_t uniform on the unit sphere.

    Quadratic losses are curvature / 2 |x - z_t|^2, linear ones <z_t, x>. So sigma_t^2 is
    (curvature spread_t)^2 and Sigma_t^2 is (curvature |m_t - m_(t-1)|)^2, without the curvature
    where losses are linear, at every point x.

    Metrics: `loss` as it fell; `regret` against the best fixed point in hindsight;
    `expected_regret`, the sum of F_t(x_t) less that of the best fixed point for F_1 + ... + F_T;
    `dynamic_regret`, less that of the best point u_t of every F_t, whose `path_length` is the sum
    of |u_t - u_(t-1)|; `stochastic_variance` and `adversarial_variation`, see the module.

    Raises:
      ValueError: means that are not [R, d] numbers, a spread that is negative or not one number or
        one a row, a curvature that is not positive, another loss, a domain of another dimension.
    """

    domain: Any
    means: Any  # [R, d]
    spread: Any = 0.5  # [] or [R]
    loss: Kind = flax.struct.field(pytree_node=False, default="quadratic")
    curvature: Any = 1.0  # [] of quadratic losses

    def __post_init__(self):
        self.check()
        means, spread = given(self.means), concrete(self.spread)
        if means is None or spread is None:
            return  # put together by JAX
        check_rows(self, "means", means)
        rows = means.shape[:-1]
        if spread.shape not in ((), rows) or not np.all(np.isfinite(spread) & (spread >= 0)):
            raise ValueError(
                f"SEA: spread is one radius for all rounds or one for each of the {rows[-1]} rows "
                f"of means, zero or more, got {self.spread!r}"
            )
        if isinstance(self.means, list | np.ndarray):
            object.__setattr__(self, "means", means.astype(np.float32))
            spread = np.broadcast_to(spread, rows).astype(np.float32)
            object.__setattr__(self, "spread", spread)

    @property
    def dimension(self) -> int:
        return np.shape(self.means)[-1]

    @property
    def gradient_bound(self) -> np.float32:
        """The largest gradient that can fall, at any point of the domain."""
        means, spread = np.asarray(self.means, np.float64), np.asarray(self.spread, np.float64)
        if self.loss == "linear":
            return np.float32(np.max(np.linalg.norm(means, axis=-1) + spread))
        furthest = np.max(hindsight.furthest(self.domain, means) + spread)
        return np.float32(self.curvature * furthest)

    @property
    def first_variation(self) -> np.float32:
        """max_x |grad F_1(x)|^2."""
        first = np.asarray(self.means, np.float64)[0]
        if self.loss == "linear":
            return np.float32(np.sum(first**2))
        return np.float32((self.curvature * hindsight.furthest(self.domain, first)) ** 2)

    def init(self, key: Key) -> SEAState:
        with jax.enable_x64(True):
            gap = jnp.zeros((), jnp.float64)
        return SEAState(jnp.int32(0), jnp.int32(0), hindsight.nothing(self.dimension), gap)

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        """Directions, uniform on the unit sphere, [num_rounds, d]."""
        normal = noise.normal(key, (self.dimension, num_rounds))  # rounds last: vector code
        return (normal * jax.lax.rsqrt(jnp.sum(normal**2, axis=0))).T

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, action, noise):
        mean = jnp.asarray(self.means)[state.row]
        centre = mean + jnp.asarray(self.spread)[state.row] * noise
        revealed = hindsight.loss_of(self.loss, centre, self.curvature)
        with jax.enable_x64(True):
            played, at, meant, curvature = wide((action, centre, mean, self.curvature))
            paid = expected(hindsight.loss_of(self.loss, at, curvature), played)
            gap = state.gap + expected(hindsight.loss_of(self.loss, meant, curvature), played)
            sums = hindsight.add(state.sums, paid, at)
            paid = paid.astype(jnp.float32)
        last = state.row == np.shape(self.means)[0] - 1
        row, cycles = jnp.where(last, 0, state.row + 1), state.cycles + last
        return SEAState(row, cycles, sums, gap), revealed, {"loss": paid}

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        row, cycles, sums, gap = state
        rounds = cycles * np.shape(self.means)[0] + row
        with jax.enable_x64(True):
            means, spread, domain, curvature = wide(
                (self.means, self.spread, self.domain, self.curvature)
            )
            lose = functools.partial(hindsight.loss_of, self.loss, curvature=curvature)
            best = jax.vmap(domain.least if self.loss == "linear" else domain.project)(means)
            lowest = jax.vmap(lambda mean, point: lose(mean).value(point))(means, best)
            moved = jnp.sum((best - jnp.roll(best, 1, axis=0)) ** 2, axis=1)
            turned = jnp.sum((means - jnp.roll(means, 1, axis=0)) ** 2, axis=1)
            squares = jnp.sum(means * means, axis=1)

            def read(table):
                return hindsight.so_far(table, row, cycles)

            def walked(table):
                return hindsight.steps(table, row, cycles)

            meant = Sums(gap, read(means), read(squares))
            problem = self.loss, domain, curvature, rounds
            scale = 1.0 if self.loss == "linear" else curvature**2
            metrics = {
                "regret": hindsight.regret(*problem, sums),
                "expected_regret": hindsight.regret(*problem, meant),
                "dynamic_regret": gap - read(lowest),
                "path_length": walked(jnp.sqrt(moved)),
                "stochastic_variance": scale * read(spread * spread),
                "adversarial_variation": scale * walked(turned),
            }
            return hindsight.narrow(metrics)
