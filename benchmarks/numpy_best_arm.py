"""DP-BAI in NumPy: vectorised over trials for one instance, and trial by trial for any.

Nothing here uses the rest of regrax: a yardstick, and an independent check.
"""

import math
from collections.abc import Sequence

import numpy as np

ARMS, DIMENSION = 30, 2
THETA = np.array([0.045, 0.5])


def paper_errors(
    budget: int, epsilon: float, trials: int, rng: np.random.Generator, block: int = 2000
) -> int:
    """Errors of DP-BAI on the 30-armed instance of its paper, all trials of a block at once.

    Made for this instance, as a careful author would: there is one phase, it pulls arms 1 and 3
    (features (0, 1) and (10, 0)), and the other 28 estimates are combinations of those two.
    """
    pulls = math.ceil((budget - 2) / 2)
    errors = 0
    for first in range(0, trials, block):
        n = min(block, trials - first)
        rewards = rng.random((2, n, pulls), dtype=np.float32)
        means = rewards.mean(axis=2) * np.array([[1.0], [0.9]])  # uniform on [0, 2 mean]
        means += rng.laplace(0, 1 / (epsilon * pulls), (2, n))
        weights = rng.uniform(0, 0.8, (n, ARMS - 3))
        estimates = np.empty((n, ARMS))
        estimates[:, 0], estimates[:, 2] = means
        estimates[:, 1] = 0.9 * means[0]
        estimates[:, 3:] = 0.1 * means[1][:, None] + weights * means[0][:, None]
        errors += int(np.count_nonzero(estimates.argmax(axis=1) != 0))
    return errors


def one_trial(
    features: np.ndarray, means: np.ndarray, budget: int, epsilon: float,
    sizes: Sequence[int], rng: np.random.Generator,
) -> int:  # fmt: skip
    """DP-BAI for any instance with uniform rewards, one trial, written as the paper states it.

    Args:
        sizes: how many arms are active in each phase, then 1. The exact maximal determinant is
        looked for by exchanges that increase it.
    """
    phases = len(sizes) - 1
    left = budget - sum(min(s, features.shape[1] ** 2) for s in sizes[:-1])
    active = np.arange(len(features))
    for p in range(phases):
        vectors = features[active]
        values, basis = np.linalg.svd(vectors, full_matrices=False)[1:]
        rank = int(np.sum(values > 1e-9 * values[0]))
        vectors = vectors @ basis[:rank].T
        if rank > math.sqrt(len(active)):
            pulled, count = np.arange(len(active)), math.ceil(left / (phases * len(active)))
        else:
            pulled, count = _max_det(vectors), math.ceil(left / (phases * rank))
        sums = np.array([2 * means[active[i]] * rng.random(count).sum() for i in pulled])
        estimates = sums / count + rng.laplace(0, 1 / (epsilon * count), len(pulled))
        if len(pulled) < len(active):
            alphas = np.linalg.solve(vectors[pulled].T, vectors.T).T
            estimates = alphas @ estimates
        active = active[np.argsort(-estimates, kind="stable")[: sizes[p + 1]]]
    return int(active[0])


def _max_det(vectors: np.ndarray) -> np.ndarray:
    """Rows whose determinant no exchange of one of them increases."""
    members: list[int] = []
    rest = vectors.astype(float).copy()
    for _ in range(vectors.shape[1]):
        i = int(np.argmax(np.sum(rest**2, axis=1)))
        members.append(i)
        direction = rest[i] / np.linalg.norm(rest[i])
        rest -= np.outer(rest @ direction, direction)
    while True:
        alphas = np.linalg.solve(vectors[members].T, vectors.T).T
        i, j = np.unravel_index(np.argmax(np.abs(alphas)), alphas.shape)
        if abs(alphas[i, j]) <= 1 + 1e-9:
            return np.array(members)
        members[j] = int(i)


def paper_instance(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features [30, 2] and means of one draw of the instance."""
    weights = rng.uniform(0, 0.8, ARMS - 3)
    others = np.stack([np.ones(ARMS - 3), weights], axis=1)
    features = np.concatenate([[[0, 1], [0, 0.9], [10, 0]], others])
    return features, features @ THETA
