"""What every bandit environment must do, as a test that a new one passes before anything else.

check_environment(MyBandit([0.4, 0.6]))
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from regrax.core import noise


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
    t = np.arange(num_rounds)
    return (t + t // 7) % num_arms


def key(seed: int):
    return noise.stream(noise.root(5), seed)


@jax.jit
def play(env: Any, key: Any, arms: jax.Array):
    """Play `arms` in turn: the initial and final states, the tape, feedback and metrics of every
    round, and what the environment evaluates with a recommendation of arm 0."""
    first = env.init(noise.stream(key, "init"))
    tape = env.noise(noise.stream(key, "noise"), len(arms))

    def play_round(state, now):
        arm, draw = now
        state, feedback, metrics = env.step(state, arm, draw)
        return state, (feedback, metrics)

    last, (feedback, metrics) = jax.lax.scan(play_round, first, (jnp.asarray(arms), tape))
    return first, last, tape, feedback, metrics, env.evaluate(last, 0)


def check_environment(env: Any, num_rounds: int = 60, num_seeds: int = 3) -> None:
    """Hold an environment to the contract of `core.protocol`.

    - Its parameters are NumPy arrays or numbers, survive being taken apart, and stack.
    - Noise has a leading axis of rounds; `observe` and `evaluate` change nothing.
    - `step` is traced once for all rounds: no shape, dtype or weak type drifts.
    - Played round by round or under scan and vmap: the same states, feedback and metrics.
    - Metrics of `step` are finite scalars; pulls add up to the rounds played; nothing is regretted
      before the first round.
    """
    arms = scripted_arms(env.num_arms, num_rounds)
    _check_parameters(env)
    keys = jnp.stack([key(seed) for seed in range(num_seeds)])
    batch = jax.vmap(play, in_axes=(None, 0, None))(env, keys, arms)
    seed = num_seeds - 1
    first, last, tape, feedback, metrics, report = jax.tree.map(lambda x: x[seed], batch)

    for x in jax.tree.leaves(tape):
        assert x.shape[0] == num_rounds, f"noise needs a leading axis of rounds, got {x.shape}"

    traces = 0

    @jax.jit
    def one_round(env, state, arm, draw):
        nonlocal traces
        traces += 1
        env.observe(state, draw)
        return env.step(state, arm, draw)

    state, seen = first, []
    for t in range(num_rounds):
        draw = jax.tree.map(lambda x, t=t: x[t], tape)
        state, *outcome = one_round(env, state, jnp.int32(arms[t]), draw)
        seen.append(outcome)
    assert traces == 1, f"step was traced {traces} times"
    again = one_round(env, first, jnp.int32(arms[0]), jax.tree.map(lambda x: x[0], tape))
    assert_same(list(again[1:]), seen[0], exact=True)
    assert_same([feedback, metrics], jax.tree.map(lambda *x: np.stack(x), *seen))
    assert_same(last, state)

    for name, x in jax.tree_util.tree_leaves_with_path(metrics):
        assert x.shape == (num_rounds,), f"metric {name} of step is not a scalar"
    for x in jax.tree.leaves((feedback, metrics, report)):
        assert np.all(np.isfinite(x))

    evaluate = jax.jit(lambda env, state, arm: env.evaluate(state, arm))
    assert_same(evaluate(env, state, 0), report)
    at_start = evaluate(env, first, 0)
    for name, x in at_start.items():
        assert x.shape == report[name].shape and x.dtype == report[name].dtype
        assert not name.endswith("regret") or name == "simple_regret" or x == 0, name
    if "pulls" in report:
        assert report["pulls"].shape == (env.num_arms,)
        assert report["pulls"].sum() == num_rounds and at_start["pulls"].sum() == 0


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
