"""The stochastically extended adversary with logistic losses of one coordinate at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise
from ..core.domains import Box
from ..core.losses import LogisticLoss, expected
from ..core.protocol import Key, concrete
from . import sea_hindsight as hindsight
from .sea_hindsight import check_rows, given, wide


class LogisticState(NamedTuple):
    """Where in the table play stands, what it has cost, and the labels that fell."""

    row: jax.Array  # [] int32, of the next round
    cycles: jax.Array  # [] int32, times the table was read to its end
    loss: jax.Array  # [] float64, of the points played
    labels: (
        jax.Array
    )  # [2 d] int32, how often coordinates 0, 0, 1, 1, ... had labels -1, +1, -1, ...


class LogisticNoise(NamedTuple):
    coordinate: jax.Array  # [] uniform
    label: jax.Array  # [] uniform


@flax.struct.dataclass
class LogisticSEA:
    """Logistic losses log(1 + exp(-y scale x_j)) with j uniform on the d coordinates and a label y
    that is +1 with probability chances[t mod R, j] in round t = 0, 1, ..., else -1.

    With s the logistic function of scale x_j, E grad f_t has the entries scale (s - p) / d, and

        E |grad f_t - grad F_t|^2 = scale^2 (sum p (1 - p) / d + (1/d - 1/d^2) sum (s - p)^2),

    which is largest where every coordinate is at one of its ends: sigma_t^2 is exact on a box, and
    on a ball or simplex an upper bound, that of the box around it. Sigma_t^2 = scale^2 / d^2
    |p_t - p_(t-1)|^2 at every x. f_t is exp-concave, F_t also strongly convex: `smoothness` and
    `strong_convexity` are those of F_t, on the box around the domain.

    Metrics: `loss` as it fell; `regret` against the best fixed point in hindsight, which is in
    closed form on a box and found by accelerated projected gradients elsewhere;
    `stochastic_variance`, `adversarial_variation` (from t = 2): see `convex`.

    Raises:
      ValueError: chances that are not [R, d] probabilities, a scale that is not positive, a domain
        of another dimension.
    """

    domain: Any
    chances: Any  # [R, d]
    scale: Any = 1.0  # [] of the features

    def __post_init__(self):
        chances, scale = given(self.chances), concrete(self.scale)
        if chances is None or scale is None:
            return  # put together by JAX
        check_rows(self, "chances", chances)
        if not np.all((chances >= 0) & (chances <= 1)):
            raise ValueError(f"LogisticSEA: chances lie in [0, 1], got {self.chances!r}")
        if not np.all(np.isfinite(scale) & (scale > 0)):
            raise ValueError(f"LogisticSEA: scale is positive, got {self.scale}")
        if isinstance(self.chances, list | np.ndarray):
            object.__setattr__(self, "chances", chances.astype(np.float32))

    @property
    def dimension(self) -> int:
        return np.shape(self.chances)[-1]

    @property
    def gradient_bound(self) -> np.float32:
        """The largest gradient that can fall, at any point of the domain."""
        least = self._margins()
        return np.float32(self.scale * np.max(_logistic(-least)))

    @property
    def exp_concavity(self) -> np.float32:
        """alpha with exp(-alpha f_t) concave: exp(m) for the least margin m that can fall, as
        f'' = exp(m) f'^2 there."""
        return np.float32(np.exp(np.min(self._margins())))

    @property
    def smoothness(self) -> np.float32:
        """Of F_t, whose Hessian is diagonal: largest nearest to 0."""
        low, high = self._ends()
        return np.float32(np.max(self._curvature(np.clip(0, low, high))))

    @property
    def strong_convexity(self) -> np.float32:
        """Of F_t: least furthest from 0."""
        return np.float32(min(np.min(self._curvature(end)) for end in self._ends()))

    @property
    def first_variation(self) -> np.float32:
        """max_x |grad F_1(x)|^2, on the box around the domain."""
        first = np.asarray(self.chances, np.float64)[0]
        far = np.max([(_logistic(end) - first) ** 2 for end in self._ends()], axis=0)
        return np.float32(self.scale**2 / self.dimension**2 * np.sum(far))

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Of scale x, [d] each."""
        low, high = (np.asarray(end, np.float64) for end in hindsight.corners(self.domain))
        return self.scale * low, self.scale * high

    def _curvature(self, margin: np.ndarray) -> np.ndarray:
        return self.scale**2 / self.dimension * _logistic(margin) * _logistic(-margin)

    def _margins(self) -> np.ndarray:
        """The least y scale x_j for every coordinate and label that can fall."""
        chances, (low, high) = np.asarray(self.chances), self._ends()
        up, down = np.any(chances > 0, axis=0), np.any(chances < 1, axis=0)
        return np.concatenate([low[up], -high[down]])

    def init(self, key: Key) -> LogisticState:
        labels = jnp.zeros(2 * self.dimension, jnp.int32)
        with jax.enable_x64(True):
            return LogisticState(jnp.int32(0), jnp.int32(0), jnp.zeros((), jnp.float64), labels)

    def noise(self, key: Key, num_rounds: int) -> LogisticNoise:
        return LogisticNoise(*map(noise.to_uniform, noise.pairs(key, (num_rounds,))))

    def observe(self, state, noise) -> tuple:
        return ()

    def step(self, state, action, noise):
        dimension, rows = self.dimension, np.shape(self.chances)[0]
        coordinate = (noise.coordinate * dimension).astype(jnp.int32)
        coordinate = jnp.minimum(coordinate, dimension - 1)
        chance = jnp.ravel(self.chances)[state.row * dimension + coordinate]
        positive = noise.label < chance
        scale = jnp.asarray(self.scale, jnp.float32)
        features = jnp.where(jnp.arange(dimension) == coordinate, scale, 0)
        revealed = LogisticLoss(features, jnp.where(positive, 1, -1).astype(jnp.float32))
        with jax.enable_x64(True):
            exact, played = wide((revealed, action))
            paid = expected(exact, played)
            loss, paid = state.loss + paid, paid.astype(jnp.float32)
        last = state.row == rows - 1
        state = LogisticState(
            jnp.where(last, 0, state.row + 1),
            state.cycles + last,
            loss,
            state.labels.at[2 * coordinate + positive].add(1),
        )
        return state, revealed, {"loss": paid}

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        row, cycles = state.row, state.cycles
        with jax.enable_x64(True):
            domain, chances, scale = wide((self.domain, self.chances, self.scale))
            labels = state.labels.reshape(self.dimension, 2).astype(jnp.float64)
            unit = scale**2 / self.dimension**2
            turned = jnp.sum((chances - jnp.roll(chances, 1, axis=0)) ** 2, axis=1)
            ends = [jax.nn.sigmoid(scale * end) for end in hindsight.corners(domain)]
            far = jnp.maximum((ends[0] - chances) ** 2, (ends[1] - chances) ** 2)
            random = self.dimension * chances * (1 - chances) + (self.dimension - 1) * far
            metrics = {
                "regret": state.loss - least_logistic(domain, labels, scale),
                "stochastic_variance": unit
                * hindsight.so_far(jnp.sum(random, axis=1), row, cycles),
                "adversarial_variation": unit * hindsight.steps(turned, row, cycles),
            }
            return hindsight.narrow(metrics)


def least_logistic(domain: Any, labels: jax.Array, scale: Any) -> jax.Array:
    """The least that one point of the domain could have paid, where coordinate j had the label -1
    labels[j, 0] times and +1 labels[j, 1] times; float64."""
    negative, positive = labels[:, 0], labels[:, 1]

    def paid(point):
        margin = scale * point
        return jnp.sum(positive * jax.nn.softplus(-margin) + negative * jax.nn.softplus(margin))

    if isinstance(domain, Box):
        both = jnp.where(negative + positive > 0, labels.T, 1)
        return paid(domain.project((jnp.log(both[1]) - jnp.log(both[0])) / scale))
    return paid(_descend(domain, labels, scale))


_MOST, _ENOUGH = 100_000, 1e-12  # steps; and how short they are in the end, against the domain


def _descend(domain: Any, labels: jax.Array, scale: Any) -> jax.Array:
    """The best point by accelerated projected gradients: Nesterov's momentum, started afresh when
    it points uphill (O'Donoghue and Candes, "Adaptive restart for accelerated gradient schemes",
    Foundations of Computational Mathematics 15, 2015)."""
    seen = jnp.sum(labels, axis=1)
    rate = 4 / (scale * jnp.maximum(jnp.max(seen), 1))  # scale over the smoothness

    def step(loop):
        count, point, ahead, momentum, _ = loop
        slope = seen * jax.nn.sigmoid(scale * ahead) - labels[:, 1]
        new = domain.project(ahead - rate * slope)
        moved = new - point
        uphill = jnp.sum((ahead - new) * moved) > 0
        momentum = jnp.where(uphill, 1, momentum)
        faster = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        share = jnp.where(uphill, 0, (momentum - 1) / faster)
        away = jnp.sqrt(jnp.sum((new - ahead) ** 2))
        return count + 1, new, new + share * moved, faster, away

    def going(loop):
        return (loop[0] < _MOST) & (loop[-1] > _ENOUGH * domain.diameter)

    point = domain.start().astype(jnp.float64)
    one = jnp.ones((), jnp.float64)
    start = jnp.int32(0), point, point, one, domain.diameter.astype(jnp.float64)
    return jax.lax.while_loop(going, step, start)[1]


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
