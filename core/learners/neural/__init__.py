"""Learners that predict rewards by a neural network."""

from .bootstrap import Bootstrapped
from .confidence import NeuralTS, NeuralUCB
from .ee_net import EENet
from .neucb import NeuFastCB, NeuSquareCB
from .online import OnlineNetwork
from .replay import ReplayNetwork

__all__ = [
    "Bootstrapped",
    "EENet",
    "NeuFastCB",
    "NeuSquareCB",
    "NeuralTS",
    "NeuralUCB",
    "OnlineNetwork",
    "ReplayNetwork",
]
