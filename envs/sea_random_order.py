"""Fixed losses in random order: the stochastically extended adversary without replacement."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise
from ..core.losses import expected
from ..core.protocol import Key
from . import sea_hindsight as hindsight
from .sea_hindsight import CentredLosses, Kind, Sums, check_rows, given, wide


class Rest(NamedTuple):
    """Of the points that a pass has left, in float64."""

    total: jax.Array  # [d]
    squares: jax.Array  # []


class RandomOrderState(NamedTuple):
    """The order, how far it is played, and what is left of the pass."""

    order: jax.Array  # [passes * n] int32
    round: jax.Array  # [] int32, rounds played
    left: jax.Array  # [] int32, points that the pass has left
    rest: Rest
    whole: Rest  # at the start of a pass
    mean: jax.Array  # [d] float64, of F_t in the last round
    sums: Sums
    variance: jax.Array  # [] float64, of sigma_t^2, without the curvature
    variation: jax.Array  # [] float64, of Sigma_t^2, without the curvature


@flax.struct.dataclass
class RandomOrder(CentredLosses):
    """Every point once a pass, in an order that each pass of each seed draws afresh.

    Quadratic losses are curvature / 2 |x - z|^2 and linear ones <z, x>, for the points z. Given the
    rounds before, z_t is uniform on the points that the pass has left: sigma_t^2 is their variance
    and Sigma_t^2 the squared step of their mean, times curvature^2 where losses are quadratic. Both
    are followed exactly along every order.

    Metrics: `loss` as it fell; `regret` against the best fixed point in hindsight;
    `stochastic_variance`, `adversarial_variation` (from t = 2): see `convex`.

    Raises:
      ValueError: points that are not [n, d] numbers, passes that are not a whole number from 1, a
        curvature that is not positive, another loss, a domain of another dimension.
    """

    domain: Any
    points: Any  # [n, d]
    passes: int = flax.struct.field(pytree_node=False, default=1)
    loss: Kind = flax.struct.field(pytree_node=False, default="quadratic")
    curvature: Any = 1.0  # [] of quadratic losses

    def __post_init__(self):
        self.check()
        whole = isinstance(self.passes, int | np.integer) and not isinstance(self.passes, bool)
        if not whole or self.passes < 1:
            raise ValueError(f"RandomOrder: passes is a whole number from 1, got {self.passes!r}")
        points = given(self.points)
        if points is None:
            return  # put together by JAX
        check_rows(self, "points", points)
        if isinstance(self.points, list | np.ndarray):
            object.__setattr__(self, "points", points.astype(np.float32))

    @property
    def dimension(self) -> int:
        return np.shape(self.points)[-1]

    @property
    def most_rounds(self) -> int:
        return np.shape(self.points)[-2] * self.passes

    @property
    def gradient_bound(self) -> np.float32:
        """The largest gradient that can fall, at any point of the domain."""
        points = np.asarray(self.points, np.float64)
        if self.loss == "linear":
            return np.float32(np.max(np.linalg.norm(points, axis=-1)))
        return np.float32(self.curvature * np.max(hindsight.furthest(self.domain, points)))

    def init(self, key: Key) -> RandomOrderState:
        number = np.shape(self.points)[0]
        orders = [_order(noise.stream(key, i), number) for i in range(self.passes)]
        with jax.enable_x64(True):
            points = wide(self.points)
            whole = Rest(jnp.sum(points, axis=0), jnp.sum(points * points))
            zero = jnp.zeros((), jnp.float64)
            return RandomOrderState(
                jnp.concatenate(orders),
                jnp.int32(0),
                jnp.int32(number),
                whole,
                whole,
                whole.total,
                hindsight.nothing(self.dimension),
                zero,
                zero,
            )

    def noise(self, key: Key, num_rounds: int) -> tuple:
        return ()

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, action, noise):
        point = jnp.asarray(self.points)[state.order[state.round]]
        last = state.left == 1
        left = jnp.where(last, np.shape(self.points)[0], state.left - 1)
        with jax.enable_x64(True):
            played, at, curvature = wide((action, point, self.curvature))
            paid = expected(hindsight.loss_of(self.loss, at, curvature), played)
            share = 1 / state.left.astype(jnp.float64)
            mean = state.rest.total * share
            # A difference of two squares: of the last point that is left it may fall below 0.
            spread = jnp.maximum(state.rest.squares * share - jnp.sum(mean * mean), 0)
            moved = jnp.where(state.round > 0, jnp.sum((mean - state.mean) ** 2), 0)
            total, squares = state.rest.total - at, state.rest.squares - jnp.sum(at * at)
            state = RandomOrderState(
                state.order,
                state.round + 1,
                left,
                Rest(
                    jnp.where(last, state.whole.total, total),
                    jnp.where(last, state.whole.squares, squares),
                ),
                state.whole,
                mean,
                hindsight.add(state.sums, paid, at),
                state.variance + jnp.where(last, 0, spread),
                state.variation + moved,
            )
            paid = paid.astype(jnp.float32)
        revealed = hindsight.loss_of(self.loss, point, self.curvature)
        return state, revealed, {"loss": paid}

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        with jax.enable_x64(True):
            domain, curvature = wide((self.domain, self.curvature))
            scale = 1.0 if self.loss == "linear" else curvature**2
            problem = self.loss, domain, curvature, state.round
            metrics = {
                "regret": hindsight.regret(*problem, state.sums),
                "stochastic_variance": scale * state.variance,
                "adversarial_variation": scale * state.variation,
            }
            return hindsight.narrow(metrics)


def _order(key: Key, number: int) -> jax.Array:
    """A random order of `number` points: that of two random words each, which do not tie."""
    index = jnp.arange(number, dtype=jnp.int32)
    return jax.lax.sort((*noise.pairs(key, (number,)), index), num_keys=2)[2]
