"""Stopping rules of the private top-two learners, as tables worked out on the host.

After j doublings an arm has been pulled 2^j times; its last batch, of w = max(1, 2^(j - 1)) pulls,
is its k-th with k = j + 1. All that a stopping rule asks of two arms depends on their j alone: how
far ahead the better one has to be, [J, J].
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import zeta

_DOUBLINGS = 32  # 2^31 pulls of an arm are over any budget
_ZETA = math.pi**2 / 6  # zeta(2): the chance of error is split over the batches k by 1 / k^2
_SCALE = 0.5  # rewards in [0, 1] are 1/2-sub-Gaussian


class _Terms(NamedTuple):
    weights: np.ndarray  # sum 1 / w
    sampling: np.ndarray  # c
    privacy: np.ndarray  # sum ln(.) / (epsilon w)
    squares: np.ndarray  # sum ln(.)^2 / (epsilon^2 w)


def _terms(num_arms, epsilon, delta):
    times = np.arange(1, _DOUBLINGS + 1)
    inverse = 1 / _sizes()
    split = 2 * _ZETA**2 * np.multiply.outer(times, times) ** 2 / delta
    logs = 2 * np.log(4 - np.log(inverse))
    sampling = 2 * _calibration(np.log((num_arms - 1) * split) / 2) + np.add.outer(logs, logs)
    tails = np.log(2 * num_arms * _ZETA * times**2 / delta) / epsilon
    weights, privacy, squares = (
        np.add.outer(x, x) for x in (inverse, tails * inverse, tails**2 * inverse)
    )
    return _Terms(weights, sampling, privacy, squares)


@lru_cache
def squared(num_arms: int, epsilon: float, delta: float) -> np.ndarray:
    terms = _terms(num_arms, epsilon, delta)
    level = 2 * terms.sampling + terms.squares / _SCALE**2
    return np.sqrt(2 * _SCALE**2 * terms.weights * level).astype(np.float32)


@lru_cache
def short(num_arms: int, epsilon: float, delta: float) -> np.ndarray:
    inverse = 1 / _sizes()
    logs = np.log(1 - np.log(inverse))
    weights, both = np.add.outer(inverse, inverse), np.add.outer(logs, logs)
    level = np.log(1 / delta) + both + weights * (np.log(1 / delta) / epsilon) ** 2
    return np.sqrt(2 * weights * level).astype(np.float32)


@lru_cache
def star(num_arms: int, epsilon: float, delta: float) -> np.ndarray:
    terms = _terms(num_arms, epsilon, delta)
    wide = np.sqrt(2 * _SCALE**2 * terms.weights * terms.sampling) + terms.privacy
    # Either the gap passes AdaP-TT's test, or it is 3 epsilon at least and passes its own, which is
    # never the harder one.
    gaps = np.minimum(squared(num_arms, epsilon, delta), np.maximum(wide, 3 * epsilon))
    return gaps.astype(np.float32)


def _sizes() -> np.ndarray:
    """[J] pulls in the last batch after j doublings: 1, 1, 2, 4, ..."""
    return 2.0 ** np.maximum(np.arange(_DOUBLINGS) - 1, 0)


def _calibration(x: np.ndarray) -> np.ndarray:
    """min over 1/2 < l <= 1 of (2 l - 2 l ln(4 l) + ln zeta(2 l) - ln(1 - l) / 2 + x) / l, on a
    grid, so never too small: Kaufmann and Koolen, "Mixture martingales revisited", JMLR 22, 2021,
    Theorem 9 (about x + ln x)."""
    grid = 1 - 0.5 * np.geomspace(1e-4, 0.999, 400)
    curve = 2 * grid * (1 - np.log(4 * grid)) + np.log(zeta(2 * grid)) - np.log(1 - grid) / 2
    return np.min((curve + x[..., None]) / grid, axis=-1)
