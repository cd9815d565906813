"""Learners that play the points of a set for which linear minimisation is easy, such as paths."""

from .ftpl import FTPL

__all__ = ["FTPL"]
