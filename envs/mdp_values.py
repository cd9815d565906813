"""Exact values, occupancies and coverage of a finite MDP, in float64 and NumPy.

Shapes are H stages, S states and A actions; a policy is a table of chances [H, S, A]. For values
inside a simulation see `core.mdp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def optimal_values(transitions: Any, rewards: Any) -> tuple[np.ndarray, np.ndarray]:
    """Q* [H, S, A] and V* [H + 1, S] by backward induction; V* ends with zeros.

    Args:
      transitions: [H, S, A, S]; rewards: means, [H, S, A].
    """
    moves, means = np.asarray(transitions, np.float64), np.asarray(rewards, np.float64)
    values, best = np.empty_like(means), np.zeros((len(means) + 1, means.shape[1]))
    for h in reversed(range(len(means))):
        values[h] = means[h] + moves[h] @ best[h + 1]
        best[h] = values[h].max(axis=-1)
    return values, best


def policy_values(transitions: Any, rewards: Any, policy: Any) -> np.ndarray:
    """V^pi [H + 1, S]; arguments as above, policy [H, S, A]."""
    moves, means = np.asarray(transitions, np.float64), np.asarray(rewards, np.float64)
    values = np.zeros((len(means) + 1, means.shape[1]))
    for h in reversed(range(len(means))):
        values[h] = np.sum(policy[h] * (means[h] + moves[h] @ values[h + 1]), axis=-1)
    return values


def occupancy(transitions: Any, start: Any, policy: Any) -> np.ndarray:
    """The chances that stage h finds the process in s and plays a, [H, S, A]."""
    moves, here = np.asarray(transitions, np.float64), np.asarray(start, np.float64)
    visits = np.empty(moves.shape[:3])
    for h in range(len(moves)):
        visits[h] = here[:, None] * policy[h]
        here = np.einsum("sa,sat->t", visits[h], moves[h])
    return visits


def uniform_policy(stages: int, num_states: int, num_actions: int) -> np.ndarray:
    """Every action with the same chance, [H, S, A]."""
    return np.full((stages, num_states, num_actions), 1 / num_actions)


def best_policy(values: np.ndarray) -> np.ndarray:
    """The policy [H, S, A] that plays the action of the largest value, the lowest on ties."""
    return np.eye(values.shape[-1])[values.argmax(axis=-1)]


def reachability(transitions: Any, start: Any) -> np.ndarray:
    """max over policies of the chance to be in s at stage h, [H, S]."""
    moves, start = np.asarray(transitions, np.float64), np.asarray(start, np.float64)
    stages, states = moves.shape[:2]
    reached = np.empty((stages, states))
    for h in range(stages):
        value = np.eye(states)  # [s, target]
        for k in reversed(range(h)):
            value = np.einsum("sat,tg->sag", moves[k], value).max(axis=1)
        reached[h] = start @ value
    return reached


def coverability(transitions: Any, start: Any) -> float:
    """The least C for which some distribution mu_h has d^pi_h(s, a) <= C mu_h(s, a) for all
    policies: max over stages of sum over s, a of max over policies of d^pi_h(s, a) (Xie, Foster,
    Bai, Jiang and Kakade, "The role of coverage in online reinforcement learning", 2023, Lemma 3,
    from memory)."""
    actions = np.shape(transitions)[2]
    return float(actions * reachability(transitions, start).sum(axis=-1).max())
