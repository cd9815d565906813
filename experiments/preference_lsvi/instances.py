"""What the figures share: instances, settings and names."""

from __future__ import annotations

from ...envs.linear_mdp import LinearMDP
from ...envs.mdp_instances import periodic_low_rank, random_low_rank
from ...envs.preference_mdp import PreferenceMDP
from ..paper import Scale

STEEPNESS = 5.0
SIGMA, SPREAD = 0.5, 1.0  # of the rewards that PR-LSVI and PbTS draw
SEEDS: dict[Scale, int] = {"smoke": 4, "quick": 32, "paper": 120}
PR, TS = "PR-LSVI", "PbTS"
ENVIRONMENTS = ("periodic", "random")
SOURCE = "Wu and Sun, ICLR 2024, bounds for epsilon = T^-b"
OURS = "our expectation, after a look at 96 seeds"
SETTING = (
    "10 states, 4 actions, d = 3, H = 5; sigma_value 0.1; regret counts both policies of a duel. "
    "Bands and bars are 95 % t intervals."
)


def periodic(reward_noise: str = "coins") -> LinearMDP:
    return periodic_low_rank(10, 4, 3, 5, reward_noise)


def instances() -> dict[str, PreferenceMDP]:
    drawn = random_low_rank(10, 4, 3, 5, seed=1, anchors=True)
    both = (PreferenceMDP(periodic(), STEEPNESS), PreferenceMDP(drawn, STEEPNESS))
    return dict(zip(ENVIRONMENTS, both, strict=True))


def named(learner: str, number: float) -> str:
    """A learner with a threshold, or a power of one."""
    return f"{learner}, {number:g}"
