"""UCBVI in plain NumPy, float64, from the list of all transitions."""

import math

import numpy as np

from .histories import tuples


def ucbvi(trajectories, shape, scale, stage_dependent=True, rewards=None, width=1.0):
    """Q [H, S, A]; `rewards` are the means where these are known."""
    stages, states, actions = shape
    seen = [tuples(trajectories, h) for h in range(stages)]
    if not stage_dependent:
        seen = [sum(seen, [])] * stages
    q, after = np.empty(shape), np.zeros(states)
    for h in reversed(range(stages)):
        for s in range(states):
            for a in range(actions):
                own = [(r, to) for s_, a_, r, to in seen[h] if (s_, a_) == (s, a)]
                n = max(len(own), 1)
                mean = sum(r for r, _ in own) / n if rewards is None else rewards[h, s, a]
                later = sum(after[to] for _, to in own) / n
                bonus = scale / math.sqrt(n) + width * (stages - h) / n
                q[h, s, a] = min(mean + later + bonus, stages - h)
        after = q[h].max(axis=-1)
    return q
