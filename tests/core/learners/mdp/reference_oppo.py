"""OPPO in plain NumPy and float64: every regression is solved anew from the whole history."""

import numpy as np


def policies(kernels, stages, episodes, bonus, ridge, alpha):
    """Of every episode after the first, [K, H, S, A]; and Q of every episode.

    episodes: (losses [H, S, A], states [H + 1], actions [H]) each.
    """
    d, states, actions, _ = kernels.shape
    seen = [[] for _ in range(stages)]  # pairs (phi_V, V(s')) of a stage
    policy = np.full((stages, states, actions), 1 / actions)
    logits, found, all_values = np.zeros_like(policy), [], []
    for losses, path, taken in episodes:
        values, after = np.zeros_like(policy), np.zeros((stages + 1, states))
        images = np.zeros((stages, states, actions, d))
        for h in reversed(range(stages)):
            lam = ridge * np.eye(d) + sum(np.outer(x, x) for x, _ in seen[h])
            w = np.linalg.solve(lam, sum((x * y for x, y in seen[h]), np.zeros(d)))
            for s, a in np.ndindex(states, actions):
                x = kernels[:, s, a] @ after[h + 1]
                width = np.sqrt(x @ np.linalg.solve(lam, x))
                value = 1 - losses[h, s, a] + x @ w + bonus * width
                values[h, s, a], images[h, s, a] = min(max(value, 0), stages - h), x
            after[h] = np.sum(policy[h] * values[h], axis=-1)
        for h in range(stages):
            seen[h].append((images[h, path[h], taken[h]], after[h + 1, path[h + 1]]))
        logits += alpha * values
        policy = np.exp(logits - logits.max(axis=-1, keepdims=True))
        policy /= policy.sum(axis=-1, keepdims=True)
        found.append(policy)
        all_values.append(values)
    return np.array(found), np.array(all_values)


def hedge(transitions, tables, alpha):
    """The policies of exponential weights in every state on the exact Q^pi of rewards 1 - losses,
    with the transitions known; of every episode, [K, H, S, A]."""
    stages, states, actions, _ = transitions.shape
    logits, found = np.zeros((stages, states, actions)), []
    for losses in tables:
        policy = np.exp(logits - logits.max(axis=-1, keepdims=True))
        policy /= policy.sum(axis=-1, keepdims=True)
        found.append(policy)
        after = np.zeros(states)
        for h in reversed(range(stages)):
            values = 1 - losses[h] + transitions[h] @ after
            logits[h] += alpha * values
            after = np.sum(policy[h] * values, axis=-1)
    return np.array(found)
