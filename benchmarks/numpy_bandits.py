"""UCB1, Thompson sampling and Exp3 in careful NumPy, vectorised over seeds.

Each round is a handful of calls on arrays of one number a seed, written in place: float32 state,
arms leading (so that a reduction over arms runs along the seeds), means and inverse roots kept and
written by index instead of recomputed, uniforms drawn in blocks of rounds. Ties go to the lowest
arm. Nothing here uses the rest of regrax: it is a yardstick, and an independent check.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

BLOCK = 64  # rounds of uniforms drawn at once


def simulate(
    algorithm: str, means: Sequence[float], horizon: int, seeds: int, root_seed: int = 0
) -> np.ndarray:
    """Runs `algorithm` ("ucb1", "thompson" or "exp3") and returns how often each arm was pulled.

    Args:
        algorithm: a key of `ALGORITHMS`.
        means: the K Bernoulli means.
        horizon: rounds of every run, at least K for UCB1 to have seen every arm.
        seeds: number of independent runs, simulated side by side.
        root_seed: fixes every draw; one stream serves all runs, so run i depends on `seeds`.

    Returns:
        int64 array [seeds, K]; each row sums to `horizon`.

    Raises:
        ValueError: more than 255 arms (arm numbers are reduced as bytes), or none.
        KeyError: `algorithm` is unknown.
    """
    if not 1 <= len(means) <= 255:
        raise ValueError(f"this program takes 1 to 255 arms, not {len(means)}.")
    generator = np.random.Generator(np.random.SFC64(root_seed))
    return ALGORITHMS[algorithm](np.asarray(means, np.float32), horizon, seeds, generator)


def regrets(pulls: np.ndarray, means: Sequence[float]) -> np.ndarray:
    """Pseudo-regret of each run: pulls [seeds, K] times the gaps; float64 [seeds]."""
    arms = np.asarray(means, np.float64)
    return pulls @ (arms.max() - arms)


def ucb1(means: np.ndarray, horizon: int, seeds: int, generator: np.random.Generator) -> np.ndarray:
    """UCB1: index = mean + sqrt(2 ln t / n), each arm once first (Auer et al. 2002, figure 1)."""
    arms, column = len(means), np.arange(seeds)
    count = np.zeros(arms * seeds, np.float32)  # exact up to 2^24 pulls
    mean, inverse_root = np.zeros_like(count), np.zeros_like(count)
    means_2d, roots_2d = mean.reshape(arms, seeds), inverse_root.reshape(arms, seeds)
    index, is_best = np.empty((arms, seeds), np.float32), np.empty((arms, seeds), np.uint8)
    rank, highest = np.arange(arms, 0, -1, dtype=np.uint8)[:, None], np.empty(seeds, np.uint8)
    arm, (chance, n, average, reward) = _work_arrays(seeds)
    bonus = np.sqrt(2 * np.log(np.arange(1, horizon + 1))).astype(np.float32)
    for t, uniform in enumerate(_uniforms(generator, horizon, seeds)):
        if t < arms:
            arm[:] = t
        else:
            np.multiply(roots_2d, bonus[t], out=index)
            np.add(index, means_2d, out=index)
            np.maximum.reduce(index, axis=0, out=chance)
            np.equal(index, chance, out=is_best.view(bool))
            np.multiply(is_best, rank, out=is_best)  # the lowest of the best arms ranks highest;
            np.maximum.reduce(is_best, axis=0, out=highest)  # np.argmax along axis 0 is 5x slower
            np.subtract(arms, highest, out=arm)
        means.take(arm, out=chance, mode="clip")
        np.less(uniform, chance, out=reward, casting="unsafe")
        np.multiply(arm, seeds, out=arm)  # from here: the place of (arm, seed) in the flat arrays
        np.add(arm, column, out=arm)
        count.take(arm, out=n, mode="clip")
        np.add(n, 1, out=n)
        count[arm] = n
        mean.take(arm, out=average, mode="clip")
        np.subtract(reward, average, out=reward)
        np.divide(reward, n, out=reward)
        np.add(average, reward, out=average)
        mean[arm] = average
        np.sqrt(n, out=n)
        np.reciprocal(n, out=n)
        inverse_root[arm] = n
    return count.reshape(arms, seeds).T.astype(np.int64)


def thompson(
    means: np.ndarray, horizon: int, seeds: int, generator: np.random.Generator
) -> np.ndarray:
    """Thompson sampling, Beta(1, 1) priors (Agrawal and Goyal 2012, algorithm 1).

    `Generator.beta` in double precision is the fastest exact sampler NumPy has: ratios of float32
    gammas are slower.
    """
    arms, start = len(means), np.arange(seeds) * len(means)
    ones = np.ones(arms * seeds)
    zeros = np.ones(arms * seeds)
    ones_2d, zeros_2d = ones.reshape(seeds, arms), zeros.reshape(seeds, arms)
    arm, (chance, _, _, reward) = _work_arrays(seeds)
    for uniform in _uniforms(generator, horizon, seeds):
        np.argmax(generator.beta(ones_2d, zeros_2d), axis=1, out=arm)
        means.take(arm, out=chance, mode="clip")
        np.less(uniform, chance, out=reward, casting="unsafe")
        np.add(arm, start, out=arm)
        ones[arm] += reward
        np.subtract(1, reward, out=reward)
        zeros[arm] += reward
    return (ones_2d + zeros_2d - 2).astype(np.int64)


def exp3(means: np.ndarray, horizon: int, seeds: int, generator: np.random.Generator) -> np.ndarray:
    """Exp3 on losses, p ~ exp(-rate * estimated loss), rate = sqrt(2 ln K / (T K)), no mixing.

    Auer et al. 2002, in the form of Bubeck and Cesa-Bianchi 2012 (theorem 3.1). The weights are
    kept, so a round costs one exponential a seed: only the arm that was pulled moves.
    """
    arms, column = len(means), np.arange(seeds)
    rate = np.sqrt(2 * np.log(arms) / (horizon * arms)).astype(np.float32)
    weight = np.ones(arms * seeds, np.float32)
    weights = weight.reshape(arms, seeds)
    cumulative, below = np.empty_like(weights), np.empty((arms, seeds), np.uint8)
    passed = np.empty(seeds, np.uint8)
    rows, total = list(zip(cumulative, cumulative[1:], weights[1:], strict=False)), cumulative[-1]
    pulls = np.zeros(arms * seeds, np.int64)
    arm, (chance, target, old, loss) = _work_arrays(seeds)
    draws = _uniforms(generator, 2 * horizon, seeds)
    for t, (choice, luck) in enumerate(zip(draws, draws, strict=True)):
        if t % BLOCK == 0:  # the largest weight back to one, long before float32 runs out of range
            np.divide(weights, weights.max(axis=0), out=weights)
        cumulative[0] = weights[0]
        for before, after, row in rows:  # np.cumsum along axis 0 is 10x slower
            np.add(before, row, out=after)
        np.multiply(choice, total, out=target)
        np.less_equal(cumulative, target, out=below.view(bool))
        np.add.reduce(below, axis=0, dtype=np.uint8, out=passed)
        np.copyto(arm, passed)
        means.take(arm, out=chance, mode="clip")
        np.greater_equal(luck, chance, out=loss, casting="unsafe")
        np.multiply(arm, seeds, out=arm)
        np.add(arm, column, out=arm)
        pulls[arm] += 1
        weight.take(arm, out=old, mode="clip")
        np.multiply(loss, total, out=loss)
        np.divide(loss, old, out=loss)
        np.multiply(loss, -rate, out=loss)
        np.exp(loss, out=loss)
        np.multiply(old, loss, out=old)
        weight[arm] = old
    return pulls.reshape(arms, seeds).T.copy()


def _work_arrays(seeds: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """An integer array for the chosen arms and four float32 arrays for the rest; all [seeds]."""
    return np.empty(seeds, np.intp), tuple(np.empty(seeds, np.float32) for _ in range(4))


def _uniforms(generator: np.random.Generator, rows: int, seeds: int) -> Iterator[np.ndarray]:
    """`rows` arrays of uniforms [seeds], all in one buffer: use each before the next is drawn."""
    buffer = np.empty((2 * BLOCK, seeds), np.float32)
    for start in range(0, rows, len(buffer)):
        generator.random(out=buffer, dtype=np.float32)
        yield from buffer[: rows - start]


Algorithm = Callable[[np.ndarray, int, int, np.random.Generator], np.ndarray]
ALGORITHMS: dict[str, Algorithm] = {"ucb1": ucb1, "thompson": thompson, "exp3": exp3}
