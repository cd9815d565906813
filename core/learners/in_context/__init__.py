"""Learners whose weights do not change: they learn from what is in their context."""

from .attention import Attention as Attention
from .attention import Descent as Descent
from .attention import Transformer as Transformer
from .attention import gradient_layers as gradient_layers
from .online import InContext
from .softmax import InContextSoftmax
from .trained import FixedForecaster, TrainedAttention

__all__ = ["FixedForecaster", "InContext", "InContextSoftmax", "TrainedAttention"]
