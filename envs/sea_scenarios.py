"""Named ways between stochastic and adversarial: i.i.d., corrupted, drifting, switching, ...

The list is that of Sachs et al. (NeurIPS 2022) and Chen et al. (JMLR 2024), see `convex`; neither
has experiments, so shapes and sizes are our own. Where nothing else is said play is in the unit
ball of R^5, losses are quadratic with curvature 1, and centres are a mean plus a point drawn from
the sphere of radius 1/2. In the means below e1, e2 are the first two unit vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.checks import whole
from ..core.domains import Ball
from .convex import SEA
from .sea_hindsight import Kind
from .sea_logistic import LogisticSEA
from .sea_random_order import RandomOrder

BALL = Ball(5)


def iid(
    mean: float = 0.5, spread: float = 0.5, domain: Any = BALL, loss: Kind = "quadratic"
) -> SEA:
    """The same distribution in every round, around mean e1: Sigma_t = 0. Spread 0 repeats one
    loss."""
    return SEA(domain, mean * _axis(domain, 0)[None], spread, loss)


def corrupted(
    horizon: int,
    rounds: int | None = None,
    size: float = 1.0,
    mean: float = 0.5,
    spread: float = 0.5,
    domain: Any = BALL,
    loss: Kind = "quadratic",
) -> SEA:
    """`iid`, with size e2 added to the first rounds: floor(sqrt(horizon)) of them by default. What
    is added has gradients of rounds x size in all, and Sigma_t is not 0 once."""
    rounds = math.isqrt(whole("horizon", horizon)) if rounds is None else whole("rounds", rounds, 0)
    early = (np.arange(horizon) < rounds)[:, None]
    means = mean * _axis(domain, 0) + size * early * _axis(domain, 1)
    return SEA(domain, means, spread, loss)


def random_order(
    points: int = 4000,
    passes: int = 1,
    mean: float = 0.2,
    size: float = 0.8,
    domain: Any = BALL,
    loss: Kind = "quadratic",
    seed: int = 0,
) -> RandomOrder:
    """Fixed points, mean e1 plus a vector of length `size` each, in a new random order each pass.
    Directions are uniform, from NumPy's generator with this seed."""
    directions = np.random.default_rng(seed).standard_normal((points, domain.dimension))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return RandomOrder(domain, mean * _axis(domain, 0) + size * directions, passes, loss)


def drift(
    horizon: int,
    size: float = 0.8,
    spread: float = 0.5,
    turns: float = 1.0,
    domain: Any = BALL,
    loss: Kind = "quadratic",
) -> SEA:
    """A mean that goes round a circle of radius `size` in the plane of e1 and e2."""
    angle = 2 * np.pi * turns * np.arange(whole("horizon", horizon))[:, None] / horizon
    means = np.cos(angle) * _axis(domain, 0) + np.sin(angle) * _axis(domain, 1)
    return SEA(domain, size * means, spread, loss)


def switching(
    horizon: int,
    switches: int = 3,
    size: float = 0.8,
    spread: float = 0.5,
    domain: Any = BALL,
    loss: Kind = "quadratic",
) -> SEA:
    """A mean that is size e1, then -size e1, and so on, in stretches of equal length."""
    rounds = np.arange(whole("horizon", horizon))
    signs = 1 - 2.0 * (rounds * (whole("switches", switches, 0) + 1) // horizon % 2)
    return SEA(domain, size * signs[:, None] * _axis(domain, 0), spread, loss)


def alternating(
    size: float = 1.0, spread: float = 0.0, domain: Any = BALL, loss: Kind = "quadratic"
) -> SEA:
    """The adversary: means take turns between size e1 and -size e1, without noise."""
    return SEA(domain, size * np.outer([1, -1], _axis(domain, 0)), spread, loss)


def mixture(
    dial: float,
    mean: float = 0.5,
    spread: float = 0.5,
    size: float = 1.0,
    domain: Any = BALL,
    loss: Kind = "quadratic",
) -> SEA:
    """From stochastic, dial 0, to adversarial, dial 1: means and spread are those of `iid` times
    1 - dial plus those of `alternating` times dial. So sigma_t = (1 - dial) spread and Sigma_t =
    2 dial size.

    Raises:
      ValueError: a dial outside [0, 1].
    """
    _check_dial(dial)
    base = (1 - dial) * mean * _axis(domain, 0)
    means = base + dial * size * np.outer([1, -1], _axis(domain, 0))
    return SEA(domain, means, (1 - dial) * spread, loss)


def logistic_mixture(
    dial: float, chance: float = 0.7, domain: Any = BALL, scale: float = 1.0
) -> LogisticSEA:
    """The same with labels: +1 with a fixed chance at dial 0; by turns surely +1 and surely -1 at
    dial 1, where only the coordinate is drawn.

    Raises:
      ValueError: a dial outside [0, 1].
    """
    _check_dial(dial)
    chances = (1 - dial) * chance + dial * np.array([1.0, 0.0])
    return LogisticSEA(domain, np.repeat(chances[:, None], domain.dimension, axis=1), scale)


def _axis(domain: Any, index: int) -> np.ndarray:
    """The unit vector of a coordinate, [d].

    Raises:
      ValueError: the domain has no such coordinate.
    """
    if index >= domain.dimension:
        raise ValueError(f"this takes a domain of {index + 1} dimensions at least, got {domain!r}")
    return np.eye(domain.dimension)[index]


def _check_dial(dial: float) -> None:
    if not 0 <= dial <= 1:
        raise ValueError(f"dial goes from 0, stochastic, to 1, adversarial: got {dial}")
