"""Named linear MDPs: of low rank, and walks on which exploration is measured.

Unless a docstring says otherwise an instance starts in state 0 and is told to learners by one-hot
features of (state, action), so that d = S A; those whose features say more are `random_low_rank`
and `periodic_low_rank` here, and the lower bounds of `mdp_hard_instances`. "From memory" marks what
was written down without the source at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.checks import whole
from .linear_mdp import LinearMDP, tabular

_LARGEST_SEED = 2**32 - 1


# ---- low rank ------------------------------------------------------------------------------


def random_low_rank(
    num_states: int,
    num_actions: int,
    dimension: int,
    stages: int,
    seed: int = 0,
    anchors: bool = False,
    concentration: float = 1.0,
    reward_noise: str = "coins",
) -> LinearMDP:
    """Features on the simplex: every (s, a) mixes d distributions of the next state.

    phi(s, a) ~ Dirichlet(concentration), mu_h,i ~ Dirichlet(1) over states, theta_h ~ Dirichlet(1),
    drawn by NumPy from the seed. A construction of public code, where concentration is 1.

    Args:
      anchors: the first d pairs (s, a), in the order s A + a, have phi = e_i, which makes features
        well-conditioned. Our option, as is `concentration`: below 1 phi is close to a corner.

    Raises:
      ValueError: a size or the seed out of range, a concentration that is not positive, fewer pairs
        (s, a) than anchors, what `LinearMDP` refuses.
    """
    states, actions, d, stages = _sizes(num_states, num_actions, dimension, stages)
    if not 0 < concentration < np.inf:
        raise ValueError(
            f"random_low_rank: concentration is positive and finite, got {concentration!r}"
        )
    if anchors and states * actions < d:
        raise ValueError(
            f"random_low_rank: {d} anchors need as many pairs of state and action, there are "
            f"{states * actions}"
        )
    rng = generator(seed)
    features = rng.dirichlet(np.full(d, concentration), states * actions)
    if anchors:
        features[:d] = np.eye(d)
    measures = rng.dirichlet(np.ones(states), (stages, d))
    weights = rng.dirichlet(np.ones(d), stages)
    features = features.reshape(states, actions, d)
    return LinearMDP(features, measures, weights, at_state(states), reward_noise)


def periodic_low_rank(
    num_states: int,
    num_actions: int,
    dimension: int,
    stages: int,
    reward_noise: str = "coins",
) -> LinearMDP:
    """As `random_low_rank`, with residues in place of draws: the same in every language.

    With indices from 0, phi(s, a, i) is proportional to (1 + (sA + a + 1)(i + 2) 7 mod 11)^3 over
    i, mu(h, i, t) to (1 + ((h + 1)(i + 1) 5 + (t + 1)(i + 3) 3) mod 13)^3 over t, and
    theta(h, i) = ((h + 2)(i + 1) 3 mod 10) / 9. Ours.

    Raises:
      ValueError: a size out of range, what `LinearMDP` refuses.
    """
    states, actions, d, stages = _sizes(num_states, num_actions, dimension, stages)
    h, i = np.arange(stages)[:, None], np.arange(d)
    pair, after = np.arange(states * actions)[:, None], np.arange(states)
    features = _cubes((pair + 1) * (i + 2) * 7 % 11).reshape(states, actions, d)
    row = ((h + 1) * (i + 1) * 5)[..., None]
    measures = _cubes((row + (after + 1) * (i[:, None] + 3) * 3) % 13)
    weights = (h + 2) * (i + 1) * 3 % 10 / 9
    return LinearMDP(features, measures, weights, at_state(states), reward_noise)


def _cubes(residues: np.ndarray) -> np.ndarray:
    cubes = (1.0 + residues) ** 3
    return cubes / cubes.sum(axis=-1, keepdims=True)


def _sizes(num_states, num_actions, dimension, stages):
    return (
        whole("num_states", num_states),
        whole("num_actions", num_actions),
        whole("dimension", dimension),
        whole("stages", stages),
    )


# ---- walks ---------------------------------------------------------------------------------


def river_swim(num_states: int = 6, stages: int = 20, reward_noise: str = "none") -> LinearMDP:
    """Against the stream (action 1, right) to a reward of 1 at the last state, or with it (0, left)
    to a reward of 0.005 at the first.

    Left always moves one state down. Right moves up with chance 0.3, down with 0.1, else stays; at
    the first state 0.7 up, else stays; at the last 0.1 down, else stays. Strehl and Littman, "An
    analysis of model-based interval estimation for Markov decision processes", 2008, with the
    numbers of Osband's code; from memory.

    Raises:
      ValueError: fewer than two states, no stage, what `LinearMDP` refuses.
    """
    n, stages = whole("num_states", num_states, 2), whole("stages", stages)
    moves, rewards = np.zeros((n, 2, n)), np.zeros((n, 2))
    at = np.arange(n)
    moves[at, 0, np.maximum(at - 1, 0)] = 1
    inner = at[1:-1]
    moves[inner, 1, inner + 1], moves[inner, 1, inner], moves[inner, 1, inner - 1] = 0.3, 0.6, 0.1
    moves[0, 1, :2] = 0.3, 0.7
    moves[-1, 1, -2:] = 0.1, 0.9
    rewards[0, 0], rewards[-1, 1] = 0.005, 1
    return stationary(moves, rewards, stages, reward_noise)


def chain(
    length: int = 6, fail: float = 0.1, stages: int = 10, reward_noise: str = "none"
) -> LinearMDP:
    """States in a row, actions left (0) and right (1) that go the other way with chance `fail`.

    Every action of the last state brings 1, of the first 0.05. At both ends a step outwards stays.
    After the Chain of the library rlberry, from memory; its exact values agree.

    Raises:
      ValueError: fewer than two states, no stage, fail outside [0, 1], what `LinearMDP` refuses.
    """
    n, stages = whole("length", length, 2), whole("stages", stages)
    fail = chance("chain", "fail", fail)
    moves, rewards = np.zeros((n, 2, n)), np.zeros((n, 2))
    at = np.arange(n)
    for action, step in enumerate((-1, 1)):
        moves[at, action, np.clip(at + step, 0, n - 1)] += 1 - fail
        moves[at, action, np.clip(at - step, 0, n - 1)] += fail
    rewards[0], rewards[-1] = 0.05, 1
    return stationary(moves, rewards, stages, reward_noise)


def deep_sea(size: int, windy: bool = False, seed: int | None = None) -> LinearMDP:
    """A diver who has to go right N times in N stages: a grid where the row is the stage.

    States are the N columns. Left moves one column down, right one up, both stop at the ends. Right
    costs 0.01 / N; at the last column it brings 1 as well. In windy water right fails with chance
    1 / N and stays (cost and reward as if it did not), and rewards of the last row have normal
    noise of variance 1 at the two end columns. Action 1 is right; with a seed it is so in a random
    half of the cells (stage, column), 0 in the others, drawn by NumPy.

    DeepSea of Osband et al., "Behaviour suite for reinforcement learning", ICLR 2020, and its code.
    Without wind V* is 0.99. The optimal return that the code gives for windy water is not optimal:
    after a failure one may stop paying for moves.

    Raises:
      ValueError: fewer than two columns, a seed out of range.
    """
    n = whole("size", size, 2)
    wind = 1 / n if windy else 0.0
    moves, rewards = np.zeros((n, n, 2, n)), np.zeros((n, n, 2))
    at = np.arange(n)
    moves[:, at, 0, np.maximum(at - 1, 0)] = 1
    moves[:, at, 1, np.minimum(at + 1, n - 1)] = 1 - wind
    moves[:, at, 1, at] += wind
    rewards[..., 1] = -0.01 / n
    rewards[:, -1, 1] += 1
    if seed is not None:
        flipped = generator(seed).integers(2, size=(n, n)).astype(bool)
        moves[flipped], rewards[flipped] = moves[flipped][:, ::-1], rewards[flipped][:, ::-1]
    if not windy:
        return tabular(moves, rewards, at_state(n))
    sigma = np.zeros_like(rewards)
    sigma[-1, [0, -1]] = 1
    return tabular(moves, rewards, at_state(n), "normal", sigma)


def depth_two_tree(
    gaps: Sequence[float] = (0.1, 0.0, 0.3, 0.3), reward_noise: str = "coins"
) -> LinearMDP:
    """Two stages of two actions: four paths, of which path 2 a_0 + a_1 has mean 1/2 - gap.

    The reward comes with the second action. State 0 is the root, states 1 and 2 are its children.
    For what data of the four paths are worth: Wagenmaker and Pacchiano, "Leveraging offline data in
    online reinforcement learning", 2022, give such trees; the gaps are ours.

    Raises:
      ValueError: gaps are not four numbers from 0 to 1/2, the least of which is 0; what `LinearMDP`
        refuses.
    """
    values = np.asarray(gaps, np.float64)
    if values.shape != (4,) or not np.all((values >= 0) & (values <= 0.5)) or values.min() != 0:
        raise ValueError(
            f"depth_two_tree: gaps are four numbers from 0 to 1/2, the least of them 0, got "
            f"{gaps!r}"
        )
    moves, rewards = np.zeros((2, 3, 2, 3)), np.zeros((2, 3, 2))
    moves[0, 0, [0, 1], [1, 2]] = 1
    moves[0, 1:, :, 0] = moves[1, :, :, 0] = 1  # where an episode cannot be, or ends
    rewards[1, 1:] = 0.5 - values.reshape(2, 2)
    return tabular(moves, rewards, at_state(3), reward_noise)


# ---- shared --------------------------------------------------------------------------------


def stationary(
    moves: np.ndarray, rewards: np.ndarray, stages: int, reward_noise: str = "none"
) -> LinearMDP:
    """The same transitions [S, A, S] and mean rewards [S, A] at every stage, from state 0."""
    moves, rewards = (np.repeat(x[None], stages, axis=0) for x in (moves, rewards))
    return tabular(moves, rewards, at_state(moves.shape[1]), reward_noise)


def at_state(num_states: int, state: int = 0) -> np.ndarray:
    """The chances of a first state that is always the same, [S]."""
    return np.eye(num_states)[state]


def generator(seed: int) -> np.random.Generator:
    """NumPy's, of a seed.

    Raises:
      ValueError: not a whole number from 0 to 2^32 - 1.
    """
    return np.random.default_rng(whole("seed", seed, 0, _LARGEST_SEED))


def chance(function: str, name: str, value: Any) -> float:
    """`value` as a float.

    Raises:
      ValueError: not a number from 0 to 1.
    """
    number = np.asarray(value)
    if number.ndim or number.dtype.kind not in "fiu" or not 0 <= number <= 1:
        raise ValueError(f"{function}: {name} is a number from 0 to 1, got {value!r}")
    return float(number)
