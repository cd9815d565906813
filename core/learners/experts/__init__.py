"""Learners that put weights on experts, and see the losses of all of them after every round."""

from .ada_hedge import AdaHedge
from .drawn import Drawn
from .hedge import Hedge
from .normal_hedge import AdaNormalHedge
from .sleeping import Sleeping
from .squint import Squint

__all__ = ["AdaHedge", "AdaNormalHedge", "Drawn", "Hedge", "Sleeping", "Squint"]
