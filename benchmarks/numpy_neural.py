"""Online NeuFastCB and replayed NeuSquareCB as one would write them in NumPy, round by round.

One seed after the other, float32, gradients by hand. Only the block of the first layer that
belongs to an arm is touched for it: the vectors in R^(K d) are never built. Nothing here uses the
rest of regrax: it is a yardstick, and an independent check.
"""

from collections.abc import Callable

import numpy as np


class Network:
    """One hidden ReLU layer on K blocks of d inputs, weights and offsets uniform on
    +-1 / sqrt(inputs)."""

    def __init__(self, rng: np.random.Generator, arms: int, dimension: int, hidden: int = 100):
        def draw(inputs: int, *shape: int) -> np.ndarray:
            return ((2 * rng.random(shape, np.float32) - 1) / np.sqrt(inputs)).astype(np.float32)

        self.first = draw(arms * dimension, arms, hidden, dimension)
        self.offsets = draw(arms * dimension, hidden)
        self.last = draw(hidden, hidden)
        self.offset = draw(hidden, 1)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Of all arms, [K]."""
        arms, hidden, dimension = self.first.shape
        inside = (self.first.reshape(-1, dimension) @ x).reshape(arms, hidden) + self.offsets
        return np.maximum(inside, 0) @ self.last + self.offset

    def descend(
        self, arm: int, x: np.ndarray, rate: float, slope: Callable[[np.float32], np.float32]
    ) -> np.float32:
        """A step down a loss whose derivative in the output is `slope`; the output before it."""
        inside = np.maximum(self.first[arm] @ x + self.offsets, 0)
        output = inside @ self.last + self.offset[0]
        step = np.float32(rate) * slope(output)
        back = np.where(inside > 0, step * self.last, np.float32(0))
        self.first[arm] -= np.outer(back, x)
        self.offsets -= back
        self.last -= step * inside
        self.offset -= step
        return output


def square_gap(losses: np.ndarray, gamma: float) -> np.ndarray:
    """SquareCB's probabilities of the arms."""
    leader = int(losses.argmin())
    shares = 1 / (len(losses) + gamma * (losses - losses[leader]))
    shares[leader] = 0
    shares[leader] = 1 - shares.sum()
    return shares


def fast_gap(losses: np.ndarray, gamma: float) -> np.ndarray:
    """FastCB's, for losses in (0, 1)."""
    leader = int(losses.argmin())
    least = losses[leader]
    shares = least / (len(losses) * least + gamma * (losses - least))
    shares[leader] = 0
    shares[leader] = 1 - shares.sum()
    return shares


def online_fast(
    features: np.ndarray,
    labels: np.ndarray,
    arms: int,
    seed: int,
    rate: float = 0.3,
    scale: float = 100.0,
) -> int:
    """Mistakes of NeuFastCB, one step a round, on the rows [T, d] in a random order."""
    rng = np.random.default_rng(seed)
    network, mistakes = Network(rng, arms, features.shape[1]), 0
    for t, row in enumerate(rng.permutation(len(labels))):
        x = features[row]
        losses = 1 / (1 + np.exp(-network.outputs(x)))
        arm = _drawn(rng, fast_gap(losses, scale * t**0.5))
        loss = float(arm != labels[row])
        mistakes += int(loss)
        network.descend(arm, x, rate, lambda z, loss=loss: 1 / (1 + np.exp(-z)) - loss)
    return mistakes


def replayed_square(
    features: np.ndarray,
    labels: np.ndarray,
    arms: int,
    seed: int,
    rate: float = 0.1,
    scale: float = 100.0,
) -> int:
    """Mistakes of NeuSquareCB, trained on its history in rounds 0, 10, ..., and from 1,000 on in
    every hundredth."""
    rng = np.random.default_rng(seed)
    network, mistakes = Network(rng, arms, features.shape[1]), 0
    history: list[tuple[int, np.ndarray, float]] = []  # arm, features, loss
    for t, row in enumerate(rng.permutation(len(labels))):
        x = features[row]
        arm = _drawn(rng, square_gap(network.outputs(x), scale * t**0.5))
        loss = float(arm != labels[row])
        mistakes += int(loss)
        history.append((arm, x, loss))
        if t % (10 if t < 1000 else 100) == 0:
            replay(network, history, rng, rate)
    return mistakes


def replay(
    network: Network,
    history: list[tuple[int, np.ndarray, float]],
    rng: np.random.Generator,
    rate: float,
    steps: int = 2000,
    tolerance: float = 1e-3,
) -> int:
    """Steps on single rounds, in one random order pass after pass, on squared errors; their number.

    Ends after `steps` steps, or a pass of mean loss `tolerance` at most.
    """
    order, number = rng.permutation(len(history)), 0
    while True:
        total = 0.0
        for row in order:
            arm, x, y = history[row]
            output = network.descend(arm, x, rate, lambda z, y=y: 2 * (z - y))
            total += float(output - y) ** 2
            number += 1
            if number == steps:
                return number
        if total <= tolerance * len(history):
            return number


def _drawn(rng: np.random.Generator, shares: np.ndarray) -> int:
    return min(int(np.searchsorted(np.cumsum(shares), rng.random(), "right")), len(shares) - 1)
