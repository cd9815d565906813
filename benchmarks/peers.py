"""Bandit libraries of the package index: how each is installed, and driven as its users would.

Two lives. `regrax bench bandits` imports `PEERS` from here. The same file then runs as a script
inside each library's own virtual environment, where nothing of regrax (and perhaps an older Python)
is there: hence only the standard library at the top, and the library itself imported inside its
adapter.

As a script, `python peers.py LIBRARY` answers one JSON request a line, {"algorithm", "means",
"horizon", "seconds", "root_seed"}, with one JSON line, {"seconds", "pulls", "regrets"}: whole runs
of the plain loop "choose, learn", one after the other in one process, until the given time has
passed. It is the fastest way each library offers to run one policy on simulated rewards; their own
experiment runners are slower.

Where a library's algorithm is another than regrax's (both Exp3 below learn from rewards and mix in
uniform exploration), its name stands in `variants` and its regret is shown but not compared.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Policy = tuple[
    Callable[[], int], Callable[[int, float], object]
]  # choose an arm; learn (arm, reward)


@dataclass(frozen=True)
class Peer:
    """A library: how it is installed, which Python it takes, what it can run.

    `requirements` empty means that there is nothing to install, for the reason in `absent`.
    """

    name: str
    requirements: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    variants: dict[str, str] = field(default_factory=dict)  # algorithm: how it differs
    newest_python: tuple[int, int] = (3, 13)
    absent: str = ""


def river_policy(algorithm: str, arms: int, horizon: int, seed: int) -> Policy:
    """river's policies; `delta=1` is its UCB1."""
    from river import bandit, proba  # pyright: ignore[reportMissingImports]

    if algorithm == "ucb1":
        policy = bandit.UCB(delta=1, seed=seed)
    elif algorithm == "thompson":
        policy = bandit.ThompsonSampling(reward_obj=proba.Beta(1, 1), seed=seed)
    else:
        policy = bandit.Exp3(gamma=_mixing(arms, horizon), seed=seed)
    pull, names = policy.pull, list(range(arms))
    return lambda: pull(names), policy.update


def smpybandits_policy(algorithm: str, arms: int, horizon: int, seed: int) -> Policy:
    """SMPyBandits draws from NumPy's global generator."""
    import numpy
    from SMPyBandits import Policies  # pyright: ignore[reportMissingImports]

    numpy.random.seed(seed)
    if algorithm == "ucb1":
        policy = Policies.UCB(arms)
    elif algorithm == "thompson":
        policy = Policies.Thompson(arms)
    else:
        policy = Policies.Exp3(arms, gamma=_mixing(arms, horizon))
    policy.startGame()
    return policy.choice, policy.getReward


def mabwiser_policy(algorithm: str, arms: int, horizon: int, seed: int) -> Policy:
    """MABWiser must `fit` before it predicts: UCB1 on every arm, Thompson on one at random."""
    from mabwiser.mab import MAB, LearningPolicy  # pyright: ignore[reportMissingImports]

    rule = (
        LearningPolicy.UCB1(alpha=1.0) if algorithm == "ucb1" else LearningPolicy.ThompsonSampling()
    )
    policy = MAB(list(range(arms)), rule, seed=seed)
    waiting = list(range(arms)) if algorithm == "ucb1" else [random.Random(seed).randrange(arms)]
    tried: list[tuple[int, float]] = []

    def choose() -> int:
        return waiting[len(tried)] if len(tried) < len(waiting) else policy.predict()

    def learn(arm: int, reward: float) -> None:
        if len(tried) == len(waiting):
            policy.partial_fit([arm], [reward])
            return
        tried.append((arm, reward))
        if len(tried) == len(waiting):
            policy.fit([arm for arm, _ in tried], [reward for _, reward in tried])

    return choose, learn


def obp_policy(algorithm: str, arms: int, horizon: int, seed: int) -> Policy:
    """Open Bandit Pipeline: of the three algorithms it has Thompson sampling only."""
    from obp.policy import BernoulliTS  # pyright: ignore[reportMissingImports]

    policy = BernoulliTS(n_actions=arms, random_state=seed)
    select = policy.select_action
    return lambda: int(select()[0]), policy.update_params


def _mixing(arms: int, horizon: int) -> float:
    """The rate that Auer et al. (2002, corollary 3.2) give for Exp3 with rewards and mixing."""
    import math

    return min(1.0, math.sqrt(arms * math.log(arms) / ((math.e - 1) * horizon)))


def play(
    policy: Policy, means: Sequence[float], horizon: int, chance: Callable[[], float]
) -> float:
    """One run against Bernoulli arms; its pseudo-regret. `chance` draws uniforms on [0, 1)."""
    choose, learn = policy
    pulls = [0] * len(means)
    for _ in range(horizon):
        arm = choose()
        learn(arm, 1.0 if chance() < means[arm] else 0.0)
        pulls[arm] += 1
    best = max(means)
    return sum(count * (best - mean) for count, mean in zip(pulls, means))  # noqa: B905 (Python 3.9)


def answer(library: str, request: dict) -> dict:
    """Whole runs, seeds root_seed and up, until request["seconds"] have passed; at least one."""
    means, horizon = request["means"], request["horizon"]
    regrets: list[float] = []
    elapsed = 0.0
    while elapsed < request["seconds"]:
        seed = request["root_seed"] + len(regrets)
        start = time.perf_counter()
        policy = ADAPTERS[library](request["algorithm"], len(means), horizon, seed)
        chance = random.Random(
            f"rewards of run {seed}"
        ).random  # not the stream of a policy's Random(seed)
        regrets.append(play(policy, means, horizon, chance))
        elapsed += time.perf_counter() - start
    return {"seconds": elapsed, "pulls": horizon * len(regrets), "regrets": regrets}


def main() -> None:
    """Answers requests from standard input until it ends."""
    library = sys.argv[1]
    replies, sys.stdout = sys.stdout, sys.stderr  # libraries print greetings
    ADAPTERS[library]("thompson", 2, 10, 0)  # imports it, outside any timing
    for line in sys.stdin:
        print(json.dumps(answer(library, json.loads(line))), file=replies, flush=True)


_REWARDS = "from rewards, with uniform mixing"
PEERS = (
    Peer("river", ("river==0.26.1",), ("ucb1", "thompson", "exp3"), {"exp3": _REWARDS}),
    Peer(
        "SMPyBandits",
        # It uses names that newer SciPy and NumPy have dropped.
        ("SMPyBandits==0.9.7", "numpy<2", "scipy<1.12", "pandas<2.3", "matplotlib<3.9", "tqdm"),
        ("ucb1", "thompson", "exp3"),
        {"exp3": _REWARDS},
        newest_python=(3, 12),
    ),
    Peer("MABWiser", ("mabwiser==2.7.4",), ("ucb1", "thompson")),
    Peer("obp", ("obp==0.5.7", "matplotlib<3.7"), ("thompson",), newest_python=(3, 9)),
    # Never installed by name: whoever registered the free name one day would run code here.
    Peer("jax-bandits", absent="it has no release on the package index"),
)
ADAPTERS: dict[str, Callable[[str, int, int, int], Policy]] = {
    "river": river_policy,
    "SMPyBandits": smpybandits_policy,
    "MABWiser": mabwiser_policy,
    "obp": obp_policy,
}

if __name__ == "__main__":
    main()
