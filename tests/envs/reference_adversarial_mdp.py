"""Adversarial MDPs in plain NumPy and float64: all losses are kept, and all policies are tried."""

import itertools

import numpy as np


def table_of(schedule, episode, tables, period, draw, chances):
    """Which table comes in an episode, counted from 0."""
    if schedule == "cyclic":
        return episode // period % tables
    if schedule == "doubling":
        turn, length, start = 0, period, 0
        while episode >= start + length:
            turn, start, length = turn + 1, start + length, 2 * length
        return turn % tables
    return int(np.searchsorted(np.cumsum(chances), draw, side="right"))


def all_losses(features, weights, spread, schedule, period, chances, draws, uniforms):
    """Of every episode, [K, H, S, A]; draws [K] choose tables, uniforms [K, H, d] are coins."""
    losses = []
    for episode, (draw, coins) in enumerate(zip(draws, uniforms, strict=True)):
        row = table_of(schedule, episode, len(weights), period, draw, chances)
        theta = weights[row] + spread * np.where(coins < 0.5, 1, -1)
        losses.append(np.einsum("sad,hd->hsa", features, theta))
    return np.array(losses)


def value(transitions, start, policy, losses):
    """V^pi of a policy [H, S, A] from the first state."""
    after = np.zeros(transitions.shape[1])
    for h in reversed(range(len(transitions))):
        total = losses[h] + transitions[h] @ after
        after = np.sum(policy[h] * total, axis=-1)
    return float(start @ after)


def deterministic_policies(stages, states, actions):
    for choice in itertools.product(range(actions), repeat=stages * states):
        yield np.eye(actions)[np.reshape(choice, (stages, states))]


def regret(transitions, start, policies, losses):
    """Of the policies [K, H, S, A], against the best of all deterministic ones."""
    suffered = sum(
        value(transitions, start, policy, table)
        for policy, table in zip(policies, losses, strict=True)
    )
    _, stages, states, actions = losses.shape
    best = min(
        sum(value(transitions, start, policy, table) for table in losses)
        for policy in deterministic_policies(stages, states, actions)
    )
    return suffered - best, best
