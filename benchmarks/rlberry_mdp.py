"""LSVI-UCB and UCBVI of the library rlberry, the one peer that has them, on its own Chain.

`regrax bench linear_mdp` runs this file inside a virtual environment that holds rlberry and nothing
of regrax: hence only the standard library at the top. It answers a JSON line, the keyword
arguments of `play`, with a JSON line, what `play` returns. rlberry dropped LSVI-UCB after version
0.6; its LSVI-UCB pools all stages, has another bonus (c sqrt(x) + H x, x the squared width) and
does not bound values when it acts, so its regret is shown and not compared.
"""

import json
import logging
import sys
import time
from typing import Any

REQUIREMENTS = (
    "rlberry==0.6.0", "gymnasium==0.29.1", "numpy==1.26.4", "numba==0.60.0", "pandas==2.2.3",
    "scipy==1.13.1", "setuptools<81",
)  # fmt: skip
NEWEST_PYTHON = (3, 12)


def play(
    algorithm: str, length: int, stages: int, episodes: int, bonus: float, seed: int
) -> dict[str, Any]:
    """Seconds of so many episodes, and the mean of the rewards that an episode brought."""
    import numpy as np
    from rlberry.agents import UCBVIAgent  # pyright: ignore[reportMissingImports]
    from rlberry.agents.features import FeatureMap  # pyright: ignore[reportMissingImports]
    from rlberry.agents.linear import LSVIUCBAgent  # pyright: ignore[reportMissingImports]
    from rlberry.envs import Chain  # pyright: ignore[reportMissingImports]

    class OneHot(FeatureMap):
        def __init__(self):
            super().__init__()
            self.shape = (2 * length,)

        def map(self, observation, action):
            x = np.zeros(2 * length)
            x[2 * observation + action] = 1
            return x

    chain = Chain(length, 0.1)
    chain.reseed(seed)
    if algorithm == "UCBVI":
        agent = UCBVIAgent(
            chain, gamma=1.0, horizon=stages, bonus_scale_factor=bonus, stage_dependent=True
        )
    else:
        agent = LSVIUCBAgent(
            chain, stages, lambda env: OneHot(), gamma=1.0, bonus_scale_factor=bonus, reg_factor=1.0
        )
    start = time.perf_counter()
    agent.fit(budget=episodes)
    seconds = time.perf_counter() - start
    rewards = getattr(agent, "_rewards", None)
    return {
        "seconds": seconds,
        "reward": None if rewards is None else float(np.sum(rewards)) / episodes,
    }


def main() -> None:
    """Answers requests from standard input until it ends."""
    logging.disable(logging.WARNING)
    replies, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(play(**json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
