"""Optimistic mirror descent on noisy quadratic losses in the unit ball, in NumPy over seeds.

Round by round, every seed at once, noise drawn a hundred rounds ahead. Nothing here uses the rest
of regrax: it is a yardstick, and an independent check.
"""

import numpy as np

_BLOCK = 100


def simulate(
    seeds: int, rounds: int, dimension: int, mean: float, spread: float, root_seed: int = 0
) -> np.ndarray:
    """Regret [seeds] against the best fixed point in hindsight of losses 1/2 |x - z_t|^2, z_t =
    mean e1 + spread e_t with e_t on the sphere; steps D / sqrt(10 D^2 + 4 G^2 + V), D = 2."""
    rng = np.random.Generator(np.random.SFC64(root_seed))
    bound = 1 + mean + spread  # the largest gradient
    inner, last = np.zeros((seeds, dimension)), np.zeros((seeds, dimension))
    variation, paid, squares = np.zeros(seeds), np.zeros(seeds), np.zeros(seeds)
    total = np.zeros((seeds, dimension))
    for first in range(0, rounds, _BLOCK):
        size = min(_BLOCK, rounds - first)
        noise = rng.standard_normal((size, seeds, dimension))
        noise *= spread / np.sqrt(np.einsum("tsd,tsd->ts", noise, noise))[..., None]
        noise[..., 0] += mean
        for z in noise:
            step = (2 / np.sqrt(40 + 4 * bound**2 + variation))[:, None]
            x = _into_ball(inner - step * last)
            gradient = x - z
            paid += 0.5 * np.einsum("sd,sd->s", gradient, gradient)
            total += z
            squares += np.einsum("sd,sd->s", z, z)
            change = gradient - last
            variation += np.einsum("sd,sd->s", change, change)
            inner = _into_ball(inner - step * gradient)
            last = gradient
    best = _into_ball(total / rounds)
    hindsight = 0.5 * (
        squares
        - 2 * np.einsum("sd,sd->s", best, total)
        + rounds * np.einsum("sd,sd->s", best, best)
    )
    return paid - hindsight


def _into_ball(points: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("sd,sd->s", points, points))
    return points / np.maximum(length, 1.0)[:, None]
