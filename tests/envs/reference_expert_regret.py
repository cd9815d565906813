"""Regret with expert advice by brute force, in plain float64: all intervals, all sequences."""

from __future__ import annotations

import itertools

import numpy as np


def rounds(weights, table, awake=None):
    """Loss of the play less that of each expert, [T, K], 0 where the expert is asleep."""
    weights, table = np.asarray(weights, np.float64), np.asarray(table, np.float64)
    own = np.sum(weights * table, axis=1, keepdims=True) - table
    return own if awake is None else np.where(awake, own, 0.0)


def regret(now):
    return now.sum(axis=0).max()


def dynamic(weights, table, awake=None):
    total = 0.0
    for t, losses in enumerate(np.asarray(table, np.float64)):
        here = [True] * len(losses) if awake is None else awake[t]
        best = min(loss for loss, a in zip(losses, here, strict=True) if a)
        total += float(np.asarray(weights[t], np.float64) @ losses) - best
    return total


def adaptive(now):
    """Over all intervals [first, last] and all experts."""
    length, num_arms = now.shape
    return max(
        now[first : last + 1, k].sum()
        for first in range(length)
        for last in range(first, length)
        for k in range(num_arms)
    )


def shifting(now, num_switches):
    """Over all sequences of experts with so many switches or fewer."""
    length, num_arms = now.shape
    best = -np.inf
    for sequence in itertools.product(range(num_arms), repeat=length):
        if sum(a != b for a, b in itertools.pairwise(sequence)) <= num_switches:
            best = max(best, sum(now[t, k] for t, k in enumerate(sequence)))
    return best


def shifting_long(now, num_switches):
    """The same for long games, by the rounds at which a sequence may have switched: best[j][k] over
    sequences that end in k, filled in from all pairs of an expert before and an expert now."""
    length, num_arms = now.shape
    best = np.full((num_switches + 1, num_arms), -np.inf)
    best[0] = 0
    for t in range(length):
        after = np.full_like(best, -np.inf)
        for j, i, k in itertools.product(range(num_switches + 1), range(num_arms), range(num_arms)):
            spent = j + (i != k and t > 0)
            if spent <= num_switches:
                after[spent, k] = max(after[spent, k], best[j, i] + now[t, k])
        best = after
    return best.max()
