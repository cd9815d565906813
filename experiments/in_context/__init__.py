"""Transformers that learn in context: linear self-attention as gradient descent.

`steps` has the closed forms of one and two layers, `training` attention that is trained on tasks,
`online` the same layers as online learners, one token a round, beside ridge and gradient descent.
"""

from ..paper import Paper
from . import online, steps, training

PAPER = Paper(
    "in_context",
    "Transformers Learn In-Context by Gradient Descent",
    "Johannes von Oswald, Eyvind Niklasson, Ettore Randazzo, Joao Sacramento, Alexander "
    "Mordvintsev, Andrey Zhmoginov and Max Vladymyrov, ICML 2023 (arXiv 2212.07677)",
    "Linear self-attention with the weights of the paper is gradient descent, to the digits of its "
    "closed forms; trained on tasks it becomes that; and, beyond the paper, its regret as an "
    "online learner that reads a cache of the rounds so far.",
    (*steps.FIGURES, *training.FIGURES, *online.FIGURES),
    (*steps.CLAIMS, *training.CLAIMS, *online.CLAIMS),
)
