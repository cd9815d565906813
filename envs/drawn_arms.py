"""Problems of best-arm identification that every seed draws for itself, each with its source.

"From memory" marks what was written down without the paper at hand.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.noise import argmax, normal, stream, uniform
from ..core.protocol import Key, concrete
from .best_arm import Arms
from .rewards import Law

DP_BAI_FEATURES = np.array([[0, 1], [0, 0.9], [10, 0]])  # of the first three arms
DP_BAI_THETA = np.array([0.045, 0.5])


@flax.struct.dataclass
class ShuffledArms:
    """`arms` in an order that each seed draws.

    Where rewards are coins, means tie often, and learners break ties by index: Sequential Halving
    errs in 26 % of the runs of `audibert_2010(1)` with the best arm first, in 42 % with it last.
    Metrics are those of the arms as they are shown.

    Raises:
      ValueError: something other than `Arms`.
    """

    arms: Arms

    def __post_init__(self):
        if dataclasses.is_dataclass(self.arms) and not isinstance(self.arms, Arms):
            raise ValueError(f"ShuffledArms puts Arms in another order: got {self.arms!r}")

    @property
    def num_arms(self) -> int:
        return self.arms.num_arms

    @property
    def dimension(self) -> int | None:
        return self.arms.dimension

    @property
    def law(self) -> Law:
        return self.arms.law

    @property
    def scale(self) -> Any:
        return self.arms.scale

    def draw(self, key: Key) -> tuple[Any, jax.Array]:
        index = jnp.arange(self.num_arms)
        u = uniform(key, (self.num_arms,))
        # Ranks of uniforms are a random order, ties by index; every pair, which beats a sort.
        ahead = (u[:, None] < u) | ((u[:, None] == u) & (index[:, None] < index))
        order = jnp.sum(ahead, axis=0, dtype=jnp.int32)
        features, means = self.arms.draw(key)
        return jax.tree.map(lambda x: jnp.asarray(x)[order], (features, means))


@flax.struct.dataclass
class DPBAIPaper:
    """30 arms in two dimensions: features (0, 1), (0, 0.9), (10, 0), and (1, w_i) with w_i uniform
    on (0, 0.8), drawn by each seed; theta = (0.045, 0.5), rewards uniform on [0, 2 mean].

    Means are 0.5, 0.45, 0.45 and 0.045 + w_i / 2. Chen et al., "Fixed-budget differentially private
    best arm identification", ICLR 2024. Reconstruction: from memory, then confirmed by the curves
    of the paper, the range of w_i only weakly. Budgets there are 50, 100, ..., 500.
    """

    law: ClassVar[Law] = "uniform"
    scale: ClassVar[float] = 1.0
    num_arms: ClassVar[int] = 30
    dimension: ClassVar[int] = 2

    def draw(self, key: Key) -> tuple[jax.Array, jax.Array]:
        w = 0.8 * uniform(key, (27,))
        features = jnp.concatenate(
            [jnp.asarray(DP_BAI_FEATURES, jnp.float32), jnp.stack([jnp.ones(27), w], axis=1)]
        )
        first = np.float32(DP_BAI_FEATURES @ DP_BAI_THETA)
        return features, jnp.concatenate([jnp.asarray(first), np.float32(0.045) + 0.5 * w])


@flax.struct.dataclass
class YangTanOne:
    """K arms on the unit circle, theta = (1, 0), normal noise of variance 1.

    The first arm, at angle 0, is the best; the last is at 3 pi / 4, the others at pi / 4 + phi_i
    with phi_i normal of standard deviation `spread`, drawn by each seed. Yang and Tan, "Minimax
    optimal fixed-budget best arm identification in linear bandits", NeurIPS 2022, first
    experiment, by way of its poster and code. Budgets there are 25 and 50.

    Raises:
      ValueError: fewer than three arms, or a spread below zero.
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    spread: Any = 0.09
    law: ClassVar[Law] = "gaussian"
    scale: ClassVar[float] = 1.0
    dimension: ClassVar[int] = 2

    def __post_init__(self):
        spread = concrete(self.spread)
        if self.num_arms < 3 or spread is not None and not np.all(spread >= 0):
            raise ValueError(
                f"YangTanOne takes three arms or more and a spread of zero or more: got "
                f"num_arms={self.num_arms}, spread={self.spread}"
            )

    def draw(self, key: Key) -> tuple[jax.Array, jax.Array]:
        angles = np.float32(math.pi / 4) + self.spread * normal(key, (self.num_arms - 2,))
        first, last = np.zeros(1, np.float32), np.full(1, 3 * math.pi / 4, np.float32)
        angles = jnp.concatenate([first, angles, last])
        features = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
        return features, features[:, 0]


@flax.struct.dataclass
class YangTanTwo:
    """K arms in random directions, drawn by each seed; theta is next to the closest two of them.

    theta = x + mixture (y - x), where x, y is the pair with the largest inner product: x is the
    best arm, if only just (means are float32: gaps below 1e-7 are ties). Normal noise of standard
    deviation `scale`. Yang and Tan, "Minimax optimal fixed-budget best arm identification in linear
    bandits", NeurIPS 2022, second experiment, by way of its code: K = 2^d, T = 2 K (whether that is
    the whole budget is open).

    Args:
      cube: directions of points uniform in the cube [-1, 1]^d, as in that code, rather than uniform
        on the sphere.

    Raises:
      ValueError: fewer than two arms or dimensions, a mixture outside (0, 1/2), a scale below zero.
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    dimension: int = flax.struct.field(pytree_node=False)
    mixture: Any = 0.01
    scale: Any = 1.0
    cube: bool = flax.struct.field(pytree_node=False, default=False)
    law: ClassVar[Law] = "gaussian"

    def __post_init__(self):
        mixture, scale = concrete(self.mixture), concrete(self.scale)
        fits = mixture is None or np.all((mixture > 0) & (mixture < 0.5))
        fits &= scale is None or bool(np.all(scale >= 0))
        if self.num_arms < 2 or self.dimension < 2 or not fits:
            raise ValueError(
                f"YangTanTwo takes two arms and dimensions or more, a mixture in (0, 1/2) and a "
                f"scale of zero or more: got {self!r}"
            )

    def draw(self, key: Key) -> tuple[jax.Array, jax.Array]:
        shape = self.num_arms, self.dimension
        x = 2 * uniform(key, shape) - 1 if self.cube else normal(key, shape)
        x = x / jnp.sqrt(jnp.sum(x * x, axis=1, keepdims=True))
        product = jnp.sum(x[:, None] * x, axis=-1)
        product = jnp.where(jnp.tri(self.num_arms, k=-1, dtype=bool).T, product, -jnp.inf)
        pair = argmax(product.reshape(-1))
        first, second = x[pair // self.num_arms], x[pair % self.num_arms]
        theta = first + self.mixture * (second - first)
        return x, jnp.sum(x * theta, axis=-1)


@flax.struct.dataclass
class LogisticArms:
    """K Bernoulli arms of mean 1 / (1 + exp(-<a_i, theta>)), drawn by each seed: features uniform
    on (-1/2, 1/2)^d, theta normal with standard deviation 3 / d.

    Azizi, Kveton and Ghavamzadeh, "Fixed-budget best-arm identification in structured bandits",
    IJCAI 2022, by way of its code.

    Raises:
      ValueError: fewer than two arms, or no dimension.
    """

    num_arms: int = flax.struct.field(pytree_node=False)
    dimension: int = flax.struct.field(pytree_node=False)
    law: ClassVar[Law] = "bernoulli"
    scale: ClassVar[float] = 1.0

    def __post_init__(self):
        if self.num_arms < 2 or self.dimension < 1:
            raise ValueError(f"LogisticArms takes two arms or more in a dimension: got {self!r}")

    def draw(self, key: Key) -> tuple[jax.Array, jax.Array]:
        shape = self.num_arms, self.dimension
        features = uniform(stream(key, "features"), shape) - np.float32(0.5)
        theta = np.float32(3 / self.dimension) * normal(stream(key, "theta"), (self.dimension,))
        return features, jax.nn.sigmoid(jnp.sum(features * theta, axis=-1))
