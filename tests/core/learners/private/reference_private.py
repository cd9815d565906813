"""Private bandit learners in plain NumPy, float64, written from their descriptions.

A reference asks `rewards(arm, start, count)` for a sum of rewards and `noise(phase)` for standard
Laplace (or normal) noise, and gives the pulls of every phase, [K] each, and what it recommends.
"""

from __future__ import annotations

import functools
import math

import numpy as np


def dp_se(num_arms, budget, epsilon, delta, identify, rewards, noise):
    active, spent, pulled = list(range(num_arms)), 0, np.zeros(num_arms, int)
    means, sizes, phases, e = np.zeros(num_arms), np.zeros(num_arms, int), [], 0
    while spent < budget and not (identify and len(active) == 1):
        e += 1
        s, distance = len(active), 2.0**-e
        spread, tail = np.log(8 * s * e**2 / delta), np.log(4 * s * e**2 / delta)
        length = int(max(32 * spread / distance**2, 8 * tail / (epsilon * distance))) + 1
        counts = np.zeros(num_arms, int)
        whole = s > 1 and length * s <= budget - spent
        if whole:
            counts[active] = length
        else:
            for i in range(s):  # in turn, until nothing is left
                counts[active[i]] = len(range(i, budget - spent, s))
        z = noise(e - 1)
        for a in active:
            if counts[a] and counts[a] >= sizes[a]:
                total = rewards(a, pulled[a], counts[a])
                means[a] = total / counts[a] + z[a] / (epsilon * counts[a])
                sizes[a] = counts[a]
        pulled += counts
        spent += counts.sum()
        phases.append(counts)
        if whole:
            limit = 2 * (np.sqrt(spread / (2 * length)) + tail / (length * epsilon))
            top = max(means[a] for a in active)
            active = [a for a in active if top - means[a] <= limit]
    return phases, max(active, key=lambda a: (means[a], -a)), means


def episodes(num_arms, budget, index, spread, rewards, noise):
    """AdaP-UCB and its kin: `index(mean, n, t)`, and a mean of n has noise `spread(n)` times z."""
    pulls, means, phases = np.zeros(num_arms, int), np.zeros(num_arms), []
    while pulls.sum() < budget:
        t = pulls.sum()
        if len(phases) < num_arms:
            arm, count = len(phases), 1
        else:
            arm = int(
                np.argmax([index(means[a], max(pulls[a] / 2, 1), t) for a in range(num_arms)])
            )
            count = min(pulls[arm], budget - t)
        means[arm] = rewards(arm, pulls[arm], count) / count + spread(count) * noise(len(phases))
        pulls[arm] += count
        phases.append(np.eye(num_arms, dtype=int)[arm] * count)
    return phases, int(np.argmax(pulls))


def ucb_index(epsilon, beta=3.1):
    def index(mean, n, t):
        level = beta * np.log(t)
        return mean + np.sqrt(level / (2 * n)) + level / (epsilon * n)

    return index


def kl_index(epsilon, beta=3.1):
    """-ln(1 - q) for the largest q with kl(m, q) <= level / n, by bisection in that variable."""

    def index(mean, n, t):
        level = beta * np.log(t)
        m = min(max(mean + level / (epsilon * n), 0.0), 1.0)
        if m == 1:
            return np.inf

        def divergence(y):  # of q = 1 - exp(-y)
            q = -np.expm1(-y)
            first = m * np.log(m / q) if m > 0 else 0.0
            return first + (1 - m) * (np.log1p(-m) + y)

        low, high = -np.log1p(-m), -np.log1p(-m) + 1
        while divergence(high) <= level / n:
            high *= 2
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if divergence(middle) <= level / n else (low, middle)
        return low

    return index


def concentrated_index(rho, beta=1.0):
    def index(mean, n, t):
        return mean + np.sqrt((1 / (2 * n) + 1 / (rho * n**2)) * beta * np.log(t))

    return index


def top_two(num_arms, budget, epsilon, code, gain, enough, rewards, noise):
    """AdaP-TT pull by pull. `enough(gap, (w, k), (w, k))` is the test between two arms."""
    arms = range(num_arms)
    pulls, since, phase = np.ones(num_arms, int), np.zeros(num_arms, int), 0
    renewed_at, w, k = np.ones(num_arms, int), np.ones(num_arms, int), np.ones(num_arms, int)
    z = noise(0)
    means = np.array([rewards(a, 0, 1) + z[a] / epsilon for a in arms])
    leads, own = np.zeros(num_arms, int), np.zeros(num_arms, int)
    phases, here = [np.ones(num_arms, int)], np.zeros(num_arms, int)
    while True:
        best = int(np.argmax(means))
        others = [a for a in arms if a != best]
        if not here.any() and all(
            enough(means[best] - means[a], (w[best], k[best]), (w[a], k[a])) for a in others
        ):
            return phases, best, True
        if pulls.sum() == budget:
            return [*phases, here] if here.any() else phases, best, False
        t = renewed_at.sum()
        if code:
            index = means + np.sqrt(np.log(t) / (2 * w)) + np.log(t) / (epsilon * w)
        else:
            index = means + np.sqrt(k / w) + k / (epsilon * w)
        b = int(np.argmax(index))
        gaps = means[b] - means
        gaps = gaps + 1 / (1 + np.sqrt(t)) if code else np.maximum(gaps, 0)
        costs = np.array([gain(x) for x in gaps]) / (1 / pulls[b] + 1 / pulls)
        costs[b] = np.inf
        leads[b] += 1
        arm = b if own[b] <= leads[b] / 2 else int(np.argmin(costs))
        own[b] += arm == b
        pulls[arm] += 1
        since[arm] += 1
        here[arm] += 1
        if pulls[arm] >= 2 * renewed_at[arm]:
            phases, here, phase = [*phases, here], np.zeros(num_arms, int), phase + 1
            n = since[arm]
            total = rewards(arm, renewed_at[arm], n)
            means[arm] = total / n + noise(phase)[arm] / (epsilon * n)
            renewed_at[arm], since[arm], w[arm], k[arm] = pulls[arm], 0, n, k[arm] + 1


@functools.cache
def _calibration_curve():
    grid, terms = np.linspace(0.501, 0.9999, 20_000), np.arange(1, 50)[:, None]
    s = 2 * grid  # zeta by Euler and Maclaurin
    zeta = (terms**-s).sum(axis=0) + 50 ** (1 - s) / (s - 1) + 50**-s / 2 + s * 50 ** (-s - 1) / 12
    return grid, s - s * np.log(4 * grid) + np.log(zeta) - np.log(1 - grid) / 2


def calibration(x):
    """Kaufmann and Koolen's function C, by a fine search."""
    grid, curve = _calibration_curve()
    return np.min((curve + x) / grid)


@functools.lru_cache
def threshold(num_arms, epsilon, delta, first, second):
    """The two levels of the proved rules: sampling, and the sums over ln(.) for privacy."""
    (w1, k1), (w2, k2) = first, second
    z = math.pi**2 / 6
    x = 0.5 * np.log(2 * (num_arms - 1) * z**2 * k1**2 * k2**2 / delta)
    c = 2 * calibration(x) + 2 * np.log(4 + np.log(w1)) + 2 * np.log(4 + np.log(w2))
    tails = [np.log(2 * num_arms * z * k**2 / delta) / epsilon for k in (k1, k2)]
    return c, tails[0] / w1 + tails[1] / w2, tails[0] ** 2 / w1 + tails[1] ** 2 / w2


def proved(num_arms, epsilon, delta):
    def enough(gap, first, second):
        c, _, squares = threshold(num_arms, epsilon, delta, first, second)
        weight = 1 / first[0] + 1 / second[0]
        return max(gap, 0) ** 2 / (2 * 0.25 * weight) >= 2 * c + squares / 0.25

    return enough


def proved_star(num_arms, epsilon, delta):
    plain = proved(num_arms, epsilon, delta)

    def enough(gap, first, second):
        if gap < 3 * epsilon:
            return plain(gap, first, second)
        c, tails, _ = threshold(num_arms, epsilon, delta, first, second)
        return gap >= np.sqrt(0.5 * c * (1 / first[0] + 1 / second[0])) + tails

    return enough


def short(num_arms, epsilon, delta):
    def enough(gap, first, second):
        weight, level = 1 / first[0] + 1 / second[0], np.log(1 / delta)
        logs = np.log(1 + np.log(first[0])) + np.log(1 + np.log(second[0]))
        return gap > 0 and gap**2 / (2 * weight) >= level + logs + weight * (level / epsilon) ** 2

    return enough


def dp_ucb(num_arms, horizon, epsilon, failure, table, noise):
    """Arms played. Nodes of the trees are kept by name: (arm, level, where it begins)."""
    levels = int(horizon).bit_length()
    level = np.log(2 * num_arms * horizon / failure)
    nodes, pulls, arms = {}, np.zeros(num_arms, int), []
    bounds = np.full(num_arms, np.inf)
    for t in range(horizon):
        arm = int(np.argmax(bounds))
        arms.append(arm)
        pulls[arm] += 1
        n, begin, error = int(pulls[arm]), 0, 0.0
        for digit in reversed(range(levels)):
            if n >> digit & 1:
                node = arm, digit, begin
                begin += 2**digit
                if node not in nodes:
                    nodes[node] = noise[t] * levels / epsilon
                error += nodes[node]
        margin = np.sqrt(8) * levels**1.5 * level / epsilon
        bounds[arm] = (table[arm, :n].sum() + error + margin) / n + np.sqrt(2 * level / n)
    return np.array(arms), nodes
