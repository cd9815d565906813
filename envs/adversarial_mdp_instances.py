"""Named adversarial MDPs: sequences of losses for any linear MDP whose features are on the simplex,
one that is hard for importance weighting, and linear mixtures. All are ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.checks import whole
from .adversarial_mdp import AdversarialMDP
from .linear_mdp import LinearMDP, tabular
from .mdp_instances import at_state, generator


def stochastic_losses(
    mdp: LinearMDP, size: float = 0.5, spread: float = 0.25, seed: int = 0
) -> AdversarialMDP:
    """Losses around a mean: weights uniform on (1 - size) / 2 to (1 + size) / 2, and coins of size
    `spread`.

    Args:
      mdp: its features are not negative and add up to one at most, as of `random_low_rank` and of
        one-hot ones.
      size: of what sets policies apart, from 0; size + 2 spread is at most 1.
      seed: of the weights, drawn by NumPy; they scale with size.

    Raises:
      ValueError: size, spread or seed out of range, losses outside [0, 1].
    """
    uniform = _draw("stochastic_losses", mdp, size, 2 * spread, seed)
    weights = 0.5 + size * (uniform - 0.5)
    return AdversarialMDP(mdp, weights[None], spread=spread)


def switching_losses(
    mdp: LinearMDP, size: float = 0.5, spread: float = 0.1, seed: int = 0, period: int = 1
) -> AdversarialMDP:
    """Losses are low, then high, then low, each turn twice as long as the one before; what sets
    policies apart stays the same.

    Weights are uniform on `spread` to spread + size, or so much more that the highest loss is 1. A
    learner must not take what it tried in good times for good. After the stochastically constrained
    adversary of Zimmert and Seldin, "Tsallis-INF: an optimal algorithm for stochastic and
    adversarial bandits", JMLR 2021, from memory. For other arguments see `stochastic_losses`; here
    features have to add up to one, or the levels are not the same for all.

    Raises:
      ValueError: as there; a period below 1.
    """
    low = spread + size * _draw("switching_losses", mdp, size, 2 * spread, seed)
    weights = np.stack([low, low + 1 - size - 2 * spread])
    return AdversarialMDP(mdp, weights, "doubling", period, spread=spread)


def alternating_losses(
    mdp: LinearMDP, size: float = 0.2, swing: float = 0.4, seed: int = 0, period: int = 1
) -> AdversarialMDP:
    """Two tables take turns: weights m + s and m - s, with m uniform on (1 - size) / 2 to
    (1 + size) / 2 and every entry of s either `swing` or -swing. Nothing is drawn in play.

    For other arguments see `stochastic_losses`.

    Raises:
      ValueError: size + 2 swing above 1, and as there; a period below 1.
    """
    mean = 0.5 + size * (_draw("alternating_losses", mdp, size, 2 * swing, seed) - 0.5)
    signs = generator(seed).choice([-swing, swing], mean.shape)
    return AdversarialMDP(mdp, np.stack([mean + signs, mean - signs]), "cyclic", period)


def opposed_actions(
    axes: int = 2, stages: int = 4, gap: float = 0.25, schedule: str = "drawn"
) -> AdversarialMDP:
    """A safe action, and pairs of opposed ones of which few are played: hard for estimates by
    importance weighting.

    Action 0 always loses 1/2 - gap. Actions 2i + 1 and 2i + 2 lose 1/2, but in an episode whose
    table is theirs one loses 1 and the other 0; each of the 2 * axes tables has the same chance.
    Their features are (0, 1, e_i / 2) and (0, 1, -e_i / 2), that of action 0 is (1, 0, 0), all over
    sqrt(5) / 2, in dimension axes + 2. Once action 0 is nearly always played, a play of an opposed
    action makes the estimate for its opposite negative: by (axes - 1) / (2 axes) of its loss over
    its chance, which may be thousands. In state 1 of two the signs are the other way round; the
    next state is a fair coin.

    Raises:
      ValueError: axes below 2, where no estimate is negative; no stage; a gap outside [0, 1/2]; an
        unknown schedule.
    """
    axes, stages = whole("axes", axes, 2), whole("stages", stages)
    if not 0 <= gap <= 0.5:
        raise ValueError(f"opposed_actions: gap is a number from 0 to 1/2, got {gap!r}")
    scale, d = 2 / np.sqrt(5), axes + 2
    pairs = 0.5 * np.stack([np.eye(axes), -np.eye(axes)], axis=1)  # [axis, sign, axes]
    features = np.zeros((2, 2 * axes + 1, d))
    features[:, 0, 0] = features[:, 1:, 1] = 1
    features[:, 1:, 2:] = np.stack([pairs, -pairs]).reshape(2, 2 * axes, axes)
    measures = np.zeros((stages, d, 2))
    measures[:, :2] = 0.5 / scale
    weights = np.zeros((2 * axes, stages, d))
    weights[..., 0], weights[..., 1] = 0.5 - gap, 0.5
    weights[..., 2:] = pairs.swapaxes(0, 1).reshape(2 * axes, 1, axes) * 2
    zeros = np.zeros((stages, d))
    mdp = LinearMDP(scale * features, measures, zeros, np.array([0.5, 0.5]))
    return AdversarialMDP(mdp, weights / scale, schedule)


def linear_mixture(
    num_states: int,
    num_actions: int,
    kernels: int,
    stages: int,
    tables: int = 3,
    schedule: str = "drawn",
    seed: int = 0,
    **options: Any,
) -> AdversarialMDP:
    """A linear mixture MDP: P_h = sum_i theta_h,i psi_i, of `kernels` known transitions psi_i with
    theta_h on the simplex, and any losses of state and action.

    psi_i(. | s, a) ~ Dirichlet(1) over states, theta_h ~ Dirichlet(1), losses of a table uniform on
    [0, 1], independent for every stage, state and action; drawn by NumPy. Features are one-hot.

    Args:
      options: others of `AdversarialMDP`.

    Raises:
      ValueError: a size or the seed out of range, what `AdversarialMDP` refuses.
    """
    states, actions = whole("num_states", num_states), whole("num_actions", num_actions)
    count, stages = whole("kernels", kernels), whole("stages", stages)
    rng = generator(seed)
    psi = rng.dirichlet(np.ones(states), (count, states, actions))
    theta = rng.dirichlet(np.ones(count), stages)
    weights = rng.uniform(size=(whole("tables", tables), stages, states * actions))
    moves, rewards = np.einsum("hi,isat->hsat", theta, psi), np.zeros((stages, states, actions))
    mdp = tabular(moves, rewards, at_state(states))
    return AdversarialMDP(mdp, weights, schedule, kernels=psi, **options)


def _draw(function: str, mdp: LinearMDP, size: float, rest: float, seed: int) -> np.ndarray:
    """Uniform on [0, 1], [H, d], where all of `size` and the rest has room in [0, 1]."""
    if not (size >= 0 and rest >= 0 and size + rest <= 1 + 1e-12):
        raise ValueError(
            f"{function}: losses have a size and twice a spread or swing, both from 0, which are 1 "
            f"together at most: got {size!r} and {rest!r}"
        )
    return generator(seed).uniform(size=(mdp.stages, mdp.dimension))
