"""What every Markov decision process must do, as a test that a new one passes before anything else.

check_mdp(envs.river_swim())

A round is an episode; where an action is more than a policy, `actions` says what to play.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats as sps

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.mdp import Stochastic
from regrax.tests.envs.conformance import assert_same

FALSE_ALARM = 1e-6


def scripted_policies(env: Any, num_rounds: int, seed: int = 0) -> Stochastic:
    """Policies of a calendar, [rounds, H, S, A]: one in three is deterministic, one in three never
    plays action 0, and one in three plays anything."""
    rng = np.random.default_rng(seed)
    shape = num_rounds, env.stages, env.num_states, env.num_actions
    chances = rng.dirichlet(np.ones(env.num_actions), shape[:-1])
    t = np.arange(num_rounds)
    certain = rng.integers(env.num_actions, size=shape[:-1])
    chances[t % 3 == 0] = np.eye(env.num_actions)[certain[t % 3 == 0]]
    chances[t % 3 == 1, ..., 0] = 1e-30 if env.num_actions == 1 else 0
    return Stochastic(jnp.asarray(chances / chances.sum(axis=-1, keepdims=True), jnp.float32))


class Played(NamedTuple):
    """What happened when scripted actions were played, for the seeds 0, 1, ..."""

    first: Any  # [seeds, ...] states
    last: Any
    tape: Any  # [seeds, rounds, ...]
    feedback: Any  # [seeds, rounds, ...]
    metrics: Any  # [seeds, rounds]
    reports: dict  # [seeds, rounds], what `evaluate` says before each round


def play(env: Any, actions: Any, recommended: Any, seeds: range = range(3)) -> Played:
    """Everything stays in JAX: states may be float64."""
    return _play(env, actions, recommended, jnp.asarray(seeds, jnp.uint32))


@jit
def _play(env, actions, recommended, seeds):
    num_rounds = jax.tree.leaves(actions)[0].shape[0]

    def one(seed):
        key = noise.stream(noise.root(5), seed)
        first = env.init(noise.stream(key, "init"))
        tape = env.noise(noise.stream(key, "noise"), num_rounds)

        def play_round(state, now):
            report = env.evaluate(state, recommended)
            state, feedback, metrics = env.step(state, *now)
            return state, (feedback, metrics, report)

        last, history = jax.lax.scan(play_round, first, (actions, tape))
        return Played(first, last, tape, *history)

    return jax.vmap(one)(seeds)


def check_mdp(env: Any, num_rounds: int = 30, actions: Any = None) -> Played:
    """Hold an environment to the contract of `core.protocol`, and to that of episodes.

    - Its parameters are NumPy arrays or numbers, survive being taken apart, and stack.
    - Noise has a leading axis of rounds; `observe` needs no more than the state and a draw.
    - `step` is traced once for all rounds: no shape, dtype or weak type drifts. It is a function:
      the same arguments give the same results.
    - Played round by round or under scan and vmap: the same feedback, metrics and states. A seed's
      numbers are the same to the last bit in a batch of one and of three.
    - Metrics are finite scalars, float32 or int32; nothing is regretted before the first round.
    - Trajectories hold states and actions that there are; first states and moves have a chance.

    Args:
      actions: what is played, leading axis rounds; `scripted_policies` when left out.

    Returns:
      what was played, for checks of one's own.
    """
    policies = scripted_policies(env, num_rounds)
    recommended = jax.tree.map(lambda x: x[0], policies)
    actions = policies if actions is None else actions
    _check_parameters(env)
    played = play(env, actions, recommended)
    for x in jax.tree.leaves(played.tape):
        assert x.shape[1] == num_rounds, f"noise needs a leading axis of rounds, got {x.shape[1:]}"
    _check_round_by_round(env, actions, played)
    alone = play(env, actions, recommended, range(2, 3))
    assert_same(jax.tree.map(lambda x: x[2:], played), alone, exact=True)

    for name, x in played.metrics.items():
        assert x.shape == (3, num_rounds), f"metric {name} of step is not a scalar"
        assert x.dtype in (np.float32, np.int32), f"metric {name} is {x.dtype}"
    for x in jax.tree.leaves((played.feedback, played.metrics, played.reports)):
        assert np.all(np.isfinite(x))
    for name, x in played.reports.items():
        assert x.shape == (3, num_rounds), f"{name} of evaluate is not a scalar"
        assert not name.endswith("regret") or name == "simple_regret" or np.all(x[:, 0] == 0), name
    for trajectory in trajectories(played.feedback):
        _check_trajectory(env, trajectory, num_rounds)
    return played


def trajectories(feedback: Any) -> list[Any]:
    """All trajectories in a feedback, whatever their class."""
    leaves = jax.tree.leaves(feedback, is_leaf=_is_trajectory)
    return [x for x in leaves if _is_trajectory(x)]


def plausible_counts(counts, trials, chances):
    """No count is out of what a binomial law makes believable: all together are so less often than
    once in a million times."""
    tails = np.minimum(
        sps.binom.cdf(counts, trials, chances), sps.binom.sf(counts - 1, trials, chances)
    )
    assert np.all(counts[chances == 0] == 0)
    assert tails.min() > FALSE_ALARM / 2 / counts.size


def _is_trajectory(x):
    return hasattr(x, "states") and hasattr(x, "actions")


def _check_round_by_round(env, actions, played):
    traces = 0

    def one_round(env, state, action, draw):
        nonlocal traces
        traces += 1
        env.observe(state, draw)
        return env.step(state, action, draw)

    compiled = jit(one_round)
    played = jax.tree.map(lambda x: x[-1], played)
    state, outcomes = played.first, []
    for t in [0, *range(len(jax.tree.leaves(actions)[0]))]:
        action, draw = jax.tree.map(lambda x, t=t: x[t], (actions, played.tape))
        before = played.first if t == 0 else state
        state, *outcome = compiled(env, before, action, draw)
        outcomes.append(outcome)
    assert traces == 1, f"step was traced {traces} times"
    assert_same(outcomes[0], outcomes[1], exact=True)
    together = jax.tree.map(lambda *x: np.stack(x), *outcomes[1:])
    assert_same([played.feedback, played.metrics], together)
    assert_same(played.last, state)


def _check_trajectory(env, trajectory, num_rounds):
    states, actions = np.asarray(trajectory.states), np.asarray(trajectory.actions)
    assert states.shape == (3, num_rounds, env.stages + 1) and states.dtype == np.int32
    assert actions.shape == (3, num_rounds, env.stages) and actions.dtype == np.int32
    assert states.min() >= 0 and states.max() < env.num_states
    assert actions.min() >= 0 and actions.max() < env.num_actions
    start = getattr(env, "start", None)
    if start is not None:
        assert np.all(np.asarray(start)[states[..., 0]] > 0)
    moves = getattr(env, "transitions", None)
    if moves is not None:
        stage = np.arange(env.stages)
        chances = np.asarray(moves)[stage, states[..., :-1], actions, states[..., 1:]]
        assert np.all(chances > 0)


def _check_parameters(env):
    leaves, structure = jax.tree.flatten(env)
    for x in leaves:
        assert isinstance(x, np.ndarray | np.generic | float | int), f"{type(x)} in {env!r}"
    rebuilt = jax.tree.unflatten(structure, leaves)
    assert_same(leaves, jax.tree.leaves(rebuilt), exact=True)
    stacked = jax.tree.map(lambda x, y: np.stack([x, y]), env, env)
    for x, y in zip(leaves, jax.tree.leaves(stacked), strict=True):
        assert y.shape == (2, *np.shape(x))
    # What JAX does with pytrees is not for an environment to check.
    jax.tree.structure(jax.tree.map(np.shape, env))
    jax.tree.map(np.array_equal, env, env)
