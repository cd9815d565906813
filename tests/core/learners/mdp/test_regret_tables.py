"""Regret of LSVI-UCB, RLSVI and LSVI-PHE against what another implementation measured.

That one is in plain JAX, with numbers of its own for chance. Both means have a standard error; a
row fails where Welch's test finds a difference that chance would bring in one of a million runs of
all rows. The ridge is 1 everywhere.
"""

from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core.learners.mdp.lsvi import LSVIUCB
from regrax.core.learners.mdp.randomised import LSVIPHE, RLSVI
from regrax.envs.linear_mdp import LinearMDP
from regrax.envs.mdp_hard_instances import combination_lock
from regrax.envs.mdp_instances import deep_sea, periodic_low_rank, river_swim

pytestmark = pytest.mark.slow


def lock():
    """From state 0 alone; rewards are their means."""
    env = combination_lock(10, 4, reward_noise="none")
    return LinearMDP(env.features, env.measures, env.weights, [1, 0, 0])


ENVIRONMENTS = {
    "river swim": lambda: river_swim(6, 20),
    "low rank": lambda: periodic_low_rank(20, 5, 6, 10, reward_noise="none"),
    "deep sea": lambda: deep_sea(10),
    "lock": lock,
}
LEARNERS = {"UCB": LSVIUCB, "RLSVI": RLSVI, "PHE": lambda sigma: LSVIPHE(sigma, 10)}


class Row(NamedTuple):
    env: str
    learner: str
    parameters: tuple  # bonuses, or sigmas
    episodes: int
    seeds: int
    means: tuple  # of the cumulative regret
    errors: tuple  # standard errors of the means


ROWS = (
    Row("river swim", "UCB", (1,), 2000, 32, (6546.8,), (1.4,)),
    Row("river swim", "UCB", (3, 10, 30), 5000, 16, (13996, 12945, 17241), (13, 17, 0)),
    Row("river swim", "RLSVI", (0.3, 1), 2000, 32, (5046, 4261), (109, 86)),
    Row("river swim", "RLSVI", (3,), 5000, 16, (6889,), (100,)),
    Row("river swim", "PHE", (1,), 2000, 32, (4904,), (46,)),
    Row("river swim", "PHE", (3,), 5000, 16, (7091,), (63,)),
    Row("low rank", "UCB", (0.1, 1, 3), 2000, 32, (1082, 975, 909), (53, 48, 36)),
    Row("low rank", "RLSVI", (0.3, 1), 2000, 32, (1132, 619), (76, 31)),
    Row("low rank", "PHE", (0.1, 0.3, 1), 2000, 32, (1556, 1119, 825), (94, 77, 55)),
    Row("deep sea", "RLSVI", (0.3,), 2000, 32, (284.3,), (8.7,)),
    Row("deep sea", "PHE", (0.3,), 2000, 32, (321.9,), (7.9,)),
    Row("lock", "UCB", (0.1, 0.3), 2000, 32, (1708.2, 614.5), (0.5, 0.4)),
    Row("lock", "RLSVI", (0.3,), 2000, 32, (603.0,), (11.2,)),
    Row("lock", "PHE", (0.3,), 2000, 32, (334.6,), (6.5,)),
)
FALSE_ALARM = 1e-6 / sum(len(row.means) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.env} {row.learner} {row.parameters}")
def test_regret_is_that_of_another_implementation(row):
    learners = rx.stack([LEARNERS[row.learner](float(x)) for x in row.parameters])
    trace = rx.simulate(
        ENVIRONMENTS[row.env](), learners, row.episodes, row.seeds, checkpoints=[row.episodes],
        progress=False,
    )  # fmt: skip
    for regrets, mean, error in zip(
        trace.metrics["regret"][:, 0], row.means, row.errors, strict=True
    ):
        error = max(error, 0.5)  # to which means are printed
        test = stats.ttest_ind_from_stats(
            regrets.mean(), regrets.std(ddof=1), row.seeds,
            mean, error * np.sqrt(row.seeds), row.seeds, equal_var=False,
        )  # fmt: skip
        assert test.pvalue > FALSE_ALARM
