"""The papers that are reproduced here. A new one: write its module, add it to the lines below."""

from __future__ import annotations

from . import (
    adversarial_linear,
    best_arm,
    finetune_rl,
    groupwise_regret,
    in_context,
    introduction_to_bandits,
    lean_attention,
    learning_to_relax,
    linear_contextual_bandits,
    lsvi,
    online_neural_regression,
    optimistic_mirror_descent,
    preference_lsvi,
    private_bandits,
    private_best_arm,
    two_pass_softmax,
    weighted_tallying,
)
from .paper import Paper

_MODULES = (
    introduction_to_bandits,
    weighted_tallying,
    private_best_arm,
    best_arm,
    private_bandits,
    learning_to_relax,
    groupwise_regret,
    optimistic_mirror_descent,
    linear_contextual_bandits,
    online_neural_regression,
    lsvi,
    finetune_rl,
    preference_lsvi,
    adversarial_linear,
    two_pass_softmax,
    lean_attention,
    in_context,
)
PAPERS: dict[str, Paper] = {module.PAPER.name: module.PAPER for module in _MODULES}
