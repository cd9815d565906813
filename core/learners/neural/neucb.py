"""NeuSquareCB and NeuFastCB: inverse-gap weighting of a network's predictions."""

from __future__ import annotations

from typing import Any

from ..reductions import FastCB, SquareCB
from .online import OnlineNetwork
from .replay import ReplayNetwork


def NeuSquareCB(
    scale: Any = 100.0,
    power: Any = 0.5,
    train: str = "replay",
    learning_rate: Any = 0.01,
    **network: Any,
) -> SquareCB:
    """NeuSquareCB: `SquareCB` on a network trained for squared losses.

    Deb, Ban, Zuo, He and Banerjee, "Contextual bandits with online neural regression", ICLR 2024,
    Algorithm 1. The text was not at hand: how the paper's experiments trained is unknown. "online"
    is the algorithm as analysed, one step a round; "replay" is the training of the code that one
    of the authors published with another paper, and does far better in short games.

    Args:
      scale, power: gamma in round t is scale * t^power.
      train: "replay" (`ReplayNetwork`) or "online" (`OnlineNetwork`).
      learning_rate, network: of that class; online steps want to be larger, 0.1 or so.

    Raises:
      ValueError: another `train`.
    """
    return SquareCB(_network(train, "square", learning_rate, network), scale=scale, power=power)


def NeuFastCB(
    scale: Any = 100.0,
    power: Any = 0.5,
    train: str = "replay",
    learning_rate: Any = 0.01,
    **network: Any,
) -> FastCB:
    """NeuFastCB: `FastCB` on a network with a sigmoid output trained for the divergence of
    Kullback and Leibler.

    Algorithm 2 of the paper named at `NeuSquareCB`; arguments and errors as there.
    """
    return FastCB(_network(train, "kl", learning_rate, network), scale=scale, power=power)


def _network(train, loss, learning_rate, options):
    kinds = {"replay": ReplayNetwork, "online": OnlineNetwork}
    if train not in kinds:
        raise ValueError(f"train is 'replay' or 'online', got {train!r}")
    return kinds[train](loss=loss, learning_rate=learning_rate, **options)
