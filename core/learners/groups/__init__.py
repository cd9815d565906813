"""Learners for groups of rounds, and the forecasters of labels that they are made of."""

from .predictor import LinearPredictor
from .reduction import Groups
from .ridge import OnlineRidge, VovkAzouryWarmuth

__all__ = ["Groups", "LinearPredictor", "OnlineRidge", "VovkAzouryWarmuth"]
