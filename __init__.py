"""regrax: research on sequential decision-making in JAX.

    import regrax as rx

    env = rx.envs.BernoulliBandit([0.1, 0.5, 0.6])
    trace = rx.simulate(env, rx.learners.UCB1(), horizon=10_000, seeds=1000)

`simulate` plays one learner in one environment; a `Study` names several of each, and `run` plays
them all, keeps the results on disk and returns them as one `xarray.Dataset` for `rx.plot`.
"""

from . import envs
from .core import (
    complexity,
    domains,
    graphs,
    kernels,
    learners,
    losses,
    mdp,
    noise,
    samplers,
    statistics,
)
from .core import plotting as plot
from .core.claims import Claim, Verdict, judge, settle
from .core.identify import Identification, identify, phases
from .core.noise import argmax
from .core.noise import categorical as sample_categorical
from .core.protocol import (
    BanditFeedback,
    Environment,
    FullFeedback,
    GroupContext,
    Iterations,
    Learner,
    Mixture,
    PhaseLearner,
    Pulls,
    RewardSums,
)
from .core.simulate import NonFiniteMetric, Stacked, Trace, simulate, stack
from .core.statistics import Estimate
from .core.store import Store, StoreError
from .core.study import Study, run

__version__ = "0.1.0"

__all__ = [
    "BanditFeedback",
    "Claim",
    "Environment",
    "Estimate",
    "FullFeedback",
    "GroupContext",
    "Identification",
    "Iterations",
    "Learner",
    "Mixture",
    "NonFiniteMetric",
    "PhaseLearner",
    "Pulls",
    "RewardSums",
    "Stacked",
    "Store",
    "StoreError",
    "Study",
    "Trace",
    "Verdict",
    "argmax",
    "complexity",
    "domains",
    "envs",
    "graphs",
    "identify",
    "judge",
    "kernels",
    "learners",
    "losses",
    "mdp",
    "noise",
    "phases",
    "plot",
    "run",
    "sample_categorical",
    "samplers",
    "settle",
    "simulate",
    "stack",
    "statistics",
]
