"""Policy optimisation with adversarial losses in plain NumPy and float64: from the whole history,
loop by loop, each formula as it is written."""

import math

import numpy as np


def occupancy(transitions, start, policy):
    visits, here = [], np.asarray(start, float)
    for h in range(len(transitions)):
        visits.append(here[:, None] * policy[h])
        here = np.einsum("sa,sat->t", visits[-1], transitions[h])
    return np.array(visits)


def inverses(features, visits, gamma):
    d, found = features.shape[-1], []
    for visit in visits:
        sigma = gamma * np.eye(d)
        for s, a in np.ndindex(visit.shape):
            sigma += visit[s, a] * np.outer(features[s, a], features[s, a])
        found.append(np.linalg.inv(sigma))
    return np.array(found)


def plain(features, inverse, trajectory):
    """Q-hat, [H, S, A]."""
    states, actions, losses = trajectory
    return np.array([
        features @ inverse[h] @ features[states[h], actions[h]] * np.sum(losses[h:])
        for h in range(len(inverse))
    ])  # fmt: skip


def reduced(features, inverse, visits, trajectory):
    """Q-hat - H min(phi^T G phi_h, 0) + m, and m, [H, S, A]."""
    states, actions, losses = trajectory
    stages, means, estimates = len(inverse), [], []
    for h in range(stages):
        m = np.zeros(visits[h].shape)
        for s, a in np.ndindex(visits[h].shape):
            shares = features @ inverse[h] @ features[s, a]
            m += stages * visits[h, s, a] * np.minimum(shares, 0)
        share = features @ inverse[h] @ features[states[h], actions[h]]
        means.append(m)
        estimates.append(share * np.sum(losses[h:]) - stages * np.minimum(share, 0) + m)
    return np.array(estimates), np.array(means)


def dilated(transitions, policy, bonuses):
    stages, total = len(bonuses), np.zeros_like(bonuses)
    for h in reversed(range(stages)):
        total[h] = bonuses[h]
        if h + 1 < stages:
            later = np.sum(policy[h + 1] * total[h + 1], axis=-1)
            total[h] += (1 + 1 / stages) * transitions[h] @ later
    return total


def bonuses(features, inverse, policy, beta):
    norms = np.einsum("sad,hde,sae->hsa", features, inverse, features)
    return beta * (norms + np.sum(policy * norms, axis=-1, keepdims=True))


def barrier(losses, eta=1.0):
    """By bisection on nu, for one state."""
    scaled = eta * np.asarray(losses, float)
    scaled -= scaled.min()
    low, high = 1.0, float(len(scaled))
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.sum(1 / (scaled + middle)) > 1 else (low, middle)
    return 1 / (scaled + high)


def hedge(losses, eta=1.0):
    scaled = -eta * np.asarray(losses, float)
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


def parameters(regulariser, schedule, d, stages, actions, episodes, rate, ridge, bonus):
    """eta, gamma, beta."""
    size = actions * math.log(episodes) if regulariser == "log-barrier" else math.log(actions)
    if schedule == "root":
        r = math.sqrt(size / (d * episodes))
        return rate * r / stages, ridge * r**2, bonus * stages * r
    r = (size / (d * episodes)) ** (1 / 3)
    return rate * r**2 / stages, ridge * r**2, bonus * stages * r


def policies(learner, features, transitions, start, trajectories):
    """Of every episode after the first, from scratch: [K, H, S, A]; and the sums behind the last.

    learner: a dict of regulariser, estimator, schedule, rate, ridge, bonus, horizon.
    """
    stages, states, actions, _ = transitions.shape
    eta, gamma, beta = parameters(
        learner["regulariser"], learner["schedule"], features.shape[-1], stages, actions,
        learner["horizon"], learner["rate"], learner["ridge"], learner["bonus"],
    )  # fmt: skip
    choose = barrier if learner["regulariser"] == "log-barrier" else hedge
    sums = np.zeros((stages, states, actions))
    policy = np.full_like(sums, 1 / actions)
    found = []
    for trajectory in trajectories:
        visits = occupancy(transitions, start, policy)
        inverse = inverses(features, visits, gamma)
        if learner["estimator"] == "plain":
            estimates = plain(features, inverse, trajectory)
        else:
            estimates, _ = reduced(features, inverse, visits, trajectory)
        extra = bonuses(features, inverse, policy, beta)
        sums += estimates - dilated(transitions, policy, extra)
        policy = np.array([[choose(row, eta) for row in stage] for stage in sums])
        found.append(policy)
    return np.array(found), sums


def trajectories(transitions, start, policy):
    """All of them, as (chance, states, actions)."""
    paths = [(chance, (s,), ()) for s, chance in enumerate(start) if chance]
    for h in range(len(transitions)):
        paths = [
            (chance * policy[h, s[-1], a] * move, (*s, t), (*taken, a))
            for chance, s, taken in paths
            for a in range(policy.shape[-1])
            for t, move in enumerate(transitions[h, s[-1], a])
            if move
        ]
    return paths
