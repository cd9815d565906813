"""Linear MDPs that are made to be hard: a combination lock, a lower bound, many actions."""

from __future__ import annotations

import math

import numpy as np

from ..core.checks import whole
from .linear_mdp import LinearMDP, tabular
from .mdp_instances import at_state, chance, generator


def combination_lock(
    stages: int = 100,
    num_actions: int = 10,
    swap: float = 0.5,
    anti: float = 0.1,
    seed: int | None = None,
    reward_noise: str = "coins",
) -> LinearMDP:
    """One wrong action and the episode is lost, and a small reward says the opposite.

    States are 0 and 1, equally likely at first, and 2, dead. In 0 and 1 one action is right: it
    leads to the other of the two with chance `swap`, else stays, and brings 1 at the last stage. A
    wrong one leads to 2 for good and brings `anti` with chance 1/2: a mean of anti / 2, which
    rewards that are coins have as 1 with that chance. The right actions at stage h are (3h + 1) mod
    A in state 0 and (5h + 2) mod A in 1 (ours), or drawn from a seed by NumPy. V* is 1, and a
    policy that plays at random has a chance of A^-H.

    After Song et al., "Hybrid RL: using both offline and online data can make RL efficient", ICLR
    2023, and its code, which shows learners a random rotation with noise of what is one-hot here
    (d = 3A).

    Raises:
      ValueError: no stage, fewer than two actions, swap or anti outside [0, 1], a seed out of
        range, what `LinearMDP` refuses.
    """
    stages, actions = whole("stages", stages), whole("num_actions", num_actions, 2)
    swap, anti = (chance("combination_lock", *x) for x in (("swap", swap), ("anti", anti)))
    h = np.arange(stages)
    right = np.stack([(3 * h + 1) % actions, (5 * h + 2) % actions], axis=-1)
    if seed is not None:
        right = generator(seed).integers(actions, size=(stages, 2))
    moves, rewards = np.zeros((stages, 3, actions, 3)), np.zeros((stages, 3, actions))
    moves[..., 2], rewards[:, :2] = 1, anti / 2
    for state in (0, 1):
        moves[h, state, right[:, state]] = [swap, swap, 0]
        moves[h, state, right[:, state], state] = 1 - swap
        rewards[h, state, right[:, state]] = h == stages - 1
    return tabular(moves, rewards, np.array([0.5, 0.5, 0]), reward_noise)


def hard_instance(dimension: int, stages: int, episodes: int, seed: int | None = None) -> LinearMDP:
    """The lower bound for linear MDPs: which of 2^(d-1) actions leads to the goal a little more
    often cannot be known from K episodes.

    An episode passes states 0, 1, .. one a stage until it falls into the goal, state H + 1, which
    brings 1 a stage. At stage h an action a of {-1, 1}^(d-1) reaches the goal with chance
    1/H + <mu_h, a>, entries of mu_h being D = sqrt(1 / (H K)) / (4 sqrt 2). They are all positive,
    so that the last action is the best, or have signs drawn from a seed by NumPy. Features have
    d + 1 entries, those of action j the signs of its binary digits, the highest first. As features
    of all states but the goal are the same, so are their transitions.

    Zhou, Gu and Szepesvari, "Nearly minimax optimal reinforcement learning for linear mixture
    Markov decision processes", COLT 2021; the constant of D is from memory.

    Raises:
      ValueError: fewer than two dimensions or more than 15, fewer than two stages, no episode; so
        few episodes that chances would leave [0, 1]; a seed out of range.
    """
    d, stages = whole("dimension", dimension, 2, 15), whole("stages", stages, 2)
    episodes = whole("episodes", episodes)
    base, lean = 1 / stages, math.sqrt(1 / (stages * episodes)) / (4 * math.sqrt(2))
    if not (d - 1) * lean <= min(base, 1 - base):
        raise ValueError(
            f"hard_instance: {episodes} episodes are too few for {stages} stages and dimension "
            f"{d}: the chance of the goal would be {base:.4g} plus or minus {(d - 1) * lean:.4g}"
        )
    signs = np.ones((stages, d - 1))
    if seed is not None:
        signs = generator(seed).choice([-1.0, 1.0], size=signs.shape)
    total = 1 + lean * (d - 1)
    alpha, beta = 1 / math.sqrt(total), math.sqrt(lean / total)
    features = np.zeros((stages + 2, 2 ** (d - 1), d + 1))
    features[:-1, :, 0], features[-1, :, -1] = alpha, 1
    features[:-1, :, 1:-1] = beta * digits(2 ** (d - 1), d - 1)
    measures = np.zeros((stages, d + 1, stages + 2))
    h = np.arange(stages)
    measures[h, 0, h + 1], measures[:, 0, -1] = (1 - base) / alpha, base / alpha
    measures[h, 1:-1, h + 1], measures[:, 1:-1, -1] = -lean * signs / beta, lean * signs / beta
    measures[:, -1, -1] = 1
    weights = np.zeros((stages, d + 1))
    weights[:, -1] = 1
    return LinearMDP(features, measures, weights, at_state(stages + 2))


def many_actions(
    stages: int = 20, num_actions: int = 100, seed: int | None = None, reward_noise: str = "coins"
) -> LinearMDP:
    """Two states and many actions that differ in features, but little in what they do.

    An action is good if it is 0 in state 0, or another in state 1: means 0.99, and 0.01 otherwise.
    Transitions are certain: at stage h a good action leads to state c_h, another to the other one.
    c alternates 0, 1, 0, .. (ours), or is drawn from a seed by NumPy. Features are the binary
    digits of the action as -1 and 1, and whether it is good or not, over sqrt(d); d = 10 for 100
    actions (8 digits at least). V* is 0.99 H.

    Min, Wang, Zhou and Gu, "Variance-aware off-policy evaluation with linear function
    approximation", NeurIPS 2021, and Yin, Duan, Wang and Wang, "Near-optimal offline reinforcement
    learning with linear representation", ICLR 2022; from memory.

    Raises:
      ValueError: no stage, fewer than two actions, a seed out of range, what `LinearMDP` refuses.
    """
    stages, actions = whole("stages", stages), whole("num_actions", num_actions, 2)
    leads = np.arange(stages) % 2
    if seed is not None:
        leads = generator(seed).integers(2, size=stages)
    size = max(8, (actions - 1).bit_length())
    scale = math.sqrt(size + 2)
    good = (np.arange(2)[:, None] == 0) == (np.arange(actions) == 0)
    features = np.empty((2, actions, size + 2))
    features[..., :size] = digits(actions, size)
    features[..., size], features[..., size + 1] = good, ~good
    measures, h = np.zeros((stages, size + 2, 2)), np.arange(stages)
    measures[h, size, leads] = measures[h, size + 1, 1 - leads] = scale
    weights = np.zeros((stages, size + 2))
    weights[:, size:] = scale * np.array([0.99, 0.01])
    return LinearMDP(features / scale, measures, weights, at_state(2), reward_noise)


def digits(count: int, size: int) -> np.ndarray:
    """The binary digits of 0 .. count - 1, the highest first, as -1 and 1: [count, size]."""
    return 2.0 * (np.arange(count)[:, None] >> np.arange(size)[::-1] & 1) - 1
