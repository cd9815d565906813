"""Successive elimination with a burn-in on a tallying bandit, in careful NumPy over seeds.

The loop goes round by round; each round is a handful of calls on arrays of one number a seed,
written in place, uniforms drawn in blocks. What happens at the end of a visit is computed only for
the seeds whose visit ends. Nothing here uses the rest of regrax: it is a yardstick, and an
independent check.
"""

import math

import numpy as np

BLOCK = 64  # rounds of uniforms drawn at once


def simulate(
    losses: np.ndarray,
    horizon: int,
    seeds: int,
    burn_in: int,
    root_seed: int = 0,
    rounds: int | None = None,
) -> np.ndarray:
    """Plays `seeds` runs side by side and returns their regret sum_t (mean loss - best settled).

    Args:
        losses: mean loss of arm x at tally y, losses[x, y - 1], [K, m]; plays of the last m rounds
            count alike. The smallest number of the last column is what regret compares with.
        horizon: T, that the confidence radius is made for.
        burn_in: plays at the start of a visit that are thrown away.
        root_seed: fixes every draw; one stream serves all runs, so run i depends on `seeds`.
        rounds: stop after so many rounds, for a timing of a slice; all by default.

    Returns:
        float64 [seeds].
    """
    arms, memory = losses.shape
    generator = np.random.Generator(np.random.SFC64(root_seed))
    table, best = losses.astype(np.float32).ravel(), float(losses[:, -1].min())
    level = math.log(2 * arms * horizon * math.log2(horizon))

    ring = np.full((memory, seeds), -1, np.intp)  # places in `tallies`, of the last m rounds
    tallies = np.zeros(arms * seeds + 1, np.intp)  # the last is for what was before the first round
    seed = np.arange(seeds)
    arm, place, tally = (np.zeros(seeds, np.intp) for _ in range(3))
    loss, regret, total = np.empty(seeds, np.float32), np.zeros(seeds), np.zeros(seeds, np.float32)
    reward, keeps, ends = (np.empty(seeds, bool) for _ in range(3))
    left = np.full(seeds, burn_in + 1)  # plays of the visit to come
    size = np.ones(seeds, np.int64)  # plays kept in a visit
    active, means = np.ones((seeds, arms), bool), np.zeros((seeds, arms), np.float32)
    for t, uniforms in enumerate(_uniforms(generator, rounds or horizon, seeds)):
        oldest = ring[t % memory]
        tallies[oldest] -= 1  # one place a seed, but for the last: no place comes up twice
        np.multiply(arm, seeds, out=place)
        np.add(place, seed, out=place)
        oldest[:] = place
        tallies.take(place, out=tally, mode="clip")
        np.add(tally, 1, out=tally)
        tallies[place] = tally
        np.multiply(arm, memory, out=place)
        np.add(place, tally, out=place)
        np.subtract(place, 1, out=place)
        table.take(place, out=loss, mode="clip")
        np.add(regret, loss, out=regret)
        np.greater_equal(uniforms, loss, out=reward)
        np.less_equal(left, size, out=keeps)
        np.logical_and(reward, keeps, out=reward)
        np.add(total, reward, out=total)
        np.subtract(left, 1, out=left)
        np.equal(left, 0, out=ends)
        (over,) = np.nonzero(ends)
        if over.size:
            _end_visits(over, arm, left, size, total, active, means, burn_in, level)
    return regret - (rounds or horizon) * best


def _end_visits(over, arm, left, size, total, active, means, burn_in, level):
    """The visits of the seeds `over` have ended: note the means, eliminate, go to the next arm."""
    played = arm[over]
    means[over, played] = total[over] / size[over]
    total[over] = 0
    ahead = active[over] & (np.arange(active.shape[1]) > played[:, None])
    more = ahead.any(axis=1)
    ending = over[~more]
    if ending.size:
        radius = np.sqrt(level / (2 * size[ending]))[:, None]
        mean = np.where(active[ending], means[ending], -np.inf)
        active[ending] &= mean + radius >= mean.max(axis=1, keepdims=True) - radius
        size[ending] *= 2
    arm[over] = np.argmax(np.where(more[:, None], ahead, active[over]), axis=1)
    left[over] = burn_in + size[over]
    # An arm that is alone is played for ever.
    left[over[active[over].sum(axis=1) == 1]] = np.iinfo(np.int64).max


def _uniforms(generator, rounds, seeds):
    """`rounds` arrays of uniforms [seeds], all in one buffer: use each before the next is drawn."""
    buffer = np.empty((BLOCK, seeds), np.float32)
    for start in range(0, rounds, BLOCK):
        generator.random(out=buffer, dtype=np.float32)
        yield from buffer[: rounds - start]
