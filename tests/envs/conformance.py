"""What every bandit environment must do, as a test that a new one passes before anything else.

check_environment(MyBandit([0.4, 0.6]))
"""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from regrax.core import noise
from regrax.core.compiled import jit


@flax.struct.dataclass
class Scripted:
    """A learner that plays arms by the calendar, whatever it earns: arm (t + t // 7) mod K."""

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        return jnp.int32(0)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return (state + state // 7) % self.num_arms

    def update(self, state, observation, arm, feedback):
        return state + 1

    def recommend(self, state):
        return jnp.int32(0)


def scripted_arms(num_arms: int, num_rounds: int) -> np.ndarray:
    """The arms that `Scripted` plays."""
    t = np.arange(num_rounds, dtype=np.int32)
    return (t + t // 7) % num_arms


def pulls_before(arms: np.ndarray, num_arms: int) -> np.ndarray:
    """How often each arm was played before each round, [rounds, K]."""
    played = arms[:, None] == np.arange(num_arms)
    return np.cumsum(played, axis=0) - played


def key(seed):
    """The key that the seed's environment was given by `play`."""
    return noise.stream(noise.root(5), seed)


class Played(NamedTuple):
    """What happened when the arms `Scripted` plays were played, for the seeds 0, 1, ..."""

    first: Any  # [seeds, ...] states
    last: Any
    tape: Any  # [seeds, rounds, ...]
    feedback: Any  # [seeds, rounds, ...]
    metrics: Any  # [seeds, rounds]
    reports: dict  # [seeds, rounds, ...], what `evaluate` says before each round, of arm 0


def play(env: Any, num_rounds: int = 60, num_seeds: int = 3) -> Played:
    arms = scripted_arms(env.num_arms, num_rounds)
    return jax.device_get(_play(env, jnp.arange(num_seeds, dtype=jnp.uint32), jnp.asarray(arms)))


@jit
def _play(env, seeds, arms):
    def one(seed):
        first = env.init(noise.stream(key(seed), "init"))
        tape = env.noise(noise.stream(key(seed), "noise"), len(arms))

        def play_round(state, now):
            report = env.evaluate(state, 0)
            state, feedback, metrics = env.step(state, *now)
            return state, (feedback, metrics, report)

        last, history = jax.lax.scan(play_round, first, (arms, tape))
        return Played(first, last, tape, *history)

    return jax.vmap(one)(seeds)


def check_environment(env: Any, num_rounds: int = 60, num_seeds: int = 3) -> None:
    """Hold an environment to the contract of `core.protocol`.

    - Its parameters are NumPy arrays or numbers, survive being taken apart, and stack.
    - Noise has a leading axis of rounds; `observe` needs no more than the state and a draw.
    - `step` is traced once for all rounds: no shape, dtype or weak type drifts. It is a function:
      the same arguments give the same results.
    - Played round by round or under scan and vmap: the same states, feedback and metrics.
    - Metrics are finite, those of `step` scalars; pulls add up to the rounds played; nothing is
      regretted before the first round.
    """
    arms = scripted_arms(env.num_arms, num_rounds)
    _check_parameters(env)
    played: Played = jax.tree.map(lambda x: x[-1], play(env, num_rounds, num_seeds))
    for x in jax.tree.leaves(played.tape):
        assert x.shape[0] == num_rounds, f"noise needs a leading axis of rounds, got {x.shape}"

    traces = 0

    @jax.jit
    def one_round(env, state, arm, draw):
        nonlocal traces
        traces += 1
        env.observe(state, draw)
        return env.step(state, arm, draw)

    state, outcomes = played.first, []
    for t in [0, *range(num_rounds)]:
        draw = jax.tree.map(lambda x, t=t: x[t], played.tape)
        before = played.first if t == 0 else state
        state, *outcome = one_round(env, before, arms[t], draw)
        outcomes.append(outcome)
    assert traces == 1, f"step was traced {traces} times"
    assert_same(outcomes[0], outcomes[1], exact=True)
    together = jax.tree.map(lambda *x: np.stack(x), *outcomes[1:])
    assert_same([played.feedback, played.metrics], together)
    assert_same(played.last, state)

    for name, x in played.metrics.items():
        assert x.shape == (num_rounds,), f"metric {name} of step is not a scalar"
    for x in jax.tree.leaves((played.feedback, played.metrics, played.reports)):
        assert np.all(np.isfinite(x))
    for name, x in played.reports.items():
        assert not name.endswith("regret") or name == "simple_regret" or x[0] == 0, name
    if "pulls" in played.reports:
        assert played.reports["pulls"].shape == (num_rounds, env.num_arms)
        np.testing.assert_array_equal(played.reports["pulls"].sum(axis=1), np.arange(num_rounds))


def _check_parameters(env) -> None:
    leaves, structure = jax.tree.flatten(env)
    for x in leaves:
        assert isinstance(x, np.ndarray | np.generic | float | int), f"{type(x)} in {env!r}"
    rebuilt = jax.tree.unflatten(structure, leaves)
    assert_same(leaves, jax.tree.leaves(rebuilt), exact=True)
    stacked = jax.tree.map(lambda x, y: np.stack([x, y]), env, env)
    for x, y in zip(leaves, jax.tree.leaves(stacked), strict=True):
        assert y.shape == (2, *np.shape(x))
    # What JAX and its users do with pytrees is not for an environment to check.
    jax.tree.structure(jax.tree.map(np.shape, env))
    jax.tree.map(np.array_equal, env, env)
    jax.tree.map(np.negative, env)


def assert_same(x, y, exact: bool = False) -> None:
    """Equal structures, dtypes and integers; floats equal, or to within rounding."""
    assert jax.tree.structure(x) == jax.tree.structure(y)
    for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype and a.shape == b.shape
        if exact or not np.issubdtype(a.dtype, np.floating):
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
