"""Numerical kernels that the suite shares."""

from .softmax import softmax as softmax
